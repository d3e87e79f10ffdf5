/*
 * map.h - a hash table whose nodes are embedded in its elements.
 *
 *     struct user { struct map_node node; char *name; };
 *
 *     static bool
 *     user_has_name(const struct map_node *node, const void *name)
 *     {
 *         return str_eq(container_of(node, struct user, node)->name, name);
 *     }
 *
 *     map_init(&users, user_has_name);
 *     r = map_add(&users, &user->node, hash_str(user->name));
 *     user = map_entry(map_get(&users, hash_str(name), name), struct user, node);
 *
 * The map owns its table, never its elements. It grows by itself. Thread: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"
#include "macros.h"

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

/* Whether the element of node has this key. */
typedef bool map_equal_fn(const struct map_node *node, const void *key);

struct map {
    map_equal_fn *equal;
    struct map_node **buckets; /* owned; NULL before the first map_add */
    size_t size;               /* a power of two, or 0 */
    size_t count;
};

void map_init(struct map *map, map_equal_fn *equal);
/* Frees the table. What is still in it is forgotten. */
void map_done(struct map *map);

/* NULL when there is none. */
struct map_node *map_get(const struct map *map, uint64_t hash, const void *key);
/*
 * The key must not be there yet. 0 or -ENOMEM; only the first element can fail, since a table that
 * cannot grow still takes more.
 */
int map_add(struct map *map, struct map_node *node, uint64_t hash);
/* node must be in it. */
void map_remove(struct map *map, struct map_node *node);

static inline size_t
map_count(const struct map *map)
{
    return map->count;
}

/*
 * Every element once, in no particular order; NULL at the end. Between the calls nothing may be
 * added; a node may be removed once its successor has been asked for.
 */
struct map_node *map_first(const struct map *map);
struct map_node *map_next(const struct map *map, const struct map_node *node);

/* The element that node is embedded in; NULL for NULL. */
#define map_entry(node, type, member) ((type *)map_entry_at(node, offsetof(type, member)))

static inline void *
map_entry_at(const struct map_node *node, size_t offset)
{
    return node != NULL ? (char *)node - offset : NULL;
}
