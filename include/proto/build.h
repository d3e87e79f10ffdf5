/*
 * build.h - makes messages, at the end of a struct buf or in a char array.
 *
 * A call that fails leaves the buf as it was; so several messages can be appended and the result
 * sent when all went well.
 *
 *     struct msg msg;
 *
 *     msg_begin(&msg, buf, BACKEND_NOTIFICATION);
 *     msg_put_int32(&msg, pid);
 *     msg_put_str(&msg, channel);
 *     msg_put_str(&msg, payload);
 *     return msg_end(&msg);
 *
 * Strings must be free of NULs, as C strings are, and are sent as they are.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "pg.h"
#include "sqlstate.h"

struct buf;
struct startup;

/* A message being written. The first error is kept, what follows does nothing, msg_end tells it. */
struct msg {
    struct buf *buf; /* borrowed; NULL when data is an array */
    char *data;      /* borrowed: the array */
    size_t size;     /* of the array */
    size_t start;    /* of the message in the buf */
    size_t len;      /* of the message so far */
    int error;
};

void msg_begin(struct msg *msg, struct buf *buf, char type);
void msg_begin_array(struct msg *msg, char *data, size_t size, char type);
void msg_put_byte(struct msg *msg, char value);
void msg_put_int16(struct msg *msg, uint16_t value);
void msg_put_int32(struct msg *msg, uint32_t value);
void msg_put_bytes(struct msg *msg, const void *data, size_t len);
/* With its NUL. */
void msg_put_str(struct msg *msg, const char *str);
/* 0, -ENOMEM, or -EMSGSIZE: too long for a message, or for the array. msg->len is its length. */
int msg_end(struct msg *msg);

/* What a server says. Each returns 0 or a negative errno. */

int msg_auth_ok(struct buf *buf);
int msg_parameter_status(struct buf *buf, const char *name, const char *value);
int msg_backend_key(struct buf *buf, uint32_t pid, const void *key, size_t key_len);
int msg_ready(struct buf *buf, enum ready_status status);
int msg_command_complete(struct buf *buf, const char *tag);
/* detail and hint may be NULL. */
int msg_error(struct buf *buf, const char *severity, const char *sqlstate, const char *message,
              const char *detail, const char *hint);
int msg_notice(struct buf *buf, const char *severity, const char *sqlstate, const char *message,
               const char *detail, const char *hint);
/*
 * The same without memory: an ErrorResponse of at most size bytes, for which the message is cut
 * if need be. Returns its length, or -EMSGSIZE when not even an empty message fits.
 */
ssize_t msg_error_array(char *data, size_t size, const char *severity, const char *sqlstate,
                        const char *message);
/* The version that is spoken, and the `_pq_.` options of the packet: they are all unknown to us. */
int msg_negotiate(struct buf *buf, const struct startup *startup);

struct msg_column {
    const char *name;
    enum pg_type type;
};

/* The size of a type's values; -1 where it varies. */
int16_t msg_type_size(enum pg_type type);
int msg_row_description(struct buf *buf, const struct msg_column *columns, size_t count);
/* Values in text format; NULL is NULL. */
int msg_data_row(struct buf *buf, const char *const *values, size_t count);

/* What a client says. */

int msg_query(struct buf *buf, const char *sql);
/* Without values; what comes back is text. */
int msg_bind(struct buf *buf, const char *portal, const char *statement);
int msg_sync(struct buf *buf);
int msg_terminate(struct buf *buf);
