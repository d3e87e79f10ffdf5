/*
 * table.h - rows of values in memory: the tables that a query looks at, its parameters (one row),
 * and its result.
 *
 * Thread: one at a time, any. What a value points to is the table's, until the next row is added.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

struct table;

/* What a column was declared as, or what its values turn out to be. */
enum column_type {
    COLUMN_UNKNOWN,
    COLUMN_TEXT,
    COLUMN_INT4,
    COLUMN_INT8,
    COLUMN_NUMERIC, /* integers */
    COLUMN_FLOAT8,
};

enum value_kind {
    VALUE_NULL,
    VALUE_INTEGER,
    VALUE_REAL,
    VALUE_TEXT,
    VALUE_BYTES, /* becomes a text in a table, as PostgreSQL writes a bytea */
};

struct value {
    enum value_kind kind;
    int64_t integer;
    double real;
    const char *text; /* a NUL stands behind it */
    size_t len;
};

/* The longest text of a number, and a NUL. */
#define VALUE_TEXT_MAX 32

/*
 * Columns have no names and unknown types at first. name is copied. max bounds the memory of rows;
 * 0: no bound.
 */
int table_new(const char *name, size_t column_count, size_t max, struct table **ret_table);
void table_free(struct table *table);
DEFINE_CLEANUP(struct table *, table_free);

/* name is copied; NULL leaves it. 0 or -ENOMEM. */
int table_set_column(struct table *table, size_t column, const char *name, enum column_type type);
void table_set_type(struct table *table, size_t column, enum column_type type);
/* A table of the same columns, without rows. */
int table_copy_columns(const struct table *table, struct table **ret_copy);
const char *table_name(const struct table *table);
size_t table_column_count(const struct table *table);
const char *table_column_name(const struct table *table, size_t column);
enum column_type table_column_type(const struct table *table, size_t column);
/* "integer", "bigint"...; NULL of what is unknown. */
const char *column_type_name(enum column_type type);
/* COLUMN_UNKNOWN for a name that is none of these, or NULL. */
enum column_type column_type_find(const char *name);
/* The narrowest type for a column of this type so far, if this value is in it, too. */
enum column_type column_type_widen(enum column_type type, const struct value *value);
/* Whether what fits a column of type other fits this one, too. */
bool column_type_holds(enum column_type type, enum column_type other);

/* Copies a row. 0, -ENOMEM, or -EFBIG: there are more than max bytes of rows. */
int table_add(struct table *table, const struct value *values);
/* The same of texts, NULL for NULL: numbers where the column's type is one and the text, too. */
int table_add_texts(struct table *table, const char *const *texts);
void table_clear(struct table *table);
size_t table_row_count(const struct table *table);
struct value table_get(const struct table *table, size_t row, size_t column);

/* NULL of NULL; what a number looks like is written into text. */
const char *value_text(const struct value *value, char text[static VALUE_TEXT_MAX]);
