/*
 * extended.c - the extended protocol on the console: statements with parameters, portals, results
 * in either format, and errors up to the Sync.
 *
 * A parameter stands where an argument or a value stands: SHOW $1, SET key = $1, KILL_CLIENT $1. A
 * Bind writes it into the text, quoted; so what is executed is always a text without parameters.
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
#include "reader.h"
#include "result.h"
#include "sqlstate.h"
#include "str.h"

/* So a session's memory is bounded. */
#define TEXT_MAX    4096 /* of a statement, parameters included */
#define NAMES_MAX   100  /* of statements, and of portals */
#define PARAMS_MAX  8
#define FORMATS_MAX 64
#define REST_MAX    (64 << 20) /* of what all portals have left over */

struct prepared {
    struct list link; /* in session->prepared */
    char *name;       /* owned, as the next; "" is the unnamed one */
    char *sql;
    unsigned param_count;
    uint32_t types[PARAMS_MAX]; /* PARAMETER_UNKNOWN: taken as text */
};

struct portal {
    struct list link; /* in session->portals */
    char *name;       /* owned, as the next */
    char *sql;        /* with its parameters in place */
    struct formats formats;
    bool executed;
    struct buf rest; /* owned: what an Execute with a limit has left over */
};

/* ---- names ----------------------------------------------------------------------------------- */

static struct prepared *
find_prepared(const struct session *session, const char *name)
{
    struct prepared *prepared;

    LIST_FOREACH (prepared, &session->prepared, link) {
        if (str_eq(prepared->name, name))
            return prepared;
    }
    return NULL;
}

static struct portal *
find_portal(const struct session *session, const char *name)
{
    struct portal *portal;

    LIST_FOREACH (portal, &session->portals, link) {
        if (str_eq(portal->name, name))
            return portal;
    }
    return NULL;
}

static void
prepared_free(struct prepared *prepared)
{
    if (prepared == NULL)
        return;
    list_remove(&prepared->link);
    free(prepared->name);
    free(prepared->sql);
    free(prepared);
}

static void
portal_free(struct portal *portal)
{
    if (portal == NULL)
        return;
    list_remove(&portal->link);
    free(portal->name);
    free(portal->sql);
    buf_done(&portal->rest);
    free(portal);
}

DEFINE_CLEANUP(struct prepared *, prepared_free);
DEFINE_CLEANUP(struct portal *, portal_free);

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
    struct prepared *prepared;

    extended_forget_portals(session);
    LIST_FOREACH_SAFE (prepared, &session->prepared, link)
        prepared_free(prepared);
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

/* Sends one message without a body. */
static void
answer(struct session *session, char type)
{
    struct msg msg;

    msg_begin(&msg, &session->output, type);
    if (msg_end(&msg) < 0)
        session_no_memory(session);
    else
        session_send_output(session);
}

/* ---- Parse ----------------------------------------------------------------------------------- */

static struct prepared *
prepared_new(const char *name, const char *sql)
{
    CLEANUP(prepared_free) struct prepared *prepared = calloc(1, sizeof(*prepared));

    if (prepared == NULL || str_set(&prepared->name, name) < 0 || str_set(&prepared->sql, sql) < 0)
        return NULL;
    return TAKE(prepared);
}

static void
on_parse(struct session *session, struct reader *reader)
{
    const char *const name = read_string(reader);
    const char *const sql = read_string(reader);
    const unsigned type_count = read_int16(reader);
    const unsigned param_count = parameter_count(sql);
    struct prepared *prepared;

    if (*name == '\0')
        prepared_free(find_prepared(session, ""));
    if (reader->is_broken)
        broken(session, "Parse");
    else if (type_count > PARAMS_MAX || param_count > PARAMS_MAX || strlen(sql) > TEXT_MAX)
        session_error(session, "bad arguments");
    else if (find_prepared(session, name) != NULL)
        fault(session, SQLSTATE_DUPLICATE_STATEMENT, "prepared statement", name, "already exists");
    else if (list_count(&session->prepared) >= NAMES_MAX)
        session_error_state(session, SQLSTATE_LIMIT_EXCEEDED, "too many prepared statements", NULL);
    else if ((prepared = prepared_new(name, sql)) == NULL)
        session_no_memory(session);
    else {
        list_push_back(&session->prepared, &prepared->link);
        prepared->param_count = MAX(param_count, type_count);
        for (unsigned i = 0; i < type_count; i++)
            prepared->types[i] = read_int32(reader);
        if (read_all(reader)) {
            answer(session, BACKEND_PARSE_COMPLETE);
            return;
        }
        prepared_free(prepared);
        broken(session, "Parse");
    }
}

