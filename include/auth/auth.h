/*
 * auth.h - who may log in, and who may use the console.
 *
 * A login embeds a struct auth. auth_begin picks the method that the configuration asks for and
 * takes its first step; each answer of the client goes to auth_input, until the method has decided.
 * There is one row a method in the table of auth.c.
 *
 * Thread: that of the login's loop. Life: auth_init ... auth_done. Nothing here logs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "buf.h"

struct auth_method;
struct config;
struct config_database;

/* What is known of a login when its startup packet has been read. All borrowed for the call. */
struct auth_login {
    const char *user;                       /* as the client says */
    const struct config_database *database; /* NULL: the console's, or one that does not exist */
    bool for_console;
    bool is_unix;
    uid_t peer_uid; /* of a unix socket's peer, (uid_t)-1 if not known */
};

/* Why a login was refused; static strings. */
struct auth_failure {
    const char *sqlstate;
    const char *message;
    const char *detail; /* or NULL */
    const char *hint;   /* or NULL */
};

struct auth {
    const struct auth_method *method;   /* static; NULL before auth_begin */
    struct buf reply;                   /* owned: with AUTH_CONTINUE, what to send to the client */
    const struct auth_failure *failure; /* with AUTH_FAILED, else NULL */
};

enum auth_status {
    AUTH_ACCEPTED,
    AUTH_CONTINUE, /* send auth->reply, then wait for the client's answer */
    AUTH_FAILED,   /* tell auth->failure and close */
};

void auth_init(struct auth *auth);
void auth_done(struct auth *auth);

/*
 * First step; config need not outlive the call. Whether the database exists is for the caller to
 * find out after AUTH_ACCEPTED, so that nobody can probe for names.
 */
enum auth_status auth_begin(struct auth *auth, const struct config *config,
                            const struct auth_login *login);
/* The client has answered with a whole message: its type and what follows its length. */
enum auth_status auth_input(struct auth *auth, char type, const void *body, size_t len);
/* "trust", "any"; "none" before auth_begin. */
const char *auth_method_name(const struct auth *auth);

enum console_access {
    CONSOLE_ACCESS_NONE,
    CONSOLE_ACCESS_STATS, /* SHOW only */
    CONSOLE_ACCESS_ADMIN,
};

/*
 * What a user who has logged in may do on the console. Who comes through a unix socket as
 * "pgbouncer" or "pgweir", from a process of the daemon's own user, is an administrator and needs
 * no entry anywhere: auth_begin lets him in.
 */
enum console_access auth_console_access(const struct config *config, const char *user, bool is_unix,
                                        uid_t peer_uid);
