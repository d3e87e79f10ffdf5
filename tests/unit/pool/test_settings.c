/*
 * test_settings.c - sets of parameters: one object each, and what to say to a server.
 */
#include "settings.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "rng.h"

DEFINE_CLEANUP(struct settings *, settings_unref);

/* The set of these names and values, in this order. */
static struct settings *
make(const char *const *pairs)
{
    struct settings *settings = settings_empty();

    for (; *pairs != NULL; pairs += 2)
        assert_int_equal(settings_put(&settings, pairs[0], pairs[1]), 0);
    return settings;
}

#define MAKE(...) make((const char *const[]){__VA_ARGS__, NULL})

static void
test_equal_sets_are_one_object(void **state)
{
    CLEANUP(settings_unref) struct settings *a = MAKE("TimeZone", "UTC", "DateStyle", "ISO");
    CLEANUP(settings_unref) struct settings *b = MAKE("DateStyle", "German", "TimeZone", "UTC");

    (void)state;
    assert_ptr_not_equal(a, b);
    assert_int_equal(settings_put(&b, "DateStyle", "ISO"), 0);
    assert_ptr_equal(a, b);
    assert_int_equal(settings_put(&b, "DateStyle", "SQL"), 0);
    assert_ptr_not_equal(a, b);
    assert_string_equal(settings_get(a, "DateStyle"), "ISO"); /* untouched by b's change */
}

static void
test_empty_set(void **state)
{
    (void)state;
    assert_ptr_equal(settings_empty(), settings_empty());
    assert_int_equal(settings_count(settings_empty()), 0);
    assert_null(settings_get(settings_empty(), "TimeZone"));
    settings_unref(settings_ref(settings_empty()));
    settings_unref(NULL);
}

static void
test_names_have_no_case_but_keep_their_spelling(void **state)
{
    CLEANUP(settings_unref) struct settings *settings = MAKE("TimeZone", "UTC");
    const char *name, *value;

    (void)state;
    assert_int_equal(settings_put(&settings, "timezone", "CET"), 0);
    assert_int_equal(settings_count(settings), 1);
    settings_at(settings, 0, &name, &value);
    assert_string_equal(name, "TimeZone");
    assert_string_equal(value, "CET");
    assert_string_equal(settings_get(settings, "TIMEZONE"), "CET");
}

static void
test_sorted_by_name(void **state)
{
    CLEANUP(settings_unref)
    struct settings *settings = MAKE("c", "3", "A", "1", "d", "4", "B", "2", "a", "5");

    (void)state;
    assert_int_equal(settings_count(settings), 4);
    for (size_t i = 0; i < 4; i++) {
        static const char *const names[] = {"A", "B", "c", "d"};
        static const char *const values[] = {"5", "2", "3", "4"};
        const char *name, *value;

        settings_at(settings, i, &name, &value);
        assert_string_equal(name, names[i]);
        assert_string_equal(value, values[i]);
    }
}

static void
test_no_change_is_the_same_object(void **state)
{
    CLEANUP(settings_unref) struct settings *settings = MAKE("a", "1");
    struct settings *const before = settings;

    (void)state;
    assert_int_equal(settings_put(&settings, "a", "1"), 0);
    assert_ptr_equal(settings, before);
}

static void
test_some_are_the_servers_own(void **state)
{
    (void)state;
    assert_true(settings_is_settable("DateStyle"));
    assert_true(settings_is_settable("search_path"));
    assert_false(settings_is_settable("server_version"));
    assert_false(settings_is_settable("IS_SUPERUSER"));
    assert_false(settings_is_settable("in_hot_standby"));
}

/* --- what to say to a server ----------------------------------------------------------------- */

static void
expect_diff(struct settings *have, struct settings *want, const char *expected)
{
    CLEANUP(buf_done) struct buf sql = BUF_INIT;

    assert_int_equal(settings_diff_sql(have, want, &sql), 0);
    assert_string_equal(buf_str(&sql), expected);
}

