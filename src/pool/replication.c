#include "replication.h"

#include <errno.h>
#include <stdlib.h>

#include "backend.h"
#include "cleanup.h"
#include "client.h"
#include "login.h"
#include "policy.h"
#include "relay.h"
#include "server.h"
#include "settings.h"
#include "str.h"
#include "worker.h"

DEFINE_CLEANUP(struct backend_target *, backend_target_unref);

static const struct {
    const char *name, *word, *log_word;
} kinds[] = {
    [REPLICATION_NONE] = {"none", NULL, "no"},
    [REPLICATION_LOGICAL] = {"logical", "database", "database"},
    [REPLICATION_PHYSICAL] = {"physical", "true", "yes"},
};

const char *
replication_name(enum replication_kind kind)
{
    return kinds[kind].name;
}

const char *
replication_log_word(enum replication_kind kind)
{
    return kinds[kind].log_word;
}

enum replication_kind
replication_kind_of(const struct replication *replication)
{
    return replication != NULL ? replication->kind : REPLICATION_NONE;
}

int
replication_new(struct client *client, enum replication_kind kind, const char *options)
{
    struct replication *const replication = calloc(1, sizeof *replication);

    if (replication == NULL || str_set(&replication->options, options) < 0) {
        free(replication);
        return -ENOMEM;
    }
    replication->kind = kind;
    replication->client = client;
    client->replication = replication;
    return 0;
}

void
replication_free(struct replication *replication)
{
    if (replication == NULL)
        return;
    free(replication->options);
    free(replication);
}

int
replication_make_target(const struct replication *replication, const struct backend_target *target,
                        struct backend_target **ret_target)
{
    const struct settings *const settings = login_settings(replication->client->login);
    CLEANUP(backend_target_unref) struct backend_target *own = NULL;
    int r;

    r = backend_target_copy(target, &own);
    if (r == 0)
        r = str_set(&own->replication, kinds[replication->kind].word);
    if (r == 0)
        r = str_set(&own->options, replication->options);
    for (size_t i = 0; i < settings_count(settings) && r == 0; i++) {
        const char *name, *value;

        settings_at(settings, i, &name, &value);
        r = backend_target_add_setting(own, name, value);
    }
    if (r == 0)
        *ret_target = TAKE(own);
    return r;
}

/* ---- the queue --------------------------------------------------------------------------------
 */

static struct replication *
replication_first(const struct shard *shard)
{
    return list_entry(list_first(&shard->replications), struct replication, link);
}

/* Again: it was the oldest, and still is. */
static void
replication_requeue(struct replication *replication)
{
    struct shard *const shard = replication->client->shard;

    list_push_front(&shard->replications, &replication->link);
    shard_grow(shard);
}

void
replication_begin(struct replication *replication)
{
    struct shard *const shard = replication->client->shard;
    const struct policy *const policy = shard->policy;

    replication->since = loop_now(shard->worker->loop);
    list_push_back(&shard->replications, &replication->link);
    if (policy->reserve > 0 && policy->reserve_timeout != 0)
        shard_schedule(shard, replication->since + policy->reserve_timeout);
    shard_grow(shard);
}

void
replication_leave(struct replication *replication)
{
    struct shard *const shard = replication->client->shard;

    if (list_is_linked(&replication->link)) {
        list_remove(&replication->link);
        sharing_publish_waiters(shard);
    }
    if (replication->opening != NULL)
        opening_forget(TAKE(replication->opening));
    if (replication->server != NULL) {
        struct server *const server = TAKE(replication->server);

        server->owner = NULL;
        server_close(server, CLOSE_SV_REPLICATION);
    }
}

static bool
replication_lacks_permit(const struct shard *shard)
{
    return shard->replication_cause == WAIT_POOL_FULL ||
           shard->replication_cause == WAIT_DATABASE_FULL ||
           shard->replication_cause == WAIT_USER_FULL;
}

usec_t
replication_claims_since(const struct shard *shard)
{
    const struct replication *const first = replication_first(shard);

    return first != NULL && replication_lacks_permit(shard) && !shard->making_room ? first->since
                                                                                   : 0;
}

void
replication_make_room(struct server *server)
{
    server->shard->making_room = true;
    server_close(server, CLOSE_SV_EVICTED);
}

/* One server at a time, and one that is idle, here or in another shard. */
static void
replication_look_for_room(struct shard *shard)
{
    struct server *const idle = shard_longest_idle(shard);

    if (replication_claims_since(shard) == 0)
        return;
    if (idle != NULL)
        replication_make_room(idle);
    else if (!sharing_is_alone(shard))
        (void)sharing_ask(shard);
}

void
replication_serve(struct shard *shard)
{
    struct replication *first;

    shard->replication_cause = WAIT_NONE;
    while (shard->replication_cause == WAIT_NONE && (first = replication_first(shard)) != NULL) {
        shard->replication_cause = shard_open_server(shard, first);
        if (shard->replication_cause == WAIT_NONE)
            list_remove(&first->link);
    }
    replication_look_for_room(shard);
    sharing_publish_waiters(shard);
}

void
replication_refuse_all(struct shard *shard, const struct refusal *refusal)
{
    struct replication *first;

    while ((first = replication_first(shard)) != NULL)
        client_refuse(first->client, refusal);
}

/* ---- its connection ---------------------------------------------------------------------------
 */

void
replication_failed(struct replication *replication, const struct backend_error *error)
{
    struct refusal refusal;

    if (error == NULL || !error->hopeless) {
        if (error != NULL)
            shard_back_off(replication->client->shard, error);
        replication_requeue(replication);
        return;
    }
    refusal = pool_refusal_of(error);
    client_refuse(replication->client, &refusal);
}

void
replication_server_ready(struct server *server)
{
    const struct shard *const shard = server->shard;
    struct client *const client = server->owner;
    const bool is_obsolete = server->generation != shard->policy->generation;

    if (!is_obsolete && !shard_is_paused(shard)) {
        client_welcome(client);
        return;
    }
    server->owner = NULL;
    client->replication->server = NULL;
    replication_requeue(client->replication);
    server_close(server, is_obsolete ? CLOSE_SV_OBSOLETE : CLOSE_SV_PAUSED);
}

void
replication_link(struct replication *replication)
{
    struct server *const server = TAKE(replication->server);

    server->owner = NULL;
    relay_begin(replication->client, server);
    /* Unlike others, it is linked before it is asked for anything. */
    server->progress = PROGRESS_READY;
}
