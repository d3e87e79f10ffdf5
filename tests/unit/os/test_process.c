#include "process.h"

#include <sys/stat.h>

#include "macros.h"
#include "process_int.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A tree of control groups: /a/b, with what cpu.max holds in each; NULL is no file. */
static void
make_groups(struct scratch *scratch, const char *root, const char *a, const char *b)
{
    assert_int_equal(scratch_make(scratch), 0);
    assert_int_equal(mkdir(scratch_path(scratch, "a"), 0700), 0);
    assert_int_equal(mkdir(scratch_path(scratch, "a/b"), 0700), 0);
    if (root != NULL)
        scratch_write(scratch, "cpu.max", root);
    if (a != NULL)
        scratch_write(scratch, "a/cpu.max", a);
    if (b != NULL)
        scratch_write(scratch, "a/b/cpu.max", b);
}

static void
remove_groups(struct scratch *scratch)
{
    (void)unlink(scratch_path(scratch, "a/b/cpu.max"));
    (void)unlink(scratch_path(scratch, "a/cpu.max"));
    (void)rmdir(scratch_path(scratch, "a/b"));
    (void)rmdir(scratch_path(scratch, "a"));
    scratch_remove(scratch);
}

static void
test_the_narrowest_quota_counts(void **state)
{
    static const struct {
        const char *root;
        const char *a;
        const char *b;
        unsigned limit;
    } rows[] = {
        {NULL, NULL, NULL, 0},
        {NULL, "max 100000\n", "max 100000\n", 0},
        {NULL, "max 100000\n", "200000 100000\n", 2},
        {NULL, "150000 100000\n", "max 100000\n", 2}, /* rounded up */
        {NULL, "100000 100000\n", "400000 100000\n", 1},
        {"300000 100000\n", NULL, NULL, 3}, /* a container sees its own group as the root */
        {NULL, NULL, "1000 100000\n", 1},
        {NULL, NULL, "1000 0\n", 0},
        {NULL, NULL, "garbage", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct scratch scratch;

        make_groups(&scratch, rows[i].root, rows[i].a, rows[i].b);
        assert_int_equal(cgroup_cpu_limit(scratch.dir, "/a/b"), rows[i].limit);
        remove_groups(&scratch);
    }
}

static void
test_there_is_a_cpu_and_it_was_used(void **state)
{
    const usec_t thread = thread_cpu_time();

    (void)state;
    assert_in_range(cpu_count(), 1, 65536);
    assert_true(thread > 0);
    assert_true(process_cpu_time() >= thread);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_narrowest_quota_counts),
        cmocka_unit_test(test_there_is_a_cpu_and_it_was_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
