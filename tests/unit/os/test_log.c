#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "log_int.h"
#include "scratch.h"
#include "str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define THREADS 4
#define LINES   200

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
    log_close();
    log_set_level(LOG_LEVEL_INFO);
    scratch_remove(*state);
    return 0;
}

static void
open_log(struct scratch *scratch, enum log_level level)
{
    const struct log_options options = {
        .file = scratch_path(scratch, "log"), .level = level, .quiet = true};

    assert_int_equal(log_open(&options), 0);
}

/* The part of the only line in the log that follows "[pid] ". */
static const char *
only_line(struct scratch *scratch)
{
    const char *text = scratch_read(scratch, "log");
    const char *newline = strchr(text, '\n');

    assert_non_null(newline);
    assert_string_equal(newline, "\n");
    return strstr(text, "] ") + 2;
}

static void
assert_matches(const char *text, const char *pattern)
{
    regex_t regex;

    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&regex, text, 0, NULL, 0) != 0)
        fail_msg("\"%s\" does not match %s", text, pattern);
    regfree(&regex);
}

static void
test_a_line_looks_like_pgbouncers(void **state)
{
    open_log(*state, LOG_LEVEL_INFO);
    log_msg(LOG_LEVEL_INFO, "C-4711: shop/alice@10.0.0.7:50112", "closing because: %s (age=%ds)",
            "client_idle_timeout", 31);
    assert_matches(scratch_read(*state, "log"),
                   "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3} [^ ]+ "
                   "[[][0-9]+] LOG C-4711: shop/alice@10[.]0[.]0[.]7:50112 closing because: "
                   "client_idle_timeout [(]age=31s[)]\n$");
}

