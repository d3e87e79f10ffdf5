#include "close_reason.h"

#include <assert.h>
#include <stddef.h>

static const struct close_reason_row rows[CLOSE_REASON_COUNT] = {
#define CLOSE_REASON_ROW(name, sqlstate, level, text, hint)                                        \
    [CLOSE_##name] = {#name, sqlstate, LOG_LEVEL_##level, text, hint},
    CLOSE_REASONS(CLOSE_REASON_ROW)
#undef CLOSE_REASON_ROW
};

const struct close_reason_row *
close_reason_row(enum close_reason reason)
{
    assert(reason < CLOSE_REASON_COUNT);
    return &rows[reason];
}
