#include "statement.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "build.h"
#include "cleanup.h"
#include "map.h"
#include "pg.h"
#include "ref.h"
#include "settings.h"
#include "sql.h"

struct statement {
    struct map_node node;      /* in statements */
    struct map_node name_node; /* in plain_names, if its name is the bare hash */
    struct ref ref;
    enum statement_kind kind;
    bool is_plain;
    bool alters;
    uint64_t name_hash;
    char name[STATEMENT_NAME_MAX];
    size_t name_len;
    const char *context; /* behind the struct */
    size_t context_len;
    const char *text; /* in messages; a draft's is behind the struct */
    size_t text_len;
    struct buf messages;       /* owned; a draft has none */
    struct settings *settings; /* a reference, of a draft only */
};

struct statement_key {
    enum statement_kind kind;
    const char *context; /* the settings that matter, with their NULs */
    size_t context_len;
    const char *text;
    size_t text_len;
};

static bool statement_equal(const struct map_node *node, const void *key);
static bool statement_has_name_hash(const struct map_node *node, const void *key);

/* All that are in use. One whose last reference is going leaves it under the mutex. */
static pthread_mutex_t table_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct map statements = {.equal = statement_equal};
static struct map plain_names = {.equal = statement_has_name_hash};
static uint64_t last_number;

static bool
statement_equal(const struct map_node *node, const void *key)
{
    const struct statement *const statement = container_of(node, struct statement, node);
    const struct statement_key *const wanted = key;

    return statement->kind == wanted->kind && statement->context_len == wanted->context_len &&
           statement->text_len == wanted->text_len &&
           memcmp(statement->context, wanted->context, wanted->context_len) == 0 &&
           memcmp(statement->text, wanted->text, wanted->text_len) == 0;
}

static bool
statement_has_name_hash(const struct map_node *node, const void *key)
{
    const uint64_t *const hash = key;

    return container_of(node, struct statement, name_node)->name_hash == *hash;
}

/* What decides how the text is read. */
static int
statement_context(const struct settings *settings, enum statement_kind kind, struct buf *context)
{
    static const char *const names[] = {
        "client_encoding",
        "DateStyle",
        "IntervalStyle",
        "search_path",
        "standard_conforming_strings",
        "TimeZone",
    };
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(names) && r == 0; i++) {
        const char *const value = settings_get(settings, names[i]);

        r = value != NULL ? buf_append(context, value, strlen(value) + 1)
                          : buf_append_char(context, '\0');
    }
    if (r == 0 && kind == STATEMENT_SQL)
        r = buf_append_char(context, 'S');
    return r;
}

/* Under a key that everybody knows; a collision costs a longer name, no more. */
static uint64_t
statement_name_hash(const struct statement_key *key)
{
    const uint64_t known[2] = {0, 0};
    const uint64_t with_context[2] = {hash_bytes_with(known, key->context, key->context_len), 0};

    return hash_bytes_with(with_context, key->text, key->text_len);
}

/* What executes a PREPARE; in the middle of a client's messages, so with names of its own. */
#define MAKER STATEMENT_PREFIX "make"

static int
statement_put_close(struct buf *buf, char what)
{
    struct msg msg;

    msg_begin(&msg, buf, FRONTEND_CLOSE);
    msg_put_byte(&msg, (uint8_t)what);
    msg_put_str(&msg, MAKER);
    return msg_end(&msg);
}

/* Bind, Execute, and both forgotten. */
static int
statement_put_execution(struct buf *buf)
{
    struct msg msg;
    int r;

    r = msg_bind(buf, MAKER, MAKER);
    if (r < 0)
        return r;
    msg_begin(&msg, buf, FRONTEND_EXECUTE);
    msg_put_str(&msg, MAKER);
    msg_put_int32(&msg, 0);
    r = msg_end(&msg);
    if (r == 0)
        r = statement_put_close(buf, 'P');
    return r == 0 ? statement_put_close(buf, 'S') : r;
}

/* Sets text, too: it is part of the messages. */
static int
statement_put_parse(struct statement *statement, const struct statement_key *key)
{
    const bool is_sql = key->kind == STATEMENT_SQL;
    struct buf *const buf = &statement->messages;
    struct msg msg;
    int r;

    msg_begin(&msg, buf, FRONTEND_PARSE);
    msg_put_str(&msg, is_sql ? MAKER : statement->name);
    if (is_sql) {
        msg_put_bytes(&msg, "PREPARE ", sizeof "PREPARE " - 1);
        msg_put_bytes(&msg, statement->name, statement->name_len);
    }
    msg_put_bytes(&msg, key->text, key->text_len);
    if (is_sql) {
        msg_put_byte(&msg, '\0');
        msg_put_int16(&msg, 0);
    }
    r = msg_end(&msg);
    if (r == 0)
        statement->text = buf->data + buf->len - key->text_len - (is_sql ? 3 : 0);
    return r;
}

