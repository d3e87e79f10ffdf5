/*
 * build.c - messages, written front to back; the length is filled in at the end.
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include "buf.h"
#include "startup.h"

static void
put_header(struct msg *msg, char type)
{
    char header[PG_HEADER_SIZE];

    pg_put_header(header, type, 0);
    msg_put_bytes(msg, header, sizeof(header));
}

void
msg_begin(struct msg *msg, struct buf *buf, char type)
{
    *msg = (struct msg){.buf = buf, .start = buf->len};
    put_header(msg, type);
}

void
msg_begin_array(struct msg *msg, char *data, size_t size, char type)
{
    *msg = (struct msg){.data = data, .size = size};
    put_header(msg, type);
}

void
msg_put_bytes(struct msg *msg, const void *data, size_t len)
{
    if (msg->error < 0 || len == 0)
        return;
    if (msg->buf != NULL)
        msg->error = buf_append(msg->buf, data, len);
    else if (len > msg->size - msg->len)
        msg->error = -EMSGSIZE;
    else
        memcpy(msg->data + msg->len, data, len);
    if (msg->error == 0)
        msg->len += len;
}

void
msg_put_byte(struct msg *msg, char value)
{
    msg_put_bytes(msg, &value, 1);
}

void
msg_put_int16(struct msg *msg, uint16_t value)
{
    char bytes[2];

    pg_put_uint16(bytes, value);
    msg_put_bytes(msg, bytes, sizeof(bytes));
}

void
msg_put_int32(struct msg *msg, uint32_t value)
{
    char bytes[4];

    pg_put_uint32(bytes, value);
    msg_put_bytes(msg, bytes, sizeof(bytes));
}

void
msg_put_str(struct msg *msg, const char *str)
{
    msg_put_bytes(msg, str, strlen(str) + 1);
}

/* Takes back what a failed message has left in the buf. */
static void
undo(struct msg *msg)
{
    if (msg->buf == NULL || msg->buf->data == NULL)
        return;
    msg->buf->len = msg->start;
    msg->buf->data[msg->start] = '\0';
}

int
msg_end(struct msg *msg)
{
    char *message;

    if (msg->error == 0 && msg->len > INT32_MAX)
        msg->error = -EMSGSIZE;
    if (msg->error < 0) {
        undo(msg);
        return msg->error;
    }
    message = msg->buf != NULL ? msg->buf->data + msg->start : msg->data;
    pg_put_uint32(message + 1, (uint32_t)msg->len - 1);
    return 0;
}

/* A message that is all header. */
static int
put_empty(struct buf *buf, char type)
{
    struct msg msg;

    msg_begin(&msg, buf, type);
    return msg_end(&msg);
}

/* A message that is one string. */
static int
put_one_str(struct buf *buf, char type, const char *str)
{
    struct msg msg;

    msg_begin(&msg, buf, type);
    msg_put_str(&msg, str);
    return msg_end(&msg);
}

int
msg_auth_ok(struct buf *buf)
{
    struct msg msg;

    msg_begin(&msg, buf, BACKEND_AUTHENTICATION);
    msg_put_int32(&msg, AUTH_OK);
    return msg_end(&msg);
}

int
msg_parameter_status(struct buf *buf, const char *name, const char *value)
{
    struct msg msg;

    msg_begin(&msg, buf, BACKEND_PARAMETER_STATUS);
    msg_put_str(&msg, name);
    msg_put_str(&msg, value);
    return msg_end(&msg);
}

int
msg_backend_key(struct buf *buf, uint32_t pid, const void *key, size_t key_len)
{
    struct msg msg;

    msg_begin(&msg, buf, BACKEND_KEY_DATA);
    msg_put_int32(&msg, pid);
    msg_put_bytes(&msg, key, key_len);
    return msg_end(&msg);
}

int
msg_ready(struct buf *buf, enum ready_status status)
{
    struct msg msg;

    msg_begin(&msg, buf, BACKEND_READY);
    msg_put_byte(&msg, (char)status);
    return msg_end(&msg);
}

int
msg_command_complete(struct buf *buf, const char *tag)
{
    return put_one_str(buf, BACKEND_COMMAND_COMPLETE, tag);
}

static void
put_field(struct msg *msg, char code, const char *value)
{
    if (value == NULL)
        return;
    msg_put_byte(msg, code);
    msg_put_str(msg, value);
}

static int
put_notice(struct buf *buf, char type, const char *severity, const char *sqlstate,
           const char *message, const char *detail, const char *hint)
{
    struct msg msg;

    msg_begin(&msg, buf, type);
    put_field(&msg, 'S', severity);
    put_field(&msg, 'V', severity);
    put_field(&msg, 'C', sqlstate);
    put_field(&msg, 'M', message);
    put_field(&msg, 'D', detail);
    put_field(&msg, 'H', hint);
    msg_put_byte(&msg, '\0');
    return msg_end(&msg);
}

