/*
 * relay_settings.c - a server has the settings of its client: it is SET to them when they meet, and
 * what it reports is what the client has.
 */
#include <errno.h>
#include <string.h>

#include "buf.h"
#include "build.h"
#include "cleanup.h"
#include "client.h"
#include "close_reason.h"
#include "notice.h"
#include "pg.h"
#include "relay_int.h"
#include "server.h"
#include "settings.h"

int
relay_set_server(struct server *server)
{
    CLEANUP(buf_done) struct buf sql = BUF_INIT;
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    int r;

    r = settings_diff_sql(server->settings, server->client->settings, &sql);
    if (r < 0 || sql.len == 0)
        return r;
    client_log(server->client, LOG_LEVEL_NOISE, "varcache_apply: %s", sql.data);
    r = requests_push(&server->requests, FRONTEND_QUERY, REQUEST_SKIP);
    if (r == 0)
        r = msg_query(&message, sql.data);
    server->syncing_settings = r == 0;
    if (r == 0)
        stream_send_copy(&server->stream, message.data, message.len);
    return r;
}

/* What the client came with is known in the server's spelling. */
static int
relay_respell(struct client *client, const char *name, const char *asked, const char *spelled)
{
    const char *const came_with = settings_get(client->startup, name);

    if (came_with == NULL || strcmp(came_with, asked) != 0)
        return 0;
    return settings_put(&client->startup, name, spelled);
}

bool
relay_settings_done(struct server *server)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    struct client *const client = server->client;
    struct settings *const wanted = client->settings;
    int r = 0;

    server->syncing_settings = false;
    if (server->ask_failed) {
        server->ask_failed = false;
        server_close(server, CLOSE_SERVER_PARAMETER);
        return false;
    }
    for (size_t i = 0; i < settings_count(wanted) && r == 0; i++) {
        const char *name, *value, *now;

        settings_at(wanted, i, &name, &value);
        now = settings_get(server->settings, name);
        if (now == NULL || strcmp(now, value) == 0 || !settings_is_settable(name))
            continue;
        client_log(client, LOG_LEVEL_NOISE,
                   "varcache_set_canonical: setting %s to its canonical version %s -> %s", name,
                   value, now);
        r = msg_parameter_status(&message, name, now);
        if (r == 0)
            r = relay_respell(client, name, value, now);
    }
    if (r < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return false;
    }
    client->settings = settings_ref(server->settings);
    settings_unref(wanted);
    client_send(client, &message);
    server_cancel_next(server);
    return true;
}

/* What a server says of itself, unasked, is what it has for everybody: its file was read again. */
static int
relay_take_parameter(struct server *server, const char *name, const char *value,
                     enum request_action *action)
{
    const char *const asked = relay_reset_value(server, name, value);
    int r = settings_put(&server->settings, name, value);

    if (r < 0)
        return r;
    if (server->client == NULL)
        return requests_empty(&server->requests) ? settings_put(&server->defaults, name, value) : 0;
    if (*action != REQUEST_FORWARD)
        return 0;
    if (likely(asked == NULL))
        return settings_put(&server->client->settings, name, value);
    *action = REQUEST_SKIP;
    return relay_reset_parameter(server->client, name, asked);
}

bool
relay_parameter(struct server *server, const struct frame *frame, enum request_action *action)
{
    const char *name, *value, *body;
    size_t len;
    int r;

    body = frame_body(frame, &len);
    r = parameter_status_parse(body, len, &name, &value);
    if (r == 0)
        r = relay_take_parameter(server, name, value, action);
    if (r < 0) {
        server_close(server, r == -ENOMEM ? CLOSE_NO_MEMORY : CLOSE_SV_PROTOCOL);
        return false;
    }
    return true;
}
