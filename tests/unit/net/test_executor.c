/* The executor with the real loop, and with threads that wait for the test. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "executor.h"
#include "macros.h"

#define JOBS 2000

struct fixture {
    struct loop *loop;
    struct executor *executor;
    pthread_t thread; /* the loop's */
    sem_t started;    /* a held job runs */
    sem_t go;         /* it may end */
    int expected;     /* jobs until the loop stops */
    int done;
    int cancelled;
};

struct test_job {
    struct job job;
    struct fixture *fixture;
    int runs;
    int dones;
    int nice; /* of the thread that ran it */
};

static void
job_run(struct job *job)
{
    struct test_job *test_job = container_of(job, struct test_job, job);

    assert_false(pthread_equal(pthread_self(), test_job->fixture->thread));
    test_job->runs++;
    test_job->nice = getpriority(PRIO_PROCESS, (id_t)gettid());
}

static void
job_run_held(struct job *job)
{
    struct test_job *test_job = container_of(job, struct test_job, job);

    sem_post(&test_job->fixture->started);
    sem_wait(&test_job->fixture->go);
    job_run(job);
}

static void
job_done(struct job *job, bool cancelled)
{
    struct test_job *test_job = container_of(job, struct test_job, job);
    struct fixture *f = test_job->fixture;

    assert_true(pthread_equal(pthread_self(), f->thread));
    assert_int_equal(test_job->runs, cancelled ? 0 : 1);
    test_job->dones++;
    if (cancelled) {
        f->cancelled++;
        sem_post(&f->go);
    }
    if (++f->done == f->expected)
        loop_stop(f->loop);
}

static struct test_job
job_make(struct fixture *f, void (*run)(struct job *job))
{
    return (struct test_job){.job = {.run = run, .done = job_done}, .fixture = f};
}

static void
fixture_init(struct fixture *f, unsigned threads, unsigned queue_size)
{
    *f = (struct fixture){.thread = pthread_self()};
    sem_init(&f->started, 0, 0);
    sem_init(&f->go, 0, 0);
    assert_int_equal(loop_new("test", &f->loop), 0);
    assert_int_equal(executor_new("test-executor-name", threads, queue_size, &f->executor), 0);
}

static void
fixture_done(struct fixture *f)
{
    executor_free(f->executor);
    loop_free(f->loop);
    sem_destroy(&f->started);
    sem_destroy(&f->go);
}

static void
test_every_job_runs_once_and_comes_back(void **state)
{
    static struct test_job jobs[JOBS];
    struct fixture f;

    (void)state;
    fixture_init(&f, 4, JOBS);
    f.expected = JOBS;
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = job_make(&f, job_run);
        assert_int_equal(executor_submit(f.executor, f.loop, &jobs[i].job), 0);
    }
    loop_run(f.loop);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(jobs[i].dones, 1);
    assert_int_equal(f.cancelled, 0);
    fixture_done(&f);
}

static void
test_a_full_queue_refuses(void **state)
{
    struct fixture f;
    struct test_job held, queued, refused;

    (void)state;
    fixture_init(&f, 1, 1);
    f.expected = 2;
    held = job_make(&f, job_run_held);
    queued = refused = job_make(&f, job_run);
    assert_int_equal(executor_submit(f.executor, f.loop, &held.job), 0);
    sem_wait(&f.started);
    assert_int_equal(executor_submit(f.executor, f.loop, &queued.job), 0);
    assert_int_equal(executor_submit(f.executor, f.loop, &refused.job), -EAGAIN);
    sem_post(&f.go);
    loop_run(f.loop);
    assert_int_equal(held.dones, 1);
    assert_int_equal(queued.dones, 1);
    assert_int_equal(refused.dones, 0);
    fixture_done(&f);
}

static void *
run_loop(void *arg)
{
    struct fixture *f = arg;

    f->thread = pthread_self();
    loop_run(f->loop);
    return NULL;
}

/*
 * The job under way ends, the one behind it is cancelled, and the loop hears of both. The first
 * ends only when the loop has heard of the second: close waits for it.
 */
static void
test_close(void **state)
{
    struct fixture f;
    struct test_job held, behind, late;
    pthread_t loop_thread;

    (void)state;
    fixture_init(&f, 1, 4);
    f.expected = 2;
    held = job_make(&f, job_run_held);
    behind = late = job_make(&f, job_run);
    assert_int_equal(executor_submit(f.executor, f.loop, &held.job), 0);
    sem_wait(&f.started);
    assert_int_equal(executor_submit(f.executor, f.loop, &behind.job), 0);
    assert_int_equal(pthread_create(&loop_thread, NULL, run_loop, &f), 0);
    executor_close(f.executor);
    assert_int_equal(executor_submit(f.executor, f.loop, &late.job), -ESHUTDOWN);
    pthread_join(loop_thread, NULL);
    assert_int_equal(held.dones, 1);
    assert_int_equal(behind.dones, 1);
    assert_int_equal(behind.runs, 0);
    assert_int_equal(f.cancelled, 1);
    assert_int_equal(late.dones, 0);
    executor_close(f.executor);
    f.thread = pthread_self();
    fixture_done(&f);
}

