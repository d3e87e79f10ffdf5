#include "timer.h"

#include <errno.h>
#include <stdlib.h>

#include "loop_int.h"

struct timer {
    struct loop *loop; /* borrowed */
    const char *name;
    void (*fn)(void *arg);
    void *arg;
    usec_t deadline;              /* by loop_now; USEC_NEVER while not running */
    usec_t common_delay;          /* what common is for */
    const struct timeval *common; /* borrowed from the loop; NULL before the first use */
    struct event event;
};

static int
timer_add(struct timer *timer, const struct timeval *tv, usec_t deadline)
{
    if (event_add(&timer->event, tv) < 0)
        return -ENOMEM;
    timer->deadline = deadline;
    return 0;
}

static int
timer_add_until(struct timer *timer, usec_t now, usec_t deadline)
{
    const struct timeval tv = usec_to_timeval(usec_sub(deadline, now));

    return timer_add(timer, &tv, deadline);
}

/*
 * libevent's clock is coarse (it ticks every few milliseconds) and so may call us a little early by
 * the loop's. What was promised is "not before"; the rest of the delay is waited for.
 */
static void
timer_event(evutil_socket_t fd, short what, void *arg)
{
    struct timer *timer = arg;
    struct loop *loop = timer->loop;
    const char *name = timer->name;
    const usec_t now = loop_now(loop);
    usec_t begun;

    (void)fd;
    (void)what;
    if (now < timer->deadline && timer_add_until(timer, now, timer->deadline) == 0)
        return;
    timer->deadline = USEC_NEVER;
    begun = loop_callback_begin(loop);
    timer->fn(timer->arg);
    loop_callback_end(loop, name, begun);
}

struct timer *
timer_new(struct loop *loop, const char *name, void (*fn)(void *arg), void *arg)
{
    struct timer *timer = calloc(1, sizeof(*timer));

    if (timer == NULL)
        return NULL;
    timer->loop = loop;
    timer->name = name;
    timer->fn = fn;
    timer->arg = arg;
    timer->deadline = USEC_NEVER;
    evtimer_assign(&timer->event, loop->base, timer_event, timer);
    return timer;
}

void
timer_free(struct timer *timer)
{
    if (timer == NULL)
        return;
    timer_stop(timer);
    free(timer);
}

int
timer_start(struct timer *timer, usec_t delay)
{
    const usec_t now = loop_now(timer->loop);

    return timer_add_until(timer, now, usec_add(now, delay));
}

int
timer_hasten(struct timer *timer, usec_t at)
{
    return at < timer->deadline ? timer_add_until(timer, loop_now(timer->loop), at) : 0;
}

int
timer_start_common(struct timer *timer, usec_t delay)
{
    if (timer->common == NULL || timer->common_delay != delay) {
        timer->common = loop_common_delay(timer->loop, delay);
        timer->common_delay = delay;
    }
    if (timer->common == NULL)
        return timer_start(timer, delay);
    return timer_add(timer, timer->common, usec_add(loop_now(timer->loop), delay));
}

void
timer_stop(struct timer *timer)
{
    (void)event_del(&timer->event);
    timer->deadline = USEC_NEVER;
}

bool
timer_is_running(const struct timer *timer)
{
    return event_pending(&timer->event, EV_TIMEOUT, NULL) != 0;
}
