/*
 * gate.c - who may try again, and when.
 *
 * A host that cannot be reached is not tried for a while by anybody; a login that the server has
 * refused (wrong password, no such database, too many connections) only bars the same login by the
 * same means. There is a gate for a host or a login from its first failure to its next success, so
 * that healthy ones cost nothing.
 */
#include "backend_int.h"

#include <stdlib.h>

#include "backoff.h"
#include "str.h"

#define DELAY_BASE (100 * MSEC)
/* A server that is starting says so, and soon says something else. */
#define DELAY_MAX_STARTING (1 * SEC)
/* A gate that nobody has asked for so long after it could be opened is forgotten. */
#define KEEP (1 * MINUTE)

struct gate_key {
    const char *host, *dbname, *user; /* dbname and user are NULL for the host itself */
    uint64_t means; /* a hash of the secrets, of what TLS shall be like, and what is asked for */
    int port;
};

struct gate {
    struct map_node node;
    struct list link; /* by time of the last failure */
    struct gate_key key;
    char *host, *dbname, *user; /* owned; what key points to */
    struct breaker breaker;
    struct backend_error error; /* the last one */
};

static struct gate_key
key_of_host(const struct backend_target *target)
{
    return (struct gate_key){.host = target->host, .port = target->port};
}

static uint64_t
hash_means(const struct backend_target *target)
{
    const char *const means[] = {
        target->password,    target->md5_secret,       target->scram_client_key,
        target->sslmode,     target->sslcert,          target->sslrootcert,
        target->sslkey,      target->ssl_min_protocol, target->ssl_max_protocol,
        target->replication,
    };
    uint64_t hash = 0;

    for (size_t i = 0; i < ARRAY_SIZE(means); i++)
        hash = hash_combine(hash, means[i] != NULL ? hash_str(means[i]) : 0);
    return hash;
}

static struct gate_key
key_of_login(const struct backend_target *target)
{
    struct gate_key key = key_of_host(target);

    /* Not NULL, or it would be the host's. */
    key.dbname = target->dbname != NULL ? target->dbname : "";
    key.user = target->user != NULL ? target->user : "";
    key.means = hash_means(target);
    return key;
}

static uint64_t
hash_key(const struct gate_key *key)
{
    uint64_t hash = hash_combine(hash_u64((uint64_t)key->port), key->means);

    if (key->host != NULL)
        hash = hash_combine(hash, hash_str(key->host));
    if (key->dbname != NULL)
        hash = hash_combine(hash, hash_str(key->dbname));
    if (key->user != NULL)
        hash = hash_combine(hash, hash_str(key->user));
    return hash;
}

static bool
gate_has_key(const struct map_node *node, const void *arg)
{
    const struct gate *gate = container_of(node, struct gate, node);
    const struct gate_key *key = arg;

    return gate->key.port == key->port && gate->key.means == key->means &&
           str_eq(gate->key.host, key->host) && str_eq(gate->key.dbname, key->dbname) &&
           str_eq(gate->key.user, key->user);
}

void
gates_init(struct gates *gates, struct rng *rng)
{
    map_init(&gates->map, gate_has_key);
    list_init(&gates->oldest_failure_first);
    gates->rng = rng;
}

static void
gate_free(struct gates *gates, struct gate *gate)
{
    if (list_is_linked(&gate->link)) {
        list_remove(&gate->link);
        map_remove(&gates->map, &gate->node);
    }
    free(gate->host);
    free(gate->dbname);
    free(gate->user);
    free(gate);
}

void
gates_done(struct gates *gates)
{
    struct gate *gate;

    LIST_FOREACH_SAFE (gate, &gates->oldest_failure_first, link)
        gate_free(gates, gate);
    map_done(&gates->map);
}

static struct gate *
gate_find(struct gates *gates, const struct gate_key *key)
{
    return map_entry(map_get(&gates->map, hash_key(key), key), struct gate, node);
}

/* NULL when there is no memory: then the failure goes without a consequence. */
static struct gate *
gate_new(struct gates *gates, const struct gate_key *key)
{
    struct gate *gate = calloc(1, sizeof(*gate));

    if (gate == NULL)
        return NULL;
    if (str_set(&gate->host, key->host) < 0 || str_set(&gate->dbname, key->dbname) < 0 ||
        str_set(&gate->user, key->user) < 0 ||
        map_add(&gates->map, &gate->node, hash_key(key)) < 0) {
        gate_free(gates, gate);
        return NULL;
    }
    gate->key = (struct gate_key){gate->host, gate->dbname, gate->user, key->means, key->port};
    list_push_back(&gates->oldest_failure_first, &gate->link);
    breaker_init(&gate->breaker, 1, DELAY_BASE, DELAY_BASE);
    return gate;
}

