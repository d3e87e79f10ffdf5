/*
 * test_peer_key.c - the layout that a group of poolers, PgBouncers among them, agrees on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "peer_key.h"

/* Byte by byte: id 0x1234 is 34 12 behind the first byte; the last byte's two low bits are set. */
static void
test_layout(void **state)
{
    char key[8] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x40};

    (void)state;
    peer_key_mark(key, 0x1234);
    assert_memory_equal(key, "\x11\x34\x12\x44\x55\x66\x77\x43", 8);
    assert_int_equal(peer_key_id(key), 0x1234);
    assert_int_equal(peer_key_hops(key), 3);
}

static void
test_largest_id(void **state)
{
    char key[8] = {0};

    (void)state;
    peer_key_mark(key, 65535);
    assert_int_equal(peer_key_id(key), 65535);
}

/* Who is alone keeps all random bytes but for the two bits. */
static void
test_no_id(void **state)
{
    char key[8] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, (char)0x80};

    (void)state;
    peer_key_mark(key, 0);
    assert_memory_equal(key, "\x11\x22\x33\x44\x55\x66\x77\x83", 8);
}

static void
test_hops(void **state)
{
    char key[8];

    (void)state;
    memset(key, 0xff, sizeof(key));
    for (unsigned hops = PEER_KEY_HOPS; hops > 0; hops--) {
        assert_int_equal(peer_key_hops(key), hops);
        peer_key_set_hops(key, hops - 1);
    }
    assert_int_equal(peer_key_hops(key), 0);
    assert_memory_equal(key, "\xff\xff\xff\xff\xff\xff\xff\xfc", 8);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_largest_id),
        cmocka_unit_test(test_no_id),
        cmocka_unit_test(test_hops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
