/* Commands about databases, servers and clients: what the engine is told, and when the answer
 * comes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "macros.h"
#include "pg.h"
#include "str.h"
#include "usec.h"

/* A snapshot in which a server of shop is to be closed, or none. */
static struct snapshot *
snapshot_of_servers(bool obsolete)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

    assert_non_null(snapshot);
    snapshot->sockets = calloc(2, sizeof(snapshot->sockets[0]));
    assert_non_null(snapshot->sockets);
    snapshot->socket_count = 2;
    for (size_t i = 0; i < 2; i++) {
        snapshot->sockets[i].is_server = true;
        str_copy(snapshot->sockets[i].database, SNAPSHOT_NAME, i == 0 ? "shop" : "other");
    }
    snapshot->sockets[0].close_needed = obsolete;
    return snapshot;
}

static void
answer(struct fixture *f, struct snapshot *snapshot)
{
    fake_engine_answer(&f->engine, snapshot);
    fake_loop_settle(f->loop);
}

/* The answer comes when all workers have heard of it. */
static void
test_barrier(void **state)
{
    static const struct {
        const char *sql, *database, *answer;
    } commands[] = {
        {"KILL", "*", "C(KILL) Z "},
        {"kill shop;", "shop", "C(KILL) Z "},
        {"RECONNECT", "*", "C(RECONNECT) Z "},
        {"RECONNECT \"shop\"", "shop", "C(RECONNECT) Z "},
        {"DISABLE shop", "shop", "C(DISABLE) Z "},
        {"ENABLE shop", "shop", "C(ENABLE) Z "},
    };
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        peer_query(f, fd, commands[i].sql);
        assert_string_equal(peer_read(f, fd), "");
        assert_string_equal(f->engine.database, commands[i].database);
        answer(f, calloc(1, sizeof(struct snapshot)));
        assert_string_equal(peer_read(f, fd), commands[i].answer);
        if (i == 4)
            assert_true(f->engine.disabled);
    }
    assert_false(f->engine.disabled);
    assert_int_equal(f->engine.kills, 2);
    assert_int_equal(f->engine.reconnects, 2);
    peer_close(f, fd);
}

static void
test_refused(void **state)
{
    static const struct {
        const char *user, *sql, *answer;
    } refusals[] = {
        {"boss", "KILL pgbouncer", "E(ERROR 08P01 cannot kill admin db: pgbouncer) Z "},
        {"boss", "RECONNECT pgweir", "E(ERROR 08P01 cannot reconnect admin db: pgweir) Z "},
        {"boss", "DISABLE pgbouncer", "E(ERROR 08P01 cannot disable admin db: pgbouncer) Z "},
        {"boss", "ENABLE pgbouncer", "E(ERROR 08P01 cannot enable admin db: pgbouncer) Z "},
        {"boss", "WAIT_CLOSE pgbouncer", "E(ERROR 08P01 cannot wait in admin db: pgbouncer) Z "},
        {"boss", "DISABLE", "E(ERROR 08P01 a database is required) Z "},
        {"boss", "ENABLE;", "E(ERROR 08P01 a database is required) Z "},
        {"boss", "KILL nowhere", "E(ERROR 08P01 no such database: nowhere) Z "},
        {"boss", "RECONNECT nowhere", "E(ERROR 08P01 no such database: nowhere) Z "},
        {"boss", "DISABLE nowhere", "E(ERROR 08P01 no such database: nowhere) Z "},
        {"boss", "ENABLE nowhere", "E(ERROR 08P01 no such database: nowhere) Z "},
        {"boss", "WAIT_CLOSE nowhere", "E(ERROR 08P01 no such database: nowhere) Z "},
        {"boss", "KILL_CLIENT", "E(ERROR 08P01 invalid client pointer supplied) Z "},
        {"boss", "KILL_CLIENT 12x", "E(ERROR 08P01 invalid client pointer supplied) Z "},
        {"boss", "KILL_CLIENT 99999999999999999999",
         "E(ERROR 08P01 invalid client pointer supplied) Z "},
        {"watch", "KILL shop", "E(ERROR 08P01 admin access needed) Z "},
        {"watch", "KILL_CLIENT 1", "E(ERROR 08P01 admin access needed) Z "},
        {"watch", "RECONNECT", "E(ERROR 08P01 admin access needed) Z "},
        {"watch", "WAIT_CLOSE", "E(ERROR 08P01 admin access needed) Z "},
        {"watch", "DISABLE shop", "E(ERROR 08P01 admin access needed) Z "},
        {"watch", "ENABLE shop", "E(ERROR 08P01 admin access needed) Z "},
    };
    struct fixture *f = *state;

    f->engine.pause_result = ENGINE_NO_SUCH_DATABASE;
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        const int fd = peer_connect(f, refusals[i].user);

        peer_query(f, fd, refusals[i].sql);
        assert_string_equal(peer_read(f, fd), refusals[i].answer);
        peer_close(f, fd);
    }
}

