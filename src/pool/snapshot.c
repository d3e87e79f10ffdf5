/*
 * snapshot.c - each worker fills in a part at its next turn; the main loop puts the parts together.
 */
#include "snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "client.h"
#include "clock.h"
#include "config.h"
#include "engine_int.h"
#include "forget.h"
#include "policy.h"
#include "pool.h"
#include "prepared.h"
#include "replication.h"
#include "requests.h"
#include "server.h"
#include "settings.h"
#include "str.h"
#include "task.h"

struct snapshot_part {
    struct message message;
    struct snapshot_request *request;
    struct worker *worker;
    unsigned what;
    struct snapshot snapshot;
};

void
stats_add(struct stats *sum, const struct stats *more)
{
    sum->server_assignments += more->server_assignments;
    sum->xacts += more->xacts;
    sum->queries += more->queries;
    sum->received += more->received;
    sum->sent += more->sent;
    sum->xact_time += more->xact_time;
    sum->query_time += more->query_time;
    sum->wait_time += more->wait_time;
    sum->client_parses += more->client_parses;
    sum->server_parses += more->server_parses;
    sum->binds += more->binds;
    sum->client_logins += more->client_logins;
    sum->heals += more->heals;
}

static void
snapshot_done(struct snapshot *snapshot)
{
    free(snapshot->pools);
    free(snapshot->sockets);
    free(snapshot->databases);
    free(snapshot->users);
    free(snapshot->tasks);
}

void
snapshot_free(struct snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    snapshot_done(snapshot);
    free(snapshot);
}

/* One more, zeroed row at the end of an array; NULL and the mark `incomplete` without memory. */
static void *
snapshot_add_row(struct snapshot *snapshot, void *array_pointer, size_t *count, size_t row_size)
{
    void **const array = array_pointer;
    const size_t n = *count;
    char *row;

    if ((n & (n - 1)) == 0) { /* grows at each power of two */
        void *const bigger = realloc(*array, (n == 0 ? 1 : n * 2) * row_size);

        if (bigger == NULL) {
            snapshot->incomplete = true;
            return NULL;
        }
        *array = bigger;
    }
    row = (char *)*array + n * row_size;
    memset(row, 0, row_size);
    *count = n + 1;
    return row;
}

/* ---- the worker's part ------------------------------------------------------------------------
 */

/* A loop's time as a wall clock's. */
static usec_t
snapshot_wall(const struct snapshot *snapshot, struct worker *worker, usec_t at)
{
    return at == 0 ? 0 : snapshot->taken_at - usec_sub(loop_now(worker->loop), at);
}

static void
snapshot_local_address(int fd, int default_port, struct socket_row *row)
{
    struct sockaddr_storage addr = {0};
    struct peer_address local;
    struct address address;
    socklen_t len = sizeof addr;

    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        return;
    address_from_socket(&address, fd, (struct sockaddr *)&addr, (unsigned)default_port);
    if (address.family == AF_UNIX)
        address.pid = 0;
    address_format(&address, &local);
    (void)str_copy(row->local_addr, sizeof row->local_addr, local.host);
    row->local_port = local.port;
}

static void
snapshot_client(struct snapshot *snapshot, struct worker *worker, const struct client *client)
{
    struct socket_row *const row =
        snapshot_add_row(snapshot, &snapshot->sockets, &snapshot->socket_count, sizeof *row);
    const char *const application = settings_get(client->settings, "application_name");
    struct peer_address peer;

    if (row == NULL)
        return;
    address_format(&client->address, &peer);
    (void)str_copy(row->database, sizeof row->database, client_database(client));
    (void)str_copy(row->user, sizeof row->user, client_user(client));
    (void)str_copy(row->application_name, sizeof row->application_name,
                   application != NULL ? application : "");
    (void)str_copy(row->addr, sizeof row->addr, peer.host);
    row->port = peer.port;
    snapshot_local_address(client->stream.fd, peer.port, row);
    row->replication = replication_name(replication_kind_of(client->replication));
    row->state = client_state_name(client->state);
    row->connect_time = client->connect_wall * SEC;
    row->request_time = snapshot_wall(snapshot, worker, client->request_time);
    if (client->state == CLIENT_WAITING) {
        row->wait = loop_now(worker->loop) - client->waiter.since;
        row->wait_cause = wait_cause_text(client->shard->cause);
    }
    row->id = client->id;
    row->link_id = client->server != NULL ? client->server->id : 0;
    row->prepared_statements = prepared_count_names(client->names);
    row->remote_pid = (int)address_pid(&client->address);
    client_describe_tls(client, row->tls);
    row->worker = worker->index;
}

