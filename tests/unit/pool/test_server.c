/*
 * test_server.c - what the daemon itself asks a server, and when it lets one go.
 */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "pg.h"
#include "pool.h"

static void
round_trip(struct peer *client, struct peer *server)
{
    peer_ask(client, server, "select 1");
    peer_answer(server, client, "SELECT 1", 'I');
}

static void
expect_closed(struct peer *server)
{
    peer_expect(server, 'X', NULL);
    peer_expect_end(server);
}

/* --- after the hand-off
 * ---------------------------------------------------------------------------- */

static void
test_target(void **state)
{
    struct fixture *f = *state;
    const struct backend_target *target;

    fixture_start(f, "server_connect_timeout = 7\nserver_login_retry = 9\n[databases]\n"
                     "db = host=10.1.1.1 port=6000 dbname=real user=app password=x timezone=CET\n");
    (void)fixture_knock(f, "db", "alice");
    target = fake_connector_target(f->connector);
    assert_string_equal(target->host, "10.1.1.1");
    assert_int_equal(target->port, 6000);
    assert_string_equal(target->dbname, "real");
    assert_string_equal(target->user, "app");
    assert_string_equal(target->password, "x");
    assert_string_equal(target->timezone, "CET");
    assert_int_equal(target->connect_timeout, 7 * SEC);
    assert_int_equal(target->login_retry, 9 * SEC);
}

/* The first round trip proves that the stream is in step. */
static void
test_probe(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "");
    client = fixture_knock(f, "db", "alice");
    server = fixture_accept(f);
    peer_expect(server, 'S', NULL);
    peer_expect_silence(client);
    peer_send_ready(server, 'I');
    peer_expect_login(client);
    round_trip(client, server);
}

static void
test_probe_out_of_step(void **state)
{
    static const char *const wrong[] = {"C\0\0\0\5x", "Z\0\0\0\5T", "T\0\0\0\5x", "D\0\0\0\5x"};
    struct fixture *f = *state;
    struct peer *server;

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        fixture_start(f, "");
        (void)fixture_knock(f, "db", "alice");
        server = fixture_accept(f);
        peer_expect(server, 'S', NULL);
        peer_send_bytes(server, wrong[i], 6);
        peer_send_ready(server, 'T');
        fixture_settle(f);
        assert_int_equal(fixture_idle_count(f), 0);
        (void)peer_fill(server);
        assert_true(server->ended);
        fixture_stop(f);
    }
}

/* Whether the log has this text, since log_to_file. */
static bool
log_says(int file, const char *text)
{
    char log[4096] = "";

    assert_true(pread(file, log, sizeof(log) - 1, 0) > 0);
    return strstr(log, text) != NULL;
}

static int
log_to_file(void)
{
    char path[] = "/tmp/test_server.XXXXXX";
    const int file = mkstemp(path);

    assert_true(file >= 0);
    assert_int_equal(
        log_open(&(struct log_options){.file = path, .level = LOG_LEVEL_INFO, .quiet = true}), 0);
    assert_int_equal(unlink(path), 0);
    return file;
}

/* It is in step, and is told to end just then. */
static void
test_server_ends_behind_its_probe(void **state)
{
    struct fixture *f = *state;
    struct peer *server;
    int file;

    fixture_start(f, "");
    (void)fixture_knock(f, "db", "alice");
    server = fixture_accept(f);
    peer_expect(server, 'S', NULL);
    file = log_to_file();
    peer_send_ready(server, 'I');
    peer_send_error(server, "FATAL", "57P01", "terminating connection");
    fixture_settle(f);
    assert_true(log_says(file, " LOG S-"));
    assert_true(log_says(file, "closing because: server conn crashed?: terminating connection"));
    assert_false(log_says(file, "out of step"));
    log_close();
    log_set_level(LOG_LEVEL_FATAL);
    (void)close(file);
}

