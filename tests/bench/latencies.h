/*
 * latencies.h - how long each of many things took, and what share of them took no longer than that.
 *
 * Every one is kept, so that quantiles are exact: four bytes each, for 7 minutes at most. Having no
 * memory ends the process. Thread: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct latencies {
    uint32_t *values; /* owned; in tenths of a microsecond */
    size_t count, capacity;
    bool sorted;
};

/* All zero is empty. */
void latencies_done(struct latencies *latencies);

void latencies_add(struct latencies *latencies, uint64_t nsec);
/* All of from's, too. */
void latencies_merge(struct latencies *latencies, const struct latencies *from);
/* In microseconds; q is 0 to 1. 0 when there is none. */
double latencies_quantile(struct latencies *latencies, double q);
