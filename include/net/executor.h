/*
 * executor.h - a few threads for calls that block.
 *
 * Thread: submit from any loop's thread; run is called on one of the executor's threads, done on
 * the loop that submitted. Order between jobs is not promised. Bounded: a full queue refuses.
 * Life: closed (executor_close) before the first of the loops that submit is freed; what was still
 * inside then comes back to them, at the latest in loop_free.
 */
#pragma once

#include <stdbool.h>

#include "loop.h"
#include "usec.h"

struct executor;

/* Embedded in what the caller wants done; owned by the caller again once done is called. */
struct job {
    struct message message;                        /* brings it back to loop */
    struct loop *loop;                             /* borrowed; set by executor_submit */
    void (*run)(struct job *job);                  /* may block */
    void (*done)(struct job *job, bool cancelled); /* cancelled: run was never called */
};

/* name is copied; the threads are called so. */
int executor_new(const char *name, unsigned threads, unsigned queue_size,
                 struct executor **ret_executor);
/*
 * The same for big computations: threads that are nicer than the loops (nice is added to the
 * process's own value), which so keep their pace where there are not enough CPUs for both. Where
 * other processes take all there is, one more thread, which is not nice, does what has been in the
 * queue for patience (USEC_NEVER: there is no such thread).
 */
int executor_new_nice(const char *name, unsigned threads, unsigned queue_size, int nice,
                      usec_t patience, struct executor **ret_executor);
/*
 * job->run and job->done are set by the caller. 0, -EAGAIN when the queue is full, or -ESHUTDOWN
 * after executor_close.
 */
int executor_submit(struct executor *executor, struct loop *loop, struct job *job);
/* Jobs not begun are cancelled (done is still posted), those under way are waited for. */
void executor_close(struct executor *executor);
/*
 * The same for jobs that may wait for others without end: -ETIMEDOUT when some are still under way
 * after patience. What they use, and the loops that they come back to, must then outlive the
 * process's other threads: there is no way but to leave without freeing it.
 */
int executor_close_within(struct executor *executor, usec_t patience);
void executor_free(struct executor *executor);