static void
test_probe_is_not_answered(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "server_connect_timeout = 10\n");
    client = fixture_knock(f, "db", "alice");
    server = fixture_accept(f);
    peer_expect(server, 'S', NULL);
    fixture_advance(f, 10 * SEC - 1);
    peer_expect_silence(server);
    fixture_advance(f, 1);
    peer_expect_end(server);
    peer_expect_silence(client);
    (void)fixture_serve(f); /* another try */
    peer_expect_login(client);
}

static void
test_connect_query(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "[databases]\ndb = host=10.0.0.1 connect_query='set work_mem = 1'\n");
    client = fixture_knock(f, "db", "alice");
    server = fixture_serve(f);
    peer_expect(server, 'Q', "set work_mem = 1");
    peer_expect_silence(client);
    peer_send_complete(server, "SET", 'I');
    peer_expect_login(client);
    round_trip(client, server);
}

static void
test_connect_query_fails(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "[databases]\ndb = host=10.0.0.1 connect_query='set work_mem = 1'\n");
    client = fixture_knock(f, "db", "alice");
    server = fixture_serve(f);
    peer_expect_types(server, "Q");
    peer_send_error(server, "ERROR", "42704", "no such thing");
    peer_send_ready(server, 'I');
    expect_closed(server);
    peer_expect_silence(client);
}

/* --- the check
 * -------------------------------------------------------------------------------------- */

static void
test_check_after_delay(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "server_check_delay = 30\n", &client, &server);
    fixture_advance(f, 30 * SEC - 1);
    round_trip(client, server);
    fixture_advance(f, 30 * SEC);
    peer_send(client, 'Q', "select 1");
    peer_expect_bytes(server, "Q\0\0\0\5", 6); /* <empty> */
    peer_expect_silence(server);
    peer_expect_silence(client);
    peer_send(server, 'I', NULL);
    peer_send_ready(server, 'I');
    peer_expect(server, 'Q', "select 1");
    peer_expect_silence(client);
    peer_answer(server, client, "SELECT 1", 'I');
    assert_int_equal(fake_connector_counts(f->connector).connects, 1);
}

static void
test_check_of_ones_own(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "server_check_delay = 0\nserver_check_query = select 42\n", &client, &server);
    peer_send(client, 'Q', "select 1");
    peer_expect(server, 'Q', "select 42");
    peer_send(server, 'D', "42");
    peer_send_complete(server, "SELECT 1", 'I');
    peer_expect(server, 'Q', "select 1");
    peer_expect_silence(client);
}

static void
test_no_check(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "server_check_delay = 0\nserver_check_query =\n", &client, &server);
    fixture_advance(f, MINUTE);
    round_trip(client, server);
}

static void
test_check_fails(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "server_check_delay = 0\n", &client, &server);
    peer_send(client, 'Q', "select 1");
    peer_expect(server, 'Q', NULL);
    peer_send_error(server, "FATAL", "57P01", "terminating connection");
    peer_close(server);
    server = fixture_serve(f);
    peer_expect(server, 'Q', "select 1");
    peer_expect_silence(client);
}

static void
test_check_is_not_answered(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "server_check_delay = 0\nserver_connect_timeout = 5\nquery_wait_notify = 0\n",
                  &client, &server);
    peer_send(client, 'Q', "select 1");
    peer_expect(server, 'Q', NULL);
    fixture_advance(f, 5 * SEC);
    peer_expect_end(server);
    server = fixture_serve(f);
    peer_expect(server, 'Q', "select 1");
}

/* --- the reset
 * -------------------------------------------------------------------------------------- */

static void
test_reset_always(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "server_reset_query_always = 1\nserver_reset_query = discard temp\n", &client,
                  &server);
    round_trip(client, server);
    peer_expect(server, 'Q', "discard temp");
    assert_int_equal(fixture_idle_count(f), 0);
    peer_send(client, 'Q', "select 2");
    peer_expect_silence(server);
    peer_send_complete(server, "DISCARD", 'I');
    peer_expect(server, 'Q', "select 2");
    peer_expect_silence(client);
}

