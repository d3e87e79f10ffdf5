/*
 * test_sql.c - tokens, and which commands are recognised.
 */
#include "sql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "macros.h"

static const struct sql_dialect standard;

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
        {"'it''s;'x", SQL_OTHER, NULL, "x"},
        {"'\\'x", SQL_OTHER, NULL, "x"},
        {"'open", SQL_OTHER, NULL, ""},
        {"E'\\';'x", SQL_OTHER, NULL, "x"},
        {"e'a' \n --b\n '\\';' x", SQL_OTHER, NULL, " x"},
        {"e'a' '\\'", SQL_OTHER, NULL, " '\\'"},
        {"E'open\\", SQL_OTHER, NULL, ""},
        {"n'a;'x", SQL_OTHER, NULL, "x"},
        {"x'1;'x", SQL_OTHER, NULL, "x"},
        {"U&\"d;\"x", SQL_OTHER, NULL, "x"},
        {"u&'\\'x", SQL_OTHER, NULL, "x"},
        {"u&1", SQL_WORD, "u", "&1"},
        {"a'b'", SQL_WORD, "a", "'b'"},
        {"$$a;$b$$x", SQL_OTHER, NULL, "x"},
        {"$a1$;$a$;$a1$x", SQL_OTHER, NULL, "x"},
        {"$a$ open", SQL_OTHER, NULL, ""},
        {"$1", SQL_OTHER, NULL, "1"},
        {"$1$", SQL_OTHER, NULL, "1$"},
        {"$a b$", SQL_OTHER, NULL, "a b$"},
        {"1a", SQL_OTHER, NULL, "a"},
        {"-1", SQL_OTHER, NULL, "1"},
        {"/1", SQL_OTHER, NULL, "1"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *pos = cases[i].text;
        struct sql_token token;

        sql_next(&pos, &standard, &token);
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
    sql_next(&pos, &standard, &token);
    assert_int_equal(strlen(token.text), SQL_WORD_MAX - 1);
    assert_int_equal(*pos, '\0');
}

/* Where the server takes a backslash for an escape. */
static void
test_escapes(void **state)
{
    static const struct sql_dialect old = {.escapes = true};
    static const char *const texts[] = {"'a\\';b' x", "n'a\\';b' x", "'a\\\\' x"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const char *pos = texts[i];
        struct sql_token token;

        sql_next(&pos, &old, &token);
        assert_string_equal(pos, " x");
    }
}

