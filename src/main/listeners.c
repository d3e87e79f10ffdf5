#include "listeners.h"

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config.h"
#include "log.h"
#include "sdnotify.h"
#include "str.h"
#include "units.h"
#include "usec.h"

/* More addresses than that, all names' together, are a mistake. */
#define LISTENERS_MAX 64

/* Seconds that the kernel waits for a client's first bytes before it shows us the connection. */
#define DEFER_ACCEPT 1

/* One socket. */
struct place {
    struct listeners *listeners; /* borrowed */
    struct listener *listener;   /* owned */
    char *address;               /* owned; what client_tls_sslmode may name it by; NULL: unix */
};

struct listeners {
    struct loop *loop;      /* borrowed */
    listeners_fn *accepted; /* with arg */
    void *arg;
    struct listener_options options;
    struct place *list[LISTENERS_MAX]; /* owned */
    size_t count;
};

DEFINE_CLEANUP(struct listeners *, listeners_free);

static void
place_free(struct place *place)
{
    if (place == NULL)
        return;
    listener_close(place->listener);
    free(place->address);
    free(place);
}
DEFINE_CLEANUP(struct place *, place_free);

/* address is copied; NULL is a unix socket. */
static int
place_new(struct listeners *listeners, const char *address, struct place **ret_place)
{
    CLEANUP(place_free) struct place *place = calloc(1, sizeof(*place));

    if (place == NULL)
        return -ENOMEM;
    place->listeners = listeners;
    if (str_set(&place->address, address) < 0)
        return -ENOMEM;
    *ret_place = TAKE(place);
    return 0;
}

static void
place_accepted(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len, bool is_unix)
{
    const struct place *place = arg;
    const struct listeners *listeners = place->listeners;

    (void)is_unix;
    listeners->accepted(listeners->arg, fd, peer, peer_len, place->address);
}

static void
listeners_add(struct listeners *listeners, struct place *place)
{
    listeners->list[listeners->count++] = place;
    log_info("listening on %s", listener_name(place->listener));
}

static bool
listeners_full(const struct listeners *listeners)
{
    return listeners->count == LISTENERS_MAX;
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static int
open_address(struct listeners *listeners, const char *item, const struct addrinfo *address)
{
    CLEANUP(place_free) struct place *place = NULL;
    int r;

    r = place_new(listeners, item, &place);
    if (r == 0)
        r = listener_open_tcp(listeners->loop, address->ai_addr, address->ai_addrlen,
                              &listeners->options, place_accepted, place, &place->listener);
    if (r == 0)
        listeners_add(listeners, TAKE(place));
    return r;
}

/*
 * Every address that a name stands for, for this item of listen_addr; returns how many are listened
 * on.
 */
static size_t
open_host(struct listeners *listeners, const char *item, const char *host, int port)
{
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    const size_t before = listeners->count;
    struct addrinfo *addresses;
    char service[16];
    int r;

    snprintf(service, sizeof(service), "%d", port);
    r = getaddrinfo(host, service, &hints, &addresses);
    if (r != 0) {
        log_warning("cannot resolve listen_addr %s: %s", host, gai_strerror(r));
        return 0;
    }
    for (struct addrinfo *a = addresses; a != NULL && !listeners_full(listeners); a = a->ai_next) {
        r = open_address(listeners, item, a);
        if (r < 0)
            log_warning("cannot listen on %s:%d: %s", host, port, strerror(-r));
    }
    freeaddrinfo(addresses);
    return listeners->count - before;
}

static int
open_tcp(struct listeners *listeners, const struct config *config)
{
    const char *rest = config->listen_addr;
    const char *item;
    size_t len, wanted = 0, opened = 0;

    while (str_list_next(&rest, &item, &len)) {
        CLEANUP(free) char *host = strndup(item, len);

        if (host == NULL)
            return -ENOMEM;
        wanted++;
        if (str_eq(host, "*")) {
            opened += open_host(listeners, host, "0.0.0.0", config->listen_port);
            opened += open_host(listeners, host, "::", config->listen_port);
        } else
            opened += open_host(listeners, host, host, config->listen_port);
    }
    if (wanted > 0 && opened == 0) {
        log_fatal("failed to listen on any address in listen_addr list");
        return -EADDRNOTAVAIL;
    }
    return 0;
}

/* ---- unix ------------------------------------------------------------------------------------ */

/* A name or a number. */
static int
find_group(const char *name, gid_t *ret_gid)
{
    const struct group *group = getgrnam(name);
    int64_t number;

    if (group != NULL)
        *ret_gid = group->gr_gid;
    else if (units_parse_int(name, &number) == 0 && number >= 0 && number < (gid_t)-1)
        *ret_gid = (gid_t)number;
    else
        return -ENOENT;
    return 0;
}

static int
open_unix(struct listeners *listeners, const struct config *config)
{
    CLEANUP(place_free) struct place *place = NULL;
    char path[128];
    int r;

    if (*config->unix_socket_dir == '\0')
        return 0;
    if (*config->unix_socket_group != '\0' &&
        find_group(config->unix_socket_group, &listeners->options.unix_group) < 0) {
        log_fatal("no such group: unix_socket_group = %s", config->unix_socket_group);
        return -ENOENT;
    }
    if (snprintf(path, sizeof(path), "%s/.s.PGSQL.%d", config->unix_socket_dir,
                 config->listen_port) >= (int)sizeof(path)) {
        log_fatal("too long for a unix socket: unix_socket_dir = %s", config->unix_socket_dir);
        return -ENAMETOOLONG;
    }
    r = place_new(listeners, NULL, &place);
    if (r == 0)
        r = listener_open_unix(listeners->loop, path, &listeners->options, place_accepted, place,
                               &place->listener);
    if (r == -EADDRINUSE)
        log_fatal("unix socket is in use, cannot continue: %s", path);
    else if (r < 0)
        log_fatal("cannot listen on unix socket %s: %s", path, strerror(-r));
    else
        listeners_add(listeners, TAKE(place));
    return r;
}

/* ---- systemd --------------------------------------------------------------------------------- */

/* What listen_addr would call it. 0; -EAFNOSUPPORT for a unix socket. */
static int
name_address(int fd, char *text, size_t size)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        return -errno;
    if (getnameinfo((struct sockaddr *)&address, len, text, (socklen_t)size, NULL, 0,
                    NI_NUMERICHOST) != 0 ||
        address.ss_family == AF_UNIX)
        return -EAFNOSUPPORT;
    if (str_eq(text, "0.0.0.0") || str_eq(text, "::"))
        (void)str_copy(text, size, "*");
    return 0;
}

