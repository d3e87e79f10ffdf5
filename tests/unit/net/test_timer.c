/* Timers of the real loop. How late they are is no matter of a unit test; that none is early is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "clock.h"
#include "loop.h"
#include "timer.h"

#define MANY 300 /* more different delays than libevent has common timeouts for */

struct alarm {
    struct timer *timer;
    struct loop *loop;
    usec_t deadline;
    int *counter; /* of all alarms */
    int order;    /* the counter when it rang; 0 before */
    int last;     /* the counter at which the loop stops */
    int restarts; /* that are still to come */
    bool frees;   /* itself */
};

static void
alarm_ring(void *arg)
{
    struct alarm *alarm = arg;

    assert_true(clock_now() >= alarm->deadline);
    assert_true(loop_now(alarm->loop) >= alarm->deadline);
    assert_false(timer_is_running(alarm->timer));
    alarm->order = ++*alarm->counter;
    if (alarm->restarts > 0) {
        alarm->restarts--;
        assert_int_equal(timer_start(alarm->timer, 0), 0);
        return;
    }
    if (alarm->frees) {
        timer_free(alarm->timer);
        alarm->timer = NULL;
    }
    if (*alarm->counter == alarm->last)
        loop_stop(alarm->loop);
}

static void
alarm_init(struct alarm *alarm, struct loop *loop, int *counter, int last)
{
    *alarm = (struct alarm){.loop = loop, .counter = counter, .last = last};
    alarm->timer = timer_new(loop, "alarm", alarm_ring, alarm);
    assert_non_null(alarm->timer);
    assert_false(timer_is_running(alarm->timer));
}

static void
alarm_start(struct alarm *alarm, int (*start)(struct timer *timer, usec_t delay), usec_t delay)
{
    alarm->deadline = clock_now() + delay;
    assert_int_equal(start(alarm->timer, delay), 0);
    assert_true(timer_is_running(alarm->timer));
}

static int
setup(void **state)
{
    struct loop *loop = NULL;

    assert_int_equal(loop_new("test", &loop), 0);
    *state = loop;
    return 0;
}

static int
teardown(void **state)
{
    loop_free(*state);
    return 0;
}

/* A common delay has a queue of its own: when all are late, it has no order beside the others. */
static void
test_in_order_and_never_early(void **state)
{
    struct alarm a, b, c, d;
    int counter = 0;

    alarm_init(&a, *state, &counter, 4);
    alarm_init(&b, *state, &counter, 4);
    alarm_init(&c, *state, &counter, 4);
    alarm_init(&d, *state, &counter, 4);
    alarm_start(&a, timer_start, 60 * MSEC);
    alarm_start(&b, timer_start_common, 40 * MSEC);
    alarm_start(&c, timer_start, 20 * MSEC);
    alarm_start(&d, timer_start, 0);
    loop_run(*state);
    assert_true(d.order < c.order && c.order < a.order);
    assert_true(d.order < b.order);
    timer_free(a.timer);
    timer_free(b.timer);
    timer_free(c.timer);
    timer_free(d.timer);
}

static void
test_stop_and_start_again(void **state)
{
    struct alarm stopped, moved, freed;
    int counter = 0;

    alarm_init(&stopped, *state, &counter, 0);
    alarm_init(&moved, *state, &counter, 1);
    alarm_init(&freed, *state, &counter, 0);
    timer_stop(stopped.timer);
    alarm_start(&stopped, timer_start_common, 5 * MSEC);
    alarm_start(&moved, timer_start, HOUR);
    alarm_start(&freed, timer_start, 5 * MSEC);
    timer_stop(stopped.timer);
    assert_false(timer_is_running(stopped.timer));
    timer_free(freed.timer);
    alarm_start(&moved, timer_start_common, 30 * MSEC); /* the hour is forgotten */
    loop_run(*state);
    assert_int_equal(counter, 1);
    assert_int_equal(moved.order, 1);
    timer_free(stopped.timer);
    timer_free(moved.timer);
    timer_free(NULL);
}

static void
test_from_its_own_call(void **state)
{
    struct alarm alarm;
    int counter = 0;

    alarm_init(&alarm, *state, &counter, 4);
    alarm.restarts = 3;
    alarm.frees = true;
    alarm_start(&alarm, timer_start, 0);
    loop_run(*state);
    assert_int_equal(counter, 4);
    assert_null(alarm.timer);
}

static void
test_more_common_delays_than_there_can_be(void **state)
{
    static struct alarm alarms[MANY];
    int counter = 0;

    for (int i = 0; i < MANY; i++) {
        alarm_init(&alarms[i], *state, &counter, MANY);
        alarm_start(&alarms[i], timer_start_common, MSEC + (usec_t)i);
    }
    loop_run(*state);
    for (int i = 0; i < MANY; i++) {
        assert_true(alarms[i].order > 0);
        timer_free(alarms[i].timer);
    }
}

/* Delays that would overflow a clock are only very long. */
static void
test_never(void **state)
{
    struct alarm never, soon;
    int counter = 0;

    alarm_init(&never, *state, &counter, 0);
    alarm_init(&soon, *state, &counter, 1);
    assert_int_equal(timer_start(never.timer, USEC_NEVER), 0);
    alarm_start(&soon, timer_start, MSEC);
    loop_run(*state);
    assert_int_equal(counter, 1);
    assert_int_equal(timer_start_common(never.timer, USEC_NEVER), 0);
    alarm_start(&soon, timer_start, MSEC);
    soon.last = 2;
    loop_run(*state);
    assert_int_equal(counter, 2);
    assert_true(timer_is_running(never.timer));
    timer_free(never.timer);
    timer_free(soon.timer);
}

/* An earlier time holds, a later one does not; what has rung or was stopped sets no time any more.
 */
static void
test_hastened(void **state)
{
    struct alarm alarm;
    int counter = 0;

    alarm_init(&alarm, *state, &counter, 1);
    assert_int_equal(timer_hasten(alarm.timer, loop_now(*state) + HOUR), 0);
    assert_true(timer_is_running(alarm.timer));
    alarm.deadline = loop_now(*state) + 5 * MSEC;
    assert_int_equal(timer_hasten(alarm.timer, alarm.deadline), 0);
    assert_int_equal(timer_hasten(alarm.timer, loop_now(*state) + 2 * HOUR), 0);
    loop_run(*state);
    assert_int_equal(alarm.order, 1);

    assert_int_equal(timer_start(alarm.timer, 0), 0);
    timer_stop(alarm.timer);
    alarm.last = 2;
    alarm.deadline = loop_now(*state) + MSEC;
    assert_int_equal(timer_hasten(alarm.timer, alarm.deadline), 0);
    loop_run(*state);
    assert_int_equal(alarm.order, 2);
    timer_free(alarm.timer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_in_order_and_never_early),
        TEST(test_stop_and_start_again),
        TEST(test_from_its_own_call),
        TEST(test_more_common_delays_than_there_can_be),
        TEST(test_never),
        TEST(test_hastened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
