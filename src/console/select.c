#include "select.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "build.h"
#include "console_int.h"
#include "driver.h"
#include "show.h"
#include "statement.h"
#include "str.h"

static const struct query_limits limits = {
    .time = 30 * SEC,
    .result = 64 << 20,
    .columns = RESULT_COLUMNS_MAX,
};

/* ---- what it is ------------------------------------------------------------------------------ */

static bool
begins_with(const char *sql, const char *word)
{
    const size_t len = strlen(word);

    return strncasecmp(sql, word, len) == 0 && !statement_is_word(sql[len]);
}

/* SELECT POOLS is PgBouncer's way to say SHOW POOLS. */
static bool
is_show(const char *sql)
{
    struct statement statement;

    return statement_parse(sql, &statement) == STATEMENT_OK &&
           str_ieq(statement.command, "select") && show_find(statement.arg) != NULL;
}

bool
select_is_query(const char *sql)
{
    const char *const start = statement_skip(sql);
    struct driver_answer answer;

    return (begins_with(start, "select") || begins_with(start, "with") ||
            begins_with(start, "values")) &&
           !is_show(sql) && !driver_find(sql, &answer);
}

/* ---- from the beginning to the end ----------------------------------------------------------- */

struct select *
select_new(const char *sql, const char *name, select_deliver_fn *deliver)
{
    CLEANUP(select_free) struct select *select = calloc(1, sizeof(*select));

    if (select == NULL || str_set(&select->sql, sql) < 0 ||
        (name != NULL && str_set(&select->name, name) < 0))
        return NULL;
    select->deliver = deliver;
    return TAKE(select);
}

void
select_free(struct select *select)
{
    if (select == NULL)
        return;
    query_free(select->query);
    table_free(select->parameters);
    table_free(select->told);
    table_free(select->columns);
    buf_done(&select->output);
    free(select->tables);
    free(select->shows);
    free(select->sql);
    free(select->name);
    free(select);
}

/* The session waits no more. */
static struct session *
leave_session(struct select *select)
{
    struct session *const session = TAKE(select->session);

    session->select = NULL;
    return session;
}

static void
fail(struct select *select, const char *sqlstate, const char *message, const char *hint)
{
    session_fault(leave_session(select), sqlstate, message, NULL, hint);
    select_free(select);
}

static void
fail_without_memory(struct select *select)
{
    session_no_memory(leave_session(select));
    select_free(select);
}

static void
fail_with_query(struct select *select)
{
    const struct query_error *const error = query_error(select->query);

    session_fault(leave_session(select), error->sqlstate, error->message, error->detail,
                  error->hint);
    select_free(select);
}

static void
deliver(struct select *select)
{
    select->deliver(leave_session(select), select);
    select_free(select);
}

void
select_give_up(struct session *session)
{
    struct select *const select = TAKE(session->select);

    if (select == NULL)
        return;
    select->session = NULL;
    query_cancel(select->query);
}

static void
submit(struct select *select, void (*run)(struct job *job),
       void (*done)(struct job *job, bool cancelled))
{
    struct console *const console = select->session->console;

    select->job.run = run;
    select->job.done = done;
    if (executor_submit(console->executor, console->loop, &select->job) < 0)
        fail(select, SQLSTATE_INSUFFICIENT_RESOURCES, "too many SELECTs at a time on the console",
             "Try again when others have their answers.");
}

/* Whether it came back to somebody, and well; if not, it is gone now. */
static bool
came_back(struct select *select, bool cancelled)
{
    if (select->session == NULL)
        select_free(select);
    else if (cancelled)
        fail(select, SQLSTATE_ADMIN_SHUTDOWN, "pooler is shutting down", NULL);
    else if (select->result == -ENOMEM)
        fail_without_memory(select);
    else if (select->result < 0)
        fail_with_query(select);
    else
        return true;
    return false;
}

/* ---- running --------------------------------------------------------------------------------- */

/* What is left of the result when its rows are encoded are its columns. */
static int
encode(struct select *select, struct table *result)
{
    struct buf *const output = &select->output;
    char tag[40];
    int r = 0;

    (void)snprintf(tag, sizeof(tag), "SELECT %zu", table_row_count(result));
    if (select->is_simple)
        r = result_describe_table(output, result, &select->formats);
    if (r == 0)
        r = result_table(output, result, &select->formats);
    if (r == 0)
        r = msg_command_complete(output, tag);
    table_clear(result);
    return r < 0 ? -ENOMEM : 0;
}

/* On the executor. */
static void
run_query(struct job *job)
{
    struct select *const select = container_of(job, struct select, job);
    int r = query_run(select->query, select->parameters, select->told, &select->columns);

    query_close(select->query);
    if (r == 0)
        r = encode(select, select->columns);
    select->result = r;
}

static void
query_ran(struct job *job, bool cancelled)
{
    struct select *const select = container_of(job, struct select, job);

    if (came_back(select, cancelled))
        deliver(select);
}

/* ---- the tables ------------------------------------------------------------------------------ */

