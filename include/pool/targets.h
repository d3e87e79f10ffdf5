/*
 * targets.h - where the servers of a pool are, as the configuration says: for who wants to look at
 * them without an engine.
 *
 * Thread: any.
 */
#pragma once

#include <stddef.h>

struct backend_target;
struct config;
struct config_database;

/*
 * One for each host of the entry, for a user whose secret is what the file has. 0 and the list, of
 * which each is a reference of the caller's, to be freed with targets_free; or -ENOMEM.
 */
int targets_new(struct config *config, const struct config_database *db, const char *database,
                const char *user, struct backend_target ***ret_targets, size_t *ret_count);
void targets_free(struct backend_target **targets, size_t count);
