/*
 * familiar.h - the texts of unnamed statements that have come lately.
 *
 * An application has few texts, which come again and again; so a text is looked for in a fixed
 * number of places, without a lock, and only one that is not there is copied. One that came once
 * is a draft (statement.h) and not worth a place among the statements of a server.
 *
 * Thread: the worker's. Life: NULL until the first text; belongs to a shard.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct familiar;
struct settings;
struct statement;

/* Longer texts are not kept. */
#define FAMILIAR_TEXT_MAX 4096

/*
 * A text (as for statement_get) has come: a draft of its statement; or, if it has come before and
 * finishes is true, the statement. Makes *familiar if that is NULL. 0 and a reference, or -ENOMEM.
 */
int familiar_get(struct familiar **familiar, struct settings *settings, const char *text,
                 size_t len, bool finishes, struct statement **ret_statement);
void familiar_free(struct familiar *familiar);
