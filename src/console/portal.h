/*
 * portal.h - the statements and portals of a session that speaks the extended protocol.
 *
 * Both have names, and are the session's. What a query answers with is in its portal from the Bind
 * on; of another statement, what an Execute with a limit has left over.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "cleanup.h"
#include "list.h"
#include "parameter.h"
#include "result.h"

struct session;
struct table;

/* So a session's memory is bounded. */
#define PORTAL_NAMES_MAX 100        /* of statements, and of portals */
#define PORTAL_REST_MAX  (64 << 20) /* of what all portals have left over */

struct parsed {
    struct list link; /* in session->prepared */
    char *name;       /* owned, as the next; "" is the unnamed one */
    char *sql;
    unsigned param_count;
    uint32_t types[PARAMETERS_MAX]; /* PARAMETER_UNKNOWN: taken as text */
    bool is_query;                  /* SQLite answers it */
    struct table *columns;          /* owned: of a query that was described, else NULL */
};

struct portal {
    struct list link; /* in session->portals */
    char *name;       /* owned, as the next */
    char *sql;        /* with its parameters in place */
    struct formats formats;
    bool executed;
    struct table *columns; /* owned: of a query, else NULL */
    struct buf rest;       /* owned: what was not sent yet */
    size_t rest_at;        /* how much of it was sent all the same */
};

struct parsed *parsed_find(const struct session *session, const char *name);
/* In no list yet. NULL: no memory. */
struct parsed *parsed_new(const char *name, const char *sql);
void parsed_free(struct parsed *parsed);
DEFINE_CLEANUP(struct parsed *, parsed_free);

struct portal *portal_find(const struct session *session, const char *name);
/* In no list yet. NULL: no memory. */
struct portal *portal_new(const char *name, const char *sql, const struct formats *formats);
void portal_free(struct portal *portal);
DEFINE_CLEANUP(struct portal *, portal_free);

/* Whether with so many bytes more the session's portals have too much left over. */
bool portal_is_too_much_rest(const struct session *session, size_t len);
/*
 * Of an answer in output, what is beyond so many rows (0: none is) becomes what is left, and
 * PortalSuspended comes in its place. 0 or -ENOMEM.
 */
int portal_limit(const struct session *session, struct portal *portal, uint32_t limit,
                 struct buf *output);
/*
 * Appends to output up to limit rows of what is left (0: all), and what follows the last; or, if
 * there are more rows, PortalSuspended. 0 or -ENOMEM.
 */
int portal_put_rest(struct portal *portal, uint32_t limit, struct buf *output);
bool portal_has_rest(const struct portal *portal);
