/*
 * show.c - makes an answer of a table of columns.
 */
#include "show.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <time.h>

#include "config.h"
#include "str.h"
#include "table.h"

/* ---- getters --------------------------------------------------------------------------------- */

const char *
show_get_chars(const void *field, const struct show_output *output, char text[static SHOW_TEXT_MAX])
{
    (void)output;
    (void)text;
    return field;
}

const char *
show_get_chars_or_null(const void *field, const struct show_output *output,
                       char text[static SHOW_TEXT_MAX])
{
    const char *chars = field;

    (void)output;
    (void)text;
    return *chars != '\0' ? chars : NULL;
}

const char *
show_get_string(const void *field, const struct show_output *output,
                char text[static SHOW_TEXT_MAX])
{
    (void)output;
    (void)text;
    return *(const char *const *)field;
}

const char *
show_get_int(const void *field, const struct show_output *output, char text[static SHOW_TEXT_MAX])
{
    (void)output;
    snprintf(text, SHOW_TEXT_MAX, "%d", *(const int *)field);
    return text;
}

const char *
show_get_unsigned(const void *field, const struct show_output *output,
                  char text[static SHOW_TEXT_MAX])
{
    (void)output;
    snprintf(text, SHOW_TEXT_MAX, "%u", *(const unsigned *)field);
    return text;
}

static const char *
format_uint64(uint64_t value, char text[static SHOW_TEXT_MAX])
{
    snprintf(text, SHOW_TEXT_MAX, "%llu", (unsigned long long)value);
    return text;
}

const char *
show_get_uint64(const void *field, const struct show_output *output,
                char text[static SHOW_TEXT_MAX])
{
    (void)output;
    return format_uint64(*(const uint64_t *)field, text);
}

const char *
show_get_bool(const void *field, const struct show_output *output, char text[static SHOW_TEXT_MAX])
{
    (void)output;
    (void)text;
    return *(const bool *)field ? "1" : "0";
}

const char *
show_get_seconds(const void *field, const struct show_output *output,
                 char text[static SHOW_TEXT_MAX])
{
    (void)output;
    return format_uint64(*(const usec_t *)field / SEC, text);
}

const char *
show_get_micros(const void *field, const struct show_output *output,
                char text[static SHOW_TEXT_MAX])
{
    (void)output;
    return format_uint64(*(const usec_t *)field % SEC, text);
}

/* A time that has not come yet is empty, not NULL: tools read these columns as text. */
const char *
show_get_time(const void *field, const struct show_output *output, char text[static SHOW_TEXT_MAX])
{
    const usec_t wall = *(const usec_t *)field;
    const time_t seconds = (time_t)(wall / SEC);
    struct tm tm;

    (void)output;
    if (wall == 0 || localtime_r(&seconds, &tm) == NULL ||
        strftime(text, SHOW_TEXT_MAX, "%Y-%m-%d %H:%M:%S %Z", &tm) == 0)
        return "";
    return text;
}

/* ---- the answer ------------------------------------------------------------------------------ */

size_t
show_describe(const struct config *config, const struct show *show, struct msg_column *columns)
{
    size_t count;

    if (show == NULL)
        return 0;
    count = show->column_count + (config->console_legacy_columns ? show->legacy_count : 0);
    assert(count <= SHOW_COLUMNS_MAX);
    for (size_t i = 0; i < count; i++)
        columns[i] = (struct msg_column){show->columns[i].name, show->columns[i].type};
    return count;
}

void
show_row(struct show_output *output, const void *row)
{
    const struct show *show = output->show;
    char texts[SHOW_COLUMNS_MAX][SHOW_TEXT_MAX];
    const char *values[SHOW_COLUMNS_MAX];

    if (output->error < 0)
        return;
    for (size_t i = 0; i < output->column_count; i++) {
        const struct show_column *column = &show->columns[i];

        values[i] = column->get((const char *)row + column->offset, output, texts[i]);
    }
    output->error = output->put(output, values);
}

static int
put_in_answer(struct show_output *output, const char *const *texts)
{
    return result_row(output->buf, output->described, texts, output->column_count, output->formats);
}

static void
show_answer(struct session *session, const struct show *show, struct snapshot *snapshot)
{
    struct show_output output = {
        .console = session->console,
        .config = engine_config(session->console->engine),
        .snapshot = snapshot,
        .show = show,
        .put = put_in_answer,
        .buf = &session->output,
        .formats = extended_formats(session),
    };

    output.column_count = show_describe(output.config, show, output.described);
    if (output.column_count > 0 && session->mode == SESSION_SIMPLE) /* SHOW HELP has no result */
        output.error =
            result_describe(output.buf, output.described, output.column_count, output.formats);
    if (output.error == 0)
        show->rows(&output);
    if (output.error < 0)
        session_no_memory(session);
    else
        session_complete(session, "SHOW");
}

static void
show_got(struct snapshot_request *request, struct snapshot *snapshot)
{
    struct session *session = container_of(request, struct session, request);

    session->engine_pending = false;
    if (session->state == SESSION_CLOSED)
        session_wake(session);
    else if (snapshot == NULL || snapshot->incomplete)
        session_no_memory(session);
    else
        show_answer(session, session->show, snapshot);
    snapshot_free(snapshot);
}

void
show_execute(struct session *session, const struct show *show)
{
    if (show->snapshot == 0) {
        show_answer(session, show, NULL);
        return;
    }
    session->show = show;
    session->request.what = show->snapshot;
    session->request.done = show_got;
    session->engine_pending = true;
    session_wait(session, SESSION_SNAPSHOT);
    engine_snapshot(session->console->engine, &session->request);
}

/* ---- tables ---------------------------------------------------------------------------------- */

int
show_make_table(const struct config *config, const struct show *show, struct table **ret_table)
{
    struct msg_column columns[SHOW_COLUMNS_MAX];
    const size_t count = show_describe(config, show, columns);
    CLEANUP(table_free) struct table *table = NULL;
    char name[SHOW_TEXT_MAX];
    int r;

    (void)str_copy(name, sizeof(name), show->name);
    for (char *p = name; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    r = table_new(name, count, 0, &table);
    for (size_t i = 0; i < count && r == 0; i++)
        r = table_set_column(table, i, columns[i].name, result_column_type(columns[i].type));
    if (r == 0)
        *ret_table = TAKE(table);
    return r;
}

static int
put_in_table(struct show_output *output, const char *const *texts)
{
    return table_add_texts(output->table, texts);
}

int
show_fill_table(struct console *console, const struct show *show, struct snapshot *snapshot,
                struct table *table)
{
    struct show_output output = {
        .console = console,
        .config = engine_config(console->engine),
        .snapshot = snapshot,
        .show = show,
        .put = put_in_table,
        .table = table,
        .column_count = table_column_count(table),
    };

    show->rows(&output);
    return output.error;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static const struct show *const shows[] = {
    &show_active_sockets, &show_clients,
    &show_columns,        &show_config,
    &show_databases,      &show_dns_hosts,
    &show_dns_zones,      &show_help,
    &show_lists,          &show_mem,
    &show_peer_pools,     &show_peers,
    &show_pools,          &show_servers,
    &show_sockets,        &show_state,
    &show_stats,          &show_stats_averages,
    &show_stats_totals,   &show_tasks,
    &show_totals,         &show_users,
    &show_version,        &show_waits,
};

const struct show *
show_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(shows); i++) {
        if (str_ieq(shows[i]->name, name))
            return shows[i];
    }
    return NULL;
}

const struct show *
show_at(size_t number)
{
    return number < ARRAY_SIZE(shows) ? shows[number] : NULL;
}
