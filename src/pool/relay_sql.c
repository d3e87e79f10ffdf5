/*
 * relay_sql.c - prepared statements by SQL: PREPARE, EXECUTE and DEALLOCATE mean what the messages
 * of the protocol mean, and share their names.
 *
 *     PREPARE x, new      PREPARE pgweir_..., behind a Close if the server has that
 *     PREPARE x, in use   the same of what the server has: it fails (42P05)
 *     EXECUTE x           EXECUTE pgweir_..., which is made ahead if the server lacks it; so too in
 *                         EXPLAIN and CREATE TABLE AS
 *     DEALLOCATE x        DEALLOCATE of something that is made ahead, since others use x
 *
 * What goes ahead of a Query are messages of the extended protocol. If one of them fails, the
 * server passes over the Query, too, and its client gets the error and the answer to a Sync. So
 * until they are done, nothing is sent behind that Query.
 *
 * In a Parse without a name such a command does nothing yet: it is rewritten and remembered, and
 * takes effect with the Execute.
 *
 * What is not recognised (several commands in one text, say) goes as it is. A statement that the
 * server has got in this way is a stranger: names reach it until the end of the transaction, and
 * before the server is anybody else's it forgets all that it has.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "build.h"
#include "cleanup.h"
#include "client.h"
#include "pg.h"
#include "prepared.h"
#include "relay_int.h"
#include "relay_statement_int.h"
#include "requests.h"
#include "server.h"
#include "settings.h"
#include "sql.h"
#include "statement.h"
#include "str.h"

/* What the unnamed statement does when it is executed. */
struct plan {
    enum sql_effect effect;      /* SQL_EXECUTES: it uses what nobody has */
    struct statement *statement; /* a reference, of SQL_PREPARES */
    bool is_bound;               /* it is the unnamed portal, too */
    char name[SQL_WORD_MAX];
};

void
relay_forget_plan(struct server *server)
{
    if (likely(server->plan == NULL))
        return;
    statement_unref(server->plan->statement);
    free(server->plan);
    server->plan = NULL;
}

/* Statement is a reference that it takes over, also on failure; or NULL. */
static int
relay_plan(struct server *server, enum sql_effect effect, const char *name,
           struct statement *statement)
{
    struct plan *const plan = calloc(1, sizeof *plan);

    if (plan == NULL) {
        statement_unref(statement);
        return -ENOMEM;
    }
    plan->effect = effect;
    plan->statement = statement;
    (void)str_copy(plan->name, sizeof plan->name, name);
    server->plan = plan;
    return 0;
}

void
relay_plan_bind(struct server *server, const char *portal, const char *statement)
{
    if (*portal == '\0')
        server->plan->is_bound = *statement == '\0';
}

/* How the client's server reads its texts. */
static struct sql_dialect
relay_dialect(const struct settings *settings)
{
    static const char *const opaque[] = {"BIG5",           "GB18030", "GBK", "JOHAB",
                                         "SHIFT_JIS_2004", "SJIS",    "UHC"};
    const char *const strings = settings_get(settings, "standard_conforming_strings");
    const char *const encoding = settings_get(settings, "client_encoding");
    struct sql_dialect dialect = {.escapes = strings != NULL && str_eq(strings, "off")};

    for (size_t i = 0; i < ARRAY_SIZE(opaque) && encoding != NULL; i++)
        dialect.opaque = dialect.opaque || str_ieq(encoding, opaque[i]);
    return dialect;
}

static struct name_at
relay_token(const struct sql_command *command)
{
    return (struct name_at){command->name_start, (size_t)(command->name_end - command->name_start)};
}

/* ---- DEALLOCATE -------------------------------------------------------------------------------
 */

/* The name of a statement that is there only to be deallocated. */
#define GONE STATEMENT_PREFIX "gone"

/* In a failed transaction it may have stayed, so first a Close. */
static int
relay_send_gone(const struct mapping *m)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    const struct prepared_change close = {.adds = false};
    const struct prepared_change parse = {.barriers = relay_barriers(m)};
    struct msg msg;
    int r;

    r = relay_send_close(m, GONE, sizeof GONE - 1, REQUEST_QUIET, &close);
    if (r == 0)
        r = prepared_push(&m->server->requests, FRONTEND_PARSE, REQUEST_QUIET, &parse);
    if (r < 0)
        return r;
    msg_begin(&msg, &message, FRONTEND_PARSE);
    msg_put_str(&msg, GONE);
    msg_put_str(&msg, ""); /* can be parsed in a failed transaction, too */
    msg_put_int16(&msg, 0);
    r = msg_end(&msg);
    if (r == 0)
        relay_send(m, message.data, message.len);
    return r;
}

