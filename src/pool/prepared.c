#include "prepared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "hash.h"
#include "pg.h"
#include "requests.h"
#include "shape.h"
#include "statement.h"

static bool
prepared_is_unsure(const struct prepared_changes *changes, const struct requests *requests)
{
    return changes->count > 0 && changes->segment != requests->segment;
}

static bool
prepared_has_server_name(const struct statement *statement, const char *name, size_t len)
{
    size_t own_len;
    const char *const own = statement_name(statement, &own_len);

    return own_len == len && memcmp(own, name, len) == 0;
}

/* ---- a client's names -------------------------------------------------------------------------
 */

struct name_key {
    const char *text;
    size_t len;
};

static bool
prepared_name_is(const struct map_node *node, const void *arg)
{
    const struct prepared_name *const name = container_of(node, struct prepared_name, node);
    const struct name_key *const key = arg;

    return name->len == key->len && memcmp(name->text, key->text, key->len) == 0;
}

struct prepared_name *
prepared_find(const struct prepared_names *names, const char *text, size_t len)
{
    const struct name_key key = {text, MIN(len, PREPARED_NAME_LEN)};

    if (names == NULL)
        return NULL;
    if (len == 0)
        return names->unnamed;
    return map_entry(map_get(&names->map, hash_bytes(text, key.len), &key), struct prepared_name,
                     node);
}

enum prepared_state
prepared_name_state(const struct prepared_name *name, const struct requests *requests)
{
    if (name == NULL)
        return PREPARED_NOT;
    if (prepared_is_unsure(&name->changes, requests))
        return PREPARED_UNSURE;
    return name->then != NULL ? PREPARED_IS : PREPARED_NOT;
}

int
prepared_add_name(struct prepared_names **names, const char *text, size_t len,
                  struct prepared_name **ret_name)
{
    struct prepared_name *name;

    if (*names == NULL) {
        *names = calloc(1, sizeof **names);
        if (*names == NULL)
            return -ENOMEM;
        map_init(&(*names)->map, prepared_name_is);
    }
    len = MIN(len, PREPARED_NAME_LEN);
    name = calloc(1, sizeof *name + len);
    if (name == NULL)
        return -ENOMEM;
    name->len = (uint8_t)len;
    memcpy(name->text, text, len);
    if (len == 0) {
        (*names)->unnamed = name;
    } else if (map_add(&(*names)->map, &name->node, hash_bytes(text, len)) < 0) {
        free(name);
        return -ENOMEM;
    }
    (*names)->last_number += (*names)->last_number < UINT16_MAX ? 1 : 2; /* 0 means nothing */
    name->number = (*names)->last_number;
    *ret_name = name;
    return 0;
}

static void
prepared_free_name(struct prepared_name *name)
{
    statement_unref(name->now);
    statement_unref(name->then);
    free(name);
}

void
prepared_drop_name(struct prepared_names *names, struct prepared_name *name)
{
    if (name->changes.count > 0 || name->now != NULL || name == names->unnamed)
        return;
    map_remove(&names->map, &name->node);
    prepared_free_name(name);
}

static bool
prepared_means(const struct prepared_name *name, const char *server_name, size_t len)
{
    return (name->now != NULL && prepared_has_server_name(name->now, server_name, len)) ||
           (name->then != NULL && prepared_has_server_name(name->then, server_name, len));
}

const struct prepared_name *
prepared_name_of(const struct prepared_names *names, uint16_t number, const char *server_name,
                 size_t len)
{
    const struct prepared_name *found = NULL;

    if (names == NULL)
        return NULL;
    if (names->unnamed != NULL && prepared_means(names->unnamed, server_name, len))
        found = names->unnamed;
    for (struct map_node *node = map_first(&names->map); node != NULL;
         node = map_next(&names->map, node)) {
        const struct prepared_name *const name = container_of(node, struct prepared_name, node);

        if ((found == NULL || name->number == number) && prepared_means(name, server_name, len))
            found = name;
    }
    return found;
}

static void
prepared_set_name(struct statement **where, struct statement *statement)
{
    struct statement *const before = *where;

    *where = statement != NULL ? statement_ref(statement) : NULL;
    statement_unref(before);
}

