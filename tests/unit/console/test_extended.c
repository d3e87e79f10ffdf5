/* The extended protocol: statements, portals, parameters, formats, limits, and errors up to Sync.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "fixture.h"
#include "macros.h"
#include "parameter.h"
#include "pg.h"
#include "result.h"

/* A literal with its NULs, and its length. */
#define BYTES(literal) literal, sizeof(literal) - 1

struct sent {
    char type;
    const char *body;
    size_t len;
};

#define PARSE(sql)                                                                                 \
    {                                                                                              \
        'P', BYTES("\0" sql "\0\0\0")                                                              \
    }
#define PARSE_AS(name, sql)                                                                        \
    {                                                                                              \
        'P', BYTES(name "\0" sql "\0\0\0")                                                         \
    }
#define BIND                                                                                       \
    {                                                                                              \
        'B', BYTES("\0\0\0\0\0\0\0\0")                                                             \
    }
#define BIND_TO(name)                                                                              \
    {                                                                                              \
        'B', BYTES("\0" name "\0\0\0\0\0\0\0")                                                     \
    }
#define DESCRIBE_PORTAL                                                                            \
    {                                                                                              \
        'D', BYTES("P\0")                                                                          \
    }
#define DESCRIBE                                                                                   \
    {                                                                                              \
        'D', BYTES("S\0")                                                                          \
    }
#define EXECUTE                                                                                    \
    {                                                                                              \
        'E', BYTES("\0\0\0\0\0")                                                                   \
    }
#define EXECUTE_ONE                                                                                \
    {                                                                                              \
        'E', BYTES("\0\0\0\0\1")                                                                   \
    }
#define CLOSE(name)                                                                                \
    {                                                                                              \
        'C', BYTES("S" name "\0")                                                                  \
    }
#define SYNC                                                                                       \
    {                                                                                              \
        'S', BYTES("")                                                                             \
    }
#define FLUSH                                                                                      \
    {                                                                                              \
        'H', BYTES("")                                                                             \
    }

