/*
 * test_sharing.c - a pool in shards on several workers: one limit, one queue as far as it matters,
 * servers that move.
 */
#include "fixture.h"

#include "engine_int.h"
#include "pg.h"
#include "pool.h"
#include "registry.h"

/* A client on each shard of a pool, in the order of the shards, and one idle server on the first.
 */
static void
begin_shards(struct fixture *f, const char *text, struct peer **clients, unsigned count,
             struct peer **ret_server)
{
    fixture_start(f, text);
    clients[0] = fixture_knock(f, "db", "alice");
    *ret_server = fixture_serve(f);
    peer_expect_login(clients[0]);
    for (unsigned i = 1; i < count; i++)
        clients[i] = fixture_login(f, "db", "alice");
    assert_int_equal(atomic_load(&fixture_pool(f, "db", "alice")->shard_count), count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(atomic_load(&fixture_pool(f, "db", "alice")->shards[i]->client_count), 1);
}

static const char two_shards[] = "worker_threads = 2\npool_shards = 2\n"
                                 "default_pool_size = 1\nquery_wait_notify = 0\n";

static void
begin_transaction(struct peer *client, struct peer *server)
{
    peer_begin(client, server);
}

static void
end_transaction(struct peer *client, struct peer *server)
{
    peer_commit(client, server);
}

/* Who waits on the one shard is given the idle server of the other, and no new one is opened. */
static void
test_idle_server_moves(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[2], *server;

    begin_shards(f, two_shards, clients, 2, &server);
    for (unsigned i = 0; i < 6; i++) {
        begin_transaction(clients[i % 2], server);
        end_transaction(clients[i % 2], server);
    }
    assert_int_equal(fake_connector_counts(f->connector).connects, 1);
}

/* The bound is the pool's, not the shard's. */
static void
test_limit_is_the_pools(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[2], *server;

    begin_shards(f, two_shards, clients, 2, &server);
    begin_transaction(clients[0], server);
    peer_send(clients[1], 'Q', "select 1");
    fixture_advance(f, MINUTE);
    assert_int_equal(fake_connector_pending(f->connector), 0);
    peer_expect_silence(clients[1]);
    end_transaction(clients[0], server);
    peer_expect(server, 'Q', "select 1");
    peer_expect_silence(clients[0]);
}

/* Who has waited longer elsewhere comes first. */
static void
test_oldest_waiter_of_all_shards(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[2], *more[2], *server;

    begin_shards(f, two_shards, clients, 2, &server);
    for (unsigned i = 0; i < 2; i++)
        more[i] = fixture_login(f, "db", "alice"); /* on the shards in turn */
    begin_transaction(clients[0], server);
    peer_send(clients[1], 'Q', "oldest");
    fixture_advance(f, SEC);
    peer_send(more[0], 'Q', "next");
    fixture_advance(f, SEC);
    peer_send(more[1], 'Q', "last");
    fixture_advance(f, SEC);
    end_transaction(clients[0], server);
    peer_expect(server, 'Q', "oldest");
    peer_send_complete(server, "A", 'I');
    peer_expect(server, 'Q', "next");
    peer_send_complete(server, "B", 'I');
    peer_expect(server, 'Q', "last");
    peer_send_complete(server, "C", 'I');
    peer_expect_types(clients[1], "CZ");
    peer_expect_types(more[0], "CZ");
    peer_expect_types(more[1], "CZ");
}

/* A server that comes back stays for a moment: the waiter elsewhere may get one of its own shard.
 */
static void
test_patience_before_an_idle_server_moves(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[2], *server;

    begin_shards(f, two_shards, clients, 2, &server);
    begin_transaction(clients[0], server);
    peer_send(clients[1], 'Q', "select 1");
    fixture_settle(f);
    end_transaction(clients[0], server);
    fixture_advance(f, 500);
    assert_int_equal(fixture_idle_count(f), 1);
    fixture_advance(f, 500);
    peer_expect(server, 'Q', "select 1");
}

/* When a server ends on one shard, the other may open one in its place. */
static void
test_permit_moves(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[2], *server;

    begin_shards(f, two_shards, clients, 2, &server);
    begin_transaction(clients[0], server);
    peer_send(clients[1], 'Q', "select 1");
    fixture_settle(f);
    peer_close(server);
    server = fixture_serve(f);
    peer_expect(server, 'Q', "select 1");
    peer_expect_silence(clients[1]);
}

/* A client that comes to a shard without a server is welcomed by what another's has told. */
static void
test_welcome_is_the_pools(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[3], *server;

    fixture_start(f, "worker_threads = 3\npool_shards = 3\n");
    for (unsigned i = 0; i < 3; i++)
        clients[i] = fixture_knock(f, "db", "alice");
    for (unsigned i = 0; i < 3; i++)
        peer_expect_silence(clients[i]);
    server = fixture_serve(f);
    for (unsigned i = 0; i < 3; i++)
        peer_expect_login(clients[i]);
    peer_expect_silence(server);
    while (fake_connector_pending(f->connector) > 0)
        (void)fixture_serve(f);
}

static void
test_cancel_across_workers(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[2], *server;

    begin_shards(f, two_shards, clients, 2, &server);
    for (unsigned i = 0; i < 2; i++) {
        peer_send(clients[i], 'Q', "select pg_sleep(60)");
        peer_expect_types(server, "Q");
        (void)fixture_cancel(clients[i]);
        fixture_advance(f, 50 * MSEC); /* the second has waited for a server */
        assert_int_equal(fake_connector_cancelled_pid(f->connector), server->pid);
        peer_send_error(server, "ERROR", "57014", "canceling statement");
        peer_send_ready(server, 'I');
        peer_expect_types(clients[i], "EZ");
        fake_connector_finish_cancel(f->connector, 0);
        peer_expect_types(server, "S");
        peer_send_ready(server, 'I');
        fixture_settle(f);
    }
}

/* A pool gets one more shard: its idle clients spread over both, and go on as before. */
static void
test_pool_is_spread(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[8], *server;
    struct pool *pool;

    fixture_begin(f, "worker_threads = 2\npool_shards = 1\nclient_idle_timeout = 1000\n",
                  &clients[0], &server);
    for (unsigned i = 1; i < 8; i++)
        clients[i] = fixture_login(f, "db", "alice");
    begin_transaction(clients[0], server);
    pool = fixture_pool(f, "db", "alice");
    assert_true(registry_add_shard(&f->engine->registry, pool));
    sharing_spread_clients(pool->shards[0]);
    fixture_settle(f);
    assert_int_equal(atomic_load(&pool->shards[0]->client_count), 4);
    assert_int_equal(atomic_load(&pool->shards[1]->client_count), 4);
    end_transaction(clients[0], server);
    for (unsigned i = 0; i < 8; i++) {
        begin_transaction(clients[i], server);
        (void)fixture_cancel(clients[i]); /* finds nothing to do, but the client */
        end_transaction(clients[i], server);
    }
    assert_int_equal(fake_connector_counts(f->connector).connects, 1);
}

/* What a client has sent when it moves comes along. */
static void
test_half_a_message_moves(void **state)
{
    struct fixture *f = *state;
    struct peer *clients[2], *server;
    struct pool *pool;

    fixture_begin(f, "worker_threads = 2\npool_shards = 1\n", &clients[0], &server);
    clients[1] = fixture_login(f, "db", "alice");
    for (unsigned i = 0; i < 2; i++)
        peer_send_bytes(clients[i], "Q\0\0\0\x0dsel", 8);
    fixture_settle(f);
    pool = fixture_pool(f, "db", "alice");
    assert_true(registry_add_shard(&f->engine->registry, pool));
    sharing_spread_clients(pool->shards[0]);
    fixture_settle(f);
    assert_int_equal(atomic_load(&pool->shards[1]->client_count), 1);
    for (unsigned i = 0; i < 2; i++) {
        peer_send_bytes(clients[i], "ect 1", 6);
        peer_expect(server, 'Q', "select 1");
        peer_send_complete(server, "SELECT 1", 'I');
        peer_expect_types(clients[i], "CZ");
    }
}

static void
test_pause_of_all_shards(void **state)
{
    struct fixture *f = *state;
    struct engine_drain drain = {.done = NULL};
    struct peer *clients[2], *server;

    begin_shards(f, two_shards, clients, 2, &server);
    begin_transaction(clients[1], server);
    assert_int_equal(engine_pause(f->engine, NULL, &drain), ENGINE_OK);
    peer_send(clients[0], 'Q', "select 1");
    fixture_settle(f);
    engine_drain_cancel(&drain);
    end_transaction(clients[1], server);
    peer_expect(server, 'X', NULL);
    peer_expect_silence(clients[0]);
    assert_int_equal(fixture_server_count(f), 0);
    assert_int_equal(engine_resume(f->engine, NULL), ENGINE_OK);
    server = fixture_serve(f);
    peer_expect(server, 'Q', "select 1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_idle_server_moves),
        TEST(test_limit_is_the_pools),
        TEST(test_oldest_waiter_of_all_shards),
        TEST(test_patience_before_an_idle_server_moves),
        TEST(test_permit_moves),
        TEST(test_welcome_is_the_pools),
        TEST(test_cancel_across_workers),
        TEST(test_pool_is_spread),
        TEST(test_half_a_message_moves),
        TEST(test_pause_of_all_shards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
