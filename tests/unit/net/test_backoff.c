#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backoff.h"
#include "macros.h"
#include "rng.h"

/* Doubles from base to ceiling, each spread over the upper half of itself. */
static void
test_delays_double_up_to_the_ceiling(void **state)
{
    const usec_t expected[] = {100 * MSEC,  200 * MSEC, 400 * MSEC, 800 * MSEC,
                               1600 * MSEC, 2 * SEC,    2 * SEC};
    struct backoff backoff;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    for (int round = 0; round < 100; round++) {
        backoff_init(&backoff, 100 * MSEC, 2 * SEC);
        for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
            assert_in_range(backoff_fail(&backoff, &rng), expected[i] / 2, expected[i]);
        assert_int_equal(backoff.failures, ARRAY_SIZE(expected));
    }
}

static void
test_a_success_starts_over(void **state)
{
    struct backoff backoff;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 2);
    backoff_init(&backoff, 100, 1000);
    for (int i = 0; i < 1000; i++) /* far beyond what a shift could hold */
        assert_in_range(backoff_fail(&backoff, &rng), 50, 1000);
    backoff_succeed(&backoff);
    assert_in_range(backoff_fail(&backoff, &rng), 50, 100);
}

static void
test_extreme_delays(void **state)
{
    struct backoff backoff;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 3);
    backoff_init(&backoff, 0, 0);
    assert_int_equal(backoff_fail(&backoff, &rng), 0);
    backoff_init(&backoff, USEC_NEVER / 2, USEC_NEVER);
    for (int i = 0; i < 100; i++)
        assert_true(backoff_fail(&backoff, &rng) >= USEC_NEVER / 4);
    backoff_init(&backoff, 10 * SEC, SEC); /* the ceiling wins */
    assert_in_range(backoff_fail(&backoff, &rng), SEC / 2, SEC);
}

static void
test_breaker_opens_at_its_threshold(void **state)
{
    struct breaker breaker;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 4);
    breaker_init(&breaker, 3, SEC, MINUTE);
    for (int i = 0; i < 2; i++) {
        assert_true(breaker_allow(&breaker, 0));
        breaker_fail(&breaker, 0, &rng);
    }
    assert_int_equal(breaker.state, BREAKER_CLOSED);
    assert_int_equal(breaker_retry_at(&breaker), 0);
    breaker_succeed(&breaker); /* in a row, or they do not count */
    for (int i = 0; i < 3; i++)
        breaker_fail(&breaker, 1000, &rng);
    assert_int_equal(breaker.state, BREAKER_OPEN);
    assert_in_range(breaker_retry_at(&breaker), 1000 + 2 * SEC, 1000 + 4 * SEC);
}

static void
test_breaker_half_open_lets_one_through(void **state)
{
    struct breaker breaker;
    struct rng rng;
    usec_t at;

    (void)state;
    rng_seed(&rng, 5);
    breaker_init(&breaker, 1, SEC, MINUTE);
    breaker_fail(&breaker, 0, &rng);
    at = breaker_retry_at(&breaker);
    assert_false(breaker_allow(&breaker, at - 1));
    assert_true(breaker_allow(&breaker, at));
    assert_int_equal(breaker.state, BREAKER_HALF_OPEN);
    assert_false(breaker_allow(&breaker, at));
    assert_int_equal(breaker_retry_at(&breaker), USEC_NEVER);

    breaker_abandon(&breaker); /* it told nothing: the next may try */
    assert_int_equal(breaker_retry_at(&breaker), 0);
    assert_true(breaker_allow(&breaker, at));

    breaker_fail(&breaker, at, &rng);
    assert_int_equal(breaker.state, BREAKER_OPEN);
    assert_in_range(breaker_retry_at(&breaker), at + SEC, at + 2 * SEC);

    assert_true(breaker_allow(&breaker, at + MINUTE));
    breaker_succeed(&breaker);
    assert_int_equal(breaker.state, BREAKER_CLOSED);
    assert_true(breaker_allow(&breaker, at));
}

/* Several attempts that began together fail together: one trouble, one delay. */
static void
test_breaker_counts_simultaneous_failures_once(void **state)
{
    struct breaker breaker;
    struct rng rng;
    usec_t at;

    (void)state;
    rng_seed(&rng, 6);
    breaker_init(&breaker, 1, SEC, MINUTE);
    breaker_fail(&breaker, 0, &rng);
    at = breaker_retry_at(&breaker);
    breaker_fail(&breaker, 10, &rng);
    breaker_fail(&breaker, 20, &rng);
    assert_int_equal(breaker_retry_at(&breaker), at);
    assert_int_equal(breaker.backoff.failures, 1);
}

static void
test_breaker_names(void **state)
{
    (void)state;
    assert_string_equal(breaker_state_name(BREAKER_CLOSED), "closed");
    assert_string_equal(breaker_state_name(BREAKER_OPEN), "open");
    assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half-open");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays_double_up_to_the_ceiling),
        cmocka_unit_test(test_a_success_starts_over),
        cmocka_unit_test(test_extreme_delays),
        cmocka_unit_test(test_breaker_opens_at_its_threshold),
        cmocka_unit_test(test_breaker_half_open_lets_one_through),
        cmocka_unit_test(test_breaker_counts_simultaneous_failures_once),
        cmocka_unit_test(test_breaker_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