void
prepared_tell(struct prepared_names *names, struct statement *statement)
{
    if (prepared_was_told(names, statement))
        return;
    prepared_set_name(&names->told[names->told_next], statement);
    names->told_next = (names->told_next + 1) % PREPARED_TOLD_MAX;
}

static void
prepared_tell_if(struct prepared_names *names, const struct prepared_name *name, uint16_t number)
{
    if (name->number == number && name->then != NULL)
        prepared_tell(names, name->then);
}

void
prepared_tell_numbered(struct prepared_names *names, uint16_t number)
{
    struct map_node *node = names != NULL ? map_first(&names->map) : NULL;

    if (prepared_unnamed(names) != NULL)
        prepared_tell_if(names, names->unnamed, number);
    for (; node != NULL; node = map_next(&names->map, node))
        prepared_tell_if(names, container_of(node, struct prepared_name, node), number);
}

bool
prepared_was_told(const struct prepared_names *names, const struct statement *statement)
{
    for (size_t i = 0; i < PREPARED_TOLD_MAX; i++) {
        if (names->told[i] == statement)
            return true;
    }
    return false;
}

void
prepared_tell_no_more(struct prepared_names *names, const struct statement *statement)
{
    for (size_t i = 0; i < PREPARED_TOLD_MAX; i++) {
        if (names->told[i] == statement)
            prepared_set_name(&names->told[i], NULL);
    }
}

/* What it counts; of those without a name a client has one. */
static size_t
prepared_size(const struct prepared_name *name, const struct statement *statement)
{
    return name->len > 0 && statement != NULL ? statement_size(statement) : 0;
}

/* `then`. */
static void
prepared_expect_name(struct prepared_names *names, struct prepared_name *name,
                     struct statement *statement, bool is_here, uint64_t shape)
{
    name->then_here = is_here;
    name->shape = shape;
    if (statement == name->then)
        return;
    names->bytes += prepared_size(name, statement) - prepared_size(name, name->then);
    prepared_set_name(&name->then, statement);
}

/* `now`. */
static void
prepared_is_named(struct prepared_name *name, struct statement *statement, bool is_here,
                  uint64_t shape)
{
    name->now_here = is_here;
    name->now_shape = shape;
    if (statement != name->now)
        prepared_set_name(&name->now, statement);
}

/* Nothing is on its way any more: what is certain is all there is. */
static void
prepared_settle_name(struct prepared_names *names, struct prepared_name *name)
{
    if (name->changes.count > 0)
        return;
    prepared_expect_name(names, name, name->now, name->now_here, name->now_shape);
    prepared_drop_name(names, name);
}

static void
prepared_forget_name(struct prepared_names *names, struct prepared_name *name)
{
    prepared_is_named(name, NULL, false, SHAPE_UNKNOWN);
    prepared_settle_name(names, name);
}

int
prepared_finish_name(struct prepared_names *names, struct prepared_name *name)
{
    struct statement *finished;
    int r;

    if (!statement_is_draft(name->then))
        return 0;
    r = statement_finish(name->then, &finished);
    if (r < 0)
        return r;
    if (name->now == name->then)
        prepared_is_named(name, finished, name->now_here, name->now_shape);
    prepared_expect_name(names, name, finished, name->then_here, name->shape);
    statement_unref(finished);
    return 0;
}

void
prepared_learn_rows(struct prepared_name *name, const struct statement *statement, uint64_t shape)
{
    if (name->now == statement)
        name->now_shape = shape;
    /* A change on its way came behind the question. */
    if (name->changes.count == 0 && name->then == statement)
        name->shape = shape;
}

void
prepared_set_unnamed(struct prepared_names *names, struct statement *statement, bool is_here)
{
    prepared_is_named(names->unnamed, statement, is_here, SHAPE_UNKNOWN);
    prepared_settle_name(names, names->unnamed);
}

void
prepared_fail_unnamed(struct prepared_names *names)
{
    prepared_forget_name(names, names->unnamed);
}

void
prepared_leave_unnamed(struct prepared_names *names)
{
    if (names == NULL || names->unnamed == NULL)
        return;
    names->unnamed->now_here = false;
    names->unnamed->then_here = false;
}

