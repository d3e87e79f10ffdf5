#include "hash.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const uint64_t zero_key[2] = {0, 0};

/* What CPython 3.11, which uses SipHash-1-3, too, gives with PYTHONHASHSEED=0. */
static void
test_is_siphash_1_3(void **state)
{
    (void)state;
    hash_set_key(zero_key);
    assert_true(hash_str("a") == UINT64_C(0x407448d2b89b1813));
    assert_true(hash_str("alice") == UINT64_C(0x11af1c347e79d641));
    assert_true(hash_str("01234567") == UINT64_C(0xda3dcedf84ea6cc6));
    assert_true(hash_str("The quick brown fox jumps over the lazy dog") ==
                UINT64_C(0x8df676d3d00c451e));
}

static void
test_bytes_need_no_alignment(void **state)
{
    const char text[] = " 0123456789abcdefg";
    char copy[sizeof(text)];

    (void)state;
    for (size_t len = 0; len < 17; len++) {
        memcpy(copy, text + 1, len);
        assert_true(hash_bytes(text + 1, len) == hash_bytes(copy, len));
    }
}

static void
test_the_key_changes_everything(void **state)
{
    const uint64_t key[2] = {1, 2};
    uint64_t before[3];

    (void)state;
    hash_set_key(zero_key);
    before[0] = hash_str("alice");
    before[1] = hash_u64(42);
    before[2] = hash_combine(1, 2);
    hash_set_key(key);
    assert_true(hash_str("alice") != before[0]);
    assert_true(hash_u64(42) != before[1]);
    assert_true(hash_combine(1, 2) != before[2]);
    hash_set_key(zero_key);
}

static void
test_combine_minds_the_order(void **state)
{
    (void)state;
    assert_true(hash_combine(1, 2) != hash_combine(2, 1));
    assert_true(hash_combine(0, 1) != hash_combine(0, 2));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_siphash_1_3),
        cmocka_unit_test(test_bytes_need_no_alignment),
        cmocka_unit_test(test_the_key_changes_everything),
        cmocka_unit_test(test_combine_minds_the_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
