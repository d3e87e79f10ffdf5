/*
 * query_int.h - what the files of the store share: a query, and how SQLite reaches it.
 */
#pragma once

#include <sqlite3.h>
#include <stdatomic.h>

#include "query.h"

/* A text that may be a name, a word, or a time: what is in all columns while a query is described.
 */
#define SAMPLE_TEXT "2000-01-01 00:00:00"

/* One of the tables that a query may look at. */
struct source {
    struct query *query; /* borrowed */
    struct table *table; /* owned */
    bool used;           /* the statement names it */
};

struct query {
    char *sql;   /* owned, as the next two */
    sqlite3 *db; /* NULL before it is prepared */
    sqlite3_stmt *statement;
    struct query_limits limits;
    const struct query_constant *constants; /* borrowed */
    size_t constant_count;
    enum query_purpose purpose;
    struct query_error error;
    usec_t deadline; /* of what is under way */
    bool timed_out;
    bool declaring;        /* a table of ours: SQLite takes that for a CREATE TABLE */
    atomic_bool cancelled; /* by any thread */
    size_t source_count;
    struct source sources[];
};

/* virtual.c: makes a table known to the connection. SQLITE_OK, or its error. */
int virtual_register(sqlite3 *db, struct source *source);
/* While a query is described, what stands for a parameter: then the type of what it is compared
 * with is written to *type, unless it is known. */
int virtual_bind_unknown(sqlite3_stmt *statement, int index, enum column_type *type);

/* fault.c: fills in error for what SQLite has answered with. */
void fault_of_sqlite(struct query_error *error, sqlite3 *db, int code);
/* Of our own; message and those behind are static. */
void fault_set(struct query_error *error, const char *sqlstate, const char *message,
               const char *detail, const char *hint);

/* query.c: notes why the query fails; the strings are static. Returns -EINVAL. */
int query_fail(struct query *query, const char *sqlstate, const char *message, const char *detail,
               const char *hint);
int query_fail_in_sqlite(struct query *query, int code);
int query_fail_without_memory(struct query *query);
/* The time begins that it may take. */
void query_begin(struct query *query);

/* run.c */

/* The number of `$n`, counted from 0; false: it is called otherwise, or there are not so many. */
bool query_find_parameter(const struct query *query, int index, size_t count, size_t *ret_number);
/* A table for the result: names, and the types that are declared. 0 or -ENOMEM. */
int query_make_result(struct query *query, size_t max, struct table **ret_result);
/* The row that the statement is at, and what its values tell about the types of columns. 0 or
 * -ENOMEM. */
int query_take_row(sqlite3_stmt *statement, struct table *result, struct value *values);
/* Of a column in which there is nothing but NULL, nothing is known: it is text. */
void query_finish_types(struct table *result);
