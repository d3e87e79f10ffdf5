#include "pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "str.h"
#include "units.h"

struct pidfile {
    int fd;     /* owned; holds the lock */
    char *path; /* owned */
};

/* Whether path still leads to the file behind fd, not to another one or to none. */
static bool
is_still_at(int fd, const char *path)
{
    struct stat ours;
    struct stat theirs;

    return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
           ours.st_ino == theirs.st_ino;
}

/* Whether the file names a process that lives and is not this one. */
static bool
names_other_process(int fd)
{
    char text[32];
    const ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
    int64_t pid;

    if (len <= 0)
        return false;
    text[len] = '\0';
    if (units_parse_int(text, &pid) < 0 || pid <= 0 || pid > INT32_MAX || pid == getpid())
        return false;
    return kill((pid_t)pid, 0) == 0 || errno == EPERM;
}

/* Opens and locks the file, anew when it was removed between the two. A descriptor or -errno. */
static int
open_locked(const char *path)
{
    for (;;) {
        CLEANUP(fd_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

        if (fd < 0)
            return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
            return errno == EWOULDBLOCK ? -EEXIST : -errno;
        if (is_still_at(fd, path))
            return FD_TAKE(fd);
    }
}

static int
write_pid(int fd)
{
    char text[32];
    const int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    ssize_t n;

    if (ftruncate(fd, 0) < 0)
        return -errno;
    n = pwrite(fd, text, (size_t)len, 0);
    if (n < 0)
        return -errno;
    return n == len ? 0 : -ENOSPC;
}

int
pidfile_create(const char *path, struct pidfile **ret_pidfile)
{
    CLEANUP(fd_close) int fd = -1;
    CLEANUP(free) char *copy = strdup(path);
    CLEANUP(free) struct pidfile *pidfile = malloc(sizeof(*pidfile));
    int r;

    if (copy == NULL || pidfile == NULL)
        return -ENOMEM;
    fd = open_locked(path);
    if (fd < 0)
        return fd;
    if (names_other_process(fd))
        return -EEXIST;
    r = write_pid(fd);
    if (r < 0) {
        (void)unlink(path);
        return r;
    }
    *pidfile = (struct pidfile){.fd = FD_TAKE(fd), .path = TAKE(copy)};
    *ret_pidfile = TAKE(pidfile);
    return 0;
}

void
pidfile_remove(struct pidfile *pidfile)
{
    if (pidfile == NULL)
        return;
    if (is_still_at(pidfile->fd, pidfile->path))
        (void)unlink(pidfile->path);
    fd_close(pidfile->fd);
    free(pidfile->path);
    free(pidfile);
}
