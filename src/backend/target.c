/*
 * target.c - how to reach one database.
 */
#include "backend_int.h"

#include <stdlib.h>
#include <string.h>

struct backend_target *
backend_target_new(void)
{
    struct backend_target *target = calloc(1, sizeof(*target));

    if (target != NULL)
        atomic_init(&target->refs, 1);
    return target;
}

struct backend_target *
backend_target_ref(struct backend_target *target)
{
    (void)atomic_fetch_add_explicit(&target->refs, 1, memory_order_relaxed);
    return target;
}

void
backend_target_unref(struct backend_target *target)
{
    if (target == NULL || atomic_fetch_sub_explicit(&target->refs, 1, memory_order_acq_rel) > 1)
        return;
    if (target->password != NULL)
        explicit_bzero(target->password, strlen(target->password));
    free(target->host);
    free(target->dbname);
    free(target->user);
    free(target->password);
    free(target->sslmode);
    free(target->sslrootcert);
    free(target->sslcert);
    free(target->sslkey);
    free(target->ssl_min_protocol);
    free(target->ssl_max_protocol);
    free(target->application_name);
    free(target->client_encoding);
    free(target->datestyle);
    free(target->timezone);
    free(target->replication);
    free(target->options);
    free(target);
}

bool
target_is_unix(const struct backend_target *target)
{
    return target->host == NULL || target->host[0] == '/' || target->host[0] == '@';
}