/* Each in a session of its own, for an administrator. */
// clang-format off
static const struct {
    const char *name;
    struct sent sent[10];
    const char *answer;
} conversations[] = {
    { "all at once", { PARSE("SHOW VERSION"), BIND, DESCRIBE_PORTAL, EXECUTE, SYNC },
      "1 2 T(version) D(" CONSOLE_VERSION ") C(SHOW) Z " },
    { "no description, no columns", { PARSE("SHOW VERSION"), BIND, EXECUTE, SYNC },
      "1 2 D(" CONSOLE_VERSION ") C(SHOW) Z " },
    { "a statement is described", { PARSE("SHOW STATE"), DESCRIBE, FLUSH, SYNC },
      "1 t T(key,value) Z " },
    { "a command has no rows", { PARSE("RESUME"), DESCRIBE, BIND, EXECUTE, SYNC },
      "1 t n 2 C(RESUME) Z " },
    { "named, more than once", { PARSE_AS("v", "select 1"), BIND_TO("v"), EXECUTE, SYNC,
                                 BIND_TO("v"), EXECUTE, CLOSE("v"), SYNC },
      "1 2 D(1) C(SELECT 1) Z 2 D(1) C(SELECT 1) 3 Z " },
    { "a name in use", { PARSE_AS("v", "select 1"), PARSE_AS("v", "select 1"), SYNC },
      "1 E(ERROR 42P05 prepared statement \"v\" already exists) Z " },
    { "the unnamed is replaced", { PARSE("select 1"), PARSE("BEGIN"), BIND, EXECUTE, SYNC },
      "1 1 2 C(BEGIN) Z " },
    { "an unknown name", { BIND_TO("v"), EXECUTE, SYNC },
      "E(ERROR 26000 prepared statement \"v\" does not exist) Z " },
    { "a closed name", { PARSE_AS("v", "select 1"), CLOSE("v"), BIND_TO("v"), SYNC },
      "1 3 E(ERROR 26000 prepared statement \"v\" does not exist) Z " },
    { "an unknown portal", { EXECUTE, SYNC }, "E(ERROR 34000 portal \"\" does not exist) Z " },
    { "a portal ends with the transaction", { PARSE("select 1"), BIND, SYNC, EXECUTE, SYNC },
      "1 2 Z E(ERROR 34000 portal \"\" does not exist) Z " },
    { "and runs once", { PARSE("select 1"), BIND, EXECUTE, EXECUTE, SYNC },
      "1 2 D(1) C(SELECT 1) E(ERROR 55000 portal \"\" cannot be run) Z " },
    { "nothing after an error", { PARSE("dance"), BIND, EXECUTE, PARSE("select 1"), BIND, SYNC,
                                  PARSE("select 1"), SYNC },
      "1 2 E(ERROR 08P01 invalid command 'dance', use SHOW HELP;) Z 1 Z " },
    { "a limit", { PARSE("SHOW STATE"), BIND, EXECUTE_ONE, EXECUTE_ONE, EXECUTE_ONE, SYNC },
      "1 2 D(active,yes) s D(paused,no) s D(suspended,no) C(SHOW) Z " },
    { "a limit, and the rest", { PARSE("SHOW STATE"), BIND, EXECUTE_ONE, EXECUTE, SYNC },
      "1 2 D(active,yes) s D(paused,no) D(suspended,no) C(SHOW) Z " },
    { "empty", { PARSE(";"), BIND, DESCRIBE_PORTAL, EXECUTE, SYNC }, "1 2 n I Z " },
    { "half a Bind", { PARSE("select 1"), {'B', BYTES("\0\0\0\0\0")}, SYNC },
      "1 E(ERROR 08P01 broken Bind packet) Z " },
    { "half a Parse", { {'P', BYTES("v\0select")}, SYNC },
      "E(ERROR 08P01 broken Parse packet) Z " },
    { "too few types", { {'P', BYTES("\0SHOW $1\0\0\2\0\0\0\31")}, SYNC },
      "E(ERROR 08P01 broken Parse packet) Z " },
    { "half a Describe", { {'D', BYTES("X\0")}, SYNC }, "E(ERROR 08P01 broken Describe packet) Z " },
    { "too many formats", { PARSE("SHOW STATE"), {'B', BYTES("\0\0\0\0\0\0\0\3\0\1\0\1\0\1")}, SYNC },
      "1 E(ERROR 08P01 broken Bind packet) Z " },
    { "a parameter", { PARSE("SHOW $1"), {'B', BYTES("\0\0\0\0\0\1\0\0\0\5STATE\0\0")},
                       DESCRIBE_PORTAL, EXECUTE_ONE, SYNC },
      "1 2 T(key,value) D(active,yes) s Z " },
    { "columns that depend on it", { PARSE("SHOW $1"), DESCRIBE, SYNC },
      "1 E(ERROR 42P18 columns that depend on a parameter cannot be described) Z " },
    { "what has none", { PARSE("KILL $1"), DESCRIBE, SYNC }, "1 t n Z " },
    { "a value", { PARSE("SET query_timeout = $1"),
                   {'B', BYTES("\0\0\0\0\0\1\0\0\0\4a\"b'\0\0")}, EXECUTE, SYNC },
      "1 2 C(SET query_timeout=a\"b') Z " },
    { "a quoted one is none", { PARSE("SET query_timeout = '$1'"), BIND, EXECUTE, SYNC },
      "1 2 C(SET query_timeout=$1) Z " },
    { "a binary parameter", { {'P', BYTES("\0SET query_timeout = $1\0\0\1\0\0\0\27")},
                              {'B', BYTES("\0\0\0\1\0\1\0\1\0\0\0\4\377\377\377\376\0\0")},
                              EXECUTE, SYNC },
      "1 2 C(SET query_timeout=-2) Z " },
    { "of the wrong size", { {'P', BYTES("\0SET query_timeout = $1\0\0\1\0\0\0\24")},
                             {'B', BYTES("\0\0\0\1\0\1\0\1\0\0\0\4\0\0\0\2\0\0")}, SYNC },
      "1 E(ERROR 08P01 bad arguments) Z " },
    { "NULL", { PARSE("SHOW $1"), {'B', BYTES("\0\0\0\0\0\1\377\377\377\377\0\0")}, SYNC },
      "1 E(ERROR 22004 a parameter of the console cannot be NULL) Z " },
    { "a parameter too few", { PARSE("SHOW $1"), BIND, SYNC },
      "1 E(ERROR 08P01 broken Bind packet) Z " },
    { "too many", { PARSE("SHOW $33"), SYNC }, "E(ERROR 08P01 bad arguments) Z " },
    { "a query ends the extended", { PARSE("select 1"), {'Q', BYTES("select 1\0")} },
      "1 T(?column?) D(1) C(SELECT 1) Z " },
};
// clang-format on

