#include "sampler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "engine.h"
#include "hash.h"
#include "log.h"
#include "loop.h"
#include "map.h"
#include "sdnotify.h"
#include "str.h"
#include "timer.h"

/* What is remembered of a database. */
struct sample {
    struct map_node node; /* in sampler->samples, by name */
    char name[SNAPSHOT_NAME];
    struct stats total;   /* at the end of the last period */
    struct stats average; /* over the last period */
    unsigned period;      /* the last in which the database was there */
};

struct sampler {
    struct engine *engine;   /* borrowed */
    struct loop *loop;       /* borrowed */
    const struct stats *own; /* borrowed */
    struct timer *timer;     /* owned */
    struct map samples;      /* struct sample; owned */
    struct snapshot_request request;
    bool stopped;
    usec_t since;     /* beginning of the period */
    struct stats sum; /* average over all databases */
    unsigned period;
};

static bool
sample_has_name(const struct map_node *node, const void *name)
{
    return str_eq(container_of(node, struct sample, node)->name, name);
}

static struct sample *
sample_find(const struct sampler *sampler, const char *name)
{
    return map_entry(map_get(&sampler->samples, hash_str(name), name), struct sample, node);
}

/* A database that was forgotten and is back has begun to count anew. */
static uint64_t
growth(uint64_t now, uint64_t before)
{
    return now >= before ? now - before : now;
}

static uint64_t
per_second(uint64_t count, usec_t span)
{
    return span > 0 ? (uint64_t)((double)count * (double)SEC / (double)span) : 0;
}

static uint64_t
ratio(uint64_t sum, uint64_t count)
{
    return count > 0 ? sum / count : 0;
}

struct stats
stats_average(const struct stats *now, const struct stats *before, usec_t span)
{
#define GROWTH(field)      growth(now->field, before->field)
#define RATE(field)        .field = per_second(GROWTH(field), span)
#define MEAN(field, count) .field = ratio(GROWTH(field), GROWTH(count))
    return (struct stats){
        RATE(server_assignments),
        RATE(xacts),
        RATE(queries),
        RATE(received),
        RATE(sent),
        MEAN(xact_time, xacts),
        MEAN(query_time, queries),
        MEAN(wait_time, server_assignments),
        RATE(client_parses),
        RATE(server_parses),
        RATE(binds),
        RATE(client_logins),
    };
#undef GROWTH
#undef RATE
#undef MEAN
}

/* The sample of a database, made if need be; NULL when there is no memory. */
static struct sample *
sample_get(struct sampler *sampler, const char *name)
{
    struct sample *sample = sample_find(sampler, name);

    if (sample != NULL)
        return sample;
    sample = calloc(1, sizeof(*sample));
    if (sample == NULL)
        return NULL;
    str_copy(sample->name, sizeof(sample->name), name);
    if (map_add(&sampler->samples, &sample->node, hash_str(sample->name)) < 0) {
        free(sample);
        return NULL;
    }
    return sample;
}

/* A new period's end for one database; adds to the sums before and after it. */
static void
sampler_take(struct sampler *sampler, const char *name, const struct stats *total, usec_t span,
             struct stats *before, struct stats *after)
{
    struct sample *sample = sample_get(sampler, name);

    if (sample == NULL)
        return;
    stats_add(before, &sample->total);
    stats_add(after, total);
    sample->average = stats_average(total, &sample->total, span);
    sample->total = *total;
    sample->period = sampler->period;
}

/* Databases that are no more. */
static void
sampler_forget(struct sampler *sampler, bool all)
{
    struct map_node *next;

    for (struct map_node *node = map_first(&sampler->samples); node != NULL; node = next) {
        struct sample *sample = container_of(node, struct sample, node);

        next = map_next(&sampler->samples, node);
        if (!all && sample->period == sampler->period)
            continue;
        map_remove(&sampler->samples, node);
        free(sample);
    }
}

