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

/* A host and a port, and what all entries that lead there may open. */
struct place {
    const char *host; /* in a target of the first entry */
    int port;
    unsigned long long pools, connections;
    bool unlimited; /* some pool, or the number of pools, has no bound */
};

/* One target of one entry. */
struct way {
    struct backend_target *target; /* borrowed */
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
    bool asks_for_users; /* who they are is not known */
    bool incomplete;     /* no memory */
};

/* Of one entry: a pool for each user who is known, one if the entry names him. */
static unsigned long long
entry_pools(const struct config *config, const struct config_database *db)
{
    return db->user != NULL || config->n_auth_users == 0 ? 1 : config->n_auth_users;
}

/* At most so many, or false: there is no limit. */
static bool
entry_connections(const struct config *config, const struct config_database *db,
                  unsigned long long *ret_count)
{
    const int size = config_pool_size(config, db, NULL);
    const int cap = config_max_db_connections(config, db);
    const int reserve = config_reserve_pool_size(config, db, NULL);

    *ret_count = entry_pools(config, db) * (unsigned long long)(size + reserve);
    if (cap > 0 && (size == 0 || *ret_count > (unsigned long long)cap))
        *ret_count = (unsigned long long)cap;
    return size > 0 || cap > 0;
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
survey_entry(struct survey *survey, const struct config_database *db, size_t index)
{
    const char *const dbname = db->dbname != NULL ? db->dbname : "postgres";
    struct config *const config = survey->config;
    unsigned long long connections;
    const bool bounded = entry_connections(config, db, &connections);

    if (targets_new(config, db, dbname, entry_user(config, db), &survey->targets[index],
                    &survey->target_counts[index]) < 0) {
        survey->incomplete = true;
        return;
    }
    survey->asks_for_users |= db->user == NULL && *config_auth_user(config, db) != '\0';
    for (size_t i = 0; i < survey->target_counts[index]; i++) {
        struct backend_target *const target = survey->targets[index][i];
        struct place *const place = survey_place(survey, target);

        survey->ways[survey->way_count++] = (struct way){target, place};
        place->pools += entry_pools(config, db);
        place->connections += connections;
        place->unlimited |= !bounded || db == config->autodb;
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
    (void)fprintf(file, "; its max_connections is %d, of which %d are for superusers",
                  capacity.max_connections, capacity.reserved);
    if (place->unlimited)
        (void)fputs(": set max_db_connections, so that there is a limit\n", file);
    else if ((long long)place->connections > room)
        (void)fputs(": too many, lower the pool sizes or set max_db_connections\n", file);
    else
        (void)fputs(": fits\n", file);
}

static void
explain_place(const struct survey *survey, const struct place *place, FILE *file)
{
    (void)fprintf(file, "server %s:%d: ", place->host, place->port);
    if (place->unlimited)
        (void)fputs("any number of connections", file);
    else
        (void)fprintf(file, "up to %llu connections in %llu pool%s", place->connections,
                      place->pools, place->pools == 1 ? "" : "s");
    explain_room(survey, place, file);
}

static void
explain_servers(struct config *config, FILE *file)
{
    struct survey survey;

    if (survey_make(&survey, config)) {
        for (size_t i = 0; i < survey.place_count; i++)
            explain_place(&survey, &survey.places[i], file);
        if (survey.asks_for_users)
            (void)fputs("servers: each user that auth_query finds adds a pool to each database\n",
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

    if (config->worker_threads > 0)
        (void)fprintf(file, "cores: worker_threads = %d, of %u CPUs\n", config->worker_threads,
                      cpus);
    else
        (void)fprintf(file,
                      "cores: worker_threads = auto is %u of %u CPUs; where PostgreSQL runs "
                      "elsewhere, worker_threads = %u uses all of them\n",
                      cpus > 1 ? cpus / 2 : 1, cpus, cpus);
    if (config->so_reuseport)
        (void)fputs("cores: start one process where there were several, and take out so_reuseport, "
                    "peer_id and [peers]\n",
                    file);
}

void
explain(struct config *config, struct config_errors *notes, FILE *file)
{
    explain_notes(notes, file);
    explain_servers(config, file);
    explain_cores(config, file);
}
