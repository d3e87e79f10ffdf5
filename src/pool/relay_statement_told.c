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

/* Where in PostgreSQL it comes from that a statement is out of date. */
#define REVALIDATE "RevalidateCachedQuery"

/* What was done to all that comes after it. */
enum tag_effect { TAG_FORGETS, TAG_ALTERS, TAG_ADDS, TAG_DROPS };

#define TAG(text) .tag = (text), .len = sizeof(text)

/* A temporary table may hide another that a text is about. */
static const struct {
    const char *tag;
    size_t len;
    enum tag_effect effect;
    bool resets; /* parameters; see relay_reset.c */
} tags[] = {
    /* clang-format off */
    { TAG("DISCARD ALL"),     TAG_FORGETS, true },
    { TAG("DEALLOCATE ALL"),  TAG_FORGETS, false },
    { TAG("SET"),             TAG_ALTERS,  false },
    { TAG("RESET"),           TAG_ALTERS,  true },
    { TAG("CREATE TABLE"),    TAG_ALTERS,  false },
    { TAG("CREATE TABLE AS"), TAG_ALTERS,  false },
    { TAG("CREATE VIEW"),     TAG_ALTERS,  false },
    { TAG("PREPARE"),         TAG_ADDS,    false },
    { TAG("DEALLOCATE"),      TAG_DROPS,   false },
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
        prepared_changes_now(&server->requests))
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
        if (tags[i].resets && action != REQUEST_SKIP)
            server->resets = true;
        if (tags[i].effect == TAG_FORGETS)
            relay_forget_statements(server, action);
        else if (tags[i].effect != TAG_ALTERS)
            relay_count_stranger(server, tags[i].effect);
        else if (action != REQUEST_SKIP)
            server->is_altered = true;
        return;
    }
}

/* Whether it is about a message in which we have named the statement, and not the client. */
static bool
relay_is_about_ours(const struct server *server)
{
    const char type = requests_head_type(&server->requests);

    return requests_action(&server->requests) != REQUEST_REFUSED &&
           (type == FRONTEND_PARSE || type == FRONTEND_BIND || type == FRONTEND_DESCRIBE);
}

enum relay_doubt
relay_doubts(const struct server *server, const char *body, size_t len, const char *sqlstate)
{
    if (server->prepared == NULL)
        return DOUBT_NOTHING;
    /* Not by its text, which is translated. */
    if (strcmp(sqlstate, "0A000") == 0)
        return memmem(body, len, REVALIDATE, sizeof REVALIDATE) != NULL ? DOUBT_RESULT
                                                                        : DOUBT_NOTHING;
    if ((strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "42P05") == 0) &&
        relay_is_about_ours(server) &&
        memmem(body, len, STATEMENT_PREFIX, STATEMENT_PREFIX_LEN) != NULL)
        return DOUBT_NAMES;
    return DOUBT_NOTHING;
}

void
relay_note_told(const struct server *server, enum relay_doubt doubt)
{
    struct prepared_names *const names = server->client != NULL ? server->client->names : NULL;
    const struct prepared_name *name;
    const char *text;
    size_t len;

    if (names == NULL)
        return;
    if (doubt == DOUBT_RESULT)
        prepared_tell_numbered(names, requests_head_mark(&server->requests));
    if (prepared_refused_why(&server->requests) != REFUSED_CHANGED)
        return;
    (void)prepared_refused_name(&server->requests, &text, &len);
    name = prepared_find(names, text, len);
    if (name != NULL && name->then != NULL)
        prepared_tell(server->client->names, name->then);
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

/* What nobody has is not to be known by its name either. */
static bool
relay_is_nowhere(const char *ours, size_t len, const char **ret_text, size_t *ret_len)
{
    size_t nowhere_len;
    const char *const nowhere = statement_nowhere(&nowhere_len);

    if (len != nowhere_len || memcmp(ours, nowhere, len) != 0)
        return false;
    *ret_text = STATEMENT_PREFIX "none";
    *ret_len = sizeof STATEMENT_PREFIX "none" - 1;
    return true;
}

/* What the client calls the statement that stands in an error; false: it is not the client's. */
static bool
relay_client_name(const struct server *server, const char *ours, size_t len, const char **ret_text,
                  size_t *ret_len)
{
    const struct prepared_name *name;

    if (prepared_refused_name(&server->requests, ret_text, ret_len))
        return true;
    name =
        prepared_name_of(server->client->names, requests_head_mark(&server->requests), ours, len);
    if (name == NULL)
        return relay_is_nowhere(ours, len, ret_text, ret_len);
    *ret_text = name->text;
    *ret_len = name->len;
    return true;
}

/* Errors of ours, in the place of that which was provoked. */
static const struct {
    const char *sqlstate;
    const char *message;
    const char *hint;
    const char *routine;
} refusals[] = {
    /* clang-format off */
    [REFUSED_NAME]    = { NULL,    NULL, NULL, NULL },
    [REFUSED_CHANGED] = { "0A000", "cached plan must not change result type", NULL, REVALIDATE },
    [REFUSED_FULL]    = { "54000", "too many prepared statements",
                          "Close those that are not needed any more.", NULL },
    [REFUSED_LONG]    = { "54000", "the text of a prepared statement is too long",
                          "Use one without a name.", NULL },
    /* clang-format on */
};

static void
relay_put_field(struct msg *msg, char field, const char *text)
{
    if (text == NULL)
        return;
    msg_put_byte(msg, (uint8_t)field);
    msg_put_str(msg, text);
}

static int
relay_put_refusal(enum refused_why why, struct buf *message)
{
    struct msg msg;

    msg_begin(&msg, message, BACKEND_ERROR);
    relay_put_field(&msg, 'S', "ERROR");
    relay_put_field(&msg, 'V', "ERROR");
    relay_put_field(&msg, 'C', refusals[why].sqlstate);
    relay_put_field(&msg, 'M', refusals[why].message);
    relay_put_field(&msg, 'H', refusals[why].hint);
    relay_put_field(&msg, 'R', refusals[why].routine);
    msg_put_byte(&msg, '\0');
    return msg_end(&msg);
}

int
relay_reword_error(const struct server *server, const char *data, size_t len, struct buf *reworded)
{
    const char *const end = data + len;
    const char *pos = data;
    const char *found;
    struct msg msg;

    if (server->client == NULL || memmem(data, len, STATEMENT_PREFIX, STATEMENT_PREFIX_LEN) == NULL)
        return 0;
    if (unlikely(prepared_refused_why(&server->requests) != REFUSED_NAME))
        return relay_put_refusal(prepared_refused_why(&server->requests), reworded);
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
    return msg_end(&msg);
}