/* The line that people's tools read; some know it only as it was before parses were counted. */
static void
sampler_report(const struct sampler *sampler, const struct stats *average)
{
    const struct config *const config = engine_config(sampler->engine);
    char counts[160], line[512];

#define N(field) (unsigned long long)average->field
    snprintf(counts, sizeof(counts),
             "%llu client parses/s, %llu server parses/s, %llu binds/s, %llu client logins/s, ",
             N(client_parses), N(server_parses), N(binds), N(client_logins));
    snprintf(line, sizeof(line),
             "stats: %llu xacts/s, %llu queries/s, %sin %llu B/s, out %llu B/s, xact %llu us, "
             "query %llu us, wait %llu us",
             N(xacts), N(queries), config->log_stats_legacy ? "" : counts, N(received), N(sent),
             N(xact_time), N(query_time), N(wait_time));
#undef N
    if (config->log_stats)
        log_info("%s", line);
    notify_status("%s", line);
}

static void
sampler_start(struct sampler *sampler)
{
    const usec_t period = engine_config(sampler->engine)->stats_period;
    const int r = timer_start(sampler->timer, MAX(period, SEC));

    if (r < 0)
        log_error("no more statistics: %s", strerror(-r));
}

static void
sampler_got(struct snapshot_request *request, struct snapshot *snapshot)
{
    struct sampler *sampler = container_of(request, struct sampler, request);
    const usec_t now = loop_now(sampler->loop);
    const usec_t span = now - sampler->since;
    struct stats before = {0}, after = {0};

    if (!sampler->stopped)
        sampler_start(sampler);
    if (snapshot == NULL || snapshot->incomplete) {
        snapshot_free(snapshot);
        return; /* the next period is the longer */
    }
    sampler->since = now;
    sampler->period++;
    sampler_take(sampler, "pgbouncer", sampler->own, span, &before, &after);
    for (size_t i = 0; i < snapshot->database_count; i++) {
        const struct database_row *row = &snapshot->databases[i];

        sampler_take(sampler, row->name, &row->total, span, &before, &after);
    }
    snapshot_free(snapshot);
    sampler_forget(sampler, false);
    sampler->sum = stats_average(&after, &before, span);
    sampler_report(sampler, &sampler->sum);
}

static void
sampler_tick(void *arg)
{
    struct sampler *sampler = arg;

    sampler->request.what = SNAPSHOT_DATABASES | SNAPSHOT_STATS;
    sampler->request.done = sampler_got;
    engine_snapshot(sampler->engine, &sampler->request);
}

int
sampler_new(struct engine *engine, struct loop *loop, const struct stats *own,
            struct sampler **ret_sampler)
{
    struct sampler *sampler = calloc(1, sizeof(*sampler));

    if (sampler == NULL)
        return -ENOMEM;
    sampler->engine = engine;
    sampler->loop = loop;
    sampler->own = own;
    sampler->since = loop_now(loop);
    map_init(&sampler->samples, sample_has_name);
    sampler->timer = timer_new(loop, "statistics", sampler_tick, sampler);
    if (sampler->timer == NULL) {
        free(sampler);
        return -ENOMEM;
    }
    sampler_start(sampler);
    *ret_sampler = sampler;
    return 0;
}

void
sampler_stop(struct sampler *sampler)
{
    sampler->stopped = true;
    timer_stop(sampler->timer);
}

void
sampler_free(struct sampler *sampler)
{
    if (sampler == NULL)
        return;
    timer_free(sampler->timer);
    sampler_forget(sampler, true);
    map_done(&sampler->samples);
    free(sampler);
}

const struct stats *
sampler_average(const struct sampler *sampler, const char *database)
{
    static const struct stats none;
    const struct sample *sample = sample_find(sampler, database);

    return sample != NULL ? &sample->average : &none;
}

const struct stats *
sampler_sum(const struct sampler *sampler)
{
    return &sampler->sum;
}
