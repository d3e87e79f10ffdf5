#include "client_tls.h"

#include <string.h>

#include "buf.h"
#include "config.h"
#include "tls.h"

int
client_tls_load(const struct config *config, struct tls_tickets *tickets,
                struct config_errors *errors, struct tls_context **ret_tls)
{
    const struct tls_options options = {
        .cert_file = config->client_tls_cert_file,
        .key_file = config->client_tls_key_file,
        .ca_file = config->client_tls_ca_file,
        .protocols = config->client_tls_protocols,
        .ciphers = config->client_tls_ciphers,
        .tls13_ciphers = config->client_tls13_ciphers,
        .curves = config->client_tls_ecdhcurve,
        .dheparams = config->client_tls_dheparams,
    };
    CLEANUP(buf_done) struct buf error = BUF_INIT;
    int r;

    *ret_tls = NULL;
    if (config_highest_tls_mode(config) == TLS_DISABLE)
        return 0;
    r = tls_context_new(&options, tickets, &error, ret_tls);
    if (r < 0)
        config_errors_add(errors, false, "TLS setup failed: %s",
                          error.len > 0 ? buf_str(&error) : strerror(-r));
    return r;
}
