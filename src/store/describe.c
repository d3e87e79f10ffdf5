/*
 * describe.c - what columns a query will have, and of what types its parameters are.
 *
 * A column of a table has a type that SQLite tells; an expression has one when it has a value. So
 * the query runs, on tables of one row each that fulfils all conditions (virtual.c), and is given
 * for each parameter what tells where it is compared with a column.
 */
#include "query_int.h"

#include <stdlib.h>

/* Of the result; more would tell no more. */
#define ROWS_OF_DESCRIPTION 16

struct description {
    struct query *query;
    struct table *result;
    struct value *values;
    enum column_type *types; /* of the parameters */
    size_t count;
    enum column_type guess; /* what those of unknown type are; unknown: what tells it */
    size_t missing;         /* the one that is NULL; count: none */
};

/* -1 is no LIMIT, and no OFFSET. */
static int
bind_sample(sqlite3_stmt *statement, int index, enum column_type type)
{
    if (type == COLUMN_TEXT)
        return sqlite3_bind_text(statement, index, SAMPLE_TEXT, -1, SQLITE_STATIC);
    if (type == COLUMN_FLOAT8)
        return sqlite3_bind_double(statement, index, 1.0);
    return sqlite3_bind_int(statement, index, -1);
}

static int
bind_described(const struct description *description, int index, size_t number)
{
    sqlite3_stmt *const statement = description->query->statement;
    enum column_type type = description->types[number];

    if (number == description->missing)
        return sqlite3_bind_null(statement, index);
    if (type == COLUMN_UNKNOWN)
        type = description->guess;
    if (type == COLUMN_UNKNOWN)
        return virtual_bind_unknown(statement, index, &description->types[number]);
    return bind_sample(statement, index, type);
}

/* A parameter that there is not is refused when it is to have a value. */
static int
bind_description(const struct description *description)
{
    const int wanted = sqlite3_bind_parameter_count(description->query->statement);
    size_t number;
    int code = SQLITE_OK;

    (void)sqlite3_reset(description->query->statement);
    for (int i = 1; i <= wanted && code == SQLITE_OK; i++) {
        if (query_find_parameter(description->query, i, description->count, &number))
            code = bind_described(description, i, number);
    }
    return code;
}

/* A few rows; or why there are none. */
static int
step_description(struct description *description)
{
    sqlite3_stmt *const statement = description->query->statement;
    int code = SQLITE_ROW;

    for (int i = 0; i < ROWS_OF_DESCRIPTION && code == SQLITE_ROW; i++) {
        code = sqlite3_step(statement);
        if (code == SQLITE_ROW &&
            query_take_row(statement, description->result, description->values) < 0)
            code = SQLITE_NOMEM;
    }
    return code;
}

static int
try_description(struct description *description, enum column_type guess, size_t missing)
{
    int code;

    description->guess = guess;
    description->missing = missing;
    code = bind_description(description);
    return code == SQLITE_OK ? step_description(description) : code;
}

/* LIMIT $1: what the statement cannot do with if it is NULL has to be an integer. */
static int
find_integers(struct description *description)
{
    int code = SQLITE_OK;

    for (size_t i = 0; i < description->count && code != SQLITE_INTERRUPT; i++) {
        if (description->types[i] != COLUMN_UNKNOWN)
            continue;
        code = try_description(description, COLUMN_INT8, i);
        if (code == SQLITE_MISMATCH)
            description->types[i] = COLUMN_INT8;
    }
    return try_description(description, COLUMN_UNKNOWN, description->count);
}

static bool
knows_all_columns(const struct table *result)
{
    for (size_t i = 0; i < table_column_count(result); i++) {
        if (table_column_type(result, i) == COLUMN_UNKNOWN)
            return false;
    }
    return true;
}

/*
 * With NULL for what is unknown there may be no rows: then with a text. An error that only some
 * rows lead to is told when there are such rows.
 */
static int
run_description(struct description *description)
{
    int code = try_description(description, COLUMN_UNKNOWN, description->count);

    if (code == SQLITE_MISMATCH)
        code = find_integers(description);
    if (!knows_all_columns(description->result) && description->count > 0 &&
        code != SQLITE_INTERRUPT && code != SQLITE_NOMEM)
        code = try_description(description, COLUMN_TEXT, description->count);
    if (code == SQLITE_INTERRUPT || code == SQLITE_NOMEM)
        return query_fail_in_sqlite(description->query, code);
    (void)sqlite3_reset(description->query->statement);
    return 0;
}

static int
describe(struct query *query, struct table *parameters, struct table *result)
{
    const size_t count = parameters != NULL ? table_column_count(parameters) : 0;
    CLEANUP(free) enum column_type *types = calloc(count + 1, sizeof(*types));
    CLEANUP(free) struct value *values = calloc(table_column_count(result), sizeof(*values));
    struct description description = {
        .query = query, .result = result, .values = values, .types = types, .count = count};
    int r;

    if (types == NULL || values == NULL)
        return query_fail_without_memory(query);
    for (size_t i = 0; i < count; i++)
        types[i] = table_column_type(parameters, i);
    r = run_description(&description);
    for (size_t i = 0; i < count && r == 0; i++)
        table_set_type(parameters, i, types[i]);
    return r;
}

int
query_describe(struct query *query, struct table *parameters, struct table **ret_columns)
{
    CLEANUP(table_free) struct table *result = NULL;
    int r;

    query_begin(query);
    if (query_make_result(query, 0, &result) < 0)
        return query_fail_without_memory(query);
    r = describe(query, parameters, result);
    if (r < 0)
        return r;
    query_finish_types(result);
    *ret_columns = TAKE(result);
    return 0;
}
