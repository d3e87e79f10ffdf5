/*
 * driver.h - what drivers say without having been told to: settings that they ask for or set,
 * transactions, tests whether anybody is there. It is answered as PostgreSQL would, and means
 * nothing to the console.
 */
#pragma once

#include <stdbool.h>

#include "pg.h"

enum driver_effect {
    DRIVER_NOTHING,
    DRIVER_IGNORED, /* a NOTICE says so */
    DRIVER_BEGIN,
    DRIVER_COMMIT,
    DRIVER_ROLLBACK,
    DRIVER_RECOVER, /* the transaction goes on, whatever has failed in it */
};

struct driver_answer {
    const char *tag;
    const char *column; /* NULL: there are no rows */
    enum pg_type type;
    const char *value; /* of the only row; or NULL */
    enum driver_effect effect;
};

/* False: it is not one of these. All strings are static. */
bool driver_find(const char *sql, struct driver_answer *ret_answer);
