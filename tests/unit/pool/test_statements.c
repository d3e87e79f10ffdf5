/*
 * test_statements.c - when two statements are the same, and what they are called.
 */
#include "statement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "settings.h"

/* Of a name on servers: a hash in hexadecimal digits. */
#define NAME_LEN (STATEMENT_PREFIX_LEN + 16)

/* The same in every process, so it is written down here. */
static void
test_name_stays_the_same(void **state)
{
    struct settings *settings = settings_empty();
    struct statement *statement;
    size_t len;

    (void)state;
    assert_int_equal(settings_put(&settings, "client_encoding", "UTF8"), 0);
    assert_int_equal(statement_get(settings, STATEMENT_PARSED, "select 1\0\0", 11, &statement), 0);
    assert_string_equal(statement_name(statement, &len), "pgweir_2766fc31e0025035");
    assert_int_equal(len, NAME_LEN);
    statement_unref(statement);
    settings_unref(settings);
    assert_int_equal(statement_global_done(), 0);
}

static void
test_same_text_is_one_statement(void **state)
{
    struct settings *iso = settings_empty(), *sql = settings_empty();
    struct statement *a, *b, *c, *d;

    (void)state;
    assert_int_equal(settings_put(&iso, "DateStyle", "ISO"), 0);
    assert_int_equal(settings_put(&sql, "DateStyle", "SQL"), 0);
    assert_int_equal(statement_get(iso, STATEMENT_PARSED, "select\0\0", 9, &a), 0);
    assert_int_equal(statement_get(iso, STATEMENT_PARSED, "select\0\0", 9, &b), 0);
    assert_int_equal(statement_get(sql, STATEMENT_PARSED, "select\0\0", 9, &c), 0);
    assert_int_equal(statement_get(iso, STATEMENT_PARSED, "select\0\0\1\0\0\0\x17", 13, &d), 0);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_ptr_not_equal(a, d);
    statement_unref(a);
    statement_unref(c);
    statement_unref(d);
    assert_int_equal(statement_global_done(), 1);
    statement_unref(b);
    assert_int_equal(statement_global_done(), 0);
    settings_unref(iso);
    settings_unref(sql);
}

/* The same each time, and another kind of name than those of statements. */
static void
test_nowhere(void **state)
{
    size_t len, again;
    const char *const name = statement_nowhere(&len);

    (void)state;
    assert_memory_equal(name, STATEMENT_PREFIX, STATEMENT_PREFIX_LEN);
    assert_int_equal(len, strlen(name));
    assert_int_equal(len, STATEMENT_PREFIX_LEN + 32);
    assert_string_equal(statement_nowhere(&again), name);
    assert_int_equal(again, len);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name_stays_the_same),
        cmocka_unit_test(test_same_text_is_one_statement),
        cmocka_unit_test(test_nowhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
