/* Averages over a period, of databases that come and go. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "sampler.h"
#include "str.h"

/* The database's counters are all n times one, its times n times ten. */
static struct snapshot *
make_snapshot(const char *database, uint64_t n)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

    snapshot->databases = calloc(1, sizeof(*snapshot->databases));
    snapshot->database_count = 1;
    str_copy(snapshot->databases[0].name, sizeof(snapshot->databases[0].name), database);
    snapshot->databases[0].total = (struct stats){
        .server_assignments = n,
        .xacts = n,
        .queries = 2 * n,
        .received = 100 * n,
        .sent = 1000 * n,
        .xact_time = 30 * n,
        .query_time = 20 * n,
        .wait_time = 10 * n,
        .client_parses = n,
        .server_parses = n,
        .binds = n,
        .client_logins = n,
    };
    return snapshot;
}

static void
test_averages(void **state)
{
    struct fixture *f = *state;
    const struct stats own = {0};
    struct sampler *sampler;
    const struct stats *average;

    assert_int_equal(sampler_new(&f->engine, f->loop, &own, &sampler), 0);
    fake_loop_advance(f->loop, 60 * SEC); /* the console's own sampler asks first */
    assert_int_equal(f->engine.request_count, 2);
    fake_engine_answer(&f->engine, NULL);
    fake_engine_answer(&f->engine, make_snapshot("shop", 60));
    average = sampler_average(sampler, "shop");
    assert_int_equal(average->xacts, 1);
    assert_int_equal(average->queries, 2);
    assert_int_equal(average->received, 100);
    assert_int_equal(average->sent, 1000);
    assert_int_equal(average->xact_time, 30);
    assert_int_equal(average->query_time, 10);
    assert_int_equal(average->wait_time, 10);
    assert_int_equal(average->binds, 1);
    assert_int_equal(sampler_sum(sampler)->xacts, 1);
    assert_int_equal(sampler_average(sampler, "other")->xacts, 0);

    fake_loop_advance(f->loop, 60 * SEC);
    fake_engine_answer(&f->engine, NULL);
    fake_engine_answer(&f->engine, make_snapshot("shop", 660));
    assert_int_equal(sampler_average(sampler, "shop")->xacts, 10);
    sampler_free(sampler);
}

/* A snapshot that failed makes the period longer, and nothing wrong. */
static void
test_missed_period(void **state)
{
    struct fixture *f = *state;
    const struct stats own = {0};
    struct sampler *sampler;

    assert_int_equal(sampler_new(&f->engine, f->loop, &own, &sampler), 0);
    for (int i = 0; i < 2; i++) {
        fake_loop_advance(f->loop, 60 * SEC);
        fake_engine_answer(&f->engine, NULL);
        fake_engine_answer(&f->engine, i == 0 ? NULL : make_snapshot("shop", 120));
    }
    assert_int_equal(sampler_average(sampler, "shop")->xacts, 1);
    sampler_free(sampler);
}

/* A database that was gone begins anew. */
static void
test_database_comes_and_goes(void **state)
{
    struct fixture *f = *state;
    const struct stats own = {.queries = 6, .query_time = 60};
    const char *const names[] = {"shop", "other", "shop"};
    struct sampler *sampler;

    assert_int_equal(sampler_new(&f->engine, f->loop, &own, &sampler), 0);
    for (int i = 0; i < 3; i++) {
        fake_loop_advance(f->loop, 60 * SEC);
        fake_engine_answer(&f->engine, NULL);
        fake_engine_answer(&f->engine, make_snapshot(names[i], 60));
        assert_int_equal(sampler_average(sampler, names[i])->xacts, 1);
        assert_int_equal(sampler_average(sampler, i == 1 ? "shop" : "other")->xacts, 0);
        assert_int_equal(sampler_average(sampler, "pgbouncer")->query_time, i == 0 ? 10 : 0);
    }
    sampler_free(sampler);
}

static void
test_counters_that_fall(void **state)
{
    const struct stats before = {.xacts = 100, .queries = 10}, now = {.xacts = 60, .queries = 10};
    const struct stats average = stats_average(&now, &before, 60 * SEC);

    (void)state;
    assert_int_equal(average.xacts, 1);
    assert_int_equal(average.queries, 0);
    assert_int_equal(stats_average(&now, &before, 0).xacts, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_averages),
        TEST(test_missed_period),
        TEST(test_database_comes_and_goes),
        cmocka_unit_test(test_counters_that_fall),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
