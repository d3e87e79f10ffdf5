#include "latencies.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "macros.h"

#define NSEC_PER_UNIT  100
#define UNITS_PER_USEC 10

void
latencies_done(struct latencies *latencies)
{
    free(latencies->values);
    *latencies = (struct latencies){.values = NULL};
}

static void
reserve(struct latencies *latencies, size_t extra)
{
    const size_t needed = latencies->count + extra;

    if (needed <= latencies->capacity)
        return;
    latencies->capacity = MAX(2 * latencies->capacity, MAX(needed, 1024));
    latencies->values =
        realloc(latencies->values, latencies->capacity * sizeof(*latencies->values));
    if (latencies->values == NULL)
        errx(1, "no memory");
}

void
latencies_add(struct latencies *latencies, uint64_t nsec)
{
    reserve(latencies, 1);
    latencies->values[latencies->count++] = (uint32_t)MIN(nsec / NSEC_PER_UNIT, UINT32_MAX);
    latencies->sorted = false;
}

void
latencies_merge(struct latencies *latencies, const struct latencies *from)
{
    if (from->count == 0)
        return;
    reserve(latencies, from->count);
    memcpy(latencies->values + latencies->count, from->values, from->count * sizeof(*from->values));
    latencies->count += from->count;
    latencies->sorted = false;
}

static int
compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

double
latencies_quantile(struct latencies *latencies, double q)
{
    if (latencies->count == 0)
        return 0;
    if (!latencies->sorted)
        qsort(latencies->values, latencies->count, sizeof(*latencies->values), compare);
    latencies->sorted = true;
    return (double)latencies
               ->values[MIN((size_t)(q * (double)latencies->count), latencies->count - 1)] /
           UNITS_PER_USEC;
}
