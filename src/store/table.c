#include "table.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "str.h"

struct column {
    char *name; /* owned; NULL: it has none */
    enum column_type type;
};

/* A value in the table: 16 bytes, since there are millions. */
struct cell {
    uint32_t len;
    uint32_t kind;
    union {
        int64_t integer;
        double real;
        size_t at; /* of the text, in texts */
    };
};

struct table {
    char *name;       /* owned */
    struct buf cells; /* owned, as the next: row by row */
    struct buf texts; /* each with its NUL */
    size_t max;
    size_t column_count;
    struct column columns[];
};

int
table_new(const char *name, size_t column_count, size_t max, struct table **ret_table)
{
    CLEANUP(table_free) struct table *table = NULL;

    table = calloc(1, sizeof(*table) + column_count * sizeof(table->columns[0]));
    if (table == NULL)
        return -ENOMEM;
    table->column_count = column_count;
    table->max = max;
    if (str_set(&table->name, name) < 0)
        return -ENOMEM;
    *ret_table = TAKE(table);
    return 0;
}

void
table_free(struct table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->column_count; i++)
        free(table->columns[i].name);
    buf_done(&table->cells);
    buf_done(&table->texts);
    free(table->name);
    free(table);
}

/* ---- columns --------------------------------------------------------------------------------- */

int
table_set_column(struct table *table, size_t column, const char *name, enum column_type type)
{
    table->columns[column].type = type;
    return name != NULL ? str_set(&table->columns[column].name, name) : 0;
}

void
table_set_type(struct table *table, size_t column, enum column_type type)
{
    table->columns[column].type = type;
}

int
table_copy_columns(const struct table *table, struct table **ret_copy)
{
    CLEANUP(table_free) struct table *copy = NULL;
    int r = table_new(table->name, table->column_count, table->max, &copy);

    for (size_t i = 0; i < table->column_count && r == 0; i++)
        r = table_set_column(copy, i, table->columns[i].name, table->columns[i].type);
    if (r == 0)
        *ret_copy = TAKE(copy);
    return r;
}

const char *
table_name(const struct table *table)
{
    return table->name;
}

size_t
table_column_count(const struct table *table)
{
    return table->column_count;
}

const char *
table_column_name(const struct table *table, size_t column)
{
    return table->columns[column].name;
}

enum column_type
table_column_type(const struct table *table, size_t column)
{
    return table->columns[column].type;
}

static const char *const type_names[] = {
    [COLUMN_TEXT] = "text",
    [COLUMN_INT4] = "integer",
    [COLUMN_INT8] = "bigint",
    [COLUMN_NUMERIC] = "numeric",
    [COLUMN_FLOAT8] = "double precision",
};

const char *
column_type_name(enum column_type type)
{
    return type_names[type];
}

enum column_type
column_type_find(const char *name)
{
    for (enum column_type type = COLUMN_TEXT; type <= COLUMN_FLOAT8; type++) {
        if (name != NULL && str_ieq(name, type_names[type]))
            return type;
    }
    return COLUMN_UNKNOWN;
}

enum column_type
column_type_widen(enum column_type type, const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
        return type;
    case VALUE_TEXT:
    case VALUE_BYTES:
        return COLUMN_TEXT;
    case VALUE_REAL:
        return type == COLUMN_TEXT ? COLUMN_TEXT : COLUMN_FLOAT8;
    case VALUE_INTEGER:
        break;
    }
    if (type == COLUMN_INT4 && (value->integer < INT32_MIN || value->integer > INT32_MAX))
        return COLUMN_INT8;
    return type == COLUMN_UNKNOWN ? COLUMN_INT8 : type;
}

