/*
 * load_crew.c - one thread of the load generator, its clients and its epoll.
 *
 * A busy client is either free or in a transaction, which is a few steps: bytes sent, and a
 * ReadyForQuery that ends the step. Whenever there is a free client and something is due, a
 * transaction begins. A transaction in which the server has reported an error is one error,
 * whatever else was wrong with it.
 */
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "frame.h"
#include "list.h"
#include "load.h"
#include "moment.h"
#include "notice.h"
#include "str.h"

#define EVENTS_MAX   128
#define RECEIVE_SIZE ((size_t)(256 << 10))

enum role { ROLE_BUSY, ROLE_PULLER, ROLE_NON_READER, ROLE_IDLE };

enum step { STEP_NONE, STEP_BEGIN, STEP_QUERY, STEP_COMMIT, STEP_PULL, STEP_LOST };

struct client {
    struct link link;
    enum role role;
    enum step step;
    struct list free; /* among the crew's, while there is no step */
    struct framer framer;
    const char *unsent; /* borrowed from the script */
    size_t n_unsent;
    size_t variant;   /* of the query that is next */
    uint64_t started; /* moment: the transaction, or when it should have */
    bool failed;      /* the transaction */
};

struct crew {
    const struct load *load;     /* borrowed, as the next */
    const struct script *script; /* all crews have the same */
    struct schedule schedule;
    pthread_t thread;
    pthread_barrier_t ready, go; /* with the one who has started it */
    int index;
    int epoll;
    struct client *clients; /* owned */
    size_t n_clients;
    struct link_memory memory;
    struct list free;  /* busy clients without a transaction */
    size_t n_busy;     /* in a transaction */
    size_t n_alive;    /* busy clients that are connected */
    uint64_t left;     /* transactions to begin; UINT64_MAX: no limit */
    uint64_t interval; /* between two that are offered; 0: no rate */
    uint64_t due;      /* the next of these */
    struct outcome outcome;
    char buffer[RECEIVE_SIZE];
};

/* Outcome ------------------------------------------------------------------------------------- */

static void
note_error(struct outcome *outcome, const char *text)
{
    if (*outcome->first_error == '\0')
        str_copy(outcome->first_error, sizeof(outcome->first_error), text);
}

void
outcome_merge(struct outcome *into, const struct outcome *from)
{
    latencies_merge(&into->latencies, &from->latencies);
    into->errors += from->errors;
    note_error(into, from->first_error);
    into->bytes += from->bytes;
    into->pulls += from->pulls;
    into->pulled_bytes += from->pulled_bytes;
}

void
outcome_done(struct outcome *outcome)
{
    latencies_done(&outcome->latencies);
}

/* Sending ------------------------------------------------------------------------------------- */

static void
client_watch(struct crew *crew, struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data = {.ptr = client}};

    if (epoll_ctl(crew->epoll, operation, client->link.fd, &event) < 0)
        err(1, "epoll_ctl");
}

/* A transaction under way has failed, and so has the client. */
static void
client_lose(struct crew *crew, struct client *client)
{
    if (client->step == STEP_LOST)
        return;
    if (client->role == ROLE_BUSY) {
        crew->n_busy -= client->step != STEP_NONE;
        crew->n_alive--;
        list_remove(&client->free);
    }
    note_error(&crew->outcome, "the server has closed a connection");
    crew->outcome.errors++;
    client->step = STEP_LOST;
    epoll_ctl(crew->epoll, EPOLL_CTL_DEL, client->link.fd, NULL);
}

