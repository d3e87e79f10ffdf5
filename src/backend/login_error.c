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

/*
 * Whether the connection was lost, or never made, rather than given up by libpq: for what the two
 * sides have said to each other, such as a certificate that is not trusted. libpq's own texts are
 * English, as this process never chooses a language.
 */
static bool
is_network(const char *text)
{
    static const char *const words[] = {"closed the connection unexpectedly",
                                        "connection has been closed unexpectedly",
                                        "could not receive data",
                                        "could not send data",
                                        "SYSCALL error",
                                        "out of memory"};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strstr(text, words[i]) != NULL)
            return true;
    return false;
}

/* The server is up, but starting, stopping or recovering: others will get the same answer. */
static bool
is_transient(const char *sqlstate)
{
    return str_eq(sqlstate, "57P01") || str_eq(sqlstate, "57P02") || str_eq(sqlstate, "57P03");
}

void
login_error_parse(struct backend_error *error, const char *text, bool accepted)
{
    const char *code = find_best_sqlstate(text);

    *error = (struct backend_error){.from_server = code != NULL};
    if (code == NULL) {
        (void)str_copy(error->sqlstate, sizeof(error->sqlstate), accepted ? "08006" : "08001");
        copy_on_one_line(error->message, sizeof(error->message), text, strlen(text));
        error->hopeless = accepted && !is_network(text);
        return;
    }
    memcpy(error->sqlstate, code, SQLSTATE_LEN);
    text = code + SQLSTATE_LEN + strlen(": ");
    copy_on_one_line(error->message, sizeof(error->message), text, strcspn(text, "\n"));
    error->transient = is_transient(error->sqlstate);
    error->hopeless = !error->transient;
}

/* What there is instead of a password, and why it does not do. */
static void
describe_secrets(char *text, size_t size, const struct backend_target *target)
{
    const int version = libpq()->features.libpq_version;

    if (target->md5_secret != NULL)
        (void)str_copy(text, size,
                       "only an md5 secret, which is of use only to a server that asks for md5");
    else if (target->scram_client_key == NULL)
        (void)str_copy(text, size, "none that could be sent to a server");
    else if (libpq()->features.scram_keys)
        (void)str_copy(
            text, size,
            "only the client's SCRAM login, which is of use only to a server that asks for SCRAM");
    else
        (void)snprintf(text, size,
                       "only the client's SCRAM login, which libpq %d.%d cannot pass on",
                       version / 10000, version % 10000);
}

void
login_error_no_password(struct backend_error *error, const struct backend_target *target)
{
    char secrets[128];

    backend_error_set(error, "28000", "server login failed: wrong password type");
    describe_secrets(secrets, sizeof(secrets), target);
    (void)snprintf(error->detail, sizeof(error->detail),
                   "The server of database \"%s\" asks for the password of user \"%s\", and there "
                   "is %s.",
                   target->dbname, target->user, secrets);
    (void)snprintf(
        error->hint, sizeof(error->hint),
        "Give the plain password in auth_file, in the database's entry (user= and "
        "password=), or in the pooler's .pgpass%s.",
        libpq()->features.scram_keys ? "" : "; or use libpq 18, which can pass SCRAM logins on");
    error->hopeless = true;
}
