/*
 * login_load.c - a load of logins: clients that connect, log in with SCRAM, ask SELECT 1 and leave,
 * again and again. libpq cannot resume TLS sessions and spends more on SCRAM than the pooler does;
 * this one can, and spends little.
 *
 *     login_load [options] HOST PORT DATABASE USER PASSWORD
 *       -c N   clients, a thread each (16)
 *       -t S   for so many seconds (5)
 *       -n N   so many logins of each client, all at the same moment, instead
 *       -s     over TLS
 *       -r     with resumption
 *
 * Prints one line of JSON: logins, resumed, seconds, p50 and p99 in milliseconds.
 */
#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "latencies.h"
#include "link.h"
#include "moment.h"

#define STACK_SIZE (128 << 10)

struct load {
    struct link_target target;
    int clients;
    int seconds;
    int logins; /* of each client; 0: as many as fit into the time */
    pthread_barrier_t start;
    uint64_t until; /* moment */
};

struct client {
    struct load *load;
    pthread_t thread;
    struct link link;
    struct latencies latencies; /* of each login */
    size_t n_resumed;
};

static void
visit(struct client *client, struct link_memory *memory)
{
    const uint64_t started = moment_now();

    link_open(&client->link, &client->load->target, memory);
    link_query(&client->link);
    latencies_add(&client->latencies, moment_now() - started);
    client->n_resumed += client->link.resumed;
    link_close(&client->link, memory);
}

static bool
wants_more(const struct client *client)
{
    const struct load *load = client->load;

    return load->logins > 0 ? client->latencies.count < (size_t)load->logins
                            : moment_now() < load->until;
}

static void *
run_client(void *arg)
{
    struct client *client = arg;
    struct link_memory memory = {.session = NULL};

    pthread_barrier_wait(&client->load->start);
    while (wants_more(client))
        visit(client, &memory);
    link_forget(&memory);
    return NULL;
}

static void
run_threads(struct load *load, struct client *clients)
{
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_barrier_init(&load->start, NULL, (unsigned)load->clients);
    load->until = moment_now() + (uint64_t)load->seconds * NSEC_PER_SEC;
    for (int i = 0; i < load->clients; i++)
        if (pthread_create(&clients[i].thread, &attributes, run_client, &clients[i]) != 0)
            errx(1, "no thread for client %d", i);
    for (int i = 0; i < load->clients; i++)
        pthread_join(clients[i].thread, NULL);
    pthread_barrier_destroy(&load->start);
    pthread_attr_destroy(&attributes);
}

static void
report(const struct client *clients, int n_clients, double seconds)
{
    struct latencies all = {.values = NULL};
    size_t resumed = 0;

    for (int i = 0; i < n_clients; i++) {
        latencies_merge(&all, &clients[i].latencies);
        resumed += clients[i].n_resumed;
    }
    printf("{\"logins\": %zu, \"resumed\": %zu, \"seconds\": %.6f, \"p50\": %.3f, \"p99\": %.3f}\n",
           all.count, resumed, seconds, latencies_quantile(&all, 0.5) / 1e3,
           latencies_quantile(&all, 0.99) / 1e3);
    fflush(stdout);
    latencies_done(&all);
}

static void
parse_options(struct load *load, int argc, char **argv)
{
    bool tls = false;
    int option;

    while ((option = getopt(argc, argv, "c:t:n:sr")) != -1) {
        switch (option) {
        case 'c':
            load->clients = atoi(optarg);
            break;
        case 't':
            load->seconds = atoi(optarg);
            break;
        case 'n':
            load->logins = atoi(optarg);
            break;
        case 's':
            tls = true;
            break;
        case 'r':
            load->target.resume = true;
            break;
        default:
            exit(2);
        }
    }
    if (argc - optind != 5 || load->clients < 1)
        errx(2, "usage: login_load [-c N] [-t S | -n N] [-s [-r]] HOST PORT DATABASE USER "
                "PASSWORD");
    load->target.host = argv[optind];
    load->target.port = argv[optind + 1];
    load->target.database = argv[optind + 2];
    load->target.user = argv[optind + 3];
    load->target.password = argv[optind + 4];
    load->target.tls = tls ? link_tls_new() : NULL;
}

int
main(int argc, char **argv)
{
    struct load load = {.clients = 16, .seconds = 5};
    struct client *clients;
    uint64_t started;

    parse_options(&load, argc, argv);
    clients = calloc((size_t)load.clients, sizeof(*clients));
    if (clients == NULL)
        errx(1, "no memory");
    for (int i = 0; i < load.clients; i++)
        clients[i].load = &load;
    started = moment_now();
    run_threads(&load, clients);
    report(clients, load.clients, (double)(moment_now() - started) / NSEC_PER_SEC);
    for (int i = 0; i < load.clients; i++)
        latencies_done(&clients[i].latencies);
    free(clients);
    SSL_CTX_free(load.target.tls);
    return 0;
}
