/*
 * test_login.c - from the first byte to ReadyForQuery, or to a clear refusal.
 */
#include "fixture.h"

#include <stdlib.h>
#include <unistd.h>

#include "engine_int.h"
#include "pg.h"
#include "pool.h"

static void
send_uint32s(struct peer *peer, uint32_t a, uint32_t b)
{
    char packet[8];

    pg_put_uint32(packet, a);
    pg_put_uint32(packet + 4, b);
    peer_send_bytes(peer, packet, sizeof(packet));
}

#define STARTUP(peer, version, ...)                                                                \
    fixture_send_startup(peer, version, (const char *const[]){__VA_ARGS__, NULL})

/* --- encryption, versions ------------------------------------------------------------------------
 */

static void
test_encryption_is_declined(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "");
    client = fixture_connect(f);
    send_uint32s(client, 8, PG_GSSENC_REQUEST);
    peer_expect_bytes(client, "N", 1);
    send_uint32s(client, 8, PG_SSL_REQUEST);
    peer_expect_bytes(client, "N", 1);
    STARTUP(client, PG_PROTOCOL_3_0, "user", "alice", "database", "db");
    server = fixture_serve(f);
    peer_expect_login(client);
    peer_expect_silence(server);
}

static void
test_asking_twice(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_connect(f);
    send_uint32s(client, 8, PG_SSL_REQUEST);
    peer_expect_bytes(client, "N", 1);
    send_uint32s(client, 8, PG_SSL_REQUEST);
    peer_expect_error(client, "FATAL", "08P01", "protocol violation");
    peer_expect_end(client);
}

/* Bytes behind the request could be an attacker's, put in front of the encrypted ones. */
static void
test_bytes_behind_an_ssl_request(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_connect(f);
    send_uint32s(client, 8, PG_SSL_REQUEST);
    peer_send_bytes(client, "x", 1);
    peer_expect_error(client, "FATAL", "08P01", "received unencrypted data after SSL");
    peer_expect_end(client);
}

static void
test_newer_protocols_are_negotiated(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL(3, 9999), "user", "alice", "database", "db", "_pq_.new", "1");
    peer_expect_bytes(client, "v\0\0\0\x15\0\3\0\2\0\0\0\1_pq_.new\0", 22);
    (void)fixture_serve(f);
    peer_expect_login(client);
    assert_int_equal(client->key_len, 4 + 32); /* of 3.2 */
    /* An option we do not know, of 3.0. */
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL_3_0, "user", "alice", "database", "db", "_pq_.x", "1");
    peer_expect_bytes(client, "v\0\0\0\x13\0\3\0\0\0\0\0\1_pq_.x\0", 20);
    peer_expect_login(client);
    assert_int_equal(client->key_len, 8);
    /* The answer to a login that fails, too. */
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL(3, 3), "user", "alice", "database", "nodb");
    peer_expect_bytes(client, "v\0\0\0\x0c\0\3\0\2\0\0\0\0", 13);
    peer_expect_error(client, "FATAL", "3D000", "nodb");
}

/* 3.1 was never given out; PostgreSQL lets it pass. */
static void
test_protocols_that_are_known(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL(3, 1), "user", "alice", "database", "db");
    (void)fixture_serve(f);
    peer_expect_login(client);
    assert_int_equal(client->key_len, 8);
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL(3, 2), "user", "alice", "database", "db");
    peer_expect_login(client);
    assert_int_equal(client->key_len, 4 + 32);
}

static void
test_old_and_unknown_protocols(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL(2, 0), "user", "alice");
    peer_expect_error(client, "FATAL", "08P01", "old V2 protocol not supported");
    peer_expect_end(client);
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL(4, 0), "user", "alice");
    peer_expect_error(client, "FATAL", "0A000", "unsupported frontend protocol");
    peer_expect_end(client);
}

static void
test_tls_without_asking(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_connect(f);
    peer_send_bytes(client, "\x16\3\1", 3);
    peer_expect_error(client, "FATAL", "08P01", "TLS is not offered");
    peer_expect_end(client);
}

