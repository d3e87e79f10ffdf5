/*
 * test_policy.c - what the configuration says about one pool, and when its servers still fit.
 */
#include "fixture.h"

#include "backend.h"
#include "engine_int.h"
#include "policy.h"
#include "pool.h"

static const struct policy *
policy_of(struct fixture *f, const char *database, const char *user)
{
    return fixture_pool(f, database, user)->policy;
}

static void
test_values_come_from_file_database_and_user(void **state)
{
    struct fixture *f = *state;
    const struct policy *policy;

    fixture_start(f, "default_pool_size = 7\nreserve_pool_size = 2\nmin_pool_size = 1\n"
                     "max_db_connections = 50\nmax_user_connections = 40\nquery_timeout = 9\n"
                     "[databases]\ndb = host=10.0.0.1 pool_size=8 pool_mode=session "
                     "max_db_connections=60 server_lifetime=77\n"
                     "[users]\nbob = pool_size=9 pool_mode=statement query_timeout=3\n");
    (void)fixture_knock(f, "db", "alice");
    (void)fixture_knock(f, "db", "bob");
    (void)fixture_knock(f, "two", "alice");
    policy = policy_of(f, "two", "alice");
    assert_int_equal(policy->size, 7);
    assert_int_equal(policy->mode, POOL_TRANSACTION);
    assert_int_equal(policy->reserve, 2);
    assert_int_equal(policy->min_size, 1);
    assert_int_equal(policy->max_db_connections, 50);
    assert_int_equal(policy->max_user_connections, 40);
    assert_int_equal(policy->query_timeout, 9 * SEC);
    policy = policy_of(f, "db", "alice");
    assert_int_equal(policy->size, 8);
    assert_int_equal(policy->mode, POOL_SESSION);
    assert_int_equal(policy->max_db_connections, 60);
    assert_int_equal(policy->server_lifetime, 77 * SEC);
    policy = policy_of(f, "db", "bob");
    assert_int_equal(policy->size, 9);
    assert_int_equal(policy->mode, POOL_STATEMENT);
    assert_int_equal(policy->query_timeout, 3 * SEC);
}

static void
test_one_target_a_host(void **state)
{
    struct fixture *f = *state;
    const struct policy *policy;

    fixture_start(f, "unix_socket_dir = /run/pg\n[databases]\n"
                     "db = host='10.0.0.1, /tmp, @abstract' port=6000 dbname=real\n"
                     "two = port=7000\n");
    (void)fixture_knock(f, "db", "alice");
    (void)fixture_knock(f, "two", "alice");
    policy = policy_of(f, "db", "alice");
    assert_int_equal(policy->target_count, 3);
    assert_string_equal(policy->targets[0]->host, "10.0.0.1");
    assert_string_equal(policy->targets[1]->host, "/tmp");
    assert_string_equal(policy->targets[2]->host, "@abstract");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(policy->targets[i]->port, 6000);
        assert_string_equal(policy->targets[i]->dbname, "real");
        assert_string_equal(policy->targets[i]->user, "alice");
    }
    policy = policy_of(f, "two", "alice");
    assert_int_equal(policy->target_count, 1);
    assert_string_equal(policy->targets[0]->host, "/run/pg");
    assert_string_equal(policy->targets[0]->dbname, "two");
}

static void
test_queries(void **state)
{
    struct fixture *f = *state;
    const struct policy *policy;

    fixture_start(f, "server_reset_query =\n[databases]\n"
                     "db = host=10.0.0.1 connect_query='select ''x'''\n");
    (void)fixture_knock(f, "db", "alice");
    policy = policy_of(f, "db", "alice");
    assert_string_equal(policy->check_query, ""); /* <empty> */
    assert_null(policy->reset_query);
    assert_string_equal(policy->connect_query, "select 'x'");
}

/* Which changes of the file make the servers of a pool obsolete. */
static void
test_generation(void **state)
{
    static const struct {
        const char *text;
        bool obsolete;
    } steps[] = {
        {"[databases]\ndb = host=10.0.0.1 port=5432\n", false}, /* as the base says */
        {"default_pool_size = 3\nquery_timeout = 4\nserver_lifetime = 5\n", false},
        {"pool_mode = session\n", false},
        {"[databases]\ndb = host=10.0.0.1 password=new\n", false},
        {"[databases]\ndb = host=10.0.0.2\n", true},
        {"[databases]\ndb = host=10.0.0.2 port=6000\n", true},
        {"[databases]\ndb = host=10.0.0.2 port=6000 dbname=other\n", true},
        {"[databases]\ndb = host=10.0.0.2 port=6000 dbname=other timezone=CET\n", true},
        {"[databases]\ndb = host=10.0.0.2,10.0.0.3 port=6000 dbname=other timezone=CET\n", true},
        {"[databases]\ndb = host=10.0.0.1 connect_query='select 1'\n", true},
        {"server_tls_sslmode = disable\n[databases]\ndb = host=10.0.0.1 connect_query='select 1'\n",
         true},
        {"server_tls_protocols = tlsv1.3\n[databases]\ndb = host=10.0.0.1\n", true},
        {"server_tls_protocols = tlsv1.3\n[databases]\n"
         "db = host=10.0.0.1 server_tls_protocols=tlsv1.2\n",
         true},
        {"[databases]\ndb = host=10.0.0.1 server_tls_protocols=tlsv1.2\n", false},
    };
    struct fixture *f = *state;
    unsigned generation;

    fixture_start(f, "");
    (void)fixture_knock(f, "db", "alice");
    generation = policy_of(f, "db", "alice")->generation;
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        fixture_reload(f, steps[i].text);
        if ((policy_of(f, "db", "alice")->generation != generation) != steps[i].obsolete)
            fail_msg("%s after: %s", steps[i].obsolete ? "fit" : "obsolete", steps[i].text);
        generation = policy_of(f, "db", "alice")->generation;
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_values_come_from_file_database_and_user),
        TEST(test_one_target_a_host),
        TEST(test_queries),
        TEST(test_generation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
