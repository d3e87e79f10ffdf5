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

    login_error_parse(&error, text, false);
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
    login_error_parse(&error, "FATAL:  57P03: the database system is starting up\n", true);
    assert_true(error.transient);
    login_error_parse(&error, "FATAL:  28P01: wrong\n", true);
    assert_false(error.transient);
    login_error_parse(&error, "server closed the connection unexpectedly\n", true);
    assert_false(error.transient);
    assert_string_equal(error.sqlstate, "08006");
}

static bool
is_hopeless(const char *text, bool accepted)
{
    struct backend_error error;

    login_error_parse(&error, text, accepted);
    return error.hopeless;
}

/* Trying again helps where the network is to blame, or a server that is not ready. */
static void
test_hopeless(void **state)
{
    (void)state;
    assert_true(is_hopeless("FATAL:  28P01: wrong\n", true));
    assert_true(is_hopeless("SSL error: certificate verify failed\n", true));
    assert_true(is_hopeless("server does not support SSL, but SSL was required\n", true));
    assert_true(is_hopeless("incorrect server signature\n", true));
    assert_false(is_hopeless("FATAL:  57P03: starting up\n", true));
    assert_false(is_hopeless("Connection refused\n", false));
    assert_false(is_hopeless("server closed the connection unexpectedly\n\tThis probably", true));
    assert_false(is_hopeless("SSL connection has been closed unexpectedly\n", true));
    assert_false(is_hopeless("SSL SYSCALL error: EOF detected\n", true));
    assert_false(is_hopeless("could not receive data from server: Connection reset", true));
}

static void
expect_no_password(const struct backend_target *target, const char *detail)
{
    struct backend_error error;

    login_error_no_password(&error, target);
    assert_string_equal(error.sqlstate, "28000");
    assert_string_equal(error.message, "server login failed: wrong password type");
    assert_true(error.hopeless);
    assert_non_null(
        strstr(error.detail, "database \"shop\" asks for the password of user \"app\""));
    assert_non_null(strstr(error.detail, detail));
    assert_non_null(strstr(error.hint, ".pgpass"));
}

/* It names what there is, and the ways out. */
static void
test_no_password(void **state)
{
    static char shop[] = "shop", app[] = "app", secret[] = "x";
    struct backend_target target = {.dbname = shop, .user = app};

    (void)state;
    expect_no_password(&target, "none that could be sent");
    target.scram_client_key = target.scram_server_key = secret;
    expect_no_password(&target, "only the client's SCRAM login");
    target.md5_secret = secret;
    expect_no_password(&target, "only an md5 secret");
}

static void
test_long_text_is_cut(void **state)
{
    char text[3000];
    struct backend_error error;

    (void)state;
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    login_error_parse(&error, text, true);
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
        cmocka_unit_test(test_transient),     cmocka_unit_test(test_hopeless),
        cmocka_unit_test(test_no_password),   cmocka_unit_test(test_long_text_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
