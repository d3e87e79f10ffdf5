/*
 * test_forget.c - pools and databases that nobody uses any more.
 */
#include "fixture.h"

#include "engine_int.h"
#include "pool.h"
#include "snapshot.h"

#define AUTO "[databases]\n* = host=10.0.0.1\n[pgbouncer]\n"

static size_t
pool_count(struct fixture *f)
{
    return map_count(&f->engine->registry.pools);
}

static size_t
database_count(struct fixture *f)
{
    return map_count(&f->engine->registry.databases);
}

static void
leave(struct peer *client)
{
    peer_send(client, 'X', NULL);
    peer_expect_end(client);
}

static void
round_trip(struct peer *client, struct peer *server)
{
    peer_send(client, 'Q', "select 1");
    peer_expect(server, 'Q', "select 1");
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect_types(client, "CZ");
}

static void
expect_closed(struct peer *server)
{
    peer_expect(server, 'X', NULL);
    peer_expect_end(server);
}

/* Neither a client nor a server alone lets a pool be forgotten. */
static void
test_pool_idle_timeout(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "pool_idle_timeout = 10\nserver_idle_timeout = 60\n", &client, &server);
    fixture_advance(f, 50 * SEC);
    assert_int_equal(pool_count(f), 1);
    fixture_advance(f, 20 * SEC);
    expect_closed(server);
    fixture_advance(f, HOUR);
    assert_int_equal(pool_count(f), 1);
    leave(client);
    fixture_advance(f, 8 * SEC);
    assert_int_equal(pool_count(f), 1);
    fixture_advance(f, 4 * SEC);
    assert_int_equal(pool_count(f), 0);
    assert_int_equal(database_count(f), 1); /* the file names it */
    client = fixture_knock(f, "db", "alice");
    server = fixture_serve(f);
    peer_expect_login(client);
    round_trip(client, server);
}

static void
test_pools_stay_by_default(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    leave(client);
    fixture_advance(f, 24 * HOUR);
    assert_int_equal(pool_count(f), 1);
}

static void
test_minimum_keeps_a_pool(void **state)
{
    struct fixture *f = *state;

    fixture_start(f, "pool_idle_timeout = 10\n"
                     "[databases]\ndb = host=10.0.0.1 user=bob min_pool_size=1\n");
    fixture_refuse(f, "08001", "no route", false, false);
    fixture_advance(f, HOUR);
    assert_int_equal(pool_count(f), 1);
}

static void
test_several_shards_leave(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "worker_threads = 3\npool_shards = 3\npool_idle_timeout = 10\n", &client,
                  &server);
    leave(client);
    fixture_advance(f, 11 * MINUTE);
    assert_int_equal(pool_count(f), 0);
    assert_true(list_empty(&f->engine->registry.leaving));
}

static void
test_autodb_idle_timeout(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "autodb_idle_timeout = 100\nserver_idle_timeout = 10\n" AUTO);
    client = fixture_knock(f, "new", "alice");
    server = fixture_serve(f);
    peer_expect_login(client);
    fixture_advance(f, 200 * SEC);
    peer_expect(server, 'X', NULL);
    assert_int_equal(database_count(f), 1);
    leave(client);
    fixture_advance(f, 90 * SEC);
    assert_int_equal(database_count(f), 1);
    fixture_advance(f, 15 * SEC);
    assert_int_equal(pool_count(f), 0);
    fixture_advance(f, 2 * SEC);
    assert_int_equal(database_count(f), 0);
}

static void
test_paused_autodb_stays(void **state)
{
    struct fixture *f = *state;
    struct engine_drain drain = {.done = NULL};

    fixture_start(f, "autodb_idle_timeout = 100\n" AUTO);
    assert_int_equal(engine_pause(f->engine, "new", &drain), ENGINE_OK);
    engine_drain_cancel(&drain);
    fixture_advance(f, HOUR);
    assert_int_equal(database_count(f), 1);
    assert_int_equal(engine_resume(f->engine, "new"), ENGINE_OK);
    fixture_advance(f, 90 * SEC);
    assert_int_equal(database_count(f), 1);
    fixture_advance(f, 12 * SEC);
    assert_int_equal(database_count(f), 0);
}

/* What has left the file is gone as soon as its connections are. */
static void
test_database_leaves_the_file(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "[databases]\nmore = host=10.0.0.7\n");
    client = fixture_knock(f, "more", "alice");
    server = fixture_serve(f);
    peer_expect_login(client);
    round_trip(client, server);
    fixture_reload(f, "");
    peer_expect_error(client, "FATAL", "57P01", "database removed");
    peer_expect_end(client);
    expect_closed(server);
    fixture_advance(f, 2 * SEC);
    assert_int_equal(pool_count(f), 0);
    fixture_advance(f, 2 * SEC);
    assert_int_equal(database_count(f), 0);
}

struct stats_request {
    struct snapshot_request request;
    uint64_t queries;
};

static void
take_stats(struct snapshot_request *request, struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->database_count; i++)
        ((struct stats_request *)request)->queries += snapshot->databases[i].total.queries;
    snapshot_free(snapshot);
}

static uint64_t
count_queries(struct fixture *f)
{
    struct stats_request stats = {.request = {.done = take_stats, .what = SNAPSHOT_STATS}};

    engine_snapshot(f->engine, &stats.request);
    fixture_settle(f);
    return stats.queries;
}

/* Counters do not go back. */
static void
test_counters_of_a_forgotten_pool(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "pool_idle_timeout = 10\n", &client, &server);
    round_trip(client, server);
    round_trip(client, server);
    assert_int_equal(count_queries(f), 2);
    leave(client);
    fixture_advance(f, 11 * MINUTE);
    assert_int_equal(pool_count(f), 0);
    assert_int_equal(count_queries(f), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pool_idle_timeout),        TEST(test_pools_stay_by_default),
        TEST(test_minimum_keeps_a_pool),     TEST(test_several_shards_leave),
        TEST(test_autodb_idle_timeout),      TEST(test_paused_autodb_stays),
        TEST(test_database_leaves_the_file), TEST(test_counters_of_a_forgotten_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
