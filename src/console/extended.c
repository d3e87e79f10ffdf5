/*
 * extended.c - the extended protocol on the console: statements with parameters, portals, results
 * in either format, and errors up to the Sync.
 *
 * A parameter stands where an argument or a value stands: SHOW $1, SET key = $1, KILL_CLIENT $1. A
 * Bind writes it into the text, quoted; so what is executed is always a text without parameters.
 *
 * A SELECT is SQLite's, parameters and all. It runs when it is bound: then its columns are known,
 * and an Execute only sends what is there.
 */
#include "console_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "build.h"
#include "clock.h"
#include "parameter.h"
#include "portal.h"
#include "reader.h"
#include "result.h"
#include "select.h"
#include "sqlstate.h"
#include "statement.h"
#include "table.h"

/* Of a statement, parameters included; a query may be as long as a message. */
#define TEXT_MAX 4096

/* ---- what is common to all ------------------------------------------------------------------- */

void
extended_forget_portals(struct session *session)
{
    struct portal *portal;

    session->portal = NULL;
    LIST_FOREACH_SAFE (portal, &session->portals, link)
        portal_free(portal);
}

void
extended_forget(struct session *session)
{
    struct parsed *parsed;

    extended_forget_portals(session);
    LIST_FOREACH_SAFE (parsed, &session->prepared, link)
        parsed_free(parsed);
}

static void
broken(struct session *session, const char *what)
{
    session_error(session, "broken %s packet", what);
}

/* A fault of the client that PostgreSQL has a SQLSTATE and words for: what "name" how. */
static void
fault(struct session *session, const char *sqlstate, const char *what, const char *name,
      const char *how)
{
    char message[200];

    (void)snprintf(message, sizeof(message), "%s \"%.100s\" %s", what, name, how);
    session_error_state(session, sqlstate, message, NULL);
}

static void
no_prepared(struct session *session, const char *name)
{
    fault(session, SQLSTATE_UNDEFINED_STATEMENT, "prepared statement", name, "does not exist");
}

static void
no_portal(struct session *session, const char *name)
{
    fault(session, SQLSTATE_UNDEFINED_PORTAL, "portal", name, "does not exist");
}

/* Sends one message without a body; the session goes on. */
static void
answer(struct session *session, char type)
{
    struct msg msg;

    msg_begin(&msg, &session->output, type);
    if (msg_end(&msg) < 0)
        session_no_memory(session);
    else
        session_go_on(session);
}

/* ---- Parse ----------------------------------------------------------------------------------- */

static void
on_parse(struct session *session, struct reader *reader)
{
    const char *const name = read_string(reader);
    const char *const sql = read_string(reader);
    const unsigned type_count = read_int16(reader);
    const unsigned param_count = parameter_count(sql);
    const bool is_query = select_is_query(sql);
    struct parsed *parsed;

    if (*name == '\0')
        parsed_free(parsed_find(session, ""));
    if (reader->is_broken)
        broken(session, "Parse");
    else if (type_count > PARAMETERS_MAX || param_count > PARAMETERS_MAX ||
             (strlen(sql) > TEXT_MAX && !is_query))
        session_error(session, "bad arguments");
    else if (parsed_find(session, name) != NULL)
        fault(session, SQLSTATE_DUPLICATE_STATEMENT, "prepared statement", name, "already exists");
    else if (list_count(&session->prepared) >= PORTAL_NAMES_MAX)
        session_error_state(session, SQLSTATE_LIMIT_EXCEEDED, "too many prepared statements", NULL);
    else if ((parsed = parsed_new(name, sql)) == NULL)
        session_no_memory(session);
    else {
        list_push_back(&session->prepared, &parsed->link);
        parsed->is_query = is_query;
        parsed->param_count = MAX(param_count, type_count);
        for (unsigned i = 0; i < type_count; i++)
            parsed->types[i] = read_int32(reader);
        if (read_all(reader)) {
            answer(session, BACKEND_PARSE_COMPLETE);
            return;
        }
        parsed_free(parsed);
        broken(session, "Parse");
    }
}

/* ---- Bind ------------------------------------------------------------------------------------ */

/* Format codes: none, one for all, or one each. */
static bool
read_formats(struct reader *reader, uint16_t codes[static RESULT_COLUMNS_MAX], uint16_t *ret_count)
{
    const uint16_t count = read_int16(reader);

    if (count > RESULT_COLUMNS_MAX)
        return false;
    for (uint16_t i = 0; i < count; i++) {
        codes[i] = read_int16(reader);
        if (codes[i] > 1)
            return false;
    }
    *ret_count = count;
    return !reader->is_broken;
}

