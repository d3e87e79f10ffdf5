/*
 * snapshot.h - rows copied out of the workers, for the console.
 *
 * A snapshot is plain data: it refers to nothing that lives on. Thread: whoever owns it. Times are
 * wall clock microseconds (0: never), durations microseconds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "usec.h"

enum {
    SNAPSHOT_POOLS = 1,
    SNAPSHOT_CLIENTS = 2,
    SNAPSHOT_SERVERS = 4,
    SNAPSHOT_DATABASES = 8,
    SNAPSHOT_TASKS = 16,
    SNAPSHOT_STATS = 32, /* part of the databases' rows */
    SNAPSHOT_USERS = 64,
};

#define SNAPSHOT_NAME 64

/* What is counted per database; SHOW STATS is made of it. Times in microseconds. */
struct stats {
    uint64_t server_assignments, xacts, queries, received, sent;
    uint64_t xact_time, query_time, wait_time;
    uint64_t client_parses, server_parses, binds, client_logins;
    uint64_t heals; /* Binds that were sent once more */
};
void stats_add(struct stats *sum, const struct stats *more);

struct pool_row {
    char database[SNAPSHOT_NAME], user[128];
    unsigned cl_active, cl_waiting, cl_active_cancel, cl_waiting_cancel;
    unsigned sv_active, sv_active_cancel, sv_being_canceled, sv_idle, sv_used, sv_tested, sv_login;
    usec_t max_wait;
    const char *pool_mode; /* static */
    unsigned shards, size, reserve, permits_used;
};

struct socket_row { /* a client or a server */
    bool is_server;
    char database[SNAPSHOT_NAME], user[128], application_name[SNAPSHOT_NAME];
    const char *replication; /* "none", "logical", "physical" */
    const char *state;       /* static, PgBouncer's word */
    char addr[64], local_addr[64];
    int port, local_port;
    usec_t connect_time, request_time;
    usec_t wait;            /* of a waiting client */
    const char *wait_cause; /* static, or NULL */
    bool close_needed;
    uint64_t id, link_id; /* link_id 0: not linked */
    int remote_pid;       /* server: of its process; client: of a unix socket's peer, else 0 */
    char tls[48];         /* "TLSv1.3/TLS_AES_256_GCM_SHA384" or "" */
    unsigned prepared_statements;
    unsigned worker;
};

struct database_row {
    char name[SNAPSHOT_NAME];
    char host[256], database[SNAPSHOT_NAME], force_user[128];
    int port;
    int pool_size, min_pool_size, reserve_pool_size; /* effective */
    usec_t server_lifetime;
    const char *pool_mode; /* static; NULL: inherited */
    int max_connections, current_connections;
    int max_client_connections, current_client_connections;
    bool paused, disabled, is_auto;
    struct stats total;
};

struct user_row { /* somebody who has logged in, or as whom servers are logged in to */
    char name[128];
    unsigned servers, clients;
};

struct task_row {
    char name[32], owner[SNAPSHOT_NAME], group[32];
    usec_t age, remaining; /* remaining USEC_NEVER: no deadline */
    bool cancelling;
    char thread[32];
};

struct snapshot {
    usec_t taken_at;
    struct pool_row *pools;
    size_t pool_count;
    struct socket_row *sockets;
    size_t socket_count;
    struct database_row *databases;
    size_t database_count;
    struct user_row *users;
    size_t user_count;
    struct task_row *tasks;
    size_t task_count;
    unsigned clients; /* connections now, logins in progress included */
    unsigned servers;
    bool incomplete; /* memory ran out on the way: rows are missing */
};
void snapshot_free(struct snapshot *snapshot);
