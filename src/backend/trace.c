/*
 * trace.c - what a server reports at login and libpq does not give out.
 *
 * libpq keeps what ParameterStatus said, but gives out only values, by exact name, and servers and
 * extensions report what they like. Nor does it give out the key of a cancel, but to its own
 * PQcancel, which blocks. The one public place where these appear is PQtrace:
 *
 *     B<tab>22<tab>ParameterStatus<tab> "TimeZone" "Etc/UTC"
 *     B<tab>12<tab>BackendKeyData<tab> 4711 -12345
 *
 * Passwords appear in it as well, so nothing else of it is kept.
 */
#include "backend_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"

static bool
is_known(const struct trace *trace, const char *name)
{
    for (const char *n = trace_next_name(trace, NULL); n != NULL; n = trace_next_name(trace, n))
        if (str_eq(n, name))
            return true;
    return false;
}

static void
take_name(struct trace *trace, char *name)
{
    char *const end = strchr(name, '"');

    if (end == NULL || end == name)
        return;
    *end = '\0';
    if (!is_known(trace, name) && buf_append(&trace->names, name, strlen(name) + 1) < 0)
        trace->failed = true;
}

/* What comes behind this in the line, or NULL. */
static char *
behind(char *line, const char *begin)
{
    char *const found = strstr(line, begin);

    return found == NULL ? NULL : found + strlen(begin);
}

/* line is a whole one, or the beginning of a long one. */
static void
take_line(struct trace *trace, char *line)
{
    char *rest;

    if (line[0] != 'B')
        return;
    if ((rest = behind(line, "\tParameterStatus\t \"")) != NULL) {
        take_name(trace, rest);
    } else if ((rest = behind(line, "\tBackendKeyData\t ")) != NULL) {
        trace->pid = (int32_t)strtol(rest, &rest, 10);
        trace->key = (int32_t)strtol(rest, &rest, 10);
    }
}

void
trace_feed(struct trace *trace, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n') {
            trace->line[trace->line_len] = '\0';
            trace->line_len = 0;
            take_line(trace, trace->line);
        } else if (trace->line_len + 1 < sizeof(trace->line)) {
            trace->line[trace->line_len++] = data[i];
        }
    }
}

static ssize_t
trace_write(void *cookie, const char *data, size_t len)
{
    trace_feed(cookie, data, len);
    return (ssize_t)len;
}

int
trace_start(struct trace *trace, PGconn *conn)
{
    const cookie_io_functions_t functions = {.write = trace_write};

    trace->file = fopencookie(trace, "w", functions);
    if (trace->file == NULL)
        return -ENOMEM;
    PQtrace(conn, trace->file);
    PQsetTraceFlags(conn, PQTRACE_SUPPRESS_TIMESTAMPS);
    return 0;
}

void
trace_stop(struct trace *trace, PGconn *conn)
{
    if (trace->file == NULL)
        return;
    PQuntrace(conn);
    (void)fclose(trace->file);
    trace->file = NULL;
    explicit_bzero(trace->line, sizeof(trace->line));
    trace->line_len = 0;
}

void
trace_done(struct trace *trace)
{
    assert(trace->file == NULL);
    buf_done(&trace->names);
    trace->failed = false;
    trace->pid = trace->key = 0;
}

const char *
trace_next_name(const struct trace *trace, const char *name)
{
    const char *next = name == NULL ? trace->names.data : name + strlen(name) + 1;

    return trace->names.len > 0 && next < trace->names.data + trace->names.len ? next : NULL;
}
