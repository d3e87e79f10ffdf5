/*
 * timer.h - a call at a later time, on a loop.
 *
 * Thread: the loop's. A deadline is met within 10 ms. A timer that is not running costs nothing;
 * timer_start_common takes delays that come from the configuration (many timers, few different
 * delays) in constant time, however many run.
 */
#pragma once

#include <stdbool.h>

#include "usec.h"

struct loop;
struct timer;

/* name is static. NULL when there is no memory. */
struct timer *timer_new(struct loop *loop, const char *name, void (*fn)(void *arg), void *arg);
/* Stops it first. NULL is fine. May be called from its own fn. */
void timer_free(struct timer *timer);
/* fn is called once, after delay; a deadline set before is forgotten. 0 or -errno. */
int timer_start(struct timer *timer, usec_t delay);
/* fn is called at this time of the loop, or at the earlier one that was set before. */
int timer_hasten(struct timer *timer, usec_t at);
int timer_start_common(struct timer *timer, usec_t delay);
void timer_stop(struct timer *timer);
bool timer_is_running(const struct timer *timer);