/* --- bad packets
 * ----------------------------------------------------------------------------------- */

static void
test_bad_packets(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *sqlstate, *text;
    } bad[] = {
        {"\0\0\0\0", 4, "08P01", "invalid packet length"},
        {"\0\0\0\7xyz", 7, "08P01", "invalid packet length"},
        {"\x7f\xff\xff\xff", 4, "08P01", "invalid packet length"},
        {"GET / HTTP/1.0\r\n", 16, "08P01", "invalid packet length"},
        {"p\0\0\0\5\0", 6, "08P01", "client password pkt before startup packet"},
        {"\0\0\0\x0f\0\3\0\0user\0x", 15, "08P01", "invalid startup packet layout"},
        {"\0\0\0\x09\0\3\0\0\0", 9, "28000", "no username supplied"},
    };
    struct fixture *f = *state;

    fixture_start(f, "");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct peer *const client = fixture_connect(f);

        peer_send_bytes(client, bad[i].bytes, bad[i].len);
        peer_expect_error(client, "FATAL", bad[i].sqlstate, bad[i].text);
        peer_expect_end(client);
    }
    assert_int_equal(fake_connector_counts(f->connector).connects, 0);
}

static void
test_packet_byte_by_byte(void **state)
{
    static const char packet[] = "\0\0\0\x20\0\3\0\0user\0alice\0database\0db\0";
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_connect(f);
    for (size_t i = 0; i < 0x20; i++) {
        assert_int_equal(fake_connector_pending(f->connector), 0);
        peer_send_bytes(client, packet + i, 1);
        peer_expect_silence(client);
    }
    (void)fixture_serve(f);
    peer_expect_login(client);
}

/* --- who may come in
 * ---------------------------------------------------------------------------------- */

static void
test_unknown_user(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_knock(f, "db", "mallory");
    peer_expect_error(client, "FATAL", "28000", "\"trust\" authentication failed");
    peer_expect_end(client);
}

static void
test_any_user(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "auth_type = any\n[databases]\nforced = host=10.0.0.1 user=app\n");
    client = fixture_knock(f, "forced", "mallory");
    assert_string_equal(fake_connector_target(f->connector)->user, "app");
    (void)fixture_serve(f);
    peer_expect_login(client);
    client = fixture_knock(f, "db", "mallory");
    peer_expect_error(client, "FATAL", "28000", "must name the server's user");
    peer_expect_end(client);
}

static void
test_no_such_database(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_knock(f, "nosuch", "alice");
    peer_expect_error(client, "FATAL", "3D000", "no such database: nosuch");
    peer_expect_end(client);
}

static void
test_database_of_the_template(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "[databases]\n* = host=10.0.0.7\n");
    client = fixture_knock(f, "any thing", "alice");
    assert_string_equal(fake_connector_target(f->connector)->dbname, "any thing");
    (void)fixture_serve(f);
    peer_expect_login(client);
}

static void
test_password_nobody_asked_for(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_knock(f, "db", "alice");
    peer_send(client, 'p', "secret");
    (void)fixture_serve(f);
    peer_expect_login(client);
    peer_expect_error(client, "FATAL", "08P01", "unknown pkt");
    peer_expect_end(client);
}

/* --- parameters
 * ----------------------------------------------------------------------------------------- */

static void
test_unsupported_parameters(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL_3_0, "user", "alice", "database", "db", "extra_float_digits", "2");
    peer_expect_error(client, "FATAL", "08P01",
                      "unsupported startup parameter: extra_float_digits");
    peer_expect_end(client);
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL_3_0, "user", "alice", "database", "db", "options", "-c geqo=off");
    peer_expect_error(client, "FATAL", "08P01", "unsupported startup parameter in options: geqo");
    peer_expect_end(client);
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL_3_0, "user", "alice", "database", "db", "options", "--nonsense");
    peer_expect_error(client, "FATAL", "08P01", "unsupported options startup parameter");
    peer_expect_end(client);
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL_3_0, "user", "alice", "database", "db", "replication", "maybe");
    peer_expect_error(client, "FATAL", "22023", "invalid value for parameter \"replication\"");
    peer_expect_end(client);
}

