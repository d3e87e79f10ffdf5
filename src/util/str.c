#include "str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "macros.h"

/* Words longer than this are far from everything. */
#define WORD_MAX 64

bool
str_eq(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return strcmp(a, b) == 0;
}

/* tolower() would follow the locale. */
static unsigned char
lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool
str_ieq(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

bool
str_starts_with(const char *str, const char *prefix)
{
    return strncmp(str, prefix, strlen(prefix)) == 0;
}

const char *
str_or_null(const char *str)
{
    return str != NULL && *str != '\0' ? str : NULL;
}

bool
str_is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

size_t
str_copy(char *dst, size_t size, const char *src)
{
    const size_t len = strlen(src);

    if (size > 0) {
        const size_t fits = MIN(len, size - 1);

        memcpy(dst, src, fits);
        dst[fits] = '\0';
    }
    return len;
}

int
str_set(char **field, const char *value)
{
    char *copy = NULL;

    if (value != NULL) {
        copy = strdup(value);
        if (copy == NULL)
            return -ENOMEM;
    }
    free(*field);
    *field = copy;
    return 0;
}

char *
str_trim(char *str)
{
    size_t len;

    while (str_is_blank(*str))
        str++;
    len = strlen(str);
    while (len > 0 && str_is_blank(str[len - 1]))
        len--;
    str[len] = '\0';
    return str;
}

/*
 * Damerau-Levenshtein, where no letter is touched twice. Row i tells how far the first i letters of
 * a are from each beginning of b; each row follows from the two above.
 */
size_t
str_edit_distance(const char *a, const char *b, size_t limit)
{
    const size_t a_len = strlen(a);
    const size_t b_len = strlen(b);
    size_t rows[3][WORD_MAX + 1];
    size_t *two_up = rows[0];
    size_t *up = rows[1];
    size_t *row = rows[2];

    if (a_len > WORD_MAX || b_len > WORD_MAX || MAX(a_len, b_len) - MIN(a_len, b_len) > limit)
        return limit + 1;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *oldest = two_up;

        two_up = up;
        up = row;
        row = oldest;
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            const bool same = lower(a[i - 1]) == lower(b[j - 1]);

            row[j] = MIN(MIN(up[j], row[j - 1]) + 1, up[j - 1] + !same);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]))
                row[j] = MIN(row[j], two_up[j - 2] + 1);
        }
    }
    return MIN(row[b_len], limit + 1);
}

bool
str_list_next(const char **rest, const char **ret_item, size_t *ret_len)
{
    const char *item = *rest;
    size_t len;

    while (*item == ',' || str_is_blank(*item))
        item++;
    len = strcspn(item, ",");
    *rest = item + len;
    if (len == 0)
        return false;
    while (str_is_blank(item[len - 1]))
        len--;
    *ret_item = item;
    *ret_len = len;
    return true;
}

bool
str_list_contains(const char *list, const char *item)
{
    const char *next;
    size_t len;

    while (list != NULL && str_list_next(&list, &next, &len))
        if (len == strlen(item) && memcmp(next, item, len) == 0)
            return true;
    return false;
}
