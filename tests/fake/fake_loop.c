#include "fake_loop.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "fake_memory.h"
#include "list.h"
#include "mailbox.h"
#include "timer.h"

/* A settle that needs more turns will never end. */
#define TURNS_MAX 1000000

/* As in loop.c. */
#define DEFER_DEPTH_MAX 16

/* Long ago enough for anybody to subtract from. */
#define START_OF_TIME (1000 * HOUR)

struct io {
    struct list link;  /* in the loop's ios */
    struct loop *loop; /* borrowed */
    int fd;            /* borrowed */
    const char *name;
    void (*fn)(void *arg, unsigned what);
    void *arg;
    unsigned wanted;
    unsigned ready;   /* found by the last poll, not told yet */
    bool closed_told; /* IO_CLOSED alone is told once */
};

struct timer {
    struct list link;  /* in the loop's timers, while running */
    struct loop *loop; /* borrowed */
    const char *name;
    void (*fn)(void *arg);
    void *arg;
    usec_t deadline;
};

struct loop {
    const char *name;
    usec_t now;
    struct list ios;
    struct list *next_io; /* the one to look at next, while their callbacks run */
    struct list timers;   /* running, soonest first */
    const char *last;     /* called last, for complaints */
    struct mailbox mailbox;
    struct message *deferred;       /* oldest first */
    struct message **deferred_last; /* where the next one is linked */
    void (*turn_hook)(void *arg);
    void *turn_hook_arg;
    unsigned load;
    bool stopped;
    atomic_bool stopping;
    struct message stop;
};

static void complain(const char *format, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));

static void
complain(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fputs("fake loop: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    abort();
}

/* --- life ------------------------------------------------------------------------------------ */

static void
stop_message(struct message *message)
{
    container_of(message, struct loop, stop)->stopped = true;
}

int
loop_new(const char *name, struct loop **ret_loop)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    int r;

    if (loop == NULL)
        return -ENOMEM;
    loop->name = name;
    loop->now = START_OF_TIME;
    list_init(&loop->ios);
    list_init(&loop->timers);
    loop->next_io = &loop->ios;
    loop->last = "nothing";
    loop->deferred_last = &loop->deferred;
    loop->stop.fn = stop_message;
    r = mailbox_init(&loop->mailbox);
    if (r < 0) {
        free(loop);
        return r;
    }
    *ret_loop = loop;
    return 0;
}

struct loop *
fake_loop_new(void)
{
    struct loop *loop = NULL;
    const int r = loop_new("fake", &loop);

    if (r < 0)
        complain("cannot be made: error %d", -r);
    return loop;
}

const char *
loop_name(const struct loop *loop)
{
    return loop->name;
}

usec_t
loop_now(struct loop *loop)
{
    return loop->now;
}

unsigned
loop_load(const struct loop *loop)
{
    return loop->load;
}

void
fake_loop_set_load(struct loop *loop, unsigned load)
{
    loop->load = load;
}

void
loop_set_turn_hook(struct loop *loop, void (*hook)(void *arg), void *arg)
{
    loop->turn_hook = hook;
    loop->turn_hook_arg = arg;
}

/* Nothing is slow where no time passes. */
void
loop_set_slow_callback(struct loop *loop, usec_t limit)
{
    (void)loop;
    (void)limit;
}

/* --- messages -------------------------------------------------------------------------------- */

void
loop_post(struct loop *loop, struct message *message)
{
    mailbox_post(&loop->mailbox, message);
}

void
loop_stop(struct loop *loop)
{
    if (!atomic_exchange(&loop->stopping, true))
        loop_post(loop, &loop->stop);
}

void
loop_defer(struct loop *loop, struct message *message)
{
    message->next = NULL;
    *loop->deferred_last = message;
    loop->deferred_last = &message->next;
}

static struct message *
take_deferred(struct loop *loop)
{
    struct message *list = loop->deferred;

    loop->deferred = NULL;
    loop->deferred_last = &loop->deferred;
    return list;
}

static bool
run_messages(struct message *list)
{
    const bool any = list != NULL;

    while (list != NULL) {
        struct message *message = list;

        list = message->next;
        message->fn(message);
    }
    return any;
}

