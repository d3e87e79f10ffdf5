/*
 * auth.h - who may log in, and who may use the console.
 *
 * A login embeds a struct auth and goes through up to three stages: the rule (auth_type, or the
 * first line of the HBA file that fits), the secret (auth_file, else auth_query), the method. What
 * cannot be answered at once (a server's answer, PAM, a name, a hash that takes milliseconds) is
 * AUTH_WAIT, and auth->decided is called later. There is one row a method in the table of auth.c.
 *
 * Thread: that of the login's loop; struct auth_service is shared by all. Life: auth_init ...
 * auth_done, at any time, also while something is under way: nobody is called back then.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "buf.h"
#include "loop.h"

struct auth;
struct auth_lookup;
struct auth_method;
struct auth_work;
struct config;
struct config_database;
struct credential;
struct executor;
struct hba_rule;
struct secret;

/* What all logins of the daemon share: threads, secrets made of plain passwords, a server to ask.
 */
struct auth_service;

/* The executors take jobs from here only, so that one that is full empties by our own jobs' ends.
 */
struct auth_service_options {
    struct executor *hashing;  /* borrowed: CPU work of milliseconds */
    struct executor *blocking; /* borrowed: PAM, LDAP, names: may wait for seconds */
    void (*lookup)(void *arg, struct auth_lookup *lookup); /* NULL: no auth_query */
    void *arg;
};
int auth_service_new(const struct auth_service_options *options, struct auth_service **ret_service);
/* After the last auth_done, and after the executors were closed. */
void auth_service_free(struct auth_service *service);

/*
 * A question for auth_query, asked of the layer above. Allocated by the asker; lookup() of the
 * options is called on the thread of loop, and answers always, once, later, by message to that
 * loop, with the answer's fields set.
 */
enum auth_lookup_answer {
    AUTH_LOOKUP_FOUND,   /* secret is set; "" if the server says NULL: nobody can log in with it */
    AUTH_LOOKUP_UNKNOWN, /* no row */
    AUTH_LOOKUP_FAILED,  /* no server, an error, a broken answer: already logged */
};
struct auth_lookup {
    struct message message;
    struct loop *loop;     /* borrowed */
    struct config *config; /* a reference */
    char *database;        /* as the client asked for; owned, as the next two */
    char *user;
    char *secret; /* freed with memory wiped */
    enum auth_lookup_answer answer;
};

/* What is known of a login when its startup packet has been read; borrowed until auth_done. */
struct auth_login {
    const char *user; /* as the client says */
    const char *database_name;
    const struct config_database *database; /* NULL: the console's, or one that does not exist */
    const struct sockaddr *address;         /* of the client; NULL through a unix socket */
    uid_t peer_uid;                         /* of a unix socket's peer, (uid_t)-1 if not known */
    bool for_console;
    bool replication; /* physical */
    bool is_tls;
    const char *tls_name;    /* the common name of a verified certificate, or NULL */
    const void *tls_binding; /* tls-server-end-point: the hash of our certificate; or NULL */
    size_t tls_binding_len;
};

static inline bool
auth_login_is_unix(const struct auth_login *login)
{
    return login->address == NULL;
}

/* Why a login was refused; the texts are static. */
struct auth_failure {
    const char *sqlstate;
    const char *message;
    const char *detail; /* or NULL */
    const char *hint;   /* or NULL */
};

enum auth_status {
    AUTH_ACCEPTED, /* send auth->reply, if there is any, before AuthenticationOk */
    AUTH_CONTINUE, /* send auth->reply, then wait for the client's answer */
    AUTH_WAIT,     /* decided() will be called from the loop, with one of the others */
    AUTH_FAILED,   /* tell auth->failure and close */
};

struct auth {
    struct auth_service *service; /* borrowed, as the next two */
    struct loop *loop;
    void (*decided)(struct auth *auth, enum auth_status status);
    struct config *config;              /* a reference, from auth_begin on */
    struct auth_login login;            /* as given to auth_begin */
    const struct hba_rule *rule;        /* borrowed from config; NULL without an HBA file */
    const struct auth_method *method;   /* static; NULL before the rule is known */
    struct secret *secret;              /* owned; NULL before it is known, or not asked for */
    struct auth_work *work;             /* what is under way, or NULL; it outlives us */
    void *state;                        /* the method's, freed by its done */
    struct credential *credential;      /* owned; what the server may be logged in with, or NULL */
    const struct auth_failure *failure; /* with AUTH_FAILED, else NULL */
    char log_detail[160]; /* more about the failure, for the log only; "" is nothing more */
    struct buf reply;     /* owned: what to send to the client; may be empty once accepted */
};

void auth_init(struct auth *auth, struct auth_service *service, struct loop *loop,
               void (*decided)(struct auth *auth, enum auth_status status));
void auth_done(struct auth *auth);

/*
 * First step. Whether the database exists is for the caller to find out after AUTH_ACCEPTED, so
 * that nobody can probe for names.
 */
enum auth_status auth_begin(struct auth *auth, struct config *config,
                            const struct auth_login *login);
/* The client has answered with a whole message: its type and what follows its length. */
enum auth_status auth_input(struct auth *auth, char type, const void *body, size_t len);
/* "trust", "scram-sha-256"; "none" before it is known. */
const char *auth_method_name(const struct auth *auth);

enum console_access {
    CONSOLE_ACCESS_NONE,
    CONSOLE_ACCESS_STATS, /* SHOW only */
    CONSOLE_ACCESS_ADMIN,
};

/*
 * Who comes through a unix socket as "pgbouncer" or "pgweir", from a process of the daemon's own
 * user, is an administrator and needs no entry anywhere: auth_begin lets him in.
 */
bool auth_is_owner(const char *user, bool is_unix, uid_t peer_uid);
/* What a user who has logged in may do on the console. */
enum console_access auth_console_access(const struct config *config, const char *user, bool is_unix,
                                        uid_t peer_uid);
