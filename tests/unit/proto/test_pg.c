/*
 * test_pg.c - integers in network order, limits of a client's messages.
 */
#include "pg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
test_integers_go_both_ways(void **state)
{
    static const uint32_t values[] = {0, 1, 0x7f, 0x80, 0xff01, 0x12345678, INT32_MAX, UINT32_MAX};
    char bytes[4];

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        pg_put_uint32(bytes, values[i]);
        assert_int_equal(pg_get_uint32(bytes), values[i]);
        pg_put_uint16(bytes, (uint16_t)values[i]);
        assert_int_equal(pg_get_uint16(bytes), (uint16_t)values[i]);
    }
    pg_put_uint32(bytes, 0x01fe03fc);
    assert_memory_equal(bytes, "\x01\xfe\x03\xfc", 4);
    pg_put_uint16(bytes, 0xfe01);
    assert_memory_equal(bytes, "\xfe\x01", 2);
}

static void
test_header_counts_itself(void **state)
{
    char header[PG_HEADER_SIZE];

    (void)state;
    pg_put_header(header, FRONTEND_SYNC, 0);
    assert_memory_equal(header, "S\0\0\0\4", 5);
    pg_put_header(header, FRONTEND_QUERY, 0x10000);
    assert_memory_equal(header, "Q\0\1\0\4", 5);
}

static void
test_codes_are_those_of_the_manual(void **state)
{
    (void)state;
    assert_int_equal(PG_PROTOCOL_3_0, 196608);
    assert_int_equal(PG_CANCEL_REQUEST, 80877102);
    assert_int_equal(PG_SSL_REQUEST, 80877103);
    assert_int_equal(PG_GSSENC_REQUEST, 80877104);
}

/* A password is not among them: after the login it has no business. */
static void
test_only_known_types_have_a_limit(void **state)
{
    static const char small[] = "CDEHSXcf";
    static const char large[] = "BFPQd";

    (void)state;
    for (int type = 0; type < 256; type++) {
        const uint32_t limit = frontend_max_len((char)type);

        if (type != 0 && strchr(small, type) != NULL)
            assert_int_equal(limit, 10001);
        else if (type != 0 && strchr(large, type) != NULL)
            assert_int_equal(limit, 0x3fffffff);
        else
            assert_int_equal(limit, 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_go_both_ways),
        cmocka_unit_test(test_header_counts_itself),
        cmocka_unit_test(test_codes_are_those_of_the_manual),
        cmocka_unit_test(test_only_known_types_have_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