/* The Query, or the Execute of what was planned: the server deallocates something else. */
static enum mapped
relay_deallocate(const struct mapping *m, struct name_at at, struct prepared_name *name)
{
    const struct prepared_change change = {.names = m->client->names, .name = name};

    relay_leave_span(m);
    if (relay_send_gone(m) < 0 ||
        prepared_push(&m->server->requests, *m->data, REQUEST_FORWARD, &change) < 0)
        return MAPPED_FAILED;
    relay_send_renamed(m, at, GONE, sizeof GONE - 1);
    return MAPPED_SENT;
}

static enum mapped
relay_plan_deallocate(const struct mapping *m, const struct sql_command *command)
{
    relay_leave_span(m);
    if (relay_plan(m->server, command->effect, command->name, NULL) < 0 || relay_push(m) < 0)
        return MAPPED_FAILED;
    relay_send_renamed(m, relay_token(command), GONE, sizeof GONE - 1);
    return MAPPED_SENT;
}

static enum mapped
relay_map_deallocate(const struct mapping *m, const struct sql_command *command)
{
    const size_t len = strlen(command->name);
    struct prepared_name *const name = prepared_find(m->client->names, command->name, len);
    const enum prepared_state state = prepared_name_state(name, &m->server->requests);

    if (*m->data == FRONTEND_PARSE && (state != PREPARED_NOT || m->server->strangers == 0))
        return relay_plan_deallocate(m, command);
    switch (state) {
    case PREPARED_IS:
        return relay_deallocate(m, relay_token(command), name);
    case PREPARED_UNSURE:
        return MAPPED_WAIT;
    default:
        return relay_map_unknown(m, relay_token(command), command->name, len);
    }
}

/* What may forget anything: what comes behind it waits for its answer. */
static enum mapped
relay_map_barrier(const struct mapping *m, const struct sql_command *command)
{
    if (*m->data == FRONTEND_PARSE)
        return relay_plan(m->server, command->effect, "", NULL) < 0 ? MAPPED_FAILED
                                                                    : MAPPED_NOTHING;
    return relay_send_barrier(m);
}

enum mapped
relay_send_barrier(const struct mapping *m)
{
    relay_leave_span(m);
    if (prepared_push_barrier(&m->server->requests, *m->data, &m->server->barriers) < 0)
        return MAPPED_FAILED;
    relay_send(m, m->data, m->avail);
    return MAPPED_SENT;
}

/* ---- PREPARE and EXECUTE ----------------------------------------------------------------------
 */

static int
relay_prepared_by(const struct mapping *m, const struct sql_command *command,
                  struct statement **ret_statement)
{
    return statement_get(m->client->settings, STATEMENT_SQL, command->name_end,
                         (size_t)(command->end - command->name_end), ret_statement);
}

static enum mapped
relay_plan_prepare(const struct mapping *m, const struct sql_command *command,
                   struct statement *statement)
{
    const struct name_at at = relay_token(command);
    const char *text;
    size_t len;

    relay_leave_span(m);
    if (relay_plan(m->server, command->effect, command->name, statement_ref(statement)) < 0 ||
        relay_push(m) < 0)
        return MAPPED_FAILED;
    text = statement_name(statement, &len);
    relay_send_renamed(m, at, text, len);
    return MAPPED_SENT;
}

static enum mapped
relay_map_prepare(const struct mapping *m, const struct sql_command *command)
{
    struct statement *statement;
    enum mapped mapped;

    if (relay_prepared_by(m, command, &statement) < 0)
        return MAPPED_FAILED;
    mapped = *m->data == FRONTEND_QUERY
                 ? relay_map_definition(m, relay_token(command), command->name,
                                        strlen(command->name), statement)
                 : relay_plan_prepare(m, command, statement);
    statement_unref(statement);
    return mapped;
}

static enum mapped
relay_map_execution(const struct mapping *m, const struct sql_command *command)
{
    return relay_map_reference(m, relay_token(command), command->name, strlen(command->name));
}

/* ---- all of them ------------------------------------------------------------------------------
 */

static enum mapped (*const effects[])(const struct mapping *m,
                                      const struct sql_command *command) = {
    [SQL_NOTHING] = NULL,
    [SQL_PREPARES] = relay_map_prepare,
    [SQL_EXECUTES] = relay_map_execution,
    [SQL_FORGETS] = relay_map_deallocate,
    [SQL_FORGETS_MORE] = relay_map_barrier,
};

static bool
relay_is_command(const struct mapping *m, const char *text, struct sql_command *ret_command)
{
    struct sql_dialect dialect;

    if (!sql_may_matter(text))
        return false;
    dialect = relay_dialect(m->client->settings);
    sql_recognise(text, &dialect, ret_command);
    return effects[ret_command->effect] != NULL;
}