static void
snapshot_server(struct snapshot *snapshot, struct worker *worker, const struct server *server)
{
    struct socket_row *const row =
        snapshot_add_row(snapshot, &snapshot->sockets, &snapshot->socket_count, sizeof *row);
    const struct backend *const backend = server->backend;
    const char *const application = settings_get(server->settings, "application_name");

    if (row == NULL)
        return;
    row->is_server = true;
    (void)str_copy(row->database, sizeof row->database, server->shard->pool->database->name);
    (void)str_copy(row->user, sizeof row->user, server->shard->pool->user->name);
    (void)str_copy(row->application_name, sizeof row->application_name,
                   application != NULL ? application : "");
    (void)str_copy(row->addr, sizeof row->addr, backend->remote_addr);
    (void)str_copy(row->local_addr, sizeof row->local_addr, backend->local_addr);
    row->port = backend->remote_port;
    row->local_port = backend->local_port;
    row->replication = replication_name(server->replication);
    row->state = server_state_name(server->state);
    if (server->state == SERVER_IDLE && !server_is_usable(server))
        row->state = "used";
    else if (server->lookup != NULL)
        row->state = server_state_name(SERVER_ACTIVE);
    row->connect_time = server->connect_wall;
    row->request_time = snapshot_wall(snapshot, worker, server->request_time);
    row->close_needed = server_is_obsolete(server);
    row->id = server->id;
    row->link_id = server->client != NULL ? server->client->id : 0;
    row->prepared_statements = prepared_count(server->prepared);
    row->remote_pid = backend->pid;
    if (backend->tls != NULL)
        (void)snprintf(row->tls, sizeof row->tls, "%s/%s", backend->tls_version,
                       backend->tls_cipher);
    row->worker = worker->index;
}

static void
snapshot_count_client(struct pool_row *row, const struct client *client)
{
    switch (client->state) {
    case CLIENT_WAITING:
    case CLIENT_WELCOME:
        row->cl_waiting++;
        return;
    default:
        row->cl_active++;
    }
}

static void
snapshot_count_server(struct pool_row *row, const struct server *server)
{
    row->sv_active_cancel += server->cancelling;
    row->cl_active_cancel += (unsigned)list_count(&server->cancel_told);
    row->cl_waiting_cancel += (unsigned)list_count(&server->cancel_asked);
    switch (server->state) {
    case SERVER_SETUP:
        row->sv_login++;
        return;
    case SERVER_IDLE:
        if (server_is_usable(server))
            row->sv_idle++;
        else
            row->sv_used++;
        return;
    case SERVER_TESTED:
        if (server->lookup != NULL)
            row->sv_active++;
        else
            row->sv_tested++;
        return;
    case SERVER_CANCELED:
        row->sv_being_canceled++;
        return;
    default:
        row->sv_active++;
    }
}

static void
snapshot_pool(struct snapshot *snapshot, struct worker *worker, const struct shard *shard)
{
    struct pool_row *const row =
        snapshot_add_row(snapshot, &snapshot->pools, &snapshot->pool_count, sizeof *row);
    const struct waiter *const oldest =
        list_entry(list_first(&shard->waiters), struct waiter, link);
    const struct client *client;
    const struct server *server;

    if (row == NULL)
        return;
    (void)str_copy(row->database, sizeof row->database, shard->pool->database->name);
    (void)str_copy(row->user, sizeof row->user, shard->pool->user->name);
    LIST_FOREACH (client, &shard->clients, link)
        snapshot_count_client(row, client);
    LIST_FOREACH (server, &shard->servers, link)
        snapshot_count_server(row, server);
    row->cl_waiting += shard->lookups.waiting;
    row->sv_login += shard->opening + shard->dedicated_opening;
    row->max_wait = oldest != NULL ? loop_now(worker->loop) - oldest->since : 0;
    row->pool_mode = pool_mode_name(shard->policy->mode);
    row->shards = 1;
    row->size = shard->policy->size;
    row->reserve = shard->policy->reserve;
    row->permits_used = permits_used(&shard->pool->servers);
}