static void
test_kill_while_all_is_paused(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    f->engine.pause_result = ENGINE_ALREADY;
    peer_query(f, fd, "KILL shop");
    assert_string_equal(peer_read(f, fd), "E(ERROR 08P01 already suspended/paused) Z ");
    peer_close(f, fd);
}

/* ---- WAIT_CLOSE ------------------------------------------------------------------------------ */

static void
test_wait_close(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    peer_query(f, fd, "WAIT_CLOSE shop");
    answer(f, snapshot_of_servers(true));
    assert_string_equal(peer_read(f, fd), "");
    assert_int_equal(f->engine.request_count, 0);
    fake_loop_advance(f->loop, SEC); /* it looks again */
    answer(f, snapshot_of_servers(false));
    assert_string_equal(peer_read(f, fd), "C(WAIT_CLOSE) Z ");
    peer_query(f, fd, "WAIT_CLOSE other"); /* the other database's servers are not waited for */
    answer(f, snapshot_of_servers(true));
    assert_string_equal(peer_read(f, fd), "C(WAIT_CLOSE) Z ");
    peer_close(f, fd);
}

/* Reads the greeting; a CancelRequest with its key. */
static void
read_key(int fd, uint32_t *ret_pid, uint32_t *ret_secret)
{
    char greeting[1024];
    const ssize_t len = read(fd, greeting, sizeof(greeting));
    const char *key = greeting + len - 6 - 8; /* ReadyForQuery comes behind it */

    assert_true(len > 20);
    *ret_pid = pg_get_uint32(key);
    *ret_secret = pg_get_uint32(key + 4);
}

/* While it sleeps, and while the workers are asked: then the answer has to be waited for. */
static void
test_cancel_of_a_wait(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_visit(f, "boss");
    uint32_t pid, secret;

    read_key(fd, &pid, &secret);
    peer_query(f, fd, "WAIT_CLOSE");
    answer(f, snapshot_of_servers(true));
    assert_true(console_cancel(f->console, pid, secret));
    fake_loop_settle(f->loop);
    assert_string_equal(peer_read(f, fd),
                        "E(ERROR 57014 canceling statement due to user request) Z ");
    peer_query(f, fd, "WAIT_CLOSE");
    assert_true(console_cancel(f->console, pid, secret));
    assert_string_equal(peer_read(f, fd), "");
    answer(f, snapshot_of_servers(true));
    assert_string_equal(peer_read(f, fd),
                        "E(ERROR 57014 canceling statement due to user request) Z ");
    peer_query(f, fd, "WAIT_CLOSE"); /* the cancel was for the last one */
    answer(f, snapshot_of_servers(true));
    assert_string_equal(peer_read(f, fd), "");
    peer_close(f, fd);
    assert_int_equal(f->engine.visitors, 0);
}

/* ---- KILL_CLIENT ----------------------------------------------------------------------------- */

static void
test_kill_client(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    peer_query(f, fd, "KILL_CLIENT 4711");
    assert_int_equal(f->engine.kill->id, 4711);
    assert_string_equal(peer_read(f, fd), "");
    fake_engine_killed(&f->engine, true);
    fake_loop_settle(f->loop);
    assert_string_equal(peer_read(f, fd), "C(KILL_CLIENT) Z ");
    peer_query(f, fd, "KILL_CLIENT 4711");
    fake_engine_killed(&f->engine, false);
    fake_loop_settle(f->loop);
    assert_string_equal(peer_read(f, fd), "E(ERROR 08P01 client not found) Z ");
    peer_close(f, fd);
}

/* Sessions of the console are clients, too; in the fixture, all have the same id. */
static void
test_kill_of_a_session(void **state)
{
    struct fixture *f = *state;
    const int victim = peer_connect(f, "watch");
    const int fd = peer_connect(f, "boss");

    peer_query(f, fd, "KILL_CLIENT 7");
    assert_string_equal(peer_read(f, fd), "C(KILL_CLIENT) Z ");
    assert_string_equal(peer_read(f, victim), "E(FATAL 57P01 admin forced disconnect) EOF ");
    peer_query(f, fd, "KILL_CLIENT 7"); /* itself */
    assert_string_equal(peer_read(f, fd), "E(FATAL 57P01 admin forced disconnect) EOF ");
    close(victim);
    close(fd);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_barrier),
        TEST(test_refused),
        TEST(test_kill_while_all_is_paused),
        TEST(test_wait_close),
        TEST(test_cancel_of_a_wait),
        TEST(test_kill_client),
        TEST(test_kill_of_a_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
