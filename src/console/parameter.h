/*
 * parameter.h - the value of a parameter of a Bind, as the text that it stands for.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf;

/* The type of a parameter that nobody has told: it is text. */
#define PARAMETER_UNKNOWN 0

struct parameter {
    const char *data; /* borrowed of the message; NULL: the value is NULL */
    size_t len;
    uint16_t format; /* 0 text, 1 binary */
};

/* How many parameters a text has: the highest n of all `$n` outside quotes. */
unsigned parameter_count(const char *sql);
/*
 * Appends sql with each `$n` replaced by the value of its parameter, between double quotes. None
 * may be NULL. 0; -ENOMEM; -EINVAL: a type that is not known in binary, not a value of its type, or
 * the text would be longer than max.
 */
int parameter_put_all(struct buf *text, const char *sql, const struct parameter *parameters,
                      const uint32_t *types, size_t max);
