#include "reader.h"

#include <string.h>

#include "pg.h"

const char *
read_bytes(struct reader *reader, size_t len)
{
    const char *const p = reader->p;

    if ((size_t)(reader->end - p) < len) {
        reader->is_broken = true;
        return NULL;
    }
    reader->p += len;
    return p;
}

uint16_t
read_int16(struct reader *reader)
{
    const char *const p = read_bytes(reader, 2);

    return p != NULL ? pg_get_uint16(p) : 0;
}

uint32_t
read_int32(struct reader *reader)
{
    const char *const p = read_bytes(reader, 4);

    return p != NULL ? pg_get_uint32(p) : 0;
}

const char *
read_string(struct reader *reader)
{
    const char *const p = reader->p;
    const char *const nul = memchr(p, '\0', (size_t)(reader->end - p));

    if (nul == NULL) {
        reader->is_broken = true;
        return "";
    }
    reader->p = nul + 1;
    return p;
}

bool
read_all(const struct reader *reader)
{
    return !reader->is_broken && reader->p == reader->end;
}
