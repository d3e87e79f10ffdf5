/*
 * fuzz_notice.c - bodies of a server's small messages: results are strings inside the body.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "notice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* NULL and the constant "" stand for a field that is not there. */
static void
check_field(const char *field, const char *body, size_t len)
{
    if (field == NULL || *field == '\0')
        return;
    assert(field > body && field + strlen(field) < body + len);
}

static void
check_notice(const char *body, size_t len)
{
    struct notice notice;

    if (notice_parse(body, len, &notice) < 0)
        return;
    check_field(notice.severity, body, len);
    check_field(notice.severity_local, body, len);
    check_field(notice.sqlstate, body, len);
    check_field(notice.message, body, len);
    check_field(notice.detail, body, len);
    check_field(notice.hint, body, len);
    (void)notice_is_fatal(&notice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *body = (const char *)data;
    const char *name, *value, *key;
    size_t key_len;
    uint32_t pid;

    check_notice(body, size);
    if (command_tag_parse(body, size, &name) == 0)
        assert(strlen(name) + 1 == size);
    if (parameter_status_parse(body, size, &name, &value) == 0)
        assert(strlen(name) + strlen(value) + 2 == size);
    if (backend_key_parse(body, size, &pid, &key, &key_len) == 0)
        assert(key + key_len == body + size);
    return 0;
}
