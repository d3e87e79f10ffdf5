/*
 * stream_backlog.c - what the socket has not taken yet: one block of memory, sent from its front,
 * filled at its end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "stream_int.h"

#define BACKLOG_MIN ((size_t)4096)

struct stream_backlog {
    size_t start; /* sent */
    size_t end;
    size_t size;
    char data[];
};

/* A block of at least size bytes, of double the size each time, with what is still to be sent. */
static int
backlog_grow(struct stream_backlog **backlog, size_t size)
{
    struct stream_backlog *old = *backlog;
    struct stream_backlog *new;
    size_t capacity = BACKLOG_MIN;

    while (capacity < size) {
        if (capacity > SIZE_MAX / 4)
            return -ENOMEM;
        capacity *= 2;
    }
    new = malloc(sizeof(*new) + capacity);
    if (new == NULL)
        return -ENOMEM;
    new->start = 0;
    new->end = stream_backlog_len(old);
    new->size = capacity;
    if (old != NULL)
        memcpy(new->data, old->data + old->start, new->end);
    free(old);
    *backlog = new;
    return 0;
}

int
stream_backlog_append(struct stream_backlog **backlog, const void *data, size_t len)
{
    struct stream_backlog *to = *backlog;
    const size_t kept = stream_backlog_len(to);
    int r;

    if (len > SIZE_MAX - kept)
        return -ENOMEM;
    if (to != NULL && len > to->size - to->end && kept + len <= to->size / 2) {
        memmove(to->data, to->data + to->start, kept);
        to->start = 0;
        to->end = kept;
    } else if (to == NULL || len > to->size - to->end) {
        r = backlog_grow(backlog, kept + len);
        if (r < 0)
            return r;
        to = *backlog;
    }
    memcpy(to->data + to->end, data, len);
    to->end += len;
    return 0;
}

int
stream_backlog_send(struct stream_backlog *backlog, int fd)
{
    const ssize_t n = send(fd, backlog->data + backlog->start, stream_backlog_len(backlog),
                           MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    backlog->start += (size_t)n;
    return backlog->start == backlog->end;
}

size_t
stream_backlog_len(const struct stream_backlog *backlog)
{
    return backlog != NULL ? backlog->end - backlog->start : 0;
}
