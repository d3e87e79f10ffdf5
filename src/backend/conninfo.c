/*
 * conninfo.c - everything that libpq is told for one connection.
 *
 * Whatever libpq is not told it takes from files in the home directory, or asks the system, or
 * guesses. So it is told everything, and what is not wanted is named as a file that cannot exist;
 * only the password file is wanted, where no password is configured.
 */
#include "backend_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

/* No file: nobody can ever make one below a device. */
#define NO_FILE "/dev/null/none"

/* value must live as long as info. An empty value counts as none in libpq. */
static void
add(struct conninfo *info, const char *keyword, const char *value)
{
    if (value == NULL || !libpq_knows(keyword))
        return;
    assert(info->count < CONNINFO_MAX);
    info->keywords[info->count] = keyword;
    info->values[info->count] = value;
    info->count++;
}

static void
add_number(struct conninfo *info, const char *keyword, unsigned number)
{
    char *text = info->numbers[info->number_count++];

    assert(info->number_count <= ARRAY_SIZE(info->numbers));
    (void)snprintf(text, sizeof(info->numbers[0]), "%u", number);
    add(info, keyword, text);
}

/* Where to: never a name that libpq would have to look up. */
static void
add_place(struct conninfo *info, const struct backend_target *target, const char *address)
{
    add(info, "host", target->host);
    add(info, "hostaddr", address);
    add_number(info, "port", (unsigned)target->port);
}

/*
 * Without a password libpq looks for one in the password file; then it is not told of another file
 * than its own, ~/.pgpass.
 */
static void
add_secrets(struct conninfo *info, const struct backend_target *target)
{
    const bool has_password = target->password != NULL && *target->password != '\0';

    if (has_password) {
        add(info, "password", target->password);
        add(info, "passfile", NO_FILE);
        return;
    }
    add(info, "scram_client_key", target->scram_client_key);
    add(info, "scram_server_key", target->scram_server_key);
}

static void
add_login(struct conninfo *info, const struct backend_target *target)
{
    add(info, "user", target->user);
    add(info, "dbname", target->dbname);
    add_secrets(info, target);
    /* Tickets need a ticket cache, key distribution centres, and time. */
    add(info, "require_auth", "!gss,!sspi");
    add(info, "gssencmode", "disable");
    add(info, "target_session_attrs", "any");
    /* A later libpq may ask for more, and not every server can decline: see docs/handoff.md. */
    add(info, "max_protocol_version", "3.0");
}

static bool
is_verified(const char *sslmode)
{
    return str_eq(sslmode, "verify-ca") || str_eq(sslmode, "verify-full");
}

static void
add_tls(struct conninfo *info, const struct backend_target *target)
{
    const char *sslmode = target->sslmode != NULL ? target->sslmode : "prefer";

    if (!libpq()->features.tls_usable && (str_eq(sslmode, "prefer") || str_eq(sslmode, "allow")))
        sslmode = "disable";
    add(info, "sslmode", sslmode);
    add(info, "sslrootcert",
        is_verified(sslmode) && target->sslrootcert != NULL ? target->sslrootcert : NO_FILE);
    add(info, "sslcert", target->sslcert != NULL ? target->sslcert : NO_FILE);
    add(info, "sslkey", target->sslkey != NULL ? target->sslkey : NO_FILE);
    add(info, "sslcertmode", target->sslcert != NULL ? NULL : "disable");
    add(info, "sslcrl", NO_FILE);
    add(info, "ssl_min_protocol_version", target->ssl_min_protocol);
    add(info, "ssl_max_protocol_version", target->ssl_max_protocol);
}

static void
add_tcp(struct conninfo *info, const struct tcp_options *tcp)
{
    add(info, "keepalives", tcp->keepalive ? "1" : "0");
    if (tcp->keepidle > 0)
        add_number(info, "keepalives_idle", (unsigned)tcp->keepidle);
    if (tcp->keepintvl > 0)
        add_number(info, "keepalives_interval", (unsigned)tcp->keepintvl);
    if (tcp->keepcnt > 0)
        add_number(info, "keepalives_count", (unsigned)tcp->keepcnt);
    if (tcp->user_timeout > 0)
        add_number(info, "tcp_user_timeout", tcp->user_timeout);
}

static int
append_setting(struct buf *options, const char *name, const char *value)
{
    return value != NULL ? target_append_setting(options, name, value) : 0;
}

/* DateStyle and TimeZone have no keyword of their own. Of two options the last counts. */
static int
add_settings(struct conninfo *info, const struct backend_target *target)
{
    int r;

    add(info, "application_name", target->application_name);
    add(info, "client_encoding", target->client_encoding);
    add(info, "replication", target->replication);
    r = append_setting(&info->options, "DateStyle", target->datestyle);
    if (r == 0)
        r = append_setting(&info->options, "TimeZone", target->timezone);
    if (r == 0 && target->options != NULL)
        r = buf_printf(&info->options, "%s%s", info->options.len > 0 ? " " : "", target->options);
    if (r == 0 && info->options.len > 0)
        add(info, "options", buf_str(&info->options));
    return r;
}

int
conninfo_init(struct conninfo *info, const struct backend_target *target, const char *address)
{
    int r;

    *info = (struct conninfo){.count = 0};
    add_place(info, target, address);
    add_login(info, target);
    add_tls(info, target);
    add_tcp(info, &target->tcp);
    r = add_settings(info, target);
    if (r < 0)
        conninfo_done(info);
    return r;
}

void
conninfo_done(struct conninfo *info)
{
    buf_done(&info->options);
}

const char *
conninfo_get(const struct conninfo *info, const char *keyword)
{
    for (size_t i = 0; i < info->count; i++)
        if (str_eq(info->keywords[i], keyword))
            return info->values[i];
    return NULL;
}
