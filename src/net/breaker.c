#include "backoff.h"

#include "macros.h"

void
breaker_init(struct breaker *breaker, unsigned threshold, usec_t base, usec_t ceiling)
{
    *breaker = (struct breaker){.state = BREAKER_CLOSED, .threshold = MAX(threshold, 1)};
    backoff_init(&breaker->backoff, base, ceiling);
}

bool
breaker_allow(struct breaker *breaker, usec_t now)
{
    if (breaker->state == BREAKER_CLOSED)
        return true;
    if (breaker->probing || now < breaker_retry_at(breaker))
        return false;
    breaker->state = BREAKER_HALF_OPEN;
    breaker->probing = true;
    return true;
}

void
breaker_succeed(struct breaker *breaker)
{
    breaker->state = BREAKER_CLOSED;
    breaker->probing = false;
    backoff_succeed(&breaker->backoff);
}

void
breaker_fail(struct breaker *breaker, usec_t now, struct rng *rng)
{
    usec_t delay;

    /* It began before the breaker opened: the same trouble, not a new one. */
    if (breaker->state == BREAKER_OPEN)
        return;
    delay = backoff_fail(&breaker->backoff, rng);
    if (breaker->state == BREAKER_CLOSED && breaker->backoff.failures < breaker->threshold)
        return;
    breaker->state = BREAKER_OPEN;
    breaker->probing = false;
    breaker->retry_at = usec_add(now, delay);
}

void
breaker_abandon(struct breaker *breaker)
{
    breaker->probing = false;
}

usec_t
breaker_retry_at(const struct breaker *breaker)
{
    if (breaker->state == BREAKER_OPEN)
        return breaker->retry_at;
    return breaker->probing ? USEC_NEVER : 0;
}

const char *
breaker_state_name(enum breaker_state state)
{
    static const char *const names[] = {
        [BREAKER_CLOSED] = "closed",
        [BREAKER_OPEN] = "open",
        [BREAKER_HALF_OPEN] = "half-open",
    };

    return names[state];
}
