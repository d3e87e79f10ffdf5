/*
 * startup.h - the first packets of a connection: logins, cancels, requests for encryption.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest packet with its length; more is not worth waiting for. */
#define STARTUP_PACKET_MAX 10004
#define STARTUP_USER_MAX   127
#define STARTUP_DB_MAX     63
/* Of one setting in `options`, name and value together. */
#define STARTUP_OPTION_MAX 1023

enum startup_kind {
    STARTUP_INCOMPLETE, /* ask again with more bytes */
    STARTUP_LOGIN,
    STARTUP_CANCEL,
    STARTUP_SSL,        /* answer S or N, then the next packet */
    STARTUP_GSSENC,     /* answer N, then the next packet */
    STARTUP_DIRECT_TLS, /* a TLS handshake without SSLRequest; nothing is consumed */
    STARTUP_BAD,        /* error says why */
};

enum startup_error {
    STARTUP_ERROR_NONE,
    STARTUP_ERROR_LENGTH,
    STARTUP_ERROR_V2,
    STARTUP_ERROR_VERSION,
    STARTUP_ERROR_LAYOUT,
    STARTUP_ERROR_NO_USER,
    STARTUP_ERROR_USER_TOO_LONG,
    STARTUP_ERROR_DB_TOO_LONG,
    STARTUP_ERROR_PASSWORD_FIRST, /* a password packet comes before the startup packet */
    STARTUP_ERROR_REPLICATION,    /* neither a boolean nor "database" */
    STARTUP_ERROR_OPTIONS_SHAPE,
    STARTUP_ERROR_OPTIONS_TOO_LONG,
    STARTUP_ERROR_OPTIONS_REFUSED, /* by the callback; append ": " and the name */
};

/* What a client wants beside SQL, or in place of it. */
enum replication_kind {
    REPLICATION_NONE,
    REPLICATION_LOGICAL,  /* replication=database: SQL, too */
    REPLICATION_PHYSICAL, /* replication=true: the whole cluster, whatever the database */
};

/* All strings point into the packet. */
struct startup {
    enum startup_error error;
    size_t len; /* bytes that the packet takes */

    /* STARTUP_LOGIN */
    uint16_t major, minor; /* to be spoken: what was asked for, at most 3.2 */
    bool negotiate;        /* wants more than we know: to be answered with msg_negotiate() */
    const char *user;
    const char *database; /* the user if not given */
    enum replication_kind replication;
    const char *options; /* NULL if not given, as the next */
    const char *application_name;
    const char *params; /* all of them, for startup_next_param() */

    /* STARTUP_CANCEL */
    const char *key; /* process id and secret, as they stood in BackendKeyData */
    size_t key_len;
};

struct startup_param {
    const char *name;
    const char *value;
};

/* Looks at the bytes received so far. *ret_startup is valid only as far as the kind says. */
enum startup_kind startup_parse(const char *data, size_t len, struct startup *ret_startup);

/* Walks the parameters of a login in the order sent; *pos starts as startup->params. */
bool startup_next_param(const char **pos, struct startup_param *ret_param);
/* A `_pq_.` option: of the protocol, not a parameter of the session. */
bool startup_param_is_protocol(const char *name);

/*
 * Reads the settings out of an `options` parameter: "-c name=value", "-cname=value", "--name=value"
 * with backslash escapes, and - for _ in names. The callback gets strings that live for the call;
 * it returns false to refuse one, which ends the walk.
 */
enum startup_error startup_options(const char *options,
                                   bool (*each)(void *arg, const char *name, const char *value),
                                   void *arg);

/* What the client is told. */
const char *startup_error_text(enum startup_error error);
const char *startup_error_sqlstate(enum startup_error error);