static void
test_no_reset(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "pool_mode = session\nserver_reset_query =\n", &client, &server);
    round_trip(client, server);
    peer_close(client);
    peer_expect_silence(server);
    assert_int_equal(fixture_idle_count(f), 1);
}

/* --- time
 * ------------------------------------------------------------------------------------------- */

static void
test_idle_timeout(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "server_idle_timeout = 100\n", &client, &server);
    fixture_advance(f, 50 * SEC);
    peer_send(client, 'Q', "begin");
    peer_expect_types(server, "Q");
    peer_send(server, 'I', NULL);
    peer_send_ready(server, 'I'); /* the check */
    peer_expect(server, 'Q', "begin");
    peer_answer(server, client, "BEGIN", 'T');
    fixture_advance(f, 1000 * SEC); /* is not idle */
    peer_expect_silence(server);
    peer_ask(client, server, "commit");
    peer_send_complete(server, "COMMIT", 'I');
    fixture_advance(f, 100 * SEC - 1);
    peer_expect_silence(server);
    fixture_advance(f, 1);
    expect_closed(server);
    assert_int_equal(fixture_server_count(f), 0);
}

static void
test_idle_timeout_spares_the_minimum(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *second;

    fixture_begin(f, "server_idle_timeout = 100\nmin_pool_size = 2\n", &client, &server);
    second = fixture_serve(f);
    fixture_advance(f, 1000 * SEC);
    peer_expect_silence(server);
    peer_expect_silence(second);
    assert_int_equal(fixture_idle_count(f), 2);
}

/* Somewhere between nine and eleven tenths. */
static void
test_lifetime(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "server_lifetime = 1000\nserver_idle_timeout = 0\n", &client, &server);
    fixture_advance(f, 900 * SEC - 1);
    peer_expect_silence(server);
    fixture_advance(f, 200 * SEC + 1);
    expect_closed(server);
    peer_expect_silence(client);
}

static void
test_lifetime_waits_for_the_client(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "server_lifetime = 1000\n", &client, &server);
    peer_ask(client, server, "begin");
    peer_send_complete(server, "BEGIN", 'T');
    fixture_advance(f, 2000 * SEC);
    peer_expect_silence(server);
    peer_ask(client, server, "commit");
    peer_send_complete(server, "COMMIT", 'I');
    peer_expect_types(client, "CZCZ");
    expect_closed(server);
}

/* A server is used once. */
static void
test_lifetime_of_nothing(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "server_lifetime = 0\n");
    client = fixture_knock(f, "db", "alice");
    server = fixture_serve(f);
    peer_expect_login(client);
    fixture_advance(f, 10 * SEC); /* not yet used */
    for (unsigned i = 0; i < 3; i++) {
        round_trip(client, server);
        expect_closed(server);
        peer_send(client, 'Q', "select 1");
        server = fixture_serve(f);
        peer_expect(server, 'Q', "select 1");
        peer_send_complete(server, "SELECT 1", 'I');
        peer_expect_types(client, "CZ");
        expect_closed(server);
        peer_send(client, 'Q', "select 2");
        server = fixture_serve(f);
        peer_expect(server, 'Q', "select 2");
        peer_send_complete(server, "SELECT 1", 'T');
        peer_expect_types(client, "CZ");
    }
}

/* --- min_pool_size
 * ------------------------------------------------------------------------------------ */

static void
test_minimum_is_kept_while_clients_are_there(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "min_pool_size = 3\n");
    assert_int_equal(fake_connector_counts(f->connector).connects, 0);
    client = fixture_knock(f, "db", "alice");
    assert_int_equal(fake_connector_pending(f->connector), 3);
    server = fixture_serve(f);
    (void)fixture_serve(f);
    (void)fixture_serve(f);
    peer_expect_login(client);
    assert_int_equal(fixture_idle_count(f), 3);
    peer_close(server);
    fixture_settle(f);
    assert_int_equal(fake_connector_pending(f->connector), 1);
    peer_close(client);
    fixture_settle(f);
    server = fixture_serve(f);
    peer_close(server);
    fixture_settle(f);
    assert_int_equal(fake_connector_pending(f->connector), 0); /* for nobody */
}

