#include "rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DRAWS 60000

static void
test_a_seed_repeats_its_numbers(void **state)
{
    struct rng a;
    struct rng b;
    struct rng other;

    (void)state;
    rng_seed(&a, 0);
    rng_seed(&b, 0);
    rng_seed(&other, 1);
    for (int i = 0; i < 10; i++) {
        const uint64_t number = rng_next(&a);

        assert_true(number == rng_next(&b));
        assert_true(number != rng_next(&other));
    }
}

static void
test_below_is_even(void **state)
{
    unsigned counts[6] = {0};
    struct rng rng;

    (void)state;
    rng_seed(&rng, 42);
    for (int i = 0; i < DRAWS; i++) {
        const uint64_t number = rng_below(&rng, 6);

        assert_true(number < 6);
        counts[number]++;
    }
    for (int i = 0; i < 6; i++)
        assert_in_range(counts[i], DRAWS / 6 * 95 / 100, DRAWS / 6 * 105 / 100);
    assert_int_equal(rng_below(&rng, 1), 0);
    assert_true(rng_below(&rng, UINT64_MAX) < UINT64_MAX);
}

static void
test_doubles_fill_the_unit_interval(void **state)
{
    double sum = 0;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 42);
    for (int i = 0; i < DRAWS; i++) {
        const double number = rng_double(&rng);

        assert_true(number >= 0 && number < 1);
        sum += number;
    }
    assert_true(sum > DRAWS * 0.49 && sum < DRAWS * 0.51);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_seed_repeats_its_numbers),
        cmocka_unit_test(test_below_is_even),
        cmocka_unit_test(test_doubles_fill_the_unit_interval),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
