/*
 * A line of the auth_file:
 *
 *     "user" "secret" ...     "" stands for a quote; what follows the secret is for others
 *     ; comment
 */
#include "config_int.h"

#include <errno.h>
#include <string.h>

#include "str.h"

/* Takes the next quoted text off *rest. NULL when there is none, or when it does not end. */
static char *
take_quoted(char **rest)
{
    char *from = strchr(*rest, '"');
    char *text, *to;

    if (from == NULL)
        return NULL;
    text = to = ++from;
    for (; *from != '\0'; *to++ = *from++) {
        if (*from != '"')
            continue;
        if (from[1] != '"') {
            *to = '\0';
            *rest = from + 1;
            return text;
        }
        from++;
    }
    return NULL;
}

static int
parse_line(char *line, const struct place *place, struct config_errors *errors, auth_file_fn *fn,
           void *arg)
{
    char *user = NULL, *secret;

    line = str_trim(line);
    if (*line == '\0' || *line == ';')
        return 0;
    if (*line == '"')
        user = take_quoted(&line);
    secret = user != NULL ? take_quoted(&line) : NULL;
    if (secret == NULL)
        errors_add(errors, place, "broken auth file: \"user\" \"password\" expected");
    else if (*user == '\0' || strlen(user) > USER_NAME_MAX)
        errors_add(errors, place, "broken auth file: a user name has 1 to %d bytes", USER_NAME_MAX);
    else if (strlen(secret) > SECRET_MAX)
        errors_add(errors, place, "broken auth file: the password is too long");
    else
        return fn(arg, user, secret);
    return 0;
}

int
auth_file_parse(char *text, const char *file, struct config_errors *errors, auth_file_fn *fn,
                void *arg)
{
    struct place place = {.file = file, .line = 1};
    char *line;
    int r = 0;

    for (; r == 0 && !errors_are_full(errors) && (line = strsep(&text, "\n")) != NULL; place.line++)
        r = parse_line(line, &place, errors, fn, arg);
    return r;
}
