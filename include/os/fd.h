/*
 * fd.h - file descriptors.
 *
 * Thread: any.
 */
#pragma once

#include <stdint.h>

#include "cleanup.h"

/* Closes fd, unless it is negative; leaves errno alone. */
void fd_close(int fd);
/* For CLEANUP(fd_close) int fd = -1; FD_TAKE gives it away: its value, and -1 is left behind. */
static inline void
fd_close_cleanup(int *fd)
{
    fd_close(*fd);
}

#define FD_TAKE(fd)                                                                                \
    ({                                                                                             \
        const int fd_taken_ = (fd);                                                                \
        (fd) = -1;                                                                                 \
        fd_taken_;                                                                                 \
    })

int fd_set_nonblock(int fd);
int fd_set_cloexec(int fd);
/*
 * Raises the number of descriptors that the process may have to what its hard limit allows. Reports
 * the limits, then in force; UINT64_MAX is none.
 */
int fd_raise_limit(uint64_t *ret_soft, uint64_t *ret_hard);
