#include "hash.h"

#include <endian.h>
#include <string.h>

static uint64_t hash_key[2];

void
hash_set_key(const uint64_t key[2])
{
    hash_key[0] = key[0];
    hash_key[1] = key[1];
}

static inline uint64_t
rotate_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static inline void
sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] = rotate_left(v[0], 32);
    v[0] += v[3];
    v[2] += v[1];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[2] = rotate_left(v[2], 32);
}

static inline void
sip_add_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

/* The bytes that are left over, below the length. */
static uint64_t
sip_last_word(const unsigned char *tail, size_t len)
{
    uint64_t word = (uint64_t)len << 56;

    for (size_t i = 0; i < len % 8; i++)
        word |= (uint64_t)tail[i] << (8 * i);
    return word;
}

uint64_t
hash_bytes_with(const uint64_t key[2], const void *data, size_t len)
{
    const unsigned char *bytes = data;
    const size_t whole = len - len % 8;
    uint64_t v[4] = {
        key[0] ^ UINT64_C(0x736f6d6570736575),
        key[1] ^ UINT64_C(0x646f72616e646f6d),
        key[0] ^ UINT64_C(0x6c7967656e657261),
        key[1] ^ UINT64_C(0x7465646279746573),
    };

    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word;

        memcpy(&word, bytes + i, sizeof(word));
        sip_add_word(v, le64toh(word));
    }
    sip_add_word(v, sip_last_word(bytes + whole, len));
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
hash_bytes(const void *data, size_t len)
{
    return hash_bytes_with(hash_key, data, len);
}

uint64_t
hash_str(const char *str)
{
    return hash_bytes(str, strlen(str));
}

/* The finalizer of MurmurHash3: every bit of the input changes half of the output's. */
uint64_t
hash_u64(uint64_t value)
{
    value ^= hash_key[0];
    value = (value ^ value >> 33) * UINT64_C(0xff51afd7ed558ccd);
    value = (value ^ value >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return value ^ value >> 33;
}

uint64_t
hash_combine(uint64_t a, uint64_t b)
{
    return hash_u64(a * UINT64_C(0x9e3779b97f4a7c15) + b);
}
