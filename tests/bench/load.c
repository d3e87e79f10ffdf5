/*
 * load.c - clients that ask queries, through a pooler or not: far cheaper than pgbench, and many of
 * them may be idle. It prints one line of JSON:
 *
 *     transactions, errors, first_error    errors are those transactions that failed, lost
 *                                          connections, and what was not answered in time
 *     seconds                              that were measured
 *     p50, p90, p99, p99.9, max            latency of transactions in microseconds; with --rate
 *                                          from the moment at which each was due
 *     bytes                                received by clients other than pullers
 *     pulls, pulled_bytes                  by pullers
 *     own_cpu, watched_cpu                 microseconds of CPU, of this process and --watch's
 *
 * Logins and the warm-up are not measured. It always ends: logins have 5 minutes, a line on the
 * standard input 10, a run with --count 4.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fd.h"
#include "load.h"
#include "macros.h"
#include "moment.h"

#define LOGIN_SECONDS 300
#define WAIT_SECONDS  600
#define COUNT_SECONDS 240
#define THREADS_MAX   64

static const char usage[] =
    "usage: bench_load [options]\n"
    "  --host ADDRESS, --port N             where to (127.0.0.1, 5432)\n"
    "  --user NAME, --password TEXT         as whom (postgres); trust, cleartext or SCRAM\n"
    "  --database NAME                      (postgres)\n"
    "  --databases N, --users N             clients are spread over so many; %d in the name is\n"
    "                                       0 to N-1\n"
    "  --tls                                whatever the certificate\n"
    "  --clients N                          busy ones (1)\n"
    "  --idle N                             that log in, ask one query, and stay (0)\n"
    "  --query TEXT                         (SELECT 1)\n"
    "  --mode simple|extended|prepared      how it is asked (simple)\n"
    "  --statements K                       so many different texts, used in turn (1)\n"
    "  --transaction                        between BEGIN and COMMIT\n"
    "  --seconds S, --warm-up S             how long, and how long before (5, 0.5)\n"
    "  --count N                            transactions, instead; without warm-up\n"
    "  --rate R                             transactions offered per second (no limit)\n"
    "  --pull-query TEXT                    a big result\n"
    "  --pullers N                          that ask it again and again (0)\n"
    "  --non-readers N                      that ask it and never read the answer (0)\n"
    "  --threads N                          of this program (1)\n"
    "  --watch PID                          tell the CPU time of that process, too\n"
    "  --wait                               say \"ready\" when all are in, and go on with the "
    "next\n"
    "                                       line, or the end, of the standard input\n";

/* Options ------------------------------------------------------------------------------------- */

enum option_type { OPTION_TEXT, OPTION_INT, OPTION_NUMBER, OPTION_FLAG };

struct option_row {
    const char *name;
    enum option_type type;
    void *field;
};

static int
parse_int(const struct option_row *row, const char *text)
{
    char *end;
    const long value = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value < 0 || value > 1000000000)
        errx(2, "--%s: not a number: %s", row->name, text);
    return (int)value;
}

static double
parse_number(const struct option_row *row, const char *text)
{
    char *end;
    const double value = strtod(text, &end);

    if (*text == '\0' || *end != '\0' || !isfinite(value) || value < 0)
        errx(2, "--%s: not a number: %s", row->name, text);
    return value;
}

static void
take_option(const struct option_row *row)
{
    switch (row->type) {
    case OPTION_TEXT:
        *(const char **)row->field = optarg;
        break;
    case OPTION_INT:
        *(int *)row->field = parse_int(row, optarg);
        break;
    case OPTION_NUMBER:
        *(double *)row->field = parse_number(row, optarg);
        break;
    case OPTION_FLAG:
        *(bool *)row->field = true;
        break;
    }
}

static void
parse_options(struct load *load, int argc, char **argv)
{
    const struct option_row rows[] = {
        {"host", OPTION_TEXT, &load->host},
        {"port", OPTION_TEXT, &load->port},
        {"user", OPTION_TEXT, &load->user},
        {"password", OPTION_TEXT, &load->password},
        {"database", OPTION_TEXT, &load->database},
        {"databases", OPTION_INT, &load->databases},
        {"users", OPTION_INT, &load->users},
        {"tls", OPTION_FLAG, &load->encrypted},
        {"clients", OPTION_INT, &load->clients},
        {"idle", OPTION_INT, &load->idle},
        {"query", OPTION_TEXT, &load->query},
        {"mode", OPTION_TEXT, &load->mode},
        {"statements", OPTION_INT, &load->statements},
        {"transaction", OPTION_FLAG, &load->transaction},
        {"seconds", OPTION_NUMBER, &load->seconds},
        {"warm-up", OPTION_NUMBER, &load->warm_up},
        {"count", OPTION_NUMBER, &load->count},
        {"rate", OPTION_NUMBER, &load->rate},
        {"pull-query", OPTION_TEXT, &load->pull_query},
        {"pullers", OPTION_INT, &load->pullers},
        {"non-readers", OPTION_INT, &load->non_readers},
        {"threads", OPTION_INT, &load->threads},
        {"watch", OPTION_INT, &load->watch},
        {"wait", OPTION_FLAG, &load->wait},
    };
    struct option options[ARRAY_SIZE(rows) + 1] = {{NULL, 0, NULL, 0}};
    int option, index;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        options[i].name = rows[i].name;
        options[i].has_arg = rows[i].type == OPTION_FLAG ? no_argument : required_argument;
    }
    while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
        if (option != 0)
            errx(2, "%s", usage);
        take_option(&rows[index]);
    }
    if (optind != argc || load->threads < 1 || load->threads > THREADS_MAX ||
        load->statements < 1 || load->databases < 1 || load->users < 1)
        errx(2, "%s", usage);
    if ((load->pullers > 0 || load->non_readers > 0) && *load->pull_query == '\0')
        errx(2, "--pullers and --non-readers want a --pull-query");
}