static void
test_conversations(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(conversations); i++) {
        const int fd = peer_connect(f, "boss");

        for (const struct sent *sent = conversations[i].sent; sent->type != '\0'; sent++)
            peer_message(f, fd, sent->type, sent->body, sent->len);
        assert_string_equal(peer_read(f, fd), conversations[i].answer);
        peer_close(f, fd);
    }
}

/* What comes behind an Execute that waits, waits, too. */
static void
test_pipelined_behind_a_wait(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    peer_message(f, fd, 'P', BYTES("\0PAUSE\0\0\0"));
    peer_message(f, fd, 'B', BYTES("\0\0\0\0\0\0\0\0"));
    peer_message(f, fd, 'E', BYTES("\0\0\0\0\0"));
    peer_message(f, fd, 'P', BYTES("\0select 1\0\0\0"));
    peer_message(f, fd, 'S', BYTES(""));
    assert_string_equal(peer_read(f, fd), "1 2 ");
    fake_engine_drained(&f->engine);
    fake_loop_settle(f->loop);
    assert_string_equal(peer_read(f, fd), "C(PAUSE) 1 Z ");
    peer_close(f, fd);
}

/* Sends a statement and checks the status of the ReadyForQuery. */
static void
status_after(struct fixture *f, int fd, const char *sql, char status)
{
    char answer[4096];
    ssize_t len;

    peer_query(f, fd, sql);
    len = recv(fd, answer, sizeof(answer), 0);
    assert_true(len >= 6);
    assert_int_equal(answer[len - 1], status);
}

static void
test_transactions(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    status_after(f, fd, "BEGIN", 'T');
    status_after(f, fd, "SHOW STATE", 'T');
    status_after(f, fd, "COMMIT", 'I');
    status_after(f, fd, "start transaction isolation level serializable", 'T');
    status_after(f, fd, "dance", 'E');
    peer_query(f, fd, "SHOW STATE");
    assert_string_equal(peer_read(f, fd),
                        "E(ERROR 25P02 current transaction is aborted, commands ignored until end "
                        "of transaction block) Z ");
    peer_query(f, fd, "COMMIT");
    assert_string_equal(peer_read(f, fd), "C(ROLLBACK) Z ");
    status_after(f, fd, "SHOW STATE", 'I');
    peer_close(f, fd);
}

/* A failed statement does not end a transaction that has a savepoint. */
static void
test_savepoints(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    status_after(f, fd, "ROLLBACK TO SAVEPOINT a", 'I');
    status_after(f, fd, "BEGIN", 'T');
    status_after(f, fd, "SAVEPOINT a", 'T');
    status_after(f, fd, "dance", 'E');
    status_after(f, fd, "RELEASE SAVEPOINT a", 'E');
    status_after(f, fd, "rollback to savepoint a", 'T');
    status_after(f, fd, "ROLLBACK", 'I');
    peer_close(f, fd);
}

/* ---- parameters in binary -------------------------------------------------------------------- */

