/*
 * show_net.c - SHOW PEERS, PEER_POOLS, DNS_HOSTS, DNS_ZONES, MEM: what PgBouncer keeps of its own
 * for what lies outside of pools.
 */
#include "config.h"
#include "engine.h"
#include "show.h"

/* ---- PEERS ----------------------------------------------------------------------------------- */

struct peer_row {
    const char *id;
    const char *host;
    int port;
    int pool_size;
};

static const struct show_column peer_columns[] = {
    SHOW_COLUMN("peer_id", INT4, show_get_string, peer_row, id),
    SHOW_COLUMN("host", TEXT, show_get_string, peer_row, host),
    SHOW_COLUMN("port", INT4, show_get_int, peer_row, port),
    SHOW_COLUMN("pool_size", INT4, show_get_int, peer_row, pool_size),
};

static void
peer_rows(struct show_output *output)
{
    const struct config *config = output->config;

    for (size_t i = 0; i < config->n_peers; i++) {
        const struct config_peer *peer = config->peers[i];

        show_row(output,
                 &(struct peer_row){
                     .id = peer->name,
                     .host = peer->host,
                     .port = peer->port,
                     .pool_size = peer->pool_size > 0 ? peer->pool_size : config->default_pool_size,
                 });
    }
}

const struct show show_peers = {
    .name = "PEERS",
    .columns = peer_columns,
    .column_count = ARRAY_SIZE(peer_columns),
    .rows = peer_rows,
};

/* ---- PEER_POOLS ------------------------------------------------------------------------------ */

struct peer_pool_row {
    const char *id;
    unsigned cl_active_cancel, cl_waiting_cancel, sv_active_cancel, sv_login;
};

static const struct show_column peer_pool_columns[] = {
    SHOW_COLUMN("peer_id", INT4, show_get_string, peer_pool_row, id),
    SHOW_COLUMN("cl_active_cancel_req", INT4, show_get_unsigned, peer_pool_row, cl_active_cancel),
    SHOW_COLUMN("cl_waiting_cancel_req", INT4, show_get_unsigned, peer_pool_row, cl_waiting_cancel),
    SHOW_COLUMN("sv_active_cancel", INT4, show_get_unsigned, peer_pool_row, sv_active_cancel),
    SHOW_COLUMN("sv_login", INT4, show_get_unsigned, peer_pool_row, sv_login),
};

static void
peer_pool_rows(struct show_output *output)
{
    const struct config *config = output->config;

    for (size_t i = 0; i < config->n_peers; i++) {
        const struct config_peer *peer = config->peers[i];
        struct engine_peer_load load;

        engine_get_peer_load(output->console->engine, peer->id, &load);
        show_row(output, &(struct peer_pool_row){
                             .id = peer->name,
                             .cl_active_cancel = load.connecting + load.sent,
                             .cl_waiting_cancel = load.waiting,
                             .sv_active_cancel = load.sent,
                             .sv_login = load.connecting,
                         });
    }
}

const struct show show_peer_pools = {
    .name = "PEER_POOLS",
    .columns = peer_pool_columns,
    .column_count = ARRAY_SIZE(peer_pool_columns),
    .rows = peer_pool_rows,
};

/* ---- DNS, MEM -------------------------------------------------------------------------------- */

/* Columns of what there is nothing of. */
#define UNUSED(name, type)                                                                         \
    {                                                                                              \
        name, PG_TYPE_##type, show_get_string, 0                                                   \
    }

static const struct show_column dns_host_columns[] = {
    UNUSED("hostname", TEXT),
    UNUSED("ttl", INT8),
    UNUSED("addrs", TEXT),
};

static const struct show_column dns_zone_columns[] = {
    UNUSED("zonename", TEXT),
    UNUSED("serial", TEXT),
    UNUSED("count", INT4),
};

static const struct show_column mem_columns[] = {
    UNUSED("name", TEXT), UNUSED("size", INT4),     UNUSED("used", INT4),
    UNUSED("free", INT4), UNUSED("memtotal", INT4),
};

static void
no_rows(struct show_output *output)
{
    (void)output;
}

const struct show show_dns_hosts = {
    .name = "DNS_HOSTS",
    .columns = dns_host_columns,
    .column_count = ARRAY_SIZE(dns_host_columns),
    .rows = no_rows,
};

/* Names are resolved by the C library, which knows no zones. */
const struct show show_dns_zones = {
    .name = "DNS_ZONES",
    .columns = dns_zone_columns,
    .column_count = ARRAY_SIZE(dns_zone_columns),
    .rows = no_rows,
};

/* As with a PgBouncer that uses plain malloc. */
const struct show show_mem = {
    .name = "MEM",
    .columns = mem_columns,
    .column_count = ARRAY_SIZE(mem_columns),
    .rows = no_rows,
};
