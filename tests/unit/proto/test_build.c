/*
 * test_build.c - every message, byte for byte.
 */
#include "build.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "startup.h"

static int
setup(void **state)
{
    struct buf *buf = calloc(1, sizeof(*buf));

    *state = buf;
    return buf != NULL ? buf_append_str(buf, "before") : -1;
}

static int
teardown(void **state)
{
    buf_done(*state);
    free(*state);
    return 0;
}

static void
expect(struct buf *buf, int result, const char *bytes, size_t len)
{
    assert_int_equal(result, 0);
    assert_int_equal(buf->len, 6 + len);
    assert_memory_equal(buf->data, "before", 6);
    assert_memory_equal(buf->data + 6, bytes, len);
    buf->len = 6;
}

/* The call appends these bytes, a literal, behind "before". */
#define EXPECT(call, bytes) expect(buf, (call), (bytes), sizeof(bytes) - 1)

static void
test_login_messages(void **state)
{
    struct buf *buf = *state;

    EXPECT(msg_auth_ok(buf), "R\0\0\0\10\0\0\0\0");
    EXPECT(msg_parameter_status(buf, "TimeZone", "GMT"), "S\0\0\0\21TimeZone\0GMT\0");
    EXPECT(msg_parameter_status(buf, "search_path", ""), "S\0\0\0\21search_path\0\0");
    EXPECT(msg_backend_key(buf, 0x01020304, "\xaa\0\xbb\xcc", 4),
           "K\0\0\0\14\1\2\3\4\xaa\0\xbb\xcc");
    EXPECT(msg_backend_key(buf, UINT32_MAX, "0123456789", 10), "K\0\0\0\22\xff\xff\xff\xff"
                                                               "0123456789");
    EXPECT(msg_ready(buf, READY_IDLE), "Z\0\0\0\5I");
    EXPECT(msg_ready(buf, READY_FAILED_TRANSACTION), "Z\0\0\0\5E");
}

static void
test_negotiation_names_what_is_unknown(void **state)
{
    static const char packet[] =
        "\0\0\0\62\0\3\0\1user\0a\0_pq_.x\0one\0database\0d\0_pq_.yy\0two\0";
    struct buf *buf = *state;
    struct startup startup;

    assert_int_equal(startup_parse(packet, sizeof(packet), &startup), STARTUP_LOGIN);
    EXPECT(msg_negotiate(buf, &startup), "v\0\0\0\33\0\3\0\1\0\0\0\2_pq_.x\0_pq_.yy\0");
}

static void
test_negotiation_of_the_version_only(void **state)
{
    static const char packet[] = "\0\0\0\20\0\3\x27\x0fuser\0a\0";
    struct buf *buf = *state;
    struct startup startup;

    assert_int_equal(startup_parse(packet, sizeof(packet), &startup), STARTUP_LOGIN);
    EXPECT(msg_negotiate(buf, &startup), "v\0\0\0\14\0\3\0\2\0\0\0\0");
}

static void
test_errors_and_notices(void **state)
{
    struct buf *buf = *state;

    EXPECT(msg_error(buf, "FATAL", SQLSTATE_PROTOCOL_VIOLATION, "no", NULL, NULL),
           "E\0\0\0\36SFATAL\0VFATAL\0C08P01\0Mno\0\0");
    EXPECT(msg_error(buf, "ERROR", SQLSTATE_QUERY_CANCELED, "m", "d", "h"),
           "E\0\0\0\43SERROR\0VERROR\0C57014\0Mm\0Dd\0Hh\0\0");
    EXPECT(msg_notice(buf, "NOTICE", SQLSTATE_SUCCESSFUL_COMPLETION, "wait", NULL, "more"),
           "N\0\0\0\50SNOTICE\0VNOTICE\0C00000\0Mwait\0Hmore\0\0");
}

static void
test_results(void **state)
{
    static const struct msg_column columns[] = {
        {"name", PG_TYPE_TEXT}, {"n", PG_TYPE_INT4}, {"q", PG_TYPE_INT8},
        {"N", PG_TYPE_NUMERIC}, {"b", PG_TYPE_BOOL},
    };
    static const char *const values[] = {"abc", NULL, ""};
    struct buf *buf = *state;

    EXPECT(msg_row_description(buf, columns, ARRAY_SIZE(columns)),
           "T\0\0\0\155\0\5"
           "name\0\0\0\0\0\0\0\0\0\0\31\377\377\377\377\377\377\0\0"
           "n\0\0\0\0\0\0\0\0\0\0\27\0\4\377\377\377\377\0\0"
           "q\0\0\0\0\0\0\0\0\0\0\24\0\10\377\377\377\377\0\0"
           "N\0\0\0\0\0\0\0\0\0\6\244\377\377\377\377\377\377\0\0"
           "b\0\0\0\0\0\0\0\0\0\0\20\0\1\377\377\377\377\0\0");
    EXPECT(msg_row_description(buf, NULL, 0), "T\0\0\0\6\0\0");
    EXPECT(msg_data_row(buf, values, 3), "D\0\0\0\25\0\3\0\0\0\3abc\377\377\377\377\0\0\0\0");
    EXPECT(msg_data_row(buf, NULL, 0), "D\0\0\0\6\0\0");
    EXPECT(msg_command_complete(buf, "SELECT 1"), "C\0\0\0\15SELECT 1\0");
}

