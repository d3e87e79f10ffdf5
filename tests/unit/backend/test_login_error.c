/*
 * test_login_error.c - libpq's error messages, taken apart.
 */
#include "backend_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PREFIX "connection to server at \"10.0.0.1\", port 5432 failed: "

static void
expect(const char *text, const char *sqlstate, const char *message, bool from_server)
{
    struct backend_error error;

    login_error_parse(&error, text, "08001");
    assert_string_equal(error.sqlstate, sqlstate);
    assert_string_equal(error.message, message);
    assert_int_equal(error.from_server, from_server);
    assert_int_equal(error.retry_at, 0);
}

static void
test_server_error(void **state)
{
    (void)state;
    expect(PREFIX "FATAL:  3D000: database \"x\" does not exist\n"
                  "LOCATION:  InitPostgres, postinit.c:1024\n",
           "3D000", "database \"x\" does not exist", true);
    expect(PREFIX "FATAL:  28P01: password authentication failed for user \"a\"", "28P01",
           "password authentication failed for user \"a\"", true);
}

/* Only the SQLSTATE tells; what is around it may be in any language, or look like one. */
static void
test_other_language(void **state)
{
    (void)state;
    expect("Verbindung zum Server: SCHWERWIEGEND:  53300: zu viele Verbindungen: 40001: nein\n"
           "ORT:  X, y.c:1\n",
           "53300", "zu viele Verbindungen: 40001: nein", true);
}

static void
test_network_error(void **state)
{
    (void)state;
    expect(PREFIX "Connection refused\n\tIs the server running on that host?\n", "08001",
           PREFIX "Connection refused Is the server running on that host?", false);
    expect("", "08001", "", false);
    expect("odd:  3d000: small\x01letters:  ABC: 12345:  123456: x", "08001",
           "odd: 3d000: small letters: ABC: 12345: 123456: x", false);
}

/* With and without TLS: what says more than "not this way" is kept. */
static void
test_two_answers(void **state)
{
    (void)state;
    expect(PREFIX "FATAL:  28P01: wrong password\nLOCATION:  a\n" PREFIX
                  "FATAL:  28000: no pg_hba.conf entry, no encryption\nLOCATION:  b\n",
           "28P01", "wrong password", true);
    expect(PREFIX "FATAL:  28000: no pg_hba.conf entry, SSL encryption\nLOCATION:  a\n" PREFIX
                  "FATAL:  3D000: no such database\nLOCATION:  b\n",
           "3D000", "no such database", true);
    expect(PREFIX "FATAL:  28000: first\n" PREFIX "FATAL:  28000: second\n", "28000", "second",
           true);
}

static void
test_transient(void **state)
{
    struct backend_error error;

    (void)state;
    login_error_parse(&error, "FATAL:  57P03: the database system is starting up\n", "08006");
    assert_true(error.transient);
    login_error_parse(&error, "FATAL:  28P01: wrong\n", "08006");
    assert_false(error.transient);
    login_error_parse(&error, "server closed the connection unexpectedly\n", "08006");
    assert_false(error.transient);
    assert_string_equal(error.sqlstate, "08006");
}

static void
test_long_text_is_cut(void **state)
{
    char text[3000];
    struct backend_error error;

    (void)state;
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    login_error_parse(&error, text, "08006");
    assert_int_equal(strlen(error.message), sizeof(error.message) - 1);
    backend_error_set(&error, "08006", "%s", text);
    assert_int_equal(strlen(error.message), sizeof(error.message) - 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_error),  cmocka_unit_test(test_other_language),
        cmocka_unit_test(test_network_error), cmocka_unit_test(test_two_answers),
        cmocka_unit_test(test_transient),     cmocka_unit_test(test_long_text_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
