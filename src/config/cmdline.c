/*
 * getopt_long, without its printing and its reordering of argv.
 */
#include "cmdline.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

/* Outside the characters, for what has a long form only. */
enum { OPTION_CHECK = 256, OPTION_EXPLAIN };

static const struct option long_options[] = {
    {"check", no_argument, NULL, OPTION_CHECK},
    {"daemon", no_argument, NULL, 'd'},
    {"explain", no_argument, NULL, OPTION_EXPLAIN},
    {"help", no_argument, NULL, 'h'},
    {"quiet", no_argument, NULL, 'q'},
    {"user", required_argument, NULL, 'u'},
    {"verbose", no_argument, NULL, 'v'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static const char usage[] =
    "pgweir is a connection pooler for PostgreSQL.\n"
    "\n"
    "Usage:\n"
    "  %s [OPTION]... CONFIG_FILE\n"
    "\n"
    "Options:\n"
    "      --check          check CONFIG_FILE, tell all that is wrong with it, then exit\n"
    "      --explain        as --check, and tell what is not as with PgBouncer\n"
    "  -d, --daemon         run in background (as a daemon)\n"
    "  -q, --quiet          run quietly\n"
    "  -u, --user=USERNAME  assume identity of USERNAME\n"
    "  -v, --verbose        increase verbosity\n"
    "  -V, --version        show version, then exit\n"
    "  -h, --help           show this help, then exit\n";

void
cmdline_usage(const char *program, FILE *file)
{
    (void)fprintf(file, usage, program);
}

static PRINTF_LIKE(3, 4) int complain(struct buf *message, const char *program, const char *format,
                                      ...)
{
    va_list args;
    int r;

    r = buf_printf(message, "%s: ", program);
    va_start(args, format);
    if (r == 0)
        r = buf_vprintf(message, format, args);
    va_end(args);
    if (r == 0)
        r = buf_printf(message, "\nTry \"%s --help\" for more information.\n", program);
    return r < 0 ? r : -EINVAL;
}

/* word is the argument that getopt did not like; for a short option, optopt is its letter. */
static int
complain_option(struct buf *message, const char *program, const char *word, bool lacks_argument)
{
    const char letter[] = {'-', (char)optopt, '\0'};
    const bool is_long = strncmp(word, "--", 2) == 0;

    return complain(message, program,
                    lacks_argument ? "option \"%s\" needs an argument" : "invalid option \"%s\"",
                    is_long || optopt == 0 ? word : letter);
}

/* 1 to go on; 0 when the rest does not matter any more. */
static int
take_option(int letter, struct cmdline *cmdline)
{
    switch (letter) {
    case OPTION_CHECK:
        if (cmdline->action == CMDLINE_RUN)
            cmdline->action = CMDLINE_CHECK;
        return 1;
    case OPTION_EXPLAIN:
        cmdline->action = CMDLINE_EXPLAIN;
        return 1;
    case 'd':
        cmdline->daemon = true;
        return 1;
    case 'q':
        cmdline->quiet = true;
        return 1;
    case 'u':
        cmdline->user = optarg;
        return 1;
    case 'v':
        cmdline->verbose++;
        return 1;
    case 'V':
        cmdline->action = CMDLINE_VERSION;
        return 0;
    default:
        cmdline->action = CMDLINE_HELP;
        return 0;
    }
}

static int
take_file(int argc, char *const words[], struct cmdline *cmdline, struct buf *message)
{
    if (optind == argc)
        return complain(message, words[0], "no configuration file specified");
    if (optind + 1 < argc)
        return complain(message, words[0], "one configuration file expected, not %d",
                        argc - optind);
    cmdline->file = words[optind];
    return 0;
}

int
cmdline_parse(int argc, char *const argv[], struct cmdline *ret_cmdline, struct buf *message)
{
    CLEANUP(free) char **words = calloc((size_t)argc + 1, sizeof(*words));
    struct cmdline cmdline = {.action = CMDLINE_RUN};
    int letter, r;

    if (words == NULL)
        return -ENOMEM;
    memcpy(words, argv, (size_t)argc * sizeof(*words)); /* getopt moves the files to the end */
    opterr = 0;
    optind = 0; /* glibc: from the beginning, whatever it did before */
    while ((letter = getopt_long(argc, words, ":dqu:vVh", long_options, NULL)) != -1) {
        if (letter == '?' || letter == ':')
            return complain_option(message, words[0], words[optind - 1], letter == ':');
        if (take_option(letter, &cmdline) == 0) {
            *ret_cmdline = cmdline;
            return 0;
        }
    }
    r = take_file(argc, words, &cmdline, message);
    if (r < 0)
        return r;
    *ret_cmdline = cmdline;
    return 0;
}
