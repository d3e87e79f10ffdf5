/*
 * fixture.h - configuration files in a directory of their own, and what loading them says.
 *
 * Each test gets a fresh one as *state. File names are relative to the directory, which is the
 * working directory meanwhile.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config.h"

struct fixture {
    struct config *config;       /* owned; what fixture_load has loaded, else NULL */
    struct config_errors errors; /* of the last load */
    char *said;                  /* owned; the errors as printed */
    char directory[64];
    int outside; /* the working directory before */
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

void fixture_write(const char *name, const char *text);
/* Loads the file; returns what config_load does. */
int fixture_load_file(struct fixture *f, const char *name);
/* Writes text as "t.ini" and loads that. */
int fixture_load(struct fixture *f, const char *text);
/* The same with a [pgbouncer] section around text that is complete but for it. Must succeed. */
void fixture_load_keys(struct fixture *f, const char *text);
/* Lets said be what the errors are now. */
void fixture_print(struct fixture *f);

#define fixture_test(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