/* ---- Bind ------------------------------------------------------------------------------------ */

/* Format codes: none, one for all, or one each. */
static bool
read_formats(struct reader *reader, uint16_t codes[static FORMATS_MAX], uint16_t *ret_count)
{
    const uint16_t count = read_int16(reader);

    if (count > FORMATS_MAX)
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
read_parameters(struct reader *reader, const struct prepared *prepared,
                struct parameter parameters[static PARAMS_MAX])
{
    uint16_t codes[FORMATS_MAX], format_count = 0, count;

    if (!read_formats(reader, codes, &format_count))
        return false;
    count = read_int16(reader);
    if (count != prepared->param_count || (format_count > 1 && format_count != count))
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
    uint16_t codes[FORMATS_MAX], count;

    if (!read_formats(reader, codes, &count) || count > RESULT_COLUMNS_MAX)
        return false;
    formats->count = count;
    memcpy(formats->codes, codes, count * sizeof(codes[0]));
    return read_all(reader);
}

static bool
has_null(const struct prepared *prepared, const struct parameter *parameters)
{
    for (unsigned i = 0; i < prepared->param_count; i++) {
        if (parameters[i].data == NULL)
            return true;
    }
    return false;
}

static struct portal *
portal_new(const char *name, struct buf *sql, const struct formats *formats)
{
    CLEANUP(portal_free) struct portal *portal = calloc(1, sizeof(*portal));

    if (portal == NULL || str_set(&portal->name, name) < 0)
        return NULL;
    portal->sql = buf_steal(sql);
    if (portal->sql == NULL)
        return NULL;
    portal->formats = *formats;
    return TAKE(portal);
}

/* One format for each column that there will be, unless one or none is enough. */
static bool
formats_fit(const struct session *session, const char *sql, const struct formats *formats)
{
    struct msg_column columns[RESULT_COLUMNS_MAX];

    return formats->count <= 1 || formats->count == command_describe(session, sql, columns);
}

static void
open_portal(struct session *session, const char *name, struct buf *sql,
            const struct formats *formats)
{
    struct portal *portal;

    if (*name == '\0')
        portal_free(find_portal(session, ""));
    if (find_portal(session, name) != NULL)
        fault(session, SQLSTATE_DUPLICATE_PORTAL, "portal", name, "already exists");
    else if (list_count(&session->portals) >= NAMES_MAX)
        session_error_state(session, SQLSTATE_LIMIT_EXCEEDED, "too many portals", NULL);
    else if (!formats_fit(session, buf_str(sql), formats))
        broken(session, "Bind");
    else if ((portal = portal_new(name, sql, formats)) == NULL)
        session_no_memory(session);
    else {
        list_push_back(&session->portals, &portal->link);
        answer(session, BACKEND_BIND_COMPLETE);
    }
}

static void
on_bind(struct session *session, struct reader *reader)
{
    const char *const portal = read_string(reader);
    const char *const name = read_string(reader);
    const struct prepared *const prepared = find_prepared(session, name);
    struct parameter parameters[PARAMS_MAX] = {{0}};
    struct formats formats = {0};
    CLEANUP(buf_done) struct buf sql = BUF_INIT;
    int r;

    if (prepared == NULL) {
        no_prepared(session, name);
        return;
    }
    if (!read_parameters(reader, prepared, parameters) || !read_result_formats(reader, &formats)) {
        broken(session, "Bind");
        return;
    }
    if (has_null(prepared, parameters)) {
        session_error_state(session, SQLSTATE_NULL_NOT_ALLOWED,
                            "a parameter of the console cannot be NULL", NULL);
        return;
    }
    r = parameter_put_all(&sql, prepared->sql, parameters, prepared->types, TEXT_MAX);
    if (r == -EINVAL)
        session_error(session, "bad arguments");
    else if (r < 0)
        session_no_memory(session);
    else
        open_portal(session, portal, &sql, &formats);
}

/* ---- Describe, Close ------------------------------------------------------------------------- */

static int
put_parameter_types(struct buf *output, const struct prepared *prepared)
{
    struct msg msg;

    msg_begin(&msg, output, BACKEND_PARAMETER_DESCRIPTION);
    msg_put_int16(&msg, (uint16_t)prepared->param_count);
    for (unsigned i = 0; i < prepared->param_count; i++)
        msg_put_int32(&msg,
                      prepared->types[i] != PARAMETER_UNKNOWN ? prepared->types[i] : PG_TYPE_TEXT);
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
        session_send_output(session);
}

/* Which columns SHOW $1 has is known when a Bind has told what to show. */
static bool
has_open_columns(const struct prepared *prepared)
{
    const char *const sql = prepared->sql + strspn(prepared->sql, " \t\r\n");

    return prepared->param_count > 0 &&
           (strncasecmp(sql, "show", 4) == 0 || strncasecmp(sql, "select", 6) == 0);
}

static void
describe_prepared(struct session *session, const char *name)
{
    const struct prepared *const prepared = find_prepared(session, name);

    if (prepared == NULL)
        no_prepared(session, name);
    else if (has_open_columns(prepared))
        session_error_state(session, SQLSTATE_INDETERMINATE_DATATYPE,
                            "columns that depend on a parameter cannot be described", NULL);
    else if (put_parameter_types(&session->output, prepared) < 0)
        session_no_memory(session);
    else
        answer_columns(session, prepared->sql, NULL);
}

static void
describe_portal(struct session *session, const char *name)
{
    const struct portal *const portal = find_portal(session, name);

    if (portal == NULL)
        no_portal(session, name);
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
        prepared_free(find_prepared(session, name));
    else
        portal_free(find_portal(session, name));
    answer(session, BACKEND_CLOSE_COMPLETE);
}

/* ---- Execute --------------------------------------------------------------------------------- */

/* Where in the answer the row after the limit begins; 0: it is all within the limit. */
static size_t
end_of_rows(const struct buf *answer, uint32_t limit)
{
    size_t at = 0;
    uint32_t rows = 0;

    while (at < answer->len) {
        if (answer->data[at] == BACKEND_DATA_ROW && ++rows > limit)
            return at;
        at += pg_get_uint32(answer->data + at + 1) + 1;
    }
    return 0;
}

static bool
is_too_much_rest(const struct session *session, size_t len)
{
    const struct portal *portal;

    LIST_FOREACH (portal, &session->portals, link)
        len += portal->rest.len;
    return len > REST_MAX;
}

int
extended_limit(struct session *session)
{
    struct portal *const portal = session->portal;
    struct buf *const output = &session->output;
    size_t end;
    struct msg msg;
    int r;

    if (portal == NULL || session->row_limit == 0)
        return 0;
    end = end_of_rows(output, session->row_limit);
    if (end == 0)
        return 0;
    if (is_too_much_rest(session, output->len - end))
        return -ENOMEM;
    r = buf_append(&portal->rest, output->data + end, output->len - end);
    if (r < 0)
        return r;
    output->len = end;
    msg_begin(&msg, output, BACKEND_PORTAL_SUSPENDED);
    return msg_end(&msg);
}

/* What an Execute before has left over. */
static void
go_on(struct session *session, struct portal *portal)
{
    session->output = portal->rest;
    buf_init(&portal->rest);
    session->query_start = clock_now();
    session_ready(session);
}

static void
on_execute(struct session *session, struct reader *reader)
{
    const char *const name = read_string(reader);
    const uint32_t limit = read_int32(reader);
    struct portal *const portal = find_portal(session, name);

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
    if (portal->rest.len > 0) {
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