static void
test_ignored_parameters(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "ignore_startup_parameters = extra_float_digits, geqo\n");
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL_3_0, "user", "alice", "database", "db", "extra_float_digits", "2",
            "options", "-c geqo=off -c timezone=CET", "replication", "false");
    (void)fixture_serve(f);
    peer_expect_login(client);
    fixture_stop(f);
    fixture_start(f, "ignore_startup_parameters = options\n");
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL_3_0, "user", "alice", "database", "db", "options", "--nonsense");
    (void)fixture_serve(f);
    peer_expect_login(client);
}

static void
test_options_are_parameters(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "");
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL_3_0, "user", "alice", "database", "db", "options",
            "-c TimeZone=CET");
    server = fixture_serve(f);
    peer_expect_login(client);
    peer_send(client, 'Q', "select 1");
    peer_expect(server, 'Q', "SET TimeZone='CET'");
}

static void
test_application_name_with_host(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "application_name_add_host = 1\n");
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL_3_0, "user", "alice", "database", "db", "application_name", "psql");
    server = fixture_serve(f);
    peer_expect_login(client);
    peer_send(client, 'Q', "select 1");
    peer_expect(server, 'Q', "SET application_name='psql - unix(");
}

static void
test_login_notify_message(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "login_notify_message = Hello there\n");
    client = fixture_knock(f, "db", "alice");
    (void)fixture_serve(f);
    peer_expect_types(client, "RSSSSSSSK");
    peer_expect(client, 'N', "Hello there");
    peer_expect_ready(client, 'I');
}

/* --- what is sent ahead
 * ------------------------------------------------------------------------------- */

static void
test_query_sent_with_the_login(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, "");
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL_3_0, "user", "alice", "database", "db");
    peer_send(client, 'Q', "select 1");
    server = fixture_serve(f);
    peer_expect_login(client);
    peer_expect(server, 'Q', "select 1");
}

static void
test_client_leaves_while_it_waits(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "");
    client = fixture_knock(f, "db", "alice");
    peer_close(client);
    fixture_settle(f);
    assert_int_equal(permits_used(&f->engine->clients), 0);
    (void)fixture_serve(f);
    assert_int_equal(fixture_idle_count(f), 1);
}

/* --- limits
 * -------------------------------------------------------------------------------------------- */

static void
test_login_timeout(void **state)
{
    struct fixture *f = *state;
    struct peer *silent, *slow;

    fixture_start(f, "client_login_timeout = 60\n");
    silent = fixture_connect(f);
    slow = fixture_connect(f);
    peer_send_bytes(slow, "\0\0", 2);
    fixture_advance(f, 30 * SEC);
    peer_send_bytes(slow, "\0", 1);
    fixture_advance(f, 30 * SEC - 1);
    peer_expect_silence(silent);
    peer_expect_silence(slow);
    fixture_advance(f, 1);
    peer_expect_error(silent, "FATAL", "28000", "client_login_timeout");
    peer_expect_end(silent);
    peer_expect_error(slow, "FATAL", "28000", "client_login_timeout");
    peer_expect_end(slow);
    assert_int_equal(permits_used(&f->engine->logins), 0);
}

static void
test_login_timeout_is_over_after_the_login(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "client_login_timeout = 60\n", &client, &server);
    fixture_advance(f, HOUR);
    peer_expect_silence(client);
}

static void
test_max_client_conn(void **state)
{
    struct fixture *f = *state;
    struct peer *a, *b, *server;

    fixture_begin(f, "max_client_conn = 2\n", &a, &server);
    b = fixture_login(f, "db", "alice");
    (void)fixture_connect(f); /* a login is not a client yet */
    peer_expect_error(fixture_knock(f, "db", "alice"), "FATAL", "53300",
                      "no more connections allowed (max_client_conn)");
    peer_close(b);
    fixture_settle(f);
    (void)fixture_login(f, "db", "alice");
}