static void
test_binary_parameters(void **state)
{
    static const struct {
        uint32_t type;
        const char *bytes;
        size_t len;
        const char *text; /* NULL: it is refused */
    } values[] = {
        {16, BYTES("\1"), "\"1\""},
        {16, BYTES("\0"), "\"0\""},
        {20, BYTES("\377\377\377\377\377\377\377\376"), "\"-2\""},
        {21, BYTES("\377\376"), "\"-2\""},
        {23, BYTES("\0\1\0\0"), "\"65536\""},
        {23, BYTES("\0\1"), NULL},
        {25, BYTES("a\"b"), "\"a\"\"b\""},
        {25, BYTES("a\0b"), NULL},
        {700, BYTES("\77\300\0\0"), "\"1.5\""},
        {701, BYTES("\100\4\0\0\0\0\0\0"), "\"2.5\""},
        {1114, BYTES("\0\0\0\0\0\0\0\0"), NULL},
        {1700, BYTES("\0\0\0\0\0\0\0\0"), "\"0\""},
        {1700, BYTES("\0\2\0\0\0\0\0\1\0\1\23\210"), "\"1.5\""},
        {1700, BYTES("\0\1\377\376\100\0\0\7\0\144"), "\"-0.0000010\""},
        {1700, BYTES("\0\1\0\1\0\0\0\0\0\14"), "\"120000\""},
        {1700, BYTES("\0\1\0\1\0\0\0\0"), NULL},
        {1700, BYTES("\0\0\0\0\300\0\0\0"), NULL}, /* NaN */
        {1700, BYTES("\0\1\177\377\0\0\0\0\0\1"), NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        const struct parameter parameter = {values[i].bytes, values[i].len, 1};
        CLEANUP(buf_done) struct buf text = BUF_INIT;
        const int r = parameter_put_all(&text, "$1", &parameter, &values[i].type, 100);

        assert_int_equal(r, values[i].text != NULL ? 0 : -EINVAL);
        if (r == 0)
            assert_string_equal(buf_str(&text), values[i].text);
    }
}

/* ---- values in binary ------------------------------------------------------------------------ */

static void
test_binary_values(void **state)
{
    static const struct {
        enum pg_type type;
        const char *text;
        size_t len;
        const char *bytes;
    } values[] = {
        {PG_TYPE_TEXT, "shop", 4, "shop"},
        {PG_TYPE_INT4, "-2", 4, "\377\377\377\376"},
        {PG_TYPE_INT8, "4294967298", 8, "\0\0\0\1\0\0\0\2"},
        {PG_TYPE_NUMERIC, "0", 8, "\0\0\0\0\0\0\0\0"},
        {PG_TYPE_NUMERIC, "7", 10, "\0\1\0\0\0\0\0\0\0\7"},
        {PG_TYPE_NUMERIC, "1234", 10, "\0\1\0\0\0\0\0\0\4\322"},
        {PG_TYPE_NUMERIC, "-10000", 12, "\0\2\0\1\100\0\0\0\0\1\0\0"},
        {PG_TYPE_NUMERIC, "123456789", 14, "\0\3\0\2\0\0\0\0\0\1\11\51\32\205"},
    };
    const struct formats binary = {.count = 1, .codes = {1}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        const struct msg_column column = {.name = "x", .type = values[i].type};
        CLEANUP(buf_done) struct buf row = BUF_INIT;

        assert_int_equal(result_row(&row, &column, &values[i].text, 1, &binary), 0);
        assert_int_equal(pg_get_uint32(row.data + 7), values[i].len);
        assert_memory_equal(row.data + 11, values[i].bytes, values[i].len);
        assert_int_equal(row.len, 11 + values[i].len);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_conversations),
        TEST(test_pipelined_behind_a_wait),
        TEST(test_transactions),
        TEST(test_savepoints),
        cmocka_unit_test(test_binary_parameters),
        cmocka_unit_test(test_binary_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