/* False: they do not fit the statement, or the message is broken. */
static bool
read_parameters(struct reader *reader, const struct parsed *parsed,
                struct parameter parameters[static PARAMETERS_MAX])
{
    uint16_t codes[RESULT_COLUMNS_MAX], format_count = 0, count;

    if (!read_formats(reader, codes, &format_count))
        return false;
    count = read_int16(reader);
    if (count != parsed->param_count || (format_count > 1 && format_count != count))
        return false;
    for (uint16_t i = 0; i < count; i++) {
        const uint32_t len = read_int32(reader);

        parameters[i].format = format_count == 0 ? 0 : codes[format_count == 1 ? 0 : i];
        parameters[i].len = len == UINT32_MAX ? 0 : len;
        parameters[i].data = len == UINT32_MAX ? NULL : read_bytes(reader, len);
    }
    return !reader->is_broken;
}

static bool
read_result_formats(struct reader *reader, struct formats *formats)
{
    return read_formats(reader, formats->codes, &formats->count) && read_all(reader);
}

static bool
has_null(const struct parsed *parsed, const struct parameter *parameters)
{
    for (unsigned i = 0; i < parsed->param_count; i++) {
        if (parameters[i].data == NULL)
            return true;
    }
    return false;
}

/* One format for each column that there will be, unless one or none is enough. */
static bool
formats_fit(const struct session *session, const char *sql, const struct formats *formats)
{
    struct msg_column columns[RESULT_COLUMNS_MAX];

    return formats->count <= 1 || formats->count == command_describe(session, sql, columns);
}

/* An unnamed portal gives way; of another name there must be none. */
static bool
can_open_portal(struct session *session, const char *name)
{
    if (*name == '\0')
        portal_free(portal_find(session, ""));
    if (portal_find(session, name) != NULL)
        fault(session, SQLSTATE_DUPLICATE_PORTAL, "portal", name, "already exists");
    else if (list_count(&session->portals) >= PORTAL_NAMES_MAX)
        session_error_state(session, SQLSTATE_LIMIT_EXCEEDED, "too many portals", NULL);
    else
        return true;
    return false;
}

static void
open_portal(struct session *session, const char *name, const char *sql,
            const struct formats *formats)
{
    struct portal *portal;

    if (!can_open_portal(session, name))
        return;
    if (!formats_fit(session, sql, formats)) {
        broken(session, "Bind");
        return;
    }
    portal = portal_new(name, sql, formats);
    if (portal == NULL) {
        session_no_memory(session);
        return;
    }
    list_push_back(&session->portals, &portal->link);
    answer(session, BACKEND_BIND_COMPLETE);
}

/* With the parameters in the text. */
static void
bind_text(struct session *session, const char *name, const struct parsed *parsed,
          const struct parameter *parameters, const struct formats *formats)
{
    CLEANUP(buf_done) struct buf sql = BUF_INIT;
    int r;

    if (has_null(parsed, parameters)) {
        session_error_state(session, SQLSTATE_NULL_NOT_ALLOWED,
                            "a parameter of the console cannot be NULL", NULL);
        return;
    }
    r = parameter_put_all(&sql, parsed->sql, parameters, parsed->types, TEXT_MAX);
    if (r == -EINVAL)
        session_error(session, "bad arguments");
    else if (r < 0)
        session_no_memory(session);
    else
        open_portal(session, name, buf_str(&sql), formats);
}

/* The rows are there: now there is a portal that has them. */
static void
query_is_bound(struct session *session, struct select *select)
{
    const size_t formats = select->formats.count;
    struct portal *portal;

    if (formats > 1 && formats != table_column_count(select->columns)) {
        broken(session, "Bind");
        return;
    }
    if (portal_is_too_much_rest(session, select->output.len)) {
        session_error_state(session, SQLSTATE_LIMIT_EXCEEDED, "too many rows in portals", NULL);
        return;
    }
    portal = portal_new(select->name, "", &select->formats);
    if (portal == NULL) {
        session_no_memory(session);
        return;
    }
    portal->executed = true;
    portal->columns = TAKE(select->columns);
    portal->rest = select->output;
    buf_init(&select->output);
    list_push_back(&session->portals, &portal->link);
    answer(session, BACKEND_BIND_COMPLETE);
}

