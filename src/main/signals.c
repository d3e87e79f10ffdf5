#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "fd.h"
#include "loop.h"
#include "macros.h"

struct signals {
    int fd;        /* owned */
    struct io *io; /* owned */
    void (*fn)(void *arg, int signal);
    void *arg;
};

static void
handled_signals(sigset_t *ret_set)
{
    static const int handled[] = {SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};

    (void)sigemptyset(ret_set);
    for (size_t i = 0; i < ARRAY_SIZE(handled); i++)
        (void)sigaddset(ret_set, handled[i]);
}

void
signals_block(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;

    handled_signals(&set);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL); /* some of libpq's sends would raise it */
}

static void
signals_readable(void *arg, unsigned what)
{
    struct signals *signals = arg;
    struct signalfd_siginfo info;

    (void)what;
    while (read(signals->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        signals->fn(signals->arg, (int)info.ssi_signo);
}

int
signals_new(struct loop *loop, void (*fn)(void *arg, int signal), void *arg,
            struct signals **ret_signals)
{
    struct signals *signals = calloc(1, sizeof(*signals));
    sigset_t set;
    int r;

    if (signals == NULL)
        return -ENOMEM;
    signals->fn = fn;
    signals->arg = arg;
    handled_signals(&set);
    signals->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signals->fd < 0) {
        r = -errno;
        signals_free(signals);
        return r;
    }
    signals->io = io_new(loop, signals->fd, "signals", signals_readable, signals);
    r = signals->io == NULL ? -ENOMEM : io_want(signals->io, IO_READ);
    if (r < 0) {
        signals_free(signals);
        return r;
    }
    *ret_signals = signals;
    return 0;
}

void
signals_free(struct signals *signals)
{
    if (signals == NULL)
        return;
    io_free(signals->io);
    fd_close(signals->fd);
    free(signals);
}
