/*
 * Making, copying, sharing and searching a configuration.
 */
#include "config_int.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "hba.h"
#include "str.h"
#include "wipe.h"

/* What find_entry, and the sorting in load.c, rely on. */
static_assert(offsetof(struct config_database, name) == 0, "the name comes first");
static_assert(offsetof(struct config_user, name) == 0, "the name comes first");
static_assert(offsetof(struct config_peer, name) == 0, "the name comes first");
static_assert(offsetof(struct config_auth_user, name) == 0, "the name comes first");

/* object is fresh memory. On failure it may be given to table_done all the same. */
static int
table_init(const struct option_table *table, void *object)
{
    CLEANUP(buf_done) struct buf why = BUF_INIT;
    int r;

    for (const struct option *row = table->rows; row < option_table_end(table); row++)
        option_unset(row, object);
    for (const struct option *row = table->rows; row < option_table_end(table); row++) {
        if (row->def == NULL)
            continue;
        r = option_parse(row, row->def, object, &why);
        if (r < 0)
            return r;
    }
    return 0;
}

static void
table_done(const struct option_table *table, void *object)
{
    for (const struct option *row = table->rows; row < option_table_end(table); row++)
        option_done(row, object);
}

static int
table_copy(const struct option_table *table, const void *from, void *to)
{
    int r = 0;

    for (const struct option *row = table->rows; row < option_table_end(table) && r == 0; row++)
        r = option_copy(row, from, to);
    return r;
}

struct config_database *
config_database_new(const char *name)
{
    CLEANUP(config_database_free) struct config_database *db = calloc(1, sizeof(*db));

    if (db == NULL || table_init(&database_table, db) < 0)
        return NULL;
    db->name = strdup(name);
    return db->name != NULL ? TAKE(db) : NULL;
}

void
config_database_free(struct config_database *db)
{
    if (db == NULL)
        return;
    table_done(&database_table, db);
    free(db->name);
    free(db);
}

struct config_user *
config_user_new(const char *name)
{
    CLEANUP(config_user_free) struct config_user *user = calloc(1, sizeof(*user));

    if (user == NULL || table_init(&user_table, user) < 0)
        return NULL;
    user->name = strdup(name);
    return user->name != NULL ? TAKE(user) : NULL;
}

void
config_user_free(struct config_user *user)
{
    if (user == NULL)
        return;
    table_done(&user_table, user);
    free(user->name);
    free(user);
}

struct config_peer *
config_peer_new(const char *name)
{
    CLEANUP(config_peer_free) struct config_peer *peer = calloc(1, sizeof(*peer));

    if (peer == NULL || table_init(&peer_table, peer) < 0)
        return NULL;
    peer->name = strdup(name);
    return peer->name != NULL ? TAKE(peer) : NULL;
}

void
config_peer_free(struct config_peer *peer)
{
    if (peer == NULL)
        return;
    table_done(&peer_table, peer);
    free(peer->name);
    free(peer);
}

struct config_auth_user *
config_auth_user_new(const char *name, const char *secret)
{
    CLEANUP(config_auth_user_free) struct config_auth_user *user = calloc(1, sizeof(*user));

    if (user == NULL)
        return NULL;
    user->name = strdup(name);
    user->secret = strdup(secret);
    return user->name != NULL && user->secret != NULL ? TAKE(user) : NULL;
}

void
config_auth_user_free(struct config_auth_user *user)
{
    if (user == NULL)
        return;
    wipe_free(user->secret);
    free(user->name);
    free(user);
}

struct config *
config_new(void)
{
    CLEANUP(config_unref) struct config *config = calloc(1, sizeof(*config));

    if (config == NULL)
        return NULL;
    ref_init(&config->ref);
    return table_init(&option_table, config) == 0 ? TAKE(config) : NULL;
}

static void
config_free(struct config *config)
{
    for (size_t i = 0; i < config->n_databases; i++)
        config_database_free(config->databases[i]);
    for (size_t i = 0; i < config->n_users; i++)
        config_user_free(config->users[i]);
    for (size_t i = 0; i < config->n_peers; i++)
        config_peer_free(config->peers[i]);
    for (size_t i = 0; i < config->n_auth_users; i++)
        config_auth_user_free(config->auth_users[i]);
    config_database_free(config->autodb);
    free(config->databases);
    free(config->users);
    free(config->peers);
    free(config->auth_users);
    hba_unref(config->hba);
    ident_unref(config->ident);
    table_done(&option_table, config);
    free(config);
}

struct config *
config_ref(struct config *config)
{
    ref_get(&config->ref);
    return config;
}

