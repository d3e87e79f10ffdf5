/*
 * client_tls_sslmode: one mode for all, and others for some items of listen_addr.
 *
 *     require, 127.0.0.1=prefer
 */
#include "config_int.h"

#include <string.h>

#include "str.h"

struct item {
    const char *address; /* NULL: all the others */
    size_t len;
    enum tls_mode mode;
};

/* The words were checked when the key was set. */
static bool
next_item(const char **rest, struct item *ret_item)
{
    struct option_item item;
    const char *text;
    size_t len;

    if (!str_list_next(rest, &text, &len))
        return false;
    option_split_item(text, len, &item);
    ret_item->address = item.key;
    ret_item->len = item.key_len;
    ret_item->mode = (enum tls_mode)option_word_value(words_tls_mode, item.word, item.word_len);
    return true;
}

static bool
is_same(const struct item *item, const char *address, size_t len)
{
    if (item->address == NULL || address == NULL)
        return item->address == address;
    return item->len == len && strncasecmp(item->address, address, len) == 0;
}

enum tls_mode
config_client_tls_sslmode(const struct config *config, const char *listen_address)
{
    const char *rest = config->client_tls_sslmode;
    enum tls_mode general = TLS_DISABLE;
    struct item item;

    if (listen_address == NULL)
        return TLS_DISABLE;
    while (next_item(&rest, &item)) {
        if (item.address == NULL)
            general = item.mode;
        else if (is_same(&item, listen_address, strlen(listen_address)))
            return item.mode;
    }
    return general;
}

enum tls_mode
config_highest_tls_mode(const struct config *config)
{
    const char *rest = config->client_tls_sslmode;
    enum tls_mode highest = TLS_DISABLE;
    struct item item;

    while (next_item(&rest, &item))
        highest = MAX(highest, item.mode);
    return highest;
}

static void
check_twice(const struct config *config, const struct place *place, struct config_errors *errors)
{
    const char *rest = config->client_tls_sslmode;
    struct item item, other;

    while (next_item(&rest, &item)) {
        const char *others = rest;

        while (next_item(&others, &other)) {
            if (!is_same(&item, other.address, other.len))
                continue;
            if (item.address == NULL)
                errors_add(errors, place, "client_tls_sslmode: two modes for all addresses");
            else
                errors_add(errors, place, "client_tls_sslmode: two modes for %.*s", (int)item.len,
                           item.address);
        }
    }
}

void
config_check_client_tls(const struct config *config, const struct place *place,
                        struct config_errors *errors)
{
    const enum tls_mode highest = config_highest_tls_mode(config);
    const char *name = tls_mode_name(highest);

    check_twice(config, place, errors);
    if (highest == TLS_DISABLE)
        return;
    if (*config->client_tls_cert_file == '\0')
        errors_add(errors, place, "client_tls_sslmode = %s needs client_tls_cert_file", name);
    if (*config->client_tls_key_file == '\0')
        errors_add(errors, place, "client_tls_sslmode = %s needs client_tls_key_file", name);
    if (highest >= TLS_VERIFY_CA && *config->client_tls_ca_file == '\0')
        errors_add(errors, place, "client_tls_sslmode = %s needs client_tls_ca_file", name);
}

static bool
is_listened_to(const struct config *config, const struct item *item)
{
    const char *rest = config->listen_addr, *address;
    size_t len;

    while (str_list_next(&rest, &address, &len))
        if (is_same(item, address, len))
            return true;
    return false;
}

/* Without listen_addr the sockets may be systemd's. */
void
config_check_client_tls_addresses(const struct config *config, const struct place *place,
                                  struct config_errors *errors)
{
    const char *rest = config->client_tls_sslmode;
    struct item item;

    while (*config->listen_addr != '\0' && next_item(&rest, &item))
        if (item.address != NULL && !is_listened_to(config, &item))
            errors_add(errors, place, "client_tls_sslmode: %.*s is not in listen_addr",
                       (int)item.len, item.address);
}
