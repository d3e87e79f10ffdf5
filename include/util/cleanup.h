/*
 * cleanup.h - variables that clean up after themselves when their scope ends.
 *
 *     CLEANUP(fclose) FILE *file = NULL;
 *     CLEANUP(buf_done) struct buf buf = BUF_INIT;
 *     ...
 *     *ret_file = TAKE(file);    the caller owns it now
 *
 * CLEANUP(fn) works for each fn that has a DEFINE_CLEANUP next to its prototype. The variable must
 * be initialised where it is declared.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "macros.h"

#define CLEANUP(fn) __attribute__((cleanup(fn##_cleanup)))

/* For fn(pointer), where NULL is nothing to clean: DEFINE_CLEANUP(struct config *, config_free) */
#define DEFINE_CLEANUP(type, fn)                                                                   \
    static inline void fn##_cleanup(type *pointer)                                                 \
    {                                                                                              \
        if (*pointer != NULL)                                                                      \
            (void)fn(*pointer);                                                                    \
    }                                                                                              \
    struct cleanup_needs_semicolon

/* For fn(&object), an object in place: DEFINE_CLEANUP_IN_PLACE(struct buf, buf_done) */
#define DEFINE_CLEANUP_IN_PLACE(type, fn)                                                          \
    static inline void fn##_cleanup(type *object)                                                  \
    {                                                                                              \
        (void)fn(object);                                                                          \
    }                                                                                              \
    struct cleanup_needs_semicolon

/* Gives the pointer away: its value, and NULL is left behind. */
#define TAKE(pointer)                                                                              \
    ({                                                                                             \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })

DEFINE_CLEANUP(FILE *, fclose);

/* A pointer of any type. */
static inline void
free_cleanup(void *pointer)
{
    free(*(void **)pointer);
}
