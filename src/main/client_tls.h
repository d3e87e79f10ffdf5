/*
 * client_tls.h - the TLS that the configuration offers to clients.
 */
#pragma once

struct config;
struct config_errors;
struct tls_context;
struct tls_tickets;

/*
 * Reads the certificate and what goes with it. tickets may be NULL, where it is only to be known
 * whether all is well. 0 and *ret_tls, NULL where no address offers TLS; or -errno, and errors says
 * why. Any thread.
 */
int client_tls_load(const struct config *config, struct tls_tickets *tickets,
                    struct config_errors *errors, struct tls_context **ret_tls);
