#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "loop_int.h"
#include "process.h"

/* Calls deferred by deferred calls run in the same turn, so many generations deep. */
#define DEFER_DEPTH_MAX 16

/* loop_load is measured anew when it is so old. */
#define LOAD_INTERVAL SEC

DEFINE_CLEANUP(struct loop *, loop_free);
DEFINE_CLEANUP(struct event_config *, event_config_free);

/* For what is not worth a precise clock: a read costs 5 ns, a tick lasts some milliseconds. */
static usec_t
clock_coarse(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

/* libevent's own complaints, such as a descriptor that epoll does not take. */
static void
loop_log_libevent(int severity, const char *text)
{
    log_msg(severity >= EVENT_LOG_WARN ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, NULL, "libevent: %s",
            text);
}

/* --- life ------------------------------------------------------------------------------------ */

static struct event_base *
base_new(void)
{
    CLEANUP(event_config_free) struct event_config *config = event_config_new();

    if (config == NULL)
        return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
    event_config_require_features(config, EV_FEATURE_O1 | EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
    return event_base_new_with_config(config);
}

/* The messages are run at the end of the turn; all that this has to do is to begin one. */
static void
loop_woken(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void
loop_stop_message(struct message *message)
{
    container_of(message, struct loop, stop)->stopped = true;
}

/* Edge-triggered, so that nobody ever needs to read the eventfd. */
static int
loop_init_events(struct loop *loop)
{
    loop->base = base_new();
    if (loop->base == NULL)
        return errno != 0 ? -errno : -ENOMEM;
    loop->wake =
        event_new(loop->base, loop->mailbox.fd, EV_READ | EV_ET | EV_PERSIST, loop_woken, NULL);
    if (loop->wake == NULL)
        return -ENOMEM;
    return event_add(loop->wake, NULL) < 0 ? -ENOMEM : 0;
}

int
loop_new(const char *name, struct loop **ret_loop)
{
    CLEANUP(loop_free) struct loop *loop = NULL;
    int r;

    loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return -ENOMEM;
    loop->name = name;
    loop->deferred_last = &loop->deferred;
    loop->slow_callback = 100 * MSEC;
    loop->stop.fn = loop_stop_message;
    event_set_log_callback(loop_log_libevent);
    r = mailbox_init(&loop->mailbox);
    if (r < 0) {
        free(TAKE(loop));
        return r;
    }
    errno = 0;
    r = loop_init_events(loop);
    if (r < 0)
        return r;
    *ret_loop = TAKE(loop);
    return 0;
}

void
loop_stop(struct loop *loop)
{
    if (!atomic_exchange(&loop->stopping, true))
        loop_post(loop, &loop->stop);
}

const char *
loop_name(const struct loop *loop)
{
    return loop->name;
}

/* --- messages -------------------------------------------------------------------------------- */

void
loop_post(struct loop *loop, struct message *message)
{
    mailbox_post(&loop->mailbox, message);
}

void
loop_defer(struct loop *loop, struct message *message)
{
    message->next = NULL;
    *loop->deferred_last = message;
    loop->deferred_last = &message->next;
}

static struct message *
loop_take_deferred(struct loop *loop)
{
    struct message *list = loop->deferred;

    loop->deferred = NULL;
    loop->deferred_last = &loop->deferred;
    return list;
}

/* Returns whether there were any. */
static bool
loop_run_messages(struct loop *loop, struct message *list)
{
    const bool any = list != NULL;

    while (list != NULL) {
        struct message *message = list;
        const usec_t begun = loop_callback_begin(loop);

        list = message->next; /* fn may reuse or free message */
        message->fn(message);
        loop_callback_end(loop, "message", begun);
    }
    return any;
}

static void
loop_run_deferred(struct loop *loop)
{
    unsigned depth = 0;

    while (depth < DEFER_DEPTH_MAX && loop_run_messages(loop, loop_take_deferred(loop)))
        depth++;
}

void
loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    while (loop_run_messages(loop, mailbox_take(&loop->mailbox)) ||
           loop_run_messages(loop, loop_take_deferred(loop)))
        ;
    if (loop->wake != NULL)
        event_free(loop->wake);
    if (loop->base != NULL)
        event_base_free(loop->base);
    mailbox_done(&loop->mailbox);
    free(loop);
}

/* --- turns ----------------------------------------------------------------------------------- */

static void
loop_start_measuring(struct loop *loop)
{
    loop->cpu_time = thread_cpu_time();
    atomic_store_explicit(&loop->measured, clock_coarse(), memory_order_relaxed);
}

/* Part of each turn rather than a timer, so that an idle loop does not wake for it. */
static void
loop_measure(struct loop *loop)
{
    const usec_t elapsed =
        clock_coarse() - atomic_load_explicit(&loop->measured, memory_order_relaxed);
    const usec_t cpu_time = loop->cpu_time;

    if (elapsed < LOAD_INTERVAL)
        return;
    loop_start_measuring(loop);
    atomic_store_explicit(&loop->load,
                          (unsigned)MIN((loop->cpu_time - cpu_time) * 1000 / elapsed, 1000),
                          memory_order_relaxed);
}

/* A loop that sleeps and has not measured for so long has done next to nothing since. */
unsigned
loop_load(const struct loop *loop)
{
    const usec_t measured = atomic_load_explicit(&loop->measured, memory_order_relaxed);

    if (mailbox_is_asleep(&loop->mailbox) && clock_coarse() > measured + 2 * LOAD_INTERVAL)
        return 0;
    return atomic_load_explicit(&loop->load, memory_order_relaxed);
}

/* Sleeps unless there is something to do already; then calls what is ready. */
static void
loop_run_events(struct loop *loop)
{
    const bool sleep = loop->deferred == NULL && mailbox_sleep(&loop->mailbox);

    loop->now = 0;
    if (event_base_loop(loop->base, sleep ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK) < 0) {
        log_fatal("loop %s cannot wait for events: %m", loop->name);
        abort();
    }
}

static void
loop_run_turn_hook(struct loop *loop)
{
    const usec_t begun = loop_callback_begin(loop);

    if (loop->turn_hook == NULL)
        return;
    loop->turn_hook(loop->turn_hook_arg);
    loop_callback_end(loop, "end of turn", begun);
}

static void
loop_turn(struct loop *loop)
{
    loop_run_events(loop);
    (void)loop_run_messages(loop, mailbox_take(&loop->mailbox));
    loop_run_deferred(loop);
    loop_run_turn_hook(loop);
    loop_measure(loop);
}

void
loop_run(struct loop *loop)
{
    loop->running = true;
    loop_start_measuring(loop);
    while (!loop->stopped)
        loop_turn(loop);
    loop->running = false;
    loop->stopped = false;
    atomic_store(&loop->stopping, false);
}

void
loop_set_turn_hook(struct loop *loop, void (*hook)(void *arg), void *arg)
{
    loop->turn_hook = hook;
    loop->turn_hook_arg = arg;
}

usec_t
loop_now(struct loop *loop)
{
    if (!loop->running)
        return clock_now();
    if (loop->now == 0)
        loop->now = clock_now();
    return loop->now;
}

/* --- slow callbacks -------------------------------------------------------------------------- */

void
loop_set_slow_callback(struct loop *loop, usec_t limit)
{
    loop->slow_callback = limit;
}

usec_t
loop_callback_begin(const struct loop *loop)
{
    return loop->slow_callback != 0 ? clock_coarse() : 0;
}

void
loop_callback_end(const struct loop *loop, const char *name, usec_t begun)
{
    usec_t took;

    if (begun == 0 || loop->slow_callback == 0)
        return;
    took = clock_coarse() - begun;
    if (unlikely(took > loop->slow_callback))
        log_warning("loop %s: callback \"%s\" took %.0f ms, slow_callback_duration is %g ms",
                    loop->name, name, (double)took / MSEC, (double)loop->slow_callback / MSEC);
}

/* --- common delays --------------------------------------------------------------------------- */

const struct timeval *
loop_common_delay(struct loop *loop, usec_t delay)
{
    const struct timeval tv = usec_to_timeval(delay);
    struct common_delay *common;

    for (unsigned i = 0; i < loop->common_count; i++)
        if (loop->common[i].delay == delay)
            return loop->common[i].tv;
    if (loop->common_count == COMMON_DELAYS_MAX)
        return NULL;
    common = &loop->common[loop->common_count];
    common->delay = delay;
    common->tv = event_base_init_common_timeout(loop->base, &tv);
    if (common->tv != NULL)
        loop->common_count++;
    return common->tv;
}