/*
 * A PREPARE that has failed before may have left its Parse behind; and the text is set last, since
 * the buffer may move.
 */
static int
statement_put_messages(struct statement *statement, const struct statement_key *key)
{
    size_t text_at;
    int r = 0;

    if (key->kind == STATEMENT_SQL)
        r = statement_put_close(&statement->messages, 'S');
    if (r == 0)
        r = statement_put_parse(statement, key);
    if (r < 0 || key->kind != STATEMENT_SQL)
        return r;
    text_at = (size_t)(statement->text - statement->messages.data);
    r = statement_put_execution(&statement->messages);
    statement->text = statement->messages.data + text_at;
    return r;
}

static void
statement_free(struct statement *statement)
{
    if (statement == NULL)
        return;
    buf_done(&statement->messages);
    settings_unref(statement->settings);
    free(statement);
}
DEFINE_CLEANUP(struct statement *, statement_free);

/* number is 0, or what makes the name of one differ whose hash is another's, too. */
static struct statement *
statement_build(const struct statement_key *key, uint64_t number)
{
    CLEANUP(statement_free) struct statement *built = calloc(1, sizeof *built + key->context_len);
    char *const name = built != NULL ? built->name : NULL;

    if (built == NULL)
        return NULL;
    ref_init(&built->ref);
    built->kind = key->kind;
    built->is_plain = number == 0;
    built->alters = key->kind == STATEMENT_PARSED && sql_may_alter(key->text);
    built->name_hash = statement_name_hash(key);
    built->name_len = (size_t)snprintf(name, sizeof built->name, STATEMENT_PREFIX "%016llx",
                                       (unsigned long long)built->name_hash);
    if (number != 0)
        built->name_len +=
            (size_t)snprintf(name + built->name_len, sizeof built->name - built->name_len, "_%llx",
                             (unsigned long long)number);
    built->context = memcpy(built + 1, key->context, key->context_len);
    built->context_len = key->context_len;
    built->text_len = key->text_len;
    return statement_put_messages(built, key) == 0 ? TAKE(built) : NULL;
}

/* The one that is in the table; a reference, or NULL. With the mutex. */
static struct statement *
statement_find(const struct statement_key *key, uint64_t hash)
{
    struct statement *const found =
        map_entry(map_get(&statements, hash, key), struct statement, node);

    return found != NULL ? statement_ref(found) : NULL;
}

/* 0, -ENOMEM, or -EEXIST: another's name is the bare hash. With the mutex. */
static int
statement_enter(struct statement *built, uint64_t hash)
{
    if (built->is_plain && map_get(&plain_names, built->name_hash, &built->name_hash) != NULL)
        return -EEXIST;
    if (map_add(&statements, &built->node, hash) < 0)
        return -ENOMEM;
    if (built->is_plain && map_add(&plain_names, &built->name_node, built->name_hash) < 0) {
        map_remove(&statements, &built->node);
        return -ENOMEM;
    }
    return 0;
}

/* Nothing is copied with the mutex, which all workers share: a text may be long. */
static int
statement_add(const struct statement_key *key, uint64_t hash, struct statement **ret_statement)
{
    uint64_t number = 0;
    int r;

    do {
        CLEANUP(statement_free) struct statement *built = statement_build(key, number);
        struct statement *found;

        if (built == NULL)
            return -ENOMEM;
        (void)pthread_mutex_lock(&table_mutex);
        found = statement_find(key, hash); /* somebody else may have been faster */
        r = found == NULL ? statement_enter(built, hash) : 0;
        if (r == -EEXIST)
            number = ++last_number;
        (void)pthread_mutex_unlock(&table_mutex);
        if (r == 0)
            *ret_statement = found != NULL ? found : TAKE(built);
    } while (r == -EEXIST);
    return r;
}

int
statement_get(const struct settings *settings, enum statement_kind kind, const char *text,
              size_t len, struct statement **ret_statement)
{
    CLEANUP(buf_done) struct buf context = BUF_INIT;
    struct statement_key key = {.kind = kind, .text = text, .text_len = len};
    struct statement *found;
    uint64_t hash;
    int r;

    r = statement_context(settings, kind, &context);
    if (r < 0)
        return r;
    key.context = context.data;
    key.context_len = context.len;
    hash = hash_combine(hash_bytes(context.data, context.len), hash_bytes(text, len));
    (void)pthread_mutex_lock(&table_mutex);
    found = statement_find(&key, hash);
    (void)pthread_mutex_unlock(&table_mutex);
    if (found == NULL)
        return statement_add(&key, hash, ret_statement);
    *ret_statement = found;
    return 0;
}