/* Figures ------------------------------------------------------------------------------------- */

/* What is read at the beginning and at the end of what is measured. */
struct reading {
    uint64_t time;
    uint64_t own_cpu;
    uint64_t watched_cpu; /* 0 without --watch */
};

static struct reading
read_clocks(const struct load *load)
{
    clockid_t watched;

    if (load->watch == 0)
        return (struct reading){moment_now(), moment_of(CLOCK_PROCESS_CPUTIME_ID), 0};
    if (clock_getcpuclockid(load->watch, &watched) != 0)
        errx(1, "no process %d", load->watch);
    return (struct reading){moment_now(), moment_of(CLOCK_PROCESS_CPUTIME_ID), moment_of(watched)};
}

/* JSON's string, with what it does not allow left out. */
static void
print_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++)
        if ((unsigned char)*text >= ' ' && *text != '"' && *text != '\\')
            putchar(*text);
    putchar('"');
}

static void
report(struct outcome *outcome, const struct reading *start, const struct reading *end)
{
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {
        {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1},
    };

    printf("{\"transactions\": %zu, \"errors\": %llu, \"first_error\": ", outcome->latencies.count,
           (unsigned long long)outcome->errors);
    print_string(outcome->first_error);
    printf(", \"seconds\": %.6f", (double)(end->time - start->time) / NSEC_PER_SEC);
    for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++)
        printf(", \"%s\": %.1f", quantiles[i].name,
               latencies_quantile(&outcome->latencies, quantiles[i].q));
    printf(", \"bytes\": %llu, \"pulls\": %llu, \"pulled_bytes\": %llu",
           (unsigned long long)outcome->bytes, (unsigned long long)outcome->pulls,
           (unsigned long long)outcome->pulled_bytes);
    printf(", \"own_cpu\": %.1f, \"watched_cpu\": %.1f}\n",
           (double)(end->own_cpu - start->own_cpu) / 1e3,
           (double)(end->watched_cpu - start->watched_cpu) / 1e3);
    fflush(stdout);
}

/* The run ------------------------------------------------------------------------------------- */

/* SIGALRM: what should have ended long ago. */
static void
too_late(int signal_number)
{
    static const char text[] = "bench_load: this takes too long\n";

    (void)signal_number;
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(1);
}

static void
wait_for_line(void)
{
    char ignored[64];
    ssize_t n;

    printf("ready\n");
    fflush(stdout);
    alarm(WAIT_SECONDS);
    do {
        n = read(STDIN_FILENO, ignored, sizeof(ignored));
    } while (n > 0 && memchr(ignored, '\n', (size_t)n) == NULL);
}

static struct schedule
schedule_now(const struct load *load)
{
    const double warm_up = load->count > 0 ? 0 : load->warm_up;
    const double seconds = load->count > 0 ? COUNT_SECONDS : load->seconds;
    struct schedule schedule = {.start = moment_now()};

    schedule.measure = schedule.start + (uint64_t)(warm_up * NSEC_PER_SEC);
    schedule.end = schedule.measure + (uint64_t)(seconds * NSEC_PER_SEC);
    return schedule;
}

static void
sleep_until(uint64_t moment)
{
    const struct timespec time = {.tv_sec = (time_t)(moment / NSEC_PER_SEC),
                                  .tv_nsec = (long)(moment % NSEC_PER_SEC)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        ;
}

static void
run(const struct load *load, struct crew **crews)
{
    const struct schedule schedule = schedule_now(load);
    struct outcome outcome = {.errors = 0};
    struct reading start, end;

    alarm((unsigned)((schedule.end - schedule.start) / NSEC_PER_SEC) + 2 * CREW_GRACE);
    start = read_clocks(load);
    for (int i = 0; i < load->threads; i++)
        crew_run(crews[i], &schedule);
    if (schedule.measure > schedule.start) {
        sleep_until(schedule.measure);
        start = read_clocks(load);
    }
    for (int i = 0; i < load->threads; i++)
        outcome_merge(&outcome, crew_join(crews[i]));
    end = read_clocks(load);
    report(&outcome, &start, &end);
    outcome_done(&outcome);
}

int
main(int argc, char **argv)
{
    struct load load = {
        .host = "127.0.0.1",
        .port = "5432",
        .database = "postgres",
        .user = "postgres",
        .password = "",
        .mode = "simple",
        .query = "SELECT 1",
        .pull_query = "",
        .databases = 1,
        .users = 1,
        .clients = 1,
        .threads = 1,
        .statements = 1,
        .seconds = 5,
        .warm_up = 0.5,
    };
    struct crew *crews[THREADS_MAX];
    struct script script;
    uint64_t soft, hard;

    parse_options(&load, argc, argv);
    (void)fd_raise_limit(&soft, &hard);
    signal(SIGALRM, too_late);
    alarm(LOGIN_SECONDS);
    load.tls = load.encrypted ? link_tls_new() : NULL;
    script_init(&script, &load);
    for (int i = 0; i < load.threads; i++)
        crews[i] = crew_start(&load, &script, i);
    for (int i = 0; i < load.threads; i++)
        crew_wait_until_ready(crews[i]);
    if (load.wait)
        wait_for_line();
    run(&load, crews);
    for (int i = 0; i < load.threads; i++)
        crew_free(crews[i]);
    script_done(&script);
    SSL_CTX_free(load.tls);
    return 0;
}
