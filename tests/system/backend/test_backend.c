/*
 * test_backend.c - the backend layer on a real PostgreSQL, see run.py.
 */
#include "fixture.h"

#include <stdio.h>

#include "buf.h"

static struct backend_features features;

bool
tls_is_usable(void)
{
    return features.tls_usable;
}

bool
scram_keys_are_usable(void)
{
    return features.scram_keys;
}

int
main(void)
{
    struct buf error = BUF_INIT;

    if (backend_global_init(&features, &error) < 0) {
        (void)fprintf(stderr, "%s\n", buf_str(&error));
        return 1;
    }
    (void)printf("libpq %d, TLS %s\n", features.libpq_version,
                 features.tls_usable ? "usable" : "not usable");
    return run_login_tests() + run_secret_tests() + run_ending_tests() > 0;
}
