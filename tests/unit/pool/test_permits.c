/*
 * test_permits.c - never more than the limit, whoever asks; and who waits is woken.
 */
#include "permits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_loop.h"

struct fixture {
    struct permits permits;
    struct loop *loop;
};

/* Somebody who wants a permit, and takes one as soon as he is told to try again. */
struct taker {
    struct permit_wait wait;
    struct permits *permits;
    unsigned limit;
    unsigned woken;
    bool tries; /* when woken */
    bool has;
};

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    permits_init(&f->permits);
    f->loop = fake_loop_new();
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    loop_free(f->loop);
    permits_done(&f->permits);
    free(f);
    return 0;
}

static void
taker_woken(struct message *message)
{
    struct taker *const taker = container_of(message, struct taker, wait.message);

    permits_woken(&taker->wait);
    taker->woken++;
    if (taker->tries && !taker->has)
        taker->has = permits_try_or_wait(taker->permits, taker->limit, &taker->wait);
}

static void
taker_init(struct fixture *f, struct taker *taker, unsigned limit, bool tries)
{
    *taker = (struct taker){.permits = &f->permits, .limit = limit, .tries = tries};
    taker->wait.loop = f->loop;
    taker->wait.message.fn = taker_woken;
}

static void
test_limit(void **state)
{
    struct fixture *f = *state;

    assert_true(permits_try(&f->permits, 2));
    assert_true(permits_try(&f->permits, 2));
    assert_false(permits_try(&f->permits, 2));
    assert_true(permits_try(&f->permits, 3)); /* a reserve is a larger number */
    assert_true(permits_try(&f->permits, 0)); /* no limit at all */
    assert_int_equal(permits_used(&f->permits), 4);
    for (unsigned i = 0; i < 4; i++)
        permits_give(&f->permits);
    assert_int_equal(permits_used(&f->permits), 0);
}

static void
test_who_waits_is_woken_once(void **state)
{
    struct fixture *f = *state;
    struct taker taker;

    taker_init(f, &taker, 1, false);
    assert_true(permits_try_or_wait(&f->permits, 1, &taker.wait));
    assert_false(permits_contended(&f->permits));
    assert_false(permits_try_or_wait(&f->permits, 1, &taker.wait));
    assert_false(permits_try_or_wait(&f->permits, 1, &taker.wait)); /* entered once */
    assert_true(permits_contended(&f->permits));
    permits_give(&f->permits);
    assert_false(permits_contended(&f->permits));
    assert_int_equal(taker.woken, 0); /* only ever from the loop */
    fake_loop_settle(f->loop);
    assert_int_equal(taker.woken, 1);
    assert_true(permits_leave(&taker.wait));
}

static void
test_all_who_wait_try_in_order(void **state)
{
    struct fixture *f = *state;
    struct taker takers[3];

    assert_true(permits_try(&f->permits, 1));
    for (unsigned i = 0; i < 3; i++) {
        taker_init(f, &takers[i], 1, true);
        assert_false(permits_try_or_wait(&f->permits, 1, &takers[i].wait));
    }
    for (unsigned i = 0; i < 3; i++) {
        permits_give(&f->permits);
        fake_loop_settle(f->loop);
        for (unsigned k = 0; k < 3; k++)
            assert_int_equal(takers[k].has, k <= i);
        assert_int_equal(permits_used(&f->permits), 1);
    }
    permits_give(&f->permits);
}

static void
test_leaving(void **state)
{
    struct fixture *f = *state;
    struct taker taker;

    taker_init(f, &taker, 1, false);
    assert_true(permits_leave(&taker.wait)); /* was not in */
    assert_true(permits_try(&f->permits, 1));
    assert_false(permits_try_or_wait(&f->permits, 1, &taker.wait));
    assert_true(permits_leave(&taker.wait));
    assert_false(permits_contended(&f->permits));
    permits_give(&f->permits);
    fake_loop_settle(f->loop);
    assert_int_equal(taker.woken, 0);
}