static struct database_row *
snapshot_find_database(struct snapshot *snapshot, const char *name)
{
    struct database_row *row;

    for (size_t i = 0; i < snapshot->database_count; i++) {
        if (str_eq(snapshot->databases[i].name, name))
            return &snapshot->databases[i];
    }
    row = snapshot_add_row(snapshot, &snapshot->databases, &snapshot->database_count, sizeof *row);
    if (row != NULL)
        (void)str_copy(row->name, sizeof row->name, name);
    return row;
}

struct snapshot_task {
    struct snapshot *snapshot;
    struct worker *worker;
};

static void
snapshot_add_task(const struct task *task, void *arg)
{
    const struct snapshot_task *const to = arg;
    const usec_t now = loop_now(to->worker->loop);
    struct task_row *const row = snapshot_add_row(to->snapshot, &to->snapshot->tasks,
                                                  &to->snapshot->task_count, sizeof *row);

    if (row == NULL)
        return;
    (void)str_copy(row->name, sizeof row->name, task->name);
    (void)str_copy(row->owner, sizeof row->owner, task->owner);
    (void)str_copy(row->group, sizeof row->group, to->worker->name);
    (void)str_copy(row->thread, sizeof row->thread, to->worker->name);
    row->age = now - task->started;
    row->remaining = task->deadline == USEC_NEVER ? USEC_NEVER : usec_sub(task->deadline, now);
    row->cancelling = task->cancelling;
}

static void
snapshot_shard(struct snapshot *snapshot, struct worker *worker, struct shard *shard, unsigned what)
{
    const struct client *client;
    const struct server *server;

    if (what & SNAPSHOT_POOLS)
        snapshot_pool(snapshot, worker, shard);
    if (what & SNAPSHOT_CLIENTS) {
        LIST_FOREACH (client, &shard->clients, link)
            snapshot_client(snapshot, worker, client);
    }
    if (what & SNAPSHOT_SERVERS) {
        LIST_FOREACH (server, &shard->servers, link)
            snapshot_server(snapshot, worker, server);
    }
    if (what & (SNAPSHOT_STATS | SNAPSHOT_DATABASES)) {
        struct database_row *const row =
            snapshot_find_database(snapshot, shard->pool->database->name);

        if (row != NULL)
            stats_add(&row->total, &shard->stats);
    }
}

static void
snapshot_add_past(void *arg, const char *database, const struct stats *stats)
{
    struct database_row *const row = snapshot_find_database(arg, database);

    if (row != NULL)
        stats_add(&row->total, stats);
}

void
snapshot_collect(struct worker *worker, unsigned what, struct snapshot *snapshot)
{
    struct snapshot_task tasks = {snapshot, worker};
    const struct client *client;
    struct shard *shard;

    snapshot->taken_at = clock_wall();
    snapshot->clients = atomic_load(&worker->client_count);
    LIST_FOREACH (shard, &worker->shards, link) {
        snapshot->servers += shard->server_count;
        snapshot_shard(snapshot, worker, shard, what);
    }
    if (what & (SNAPSHOT_STATS | SNAPSHOT_DATABASES))
        forget_each_past(worker, snapshot_add_past, snapshot);
    if (what & SNAPSHOT_CLIENTS) {
        LIST_FOREACH (client, &worker->clients, link)
            snapshot_client(snapshot, worker, client);
    }
    if (what & SNAPSHOT_TASKS)
        task_group_each(worker->tasks, snapshot_add_task, &tasks);
}

/* ---- putting it together ----------------------------------------------------------------------
 */

