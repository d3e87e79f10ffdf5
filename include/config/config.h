/*
 * config.h - the configuration file, read and checked: every key, database and user of it.
 *
 * A struct config is built by one call, never changes afterwards, and is shared by reference. A
 * reload builds and checks a whole new one, which may fail and then has changed nothing; to put it
 * in force is to swap a pointer. The fields have the names of the keys; what a key means stands in
 * one place, its row in option_table.c, from which the parser, the defaults, SHOW CONFIG, the
 * sample file and the manual page are made.
 *
 * Thread: any, as nothing changes. Life: config_load ... config_unref.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "cleanup.h"
#include "macros.h"
#include "ref.h"
#include "usec.h"

struct hba;
struct ident;

/* What the keys that are words may be. */
enum auth_type {
    AUTH_TYPE_ANY,
    AUTH_TYPE_TRUST,
    AUTH_TYPE_PLAIN,
    AUTH_TYPE_MD5,
    AUTH_TYPE_SCRAM_SHA_256,
    AUTH_TYPE_CERT,
    AUTH_TYPE_PEER,
    AUTH_TYPE_HBA,
    AUTH_TYPE_PAM,
    AUTH_TYPE_LDAP,
    AUTH_TYPE_REJECT, /* of an HBA rule only */
};
enum pool_mode { POOL_SESSION, POOL_TRANSACTION, POOL_STATEMENT };
enum tls_mode { TLS_DISABLE, TLS_ALLOW, TLS_PREFER, TLS_REQUIRE, TLS_VERIFY_CA, TLS_VERIFY_FULL };
enum load_balance { LOAD_BALANCE_ROUND_ROBIN, LOAD_BALANCE_DISABLE };
enum batch_sends { BATCH_AUTO, BATCH_URING, BATCH_AIO, BATCH_OFF };

/* The words themselves: "session", "verify-full", "round-robin", "trust". */
const char *pool_mode_name(enum pool_mode mode);
const char *tls_mode_name(enum tls_mode mode);
const char *load_balance_name(enum load_balance balance);
const char *auth_type_name(enum auth_type type);
/* The library that a method needs and that this build has not; NULL: there is none. */
const char *auth_type_missing(enum auth_type type);

/*
 * An entry of [databases] or [users] overrides the file's general keys where it says something.
 * Where it does not, a number is CONFIG_UNSET, a span of time USEC_NEVER, a string NULL.
 */
#define CONFIG_UNSET (-1)

struct config_database {
    char *name;            /* as clients call it; "*" is the template of config->autodb */
    char *dbname;          /* on the server; never NULL but in the template, where it is the name */
    char *host;            /* comma list of names, addresses, /directories, @abstract; NULL: unix */
    char *user, *password; /* forced on the server connections */
    char *connect_query;
    char *client_encoding, *datestyle, *timezone, *application_name;
    char *auth_user, *auth_dbname, *auth_query;
    char *server_tls_ca_file, *server_tls_cert_file, *server_tls_key_file;
    char *server_tls_protocols;
    usec_t query_wait_timeout, server_lifetime;
    int port;               /* never unset */
    int load_balance_hosts; /* enum load_balance, never unset */
    int pool_mode;          /* enum pool_mode */
    int server_tls_sslmode; /* enum tls_mode */
    int pool_size, min_pool_size, reserve_pool_size;
    int max_db_connections, max_db_client_connections;
};

struct config_user {
    char *name;
    usec_t client_idle_timeout, idle_transaction_timeout, query_timeout, query_wait_timeout;
    usec_t transaction_timeout;
    int pool_mode; /* enum pool_mode */
    int pool_size, reserve_pool_size;
    int max_user_connections, max_user_client_connections;
};

/* An entry of [peers]: another pgweir (or PgBouncer) that cancel requests are passed on to. */
struct config_peer {
    char *name; /* its peer_id, as written */
    char *host; /* never NULL: a name, an address, a /directory or an @abstract socket */
    int id, port;
    int pool_size; /* so many cancels may be under way to it; 0: default_pool_size */
};

