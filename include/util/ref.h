/*
 * ref.h - a reference count that threads share.
 *
 *     void
 *     config_unref(struct config *config)
 *     {
 *         if (config != NULL && ref_put(&config->ref))
 *             config_free(config);
 *     }
 */
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>

struct ref {
    atomic_uint count;
};

/* The maker's reference. */
static inline void
ref_init(struct ref *ref)
{
    atomic_init(&ref->count, 1);
}

/* One more, for somebody who holds one. */
static inline void
ref_get(struct ref *ref)
{
    const unsigned before = atomic_fetch_add_explicit(&ref->count, 1, memory_order_relaxed);

    assert(before > 0);
    (void)before;
}

/* One less; true for the last one, who then sees all that the others did. */
static inline bool
ref_put(struct ref *ref)
{
    const unsigned before = atomic_fetch_sub_explicit(&ref->count, 1, memory_order_acq_rel);

    assert(before > 0);
    return before == 1;
}

/* One less, but for the last one: false, and nothing has changed. */
static inline bool
ref_put_unless_last(struct ref *ref)
{
    unsigned count = atomic_load_explicit(&ref->count, memory_order_relaxed);

    assert(count > 0);
    while (count > 1)
        if (atomic_compare_exchange_weak_explicit(&ref->count, &count, count - 1,
                                                  memory_order_release, memory_order_relaxed))
            return true;
    return false;
}
