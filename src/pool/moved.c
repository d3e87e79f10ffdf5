/*
 * moved.c - a host's name has got other addresses: every worker looks through its servers.
 */
#include <stdlib.h>

#include "engine_int.h"
#include "log.h"
#include "pool.h"
#include "str.h"

/* One for each worker. */
struct moved {
    struct message message;
    struct worker *worker;
    char *host; /* owned, as the next */
    char *address;
};

static void
moved_free(struct moved *moved)
{
    free(moved->host);
    free(moved->address);
    free(moved);
}

static void
moved_arrives(struct message *message)
{
    struct moved *const moved = container_of(message, struct moved, message);
    struct engine *const engine = moved->worker->engine;
    struct shard *shard;

    if (!moved->worker->stopping) {
        LIST_FOREACH (shard, &moved->worker->shards, link)
            shard_leave_address(shard, moved->host, moved->address);
    }
    moved_free(moved);
    engine_release_object(engine);
}

/* Without memory for it the servers live on, as they would without our having noticed. */
static void
moved_send(struct worker *worker, const char *host, const char *address)
{
    struct moved *const moved = calloc(1, sizeof *moved);

    if (moved == NULL)
        return;
    moved->worker = worker;
    moved->message.fn = moved_arrives;
    if (str_set(&moved->host, host) < 0 || str_set(&moved->address, address) < 0) {
        moved_free(moved);
        return;
    }
    engine_hold_object(worker->engine);
    loop_post(worker->loop, &moved->message);
}

void
engine_host_moved(void *arg, const char *host, const char *address)
{
    struct engine *const engine = arg;

    engine_hold_object(engine); /* first: who stops the engine now waits for it, or is seen here */
    if (!atomic_load(&engine->stopping)) {
        log_info("%s is not at %s any more", host, address);
        for (unsigned i = 0; i < engine->worker_count; i++)
            moved_send(&engine->workers[i], host, address);
    }
    engine_release_object(engine);
}