static int
fill_tables(struct select *select, struct snapshot *snapshot)
{
    int r = 0;

    for (size_t i = 0; i < select->table_count && r == 0; i++) {
        if (query_uses(select->query, i))
            r = show_fill_table(select->session->console, select->shows[i], snapshot,
                                select->tables[i]);
    }
    return r;
}

static void
fill_and_run(struct select *select, struct snapshot *snapshot)
{
    if (fill_tables(select, snapshot) < 0)
        fail_without_memory(select);
    else
        submit(select, run_query, query_ran);
}

static void
got_snapshot(struct snapshot_request *request, struct snapshot *snapshot)
{
    struct select *const select = container_of(request, struct select, request);

    if (select->session == NULL)
        select_free(select);
    else if (snapshot == NULL || snapshot->incomplete)
        fail_without_memory(select);
    else
        fill_and_run(select, snapshot);
    snapshot_free(snapshot);
}

static void
ask_for_rows(struct select *select)
{
    unsigned what = 0;

    for (size_t i = 0; i < select->table_count; i++) {
        if (query_uses(select->query, i))
            what |= select->shows[i]->snapshot;
    }
    if (what == 0) {
        fill_and_run(select, NULL);
        return;
    }
    select->request.what = what;
    select->request.done = got_snapshot;
    engine_snapshot(select->session->console->engine, &select->request);
}

/* ---- preparing ------------------------------------------------------------------------------- */

/* On the executor. */
static void
prepare_query(struct job *job)
{
    struct select *const select = container_of(job, struct select, job);
    int r = query_prepare(select->query, select->purpose);

    if (r == 0 && select->purpose == QUERY_DESCRIBE)
        r = query_describe(select->query, select->parameters, &select->columns);
    if (r < 0 || select->purpose == QUERY_DESCRIBE)
        query_close(select->query);
    select->result = r;
}

static void
query_is_prepared(struct job *job, bool cancelled)
{
    struct select *const select = container_of(job, struct select, job);

    if (!came_back(select, cancelled))
        return;
    if (select->purpose == QUERY_DESCRIBE)
        deliver(select);
    else
        ask_for_rows(select);
}

static int
make_tables(struct select *select, const struct config *config)
{
    const struct show *show;
    size_t count = 1;
    int r = 0;

    while (show_at(count) != NULL)
        count++;
    select->tables = calloc(count, sizeof(struct table *));
    select->shows = calloc(count, sizeof(struct show *));
    if (select->tables == NULL || select->shows == NULL)
        return -ENOMEM;
    for (size_t i = 0; (show = show_at(i)) != NULL && r == 0; i++) {
        if (show->column_count == 0)
            continue;
        r = show_make_table(config, show, &select->tables[select->table_count]);
        if (r == 0)
            select->shows[select->table_count++] = show;
    }
    return r;
}

static struct value
text_value(const char *text)
{
    return (struct value){.kind = VALUE_TEXT, .text = text, .len = strlen(text)};
}

/* What programs ask PostgreSQL about, and is easily said. */
static void
set_constants(struct select *select, const struct session *session)
{
    struct query_constant *const constants = select->constants;

    constants[0] = (struct query_constant){"version", text_value(CONSOLE_VERSION)};
    constants[1] = (struct query_constant){"current_database", text_value("pgbouncer")};
    constants[2] = (struct query_constant){"pg_backend_pid",
                                           {.kind = VALUE_INTEGER, .integer = session->cancel_pid}};
    constants[3] = (struct query_constant){
        "now", text_value(show_get_time(&session->request_time, NULL, select->now))};
    query_set_constants(select->query, constants, ARRAY_SIZE(select->constants));
}

static int
make_query(struct select *select, const struct session *session)
{
    int r = make_tables(select, engine_config(session->console->engine));

    if (r < 0) {
        for (size_t i = 0; i < select->table_count; i++)
            table_free(select->tables[i]);
        return r;
    }
    r = query_new(select->sql, select->tables, select->table_count, &limits, &select->query);
    if (r == 0)
        set_constants(select, session);
    return r;
}

void
select_start(struct session *session, struct select *select)
{
    if (session->status == READY_FAILED_TRANSACTION) {
        select_free(select);
        command_refuse_in_failed_transaction(session);
    } else if (make_query(select, session) < 0) {
        select_free(select);
        session_no_memory(session);
    } else {
        select->session = session;
        session->select = select;
        session_wait(session, SESSION_SQL);
        submit(select, prepare_query, query_is_prepared);
    }
}

/* ---- the simple protocol --------------------------------------------------------------------- */

static void
answer_simple(struct session *session, struct select *select)
{
    buf_done(&session->output);
    session->output = select->output;
    buf_init(&select->output);
    session_ready(session);
}

void
select_execute(struct session *session, const char *sql)
{
    struct select *const select = select_new(sql, NULL, answer_simple);

    if (select == NULL) {
        session_no_memory(session);
        return;
    }
    select->is_simple = true;
    select_start(session, select);
}
