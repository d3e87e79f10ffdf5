/*
 * outbox_send.c - the plainest way to submit: one system call for each entry.
 */
#include <errno.h>
#include <sys/socket.h>

#include "outbox_int.h"

static int
send_open(void **ret_state)
{
    *ret_state = NULL;
    return 0;
}

static void
send_close(void *state)
{
    (void)state;
}

static ssize_t
send_entry(struct outbox_entry *entry)
{
    const struct msghdr message = {.msg_iov = entry->iov, .msg_iovlen = entry->count};
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;

    if (entry->count == 1)
        return send(entry->fd, entry->iov[0].iov_base, entry->iov[0].iov_len, flags);
    return sendmsg(entry->fd, &message, flags);
}

static size_t
send_submit(void *state, struct outbox_entry **entries, size_t count)
{
    (void)state;
    for (size_t i = 0; i < count; i++) {
        const ssize_t n = send_entry(entries[i]);

        entries[i]->result = n < 0 ? -errno : (int)n;
    }
    return count;
}

const struct outbox_submitter outbox_send = {
    .name = "send",
    .open = send_open,
    .close = send_close,
    .submit = send_submit,
};