static void
test_client_messages(void **state)
{
    struct buf *buf = *state;

    EXPECT(msg_query(buf, "SELECT 1"), "Q\0\0\0\15SELECT 1\0");
    EXPECT(msg_query(buf, ""), "Q\0\0\0\5\0");
    EXPECT(msg_bind(buf, "", ""), "B\0\0\0\14\0\0\0\0\0\0\0\0");
    EXPECT(msg_bind(buf, "p", "st"), "B\0\0\0\17p\0st\0\0\0\0\0\0\0");
    EXPECT(msg_sync(buf), "S\0\0\0\4");
    EXPECT(msg_terminate(buf), "X\0\0\0\4");
}

static void
test_messages_line_up(void **state)
{
    struct buf *buf = *state;

    assert_int_equal(msg_auth_ok(buf), 0);
    assert_int_equal(msg_ready(buf, READY_IDLE), 0);
    EXPECT(msg_sync(buf), "R\0\0\0\10\0\0\0\0Z\0\0\0\5IS\0\0\0\4");
}

/* The message in an array of each size up to the one that it needs. */
static void
test_array_is_never_overrun(void **state)
{
    static const char whole[] = "A\0\0\0\21\0\0\0\7channel\0\0";

    (void)state;
    for (size_t size = 0; size <= 18; size++) {
        CLEANUP(free) char *data = malloc(size + (size == 0));
        struct msg msg;

        assert_non_null(data);
        msg_begin_array(&msg, data, size, BACKEND_NOTIFICATION);
        msg_put_int32(&msg, 7);
        msg_put_str(&msg, "channel");
        msg_put_byte(&msg, '\0');
        assert_int_equal(msg_end(&msg), size < 18 ? -EMSGSIZE : 0);
        if (size == 18) {
            assert_int_equal(msg.len, 18);
            assert_memory_equal(data, whole, 18);
        }
    }
}

static void
test_error_without_memory_is_cut(void **state)
{
    const size_t empty = 5 + 7 + 7 + 7 + 3; /* header, S, V, C, M and the end */

    (void)state;
    for (size_t size = 0; size < empty + 9; size++) {
        CLEANUP(free) char *data = malloc(size + (size == 0));
        const size_t taken = size < empty ? 0 : MIN(size - empty, 5);
        ssize_t len;

        assert_non_null(data);
        len = msg_error_array(data, size, "FATAL", SQLSTATE_OUT_OF_MEMORY, "out o");
        assert_int_equal(len, size < empty ? -EMSGSIZE : (ssize_t)(empty + taken));
        if (len < 0)
            continue;
        assert_int_equal(pg_get_uint32(data + 1), len - 1);
        assert_memory_equal(data + 5, "SFATAL\0VFATAL\0C53200\0M", 22);
        assert_memory_equal(data + 27, "out o", taken);
        assert_memory_equal(data + 27 + taken, "\0\0", 2);
    }
}

static void
test_error_is_not_cut_inside_a_character(void **state)
{
    char data[5 + 7 + 7 + 7 + 3 + 3];

    (void)state;
    assert_int_equal(msg_error_array(data, sizeof(data), "FATAL", "53200", "x\xc3\xa9\xc3\xa9"),
                     sizeof(data));
    assert_memory_equal(data + 27, "x\xc3\xa9\0\0", 5);
    assert_int_equal(msg_error_array(data, sizeof(data) - 1, "FATAL", "53200", "x\xc3\xa9\xc3\xa9"),
                     sizeof(data) - 2);
    assert_memory_equal(data + 27, "x\0\0", 3);
}

/* What was there stays, and the first error is the one told. */
static void
test_failure_leaves_the_buf_as_it_was(void **state)
{
    struct buf *buf = *state;
    struct msg msg;

    msg_begin(&msg, buf, BACKEND_NOTICE);
    msg_put_str(&msg, "half a message");
    msg.error = -ENOMEM;
    msg_put_str(&msg, "ignored");
    assert_int_equal(msg_end(&msg), -ENOMEM);
    assert_int_equal(buf->len, 6);
    assert_string_equal(buf_str(buf), "before");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_login_messages),
        TEST(test_negotiation_names_what_is_unknown),
        TEST(test_negotiation_of_the_version_only),
        TEST(test_errors_and_notices),
        TEST(test_results),
        TEST(test_client_messages),
        TEST(test_messages_line_up),
        TEST(test_array_is_never_overrun),
        TEST(test_error_without_memory_is_cut),
        TEST(test_error_is_not_cut_inside_a_character),
        TEST(test_failure_leaves_the_buf_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
