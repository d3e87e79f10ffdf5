/*
 * From files to a configuration: reads all of it, complains about all of it, and gives it away only
 * when nothing is wrong.
 */
#include "config_int.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "str.h"
#include "units.h"

struct load {
    struct config *config; /* owned; under construction */
    struct ini ini;
    struct place *places; /* owned; for each row of option_table where it was set */
    struct entries databases, users, peers;
    const struct section *section; /* that keys belong to now */
    struct config_errors *errors;  /* borrowed, as the next */
    struct config_errors *notes;   /* NULL: nothing is to be explained */
};

struct section {
    const char *name;
    int (*key)(struct load *load, const struct place *place, const char *name, char *value);
};

/* ---- entries ---- */

static void
free_database(void *object)
{
    config_database_free(object);
}

static void
free_user(void *object)
{
    config_user_free(object);
}

static void
free_peer(void *object)
{
    config_peer_free(object);
}

/* ---- keys ---- */

static int
complain_key(const struct option_table *table, const char *where, const char *key,
             const struct place *place, struct config_errors *errors)
{
    const char *nearest = option_nearest(table, key);

    if (nearest == NULL)
        errors_add(errors, place, "%sunknown key \"%s\"", where, key);
    else
        errors_add(errors, place, "%sunknown key \"%s\"; did you mean \"%s\"?", where, key,
                   nearest);
    return -EINVAL;
}

int
config_set_key(const struct option_table *table, const char *where, const char *key,
               const char *value, void *object, const struct place *place,
               struct config_errors *errors, const struct option **ret_row)
{
    CLEANUP(buf_done) struct buf why = BUF_INIT;
    const struct option *row = option_find(table, key);
    int r;

    *ret_row = row;
    if (row == NULL)
        return complain_key(table, where, key, place, errors);
    r = option_parse(row, value, object, &why);
    if (r == -EINVAL)
        errors_add(errors, place, "%s%s: %s", where, key, buf_str(&why));
    return r;
}

/* A bad value is in the list of errors; only the end of memory ends the load. */
static int
go_on(int r)
{
    return r == -ENOMEM ? r : 0;
}

static int
general_key(struct load *load, const struct place *place, const char *name, char *value)
{
    const struct option *row;
    const int r =
        config_set_key(&option_table, "", name, value, load->config, place, load->errors, &row);

    if (row != NULL)
        load->places[row - option_table.rows] = *place;
    return go_on(r);
}

/* The list of key=value behind the name of an entry. */
static int
parse_pairs(struct load *load, const struct option_table *table, const char *kind, const char *name,
            char *text, void *object, const struct place *place)
{
    CLEANUP(buf_done) struct buf where = BUF_INIT;
    const struct option *row;
    const char *key;
    char *value;
    int r, found;

    if (buf_printf(&where, "%s \"%s\": ", kind, name) < 0)
        return -ENOMEM;
    while ((found = pairs_next(&text, &key, &value)) > 0) {
        r = config_set_key(table, buf_str(&where), key, value, object, place, load->errors, &row);
        if (r == -ENOMEM)
            return r;
        if (r == 0 && load->notes != NULL)
            config_explain_pair(table, row, buf_str(&where), value, place, load->notes);
    }
    if (found < 0)
        errors_add(load->errors, place, "%s%s", buf_str(&where), key);
    return 0;
}

static bool
is_name_good(struct load *load, const char *kind, const char *name, size_t max,
             const struct place *place)
{
    if (*name != '\0' && strlen(name) <= max)
        return true;
    errors_add(load->errors, place, "a %s name has 1 to %zu bytes", kind, max);
    return false;
}

static int
database_key(struct load *load, const struct place *place, const char *name, char *value)
{
    CLEANUP(config_database_free) struct config_database *db = NULL;
    int r;

    if (!is_name_good(load, "database", name, DATABASE_NAME_MAX, place))
        return 0;
    if (config_is_console(name)) {
        errors_add(load->errors, place, "database name \"%s\" is reserved", name);
        return 0;
    }
    db = config_database_new(name);
    if (db == NULL)
        return -ENOMEM;
    r = parse_pairs(load, &database_table, "database", name, value, db, place);
    if (r < 0)
        return r;
    if (db->dbname == NULL && !str_eq(name, "*") && (db->dbname = strdup(name)) == NULL)
        return -ENOMEM;
    return entries_add(&load->databases, TAKE(db), place);
}

