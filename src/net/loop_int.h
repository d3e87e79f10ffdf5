/*
 * loop_int.h - what loop.c and timer.c share: the libevent base and the watch over slow callbacks.
 */
#pragma once

#include <stdatomic.h>
#include <sys/time.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "loop.h"
#include "mailbox.h"

/* libevent allows 256 common timeouts a base; the rest stays free for its own future use. */
#define COMMON_DELAYS_MAX 200

/* A delay whose timers libevent keeps in a list of their own; they come and go in constant time. */
struct common_delay {
    usec_t delay;
    const struct timeval *tv; /* owned by the base; marked, so that libevent knows it again */
};

struct loop {
    const char *name;
    struct event_base *base; /* owned */
    struct event *wake;      /* owned: the mailbox's eventfd */
    struct mailbox mailbox;
    struct message *deferred;       /* oldest first */
    struct message **deferred_last; /* where the next one is linked */
    void (*turn_hook)(void *arg);   /* NULL is none */
    void *turn_hook_arg;
    usec_t now;           /* this turn's time, 0 until somebody asks */
    usec_t slow_callback; /* 0 is never */
    bool running;
    bool stopped;
    atomic_bool stopping; /* stop is on its way */
    struct message stop;

    atomic_uint load;        /* per mille */
    _Atomic usec_t measured; /* when load was; coarse clock */
    usec_t cpu_time;         /* of this thread, then */

    unsigned common_count;
    struct common_delay common[COMMON_DELAYS_MAX];
};

static inline struct timeval
usec_to_timeval(usec_t usec)
{
    return (struct timeval){
        .tv_sec = (time_t)(usec / USEC_PER_SEC),
        .tv_usec = (suseconds_t)(usec % USEC_PER_SEC),
    };
}

/* Brackets a callback; name is what it is logged as if it was slow. */
usec_t loop_callback_begin(const struct loop *loop);
void loop_callback_end(const struct loop *loop, const char *name, usec_t begun);

/* The marked form of delay; NULL when there are too many different ones. */
const struct timeval *loop_common_delay(struct loop *loop, usec_t delay);