void
prepared_forget_names(struct prepared_names *names)
{
    struct map_node *next;

    if (names == NULL)
        return;
    for (struct map_node *node = map_first(&names->map); node != NULL; node = next) {
        struct prepared_name *const name = container_of(node, struct prepared_name, node);

        next = map_next(&names->map, node);
        prepared_forget_name(names, name);
    }
}

bool
prepared_is_full(const struct prepared_names *names, const struct statement *statement)
{
    return names != NULL && (map_count(&names->map) >= PREPARED_NAMES_MAX ||
                             names->bytes + statement_size(statement) > PREPARED_BYTES_MAX);
}

unsigned
prepared_count_names(const struct prepared_names *names)
{
    return names != NULL ? (unsigned)map_count(&names->map) : 0;
}

void
prepared_free_names(struct prepared_names *names)
{
    struct map_node *next;

    if (names == NULL)
        return;
    for (struct map_node *node = map_first(&names->map); node != NULL; node = next) {
        next = map_next(&names->map, node);
        prepared_free_name(container_of(node, struct prepared_name, node));
    }
    for (size_t i = 0; i < PREPARED_TOLD_MAX; i++)
        statement_unref(names->told[i]);
    map_done(&names->map);
    if (names->unnamed != NULL)
        prepared_free_name(names->unnamed);
    free(names->spare);
    free(names->spare_lesson);
    free(names);
}

/* ---- a server's statements --------------------------------------------------------------------
 */

static bool
prepared_is_of(const struct map_node *node, const void *statement)
{
    return container_of(node, struct prepared_entry, node)->statement == statement;
}

struct prepared_entry *
prepared_get(const struct prepared_set *set, const struct statement *statement)
{
    if (set == NULL)
        return NULL;
    return map_entry(map_get(&set->map, statement_hash(statement), statement),
                     struct prepared_entry, node);
}

enum prepared_state
prepared_entry_state(const struct prepared_entry *entry, const struct requests *requests)
{
    if (entry == NULL)
        return PREPARED_NOT;
    if (prepared_is_unsure(&entry->changes, requests))
        return PREPARED_UNSURE;
    return entry->then ? PREPARED_IS : PREPARED_NOT;
}

int
prepared_add(struct prepared_set **set, struct statement *statement,
             struct prepared_entry **ret_entry)
{
    struct prepared_entry *entry;

    if (*set == NULL) {
        *set = calloc(1, sizeof **set);
        if (*set == NULL)
            return -ENOMEM;
        map_init(&(*set)->map, prepared_is_of);
        list_init(&(*set)->order);
    }
    entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        return -ENOMEM;
    if (map_add(&(*set)->map, &entry->node, statement_hash(statement)) < 0) {
        free(entry);
        return -ENOMEM;
    }
    entry->statement = statement_ref(statement);
    *ret_entry = entry;
    return 0;
}

/* `then`, and with it its place in the order. */
static void
prepared_expect(struct prepared_set *set, struct prepared_entry *entry, bool then)
{
    if (entry->then == then)
        return;
    entry->then = then;
    if (then) {
        list_push_front(&set->order, &entry->link);
        set->count++;
    } else {
        list_remove(&entry->link);
        set->count--;
    }
}

static void
prepared_free_entry(struct prepared_entry *entry)
{
    statement_unref(entry->statement);
    free(entry);
}

void
prepared_drop(struct prepared_set *set, struct prepared_entry *entry)
{
    if (entry->changes.count > 0 || entry->now)
        return;
    map_remove(&set->map, &entry->node);
    prepared_free_entry(entry);
}

static void
prepared_settle(struct prepared_set *set, struct prepared_entry *entry)
{
    if (entry->changes.count > 0)
        return;
    prepared_expect(set, entry, entry->now);
    prepared_drop(set, entry);
}

struct prepared_entry *
prepared_oldest(const struct prepared_set *set)
{
    return list_entry(list_last(&set->order), struct prepared_entry, link);
}

void
prepared_forget(struct prepared_set *set)
{
    struct map_node *next;

    if (set == NULL)
        return;
    for (struct map_node *node = map_first(&set->map); node != NULL; node = next) {
        struct prepared_entry *const entry = container_of(node, struct prepared_entry, node);

        next = map_next(&set->map, node);
        entry->now = false;
        prepared_settle(set, entry);
    }
}

