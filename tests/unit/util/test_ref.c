#include "ref.h"

#include <pthread.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define THREADS 4
#define ROUNDS  10000

static void
test_the_last_one_is_told(void **state)
{
    struct ref ref;

    (void)state;
    ref_init(&ref);
    ref_get(&ref);
    assert_false(ref_put(&ref));
    assert_true(ref_put(&ref));
}

struct shared {
    struct ref ref;
    atomic_int lasts;
};

static void *
get_and_put(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < ROUNDS; i++) {
        ref_get(&shared->ref);
        if (ref_put(&shared->ref))
            atomic_fetch_add(&shared->lasts, 1);
    }
    if (ref_put(&shared->ref))
        atomic_fetch_add(&shared->lasts, 1);
    return NULL;
}

static void
test_one_of_many_threads_is_the_last(void **state)
{
    pthread_t threads[THREADS];
    struct shared shared = {0};

    (void)state;
    ref_init(&shared.ref);
    for (int i = 0; i < THREADS; i++) {
        ref_get(&shared.ref);
        assert_int_equal(pthread_create(&threads[i], NULL, get_and_put, &shared), 0);
    }
    if (ref_put(&shared.ref))
        atomic_fetch_add(&shared.lasts, 1);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&shared.lasts), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_one_is_told),
        cmocka_unit_test(test_one_of_many_threads_is_the_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
