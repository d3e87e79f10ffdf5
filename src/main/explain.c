#include "explain.h"

#include <stdbool.h>
#include <stdlib.h>

#include "backend.h"
#include "config.h"
#include "process.h"
#include "str.h"
#include "targets.h"
#include "usec.h"

/* For each server, all its databases together. */
#define PATIENCE (3 * SEC)

/* ---- what the pools may make of it ------------------------------------------------------------
 */

/* Why there is no telling how many connections there may be, and what would end that. */
enum boundless { BOUNDED, BY_DATABASES, BY_USERS, BY_POOLS };

static const struct {
    const char *why, *remedy;
} boundless[] = {
    [BY_DATABASES] = {"the entry * serves any number of databases",
                      "set max_user_connections, or name the databases"},
    [BY_USERS] = {"any number of users may log in", "set max_db_connections"},
    [BY_POOLS] = {"pool_size 0 is no limit", "set max_db_connections"},
};

/* A host and a port, and what all entries that lead there may open. */
struct place {
    const char *host; /* in a target of the first entry */
    int port;
    unsigned long long pools, connections;
    bool takes_more; /* pools than these */
    enum boundless reason;
};

/* One target of one entry. */
struct way {
    struct backend_target *target; /* borrowed, as the next two */
    const struct config_database *db;
    struct place *place;
};

struct survey {
    struct config *config;
    struct place *places; /* owned, as the next three */
    size_t place_count;
    struct way *ways;
    size_t way_count;
    struct backend_target ***targets; /* of each entry */
    size_t *target_counts;
    size_t entries;
    bool incomplete; /* no memory */
};

/* Whether those who come are more than auth_file knows. */
static bool
takes_anybody(const struct config *config, const struct config_database *db)
{
    return db->user == NULL &&
           (*config_auth_user(config, db) != '\0' || config->auth_type == AUTH_TYPE_PAM ||
            config->auth_type == AUTH_TYPE_LDAP);
}

/* Of one pool, at most so many; 0: there is no limit. */
static unsigned long long
pool_connections(const struct config *config, const struct config_database *db, const char *name)
{
    const struct config_user *const user = config_find_user(config, name);
    const int size = config_pool_size(config, db, user);
    const int cap = config_max_user_connections(config, user);
    const long long sum = (long long)size + config_reserve_pool_size(config, db, user);

    return (unsigned long long)(size > 0 && (cap == 0 || sum < cap) ? sum : cap);
}

/* Of the pools of one entry: one if it names the user, else one for each who is known. */
static enum boundless
entry_connections(const struct config *config, const struct config_database *db, size_t *ret_pools,
                  unsigned long long *ret_count)
{
    const unsigned long long cap = (unsigned long long)config_max_db_connections(config, db);
    const size_t pools = db->user != NULL ? 1 : config->n_auth_users;
    enum boundless reason = takes_anybody(config, db) ? BY_USERS : BOUNDED;

    *ret_pools = pools;
    *ret_count = 0;
    for (size_t i = 0; i < pools; i++) {
        const char *const user = db->user != NULL ? db->user : config->auth_users[i]->name;
        const unsigned long long count = pool_connections(config, db, user);

        *ret_count += count;
        if (count == 0 && reason == BOUNDED)
            reason = BY_POOLS;
    }
    if (cap > 0 && (reason != BOUNDED || *ret_count > cap)) {
        *ret_count = cap;
        reason = BOUNDED;
    }
    return db == config->autodb ? BY_DATABASES : reason;
}

static struct place *
survey_place(struct survey *survey, const struct backend_target *target)
{
    for (size_t i = 0; i < survey->place_count; i++) {
        struct place *place = &survey->places[i];

        if (place->port == target->port && str_eq(place->host, target->host))
            return place;
    }
    survey->places[survey->place_count] =
        (struct place){.host = target->host, .port = target->port};
    return &survey->places[survey->place_count++];
}

/* Whoever may log in by what the file knows: the entry's user, the one of auth_query, anybody. */
static const char *
entry_user(const struct config *config, const struct config_database *db)
{
    if (db->user != NULL)
        return db->user;
    if (*config_auth_user(config, db) != '\0')
        return config_auth_user(config, db);
    return config->n_auth_users > 0 ? config->auth_users[0]->name : "postgres";
}

