/*
 * handoff.c - from a PGconn that has logged in to a connection that libpq does not touch any more.
 *
 * Here ends libpq's part: it performs no more I/O until PQfinish. What it may still hold in its
 * input buffer cannot be known (only the beginning of a message that came right behind
 * ReadyForQuery); the first round trip of the new owner proves that the stream is in step.
 */
#include "backend_int.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "str.h"

void
server_free(struct server *server)
{
    struct backend *backend;

    if (server == NULL)
        return;
    backend = &server->backend;
    for (size_t i = 0; i < backend->parameter_count; i++) {
        free(backend->parameters[i].name);
        free(backend->parameters[i].value);
    }
    free(backend->parameters);
    backend_target_unref(backend->target);
    backend_cancel_unref(backend->cancel);
    PQfinish(server->conn);
    free(server);
}
DEFINE_CLEANUP(struct server *, server_free);

static size_t
count_names(const struct trace *trace)
{
    size_t count = 0;

    for (const char *n = trace_next_name(trace, NULL); n != NULL; n = trace_next_name(trace, n))
        count++;
    return count;
}

/* The names as the server reported them, the values as libpq has them. */
static int
take_parameters(struct backend *backend, PGconn *conn, const struct trace *trace)
{
    backend->parameters = calloc(count_names(trace) + 1, sizeof(*backend->parameters));
    if (backend->parameters == NULL || trace->failed)
        return -ENOMEM;
    for (const char *n = trace_next_name(trace, NULL); n != NULL; n = trace_next_name(trace, n)) {
        struct backend_parameter *parameter = &backend->parameters[backend->parameter_count];
        const char *value = PQparameterStatus(conn, n);

        if (value == NULL)
            continue;
        backend->parameter_count++;
        if (str_set(&parameter->name, n) < 0 || str_set(&parameter->value, value) < 0)
            return -ENOMEM;
    }
    return 0;
}

typedef int name_fn(int fd, struct sockaddr *address, socklen_t *len);

/* Leaves "unix" and the given port where there is no address. */
static void
take_address(name_fn *get_name, int fd, char *address, size_t size, int *port)
{
    struct sockaddr_storage storage = {0};
    socklen_t len = sizeof(storage);
    char service[NI_MAXSERV];

    (void)str_copy(address, size, "unix");
    if (get_name(fd, (struct sockaddr *)&storage, &len) < 0 || storage.ss_family == AF_UNIX)
        return;
    if (getnameinfo((struct sockaddr *)&storage, len, address, (socklen_t)size, service,
                    sizeof(service), NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        *port = atoi(service);
}

static void
take_socket(struct backend *backend, PGconn *conn, const struct backend_target *target)
{
    backend->fd = PQsocket(conn);
    backend->remote_port = target->port;
    backend->local_port = target->port;
    take_address(getpeername, backend->fd, backend->remote_addr, sizeof(backend->remote_addr),
                 &backend->remote_port);
    take_address(getsockname, backend->fd, backend->local_addr, sizeof(backend->local_addr),
                 &backend->local_port);
    if (!target_is_unix(target))
        (void)tcp_set_options(backend->fd, &target->tcp); /* refused: the kernel's own will do */
}

/*
 * libpq loads the CA file into a store for every connection, close to a megabyte with a bundle. It
 * has done its work.
 */
static void
drop_ca_store(SSL *tls)
{
    X509_STORE *empty = X509_STORE_new();

    if (empty != NULL)
        SSL_CTX_set_cert_store(SSL_get_SSL_CTX(tls), empty);
}

static int
take_tls(struct backend *backend, PGconn *conn, struct backend_error *error)
{
    if (PQgssEncInUse(conn)) {
        backend_error_set(error, "08006", "the connection is encrypted by GSSAPI, not by TLS");
        return -ENOTSUP;
    }
    if (!PQsslInUse(conn))
        return 0;
    if (libpq()->features.tls_usable)
        backend->tls = PQsslStruct(conn, "OpenSSL");
    if (backend->tls == NULL) {
        backend_error_set(error, "08006", "libpq uses a TLS library that is not the daemon's own");
        error->hopeless = true;
        return -ENOTSUP;
    }
    backend->tls_version = SSL_get_version(backend->tls);
    backend->tls_cipher = SSL_get_cipher_name(backend->tls);
    drop_ca_store(backend->tls);
    return 0;
}

/* Nobody has asked for a notification yet; libpq would keep them for ever. */
static void
drop_notifications(PGconn *conn)
{
    PGnotify *notify;

    while ((notify = PQnotifies(conn)) != NULL)
        PQfreemem(notify);
}

int
handoff(PGconn *conn, const struct trace *trace, struct backend_target *target,
        struct server **ret_server, struct backend_error *error)
{
    CLEANUP(server_free) struct server *server = calloc(1, sizeof(*server));
    int r;

    r = server == NULL ? -ENOMEM : take_tls(&server->backend, conn, error);
    if (r == 0)
        r = take_parameters(&server->backend, conn, trace);
    if (r == 0)
        r = backend_cancel_new(conn, trace, &server->backend.cancel);
    if (r == -ENOMEM)
        backend_error_set(error, "53200", "out of memory");
    if (r < 0)
        return r;
    take_socket(&server->backend, conn, target);
    drop_notifications(conn);
    /* From now on even PQfinish cannot block; before, libpq relies on blocking. */
    (void)PQsetnonblocking(conn, 1);
    server->backend.pid = PQbackendPID(conn);
    server->backend.server_version = PQserverVersion(conn);
    server->backend.target = backend_target_ref(target);
    server->backend.private = conn;
    server->conn = conn;
    *ret_server = TAKE(server);
    return 0;
}
