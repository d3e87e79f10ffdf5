/* io.c - the io of loop.h: what one descriptor waits for, as few libevent events as will do. */
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "loop_int.h"

struct io {
    struct loop *loop; /* borrowed */
    const char *name;
    void (*fn)(void *arg, unsigned what);
    void *arg;
    struct event *write; /* owned; NULL while IO_WRITE is not wanted */
    struct event event;  /* all but IO_WRITE */
};

/*
 * What the embedded event is registered for; 0 is nothing.
 *
 * The kernel reports an error on any registered socket, and libevent passes it on as "readable and
 * writable". With IO_CLOSED alone neither would be listened to, and a reset connection would make
 * the loop spin. So EV_WRITE is added, edge-triggered: it comes once, and io_is_closed looks
 * closer.
 */
static short
io_events(unsigned wanted)
{
    short events = 0;

    if (wanted == IO_CLOSED)
        return EV_CLOSED | EV_WRITE | EV_ET | EV_PERSIST;
    if (wanted & IO_READ)
        events |= EV_READ;
    if (wanted & IO_CLOSED)
        events |= EV_CLOSED;
    return events != 0 ? events | EV_PERSIST : 0;
}

static bool
io_is_closed(int fd, short what)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLRDHUP};

    return (what & EV_CLOSED) || poll(&pollfd, 1, 0) > 0;
}

static unsigned
io_what(const struct io *io, int fd, short what)
{
    if (event_get_events(&io->event) & EV_ET) /* IO_CLOSED alone */
        return io_is_closed(fd, what) ? IO_CLOSED : 0;
    return (what & EV_READ ? IO_READ : 0u) | (what & EV_WRITE ? IO_WRITE : 0u) |
           (what & EV_CLOSED ? IO_CLOSED : 0u);
}

static void
io_event(evutil_socket_t fd, short event_what, void *arg)
{
    struct io *io = arg;
    struct loop *loop = io->loop;
    const char *name = io->name;
    const unsigned what = io_what(io, fd, event_what);
    usec_t begun;

    if (what == 0)
        return;
    begun = loop_callback_begin(loop);
    io->fn(io->arg, what); /* may free io */
    loop_callback_end(loop, name, begun);
}

struct io *
io_new(struct loop *loop, int fd, const char *name, void (*fn)(void *arg, unsigned what), void *arg)
{
    struct io *io = calloc(1, sizeof(*io));

    if (io == NULL)
        return NULL;
    io->loop = loop;
    io->name = name;
    io->fn = fn;
    io->arg = arg;
    event_assign(&io->event, loop->base, fd, 0, io_event, io);
    return io;
}

static void
io_drop_write(struct io *io)
{
    if (io->write == NULL)
        return;
    event_free(io->write);
    io->write = NULL;
}

void
io_free(struct io *io)
{
    if (io == NULL)
        return;
    io_drop_write(io);
    (void)event_del(&io->event);
    free(io);
}

static int
io_set_event(struct io *io, short events)
{
    const int fd = event_get_fd(&io->event);

    if (event_get_events(&io->event) == events)
        return 0;
    (void)event_del(&io->event);
    event_assign(&io->event, io->loop->base, fd, events, io_event, io);
    return events == 0 ? 0 : event_add(&io->event, NULL);
}

static int
io_add_write(struct io *io)
{
    if (io->write != NULL)
        return 0;
    io->write =
        event_new(io->loop->base, event_get_fd(&io->event), EV_WRITE | EV_PERSIST, io_event, io);
    if (io->write == NULL)
        return -1;
    return event_add(io->write, NULL);
}

/*
 * Removes before it adds, since edge- and level-triggered events of one descriptor do not mix. To
 * add IO_WRITE to IO_READ, or take it away, is one epoll_ctl.
 */
static int
io_change(struct io *io, unsigned wanted)
{
    if (!(wanted & IO_WRITE))
        io_drop_write(io);
    if (io_set_event(io, io_events(wanted)) < 0)
        return -1;
    return wanted & IO_WRITE ? io_add_write(io) : 0;
}

int
io_want(struct io *io, unsigned wanted)
{
    int r;

    if (wanted == io_wanted(io))
        return 0;
    errno = 0;
    if (io_change(io, wanted) == 0)
        return 0;
    r = errno != 0 ? -errno : -ENOMEM;
    io_drop_write(io);
    (void)io_set_event(io, 0);
    return r;
}

unsigned
io_wanted(const struct io *io)
{
    const short events = event_get_events(&io->event);

    return (events & EV_READ ? IO_READ : 0u) | (events & EV_CLOSED ? IO_CLOSED : 0u) |
           (io->write != NULL ? IO_WRITE : 0u);
}
