/* Reloads come one after the other, and each who asks is told of one that began after it. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.h"
#include "executor.h"
#include "fake_loop.h"
#include "log.h"
#include "reloader.h"
#include "str.h"

struct fixture {
    struct loop *loop;
    struct executor *executor;
    struct reloader *reloader;
    struct config *config;
    char path[64];
    unsigned applied;
    int apply_result;
    bool check_fails;
};

struct waiter {
    struct reload_waiter waiter;
    unsigned told;
    char error[256];
};

/* At one stroke: somebody may be reading it. */
static void
write_config(const struct fixture *f, const char *line)
{
    char path[sizeof(f->path) + 4];
    FILE *file;

    snprintf(path, sizeof(path), "%s.new", f->path);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "[pgbouncer]\nauth_type = any\n%s\n", line);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(path, f->path), 0);
}

static struct config *
current(void *arg)
{
    return ((struct fixture *)arg)->config;
}

static int
apply(void *arg, struct config *config, struct tls_context *tls)
{
    struct fixture *f = arg;

    assert_null(tls);
    f->applied++;
    if (f->apply_result < 0)
        return f->apply_result;
    config_unref(f->config);
    f->config = config_ref(config);
    return 0;
}

static void
check(void *arg, const struct config *config, struct config_errors *errors,
      struct tls_context **ret_tls)
{
    const struct fixture *f = arg;

    (void)config;
    *ret_tls = NULL;
    if (f->check_fails)
        config_errors_add(errors, false, "this cannot be done here");
}

static void
told(struct reload_waiter *reload_waiter, const char *error)
{
    struct waiter *waiter = container_of(reload_waiter, struct waiter, waiter);

    waiter->told++;
    str_copy(waiter->error, sizeof(waiter->error), error != NULL ? error : "");
}

/* Until the job that is under way has come back. */
static void
wait_until_told(struct fixture *f, const struct waiter *waiter)
{
    while (waiter->told == 0)
        fake_loop_wait(f->loop);
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct reloader_hooks hooks = {
        .arg = f, .current = current, .check = check, .apply = apply};
    struct config_errors errors = CONFIG_ERRORS_INIT;
    int fd;

    (void)log_open(&(struct log_options){.quiet = true});
    f->loop = fake_loop_new();
    strcpy(f->path, "/tmp/pgweir-test-XXXXXX");
    fd = mkstemp(f->path);
    assert_true(fd >= 0);
    close(fd);
    write_config(f, "max_client_conn = 1");
    assert_int_equal(config_load(f->path, &errors, &f->config), 0);
    config_errors_done(&errors);
    assert_int_equal(executor_new("executor", 1, 4, &f->executor), 0);
    assert_int_equal(reloader_new(f->loop, f->executor, &hooks, &f->reloader), 0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    reloader_close(f->reloader);
    executor_close(f->executor);
    executor_free(f->executor);
    loop_free(f->loop);
    reloader_free(f->reloader);
    config_unref(f->config);
    unlink(f->path);
    log_close();
    free(f);
    return 0;
}

static void
test_good_and_bad(void **state)
{
    struct fixture *f = *state;
    struct waiter good = {.waiter.done = told}, bad = {.waiter.done = told};

    write_config(f, "max_client_conn = 2");
    reloader_start(f->reloader, &good.waiter);
    wait_until_told(f, &good);
    assert_string_equal(good.error, "");
    assert_int_equal(f->config->max_client_conn, 2);

    write_config(f, "max_client_conn = many");
    reloader_start(f->reloader, &bad.waiter);
    wait_until_told(f, &bad);
    assert_non_null(strstr(bad.error, ":3: "));
    assert_int_equal(f->config->max_client_conn, 2);
    assert_int_equal(f->applied, 1);
}

static void
test_what_cannot_be_applied(void **state)
{
    struct fixture *f = *state;
    struct waiter waiter = {.waiter.done = told};

    f->apply_result = -EACCES;
    write_config(f, "max_client_conn = 2");
    reloader_start(f->reloader, &waiter.waiter);
    wait_until_told(f, &waiter);
    assert_string_equal(waiter.error, "Permission denied");
    assert_int_equal(f->config->max_client_conn, 1);
}

static void
test_what_cannot_be_done(void **state)
{
    struct fixture *f = *state;
    struct waiter waiter = {.waiter.done = told};

    f->check_fails = true;
    write_config(f, "max_client_conn = 2");
    reloader_start(f->reloader, &waiter.waiter);
    wait_until_told(f, &waiter);
    assert_string_equal(waiter.error, "this cannot be done here");
    assert_int_equal(f->applied, 0);
}

/* Both who come while one is under way get the next one, together. */
static void
test_one_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct waiter waiters[3];

    for (int i = 0; i < 3; i++) {
        waiters[i] = (struct waiter){.waiter.done = told};
        reloader_start(f->reloader, &waiters[i].waiter);
    }
    write_config(f, "max_client_conn = 3"); /* maybe too late for the first */
    wait_until_told(f, &waiters[2]);
    assert_int_equal(f->applied, 2);
    assert_int_equal(f->config->max_client_conn, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(waiters[i].told, 1);
}

/* Who has left is not told. */
static void
test_waiter_leaves(void **state)
{
    struct fixture *f = *state;
    struct waiter gone = {.waiter.done = told}, other = {.waiter.done = told};

    reloader_start(f->reloader, &gone.waiter);
    reloader_start(f->reloader, &other.waiter);
    list_remove(&gone.waiter.link);
    wait_until_told(f, &other);
    assert_int_equal(gone.told, 0);
}

/* At the end everybody is told, and what comes later is dropped. */
static void
test_closed_under_way(void **state)
{
    struct fixture *f = *state;
    struct waiter waiters[2];

    for (int i = 0; i < 2; i++) {
        waiters[i] = (struct waiter){.waiter.done = told};
        reloader_start(f->reloader, &waiters[i].waiter);
    }
    reloader_close(f->reloader);
    executor_close(f->executor);
    fake_loop_settle(f->loop);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(waiters[i].told, 1);
        assert_string_equal(waiters[i].error, "pooler is shutting down");
    }
    assert_int_equal(f->applied, 0);
}

/* No thread takes the job any more. */
static void
test_executor_refuses(void **state)
{
    struct fixture *f = *state;
    struct waiter waiter = {.waiter.done = told};

    executor_close(f->executor);
    reloader_start(f->reloader, &waiter.waiter);
    assert_int_equal(waiter.told, 1);
    assert_true(strlen(waiter.error) > 0);
    assert_int_equal(f->applied, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_good_and_bad),        TEST(test_what_cannot_be_applied),
        TEST(test_what_cannot_be_done), TEST(test_one_at_a_time),
        TEST(test_waiter_leaves),       TEST(test_closed_under_way),
        TEST(test_executor_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
