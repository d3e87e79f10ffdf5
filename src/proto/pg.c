/*
 * pg.c - how long a client's messages may be.
 */
#include "pg.h"

#define SMALL (10000 + 1)
#define LARGE (0x3ffffffe + 1)

uint32_t
frontend_max_len(char type)
{
    /* PostgreSQL counts without the type byte. */
    static const uint32_t max_len[256] = {
        [FRONTEND_BIND] = LARGE,          [FRONTEND_CLOSE] = SMALL,
        [FRONTEND_COPY_DATA] = LARGE,     [FRONTEND_COPY_DONE] = SMALL,
        [FRONTEND_COPY_FAIL] = SMALL,     [FRONTEND_DESCRIBE] = SMALL,
        [FRONTEND_EXECUTE] = SMALL,       [FRONTEND_FLUSH] = SMALL,
        [FRONTEND_FUNCTION_CALL] = LARGE, [FRONTEND_PARSE] = LARGE,
        [FRONTEND_QUERY] = LARGE,         [FRONTEND_SYNC] = SMALL,
        [FRONTEND_TERMINATE] = SMALL,
    };

    return max_len[(unsigned char)type];
}
