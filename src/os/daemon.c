#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "units.h"

/* The end of the pipe that the old process waits at; -1 when there is none. */
static int ready_pipe = -1;

/* The old process: waits for the new one's word, or for its end. */
static void __attribute__((noreturn)) wait_and_exit(pid_t child, int pipe_end)
{
    char word;
    ssize_t n;
    int status;

    do
        n = read(pipe_end, &word, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1)
        _exit(0);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            _exit(1);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

int
daemon_detach(void)
{
    int ends[2];
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    (void)fflush(NULL); /* else both would write what is buffered */
    child = fork();
    if (child < 0) {
        fd_close(ends[0]);
        fd_close(ends[1]);
        return -errno;
    }
    if (child > 0) {
        fd_close(ends[1]);
        wait_and_exit(child, ends[0]);
    }
    fd_close(ends[0]);
    ready_pipe = ends[1];
    (void)setsid();
    return 0;
}

void
daemon_report_ready(void)
{
    int null;
    ssize_t n;

    if (ready_pipe < 0)
        return;
    (void)fflush(NULL);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
            (void)dup2(null, fd);
        if (null > STDERR_FILENO)
            fd_close(null);
    }
    do
        n = write(ready_pipe, "", 1);
    while (n < 0 && errno == EINTR);
    fd_close(FD_TAKE(ready_pipe));
}

static const struct passwd *
find_user(const char *user)
{
    const struct passwd *found = getpwnam(user);
    int64_t uid;

    if (found == NULL && units_parse_int(user, &uid) == 0 && uid >= 0 && uid < UINT32_MAX)
        found = getpwuid((uid_t)uid);
    return found;
}

int
privileges_drop(const char *user)
{
    const struct passwd *target;

    errno = 0;
    target = find_user(user);
    if (target == NULL)
        return errno != 0 ? -errno : -ENOENT;
    if (getuid() == target->pw_uid && geteuid() == target->pw_uid)
        return 0;
    if (initgroups(target->pw_name, target->pw_gid) < 0 ||
        setresgid(target->pw_gid, target->pw_gid, target->pw_gid) < 0 ||
        setresuid(target->pw_uid, target->pw_uid, target->pw_uid) < 0)
        return -errno;
    if (target->pw_uid != 0 && setuid(0) == 0) /* there must be no way back */
        return -EPERM;
    return setenv("HOME", target->pw_dir, 1) < 0 ? -errno : 0;
}
