/*
 * Which value is in force: that of the user, of the database, or the general one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

static const char text[] = "[pgbouncer]\n"
                           "auth_type = any\n"
                           "pool_mode = statement\n"
                           "default_pool_size = 20\n"
                           "reserve_pool_size = 3\n"
                           "min_pool_size = 2\n"
                           "server_lifetime = 3600\n"
                           "query_wait_timeout = 120\n"
                           "query_timeout = 7\n"
                           "client_idle_timeout = 9\n"
                           "max_db_connections = 50\n"
                           "max_user_connections = 60\n"
                           "max_db_client_connections = 70\n"
                           "max_user_client_connections = 80\n"
                           "server_tls_sslmode = require\n"
                           "server_tls_ca_file = /ca\n"
                           "[databases]\n"
                           "plain = user=x\n"
                           "zero = user=x pool_size=0 reserve_pool=0 min_pool_size=0 "
                           "server_lifetime=0 query_wait_timeout=0 max_db_connections=0 "
                           "max_db_client_connections=0\n"
                           "own = user=x pool_size=5 reserve_pool_size=1 min_pool_size=4 "
                           "server_lifetime=1min query_wait_timeout=500ms max_db_connections=8 "
                           "max_db_client_connections=9 pool_mode=transaction "
                           "server_tls_sslmode=disable server_tls_ca_file=/own\n"
                           "[users]\n"
                           "plain = \n"
                           "zero = pool_size=0 reserve_pool_size=0 query_wait_timeout=0 "
                           "query_timeout=0 client_idle_timeout=0 max_user_connections=0 "
                           "max_user_client_connections=0\n"
                           "own = pool_size=6 reserve_pool_size=2 query_wait_timeout=3 "
                           "query_timeout=4 client_idle_timeout=5 max_user_connections=10 "
                           "max_user_client_connections=11 pool_mode=session "
                           "transaction_timeout=1 idle_transaction_timeout=2\n";

static int
setup(void **state)
{
    struct fixture *f;

    if (fixture_setup(state) < 0)
        return -1;
    f = *state;
    if (fixture_load(f, text) < 0)
        fail_msg("%s", f->said);
    return 0;
}

static void
test_pool_mode(void **state)
{
    const struct config *config = ((struct fixture *)*state)->config;
    const struct config_database *db = config_find_database(config, "own");
    const struct config_user *user = config_find_user(config, "own");

    assert_int_equal(config_pool_mode(config, NULL, NULL), POOL_STATEMENT);
    assert_int_equal(config_pool_mode(config, db, NULL), POOL_TRANSACTION);
    assert_int_equal(config_pool_mode(config, NULL, user), POOL_SESSION);
    assert_int_equal(config_pool_mode(config, db, user), POOL_SESSION);
    assert_int_equal(config_pool_mode(config, config_find_database(config, "plain"),
                                      config_find_user(config, "plain")),
                     POOL_STATEMENT);
}

/* 0 is a value of its own. */
static void
test_sizes(void **state)
{
    const struct config *config = ((struct fixture *)*state)->config;
    const struct config_database *plain = config_find_database(config, "plain");
    const struct config_database *zero = config_find_database(config, "zero");
    const struct config_database *own = config_find_database(config, "own");
    const struct config_user *user_zero = config_find_user(config, "zero");
    const struct config_user *user_own = config_find_user(config, "own");

    assert_int_equal(config_pool_size(config, NULL, NULL), 20);
    assert_int_equal(config_pool_size(config, plain, NULL), 20);
    assert_int_equal(config_pool_size(config, zero, NULL), 0);
    assert_int_equal(config_pool_size(config, own, NULL), 5);
    assert_int_equal(config_pool_size(config, own, user_own), 6);
    assert_int_equal(config_pool_size(config, own, user_zero), 0);
    assert_int_equal(config_reserve_pool_size(config, plain, NULL), 3);
    assert_int_equal(config_reserve_pool_size(config, zero, NULL), 0);
    assert_int_equal(config_reserve_pool_size(config, own, user_own), 2);
    assert_int_equal(config_min_pool_size(config, plain), 2);
    assert_int_equal(config_min_pool_size(config, zero), 0);
    assert_int_equal(config_min_pool_size(config, own), 4);
}

/* 0 means as in the general section. */
static void
test_limits(void **state)
{
    const struct config *config = ((struct fixture *)*state)->config;
    const struct config_database *zero = config_find_database(config, "zero");
    const struct config_database *own = config_find_database(config, "own");
    const struct config_user *user_zero = config_find_user(config, "zero");
    const struct config_user *user_own = config_find_user(config, "own");

    assert_int_equal(config_max_db_connections(config, NULL), 50);
    assert_int_equal(config_max_db_connections(config, zero), 50);
    assert_int_equal(config_max_db_connections(config, own), 8);
    assert_int_equal(config_max_db_client_connections(config, zero), 70);
    assert_int_equal(config_max_db_client_connections(config, own), 9);
    assert_int_equal(config_max_user_connections(config, NULL), 60);
    assert_int_equal(config_max_user_connections(config, user_zero), 60);
    assert_int_equal(config_max_user_connections(config, user_own), 10);
    assert_int_equal(config_max_user_client_connections(config, user_zero), 80);
    assert_int_equal(config_max_user_client_connections(config, user_own), 11);
}

static void
test_times(void **state)
{
    const struct config *config = ((struct fixture *)*state)->config;
    const struct config_database *zero = config_find_database(config, "zero");
    const struct config_database *own = config_find_database(config, "own");
    const struct config_user *user_zero = config_find_user(config, "zero");
    const struct config_user *user_own = config_find_user(config, "own");

    assert_int_equal(config_server_lifetime(config, zero), 3600 * SEC);
    assert_int_equal(config_server_lifetime(config, own), 60 * SEC);
    assert_int_equal(config_query_wait_timeout(config, NULL, NULL), 120 * SEC);
    assert_int_equal(config_query_wait_timeout(config, zero, NULL), 0);
    assert_int_equal(config_query_wait_timeout(config, own, NULL), 500 * MSEC);
    assert_int_equal(config_query_wait_timeout(config, own, user_own), 3 * SEC);
    assert_int_equal(config_query_wait_timeout(config, own, user_zero), 0);
    assert_int_equal(config_query_timeout(config, user_zero), 7 * SEC);
    assert_int_equal(config_query_timeout(config, user_own), 4 * SEC);
    assert_int_equal(config_client_idle_timeout(config, NULL), 9 * SEC);
    assert_int_equal(config_client_idle_timeout(config, user_own), 5 * SEC);
    assert_int_equal(config_transaction_timeout(config, NULL), 0);
    assert_int_equal(config_transaction_timeout(config, user_own), SEC);
    assert_int_equal(config_idle_transaction_timeout(config, user_own), 2 * SEC);
}

static void
test_tls(void **state)
{
    const struct config *config = ((struct fixture *)*state)->config;
    const struct config_database *own = config_find_database(config, "own");

    assert_int_equal(config_server_tls_sslmode(config, NULL), TLS_REQUIRE);
    assert_int_equal(config_server_tls_sslmode(config, own), TLS_DISABLE);
    assert_string_equal(config_server_tls_ca_file(config, NULL), "/ca");
    assert_string_equal(config_server_tls_ca_file(config, own), "/own");
    assert_string_equal(config_server_tls_key_file(config, own), "");
}

#define effective_test(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        effective_test(test_pool_mode), effective_test(test_sizes), effective_test(test_limits),
        effective_test(test_times),     effective_test(test_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
