/*
 * libpq_check.h - whether the libpq that was found can do what the configuration wants of it.
 *
 * What it cannot do is refused when the daemon starts or reloads, not when the first client needs
 * it.
 */
#pragma once

struct backend_features;
struct config;
struct config_errors;

/*
 * Adds to errors: TLS to a server that demands it, by a libpq whose TLS is not the daemon's (a
 * warning where plain will do, too); SCRAM logins to pass on, by a libpq that cannot. Looks for the
 * password file of the user that the process runs as. Any thread.
 */
void libpq_check(const struct config *config, const struct backend_features *features,
                 struct config_errors *errors);