/* The message is on its way: its owner has to wait for it. */
static void
test_leaving_too_late(void **state)
{
    struct fixture *f = *state;
    struct taker taker;

    taker_init(f, &taker, 1, false);
    assert_true(permits_try(&f->permits, 1));
    assert_false(permits_try_or_wait(&f->permits, 1, &taker.wait));
    permits_give(&f->permits);
    assert_false(permits_leave(&taker.wait));
    fake_loop_settle(f->loop);
    assert_int_equal(taker.woken, 1);
    assert_true(permits_leave(&taker.wait));
}

static void
test_watching_for_the_last(void **state)
{
    struct fixture *f = *state;
    struct taker watch;

    taker_init(f, &watch, 0, false);
    assert_true(permits_watch_empty(&f->permits, &watch.wait)); /* that is so now */
    assert_true(permits_try(&f->permits, 0));
    assert_true(permits_try(&f->permits, 0));
    assert_false(permits_watch_empty(&f->permits, &watch.wait));
    permits_give(&f->permits);
    fake_loop_settle(f->loop);
    assert_int_equal(watch.woken, 0);
    permits_give(&f->permits);
    fake_loop_settle(f->loop);
    assert_int_equal(watch.woken, 1);
    /* Once only. */
    assert_true(permits_try(&f->permits, 0));
    permits_give(&f->permits);
    fake_loop_settle(f->loop);
    assert_int_equal(watch.woken, 1);
}

/* --- threads --------------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS  10000
#define LIMIT   3

struct crowd {
    struct permits permits;
    atomic_uint inside;
    atomic_uint most;
};

static void *
take_and_give(void *arg)
{
    struct crowd *const crowd = arg;

    for (unsigned done = 0; done < ROUNDS;) {
        unsigned inside, most;

        if (!permits_try(&crowd->permits, LIMIT))
            continue;
        inside = atomic_fetch_add(&crowd->inside, 1) + 1;
        most = atomic_load(&crowd->most);
        while (inside > most && !atomic_compare_exchange_weak(&crowd->most, &most, inside))
            ;
        atomic_fetch_sub(&crowd->inside, 1);
        permits_give(&crowd->permits);
        done++;
    }
    return NULL;
}

static void
test_limit_holds_over_threads(void **state)
{
    struct crowd crowd = {.inside = 0};
    pthread_t threads[THREADS];

    (void)state;
    permits_init(&crowd.permits);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &crowd), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_in_range(atomic_load(&crowd.most), 1, LIMIT);
    assert_int_equal(permits_used(&crowd.permits), 0);
    permits_done(&crowd.permits);
}

/* A loop of its own on each thread; nobody may sleep for ever. */
struct worker {
    pthread_t thread;
    struct permits *permits;
    struct loop *loop;
    struct permit_wait wait;
    unsigned taken;
};

static void
worker_woken(struct message *message)
{
    permits_woken(&container_of(message, struct worker, wait.message)->wait);
}

static void *
wait_and_take(void *arg)
{
    struct worker *const worker = arg;

    while (worker->taken < ROUNDS) {
        if (permits_try_or_wait(worker->permits, 1, &worker->wait)) {
            worker->taken++;
            permits_give(worker->permits);
        } else {
            fake_loop_wait(worker->loop);
        }
    }
    /* A message may still be on its way. */
    while (!permits_leave(&worker->wait))
        fake_loop_wait(worker->loop);
    return NULL;
}

static void
test_nobody_sleeps_for_ever(void **state)
{
    struct fixture *f = *state;
    struct worker workers[THREADS] = {0};

    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.permits = &f->permits, .loop = fake_loop_new()};
        workers[i].wait.loop = workers[i].loop;
        workers[i].wait.message.fn = worker_woken;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, wait_and_take, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    assert_int_equal(permits_used(&f->permits), 0);
    for (unsigned i = 0; i < THREADS; i++)
        loop_free(workers[i].loop);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_limit),
        TEST(test_who_waits_is_woken_once),
        TEST(test_all_who_wait_try_in_order),
        TEST(test_leaving),
        TEST(test_leaving_too_late),
        TEST(test_watching_for_the_last),
        cmocka_unit_test(test_limit_holds_over_threads),
        TEST(test_nobody_sleeps_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
