/*
 * histogram.h - how long things took, in 2 kB, whatever their number.
 *
 * Log-linear: exact below 16 us, then eight buckets for each doubling, so that a quantile is at
 * most an eighth too high. What takes over 71 minutes shares the last bucket.
 *
 * Thread: one at a time; to read another thread's, copy it there.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "usec.h"

#define HISTOGRAM_BUCKETS 240

struct histogram {
    uint64_t count;
    usec_t sum;
    usec_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* All zero is empty, too. */
void histogram_reset(struct histogram *histogram);
void histogram_add(struct histogram *histogram, usec_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The value that a share of q (0 to 1) does not exceed; 0 when there is none. */
usec_t histogram_quantile(const struct histogram *histogram, double q);
/* The largest value that bucket counts. */
usec_t histogram_bucket_max(size_t bucket);
