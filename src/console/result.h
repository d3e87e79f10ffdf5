/*
 * result.h - the columns and rows of an answer, in the formats that were asked for.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "build.h"

#define RESULT_COLUMNS_MAX 32

/* The result formats of a Bind: none is text for all columns, one is that one for all. */
struct formats {
    uint16_t count;
    uint16_t codes[RESULT_COLUMNS_MAX];
};

/* The format of a column, 0 or 1; formats may be NULL, which is text. */
uint16_t formats_of(const struct formats *formats, size_t column);
/* Appends a RowDescription; 0 or -errno. */
int result_describe(struct buf *buf, const struct msg_column *columns, size_t count,
                    const struct formats *formats);
/* Appends a DataRow made of texts; NULL is NULL, and numbers are integers. 0 or -errno. */
int result_row(struct buf *buf, const struct msg_column *columns, const char *const *values,
               size_t count, const struct formats *formats);
