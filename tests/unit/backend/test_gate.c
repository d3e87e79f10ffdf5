/*
 * test_gate.c - who may try again, and when.
 */
#include "backend_int.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char host[] = "db", other_host[] = "db2", dbname[] = "shop", other_db[] = "crm",
            user[] = "app";

static struct rng rng;
static struct gates gates;
static const struct backend_target shop = {
    .host = host, .port = 5432, .dbname = dbname, .user = user, .login_retry = 15 * SEC};
static const struct backend_target crm = {
    .host = host, .port = 5432, .dbname = other_db, .user = user, .login_retry = 15 * SEC};
static const struct backend_target elsewhere = {
    .host = other_host, .port = 5432, .dbname = dbname, .user = user, .login_retry = 15 * SEC};

static int
setup(void **state)
{
    (void)state;
    rng_seed(&rng, 1);
    gates_init(&gates, &rng);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    gates_done(&gates);
    return 0;
}

static usec_t
fails_until(const struct backend_target *target, enum fault fault, usec_t now)
{
    struct backend_error error;

    backend_error_set(&error, "08001", "failed at %u", (unsigned)(now / SEC));
    gates_fail(&gates, target, fault, now, &error);
    return error.retry_at;
}

static bool
passes(const struct backend_target *target, usec_t now)
{
    struct backend_error error;

    return gates_pass(&gates, target, now, &error);
}

static void
test_host_failure_bars_the_host(void **state)
{
    struct backend_error error;
    usec_t retry_at;

    (void)state;
    assert_true(passes(&shop, 1 * SEC));
    retry_at = fails_until(&shop, FAULT_HOST, 1 * SEC);
    assert_in_range(retry_at, 1 * SEC + 50 * MSEC, 1 * SEC + 100 * MSEC);
    assert_false(gates_pass(&gates, &crm, retry_at - 1, &error));
    assert_int_equal(error.retry_at, retry_at);
    assert_string_equal(error.sqlstate, "08001");
    assert_string_equal(error.message, "failed at 1");
    assert_true(passes(&elsewhere, retry_at - 1));
}

static void
test_login_failure_bars_the_login_only(void **state)
{
    usec_t retry_at;

    (void)state;
    assert_true(passes(&shop, 1 * SEC));
    retry_at = fails_until(&shop, FAULT_LOGIN, 1 * SEC);
    assert_false(passes(&shop, retry_at - 1));
    assert_true(passes(&crm, retry_at - 1));
    assert_true(passes(&shop, retry_at));
}

/* Somebody has put the right password into the file: he need not wait. */
static void
test_another_password_is_another_login(void **state)
{
    struct backend_target renewed = shop, of_client = shop;
    usec_t retry_at;

    (void)state;
    renewed.password = other_db;
    of_client.scram_client_key = of_client.scram_server_key = other_db;
    retry_at = fails_until(&shop, FAULT_LOGIN, 1 * SEC);
    assert_false(passes(&shop, retry_at - 1));
    assert_true(passes(&renewed, retry_at - 1));
    (void)fails_until(&renewed, FAULT_LOGIN, retry_at - 1);
    assert_false(passes(&renewed, retry_at));
    assert_true(passes(&of_client, retry_at));
    assert_true(passes(&shop, retry_at));
}

/* One at a time until it is known whether the trouble is over; who else asks is told a time. */
static void
test_one_probe(void **state)
{
    struct backend_error error;
    const usec_t retry_at = fails_until(&shop, FAULT_HOST, 1 * SEC);

    (void)state;
    assert_true(passes(&shop, retry_at));
    assert_false(gates_pass(&gates, &crm, retry_at, &error));
    assert_true(error.retry_at > retry_at && error.retry_at < retry_at + SEC);
    gates_succeed(&gates, &shop);
    assert_true(passes(&crm, retry_at));
    assert_true(passes(&crm, retry_at));
    assert_int_equal(map_count(&gates.map), 0);
}

static void
test_abandoned_probe_lets_the_next_pass(void **state)
{
    const usec_t retry_at = fails_until(&shop, FAULT_HOST, 1 * SEC);

    (void)state;
    assert_true(passes(&shop, retry_at));
    (void)fails_until(&shop, FAULT_NONE, retry_at);
    assert_true(passes(&crm, retry_at));
}

/* The host lets it pass, its own gate does not: the host's probe must not be lost. */
static void
test_refused_login_gives_the_probe_back(void **state)
{
    usec_t login_at = 1 * SEC, host_at;

    (void)state;
    for (int i = 0; i < 6; i++) { /* until it lasts longer than the host's */
        assert_true(passes(&shop, login_at));
        login_at = fails_until(&shop, FAULT_LOGIN, login_at);
    }
    host_at = fails_until(&crm, FAULT_HOST, login_at - 1 * SEC);
    assert_true(host_at < login_at);
    assert_false(passes(&shop, host_at));
    assert_true(passes(&crm, host_at));
}

static void
test_delay_grows_to_the_ceiling(void **state)
{
    usec_t now = 1 * SEC, delay = 0;

    (void)state;
    for (int i = 0; i < 20; i++) {
        const usec_t retry_at = fails_until(&shop, FAULT_HOST, now);

        delay = retry_at - now;
        now = retry_at;
        assert_true(passes(&shop, now));
    }
    assert_in_range(delay, shop.login_retry / 2, shop.login_retry);
}

static void
test_starting_server_is_asked_again_soon(void **state)
{
    usec_t now = 1 * SEC;

    (void)state;
    for (int i = 0; i < 20; i++) {
        const usec_t retry_at = fails_until(&shop, FAULT_STARTING, now);

        assert_in_range(retry_at - now, 50 * MSEC, 1 * SEC);
        now = retry_at;
        assert_true(passes(&crm, now));
    }
}

/* Fifty attempts that were under way when the host went down are one failure. */
static void
test_failures_together_count_once(void **state)
{
    const usec_t retry_at = fails_until(&shop, FAULT_HOST, 1 * SEC);

    (void)state;
    for (int i = 0; i < 50; i++)
        assert_int_equal(fails_until(&crm, FAULT_HOST, 1 * SEC), retry_at);
}

/* Clients choose names: what failed long ago takes no memory. */
static void
test_old_failures_are_forgotten(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        char name[16];
        struct backend_target target = shop;

        (void)snprintf(name, sizeof(name), "db%u", i);
        target.dbname = name;
        (void)fails_until(&target, FAULT_LOGIN, i * SEC);
    }
    assert_in_range(map_count(&gates.map), 1, 80);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_host_failure_bars_the_host, setup, teardown),
        cmocka_unit_test_setup_teardown(test_login_failure_bars_the_login_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_password_is_another_login, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_probe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_abandoned_probe_lets_the_next_pass, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_login_gives_the_probe_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delay_grows_to_the_ceiling, setup, teardown),
        cmocka_unit_test_setup_teardown(test_starting_server_is_asked_again_soon, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures_together_count_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_failures_are_forgotten, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
