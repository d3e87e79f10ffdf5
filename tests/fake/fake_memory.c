#include "fake_memory.h"

#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *str);
char *__real_strndup(const char *str, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *str);
char *__wrap_strndup(const char *str, size_t len);

static _Thread_local bool is_limited;
static _Thread_local long left;
static _Thread_local long failures_left = -1;

void
fake_memory_limit(long allocations)
{
    is_limited = true;
    left = allocations;
}

long
fake_memory_unlimit(void)
{
    is_limited = false;
    return left;
}

void
fake_memory_fail_only(long failures)
{
    failures_left = failures;
}

static bool
is_memory_left(void)
{
    if (!is_limited)
        return true;
    if (left > 0) {
        left--;
        return true;
    }
    if (failures_left > 0)
        failures_left--;
    else if (failures_left == 0)
        return true;
    return false;
}

void *
fake_memory_calloc(size_t count, size_t size)
{
    void *const memory = __real_calloc(count, size);

    if (memory == NULL)
        abort();
    return memory;
}

void *
__wrap_malloc(size_t size)
{
    return is_memory_left() ? __real_malloc(size) : NULL;
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return is_memory_left() ? __real_calloc(count, size) : NULL;
}

void *
__wrap_realloc(void *pointer, size_t size)
{
    return is_memory_left() ? __real_realloc(pointer, size) : NULL;
}

void *
__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return is_memory_left() ? __real_aligned_alloc(alignment, size) : NULL;
}

char *
__wrap_strdup(const char *str)
{
    return is_memory_left() ? __real_strdup(str) : NULL;
}

char *
__wrap_strndup(const char *str, size_t len)
{
    return is_memory_left() ? __real_strndup(str, len) : NULL;
}
