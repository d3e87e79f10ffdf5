#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "str.h"

static void
address_from_unix(struct address *address, int fd, unsigned port)
{
    struct ucred cred;
    socklen_t len = sizeof cred;

    address->family = AF_UNIX;
    address->port = (uint16_t)port;
    address->uid = (uid_t)-1;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0) {
        address->pid = cred.pid;
        address->uid = cred.uid;
    }
}

static void
address_from_inet6(struct address *address, const struct sockaddr_in6 *in6)
{
    address->port = ntohs(in6->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        address->family = AF_INET;
        memcpy(address->bytes, &in6->sin6_addr.s6_addr[12], 4);
        return;
    }
    address->family = AF_INET6;
    memcpy(address->bytes, &in6->sin6_addr, 16);
}

void
address_from_socket(struct address *address, int fd, const struct sockaddr *addr,
                    unsigned unix_port)
{
    memset(address, 0, sizeof *address);
    switch (addr->sa_family) {
    case AF_INET: {
        struct sockaddr_in in;

        memcpy(&in, addr, sizeof in);
        address->family = AF_INET;
        address->port = ntohs(in.sin_port);
        memcpy(address->bytes, &in.sin_addr, 4);
        return;
    }
    case AF_INET6: {
        struct sockaddr_in6 in6;

        memcpy(&in6, addr, sizeof in6);
        address_from_inet6(address, &in6);
        return;
    }
    default:
        address_from_unix(address, fd, unix_port);
    }
}

pid_t
address_pid(const struct address *address)
{
    return address->family == AF_UNIX ? address->pid : 0;
}

uid_t
address_uid(const struct address *address)
{
    return address->family == AF_UNIX ? address->uid : (uid_t)-1;
}

const struct sockaddr *
address_to_socket(const struct address *address, struct sockaddr_storage *socket)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(address->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};

    memset(socket, 0, sizeof *socket);
    switch (address->family) {
    case AF_INET:
        memcpy(&in.sin_addr, address->bytes, sizeof in.sin_addr);
        memcpy(socket, &in, sizeof in);
        break;
    case AF_INET6:
        memcpy(&in6.sin6_addr, address->bytes, sizeof in6.sin6_addr);
        memcpy(socket, &in6, sizeof in6);
        break;
    default:
        return NULL;
    }
    return (const struct sockaddr *)socket;
}

void
address_format(const struct address *address, struct peer_address *ret_peer)
{
    memset(ret_peer, 0, sizeof *ret_peer);
    ret_peer->port = address->port;
    ret_peer->uid = address_uid(address);
    ret_peer->is_unix = address->family == AF_UNIX;
    if (!ret_peer->is_unix) {
        if (inet_ntop(address->family, address->bytes, ret_peer->host, sizeof ret_peer->host) ==
            NULL)
            (void)str_copy(ret_peer->host, sizeof ret_peer->host, "?");
    } else if (address->pid != 0) {
        (void)snprintf(ret_peer->host, sizeof ret_peer->host, "unix(%ld)", (long)address->pid);
    } else {
        (void)str_copy(ret_peer->host, sizeof ret_peer->host, "unix");
    }
}

const char *
address_text(const struct address *address, char text[static ADDRESS_TEXT_MAX])
{
    const bool is_v6 = address->family == AF_INET6;
    struct peer_address peer;

    address_format(address, &peer);
    (void)snprintf(text, ADDRESS_TEXT_MAX, "%s%s%s:%d", is_v6 ? "[" : "", peer.host,
                   is_v6 ? "]" : "", peer.port);
    return text;
}
