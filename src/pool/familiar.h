/*
 * familiar.h - which texts of unnamed statements have come before.
 *
 * One that comes once is not worth a place among the statements of a server. So when a text comes
 * first, it leaves its mark in one of a fixed number of places; when it comes again while the mark
 * is there, its statement is kept there, and from then on found without a lock.
 *
 * Thread: the worker's. Life: NULL until the first text; belongs to a shard.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct familiar;
struct settings;
struct statement;

/* Longer texts are strangers at any time. */
#define FAMILIAR_TEXT_MAX 4096

/*
 * The statement of a text (as for statement_get), and whether it has come before; makes *familiar
 * if that is NULL. 0 and a reference, or -ENOMEM.
 */
int familiar_get(struct familiar **familiar, struct settings *settings, const char *text,
                 size_t len, struct statement **ret_statement, bool *ret_is_familiar);
void familiar_free(struct familiar *familiar);