int
msg_error(struct buf *buf, const char *severity, const char *sqlstate, const char *message,
          const char *detail, const char *hint)
{
    return put_notice(buf, BACKEND_ERROR, severity, sqlstate, message, detail, hint);
}

int
msg_notice(struct buf *buf, const char *severity, const char *sqlstate, const char *message,
           const char *detail, const char *hint)
{
    return put_notice(buf, BACKEND_NOTICE, severity, sqlstate, message, detail, hint);
}

/* How much of a text to take so that it is at most max bytes and no UTF-8 character is cut. */
static size_t
cut_length(const char *text, size_t max)
{
    size_t len = strnlen(text, max + 1);

    if (len <= max)
        return len;
    for (len = max; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
        ;
    return len;
}

ssize_t
msg_error_array(char *data, size_t size, const char *severity, const char *sqlstate,
                const char *message)
{
    const size_t end = 2; /* the NUL of the message, the NUL of the body */
    struct msg msg;
    int r;

    msg_begin_array(&msg, data, size, BACKEND_ERROR);
    put_field(&msg, 'S', severity);
    put_field(&msg, 'V', severity);
    put_field(&msg, 'C', sqlstate);
    msg_put_byte(&msg, 'M');
    if (msg.error == 0 && msg.size - msg.len >= end)
        msg_put_bytes(&msg, message, cut_length(message, msg.size - msg.len - end));
    msg_put_byte(&msg, '\0');
    msg_put_byte(&msg, '\0');
    r = msg_end(&msg);
    return r < 0 ? r : (ssize_t)msg.len;
}

static uint32_t
count_protocol_params(const struct startup *startup)
{
    struct startup_param param;
    uint32_t count = 0;

    for (const char *pos = startup->params; startup_next_param(&pos, &param);)
        count += startup_param_is_protocol(param.name);
    return count;
}

int
msg_negotiate(struct buf *buf, const struct startup *startup)
{
    struct startup_param param;
    struct msg msg;

    msg_begin(&msg, buf, BACKEND_NEGOTIATE_VERSION);
    msg_put_int32(&msg, PG_PROTOCOL(startup->major, startup->minor));
    msg_put_int32(&msg, count_protocol_params(startup));
    for (const char *pos = startup->params; startup_next_param(&pos, &param);)
        if (startup_param_is_protocol(param.name))
            msg_put_str(&msg, param.name);
    return msg_end(&msg);
}

int16_t
msg_type_size(enum pg_type type)
{
    switch (type) {
    case PG_TYPE_BOOL:
        return 1;
    case PG_TYPE_INT4:
        return 4;
    case PG_TYPE_INT8:
    case PG_TYPE_FLOAT8:
        return 8;
    case PG_TYPE_TEXT:
    case PG_TYPE_NUMERIC:
        break;
    }
    return -1;
}

int
msg_row_description(struct buf *buf, const struct msg_column *columns, size_t count)
{
    struct msg msg;

    msg_begin(&msg, buf, BACKEND_ROW_DESCRIPTION);
    msg_put_int16(&msg, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        msg_put_str(&msg, columns[i].name);
        msg_put_int32(&msg, 0); /* of no table */
        msg_put_int16(&msg, 0); /* and no column of one */
        msg_put_int32(&msg, columns[i].type);
        msg_put_int16(&msg, (uint16_t)msg_type_size(columns[i].type));
        msg_put_int32(&msg, UINT32_MAX); /* -1: no type modifier */
        msg_put_int16(&msg, 0);          /* text format */
    }
    return msg_end(&msg);
}

int
msg_data_row(struct buf *buf, const char *const *values, size_t count)
{
    struct msg msg;

    msg_begin(&msg, buf, BACKEND_DATA_ROW);
    msg_put_int16(&msg, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        if (values[i] == NULL) {
            msg_put_int32(&msg, UINT32_MAX);
            continue;
        }
        msg_put_int32(&msg, (uint32_t)strlen(values[i]));
        msg_put_bytes(&msg, values[i], strlen(values[i]));
    }
    return msg_end(&msg);
}

int
msg_query(struct buf *buf, const char *sql)
{
    return put_one_str(buf, FRONTEND_QUERY, sql);
}

int
msg_bind(struct buf *buf, const char *portal, const char *statement)
{
    struct msg msg;

    msg_begin(&msg, buf, FRONTEND_BIND);
    msg_put_str(&msg, portal);
    msg_put_str(&msg, statement);
    msg_put_int16(&msg, 0); /* formats of values */
    msg_put_int16(&msg, 0); /* values */
    msg_put_int16(&msg, 0); /* formats of results */
    return msg_end(&msg);
}

int
msg_sync(struct buf *buf)
{
    return put_empty(buf, FRONTEND_SYNC);
}

int
msg_terminate(struct buf *buf)
{
    return put_empty(buf, FRONTEND_TERMINATE);
}
