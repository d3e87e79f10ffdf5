/*
 * moment.h - the time in nanoseconds: of a clock that only goes forward, and of a process's CPU.
 */
#pragma once

#include <stdint.h>
#include <time.h>

#define NSEC_PER_SEC UINT64_C(1000000000)

static inline uint64_t
moment_of(clockid_t clock)
{
    struct timespec time = {.tv_sec = 0};

    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * NSEC_PER_SEC + (uint64_t)time.tv_nsec;
}

static inline uint64_t
moment_now(void)
{
    return moment_of(CLOCK_MONOTONIC);
}
