/*
 * permits.h - a counting semaphore: how many of something there may be, over all threads.
 *
 * Nobody blocks: who gets no permit is entered in a first-come list and is sent a message when one
 * may have come free, to try again. The limit is the caller's, given with each try, so that a
 * reserve or a reload is only a different number; 0 is no limit. Taking permits is for opening and
 * closing connections, not for every transaction.
 *
 * Thread: any.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "list.h"
#include "loop.h"

struct permits {
    pthread_mutex_t mutex;
    atomic_uint used;      /* written under the mutex */
    atomic_bool contended; /* whether waiting holds somebody; written under the mutex */
    struct list waiting;   /* struct permit_wait, longest first */
    struct list watching;  /* struct permit_wait: told when used is 0 */
};

/* Embedded in who waits. Zero-initialised; wake is set by its owner. */
struct permit_wait {
    struct list link;
    _Atomic(struct permits *) permits; /* whose list it is in, or NULL */
    struct loop *loop;                 /* borrowed: where message is posted */
    struct message message;            /* fn is the owner's */
    atomic_bool posted; /* the message is on its way; its fn calls permits_woken first */
};

void permits_init(struct permits *permits);
void permits_done(struct permits *permits);

/* One more, unless limit (not 0) are in use. */
bool permits_try(struct permits *permits, unsigned limit);
/* The same; when there is none, wait is entered (once), and its message comes when it may be time.
 */
bool permits_try_or_wait(struct permits *permits, unsigned limit, struct permit_wait *wait);
/* One back. Wakes all who wait: the first to ask gets it. */
void permits_give(struct permits *permits);
/* Enters watch to be told, once, when none is in use; true: that is so now, nothing was entered. */
bool permits_watch_empty(struct permits *permits, struct permit_wait *watch);
/* To be called first by the message's fn. */
void permits_woken(struct permit_wait *wait);
/*
 * Leaves the list. False: its message was posted already and still comes, on the loop of the owner,
 * who must live until then.
 */
bool permits_leave(struct permit_wait *wait);

static inline unsigned
permits_used(const struct permits *permits)
{
    return atomic_load_explicit(&permits->used, memory_order_relaxed);
}

/* Whether somebody waits: an idle holder may want to give its permit back. */
static inline bool
permits_contended(const struct permits *permits)
{
    return atomic_load_explicit(&permits->contended, memory_order_relaxed);
}