void
config_unref(struct config *config)
{
    if (config != NULL && ref_put(&config->ref))
        config_free(config);
}

static struct config_database *
database_copy(const struct config_database *from)
{
    CLEANUP(config_database_free) struct config_database *db = config_database_new(from->name);

    return db != NULL && table_copy(&database_table, from, db) == 0 ? TAKE(db) : NULL;
}

static struct config_user *
user_copy(const struct config_user *from)
{
    CLEANUP(config_user_free) struct config_user *user = config_user_new(from->name);

    return user != NULL && table_copy(&user_table, from, user) == 0 ? TAKE(user) : NULL;
}

static struct config_peer *
peer_copy(const struct config_peer *from)
{
    CLEANUP(config_peer_free) struct config_peer *peer = config_peer_new(from->name);

    if (peer == NULL || table_copy(&peer_table, from, peer) < 0)
        return NULL;
    peer->id = from->id;
    return TAKE(peer);
}

void
config_note_secrets(struct config *config)
{
    config->auth_user_not_scram = NULL;
    for (size_t i = 0; i < config->n_auth_users && config->auth_user_not_scram == NULL; i++) {
        const struct config_auth_user *const user = config->auth_users[i];

        assert(user != NULL);
        if (*user->secret != '\0' && !str_starts_with(user->secret, "SCRAM-SHA-256$"))
            config->auth_user_not_scram = user;
    }
}

/* What is there when memory ends belongs to config already. */
static int
copy_entries(const struct config *from, struct config *config)
{
    config->databases = calloc(from->n_databases + 1, sizeof(*config->databases));
    config->users = calloc(from->n_users + 1, sizeof(*config->users));
    config->peers = calloc(from->n_peers + 1, sizeof(*config->peers));
    config->auth_users = calloc(from->n_auth_users + 1, sizeof(*config->auth_users));
    if (config->databases == NULL || config->users == NULL || config->peers == NULL ||
        config->auth_users == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < from->n_databases; i++, config->n_databases++)
        if ((config->databases[i] = database_copy(from->databases[i])) == NULL)
            return -ENOMEM;
    for (size_t i = 0; i < from->n_users; i++, config->n_users++)
        if ((config->users[i] = user_copy(from->users[i])) == NULL)
            return -ENOMEM;
    for (size_t i = 0; i < from->n_peers; i++, config->n_peers++)
        if ((config->peers[i] = peer_copy(from->peers[i])) == NULL)
            return -ENOMEM;
    for (size_t i = 0; i < from->n_auth_users; i++, config->n_auth_users++) {
        const struct config_auth_user *user = from->auth_users[i];

        if ((config->auth_users[i] = config_auth_user_new(user->name, user->secret)) == NULL)
            return -ENOMEM;
    }
    config_note_secrets(config);
    config->hba = from->hba != NULL ? hba_ref(from->hba) : NULL;
    config->ident = from->ident != NULL ? ident_ref(from->ident) : NULL;
    if (from->autodb == NULL)
        return 0;
    config->autodb = database_copy(from->autodb);
    return config->autodb != NULL ? 0 : -ENOMEM;
}

int
config_copy(const struct config *from, struct config **ret_config)
{
    CLEANUP(config_unref) struct config *config = config_new();
    int r;

    if (config == NULL)
        return -ENOMEM;
    r = table_copy(&option_table, from, config);
    if (r == 0)
        r = copy_entries(from, config);
    if (r < 0)
        return r;
    *ret_config = TAKE(config);
    return 0;
}

static int
compare_name(const void *name, const void *element)
{
    const char *const *const *entry = element; /* each begins with its name */

    return strcmp(name, **entry);
}

static const void *
find_entry(const void *list, size_t count, const char *name)
{
    const void *const *found;

    if (count == 0)
        return NULL;
    found = bsearch(name, list, count, sizeof(void *), compare_name);
    return found != NULL ? *found : NULL;
}

const struct config_database *
config_find_database(const struct config *config, const char *name)
{
    return find_entry(config->databases, config->n_databases, name);
}

const struct config_user *
config_find_user(const struct config *config, const char *name)
{
    return find_entry(config->users, config->n_users, name);
}

const struct config_auth_user *
config_find_auth_user(const struct config *config, const char *name)
{
    return find_entry(config->auth_users, config->n_auth_users, name);
}

const struct config_peer *
config_find_peer(const struct config *config, int id)
{
    for (size_t i = 0; i < config->n_peers; i++)
        if (config->peers[i]->id == id)
            return config->peers[i];
    return NULL;
}

bool
config_is_console(const char *name)
{
    return str_eq(name, "pgbouncer") || str_eq(name, "pgweir");
}
