#include "backoff.h"

#include "macros.h"
#include "rng.h"

/* Doubling stops here at the latest; the ceiling is reached long before. */
#define BACKOFF_SHIFT_MAX 32

void
backoff_init(struct backoff *backoff, usec_t base, usec_t ceiling)
{
    *backoff = (struct backoff){.base = base, .ceiling = ceiling};
}

static usec_t
backoff_delay(const struct backoff *backoff)
{
    const unsigned shift = MIN(backoff->failures, BACKOFF_SHIFT_MAX);

    if (backoff->base > backoff->ceiling >> shift)
        return backoff->ceiling;
    return backoff->base << shift;
}

usec_t
backoff_fail(struct backoff *backoff, struct rng *rng)
{
    const usec_t delay = backoff_delay(backoff);

    if (backoff->failures < BACKOFF_SHIFT_MAX)
        backoff->failures++;
    return delay - rng_below(rng, delay / 2 + 1);
}

void
backoff_succeed(struct backoff *backoff)
{
    backoff->failures = 0;
}
