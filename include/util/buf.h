/*
 * buf.h - bytes that grow.
 *
 * Once anything was appended, a NUL that does not count stands behind the bytes. A call that fails
 * with -ENOMEM changes nothing.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "cleanup.h"

struct buf {
    char *data; /* owned; NULL while nothing was ever reserved */
    size_t len;
    size_t cap; /* allocated, the NUL's place included */
};

/* All zero, so calloc will do, too. */
#define BUF_INIT                                                                                   \
    {                                                                                              \
        .data = NULL                                                                               \
    }

void buf_init(struct buf *buf);
/* Frees the bytes; the buf is empty then and may be used again. */
void buf_done(struct buf *buf);
DEFINE_CLEANUP_IN_PLACE(struct buf, buf_done);

/* Makes room for extra more bytes at data + len. */
int buf_reserve(struct buf *buf, size_t extra);
int buf_append(struct buf *buf, const void *data, size_t len);
int buf_append_str(struct buf *buf, const char *str);
int buf_append_char(struct buf *buf, char c);
int buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
int buf_vprintf(struct buf *buf, const char *format, va_list args) PRINTF_LIKE(2, 0);
/* Drops the first len bytes (at most all). */
void buf_consume(struct buf *buf, size_t len);
/* Forgets the bytes and keeps the memory. */
void buf_clear(struct buf *buf);
/* The bytes as a string; "" when there is nothing. Borrowed, until the next change. */
const char *buf_str(const struct buf *buf);
/* The bytes as a string that the caller frees, NULL when there is no memory; the buf is empty then.
 */
char *buf_steal(struct buf *buf);
