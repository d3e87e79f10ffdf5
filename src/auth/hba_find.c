#include "hba_find.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include "hba.h"
#include "str.h"

/* An address without its port; one of IPv4 inside of IPv6 counts as what it is. */
struct ip {
    int family; /* AF_UNSPEC: none, fits nothing */
    unsigned char bytes[sizeof(struct in6_addr)];
};

#define MAPPED_PREFIX 12

static size_t
ip_size(int family)
{
    return family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
}

static void
ip_init(struct ip *ip, const struct sockaddr *address)
{
    struct sockaddr_in6 in6;
    struct sockaddr_in in;

    *ip = (struct ip){.family = AF_UNSPEC};
    if (address == NULL || (address->sa_family != AF_INET && address->sa_family != AF_INET6))
        return;
    ip->family = address->sa_family;
    if (ip->family == AF_INET) {
        memcpy(&in, address, sizeof(in));
        memcpy(ip->bytes, &in.sin_addr, sizeof(in.sin_addr));
        return;
    }
    memcpy(&in6, address, sizeof(in6));
    memcpy(ip->bytes, &in6.sin6_addr, sizeof(in6.sin6_addr));
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
        ip->family = AF_INET;
        memmove(ip->bytes, ip->bytes + MAPPED_PREFIX, sizeof(struct in_addr));
    }
}

static bool
ip_is_in(const struct ip *ip, int family, const unsigned char *network, const unsigned char *mask)
{
    if (ip->family != family || family == AF_UNSPEC)
        return false;
    for (size_t i = 0; i < ip_size(family); i++)
        if (((ip->bytes[i] ^ network[i]) & mask[i]) != 0)
            return false;
    return true;
}

/* ---- samehost, samenet ---- */

static bool
is_in_network_of(const struct ip *ip, const struct ifaddrs *interface, enum hba_address_kind kind)
{
    static const unsigned char whole[sizeof(struct in6_addr)] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    };
    struct ip own, mask;

    ip_init(&own, interface->ifa_addr);
    if (kind == HBA_ADDRESS_SAMEHOST)
        return ip_is_in(ip, own.family, own.bytes, whole);
    ip_init(&mask, interface->ifa_netmask);
    return mask.family == own.family && ip_is_in(ip, own.family, own.bytes, mask.bytes);
}

/* The addresses of a machine may change at any time: they are looked at for each login. */
static bool
is_near(const struct ip *ip, enum hba_address_kind kind)
{
    struct ifaddrs *interfaces;
    bool found = false;

    if (getifaddrs(&interfaces) < 0)
        return false;
    for (const struct ifaddrs *i = interfaces; i != NULL && !found; i = i->ifa_next)
        found = is_in_network_of(ip, i, kind);
    freeifaddrs(interfaces);
    return found;
}

/* ---- the parts of a rule ---- */

static bool
type_fits(enum hba_type type, const struct auth_login *login)
{
    switch (type) {
    case HBA_LOCAL:
        return auth_login_is_unix(login);
    case HBA_HOST:
    case HBA_HOSTNOGSSENC:
        return !auth_login_is_unix(login);
    case HBA_HOSTSSL:
        return !auth_login_is_unix(login) && login->is_tls;
    case HBA_HOSTNOSSL:
        return !auth_login_is_unix(login) && !login->is_tls;
    case HBA_HOSTGSSENC:
        break;
    }
    return false;
}

/* Who asks for physical replication names no database, and only "replication" is meant for him. */
static bool
database_fits(const struct hba_name *name, const struct auth_login *login)
{
    if (login->replication)
        return name->kind == HBA_REPLICATION;
    if (name->kind == HBA_SAMEUSER)
        return str_eq(login->database_name, login->user);
    return hba_name_fits(name, login->database_name);
}

