/*
 * notice.c - the small messages of a server, taken apart in place.
 */
#include "notice.h"

#include <errno.h>
#include <string.h>

/* Steps over the string at *pos; NULL if it does not end before end. */
static const char *
take_string(const char **pos, const char *end)
{
    const char *string = *pos;
    const char *nul = memchr(string, '\0', (size_t)(end - string));

    if (nul == NULL)
        return NULL;
    *pos = nul + 1;
    return string;
}

static void
take_field(struct notice *notice, char code, const char *value)
{
    switch (code) {
    case 'S':
        notice->severity_local = value;
        break;
    case 'V':
        notice->severity = value;
        break;
    case 'C':
        notice->sqlstate = value;
        break;
    case 'M':
        notice->message = value;
        break;
    case 'D':
        notice->detail = value;
        break;
    case 'H':
        notice->hint = value;
        break;
    }
}

int
notice_parse(const char *body, size_t len, struct notice *ret_notice)
{
    struct notice notice = {.severity_local = "", .sqlstate = "", .message = ""};
    const char *end = body + len;

    while (body < end && *body != '\0') {
        const char code = *body++;
        const char *value = take_string(&body, end);

        if (value == NULL)
            return -EBADMSG;
        take_field(&notice, code, value);
    }
    if (body + 1 != end)
        return -EBADMSG;
    if (notice.severity == NULL)
        notice.severity = notice.severity_local;
    *ret_notice = notice;
    return 0;
}

bool
notice_is_fatal(const struct notice *notice)
{
    return strcmp(notice->severity, "FATAL") == 0 || strcmp(notice->severity, "PANIC") == 0;
}

int
command_tag_parse(const char *body, size_t len, const char **ret_tag)
{
    const char *pos = body;
    const char *tag = take_string(&pos, body + len);

    if (tag == NULL || pos != body + len)
        return -EBADMSG;
    *ret_tag = tag;
    return 0;
}

int
parameter_status_parse(const char *body, size_t len, const char **ret_name, const char **ret_value)
{
    const char *pos = body;
    const char *name, *value;

    name = take_string(&pos, body + len);
    if (name == NULL)
        return -EBADMSG;
    value = take_string(&pos, body + len);
    if (value == NULL || pos != body + len)
        return -EBADMSG;
    *ret_name = name;
    *ret_value = value;
    return 0;
}

int
backend_key_parse(const char *body, size_t len, uint32_t *ret_pid, const char **ret_key,
                  size_t *ret_key_len)
{
    if (len < 4 + PG_CANCEL_KEY_MIN || len > 4 + PG_CANCEL_KEY_MAX)
        return -EBADMSG;
    *ret_pid = pg_get_uint32(body);
    *ret_key = body + 4;
    *ret_key_len = len - 4;
    return 0;
}
