/*
 * welcome.h - what a client is told at the end of its login: the settings that it may count on.
 *
 * Most clients of a pool ask for the same, so the answer to the last one is kept.
 *
 * Thread: that of the shard it belongs to.
 */
#pragma once

#include "buf.h"

struct settings;

struct welcome {
    struct settings *base;     /* a reference, as the next two: what the pool's servers report */
    struct settings *wishes;   /* of a startup packet; both NULL: nothing is kept */
    struct settings *settings; /* base, with those wishes that servers report, too */
    struct buf parameters;     /* the same as ParameterStatus messages */
};

/* Makes settings and parameters fit base and wishes. 0 or -ENOMEM, then nothing is kept. */
int welcome_prepare(struct welcome *welcome, struct settings *base, struct settings *wishes);
void welcome_done(struct welcome *welcome);