static int
user_key(struct load *load, const struct place *place, const char *name, char *value)
{
    CLEANUP(config_user_free) struct config_user *user = NULL;
    int r;

    if (!is_name_good(load, "user", name, USER_NAME_MAX, place))
        return 0;
    user = config_user_new(name);
    if (user == NULL)
        return -ENOMEM;
    r = parse_pairs(load, &user_table, "user", name, value, user, place);
    if (r < 0)
        return r;
    return entries_add(&load->users, TAKE(user), place);
}

/* Entries are told apart by their names, so a number has one spelling. */
static bool
is_peer_id(const char *name, int *ret_id)
{
    int64_t id;

    if (units_parse_int(name, &id) < 0 || id < 1 || id > PEER_ID_MAX || *name < '1' || *name > '9')
        return false;
    *ret_id = (int)id;
    return true;
}

static int
peer_key(struct load *load, const struct place *place, const char *name, char *value)
{
    CLEANUP(config_peer_free) struct config_peer *peer = config_peer_new(name);
    int r;

    if (peer == NULL)
        return -ENOMEM;
    if (!is_peer_id(name, &peer->id)) {
        errors_add(load->errors, place, "peer \"%s\": its name is its peer_id, 1 to %d", name,
                   PEER_ID_MAX);
        return 0;
    }
    r = parse_pairs(load, &peer_table, "peer", name, value, peer, place);
    if (r < 0)
        return r;
    if (peer->host == NULL) {
        errors_add(load->errors, place, "peer \"%s\": host= is missing", name);
        return 0;
    }
    return entries_add(&load->peers, TAKE(peer), place);
}

/* ---- sections ---- */

static int
homeless_key(struct load *load, const struct place *place, const char *name, char *value)
{
    (void)value;
    errors_add(load->errors, place, "\"%s\" stands before the first [section]", name);
    return 0;
}

static int
skipped_key(struct load *load, const struct place *place, const char *name, char *value)
{
    (void)load;
    (void)place;
    (void)name;
    (void)value;
    return 0;
}

static const struct section no_section = {"", homeless_key};
static const struct section unknown_section = {"", skipped_key}; /* it was one error already */
static const struct section sections[] = {
    {"databases", database_key},
    {"peers", peer_key},
    {"pgbouncer", general_key},
    {"users", user_key},
};

static void
complain_section(struct load *load, const struct place *place, const char *name)
{
    struct nearest nearest;

    nearest_init(&nearest, name);
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
        nearest_offer(&nearest, sections[i].name);
    if (nearest.name == NULL)
        errors_add(load->errors, place, "unknown section [%s]", name);
    else
        errors_add(load->errors, place, "unknown section [%s]; did you mean [%s]?", name,
                   nearest.name);
}

static int
load_section(void *arg, const struct place *place, const char *name)
{
    struct load *load = arg;

    for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
        if (str_eq(name, sections[i].name)) {
            load->section = &sections[i];
            return 0;
        }
    }
    load->section = &unknown_section;
    complain_section(load, place, name);
    return 0;
}

static int
load_key(void *arg, const struct place *place, const char *name, char *value)
{
    struct load *load = arg;

    return load->section->key(load, place, name, value);
}

static const struct ini_handler handler = {load_section, load_key};

/* ---- a whole load ---- */

static int
load_init(struct load *load, const char *path, struct config_errors *errors,
          struct config_errors *notes)
{
    load->errors = errors;
    load->notes = notes;
    load->section = &no_section;
    load->databases.free = free_database;
    load->users.free = free_user;
    load->peers.free = free_peer;
    load->ini = (struct ini){.handler = &handler, .arg = load, .errors = errors};
    load->config = config_new();
    load->places = calloc(option_table.count, sizeof(*load->places));
    if (load->config == NULL || load->places == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < option_table.count; i++)
        load->places[i].file = path;
    return str_set(&load->config->conffile, path);
}

static void
load_done(struct load *load)
{
    entries_done(&load->databases);
    entries_done(&load->users);
    entries_done(&load->peers);
    ini_done(&load->ini);
    free(load->places);
    config_unref(load->config);
}
DEFINE_CLEANUP_IN_PLACE(struct load, load_done);

/* The entry "*" is no database, but the template of some. */
static void
take_autodb(struct load *load)
{
    struct entries *databases = &load->databases;

    for (size_t i = 0; i < databases->count; i++) {
        if (!str_eq(entry_name(&databases->list[i]), "*"))
            continue;
        load->config->autodb = databases->list[i].object;
        databases->count--;
        memmove(&databases->list[i], &databases->list[i + 1],
                (databases->count - i) * sizeof(struct entry));
        return;
    }
}