/* All hosts of an entry count in full: any of them may have to do. */
static void
survey_way(struct survey *survey, const struct config_database *db, struct backend_target *target)
{
    struct place *const place = survey_place(survey, target);
    unsigned long long connections;
    size_t pools;
    const enum boundless reason = entry_connections(survey->config, db, &pools, &connections);

    survey->ways[survey->way_count++] = (struct way){target, db, place};
    place->connections += connections;
    place->pools += pools;
    place->takes_more |= db == survey->config->autodb || takes_anybody(survey->config, db);
    if (place->reason == BOUNDED)
        place->reason = reason;
}

static void
survey_entry(struct survey *survey, const struct config_database *db, size_t index)
{
    const char *const dbname = db->dbname != NULL ? db->dbname : "postgres";
    struct config *const config = survey->config;

    if (targets_new(config, db, dbname, entry_user(config, db), &survey->targets[index],
                    &survey->target_counts[index]) < 0) {
        survey->incomplete = true;
        return;
    }
    for (size_t i = 0; i < survey->target_counts[index]; i++)
        survey_way(survey, db, survey->targets[index][i]);
}

/* Whether another way to the place counts the same user: an earlier one, or one for all users. */
static bool
is_counted(const struct survey *survey, const struct way *way)
{
    const char *const user = way->db->user;
    const bool is_known = user != NULL && config_find_auth_user(survey->config, user) != NULL;

    for (const struct way *other = survey->ways; other < survey->ways + survey->way_count;
         other++) {
        if (other->place != way->place)
            continue;
        if ((other < way && str_eq(other->db->user, user)) || (other->db->user == NULL && is_known))
            return true;
    }
    return false;
}

/* Of all of auth_file; 0: somebody has none. */
static unsigned long long
limit_of_known_users(const struct config *config)
{
    unsigned long long sum = 0;

    for (size_t i = 0; i < config->n_auth_users; i++) {
        const struct config_user *user = config_find_user(config, config->auth_users[i]->name);
        const int limit = config_max_user_connections(config, user);

        if (limit == 0)
            return 0;
        sum += (unsigned long long)limit;
    }
    return sum;
}

/* What max_user_connections leaves of it; 0: somebody has none. */
static unsigned long long
place_limit_of_users(const struct survey *survey, const struct place *place)
{
    const struct config *const config = survey->config;
    unsigned long long sum = 0;

    for (size_t i = 0; i < survey->way_count; i++) {
        const struct way *const way = &survey->ways[i];
        const char *const user = way->db->user;
        unsigned long long limit;

        if (way->place != place || is_counted(survey, way))
            continue;
        limit = user == NULL ? limit_of_known_users(config)
                             : (unsigned long long)config_max_user_connections(
                                   config, config_find_user(config, user));
        if (limit == 0 || takes_anybody(config, way->db))
            return 0;
        sum += limit;
    }
    return sum;
}

static void
survey_limit_users(struct survey *survey)
{
    for (size_t i = 0; i < survey->place_count; i++) {
        struct place *const place = &survey->places[i];
        const unsigned long long limit = place_limit_of_users(survey, place);

        if (limit == 0 || (place->reason == BOUNDED && place->connections <= limit))
            continue;
        place->connections = limit;
        place->reason = BOUNDED;
    }
}

/* How many hosts an entry has, at least. */
static size_t
entry_hosts(const struct config_database *db)
{
    const char *rest = db->host != NULL ? db->host : "", *host;
    size_t len, count = 0;

    while (str_list_next(&rest, &host, &len))
        count++;
    return count > 0 ? count : 1;
}

static const struct config_database *
survey_entry_at(const struct config *config, size_t index)
{
    return index < config->n_databases ? config->databases[index] : config->autodb;
}

static bool
survey_make(struct survey *survey, struct config *config)
{
    size_t ways = 0;

    *survey = (struct survey){.config = config};
    survey->entries = config->n_databases + (config->autodb != NULL);
    for (size_t i = 0; i < survey->entries; i++)
        ways += entry_hosts(survey_entry_at(config, i));
    survey->places = calloc(ways + 1, sizeof(*survey->places));
    survey->ways = calloc(ways + 1, sizeof(*survey->ways));
    survey->targets = calloc(survey->entries + 1, sizeof(struct backend_target **));
    survey->target_counts = calloc(survey->entries + 1, sizeof(*survey->target_counts));
    if (survey->places == NULL || survey->ways == NULL || survey->targets == NULL ||
        survey->target_counts == NULL)
        return false;
    for (size_t i = 0; i < survey->entries; i++)
        survey_entry(survey, survey_entry_at(config, i), i);
    survey_limit_users(survey);
    return !survey->incomplete;
}

