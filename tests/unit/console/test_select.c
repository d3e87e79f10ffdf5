/* A SELECT: who waits for whom, what is answered when, and what happens when nobody waits any more.
 */

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "fake_memory.h"
#include "fixture.h"
#include "macros.h"
#include "pg.h"
#include "select.h"

/* A literal with its NULs, and its length. */
#define BYTES(literal) literal, sizeof(literal) - 1

static const char cancelled[] = "E(ERROR 57014 canceling statement due to user request) Z ";

static bool
is_readable(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};

    return poll(&poller, 1, 0) > 0;
}

/* What comes from another thread comes at some time. */
static void
wait_for_answer(struct fixture *f, int fd)
{
    while (!is_readable(fd))
        fake_loop_wait(f->loop);
}

/* In however many pieces. */
static void
expect(struct fixture *f, int fd, const char *expected)
{
    CLEANUP(buf_done) struct buf said = BUF_INIT;

    while (said.len < strlen(expected)) {
        wait_for_answer(f, fd);
        assert_int_equal(buf_append_str(&said, peer_read(f, fd)), 0);
    }
    assert_string_equal(buf_str(&said), expected);
}

static struct snapshot *
make_snapshot(void)
{
    struct snapshot *const snapshot = fake_memory_calloc(1, sizeof(*snapshot));

    snapshot->pools = fake_memory_calloc(2, sizeof(*snapshot->pools));
    snapshot->pool_count = 2;
    snapshot->pools[0] = (struct pool_row){.database = "shop", .user = "bob", .cl_active = 2};
    snapshot->pools[1] = (struct pool_row){.database = "shop", .user = "eve", .cl_active = 3};
    return snapshot;
}

static void
wait_for_request(struct fixture *f)
{
    while (f->engine.request_count == 0)
        fake_loop_wait(f->loop);
}

static void
give_snapshot(struct fixture *f)
{
    wait_for_request(f);
    fake_engine_answer(&f->engine, make_snapshot());
    fake_loop_settle(f->loop);
}