/* What the socket does not take is sent when it has room. */
static void
client_send(struct crew *crew, struct client *client)
{
    while (client->n_unsent > 0) {
        const ssize_t n = link_send(&client->link, client->unsent, client->n_unsent);

        if (n == -EAGAIN) {
            client_watch(crew, client, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return;
        }
        if (n < 0) {
            client_lose(crew, client);
            return;
        }
        client->unsent += n;
        client->n_unsent -= (size_t)n;
    }
}

/* Transactions -------------------------------------------------------------------------------- */

static const struct buf *
next_query(const struct script *script, struct client *client)
{
    const struct buf *query = &script->variants[client->variant];

    client->variant = (client->variant + 1) % script->n_variants;
    return query;
}

static void
client_take_step(struct crew *crew, struct client *client, enum step step)
{
    const struct script *script = crew->script;
    const struct buf *message = step == STEP_BEGIN    ? &script->begin
                                : step == STEP_COMMIT ? &script->commit
                                : step == STEP_PULL   ? &script->pull
                                                      : next_query(script, client);

    client->step = step;
    client->unsent = message->data;
    client->n_unsent = message->len;
    client_send(crew, client);
}

static void
client_begin(struct crew *crew, struct client *client, uint64_t started)
{
    client->started = started;
    client->failed = false;
    crew->n_busy++;
    client_take_step(crew, client, crew->load->transaction ? STEP_BEGIN : STEP_QUERY);
}

static void
client_finish(struct crew *crew, struct client *client, uint64_t now)
{
    client->step = STEP_NONE;
    crew->n_busy--;
    list_push_back(&crew->free, &client->free);
    if (client->failed)
        crew->outcome.errors++;
    else if (now >= crew->schedule.measure)
        latencies_add(&crew->outcome.latencies, now - client->started);
}

static void
puller_finish(struct crew *crew, struct client *client, uint64_t now)
{
    if (client->failed)
        crew->outcome.errors++;
    else if (now >= crew->schedule.measure)
        crew->outcome.pulls++;
    client->step = STEP_NONE;
    client->failed = false;
    if (now < crew->schedule.end)
        client_take_step(crew, client, STEP_PULL);
}

/* The server is ready for the next query. */
static void
client_advance(struct crew *crew, struct client *client, uint64_t now)
{
    switch (client->step) {
    case STEP_NONE:
    case STEP_LOST:
        break;
    case STEP_BEGIN:
        client_take_step(crew, client, STEP_QUERY);
        break;
    case STEP_QUERY:
        if (crew->load->transaction)
            client_take_step(crew, client, STEP_COMMIT);
        else
            client_finish(crew, client, now);
        break;
    case STEP_COMMIT:
        client_finish(crew, client, now);
        break;
    case STEP_PULL:
        puller_finish(crew, client, now);
        break;
    }
}

/* When the next transaction is due; UINT64_MAX: there is none. */
static uint64_t
next_due(const struct crew *crew, uint64_t now)
{
    uint64_t due = crew->interval > 0 ? crew->due : now;

    if (crew->left == 0 || due >= crew->schedule.end || now >= crew->schedule.end)
        return UINT64_MAX;
    return due;
}

static void
begin_what_is_due(struct crew *crew, uint64_t now)
{
    uint64_t due;

    while (!list_empty(&crew->free) && (due = next_due(crew, now)) <= now) {
        struct client *client = list_entry(list_pop(&crew->free), struct client, free);

        crew->due += crew->interval;
        if (crew->left != UINT64_MAX)
            crew->left--;
        client_begin(crew, client, due);
    }
}

/* Receiving ----------------------------------------------------------------------------------- */

/* An error that came in pieces has no text. */
static void
note_server_error(struct outcome *outcome, enum frame_kind kind, const struct frame *frame)
{
    struct notice notice;
    size_t len;
    const char *body = frame_body(frame, &len);

    if (kind == FRAME_WHOLE && notice_parse(body, len, &notice) == 0)
        note_error(outcome, notice.message);
    else
        note_error(outcome, "an error");
}

static void
client_take(struct crew *crew, struct client *client, const char *pos, size_t len, uint64_t now)
{
    const char *const end = pos + len;
    enum frame_kind kind;
    struct frame frame;

    while ((kind = framer_next(&client->framer, &pos, end, &frame)) < FRAME_NEED_MORE) {
        if (frame.type == BACKEND_READY) {
            client_advance(crew, client, now);
        } else if (frame.type == BACKEND_ERROR && kind != FRAME_BODY) {
            client->failed = true;
            note_server_error(&crew->outcome, kind, &frame);
        }
    }
    if (kind == FRAME_BAD)
        client_lose(crew, client);
}

static void
note_bytes(struct crew *crew, const struct client *client, size_t n, uint64_t now)
{
    if (now < crew->schedule.measure)
        return;
    if (client->role == ROLE_PULLER)
        crew->outcome.pulled_bytes += n;
    else
        crew->outcome.bytes += n;
}

static void
client_receive(struct crew *crew, struct client *client)
{
    do {
        const ssize_t n = link_receive(&client->link, crew->buffer, sizeof(crew->buffer));
        const uint64_t now = moment_now();

        if (n == -EAGAIN)
            return;
        if (n < 0) {
            client_lose(crew, client);
            return;
        }
        note_bytes(crew, client, (size_t)n, now);
        client_take(crew, client, crew->buffer, (size_t)n, now);
    } while (client->step != STEP_LOST && link_has_pending(&client->link));
}

static void
client_run(struct crew *crew, struct client *client, uint32_t events)
{
    if (events & EPOLLOUT) {
        client_watch(crew, client, EPOLL_CTL_MOD, EPOLLIN);
        client_send(crew, client);
    } else {
        client_receive(crew, client);
    }
}

/* Login --------------------------------------------------------------------------------------- */

static enum role
role_of(const struct load *load, int number)
{
    if (number < load->clients)
        return ROLE_BUSY;
    number -= load->clients;
    if (number < load->pullers)
        return ROLE_PULLER;
    number -= load->pullers;
    return number < load->non_readers ? ROLE_NON_READER : ROLE_IDLE;
}

/* The name with its %d, if it has one, replaced by a number below count. */
static void
numbered(char *text, size_t size, const char *name, int number, int count)
{
    const char *place = strstr(name, "%d");

    if (place == NULL)
        str_copy(text, size, name);
    else
        snprintf(text, size, "%.*s%d%s", (int)(place - name), name, number % count, place + 2);
}

static void
client_open(struct crew *crew, struct client *client, int number)
{
    const struct load *load = crew->load;
    char database[64], user[64];
    const struct link_target target = {.host = load->host,
                                       .port = load->port,
                                       .database = database,
                                       .user = user,
                                       .password = load->password,
                                       .tls = load->tls};

    numbered(database, sizeof(database), load->database, number, load->databases);
    numbered(user, sizeof(user), load->user, number / load->databases, load->users);
    client->role = role_of(load, number);
    framer_init(&client->framer, FRAMER_NO_LIMIT);
    link_open(&client->link, &target, &crew->memory);
}

/* What it does before the run, and how it is ready for it. */
static void
client_settle(struct crew *crew, struct client *client)
{
    const struct script *script = crew->script;

    switch (client->role) {
    case ROLE_BUSY:
        for (size_t i = 0; i < script->n_prepares; i++)
            link_ask(&client->link, script->prepares[i].data, script->prepares[i].len);
        crew->n_alive++;
        list_push_back(&crew->free, &client->free);
        break;
    case ROLE_IDLE:
        link_query(&client->link);
        break;
    case ROLE_PULLER:
    case ROLE_NON_READER:
        break;
    }
    link_stop_blocking(&client->link);
    if (client->role != ROLE_NON_READER)
        client_watch(crew, client, EPOLL_CTL_ADD, EPOLLIN);
}

static void
log_in(struct crew *crew)
{
    for (size_t i = 0; i < crew->n_clients; i++) {
        client_open(crew, &crew->clients[i], (int)i * crew->load->threads + crew->index);
        client_settle(crew, &crew->clients[i]);
    }
}

/* The run ------------------------------------------------------------------------------------- */

static void
start_pullers(struct crew *crew)
{
    for (size_t i = 0; i < crew->n_clients; i++) {
        struct client *client = &crew->clients[i];

        if (client->role == ROLE_PULLER)
            client_take_step(crew, client, STEP_PULL);
        else if (client->role == ROLE_NON_READER)
            (void)link_send(&client->link, crew->script->pull.data, crew->script->pull.len);
    }
}

static bool
is_over(const struct crew *crew, uint64_t now)
{
    const bool has_work = crew->n_alive > 0 || crew->load->pullers > 0;

    return crew->n_busy == 0 && (!has_work || next_due(crew, now) == UINT64_MAX);
}

/* Those under way after the end have some time. */
static uint64_t
patience_ends(const struct crew *crew)
{
    return crew->schedule.end + (crew->n_busy > 0 ? CREW_GRACE * NSEC_PER_SEC : 0);
}

static int
wait_for_events(struct crew *crew, struct epoll_event *events, uint64_t now)
{
    const uint64_t due = list_empty(&crew->free) ? UINT64_MAX : next_due(crew, now);
    const uint64_t until = MIN(due, patience_ends(crew));
    const uint64_t wait = until > now ? until - now : 0;
    const struct timespec timeout = {.tv_sec = (time_t)(wait / NSEC_PER_SEC),
                                     .tv_nsec = (long)(wait % NSEC_PER_SEC)};

    return epoll_pwait2(crew->epoll, events, EVENTS_MAX, &timeout, NULL);
}

static void
give_up(struct crew *crew)
{
    crew->outcome.errors += crew->n_busy;
    note_error(&crew->outcome, "no answer in time");
}

static void
run(struct crew *crew)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now = moment_now();

    crew->due = now;
    start_pullers(crew);
    for (begin_what_is_due(crew, now); !is_over(crew, now); begin_what_is_due(crew, now)) {
        const int n = wait_for_events(crew, events, now);

        for (int i = 0; i < n; i++)
            client_run(crew, events[i].data.ptr, events[i].events);
        now = moment_now();
        if (crew->n_busy > 0 && now >= patience_ends(crew)) {
            give_up(crew);
            break;
        }
    }
}

