/*
 * test_familiar.c - texts that come once, again, and under other settings.
 */
#include "familiar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_memory.h"
#include "settings.h"
#include "statement.h"

struct texts {
    struct familiar *familiar;
    struct settings *settings;
};

/* One that has come; borrowed: the place, or nobody, has it still. */
static const struct statement *
come(struct texts *texts, struct settings *settings, const char *text, bool finishes)
{
    struct statement *statement;

    assert_int_equal(
        familiar_get(&texts->familiar, settings, text, strlen(text) + 1, finishes, &statement), 0);
    assert_true(statement_has_text(statement, text, strlen(text) + 1));
    statement_unref(statement);
    return statement;
}

static int
setup(void **state)
{
    static struct texts texts;

    texts.familiar = NULL;
    texts.settings = settings_empty();
    assert_int_equal(settings_put(&texts.settings, "DateStyle", "ISO"), 0);
    *state = &texts;
    return 0;
}

static int
teardown(void **state)
{
    struct texts *const texts = *state;

    familiar_free(texts->familiar);
    settings_unref(texts->settings);
    return statement_global_done() == 0 ? 0 : -1;
}

static void
test_text_that_comes_again(void **state)
{
    struct texts *const texts = *state;
    const struct statement *const first = come(texts, texts->settings, "select 1", true);
    const struct statement *second;

    assert_true(statement_is_draft(first));
    assert_ptr_equal(come(texts, texts->settings, "select 1", false), first);
    second = come(texts, texts->settings, "select 1", true);
    assert_false(statement_is_draft(second));
    assert_ptr_equal(come(texts, texts->settings, "select 1", true), second);
    assert_true(statement_is_draft(come(texts, texts->settings, "select 2", true)));
}

static void
test_other_settings_are_another_text(void **state)
{
    struct texts *const texts = *state;
    struct settings *other = settings_empty();

    assert_int_equal(settings_put(&other, "DateStyle", "SQL"), 0);
    (void)come(texts, texts->settings, "select 1", true);
    assert_true(statement_is_draft(come(texts, other, "select 1", true)));
    assert_false(statement_is_draft(come(texts, other, "select 1", true)));
    settings_unref(other);
}

/* Many come, and the places are as many as before; nobody is taken for somebody else. */
static void
test_many_texts(void **state)
{
    struct texts *const texts = *state;
    char text[32];

    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(text, sizeof text, "select %u", i % 2500);
        (void)come(texts, texts->settings, text, true);
    }
}

static void
test_long_text_is_not_kept(void **state)
{
    static char text[FAMILIAR_TEXT_MAX + 1];
    struct texts *const texts = *state;
    struct statement *statement;

    memset(text, 't', sizeof text - 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            familiar_get(&texts->familiar, texts->settings, text, sizeof text, true, &statement),
            0);
        assert_true(statement_is_draft(statement));
        statement_unref(statement);
    }
}

static void
test_memory_ends(void **state)
{
    struct texts *const texts = *state;

    for (int again = 0; again < 2; again++) {
        struct statement *statement;
        int r = -1;

        for (long limit = 0; r < 0; limit++) {
            fake_memory_limit(limit);
            r = familiar_get(&texts->familiar, texts->settings, "select 1", 9, true, &statement);
            (void)fake_memory_unlimit();
        }
        assert_int_equal(statement_is_draft(statement), again == 0);
        statement_unref(statement);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_text_that_comes_again),
        TEST(test_other_settings_are_another_text),
        TEST(test_many_texts),
        TEST(test_long_text_is_not_kept),
        TEST(test_memory_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
