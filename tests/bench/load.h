/*
 * load.h - what the load generator is to do, in three parts: the options (struct load), the bytes
 * that clients send (struct script), and the threads that send them (struct crew).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "latencies.h"
#include "link.h"

/* What the command line says. Never changed once threads run. */
struct load {
    const char *host, *port, *database, *user, *password;
    const char *mode, *query, *pull_query;
    int databases, users; /* so many, if the name has %d in it */
    int clients, idle, pullers, non_readers;
    int threads;
    int statements;   /* different texts, used in turn */
    double seconds;   /* of the run, if count is 0 */
    double warm_up;   /* seconds before, which do not count */
    double count;     /* of transactions */
    double rate;      /* transactions offered per second; 0: as many as are answered */
    int watch;        /* a process whose CPU is told, too; 0: none */
    bool transaction; /* BEGIN and COMMIT around each */
    bool wait;        /* for a line on the standard input, once all are in */
    bool encrypted;   /* by TLS */
    SSL_CTX *tls;     /* owned; NULL without */
};

/* Script -------------------------------------------------------------------------------------- */

/* Messages, each buf of which is answered by one ReadyForQuery. Shared by all threads. */
struct script {
    struct buf *variants; /* owned: the query, once for each statement */
    struct buf *prepares; /* owned: what each client sends first, with mode prepared */
    size_t n_variants, n_prepares;
    struct buf begin, commit, pull;
};

void script_init(struct script *script, const struct load *load);
void script_done(struct script *script);

/* Crew ---------------------------------------------------------------------------------------- */

/* What one crew has reached, or all together. */
struct outcome {
    struct latencies latencies; /* of transactions that succeeded */
    uint64_t errors;
    char first_error[256]; /* "" while there was none */
    uint64_t bytes;        /* received by all but pullers */
    uint64_t pulls;        /* big results that were received whole */
    uint64_t pulled_bytes;
};

void outcome_merge(struct outcome *into, const struct outcome *from);
void outcome_done(struct outcome *outcome);

/* When a run begins, counts, and ends; moments. */
struct schedule {
    uint64_t start;
    uint64_t measure; /* what ends before does not count */
    uint64_t end;     /* nothing begins after */
};

struct crew;

/*
 * A thread with every threads'th client, the first being number index. It logs them in at once; any
 * failure ends the process.
 */
struct crew *crew_start(const struct load *load, const struct script *script, int index);
void crew_wait_until_ready(struct crew *crew);
/* Lets it run. crew_join waits for its end, which is at most CREW_GRACE seconds late. */
void crew_run(struct crew *crew, const struct schedule *schedule);
const struct outcome *crew_join(struct crew *crew);
/* Closes its connections. */
void crew_free(struct crew *crew);

#define CREW_GRACE 10
