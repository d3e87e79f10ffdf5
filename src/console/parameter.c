#include "parameter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "macros.h"
#include "pg.h"
#include "result.h"
#include "statement.h"
#include "str.h"
#include "table.h"
#include "units.h"

/* A numeric: how many digits of base 10000, weight of the first, sign, decimal places, digits. */
#define NUMERIC_HEADER   8
#define NUMERIC_NEGATIVE 0x4000
#define NUMERIC_MAX      100 /* decimal places before the point, and behind it */

static uint64_t
get_uint64(const char *data)
{
    return (uint64_t)pg_get_uint32(data) << 32 | pg_get_uint32(data + 4);
}

/* ---- one of a type, in binary ---------------------------------------------------------------- */

static int
put_bool(struct buf *sql, const char *data, size_t len)
{
    (void)len;
    return buf_append_char(sql, *data != 0 ? '1' : '0');
}

static int
put_integer(struct buf *sql, const char *data, size_t len)
{
    const int64_t value = len == 2   ? (int16_t)pg_get_uint16(data)
                          : len == 4 ? (int32_t)pg_get_uint32(data)
                                     : (int64_t)get_uint64(data);

    return buf_printf(sql, "%" PRId64, value);
}

static int
put_float4(struct buf *sql, const char *data, size_t len)
{
    const uint32_t bits = pg_get_uint32(data);
    float value;

    (void)len;
    memcpy(&value, &bits, sizeof(value));
    return buf_printf(sql, "%.6g", (double)value);
}

static int
put_float8(struct buf *sql, const char *data, size_t len)
{
    const uint64_t bits = get_uint64(data);
    double value;

    (void)len;
    memcpy(&value, &bits, sizeof(value));
    return buf_printf(sql, "%.15g", value);
}

/* The digit of weight 10000^weight; 0 where none was sent. */
static unsigned
numeric_digit(const char *data, int weight)
{
    const int index = (int16_t)pg_get_uint16(data + 2) - weight;

    if (index < 0 || index >= pg_get_uint16(data))
        return 0;
    return pg_get_uint16(data + NUMERIC_HEADER + 2 * index);
}

static int
put_numeric_digits(struct buf *sql, const char *data, int weight, int places)
{
    char group[8];
    int r = buf_printf(sql, "%u", weight >= 0 ? numeric_digit(data, weight) : 0);

    while (r == 0 && --weight >= 0)
        r = buf_printf(sql, "%04u", numeric_digit(data, weight));
    for (int at = 0; r == 0 && at < places; at += 4) {
        (void)snprintf(group, sizeof(group), "%04u", numeric_digit(data, -1 - at / 4) % 10000);
        r = buf_printf(sql, "%s%.*s", at == 0 ? "." : "", MIN(places - at, 4), group);
    }
    return r;
}

static int
put_numeric(struct buf *sql, const char *data, size_t len)
{
    int weight, sign, places, r = 0;

    if (len < NUMERIC_HEADER || len != NUMERIC_HEADER + 2 * (size_t)pg_get_uint16(data))
        return -EINVAL;
    weight = (int16_t)pg_get_uint16(data + 2);
    sign = pg_get_uint16(data + 4);
    places = pg_get_uint16(data + 6);
    if ((sign != 0 && sign != NUMERIC_NEGATIVE) || weight > NUMERIC_MAX / 4 || places > NUMERIC_MAX)
        return -EINVAL; /* or it is no number */
    if (sign == NUMERIC_NEGATIVE)
        r = buf_append_char(sql, '-');
    return r == 0 ? put_numeric_digits(sql, data, weight, places) : r;
}

/* Also of any type that comes as text. */
static int
put_text(struct buf *sql, const char *data, size_t len)
{
    return memchr(data, '\0', len) == NULL ? buf_append(sql, data, len) : -EINVAL;
}

typedef int put_fn(struct buf *sql, const char *data, size_t len);

static const struct {
    uint32_t type;
    size_t size; /* 0: any */
    put_fn *put;
} known_types[] = {
    // clang-format off
    { PARAMETER_UNKNOWN, 0, put_text },
    { PG_TYPE_BOOL,      1, put_bool },
    { PG_TYPE_INT8,      8, put_integer },
    { PARAMETER_INT2,        2, put_integer },
    { PG_TYPE_INT4,      4, put_integer },
    { PG_TYPE_TEXT,      0, put_text },
    { PARAMETER_FLOAT4,      4, put_float4 },
    { PG_TYPE_FLOAT8,      8, put_float8 },
    { PARAMETER_VARCHAR,     0, put_text },
    { PG_TYPE_NUMERIC,   0, put_numeric },
    // clang-format on
};

