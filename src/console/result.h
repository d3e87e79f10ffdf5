/*
 * result.h - the columns and rows of an answer, in the formats that were asked for.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "build.h"
#include "table.h"

/* Of any answer: joins of wide tables, too. */
#define RESULT_COLUMNS_MAX 256

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
/* Appends a DataRow made of texts; NULL is NULL, and a numeric is an integer. 0 or -errno. */
int result_row(struct buf *buf, const struct msg_column *columns, const char *const *values,
               size_t count, const struct formats *formats);

/* The types of PostgreSQL's for those of the store, and back; what the store has no type for is a
 * text, but PARAMETER_UNKNOWN is COLUMN_UNKNOWN. */
enum pg_type result_type(enum column_type type);
enum column_type result_column_type(uint32_t type);
/* The same as result_describe and result_row of a whole table, of at most RESULT_COLUMNS_MAX. */
int result_describe_table(struct buf *buf, const struct table *table,
                          const struct formats *formats);
int result_table(struct buf *buf, const struct table *table, const struct formats *formats);
