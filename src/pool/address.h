/*
 * address.h - where a client comes from, in as few bytes as an idle client deserves.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct peer_address;

struct address {
    uint8_t family; /* AF_INET, AF_INET6 or AF_UNIX */
    uint16_t port;  /* of a unix socket: the listening port */
    union {
        uint8_t bytes[16]; /* network order */
        struct {           /* of a unix socket's peer */
            pid_t pid;     /* 0 if not known */
            uid_t uid;     /* likewise, (uid_t)-1 */
        };
    };
};

/* unix_port: what PgBouncer prints as the port of a unix socket. */
void address_from_socket(struct address *address, int fd, const struct sockaddr *addr,
                         unsigned unix_port);
/* Who is at the other end of a unix socket: 0 and (uid_t)-1 if that is not known, or it is none. */
pid_t address_pid(const struct address *address);
uid_t address_uid(const struct address *address);
/* Fills in socket and returns it; NULL for a unix socket. */
const struct sockaddr *address_to_socket(const struct address *address,
                                         struct sockaddr_storage *socket);
void address_format(const struct address *address, struct peer_address *ret_peer);
/* "10.0.0.7:50112", "[::1]:50112", "unix(4711):6432". Returns text. */
#define ADDRESS_TEXT_MAX 80
const char *address_text(const struct address *address, char text[static ADDRESS_TEXT_MAX]);