static void
test_diff_says_what_differs(void **state)
{
    CLEANUP(settings_unref)
    struct settings *have = MAKE("DateStyle", "ISO", "TimeZone", "UTC", "application_name", "");
    CLEANUP(settings_unref)
    struct settings *want = MAKE("DateStyle", "ISO", "TimeZone", "CET", "application_name", "it's");

    (void)state;
    expect_diff(have, have, "");
    expect_diff(have, settings_empty(), "");
    expect_diff(have, want, "SET application_name='it''s'; SET TimeZone='CET'");
}

static void
test_diff_leaves_out_what_cannot_be_set(void **state)
{
    CLEANUP(settings_unref) struct settings *have = MAKE("server_version", "15", "a", "1");
    CLEANUP(settings_unref)
    struct settings *want = MAKE("server_version", "16", "a", "1", "unknown", "here");

    (void)state;
    expect_diff(have, want, "");
}

/* SET would make one identifier of the list. */
static void
test_diff_of_search_path(void **state)
{
    CLEANUP(settings_unref) struct settings *have = MAKE("search_path", "\"$user\", public");
    CLEANUP(settings_unref) struct settings *want = MAKE("search_path", "a, 'b'");

    (void)state;
    expect_diff(have, want, "SELECT pg_catalog.set_config('search_path', 'a, ''b''', false)");
    expect_diff(want, have,
                "SELECT pg_catalog.set_config('search_path', '\"$user\", public', false)");
}

static void
test_diff_cannot_be_broken_out_of(void **state)
{
    CLEANUP(settings_unref) struct settings *have = MAKE("application_name", "");
    CLEANUP(settings_unref)
    struct settings *want = MAKE("application_name", "\\'; DROP TABLE t; --");

    (void)state;
    expect_diff(have, want, "SET application_name= E'\\\\''; DROP TABLE t; --'");
}

/* --- threads --------------------------------------------------------------------------------- */

#define THREADS 4

static void *
churn(void *arg)
{
    struct rng rng;
    struct settings *settings = settings_empty();

    rng_seed(&rng, (uintptr_t)arg);
    for (unsigned i = 0; i < 5000; i++) {
        char name[16], value[16];

        (void)snprintf(name, sizeof(name), "n%u", (unsigned)rng_below(&rng, 3));
        (void)snprintf(value, sizeof(value), "v%u", (unsigned)rng_below(&rng, 2));
        if (settings_put(&settings, name, value) < 0 ||
            strcmp(settings_get(settings, name), value) != 0)
            return settings;
        if (i % 7 == 0) {
            settings_unref(settings);
            settings = settings_empty();
        }
    }
    settings_unref(settings);
    return NULL;
}

static void
test_threads_share_the_table(void **state)
{
    pthread_t threads[THREADS];
    void *result;

    (void)state;
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
}

static void
test_all_were_given_back(void **state)
{
    struct settings *settings = MAKE("a", "1");

    (void)state;
    assert_int_equal(settings_global_done(), 1);
    settings_unref(settings);
    assert_int_equal(settings_global_done(), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_sets_are_one_object),
        cmocka_unit_test(test_empty_set),
        cmocka_unit_test(test_names_have_no_case_but_keep_their_spelling),
        cmocka_unit_test(test_sorted_by_name),
        cmocka_unit_test(test_no_change_is_the_same_object),
        cmocka_unit_test(test_some_are_the_servers_own),
        cmocka_unit_test(test_diff_says_what_differs),
        cmocka_unit_test(test_diff_leaves_out_what_cannot_be_set),
        cmocka_unit_test(test_diff_of_search_path),
        cmocka_unit_test(test_diff_cannot_be_broken_out_of),
        cmocka_unit_test(test_threads_share_the_table),
        cmocka_unit_test(test_all_were_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
