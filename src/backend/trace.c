/*
 * trace.c - the names of the parameters that a server reports at login.
 *
 * libpq keeps what ParameterStatus said, but gives out only values, by exact name, and servers and
 * extensions report what they like. The one public place where the names appear is PQtrace:
 *
 *     B<tab>22<tab>ParameterStatus<tab> "TimeZone" "Etc/UTC"
 *
 * Passwords appear in it as well, so nothing else of it is kept.
 */
#include "backend_int.h"

#include <errno.h>
#include <stdio.h>
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

/* line is a whole one, or the beginning of a long one. */
static void
take_line(struct trace *trace, char *line)
{
    char *name, *end;

    if (line[0] != 'B')
        return;
    name = strstr(line, "\tParameterStatus\t \"");
    if (name == NULL)
        return;
    name += strlen("\tParameterStatus\t \"");
    end = strchr(name, '"');
    if (end == NULL || end == name)
        return;
    *end = '\0';
    if (!is_known(trace, name) && buf_append(&trace->names, name, strlen(name) + 1) < 0)
        trace->failed = true;
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
}

const char *
trace_next_name(const struct trace *trace, const char *name)
{
    const char *next = name == NULL ? trace->names.data : name + strlen(name) + 1;

    return trace->names.len > 0 && next < trace->names.data + trace->names.len ? next : NULL;
}
