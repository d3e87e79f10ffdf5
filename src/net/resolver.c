/*
 * resolver.c - names to addresses.
 *
 *     asked --> LOOKING --(the executor's answer)--> IDLE, fresh for a while
 *                                                     |  ^
 *                                         asked again v  | all told
 *                                                   TELLING
 *
 * Every answer is told from the loop, later, also the one that is known already. A name with a call
 * under way (LOOKING, TELLING) outlives the resolver if need be; that call frees it.
 */
#include "resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "executor.h"
#include "loop.h"
#include "str.h"
#include "timer.h"

#define DEFAULT_TTL (15 * SEC)

/* What a name led to is remembered for as long as connections to there may well last. */
#define MEMORY (24 * HOUR)

enum name_state { NAME_IDLE, NAME_LOOKING, NAME_TELLING };

struct name {
    struct list link;          /* in the resolver's names */
    struct resolver *resolver; /* borrowed; NULL when it is gone */
    enum name_state state;
    struct list queries;    /* in the order of asking */
    struct resolved answer; /* while LOOKING: the executor's */
    struct resolved known;  /* the last good answer before */
    usec_t expires;         /* the answer is fresh before; 0: there is none */
    struct job job;         /* while LOOKING */
    struct message message; /* while TELLING */
    char host[];
};

struct resolver {
    struct loop *loop;         /* borrowed */
    struct executor *executor; /* borrowed */
    struct list names;         /* few: one for each host of the configuration */
    usec_t ttl;
    usec_t nxdomain_ttl;
    usec_t check_period;      /* 0: never */
    struct timer *timer;      /* owned; runs when there is a period */
    resolver_moved_fn *moved; /* or NULL; with arg */
    void *arg;
};

static void name_tell(struct message *message);
static void name_look_up(struct job *job);
static void name_looked_up(struct job *job, bool cancelled);
static void resolver_check(void *arg);

/* --- one name -------------------------------------------------------------------------------- */

/* A numeric name is its own answer, for ever. */
static void
name_answer_numeric(struct name *name)
{
    unsigned char binary[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, name->host, binary) != 1 && inet_pton(AF_INET6, name->host, binary) != 1)
        return;
    (void)str_copy(name->answer.address[0], sizeof(name->answer.address[0]), name->host);
    name->answer.count = 1;
    name->expires = USEC_NEVER;
}

static struct name *
name_new(struct resolver *resolver, const char *host)
{
    const size_t size = strlen(host) + 1;
    struct name *name = calloc(1, sizeof(*name) + size);

    if (name == NULL)
        return NULL;
    memcpy(name->host, host, size);
    name->resolver = resolver;
    name->message.fn = name_tell;
    name->job.run = name_look_up;
    name->job.done = name_looked_up;
    list_init(&name->queries);
    list_push_back(&resolver->names, &name->link);
    name_answer_numeric(name);
    return name;
}

/* Nobody asks any more. A call that is under way frees it, when it comes. */
static void
name_drop(struct name *name)
{
    while (list_pop(&name->queries) != NULL)
        ;
    list_remove(&name->link);
    name->resolver = NULL;
    if (name->state == NAME_IDLE)
        free(name);
}

/* Tells those who have asked up to now; those who ask meanwhile begin anew. */
static void
name_answer_queries(struct name *name)
{
    const struct resolved answer = name->answer;
    struct list queries = LIST_INIT(queries);
    struct list *link;

    list_append(&queries, &name->queries);
    while ((link = list_pop(&queries)) != NULL) {
        struct resolve_query *query = list_entry(link, struct resolve_query, link);

        query->done(query, &answer); /* may ask, cancel, free the resolver */
    }
}

/* The call under way has come. False when nobody wants to know: then the name is gone. */
static bool
name_arrived(struct name *name)
{
    name->state = NAME_IDLE;
    if (name->resolver != NULL)
        return true;
    free(name);
    return false;
}

static void
name_tell(struct message *message)
{
    struct name *name = container_of(message, struct name, message);

    if (name_arrived(name))
        name_answer_queries(name);
}

/* --- looking up, on a thread of the executor -------------------------------------------------- */

static void
resolved_add(struct resolved *answer, const struct addrinfo *info)
{
    char *address = answer->address[answer->count];

    if (getnameinfo(info->ai_addr, info->ai_addrlen, address, sizeof(answer->address[0]), NULL, 0,
                    NI_NUMERICHOST) == 0)
        answer->count++;
}

static void
name_look_up(struct job *job)
{
    struct name *name = container_of(job, struct name, job);
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *infos = NULL;

    name->answer.count = 0;
    name->answer.error = getaddrinfo(name->host, NULL, &hints, &infos);
    if (name->answer.error != 0)
        return;
    for (struct addrinfo *info = infos; info != NULL; info = info->ai_next)
        if (name->answer.count < RESOLVER_ADDRESSES_MAX)
            resolved_add(&name->answer, info);
    if (name->answer.count == 0)
        name->answer.error = EAI_NONAME;
    freeaddrinfo(infos);
}

static bool
resolved_has(const struct resolved *answer, const char *address)
{
    for (size_t i = 0; i < answer->count; i++)
        if (str_eq(answer->address[i], address))
            return true;
    return false;
}

