/*
 * sampler.h - what happened per second: averages over the last stats_period, and the stats line.
 *
 * Thread: the main loop's. Life: sampler_new ... sampler_stop, engine_stop,
 * sampler_free.
 */
#pragma once

#include "snapshot.h"

struct engine;
struct loop;
struct sampler;

/* The console's own database is counted in own, borrowed. */
int sampler_new(struct engine *engine, struct loop *loop, const struct stats *own,
                struct sampler **ret_sampler);
/* Asks the engine for nothing any more. */
void sampler_stop(struct sampler *sampler);
void sampler_free(struct sampler *sampler);
/*
 * Counts per second, bytes per second, and microseconds per transaction, query and assignment, of a
 * database in the last full period; all 0 for one that was not there.
 */
const struct stats *sampler_average(const struct sampler *sampler, const char *database);
/* Of all databases together. */
const struct stats *sampler_sum(const struct sampler *sampler);
/* now minus before, as averages over span. */
struct stats stats_average(const struct stats *now, const struct stats *before, usec_t span);
