/*
 * auth_int.h - what the methods of authentication share: failures, questions, work on other
 * threads.
 *
 * A method is a row in the table of auth.c. Its functions return a status and may use auth->state
 * for what they must remember between two messages.
 *
 * Thread: the login's loop, but for the run function of a struct auth_work.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "auth.h"
#include "executor.h"
#include "list.h"
#include "macros.h"

struct auth_method {
    const char *name; /* the word of auth_type and of HBA lines */
    /* The user's secret is looked for first: auth->secret. */
    bool wants_secret;
    /* Decides at once, or asks the client (AUTH_CONTINUE), or starts work (AUTH_WAIT). */
    enum auth_status (*begin)(struct auth *auth);
    /* What the client's password message holds; NULL for a method that asks nothing. */
    enum auth_status (*input)(struct auth *auth, const void *body, size_t len);
    /* Frees auth->state, which is not NULL; NULL for a method that has none. */
    void (*done)(struct auth *auth);
};

/* The rows, each beside its functions; pam and ldap only with HAVE_PAM, HAVE_LDAP. */
extern const struct auth_method auth_method_any, auth_method_trust, auth_method_plain,
    auth_method_md5, auth_method_scram, auth_method_cert, auth_method_peer, auth_method_pam,
    auth_method_ldap, auth_method_reject;

/* ---- failures: each returns AUTH_FAILED ---- */

extern const struct auth_failure auth_wrong_password; /* "password authentication failed" */
extern const struct auth_failure auth_config_error;   /* "bouncer config error" */

enum auth_status auth_fail(struct auth *auth, const struct auth_failure *failure);
/* What went wrong on our side: -ENOMEM, -ESHUTDOWN, or any other, such as -EIO for OpenSSL. */
enum auth_status auth_fail_error(struct auth *auth, int error);
/* What the log says more than the client is told; the first words stay. Never a secret. */
void auth_explain(struct auth *auth, const char *format, ...) PRINTF_LIKE(2, 3);

/* Accepted, with what a server can be logged in with: taken over, NULL if there is nothing. */
enum auth_status auth_accept(struct auth *auth, struct credential *credential);
/* The same with what auth->secret is good for. */
enum auth_status auth_accept_secret(struct auth *auth);

/* Whether the user may be this name of a system or a certificate: by the rule's map, or the same.
 */
bool auth_name_fits(const struct auth *auth, const char *system_name);

/* ---- a password in clear text ---- */

/* Asks for it: AUTH_CONTINUE, or AUTH_FAILED when there is no memory. */
enum auth_status auth_ask_password(struct auth *auth);
/*
 * The password in the client's answer, of at least one character: points into body, as long as that
 * lives. NULL: AUTH_FAILED is what the method must return.
 */
const char *auth_read_password(struct auth *auth, const void *body, size_t len);
/* Accepted, and this is what the server may be logged in with. */
enum auth_status auth_accept_password(struct auth *auth, const char *password);

/* ---- work ---- */

/*
 * Work that a login waits for and that may outlive it; embedded in what the work is about, first of
 * its members or not. run touches nothing but its own struct: all it needs was copied there. When
 * it comes back and the login is still there, finish is called with it; in any case free is.
 */
struct auth_work {
    struct auth *auth;                   /* borrowed; NULL once nobody wants the outcome any more */
    void (*run)(struct auth_work *work); /* on a thread of the executor */
    enum auth_status (*finish)(struct auth_work *work, struct auth *auth); /* on the loop */
    void (*free)(struct auth_work *work); /* wipes what is secret; on the loop */
    /* the rest is work.c's */
    struct auth_service *service;
    struct auth_line *line;
    struct list link;
    struct job job;
    bool cancelled;
};

enum auth_work_kind {
    AUTH_WORK_HASHING,  /* milliseconds of CPU */
    AUTH_WORK_BLOCKING, /* may wait for others: PAM, LDAP, names */
};

/*
 * Takes over work, of which the three functions are set. AUTH_WAIT: finish will be called, later,
 * unless the login ends before; if the executor is full, the work waits for its turn. AUTH_FAILED:
 * the daemon is shutting down, and work is freed.
 */
enum auth_status auth_work_start(struct auth *auth, struct auth_work *work,
                                 enum auth_work_kind kind);
