/*
 * The value of an entry, as PgBouncer reads it:
 *
 *     host=db1 port = 5433 password='it''s'
 *
 * No value may be empty.
 */
#include "config_int.h"

#include <errno.h>
#include <string.h>

#define SPACE " \t\r\n\v\f"

static char *
skip_space(char *text)
{
    return text + strspn(text, SPACE);
}

/* Puts what stands between the quotes at its own beginning; returns what follows, NULL: no end. */
static char *
unquote(char *text)
{
    char *to = text;

    for (; *text != '\0'; *to++ = *text++) {
        if (*text != '\'')
            continue;
        if (text[1] != '\'') {
            *to = '\0';
            return text + 1;
        }
        text++;
    }
    return NULL;
}

static int
complain(const char **ret_key, const char *complaint)
{
    *ret_key = complaint;
    return -EINVAL;
}

int
pairs_next(char **rest, const char **ret_key, char **ret_value)
{
    char *const key = skip_space(*rest);
    char *const key_end = key + strcspn(key, "=" SPACE);
    char *value = skip_space(key_end);
    char *end;

    if (*key == '\0')
        return 0;
    if (*value != '=' || key_end == key)
        return complain(ret_key, "syntax error: key=value expected");
    *key_end = '\0';
    value = skip_space(value + 1);
    if (*value == '\'') {
        value++;
        end = unquote(value);
        if (end == NULL)
            return complain(ret_key, "syntax error: a quote does not end");
    } else {
        end = value + strcspn(value, SPACE);
        if (*end != '\0')
            *end++ = '\0';
    }
    if (*value == '\0')
        return complain(ret_key, "an empty value is not allowed");
    *rest = end;
    *ret_key = key;
    *ret_value = value;
    return 1;
}
