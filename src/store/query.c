#include "query_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "macros.h"
#include "str.h"

/* How many steps of SQLite's machine there are between two looks at the clock. */
#define STEPS_BETWEEN_LOOKS 1000

/* What a statement may be like; SQLite's own limits are meant for whom one trusts. */
static const struct {
    int what;
    int value;
} limits[] = {
    {SQLITE_LIMIT_LENGTH, 512 << 10}, /* of a value: some functions look at it for long */
    {SQLITE_LIMIT_SQL_LENGTH, 128 << 10},     {SQLITE_LIMIT_EXPR_DEPTH, 200},
    {SQLITE_LIMIT_COMPOUND_SELECT, 100},      {SQLITE_LIMIT_VDBE_OP, 1000000},
    {SQLITE_LIMIT_FUNCTION_ARG, 100},         {SQLITE_LIMIT_ATTACHED, 0},
    {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000}, {SQLITE_LIMIT_VARIABLE_NUMBER, 1000},
    {SQLITE_LIMIT_TRIGGER_DEPTH, 1},          {SQLITE_LIMIT_WORKER_THREADS, 0},
};

void
query_limit_memory(int64_t bytes)
{
    (void)sqlite3_hard_heap_limit64(bytes);
}

/* ---- the beginning and the end --------------------------------------------------------------- */

int
query_new(const char *sql, struct table *const *tables, size_t table_count,
          const struct query_limits *query_limits, struct query **ret_query)
{
    CLEANUP(query_free) struct query *query = NULL;

    query = calloc(1, sizeof(*query) + table_count * sizeof(query->sources[0]));
    if (query == NULL) {
        for (size_t i = 0; i < table_count; i++)
            table_free(tables[i]);
        return -ENOMEM;
    }
    query->source_count = table_count;
    for (size_t i = 0; i < table_count; i++)
        query->sources[i] = (struct source){.query = query, .table = tables[i]};
    query->limits = *query_limits;
    if (str_set(&query->sql, sql) < 0)
        return -ENOMEM;
    *ret_query = TAKE(query);
    return 0;
}

void
query_close(struct query *query)
{
    sqlite3_finalize(TAKE(query->statement));
    sqlite3_close(TAKE(query->db));
    for (size_t i = 0; i < query->source_count; i++)
        table_free(TAKE(query->sources[i].table));
}

void
query_free(struct query *query)
{
    if (query == NULL)
        return;
    query_close(query);
    free(query->sql);
    free(query);
}

void
query_set_constants(struct query *query, const struct query_constant *constants, size_t count)
{
    query->constants = constants;
    query->constant_count = count;
}

bool
query_uses(const struct query *query, size_t table)
{
    return query->sources[table].used;
}

const struct query_error *
query_error(const struct query *query)
{
    return &query->error;
}

void
query_cancel(struct query *query)
{
    atomic_store(&query->cancelled, true);
}

/* ---- faults ---------------------------------------------------------------------------------- */

int
query_fail(struct query *query, const char *sqlstate, const char *message, const char *detail,
           const char *hint)
{
    fault_set(&query->error, sqlstate, message, detail, hint);
    return -EINVAL;
}

int
query_fail_in_sqlite(struct query *query, int code)
{
    if (code == SQLITE_INTERRUPT && query->timed_out)
        return query_fail(query, "57014", "canceling statement due to statement timeout",
                          "A SELECT on the console may not take longer.", NULL);
    if (code == SQLITE_INTERRUPT)
        return query_fail(query, "57014", "canceling statement due to user request", NULL, NULL);
    fault_of_sqlite(&query->error, query->db, code);
    return -EINVAL;
}

int
query_fail_without_memory(struct query *query)
{
    return query_fail(query, "53200", "out of memory", NULL, NULL);
}

/* ---- preparing ------------------------------------------------------------------------------- */

/* It reads, and calls functions that are pure. */
static int
authorize(void *arg, int action, const char *first, const char *second, const char *database,
          const char *trigger)
{
    const struct query *const query = arg;

    (void)database;
    (void)trigger;
    if (query->declaring)
        return SQLITE_OK;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    case SQLITE_READ: /* a table's column */
        return str_starts_with(first, "sqlite_") ? SQLITE_DENY : SQLITE_OK;
    case SQLITE_FUNCTION:
        return str_ieq(second, "load_extension") ? SQLITE_DENY : SQLITE_OK;
    default:
        return SQLITE_DENY;
    }
}

/* Not 0: the statement is to end. */
static int
on_progress(void *arg)
{
    struct query *const query = arg;

    query->timed_out = clock_now() > query->deadline;
    return query->timed_out || atomic_load(&query->cancelled);
}

void
query_begin(struct query *query)
{
    query->deadline = usec_add(clock_now(), query->limits.time);
    query->timed_out = false;
}

static void
call_constant(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const struct query_constant *const constant = sqlite3_user_data(context);
    const struct value *const value = &constant->value;

    (void)argc;
    (void)argv;
    if (value->kind == VALUE_INTEGER)
        sqlite3_result_int64(context, value->integer);
    else if (value->kind == VALUE_TEXT)
        sqlite3_result_text64(context, value->text, value->len, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static int
register_all(struct query *query)
{
    int code = SQLITE_OK;

    for (size_t i = 0; i < query->source_count && code == SQLITE_OK; i++)
        code = virtual_register(query->db, &query->sources[i]);
    for (size_t i = 0; i < query->constant_count && code == SQLITE_OK; i++)
        code = sqlite3_create_function(query->db, query->constants[i].name, 0,
                                       SQLITE_UTF8 | SQLITE_DETERMINISTIC,
                                       (void *)&query->constants[i], call_constant, NULL, NULL);
    return code;
}

/* A database of no tables, in memory, which nothing leads out of. */
static int
open_database(struct query *query)
{
    int code = sqlite3_open_v2(":memory:", &query->db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY |
                                   SQLITE_OPEN_NOMUTEX,
                               NULL);

    if (code == SQLITE_OK)
        code = sqlite3_exec(query->db, "PRAGMA temp_store = MEMORY", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = register_all(query);
    if (code != SQLITE_OK)
        return code;
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
        (void)sqlite3_limit(query->db, limits[i].what, limits[i].value);
    (void)sqlite3_limit(query->db, SQLITE_LIMIT_COLUMN, (int)query->limits.columns);
    sqlite3_progress_handler(query->db, STEPS_BETWEEN_LOOKS, on_progress, query);
    return sqlite3_set_authorizer(query->db, authorize, query);
}

/* Behind the statement: another one? */
static bool
has_more(struct query *query, const char *tail)
{
    while (*tail != '\0') {
        sqlite3_stmt *next = NULL;
        const int code = sqlite3_prepare_v2(query->db, tail, -1, &next, &tail);

        sqlite3_finalize(next);
        if (code != SQLITE_OK || next != NULL) /* NULL: blanks, a comment or a semicolon */
            return true;
    }
    return false;
}

int
query_prepare(struct query *query, enum query_purpose purpose)
{
    const char *tail;
    int code;

    query->purpose = purpose;
    query_begin(query);
    code = open_database(query);
    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(query->db, query->sql, -1, &query->statement, &tail);
    if (code != SQLITE_OK)
        return query_fail_in_sqlite(query, code);
    if (query->statement == NULL || !sqlite3_stmt_readonly(query->statement))
        return query_fail(query, "42501", "not authorized", NULL, NULL);
    if (has_more(query, tail))
        return query_fail(query, "42601", "there is more than one statement", NULL,
                          "Send one SELECT at a time.");
    return 0;
}