/* A line of auth_file. */
struct config_auth_user {
    char *name;
    char *secret; /* plain, "md5..." or "SCRAM-SHA-256$..."; "" is none */
};

/*
 * A string is never NULL; empty is "not set". A list is the text of the file, walked with
 * str_list_next. Time is in microseconds whatever the unit in the file.
 */
struct config {
    struct ref ref;

    /* network */
    char *listen_addr; /* list */
    int listen_port;
    int listen_backlog;
    bool so_reuseport;
    char *unix_socket_dir;
    char *unix_socket_group;
    mode_t unix_socket_mode;
    int tcp_defer_accept; /* seconds */
    bool tcp_keepalive;
    int tcp_keepcnt;
    usec_t tcp_keepidle;
    usec_t tcp_keepintvl;
    uint64_t tcp_socket_buffer;
    usec_t tcp_user_timeout;
    uint64_t max_packet_size;
    int max_prepared_statements;
    bool prepare_unnamed;
    uint64_t pkt_buf;
    int sbuf_loopcnt;
    int batch_sends; /* enum batch_sends */

    /* process */
    char *user;
    char *pidfile;
    char *conffile;
    char *job_name;
    char *resolv_conf;
    int peer_id;        /* 0: no peers */
    int worker_threads; /* 0 is auto */
    usec_t slow_callback_duration;
    usec_t shutdown_timeout;
    usec_t suspend_timeout;

    /* log */
    char *logfile;
    bool syslog;
    char *syslog_ident;
    int syslog_facility; /* LOG_DAEMON ... of syslog.h */
    bool log_connections;
    bool log_disconnections;
    bool log_pooler_errors;
    bool log_stats;
    bool log_stats_legacy;
    bool console_legacy_columns;
    usec_t stats_period;
    int verbose;

    /* authentication */
    int auth_type; /* enum auth_type */
    char *auth_file;
    char *auth_hba_file;
    char *auth_ident_file;
    bool auth_hba_lenient;
    char *auth_ldap_options;
    char *auth_user; /* "": no auth_query */
    char *auth_dbname;
    char *auth_query;
    usec_t auth_query_cache;
    int scram_iterations;
    char *admin_users; /* list */
    char *stats_users; /* list */

    /* pools and limits */
    int pool_mode;   /* enum pool_mode */
    int pool_shards; /* 0 is auto */
    int max_client_conn;
    int default_pool_size;
    int min_pool_size;
    int reserve_pool_size;
    usec_t reserve_pool_timeout;
    int max_db_connections;
    int max_user_connections;
    int max_db_client_connections;
    int max_user_client_connections;
    int connect_burst;
    usec_t autodb_idle_timeout;
    usec_t pool_idle_timeout;

    /* servers */
    bool server_round_robin;
    usec_t server_lifetime;
    usec_t server_idle_timeout;
    usec_t server_connect_timeout;
    usec_t server_login_retry;
    usec_t server_check_delay;
    char *server_check_query; /* "<empty>": an empty query; "": no check */
    char *server_reset_query;
    bool server_reset_query_always;
    bool server_fast_close;
    usec_t dns_max_ttl;
    usec_t dns_nxdomain_ttl;
    usec_t dns_zone_check_period;
    int server_tls_sslmode; /* enum tls_mode */
    char *server_tls_ca_file;
    char *server_tls_cert_file;
    char *server_tls_key_file;
    char *server_tls_protocols; /* list of secure, all, legacy, tlsv1.0 ... tlsv1.3 */
    char *server_tls_ciphers;
    char *server_tls13_ciphers;

    /* clients */
    char *client_tls_sslmode; /* list: a mode, and "address=mode" */
    char *client_tls_ca_file;
    char *client_tls_cert_file;
    char *client_tls_key_file;
    char *client_tls_protocols; /* list, as server_tls_protocols */
    char *client_tls_ciphers;
    char *client_tls13_ciphers;
    char *client_tls_ecdhcurve;
    char *client_tls_dheparams;
    bool disable_pqexec;
    bool application_name_add_host;
    char *ignore_startup_parameters; /* list */
    char *track_extra_parameters;    /* list */
    char *login_notify_message;
    usec_t client_login_timeout;
    usec_t client_idle_timeout;
    usec_t query_timeout;
    usec_t query_wait_timeout;
    usec_t query_wait_notify;
    usec_t idle_transaction_timeout;
    usec_t transaction_timeout;
    usec_t cancel_wait_timeout;

