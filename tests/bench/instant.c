/*
 * instant.c - a PostgreSQL server that answers at once, to see what a pooler costs when its server
 * costs next to nothing.
 *
 *     bench_instant [options]
 *       --port N         of 127.0.0.1 to listen on; 0, the default, is any that is free
 *       --threads N      that serve connections, dealt out in turn (1)
 *       --tls CERT KEY   files; without them SSLRequest is answered with N
 *
 * Prints "port N" when it listens, lets everybody in, and stays until a signal ends it. A query
 * that has bytes=N in it is answered with that many bytes of rows, any other SELECT with one row.
 */
#include <arpa/inet.h>
#include <err.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "instant_answer.h"
#include "instant_session.h"

#define THREADS_MAX 64
#define EVENTS_MAX  128
#define BACKLOG     1024

struct server {
    uint16_t port;
    int n_threads;
    int listener;
    int epolls[THREADS_MAX]; /* one for each thread; the first has the listener, too */
    SSL_CTX *tls;            /* NULL: without */
    uint32_t n_sessions;     /* ever accepted */
};

static void
deal_out(struct server *server, int fd)
{
    const int one = 1;
    const uint32_t number = ++server->n_sessions;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    session_new(server->epolls[number % (uint32_t)server->n_threads], fd, server->tls, number);
}

static void
accept_all(struct server *server)
{
    int fd;

    while ((fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        deal_out(server, fd);
}

/* The listener's events come without a session. */
static void
serve(struct server *server, int epoll)
{
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        const int n = epoll_wait(epoll, events, EVENTS_MAX, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr != NULL)
                session_run(events[i].data.ptr);
            else
                accept_all(server);
        }
    }
}

static void *
run_thread(void *epoll)
{
    serve(NULL, *(const int *)epoll);
    return NULL;
}

static void
listen_on_port(struct server *server)
{
    struct epoll_event event = {.events = EPOLLIN};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(server->port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    const int one = 1;

    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(server->listener, (struct sockaddr *)&address, len) < 0 ||
        listen(server->listener, BACKLOG) < 0)
        err(1, "port %u", server->port);
    getsockname(server->listener, (struct sockaddr *)&address, &len);
    if (epoll_ctl(server->epolls[0], EPOLL_CTL_ADD, server->listener, &event) < 0)
        err(1, "epoll_ctl");
    printf("port %u\n", ntohs(address.sin_port));
    fflush(stdout);
}

static void
start_threads(struct server *server)
{
    pthread_t thread;

    for (int i = 0; i < server->n_threads; i++) {
        server->epolls[i] = epoll_create1(EPOLL_CLOEXEC);
        if (server->epolls[i] < 0)
            err(1, "epoll_create1");
    }
    for (int i = 1; i < server->n_threads; i++)
        if (pthread_create(&thread, NULL, run_thread, &server->epolls[i]) != 0)
            errx(1, "no thread");
}

/* No tickets: PostgreSQL has none either. */
static SSL_CTX *
tls_config(const char *cert_file, const char *key_file)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

    if (tls == NULL || key_file == NULL ||
        SSL_CTX_use_certificate_chain_file(tls, cert_file) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key_file, SSL_FILETYPE_PEM) != 1)
        errx(1, "no TLS: --tls CERT KEY");
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(tls, 0);
    return tls;
}

static void
parse_options(struct server *server, int argc, char **argv)
{
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"threads", required_argument, NULL, 'n'},
                                            {"tls", required_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            server->port = (uint16_t)atoi(optarg);
            break;
        case 'n':
            server->n_threads = atoi(optarg);
            break;
        case 't':
            server->tls = tls_config(optarg, argv[optind]);
            optind++;
            break;
        default:
            exit(2);
        }
    }
    if (optind != argc || server->n_threads < 1 || server->n_threads > THREADS_MAX)
        errx(2, "usage: bench_instant [--port N] [--threads N] [--tls CERT KEY]");
}

int
main(int argc, char **argv)
{
    struct server server = {.n_threads = 1};
    uint64_t soft, hard;

    parse_options(&server, argc, argv);
    (void)fd_raise_limit(&soft, &hard);
    answer_prepare();
    start_threads(&server);
    listen_on_port(&server);
    serve(&server, server.epolls[0]);
    return 0;
}
