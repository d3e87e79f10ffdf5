/*
 * drain.c - waits until a server has closed its end.
 *
 * PostgreSQL leaves its socket to the kernel, which closes it when the process is gone. So the end
 * of the connection is the end of the process, and the only proof of it that travels over a
 * network.
 */
#include "backend_int.h"

#include <errno.h>
#include <sys/socket.h>

#include "timer.h"

/*
 * So that a server which still pours out a result cannot hold the loop; and yet what the kernel may
 * have of it, some MB, is gone in a few turns, since the permit comes back only then.
 */
#define DRAIN_READS_A_TURN 16
#define DRAIN_READ         (64 * 1024)

static void
drain_end(struct drain *drain, bool ended)
{
    drain_stop(drain);
    drain->done(drain, ended);
}

static void
drain_readable(void *arg, unsigned what)
{
    struct drain *drain = arg;
    char waste[DRAIN_READ];

    (void)what;
    for (int i = 0; i < DRAIN_READS_A_TURN; i++) {
        const ssize_t n = recv(drain->fd, waste, sizeof(waste), MSG_DONTWAIT);

        if (n > 0 || (n < 0 && errno == EINTR))
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        drain_end(drain, true); /* closed, or reset, or worse */
        return;
    }
}

static void
drain_expired(void *arg)
{
    drain_end(arg, false);
}

int
drain_start(struct drain *drain, struct loop *loop, int fd, usec_t limit,
            void (*done)(struct drain *drain, bool ended))
{
    int r = -ENOMEM;

    drain->fd = fd;
    drain->done = done;
    drain->io = io_new(loop, fd, "drain", drain_readable, drain);
    drain->timer = timer_new(loop, "drain", drain_expired, drain);
    if (drain->io != NULL && drain->timer != NULL)
        r = io_want(drain->io, IO_READ);
    if (r == 0)
        r = timer_start(drain->timer, limit);
    if (r < 0)
        drain_stop(drain);
    return r;
}

void
drain_stop(struct drain *drain)
{
    io_free(drain->io);
    timer_free(drain->timer);
    drain->io = NULL;
    drain->timer = NULL;
}
