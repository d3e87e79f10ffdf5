/*
 * fake_memory.h - memory that ends where a test wants it: at the first allocation, the second, and
 * so on, until there is enough for what is tested.
 *
 * fake_memory.c is linked with the test, which the linker is told to give it in the place of malloc
 * and its like (add_unit_test in tests/CMakeLists.txt does both). What the C library allocates for
 * itself is not meant.
 *
 * Thread: a limit is that of the thread that set it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* From now on so many allocations succeed. */
void fake_memory_limit(long allocations);
/* Ends the limit. Returns what was left of it. */
long fake_memory_unlimit(void);
/* Behind a limit so many allocations fail, then there is memory again. Negative: all fail. */
void fake_memory_fail_only(long failures);
/* What fakes need for themselves: it counts for nobody, and does not fail. */
void *fake_memory_calloc(size_t count, size_t size);
