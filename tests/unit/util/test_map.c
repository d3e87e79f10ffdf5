#include "map.h"

#include <stdlib.h>

#include "rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ITEMS 5000

struct item {
    struct map_node node;
    int number;
    bool added;
    bool seen;
};

static bool
item_has_number(const struct map_node *node, const void *number)
{
    return container_of(node, struct item, node)->number == *(const int *)number;
}

static struct item *
find(const struct map *map, int number, uint64_t hash)
{
    return map_entry(map_get(map, hash, &number), struct item, node);
}

static void
test_an_empty_map_answers(void **state)
{
    struct map map;

    (void)state;
    map_init(&map, item_has_number);
    assert_null(find(&map, 1, 1));
    assert_null(map_first(&map));
    assert_int_equal(map_count(&map), 0);
    map_done(&map);
}

/* Same hash for all: only the keys tell them apart. */
static void
test_collisions_are_told_apart(void **state)
{
    struct item items[40] = {0};
    struct map map;

    (void)state;
    map_init(&map, item_has_number);
    for (int i = 0; i < 40; i++) {
        items[i].number = i;
        assert_int_equal(map_add(&map, &items[i].node, 7), 0);
    }
    for (int i = 0; i < 40; i += 2)
        map_remove(&map, &items[i].node);
    for (int i = 0; i < 40; i++)
        assert_ptr_equal(find(&map, i, 7), i % 2 == 0 ? NULL : &items[i]);
    assert_int_equal(map_count(&map), 20);
    map_done(&map);
}

/* A long random life, against an array of flags. */
static void
test_random_adds_and_removes(void **state)
{
    struct item *items = calloc(ITEMS, sizeof(*items));
    size_t count = 0;
    struct map map;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    map_init(&map, item_has_number);
    for (int step = 0; step < 20 * ITEMS; step++) {
        const int number = (int)rng_below(&rng, ITEMS);
        struct item *item = &items[number];

        item->number = number;
        assert_ptr_equal(find(&map, number, hash_u64((uint64_t)number)), item->added ? item : NULL);
        if (item->added)
            map_remove(&map, &item->node);
        else
            assert_int_equal(map_add(&map, &item->node, hash_u64((uint64_t)number)), 0);
        item->added = !item->added;
        count += item->added ? 1 : (size_t)-1;
        assert_int_equal(map_count(&map), count);
    }
    map_done(&map);
    free(items);
}

static void
test_visits_each_once_even_while_removing(void **state)
{
    struct item items[100] = {0};
    struct map map;

    (void)state;
    map_init(&map, item_has_number);
    for (int i = 0; i < 100; i++)
        assert_int_equal(map_add(&map, &items[i].node, hash_u64((uint64_t)i / 2)), 0);
    for (struct map_node *next, *node = map_first(&map); node != NULL; node = next) {
        struct item *item = map_entry(node, struct item, node);

        next = map_next(&map, node);
        assert_false(item->seen);
        item->seen = true;
        map_remove(&map, node);
    }
    for (int i = 0; i < 100; i++)
        assert_true(items[i].seen);
    assert_int_equal(map_count(&map), 0);
    assert_null(map_first(&map));
    map_done(&map);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_map_answers),
        cmocka_unit_test(test_collisions_are_told_apart),
        cmocka_unit_test(test_random_adds_and_removes),
        cmocka_unit_test(test_visits_each_once_even_while_removing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
