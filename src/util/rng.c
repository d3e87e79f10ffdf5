#include "rng.h"

static inline uint64_t
rotate_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

/* splitmix64: spreads a seed, however poor, over the state. */
static uint64_t
next_of_seed(uint64_t *seed)
{
    uint64_t value = *seed += UINT64_C(0x9e3779b97f4a7c15);

    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

void
rng_seed(struct rng *rng, uint64_t seed)
{
    rng->state[0] = next_of_seed(&seed);
    rng->state[1] = next_of_seed(&seed);
}

uint64_t
rng_next(struct rng *rng)
{
    const uint64_t a = rng->state[0];
    const uint64_t b = rng->state[1];
    const uint64_t mixed = a ^ b;

    rng->state[0] = rotate_left(a, 49) ^ mixed ^ mixed << 21;
    rng->state[1] = rotate_left(mixed, 28);
    return rotate_left(a + b, 17) + a;
}

/* The high half of a 128-bit product; the few products that would favour some results are redrawn.
 */
uint64_t
rng_below(struct rng *rng, uint64_t limit)
{
    const uint64_t threshold = -limit % limit;
    unsigned __int128 product;

    do
        product = (unsigned __int128)rng_next(rng) * limit;
    while ((uint64_t)product < threshold);
    return (uint64_t)(product >> 64);
}

double
rng_double(struct rng *rng)
{
    return (double)(rng_next(rng) >> 11) * 0x1p-53;
}
