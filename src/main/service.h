/*
 * service.h - the daemon at work: everything that main owns, from the first listener to the last
 * connection.
 *
 *   service_new: loop, executor, connector, engine, console      nothing listens yet
 *   service_run: workers, listeners, signals; then the loop, until there is nothing left to wait
 * for service_free: everything in the opposite order
 *
 * Thread: the main one.
 */
#pragma once

#include "cleanup.h"

struct backend_features;
struct config;
struct log_setup;
struct service;

/* Everything is borrowed but config, of which a reference is kept. 0, or -errno after it is logged.
 */
int service_new(struct config *config, const struct backend_features *features,
                const struct log_setup *log_setup, struct service **ret_service);
/* Returns 0 when the daemon was told to end, or -errno after the reason was logged. */
int service_run(struct service *service);
/*
 * Ends all other threads. -ETIMEDOUT: one cannot be ended, as it is inside of PAM, say. Then
 * nothing may be freed, and the process must _exit.
 */
int service_stop(struct service *service);
/* Stops it, too, if that was not done. */
void service_free(struct service *service);
DEFINE_CLEANUP(struct service *, service_free);
