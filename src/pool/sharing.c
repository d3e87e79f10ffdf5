/*
 * sharing.c - how the shards of one pool share its servers: by messages, triggered by time.
 *
 * Each shard publishes since when its oldest waiter waits and how many servers are idle. Who gets a
 * server back looks at the others' waiters; who needs one looks at the others' idle servers. Both
 * publish before they look (sequentially consistent), so one of two who pass each other sees the
 * other.
 */
#include <stdlib.h>

#include "client.h"
#include "engine_int.h"
#include "policy.h"
#include "pool.h"
#include "replication.h"
#include "server.h"
#include "worker.h"

/* A waiter of another shard must be older by so much: moving a server costs a wake-up there. */
#define SHARING_TOLERANCE (4 * MSEC)
/* Before a waiter gets an idle server of another shard; most often one of its own is faster. */
#define SHARING_PATIENCE (1 * MSEC)

bool
sharing_is_alone(const struct shard *shard)
{
    return atomic_load_explicit(&shard->pool->shard_count, memory_order_relaxed) < 2;
}

void
sharing_publish_waiters(struct shard *shard)
{
    const struct waiter *const oldest =
        list_entry(list_first(&shard->waiters), struct waiter, link);
    const usec_t claim = replication_claims_since(shard);
    usec_t since = oldest != NULL ? oldest->since : 0;

    if (sharing_is_alone(shard) && oldest != NULL)
        return;
    if (claim != 0 && (since == 0 || claim < since))
        since = claim;
    atomic_store(&shard->waiting, shard->waiter_count + (claim != 0));
    atomic_store(&shard->oldest_wait, since);
}

/* Since when its oldest waiter waits for whom no server is on its way yet; 0: there is none. */
static usec_t
sharing_needs_since(struct shard *shard)
{
    return atomic_load(&shard->waiting) > atomic_load(&shard->incoming)
               ? atomic_load(&shard->oldest_wait)
               : 0;
}

/* The sibling whose oldest waiter waits the longest, if that is since before `since`. */
static struct shard *
sharing_find_waiter(const struct shard *shard, usec_t since)
{
    struct pool *const pool = shard->pool;
    const unsigned count = atomic_load_explicit(&pool->shard_count, memory_order_acquire);
    struct shard *found = NULL;

    for (unsigned i = 0; i < count; i++) {
        struct shard *const other = pool->shards[i];
        const usec_t waits = other == shard ? 0 : sharing_needs_since(other);

        if (waits != 0 && waits < since) {
            since = waits;
            found = other;
        }
    }
    return found;
}

bool
sharing_give(struct shard *shard, struct server *server)
{
    const struct waiter *const oldest =
        list_entry(list_first(&shard->waiters), struct waiter, link);
    struct shard *const other =
        sharing_find_waiter(shard, usec_sub(oldest->since, SHARING_TOLERANCE));

    if (other == NULL)
        return false;
    server_move(server, other);
    return true;
}

/*
 * At the end of the turn, when those who came in it have been served: in a busy pool most servers
 * that come back find a new client at once, and moving them would be in vain.
 */
static void
sharing_offer_idle(struct message *message)
{
    struct shard *const shard = container_of(message, struct shard, offer);
    const usec_t now = loop_now(shard->worker->loop);
    struct list *link;
    struct shard *other;

    shard->offer_deferred = false;
    while (list_empty(&shard->waiters) && (link = list_first(&shard->idle)) != NULL &&
           (other = sharing_find_waiter(shard, usec_sub(now, SHARING_PATIENCE) + 1)) != NULL) {
        struct server *const server = container_of(link, struct server, idle_link);

        if (!server_is_usable(server)) {
            server_check(server); /* and then to whoever has waited longest */
            return;
        }
        shard_remove_idle(shard, server);
        server_move(server, other);
    }
    if (!list_empty(&shard->idle) && sharing_find_waiter(shard, USEC_NEVER) != NULL)
        shard_schedule(shard, now + SHARING_PATIENCE);
}

void
sharing_offer(struct shard *shard)
{
    if (shard->offer_deferred || list_empty(&shard->idle) || sharing_is_alone(shard))
        return;
    shard->offer_deferred = true;
    shard->offer.fn = sharing_offer_idle;
    loop_defer(shard->worker->loop, &shard->offer);
}

/* The answer: whether it sent a server or not, the asker may look for another way again. */
static void
sharing_answered(struct message *message)
{
    struct shard *const shard = container_of(message, struct shard, ask);

    shard->asking = false;
    shard_grow(shard);
}

/* On the sibling's loop, which shard->ask_next names. */
static void
sharing_asked(struct message *message)
{
    struct shard *const asker = container_of(message, struct shard, ask);
    struct shard *const shard = asker->pool->shards[asker->ask_next];
    struct server *const server = list_entry(list_first(&shard->idle), struct server, idle_link);

    if (server != NULL && list_empty(&shard->waiters) && !shard->worker->stopping) {
        if (server_is_usable(server)) {
            shard_remove_idle(shard, server);
            server_move(server, asker);
        } else {
            server_check(server); /* and then to whoever has waited longest */
        }
    }
    asker->ask.fn = sharing_answered;
    loop_post(asker->worker->loop, &asker->ask);
}

bool
sharing_ask(struct shard *shard)
{
    struct pool *const pool = shard->pool;
    const unsigned count = atomic_load_explicit(&pool->shard_count, memory_order_acquire);

    if (shard->asking)
        return false;
    for (unsigned i = 0; i < count; i++) {
        struct shard *const other = pool->shards[i];

        if (other == shard || atomic_load(&other->idle_count) == 0)
            continue;
        shard->asking = true;
        shard->ask_next = i;
        shard->ask.fn = sharing_asked;
        loop_post(other->worker->loop, &shard->ask);
        return true;
    }
    return false;
}

/* ---- clients ----------------------------------------------------------------------------------
 */

static void
sharing_move_clients(struct message *message)
{
    struct shard *const shard = container_of(message, struct shard, share);
    struct client *client;

    shard->share_deferred = false;
    if (shard->worker->stopping)
        return;
    LIST_FOREACH_SAFE (client, &shard->clients, link) {
        struct shard *to;

        if (shard->surplus == 0)
            return;
        if (client->state != CLIENT_IDLE)
            continue;
        to = registry_pick_shard(shard->pool);
        if (to == shard) {
            shard->surplus = 0;
            return;
        }
        shard->surplus--;
        client_move(client, to);
    }
}

void
sharing_client_idle(struct shard *shard)
{
    if (shard->surplus == 0 || shard->share_deferred)
        return;
    shard->share_deferred = true;
    shard->share.fn = sharing_move_clients;
    loop_defer(shard->worker->loop, &shard->share);
}

void
sharing_spread_clients(struct shard *shard)
{
    const unsigned shards = atomic_load(&shard->pool->shard_count);
    const unsigned clients = atomic_load(&shard->client_count);

    shard->surplus = clients - clients / shards;
    sharing_client_idle(shard);
}
