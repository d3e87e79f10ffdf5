#include "map.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define MAP_SIZE_MIN 16

void
map_init(struct map *map, map_equal_fn *equal)
{
    *map = (struct map){.equal = equal};
}

void
map_done(struct map *map)
{
    free(map->buckets);
    map_init(map, map->equal);
}

static struct map_node **
bucket_of(const struct map *map, uint64_t hash)
{
    return &map->buckets[hash & (map->size - 1)];
}

struct map_node *
map_get(const struct map *map, uint64_t hash, const void *key)
{
    if (map->size == 0)
        return NULL;
    for (struct map_node *node = *bucket_of(map, hash); node != NULL; node = node->next)
        if (node->hash == hash && map->equal(node, key))
            return node;
    return NULL;
}

static void
link_node(struct map *map, struct map_node *node)
{
    struct map_node **bucket = bucket_of(map, node->hash);

    node->next = *bucket;
    *bucket = node;
}

static int
map_resize(struct map *map, size_t size)
{
    const struct map old = *map;
    struct map_node **buckets = calloc(size, sizeof(*buckets));

    if (buckets == NULL)
        return -ENOMEM;
    map->buckets = buckets;
    map->size = size;
    for (struct map_node *next, *node = map_first(&old); node != NULL; node = next) {
        next = map_next(&old, node);
        link_node(map, node);
    }
    free(old.buckets);
    return 0;
}

int
map_add(struct map *map, struct map_node *node, uint64_t hash)
{
    if (map->size == 0 && map_resize(map, MAP_SIZE_MIN) < 0)
        return -ENOMEM;
    if (map->count >= map->size)
        (void)map_resize(map, map->size * 2); /* longer chains are no failure */
    node->hash = hash;
    link_node(map, node);
    map->count++;
    return 0;
}

void
map_remove(struct map *map, struct map_node *node)
{
    struct map_node **place = bucket_of(map, node->hash);

    while (*place != node) {
        assert(*place != NULL);
        place = &(*place)->next;
    }
    *place = node->next;
    node->next = NULL;
    map->count--;
}

static struct map_node *
first_from_bucket(const struct map *map, size_t index)
{
    for (; index < map->size; index++)
        if (map->buckets[index] != NULL)
            return map->buckets[index];
    return NULL;
}

struct map_node *
map_first(const struct map *map)
{
    return first_from_bucket(map, 0);
}

struct map_node *
map_next(const struct map *map, const struct map_node *node)
{
    if (node->next != NULL)
        return node->next;
    return first_from_bucket(map, (node->hash & (map->size - 1)) + 1);
}
