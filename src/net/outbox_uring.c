/*
 * outbox_uring.c - a batch in one io_uring_enter.
 *
 * With MSG_DONTWAIT every send is complete, one way or the other, when the call returns, so no
 * entry outlives its batch.
 */
#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "outbox_int.h"

#ifdef HAVE_LIBURING

#include <liburing.h>
#include <sys/socket.h>

struct uring {
    struct io_uring ring;
    struct msghdr messages[OUTBOX_BATCH_MAX];
};

static int
uring_open(void **ret_state)
{
    CLEANUP(free) struct uring *uring = NULL;
    int r;

    uring = calloc(1, sizeof(*uring));
    if (uring == NULL)
        return -ENOMEM;
    r = io_uring_queue_init(OUTBOX_BATCH_MAX, &uring->ring, 0);
    if (r < 0)
        return r;
    *ret_state = TAKE(uring);
    return 0;
}

static void
uring_close(void *state)
{
    struct uring *uring = state;

    io_uring_queue_exit(&uring->ring);
    free(uring);
}

/* Puts entry i into the submission queue, which has room for a whole batch. */
static void
uring_prepare(struct uring *uring, struct outbox_entry *entry, size_t i)
{
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

    if (entry->count == 1) {
        io_uring_prep_send(sqe, entry->fd, entry->iov[0].iov_base, entry->iov[0].iov_len, flags);
    } else {
        uring->messages[i] = (struct msghdr){.msg_iov = entry->iov, .msg_iovlen = entry->count};
        io_uring_prep_sendmsg(sqe, entry->fd, &uring->messages[i], (unsigned)flags);
    }
    io_uring_sqe_set_data(sqe, entry);
}

/* Takes what is complete; returns how many. */
static unsigned
uring_reap(struct uring *uring)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    unsigned count = 0;

    io_uring_for_each_cqe(&uring->ring, head, cqe)
    {
        struct outbox_entry *entry = io_uring_cqe_get_data(cqe);

        entry->result = cqe->res;
        count++;
    }
    io_uring_cq_advance(&uring->ring, count);
    return count;
}

static size_t
uring_submit(void *state, struct outbox_entry **entries, size_t count)
{
    struct uring *uring = state;
    size_t done = 0;
    int r;

    for (size_t i = 0; i < count; i++) {
        uring_prepare(uring, entries[i], i);
        entries[i]->result = -EIO; /* if the ring breaks with this one in it */
    }
    while (done < count) {
        r = io_uring_submit_and_wait(&uring->ring, (unsigned)(count - done));
        done += uring_reap(uring);
        if (r < 0 && r != -EINTR)
            return count - io_uring_sq_ready(&uring->ring); /* those were never begun */
    }
    return count;
}

#else

static int
uring_open(void **ret_state)
{
    (void)ret_state;
    return -ENOSYS;
}

static void
uring_close(void *state)
{
    (void)state;
}

static size_t
uring_submit(void *state, struct outbox_entry **entries, size_t count)
{
    (void)state;
    (void)entries;
    (void)count;
    return 0;
}

#endif

const struct outbox_submitter outbox_uring = {
    .name = "io_uring",
    .open = uring_open,
    .close = uring_close,
    .submit = uring_submit,
};
