#include "str.h"

#include <stdlib.h>
#include <string.h>

#include "macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_compares(void **state)
{
    (void)state;
    assert_true(str_eq("a", "a"));
    assert_false(str_eq("a", "A"));
    assert_true(str_eq(NULL, NULL));
    assert_false(str_eq(NULL, ""));
    assert_true(str_ieq("SHOW", "show"));
    assert_true(str_ieq("", ""));
    assert_false(str_ieq("show", "shows"));
    assert_false(str_ieq("[", "{"));
    assert_false(str_ieq("a", NULL));
    assert_true(str_starts_with("unix:/tmp", "unix:"));
    assert_true(str_starts_with("x", ""));
    assert_false(str_starts_with("un", "unix:"));
}

static void
test_copies_what_fits(void **state)
{
    char dst[4] = "xyz";

    (void)state;
    assert_int_equal(str_copy(dst, 0, "long"), 4);
    assert_string_equal(dst, "xyz");
    assert_int_equal(str_copy(dst, sizeof(dst), "abcdef"), 6);
    assert_string_equal(dst, "abc");
    assert_int_equal(str_copy(dst, sizeof(dst), ""), 0);
    assert_string_equal(dst, "");
}

static void
test_set_replaces_an_owned_string(void **state)
{
    char *field = NULL;

    (void)state;
    assert_int_equal(str_set(&field, "one"), 0);
    assert_string_equal(field, "one");
    assert_int_equal(str_set(&field, field + 1), 0);
    assert_string_equal(field, "ne");
    assert_int_equal(str_set(&field, NULL), 0);
    assert_null(field);
}

static void
test_trims_both_ends(void **state)
{
    static const struct {
        const char *before;
        const char *after;
    } rows[] = {{"", ""}, {" \t\r\n", ""}, {"a", "a"}, {"  a b ", "a b"}, {"a\v\f", "a"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[16];

        (void)str_copy(text, sizeof(text), rows[i].before);
        assert_string_equal(str_trim(text), rows[i].after);
    }
}

static void
test_edit_distance(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        size_t distance;
    } rows[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"pool_mode", "pool_mode", 0},
        {"Pool_Mode", "pool_mode", 0},
        {"pool_mod", "pool_mode", 1},
        {"poolmode", "pool_mode", 1},
        {"pool_mdoe", "pool_mode", 1}, /* two letters swapped */
        {"pool_node", "pool_mode", 1},
        {"loop_mode", "pool_mode", 2},
        {"kitten", "sitting", 3},
        {"abcdef", "ghijkl", 4}, /* over the limit */
        {"1234567890123456789012345678901234567890123456789012345678901234x", "x", 4},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(str_edit_distance(rows[i].a, rows[i].b, 3), rows[i].distance);
        assert_int_equal(str_edit_distance(rows[i].b, rows[i].a, 3), rows[i].distance);
    }
}

static void
test_walks_a_list(void **state)
{
    const char *rest = " alice,, bob smith ,\tcarol";
    const char *item;
    size_t len;

    (void)state;
    assert_true(str_list_next(&rest, &item, &len));
    assert_int_equal(len, 5);
    assert_memory_equal(item, "alice", 5);
    assert_true(str_list_next(&rest, &item, &len));
    assert_int_equal(len, 9);
    assert_memory_equal(item, "bob smith", 9);
    assert_true(str_list_next(&rest, &item, &len));
    assert_int_equal(len, 5);
    assert_memory_equal(item, "carol", 5);
    assert_false(str_list_next(&rest, &item, &len));
    assert_false(str_list_next(&rest, &item, &len));
    rest = " , ,";
    assert_false(str_list_next(&rest, &item, &len));
}

static void
test_finds_in_a_list(void **state)
{
    (void)state;
    assert_true(str_list_contains("alice, bob", "bob"));
    assert_false(str_list_contains("alice, bob", "bo"));
    assert_false(str_list_contains("alice, bob", ""));
    assert_false(str_list_contains("", "bob"));
    assert_false(str_list_contains(NULL, "bob"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compares),
        cmocka_unit_test(test_copies_what_fits),
        cmocka_unit_test(test_set_replaces_an_owned_string),
        cmocka_unit_test(test_trims_both_ends),
        cmocka_unit_test(test_edit_distance),
        cmocka_unit_test(test_walks_a_list),
        cmocka_unit_test(test_finds_in_a_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
