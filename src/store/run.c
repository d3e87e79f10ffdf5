/*
 * run.c - a prepared query is given its parameters, and its rows are taken.
 */
#include "query_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- parameters ------------------------------------------------------------------------------ */

/* The number of `$n`, counted from 0; false: it is called otherwise, or there are not so many. */
bool
query_find_parameter(const struct query *query, int index, size_t count, size_t *ret_number)
{
    const char *const name = sqlite3_bind_parameter_name(query->statement, index);
    unsigned long number;
    char *end;

    if (name == NULL || *name != '$')
        return false;
    number = strtoul(name + 1, &end, 10);
    *ret_number = number - 1;
    return end != name + 1 && *end == '\0' && number >= 1 && number <= count;
}

static int
fail_at_parameter(struct query *query, int index)
{
    const char *const name = sqlite3_bind_parameter_name(query->statement, index);
    char message[100];

    (void)snprintf(message, sizeof(message), "there is no parameter %.60s",
                   name != NULL ? name : "?");
    return query_fail(query, "42P02", message, NULL, "Parameters are $1, $2 and so on.");
}

static int
bind_value(sqlite3_stmt *statement, int index, const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
    case VALUE_BYTES: /* not in a table */
        break;
    case VALUE_INTEGER:
        return sqlite3_bind_int64(statement, index, value->integer);
    case VALUE_REAL:
        return sqlite3_bind_double(statement, index, value->real);
    case VALUE_TEXT:
        return sqlite3_bind_text64(statement, index, value->text, value->len, SQLITE_TRANSIENT,
                                   SQLITE_UTF8);
    }
    return sqlite3_bind_null(statement, index);
}

static int
bind_parameters(struct query *query, const struct table *parameters)
{
    const size_t count = parameters != NULL ? table_column_count(parameters) : 0;
    const int wanted = sqlite3_bind_parameter_count(query->statement);
    size_t number;
    int code = SQLITE_OK;

    for (int i = 1; i <= wanted && code == SQLITE_OK; i++) {
        struct value value;

        if (!query_find_parameter(query, i, count, &number))
            return fail_at_parameter(query, i);
        value = table_get(parameters, 0, number);
        code = bind_value(query->statement, i, &value);
    }
    return code == SQLITE_OK ? 0 : query_fail_in_sqlite(query, code);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* A table for the result: names, and the types that are declared. */
int
query_make_result(struct query *query, size_t max, struct table **ret_result)
{
    const int count = sqlite3_column_count(query->statement);
    CLEANUP(table_free) struct table *result = NULL;
    int r = table_new("result", (size_t)count, max, &result);

    for (int i = 0; i < count && r == 0; i++) {
        const char *const name = sqlite3_column_name(query->statement, i);
        const char *const type = sqlite3_column_decltype(query->statement, i);

        r = name == NULL ? -ENOMEM
                         : table_set_column(result, (size_t)i, name, column_type_find(type));
    }
    if (r == 0)
        *ret_result = TAKE(result);
    return r;
}

static struct value
take_value(sqlite3_stmt *statement, int column)
{
    struct value value = {.kind = VALUE_NULL};

    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
        value.kind = VALUE_INTEGER;
        value.integer = sqlite3_column_int64(statement, column);
        break;
    case SQLITE_FLOAT:
        value.kind = VALUE_REAL;
        value.real = sqlite3_column_double(statement, column);
        break;
    case SQLITE_TEXT:
        value.kind = VALUE_TEXT;
        value.text = (const char *)sqlite3_column_text(statement, column);
        value.len = value.text != NULL ? strlen(value.text) : 0; /* up to a NUL, if one is in it */
        break;
    case SQLITE_BLOB:
        value.kind = VALUE_BYTES;
        value.text = sqlite3_column_blob(statement, column);
        value.len = (size_t)sqlite3_column_bytes(statement, column);
        break;
    default:
        break;
    }
    return value;
}

/* Without memory SQLite gives no bytes; it does so for no bytes at all, too. */
static bool
is_missing(const struct value *value)
{
    return value->text == NULL &&
           (value->kind == VALUE_TEXT || (value->kind == VALUE_BYTES && value->len > 0));
}

/* The row that the statement is at, and what its values tell about the types of columns. 0 or
 * -ENOMEM. */
int
query_take_row(sqlite3_stmt *statement, struct table *result, struct value *values)
{
    for (size_t i = 0; i < table_column_count(result); i++) {
        values[i] = take_value(statement, (int)i);
        if (is_missing(&values[i]))
            return -ENOMEM;
        table_set_type(result, i, column_type_widen(table_column_type(result, i), &values[i]));
    }
    return 0;
}

/* Of a column in which there is nothing but NULL, nothing is known. */
void
query_finish_types(struct table *result)
{
    for (size_t i = 0; i < table_column_count(result); i++) {
        if (table_column_type(result, i) == COLUMN_UNKNOWN)
            table_set_type(result, i, COLUMN_TEXT);
    }
}

/* ---- a run ----------------------------------------------------------------------------------- */

static int
fail_at_row(struct query *query, int error)
{
    if (error == -ENOMEM)
        return query_fail_without_memory(query);
    return query_fail(query, "54000", "the result is too large", NULL,
                      "Ask for fewer columns or rows, with WHERE or LIMIT.");
}

static int
fetch(struct query *query, struct table *result)
{
    CLEANUP(free) struct value *values = calloc(table_column_count(result), sizeof(*values));
    int code = SQLITE_ROW, r = 0;

    if (values == NULL)
        return query_fail_without_memory(query);
    while (r == 0 && (code = sqlite3_step(query->statement)) == SQLITE_ROW) {
        r = query_take_row(query->statement, result, values);
        if (r == 0)
            r = table_add(result, values);
    }
    if (r < 0)
        return fail_at_row(query, r);
    return code == SQLITE_DONE ? 0 : query_fail_in_sqlite(query, code);
}

/* The types that were told before are those of the rows, too, or all of these have a value in them.
 */
static int
keep_told(struct query *query, const struct table *columns, struct table *result)
{
    const size_t count = table_column_count(columns);

    if (count != table_column_count(result))
        return query_fail(query, "0A000", "cached plan must not change result type", NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        const enum column_type told = table_column_type(columns, i);
        const enum column_type type = table_column_type(result, i);

        if (!column_type_holds(told, type))
            return query_fail(query, "42804",
                              "a value does not fit the type that its column was told to be", NULL,
                              "CAST the column to one type for all rows.");
        table_set_type(result, i, told);
    }
    return 0;
}

static int
run(struct query *query, const struct table *parameters, const struct table *columns,
    struct table *result)
{
    int r = bind_parameters(query, parameters);

    if (r == 0)
        r = fetch(query, result);
    if (r == 0 && columns != NULL)
        r = keep_told(query, columns, result);
    query_finish_types(result);
    return r;
}

int
query_run(struct query *query, const struct table *parameters, const struct table *columns,
          struct table **ret_result)
{
    CLEANUP(table_free) struct table *result = NULL;
    int r;

    query_begin(query);
    if (query_make_result(query, query->limits.result, &result) < 0)
        return query_fail_without_memory(query);
    r = run(query, parameters, columns, result);
    if (r == 0)
        *ret_result = TAKE(result);
    return r;
}