/* NULL: there is no such value. */
static put_fn *
find_put(const struct parameter *parameter, uint32_t type)
{
    if (parameter->format == 0)
        return put_text;
    for (size_t i = 0; i < ARRAY_SIZE(known_types); i++) {
        const size_t size = known_types[i].size;

        if (known_types[i].type == type && (size == 0 || size == parameter->len))
            return known_types[i].put;
    }
    return NULL;
}

static int
parameter_text(struct buf *text, const struct parameter *parameter, uint32_t type)
{
    put_fn *const put = find_put(parameter, type);

    return put != NULL ? put(text, parameter->data, parameter->len) : -EINVAL;
}

/* Appends it between double quotes. */
static int
parameter_put(struct buf *sql, const struct parameter *parameter, uint32_t type)
{
    CLEANUP(buf_done) struct buf text = BUF_INIT;
    int r = parameter_text(&text, parameter, type);

    if (r == 0)
        r = buf_append_char(sql, '"');
    for (size_t i = 0; i < text.len && r == 0; i++) {
        if (text.data[i] == '"')
            r = buf_append_char(sql, '"');
        if (r == 0)
            r = buf_append_char(sql, text.data[i]);
    }
    return r == 0 ? buf_append_char(sql, '"') : r;
}

/* ---- for a query ----------------------------------------------------------------------------- */

/* As PostgreSQL reads and writes one. */
static bool
read_bool(const char *text, bool *ret_value)
{
    *ret_value = str_ieq(text, "t");
    return *ret_value || str_ieq(text, "f") || units_parse_bool(text, ret_value) == 0;
}

/* SQLite's booleans are numbers. */
static int
query_text(struct buf *text, const struct parameter *parameter, uint32_t type)
{
    const size_t at = text->len;
    bool value;
    int r = parameter_text(text, parameter, type);

    if (r < 0 || type != PG_TYPE_BOOL)
        return r;
    if (!read_bool(buf_str(text) + at, &value))
        return -EINVAL;
    text->len = at;
    return buf_append_char(text, value ? '1' : '0');
}

int
parameter_row(const struct parameter *parameters, const uint32_t *types, unsigned count,
              struct table **ret_row)
{
    CLEANUP(table_free) struct table *row = NULL;
    CLEANUP(buf_done) struct buf buf = BUF_INIT;
    size_t at[PARAMETERS_MAX];
    const char *texts[PARAMETERS_MAX];
    int r = table_new("parameters", count, 0, &row);

    for (unsigned i = 0; i < count && r == 0; i++) {
        table_set_type(row, i, result_column_type(types[i]));
        at[i] = buf.len;
        if (parameters[i].data != NULL)
            r = query_text(&buf, &parameters[i], types[i]);
        if (r == 0)
            r = buf_append_char(&buf, '\0');
    }
    for (unsigned i = 0; i < count && r == 0; i++)
        texts[i] = parameters[i].data != NULL ? buf.data + at[i] : NULL;
    if (r == 0)
        r = table_add_texts(row, texts);
    if (r == 0)
        *ret_row = TAKE(row);
    return r;
}

/* ---- all of a statement ---------------------------------------------------------------------- */

/*
 * The next `$n` outside quotes and comments, from *pos on; false when there is none. *ret_start and
 * *pos are where it begins and ends.
 */
static bool
next_parameter(const char **pos, const char **ret_start, unsigned *ret_number)
{
    char quote = '\0';

    for (const char *p = *pos;; p++) {
        if (quote == '\0')
            p = statement_skip(p);
        if (*p == '\0')
            return false;
        if (quote != '\0' || *p == '\'' || *p == '"') {
            quote = quote == '\0' ? *p : *p == quote ? '\0' : quote;
        } else if (p[0] == '$' && p[1] >= '1' && p[1] <= '9') {
            char *end;

            *ret_start = p;
            *ret_number = (unsigned)MIN(strtoul(p + 1, &end, 10), 65535ul);
            *pos = end;
            return true;
        }
    }
}

unsigned
parameter_count(const char *sql)
{
    unsigned count = 0, number;
    const char *start;

    while (next_parameter(&sql, &start, &number))
        count = MAX(count, number);
    return count;
}

int
parameter_put_all(struct buf *text, const char *sql, const struct parameter *parameters,
                  const uint32_t *types, size_t max)
{
    const char *from = sql, *pos = sql, *start;
    unsigned number;
    int r = 0;

    while (r == 0 && next_parameter(&pos, &start, &number)) {
        r = buf_append(text, from, (size_t)(start - from));
        if (r == 0)
            r = parameter_put(text, &parameters[number - 1], types[number - 1]);
        from = pos;
        if (r == 0 && text->len > max)
            r = -EINVAL;
    }
    return r == 0 ? buf_append_str(text, from) : r;
}
