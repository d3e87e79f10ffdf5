/*
 * drain.c - waiting until pools have no server left: for PAUSE and for the end.
 */
#include <stdlib.h>

#include "cleanup.h"
#include "engine_int.h"
#include "pool.h"
#include "str.h"

/* Outlives a cancelled drain until the last message has come. */
struct drain_set {
    struct message message;     /* where there was nothing to wait for */
    struct engine_drain *drain; /* NULL: cancelled */
    size_t count;
    size_t pending; /* messages that are still to come, or would without a cancel */
    struct drain_wait {
        struct permit_wait wait;
        struct drain_set *set;
        bool open; /* its message is still to come */
    } waits[];
};

static void
drain_came(struct drain_set *set)
{
    struct engine_drain *const drain = set->drain;

    if (--set->pending > 0)
        return;
    free(set);
    if (drain != NULL) {
        drain->waits = NULL;
        drain->waiting = false;
        drain->done(drain);
    }
}

static void
drain_pool_empty(struct message *message)
{
    struct drain_wait *const wait = container_of(message, struct drain_wait, wait.message);

    permits_woken(&wait->wait);
    wait->open = false;
    drain_came(wait->set);
}

/* Also where nothing is to be waited for, done comes later, not from inside the caller. */
static void
drain_nothing(struct message *message)
{
    drain_came(container_of(message, struct drain_set, message));
}

struct drain_walk {
    const struct database *database; /* NULL: all */
    struct loop *loop;
    struct drain_set *set;
    size_t room;
};

static void
drain_count_pool(struct pool *pool, void *arg)
{
    struct drain_walk *const walk = arg;

    if (walk->database == NULL || pool->database == walk->database)
        walk->room++;
}

static void
drain_watch_pool(struct pool *pool, void *arg)
{
    struct drain_walk *const walk = arg;
    struct drain_wait *wait;

    /* A pool that was made since the count cannot have a server: it was paused before. */
    if ((walk->database != NULL && pool->database != walk->database) || walk->room == 0)
        return;
    walk->room--;
    wait = &walk->set->waits[walk->set->count++];
    wait->set = walk->set;
    wait->wait.loop = walk->loop;
    wait->wait.message.fn = drain_pool_empty;
    wait->open = !permits_watch_empty(&pool->servers, &wait->wait);
    if (wait->open)
        walk->set->pending++;
}

enum engine_result
drain_begin(struct engine *engine, const struct database *database, struct engine_drain *drain)
{
    struct drain_walk walk = {.database = database, .loop = engine->main_loop};

    registry_each_pool(&engine->registry, drain_count_pool, &walk);
    walk.set = calloc(1, sizeof *walk.set + walk.room * sizeof walk.set->waits[0]);
    if (walk.set == NULL)
        return ENGINE_NO_MEMORY;
    walk.set->drain = drain;
    drain->engine = engine;
    drain->waiting = true;
    drain->waits = walk.set;
    registry_each_pool(&engine->registry, drain_watch_pool, &walk);
    if (walk.set->pending == 0) {
        walk.set->pending = 1;
        walk.set->message.fn = drain_nothing;
        loop_post(engine->main_loop, &walk.set->message);
    }
    return ENGINE_OK;
}

void
engine_drain_cancel(struct engine_drain *drain)
{
    struct drain_set *const set = drain->waits;

    drain->waiting = false;
    drain->waits = NULL;
    if (set == NULL)
        return;
    set->drain = NULL;
    set->pending++; /* our own hold on it */
    for (size_t i = 0; i < set->count; i++) {
        if (set->waits[i].open && permits_leave(&set->waits[i].wait)) {
            set->waits[i].open = false;
            set->pending--;
        }
    }
    drain_came(set);
}