/* --- descriptors ----------------------------------------------------------------------------- */

struct io *
io_new(struct loop *loop, int fd, const char *name, void (*fn)(void *arg, unsigned what), void *arg)
{
    struct io *io = calloc(1, sizeof(*io));

    if (io == NULL)
        return NULL;
    *io = (struct io){.loop = loop, .fd = fd, .name = name, .fn = fn, .arg = arg};
    list_push_back(&loop->ios, &io->link);
    return io;
}

void
io_free(struct io *io)
{
    if (io == NULL)
        return;
    if (io->loop->next_io == &io->link)
        io->loop->next_io = io->link.next;
    list_remove(&io->link);
    free(io);
}

int
io_want(struct io *io, unsigned wanted)
{
    if (wanted != io->wanted)
        io->closed_told = false;
    io->wanted = wanted;
    return 0;
}

unsigned
io_wanted(const struct io *io)
{
    return io->wanted;
}

static unsigned
io_poll_result(const struct io *io, int revents)
{
    const int broken = revents & (POLLERR | POLLHUP);
    unsigned ready = 0;

    if (revents & POLLNVAL)
        complain("%s watches descriptor %d, which is closed", io->name, io->fd);
    if (broken || (revents & POLLIN))
        ready |= IO_READ;
    if (broken || (revents & POLLOUT))
        ready |= IO_WRITE;
    if ((broken || (revents & POLLRDHUP)) && !io->closed_told)
        ready |= IO_CLOSED;
    return ready & io->wanted;
}

static short
io_poll_events(const struct io *io)
{
    int events = 0;

    if (io->wanted & IO_READ)
        events |= POLLIN;
    if (io->wanted & IO_WRITE)
        events |= POLLOUT;
    if ((io->wanted & IO_CLOSED) && !io->closed_told)
        events |= POLLRDHUP;
    return (short)events;
}

/* One element for each io, after that of the mailbox; poll skips those below 0. */
static struct pollfd *
pollfds_new(const struct loop *loop, size_t count)
{
    struct pollfd *pollfds = fake_memory_calloc(count, sizeof(*pollfds)), *pollfd = pollfds;
    const struct io *io;

    if (pollfds == NULL)
        complain("out of memory");
    *pollfd++ = (struct pollfd){.fd = loop->mailbox.fd, .events = POLLIN};
    LIST_FOREACH (io, &loop->ios, link) {
        const short events = io_poll_events(io);

        *pollfd++ = (struct pollfd){.fd = events != 0 ? io->fd : -1, .events = events};
    }
    return pollfds;
}

/* Waits for timeout milliseconds (-1: for ever) and marks each io that is ready; whether any is. */
static bool
poll_ios(struct loop *loop, int timeout)
{
    const size_t count = 1 + list_count(&loop->ios);
    struct pollfd *pollfds = pollfds_new(loop, count), *pollfd = pollfds;
    struct io *io;
    bool any = false;

    if (poll(pollfds, count, timeout) < 0 && errno != EINTR)
        complain("poll: %m");
    if (pollfd++->revents != 0)
        (void)eventfd_read(loop->mailbox.fd, &(eventfd_t){0});
    LIST_FOREACH (io, &loop->ios, link) {
        io->ready = io_poll_result(io, pollfd++->revents);
        any |= io->ready != 0;
    }
    free(pollfds);
    return any;
}

static void
run_ios(struct loop *loop)
{
    for (loop->next_io = loop->ios.next; loop->next_io != &loop->ios;) {
        struct io *io = list_entry(loop->next_io, struct io, link);
        const unsigned what = io->ready & io->wanted;

        loop->next_io = io->link.next;
        io->ready = 0;
        if (what == 0)
            continue;
        io->closed_told = io->wanted == IO_CLOSED;
        loop->last = io->name;
        io->fn(io->arg, what); /* may free io and others */
    }
}

/* --- timers ---------------------------------------------------------------------------------- */

