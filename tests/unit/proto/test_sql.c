/*
 * test_sql.c - tokens, and which texts forget prepared statements.
 */
#include "sql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "macros.h"

static void
test_tokens(void **state)
{
    static const struct {
        const char *text;
        enum sql_kind kind;
        const char *word;
        const char *rest;
    } cases[] = {
        {"", SQL_END, "", ""},
        {" \t\r\n\f\v", SQL_END, "", ""},
        {"-- all of it", SQL_END, "", ""},
        {"--\nselect", SQL_WORD, "select", ""},
        {"/* a /* b */ c */x", SQL_WORD, "x", ""},
        {"/* open", SQL_END, "", ""},
        {"SeLeCt 1", SQL_WORD, "select", " 1"},
        {"a$1_b(", SQL_WORD, "a$1_b", "("},
        {"\"A \"\"b\"\"\"x", SQL_WORD, "A \"b\"", "x"},
        {"\"open", SQL_OTHER, NULL, ""},
        {"\xc3\x84rger;", SQL_WORD, "\xc3\x84rger", ";"},
        {";x", SQL_SEMICOLON, "", "x"},
        {"'text'", SQL_OTHER, NULL, "text'"},
        {"E'text'", SQL_OTHER, NULL, "'text'"},
        {"U&\"d\"", SQL_OTHER, NULL, "\"d\""},
        {"1a", SQL_OTHER, NULL, "a"},
        {"-1", SQL_OTHER, NULL, "1"},
        {"/1", SQL_OTHER, NULL, "1"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *pos = cases[i].text;
        struct sql_token token;

        sql_next(&pos, &token);
        assert_int_equal(token.kind, cases[i].kind);
        if (cases[i].word != NULL)
            assert_string_equal(token.text, cases[i].word);
        assert_string_equal(pos, cases[i].rest);
    }
}

static void
test_long_word_is_cut(void **state)
{
    char text[200];
    const char *pos = text;
    struct sql_token token;

    (void)state;
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    sql_next(&pos, &token);
    assert_int_equal(strlen(token.text), SQL_WORD_MAX - 1);
    assert_int_equal(*pos, '\0');
}

static void
test_effects(void **state)
{
    static const struct {
        const char *text;
        enum sql_effect effect;
        const char *name;
    } cases[] = {
        {"select 1", SQL_NOTHING, NULL},
        {"", SQL_NOTHING, NULL},
        {"select 1; deallocate x", SQL_NOTHING, NULL},
        {"\"deallocate\" x", SQL_NOTHING, NULL},
        {"deallocated", SQL_NOTHING, NULL},
        {"deallocate x", SQL_FORGETS, "x"},
        {"DEALLOCATE _pg3_0", SQL_FORGETS, "_pg3_0"},
        {"/* a */ Deallocate -- b\n X ; ;", SQL_FORGETS, "x"},
        {"deallocate prepare x", SQL_FORGETS, "x"},
        {"deallocate prepare", SQL_FORGETS, "prepare"},
        {"deallocate prepare;", SQL_FORGETS, "prepare"},
        {"deallocate \"Big Name\"", SQL_FORGETS, "Big Name"},
        {"deallocate \"all\"", SQL_FORGETS, "all"},
        {"deallocate prepare \"all\"", SQL_FORGETS, "all"},
        {"deallocate all", SQL_FORGETS_MORE, NULL},
        {"deallocate prepare all", SQL_FORGETS_MORE, NULL},
        {"deallocate x; select 1", SQL_FORGETS_MORE, NULL},
        {"deallocate x y", SQL_FORGETS_MORE, NULL},
        {"deallocate", SQL_FORGETS_MORE, NULL},
        {"deallocate 1", SQL_FORGETS_MORE, NULL},
        {"discard all", SQL_FORGETS_MORE, NULL},
        {"discard plans", SQL_FORGETS_MORE, NULL},
    };
    char name[SQL_WORD_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(sql_effect(cases[i].text, name), cases[i].effect);
        if (cases[i].name != NULL)
            assert_string_equal(name, cases[i].name);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_long_word_is_cut),
        cmocka_unit_test(test_effects),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