/* Whether a Query holds several commands, any of which may do what is not seen here. */
static bool
relay_is_several(const struct mapping *m, const char *text)
{
    const char *const end = m->data + m->avail - 1;
    const char *const more = memchr(text, ';', (size_t)(end - text));

    return more != NULL && more[strspn(more, "; \t\r\n")] != '\0';
}

/* A text that goes as it is. */
static enum mapped
relay_map_as_is(const struct mapping *m, const char *text, bool is_command)
{
    if (*m->data == FRONTEND_QUERY)
        return relay_is_several(m, text) || sql_resets(text) ? relay_send_barrier(m)
                                                             : MAPPED_NOTHING;
    if (!is_command)
        return relay_map_unnamed_parse(m, text);
    return relay_push(m) < 0 ? MAPPED_FAILED : MAPPED_ENTERED;
}

enum mapped
relay_map_sql(const struct mapping *m, const char *text)
{
    struct sql_command command;
    bool is_command;
    enum mapped mapped;

    relay_forget_plan(m->server);
    if (m->avail <= PG_HEADER_SIZE || m->avail != m->len ||
        memchr(text, '\0', (size_t)(m->data + m->avail - text)) == NULL)
        return MAPPED_NOTHING;
    if (sql_may_alter(text))
        m->server->is_altered = true;
    if (*m->data == FRONTEND_QUERY && relay_forget_unnamed(m) < 0)
        return MAPPED_FAILED;
    is_command = relay_is_command(m, text, &command);
    mapped = is_command ? effects[command.effect](m, &command) : MAPPED_NOTHING;
    return mapped == MAPPED_NOTHING ? relay_map_as_is(m, text, is_command) : mapped;
}

enum mapped
relay_plan_unknown(const struct mapping *m, struct name_at at, const char *name)
{
    size_t len;
    const char *const nowhere = statement_nowhere(&len);

    relay_leave_span(m);
    if (relay_plan(m->server, SQL_EXECUTES, name, NULL) < 0 || relay_push(m) < 0)
        return MAPPED_FAILED;
    relay_send_renamed(m, at, nowhere, len);
    return MAPPED_SENT;
}

static enum mapped
relay_execute_unknown(const struct mapping *m, const struct plan *plan)
{
    relay_leave_span(m);
    if (prepared_push_refused(&m->server->requests, *m->data, REFUSED_NAME, plan->name,
                              strlen(plan->name)) < 0)
        return MAPPED_FAILED;
    relay_send(m, m->data, m->avail);
    return MAPPED_SENT;
}

static enum mapped
relay_execute_barrier(const struct mapping *m, const struct plan *plan)
{
    (void)plan;
    return relay_send_barrier(m);
}

static enum mapped
relay_execute_prepare(const struct mapping *m, const struct plan *plan)
{
    const struct name_at nowhere = {NULL, 0};

    return relay_map_definition(m, nowhere, plan->name, strlen(plan->name), plan->statement);
}

/* The server deallocates what it was told to when that was planned; by now the name may be free. */
static enum mapped
relay_execute_deallocate(const struct mapping *m, const struct plan *plan)
{
    const struct prepared_change nothing = {.adds = false};
    const struct name_at nowhere = {NULL, 0};
    const size_t len = strlen(plan->name);
    struct prepared_name *const name = prepared_find(m->client->names, plan->name, len);

    switch (prepared_name_state(name, &m->server->requests)) {
    case PREPARED_IS:
        return relay_deallocate(m, nowhere, name);
    case PREPARED_UNSURE:
        return MAPPED_WAIT;
    default:
        /* In a failed transaction it may have stayed. */
        relay_leave_span(m);
        if (relay_send_close(m, GONE, sizeof GONE - 1, REQUEST_QUIET, &nothing) < 0)
            return MAPPED_FAILED;
        return relay_execute_unknown(m, plan);
    }
}

static enum mapped (*const executions[])(const struct mapping *m, const struct plan *plan) = {
    [SQL_PREPARES] = relay_execute_prepare,
    [SQL_EXECUTES] = relay_execute_unknown,
    [SQL_FORGETS] = relay_execute_deallocate,
    [SQL_FORGETS_MORE] = relay_execute_barrier,
};

enum mapped
relay_map_execute(const struct mapping *m)
{
    const struct plan *const plan = m->server->plan;

    if (plan == NULL || !plan->is_bound || m->avail != m->len || m->avail <= PG_HEADER_SIZE ||
        m->data[PG_HEADER_SIZE] != '\0')
        return MAPPED_NOTHING;
    return executions[plan->effect](m, plan);
}