struct statement *
statement_ref(struct statement *statement)
{
    ref_get(&statement->ref);
    return statement;
}

int
statement_draft(struct settings *settings, const char *text, size_t len,
                struct statement **ret_draft)
{
    struct statement *const draft = malloc(sizeof *draft + len);

    if (draft == NULL)
        return -ENOMEM;
    *draft = (struct statement){.kind = STATEMENT_PARSED, .text_len = len};
    ref_init(&draft->ref);
    draft->settings = settings_ref(settings);
    draft->text = memcpy(draft + 1, text, len);
    *ret_draft = draft;
    return 0;
}

bool
statement_is_draft(const struct statement *statement)
{
    return statement->settings != NULL;
}

bool
statement_is_draft_of(const struct statement *statement, const struct settings *settings,
                      const char *text, size_t len)
{
    return statement->settings == settings && statement_has_text(statement, text, len);
}

int
statement_finish(const struct statement *draft, struct statement **ret_statement)
{
    return statement_get(draft->settings, draft->kind, draft->text, draft->text_len, ret_statement);
}

static void
statement_unref_draft(struct statement *draft)
{
    if (ref_put(&draft->ref))
        statement_free(draft);
}

void
statement_unref(struct statement *statement)
{
    bool last;

    if (statement == NULL)
        return;
    if (statement_is_draft(statement)) {
        statement_unref_draft(statement);
        return;
    }
    /* Not the last: no lock. The last is only let go of under it, so that nobody finds it then. */
    if (ref_put_unless_last(&statement->ref))
        return;
    (void)pthread_mutex_lock(&table_mutex);
    last = ref_put(&statement->ref);
    if (last) {
        map_remove(&statements, &statement->node);
        if (statement->is_plain)
            map_remove(&plain_names, &statement->name_node);
    }
    (void)pthread_mutex_unlock(&table_mutex);
    if (last)
        statement_free(statement);
}

const char *
statement_name(const struct statement *statement, size_t *ret_len)
{
    *ret_len = statement->name_len;
    return statement->name;
}

bool
statement_alters(const struct statement *statement)
{
    return statement->alters;
}

size_t
statement_size(const struct statement *statement)
{
    return sizeof *statement + statement->context_len + statement->messages.len;
}

uint64_t
statement_hash(const struct statement *statement)
{
    return statement->node.hash;
}

static const struct {
    const char *steps;
    char maker;
} kinds[] = {
    [STATEMENT_PARSED] = {"P", FRONTEND_PARSE},
    [STATEMENT_SQL] = {"CPBECC", FRONTEND_EXECUTE},
};

const char *
statement_steps(const struct statement *statement)
{
    return kinds[statement->kind].steps;
}

char
statement_maker(const struct statement *statement)
{
    return kinds[statement->kind].maker;
}

bool
statement_has_text(const struct statement *statement, const char *text, size_t len)
{
    return statement->kind == STATEMENT_PARSED && statement->text_len == len &&
           memcmp(statement->text, text, len) == 0;
}

const char *
statement_messages(const struct statement *statement, size_t *ret_len)
{
    *ret_len = statement->messages.len;
    return statement->messages.data;
}

bool
statement_is_of(const struct statement *statement, const struct settings *settings)
{
    CLEANUP(buf_done) struct buf context = BUF_INIT;

    return statement_context(settings, statement->kind, &context) == 0 &&
           context.len == statement->context_len &&
           memcmp(context.data, statement->context, context.len) == 0;
}

static char nowhere[STATEMENT_NAME_MAX];
static size_t nowhere_len;

static void
statement_name_nowhere(void)
{
    const uint64_t low = hash_str("nowhere"), high = hash_str("at all");

    nowhere_len = (size_t)snprintf(nowhere, sizeof nowhere, STATEMENT_PREFIX "%016llx%016llx",
                                   (unsigned long long)high, (unsigned long long)low);
}

const char *
statement_nowhere(size_t *ret_len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, statement_name_nowhere);
    *ret_len = nowhere_len;
    return nowhere;
}

size_t
statement_global_done(void)
{
    const size_t held = map_count(&statements);

    if (held == 0) {
        map_done(&statements);
        map_done(&plain_names);
    }
    return held;
}