static int
load_entries(struct load *load)
{
    struct config *config = load->config;

    entries_sort(&load->databases);
    entries_sort(&load->users);
    entries_sort(&load->peers);
    for (size_t i = 0; i < load->databases.count; i++)
        config_check_database(config, load->databases.list[i].object,
                              &load->databases.list[i].place, load->errors);
    take_autodb(load);
    config->databases = entries_take(&load->databases, &config->n_databases);
    config->users = entries_take(&load->users, &config->n_users);
    config->peers = entries_take(&load->peers, &config->n_peers);
    if (config->databases == NULL || config->users == NULL || config->peers == NULL)
        return -ENOMEM;
    return 0;
}

/* What cannot change while the daemon runs stays as it is in running, with a warning. */
static int
keep_running_values(struct load *load, const struct config *running)
{
    int r = 0;

    for (size_t i = 0; i < option_table.count && r == 0; i++) {
        const struct option *row = &option_table.rows[i];

        if (row->reload != RELOAD_RESTART || option_equal(row, running, load->config))
            continue;
        errors_warn(load->errors, &load->places[i], "%s keeps its value until a restart",
                    row->name);
        r = option_copy(row, running, load->config);
    }
    return r;
}

/* running is NULL at the start; notes may be NULL. */
static int
load_file(const char *path, const struct config *running, struct config_errors *errors,
          struct config_errors *notes, struct config **ret_config)
{
    CLEANUP(load_done) struct load load = {0};
    int r;

    r = load_init(&load, path, errors, notes);
    if (r == 0)
        r = ini_parse(&load.ini, path);
    if (r == 0)
        r = config_read_files(load.config, load.places, errors);
    if (r == 0)
        r = load_entries(&load);
    if (r < 0)
        return r;
    config_check_listen(load.config, load.places, errors);
    config_check(load.config, load.places, errors);
    if (notes != NULL)
        config_explain_keys(load.config, load.places, notes);
    if (running != NULL)
        r = keep_running_values(&load, running);
    if (r < 0 || errors->out_of_memory)
        return -ENOMEM;
    if (config_errors_fatal(errors))
        return -EINVAL;
    *ret_config = TAKE(load.config);
    return 0;
}

int
config_load(const char *path, struct config_errors *errors, struct config **ret_config)
{
    return load_file(path, NULL, errors, NULL, ret_config);
}

int
config_explain(const char *path, struct config_errors *errors, struct config_errors *notes,
               struct config **ret_config)
{
    return load_file(path, NULL, errors, notes, ret_config);
}

int
config_reload(const struct config *running, struct config_errors *errors,
              struct config **ret_config)
{
    return load_file(running->conffile, running, errors, NULL, ret_config);
}

/* As after a reload, but what was strange before is no news. */
static int
check_again(const struct config *config, const struct place *places, struct config_errors *errors)
{
    CLEANUP(config_errors_done) struct config_errors found = CONFIG_ERRORS_INIT;

    config_check(config, places, &found);
    for (size_t i = 0; i < found.count; i++)
        if (!found.list[i].is_warning)
            errors_add(errors, NULL, "%s", found.list[i].message);
    if (found.out_of_memory || errors->out_of_memory)
        return -ENOMEM;
    return config_errors_fatal(&found) ? -EINVAL : 0;
}

/* A key that says which files there are, or how to read them, lets them be read anew. */
static int
finish_set(struct config *config, const struct option *row, struct config_errors *errors)
{
    CLEANUP(free) struct place *places = calloc(option_table.count, sizeof(*places));
    const size_t before = errors->count - errors->warnings;
    int r = 0;

    if (places == NULL)
        return -ENOMEM;
    if (row->reads_files)
        r = config_read_files(config, places, errors);
    if (r == 0)
        r = check_again(config, places, errors);
    if (r == 0 && errors->count - errors->warnings > before)
        r = -EINVAL;
    return r;
}

int
config_set(const struct config *old, const char *key, const char *value,
           struct config_errors *errors, struct config **ret_config)
{
    CLEANUP(config_unref) struct config *config = NULL;
    const struct option *row = NULL;
    int r;

    r = config_copy(old, &config);
    if (r == 0)
        r = config_set_key(&option_table, "", key, value, config, NULL, errors, &row);
    if (r < 0)
        return r;
    assert(row != NULL);
    if (row->reload == RELOAD_RESTART) {
        errors_warn(errors, NULL, "%s keeps its value until a restart", row->name);
        r = option_copy(row, old, config);
    } else {
        r = finish_set(config, row, errors);
    }
    if (r < 0)
        return r;
    *ret_config = TAKE(config);
    return 0;
}
