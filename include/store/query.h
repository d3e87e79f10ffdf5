/*
 * query.h - one SELECT of SQLite's dialect, over tables that somebody fills.
 *
 *     query_new       with the tables that there are, all of them empty
 *     query_prepare   says which of them the text uses (query_uses)
 *     table_add...    fills those
 *     query_run       gives the rows; or query_describe, without rows, what columns there will be
 *     query_close
 *
 * It can do nothing but read these tables: neither files nor other databases, and it is ended when
 * it takes too long, too much memory, or is cancelled.
 *
 * Thread: one at a time, any; prepare, describe, run and close may take long, so never on a loop.
 * Only query_cancel may be called meanwhile, from any thread. Errors: -EINVAL, and query_error
 * tells more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "table.h"
#include "usec.h"

struct query;

/* Why a query has failed. sqlstate, detail and hint are static; the latter two may be NULL. */
struct query_error {
    const char *sqlstate;
    char message[512];
    const char *detail;
    const char *hint;
};

struct query_limits {
    usec_t time;      /* of a describe or run */
    size_t result;    /* bytes of its rows */
    unsigned columns; /* of the result */
};

/* A function without arguments that gives always the same, such as version(). All borrowed. */
struct query_constant {
    const char *name;
    struct value value;
};

/* What all queries of the process may have at a time, in bytes. Once, before the first. */
void query_limit_memory(int64_t bytes);

/*
 * Takes the tables over (not the array), also on failure. sql is copied. 0 or -ENOMEM.
 */
int query_new(const char *sql, struct table *const *tables, size_t table_count,
              const struct query_limits *limits, struct query **ret_query);
/* The end of SQLite's part, and of the tables; query_error is still there. Takes a while, too. */
void query_close(struct query *query);
/* On any thread; not while it is prepared or run. */
void query_free(struct query *query);
DEFINE_CLEANUP(struct query *, query_free);

/* constants outlive the query. */
void query_set_constants(struct query *query, const struct query_constant *constants, size_t count);
/* As for query_describe and query_run, which follow it: for these the plan is made. */
enum query_purpose { QUERY_RUN, QUERY_DESCRIBE };
int query_prepare(struct query *query, enum query_purpose purpose);
bool query_uses(const struct query *query, size_t table);
/*
 * Columns of the result, which do not depend on any rows: where they are not declared, the query is
 * run on tables of one row, for which all conditions hold. parameters (borrowed, as many columns as
 * there are parameters; NULL: none) says what is known of their types, and learns those of which
 * this is seen. *ret_columns is a table without rows.
 */
int query_describe(struct query *query, struct table *parameters, struct table **ret_columns);
/*
 * All rows. parameters has one row, or is NULL. columns: what query_describe has told before (rows
 * that differ are an error), NULL: types are found out by the rows.
 */
int query_run(struct query *query, const struct table *parameters, const struct table *columns,
              struct table **ret_result);
const struct query_error *query_error(const struct query *query);
/* It ends soon, if it runs; if it does not yet, it will not. */
void query_cancel(struct query *query);
