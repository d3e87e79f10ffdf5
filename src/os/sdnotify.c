#include "sdnotify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "str.h"
#include "units.h"

#define LISTEN_FDS_FIRST 3
#define LISTEN_FDS_MAX   1024

/* The address that systemd listens at; '@' stands for the NUL of an abstract one. 0 is none. */
static socklen_t
notify_address(struct sockaddr_un *addr)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len;

    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@'))
        return 0;
    len = str_copy(addr->sun_path, sizeof(addr->sun_path), path);
    if (len >= sizeof(addr->sun_path))
        return 0;
    if (path[0] == '@')
        addr->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static void
notify_send(const char *message)
{
    CLEANUP(fd_close) int fd = -1;
    struct sockaddr_un addr;
    const socklen_t addr_len = notify_address(&addr);

    if (addr_len == 0)
        return;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        (void)sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&addr,
                     addr_len);
}

void
notify_ready(void)
{
    notify_send("READY=1");
}

void
notify_reloading(void)
{
    char message[64];

    (void)snprintf(message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%ju",
                   (uintmax_t)clock_now());
    notify_send(message);
}

void
notify_stopping(void)
{
    notify_send("STOPPING=1");
}

void
notify_status(const char *format, ...)
{
    static const char key[] = "STATUS=";
    char message[1024];
    va_list args;

    (void)str_copy(message, sizeof(message), key);
    va_start(args, format);
    (void)vsnprintf(message + strlen(key), sizeof(message) - strlen(key), format, args);
    va_end(args);
    for (char *newline = message; (newline = strchr(newline, '\n')) != NULL;)
        *newline = ' '; /* what follows one would be another assignment */
    notify_send(message);
}

void
notify_watchdog(void)
{
    notify_send("WATCHDOG=1");
}

/* A number in the environment. 0, -ENOENT or -EINVAL. */
static int
read_env(const char *name, int64_t *ret_value)
{
    const char *text = getenv(name);

    if (text == NULL)
        return -ENOENT;
    return units_parse_int(text, ret_value) < 0 || *ret_value < 0 ? -EINVAL : 0;
}

usec_t
notify_watchdog_interval(void)
{
    int64_t usec;
    int64_t pid;

    if (read_env("WATCHDOG_USEC", &usec) < 0)
        return 0;
    if (read_env("WATCHDOG_PID", &pid) == 0 && pid != getpid())
        return 0;
    return (usec_t)usec / 2;
}

/* How many sockets were passed to this very process. */
static int
count_listen_fds(void)
{
    int64_t count;
    int64_t pid;
    const int r = read_env("LISTEN_PID", &pid);

    if (r == -ENOENT || (r == 0 && pid != getpid()))
        return 0;
    if (r < 0 || read_env("LISTEN_FDS", &count) < 0 || count > LISTEN_FDS_MAX)
        return -EINVAL;
    return (int)count;
}

int
listen_fds_take(int *ret_first)
{
    const int count = count_listen_fds();

    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    for (int i = 0; i < count; i++)
        if (fd_set_cloexec(LISTEN_FDS_FIRST + i) < 0)
            return -EINVAL;
    if (count > 0)
        *ret_first = LISTEN_FDS_FIRST;
    return count;
}