static void *
crew_main(void *arg)
{
    struct crew *crew = arg;

    log_in(crew);
    pthread_barrier_wait(&crew->ready);
    pthread_barrier_wait(&crew->go);
    run(crew);
    return NULL;
}

/* From outside -------------------------------------------------------------------------------- */

static uint64_t
share_of(uint64_t all, const struct load *load, int index)
{
    return all / (uint64_t)load->threads + ((uint64_t)index < all % (uint64_t)load->threads);
}

struct crew *
crew_start(const struct load *load, const struct script *script, int index)
{
    const int n_clients = load->clients + load->pullers + load->non_readers + load->idle;
    struct crew *crew = calloc(1, sizeof(*crew));

    if (crew == NULL)
        errx(1, "no memory");
    crew->load = load;
    crew->script = script;
    crew->index = index;
    crew->epoll = epoll_create1(EPOLL_CLOEXEC);
    list_init(&crew->free);
    crew->left = load->count > 0 ? share_of((uint64_t)load->count, load, index) : UINT64_MAX;
    if (load->rate > 0)
        crew->interval = (uint64_t)((double)NSEC_PER_SEC * load->threads / load->rate);
    crew->n_clients = share_of((uint64_t)n_clients, load, index);
    crew->clients = calloc(crew->n_clients + 1, sizeof(*crew->clients));
    pthread_barrier_init(&crew->ready, NULL, 2);
    pthread_barrier_init(&crew->go, NULL, 2);
    if (crew->clients == NULL || crew->epoll < 0 ||
        pthread_create(&crew->thread, NULL, crew_main, crew) != 0)
        errx(1, "no thread");
    return crew;
}

void
crew_wait_until_ready(struct crew *crew)
{
    pthread_barrier_wait(&crew->ready);
}

void
crew_run(struct crew *crew, const struct schedule *schedule)
{
    crew->schedule = *schedule;
    pthread_barrier_wait(&crew->go);
}

const struct outcome *
crew_join(struct crew *crew)
{
    pthread_join(crew->thread, NULL);
    return &crew->outcome;
}

void
crew_free(struct crew *crew)
{
    for (size_t i = 0; i < crew->n_clients; i++)
        link_close(&crew->clients[i].link, &crew->memory);
    link_forget(&crew->memory);
    outcome_done(&crew->outcome);
    pthread_barrier_destroy(&crew->ready);
    pthread_barrier_destroy(&crew->go);
    close(crew->epoll);
    free(crew->clients);
    free(crew);
}
