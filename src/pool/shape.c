#include "shape.h"

#include <string.h>

#include "hash.h"
#include "macros.h"
#include "pg.h"

/* Behind a column's name: table, number there; type; length of the type; modifier; format. */
#define COLUMN_SIZE 18
#define TYPE_AT     6
#define MODIFIER_AT 12

/* One column; NULL: it is broken. */
static const char *
shape_add_column(const char *pos, const char *end, uint64_t *shape)
{
    const char *const nul = memchr(pos, '\0', (size_t)(end - pos));
    uint64_t type;

    if (nul == NULL || end - (nul + 1) < COLUMN_SIZE)
        return NULL;
    type = (uint64_t)pg_get_uint32(nul + 1 + TYPE_AT) << 32 | pg_get_uint32(nul + 1 + MODIFIER_AT);
    *shape = hash_combine(hash_combine(*shape, hash_bytes(pos, (size_t)(nul - pos))), type);
    return nul + 1 + COLUMN_SIZE;
}

uint64_t
shape_of_rows(const char *body, size_t len)
{
    const char *const end = body + len;
    const char *pos = body + 2;
    uint64_t shape = 0;

    if (len < 2)
        return SHAPE_BROKEN;
    for (unsigned left = pg_get_uint16(body); left > 0 && pos != NULL; left--)
        pos = shape_add_column(pos, end, &shape);
    return pos == end ? MAX(shape, SHAPE_BROKEN + 1) : SHAPE_BROKEN;
}
