/*
 * explain.c - what a line of a PgBouncer file means here that it does not mean there.
 *
 * Only what a site may notice: where pgweir does the same, or the same a little better, there is
 * nothing to say. Keys without effect say so themselves, see check.c.
 */
#include "config_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"
#include "units.h"

/* ---- the general section ----------------------------------------------------------------------
 */

typedef bool applies_fn(const struct config *config);

static bool
has_peers(const struct config *config)
{
    return config->peer_id != 0;
}

static bool
is_strict_about_hba(const struct config *config)
{
    return *config->auth_hba_file != '\0' && !config->auth_hba_lenient;
}

/* Who may use the console is looked up there, too. */
static bool
looks_up_for_console(const struct config *config)
{
    return *config->auth_dbname != '\0' && *config->auth_user != '\0' &&
           (*config->admin_users != '\0' || *config->stats_users != '\0');
}

static bool
checks_names(const struct config *config)
{
    return config->dns_zone_check_period != 0;
}

static bool
has_minimum(const struct config *config)
{
    return config->min_pool_size > 0;
}

static bool
ends_servers(const struct config *config)
{
    return config->server_lifetime != 0;
}

static bool
shares_port(const struct config *config)
{
    return config->so_reuseport;
}

static bool
shares_database_limit(const struct config *config)
{
    return config->so_reuseport && config->max_db_connections > 0;
}

static bool
shares_user_limit(const struct config *config)
{
    return config->so_reuseport && config->max_user_connections > 0;
}

/* clang-format off */
static const struct difference {
    const char *key;
    applies_fn *applies; /* NULL: whatever its value */
    const char *text;
} differences[] = {
    { "auth_dbname", looks_up_for_console,
      "admin_users and stats_users may have their secrets there, too; PgBouncer's console knows "
      "those of auth_file only" },
    { "auth_hba_file", is_strict_about_hba,
      "a bad line in it refuses the whole file; with auth_hba_lenient = 1 it is skipped, as "
      "PgBouncer does" },
    { "default_pool_size", shares_port,
      "holds for all threads of this process together; where several PgBouncers shared the port, "
      "give it their sum" },
    { "dns_zone_check_period", checks_names,
      "all host names are looked up again so often; the serial numbers of zones are not asked for" },
    { "max_client_conn", NULL,
      "counts clients who have logged in; as many again may be about to" },
    { "max_db_connections", shares_database_limit, "holds for this process; see default_pool_size" },
    { "max_user_connections", shares_user_limit, "holds for this process; see default_pool_size" },
    { "min_pool_size", has_minimum,
      "servers are opened connect_burst at a time, not one in a third of a second" },
    { "peer_id", has_peers,
      "one process serves from all cores; peers are for several machines only" },
    { "server_lifetime", ends_servers,
      "each server's is longer or shorter by up to a tenth, so that they do not end together" },
    { "server_login_retry", NULL,
      "the longest pause after a failed connect: the first is 0.1 s, each is longer than the one "
      "before, and every host has its own" },
    { "so_reuseport", shares_port,
      "one process serves from all cores, see worker_threads; several are needed for a restart "
      "without a pause only" },
};

static const struct {
    const struct option_table *table;
    const char *key;
    const char *text;
} pair_differences[] = {
    { &user_table, "client_idle_timeout", "holds for this user; PgBouncer lets it hit others, too" },
};
/* clang-format on */

static void
explain_key(const struct config *config, const struct place *place, const struct difference *row,
            struct config_errors *notes)
{
    if (place->line > 0 && (row->applies == NULL || row->applies(config)))
        errors_warn(notes, place, "%s: %s", row->key, row->text);
}

void
config_explain_keys(const struct config *config, const struct place *places,
                    struct config_errors *notes)
{
    for (size_t i = 0; i < ARRAY_SIZE(differences); i++)
        explain_key(config, config_place_of(places, differences[i].key), &differences[i], notes);
}

/* ---- entries ----------------------------------------------------------------------------------
 */

/* What PgBouncer makes of a number in an entry: it reads the digits at the beginning, no more. */
static bool
reads_the_same(const struct option *row, const char *value)
{
    const int there = atoi(value);
    uint64_t size;
    usec_t time;
    int64_t number;

    switch (row->type) {
    case OPT_INT:
        return units_parse_int(value, &number) < 0 || number == there;
    case OPT_SIZE:
        return units_parse_size(value, &size) < 0 || size == (uint64_t)there;
    case OPT_DURATION:
        return units_parse_duration(value, row->unit != 0 ? row->unit : SEC, &time) < 0 ||
               time == (usec_t)there * (row->unit != 0 ? row->unit : SEC);
    default:
        return true;
    }
}

void
config_explain_pair(const struct option_table *table, const struct option *row, const char *where,
                    const char *value, const struct place *place, struct config_errors *notes)
{
    if (!reads_the_same(row, value))
        errors_warn(notes, place, "%s%s=%s: PgBouncer reads this as %d", where, row->name, value,
                    atoi(value));
    for (size_t i = 0; i < ARRAY_SIZE(pair_differences); i++) {
        if (pair_differences[i].table == table && str_eq(pair_differences[i].key, row->name))
            errors_warn(notes, place, "%s%s: %s", where, row->name, pair_differences[i].text);
    }
}