static void
test_each_level_has_its_name(void **state)
{
    static const struct {
        enum log_level level;
        const char *line;
    } rows[] = {
        {LOG_LEVEL_FATAL, "FATAL x\n"},     {LOG_LEVEL_ERROR, "ERROR x\n"},
        {LOG_LEVEL_WARNING, "WARNING x\n"}, {LOG_LEVEL_INFO, "LOG x\n"},
        {LOG_LEVEL_DEBUG, "DEBUG x\n"},     {LOG_LEVEL_NOISE, "NOISE x\n"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        open_log(*state, LOG_LEVEL_NOISE);
        log_msg(rows[i].level, NULL, "x");
        assert_string_equal(only_line(*state), rows[i].line);
        (void)unlink(scratch_path(*state, "log"));
    }
}

static int evaluations;

static int
evaluate(void)
{
    return ++evaluations;
}

static void
test_what_is_too_detailed_is_not_even_evaluated(void **state)
{
    open_log(*state, LOG_LEVEL_WARNING);
    log_info("%d", evaluate());
    log_msg(LOG_LEVEL_INFO, NULL, "direct");
    assert_int_equal(evaluations, 0);
    assert_string_equal(scratch_read(*state, "log"), "");
    log_set_level(LOG_LEVEL_DEBUG);
    assert_true(log_level_enabled(LOG_LEVEL_DEBUG));
    assert_false(log_level_enabled(LOG_LEVEL_NOISE));
    log_debug("%d", evaluate());
    assert_string_equal(only_line(*state), "DEBUG 1\n");
}

static void
test_control_characters_cannot_forge(void **state)
{
    open_log(*state, LOG_LEVEL_INFO);
    log_msg(LOG_LEVEL_INFO, "C-1: a\nb",
            "x\r\n2026 LOG forged\t\x1b[2J\x7f \xc2\x9b gr\xc3\xbc\xc3\x9f\\");
    assert_string_equal(only_line(*state), "LOG C-1: a\\nb x\\r\\n2026 LOG forged\\t\\x1b[2J\\x7f "
                                           "\\xc2\\x9b gr\xc3\xbc\xc3\x9f\\\n");
}

static void
test_a_long_message_is_cut(void **state)
{
    char controls[8000] = "";
    const char *line;
    size_t len;

    open_log(*state, LOG_LEVEL_INFO);
    log_info("%0*d", 20000, 0);
    line = only_line(*state);
    len = strlen(line);
    assert_in_range(len, 8000, 8300);
    assert_string_equal(line + len - 5, "0...\n");
    assert_int_equal(unlink(scratch_path(*state, "log")), 0);

    open_log(*state, LOG_LEVEL_INFO); /* escapes make it longer than a line may be */
    memset(controls, 1, sizeof(controls) - 1);
    log_info("%s", controls);
    assert_in_range(strlen(scratch_read(*state, "log")), 16000, 16384);
    assert_matches(only_line(*state), "^LOG (\\\\x01)+\n$");
}

static void
test_errno_survives_and_can_be_printed(void **state)
{
    open_log(*state, LOG_LEVEL_INFO);
    errno = ENOENT;
    log_info("could not open: %m");
    assert_int_equal(errno, ENOENT);
    assert_string_equal(only_line(*state), "LOG could not open: No such file or directory\n");
}

static void
test_a_failed_open_changes_nothing(void **state)
{
    const struct log_options no_directory = {.file = "/nonexistent/log", .quiet = true};
    const struct log_options no_facility = {
        .syslog_ident = "pgweir", .syslog_facility = "locale0", .quiet = true};

    open_log(*state, LOG_LEVEL_DEBUG);
    assert_int_equal(log_open(&no_directory), -ENOENT);
    assert_int_equal(log_open(&no_facility), -EINVAL);
    log_debug("still here");
    assert_string_equal(only_line(*state), "DEBUG still here\n");
}

static void
test_reopen_follows_a_rotation(void **state)
{
    struct scratch *scratch = *state;
    char moved[128];

    open_log(scratch, LOG_LEVEL_INFO);
    log_info("first");
    (void)snprintf(moved, sizeof(moved), "%s", scratch_path(scratch, "log.1"));
    assert_int_equal(rename(scratch_path(scratch, "log"), moved), 0);
    log_info("second");
    assert_int_equal(log_reopen(), 0);
    log_info("third");
    assert_string_equal(only_line(scratch), "LOG third\n");
    assert_non_null(strstr(scratch_read(scratch, "log.1"), "second"));
}

static void
test_a_failed_reopen_keeps_the_file(void **state)
{
    struct scratch *scratch = *state;

    open_log(scratch, LOG_LEVEL_INFO);
    assert_int_equal(unlink(scratch_path(scratch, "log")), 0);
    assert_int_equal(mkdir(scratch_path(scratch, "log"), 0700), 0);
    assert_int_equal(log_reopen(), -EISDIR);
    log_info("into the old one");
    assert_int_equal(rmdir(scratch_path(scratch, "log")), 0);
}

/* Runs body with stderr going to the file "stderr". */
static void
with_stderr(struct scratch *scratch, void (*body)(struct scratch *scratch))
{
    CLEANUP(fd_close) int saved = dup(STDERR_FILENO);
    CLEANUP(fd_close)
    int file = open(scratch_path(scratch, "stderr"), O_WRONLY | O_CREAT | O_APPEND, 0600);

    assert_true(saved >= 0 && file >= 0);
    assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
    body(scratch);
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
}

static void
log_before_and_after_open(struct scratch *scratch)
{
    const struct log_options options = {.file = scratch_path(scratch, "log"),
                                        .level = LOG_LEVEL_INFO};

    log_info("before");
    assert_int_equal(log_open(&options), 0);
    log_info("both");
    open_log(scratch, LOG_LEVEL_INFO);
    log_info("quiet");
}

static void
test_stderr_is_there_until_quiet(void **state)
{
    const char *text;

    with_stderr(*state, log_before_and_after_open);
    text = scratch_read(*state, "stderr");
    assert_non_null(strstr(text, "LOG before\n"));
    assert_non_null(strstr(text, "LOG both\n"));
    assert_null(strstr(text, "quiet"));
    text = scratch_read(*state, "log");
    assert_null(strstr(text, "before"));
    assert_non_null(strstr(text, "LOG both\n"));
    assert_non_null(strstr(text, "LOG quiet\n"));
}

static void
name_stderr_as_journal(struct scratch *scratch)
{
    char stream[64];
    struct stat st;

    (void)scratch;
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    (void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
    assert_true(log_target_stderr_is_journal());
    assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
    assert_false(log_target_stderr_is_journal());
    assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
    assert_false(log_target_stderr_is_journal());
}

static void
test_knows_the_journal_by_its_stream(void **state)
{
    with_stderr(*state, name_stderr_as_journal);
}

static void
log_with_prefix(struct scratch *scratch)
{
    struct log_target target = {.file = -1, .journal = -1, .with_prefix = true};
    static const struct log_line line = {
        .level = LOG_LEVEL_WARNING, .len = 7, .message = 5, .text = "time x\n"};

    (void)scratch;
    log_target_write(&target, &line);
}

static void
test_a_journal_out_of_reach_gets_the_level_as_prefix(void **state)
{
    with_stderr(*state, log_with_prefix);
    assert_string_equal(scratch_read(*state, "stderr"), "<4>time x\n");
}

static void
test_a_journal_entry_is_one_datagram(void **state)
{
    CLEANUP(fd_close) int server = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CLEANUP(fd_close) int journal = -1;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char entry[256] = "";

    assert_true(str_copy(addr.sun_path, sizeof(addr.sun_path), scratch_path(*state, "journal")) <
                sizeof(addr.sun_path));
    assert_int_equal(bind(server, (struct sockaddr *)&addr, sizeof(addr)), 0);
    journal = log_journal_open(addr.sun_path);
    assert_true(journal >= 0);
    assert_int_equal(log_journal_write(journal, 4, "C-1: text and more", 9), 0);
    assert_true(recv(server, entry, sizeof(entry) - 1, 0) > 0);
    assert_string_equal(entry, "SYSLOG_IDENTIFIER=pgweir\nPRIORITY=4\nMESSAGE=C-1: text\n");
    assert_int_equal(log_journal_open("/nonexistent/socket"), -ENOENT);
}

static void *
write_lines(void *arg)
{
    for (int i = 0; i < LINES; i++)
        log_msg(LOG_LEVEL_INFO, arg, "%040d", i);
    return NULL;
}

static void
test_lines_of_many_threads_stay_whole(void **state)
{
    static char names[THREADS][16];
    int next[THREADS] = {0};
    pthread_t threads[THREADS];
    const char *line;

    open_log(*state, LOG_LEVEL_INFO);
    for (int i = 0; i < THREADS; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "C-%d:", i);
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
    }
    for (int i = 0; i < LINES; i++)
        assert_int_equal(log_reopen(), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);

    for (line = scratch_read(*state, "log"); *line != '\0'; line = strchr(line, '\n') + 1) {
        int thread;
        int number;

        assert_int_equal(sscanf(strstr(line, "LOG C-"), "LOG C-%d: %d\n", &thread, &number), 2);
        assert_int_equal(number, next[thread]++);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(next[i], LINES);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_line_looks_like_pgbouncers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_level_has_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_too_detailed_is_not_even_evaluated, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_control_characters_cannot_forge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_long_message_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errno_survives_and_can_be_printed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_failed_open_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reopen_follows_a_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_failed_reopen_keeps_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stderr_is_there_until_quiet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_knows_the_journal_by_its_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_journal_out_of_reach_gets_the_level_as_prefix, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_journal_entry_is_one_datagram, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_of_many_threads_stay_whole, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
