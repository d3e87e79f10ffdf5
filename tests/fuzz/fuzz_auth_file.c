/*
 * fuzz_auth_file.c - lists of users: what was read, written again, is read as the same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "config_int.h"
#include "str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct again {
    const char *user, *secret;
    unsigned count;
};

static void
append_quoted(struct buf *line, const char *text)
{
    if (buf_append_char(line, '"') < 0)
        abort();
    for (; *text != '\0'; text++)
        if (buf_append_str(line, *text == '"' ? "\"\"" : (const char[]){*text, '\0'}) < 0)
            abort();
    if (buf_append_char(line, '"') < 0)
        abort();
}

static int
compare_user(void *arg, const char *user, const char *secret)
{
    struct again *again = arg;

    assert(str_eq(user, again->user) && str_eq(secret, again->secret));
    again->count++;
    return 0;
}

static int
check_user(void *arg, const char *user, const char *secret)
{
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    CLEANUP(buf_done) struct buf line = BUF_INIT;
    struct again again = {.user = user, .secret = secret};

    (void)arg;
    assert(*user != '\0' && strlen(user) <= USER_NAME_MAX && strlen(secret) <= SECRET_MAX);
    append_quoted(&line, user);
    if (buf_append_char(&line, ' ') < 0)
        abort();
    append_quoted(&line, secret);
    if (auth_file_parse(line.data, "again", &errors, compare_user, &again) < 0)
        abort();
    assert(again.count == 1 && errors.count == 0);
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    CLEANUP(buf_done) struct buf text = BUF_INIT;

    if (buf_append(&text, data, size) < 0)
        abort();
    if (memchr(text.data, '\0', size) != NULL) /* file_read refuses it */
        return -1;
    if (auth_file_parse(text.data, "file", &errors, check_user, NULL) < 0)
        abort();
    return 0;
}
