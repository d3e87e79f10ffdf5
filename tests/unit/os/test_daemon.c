#include "daemon.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The exit code of a process that runs body; daemon_detach may split it in two. */
static int
run_apart(int (*body)(void))
{
    const pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0)
        _exit(body());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int
detach_and_be_ready(void)
{
    if (daemon_detach() < 0)
        return 9;
    daemon_report_ready();
    return 7; /* nobody waits for this one any more */
}

static int
detach_and_fail(void)
{
    return daemon_detach() < 0 ? 9 : 5;
}

static int
detach_and_crash(void)
{
    if (daemon_detach() < 0)
        return 9;
    (void)raise(SIGKILL);
    return 0;
}

static int
report_without_detaching(void)
{
    daemon_report_ready();
    return write(STDERR_FILENO, "", 0) == 0 ? 0 : 1;
}

/* Reports through a pipe, since the old process has gone when it is ready. */
static int report[2];

static int
detach_and_look_around(void)
{
    const pid_t starter = getpid();
    char answer = 'y';

    if (daemon_detach() < 0)
        return 9;
    if (getpid() == starter || getsid(0) != getpid())
        answer = 's';
    daemon_report_ready();
    if (isatty(STDIN_FILENO) || read(STDIN_FILENO, &(char){0}, 1) != 0)
        answer = 'i';
    return write(report[1], &answer, 1) == 1 ? 0 : 1;
}

static void
test_the_starter_learns_how_it_went(void **state)
{
    (void)state;
    assert_int_equal(run_apart(detach_and_be_ready), 0);
    assert_int_equal(run_apart(detach_and_fail), 5);
    assert_int_equal(run_apart(detach_and_crash), 1);
    assert_int_equal(run_apart(report_without_detaching), 0);
}

static void
test_the_daemon_has_its_own_session_and_no_input(void **state)
{
    char answer = 0;

    (void)state;
    assert_int_equal(pipe(report), 0);
    assert_int_equal(run_apart(detach_and_look_around), 0);
    assert_int_equal(read(report[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    (void)close(report[0]);
    (void)close(report[1]);
}

static int
drop_to_nobody(void)
{
    const struct passwd *nobody = getpwnam("nobody");
    const uid_t uid = nobody->pw_uid;
    const gid_t gid = nobody->pw_gid;
    char home[PATH_MAX];
    gid_t groups[64];

    (void)snprintf(home, sizeof(home), "%s", nobody->pw_dir);
    if (privileges_drop("nobody") != 0)
        return 1;
    if (getuid() != uid || geteuid() != uid || getgid() != gid || getegid() != gid)
        return 2;
    if (setuid(0) == 0 || setgid(0) == 0)
        return 3;
    for (int i = getgroups(64, groups) - 1; i >= 0; i--)
        if (groups[i] == 0)
            return 4;
    if (getenv("HOME") == NULL || strcmp(getenv("HOME"), home) != 0)
        return 7;
    if (privileges_drop("nobody") != 0) /* already there */
        return 5;
    return privileges_drop("root") == -EPERM ? 0 : 6;
}

static int
drop_to_a_number(void)
{
    const uid_t uid = getpwnam("nobody")->pw_uid;
    char number[16];

    (void)snprintf(number, sizeof(number), "%u", (unsigned)uid);
    return privileges_drop(number) == 0 && getuid() == uid ? 0 : 1;
}

static void
test_root_becomes_a_user_for_good(void **state)
{
    (void)state;
    if (getuid() != 0)
        skip();
    assert_int_equal(run_apart(drop_to_nobody), 0);
    assert_int_equal(run_apart(drop_to_a_number), 0);
}

static void
test_an_unknown_user_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(privileges_drop("no-such-user"), -ENOENT);
    assert_int_equal(privileges_drop("4294967294999"), -ENOENT);
    assert_int_equal(privileges_drop(""), -ENOENT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_starter_learns_how_it_went),
        cmocka_unit_test(test_the_daemon_has_its_own_session_and_no_input),
        cmocka_unit_test(test_root_becomes_a_user_for_good),
        cmocka_unit_test(test_an_unknown_user_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
