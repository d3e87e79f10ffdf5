/*
 * outbox.c - the arena, the batch of sends, and the calls that are owed to streams.
 */
#include "outbox_int.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "fd.h"
#include "stream.h"
#include "stream_int.h"

/* In builds with ASan, whoever reads a chunk that is no longer valid is caught. */
#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(addr, size)   ((void)(addr), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(addr, size) ((void)(addr), (void)(size))
#endif

/* clang-format off */
static const struct outbox_submitter *const submitters[] = {
    [OUTBOX_URING] = &outbox_uring,
    [OUTBOX_AIO]   = &outbox_aio,
    [OUTBOX_SEND]  = &outbox_send,
};
/* clang-format on */

static void outbox_turn(void *arg);
static void outbox_pay(struct message *message);

/* Whether the method really sends here: kernels and containers refuse in many ways. */
static bool
outbox_probe(const struct outbox_submitter *submitter, void *state)
{
    CLEANUP(fd_close) int near = -1;
    CLEANUP(fd_close) int far = -1;
    int pair[2];
    char byte = 'p';
    struct outbox_entry entry = {.count = 1, .iov = {{.iov_base = &byte, .iov_len = 1}}};
    struct outbox_entry *entries[] = {&entry};

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        return false;
    near = pair[0];
    far = pair[1];
    entry.fd = near;
    if (submitter->submit(state, entries, 1) != 1 || entry.result != 1)
        return false;
    byte = 0;
    return recv(far, &byte, 1, 0) == 1 && byte == 'p';
}

/* Opens the first method, from `method` on, that works. */
static int
outbox_open_method(struct outbox *outbox, enum outbox_method method)
{
    void *state;
    int r = -ENOSYS;

    if (method == OUTBOX_AUTO)
        method = OUTBOX_URING;
    for (; method < ARRAY_SIZE(submitters); method++) {
        r = submitters[method]->open(&state);
        if (r < 0)
            continue;
        if (outbox_probe(submitters[method], state)) {
            outbox->method = method;
            outbox->state = state;
            return 0;
        }
        submitters[method]->close(state);
        r = -EIO;
    }
    return r;
}

int
outbox_new(struct loop *loop, enum outbox_method method, struct outbox **ret_outbox)
{
    CLEANUP(free) struct outbox *outbox = NULL;
    CLEANUP(free) char *arena = NULL;
    int r;

    outbox = calloc(1, sizeof(*outbox));
    if (outbox == NULL)
        return -ENOMEM;
    arena = aligned_alloc(4096, OUTBOX_ARENA_SIZE);
    if (arena == NULL)
        return -ENOMEM;
    r = outbox_open_method(outbox, method);
    if (r < 0)
        return r;
    outbox->loop = loop;
    outbox->arena = TAKE(arena);
    outbox->message.fn = outbox_pay;
    list_init(&outbox->owed);
    loop_set_turn_hook(loop, outbox_turn, outbox);
    *ret_outbox = TAKE(outbox);
    return 0;
}

void
outbox_free(struct outbox *outbox)
{
    if (outbox == NULL)
        return;
    if (outbox->arena != NULL) {
        assert(list_empty(&outbox->owed));
        outbox_flush(outbox);
        loop_set_turn_hook(outbox->loop, NULL, NULL);
        submitters[outbox->method]->close(outbox->state);
        ASAN_UNPOISON_MEMORY_REGION(outbox->arena, OUTBOX_ARENA_SIZE);
        free(TAKE(outbox->arena));
    }
    outbox->freed = true;
    if (!outbox->message_waits)
        free(outbox);
}

struct loop *
outbox_loop(const struct outbox *outbox)
{
    return outbox->loop;
}

enum outbox_method
outbox_method(const struct outbox *outbox)
{
    return outbox->method;
}

const char *
outbox_method_name(enum outbox_method method)
{
    return method == OUTBOX_AUTO ? "auto" : submitters[method]->name;
}

/* Submits a batch that is worth it; the rest, and what a broken method left, goes one by one. */
static void
outbox_submit(struct outbox *outbox, struct outbox_entry **entries, size_t count)
{
    size_t done = 0;

    if (count >= OUTBOX_BATCH_MIN)
        done = submitters[outbox->method]->submit(outbox->state, entries, count);
    if (done < count)
        outbox_send.submit(NULL, entries + done, count - done);
    if (done < count && count >= OUTBOX_BATCH_MIN) {
        submitters[outbox->method]->close(outbox->state);
        outbox->method = OUTBOX_SEND;
        outbox->state = NULL;
    }
}

