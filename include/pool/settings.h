/*
 * settings.h - the parameters that a client or a server has (DateStyle, TimeZone, ...), as one
 * immutable, shared set.
 *
 * Equal sets are one object, so that on the data path "does this server have what this client
 * expects" is one comparison of pointers. Names compare without regard to case.
 *
 * Thread: any. Life: reference counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct settings;

/* The set with nothing in it. Cannot fail. */
struct settings *settings_empty(void);
struct settings *settings_ref(struct settings *settings);
void settings_unref(struct settings *settings);

/* NULL when it is not in the set. Borrowed from settings. */
const char *settings_get(const struct settings *settings, const char *name);
size_t settings_count(const struct settings *settings);
/* Sorted by name. */
void settings_at(const struct settings *settings, size_t index, const char **ret_name,
                 const char **ret_value);

/*
 * Replaces *settings by the same set with name = value in it (the name keeps its first spelling).
 * 0 or -ENOMEM, then it is unchanged.
 */
int settings_put(struct settings **settings, const char *name, const char *value);

/* Whether name follows the client from server to server: false for what only a server can say. */
bool settings_is_settable(const char *name);

/*
 * Appends "SET a = 'x'; SET b = 'y'" for what must change on a server that has `have` so that it
 * has `want`, as far as it is settable and the server reports it. 0 with nothing appended: no
 * change.
 */
int settings_diff_sql(const struct settings *have, const struct settings *want, struct buf *sql);

/* Frees the table of all sets, which must be empty by now; returns how many were still held. */
size_t settings_global_done(void);
