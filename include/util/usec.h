/*
 * usec.h - the one unit of time: microseconds, as a point in time or as a span.
 */
#pragma once

#include <stdint.h>

typedef uint64_t usec_t;

#define USEC_PER_SEC UINT64_C(1000000)
#define MSEC         UINT64_C(1000)
#define SEC          USEC_PER_SEC
#define MINUTE       (60 * SEC)
#define HOUR         (60 * MINUTE)
#define DAY          (24 * HOUR)
#define USEC_NEVER   UINT64_MAX

/* USEC_NEVER where the sum would not fit. */
static inline usec_t
usec_add(usec_t a, usec_t b)
{
    return a > USEC_NEVER - b ? USEC_NEVER : a + b;
}

/* 0 where b is later than a. */
static inline usec_t
usec_sub(usec_t a, usec_t b)
{
    return a > b ? a - b : 0;
}
