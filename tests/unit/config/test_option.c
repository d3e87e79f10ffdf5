/*
 * Each type of value: what is taken, how it prints, what is refused and why.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "buf.h"
#include "config_int.h"
#include "fixture.h"

static int
setup(void **state)
{
    *state = config_new();
    return *state != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
    config_unref(*state);
    return 0;
}

static void
expect_good(struct config *config, const char *key, const char *text, const char *printed)
{
    CLEANUP(buf_done) struct buf why = BUF_INIT;
    CLEANUP(buf_done) struct buf shown = BUF_INIT;
    const struct option *row = option_find(&option_table, key);

    assert_non_null(row);
    if (option_parse(row, text, config, &why) < 0)
        fail_msg("%s = %s: %s", key, text, buf_str(&why));
    assert_int_equal(option_format(row, config, &shown), 0);
    assert_string_equal(buf_str(&shown), printed);
}

/* The field keeps its value. */
static void
expect_bad(struct config *config, const char *key, const char *text, const char *complaint)
{
    CLEANUP(buf_done) struct buf why = BUF_INIT;
    CLEANUP(buf_done) struct buf before = BUF_INIT;
    CLEANUP(buf_done) struct buf after = BUF_INIT;
    const struct option *row = option_find(&option_table, key);

    assert_non_null(row);
    assert_int_equal(option_format(row, config, &before), 0);
    assert_int_equal(option_parse(row, text, config, &why), -EINVAL);
    assert_string_equal(buf_str(&why), complaint);
    assert_int_equal(option_format(row, config, &after), 0);
    assert_string_equal(buf_str(&after), buf_str(&before));
}

static void
test_numbers(void **state)
{
    struct config *config = *state;

    expect_good(config, "listen_port", "5433", "5433");
    expect_good(config, "listen_port", "0x1000", "4096");
    expect_good(config, "listen_port", "010", "8");
    assert_int_equal(config->listen_port, 8);
    expect_bad(config, "listen_port", "", "\"\" is not a whole number");
    expect_bad(config, "listen_port", "54 33", "\"54 33\" is not a whole number");
    expect_bad(config, "listen_port", "1.5", "\"1.5\" is not a whole number");
    expect_bad(config, "listen_port", "0", "0 is out of range (1 to 65535)");
    expect_bad(config, "listen_port", "65536", "65536 is out of range (1 to 65535)");
    expect_bad(config, "max_client_conn", "-1", "-1 is out of range (1 to 2147483647)");
    expect_bad(config, "max_client_conn", "99999999999999999999",
               "99999999999999999999 is out of range (1 to 2147483647)");
}

static void
test_auto(void **state)
{
    struct config *config = *state;

    expect_good(config, "worker_threads", "4", "4");
    assert_int_equal(config->worker_threads, 4);
    expect_good(config, "worker_threads", "Auto", "auto");
    assert_int_equal(config->worker_threads, 0);
    expect_bad(config, "worker_threads", "0", "0 is out of range (1 to 1024)");
    expect_bad(config, "worker_threads", "many", "\"many\" is not a whole number");
}

static void
test_booleans(void **state)
{
    struct config *config = *state;

    expect_good(config, "server_round_robin", "on", "1");
    assert_true(config->server_round_robin);
    expect_good(config, "server_round_robin", "0", "0");
    expect_good(config, "server_round_robin", "YES", "1");
    expect_bad(config, "server_round_robin", "2", "\"2\" is neither 0 nor 1");
    expect_bad(config, "server_round_robin", "", "\"\" is neither 0 nor 1");
}

static void
test_times(void **state)
{
    struct config *config = *state;

    expect_good(config, "query_timeout", "1.5", "1.5");
    assert_int_equal(config->query_timeout, 1500 * MSEC);
    expect_good(config, "query_timeout", "500ms", "0.5");
    expect_good(config, "query_timeout", "5min", "300");
    expect_good(config, "query_timeout", "2h", "7200");
    expect_good(config, "tcp_user_timeout", "1500", "1500");
    assert_int_equal(config->tcp_user_timeout, 1500 * MSEC);
    expect_good(config, "tcp_user_timeout", "3s", "3000");
    expect_bad(config, "query_timeout", "soon",
               "\"soon\" is no time; 1.5, 500ms, 30s, 5min or 2h is one");
    expect_bad(config, "query_timeout", "-1", "-1 is out of range (0 to 3153600000)");
    expect_bad(config, "stats_period", "0", "0 is out of range (1 to 3153600000)");
}

