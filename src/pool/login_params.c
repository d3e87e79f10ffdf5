/*
 * login_params.c - what a startup packet asks for: names, settings, options.
 */
#include <errno.h>
#include <stdio.h>

#include "build.h"
#include "client.h"
#include "config.h"
#include "login_int.h"
#include "replication.h"
#include "settings.h"
#include "startup.h"
#include "str.h"
#include "worker.h"

/* What follows a client from server to server although not every server version reports it. */
static bool
login_is_tracked(const struct config *config, const char *name)
{
    static const char *const tracked[] = {
        "application_name", "client_encoding",  "DateStyle",   "default_transaction_read_only",
        "IntervalStyle",    "scram_iterations", "search_path", "standard_conforming_strings",
        "TimeZone",
    };

    for (size_t i = 0; i < ARRAY_SIZE(tracked); i++) {
        if (str_ieq(name, tracked[i]))
            return true;
    }
    return str_list_contains(config->track_extra_parameters, name);
}

static bool
login_is_ignored(const struct config *config, const char *name)
{
    return str_list_contains(config->ignore_startup_parameters, name);
}

/* ---- options ----------------------------------------------------------------------------------
 */

struct option_walk {
    struct client *client;
    const char *refused; /* points into name */
    char name[128];
    int error;
};

static bool
login_take_option(void *arg, const char *name, const char *value)
{
    struct option_walk *const walk = arg;
    struct client *const client = walk->client;
    const struct config *const config = client->worker->config;

    if (login_is_tracked(config, name)) {
        walk->error = settings_put(&client->login->settings, name, value);
        return walk->error == 0;
    }
    if (login_is_ignored(config, name))
        return true;
    (void)str_copy(walk->name, sizeof walk->name, name);
    walk->refused = walk->name;
    return false;
}

/* False: the client was closed. */
static bool
login_take_options(struct client *client, const char *options)
{
    struct option_walk walk = {.client = client};
    const enum startup_error error = startup_options(options, login_take_option, &walk);
    char text[256];

    if (error == STARTUP_ERROR_NONE)
        return true;
    if (walk.error < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return false;
    }
    (void)snprintf(text, sizeof text, "%s%s%s", startup_error_text(error),
                   walk.refused != NULL ? ": " : "", walk.refused != NULL ? walk.refused : "");
    login_refuse(client, CLOSE_STARTUP_PARAMETER, text);
    return false;
}

/* ---- parameters -------------------------------------------------------------------------------
 */

static bool
login_is_known_key(const char *name)
{
    return str_eq(name, "user") || str_eq(name, "database") || str_eq(name, "options") ||
           str_eq(name, "replication");
}

/* A server that the client has alone can be asked for anything. */
static bool
login_is_wish(const struct client *client, const char *name)
{
    const struct config *const config = client->worker->config;

    return login_is_tracked(config, name) ||
           (client->replication != NULL && !login_is_ignored(config, name));
}

static bool
login_take_param(struct client *client, const struct startup_param *param)
{
    char text[256];

    if (login_is_known_key(param->name) || startup_param_is_protocol(param->name))
        return true;
    if (login_is_wish(client, param->name)) {
        if (settings_put(&client->login->settings, param->name, param->value) == 0)
            return true;
        client_close(client, CLOSE_NO_MEMORY);
        return false;
    }
    if (login_is_ignored(client->worker->config, param->name))
        return true;
    (void)snprintf(text, sizeof text, "unsupported startup parameter: %.100s", param->name);
    login_refuse(client, CLOSE_STARTUP_PARAMETER, text);
    return false;
}

static bool
login_take_settings(struct client *client, const struct startup *startup)
{
    const struct config *const config = client->worker->config;
    const char *const options = login_is_ignored(config, "options") ? NULL : startup->options;
    const char *pos = startup->params;
    struct startup_param param;

    if (startup->replication != REPLICATION_NONE &&
        replication_new(client, startup->replication, options) < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return false;
    }
    while (startup_next_param(&pos, &param)) {
        if (!login_take_param(client, &param))
            return false;
    }
    if (options != NULL && client->replication == NULL)
        return login_take_options(client, options);
    return true;
}

/* "app - 10.0.0.7:50112", as application_name_add_host asks for. */
static int
login_add_host(struct client *client)
{
    const char *const name = settings_get(client->login->settings, "application_name");
    char text[128], address[ADDRESS_TEXT_MAX];

    if (!client->worker->config->application_name_add_host)
        return 0;
    (void)snprintf(text, sizeof text, "%.60s - %s", name != NULL ? name : "app",
                   address_text(&client->address, address));
    return settings_put(&client->login->settings, "application_name", text);
}

static int
login_keep_names(struct login *login, const struct startup *startup)
{
    int r;

    r = str_set(&login->user, startup->user);
    if (r == 0)
        r = str_set(&login->database, startup->database);
    if (r == 0)
        r = str_set(&login->application_name, startup->application_name);
    login->minor = startup->minor;
    return r;
}

bool
login_take_params(struct client *client, const struct startup *startup)
{
    struct login *const login = client->login;

    if (login_keep_names(login, startup) < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return false;
    }
    /* The console's sessions have no settings: anything will do there. */
    if (!login_is_for_console(login) && !login_take_settings(client, startup))
        return false;
    if (login_add_host(client) < 0) {
        client_close(client, CLOSE_NO_MEMORY);
        return false;
    }
    return true;
}
