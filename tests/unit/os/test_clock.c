#include "clock.h"

#include <stdlib.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_formats_in_the_local_zone(void **state)
{
    char text[CLOCK_TEXT_MAX];

    (void)state;
    assert_string_equal(clock_format(text, 1795230016 * SEC + 37999),
                        "2026-11-21 03:00:16.037 UTC");
    assert_string_equal(clock_format(text, 1795230016 * SEC + 38000),
                        "2026-11-21 03:00:16.038 UTC");
    assert_string_equal(clock_format(text, 0), "1970-01-01 00:00:00.000 UTC");
    assert_string_equal(clock_format(text, 1795230016 * SEC), "2026-11-21 03:00:16.000 UTC");
}

static void
test_monotonic_does_not_go_back(void **state)
{
    const usec_t before = clock_now();

    (void)state;
    assert_true(clock_now() >= before);
    assert_true(clock_wall() > 1700000000 * SEC);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats_in_the_local_zone),
        cmocka_unit_test(test_monotonic_does_not_go_back),
    };

    (void)setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
