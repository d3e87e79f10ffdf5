#include "settings.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "cleanup.h"
#include "map.h"
#include "quote.h"
#include "ref.h"
#include "str.h"

struct setting {
    const char *name;
    const char *value;
};

struct settings {
    struct map_node node;
    struct ref ref;
    size_t count;
    struct setting pairs[]; /* sorted by name; the strings stand behind them */
};

static bool settings_equal(const struct map_node *node, const void *key);

/* All sets but the empty one. A set whose last reference is going leaves it under the mutex. */
static pthread_mutex_t table_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct map table = {.equal = settings_equal};
static struct settings empty_set;

static bool
settings_equal(const struct map_node *node, const void *key)
{
    const struct settings *const a = container_of(node, struct settings, node);
    const struct settings *const b = key;

    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->pairs[i].name, b->pairs[i].name) != 0 ||
            strcmp(a->pairs[i].value, b->pairs[i].value) != 0)
            return false;
    }
    return true;
}

static uint64_t
settings_hash(const struct settings *settings)
{
    uint64_t hash = settings->count;

    for (size_t i = 0; i < settings->count; i++) {
        hash = hash_combine(hash, hash_str(settings->pairs[i].name));
        hash = hash_combine(hash, hash_str(settings->pairs[i].value));
    }
    return hash;
}

struct settings *
settings_empty(void)
{
    return &empty_set;
}

struct settings *
settings_ref(struct settings *settings)
{
    if (settings != &empty_set)
        ref_get(&settings->ref);
    return settings;
}

void
settings_unref(struct settings *settings)
{
    bool last;

    if (settings == NULL || settings == &empty_set)
        return;
    /* The last one under the mutex, so that nobody finds in the table what is being freed. */
    if (ref_put_unless_last(&settings->ref))
        return;
    (void)pthread_mutex_lock(&table_mutex);
    last = ref_put(&settings->ref);
    if (last)
        map_remove(&table, &settings->node);
    (void)pthread_mutex_unlock(&table_mutex);
    if (last)
        free(settings);
}

/* The index of name, or of the first that sorts behind it. */
static size_t
settings_find(const struct settings *settings, const char *name, bool *ret_found)
{
    for (size_t i = 0; i < settings->count; i++) {
        const int order = strcasecmp(settings->pairs[i].name, name);

        if (order >= 0) {
            *ret_found = order == 0;
            return i;
        }
    }
    *ret_found = false;
    return settings->count;
}

const char *
settings_get(const struct settings *settings, const char *name)
{
    bool found;
    const size_t i = settings_find(settings, name, &found);

    return found ? settings->pairs[i].value : NULL;
}

size_t
settings_count(const struct settings *settings)
{
    return settings->count;
}

void
settings_at(const struct settings *settings, size_t index, const char **ret_name,
            const char **ret_value)
{
    *ret_name = settings->pairs[index].name;
    *ret_value = settings->pairs[index].value;
}

/* A set of its own, not in the table: base with the pair put in place or inserted at index. */
static struct settings *
settings_build(const struct settings *base, size_t index, bool replace, struct setting pair)
{
    const size_t count = base->count + (replace ? 0 : 1);
    size_t size = sizeof(struct settings) + count * sizeof(struct setting);
    struct settings *built;
    char *text;

    if (replace)
        pair.name = base->pairs[index].name;
    size += strlen(pair.name) + strlen(pair.value) + 2;
    for (size_t i = 0; i < base->count; i++)
        size += strlen(base->pairs[i].name) + strlen(base->pairs[i].value) + 2;
    built = malloc(size);
    if (built == NULL)
        return NULL;
    memset(built, 0, sizeof *built);
    ref_init(&built->ref);
    built->count = count;
    text = (char *)&built->pairs[count];
    for (size_t to = 0, from = 0; to < count; to++) {
        const struct setting *source;

        if (to == index) {
            source = &pair;
            from += replace ? 1 : 0;
        } else {
            source = &base->pairs[from++];
        }
        built->pairs[to].name = text;
        text = stpcpy(text, source->name) + 1;
        built->pairs[to].value = text;
        text = stpcpy(text, source->value) + 1;
    }
    return built;
}

/* The one object for what built holds; built itself, or another, and then built is freed. */
static struct settings *
settings_intern(struct settings *built)
{
    const uint64_t hash = settings_hash(built);
    struct settings *known;
    int r = 0;

    (void)pthread_mutex_lock(&table_mutex);
    known = map_entry(map_get(&table, hash, built), struct settings, node);
    if (known != NULL)
        ref_get(&known->ref);
    else
        r = map_add(&table, &built->node, hash);
    (void)pthread_mutex_unlock(&table_mutex);
    if (known == NULL && r == 0)
        return built;
    free(built);
    return known;
}

int
settings_put(struct settings **settings, const char *name, const char *value)
{
    bool found;
    const size_t index = settings_find(*settings, name, &found);
    struct settings *changed;

    if (found && strcmp((*settings)->pairs[index].value, value) == 0)
        return 0;
    changed = settings_build(*settings, index, found, (struct setting){name, value});
    if (changed != NULL)
        changed = settings_intern(changed);
    if (changed == NULL)
        return -ENOMEM;
    settings_unref(*settings);
    *settings = changed;
    return 0;
}

bool
settings_is_settable(const char *name)
{
    static const char *const server_only[] = {
        "in_hot_standby",  "integer_datetimes", "is_superuser",
        "server_encoding", "server_version",    "session_authorization",
    };

    for (size_t i = 0; i < ARRAY_SIZE(server_only); i++) {
        if (str_ieq(name, server_only[i]))
            return false;
    }
    return true;
}

/*
 * One statement that sets the pair. search_path is a list of identifiers, which SET would take for
 * a single one; set_config takes it as it is reported.
 */
static int
settings_append_set(const struct setting *pair, struct buf *sql)
{
    const bool is_list = str_ieq(pair->name, "search_path");
    int r;

    r = buf_printf(sql, "%s%s%s%s", sql->len > 0 ? "; " : "",
                   is_list ? "SELECT pg_catalog.set_config('" : "SET ", pair->name,
                   is_list ? "', " : "=");
    if (r == 0)
        r = quote_literal(sql, pair->value);
    if (r == 0 && is_list)
        r = buf_append_str(sql, ", false)");
    return r;
}

int
settings_diff_sql(const struct settings *have, const struct settings *want, struct buf *sql)
{
    int r = 0;

    for (size_t i = 0; i < want->count && r == 0; i++) {
        const struct setting *const pair = &want->pairs[i];
        const char *const value = settings_get(have, pair->name);

        if (value != NULL && strcmp(value, pair->value) != 0 && settings_is_settable(pair->name))
            r = settings_append_set(pair, sql);
    }
    return r;
}

size_t
settings_global_done(void)
{
    const size_t held = map_count(&table);

    if (held == 0)
        map_done(&table);
    return held;
}
