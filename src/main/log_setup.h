/*
 * log_setup.h - where the log goes: what the configuration and the command line say, together.
 *
 * Thread: the main one.
 */
#pragma once

#include <stdbool.h>

struct config;

/* What the command line has said. */
struct log_setup {
    int verbose;
    bool quiet;
};

/* Opens the log anew. 0, or -errno after it is logged, and the log stays as it was. */
int log_setup_apply(const struct log_setup *setup, const struct config *config);
