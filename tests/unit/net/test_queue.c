#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue.h"

#define THREADS  3
#define ELEMENTS 10000 /* of each producer */

static void *
element(uintptr_t n)
{
    return (void *)n;
}

static void
test_first_in_first_out_and_bounded(void **state)
{
    struct queue *queue = NULL;

    (void)state;
    assert_int_equal(queue_new(3, &queue), 0);
    assert_null(queue_try_take(queue));
    for (uintptr_t round = 0; round < 5; round++) { /* around the ring's end */
        assert_int_equal(queue_try_put(queue, element(1)), 0);
        assert_int_equal(queue_put(queue, element(2)), 0);
        assert_int_equal(queue_try_put(queue, element(3)), 0);
        assert_int_equal(queue_try_put(queue, element(4)), -EAGAIN);
        assert_int_equal(queue_count(queue), 3);
        assert_ptr_equal(queue_take(queue), element(1));
        assert_ptr_equal(queue_try_take(queue), element(2));
        assert_int_equal(queue_try_put(queue, element(5)), 0);
        assert_ptr_equal(queue_take(queue), element(3));
        assert_ptr_equal(queue_take(queue), element(5));
        assert_int_equal(queue_count(queue), 0);
    }
    queue_close(queue);
    queue_free(queue);
}

/* What was put before the end is still taken; then everybody is told. */
static void
test_close(void **state)
{
    struct queue *queue = NULL;

    (void)state;
    assert_int_equal(queue_new(2, &queue), 0);
    assert_int_equal(queue_put(queue, element(1)), 0);
    assert_int_equal(queue_put(queue, element(2)), 0);
    queue_close(queue);
    queue_close(queue);
    assert_int_equal(queue_put(queue, element(3)), -ESHUTDOWN);
    assert_int_equal(queue_try_put(queue, element(3)), -ESHUTDOWN);
    assert_ptr_equal(queue_take(queue), element(1));
    assert_ptr_equal(queue_take(queue), element(2));
    assert_null(queue_take(queue));
    assert_null(queue_take(queue));
    queue_free(queue);
    queue_free(NULL);
}

struct consumer {
    struct queue *queue;
    uintptr_t count;
    uintptr_t sum;
};

static void *
produce(void *arg)
{
    for (uintptr_t n = 1; n <= ELEMENTS; n++)
        if (queue_put(arg, element(n)) < 0)
            return NULL;
    return arg;
}

static void *
consume(void *arg)
{
    struct consumer *consumer = arg;
    void *taken;

    while ((taken = queue_take(consumer->queue)) != NULL) {
        consumer->count++;
        consumer->sum += (uintptr_t)taken;
    }
    return NULL;
}

/* Nothing is lost, nothing comes twice, and everybody gets to the end. */
static void
test_many_threads(void **state)
{
    pthread_t producers[THREADS], consumers[THREADS];
    struct consumer results[THREADS] = {0};
    struct queue *queue = NULL;
    uintptr_t count = 0, sum = 0;
    void *result;

    (void)state;
    assert_int_equal(queue_new(7, &queue), 0);
    for (int i = 0; i < THREADS; i++) {
        results[i].queue = queue;
        assert_int_equal(pthread_create(&producers[i], NULL, produce, queue), 0);
        assert_int_equal(pthread_create(&consumers[i], NULL, consume, &results[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(producers[i], &result);
        assert_ptr_equal(result, queue);
    }
    queue_close(queue);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(consumers[i], NULL);
        count += results[i].count;
        sum += results[i].sum;
    }
    assert_int_equal(count, THREADS * ELEMENTS);
    assert_int_equal(sum, THREADS * ((uintptr_t)ELEMENTS * (ELEMENTS + 1) / 2));
    queue_free(queue);
}

/* A producer that waits for room is told of the end. */
static void
test_close_wakes_producers(void **state)
{
    struct queue *queue = NULL;
    pthread_t producer;
    void *result;

    (void)state;
    assert_int_equal(queue_new(1, &queue), 0);
    assert_int_equal(pthread_create(&producer, NULL, produce, queue), 0);
    assert_ptr_equal(queue_take(queue), element(1));
    assert_ptr_equal(queue_take(queue), element(2));
    queue_close(queue);
    pthread_join(producer, &result);
    assert_null(result);
    queue_free(queue);
}

/* What nobody takes is late at some time; at the end what is left is for others. */
static void
test_late(void **state)
{
    struct queue *queue = NULL;

    (void)state;
    assert_int_equal(queue_new(2, &queue), 0);
    assert_int_equal(queue_put(queue, element(1)), 0);
    assert_int_equal(queue_put(queue, element(2)), 0);
    assert_ptr_equal(queue_take_late(queue, 0), element(1));
    assert_ptr_equal(queue_take_late(queue, MSEC), element(2));
    assert_int_equal(queue_put(queue, element(3)), 0);
    queue_close(queue);
    assert_null(queue_take_late(queue, 0));
    assert_ptr_equal(queue_take(queue), element(3));
    queue_free(queue);
}

static void *
consume_late(void *arg)
{
    return queue_take_late(arg, DAY);
}

/* What is not late is left to others, and the end comes to who waits for it. */
static void
test_not_late_yet(void **state)
{
    struct queue *queue = NULL;
    pthread_t consumer;
    void *result;

    (void)state;
    assert_int_equal(queue_new(2, &queue), 0);
    assert_int_equal(pthread_create(&consumer, NULL, consume_late, queue), 0);
    for (uintptr_t n = 1; n <= ELEMENTS; n++) {
        assert_int_equal(queue_put(queue, element(n)), 0);
        assert_ptr_equal(queue_try_take(queue), element(n));
    }
    assert_int_equal(queue_put(queue, element(1)), 0);
    queue_close(queue);
    pthread_join(consumer, &result);
    assert_null(result);
    assert_ptr_equal(queue_take(queue), element(1));
    queue_free(queue);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_in_first_out_and_bounded),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_close_wakes_producers),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_not_late_yet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
