#include "statement.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "map.h"
#include "pg.h"
#include "ref.h"
#include "settings.h"

struct statement {
    struct map_node node;      /* in statements */
    struct map_node name_node; /* in plain_names, if its name is the bare hash */
    struct ref ref;
    uint64_t name_hash;
    bool is_plain;
    size_t name_len;
    size_t context_len;
    size_t parse_len;
    char *context; /* these two lie behind the struct */
    char *parse;   /* header, name with its NUL, text */
};

struct statement_key {
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
static uint64_t next_number;

static const char *
statement_text(const struct statement *statement, size_t *ret_len)
{
    const size_t skip = PG_HEADER_SIZE + statement->name_len + 1;

    *ret_len = statement->parse_len - skip;
    return statement->parse + skip;
}

static bool
statement_equal(const struct map_node *node, const void *key)
{
    const struct statement *const statement = container_of(node, struct statement, node);
    const struct statement_key *const wanted = key;
    size_t text_len;
    const char *const text = statement_text(statement, &text_len);

    return statement->context_len == wanted->context_len && text_len == wanted->text_len &&
           memcmp(statement->context, wanted->context, wanted->context_len) == 0 &&
           memcmp(text, wanted->text, text_len) == 0;
}

static bool
statement_has_name_hash(const struct map_node *node, const void *key)
{
    const uint64_t *const hash = key;

    return container_of(node, struct statement, name_node)->name_hash == *hash;
}

/* What decides how the text is read. */
static int
statement_context(const struct settings *settings, uint64_t owner, struct buf *context)
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
    return r == 0 && owner != 0 ? buf_append(context, &owner, sizeof owner) : r;
}

/* Under a key that everybody knows; a collision costs a longer name, no more. */
static uint64_t
statement_name_hash(const struct statement_key *key)
{
    const uint64_t known[2] = {0, 0};
    const uint64_t with_context[2] = {hash_bytes_with(known, key->context, key->context_len), 0};

    return hash_bytes_with(with_context, key->text, key->text_len);
}

static struct statement *
statement_build(const struct statement_key *key, const char *name, size_t name_len)
{
    const size_t parse_len = PG_HEADER_SIZE + name_len + 1 + key->text_len;
    struct statement *const built = malloc(sizeof *built + key->context_len + parse_len);

    if (built == NULL)
        return NULL;
    memset(built, 0, sizeof *built);
    ref_init(&built->ref);
    built->name_len = name_len;
    built->context_len = key->context_len;
    built->parse_len = parse_len;
    built->context = (char *)(built + 1);
    built->parse = built->context + key->context_len;
    memcpy(built->context, key->context, key->context_len);
    pg_put_header(built->parse, FRONTEND_PARSE, (uint32_t)(parse_len - PG_HEADER_SIZE));
    memcpy(built->parse + PG_HEADER_SIZE, name, name_len + 1);
    memcpy(built->parse + PG_HEADER_SIZE + name_len + 1, key->text, key->text_len);
    return built;
}

/* A new one, entered in the table. With the mutex. */
static struct statement *
statement_new(const struct statement_key *key, uint64_t hash)
{
    const uint64_t name_hash = statement_name_hash(key);
    const bool is_plain = map_get(&plain_names, name_hash, &name_hash) == NULL;
    CLEANUP(free) struct statement *built = NULL;
    char name[STATEMENT_NAME_MAX];
    int len;

    if (is_plain)
        len =
            snprintf(name, sizeof name, STATEMENT_PREFIX "%016llx", (unsigned long long)name_hash);
    else
        len = snprintf(name, sizeof name, STATEMENT_PREFIX "%016llx_%llx",
                       (unsigned long long)name_hash, (unsigned long long)next_number++);
    built = statement_build(key, name, (size_t)len);
    if (built == NULL)
        return NULL;
    built->name_hash = name_hash;
    built->is_plain = is_plain;
    if (map_add(&statements, &built->node, hash) < 0)
        return NULL;
    if (is_plain && map_add(&plain_names, &built->name_node, name_hash) < 0) {
        map_remove(&statements, &built->node);
        return NULL;
    }
    return TAKE(built);
}

int
statement_get(const struct settings *settings, uint64_t owner, const char *text, size_t len,
              struct statement **ret_statement)
{
    CLEANUP(buf_done) struct buf context = BUF_INIT;
    struct statement_key key = {.text = text, .text_len = len};
    struct statement *statement;
    uint64_t hash;
    int r;

    r = statement_context(settings, owner, &context);
    if (r < 0)
        return r;
    key.context = context.data;
    key.context_len = context.len;
    hash = hash_combine(hash_bytes(context.data, context.len), hash_bytes(text, len));
    (void)pthread_mutex_lock(&table_mutex);
    statement = map_entry(map_get(&statements, hash, &key), struct statement, node);
    if (statement != NULL)
        ref_get(&statement->ref);
    else
        statement = statement_new(&key, hash);
    (void)pthread_mutex_unlock(&table_mutex);
    if (statement == NULL)
        return -ENOMEM;
    *ret_statement = statement;
    return 0;
}

struct statement *
statement_ref(struct statement *statement)
{
    ref_get(&statement->ref);
    return statement;
}

void
statement_unref(struct statement *statement)
{
    bool last;

    if (statement == NULL)
        return;
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
        free(statement);
}

const char *
statement_name(const struct statement *statement, size_t *ret_len)
{
    *ret_len = statement->name_len;
    return statement->parse + PG_HEADER_SIZE;
}

uint64_t
statement_hash(const struct statement *statement)
{
    return statement->node.hash;
}

const char *
statement_message(const struct statement *statement, size_t *ret_len)
{
    *ret_len = statement->parse_len;
    return statement->parse;
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
