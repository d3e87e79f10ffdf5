/*
 * login_int.h - what the files of a login share.
 *
 * Thread: that of the client's worker.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "auth.h"
#include "buf.h"
#include "close_reason.h"
#include "list.h"
#include "login_tls.h"

struct cancel_route;
struct client;
struct settings;
struct startup;

struct login {
    struct client *client; /* borrowed */
    struct buf input;      /* bytes not looked at yet; the startup packet while it is in use */
    struct auth auth;
    struct sockaddr_storage address; /* the client's, for auth */
    char *database;                  /* owned */
    char *user;                      /* owned */
    char *application_name;          /* owned, or NULL */
    struct settings *settings;       /* a reference: what the startup packet asks for */
    bool asked_ssl, asked_gss;       /* each may be asked for once */
    struct login_tls tls;
    unsigned minor;              /* of the protocol */
    struct cancel_route *cancel; /* its own request, while CANCEL; owned by whom it is with */
    struct list welcome_link;    /* in shard->welcoming while WELCOME */
};

/* message NULL: the reason's own text. */
void login_refuse(struct client *client, enum close_reason reason, const char *message);
bool login_is_for_console(const struct login *login);

/* login_params.c: takes over what a startup packet says. False: the client was closed. */
bool login_take_params(struct client *client, const struct startup *startup);
