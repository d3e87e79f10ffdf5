/*
 * show_daemon.c - SHOW CONFIG, HELP, LISTS, STATE, TASKS, USERS, VERSION.
 */
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "show.h"
#include "sqlstate.h"
#include "str.h"

struct key_value {
    const char *key;
    const char *value;
};

static const struct show_column key_value_columns[] = {
    {"key", PG_TYPE_TEXT, show_get_string, offsetof(struct key_value, key)},
    {"value", PG_TYPE_TEXT, show_get_string, offsetof(struct key_value, value)},
};

/* ---- CONFIG ---------------------------------------------------------------------------------- */

static const char *
get_changeable(const void *changeable, const struct show_output *output,
               char text[static SHOW_TEXT_MAX])
{
    (void)output;
    (void)text;
    return *(const bool *)changeable ? "yes" : "no";
}

static const struct show_column config_columns[] = {
    {"key", PG_TYPE_TEXT, show_get_string, offsetof(struct config_item, key)},
    {"value", PG_TYPE_TEXT, show_get_string, offsetof(struct config_item, value)},
    {"default", PG_TYPE_TEXT, show_get_string, offsetof(struct config_item, default_value)},
    {"changeable", PG_TYPE_TEXT, get_changeable, offsetof(struct config_item, changeable)},
};

static void
config_rows(struct show_output *output)
{
    CLEANUP(config_iterator_done) struct config_iterator iterator = CONFIG_ITERATOR_INIT;
    struct config_item item;
    int r;

    while ((r = config_show(output->config, &iterator, &item)) > 0)
        show_row(output, &item);
    if (r < 0)
        output->error = r;
}

const struct show show_config = {
    .name = "CONFIG",
    .columns = config_columns,
    .column_count = ARRAY_SIZE(config_columns),
    .rows = config_rows,
};

/* ---- VERSION, STATE, HELP -------------------------------------------------------------------- */

static const struct show_column version_columns[] = {
    {"version", PG_TYPE_TEXT, show_get_chars, 0},
};

static void
version_rows(struct show_output *output)
{
    show_row(output, CONSOLE_VERSION);
}

const struct show show_version = {
    .name = "VERSION",
    .columns = version_columns,
    .column_count = ARRAY_SIZE(version_columns),
    .rows = version_rows,
};

static void
state_rows(struct show_output *output)
{
    const bool paused = engine_is_paused(output->console->engine);

    show_row(output, &(struct key_value){"active", paused ? "no" : "yes"});
    show_row(output, &(struct key_value){"paused", paused ? "yes" : "no"});
    show_row(output, &(struct key_value){"suspended", "no"}); /* there is no SUSPEND any more */
}

const struct show show_state = {
    .name = "STATE",
    .columns = key_value_columns,
    .column_count = ARRAY_SIZE(key_value_columns),
    .rows = state_rows,
};

static void
help_rows(struct show_output *output)
{
    static const char usage[] = "\n"
                                "\tSHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION\n"
                                "\tSHOW PEERS|PEER_POOLS\n"
                                "\tSHOW SOCKETS|ACTIVE_SOCKETS|LISTS|MEM|STATE\n"
                                "\tSHOW DNS_HOSTS|DNS_ZONES\n"
                                "\tSHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS\n"
                                "\tSHOW TASKS|WAITS|COLUMNS\n"
                                "\tSELECT|WITH|VALUES ...\n"
                                "\tSET key = arg\n"
                                "\tRELOAD\n"
                                "\tPAUSE [<db>]\n"
                                "\tRESUME [<db>]\n"
                                "\tDISABLE <db>\n"
                                "\tENABLE <db>\n"
                                "\tRECONNECT [<db>]\n"
                                "\tWAIT_CLOSE [<db>]\n"
                                "\tKILL [<db>]\n"
                                "\tKILL_CLIENT <client_id>\n"
                                "\tSHUTDOWN\n"
                                "\tSHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS";

    output->error = msg_notice(output->buf, "NOTICE", SQLSTATE_SUCCESSFUL_COMPLETION,
                               "Console usage", usage, NULL);
}

const struct show show_help = {.name = "HELP", .rows = help_rows};

/* ---- TASKS ----------------------------------------------------------------------------------- */

static const char *
get_task_state(const void *cancelling, const struct show_output *output,
               char text[static SHOW_TEXT_MAX])
{
    (void)output;
    (void)text;
    return *(const bool *)cancelling ? "cancelling" : "running";
}

