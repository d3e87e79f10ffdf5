#include "buf.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define BUF_SIZE_MIN 64

void
buf_init(struct buf *buf)
{
    *buf = (struct buf)BUF_INIT;
}

void
buf_done(struct buf *buf)
{
    free(buf->data);
    buf_init(buf);
}

int
buf_reserve(struct buf *buf, size_t extra)
{
    size_t needed;
    size_t cap;
    char *data;

    if (extra >= SIZE_MAX - buf->len)
        return -ENOMEM;
    needed = buf->len + extra + 1;
    if (needed <= buf->cap)
        return 0;
    cap = buf->cap <= SIZE_MAX / 2 ? buf->cap * 2 : SIZE_MAX;
    cap = MAX(MAX(cap, needed), BUF_SIZE_MIN);
    data = realloc(buf->data, cap);
    if (data == NULL)
        return -ENOMEM;
    buf->data = data;
    buf->cap = cap;
    buf->data[buf->len] = '\0';
    return 0;
}

int
buf_append(struct buf *buf, const void *data, size_t len)
{
    const int r = buf_reserve(buf, len);

    if (r < 0)
        return r;
    if (len > 0)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return 0;
}

int
buf_append_str(struct buf *buf, const char *str)
{
    return buf_append(buf, str, strlen(str));
}

int
buf_append_char(struct buf *buf, char c)
{
    return buf_append(buf, &c, 1);
}

int
buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    int r;

    va_start(args, format);
    r = buf_vprintf(buf, format, args);
    va_end(args);
    return r;
}

int
buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    va_list measured;
    int len;
    int r;

    va_copy(measured, args);
    len = vsnprintf(NULL, 0, format, measured);
    va_end(measured);
    if (len < 0)
        return -errno;
    r = buf_reserve(buf, (size_t)len);
    if (r < 0)
        return r;
    (void)vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
    buf->len += (size_t)len;
    return 0;
}

void
buf_consume(struct buf *buf, size_t len)
{
    if (len >= buf->len) {
        buf_clear(buf);
        return;
    }
    buf->len -= len;
    memmove(buf->data, buf->data + len, buf->len + 1);
}

void
buf_clear(struct buf *buf)
{
    buf->len = 0;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

const char *
buf_str(const struct buf *buf)
{
    return buf->data != NULL ? buf->data : "";
}

char *
buf_steal(struct buf *buf)
{
    char *data = buf->data != NULL ? buf->data : strdup("");

    if (data != NULL)
        buf_init(buf);
    return data;
}
