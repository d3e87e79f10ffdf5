/*
 * wipe.h - strings that hold a secret: nothing of them stays behind in freed memory.
 */
#pragma once

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