static void
test_max_client_connections_of_database_and_user(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "max_db_client_connections = 2\nmax_user_client_connections = 1\n");
    (void)fixture_knock(f, "db", "alice");
    client = fixture_knock(f, "db", "alice");
    peer_expect_error(client, "FATAL", "53300", "max_user_client_connections");
    peer_expect_end(client);
    (void)fixture_knock(f, "db", "bob");
    client = fixture_knock(f, "db", "carol");
    peer_expect_error(client, "FATAL", "53300", "max_db_client_connections");
    peer_expect_end(client);
    assert_int_equal(permits_used(&f->engine->clients), 2);
    (void)fixture_knock(f, "two", "carol");
}

static void
test_too_many_logins_at_once(void **state)
{
    struct fixture *f = *state;
    struct peer *client = NULL;

    fixture_start(f, "max_client_conn = 10\n");
    for (unsigned i = 0; i <= ENGINE_LOGINS_MIN; i++)
        client = fixture_connect(f);
    peer_expect_error(client, "FATAL", "53300", "no more connections allowed");
    peer_expect_end(client);
}

/* --- the console
 * ---------------------------------------------------------------------------------------- */

static void
test_console_visitor(void **state)
{
    static const char query[] = "Q\0\0\0\5";
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "admin_users = alice\n");
    client = fixture_connect(f);
    STARTUP(client, PG_PROTOCOL_3_0, "user", "alice", "database", "pgbouncer", "application_name",
            "psql", "extra_float_digits", "2");
    peer_expect_silence(client);
    assert_non_null(f->visitor);
    assert_string_equal(f->visitor->database, "pgbouncer");
    assert_string_equal(f->visitor->user, "alice");
    assert_string_equal(f->visitor->application_name, "psql");
    assert_true(f->visitor->peer.is_unix);
    assert_int_equal(f->visitor->peer.uid, geteuid());
    /* The connection is the visitor's. */
    assert_int_equal(write(f->visitor->fd, query, sizeof(query)), sizeof(query));
    peer_expect_bytes(client, query, sizeof(query));
    peer_expect_silence(client);
}

static void
test_console_is_not_for_everybody(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "admin_users = alice\n");
    client = fixture_knock(f, "pgweir", "bob");
    peer_expect_error(client, "FATAL", "42501", "not allowed");
    peer_expect_end(client);
    assert_null(f->visitor);
}

/* The daemon's own user through a unix socket needs no entry. */
static void
test_console_for_the_owner(void **state)
{
    struct fixture *f = *state;

    fixture_start(f, "");
    (void)fixture_knock(f, "pgweir", "pgweir");
    assert_non_null(f->visitor);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_encryption_is_declined),
        TEST(test_asking_twice),
        TEST(test_bytes_behind_an_ssl_request),
        TEST(test_newer_protocols_are_negotiated),
        TEST(test_protocols_that_are_known),
        TEST(test_old_and_unknown_protocols),
        TEST(test_tls_without_asking),
        TEST(test_bad_packets),
        TEST(test_packet_byte_by_byte),
        TEST(test_unknown_user),
        TEST(test_any_user),
        TEST(test_no_such_database),
        TEST(test_database_of_the_template),
        TEST(test_password_nobody_asked_for),
        TEST(test_unsupported_parameters),
        TEST(test_ignored_parameters),
        TEST(test_options_are_parameters),
        TEST(test_application_name_with_host),
        TEST(test_login_notify_message),
        TEST(test_query_sent_with_the_login),
        TEST(test_client_leaves_while_it_waits),
        TEST(test_login_timeout),
        TEST(test_login_timeout_is_over_after_the_login),
        TEST(test_max_client_conn),
        TEST(test_max_client_connections_of_database_and_user),
        TEST(test_too_many_logins_at_once),
        TEST(test_console_visitor),
        TEST(test_console_is_not_for_everybody),
        TEST(test_console_for_the_owner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
