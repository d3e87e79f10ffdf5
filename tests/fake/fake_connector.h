/*
 * fake_connector.h - a connector for tests: the test decides when an attempt succeeds or fails, is
 * the server at the other end, and says when retirements and cancels have come to their end.
 *
 * fake_connector.c implements the connector and cancel functions of backend.h; a test that is
 * linked with it gets it in place of the real connector. No thread, no libpq: what is asked for is
 * noted, and the asker's callback is posted to its loop.
 *
 * Thread: one; the loops of all askers are run by it.
 */
#pragma once

#include <stdbool.h>

#include "backend.h"

/* The name of a host leads to the address no more. */
void fake_connector_move(struct connector *connector, const char *host, const char *address);

/* Where all its servers are. */
#define FAKE_SERVER_ADDRESS "10.0.0.1"

/* Counts of everything that was ever asked. */
struct fake_connector_counts {
    unsigned connects, abandoned, cancels, withdrawn, polite, impolite;
};

/* Never NULL. */
struct connector *fake_connector_new(void);
/* Ends the test with a message if anything was not given back. */
void fake_connector_free(struct connector *connector);
struct fake_connector_counts fake_connector_counts(const struct connector *connector);

/* Attempts that wait for the test to decide, and where the oldest wants to go. */
unsigned fake_connector_pending(const struct connector *connector);
const struct backend_target *fake_connector_target(const struct connector *connector);
/*
 * The oldest attempt succeeds: name, value, ..., NULL is what its login reports. Returns the
 * server's end of the connection, which is the caller's; *ret_pid is the process of the server.
 */
int fake_connector_accept(struct connector *connector, const char *const *parameters, int *ret_pid);
/* The oldest attempt fails. */
void fake_connector_refuse(struct connector *connector, const struct backend_error *error);

/*
 * From now on the server process of a retired connection lives on until the test ends it; else it
 * is gone at once.
 */
void fake_connector_hold_retired(struct connector *connector);
unsigned fake_connector_retiring(const struct connector *connector);
void fake_connector_finish_retired(struct connector *connector);

/* Cancels under way, and whom the oldest is for; it ends with error, 0 or a negative errno. */
unsigned fake_connector_cancelling(const struct connector *connector);
int fake_connector_cancelled_pid(const struct connector *connector);
void fake_connector_finish_cancel(struct connector *connector, int error);
/* Whether cancels wait for their turn, from now on, so that they can be withdrawn. */
void fake_connector_hold_cancels(struct connector *connector, bool hold);

/* The request for another pooler that is under way, NULL if there is none; it ends with error. */
const struct forward_request *fake_connector_forwarded(const struct connector *connector);
void fake_connector_finish_forward(struct connector *connector, int error);