static void
snapshot_merge_pool(struct snapshot *snapshot, const struct pool_row *part)
{
    struct pool_row *row = NULL;

    for (size_t i = 0; i < snapshot->pool_count && row == NULL; i++) {
        if (str_eq(snapshot->pools[i].database, part->database) &&
            str_eq(snapshot->pools[i].user, part->user))
            row = &snapshot->pools[i];
    }
    if (row == NULL) {
        row = snapshot_add_row(snapshot, &snapshot->pools, &snapshot->pool_count, sizeof *row);
        if (row != NULL)
            *row = *part;
        return;
    }
    row->cl_active += part->cl_active;
    row->cl_waiting += part->cl_waiting;
    row->cl_active_cancel += part->cl_active_cancel;
    row->cl_waiting_cancel += part->cl_waiting_cancel;
    row->sv_active += part->sv_active;
    row->sv_active_cancel += part->sv_active_cancel;
    row->sv_being_canceled += part->sv_being_canceled;
    row->sv_idle += part->sv_idle;
    row->sv_used += part->sv_used;
    row->sv_tested += part->sv_tested;
    row->sv_login += part->sv_login;
    row->max_wait = MAX(row->max_wait, part->max_wait);
    row->shards += part->shards;
}

static void
snapshot_merge(struct snapshot *snapshot, const struct snapshot *part)
{
    snapshot->taken_at = MAX(snapshot->taken_at, part->taken_at);
    snapshot->clients += part->clients;
    snapshot->servers += part->servers;
    snapshot->incomplete = snapshot->incomplete || part->incomplete;
    for (size_t i = 0; i < part->pool_count; i++)
        snapshot_merge_pool(snapshot, &part->pools[i]);
    for (size_t i = 0; i < part->socket_count; i++) {
        struct socket_row *const row =
            snapshot_add_row(snapshot, &snapshot->sockets, &snapshot->socket_count, sizeof *row);

        if (row != NULL)
            *row = part->sockets[i];
    }
    for (size_t i = 0; i < part->task_count; i++) {
        struct task_row *const row =
            snapshot_add_row(snapshot, &snapshot->tasks, &snapshot->task_count, sizeof *row);

        if (row != NULL)
            *row = part->tasks[i];
    }
    for (size_t i = 0; i < part->database_count; i++) {
        struct database_row *const row = snapshot_find_database(snapshot, part->databases[i].name);

        if (row != NULL)
            stats_add(&row->total, &part->databases[i].total);
    }
}

static void
snapshot_describe_entry(struct database_row *row, const struct config *config)
{
    const struct config_database *const entry = registry_entry(config, row->name);

    if (entry == NULL) {
        row->disabled = true;
        return;
    }
    (void)str_copy(row->host, sizeof row->host, entry->host != NULL ? entry->host : "");
    (void)str_copy(row->database, sizeof row->database,
                   entry->dbname != NULL ? entry->dbname : row->name);
    (void)str_copy(row->force_user, sizeof row->force_user, entry->user != NULL ? entry->user : "");
    row->port = entry->port;
    row->pool_size = config_pool_size(config, entry, NULL);
    row->min_pool_size = config_min_pool_size(config, entry);
    row->reserve_pool_size = config_reserve_pool_size(config, entry, NULL);
    row->server_lifetime = config_server_lifetime(config, entry);
    row->pool_mode =
        entry->pool_mode == CONFIG_UNSET ? NULL : pool_mode_name((enum pool_mode)entry->pool_mode);
    row->max_connections = config_max_db_connections(config, entry);
    row->max_client_connections = config_max_db_client_connections(config, entry);
    row->is_auto = config_find_database(config, row->name) == NULL;
}

static void
snapshot_describe_database(struct database *database, void *arg)
{
    struct snapshot *const snapshot = arg;
    struct database_row *const row = snapshot_find_database(snapshot, database->name);

    if (row == NULL)
        return;
    row->paused = atomic_load(&database->paused);
    row->disabled = atomic_load(&database->disabled);
    row->current_connections = (int)permits_used(&database->servers);
    row->current_client_connections = (int)permits_used(&database->clients);
}

static void
snapshot_describe_user(struct user *user, void *arg)
{
    struct snapshot *const snapshot = arg;
    struct user_row *const row =
        snapshot_add_row(snapshot, &snapshot->users, &snapshot->user_count, sizeof *row);

    if (row == NULL)
        return;
    (void)str_copy(row->name, sizeof row->name, user->name);
    row->servers = permits_used(&user->servers);
    row->clients = permits_used(&user->clients);
}

