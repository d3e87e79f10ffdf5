/*
 * ask.c - what the daemon itself asks a server, on the raw stream, and what comes of the answer.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "build.h"
#include "client.h"
#include "engine_int.h"
#include "pg.h"
#include "policy.h"
#include "pool.h"
#include "prepared.h"
#include "replication.h"
#include "server.h"
#include "settings.h"
#include "worker.h"

static const char *
ask_connect_query(const struct policy *policy)
{
    return policy->connect_query;
}

static const char *
ask_check_query(const struct policy *policy)
{
    return policy->check_query != NULL ? policy->check_query : "";
}

static const char *
ask_rollback_query(const struct policy *policy)
{
    (void)policy;
    return "ROLLBACK";
}

static const char *
ask_reset_query(const struct policy *policy)
{
    return policy->reset_query;
}

static const char *
ask_forget_query(const struct policy *policy)
{
    (void)policy;
    return "DEALLOCATE ALL";
}

/*
 * sql NULL: a Sync, the smallest round trip there is. It proves that the stream is in step after
 * the hand-off, and that the server has dealt with a cancel that came late.
 */
static const struct ask_row {
    const char *name;
    const char *(*sql)(const struct policy *policy);
    enum close_reason failure;
    bool is_lenient; /* an error is no failure, nor is an open transaction */
} asks[] = {
    /* clang-format off */
    [ASK_NOTHING]       = { "nothing",       NULL,               CLOSE_SV_OUT_OF_STEP,   false },
    [ASK_PROBE]         = { "probe",         NULL,               CLOSE_SV_OUT_OF_STEP,   false },
    [ASK_CONNECT_QUERY] = { "connect query", ask_connect_query,  CLOSE_SV_CONNECT_QUERY, false },
    [ASK_CHECK]         = { "check",         ask_check_query,    CLOSE_SV_TEST_FAILED,   false },
    [ASK_ROLLBACK]      = { "rollback",      ask_rollback_query, CLOSE_SV_RESET_FAILED,  false },
    [ASK_RESET]         = { "reset",         ask_reset_query,    CLOSE_SV_RESET_FAILED,  false },
    [ASK_FORGET]        = { "forget",        ask_forget_query,   CLOSE_SV_RESET_FAILED,  false },
    [ASK_SYNC]          = { "sync",          NULL,               CLOSE_SV_OUT_OF_STEP,   true },
    [ASK_LOOKUP]        = { "auth_query",    NULL,               CLOSE_SV_OUT_OF_STEP,   true },
    /* clang-format on */
};

/* The deadline is over, or the worker stops. */
static void
ask_cancel(struct task *task, enum task_why why)
{
    struct server *const server = container_of(task, struct server, task);

    server_close(server, why == TASK_TIMED_OUT ? CLOSE_SV_TIMEOUT : CLOSE_SV_STOP);
}

static int
ask_send(struct server *server, const char *sql)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    int r;

    server->progress = PROGRESS_BUSY;
    r = requests_push(&server->requests, sql != NULL ? FRONTEND_QUERY : FRONTEND_SYNC,
                      REQUEST_SKIP);
    if (r == 0)
        r = sql != NULL ? msg_query(&message, sql) : msg_sync(&message);
    if (r == 0)
        stream_send_copy(&server->stream, message.data, message.len);
    return r;
}

void
server_fence(struct server *server)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    int r;

    server->progress = PROGRESS_BUSY;
    prepared_leave_unnamed(server->client->names); /* a query ends it */
    r = requests_push(&server->requests, FRONTEND_QUERY, REQUEST_FENCE);
    if (r == 0)
        r = msg_query(&message, "");
    if (r == 0)
        stream_send_copy(&server->stream, message.data, message.len);
    else
        server_close(server, CLOSE_NO_MEMORY);
}

void
server_begin_ask(struct server *server, enum ask ask)
{
    struct shard *const shard = server->shard;
    const struct policy *const policy = shard->policy;
    const char *const sql = asks[ask].sql != NULL ? asks[ask].sql(policy) : NULL;
    char owner[32];

    assert(server->state == SERVER_SETUP || server->state == SERVER_TESTED);
    server->ask = ask;
    server->ask_failed = false;
    (void)snprintf(owner, sizeof owner, "S-0x%llx", (unsigned long long)server->id);
    if (ask_send(server, sql) < 0 || task_start(&server->task, shard->worker->tasks, asks[ask].name,
                                                owner, policy->ask_timeout, ask_cancel) < 0)
        server_close(server, CLOSE_NO_MEMORY);
}

void
server_begin_lookup(struct server *server, struct lookup *lookup)
{
    server_set_state(server, SERVER_TESTED);
    server->ask = ASK_LOOKUP;
    server->ask_failed = false;
    server->progress = PROGRESS_BUSY;
    server->lookup = lookup;
    server->request_time = loop_now(server->shard->worker->loop);
}

static void
server_setup_done(struct server *server)
{
    server->ask = ASK_NOTHING;
    if (server_is_dedicated(server)) { /* what its client asked for is not what others are told */
        replication_server_ready(server);
        return;
    }
    shard_welcome(server->shard, server->settings);
    if (server->state == SERVER_SETUP)
        pool_put(server);
}

/* Nothing that was asked gives cause for an error where there is no query: it is a farewell. */
static enum close_reason
ask_failure(const struct server *server)
{
    const struct ask_row *const row = &asks[server->ask];

    return row->sql == NULL && server->ask_failed ? CLOSE_SV_EOF : row->failure;
}

void
server_ask_done(struct server *server)
{
    const enum ask ask = server->ask;

    task_finish(&server->task);
    if ((server->ask_failed || server->status != READY_IDLE) && !asks[ask].is_lenient) {
        server_close(server, ask_failure(server));
        return;
    }
    switch (ask) {
    case ASK_PROBE:
        /* Physical replication knows no SQL. */
        if (server->shard->policy->connect_query != NULL &&
            server->replication != REPLICATION_PHYSICAL)
            server_begin_ask(server, ASK_CONNECT_QUERY);
        else
            server_setup_done(server);
        return;
    case ASK_CONNECT_QUERY:
        server_setup_done(server);
        return;
    case ASK_CHECK:
        server->ask = ASK_NOTHING;
        pool_put(server);
        return;
    case ASK_LOOKUP:
        lookup_answered(TAKE(server->lookup), server->ask_failed ? server->trouble : NULL);
        *server->trouble = '\0';
        server_release(server);
        return;
    default:
        server_release(server);
    }
}