static bool
names_fit(const struct hba_rule *rule, const struct auth_login *login)
{
    size_t i;

    for (i = 0; i < rule->n_databases && !database_fits(&rule->databases[i], login); i++)
        ;
    if (i == rule->n_databases)
        return false;
    for (i = 0; i < rule->n_users && !hba_name_fits(&rule->users[i], login->user); i++)
        ;
    return i < rule->n_users;
}

static bool
host_fits(const struct hba_address *address, const char *client_name)
{
    const size_t len = strlen(client_name), suffix = strlen(address->host);

    if (address->kind == HBA_ADDRESS_HOST)
        return str_ieq(address->host, client_name);
    return len >= suffix && str_ieq(address->host, client_name + len - suffix);
}

static bool
address_fits(const struct hba_address *address, const struct auth_login *login,
             const char *client_name)
{
    struct ip ip;

    ip_init(&ip, login->address);
    switch (address->kind) {
    case HBA_ADDRESS_ALL:
        return true;
    case HBA_ADDRESS_NETWORK:
        return ip_is_in(&ip, address->family, address->bytes, address->mask);
    case HBA_ADDRESS_SAMEHOST:
    case HBA_ADDRESS_SAMENET:
        return is_near(&ip, address->kind);
    case HBA_ADDRESS_HOST:
    case HBA_ADDRESS_SUFFIX:
        return host_fits(address, client_name);
    }
    return false;
}

static bool
is_by_name(const struct hba_rule *rule)
{
    return rule->type != HBA_LOCAL &&
           (rule->address.kind == HBA_ADDRESS_HOST || rule->address.kind == HBA_ADDRESS_SUFFIX);
}

/* What costs nothing comes first, so that names are only looked up where they decide. */
enum hba_verdict
hba_find(const struct hba *hba, const struct auth_login *login, const char *client_name,
         const struct hba_rule **ret_rule)
{
    for (size_t i = 0; hba != NULL && i < hba->n_rules; i++) {
        const struct hba_rule *rule = &hba->rules[i];

        if (!type_fits(rule->type, login) || !names_fit(rule, login))
            continue;
        if (client_name == NULL && is_by_name(rule))
            return HBA_NEEDS_NAME;
        if (rule->type != HBA_LOCAL && !address_fits(&rule->address, login, client_name))
            continue;
        *ret_rule = rule;
        return HBA_FOUND;
    }
    return HBA_NONE;
}

/* ---- the client's name ---- */

static bool
leads_back(const char *name, const struct ip *ip)
{
    const struct addrinfo hints = {.ai_family = ip->family, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    bool is_same = false;
    struct ip other;

    if (getaddrinfo(name, NULL, &hints, &found) != 0)
        return false;
    for (const struct addrinfo *i = found; i != NULL && !is_same; i = i->ai_next) {
        ip_init(&other, i->ai_addr);
        is_same =
            other.family == ip->family && memcmp(other.bytes, ip->bytes, ip_size(ip->family)) == 0;
    }
    freeaddrinfo(found);
    return is_same;
}

/* The name of an address of IPv4 is asked for as such, however the client has come. */
static int
reverse(const struct ip *ip, char name[static NI_MAXHOST])
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};

    if (ip->family == AF_INET) {
        memcpy(&in.sin_addr, ip->bytes, sizeof(in.sin_addr));
        return getnameinfo((const struct sockaddr *)&in, sizeof(in), name, NI_MAXHOST, NULL, 0,
                           NI_NAMEREQD);
    }
    memcpy(&in6.sin6_addr, ip->bytes, sizeof(in6.sin6_addr));
    return getnameinfo((const struct sockaddr *)&in6, sizeof(in6), name, NI_MAXHOST, NULL, 0,
                       NI_NAMEREQD);
}

void
hba_find_name(const struct sockaddr *address, char ret_name[static NI_MAXHOST])
{
    struct ip ip;

    ip_init(&ip, address);
    if (ip.family == AF_UNSPEC || reverse(&ip, ret_name) != 0 || !leads_back(ret_name, &ip))
        *ret_name = '\0';
}
