/*
 * login_error.c - what libpq says when a login fails, taken apart.
 *
 *     connection to server at "10.0.0.1", port 5432 failed: FATAL:  3D000: database "x" does not
 * exist DETAIL:  ... LOCATION:  InitPostgres, postinit.c:1024
 *
 * Severity, DETAIL and LOCATION may be in the server's language; the SQLSTATE between two blanks
 * and a colon, which PQERRORS_VERBOSE brings, is the same everywhere. A connection that was tried
 * with and without TLS has two such messages.
 */
#include "backend_int.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

#define SQLSTATE_LEN 5

void
backend_error_set(struct backend_error *error, const char *sqlstate, const char *format, ...)
{
    va_list args;

    *error = (struct backend_error){.from_server = false};
    (void)str_copy(error->sqlstate, sizeof(error->sqlstate), sqlstate);
    va_start(args, format);
    (void)vsnprintf(error->message, sizeof(error->message), format, args);
    va_end(args);
}

/* Finds ":  3D000: "; returns where the code begins, NULL if there is none. */
static const char *
find_sqlstate(const char *text)
{
    while ((text = strstr(text, ":  ")) != NULL) {
        size_t len = 0;

        text += strlen(":  ");
        while (isdigit((unsigned char)text[len]) || (text[len] >= 'A' && text[len] <= 'Z'))
            len++;
        if (len == SQLSTATE_LEN && strncmp(text + len, ": ", 2) == 0)
            return text;
    }
    return NULL;
}

/* Of two answers the last counts; but 28000 only says that this way in, TLS or not, is closed. */
static const char *
find_best_sqlstate(const char *text)
{
    const char *best = find_sqlstate(text);

    for (const char *next = best; next != NULL; next = find_sqlstate(next))
        if (strncmp(next, "28000", SQLSTATE_LEN) != 0 || strncmp(best, "28000", SQLSTATE_LEN) == 0)
            best = next;
    return best;
}

/* Copies up to len bytes; any run of white space and control characters becomes one blank. */
static void
copy_on_one_line(char *dst, size_t size, const char *src, size_t len)
{
    size_t used = 0;

    for (size_t i = 0; i < len && used + 1 < size; i++) {
        const unsigned char c = (unsigned char)src[i];

        if (c > ' ' && c != 0x7f)
            dst[used++] = (char)c;
        else if (used > 0 && dst[used - 1] != ' ')
            dst[used++] = ' ';
    }
    while (used > 0 && dst[used - 1] == ' ')
        used--;
    dst[used] = '\0';
}

/* The server is up, but starting, stopping or recovering: others will get the same answer. */
static bool
is_transient(const char *sqlstate)
{
    return str_eq(sqlstate, "57P01") || str_eq(sqlstate, "57P02") || str_eq(sqlstate, "57P03");
}

void
login_error_parse(struct backend_error *error, const char *text, const char *sqlstate)
{
    const char *code = find_best_sqlstate(text);

    *error = (struct backend_error){.from_server = code != NULL};
    if (code == NULL) {
        (void)str_copy(error->sqlstate, sizeof(error->sqlstate), sqlstate);
        copy_on_one_line(error->message, sizeof(error->message), text, strlen(text));
        return;
    }
    memcpy(error->sqlstate, code, SQLSTATE_LEN);
    text = code + SQLSTATE_LEN + strlen(": ");
    copy_on_one_line(error->message, sizeof(error->message), text, strcspn(text, "\n"));
    error->transient = is_transient(error->sqlstate);
}