    /* [databases], [users], [peers] and auth_file, each sorted by name */
    struct config_database **databases; /* owned */
    size_t n_databases;
    struct config_database *autodb; /* owned; the entry "*", NULL without one */
    struct config_user **users;     /* owned */
    size_t n_users;
    struct config_peer **peers; /* owned */
    size_t n_peers;
    struct config_auth_user **auth_users; /* owned */
    size_t n_auth_users;
    /* The first of them with another secret than "SCRAM-SHA-256$..."; borrowed, NULL: none. */
    const struct config_auth_user *auth_user_not_scram;

    struct hba *hba;     /* a reference; NULL unless auth_type is hba */
    struct ident *ident; /* a reference; NULL without auth_ident_file */
};

/* All that was wrong with a file, or strange. */
struct config_error {
    bool is_warning;
    char *file;    /* owned; NULL where no file is to blame */
    unsigned line; /* 0: the file as a whole */
    char *message; /* owned */
};

struct config_errors {
    struct config_error *list; /* owned; in the order they were found */
    size_t count;
    size_t warnings;    /* how many of them are only that */
    bool out_of_memory; /* something is missing from the list */
};

#define CONFIG_ERRORS_INIT                                                                         \
    {                                                                                              \
        .list = NULL                                                                               \
    }

void config_errors_done(struct config_errors *errors);
DEFINE_CLEANUP_IN_PLACE(struct config_errors, config_errors_done);
/* One that no file is to blame for: what the layers above find. */
void config_errors_add(struct config_errors *errors, bool is_warning, const char *format, ...)
    PRINTF_LIKE(3, 4);
bool config_errors_fatal(const struct config_errors *errors);
/* The first that is not a warning; NULL when there is none. */
const struct config_error *config_errors_first(const struct config_errors *errors);
/* By file and line; what no file is to blame for comes last. */
void config_errors_sort(struct config_errors *errors);
/* "pgweir.conf:12: unknown key "lisen_port", did you mean "listen_port"?" a line. */
void config_errors_print(const struct config_errors *errors, FILE *file);

/*
 * Reads the file at path, those it includes, and the auth_file. Returns -EINVAL when anything is
 * wrong: errors then has all of it at once. Warnings may be added on success, too. -ENOMEM.
 */
int config_load(const char *path, struct config_errors *errors, struct config **ret_config);
/*
 * The same, and notes (which are all warnings) gets what the lines of a PgBouncer file mean that
 * they do not mean to PgBouncer.
 */
int config_explain(const char *path, struct config_errors *errors, struct config_errors *notes,
                   struct config **ret_config);
/*
 * Reads running->conffile again for a running daemon. What needs a restart keeps its old value,
 * with a warning that says so.
 */
int config_reload(const struct config *running, struct config_errors *errors,
                  struct config **ret_config);
/*
 * A copy of old in which one key of the general section has another value. A key that needs a
 * restart is left as it is, with a warning. -EINVAL: no such key, or a bad value; errors says
 * which.
 */
int config_set(const struct config *old, const char *key, const char *value,
               struct config_errors *errors, struct config **ret_config);

struct config *config_ref(struct config *config);
void config_unref(struct config *config);
DEFINE_CLEANUP(struct config *, config_unref);

/* By exact name; NULL when there is none. autodb is not looked at. */
const struct config_database *config_find_database(const struct config *config, const char *name);
const struct config_user *config_find_user(const struct config *config, const char *name);
const struct config_auth_user *config_find_auth_user(const struct config *config, const char *name);
const struct config_peer *config_find_peer(const struct config *config, int id);

