/*
 * stream_int.h - what the files of a stream, and the outbox below it, share.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "stream.h"

/* Whether TLS has ended; then stream_recv says so for good. */
enum stream_end { STREAM_OPEN, STREAM_END, STREAM_BROKEN };

/* Called by the outbox: of the pieces, result bytes were taken (or it is a negative errno). */
void stream_sent(struct stream *stream, const struct iovec *iov, unsigned count, ssize_t result);
/* Called by the outbox, from the loop: makes the calls that the stream is owed. */
void stream_pay(struct stream *stream);

/* Sending has failed; the owner is told from the loop. */
void stream_fail(struct stream *stream, int error);
/* stream_recv has something to say that no event announces. */
void stream_hold(struct stream *stream);
/* Sends bytes as they are: payload without TLS, else ciphertext. */
void stream_send_raw(struct stream *stream, const void *data, size_t len);

/* TLS: stream_tls.c. */
int stream_tls_open(struct stream *stream);
/* Lets go of the SSL object; polite says so to the peer first. */
void stream_tls_close(struct stream *stream, bool polite);
ssize_t stream_tls_recv(struct stream *stream, const char **ret_data, bool *ret_more);
void stream_tls_send(struct stream *stream, const void *data, size_t len);

/* Bytes on the heap that wait for the socket: stream_backlog.c. */
struct stream_backlog;
/* *backlog is made when it is NULL. 0 or -ENOMEM. */
int stream_backlog_append(struct stream_backlog **backlog, const void *data, size_t len);
/* Sends once. 1 when all is gone, 0 when some is left, or -errno. */
int stream_backlog_send(struct stream_backlog *backlog, int fd);
size_t stream_backlog_len(const struct stream_backlog *backlog);