static int
snapshot_compare_pools(const void *a, const void *b)
{
    const struct pool_row *const one = a, *const other = b;
    const int order = strcmp(one->database, other->database);

    return order != 0 ? order : strcmp(one->user, other->user);
}

static int
snapshot_compare_databases(const void *a, const void *b)
{
    return strcmp(((const struct database_row *)a)->name, ((const struct database_row *)b)->name);
}

static int
snapshot_compare_users(const void *a, const void *b)
{
    return strcmp(((const struct user_row *)a)->name, ((const struct user_row *)b)->name);
}

/* By name, as PgBouncer keeps them: who looks twice finds a row where it was. */
static void
snapshot_sort(struct snapshot *snapshot)
{
    if (snapshot->pool_count > 0)
        qsort(snapshot->pools, snapshot->pool_count, sizeof *snapshot->pools,
              snapshot_compare_pools);
    if (snapshot->database_count > 0)
        qsort(snapshot->databases, snapshot->database_count, sizeof *snapshot->databases,
              snapshot_compare_databases);
    if (snapshot->user_count > 0)
        qsort(snapshot->users, snapshot->user_count, sizeof *snapshot->users,
              snapshot_compare_users);
}

static void
snapshot_describe(struct snapshot *snapshot, struct engine *engine, unsigned what)
{
    const struct config *const config = engine->config;

    for (size_t i = 0; i < config->n_databases; i++)
        (void)snapshot_find_database(snapshot, config->databases[i]->name);
    registry_each_database(&engine->registry, snapshot_describe_database, snapshot);
    for (size_t i = 0; i < snapshot->database_count; i++)
        snapshot_describe_entry(&snapshot->databases[i], config);
    if (what & SNAPSHOT_USERS)
        registry_each_user(&engine->registry, snapshot_describe_user, snapshot);
    snapshot_sort(snapshot);
}

static void
snapshot_finish(struct snapshot_request *request)
{
    struct snapshot *const snapshot = request->snapshot;

    if (--request->pending > 0)
        return;
    if (snapshot != NULL)
        snapshot_describe(snapshot, request->engine, request->what);
    request->done(request, snapshot);
}

static void
snapshot_part_back(struct message *message)
{
    struct snapshot_part *const part = container_of(message, struct snapshot_part, message);

    snapshot_merge(part->request->snapshot, &part->snapshot);
    snapshot_done(&part->snapshot);
    snapshot_finish(part->request);
    free(part);
}

static void
snapshot_part_collect(struct message *message)
{
    struct snapshot_part *const part = container_of(message, struct snapshot_part, message);

    snapshot_collect(part->worker, part->what, &part->snapshot);
    part->message.fn = snapshot_part_back;
    loop_post(part->worker->engine->main_loop, &part->message);
}

static void
snapshot_ask_worker(struct snapshot_request *request, struct worker *worker)
{
    struct snapshot_part *const part = calloc(1, sizeof *part);

    if (part == NULL) {
        request->snapshot->incomplete = true;
        return;
    }
    part->request = request;
    part->worker = worker;
    part->what = request->what;
    part->message.fn = snapshot_part_collect;
    request->pending++;
    loop_post(worker->loop, &part->message);
}

/* The asker itself counts as one more part, so that done never comes from inside the call. */
static void
snapshot_own_part(struct message *message)
{
    struct snapshot_part *const part = container_of(message, struct snapshot_part, message);

    snapshot_finish(part->request);
    free(part);
}

void
engine_snapshot(struct engine *engine, struct snapshot_request *request)
{
    struct snapshot_part *const own = calloc(1, sizeof *own);

    request->engine = engine;
    request->snapshot = calloc(1, sizeof *request->snapshot);
    request->pending = 1;
    if (own == NULL || request->snapshot == NULL) {
        snapshot_free(TAKE(request->snapshot));
        free(own);
        snapshot_finish(request);
        return;
    }
    own->request = request;
    own->message.fn = snapshot_own_part;
    for (unsigned i = 0; i < engine->worker_count; i++)
        snapshot_ask_worker(request, &engine->workers[i]);
    loop_post(engine->main_loop, &own->message);
}
