/*
 * The grammar: each text and the sections, keys and complaints that come of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "config_int.h"
#include "fixture.h"

static int
record_section(void *arg, const struct place *place, const char *name)
{
    return buf_printf(arg, "%u[%s] ", place->line, name);
}

static int
record_key(void *arg, const struct place *place, const char *name, char *value)
{
    return buf_printf(arg, "%u(%s=%s) ", place->line, name, value);
}

static const struct ini_handler recorder = {record_section, record_key};

/* What text reads as; errors are printed behind it. */
static void
expect(struct fixture *f, const char *text, const char *events, const char *said)
{
    CLEANUP(buf_done) struct buf seen = BUF_INIT;
    CLEANUP(ini_done)
    struct ini ini = {.handler = &recorder, .arg = &seen, .errors = &f->errors};

    fixture_write("t.ini", text);
    config_errors_done(&f->errors);
    assert_int_equal(ini_parse(&ini, "t.ini"), 0);
    fixture_print(f);
    assert_string_equal(buf_str(&seen), events);
    assert_string_equal(f->said, said);
}

static void
test_grammar(void **state)
{
    static const struct {
        const char *text, *events;
    } cases[] = {
        {"", ""},
        {"\n\n  \n", ""},
        {"; one\n  # two\n", ""},
        {"[a]\nx = 1\n", "1[a] 2(x=1) "},
        {"  [a]\n\tx\t=\t1\n", "1[a] 2(x=1) "},
        {"[a] x=1", "1[a] 1(x=1) "},
        {"[a][b]", "1[a] 1[b] "},
        {"[]", "1[] "},
        {"x=", "1(x=) "},
        {"x=\ny=2", "1(x=) 2(y=2) "},
        {"x = a b ; no comment \r\n", "1(x=a b ; no comment) "},
        {"a.b-c_d*9=1\n*=2", "1(a.b-c_d*9=1) 2(*=2) "},
        {"'odd name' = host=x", "1(odd name=host=x) "},
        {"'it''s'=1", "1(it's=1) "},
        {"''=1", "1(=1) "},
        {"x==", "1(x==) "},
        {"x=1\n;c\n\n y=2", "1(x=1) 4(y=2) "},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect(*state, cases[i].text, cases[i].events, "");
}

static void
test_syntax_errors_are_skipped(void **state)
{
    static const char complaint[] = "syntax error: neither [section] nor key = value";
    static const char *const bad[] = {"nothing",     "= 1", "two words = 1", "'open = 1",
                                      "'a' 'b' = 1", "a",   "\"a\" = 1",     "%include",
                                      "\xff\xfe=1",  "a!=1"};
    char text[64], said[128];

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        (void)snprintf(text, sizeof(text), "\n%s\ny=2\n", bad[i]);
        (void)snprintf(said, sizeof(said), "t.ini:2: %s\n", complaint);
        expect(*state, text, "3(y=2) ", said);
    }
    expect(*state, "[a\nx=1\n]\n", "2(x=1) ",
           "t.ini:1: syntax error: \"[\" without \"]\"\n"
           "t.ini:3: syntax error: neither [section] nor key = value\n");
}

static void
test_include(void **state)
{
    fixture_write("b.ini", "y=2\n[c]\n");
    expect(*state, "x=1\n%include b.ini \nz=3\n", "1(x=1) 1(y=2) 2[c] 3(z=3) ", "");
    expect(*state, "%include\tb.ini", "1(y=2) 2[c] ", "");
    fixture_write("b.ini", "oops");
    expect(*state, "%include b.ini\nx=1", "2(x=1) ",
           "b.ini:1: syntax error: neither [section] nor key = value\n");
    expect(*state, "\n%include none.ini\nx=1", "3(x=1) ",
           "t.ini:2: could not read \"none.ini\": No such file or directory\n");
}

static void
test_include_of_itself(void **state)
{
    expect(*state, "x=1\n%include t.ini\ny=2\n", "1(x=1) 3(y=2) ",
           "t.ini:2: \"t.ini\" includes itself\n");
    fixture_write("b.ini", "%include ./t.ini\n");
    expect(*state, "%include b.ini\n%include b.ini\n", "",
           "b.ini:1: \"./t.ini\" includes itself\nb.ini:1: \"./t.ini\" includes itself\n");
}

/* t.ini -> 1.ini -> ... -> 11.ini, of which the last is one too many. */
static void
test_include_depth(void **state)
{
    char name[16], text[32];

    for (int i = 1; i <= 11; i++) {
        (void)snprintf(name, sizeof(name), "%d.ini", i);
        (void)snprintf(text, sizeof(text), "k%d=\n%%include %d.ini\n", i, i + 1);
        fixture_write(name, text);
    }
    expect(*state, "%include 1.ini\n",
           "1(k1=) 1(k2=) 1(k3=) 1(k4=) 1(k5=) 1(k6=) 1(k7=) 1(k8=) 1(k9=) 1(k10=) ",
           "10.ini:2: \"11.ini\" is included too deeply; 10 files is the limit\n");
}

static void
test_binary_file(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_done) struct buf seen = BUF_INIT;
    CLEANUP(ini_done)
    struct ini ini = {.handler = &recorder, .arg = &seen, .errors = &f->errors};
    FILE *file = fopen("b.ini", "w");

    assert_non_null(file);
    assert_int_equal(fwrite("x=1\0y=2\n", 1, 8, file), 8);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(ini_parse(&ini, "b.ini"), 0);
    assert_int_equal(ini_parse(&ini, "."), 0);
    fixture_print(f);
    assert_string_equal(f->said, "could not read \"b.ini\": it is not a text file\n"
                                 "could not read \".\": Is a directory\n");
}

/* Pairs as they are taken off text, then what ended them. */
static void
expect_pairs(const char *text, const char *expected)
{
    CLEANUP(buf_done) struct buf seen = BUF_INIT;
    CLEANUP(free) char *copy = strdup(text);
    char *rest = copy, *value;
    const char *key;
    int r;

    while ((r = pairs_next(&rest, &key, &value)) > 0)
        assert_int_equal(buf_printf(&seen, "%s(%s) ", key, value), 0);
    if (r < 0)
        assert_int_equal(buf_append_str(&seen, key), 0);
    assert_string_equal(buf_str(&seen), expected);
}

static void
test_pairs(void **state)
{
    (void)state;
    expect_pairs("", "");
    expect_pairs("  ", "");
    expect_pairs("a=1", "a(1) ");
    expect_pairs(" a = 1  b\t=\t2 ", "a(1) b(2) ");
    expect_pairs("a='x y' b='it''s' c='='", "a(x y) b(it's) c(=) ");
    expect_pairs("a='x'b=2", "a(x) b(2) ");
    expect_pairs("a=b=c", "a(b=c) ");
    expect_pairs("a", "syntax error: key=value expected");
    expect_pairs("a=1 b", "a(1) syntax error: key=value expected");
    expect_pairs("=1", "syntax error: key=value expected");
    expect_pairs("a=", "an empty value is not allowed");
    expect_pairs("a=''", "an empty value is not allowed");
    expect_pairs("a='x", "syntax error: a quote does not end");
    expect_pairs("a='x''", "syntax error: a quote does not end");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_grammar),       fixture_test(test_syntax_errors_are_skipped),
        fixture_test(test_include),       fixture_test(test_include_of_itself),
        fixture_test(test_include_depth), fixture_test(test_binary_file),
        cmocka_unit_test(test_pairs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
