#include "task.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "str.h"
#include "timer.h"

struct task_group {
    struct loop *loop; /* borrowed */
    const char *name;
    struct list tasks; /* running, oldest first; but for task_group_cancel */
    size_t count;
    bool cancelling;
    void (*done)(void *arg); /* NULL before task_group_cancel */
    void *arg;
    struct message done_message;
    bool done_deferred;
};

static void
task_group_done(struct message *message)
{
    struct task_group *group = container_of(message, struct task_group, done_message);

    group->done_deferred = false;
    if (group->done != NULL)
        group->done(group->arg); /* may free group */
}

static void
task_group_check_done(struct task_group *group)
{
    if (!group->cancelling || group->count > 0 || group->done_deferred)
        return;
    group->done_deferred = true;
    loop_defer(group->loop, &group->done_message);
}

struct task_group *
task_group_new(struct loop *loop, const char *name)
{
    struct task_group *group = calloc(1, sizeof(*group));

    if (group == NULL)
        return NULL;
    group->loop = loop;
    group->name = name;
    list_init(&group->tasks);
    group->done_message.fn = task_group_done;
    return group;
}

void
task_group_free(struct task_group *group)
{
    if (group == NULL)
        return;
    assert(group->count == 0 && !group->done_deferred);
    free(group);
}

/*
 * Cancelling one task may end any other, so the tasks wait in a list of their own for their turn,
 * from which ending takes them too.
 */
static void
task_group_cancel_all(struct task_group *group)
{
    struct list todo = LIST_INIT(todo);
    struct list *link;

    list_append(&todo, &group->tasks);
    while ((link = list_pop(&todo)) != NULL) {
        list_push_back(&group->tasks, link);
        task_cancel(list_entry(link, struct task, link));
    }
}

void
task_group_cancel(struct task_group *group, void (*done)(void *arg), void *arg)
{
    assert(!group->cancelling);
    group->done = done;
    group->arg = arg;
    group->cancelling = true;
    task_group_cancel_all(group);
    task_group_check_done(group);
}

const char *
task_group_name(const struct task_group *group)
{
    return group->name;
}

size_t
task_group_count(const struct task_group *group)
{
    return group->count;
}

void
task_group_each(struct task_group *group, void (*fn)(const struct task *task, void *arg), void *arg)
{
    const struct task *task;

    LIST_FOREACH (task, &group->tasks, link)
        fn(task, arg);
}

static void
task_ask(struct task *task, enum task_why why)
{
    if (task->cancelling)
        return;
    task->cancelling = true;
    task->cancel(task, why); /* may end and free the task */
}

static void
task_timed_out(void *arg)
{
    task_ask(arg, TASK_TIMED_OUT);
}

static int
task_set_deadline(struct task *task, struct loop *loop, usec_t timeout)
{
    int r;

    task->timer = NULL;
    task->deadline = USEC_NEVER;
    if (timeout == 0)
        return 0;
    task->timer = timer_new(loop, task->name, task_timed_out, task);
    if (task->timer == NULL)
        return -ENOMEM;
    task->deadline = usec_add(task->started, timeout);
    r = timer_start_common(task->timer, timeout);
    if (r < 0)
        timer_free(TAKE(task->timer));
    return r;
}

int
task_start(struct task *task, struct task_group *group, const char *name, const char *owner,
           usec_t timeout, void (*cancel)(struct task *task, enum task_why why))
{
    int r;

    assert(!task_is_running(task));
    if (group->cancelling)
        return -ECANCELED;
    task->name = name;
    task->cancel = cancel;
    task->cancelling = false;
    task->started = loop_now(group->loop);
    (void)str_copy(task->owner, sizeof(task->owner), owner != NULL ? owner : "");
    r = task_set_deadline(task, group->loop, timeout);
    if (r < 0)
        return r;
    task->group = group;
    list_init(&task->link);
    list_push_back(&group->tasks, &task->link);
    group->count++;
    return 0;
}

void
task_finish(struct task *task)
{
    struct task_group *group = task->group;

    if (group == NULL)
        return;
    timer_free(TAKE(task->timer));
    list_remove(&task->link);
    task->group = NULL;
    group->count--;
    task_group_check_done(group);
}

bool
task_is_running(const struct task *task)
{
    return task->group != NULL;
}

void
task_cancel(struct task *task)
{
    if (task_is_running(task))
        task_ask(task, TASK_CANCELLED);
}
