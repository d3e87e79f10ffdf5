/*
 * outbox_aio.c - a batch in one io_submit (Linux AIO, which containers allow where they forbid
 * io_uring).
 *
 * A write to a non-blocking socket is complete when io_submit returns; its result is read from the
 * ring that the kernel maps into the process. There is no MSG_NOSIGNAL here: the daemon ignores
 * SIGPIPE.
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "outbox_int.h"

#define AIO_RING_MAGIC 0xa10a10a1

/* What the kernel maps at the address that is the context's id; stable since Linux 2.6. */
struct aio_ring {
    unsigned id;
    unsigned nr;
    unsigned head; /* ours */
    unsigned tail; /* the kernel's */
    unsigned magic;
    unsigned compat_features;
    unsigned incompat_features;
    unsigned header_length;
    struct io_event events[];
};

struct aio {
    aio_context_t context;
    struct iocb iocbs[OUTBOX_BATCH_MAX];
    struct iocb *pointers[OUTBOX_BATCH_MAX];
};

static int
aio_open(void **ret_state)
{
    CLEANUP(free) struct aio *aio = NULL;

    aio = calloc(1, sizeof(*aio));
    if (aio == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < OUTBOX_BATCH_MAX; i++)
        aio->pointers[i] = &aio->iocbs[i];
    if (syscall(SYS_io_setup, OUTBOX_BATCH_MAX, &aio->context) < 0)
        return -errno;
    *ret_state = TAKE(aio);
    return 0;
}

static void
aio_close(void *state)
{
    struct aio *aio = state;

    syscall(SYS_io_destroy, aio->context);
    free(aio);
}

static void
aio_prepare(struct iocb *iocb, struct outbox_entry *entry)
{
    *iocb = (struct iocb){
        .aio_data = (uintptr_t)entry,
        .aio_fildes = (unsigned)entry->fd,
        .aio_lio_opcode = IOCB_CMD_PWRITE,
        .aio_buf = (uintptr_t)entry->iov[0].iov_base,
        .aio_nbytes = entry->iov[0].iov_len,
    };
    if (entry->count > 1) {
        iocb->aio_lio_opcode = IOCB_CMD_PWRITEV;
        iocb->aio_buf = (uintptr_t)entry->iov;
        iocb->aio_nbytes = entry->count;
    }
}

static void
aio_take(const struct io_event *event)
{
    struct outbox_entry *entry = (struct outbox_entry *)(uintptr_t)event->data;

    entry->result = (int)event->res;
}

/* Takes up to count results without a system call; returns how many. */
static size_t
aio_reap_mapped(struct aio *aio, size_t count)
{
    struct aio_ring *ring = (struct aio_ring *)(uintptr_t)aio->context;
    unsigned head;
    unsigned tail;
    size_t done = 0;

    if (ring->magic != AIO_RING_MAGIC || ring->incompat_features != 0)
        return 0;
    head = ring->head;
    tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
    for (; done < count && head != tail; done++) {
        aio_take(&ring->events[head]);
        head = (head + 1) % ring->nr;
    }
    __atomic_store_n(&ring->head, head, __ATOMIC_RELEASE);
    return done;
}

/* Waits for exactly count results. False when they cannot be had. */
static bool
aio_reap(struct aio *aio, size_t count)
{
    struct io_event events[OUTBOX_BATCH_MAX];
    size_t done = aio_reap_mapped(aio, count);

    while (done < count) {
        const long n =
            syscall(SYS_io_getevents, aio->context, 1L, (long)(count - done), events, NULL);

        if (n < 0 && errno != EINTR)
            return false;
        for (long i = 0; i < n; i++, done++)
            aio_take(&events[i]);
    }
    return true;
}

static size_t
aio_submit(void *state, struct outbox_entry **entries, size_t count)
{
    struct aio *aio = state;
    size_t begun = 0;

    for (size_t i = 0; i < count; i++) {
        aio_prepare(&aio->iocbs[i], entries[i]);
        entries[i]->result = -EIO; /* if its result cannot be had */
    }
    while (begun < count) {
        const long n =
            syscall(SYS_io_submit, aio->context, (long)(count - begun), aio->pointers + begun);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || !aio_reap(aio, (size_t)n))
            return begun + (n > 0 ? (size_t)n : 0);
        begun += (size_t)n;
    }
    return count;
}

const struct outbox_submitter outbox_aio = {
    .name = "io_submit",
    .open = aio_open,
    .close = aio_close,
    .submit = aio_submit,
};
