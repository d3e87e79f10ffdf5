/*
 * fake_loop.h - a loop for tests: real descriptors and messages, but a clock that only the test
 * moves.
 *
 * fake_loop.c implements loop.h and timer.h; a test that is linked with it (add_unit_test(...
 * FAKE_LOOP ...)) gets it in place of the real loop. Nothing happens on its own: the test says
 * when. A mistake of the code under test (a callback called for ever, a watched descriptor that is
 * closed, something left behind in loop_free) ends the test with a message.
 */
#pragma once

#include "loop.h"
#include "usec.h"

/* Never NULL. Free it with loop_free. */
struct loop *fake_loop_new(void);
/*
 * Delivers what is ready (descriptors, messages, deferred calls, timers that are due, the turn
 * hook), and what gets ready by that, until nothing is. No time passes.
 */
void fake_loop_settle(struct loop *loop);
/* Blocks until something is ready (usually a message from another thread), then settles. */
void fake_loop_wait(struct loop *loop);
/* Settles, then moves the clock, calling each timer at its exact time and settling after each. */
void fake_loop_advance(struct loop *loop, usec_t span);
/* What loop_load says, in per mille. */
void fake_loop_set_load(struct loop *loop, unsigned load);