static const char *
get_remaining(const void *remaining, const struct show_output *output,
              char text[static SHOW_TEXT_MAX])
{
    if (*(const usec_t *)remaining == USEC_NEVER)
        return NULL;
    return show_get_uint64(remaining, output, text);
}

static const struct show_column task_columns[] = {
    {"name", PG_TYPE_TEXT, show_get_chars, offsetof(struct task_row, name)},
    {"owner", PG_TYPE_TEXT, show_get_chars, offsetof(struct task_row, owner)},
    {"task_group", PG_TYPE_TEXT, show_get_chars, offsetof(struct task_row, group)},
    {"thread", PG_TYPE_TEXT, show_get_chars, offsetof(struct task_row, thread)},
    {"state", PG_TYPE_TEXT, get_task_state, offsetof(struct task_row, cancelling)},
    {"age_us", PG_TYPE_INT8, show_get_uint64, offsetof(struct task_row, age)},
    {"remaining_us", PG_TYPE_INT8, get_remaining, offsetof(struct task_row, remaining)},
};

static void
task_rows(struct show_output *output)
{
    for (size_t i = 0; i < output->snapshot->task_count; i++)
        show_row(output, &output->snapshot->tasks[i]);
}

const struct show show_tasks = {
    .name = "TASKS",
    .snapshot = SNAPSHOT_TASKS,
    .columns = task_columns,
    .column_count = ARRAY_SIZE(task_columns),
    .rows = task_rows,
};

/* ---- USERS ----------------------------------------------------------------------------------- */

struct user_line {
    const char *name;
    const struct config_user *entry; /* of [users], or NULL */
    unsigned servers, clients;
};

/* Names of auth_file, of [users], and of who has come otherwise: each sorted, each name once. */
struct user_walk {
    const struct config *config;
    const struct snapshot *snapshot;
    size_t next_auth, next_user, next_row;
};

/* The first of two names; NULL is none. */
static const char *
first_name(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return a != NULL ? a : b;
    return strcmp(a, b) <= 0 ? a : b;
}

static bool
next_user(struct user_walk *walk, struct user_line *ret_line)
{
    const struct config *const config = walk->config;
    const struct snapshot *const snapshot = walk->snapshot;
    const char *const auth_name =
        walk->next_auth < config->n_auth_users ? config->auth_users[walk->next_auth]->name : NULL;
    const struct config_user *const user =
        walk->next_user < config->n_users ? config->users[walk->next_user] : NULL;
    const struct user_row *const row =
        walk->next_row < snapshot->user_count ? &snapshot->users[walk->next_row] : NULL;
    struct user_line line = {.name = first_name(auth_name, user != NULL ? user->name : NULL)};

    line.name = first_name(line.name, row != NULL ? row->name : NULL);
    if (line.name == NULL)
        return false;
    if (auth_name != NULL && str_eq(auth_name, line.name))
        walk->next_auth++;
    if (user != NULL && str_eq(user->name, line.name)) {
        walk->next_user++;
        line.entry = user;
    }
    if (row != NULL && str_eq(row->name, line.name)) {
        walk->next_row++;
        line.servers = row->servers;
        line.clients = row->clients;
    }
    *ret_line = line;
    return true;
}

static const char *
get_user_name(const void *row, const struct show_output *output, char text[static SHOW_TEXT_MAX])
{
    (void)output;
    (void)text;
    return ((const struct user_line *)row)->name;
}

/* A number of the [users] entry; NULL where it says nothing. */
static const char *
format_entry(int value, char text[static SHOW_TEXT_MAX])
{
    if (value == CONFIG_UNSET)
        return NULL;
    snprintf(text, SHOW_TEXT_MAX, "%d", value);
    return text;
}

static const char *
get_user_pool_size(const void *row, const struct show_output *output,
                   char text[static SHOW_TEXT_MAX])
{
    const struct config_user *entry = ((const struct user_line *)row)->entry;

    (void)output;
    return format_entry(entry != NULL ? entry->pool_size : CONFIG_UNSET, text);
}

static const char *
get_user_reserve(const void *row, const struct show_output *output, char text[static SHOW_TEXT_MAX])
{
    const struct config_user *entry = ((const struct user_line *)row)->entry;

    (void)output;
    return format_entry(entry != NULL ? entry->reserve_pool_size : CONFIG_UNSET, text);
}

