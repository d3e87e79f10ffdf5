/*
 * What only shows when the whole file has been read.
 */
#include "config_int.h"

#include <arpa/inet.h>
#include <string.h>

#include "str.h"

/* Where key was set, or the file as a whole. */
const struct place *
config_place_of(const struct place *places, const char *key)
{
    return &places[option_find(&option_table, key) - option_table.rows];
}

/* ---- listen_addr ---- */

struct listen {
    char text[256];
    int family; /* AF_UNSPEC for "*" and for names */
    unsigned char bytes[sizeof(struct in6_addr)];
};

static void
listen_parse(struct listen *listen, const char *item, size_t len)
{
    memset(listen, 0, sizeof(*listen));
    memcpy(listen->text, item, MIN(len, sizeof(listen->text) - 1));
    if (inet_pton(AF_INET, listen->text, listen->bytes) == 1)
        listen->family = AF_INET;
    else if (inet_pton(AF_INET6, listen->text, listen->bytes) == 1)
        listen->family = AF_INET6;
    else
        listen->family = AF_UNSPEC;
}

/* Whether a, once bound, leaves nothing for b. */
static bool
listen_covers(const struct listen *a, const struct listen *b)
{
    static const unsigned char any[sizeof(a->bytes)];

    if (str_eq(a->text, "*"))
        return true;
    if (a->family != b->family)
        return false;
    if (a->family == AF_UNSPEC)
        return str_ieq(a->text, b->text);
    return memcmp(a->bytes, any, sizeof(any)) == 0 || memcmp(a->bytes, b->bytes, sizeof(any)) == 0;
}

static void
check_listen_addr(const struct config *config, const struct place *place,
                  struct config_errors *errors)
{
    const char *rest = config->listen_addr, *item;
    size_t len;

    while (str_list_next(&rest, &item, &len)) {
        const char *others = rest, *other;
        struct listen a, b;

        listen_parse(&a, item, len);
        while (str_list_next(&others, &other, &len)) {
            listen_parse(&b, other, len);
            if (listen_covers(&a, &b) || listen_covers(&b, &a))
                errors_add(errors, place,
                           "listen_addr: duplicate listen address: %s beside %s, port %d", b.text,
                           a.text, config->listen_port);
        }
    }
}

/* ---- the rest of the general section ---- */

/* name is that of a database, NULL for the general section. */
static void
check_certificate(const char *cert_file, const char *key_file, const char *name,
                  const struct place *place, struct config_errors *errors)
{
    if ((*cert_file == '\0') != (*key_file == '\0'))
        errors_add(errors, place,
                   "%s%s%sserver_tls_cert_file and server_tls_key_file need each other",
                   name != NULL ? "database \"" : "", name != NULL ? name : "",
                   name != NULL ? "\": " : "");
}

static void
check_no_effect(const struct place *places, struct config_errors *errors)
{
    for (size_t i = 0; i < option_table.count; i++)
        if (option_table.rows[i].no_effect && places[i].line > 0)
            errors_warn(errors, &places[i], "%s has no effect in pgweir",
                        option_table.rows[i].name);
}

void
config_check_listen(const struct config *config, const struct place *places,
                    struct config_errors *errors)
{
    check_listen_addr(config, config_place_of(places, "listen_addr"), errors);
    config_check_client_tls_addresses(config, config_place_of(places, "client_tls_sslmode"),
                                      errors);
}

void
config_check(const struct config *config, const struct place *places, struct config_errors *errors)
{
    config_check_auth(config, places, errors);
    config_check_client_tls(config, config_place_of(places, "client_tls_sslmode"), errors);
    check_certificate(config->server_tls_cert_file, config->server_tls_key_file, NULL,
                      config_place_of(places, "server_tls_cert_file"), errors);
    check_no_effect(places, errors);
}

void
config_check_database(const struct config *config, const struct config_database *db,
                      const struct place *place, struct config_errors *errors)
{
    const int size = config_pool_size(config, db, NULL);
    const int min = config_min_pool_size(config, db);

    if (size > 0 && min > size)
        errors_warn(errors, place,
                    "database \"%s\": min_pool_size %d is over pool_size %d, which "
                    "is the limit",
                    db->name, min, size);
    if (config->auth_type == AUTH_TYPE_ANY && db->user == NULL)
        errors_warn(errors, place,
                    "database \"%s\": without user= nobody can use it while "
                    "auth_type = any",
                    db->name);
    if (config_is_console(db->auth_dbname))
        errors_add(errors, place, "database \"%s\": auth_dbname cannot be the console", db->name);
    if (db->server_tls_cert_file != NULL || db->server_tls_key_file != NULL)
        check_certificate(config_server_tls_cert_file(config, db),
                          config_server_tls_key_file(config, db), db->name, place, errors);
}
