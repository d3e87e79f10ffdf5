/*
 * main.c - from the command line to a daemon that runs: the order in which a process becomes
 * pgweir. What happens then is service.c's and lifecycle.c's.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backend.h"
#include "buf.h"
#include "client_tls.h"
#include "cmdline.h"
#include "config.h"
#include "console.h"
#include "daemon.h"
#include "entropy.h"
#include "explain.h"
#include "hash.h"
#include "libpq_check.h"
#include "log.h"
#include "log_setup.h"
#include "pidfile.h"
#include "service.h"
#include "signals.h"
#include "tls.h"

#define EXIT_OK    0
#define EXIT_ERROR 1

static int
print_version(const struct backend_features *features)
{
    printf("%s\n", CONSOLE_VERSION);
    printf("libpq %d.%d\n", features->libpq_version / 10000, features->libpq_version % 10000);
    printf("tls: %s\n", OpenSSL_version(OPENSSL_VERSION));
    printf("systemd: yes\n");
    return EXIT_OK;
}

/* All that is wrong with the file goes to stderr: there is no log yet. notes may be NULL. */
static int
load_config(const char *path, struct config_errors *notes, struct config **ret_config)
{
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    const int r = notes != NULL ? config_explain(path, &errors, notes, ret_config)
                                : config_load(path, &errors, ret_config);

    config_errors_print(&errors, stderr);
    if (r < 0 && !config_errors_fatal(&errors))
        fprintf(stderr, "%s: %s\n", path, strerror(-r));
    return r;
}

/* Hash tables must not be predictable for clients who choose the keys. */
static int
seed_hash(void)
{
    uint64_t key[2];
    const int r = entropy_fill(key, sizeof(key));

    if (r == 0)
        hash_set_key(key);
    return r;
}

/* The user who is named on the command line or in the file, if any. */
static int
become_named_user(const struct cmdline *cmdline, const struct config *config)
{
    const char *user = cmdline->user != NULL ? cmdline->user : config->user;
    const int r = *user != '\0' ? privileges_drop(user) : 0;

    if (r < 0)
        log_fatal("cannot become user %s: %s", user, r == -ENOENT ? "no such user" : strerror(-r));
    return r;
}

static int
become_user(const struct cmdline *cmdline, const struct config *config)
{
    const int r = become_named_user(cmdline, config);

    if (r < 0)
        return r;
    if (geteuid() == 0) {
        log_fatal("pgweir should not run as root");
        return -EPERM;
    }
    return 0;
}

/* As the user who will run it: some files are that user's. notes are for config_explain, or NULL.
 */
static int
check_config(const struct cmdline *cmdline, const struct backend_features *features,
             struct config_errors *notes)
{
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    CLEANUP(tls_context_unref) struct tls_context *tls = NULL;
    CLEANUP(config_unref) struct config *config = NULL;

    if (load_config(cmdline->file, notes, &config) < 0 || become_named_user(cmdline, config) < 0)
        return EXIT_ERROR;
    libpq_check(config, features, &errors);
    (void)client_tls_load(config, NULL, &errors, &tls);
    config_errors_print(&errors, stderr);
    if (config_errors_fatal(&errors))
        return EXIT_ERROR;
    printf("%s: no errors\n", cmdline->file);
    if (notes != NULL)
        explain(config, notes, stdout);
    return EXIT_OK;
}

static int
explain_config(const struct cmdline *cmdline, const struct backend_features *features)
{
    CLEANUP(config_errors_done) struct config_errors notes = CONFIG_ERRORS_INIT;

    return check_config(cmdline, features, &notes);
}

/* What the file wants, and libpq cannot do. */
static int
check_servers(const struct config *config, const struct backend_features *features)
{
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;

    libpq_check(config, features, &errors);
    for (size_t i = 0; i < errors.count; i++)
        log_at(errors.list[i].is_warning ? LOG_LEVEL_WARNING : LOG_LEVEL_FATAL, "%s",
               errors.list[i].message);
    return config_errors_fatal(&errors) ? -EINVAL : 0;
}

/* Still in the foreground for whoever waits for daemon_report_ready. */
static int
become_daemon(const struct config *config)
{
    int r;

    if (*config->pidfile == '\0') {
        log_fatal("daemon needs pidfile configured");
        return -EINVAL;
    }
    r = daemon_detach();
    if (r < 0)
        log_fatal("cannot go into the background: %s", strerror(-r));
    return r;
}

static int
make_pidfile(const char *path, struct pidfile **ret_pidfile)
{
    int r;

    if (*path == '\0')
        return 0;
    r = pidfile_create(path, ret_pidfile);
    if (r == -EEXIST)
        log_fatal("pidfile '%s' exists, another instance running?", path);
    else if (r < 0)
        log_fatal("cannot create pidfile '%s': %s", path, strerror(-r));
    return r;
}

static int
run(const struct cmdline *cmdline, const struct backend_features *features)
{
    const struct log_setup log_setup = {.verbose = cmdline->verbose, .quiet = cmdline->quiet};
    CLEANUP(config_unref) struct config *config = NULL;
    CLEANUP(pidfile_remove) struct pidfile *pidfile = NULL;
    CLEANUP(service_free) struct service *service = NULL;
    int r;

    if (load_config(cmdline->file, NULL, &config) < 0)
        return EXIT_ERROR;
    r = become_user(cmdline, config);
    if (r == 0 && cmdline->daemon)
        r = become_daemon(config);
    if (r == 0)
        r = log_setup_apply(&log_setup, config);
    if (r == 0)
        r = check_servers(config, features);
    if (r == 0)
        r = make_pidfile(config->pidfile, &pidfile);
    if (r == 0)
        r = service_new(config, features, &log_setup, &service);
    if (r == 0)
        r = service_run(service);
    if (service != NULL &&
        service_stop(service) < 0) { /* a thread will come back, to what is ours */
        pidfile_remove(pidfile);
        log_close();
        _exit(r < 0 ? EXIT_ERROR : EXIT_OK);
    }
    return r < 0 ? EXIT_ERROR : EXIT_OK;
}

/* What must come before any thread, any look at the environment, and any descriptor. */
static int
prepare(struct backend_features *ret_features)
{
    CLEANUP(buf_done) struct buf error = BUF_INIT;
    int r;

    r = backend_global_init(ret_features, &error);
    if (r < 0) {
        fprintf(stderr, "pgweir: %s\n", error.len > 0 ? buf_str(&error) : strerror(-r));
        return r;
    }
    r = seed_hash();
    if (r < 0)
        fprintf(stderr, "pgweir: no random numbers: %s\n", strerror(-r));
    tzset(); /* the log's times, before other threads ask for them */
    signals_block();
    return r;
}

int
main(int argc, char *argv[])
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    struct backend_features features;
    struct cmdline cmdline;
    int status = EXIT_ERROR;

    if (prepare(&features) < 0)
        return EXIT_ERROR;
    if (cmdline_parse(argc, argv, &cmdline, &message) < 0) {
        fputs(buf_str(&message), stderr);
        return EXIT_ERROR;
    }
    switch (cmdline.action) {
    case CMDLINE_HELP:
        cmdline_usage(argv[0], stdout);
        status = EXIT_OK;
        break;
    case CMDLINE_VERSION:
        status = print_version(&features);
        break;
    case CMDLINE_CHECK:
        status = check_config(&cmdline, &features, NULL);
        break;
    case CMDLINE_EXPLAIN:
        status = explain_config(&cmdline, &features);
        break;
    case CMDLINE_RUN:
        status = run(&cmdline, &features);
        log_close();
        break;
    }
    return status;
}
