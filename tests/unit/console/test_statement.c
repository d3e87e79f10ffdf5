/* The console's grammar, which is PgBouncer's. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "macros.h"
#include "statement.h"

#define LONG15 "abcdefghijklmno"
#define LONG63 LONG15 LONG15 LONG15 LONG15 "abc"

static const struct {
    const char *sql;
    enum statement_result result;
    const char *command, *arg, *value; /* value NULL: no SET */
} cases[] = {
    {"show pools", STATEMENT_OK, "show", "pools", NULL},
    {"  SHOW\t\n pools \r\n ; \n", STATEMENT_OK, "SHOW", "pools", NULL},
    {"PAUSE", STATEMENT_OK, "PAUSE", "", NULL},
    {"PAUSE;", STATEMENT_OK, "PAUSE", "", NULL},
    {"PAUSE \"my \"\"odd\"\" db\";", STATEMENT_OK, "PAUSE", "my \"odd\" db", NULL},
    {"\"show\" \"pools\"", STATEMENT_OK, "show", "pools", NULL},
    {"kill_client 4711", STATEMENT_OK, "kill_client", "4711", NULL},
    {"set", STATEMENT_OK, "set", "", NULL},
    {"set key", STATEMENT_OK, "set", "key", NULL},
    {"set key=1", STATEMENT_OK, "set", "key", "1"},
    {"set key = 1.5;", STATEMENT_OK, "set", "key", "1.5"},
    {"SET key TO 500ms", STATEMENT_OK, "SET", "key", "500ms"},
    {"set key to 'it''s; so'", STATEMENT_OK, "set", "key", "it's; so"},
    {"set key = ''", STATEMENT_OK, "set", "key", ""},
    {"set key = \"two words\"", STATEMENT_OK, "set", "key", "two words"},
    {"", STATEMENT_EMPTY, NULL, NULL, NULL},
    {" ; ", STATEMENT_EMPTY, NULL, NULL, NULL},
    {";;", STATEMENT_SYNTAX, NULL, NULL, NULL},
    {"show pools clients", STATEMENT_SYNTAX, NULL, NULL, NULL},
    {"show pools; show clients", STATEMENT_SYNTAX, NULL, NULL, NULL},
    {"pause db;;", STATEMENT_SYNTAX, NULL, NULL, NULL},
    {"pause my-db", STATEMENT_SYNTAX, NULL, NULL, NULL},
    {"pause \"open", STATEMENT_SYNTAX, NULL, NULL, NULL},
    {"pause\"db\"", STATEMENT_SYNTAX, NULL, NULL, NULL},
    {"set key =", STATEMENT_SYNTAX, NULL, NULL, NULL},
    {"set key tomorrow", STATEMENT_SYNTAX, NULL, NULL, NULL},
    {"set key = 'open", STATEMENT_SYNTAX, NULL, NULL, NULL},
    {"set key = 1 2", STATEMENT_SYNTAX, NULL, NULL, NULL},
    {"select 1+1", STATEMENT_SYNTAX, NULL, NULL, NULL},
    {"-- comment", STATEMENT_EMPTY, NULL, NULL, NULL},
    {"/* a */ show/* b */pools -- c\n; /* d", STATEMENT_OK, "show", "pools", NULL},
    {"set key = '-- 1'", STATEMENT_OK, "set", "key", "-- 1"},
    {"-", STATEMENT_SYNTAX, NULL, NULL, NULL},
    {LONG15, STATEMENT_OK, LONG15, "", NULL},
    {LONG15 "p", STATEMENT_TOO_LONG, NULL, NULL, NULL},
    {"pause " LONG63, STATEMENT_OK, "pause", LONG63, NULL},
    {"pause " LONG63 "d", STATEMENT_TOO_LONG, NULL, NULL, NULL},
    {"pause \"" LONG63 "d\"", STATEMENT_TOO_LONG, NULL, NULL, NULL},
    {"set k = " LONG63 LONG63 LONG63 LONG63 "abc", STATEMENT_OK, "set", "k",
     LONG63 LONG63 LONG63 LONG63 "abc"},
    {"set k = " LONG63 LONG63 LONG63 LONG63 "abcd", STATEMENT_TOO_LONG, NULL, NULL, NULL},
    {"set k = '" LONG63 LONG63 LONG63 LONG63 "abcd'", STATEMENT_TOO_LONG, NULL, NULL, NULL},
};

static void
test_grammar(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct statement statement = {.arg = "untouched"};
        const enum statement_result result = statement_parse(cases[i].sql, &statement);

        if (result != cases[i].result)
            print_error("%s\n", cases[i].sql);
        assert_int_equal(result, cases[i].result);
        if (result != STATEMENT_OK) {
            assert_string_equal(statement.arg, "untouched");
            continue;
        }
        assert_string_equal(statement.command, cases[i].command);
        assert_string_equal(statement.arg, cases[i].arg);
        assert_int_equal(statement.is_set, cases[i].value != NULL);
        assert_string_equal(statement.value, cases[i].value != NULL ? cases[i].value : "");
    }
}

/* Whatever a statement is cut off at, it is read no further. */
static void
test_truncated(void **state)
{
    static const char sql[] = "set \"some key\" to 'it''s a value';";
    char part[sizeof(sql)];
    struct statement statement;

    (void)state;
    for (size_t len = 0; len < sizeof(sql); len++) {
        char *end = part + sizeof(part) - len - 1; /* ends where the array ends: ASan looks */

        memcpy(end, sql, len);
        end[len] = '\0';
        (void)statement_parse(end, &statement);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_truncated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