static const char *
get_user_pool_mode(const void *row, const struct show_output *output,
                   char text[static SHOW_TEXT_MAX])
{
    const struct config_user *entry = ((const struct user_line *)row)->entry;

    (void)output;
    (void)text;
    if (entry == NULL || entry->pool_mode == CONFIG_UNSET)
        return NULL;
    return pool_mode_name((enum pool_mode)entry->pool_mode);
}

static const char *
get_user_max_servers(const void *row, const struct show_output *output,
                     char text[static SHOW_TEXT_MAX])
{
    const struct config_user *entry = ((const struct user_line *)row)->entry;

    return format_entry(config_max_user_connections(output->config, entry), text);
}

static const char *
get_user_max_clients(const void *row, const struct show_output *output,
                     char text[static SHOW_TEXT_MAX])
{
    const struct config_user *entry = ((const struct user_line *)row)->entry;

    return format_entry(config_max_user_client_connections(output->config, entry), text);
}

static const struct show_column user_columns[] = {
    {"name", PG_TYPE_TEXT, get_user_name, 0},
    {"pool_size", PG_TYPE_TEXT, get_user_pool_size, 0},
    {"reserve_pool_size", PG_TYPE_TEXT, get_user_reserve, 0},
    {"pool_mode", PG_TYPE_TEXT, get_user_pool_mode, 0},
    {"max_user_connections", PG_TYPE_INT4, get_user_max_servers, 0},
    {"current_connections", PG_TYPE_INT4, show_get_unsigned, offsetof(struct user_line, servers)},
    {"max_user_client_connections", PG_TYPE_INT4, get_user_max_clients, 0},
    {"current_client_connections", PG_TYPE_INT4, show_get_unsigned,
     offsetof(struct user_line, clients)},
};

static void
user_rows(struct show_output *output)
{
    struct user_walk walk = {.config = output->config, .snapshot = output->snapshot};
    struct user_line line;

    while (next_user(&walk, &line))
        show_row(output, &line);
}

const struct show show_users = {
    .name = "USERS",
    .snapshot = SNAPSHOT_USERS,
    .columns = user_columns,
    .column_count = ARRAY_SIZE(user_columns),
    .rows = user_rows,
};

/* ---- LISTS ----------------------------------------------------------------------------------- */

struct list_row {
    const char *name;
    unsigned items;
};

static const struct show_column list_columns[] = {
    {"list", PG_TYPE_TEXT, show_get_string, offsetof(struct list_row, name)},
    {"items", PG_TYPE_INT4, show_get_unsigned, offsetof(struct list_row, items)},
};

static unsigned
count_users(const struct show_output *output)
{
    struct user_walk walk = {.config = output->config, .snapshot = output->snapshot};
    struct user_line line;
    unsigned count = 0;

    while (next_user(&walk, &line))
        count++;
    return count;
}

static unsigned
count_logged_in(const struct snapshot *snapshot)
{
    unsigned count = 0;

    for (size_t i = 0; i < snapshot->pool_count; i++)
        count += snapshot->pools[i].cl_active + snapshot->pools[i].cl_waiting;
    return MIN(count, snapshot->clients);
}

/* The console's database, pool and sessions count; what we have nothing of is 0. */
static void
list_rows(struct show_output *output)
{
    const struct snapshot *snapshot = output->snapshot;
    const unsigned logged_in = count_logged_in(snapshot);
    const struct list_row rows[] = {
        {"databases", (unsigned)snapshot->database_count + 1},
        {"users", count_users(output)},
        {"peers", (unsigned)output->config->n_peers},
        {"pools", (unsigned)snapshot->pool_count + 1},
        {"peer_pools", (unsigned)output->config->n_peers},
        {"free_clients", 0},
        {"used_clients", logged_in + (unsigned)list_count(&output->console->sessions)},
        {"login_clients", snapshot->clients - logged_in},
        {"free_servers", 0},
        {"used_servers", snapshot->servers},
        {"dns_names", 0},
        {"dns_zones", 0},
        {"dns_queries", 0},
        {"dns_pending", 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        show_row(output, &rows[i]);
}

const struct show show_lists = {
    .name = "LISTS",
    .snapshot = SNAPSHOT_POOLS | SNAPSHOT_DATABASES | SNAPSHOT_USERS,
    .columns = list_columns,
    .column_count = ARRAY_SIZE(list_columns),
    .rows = list_rows,
};