/* Types that hold more come later; a text may be anything, and only a text holds it. */
bool
column_type_holds(enum column_type type, enum column_type other)
{
    return type == COLUMN_TEXT || (other != COLUMN_TEXT && other <= type);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int
put_bytes(struct buf *texts, const char *bytes, size_t len)
{
    int r = buf_append_str(texts, "\\x");

    for (size_t i = 0; i < len && r == 0; i++)
        r = buf_printf(texts, "%02x", (unsigned char)bytes[i]);
    return r == 0 ? buf_append_char(texts, '\0') : r;
}

/* Appends a text with its NUL, and says where. */
static int
put_text(struct table *table, const struct value *value, struct cell *cell)
{
    struct buf *const texts = &table->texts;
    const size_t at = texts->len;
    int r;

    if (value->kind == VALUE_BYTES)
        r = put_bytes(texts, value->text, value->len);
    else
        r = buf_append(texts, value->text, value->len + 1);
    if (r < 0)
        return r;
    if (texts->len - at > UINT32_MAX)
        return -EFBIG;
    cell->kind = VALUE_TEXT;
    cell->at = at;
    cell->len = (uint32_t)(texts->len - at - 1);
    return 0;
}

static int
make_cell(struct table *table, const struct value *value, struct cell *cell)
{
    *cell = (struct cell){.kind = value->kind};
    if (value->kind == VALUE_INTEGER)
        cell->integer = value->integer;
    else if (value->kind == VALUE_REAL)
        cell->real = value->real;
    else if (value->kind != VALUE_NULL)
        return put_text(table, value, cell);
    return 0;
}

static bool
parse_integer(const char *text, int64_t *ret_integer)
{
    char *end;

    errno = 0;
    *ret_integer = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool
parse_real(const char *text, double *ret_real)
{
    char *end;

    *ret_real = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*ret_real);
}

static struct value
parse_value(const char *text, enum column_type type)
{
    struct value value = {.kind = VALUE_TEXT, .text = text};

    if (text == NULL)
        return (struct value){.kind = VALUE_NULL};
    value.len = strlen(text);
    if (type == COLUMN_TEXT || type == COLUMN_UNKNOWN)
        return value;
    if (type != COLUMN_FLOAT8 && parse_integer(text, &value.integer))
        value.kind = VALUE_INTEGER;
    else if ((type == COLUMN_FLOAT8 || type == COLUMN_NUMERIC) && parse_real(text, &value.real))
        value.kind = VALUE_REAL;
    return value;
}

/* How far the table goes while a row is added. */
struct mark {
    size_t cells, texts;
};

static struct mark
begin_row(const struct table *table)
{
    return (struct mark){table->cells.len, table->texts.len};
}

static int
add_value(struct table *table, const struct value *value)
{
    struct cell cell;
    const int r = make_cell(table, value, &cell);

    return r == 0 ? buf_append(&table->cells, &cell, sizeof(cell)) : r;
}

/* All of the row is there, or nothing of it. */
static int
end_row(struct table *table, struct mark mark, int r)
{
    if (r == 0 && table->max > 0 && table->cells.len + table->texts.len > table->max)
        r = -EFBIG;
    if (r < 0) {
        table->cells.len = mark.cells;
        table->texts.len = mark.texts;
    }
    return r;
}

int
table_add(struct table *table, const struct value *values)
{
    const struct mark mark = begin_row(table);
    int r = 0;

    for (size_t i = 0; i < table->column_count && r == 0; i++)
        r = add_value(table, &values[i]);
    return end_row(table, mark, r);
}

int
table_add_texts(struct table *table, const char *const *texts)
{
    const struct mark mark = begin_row(table);
    int r = 0;

    for (size_t i = 0; i < table->column_count && r == 0; i++) {
        const struct value value = parse_value(texts[i], table->columns[i].type);

        r = add_value(table, &value);
    }
    return end_row(table, mark, r);
}

void
table_clear(struct table *table)
{
    buf_done(&table->cells);
    buf_done(&table->texts);
}

size_t
table_row_count(const struct table *table)
{
    const size_t row_size = table->column_count * sizeof(struct cell);

    return row_size > 0 ? table->cells.len / row_size : 0;
}

struct value
table_get(const struct table *table, size_t row, size_t column)
{
    const struct cell *const cell =
        (const struct cell *)(const void *)table->cells.data + row * table->column_count + column;
    struct value value = {.kind = (enum value_kind)cell->kind};

    if (value.kind == VALUE_INTEGER) {
        value.integer = cell->integer;
    } else if (value.kind == VALUE_REAL) {
        value.real = cell->real;
    } else if (value.kind == VALUE_TEXT) {
        value.text = table->texts.data + cell->at;
        value.len = cell->len;
    }
    return value;
}

/* The shortest that is read as the same number. */
static void
format_real(double real, char text[static VALUE_TEXT_MAX])
{
    if (isinf(real)) {
        (void)snprintf(text, VALUE_TEXT_MAX, "%sInfinity", real < 0 ? "-" : "");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, VALUE_TEXT_MAX, "%.*g", digits, real);
        if (strtod(text, NULL) == real)
            return;
    }
}

const char *
value_text(const struct value *value, char text[static VALUE_TEXT_MAX])
{
    switch (value->kind) {
    case VALUE_NULL:
        return NULL;
    case VALUE_INTEGER:
        (void)snprintf(text, VALUE_TEXT_MAX, "%" PRId64, value->integer);
        return text;
    case VALUE_REAL:
        format_real(value->real, text);
        return text;
    case VALUE_TEXT:
    case VALUE_BYTES:
        break;
    }
    return value->text;
}
