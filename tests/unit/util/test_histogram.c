#include "histogram.h"

#include "rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_an_empty_one_has_no_quantiles(void **state)
{
    const struct histogram empty = {0};

    (void)state;
    assert_int_equal(histogram_quantile(&empty, 0.5), 0);
    assert_int_equal(histogram_quantile(&empty, 1), 0);
}

/* Every value lands in the first bucket whose maximum is not below it, and no bucket is wide. */
static void
test_buckets_are_contiguous_and_narrow(void **state)
{
    (void)state;
    for (size_t i = 1; i < HISTOGRAM_BUCKETS; i++) {
        const usec_t low = histogram_bucket_max(i - 1) + 1;
        const usec_t high = histogram_bucket_max(i);
        struct histogram histogram = {0};

        assert_true(high >= low);
        assert_true((high - low) * 8 < low + 8);
        histogram_add(&histogram, low);
        histogram_add(&histogram, high);
        assert_int_equal(histogram.buckets[i], 2);
    }
    assert_int_equal(histogram_bucket_max(HISTOGRAM_BUCKETS - 1), UINT32_MAX);
}

static void
test_small_values_are_exact(void **state)
{
    struct histogram histogram = {0};

    (void)state;
    for (usec_t value = 1; value <= 10; value++)
        histogram_add(&histogram, value);
    assert_int_equal(histogram_quantile(&histogram, 0), 1);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 5);
    assert_int_equal(histogram_quantile(&histogram, 0.9), 9);
    assert_int_equal(histogram_quantile(&histogram, 1), 10);
    assert_int_equal(histogram.sum, 55);
    assert_int_equal(histogram.count, 10);
}

static void
test_quantiles_are_at_most_an_eighth_too_high(void **state)
{
    struct histogram histogram = {0};
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    for (int i = 0; i < 100000; i++)
        histogram_add(&histogram, 1 + rng_below(&rng, 1000000));
    for (double q = 0.1; q < 1; q += 0.1) {
        const double quantile = (double)histogram_quantile(&histogram, q);

        assert_true(quantile > q * 1000000 * 0.99);
        assert_true(quantile < q * 1000000 * 1.14);
    }
    assert_true(histogram_quantile(&histogram, 1) <= 1000000);
}

static void
test_the_largest_values_share_a_bucket(void **state)
{
    struct histogram histogram = {0};

    (void)state;
    histogram_add(&histogram, 3 * HOUR);
    histogram_add(&histogram, USEC_NEVER);
    assert_int_equal(histogram.buckets[HISTOGRAM_BUCKETS - 1], 2);
    assert_true(histogram_quantile(&histogram, 0.5) == USEC_NEVER);
}

static void
test_merge_adds_up(void **state)
{
    struct histogram a = {0};
    struct histogram b = {0};

    (void)state;
    histogram_add(&a, 1);
    histogram_add(&b, 100);
    histogram_add(&b, 3);
    histogram_merge(&a, &b);
    assert_int_equal(a.count, 3);
    assert_int_equal(a.sum, 104);
    assert_int_equal(a.max, 100);
    assert_int_equal(histogram_quantile(&a, 0.5), 3);
    histogram_reset(&a);
    assert_int_equal(a.count, 0);
    assert_int_equal(histogram_quantile(&a, 0.5), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_one_has_no_quantiles),
        cmocka_unit_test(test_buckets_are_contiguous_and_narrow),
        cmocka_unit_test(test_small_values_are_exact),
        cmocka_unit_test(test_quantiles_are_at_most_an_eighth_too_high),
        cmocka_unit_test(test_the_largest_values_share_a_bucket),
        cmocka_unit_test(test_merge_adds_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
