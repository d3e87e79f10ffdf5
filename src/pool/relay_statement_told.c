/*
 * relay_statement_told.c - what servers say of prepared statements: that all are forgotten, that
 * one is out of date, and errors with names in them.
 */
#include <string.h>

#include "buf.h"
#include "build.h"
#include "client.h"
#include "pg.h"
#include "policy.h"
#include "pool.h"
#include "prepared.h"
#include "relay_int.h"
#include "server.h"
#include "statement.h"

/* What was done to all that comes after it. */
enum tag_effect { TAG_FORGETS, TAG_ALTERS, TAG_ADDS, TAG_DROPS };

#define TAG(text) .tag = (text), .len = sizeof(text)

/* A temporary table may hide another that a text is about. */
static const struct {
    const char *tag;
    size_t len;
    enum tag_effect effect;
} tags[] = {
    /* clang-format off */
    { TAG("DISCARD ALL"),     TAG_FORGETS },
    { TAG("DEALLOCATE ALL"),  TAG_FORGETS },
    { TAG("SET"),             TAG_ALTERS },
    { TAG("RESET"),           TAG_ALTERS },
    { TAG("CREATE TABLE"),    TAG_ALTERS },
    { TAG("CREATE TABLE AS"), TAG_ALTERS },
    { TAG("CREATE VIEW"),     TAG_ALTERS },
    { TAG("PREPARE"),         TAG_ADDS },
    { TAG("DEALLOCATE"),      TAG_DROPS },
    /* clang-format on */
};

static void
relay_forget_statements(struct server *server, enum request_action action)
{
    prepared_forget(server->prepared);
    server->strangers = 0;
    if (server->client != NULL && action != REQUEST_SKIP)
        prepared_forget_names(server->client->names);
}

/* A PREPARE or DEALLOCATE that was not recognised. */
static void
relay_count_stranger(struct server *server, enum tag_effect effect)
{
    if (server->client == NULL || server->shard->policy->max_prepared == 0 ||
        requests_head_has_op(&server->requests))
        return;
    if (effect == TAG_ADDS)
        server->strangers++;
    else if (server->strangers > 0)
        server->strangers--;
}

void
relay_read_tag(struct server *server, const struct frame *frame, enum request_action action)
{
    size_t len;
    const char *const tag = frame_body(frame, &len);

    for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
        if (len != tags[i].len || memcmp(tag, tags[i].tag, len) != 0)
            continue;
        if (tags[i].effect == TAG_FORGETS)
            relay_forget_statements(server, action);
        else if (tags[i].effect != TAG_ALTERS)
            relay_count_stranger(server, tags[i].effect);
        else if (action != REQUEST_SKIP)
            server->is_altered = true;
        return;
    }
}

bool
relay_doubt_statements(struct server *server, const char *body, size_t len, const char *sqlstate)
{
    const bool is_result = strcmp(sqlstate, "0A000") == 0;
    static const char routine[] = "RevalidateCachedQuery";

    bool is_doubtful = false;

    if (server->prepared == NULL)
        return false;
    /* Not by its text, which is translated. */
    if (is_result)
        is_doubtful = memmem(body, len, routine, sizeof routine) != NULL;
    else if ((strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "42P05") == 0) &&
             requests_action(&server->requests) != REQUEST_REFUSED)
        is_doubtful = memmem(body, len, STATEMENT_PREFIX, STATEMENT_PREFIX_LEN) != NULL;
    if (is_doubtful)
        prepared_doubt(server->prepared);
    return is_doubtful;
}

static size_t
relay_name_len(const char *text, const char *end)
{
    const char *pos = text;

    while (pos < end &&
           ((*pos >= 'a' && *pos <= 'z') || (*pos >= '0' && *pos <= '9') || *pos == '_'))
        pos++;
    return (size_t)(pos - text);
}

/* What the client calls the statement that stands in an error; false: it is not the client's. */
static bool
relay_client_name(const struct server *server, const char *ours, size_t len, const char **ret_text,
                  size_t *ret_len)
{
    const struct prepared_name *name;

    if (prepared_refused_name(&server->requests, ret_text, ret_len))
        return true;
    name = prepared_name_of(server->client->names, ours, len);
    if (name == NULL)
        return false;
    *ret_text = name->text;
    *ret_len = name->len;
    return true;
}

bool
relay_reword_error(const struct server *server, const char *data, size_t len, struct buf *reworded)
{
    const char *const end = data + len;
    const char *pos = data;
    const char *found;
    struct msg msg;

    if (server->client == NULL || server->client->names == NULL ||
        memmem(data, len, STATEMENT_PREFIX, STATEMENT_PREFIX_LEN) == NULL)
        return false;
    msg_begin(&msg, reworded, *data);
    pos += PG_HEADER_SIZE;
    while ((found = memmem(pos, (size_t)(end - pos), STATEMENT_PREFIX, STATEMENT_PREFIX_LEN)) !=
           NULL) {
        const size_t found_len = relay_name_len(found, end);
        const char *text = found;
        size_t text_len = found_len;

        (void)relay_client_name(server, found, found_len, &text, &text_len);
        msg_put_bytes(&msg, pos, (size_t)(found - pos));
        msg_put_bytes(&msg, text, text_len);
        pos = found + found_len;
    }
    msg_put_bytes(&msg, pos, (size_t)(end - pos));
    return msg_end(&msg) == 0;
}
