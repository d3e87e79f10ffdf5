/*
 * resolver.h - names to addresses, looked up on the executor and kept for a while.
 *
 * Thread: that of its loop. Answers are kept for ttl, failures for nxdomain_ttl; several questions
 * for one name at once make one look-up.
 */
#pragma once

#include <stddef.h>
#include <sys/socket.h>

#include "list.h"
#include "usec.h"

struct executor;
struct loop;
struct resolver;

#define RESOLVER_ADDRESSES_MAX 16

struct resolved {
    int error; /* 0, or a getaddrinfo error (EAI_*): gai_strerror */
    size_t count;
    char address[RESOLVER_ADDRESSES_MAX][46]; /* numeric, as hostaddr wants them */
};

struct resolve_query {
    struct list link; /* the resolver's */
    void (*done)(struct resolve_query *query, const struct resolved *answer);
};

int resolver_new(struct loop *loop, struct executor *executor, struct resolver **ret_resolver);
/* After the executor was closed. */
void resolver_free(struct resolver *resolver);
void resolver_set_ttl(struct resolver *resolver, usec_t ttl, usec_t nxdomain_ttl);
/* Looks all names up so often, asked or not; 0 is never. */
void resolver_set_check_period(struct resolver *resolver, usec_t period);
/* fn is called for each address that a name has led to before, and a new look-up has not found. */
typedef void resolver_moved_fn(void *arg, const char *name, const char *address);
void resolver_set_moved(struct resolver *resolver, resolver_moved_fn *fn, void *arg);
/* done is called from the loop, later, once; unless the query is cancelled. A numeric name needs no
 * look-up. */
int resolver_ask(struct resolver *resolver, const char *name, struct resolve_query *query);
void resolver_cancel(struct resolve_query *query);
