/*
 * forget.h - what nobody uses is forgotten: pools, and databases that the file does not name.
 *
 * A pool is in use while a client, a question of auth_query, a server or an attempt belongs to it,
 * or min_pool_size wants servers in it. Who finds a pool in the registry holds it.
 *
 * Thread: the main loop's, but for shard_leave, which comes to each shard's worker.
 */
#pragma once

struct database;
struct engine;
struct message;
struct stats;
struct worker;

/* Looks at all pools and databases; once a second. */
void forget_unused(struct engine *engine);
/* A shard's leave_message: the last one of a pool to leave frees it. */
void forget_shard(struct message *message);

/* What the shards of a worker that have left had counted. */
void forget_each_past(struct worker *worker,
                      void (*fn)(void *arg, const char *database, const struct stats *stats),
                      void *arg);
void forget_done(struct worker *worker);
