/*
 * wipe.h - memory that has held a secret: nothing of it stays behind.
 */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

/* Wipes and frees a string; NULL is fine. */
static inline void
wipe_free(char *secret)
{
    if (secret == NULL)
        return;
    explicit_bzero(secret, strlen(secret));
    free(secret);
}
DEFINE_CLEANUP(char *, wipe_free);

/* Bytes that are const only for their reader: what was received, once it was read. */
static inline void
wipe_received(const void *bytes, size_t len)
{
    explicit_bzero((void *)(uintptr_t)bytes, len);
}
