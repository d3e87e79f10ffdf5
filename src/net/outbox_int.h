/*
 * outbox_int.h - the outbox as streams and the ways to submit see it.
 *
 * The arena is filled from its start by a bump pointer:
 *
 *     |  chunks received, copies to send  |            room             |
 *     arena                               used              OUTBOX_ARENA_SIZE
 *
 * Entries point into it, so the pointer goes back only when all of them have been submitted: at the
 * end of the turn, and at the start of a receive that finds too little room. A flush in the middle
 * of a turn leaves it where it is, because the caller may still walk a chunk.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "list.h"
#include "loop.h"
#include "outbox.h"

struct stream;

/* Pieces of one send; pieces that adjoin count as one. */
#define OUTBOX_IOV_MAX 8
/* A receive finds at least this much room. */
#define OUTBOX_RECEIVE_MIN (64 * 1024)

/* What one stream sends in this batch. A stream has at most one: two could be reordered when the
 * first is sent short. */
struct outbox_entry {
    struct stream *stream; /* borrowed; NULL when it was closed since */
    int fd;
    int result; /* of submitting: bytes sent, or a negative errno */
    unsigned count;
    struct iovec iov[OUTBOX_IOV_MAX];
};

/* One way to submit a batch. */
struct outbox_submitter {
    const char *name;
    /* 0 and *ret_state, or the -errno with which the kernel refuses. */
    int (*open)(void **ret_state);
    void (*close)(void *state);
    /* Sets the results of the first n entries and returns n; less than count when it is broken. */
    size_t (*submit)(void *state, struct outbox_entry **entries, size_t count);
};

extern const struct outbox_submitter outbox_uring;
extern const struct outbox_submitter outbox_aio;
extern const struct outbox_submitter outbox_send;

struct outbox {
    struct loop *loop; /* borrowed */
    char *arena;       /* owned */
    size_t used;
    size_t received_at;     /* start of the receive under way */
    const char *ciphertext; /* what TLS has not read yet of that receive */
    const char *ciphertext_end;
    enum outbox_method method;
    void *state;            /* owned; the submitter's */
    struct list owed;       /* streams that are owed a call */
    struct message message; /* makes those calls */
    bool message_waits;
    bool freed;     /* outbox_free was called while the message waits */
    unsigned count; /* entries in use, blank ones included */
    struct outbox_entry entries[OUTBOX_BATCH_MAX];
};

/*
 * Room for one receive; all that is left, so nothing else is placed there until outbox_receive_end
 * says how much of its start is kept. Invalidates older chunks.
 */
char *outbox_receive_begin(struct outbox *outbox, size_t *ret_room);
void outbox_receive_end(struct outbox *outbox, size_t len);

/* A copy in the arena, or NULL when there is no room. */
const char *outbox_copy(struct outbox *outbox, const void *data, size_t len);
/* Adds data, which lies in the arena, to the batch; false when that takes a flush first. */
bool outbox_add(struct outbox *outbox, struct stream *stream, const void *data, size_t len);

/* Sees to it that stream_pay is called from the loop. */
void outbox_owe(struct outbox *outbox, struct stream *stream);
