/*
 * shape.h - what the rows of a statement look like, as one number.
 *
 * Two results have the same shape if their columns have the same names and types: then whoever
 * knows the description of the one can read the rows of the other. It is what PostgreSQL compares
 * before it says "cached plan must not change result type".
 *
 * Thread: any. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SHAPE_UNKNOWN, /* it was not told */
    SHAPE_NONE,    /* there are no rows */
    SHAPE_BROKEN, /* the description was too long, or cannot be read; from here on there are rows */
};

/* Of the body of a RowDescription. */
uint64_t shape_of_rows(const char *body, size_t len);

static inline bool
shape_has_rows(uint64_t shape)
{
    return shape >= SHAPE_BROKEN;
}
