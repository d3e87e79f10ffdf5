/*
 * base64.h - bytes as text (RFC 4648, with padding), strictly.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Characters that so many bytes take; and bytes that so many characters may hold. */
#define BASE64_LEN(size)      (((size) + 2) / 3 * 4)
#define BASE64_SIZE(text_len) ((text_len) / 4 * 3)

/* text has room for BASE64_LEN(size) and a NUL. */
void base64_encode(const void *data, size_t size, char *text);
/* ret_data has room for BASE64_SIZE(len). Returns how many bytes it were, or -EINVAL. */
ssize_t base64_decode(const char *text, size_t len, void *ret_data);
