#include "units.h"

#include <errno.h>

#include "macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_durations(void **state)
{
    static const struct {
        const char *text;
        int r;
        usec_t usec;
    } rows[] = {
        {"30", 0, 30 * SEC},
        {"0", 0, 0},
        {"0.0", 0, 0},
        {"1.5", 0, 1500 * MSEC},
        {".25", 0, 250 * MSEC},
        {"+2", 0, 2 * SEC},
        {"-0", 0, 0},
        {"500ms", 0, 500 * MSEC},
        {"250us", 0, 250},
        {"30s", 0, 30 * SEC},
        {"5min", 0, 5 * MINUTE},
        {"2h", 0, 2 * HOUR},
        {"1d", 0, DAY},
        {"1.5 h", 0, 90 * MINUTE},
        {" 10 MS ", 0, 10 * MSEC},
        {"2.592e+06", 0, 30 * DAY},
        {"1e3ms", 0, SEC},
        {"0.0000004", 0, 0},
        {"0.1", 0, 100 * MSEC},
        {"", -EINVAL, 0},
        {" ", -EINVAL, 0},
        {"s", -EINVAL, 0},
        {".", -EINVAL, 0},
        {"-", -EINVAL, 0},
        {"e5", -EINVAL, 0},
        {"1e", -EINVAL, 0},
        {"1,5", -EINVAL, 0},
        {"30 s x", -EINVAL, 0},
        {"30sec", -EINVAL, 0},
        {"5m", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
        {"inf", -EINVAL, 0},
        {"nan", -EINVAL, 0},
        {"-1", -ERANGE, 0},
        {"-1ms", -ERANGE, 0},
        {"1e30", -ERANGE, 0},
        {"1e9999", -ERANGE, 0},
        {"9999999999999999999999999999999999999999999999999999999999999999999999", -EINVAL, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        usec_t usec = 77;

        assert_int_equal(units_parse_duration(rows[i].text, SEC, &usec), rows[i].r);
        assert_int_equal(usec, rows[i].r == 0 ? rows[i].usec : 77);
    }
}

static void
test_a_bare_duration_counts_in_the_given_unit(void **state)
{
    usec_t usec;

    (void)state;
    assert_int_equal(units_parse_duration("200", MSEC, &usec), 0);
    assert_int_equal(usec, 200 * MSEC);
    assert_int_equal(units_parse_duration("2s", MSEC, &usec), 0);
    assert_int_equal(usec, 2 * SEC);
}

static void
test_sizes(void **state)
{
    static const struct {
        const char *text;
        int r;
        uint64_t bytes;
    } rows[] = {
        {"4096", 0, 4096},
        {"0x1000", 0, 4096},
        {"0", 0, 0},
        {"64kB", 0, 65536},
        {"64kb", 0, 65536},
        {"1MB", 0, 1 << 20},
        {"1.5MB", 0, 3 << 19},
        {" 2 GB ", 0, UINT64_C(2) << 30},
        {"1TB", 0, UINT64_C(1) << 40},
        {"100B", 0, 100},
        {"9223372036854775807", 0, INT64_MAX},
        {"1.5", -EINVAL, 0},
        {"64k", -EINVAL, 0},
        {"kB", -EINVAL, 0},
        {"", -EINVAL, 0},
        {"-1", -ERANGE, 0},
        {"-1kB", -ERANGE, 0},
        {"9223372036854775808", -ERANGE, 0},
        {"99999999TB", -ERANGE, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t bytes = 77;

        assert_int_equal(units_parse_size(rows[i].text, &bytes), rows[i].r);
        assert_int_equal(bytes, rows[i].r == 0 ? rows[i].bytes : 77);
    }
}

static void
test_bools(void **state)
{
    static const char *const yes[] = {"1", "on", "yes", "true", "TRUE", " On "};
    static const char *const no[] = {"0", "off", "no", "false", "No"};
    static const char *const neither[] = {"", "2", "y", "o", "truely", "on off"};
    bool value;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        value = false;
        assert_int_equal(units_parse_bool(yes[i], &value), 0);
        assert_true(value);
    }
    for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
        value = true;
        assert_int_equal(units_parse_bool(no[i], &value), 0);
        assert_false(value);
    }
    for (size_t i = 0; i < ARRAY_SIZE(neither); i++)
        assert_int_equal(units_parse_bool(neither[i], &value), -EINVAL);
}

static void
test_ints(void **state)
{
    static const struct {
        const char *text;
        int r;
        int64_t number;
    } rows[] = {
        {"6432", 0, 6432},
        {" -5 ", 0, -5},
        {"0x1F", 0, 31},
        {"0777", 0, 511},
        {"9223372036854775807", 0, INT64_MAX},
        {"9223372036854775808", -ERANGE, 0},
        {"", -EINVAL, 0},
        {" ", -EINVAL, 0},
        {"12a", -EINVAL, 0},
        {"1 2", -EINVAL, 0},
        {"089", -EINVAL, 0},
        {"1.0", -EINVAL, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t number = 77;

        assert_int_equal(units_parse_int(rows[i].text, &number), rows[i].r);
        assert_int_equal(number, rows[i].r == 0 ? rows[i].number : 77);
    }
}

static void
test_prints_durations_as_pgbouncer_does(void **state)
{
    char text[UNITS_TEXT_MAX];

    (void)state;
    assert_string_equal(units_format_duration(text, 0), "0");
    assert_string_equal(units_format_duration(text, 30 * SEC), "30");
    assert_string_equal(units_format_duration(text, 100 * MSEC), "0.1");
    assert_string_equal(units_format_duration(text, DAY), "86400");
    assert_string_equal(units_format_duration(text, 30 * DAY), "2.592e+06");
}

static void
test_prints_sizes_in_the_largest_whole_unit(void **state)
{
    char text[UNITS_TEXT_MAX];

    (void)state;
    assert_string_equal(units_format_size(text, 0), "0");
    assert_string_equal(units_format_size(text, 1500), "1500");
    assert_string_equal(units_format_size(text, 65536), "64kB");
    assert_string_equal(units_format_size(text, 3 << 19), "1536kB");
    assert_string_equal(units_format_size(text, UINT64_C(2) << 40), "2TB");
    assert_string_equal(units_format_size(text, UINT64_MAX), "18446744073709551615");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_a_bare_duration_counts_in_the_given_unit),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_bools),
        cmocka_unit_test(test_ints),
        cmocka_unit_test(test_prints_durations_as_pgbouncer_does),
        cmocka_unit_test(test_prints_sizes_in_the_largest_whole_unit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
