/*
 * stream.h - the bytes of one socket, plain or through TLS, sent by the loop's outbox.
 *
 * Receiving gives a chunk of the arena; sending takes a piece of such a chunk, or copies. What the
 * kernel does not take at once is kept in the stream's backlog, the only memory that a stream ever
 * owns, and goes out as the socket allows.
 *
 * Thread: that of the outbox's loop; stream_detach and stream_attach move a stream to another.
 * Life: embedded in its owner; stream_open ... stream_close. Callbacks come from the loop, never
 * from inside a call to the stream; after stream_close none comes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "list.h"

struct io;
struct outbox;
struct outbox_entry;
struct ssl_st;
struct stream;
struct stream_backlog;

struct stream_ops {
    const char *name;                                 /* for the log of slow callbacks */
    void (*readable)(struct stream *stream);          /* call stream_recv now */
    void (*drained)(struct stream *stream);           /* the backlog has gone out */
    void (*hung_up)(struct stream *stream);           /* the peer closed while we do not read */
    void (*failed)(struct stream *stream, int error); /* sending failed (errno); close it */
};

struct stream {
    const struct stream_ops *ops;   /* NULL while not open */
    struct outbox *outbox;          /* borrowed; NULL while detached */
    struct io *io;                  /* owned; NULL while detached */
    struct ssl_st *tls;             /* or NULL; owned unless keep_fd; its BIO is this stream's */
    struct outbox_entry *entry;     /* its place in this turn's batch, or NULL */
    struct stream_backlog *backlog; /* owned, NULL when all is sent */
    struct list link;               /* the outbox's, while it owes the stream a call */
    uint64_t received;              /* bytes of payload since stream_open */
    uint64_t sent;
    uint32_t answered;     /* TLS: sent at the peer's request while it takes nothing */
    int fd;                /* owned unless keep_fd; -1 when closed */
    unsigned char reading; /* stream_set_reading's last word */
    unsigned char keep_fd; /* somebody else (libpq) closes the descriptor */
    unsigned char error;   /* sending has failed with this errno */
    unsigned char end;     /* TLS has ended: an enum of stream_int.h */
    bool held;             /* TLS holds bytes, or its end, that no event will announce */
    bool told_failed;      /* failed was called */
    bool told_hung_up;     /* hung_up was called */
};

/*
 * Takes fd, which does not block, and tls over (with keep_fd: borrows both), also on failure. tls,
 * if any, has done its handshake; its BIO is replaced by the stream's. Reading starts enabled.
 */
int stream_open(struct stream *stream, struct outbox *outbox, int fd, struct ssl_st *tls,
                bool keep_fd, const struct stream_ops *ops);
/*
 * From here on a stream that was plain goes through tls, which has done its handshake and is taken
 * over, also on failure. 0 or -ENOMEM.
 */
int stream_start_tls(struct stream *stream, struct ssl_st *tls);
/* Forgets what is not sent yet; flush first if it matters. Idempotent. */
void stream_close(struct stream *stream);
/*
 * The same, but the descriptor (with nothing left to send) is the caller's now, and so is *ret_tls,
 * NULL without TLS.
 */
int stream_take_fd(struct stream *stream, struct ssl_st **ret_tls);
/* Whether opened and not closed. */
bool stream_is_open(const struct stream *stream);

/*
 * Receives once. n > 0: that many bytes at *ret_data, valid until the next stream_recv of any
 * stream of this outbox or the end of the turn. 0: the peer has closed. -EAGAIN: nothing there.
 * Else -errno. *ret_more (may be NULL) tells that the socket may hold more right now.
 */
ssize_t stream_recv(struct stream *stream, const char **ret_data, bool *ret_more);

/* data lies in a chunk that stream_recv of this outbox gave in this turn: no copy. */
void stream_send(struct stream *stream, const void *data, size_t len);
/* data may lie anywhere; it is copied. */
void stream_send_copy(struct stream *stream, const void *data, size_t len);
/* Bytes that the kernel has not taken yet; grows only at a flush or while there is a backlog. */
size_t stream_backlog_size(const struct stream *stream);

/*
 * Whether readable is called. While off, hung_up is called (once) when the peer shuts down; nothing
 * is lost: TLS bytes that were already decrypted are handed out when it is on again.
 */
void stream_set_reading(struct stream *stream, bool reading);

/* Leaves its loop, after all sends of this turn were submitted; the backlog comes along. */
void stream_detach(struct stream *stream);
/* Continues on another loop, with the reading state it had; on failure the stream is closed. */
int stream_attach(struct stream *stream, struct outbox *outbox);
