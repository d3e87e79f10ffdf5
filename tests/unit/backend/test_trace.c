/*
 * test_trace.c - parameter names from libpq's trace.
 */
#include "backend_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
expect_names(const struct trace *trace, const char *expected)
{
    char names[512] = "";

    for (const char *n = trace_next_name(trace, NULL); n != NULL; n = trace_next_name(trace, n)) {
        strncat(names, n, sizeof(names) - strlen(names) - 1);
        strncat(names, " ", sizeof(names) - strlen(names) - 1);
    }
    assert_string_equal(names, expected);
}

static const char login[] = "F\t72\tStartupMessage\t 3 0\n"
                            "B\t8\tAuthentication\t 0\n"
                            "B\t22\tParameterStatus\t \"application_name\" \"\"\n"
                            "B\t25\tParameterStatus\t \"client_encoding\" \"UTF8\"\n"
                            "F\t9\tPasswordMessage\t \"B\tParameterStatus\t \"\"\n"
                            "B\t12\tBackendKeyData\t 1234 -5678\n"
                            "B\t25\tParameterStatus\t \"client_encoding\" \"LATIN1\"\n"
                            "B\t5\tReadyForQuery\t I\n";

static void
test_names(void **state)
{
    struct trace trace = {.file = NULL};

    (void)state;
    expect_names(&trace, "");
    trace_feed(&trace, login, strlen(login));
    expect_names(&trace, "application_name client_encoding ");
    trace_done(&trace);
    expect_names(&trace, "");
}

static void
test_key(void **state)
{
    struct trace trace = {.file = NULL};

    (void)state;
    trace_feed(&trace, login, strlen(login));
    assert_int_equal(trace.pid, 1234);
    assert_int_equal(trace.key, -5678);
    trace_done(&trace);
    assert_int_equal(trace.pid, 0);
    assert_int_equal(trace.key, 0);
}

static void
test_in_pieces(void **state)
{
    struct trace trace = {.file = NULL};

    (void)state;
    for (size_t i = 0; i < strlen(login); i++)
        trace_feed(&trace, login + i, 1);
    expect_names(&trace, "application_name client_encoding ");
    trace_done(&trace);
}

/* A long value does not matter; a name that does not end where we still look is no name. */
static void
test_long_lines(void **state)
{
    static const char begin[] = "B\t999\tParameterStatus\t \"search_path\" \"";
    static const char bad[] = "\"\nB\t999\tParameterStatus\t \"";
    struct trace trace = {.file = NULL};
    char filler[1000];

    (void)state;
    memset(filler, 'x', sizeof(filler));
    trace_feed(&trace, begin, strlen(begin));
    trace_feed(&trace, filler, sizeof(filler));
    trace_feed(&trace, bad, strlen(bad));
    trace_feed(&trace, filler, sizeof(filler));
    trace_feed(&trace, "\" \"\"\n", 5);
    trace_feed(&trace, login, strlen(login));
    expect_names(&trace, "search_path application_name client_encoding ");
    trace_done(&trace);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_in_pieces),
        cmocka_unit_test(test_long_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