/*
 * The values in force for a database and a user; either may be NULL. 0 is "no limit" for all
 * numbers of servers and clients.
 */
enum pool_mode config_pool_mode(const struct config *config, const struct config_database *db,
                                const struct config_user *user);
int config_pool_size(const struct config *config, const struct config_database *db,
                     const struct config_user *user);
int config_reserve_pool_size(const struct config *config, const struct config_database *db,
                             const struct config_user *user);
int config_min_pool_size(const struct config *config, const struct config_database *db);
int config_max_db_connections(const struct config *config, const struct config_database *db);
int config_max_db_client_connections(const struct config *config, const struct config_database *db);
int config_max_user_connections(const struct config *config, const struct config_user *user);
int config_max_user_client_connections(const struct config *config, const struct config_user *user);
usec_t config_server_lifetime(const struct config *config, const struct config_database *db);
usec_t config_query_wait_timeout(const struct config *config, const struct config_database *db,
                                 const struct config_user *user);
usec_t config_query_timeout(const struct config *config, const struct config_user *user);
usec_t config_transaction_timeout(const struct config *config, const struct config_user *user);
usec_t config_idle_transaction_timeout(const struct config *config, const struct config_user *user);
usec_t config_client_idle_timeout(const struct config *config, const struct config_user *user);
/* Never NULL; "": no auth_query, or in the client's own database. */
const char *config_auth_user(const struct config *config, const struct config_database *db);
const char *config_auth_dbname(const struct config *config, const struct config_database *db);
const char *config_auth_query(const struct config *config, const struct config_database *db);
enum tls_mode config_server_tls_sslmode(const struct config *config,
                                        const struct config_database *db);
/* Never NULL. */
const char *config_server_tls_ca_file(const struct config *config,
                                      const struct config_database *db);
const char *config_server_tls_cert_file(const struct config *config,
                                        const struct config_database *db);
const char *config_server_tls_key_file(const struct config *config,
                                       const struct config_database *db);
const char *config_server_tls_protocols(const struct config *config,
                                        const struct config_database *db);
/* Of the clients that come through an item of listen_addr; NULL, a unix socket, has no TLS. */
enum tls_mode config_client_tls_sslmode(const struct config *config, const char *listen_address);
/* The strictest of client_tls_sslmode; TLS_DISABLE: no address has TLS. */
enum tls_mode config_highest_tls_mode(const struct config *config);

/* When a changed key takes effect. */
enum config_reload {
    RELOAD_LIVE,    /* at once */
    RELOAD_NEW,     /* for new server connections; those there are close when they are free */
    RELOAD_RESTART, /* when the daemon is started anew */
};

/* A row of SHOW CONFIG, in PgBouncer's order and form. */
struct config_item {
    const char *key;
    const char *value;         /* valid until the next step of the iteration */
    const char *default_value; /* "" without one */
    bool changeable;           /* not RELOAD_RESTART */
};

struct config_iterator {
    size_t next;
    char *text; /* owned: what item.value may point to */
};

#define CONFIG_ITERATOR_INIT                                                                       \
    {                                                                                              \
        .next = 0                                                                                  \
    }

/* 1 with a row, 0 at the end, -ENOMEM. */
int config_show(const struct config *config, struct config_iterator *iterator,
                struct config_item *ret_item);
void config_iterator_done(struct config_iterator *iterator);
DEFINE_CLEANUP_IN_PLACE(struct config_iterator, config_iterator_done);

/* Calls fn for each key of the general section whose value is not the same in both. Cannot fail. */
typedef void config_diff_fn(void *arg, const char *key, enum config_reload reload);
void config_diff(const struct config *old, const struct config *new, config_diff_fn *fn, void *arg);
/* Whether connections made with one do not fit the other: they are closed once they are free. */
bool config_servers_changed(const struct config *old, const struct config *new);
bool config_database_changed(const struct config_database *old, const struct config_database *new);

/* conf/pgweir.conf and docs/pgweir.5: made by the target config-gen, checked by a test. */
void config_write_sample(FILE *file);
void config_write_manual(FILE *file);
