#include "result.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "macros.h"
#include "parameter.h"

/* A numeric's digits are of base 10000: four decimal ones. */
#define NUMERIC_DIGITS   4
#define NUMERIC_NEGATIVE 0x4000

uint16_t
formats_of(const struct formats *formats, size_t column)
{
    if (formats == NULL || formats->count == 0)
        return 0;
    return formats->codes[formats->count == 1 ? 0 : column];
}

int
result_describe(struct buf *buf, const struct msg_column *columns, size_t count,
                const struct formats *formats)
{
    struct msg msg;

    msg_begin(&msg, buf, BACKEND_ROW_DESCRIPTION);
    msg_put_int16(&msg, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        msg_put_str(&msg, columns[i].name);
        msg_put_int32(&msg, 0); /* of no table */
        msg_put_int16(&msg, 0); /* and no column of one */
        msg_put_int32(&msg, columns[i].type);
        msg_put_int16(&msg, (uint16_t)msg_type_size(columns[i].type));
        msg_put_int32(&msg, UINT32_MAX); /* -1: no type modifier */
        msg_put_int16(&msg, formats_of(formats, i));
    }
    return msg_end(&msg);
}

static uint16_t
numeric_digit(const char *text, size_t len)
{
    uint16_t digit = 0;

    for (size_t i = 0; i < len; i++)
        digit = (uint16_t)(digit * 10 + (text[i] - '0'));
    return digit;
}

/* An integer as PostgreSQL sends a numeric: how many digits, weight of the first, sign, scale. */
static void
put_numeric(struct msg *msg, const char *text)
{
    const bool negative = *text == '-';
    const char *p = negative ? text + 1 : text;
    size_t len, first;

    p += strspn(p, "0");
    len = strlen(p);
    first = len % NUMERIC_DIGITS != 0 ? len % NUMERIC_DIGITS : MIN(len, (size_t)NUMERIC_DIGITS);
    const size_t digits = (len + NUMERIC_DIGITS - 1) / NUMERIC_DIGITS;

    msg_put_int32(msg, (uint32_t)(8 + 2 * digits));
    msg_put_int16(msg, (uint16_t)digits);
    msg_put_int16(msg, (uint16_t)(digits > 0 ? digits - 1 : 0));
    msg_put_int16(msg, negative ? NUMERIC_NEGATIVE : 0);
    msg_put_int16(msg, 0);
    for (size_t i = 0; i < digits; i++) {
        msg_put_int16(msg, numeric_digit(p, first));
        p += first;
        first = NUMERIC_DIGITS;
    }
}

static void
put_text(struct msg *msg, const char *text)
{
    msg_put_int32(msg, (uint32_t)strlen(text));
    msg_put_bytes(msg, text, strlen(text));
}

static void
put_uint64(struct msg *msg, uint64_t value)
{
    msg_put_int32(msg, 8);
    msg_put_int32(msg, (uint32_t)(value >> 32));
    msg_put_int32(msg, (uint32_t)value);
}

static void
put_float8(struct msg *msg, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    put_uint64(msg, bits);
}

static void
put_binary(struct msg *msg, enum pg_type type, const char *text)
{
    switch (type) {
    case PG_TYPE_BOOL:
        msg_put_int32(msg, 1);
        msg_put_byte(msg, *text == 't');
        break;
    case PG_TYPE_INT4:
        msg_put_int32(msg, 4);
        msg_put_int32(msg, (uint32_t)strtoll(text, NULL, 10));
        break;
    case PG_TYPE_INT8:
        put_uint64(msg, (uint64_t)strtoll(text, NULL, 10));
        break;
    case PG_TYPE_FLOAT8:
        put_float8(msg, strtod(text, NULL));
        break;
    case PG_TYPE_NUMERIC:
        put_numeric(msg, text);
        break;
    case PG_TYPE_TEXT:
        put_text(msg, text);
        break;
    }
}

int
result_row(struct buf *buf, const struct msg_column *columns, const char *const *values,
           size_t count, const struct formats *formats)
{
    struct msg msg;

    msg_begin(&msg, buf, BACKEND_DATA_ROW);
    msg_put_int16(&msg, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        if (values[i] == NULL)
            msg_put_int32(&msg, UINT32_MAX);
        else if (formats_of(formats, i) == 0)
            put_text(&msg, values[i]);
        else
            put_binary(&msg, columns[i].type, values[i]);
    }
    return msg_end(&msg);
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* The first of several types of PostgreSQL's is the one for ours. */
static const struct {
    enum column_type column;
    uint32_t type;
} types[] = {
    // clang-format off
    { COLUMN_TEXT,    PG_TYPE_TEXT },
    { COLUMN_INT4,    PG_TYPE_INT4 },
    { COLUMN_INT4,    PARAMETER_INT2 },
    { COLUMN_INT4,    PG_TYPE_BOOL },
    { COLUMN_INT8,    PG_TYPE_INT8 },
    { COLUMN_NUMERIC, PG_TYPE_NUMERIC },
    { COLUMN_FLOAT8,  PG_TYPE_FLOAT8 },
    { COLUMN_FLOAT8,  PARAMETER_FLOAT4 },
    { COLUMN_UNKNOWN, PARAMETER_UNKNOWN },
    // clang-format on
};

enum pg_type
result_type(enum column_type type)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (types[i].column == type && type != COLUMN_UNKNOWN)
            return (enum pg_type)types[i].type;
    }
    return PG_TYPE_TEXT;
}

enum column_type
result_column_type(uint32_t type)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (types[i].type == type)
            return types[i].column;
    }
    return COLUMN_TEXT;
}

static size_t
columns_of(const struct table *table, struct msg_column columns[static RESULT_COLUMNS_MAX])
{
    const size_t count = table_column_count(table);

    assert(count <= RESULT_COLUMNS_MAX);
    for (size_t i = 0; i < count; i++)
        columns[i] = (struct msg_column){table_column_name(table, i),
                                         result_type(table_column_type(table, i))};
    return count;
}

int
result_describe_table(struct buf *buf, const struct table *table, const struct formats *formats)
{
    struct msg_column columns[RESULT_COLUMNS_MAX];
    const size_t count = columns_of(table, columns);

    return result_describe(buf, columns, count, formats);
}

int
result_table(struct buf *buf, const struct table *table, const struct formats *formats)
{
    struct msg_column columns[RESULT_COLUMNS_MAX];
    const size_t count = columns_of(table, columns), rows = table_row_count(table);
    char numbers[RESULT_COLUMNS_MAX][VALUE_TEXT_MAX];
    const char *texts[RESULT_COLUMNS_MAX];
    int r = 0;

    for (size_t row = 0; row < rows && r == 0; row++) {
        for (size_t i = 0; i < count; i++) {
            const struct value value = table_get(table, row, i);

            texts[i] = value_text(&value, numbers[i]);
        }
        r = result_row(buf, columns, texts, count, formats);
    }
    return r;
}
