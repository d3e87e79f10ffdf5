#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_loop.h"
#include "macros.h"
#include "task.h"

struct fixture {
    struct loop *loop;
    struct task_group *group;
    int done;
};

struct work {
    struct task task;
    struct work *other;  /* to be ended with it */
    bool finish_at_once; /* from the cancel function */
    int cancelled;
    enum task_why why;
};

static void
work_cancel(struct task *task, enum task_why why)
{
    struct work *work = container_of(task, struct work, task);

    work->cancelled++;
    work->why = why;
    if (work->other != NULL)
        task_finish(&work->other->task);
    if (work->finish_at_once)
        task_finish(task);
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->loop = fake_loop_new();
    f->group = task_group_new(f->loop, "test");
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    task_group_free(f->group);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void
group_done(void *arg)
{
    struct fixture *f = arg;

    f->done++;
    task_group_free(f->group);
    f->group = NULL;
}

static int
start(struct fixture *f, struct work *work, usec_t timeout)
{
    return task_start(&work->task, f->group, "work", "C-1", timeout, work_cancel);
}

static void
count_task(const struct task *task, void *arg)
{
    const struct task ***next = arg;

    *(*next)++ = task;
}

static void
test_start_and_finish(void **state)
{
    struct fixture *f = *state;
    struct work a = {0}, b = {0};
    const struct task *seen[2], **next = seen;

    assert_false(task_is_running(&a.task));
    assert_int_equal(start(f, &a, 0), 0);
    assert_int_equal(start(f, &b, SEC), 0);
    assert_true(task_is_running(&a.task));
    assert_string_equal(task_group_name(f->group), "test");
    assert_int_equal(task_group_count(f->group), 2);
    assert_string_equal(a.task.owner, "C-1");
    assert_int_equal(a.task.started, loop_now(f->loop));
    assert_int_equal(a.task.deadline, USEC_NEVER);
    assert_int_equal(b.task.deadline, loop_now(f->loop) + SEC);
    task_group_each(f->group, count_task, &next);
    assert_ptr_equal(seen[0], &a.task);
    assert_ptr_equal(seen[1], &b.task);
    task_finish(&a.task);
    task_finish(&b.task);
    task_finish(&b.task);
    task_cancel(&b.task);
    fake_loop_advance(f->loop, HOUR);
    assert_int_equal(task_group_count(f->group), 0);
    assert_int_equal(a.cancelled + b.cancelled, 0);
    assert_int_equal(start(f, &a, 0), 0); /* again */
    task_finish(&a.task);
}

static void
test_deadline(void **state)
{
    struct fixture *f = *state;
    struct work work = {0}, quick = {.finish_at_once = true};

    assert_int_equal(start(f, &work, SEC), 0);
    assert_int_equal(start(f, &quick, SEC), 0);
    fake_loop_advance(f->loop, SEC - 1);
    assert_int_equal(work.cancelled, 0);
    fake_loop_advance(f->loop, 1);
    assert_int_equal(work.cancelled, 1);
    assert_int_equal(work.why, TASK_TIMED_OUT);
    assert_true(task_is_running(&work.task)); /* asked, not yet ended */
    assert_false(task_is_running(&quick.task));
    task_cancel(&work.task); /* it was asked before */
    fake_loop_advance(f->loop, HOUR);
    assert_int_equal(work.cancelled, 1);
    task_finish(&work.task);
}

static void
test_a_cancelled_task_is_asked_once(void **state)
{
    struct fixture *f = *state;
    struct work work = {0};

    assert_int_equal(start(f, &work, SEC), 0);
    task_cancel(&work.task);
    task_cancel(&work.task);
    fake_loop_advance(f->loop, HOUR); /* nor by its deadline */
    assert_int_equal(work.cancelled, 1);
    assert_int_equal(work.why, TASK_CANCELLED);
    task_finish(&work.task);
}

static void
test_group_cancel_waits_for_the_last(void **state)
{
    struct fixture *f = *state;
    struct work slow = {0}, quick = {.finish_at_once = true}, late = {0};

    assert_int_equal(start(f, &slow, 0), 0);
    assert_int_equal(start(f, &quick, SEC), 0);
    task_group_cancel(f->group, group_done, f);
    assert_int_equal(slow.cancelled + quick.cancelled, 2);
    assert_int_equal(start(f, &late, 0), -ECANCELED);
    assert_false(task_is_running(&late.task));
    fake_loop_settle(f->loop);
    assert_int_equal(f->done, 0);
    task_finish(&slow.task);
    assert_int_equal(f->done, 0); /* only from the loop */
    fake_loop_settle(f->loop);
    assert_int_equal(f->done, 1);
}

/* Cancelling the first ends the second, and so on; each is still asked, or already gone. */
static void
test_tasks_that_end_each_other(void **state)
{
    struct fixture *f = *state;
    struct work work[4];

    memset(work, 0, sizeof(work));
    for (size_t i = 0; i < ARRAY_SIZE(work); i++) {
        work[i].finish_at_once = true;
        work[i].other = &work[(i + 1) % ARRAY_SIZE(work)];
        assert_int_equal(start(f, &work[i], SEC), 0);
    }
    task_group_cancel(f->group, group_done, f);
    assert_int_equal(work[0].cancelled, 1);
    assert_int_equal(work[1].cancelled, 0);
    assert_int_equal(work[2].cancelled, 1);
    assert_int_equal(work[3].cancelled, 0);
    fake_loop_settle(f->loop);
    assert_int_equal(f->done, 1);
}

static void
test_an_empty_group_is_done_from_the_loop(void **state)
{
    struct fixture *f = *state;

    task_group_cancel(f->group, group_done, f);
    assert_int_equal(f->done, 0);
    fake_loop_settle(f->loop);
    assert_int_equal(f->done, 1);
}

static void
test_owner_is_cut_to_fit(void **state)
{
    struct fixture *f = *state;
    struct work work = {0};
    char owner[200];

    memset(owner, 'x', sizeof(owner));
    owner[sizeof(owner) - 1] = '\0';
    assert_int_equal(task_start(&work.task, f->group, "work", owner, 0, work_cancel), 0);
    assert_int_equal(strlen(work.task.owner), sizeof(work.task.owner) - 1);
    task_finish(&work.task);
    assert_int_equal(task_start(&work.task, f->group, "work", NULL, 0, work_cancel), 0);
    assert_string_equal(work.task.owner, "");
    task_finish(&work.task);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_start_and_finish, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_cancelled_task_is_asked_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_group_cancel_waits_for_the_last, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tasks_that_end_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_group_is_done_from_the_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner_is_cut_to_fit, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
