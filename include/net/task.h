/*
 * task.h - anything that outlives one callback, with a name, an owner, a deadline and a way to
 * cancel it, as a member of a group.
 *
 * A connect, a reset, a cancel, a drain is a task. Its owner embeds struct task, starts it in a
 * group and ends it with task_finish, whatever happened. Cancelling asks (the cancel function is
 * called once); the owner still ends it, when it has cleaned up. A group that is cancelled starts
 * nothing more, and is done when its last task has ended.
 *
 * Thread: that of the group's loop. Life: the owner's; a task must be finished before it is freed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "list.h"
#include "loop.h"
#include "usec.h"

struct task_group;
struct timer;

enum task_why { TASK_CANCELLED, TASK_TIMED_OUT };

/* Zero it before its first start. */
struct task {
    struct list link;         /* in its group */
    struct task_group *group; /* borrowed; NULL while not running */
    struct timer *timer;      /* owned; NULL without a deadline */
    const char *name;         /* static */
    char owner[64];           /* who it is for, for SHOW TASKS */
    usec_t started;
    usec_t deadline; /* USEC_NEVER is none */
    bool cancelling;
    /* Asks it to end; called at most once. */
    void (*cancel)(struct task *task, enum task_why why);
};

/* name is static. NULL when there is no memory. */
struct task_group *task_group_new(struct loop *loop, const char *name);
/* NULL is fine; else it must be empty, and done have been called if it was cancelled. */
void task_group_free(struct task_group *group);
/*
 * No task starts any more; all are asked to end; done (may be NULL, may free the group) is called
 * from the loop after the last. Once only.
 */
void task_group_cancel(struct task_group *group, void (*done)(void *arg), void *arg);
const char *task_group_name(const struct task_group *group);
size_t task_group_count(const struct task_group *group);
/* Calls fn for every running task, oldest first; fn must not end any. */
void task_group_each(struct task_group *group, void (*fn)(const struct task *task, void *arg),
                     void *arg);

/*
 * Starts task: name is static, owner (may be NULL) is copied, cut to fit; timeout 0 is none.
 * -ECANCELED when the group is being cancelled, -ENOMEM; then the task does not run and cancel is
 * not called.
 */
int task_start(struct task *task, struct task_group *group, const char *name, const char *owner,
               usec_t timeout, void (*cancel)(struct task *task, enum task_why why));
/* Ends it; nothing happens if it does not run. */
void task_finish(struct task *task);
bool task_is_running(const struct task *task);
/* Asks it to end, unless that was done before. */
void task_cancel(struct task *task);