static void
survey_done(struct survey *survey)
{
    for (size_t i = 0; i < survey->entries && survey->targets != NULL; i++)
        targets_free(survey->targets[i], survey->target_counts[i]);
    free(survey->targets);
    free(survey->target_counts);
    free(survey->places);
    free(survey->ways);
}

/* ---- what the servers have room for -----------------------------------------------------------
 */

/* By any of the ways to it, as long as it answers at all. */
static bool
ask_place(const struct survey *survey, const struct place *place,
          struct backend_capacity *ret_capacity, struct backend_error *error)
{
    int r = -1;

    for (size_t i = 0; i < survey->way_count && r < 0; i++) {
        if (survey->ways[i].place != place)
            continue;
        r = backend_ask_capacity(survey->ways[i].target, PATIENCE, ret_capacity, error);
        if (r < 0 && !error->from_server)
            return false;
    }
    return r == 0;
}

static void
explain_room(const struct survey *survey, const struct place *place, FILE *file)
{
    struct backend_capacity capacity;
    struct backend_error error = {.from_server = false};
    long long room;

    if (!ask_place(survey, place, &capacity, &error)) {
        (void)fprintf(file, "; it could not be asked for its max_connections: %s\n", error.message);
        return;
    }
    room = capacity.max_connections - capacity.reserved;
    (void)fprintf(file, "; its max_connections is %d, of which %d are reserved",
                  capacity.max_connections, capacity.reserved);
    if (place->reason != BOUNDED)
        (void)fprintf(file, ": %s, so that there is a limit\n", boundless[place->reason].remedy);
    else if ((long long)place->connections > room)
        (void)fputs(": too many, lower the pool sizes or set max_db_connections\n", file);
    else
        (void)fputs(": fits\n", file);
}

static void
explain_place(const struct survey *survey, const struct place *place, FILE *file)
{
    (void)fprintf(file, "server %s:%d: ", place->host, place->port);
    if (place->reason != BOUNDED)
        (void)fprintf(file, "any number of connections, as %s", boundless[place->reason].why);
    else
        (void)fprintf(file, "up to %llu connections", place->connections);
    if (place->reason == BOUNDED && !place->takes_more)
        (void)fprintf(file, " in %llu pool%s", place->pools, place->pools == 1 ? "" : "s");
    explain_room(survey, place, file);
}

static void
explain_servers(struct config *config, FILE *file)
{
    struct survey survey;

    if (survey_make(&survey, config)) {
        for (size_t i = 0; i < survey.place_count; i++)
            explain_place(&survey, &survey.places[i], file);
        if (survey.entries == 0)
            (void)fputs("servers: [databases] has no entry, so clients get no further than the "
                        "console\n",
                        file);
    } else {
        (void)fputs("servers: no memory to look at them\n", file);
    }
    survey_done(&survey);
}

/* ---- the rest ---------------------------------------------------------------------------------
 */

static void
explain_notes(struct config_errors *notes, FILE *file)
{
    config_errors_sort(notes);
    for (size_t i = 0; i < notes->count; i++)
        (void)fprintf(file, "%s:%u: %s\n", notes->list[i].file, notes->list[i].line,
                      notes->list[i].message);
}

static void
explain_cores(const struct config *config, FILE *file)
{
    const unsigned cpus = cpu_count();
    const unsigned by_itself = cpus > 1 ? cpus / 2 : 1;

    if (config->worker_threads > 0)
        (void)fprintf(file, "cores: worker_threads = %d, of %u CPUs\n", config->worker_threads,
                      cpus);
    else if (cpus > by_itself)
        (void)fprintf(file,
                      "cores: worker_threads = auto is %u of %u CPUs; where PostgreSQL runs "
                      "elsewhere, worker_threads = %u uses all of them\n",
                      by_itself, cpus, cpus);
    else
        (void)fputs("cores: there is one CPU\n", file);
    if (config->so_reuseport)
        (void)fprintf(file,
                      "cores: start one process where there were several, with the sum of their "
                      "pool sizes and limits, and take out so_reuseport%s\n",
                      config->peer_id != 0 ? ", peer_id and [peers]" : "");
}

void
explain(struct config *config, struct config_errors *notes, FILE *file)
{
    explain_notes(notes, file);
    explain_servers(config, file);
    explain_cores(config, file);
}