static const struct {
    const char *text;
    enum sql_effect effect;
    const char *name;
    const char *behind; /* its name, up to the end of the command */
} commands[] = {
    {"select 1", SQL_NOTHING, NULL, NULL},
    {"", SQL_NOTHING, NULL, NULL},
    {"select 1; deallocate x", SQL_NOTHING, NULL, NULL},
    {"\"deallocate\" x", SQL_NOTHING, NULL, NULL},
    {"deallocated", SQL_NOTHING, NULL, NULL},
    {"deallocate x", SQL_FORGETS, "x", ""},
    {"DEALLOCATE _pg3_0", SQL_FORGETS, "_pg3_0", ""},
    {"/* a */ Deallocate -- b\n X ; ;", SQL_FORGETS, "x", ""},
    {"deallocate prepare x", SQL_FORGETS, "x", ""},
    {"deallocate prepare", SQL_FORGETS, "prepare", ""},
    {"deallocate prepare;", SQL_FORGETS, "prepare", ""},
    {"deallocate \"Big Name\"", SQL_FORGETS, "Big Name", ""},
    {"deallocate \"all\"", SQL_FORGETS, "all", ""},
    {"deallocate prepare \"all\"", SQL_FORGETS, "all", ""},
    {"deallocate all", SQL_FORGETS_MORE, NULL, NULL},
    {"deallocate prepare all", SQL_FORGETS_MORE, NULL, NULL},
    {"deallocate x; select 1", SQL_FORGETS_MORE, NULL, NULL},
    {"deallocate x y", SQL_FORGETS_MORE, NULL, NULL},
    {"deallocate", SQL_FORGETS_MORE, NULL, NULL},
    {"deallocate 1", SQL_FORGETS_MORE, NULL, NULL},
    {"discard all", SQL_FORGETS_MORE, NULL, NULL},
    {"discard plans", SQL_FORGETS_MORE, NULL, NULL},
    {"prepare a as select 1", SQL_PREPARES, "a", " as select 1"},
    {"Prepare A (int, numeric(10,2)) AS select $1;;", SQL_PREPARES, "a",
     " (int, numeric(10,2)) AS select $1"},
    {"prepare \"A b\"as select ';', $$;$$ -- ;", SQL_PREPARES, "A b", "as select ';', $$;$$"},
    {"prepare transaction 'x'", SQL_NOTHING, NULL, NULL},
    {"prepare transaction as select 1", SQL_PREPARES, "transaction", " as select 1"},
    {"prepare a as select 1; select 2", SQL_NOTHING, NULL, NULL},
    {"prepare a as values (E'\\'; x')", SQL_PREPARES, "a", " as values (E'\\'; x')"},
    {"prepare a (int as select 1", SQL_NOTHING, NULL, NULL},
    {"prepare \"\" as select 1", SQL_NOTHING, NULL, NULL},
    {"prepare U&\"a\" as select 1", SQL_NOTHING, NULL, NULL},
    {"prepare a", SQL_NOTHING, NULL, NULL},
    {"prepare", SQL_NOTHING, NULL, NULL},
    {"execute a", SQL_EXECUTES, "a", ""},
    {"EXECUTE a(1, 'x;y') ;", SQL_EXECUTES, "a", "(1, 'x;y')"},
    {"execute a; execute b", SQL_NOTHING, NULL, NULL},
    {"execute", SQL_NOTHING, NULL, NULL},
    {"explain execute a (1)", SQL_EXECUTES, "a", " (1)"},
    {"explain analyze verbose execute a", SQL_EXECUTES, "a", ""},
    {"explain (analyze, format json) execute a", SQL_EXECUTES, "a", ""},
    {"explain select 1", SQL_NOTHING, NULL, NULL},
    {"explain", SQL_NOTHING, NULL, NULL},
    {"create table t as execute a(1) with no data", SQL_EXECUTES, "a", "(1) with no data"},
    {"create temp table if not exists s.t (a, b) on commit drop as execute a", SQL_EXECUTES, "a",
     ""},
    {"create local temporary table t as execute a", SQL_EXECUTES, "a", ""},
    {"create table t as select 1", SQL_NOTHING, NULL, NULL},
    {"create table t (a int)", SQL_NOTHING, NULL, NULL},
    {"create trigger t after insert on x execute function f()", SQL_NOTHING, NULL, NULL},
    {"create function f() returns int as 'execute a'", SQL_NOTHING, NULL, NULL},
};

static void
test_commands(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        const char *const text = commands[i].text;
        struct sql_command command;

        sql_recognise(text, &standard, &command);
        assert_int_equal(command.effect, commands[i].effect);
        assert_true(command.effect == SQL_NOTHING || sql_may_matter(text));
        if (commands[i].name == NULL)
            continue;
        assert_string_equal(command.name, commands[i].name);
        assert_int_equal(command.end - command.name_end, strlen(commands[i].behind));
        assert_memory_equal(command.name_end, commands[i].behind, strlen(commands[i].behind));
    }
}

/* A backslash in it may be half of a letter. */
static void
test_opaque_letters(void **state)
{
    static const struct sql_dialect opaque = {.opaque = true};
    struct sql_command command;

    (void)state;
    sql_recognise("prepare a as select '\x83\x5c'", &opaque, &command);
    assert_int_equal(command.effect, SQL_NOTHING);
    sql_recognise("prepare a as select 'a'", &opaque, &command);
    assert_int_equal(command.effect, SQL_PREPARES);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),         cmocka_unit_test(test_long_word_is_cut),
        cmocka_unit_test(test_escapes),        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_opaque_letters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
