#include "buf.h"

#include <errno.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_grows_and_stays_a_string(void **state)
{
    CLEANUP(buf_done) struct buf buf = BUF_INIT;

    (void)state;
    assert_string_equal(buf_str(&buf), "");
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(buf_append(&buf, "abc", 3), 0);
        assert_int_equal(buf.data[buf.len], '\0');
        assert_true(buf.len < buf.cap);
    }
    assert_int_equal(buf.len, 3000);
    assert_int_equal(strlen(buf_str(&buf)), 3000);
}

static void
test_appends_bytes_strings_and_formats(void **state)
{
    CLEANUP(buf_done) struct buf buf = BUF_INIT;

    (void)state;
    assert_int_equal(buf_append(&buf, NULL, 0), 0);
    assert_int_equal(buf_append_str(&buf, "one"), 0);
    assert_int_equal(buf_append_char(&buf, ' '), 0);
    assert_int_equal(buf_printf(&buf, "%d%200s", 2, "end"), 0);
    assert_int_equal(buf.len, 205);
    assert_memory_equal(buf.data, "one 2 ", 6);
    assert_string_equal(buf.data + 202, "end");
}

static void
test_consumes_from_the_front(void **state)
{
    CLEANUP(buf_done) struct buf buf = BUF_INIT;

    (void)state;
    buf_consume(&buf, 1);
    assert_int_equal(buf_append_str(&buf, "hello world"), 0);
    buf_consume(&buf, 6);
    assert_string_equal(buf_str(&buf), "world");
    buf_consume(&buf, 100);
    assert_int_equal(buf.len, 0);
    assert_string_equal(buf_str(&buf), "");
}

static void
test_steal_leaves_it_empty(void **state)
{
    CLEANUP(free) char *stolen = NULL;
    CLEANUP(free) char *empty = NULL;
    struct buf buf;

    (void)state;
    buf_init(&buf);
    assert_int_equal(buf_append_str(&buf, "mine"), 0);
    stolen = buf_steal(&buf);
    assert_string_equal(stolen, "mine");
    assert_null(buf.data);
    assert_int_equal(buf.cap, 0);
    empty = buf_steal(&buf);
    assert_string_equal(empty, "");
}

static void
test_a_size_beyond_memory_changes_nothing(void **state)
{
    CLEANUP(buf_done) struct buf buf = BUF_INIT;

    (void)state;
    assert_int_equal(buf_append_str(&buf, "kept"), 0);
    assert_int_equal(buf_reserve(&buf, SIZE_MAX), -ENOMEM);
    assert_int_equal(buf_reserve(&buf, SIZE_MAX - buf.len), -ENOMEM);
    assert_string_equal(buf_str(&buf), "kept");
}

static void
test_take_gives_the_pointer_away(void **state)
{
    int value = 0;
    int *owner = &value;

    (void)state;
    assert_ptr_equal(TAKE(owner), &value);
    assert_null(owner);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_and_stays_a_string),
        cmocka_unit_test(test_appends_bytes_strings_and_formats),
        cmocka_unit_test(test_consumes_from_the_front),
        cmocka_unit_test(test_steal_leaves_it_empty),
        cmocka_unit_test(test_a_size_beyond_memory_changes_nothing),
        cmocka_unit_test(test_take_gives_the_pointer_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
