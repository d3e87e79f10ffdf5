/*
 * test_seed.h - random numbers that a failed run can be repeated with: PGWEIR_TEST_SEED=n.
 */
#pragma once

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "rng.h"

static inline void
test_seed(struct rng *rng)
{
    const char *given = getenv("PGWEIR_TEST_SEED");
    struct timespec now;
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &now);
    seed = given != NULL ? strtoull(given, NULL, 0)
                         : (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    printf("PGWEIR_TEST_SEED=%" PRIu64 "\n", seed);
    rng_seed(rng, seed);
}
