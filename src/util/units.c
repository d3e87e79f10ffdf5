#include "units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "macros.h"
#include "str.h"

/* Longer numbers say nothing that a shorter one could not. */
#define NUMBER_MAX 64

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit duration_units[] = {
    {"us", 1}, {"ms", MSEC}, {"s", SEC}, {"min", MINUTE}, {"h", HOUR}, {"d", DAY},
};

static const struct unit size_units[] = {
    {"B", 1},
    {"kB", UINT64_C(1) << 10},
    {"MB", UINT64_C(1) << 20},
    {"GB", UINT64_C(1) << 30},
    {"TB", UINT64_C(1) << 40},
};

static const struct {
    const char *name;
    bool value;
} bools[] = {
    {"1", true},  {"on", true},   {"yes", true}, {"true", true},
    {"0", false}, {"off", false}, {"no", false}, {"false", false},
};

/* How many characters of text, from its first to its last that is not blank; *text is moved there.
 */
static size_t
trimmed(const char **text)
{
    size_t len;

    while (str_is_blank(**text))
        (*text)++;
    len = strlen(*text);
    while (len > 0 && str_is_blank((*text)[len - 1]))
        len--;
    return len;
}

static bool
word_is(const char *word, size_t len, const char *name)
{
    return len == strlen(name) && strncasecmp(word, name, len) == 0;
}

static size_t
count_digits(const char *text)
{
    return strspn(text, "0123456789");
}

/* The length of "12", "1.5", ".5" or "2.592e+06", maybe with a sign; 0 when it is none of them. */
static size_t
count_number(const char *text)
{
    const size_t sign = *text == '-' || *text == '+';
    size_t len = sign;
    size_t digits = count_digits(text + len);
    size_t exponent;

    len += digits;
    if (text[len] == '.') {
        const size_t fraction = count_digits(text + len + 1);

        digits += fraction;
        len += 1 + fraction;
    }
    if (digits == 0)
        return 0;
    if (text[len] == 'e' || text[len] == 'E') {
        exponent = 1 + (text[len + 1] == '-' || text[len + 1] == '+');
        digits = count_digits(text + len + exponent);
        if (digits > 0)
            len += exponent + digits;
    }
    return len;
}

/* The factor of the unit that name, of len characters, stands for; bare when it is empty, 0 if
 * none. */
static uint64_t
find_unit(const struct unit *units, size_t count, const char *name, size_t len, uint64_t bare)
{
    if (len == 0)
        return bare;
    for (size_t i = 0; i < count; i++)
        if (word_is(name, len, units[i].name))
            return units[i].factor;
    return 0;
}

/* A number and one of count units; bare is what a number alone counts in, 0 if that is wrong. */
static int
parse_with_unit(const char *text, const struct unit *units, size_t count, uint64_t bare,
                uint64_t *ret_value)
{
    const size_t len = trimmed(&text);
    const size_t digits = count_number(text);
    const char *name = text + digits;
    char number[NUMBER_MAX];
    uint64_t factor;
    double value;

    if (digits == 0 || digits >= sizeof(number))
        return -EINVAL;
    while (str_is_blank(*name) && name < text + len)
        name++;
    factor = find_unit(units, count, name, (size_t)(text + len - name), bare);
    if (factor == 0)
        return -EINVAL;
    (void)snprintf(number, sizeof(number), "%.*s", (int)digits, text);
    value = strtod(number, NULL) * (double)factor;
    if (value < 0 || value >= (double)INT64_MAX)
        return -ERANGE;
    *ret_value = (uint64_t)(value + 0.5);
    return 0;
}

int
units_parse_duration(const char *text, usec_t unit, usec_t *ret_usec)
{
    return parse_with_unit(text, duration_units, ARRAY_SIZE(duration_units), unit, ret_usec);
}

int
units_parse_size(const char *text, uint64_t *ret_bytes)
{
    int64_t number;
    const int r = units_parse_int(text, &number);

    if (r == -EINVAL)
        return parse_with_unit(text, size_units, ARRAY_SIZE(size_units), 0, ret_bytes);
    if (r < 0)
        return r;
    if (number < 0)
        return -ERANGE;
    *ret_bytes = (uint64_t)number;
    return 0;
}

int
units_parse_bool(const char *text, bool *ret_bool)
{
    const size_t len = trimmed(&text);

    for (size_t i = 0; i < ARRAY_SIZE(bools); i++) {
        if (word_is(text, len, bools[i].name)) {
            *ret_bool = bools[i].value;
            return 0;
        }
    }
    return -EINVAL;
}

int
units_parse_int(const char *text, int64_t *ret_int)
{
    const size_t len = trimmed(&text);
    char *end;
    long long value;

    if (len == 0)
        return -EINVAL;
    errno = 0;
    value = strtoll(text, &end, 0);
    if (end != text + len)
        return -EINVAL;
    if (errno == ERANGE)
        return -ERANGE;
    *ret_int = value;
    return 0;
}

const char *
units_format_duration(char text[static UNITS_TEXT_MAX], usec_t usec)
{
    (void)snprintf(text, UNITS_TEXT_MAX, "%g", (double)usec / (double)SEC);
    return text;
}

const char *
units_format_size(char text[static UNITS_TEXT_MAX], uint64_t bytes)
{
    size_t i = ARRAY_SIZE(size_units) - 1;

    while (i > 0 && (bytes == 0 || bytes % size_units[i].factor != 0))
        i--;
    (void)snprintf(text, UNITS_TEXT_MAX, "%llu%s",
                   (unsigned long long)(bytes / size_units[i].factor),
                   i > 0 ? size_units[i].name : "");
    return text;
}