void
prepared_doubt(struct prepared_set *set, bool with_others)
{
    struct prepared_entry *entry;

    if (set == NULL)
        return;
    set->is_doubtful = set->is_doubtful || with_others;
    LIST_FOREACH (entry, &set->order, link)
        entry->is_stale = entry->is_stale || entry->changes.count == 0 || with_others;
}

unsigned
prepared_count(const struct prepared_set *set)
{
    return set != NULL ? set->count : 0;
}

void
prepared_free(struct prepared_set *set)
{
    struct map_node *next;

    if (set == NULL)
        return;
    for (struct map_node *node = map_first(&set->map); node != NULL; node = next) {
        next = map_next(&set->map, node);
        prepared_free_entry(container_of(node, struct prepared_entry, node));
    }
    map_done(&set->map);
    free(set);
}

/* ---- changes ----------------------------------------------------------------------------------
 */

struct prepared_op {
    struct request_op request;
    struct prepared_change change; /* its statement is a reference */
};

static void
prepared_begin(struct prepared_changes *changes, const struct requests *requests)
{
    changes->count++;
    changes->segment = requests->segment;
}

/* One is kept for each client: so a change now and then needs no memory. */
static struct prepared_op *
prepared_new_op(struct prepared_names *names)
{
    if (names != NULL && names->spare != NULL)
        return TAKE(names->spare);
    return malloc(sizeof(struct prepared_op));
}

static void
prepared_free_op(struct prepared_names *names, struct prepared_op *op)
{
    if (names != NULL && names->spare == NULL)
        names->spare = op;
    else
        free(op);
}

static void
prepared_make(struct prepared_entry *entry, uint64_t owner)
{
    entry->owner = owner;
    entry->shape = SHAPE_UNKNOWN;
    entry->made++;
    entry->is_stale = false;
    entry->is_asked = false;
}

static void
prepared_resolve(struct request_op *request, enum request_outcome outcome)
{
    struct prepared_op *const op = container_of(request, struct prepared_op, request);
    const struct prepared_change *const change = &op->change;

    if (change->entry != NULL) {
        change->entry->changes.count--;
        if (outcome == REQUEST_DONE)
            change->entry->now = change->adds;
        else if (change->adds) /* what is there, if anything is, is not what was to be */
            change->entry->is_stale = true;
        prepared_settle(change->set, change->entry);
    }
    if (change->name != NULL) {
        change->name->changes.count--;
        if (outcome == REQUEST_DONE)
            prepared_is_named(change->name, change->statement, change->is_here, SHAPE_UNKNOWN);
        else if (outcome == REQUEST_FAILED && change->name->len == 0)
            /* the unnamed one went first */
            prepared_is_named(change->name, NULL, false, SHAPE_UNKNOWN);
        prepared_settle_name(change->names, change->name);
    }
    if (change->barriers != NULL)
        (*change->barriers)--;
    statement_unref(change->statement);
    prepared_free_op(change->names, op);
}

int
prepared_push(struct requests *requests, char type, int action,
              const struct prepared_change *change)
{
    struct prepared_op *const op = prepared_new_op(change->names);
    int r;

    if (op == NULL)
        return -ENOMEM;
    op->request = (struct request_op){.resolve = prepared_resolve};
    op->change = *change;
    if (change->statement != NULL)
        statement_ref(change->statement);
    if (change->barriers != NULL)
        (*change->barriers)++;
    if (change->entry != NULL) {
        prepared_begin(&change->entry->changes, requests);
        prepared_expect(change->set, change->entry, change->adds);
        if (change->adds)
            prepared_make(change->entry, change->owner);
    }
    if (change->name != NULL) {
        prepared_begin(&change->name->changes, requests);
        prepared_expect_name(change->names, change->name, change->statement, change->is_here,
                             SHAPE_UNKNOWN);
    }
    r = requests_push_op(requests, type, (enum request_action)action, &op->request);
    if (r < 0)
        prepared_resolve(&op->request, REQUEST_SKIPPED);
    if (type == FRONTEND_QUERY)
        requests->segment++;
    return r;
}

bool
prepared_changes_now(const struct requests *requests)
{
    return requests_head_has_op(requests) &&
           list_entry(list_first(&requests->ops), struct request_op, link)->resolve ==
               prepared_resolve;
}
