#include "peer_key.h"

#define ID_AT   1
#define HOPS_AT 7

void
peer_key_mark(char *key, int id)
{
    if (id != 0) {
        key[ID_AT] = (char)(id & 0xff);
        key[ID_AT + 1] = (char)(id >> 8);
    }
    peer_key_set_hops(key, PEER_KEY_HOPS);
}

int
peer_key_id(const char *key)
{
    const unsigned char *const bytes = (const unsigned char *)key + ID_AT;

    return bytes[0] | bytes[1] << 8;
}

unsigned
peer_key_hops(const char *key)
{
    return (unsigned char)key[HOPS_AT] & PEER_KEY_HOPS;
}

void
peer_key_set_hops(char *key, unsigned hops)
{
    key[HOPS_AT] = (char)(((unsigned char)key[HOPS_AT] & ~PEER_KEY_HOPS) | hops);
}
