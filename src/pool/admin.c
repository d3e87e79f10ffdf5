/*
 * admin.c - what an administrator does to databases and clients, all of them told by the main loop:
 * RECONNECT, DISABLE, PAUSE, KILL, KILL_CLIENT.
 *
 * A flag or a count is set first, and then every worker is told to look at everything again.
 */
#include "client.h"
#include "config.h"
#include "engine_int.h"
#include "pool.h"
#include "worker.h"

bool
engine_has_database(struct engine *engine, const char *name)
{
    return registry_need_database(&engine->registry, engine->config, name) != NULL;
}

enum engine_result
engine_reconnect(struct engine *engine, const char *name)
{
    const struct database *database = NULL;

    if (name != NULL) {
        database = registry_need_database(&engine->registry, engine->config, name);
        if (database == NULL)
            return ENGINE_NO_SUCH_DATABASE;
    }
    registry_reconnect(&engine->registry, database);
    return ENGINE_OK;
}

enum engine_result
engine_set_disabled(struct engine *engine, const char *name, bool disabled)
{
    struct database *const database =
        registry_need_database(&engine->registry, engine->config, name);

    if (database == NULL)
        return ENGINE_NO_SUCH_DATABASE;
    atomic_store(&database->disabled, disabled);
    return ENGINE_OK;
}

/* ---- pause ------------------------------------------------------------------------------------
 */

bool
engine_is_paused(const struct engine *engine)
{
    return engine_all_paused(engine);
}

/* Of all, or of one database: it may be paused once more, and all of them must not be paused. */
static enum engine_result
engine_set_paused(struct engine *engine, const char *name, struct database **ret_database)
{
    if (engine_all_paused(engine))
        return ENGINE_ALREADY;
    *ret_database = NULL;
    if (name == NULL) {
        atomic_store(&engine->paused, true);
        return ENGINE_OK;
    }
    *ret_database = registry_need_database(&engine->registry, engine->config, name);
    if (*ret_database == NULL)
        return ENGINE_NO_SUCH_DATABASE;
    atomic_store(&(*ret_database)->paused, true);
    return ENGINE_OK;
}

enum engine_result
engine_pause(struct engine *engine, const char *name, struct engine_drain *drain)
{
    struct database *database;
    enum engine_result result;

    if (atomic_load(&engine->shutdown) != ENGINE_RUNNING)
        return ENGINE_SHUTTING_DOWN;
    result = engine_set_paused(engine, name, &database);
    if (result != ENGINE_OK)
        return result;
    engine_control_workers(engine);
    return drain_begin(engine, database, drain);
}

static enum engine_result
engine_unset_paused(struct engine *engine, const char *name)
{
    struct database *database;
    atomic_bool *flag = &engine->paused;

    if (name != NULL) {
        database = registry_find_database(&engine->registry, name);
        if (database == NULL) /* nobody has used it, or it is not there */
            return config_find_database(engine->config, name) != NULL ? ENGINE_NOT_PAUSED
                                                                      : ENGINE_NO_SUCH_DATABASE;
        flag = &database->paused;
    }
    return atomic_exchange(flag, false) ? ENGINE_OK : ENGINE_NOT_PAUSED;
}

enum engine_result
engine_resume(struct engine *engine, const char *name)
{
    enum engine_result result;

    if (atomic_load(&engine->shutdown) != ENGINE_RUNNING)
        return ENGINE_SHUTTING_DOWN;
    result = engine_unset_paused(engine, name);
    if (result == ENGINE_OK)
        engine_control_workers(engine);
    return result;
}

/* ---- KILL -------------------------------------------------------------------------------------
 */

static void
admin_kill_database(struct database *database, void *arg)
{
    (void)arg;
    atomic_fetch_add(&database->kills, 1);
}

enum engine_result
engine_kill(struct engine *engine, const char *name)
{
    struct database *database;

    if (engine_shutdown_mode(engine) != ENGINE_RUNNING)
        return ENGINE_SHUTTING_DOWN;
    if (engine_all_paused(engine))
        return ENGINE_ALREADY;
    if (name != NULL) {
        database = registry_need_database(&engine->registry, engine->config, name);
        if (database == NULL)
            return ENGINE_NO_SUCH_DATABASE;
        atomic_store(&database->paused, true);
        admin_kill_database(database, NULL);
    } else {
        atomic_store(&engine->paused, true);
        registry_each_database(&engine->registry, admin_kill_database, NULL);
    }
    engine_control_workers(engine);
    return ENGINE_OK;
}

/* ---- KILL_CLIENT ------------------------------------------------------------------------------
 */

static struct client *
admin_find(const struct list *clients, uint64_t id)
{
    struct client *client;

    LIST_FOREACH (client, clients, link) {
        if (client->id == id)
            return client;
    }
    return NULL;
}

static struct client *
admin_find_client(const struct worker *worker, uint64_t id)
{
    struct client *client = admin_find(&worker->clients, id);
    const struct shard *shard;

    LIST_FOREACH (shard, &worker->shards, link) {
        if (client == NULL)
            client = admin_find(&shard->clients, id);
    }
    return client;
}

static void
admin_kill_done(struct message *message)
{
    struct engine_kill *const kill = container_of(message, struct engine_kill, message);

    kill->done(kill, kill->found);
}

/* From worker to worker, until the client is found or nobody has it. */
static void
admin_kill_visit(struct message *message)
{
    struct engine_kill *const kill = container_of(message, struct engine_kill, message);
    struct engine *const engine = kill->engine;
    struct client *const client = admin_find_client(&engine->workers[kill->at], kill->id);

    if (client != NULL) {
        kill->found = true;
        client_close(client, CLOSE_KILLED);
    } else if (++kill->at < engine->worker_count) {
        loop_post(engine->workers[kill->at].loop, &kill->message);
        return;
    }
    kill->message.fn = admin_kill_done;
    loop_post(engine->main_loop, &kill->message);
    engine_release_object(engine); /* the main loop outlives the workers */
}

void
engine_kill_client(struct engine *engine, struct engine_kill *kill)
{
    kill->engine = engine;
    kill->at = 0;
    kill->found = false;
    kill->message.fn = admin_kill_visit;
    engine_hold_object(engine);
    loop_post(engine->workers[0].loop, &kill->message);
}
