/*
 * peer_key.h - what a cancel key says about the pooler that it is from.
 *
 * Where several poolers share an address, a cancel request may come to another one than its client
 * is with. So keys name their pooler, in PgBouncer's layout, which goes for a group of both kinds:
 * bytes 1 and 2 are its peer_id, the lower first, and the last two bits of byte 7 say how often the
 * request may still be passed on. A client's key always has both bits set.
 */
#pragma once

#define PEER_KEY_HOPS 3

/* From random bytes, at least eight, a key of this pooler; id 0 is none. */
void peer_key_mark(char *key, int id);
int peer_key_id(const char *key);
unsigned peer_key_hops(const char *key);
void peer_key_set_hops(char *key, unsigned hops);