static void
test_what_is_a_query(void **state)
{
    static const struct {
        const char *sql;
        bool is_query;
    } statements[] = {
        {"SELECT 1 + 1", true},
        {" /* x */ -- y\n select(2)", true},
        {"WITH x AS (SELECT 1) SELECT * FROM x", true},
        {"values (1)", true},
        {"SELECT nothing", true},
        {"SELECT $1", true},
        {"SELECT", true},
        {"select pools;", false},
        {"SELECT 1", false}, /* drivers */
        {"select pg_is_in_recovery()", false},
        {"SELECTED", false},
        {"SHOW POOLS", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
        assert_int_equal(select_is_query(statements[i].sql), statements[i].is_query);
}

/* Only what is asked for is gathered, and nothing where no table is. */
static void
test_simple(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "watch");

    peer_query(f, fd, "SELECT 1 + 1 AS two, NULL AS n");
    expect(f, fd, "T(two,n) D(2,NULL) C(SELECT 1) Z ");
    peer_query(f, fd, "SELECT user, cl_active FROM pools WHERE database = 'shop' ORDER BY 1 DESC");
    wait_for_request(f);
    assert_int_equal(f->engine.requests[0]->what, SNAPSHOT_POOLS);
    give_snapshot(f);
    expect(f, fd, "T(user,cl_active) D(eve,3) D(bob,2) C(SELECT 2) Z ");
    peer_query(f, fd, "SELECT key FROM state, config WHERE 1 = 0");
    expect(f, fd, "E(ERROR 42702 ambiguous column name: key) Z ");
    peer_query(f, fd, "SELECT count(*) FROM state");
    expect(f, fd, "T(count(*)) D(3) C(SELECT 1) Z ");
    peer_query(f, fd, "SELECT * FROM pools");
    wait_for_request(f);
    fake_engine_answer(&f->engine, NULL);
    expect(f, fd, "E(ERROR 53200 out of memory) Z ");
    peer_close(f, fd);
}

/* What is pipelined behind it waits. */
static void
test_extended(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    peer_message(f, fd, 'P',
                 BYTES("s\0SELECT user FROM pools WHERE cl_active > $1 LIMIT $2\0\0\0"));
    peer_message(f, fd, 'D', BYTES("Ss\0"));
    peer_message(f, fd, 'B',
                 BYTES("p\0s\0\0\0\0\2\0\0\0\1"
                       "1\0\0\0\1"
                       "9\0\0"));
    peer_message(f, fd, 'D', BYTES("Pp\0"));
    peer_message(f, fd, 'E', BYTES("p\0\0\0\0\1"));
    peer_message(f, fd, 'E', BYTES("p\0\0\0\0\0"));
    peer_message(f, fd, 'E', BYTES("p\0\0\0\0\0"));
    peer_message(f, fd, 'S', BYTES(""));
    give_snapshot(f);
    expect(f, fd, "1 t T(user) ");
    expect(f, fd,
           "2 T(user) D(bob) s D(eve) C(SELECT 2) "
           "E(ERROR 55000 portal \"p\" cannot be run) Z ");
    peer_message(f, fd, 'B',
                 BYTES("p\0s\0\0\0\0\1\0\0\0\1"
                       "1\0\0"));
    peer_message(f, fd, 'S', BYTES(""));
    expect(f, fd, "E(ERROR 08P01 broken Bind packet) Z ");
    peer_message(f, fd, 'P', BYTES("\0SELECT 1 + 1, 2\0\0\0"));
    peer_message(f, fd, 'B', BYTES("\0\0\0\0\0\0\0\3\0\1\0\1\0\1"));
    peer_message(f, fd, 'S', BYTES(""));
    expect(f, fd, "1 E(ERROR 08P01 broken Bind packet) Z ");
    peer_close(f, fd);
}

static void
test_failed_transaction(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    peer_query(f, fd, "BEGIN");
    peer_query(f, fd, "SELECT * FROM cows");
    expect(f, fd, "C(BEGIN) Z E(ERROR 42P01 no such table: cows) Z ");
    peer_message(f, fd, 'P', BYTES("\0SELECT 2 + 2\0\0\0"));
    peer_message(f, fd, 'B', BYTES("\0\0\0\0\0\0\0\0"));
    peer_message(f, fd, 'S', BYTES(""));
    expect(f, fd,
           "1 E(ERROR 25P02 current transaction is aborted, commands ignored until end of "
           "transaction block) Z ");
    peer_close(f, fd);
}

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

static const char endless[] =
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

/* The answer to a cancel comes at once, whoever has the SELECT then; the next one is not meant. */
static void
test_cancel(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_visit(f, "boss");
    uint32_t pid, secret;

    read_key(fd, &pid, &secret);
    peer_query(f, fd, endless);
    assert_true(console_cancel(f->console, pid, secret));
    fake_loop_settle(f->loop);
    assert_string_equal(peer_read(f, fd), cancelled);
    peer_query(f, fd, "SELECT count(*) FROM pools");
    wait_for_request(f);
    assert_true(console_cancel(f->console, pid, secret));
    fake_loop_settle(f->loop);
    assert_string_equal(peer_read(f, fd), cancelled);
    fake_engine_answer(&f->engine, make_snapshot());
    peer_query(f, fd, "SELECT 2 + 2");
    expect(f, fd, "T(2 + 2) D(4) C(SELECT 1) Z ");
    peer_close(f, fd);
}

/* A peer that leaves takes nothing with it, and leaves nothing behind. */
static void
test_peer_leaves(void **state)
{
    struct fixture *f = *state;
    int fd = peer_connect(f, "boss");

    peer_query(f, fd, endless);
    peer_close(f, fd);
    fd = peer_connect(f, "boss");
    peer_query(f, fd, "SELECT count(*) FROM pools");
    wait_for_request(f);
    peer_close(f, fd);
    assert_int_equal(f->engine.visitors, 0);
    give_snapshot(f);
}

/* Ten times as many as the executor's queue takes: some are refused, and those that run end. */
static void
test_too_many(void **state)
{
    struct fixture *f = *state;
    int fds[64], refused = 0;

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = peer_connect(f, "boss");
        peer_query(f, fds[i], endless);
        if (is_readable(fds[i])) {
            assert_string_equal(peer_read(f, fds[i]),
                                "E(ERROR 53000 too many SELECTs at a time on the console) Z ");
            refused++;
        }
    }
    assert_true(refused > 0);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        peer_close(f, fds[i]);
}

/* The end of the console is not that of a SELECT that takes long. */
static void
test_shutdown(void **state)
{
    struct fixture *f = *state;
    const int running = peer_connect(f, "boss"), asking = peer_connect(f, "boss");

    peer_query(f, running, endless);
    peer_query(f, asking, "SELECT count(*) FROM pools");
    wait_for_request(f);
    console_close(f->console);
    fake_loop_settle(f->loop);
    assert_string_equal(peer_read(f, running), "EOF ");
    assert_string_equal(peer_read(f, asking), "EOF ");
    close(running);
    close(asking);
}

static const char rows[] = "T(user) D(bob) D(eve) D(pgbouncer) C(SELECT 3) Z ";

/* With so much memory on the loop. Returns what is left. */
static long
ask_with_memory(struct fixture *f, long allocations)
{
    const int fd = peer_connect(f, "boss");
    const char *said;

    fake_memory_limit(allocations);
    peer_query(f, fd, "SELECT user FROM pools ORDER BY 1");
    while (!is_readable(fd) && f->engine.request_count == 0)
        fake_loop_wait(f->loop);
    if (f->engine.request_count > 0)
        give_snapshot(f);
    wait_for_answer(f, fd);
    allocations = fake_memory_unlimit();
    said = peer_read(f, fd);
    assert_true(strcmp(said, rows) == 0 || strstr(said, " 53200 out of memory") != NULL ||
                strstr(said, "EOF") != NULL);
    peer_close(f, fd);
    return allocations;
}

static void
test_memory_ends(void **state)
{
    struct fixture *f = *state;
    long allocations = 0;

    while (ask_with_memory(f, allocations) == 0)
        allocations++;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_a_query),
        TEST(test_simple),
        TEST(test_extended),
        TEST(test_failed_transaction),
        TEST(test_cancel),
        TEST(test_peer_leaves),
        TEST(test_too_many),
        TEST(test_shutdown),
        TEST(test_memory_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
