/*
 * hash.h - hashes for struct map, keyed so that a peer cannot choose names that collide.
 *
 * Thread: any. hash_set_key is called once, before the first hash.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Sets the process's secret. Without it the hashes are good, but known to everybody. */
void hash_set_key(const uint64_t key[2]);
/* SipHash-1-3. */
uint64_t hash_bytes(const void *data, size_t len);
uint64_t hash_str(const char *str);
/* The same with a key of the caller's, for what must be the same in every process. */
uint64_t hash_bytes_with(const uint64_t key[2], const void *data, size_t len);
/* For numbers that no peer chooses freely. */
uint64_t hash_u64(uint64_t value);
/* For a key of two parts: the order matters. */
uint64_t hash_combine(uint64_t a, uint64_t b);
