/*
 * The command line: each form and what it means.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cmdline.h"
#include "fixture.h"

#define WORDS_MAX 8
#define TRY       "\nTry \"pgweir --help\" for more information.\n"

static int
parse(const char *line, struct cmdline *cmdline, struct buf *message)
{
    static char copy[128]; /* cmdline->user and ->file point into it */
    char *argv[WORDS_MAX + 1] = {NULL};
    char *rest = copy;
    int argc = 0;

    (void)snprintf(copy, sizeof(copy), "%s", line);
    while (rest != NULL && argc < WORDS_MAX)
        argv[argc++] = strsep(&rest, " ");
    return cmdline_parse(argc, argv, cmdline, message);
}

static void
test_good(void **state)
{
    static const struct {
        const char *line;
        struct cmdline expected;
    } cases[] = {
        {"pgweir f", {.file = "f"}},
        {"pgweir f -d", {.file = "f", .daemon = true}},
        {"pgweir --daemon f", {.file = "f", .daemon = true}},
        {"pgweir -dqv -v f", {.file = "f", .daemon = true, .quiet = true, .verbose = 2}},
        {"pgweir --quiet --verbose f", {.file = "f", .quiet = true, .verbose = 1}},
        {"pgweir -u bob f", {.file = "f", .user = "bob"}},
        {"pgweir -ubob f", {.file = "f", .user = "bob"}},
        {"pgweir --user=bob f", {.file = "f", .user = "bob"}},
        {"pgweir -- -f", {.file = "-f"}},
        {"pgweir --check f", {.action = CMDLINE_CHECK, .file = "f"}},
        {"pgweir f --check", {.action = CMDLINE_CHECK, .file = "f"}},
        {"pgweir --explain f", {.action = CMDLINE_EXPLAIN, .file = "f"}},
        {"pgweir --check --explain f", {.action = CMDLINE_EXPLAIN, .file = "f"}},
        {"pgweir --explain f --check", {.action = CMDLINE_EXPLAIN, .file = "f"}},
        {"pgweir -V", {.action = CMDLINE_VERSION}},
        {"pgweir --version f g -x", {.action = CMDLINE_VERSION}},
        {"pgweir -h -x", {.action = CMDLINE_HELP}},
        {"pgweir --help", {.action = CMDLINE_HELP}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct cmdline *expected = &cases[i].expected;
        CLEANUP(buf_done) struct buf message = BUF_INIT;
        struct cmdline cmdline;

        assert_int_equal(parse(cases[i].line, &cmdline, &message), 0);
        assert_int_equal(cmdline.action, expected->action);
        assert_int_equal(cmdline.daemon, expected->daemon);
        assert_int_equal(cmdline.quiet, expected->quiet);
        assert_int_equal(cmdline.verbose, expected->verbose);
        assert_string_equal(cmdline.user != NULL ? cmdline.user : "-",
                            expected->user != NULL ? expected->user : "-");
        assert_string_equal(cmdline.file != NULL ? cmdline.file : "-",
                            expected->file != NULL ? expected->file : "-");
        assert_int_equal(message.len, 0);
    }
}

static void
test_bad(void **state)
{
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"pgweir", "pgweir: no configuration file specified" TRY},
        {"pgweir -d", "pgweir: no configuration file specified" TRY},
        {"pgweir a b", "pgweir: one configuration file expected, not 2" TRY},
        {"pgweir -x f", "pgweir: invalid option \"-x\"" TRY},
        {"pgweir -dR f", "pgweir: invalid option \"-R\"" TRY},
        {"pgweir --reboot f", "pgweir: invalid option \"--reboot\"" TRY},
        {"pgweir --check=f", "pgweir: invalid option \"--check=f\"" TRY},
        {"pgweir f -u", "pgweir: option \"-u\" needs an argument" TRY},
        {"pgweir f --user", "pgweir: option \"--user\" needs an argument" TRY},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(buf_done) struct buf message = BUF_INIT;
        struct cmdline cmdline = {.verbose = 77};

        assert_int_equal(parse(cases[i].line, &cmdline, &message), -EINVAL);
        assert_string_equal(buf_str(&message), cases[i].message);
        assert_int_equal(cmdline.verbose, 77);
    }
}

static void
test_no_words_at_all(void **state)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    char *argv[] = {NULL};
    struct cmdline cmdline;

    (void)state;
    assert_int_equal(cmdline_parse(0, argv, &cmdline, &message), -EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_no_words_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
