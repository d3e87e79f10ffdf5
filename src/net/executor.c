#include "executor.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "queue.h"
#include "str.h"

/* What the kernel keeps of a thread's name, with the NUL. */
#define THREAD_NAME_SIZE 16

DEFINE_CLEANUP(struct executor *, executor_free);

struct executor {
    struct queue *queue; /* owned: the jobs that no thread has begun */
    char name[THREAD_NAME_SIZE];
    int nice;
    usec_t patience;
    unsigned running; /* threads to be joined */
    pthread_t threads[];
};

static void
job_ran(struct message *message)
{
    struct job *job = container_of(message, struct job, message);

    job->done(job, false);
}

static void
job_cancelled(struct message *message)
{
    struct job *job = container_of(message, struct job, message);

    job->done(job, true);
}

static void
job_return(struct job *job, void (*fn)(struct message *message))
{
    job->message.fn = fn;
    loop_post(job->loop, &job->message);
}

/* On Linux the nice value is a thread's own; that it cannot be set is no reason to fail. */
static void
thread_be_nice(int nice)
{
    const id_t thread = (id_t)gettid();

    if (nice != 0)
        (void)setpriority(PRIO_PROCESS, thread, getpriority(PRIO_PROCESS, thread) + nice);
}

static void
job_run(struct job *job)
{
    job->run(job);
    job_return(job, job_ran);
}

static void *
executor_thread(void *arg)
{
    struct executor *executor = arg;
    struct job *job;

    pthread_setname_np(pthread_self(), executor->name);
    thread_be_nice(executor->nice);
    while ((job = queue_take(executor->queue)) != NULL)
        job_run(job);
    return NULL;
}

/*
 * Does what nice threads do not come to. What one of them has begun stays its own: without
 * privilege no thread becomes less nice again.
 */
static void *
executor_relief_thread(void *arg)
{
    struct executor *executor = arg;
    struct job *job;

    pthread_setname_np(pthread_self(), executor->name);
    while ((job = queue_take_late(executor->queue, executor->patience)) != NULL)
        job_run(job);
    return NULL;
}

static int
executor_start_thread(struct executor *executor, void *(*run)(void *arg))
{
    const int r = pthread_create(&executor->threads[executor->running], NULL, run, executor);

    if (r == 0)
        executor->running++;
    return -r;
}

/* Signals are the main thread's. */
static int
executor_start_threads(struct executor *executor, unsigned threads)
{
    sigset_t all, before;
    int r = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (r == 0 && executor->running < threads)
        r = executor_start_thread(executor, executor_thread);
    if (r == 0 && executor->patience != USEC_NEVER)
        r = executor_start_thread(executor, executor_relief_thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

int
executor_new(const char *name, unsigned threads, unsigned queue_size,
             struct executor **ret_executor)
{
    return executor_new_nice(name, threads, queue_size, 0, USEC_NEVER, ret_executor);
}

int
executor_new_nice(const char *name, unsigned threads, unsigned queue_size, int nice,
                  usec_t patience, struct executor **ret_executor)
{
    CLEANUP(executor_free) struct executor *executor = NULL;
    int r;

    assert(threads > 0);
    executor = calloc(1, sizeof(*executor) + (threads + 1) * sizeof(executor->threads[0]));
    if (executor == NULL)
        return -ENOMEM;
    (void)str_copy(executor->name, sizeof(executor->name), name);
    executor->nice = nice;
    executor->patience = patience;
    r = queue_new(queue_size, &executor->queue);
    if (r < 0)
        return r;
    r = executor_start_threads(executor, threads);
    if (r < 0)
        return r;
    *ret_executor = TAKE(executor);
    return 0;
}

int
executor_submit(struct executor *executor, struct loop *loop, struct job *job)
{
    job->loop = loop;
    return queue_try_put(executor->queue, job);
}

/* Threads that are not inside of a job end. */
static void
executor_empty(struct executor *executor)
{
    struct job *job;

    queue_close(executor->queue);
    while ((job = queue_try_take(executor->queue)) != NULL)
        job_return(job, job_cancelled);
}

int
executor_close_within(struct executor *executor, usec_t patience)
{
    struct timespec until;

    executor_empty(executor);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    patience += (usec_t)until.tv_nsec / 1000;
    until.tv_sec += (time_t)(patience / SEC);
    until.tv_nsec = (long)(patience % SEC) * 1000;
    while (executor->running > 0) {
        if (pthread_timedjoin_np(executor->threads[executor->running - 1], NULL, &until) != 0)
            return -ETIMEDOUT;
        executor->running--;
    }
    return 0;
}

void
executor_close(struct executor *executor)
{
    executor_empty(executor);
    while (executor->running > 0)
        pthread_join(executor->threads[--executor->running], NULL);
}

void
executor_free(struct executor *executor)
{
    if (executor == NULL)
        return;
    if (executor->queue != NULL)
        executor_close(executor);
    queue_free(executor->queue);
    free(executor);
}