/* A query runs now; an Execute has its rows only to send. */
static void
bind_query(struct session *session, const char *name, const struct parsed *parsed,
           const struct parameter *parameters, const struct formats *formats)
{
    CLEANUP(table_free) struct table *row = NULL;
    CLEANUP(table_free) struct table *told = NULL;
    struct select *select = NULL;
    int r;

    if (!can_open_portal(session, name))
        return;
    session_begin(session, parsed->sql);
    r = parameter_row(parameters, parsed->types, parsed->param_count, &row);
    if (r == -EINVAL) {
        session_error(session, "bad arguments");
        return;
    }
    if (r == 0 && parsed->columns != NULL)
        r = table_copy_columns(parsed->columns, &told);
    if (r == 0)
        select = select_new(parsed->sql, name, query_is_bound);
    if (select == NULL) {
        session_no_memory(session);
        return;
    }
    select->parameters = TAKE(row);
    select->told = TAKE(told);
    select->formats = *formats;
    select_start(session, select);
}

static void
on_bind(struct session *session, struct reader *reader)
{
    const char *const portal = read_string(reader);
    const char *const name = read_string(reader);
    const struct parsed *const parsed = parsed_find(session, name);
    struct parameter parameters[PARAMETERS_MAX] = {{0}};
    struct formats formats = {0};

    if (parsed == NULL)
        no_prepared(session, name);
    else if (!read_parameters(reader, parsed, parameters) || !read_result_formats(reader, &formats))
        broken(session, "Bind");
    else if (parsed->is_query)
        bind_query(session, portal, parsed, parameters, &formats);
    else
        bind_text(session, portal, parsed, parameters, &formats);
}

/* ---- Describe, Close ------------------------------------------------------------------------- */

static int
put_parameter_types(struct buf *output, const struct parsed *parsed)
{
    struct msg msg;

    msg_begin(&msg, output, BACKEND_PARAMETER_DESCRIPTION);
    msg_put_int16(&msg, (uint16_t)parsed->param_count);
    for (unsigned i = 0; i < parsed->param_count; i++)
        msg_put_int32(&msg,
                      parsed->types[i] != PARAMETER_UNKNOWN ? parsed->types[i] : PG_TYPE_TEXT);
    return msg_end(&msg);
}

/* Sends what there will be of rows. */
static void
answer_columns(struct session *session, const char *sql, const struct formats *formats)
{
    struct msg_column columns[RESULT_COLUMNS_MAX];
    const size_t count = command_describe(session, sql, columns);

    if (count == 0)
        answer(session, BACKEND_NO_DATA);
    else if (result_describe(&session->output, columns, count, formats) < 0)
        session_no_memory(session);
    else
        session_go_on(session);
}

/* The same of a query. */
static void
answer_query_columns(struct session *session, const struct table *columns,
                     const struct formats *formats)
{
    if (result_describe_table(&session->output, columns, formats) < 0)
        session_no_memory(session);
    else
        session_go_on(session);
}

/* Which columns SHOW $1 has is known when a Bind has told what to show. */
static bool
has_open_columns(const struct parsed *parsed)
{
    return parsed->param_count > 0 && !parsed->is_query &&
           strncasecmp(statement_skip(parsed->sql), "show", 4) == 0;
}

static void
answer_prepared(struct session *session, const struct parsed *parsed)
{
    if (put_parameter_types(&session->output, parsed) < 0)
        session_no_memory(session);
    else if (parsed->columns != NULL)
        answer_query_columns(session, parsed->columns, NULL);
    else
        answer_columns(session, parsed->sql, NULL);
}

/* What was learned of the query stays with it. */
static void
query_is_described(struct session *session, struct select *select)
{
    struct parsed *const parsed = parsed_find(session, select->name);

    parsed->columns = TAKE(select->columns);
    for (unsigned i = 0; i < parsed->param_count; i++) {
        if (parsed->types[i] == PARAMETER_UNKNOWN)
            parsed->types[i] = result_type(table_column_type(select->parameters, i));
    }
    answer_prepared(session, parsed);
}

static void
describe_query(struct session *session, const struct parsed *parsed)
{
    CLEANUP(table_free) struct table *parameters = NULL;
    struct select *select = NULL;

    if (table_new("parameters", parsed->param_count, 0, &parameters) == 0)
        select = select_new(parsed->sql, parsed->name, query_is_described);
    if (select == NULL) {
        session_no_memory(session);
        return;
    }
    for (unsigned i = 0; i < parsed->param_count; i++)
        table_set_type(parameters, i, result_column_type(parsed->types[i]));
    select->parameters = TAKE(parameters);
    select->purpose = QUERY_DESCRIBE;
    select_start(session, select);
}