/* A look-up that has failed tells nothing about where the name leads. */
static void
name_compare(struct name *name)
{
    const struct resolver *resolver = name->resolver;
    const struct resolved known = name->known;

    if (name->answer.error != 0)
        return;
    name->known = name->answer;
    for (size_t i = 0; i < known.count && resolver->moved != NULL; i++)
        if (!resolved_has(&name->answer, known.address[i]))
            resolver->moved(resolver->arg, name->host, known.address[i]);
}

static void
name_looked_up(struct job *job, bool cancelled)
{
    struct name *name = container_of(job, struct name, job);
    const struct resolver *resolver = name->resolver;

    if (!name_arrived(name))
        return;
    if (!cancelled)
        name_compare(name);
    if (cancelled) {
        name->answer = (struct resolved){.error = EAI_AGAIN};
        name->expires = 0;
    } else {
        name->expires = usec_add(loop_now(resolver->loop),
                                 name->answer.error != 0 ? resolver->nxdomain_ttl : resolver->ttl);
    }
    name_answer_queries(name);
}

/* --- all names -------------------------------------------------------------------------------- */

int
resolver_new(struct loop *loop, struct executor *executor, struct resolver **ret_resolver)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));

    if (resolver == NULL)
        return -ENOMEM;
    resolver->loop = loop;
    resolver->executor = executor;
    resolver->ttl = DEFAULT_TTL;
    resolver->nxdomain_ttl = DEFAULT_TTL;
    list_init(&resolver->names);
    resolver->timer = timer_new(loop, "names", resolver_check, resolver);
    if (resolver->timer == NULL) {
        free(resolver);
        return -ENOMEM;
    }
    *ret_resolver = resolver;
    return 0;
}

void
resolver_free(struct resolver *resolver)
{
    struct name *name;

    if (resolver == NULL)
        return;
    LIST_FOREACH_SAFE (name, &resolver->names, link)
        name_drop(name);
    timer_free(resolver->timer);
    free(resolver);
}

void
resolver_set_ttl(struct resolver *resolver, usec_t ttl, usec_t nxdomain_ttl)
{
    resolver->ttl = ttl;
    resolver->nxdomain_ttl = nxdomain_ttl;
}

static bool
name_is_fresh(const struct name *name)
{
    return loop_now(name->resolver->loop) < name->expires;
}

static bool
name_is_forgotten(const struct name *name)
{
    const usec_t until = name->known.count > 0 ? usec_add(name->expires, MEMORY) : name->expires;

    return name->state == NAME_IDLE && list_empty(&name->queries) &&
           loop_now(name->resolver->loop) >= until;
}

/* Finds host, and forgets on the way what nobody will be told any more. */
static struct name *
resolver_find(struct resolver *resolver, const char *host)
{
    struct name *found = NULL;
    struct name *name;

    LIST_FOREACH_SAFE (name, &resolver->names, link) {
        if (strcmp(name->host, host) == 0)
            found = name;
        else if (name_is_forgotten(name))
            name_drop(name);
    }
    return found;
}

/* Sees to it that the name's queries are answered. */
static int
name_begin(struct name *name)
{
    int r;

    if (name->state != NAME_IDLE)
        return 0;
    if (name_is_fresh(name)) {
        name->state = NAME_TELLING;
        loop_defer(name->resolver->loop, &name->message);
        return 0;
    }
    r = executor_submit(name->resolver->executor, name->resolver->loop, &name->job);
    if (r >= 0)
        name->state = NAME_LOOKING;
    return r;
}

/* Nobody is told, unless somebody asks meanwhile. */
static void
name_check(struct name *name)
{
    struct resolver *resolver = name->resolver;

    if (name->state == NAME_IDLE && name->expires != USEC_NEVER &&
        executor_submit(resolver->executor, resolver->loop, &name->job) >= 0)
        name->state = NAME_LOOKING;
}

static void
resolver_check(void *arg)
{
    struct resolver *resolver = arg;
    struct name *name;

    LIST_FOREACH (name, &resolver->names, link)
        name_check(name);
    (void)timer_start(resolver->timer, resolver->check_period);
}

void
resolver_set_check_period(struct resolver *resolver, usec_t period)
{
    if (period == resolver->check_period)
        return;
    resolver->check_period = period;
    timer_stop(resolver->timer);
    if (period != 0)
        (void)timer_start(resolver->timer, period);
}

void
resolver_set_moved(struct resolver *resolver, resolver_moved_fn *fn, void *arg)
{
    resolver->moved = fn;
    resolver->arg = arg;
}

int
resolver_ask(struct resolver *resolver, const char *host, struct resolve_query *query)
{
    struct name *name = resolver_find(resolver, host);
    int r;

    if (name == NULL)
        name = name_new(resolver, host);
    if (name == NULL)
        return -ENOMEM;
    r = name_begin(name);
    if (r < 0)
        return r;
    list_push_back(&name->queries, &query->link);
    return 0;
}

void
resolver_cancel(struct resolve_query *query)
{
    list_remove(&query->link);
}