struct timer *
timer_new(struct loop *loop, const char *name, void (*fn)(void *arg), void *arg)
{
    struct timer *timer = calloc(1, sizeof(*timer));

    if (timer == NULL)
        return NULL;
    *timer = (struct timer){.loop = loop, .name = name, .fn = fn, .arg = arg};
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

/* After those of the same time, before those later. */
int
timer_start(struct timer *timer, usec_t delay)
{
    struct list *timers = &timer->loop->timers, *where;

    timer_stop(timer);
    timer->deadline = usec_add(timer->loop->now, delay);
    for (where = timers->next; where != timers; where = where->next)
        if (list_entry(where, struct timer, link)->deadline > timer->deadline)
            break;
    list_insert_before(where, &timer->link);
    return 0;
}

int
timer_hasten(struct timer *timer, usec_t at)
{
    if (timer_is_running(timer) && at >= timer->deadline)
        return 0;
    return timer_start(timer, usec_sub(at, timer->loop->now));
}

int
timer_start_common(struct timer *timer, usec_t delay)
{
    return timer_start(timer, delay);
}

void
timer_stop(struct timer *timer)
{
    list_remove(&timer->link);
}

bool
timer_is_running(const struct timer *timer)
{
    return list_is_linked(&timer->link);
}

/* The soonest timer, if its deadline is not after time. */
static struct timer *
timer_due(const struct loop *loop, usec_t time)
{
    struct timer *timer = list_entry(list_first(&loop->timers), struct timer, link);

    return timer != NULL && timer->deadline <= time ? timer : NULL;
}

/* One at a time: what the first does may stop the next. */
static void
run_timer(struct loop *loop)
{
    struct timer *timer = timer_due(loop, loop->now);

    if (timer == NULL)
        return;
    timer_stop(timer);
    loop->last = timer->name;
    timer->fn(timer->arg);
}

/* --- turns ----------------------------------------------------------------------------------- */

/* Whether there is something to do; if not at once, waits for it: timeout as poll's. */
static bool
wait_for_work(struct loop *loop, int timeout)
{
    const bool work = loop->deferred != NULL || timer_due(loop, loop->now) != NULL ||
                      !mailbox_sleep(&loop->mailbox);

    return poll_ios(loop, work ? 0 : timeout) || work || !mailbox_is_asleep(&loop->mailbox);
}

static void
turn(struct loop *loop)
{
    run_ios(loop);
    run_timer(loop);
    (void)run_messages(mailbox_take(&loop->mailbox));
    for (unsigned depth = 0; depth < DEFER_DEPTH_MAX && run_messages(take_deferred(loop)); depth++)
        ;
    if (loop->turn_hook != NULL)
        loop->turn_hook(loop->turn_hook_arg);
}

void
fake_loop_settle(struct loop *loop)
{
    unsigned turns = 0;

    (void)wait_for_work(loop, 0);
    do {
        if (++turns > TURNS_MAX)
            complain("%s never settles, %s was called last", loop->name, loop->last);
        turn(loop);
    } while (wait_for_work(loop, 0));
}

void
fake_loop_wait(struct loop *loop)
{
    while (!wait_for_work(loop, -1))
        ;
    fake_loop_settle(loop);
}

void
fake_loop_advance(struct loop *loop, usec_t span)
{
    const usec_t end = usec_add(loop->now, span);
    const struct timer *timer;

    fake_loop_settle(loop);
    while ((timer = timer_due(loop, end)) != NULL) {
        loop->now = timer->deadline;
        fake_loop_settle(loop);
    }
    loop->now = end;
    fake_loop_settle(loop);
}

void
loop_run(struct loop *loop)
{
    while (!loop->stopped) {
        (void)wait_for_work(loop, -1);
        turn(loop);
    }
    loop->stopped = false;
    atomic_store(&loop->stopping, false);
}

void
loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    while (run_messages(mailbox_take(&loop->mailbox)) || run_messages(take_deferred(loop)))
        ;
    if (!list_empty(&loop->ios))
        complain("%s is left behind", list_entry(loop->ios.next, struct io, link)->name);
    if (!list_empty(&loop->timers))
        complain("timer %s is left running",
                 list_entry(loop->timers.next, struct timer, link)->name);
    mailbox_done(&loop->mailbox);
    free(loop);
}
