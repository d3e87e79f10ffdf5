/*
 * parameter.h - the value of a parameter of a Bind: as the text that it stands for, or for a query.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf;
struct table;

/* Types of parameters beyond those that we send; that of which nobody has told is text. */
enum {
    PARAMETER_UNKNOWN = 0,
    PARAMETER_INT2 = 21,
    PARAMETER_FLOAT4 = 700,
    PARAMETER_VARCHAR = 1043,
};

/* So many a statement may have. */
#define PARAMETERS_MAX 32

struct parameter {
    const char *data; /* borrowed of the message; NULL: the value is NULL */
    size_t len;
    uint16_t format; /* 0 text, 1 binary */
};

/* How many parameters a text has: the highest n of all `$n` outside quotes and comments. */
unsigned parameter_count(const char *sql);
/*
 * Appends sql with each `$n` replaced by the value of its parameter, between double quotes. None
 * may be NULL. 0; -ENOMEM; -EINVAL: a type that is not known in binary, not a value of its type, or
 * the text would be longer than max.
 */
int parameter_put_all(struct buf *text, const char *sql, const struct parameter *parameters,
                      const uint32_t *types, size_t max);
/*
 * A table of one row, in which each column is a parameter; NULL is NULL. 0, -ENOMEM, or -EINVAL as
 * above.
 */
int parameter_row(const struct parameter *parameters, const uint32_t *types, unsigned count,
                  struct table **ret_row);
