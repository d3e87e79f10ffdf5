/*
 * select.h - a SELECT on the console, which SQLite answers from the tables that the SHOWs are.
 *
 *     prepared on a thread of the console's executor: which tables does it name?
 *     a snapshot of the workers, if these want one; the tables are filled on the loop
 *     run on such a thread, the answer encoded
 *     delivered on the loop
 *
 * Meanwhile the session is in SESSION_SQL. When it is closed, or the statement cancelled, it lets
 * go of the select, which is freed as soon as it comes back.
 *
 * Thread: the main loop's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "cleanup.h"
#include "engine.h"
#include "executor.h"
#include "query.h"
#include "result.h"

struct select;
struct session;

/* The answer is there, the select still the caller's. Ends the session's wait. */
typedef void select_deliver_fn(struct session *session, struct select *select);

struct select {
    char *sql;  /* owned */
    char *name; /* owned: of the portal or statement that it is for; or NULL */
    select_deliver_fn *deliver;
    enum query_purpose purpose;
    bool is_simple;           /* the answer begins with the columns */
    struct formats formats;   /* of its rows */
    struct table *parameters; /* owned: one row, or to be described; NULL: none */
    struct table *told;       /* owned: what a Describe before has told; or NULL */
    /* the answer */
    struct table *columns; /* owned: without rows */
    struct buf output;     /* owned: rows and CommandComplete */
    /* select.c's own */
    struct session *session; /* borrowed; NULL: nobody waits for it any more */
    struct query *query;     /* owned */
    struct table **tables;   /* owned, its items the query's: one for each show that has columns */
    const struct show **shows; /* owned: of these */
    size_t table_count;
    struct query_constant constants[4];
    char now[80];
    struct job job;                  /* the executor's while it works */
    struct snapshot_request request; /* the engine's while it looks */
    int result;
};

/* Whether SQLite answers it: it is a SELECT, WITH or VALUES, and nothing that PgBouncer knows. */
bool select_is_query(const char *sql);
/* name may be NULL. NULL: no memory. */
struct select *select_new(const char *sql, const char *name, select_deliver_fn *deliver);
void select_free(struct select *select);
DEFINE_CLEANUP(struct select *, select_free);
/* Takes it over. Answers the session later, or with an error at once. */
void select_start(struct session *session, struct select *select);
/* By the simple protocol. */
void select_execute(struct session *session, const char *sql);
