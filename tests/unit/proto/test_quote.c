/*
 * test_quote.c - literals and identifiers.
 */
#include "quote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"

struct quoting {
    const char *text;
    const char *quoted;
};

static void
check(int (*quote)(struct buf *buf, const char *text), const struct quoting *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CLEANUP(buf_done) struct buf buf = BUF_INIT;

        assert_int_equal(buf_append_str(&buf, "SET x="), 0);
        assert_int_equal(quote(&buf, cases[i].text), 0);
        assert_string_equal(buf_str(&buf) + 6, cases[i].quoted);
    }
}

static void
test_literals(void **state)
{
    static const struct quoting cases[] = {
        {"", "''"},
        {"plain \"text\"", "'plain \"text\"'"},
        {"'", "''''"},
        {"it's 'so'", "'it''s ''so'''"},
        {"\xc3\xa9", "'\xc3\xa9'"},
        {"\\", " E'\\\\'"},
        {"a\\b'c\\", " E'a\\\\b''c\\\\'"},
        {"\\'; DROP TABLE x; --", " E'\\\\''; DROP TABLE x; --'"},
    };

    (void)state;
    check(quote_literal, cases, ARRAY_SIZE(cases));
}

/* 0x83 0x5c is one character in SJIS: the backslash in it must not become the first of two. */
static void
test_backslash_in_a_character_escapes_nothing(void **state)
{
    static const struct quoting cases[] = {
        {"\x83\\", " E'\x83\\134'"},
        {"\x83\\'", " E'\x83\\134'''"},
        {"\x83\\\\", " E'\x83\\134\\\\'"},
    };

    (void)state;
    check(quote_literal, cases, ARRAY_SIZE(cases));
}

static void
test_identifiers(void **state)
{
    static const struct quoting cases[] = {
        {"", "\"\""},       {"DateStyle", "\"DateStyle\""}, {"it's \\", "\"it's \\\""},
        {"\"", "\"\"\"\""}, {"a\"b\"", "\"a\"\"b\"\"\""},
    };

    (void)state;
    check(quote_ident, cases, ARRAY_SIZE(cases));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_backslash_in_a_character_escapes_nothing),
        cmocka_unit_test(test_identifiers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
