/*
 * test_peers.c - a cancel request whose key is another pooler's goes on to that one, and what
 * another passes on to us finds its client.
 */
#include "fixture.h"

#include <errno.h>

#include "peer_key.h"
#include "pg.h"

#define PEERS                                                                                      \
    "[peers]\n"                                                                                    \
    "1 = host=10.0.0.1\n"                                                                          \
    "2 = host=10.0.0.2 port=7000 pool_size=3\n"

static const char two[] = "peer_id = 1\ncancel_wait_timeout = 7\n" PEERS;

/* A cancel request with this key comes in. */
static struct peer *
send_key(struct fixture *f, const char *key, size_t len)
{
    struct peer asker = {.fixture = f, .key_len = len};

    memcpy(asker.key, key, len);
    return fixture_cancel(&asker);
}

/* A key of another pooler, for so many hops. */
static void
make_key(char *key, size_t len, int id, unsigned hops)
{
    memset(key, 0x55, len);
    peer_key_mark(key, id);
    peer_key_set_hops(key, hops);
}

static struct peer *
send_key_of(struct fixture *f, int id, unsigned hops)
{
    char key[8];

    make_key(key, sizeof(key), id, hops);
    return send_key(f, key, sizeof(key));
}

static void
test_keys_name_their_pooler(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "peer_id = 16383\n", &client, &server);
    assert_int_equal(client->key_len, 8);
    assert_int_equal(peer_key_id(client->key), 16383);
    assert_int_equal(peer_key_hops(client->key), 3);
    assert_int_equal(client->key[0] & 0x80, 0);
}

/* Whoever passed it on has counted a hop; a key of 3.0 and one of 3.2. */
static void
test_passed_on_to_us(void **state)
{
    static const char *const parameters[] = {"user", "alice", "database", "db", NULL};
    struct fixture *f = *state;
    struct peer *client, *newer, *server;

    fixture_begin(f, two, &client, &server);
    newer = fixture_connect(f);
    fixture_send_startup(newer, PG_PROTOCOL(3, 2), parameters);
    peer_expect_login(newer);
    assert_int_equal(newer->key_len, 36);
    for (struct peer *each = client; each != NULL; each = each == client ? newer : NULL) {
        peer_send(each, 'Q', "select 1");
        peer_expect_types(server, "Q");
        peer_key_set_hops(each->key, 1);
        (void)fixture_cancel(each);
        assert_int_equal(fake_connector_cancelling(f->connector), 1);
        fake_connector_finish_cancel(f->connector, 0);
        peer_send_complete(server, "SELECT 1", 'I');
        peer_expect_types(each, "CZ");
        peer_expect_types(server, "S");
        peer_send_ready(server, 'I');
        fixture_settle(f);
    }
    assert_null(fake_connector_forwarded(f->connector));
}

static void
test_passed_on_to_a_peer(void **state)
{
    struct fixture *f = *state;
    const struct forward_request *request;
    struct peer *asker;
    char key[8];

    fixture_start(f, two);
    make_key(key, sizeof(key), 2, 3);
    asker = send_key(f, key, sizeof(key));
    request = fake_connector_forwarded(f->connector);
    assert_non_null(request);
    assert_string_equal(request->host, "10.0.0.2");
    assert_int_equal(request->port, 7000);
    assert_int_equal(request->peer, 2);
    assert_int_equal(request->limit, 3);
    assert_int_equal(request->patience, 7 * SEC);
    assert_int_equal(request->len, 16);
    assert_int_equal(pg_get_uint32(request->packet), 16);
    assert_int_equal(pg_get_uint32(request->packet + 4), PG_CANCEL_REQUEST);
    peer_key_set_hops(key, 2);
    assert_memory_equal(request->packet + 8, key, sizeof(key));
    peer_expect_silence(asker); /* who may go on only when it is through */
    fake_connector_finish_forward(f->connector, 0);
    peer_expect_end(asker);
}

static void
test_long_key(void **state)
{
    struct fixture *f = *state;
    const struct forward_request *request;
    char key[36];

    fixture_start(f, two);
    make_key(key, sizeof(key), 2, 1);
    (void)send_key(f, key, sizeof(key));
    request = fake_connector_forwarded(f->connector);
    assert_non_null(request);
    assert_int_equal(request->len, 44);
    peer_key_set_hops(key, 0);
    assert_memory_equal(request->packet + 8, key, sizeof(key));
    fake_connector_finish_forward(f->connector, 0);
    fixture_settle(f);
}

/* default_pool_size is the limit of a peer that has none; and no request waits for ever. */
static void
test_limits(void **state)
{
    struct fixture *f = *state;

    fixture_start(f, "peer_id = 2\ndefault_pool_size = 5\ncancel_wait_timeout = 0\n" PEERS);
    (void)send_key_of(f, 1, 3);
    assert_int_equal(fake_connector_forwarded(f->connector)->patience, 15 * SEC);
    assert_int_equal(fake_connector_forwarded(f->connector)->limit, 5);
    assert_int_equal(fake_connector_forwarded(f->connector)->port, 6432);
    fake_connector_finish_forward(f->connector, 0);
    fixture_settle(f);
}

static void
expect_not_passed_on(struct fixture *f, int id, unsigned hops)
{
    struct peer *const asker = send_key_of(f, id, hops);

    assert_null(fake_connector_forwarded(f->connector));
    peer_expect_end(asker);
}

static void
test_not_passed_on(void **state)
{
    struct fixture *f = *state;

    fixture_start(f, two);
    expect_not_passed_on(f, 2, 0); /* has travelled enough */
    expect_not_passed_on(f, 3, 3); /* nobody knows that one */
    expect_not_passed_on(f, 1, 3); /* it would be our own */
}

static void
test_who_has_no_peers(void **state)
{
    struct fixture *f = *state;

    fixture_start(f, PEERS);
    expect_not_passed_on(f, 2, 3);
}

/* The cancel goes on without who has asked for it. */
static void
test_asker_leaves(void **state)
{
    struct fixture *f = *state;
    struct peer *asker;

    fixture_start(f, two);
    asker = send_key_of(f, 2, 3);
    peer_close(asker);
    fixture_settle(f);
    assert_non_null(fake_connector_forwarded(f->connector));
    fake_connector_finish_forward(f->connector, 0);
    fixture_settle(f);
}

static void
test_peer_cannot_be_reached(void **state)
{
    struct fixture *f = *state;
    struct peer *asker;

    fixture_start(f, two);
    asker = send_key_of(f, 2, 3);
    fake_connector_finish_forward(f->connector, -ECONNREFUSED);
    peer_expect_end(asker);
}

/* With a reload the request keeps what it needs of the file before. */
static void
test_reload_while_under_way(void **state)
{
    struct fixture *f = *state;
    struct peer *asker;

    fixture_start(f, two);
    asker = send_key_of(f, 2, 3);
    fixture_reload(f, "");
    fixture_settle(f);
    assert_string_equal(fake_connector_forwarded(f->connector)->host, "10.0.0.2");
    fake_connector_finish_forward(f->connector, 0);
    peer_expect_end(asker);
    expect_not_passed_on(f, 2, 3);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_keys_name_their_pooler),
        TEST(test_passed_on_to_us),
        TEST(test_passed_on_to_a_peer),
        TEST(test_long_key),
        TEST(test_limits),
        TEST(test_not_passed_on),
        TEST(test_who_has_no_peers),
        TEST(test_asker_leaves),
        TEST(test_peer_cannot_be_reached),
        TEST(test_reload_while_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
