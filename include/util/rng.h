/*
 * rng.h - fast numbers for jitter and choice; never for secrets (entropy.h is for those).
 *
 * xoroshiro128++. Thread: one at a time; each loop has its own.
 */
#pragma once

#include <stdint.h>

struct rng {
    uint64_t state[2];
};

/* Any seed is good; the same seed gives the same numbers. */
void rng_seed(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
/* Evenly 0 ... limit - 1; limit is not 0. */
uint64_t rng_below(struct rng *rng, uint64_t limit);
/* Evenly in [0, 1). */
double rng_double(struct rng *rng);
