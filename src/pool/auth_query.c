#include "auth_query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "frame.h"
#include "str.h"

/* ---- the question -----------------------------------------------------------------------------
 */

static int
put_parse(struct buf *buf, const char *sql)
{
    struct msg msg;

    msg_begin(&msg, buf, FRONTEND_PARSE);
    msg_put_str(&msg, ""); /* the unnamed statement */
    msg_put_str(&msg, sql);
    msg_put_int16(&msg, 0); /* the server knows the type of $1 */
    return msg_end(&msg);
}

static int
put_bind(struct buf *buf, const char *user)
{
    const size_t len = strlen(user);
    struct msg msg;

    msg_begin(&msg, buf, FRONTEND_BIND);
    msg_put_str(&msg, ""); /* the unnamed portal, of the unnamed statement */
    msg_put_str(&msg, "");
    msg_put_int16(&msg, 0); /* all parameters are text */
    msg_put_int16(&msg, 1);
    msg_put_int32(&msg, (uint32_t)len);
    msg_put_bytes(&msg, user, len);
    msg_put_int16(&msg, 0); /* and so are all columns */
    return msg_end(&msg);
}

static int
put_describe(struct buf *buf)
{
    struct msg msg;

    msg_begin(&msg, buf, FRONTEND_DESCRIBE);
    msg_put_byte(&msg, 'P'); /* a portal */
    msg_put_str(&msg, "");
    return msg_end(&msg);
}

static int
put_execute(struct buf *buf)
{
    struct msg msg;

    msg_begin(&msg, buf, FRONTEND_EXECUTE);
    msg_put_str(&msg, "");
    msg_put_int32(&msg, 0); /* all rows */
    return msg_end(&msg);
}

int
auth_query_ask(struct buf *buf, const char *sql, const char *user)
{
    int r;

    r = put_parse(buf, sql);
    if (r == 0)
        r = put_bind(buf, user);
    if (r == 0)
        r = put_describe(buf);
    if (r == 0)
        r = put_execute(buf);
    if (r == 0)
        r = msg_sync(buf);
    return r;
}

/* ---- the answer -------------------------------------------------------------------------------
 */

static void
answer_is_wrong(struct auth_query_answer *answer, const char *how)
{
    if (*answer->trouble == '\0')
        (void)str_copy(answer->trouble, sizeof answer->trouble, how);
}

static void
answer_check_columns(struct auth_query_answer *answer, unsigned count)
{
    char text[sizeof answer->trouble];

    if (count == 2)
        return;
    (void)snprintf(text, sizeof text, "expected 2 columns from auth_query, not %u", count);
    answer_is_wrong(answer, text);
}

/* Of a column's value; data is NULL for NULL. */
struct value {
    const char *data;
    size_t len;
};

/* False: the row is shorter than it says. */
static bool
take_value(const char **pos, const char *end, struct value *ret_value)
{
    uint32_t len;

    if ((size_t)(end - *pos) < sizeof len)
        return false;
    len = pg_get_uint32(*pos);
    *pos += sizeof len;
    *ret_value = (struct value){NULL, 0};
    if (len == UINT32_MAX)
        return true;
    if ((size_t)(end - *pos) < len)
        return false;
    *ret_value = (struct value){*pos, len};
    *pos += len;
    return true;
}

static bool
value_is(const struct value *value, const char *text)
{
    return value->data != NULL && value->len == strlen(text) &&
           memcmp(value->data, text, value->len) == 0;
}

/* The user's name, and the secret, which may be NULL. */
static void
answer_take_row(struct auth_query_answer *answer, const char *user, const char *row, size_t len)
{
    const char *const end = row + len;
    struct value name, secret;

    if (!take_value(&row, end, &name) || !take_value(&row, end, &secret)) {
        answer_is_wrong(answer, "the row makes no sense");
    } else if (!value_is(&name, user)) {
        answer_is_wrong(answer, "the row is about another user");
    } else if (answer->secret != NULL) {
        answer_is_wrong(answer, "there is more than one row");
    } else {
        answer->secret = strndup(secret.data != NULL ? secret.data : "", secret.len);
        if (answer->secret == NULL)
            answer_is_wrong(answer, "out of memory");
    }
}

void
auth_query_read(struct auth_query_answer *answer, const char *user, const struct frame *frame)
{
    uint16_t columns = 0;
    size_t len;
    const char *const body = frame_body(frame, &len);

    if (len >= sizeof columns)
        columns = pg_get_uint16(body);
    switch (frame->type) {
    case BACKEND_NO_DATA:
        answer_check_columns(answer, 0);
        return;
    case BACKEND_ROW_DESCRIPTION:
        answer_check_columns(answer, columns);
        return;
    case BACKEND_DATA_ROW:
        answer_check_columns(answer, columns);
        if (columns == 2)
            answer_take_row(answer, user, body + sizeof columns, len - sizeof columns);
        return;
    default:
        return;
    }
}

void
auth_query_answer_done(struct auth_query_answer *answer)
{
    if (answer->secret != NULL)
        explicit_bzero(answer->secret, strlen(answer->secret));
    free(answer->secret);
    answer->secret = NULL;
}
