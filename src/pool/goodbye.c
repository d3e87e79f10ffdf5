#include "goodbye.h"

#include <stdio.h>
#include <string.h>

#include "build.h"
#include "client.h"
#include "config.h"
#include "log.h"
#include "login.h"
#include "outbox.h"
#include "str.h"
#include "units.h"
#include "worker.h"

/* Holds the names of a database and of a user, however long, and some words. */
#define DETAIL_MAX 512

/* `Database "shop", user "alice"`, or "" before it has said. Returns its length. */
static size_t
goodbye_name(const struct client *client, char *text, size_t size)
{
    *text = '\0';
    if (client->shard == NULL && (client->login == NULL || !login_has_names(client->login)))
        return 0;
    (void)snprintf(text, size, "Database \"%s\", user \"%s\"", client_database(client),
                   client_user(client));
    return strlen(text);
}

static const char *
goodbye_sqlstate(const struct refusal *refusal)
{
    return refusal->sqlstate != NULL ? refusal->sqlstate
                                     : close_reason_row(refusal->reason)->sqlstate;
}

static const char *
goodbye_text(const struct refusal *refusal)
{
    return refusal->message != NULL ? refusal->message : close_reason_row(refusal->reason)->text;
}

static int
goodbye_write(const struct client *client, const struct refusal *refusal, struct buf *message)
{
    const struct close_reason_row *const row = close_reason_row(refusal->reason);
    const char *detail = refusal->detail;
    char names[DETAIL_MAX];

    if (detail == NULL) {
        const size_t len = goodbye_name(client, names, sizeof names - 1);

        if (len > 0) {
            memcpy(names + len, ".", 2);
            detail = names;
        }
    }
    return msg_error(message, "FATAL", goodbye_sqlstate(refusal), goodbye_text(refusal), detail,
                     refusal->hint != NULL ? refusal->hint : row->hint);
}

/* Without memory for more. */
static void
goodbye_say_briefly(struct client *client, const struct refusal *refusal)
{
    char message[200];
    const ssize_t len = msg_error_array(message, sizeof message, "FATAL", goodbye_sqlstate(refusal),
                                        goodbye_text(refusal));

    if (len > 0)
        stream_send_copy(&client->stream, message, (size_t)len);
}

/* Whatever is said to a client who is cut would be taken for the rest of what it waits for. */
void
goodbye_say(struct client *client, const struct refusal *refusal)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;

    if (*goodbye_sqlstate(refusal) == '\0' || !stream_is_open(&client->stream) ||
        client->state == CLIENT_TLS || client->state == CLIENT_CANCEL || client->is_cut)
        return;
    if (goodbye_write(client, refusal, &message) == 0)
        client_send(client, &message);
    else
        goodbye_say_briefly(client, refusal);
    outbox_flush(client->worker->outbox);
}

void
goodbye_log(const struct client *client, const struct refusal *refusal)
{
    const struct close_reason_row *const row = close_reason_row(refusal->reason);
    const char *const text = goodbye_text(refusal);
    const bool is_error = row->level < LOG_LEVEL_INFO;
    const char *detail = refusal->detail != NULL ? refusal->detail : "";

    if (refusal->log_detail != NULL && *refusal->log_detail != '\0')
        detail = refusal->log_detail;
    if (is_error && client->worker->config->log_pooler_errors)
        client_log(client, row->level, "pooler error: %s%s%s", text, *detail != '\0' ? ": " : "",
                   detail);
    if (client->worker->config->log_disconnections)
        client_log(
            client, is_error ? LOG_LEVEL_INFO : row->level, "closing because: %s (age=%llus)", text,
            (unsigned long long)((loop_now(client->worker->loop) - client->connect_time) / SEC));
}

void
goodbye_explain(struct client *client, const struct refusal *refusal, const char *what)
{
    struct refusal told = *refusal;
    char detail[2 * DETAIL_MAX];
    size_t len = goodbye_name(client, detail, DETAIL_MAX);

    if (len > 0)
        len += str_copy(detail + len, sizeof detail - len, ": ");
    (void)str_copy(detail + len, sizeof detail - len, what);
    told.detail = detail;
    told.log_detail = what; /* a line of the log has the names already */
    client_refuse(client, &told);
}

void
goodbye_time_is_up(struct client *client, const struct refusal *refusal, const char *what,
                   usec_t spent, const char *key, usec_t limit)
{
    char figures[300], text[UNITS_TEXT_MAX];

    (void)snprintf(figures, sizeof figures, "%s for %.1f s, %s is %s s.", what, (double)spent / SEC,
                   key, units_format_duration(text, limit));
    goodbye_explain(client, refusal, figures);
}