static void
describe_prepared(struct session *session, const char *name)
{
    const struct parsed *const parsed = parsed_find(session, name);

    if (parsed == NULL)
        no_prepared(session, name);
    else if (has_open_columns(parsed))
        session_error_state(session, SQLSTATE_INDETERMINATE_DATATYPE,
                            "columns that depend on a parameter cannot be described", NULL);
    else if (parsed->is_query && parsed->columns == NULL)
        describe_query(session, parsed);
    else
        answer_prepared(session, parsed);
}

static void
describe_portal(struct session *session, const char *name)
{
    const struct portal *const portal = portal_find(session, name);

    if (portal == NULL)
        no_portal(session, name);
    else if (portal->columns != NULL)
        answer_query_columns(session, portal->columns, &portal->formats);
    else
        answer_columns(session, portal->sql, &portal->formats);
}

static void
on_describe(struct session *session, struct reader *reader)
{
    const char *const what = read_bytes(reader, 1);
    const char *const name = read_string(reader);

    if (read_all(reader) && *what == 'S')
        describe_prepared(session, name);
    else if (read_all(reader) && *what == 'P')
        describe_portal(session, name);
    else
        broken(session, "Describe");
}

/* What is not there is closed, too. */
static void
on_close(struct session *session, struct reader *reader)
{
    const char *const what = read_bytes(reader, 1);
    const char *const name = read_string(reader);

    if (!read_all(reader) || (*what != 'S' && *what != 'P')) {
        broken(session, "Close");
        return;
    }
    if (*what == 'S')
        parsed_free(parsed_find(session, name));
    else
        portal_free(portal_find(session, name));
    answer(session, BACKEND_CLOSE_COMPLETE);
}

/* ---- Execute --------------------------------------------------------------------------------- */

int
extended_limit(struct session *session)
{
    if (session->portal == NULL)
        return 0;
    return portal_limit(session, session->portal, session->row_limit, &session->output);
}

/* What a Bind has brought, or an Execute before has left over. */
static void
go_on(struct session *session, struct portal *portal)
{
    session->query_start = clock_now();
    if (portal_put_rest(portal, session->row_limit, &session->output) < 0) {
        session_no_memory(session);
        return;
    }
    session->portal = NULL; /* it is limited */
    session_ready(session);
}

static void
on_execute(struct session *session, struct reader *reader)
{
    const char *const name = read_string(reader);
    const uint32_t limit = read_int32(reader);
    struct portal *const portal = portal_find(session, name);

    if (!read_all(reader)) {
        broken(session, "Execute");
        return;
    }
    if (portal == NULL) {
        no_portal(session, name);
        return;
    }
    session->portal = portal;
    session->row_limit = limit <= INT32_MAX ? limit : 0;
    if (portal_has_rest(portal)) {
        go_on(session, portal);
    } else if (portal->executed) {
        fault(session, SQLSTATE_NOT_IN_PREREQUISITE_STATE, "portal", name, "cannot be run");
    } else {
        portal->executed = true;
        session_execute(session, portal->sql);
    }
}

const struct formats *
extended_formats(const struct session *session)
{
    return session->portal != NULL ? &session->portal->formats : NULL;
}

/* ---- Sync ------------------------------------------------------------------------------------ */

static void
on_sync(struct session *session)
{
    if (session->status == READY_IDLE)
        extended_forget_portals(session);
    session->mode = SESSION_SIMPLE;
    if (msg_ready(&session->output, session->status) < 0)
        session_no_memory(session);
    else
        session_send_output(session);
}

static const struct {
    char type;
    void (*handle)(struct session *session, struct reader *reader);
} handlers[] = {
    {FRONTEND_PARSE, on_parse},       {FRONTEND_BIND, on_bind},       {FRONTEND_CLOSE, on_close},
    {FRONTEND_DESCRIBE, on_describe}, {FRONTEND_EXECUTE, on_execute},
};

bool
extended_message(struct session *session, char type, const char *body, size_t len)
{
    struct reader reader = {body, body + len, false};

    if (type == FRONTEND_SYNC) {
        on_sync(session);
        return true;
    }
    if (type == FRONTEND_FLUSH) /* nothing is ever held back */
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
        if (handlers[i].type != type)
            continue;
        if (session->mode == SESSION_SKIPPING)
            return true;
        session->mode = SESSION_EXTENDED;
        handlers[i].handle(session, &reader);
        return true;
    }
    return false;
}
