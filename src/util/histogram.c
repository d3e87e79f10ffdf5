#include "histogram.h"

#include "macros.h"

#define SUB_BITS    3
#define SUB_BUCKETS ((size_t)1 << SUB_BITS) /* for each doubling */
#define LINEAR_MAX  (2 * SUB_BUCKETS)       /* below, a bucket holds one value */

static size_t
bucket_of(usec_t value)
{
    unsigned shift;
    size_t bucket;

    if (value < LINEAR_MAX)
        return (size_t)value;
    shift = 63 - SUB_BITS - (unsigned)__builtin_clzll(value);
    bucket = shift * SUB_BUCKETS + (size_t)(value >> shift);
    return MIN(bucket, HISTOGRAM_BUCKETS - 1);
}

usec_t
histogram_bucket_max(size_t bucket)
{
    unsigned shift;

    if (bucket < LINEAR_MAX)
        return bucket;
    shift = (unsigned)(bucket / SUB_BUCKETS) - 1;
    return ((usec_t)(bucket % SUB_BUCKETS + SUB_BUCKETS + 1) << shift) - 1;
}

void
histogram_reset(struct histogram *histogram)
{
    *histogram = (struct histogram){0};
}

void
histogram_add(struct histogram *histogram, usec_t value)
{
    histogram->count++;
    histogram->sum += value;
    histogram->max = MAX(histogram->max, value);
    histogram->buckets[bucket_of(value)]++;
}

void
histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->count += from->count;
    into->sum += from->sum;
    into->max = MAX(into->max, from->max);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

usec_t
histogram_quantile(const struct histogram *histogram, double q)
{
    const double rank = q * (double)histogram->count;
    uint64_t seen = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += histogram->buckets[i];
        if (seen > 0 && (double)seen >= rank)
            return MIN(histogram_bucket_max(i), histogram->max);
    }
    return histogram->max;
}