static void
test_sizes(void **state)
{
    struct config *config = *state;

    expect_good(config, "tcp_socket_buffer", "4096", "4096");
    expect_good(config, "tcp_socket_buffer", "64kB", "65536");
    assert_int_equal(config->tcp_socket_buffer, 65536);
    expect_bad(config, "tcp_socket_buffer", "4GB", "4GB is out of range (0 to 2147483647)");
    expect_bad(config, "tcp_socket_buffer", "big", "\"big\" is no size; 4096, 64kB or 1MB is one");
}

static void
test_modes(void **state)
{
    struct config *config = *state;

    expect_good(config, "unix_socket_mode", "0770", "504");
    assert_int_equal(config->unix_socket_mode, 0770);
    expect_good(config, "unix_socket_mode", "511", "511");
    expect_bad(config, "unix_socket_mode", "777",
               "777 is no file mode; 0777 is the most, and octal begins with a 0");
    expect_bad(config, "unix_socket_mode", "0888", "\"0888\" is not a whole number");
}

static void
test_words(void **state)
{
    struct config *config = *state;

    expect_good(config, "pool_mode", "Transaction", "transaction");
    assert_int_equal(config->pool_mode, POOL_TRANSACTION);
    expect_good(config, "syslog_facility", "local7", "local7");
    assert_int_equal(config->syslog_facility, LOG_LOCAL7);
    expect_bad(config, "pool_mode", "transacion",
               "\"transacion\" is none of session, transaction, statement; "
               "did you mean \"transaction\"?");
    expect_bad(config, "pool_mode", "", "\"\" is none of session, transaction, statement");
    expect_bad(config, "auth_type", "trst",
               "\"trst\" is none of any, trust, plain, md5, scram-sha-256, cert, peer, hba, pam, "
               "ldap; did you mean \"trust\"?");
}

static void
test_strings_and_lists(void **state)
{
    struct config *config = *state;

    expect_good(config, "server_check_query", "select 1; -- x", "select 1; -- x");
    expect_good(config, "server_check_query", "", "");
    expect_good(config, "listen_addr", "127.0.0.1, ::1", "127.0.0.1, ::1");
    expect_good(config, "server_tls_protocols", "tlsv1.2, TLSv1.3", "tlsv1.2, TLSv1.3");
    expect_bad(config, "server_tls_protocols", "tlsv1.2, sslv3",
               "\"sslv3\" is none of secure, all, legacy, tlsv1.0, tlsv1.1, tlsv1.2, tlsv1.3");
}

static void
test_keyed_lists(void **state)
{
    struct config *config = *state;

    expect_good(config, "client_tls_sslmode", "require, 127.0.0.1=Prefer, ::1 = disable",
                "require, 127.0.0.1=Prefer, ::1 = disable");
    expect_bad(config, "client_tls_sslmode", "::1=requir",
               "\"requir\" is none of disable, allow, prefer, require, verify-ca, verify-full; did "
               "you mean \"require\"?");
    expect_bad(config, "client_tls_sslmode",
               "::1=", "\"\" is none of disable, allow, prefer, require, verify-ca, verify-full");
    expect_bad(config, "client_tls_sslmode", "localhost",
               "\"localhost\" is none of disable, allow, prefer, require, verify-ca, verify-full");
}

static void
test_nearest(void **state)
{
    (void)state;
    assert_string_equal(option_nearest(&option_table, "lisen_port"), "listen_port");
    assert_string_equal(option_nearest(&option_table, "POOL_MODE"), "pool_mode");
    assert_string_equal(option_nearest(&option_table, "max_client_connections"),
                        "max_db_client_connections");
    assert_null(option_nearest(&option_table, "colour"));
    assert_null(option_nearest(&option_table, ""));
    assert_string_equal(option_find(&database_table, "reserve_pool")->name, "reserve_pool_size");
    assert_string_equal(option_find(&option_table, "service_name")->name, "job_name");
}

static void
test_names_of_words(void **state)
{
    (void)state;
    assert_string_equal(pool_mode_name(POOL_STATEMENT), "statement");
    assert_string_equal(tls_mode_name(TLS_VERIFY_FULL), "verify-full");
    assert_string_equal(load_balance_name(LOAD_BALANCE_DISABLE), "disable");
    assert_string_equal(auth_type_name(AUTH_TYPE_ANY), "any");
}

#define value_test(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        value_test(test_numbers),
        value_test(test_auto),
        value_test(test_booleans),
        value_test(test_times),
        value_test(test_sizes),
        value_test(test_modes),
        value_test(test_words),
        value_test(test_strings_and_lists),
        value_test(test_keyed_lists),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_names_of_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
