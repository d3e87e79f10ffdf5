#include "permits.h"

#include <assert.h>
#include <stddef.h>

void
permits_init(struct permits *permits)
{
    (void)pthread_mutex_init(&permits->mutex, NULL);
    atomic_init(&permits->used, 0);
    atomic_init(&permits->contended, 0);
    list_init(&permits->waiting);
    list_init(&permits->watching);
}

void
permits_done(struct permits *permits)
{
    assert(permits_used(permits) == 0);
    assert(list_empty(&permits->waiting) && list_empty(&permits->watching));
    (void)pthread_mutex_destroy(&permits->mutex);
}

static bool
permits_take_locked(struct permits *permits, unsigned limit)
{
    const unsigned used = permits_used(permits);

    if (limit != 0 && used >= limit)
        return false;
    atomic_store_explicit(&permits->used, used + 1, memory_order_relaxed);
    return true;
}

bool
permits_try(struct permits *permits, unsigned limit)
{
    bool taken;

    (void)pthread_mutex_lock(&permits->mutex);
    taken = permits_take_locked(permits, limit);
    (void)pthread_mutex_unlock(&permits->mutex);
    return taken;
}

static void
permits_enter_locked(struct permits *permits, struct list *list, struct permit_wait *wait)
{
    atomic_store_explicit(&wait->permits, permits, memory_order_relaxed);
    list_push_back(list, &wait->link);
}

/* Keeps what can be read without the mutex in step with the list. */
static void
permits_publish_locked(struct permits *permits)
{
    atomic_store_explicit(&permits->contended, !list_empty(&permits->waiting),
                          memory_order_relaxed);
}

bool
permits_try_or_wait(struct permits *permits, unsigned limit, struct permit_wait *wait)
{
    bool taken;

    (void)pthread_mutex_lock(&permits->mutex);
    taken = permits_take_locked(permits, limit);
    if (!taken && !list_is_linked(&wait->link) &&
        !atomic_load_explicit(&wait->posted, memory_order_relaxed)) {
        permits_enter_locked(permits, &permits->waiting, wait);
        permits_publish_locked(permits);
    }
    (void)pthread_mutex_unlock(&permits->mutex);
    return taken;
}

/* Empties list; each of its waits is sent its message. */
static void
permits_wake_locked(struct list *list)
{
    struct list *link;

    while ((link = list_pop(list)) != NULL) {
        struct permit_wait *const wait = container_of(link, struct permit_wait, link);

        /* In this order: who sees that it is in no list any more sees that it was posted. */
        atomic_store_explicit(&wait->posted, true, memory_order_relaxed);
        atomic_store_explicit(&wait->permits, NULL, memory_order_release);
        loop_post(wait->loop, &wait->message);
    }
}

void
permits_give(struct permits *permits)
{
    unsigned used;

    (void)pthread_mutex_lock(&permits->mutex);
    used = permits_used(permits);
    assert(used > 0);
    atomic_store_explicit(&permits->used, used - 1, memory_order_relaxed);
    permits_wake_locked(&permits->waiting);
    permits_publish_locked(permits);
    if (used == 1)
        permits_wake_locked(&permits->watching);
    (void)pthread_mutex_unlock(&permits->mutex);
}

bool
permits_watch_empty(struct permits *permits, struct permit_wait *watch)
{
    bool empty;

    (void)pthread_mutex_lock(&permits->mutex);
    empty = permits_used(permits) == 0;
    if (!empty)
        permits_enter_locked(permits, &permits->watching, watch);
    (void)pthread_mutex_unlock(&permits->mutex);
    return empty;
}

void
permits_woken(struct permit_wait *wait)
{
    atomic_store_explicit(&wait->posted, false, memory_order_relaxed);
}

/*
 * wait->permits is read without the lock: only the owner, who is here, enters it, and whoever takes
 * it out posts the message before letting the lock go.
 */
bool
permits_leave(struct permit_wait *wait)
{
    struct permits *const permits = atomic_load_explicit(&wait->permits, memory_order_acquire);

    if (permits != NULL) {
        (void)pthread_mutex_lock(&permits->mutex);
        list_remove(&wait->link);
        atomic_store_explicit(&wait->permits, NULL, memory_order_relaxed);
        permits_publish_locked(permits);
        (void)pthread_mutex_unlock(&permits->mutex);
    }
    return !atomic_load_explicit(&wait->posted, memory_order_relaxed);
}
