/*
 * backoff.h - when to try again: exponential back-off with jitter, and a circuit breaker on top.
 *
 * Pure: no timer and no thread of its own; the caller passes the time and holds whatever lock the
 * object needs.
 */
#pragma once

#include <stdbool.h>

#include "usec.h"

struct rng;

/* delay(n) = base * 2^n, at most ceiling, each spread evenly over [1/2, 1] of itself. */
struct backoff {
    usec_t base;
    usec_t ceiling;
    unsigned failures; /* in a row */
};

void backoff_init(struct backoff *backoff, usec_t base, usec_t ceiling);
/* Counts a failure; returns how long to wait before the next attempt. */
usec_t backoff_fail(struct backoff *backoff, struct rng *rng);
void backoff_succeed(struct backoff *backoff);

/*
 *   CLOSED --failure--> OPEN --its time has come--> HALF_OPEN --success--> CLOSED
 *                        ^                              |
 *                        +-----------failure------------+
 * CLOSED lets everything pass, OPEN nothing, HALF_OPEN one attempt at a time.
 */
enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    struct backoff backoff;
    enum breaker_state state;
    unsigned threshold; /* failures in a row that open it, at least 1 */
    usec_t retry_at;    /* while OPEN */
    bool probing;       /* while HALF_OPEN: the one attempt is under way */
};

void breaker_init(struct breaker *breaker, unsigned threshold, usec_t base, usec_t ceiling);
/*
 * Whether an attempt may be made now; if so it counts as begun, and succeed, fail or abandon must
 * follow.
 */
bool breaker_allow(struct breaker *breaker, usec_t now);
void breaker_succeed(struct breaker *breaker);
void breaker_fail(struct breaker *breaker, usec_t now, struct rng *rng);
/* The attempt came to nothing for reasons that say nothing of the peer. */
void breaker_abandon(struct breaker *breaker);
/*
 * When the next attempt may be allowed: 0 is now; USEC_NEVER while the one attempt of HALF_OPEN is
 * under way, whose end decides.
 */
usec_t breaker_retry_at(const struct breaker *breaker);
const char *breaker_state_name(enum breaker_state state);