/* What comes back after the loop has ended is run by loop_free. */
static void
test_free_with_jobs_inside(void **state)
{
    struct fixture f;
    struct test_job jobs[8];

    (void)state;
    fixture_init(&f, 2, ARRAY_SIZE(jobs));
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        jobs[i] = job_make(&f, job_run);
        assert_int_equal(executor_submit(f.executor, f.loop, &jobs[i].job), 0);
    }
    fixture_done(&f);
    assert_int_equal(f.done, ARRAY_SIZE(jobs));
}

/* The thread is nicer than we are; we stay as we were. */
static void
test_nice(void **state)
{
    const int before = getpriority(PRIO_PROCESS, 0);
    struct fixture f;
    struct test_job job;

    (void)state;
    fixture_init(&f, 1, 1);
    executor_free(f.executor);
    assert_int_equal(executor_new_nice("nice", 1, 1, 5, DAY, &f.executor), 0);
    f.expected = 1;
    job = job_make(&f, job_run);
    assert_int_equal(executor_submit(f.executor, f.loop, &job.job), 0);
    loop_run(f.loop);
    assert_int_equal(job.nice, MIN(before + 5, 19));
    assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
    fixture_done(&f);
}

/* What the nice thread does not come to is run by one that is not: of two held jobs both run. */
static void
test_relief(void **state)
{
    const int before = getpriority(PRIO_PROCESS, 0);
    struct fixture f;
    struct test_job jobs[2];

    (void)state;
    fixture_init(&f, 1, 2);
    executor_free(f.executor);
    assert_int_equal(executor_new_nice("nice", 1, 2, 5, MSEC, &f.executor), 0);
    f.expected = 2;
    for (size_t i = 0; i < 2; i++) {
        jobs[i] = job_make(&f, job_run_held);
        assert_int_equal(executor_submit(f.executor, f.loop, &jobs[i].job), 0);
    }
    for (size_t i = 0; i < 2; i++)
        sem_wait(&f.started);
    for (size_t i = 0; i < 2; i++)
        sem_post(&f.go);
    loop_run(f.loop);
    assert_int_equal(MIN(jobs[0].nice, jobs[1].nice), before);
    assert_int_equal(MAX(jobs[0].nice, jobs[1].nice), MIN(before + 5, 19));
    fixture_done(&f);
}

/* Before its time nothing is: the job waits for the nice thread. */
static void
test_relief_is_patient(void **state)
{
    const int before = getpriority(PRIO_PROCESS, 0);
    struct fixture f;
    struct test_job held, behind;

    (void)state;
    fixture_init(&f, 1, 2);
    executor_free(f.executor);
    assert_int_equal(executor_new_nice("nice", 1, 2, 5, DAY, &f.executor), 0);
    f.expected = 2;
    held = job_make(&f, job_run_held);
    behind = job_make(&f, job_run);
    assert_int_equal(executor_submit(f.executor, f.loop, &held.job), 0);
    sem_wait(&f.started);
    assert_int_equal(executor_submit(f.executor, f.loop, &behind.job), 0);
    sem_post(&f.go);
    loop_run(f.loop);
    assert_int_equal(held.nice, MIN(before + 5, 19));
    assert_int_equal(behind.nice, MIN(before + 5, 19));
    fixture_done(&f);
}

/* Who does not come back in time is left alone, and is not forgotten when he comes. */
static void
test_close_with_little_patience(void **state)
{
    struct fixture f;
    struct test_job held, behind;

    (void)state;
    fixture_init(&f, 2, 4);
    f.expected = 2;
    held = job_make(&f, job_run_held);
    behind = job_make(&f, job_run);
    assert_int_equal(executor_submit(f.executor, f.loop, &held.job), 0);
    sem_wait(&f.started);
    assert_int_equal(executor_close_within(f.executor, 20 * MSEC), -ETIMEDOUT);
    assert_int_equal(executor_submit(f.executor, f.loop, &behind.job), -ESHUTDOWN);
    assert_int_equal(held.dones, 0);
    sem_post(&f.go);
    assert_int_equal(executor_close_within(f.executor, DAY), 0);
    fixture_done(&f);
    assert_int_equal(held.runs, 1);
    assert_int_equal(held.dones, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_job_runs_once_and_comes_back),
        cmocka_unit_test(test_a_full_queue_refuses),
        cmocka_unit_test(test_nice),
        cmocka_unit_test(test_relief),
        cmocka_unit_test(test_relief_is_patient),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_close_with_little_patience),
        cmocka_unit_test(test_free_with_jobs_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
