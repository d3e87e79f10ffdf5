/*
 * test_features.c - the process is made safe for libpq.
 */
#include "backend_int.h"

#include <signal.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
test_environment_is_cleaned(void **state)
{
    CLEANUP(buf_done) struct buf error = BUF_INIT;
    struct backend_features features;
    struct sigaction action;

    (void)state;
    assert_int_equal(setenv("PGHOST", "elsewhere", 1), 0);
    assert_int_equal(setenv("PGSERVICE", "", 1), 0);
    assert_int_equal(setenv("PGTZ", "Asia/Tokyo", 1), 0);
    assert_int_equal(setenv("PGWEIR_BUILD", "here", 1), 0);
    assert_int_equal(setenv("XPGHOST", "stays", 1), 0);
    assert_int_equal(backend_global_init(&features, &error), 0);
    assert_null(getenv("PGHOST"));
    assert_null(getenv("PGSERVICE"));
    assert_null(getenv("PGTZ"));
    assert_string_equal(getenv("PGWEIR_BUILD"), "here");
    assert_string_equal(getenv("XPGHOST"), "stays");
    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_ptr_equal(action.sa_handler, SIG_IGN);
}

/* What was found agrees with what this version of libpq is known to have. */
static void
test_features(void **state)
{
    CLEANUP(buf_done) struct buf error = BUF_INIT;
    struct backend_features features;

    (void)state;
    assert_int_equal(backend_global_init(&features, &error), 0);
    assert_int_equal(features.libpq_version, PQlibVersion());
    assert_int_equal(features.cancel_nonblocking, PQlibVersion() >= 170000);
    assert_int_equal(features.scram_keys, PQlibVersion() >= 180000);
    assert_int_equal(features.require_auth, PQlibVersion() >= 160000);
    assert_int_equal(features.tls_usable, features.tls_trouble == NULL);
    assert_true(libpq_knows("hostaddr"));
    assert_false(libpq_knows("no_such_option"));
    assert_memory_equal(&libpq()->features, &features, sizeof(features));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environment_is_cleaned),
        cmocka_unit_test(test_features),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