static void
test_minimum_for_a_user_of_the_file(void **state)
{
    struct fixture *f = *state;

    fixture_start(f, "[databases]\ndb = host=10.0.0.1 user=alice min_pool_size=2\n");
    assert_int_equal(fake_connector_pending(f->connector), 2);
    (void)fixture_serve(f);
    (void)fixture_serve(f);
    assert_int_equal(fixture_idle_count(f), 2);
}

static void
test_minimum_is_tried_again(void **state)
{
    struct fixture *f = *state;

    fixture_start(f, "[databases]\ndb = host=10.0.0.1 user=alice min_pool_size=1\n");
    fixture_refuse(f, "08001", "connection refused", false, false);
    assert_int_equal(fake_connector_pending(f->connector), 0);
    fixture_advance(f, SEC);
    assert_int_equal(fake_connector_pending(f->connector), 1);
    (void)fixture_serve(f);
    assert_int_equal(fixture_idle_count(f), 1);
}

/* --- several hosts
 * ------------------------------------------------------------------------------------- */

static void
test_hosts_in_turn(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "connect_burst = 1\n[databases]\ndb = host=10.0.0.1,10.0.0.2\n");
    for (unsigned i = 0; i < 4; i++) {
        if (i == 0)
            client = fixture_knock(f, "db", "alice");
        else
            client = fixture_login(f, "db", "alice");
        if (i > 0)
            peer_send(client, 'Q', "begin");
        fixture_settle(f);
        if (fake_connector_pending(f->connector) == 0)
            continue; /* the first server was idle */
        assert_string_equal(fake_connector_target(f->connector)->host,
                            fake_connector_counts(f->connector).connects % 2 == 1 ? "10.0.0.1"
                                                                                  : "10.0.0.2");
        (void)fixture_serve(f);
        if (i == 0)
            peer_expect_login(client);
    }
    assert_int_equal(fake_connector_counts(f->connector).connects, 3);
}

static void
test_first_host_until_it_fails(void **state)
{
    struct fixture *f = *state;

    fixture_start(f, "[databases]\ndb = host=10.0.0.1,10.0.0.2 load_balance_hosts=disable\n");
    (void)fixture_knock(f, "db", "alice");
    for (unsigned i = 0; i < 2; i++) {
        assert_string_equal(fake_connector_target(f->connector)->host, "10.0.0.1");
        fixture_refuse(f, "08001", "connection refused", false, false);
        fixture_advance(f, SEC);
        if (strcmp(fake_connector_target(f->connector)->host, "10.0.0.2") == 0)
            break;
    }
    assert_string_equal(fake_connector_target(f->connector)->host, "10.0.0.2");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_target),
        TEST(test_probe),
        TEST(test_probe_out_of_step),
        TEST(test_probe_is_not_answered),
        TEST(test_server_ends_behind_its_probe),
        TEST(test_connect_query),
        TEST(test_connect_query_fails),
        TEST(test_check_after_delay),
        TEST(test_check_of_ones_own),
        TEST(test_no_check),
        TEST(test_check_fails),
        TEST(test_check_is_not_answered),
        TEST(test_reset_always),
        TEST(test_no_reset),
        TEST(test_idle_timeout),
        TEST(test_idle_timeout_spares_the_minimum),
        TEST(test_lifetime),
        TEST(test_lifetime_waits_for_the_client),
        TEST(test_lifetime_of_nothing),
        TEST(test_minimum_is_kept_while_clients_are_there),
        TEST(test_minimum_for_a_user_of_the_file),
        TEST(test_minimum_is_tried_again),
        TEST(test_hosts_in_turn),
        TEST(test_first_host_until_it_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
