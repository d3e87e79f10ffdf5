/*
 * clock.h - what time it is.
 *
 * Thread: any.
 */
#pragma once

#include <stddef.h>

#include "usec.h"

/* Holds what clock_format writes. */
#define CLOCK_TEXT_MAX 64

/* Monotonic, since some time in the past: for all spans and deadlines. */
usec_t clock_now(void);
/* Since 1970 UTC: only to show. */
usec_t clock_wall(void);
/* "2026-11-21 03:00:16.037 UTC", in the local time zone. Returns text. */
const char *clock_format(char text[static CLOCK_TEXT_MAX], usec_t wall);