void
outbox_flush(struct outbox *outbox)
{
    struct outbox_entry *entries[OUTBOX_BATCH_MAX];
    size_t count = 0;

    for (unsigned i = 0; i < outbox->count; i++)
        if (outbox->entries[i].stream != NULL)
            entries[count++] = &outbox->entries[i];
    outbox->count = 0;
    if (count == 0)
        return;
    outbox_submit(outbox, entries, count);
    for (size_t i = 0; i < count; i++) {
        struct outbox_entry *entry = entries[i];

        entry->stream->entry = NULL;
        stream_sent(entry->stream, entry->iov, entry->count, entry->result);
    }
}

/* Nothing in the arena is needed any more. */
static void
outbox_reset(struct outbox *outbox)
{
    assert(outbox->count == 0);
    ASAN_POISON_MEMORY_REGION(outbox->arena, outbox->used);
    outbox->used = 0;
}

static void
outbox_turn(void *arg)
{
    struct outbox *outbox = arg;

    outbox_flush(outbox);
    outbox_reset(outbox);
}

char *
outbox_receive_begin(struct outbox *outbox, size_t *ret_room)
{
    if (OUTBOX_ARENA_SIZE - outbox->used < OUTBOX_RECEIVE_MIN) {
        outbox_flush(outbox);
        outbox_reset(outbox);
    }
    outbox->received_at = outbox->used;
    outbox->used = OUTBOX_ARENA_SIZE;
    *ret_room = OUTBOX_ARENA_SIZE - outbox->received_at;
    ASAN_UNPOISON_MEMORY_REGION(outbox->arena + outbox->received_at, *ret_room);
    return outbox->arena + outbox->received_at;
}

void
outbox_receive_end(struct outbox *outbox, size_t len)
{
    assert(len <= OUTBOX_ARENA_SIZE - outbox->received_at);
    outbox->used = outbox->received_at + len;
    ASAN_POISON_MEMORY_REGION(outbox->arena + outbox->used, OUTBOX_ARENA_SIZE - outbox->used);
}

const char *
outbox_copy(struct outbox *outbox, const void *data, size_t len)
{
    char *copy = outbox->arena + outbox->used;

    if (len > OUTBOX_ARENA_SIZE - outbox->used)
        return NULL;
    ASAN_UNPOISON_MEMORY_REGION(copy, len);
    memcpy(copy, data, len);
    outbox->used += len;
    return copy;
}

/* Adds a piece to what the stream already sends in this batch. */
static bool
outbox_extend(struct outbox_entry *entry, const void *data, size_t len)
{
    struct iovec *last = &entry->iov[entry->count - 1];

    if ((char *)last->iov_base + last->iov_len == data) {
        last->iov_len += len;
        return true;
    }
    if (entry->count == OUTBOX_IOV_MAX)
        return false;
    entry->iov[entry->count++] = (struct iovec){.iov_base = (void *)data, .iov_len = len};
    return true;
}

bool
outbox_add(struct outbox *outbox, struct stream *stream, const void *data, size_t len)
{
    struct outbox_entry *entry = stream->entry;

    assert((const char *)data >= outbox->arena);
    assert((const char *)data + len <= outbox->arena + outbox->used);
    if (entry != NULL)
        return outbox_extend(entry, data, len);
    if (outbox->count == OUTBOX_BATCH_MAX)
        return false;
    entry = &outbox->entries[outbox->count++];
    entry->stream = stream;
    entry->fd = stream->fd;
    entry->count = 1;
    entry->iov[0] = (struct iovec){.iov_base = (void *)data, .iov_len = len};
    stream->entry = entry;
    return true;
}

void
outbox_owe(struct outbox *outbox, struct stream *stream)
{
    if (!list_is_linked(&stream->link))
        list_push_back(&outbox->owed, &stream->link);
    if (!outbox->message_waits) {
        outbox->message_waits = true;
        loop_defer(outbox->loop, &outbox->message);
    }
}

/* Those that owe again meanwhile are served by the next turn. */
static void
outbox_pay(struct message *message)
{
    struct outbox *outbox = container_of(message, struct outbox, message);
    struct list streams = LIST_INIT(streams);
    struct list *link;

    outbox->message_waits = false;
    if (outbox->freed) {
        free(outbox);
        return;
    }
    list_append(&streams, &outbox->owed);
    while ((link = list_pop(&streams)) != NULL)
        stream_pay(list_entry(link, struct stream, link));
}
