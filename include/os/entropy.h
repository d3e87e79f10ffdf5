/*
 * entropy.h - random bytes from the kernel, good for secrets.
 *
 * Thread: any.
 */
#pragma once

#include <stddef.h>

/* 0 or -errno; blocks only before the machine has gathered its first randomness. */
int entropy_fill(void *data, size_t len);
