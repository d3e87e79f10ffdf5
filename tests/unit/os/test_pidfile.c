#include "pidfile.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int
setup(void **state)
{
    static struct scratch scratch;

    *state = &scratch;
    return scratch_make(&scratch);
}

static int
teardown(void **state)
{
    scratch_remove(*state);
    return 0;
}

static void
write_number(struct scratch *scratch, pid_t pid)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%d\n", (int)pid);
    scratch_write(scratch, "pid", text);
}

static pid_t
fork_child_that_waits(void)
{
    const pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        for (;;)
            (void)pause();
    return child;
}

static void
end_child(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void
test_holds_our_number_until_removed(void **state)
{
    struct pidfile *pidfile;
    char expected[32];

    assert_int_equal(pidfile_create(scratch_path(*state, "pid"), &pidfile), 0);
    (void)snprintf(expected, sizeof(expected), "%d\n", (int)getpid());
    assert_string_equal(scratch_read(*state, "pid"), expected);
    pidfile_remove(pidfile);
    assert_int_equal(access(scratch_path(*state, "pid"), F_OK), -1);
    pidfile_remove(NULL);
}

static void
test_a_second_instance_is_refused(void **state)
{
    CLEANUP(pidfile_remove) struct pidfile *first = NULL;
    struct pidfile *second = NULL;

    assert_int_equal(pidfile_create(scratch_path(*state, "pid"), &first), 0);
    assert_int_equal(pidfile_create(scratch_path(*state, "pid"), &second), -EEXIST);
    assert_null(second);
}

/* As PgBouncer's file is. */
static void
test_an_unlocked_file_of_a_living_process_is_respected(void **state)
{
    const pid_t child = fork_child_that_waits();
    struct pidfile *pidfile = NULL;

    write_number(*state, child);
    assert_int_equal(pidfile_create(scratch_path(*state, "pid"), &pidfile), -EEXIST);
    end_child(child);
    assert_int_equal(pidfile_create(scratch_path(*state, "pid"), &pidfile), 0);
    pidfile_remove(pidfile);
}

static void
test_what_names_no_other_process_is_replaced(void **state)
{
    static const char *const texts[] = {"",     "\n",  "garbage",
                                        "-1\n", "0\n", "99999999999999999999\n"};
    struct pidfile *pidfile;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        scratch_write(*state, "pid", texts[i]);
        assert_int_equal(pidfile_create(scratch_path(*state, "pid"), &pidfile), 0);
        pidfile_remove(pidfile);
    }
    write_number(*state, getpid());
    assert_int_equal(pidfile_create(scratch_path(*state, "pid"), &pidfile), 0);
    pidfile_remove(pidfile);
}

static void
test_a_file_of_somebody_else_is_not_removed(void **state)
{
    struct pidfile *pidfile;

    assert_int_equal(pidfile_create(scratch_path(*state, "pid"), &pidfile), 0);
    assert_int_equal(unlink(scratch_path(*state, "pid")), 0);
    scratch_write(*state, "pid", "theirs");
    pidfile_remove(pidfile);
    assert_string_equal(scratch_read(*state, "pid"), "theirs");
}

static void
test_a_path_that_cannot_be_written_is_an_error(void **state)
{
    struct pidfile *pidfile = NULL;

    (void)state;
    assert_int_equal(pidfile_create("/nonexistent/pid", &pidfile), -ENOENT);
    assert_null(pidfile);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_holds_our_number_until_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_second_instance_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_unlocked_file_of_a_living_process_is_respected,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_names_no_other_process_is_replaced, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_file_of_somebody_else_is_not_removed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_path_that_cannot_be_written_is_an_error, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