/* Peers choose the names of databases and users: what failed long ago must not pile up. */
static void
forget_old(struct gates *gates, usec_t now)
{
    struct gate *gate;

    LIST_FOREACH_SAFE (gate, &gates->oldest_failure_first, link) {
        if (usec_add(gate->breaker.retry_at, KEEP) > now)
            return;
        gate_free(gates, gate);
    }
}

/* While one attempt probes, its outcome is not known: then ask again soon. */
static usec_t
gate_retry_at(const struct gate *gate, usec_t now)
{
    const usec_t retry_at = breaker_retry_at(&gate->breaker);

    return retry_at == USEC_NEVER ? now + DELAY_BASE : retry_at;
}

static bool
gate_pass(struct gates *gates, const struct gate_key *key, usec_t now,
          struct backend_error *ret_error)
{
    struct gate *gate = gate_find(gates, key);

    if (gate == NULL || breaker_allow(&gate->breaker, now))
        return true;
    *ret_error = gate->error;
    ret_error->retry_at = gate_retry_at(gate, now);
    return false;
}

static void
gate_abandon(struct gates *gates, const struct gate_key *key)
{
    struct gate *gate = gate_find(gates, key);

    if (gate != NULL)
        breaker_abandon(&gate->breaker);
}

static void
gate_succeed(struct gates *gates, const struct gate_key *key)
{
    struct gate *gate = gate_find(gates, key);

    if (gate != NULL)
        gate_free(gates, gate);
}

static void
gate_fail(struct gates *gates, const struct gate_key *key, usec_t ceiling, usec_t now,
          struct backend_error *error)
{
    struct gate *gate = gate_find(gates, key);

    if (gate == NULL) {
        forget_old(gates, now);
        gate = gate_new(gates, key);
    }
    if (gate == NULL) {
        error->retry_at = now + DELAY_BASE;
        return;
    }
    gate->breaker.backoff.ceiling = MAX(ceiling, DELAY_BASE);
    breaker_fail(&gate->breaker, now, gates->rng);
    error->retry_at = gate_retry_at(gate, now);
    gate->error = *error;
    list_remove(&gate->link);
    list_push_back(&gates->oldest_failure_first, &gate->link);
}

bool
gates_pass(struct gates *gates, const struct backend_target *target, usec_t now,
           struct backend_error *ret_error)
{
    const struct gate_key host = key_of_host(target), login = key_of_login(target);

    if (!gate_pass(gates, &host, now, ret_error))
        return false;
    if (gate_pass(gates, &login, now, ret_error))
        return true;
    gate_abandon(gates, &host);
    return false;
}

void
gates_succeed(struct gates *gates, const struct backend_target *target)
{
    const struct gate_key host = key_of_host(target), login = key_of_login(target);

    gate_succeed(gates, &host);
    gate_succeed(gates, &login);
}

static void
gates_abandon(struct gates *gates, const struct backend_target *target)
{
    const struct gate_key host = key_of_host(target), login = key_of_login(target);

    gate_abandon(gates, &host);
    gate_abandon(gates, &login);
}

void
gates_fail(struct gates *gates, const struct backend_target *target, enum fault fault, usec_t now,
           struct backend_error *error)
{
    const struct gate_key host = key_of_host(target), login = key_of_login(target);

    switch (fault) {
    case FAULT_NONE: /* but whoever asks again at once would get the same */
        gates_abandon(gates, target);
        error->retry_at = now + DELAY_BASE;
        break;
    case FAULT_HOST:
        gate_abandon(gates, &login);
        gate_fail(gates, &host, target->login_retry, now, error);
        break;
    case FAULT_STARTING:
        gate_abandon(gates, &login);
        gate_fail(gates, &host, MIN(target->login_retry, DELAY_MAX_STARTING), now, error);
        break;
    case FAULT_LOGIN: /* the host has answered */
        gate_succeed(gates, &host);
        gate_fail(gates, &login, target->login_retry, now, error);
        break;
    }
}