static int
open_passed_one(struct listeners *listeners, int fd)
{
    CLEANUP(place_free) struct place *place = NULL;
    char text[64];
    int r;

    r = place_new(listeners, name_address(fd, text, sizeof(text)) == 0 ? text : NULL, &place);
    if (r == 0)
        r = listener_open_fd(listeners->loop, fd, place_accepted, place, &place->listener);
    if (r == 0)
        listeners_add(listeners, TAKE(place));
    return r;
}

/* Returns how many there are. */
static int
open_passed(struct listeners *listeners)
{
    int first, count, r;

    count = listen_fds_take(&first);
    if (count < 0) {
        log_fatal("cannot take the sockets of the service manager: %s", strerror(-count));
        return count;
    }
    for (int i = 0; i < count; i++) {
        if (listeners_full(listeners))
            return -E2BIG;
        r = open_passed_one(listeners, first + i);
        if (r < 0) {
            log_fatal("cannot use socket %d of the service manager: %s", first + i, strerror(-r));
            return r;
        }
    }
    if (count > 0)
        log_warning("sockets come from the service manager, "
                    "listen_addr and unix_socket_dir are not looked at");
    return count;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static struct tcp_options
tcp_options_of(const struct config *config)
{
    return (struct tcp_options){
        .keepalive = config->tcp_keepalive,
        .keepcnt = config->tcp_keepcnt,
        .keepidle = (int)(config->tcp_keepidle / SEC),
        .keepintvl = (int)(config->tcp_keepintvl / SEC),
        .socket_buffer = (int)config->tcp_socket_buffer,
        .user_timeout = (unsigned)(config->tcp_user_timeout / MSEC),
    };
}

int
listeners_open(const struct config *config, struct loop *loop, listeners_fn *accepted, void *arg,
               struct listeners **ret_listeners)
{
    CLEANUP(listeners_free) struct listeners *listeners = calloc(1, sizeof(*listeners));
    int r;

    if (listeners == NULL)
        return -ENOMEM;
    listeners->loop = loop;
    listeners->accepted = accepted;
    listeners->arg = arg;
    listeners->options = (struct listener_options){
        .tcp = tcp_options_of(config),
        .backlog = config->listen_backlog,
        .reuseport = config->so_reuseport,
        .defer_accept = config->tcp_defer_accept ? DEFER_ACCEPT : 0,
        .unix_mode = config->unix_socket_mode,
        .unix_group = (gid_t)-1,
    };
    r = open_passed(listeners);
    if (r == 0) {
        r = open_tcp(listeners, config);
        if (r == 0)
            r = open_unix(listeners, config);
    }
    if (r < 0)
        return r;
    if (listeners->count == 0) {
        log_fatal("nowhere to listen on");
        return -EDESTADDRREQ;
    }
    *ret_listeners = TAKE(listeners);
    return 0;
}

void
listeners_reload(struct listeners *listeners, const struct config *config)
{
    const struct tcp_options options = tcp_options_of(config);

    for (size_t i = 0; i < listeners->count; i++) {
        struct listener *listener = listeners->list[i]->listener;
        const int r = listener_set_tcp(listener, &options);

        if (r < 0)
            log_warning("could not set the options of %s: %s", listener_name(listener),
                        strerror(-r));
    }
}

void
listeners_close_tcp(struct listeners *listeners)
{
    size_t kept = 0;

    for (size_t i = 0; i < listeners->count; i++) {
        if (listener_is_unix(listeners->list[i]->listener))
            listeners->list[kept++] = listeners->list[i];
        else
            place_free(listeners->list[i]);
    }
    listeners->count = kept;
}

void
listeners_free(struct listeners *listeners)
{
    if (listeners == NULL)
        return;
    for (size_t i = 0; i < listeners->count; i++)
        place_free(listeners->list[i]);
    free(listeners);
}
