/*
 * test_pipelines.c - random sequences of messages, cut anywhere, from several clients over fewer
 * servers, with cancels and servers that die: each client gets, byte by byte, what a server of its
 * own would say.
 *
 * A play is an engine and SEQUENCES sequences; it follows from its seed. PIPELINES=100000 says how
 * many sequences, PIPELINES_SEED=n where to begin; with PIPELINES=1, one play of each kind.
 * PIPELINES_ONLY=test_two_shards is the one test to be run.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "fake_memory.h"
#include "model.h"
#include "pg.h"
#include "rng.h"
#include "script.h"
#include "str.h"

#define CLIENTS   3
#define SERVERS   3 /* at most */
#define MOST      3 /* max_prepared_statements */
#define SEQUENCES 25
#define KINDS     7 /* of plays */

struct client_side {
    struct peer *peer;
    struct model model; /* what its own server would be, and say */
    struct model past;  /* the same before this sequence */
    struct script script;
    size_t sent;
    unsigned cancelled[SCRIPT_MOST]; /* messages, in the queue */
    unsigned cancelled_count;
    bool is_gone; /* its connection was closed */
};

struct server_side {
    struct peer *peer; /* NULL: there is none */
    struct model model;
};

/* Accidents that were of use. */
struct totals {
    unsigned queue_cancels;
    unsigned cancels;
    unsigned ends; /* of connections of clients */
};

struct play {
    struct fixture *f;
    struct totals *totals;
    struct rng rng;
    uint64_t seed;
    struct script_style style;
    bool has_accidents; /* cancels, and servers that die */
    struct model_fates fates;
    unsigned fates_seen;
    unsigned deaths;    /* of servers, in this sequence */
    bool is_starved;    /* memory has ended: clients may be told so, and closed */
    char canceller;     /* who asked for the cancel under way; 0: nobody */
    struct peer *asker; /* the connection that it came by, which ends with it */
    struct client_side clients[CLIENTS];
    struct server_side servers[SERVERS];
};

static unsigned
roll(struct play *play, unsigned n)
{
    return (unsigned)rng_below(&play->rng, n);
}

/* --- servers --------------------------------------------------------------------------------- */

static void
server_gone(struct server_side *server)
{
    peer_close(server->peer);
    server->peer = NULL;
    model_done(&server->model);
}

/* A client's own names never reach a server that others may have next. */
static void
check_names(const struct play *play, const struct model *model, const char *data)
{
    if (*data == 'P' && !play->style.has_own_names && !model->skipping &&
        data[PG_HEADER_SIZE] != '\0')
        assert_memory_equal(data + PG_HEADER_SIZE, "pgweir_", 7);
}

/* Takes some of what has come; says some of what it has to say. */
static void
server_works(struct play *play, struct server_side *server, bool all)
{
    struct buf *const input = &server->peer->input;
    size_t len;

    (void)peer_fill(server->peer);
    while (input->len >= PG_HEADER_SIZE && pg_get_uint32(input->data + 1) < input->len &&
           (all || roll(play, 4) > 0)) {
        len = pg_get_uint32(input->data + 1) + 1;
        if (*input->data == 'X') {
            server_gone(server);
            return;
        }
        check_names(play, &server->model, input->data);
        model_message(&server->model, input->data, len);
        buf_consume(input, len);
    }
    if (!play->style.has_own_names)
        assert_in_range(server->model.most, 0, MOST);
    if (input->len == 0 && server->model.copy == MODEL_NO_COPY)
        server->model.cancel = 0; /* it has met nothing that runs */
    len = all ? server->model.output.len : roll(play, (unsigned)server->model.output.len + 1);
    buf_consume(&server->model.output,
                peer_send_some(server->peer, server->model.output.data, len));
    if (server->peer->ended)
        server_gone(server);
}

static void
servers_work(struct play *play, bool all)
{
    for (size_t i = 0; i < SERVERS; i++)
        if (play->servers[i].peer != NULL && (all || roll(play, 2) == 0))
            server_works(play, &play->servers[i], all || roll(play, 2) == 0);
}

static void
servers_come(struct play *play)
{
    for (size_t i = 0; i < SERVERS; i++) {
        struct server_side *const server = &play->servers[i];

        if (server->peer == NULL && fake_connector_pending(play->f->connector) > 0) {
            model_init(&server->model, &play->fates);
            server->peer = fixture_accept(play->f);
        }
    }
}

/* --- clients --------------------------------------------------------------------------------- */

static void
client_expects(struct client_side *client)
{
    model_return_to(&client->model, &client->past);
    script_expect(&client->script, &client->model, client->cancelled, client->cancelled_count);
}

static void
client_begins(struct play *play, struct client_side *client)
{
    client->past = client->model;
    client->cancelled_count = 0;
    client->sent = 0;
    client->script.style = play->style;
    client->script.style.client = (unsigned)(client - play->clients);
    client->script.style.is_careless = roll(play, 50) == 0;
    script_write(&client->script);
    client_expects(client);
}

static void
client_sends(struct play *play, struct client_side *client)
{
    const size_t allowed = script_allowed(&client->script, client->peer->input.len);
    size_t len = allowed - MIN(allowed, client->sent); /* a cancel may have made it less */

    if (roll(play, 3) > 0)
        len = roll(play, (unsigned)MIN(len, 60) + 1);
    client->sent += peer_send_some(client->peer, client->script.bytes.data + client->sent, len);
}

static void
print_bytes(const char *title, const char *data, size_t len)
{
    print_error("\n%s: ", title);
    for (size_t i = 0; i < MIN(len, 4000); i++)
        print_error("%c", data[i] >= ' ' && data[i] <= '~' ? data[i] : '.');
}

static void
complain(const struct play *play, const struct client_side *client, size_t at)
{
    print_error("the answers differ at byte %zu; again: PIPELINES=1 PIPELINES_SEED=%llu", at,
                (unsigned long long)play->seed);
    print_bytes("sent", client->script.bytes.data, client->sent);
    print_bytes("wanted", client->model.output.data, client->model.output.len);
    print_bytes("got", client->peer->input.data, client->peer->input.len);
    fail_msg("see above");
}

/* Whether the rest of what came, from byte at on, is no more than the pooler's last word. */
static bool
is_last_word(const struct buf *input, size_t at)
{
    const char *const data = input->data + at;
    const size_t len = input->len - at;

    return len == 0 || (len > PG_HEADER_SIZE && *data == 'E' &&
                        pg_get_uint32(data + 1) + 1 == len && memcmp(data + 5, "SFATAL", 7) == 0);
}

/* Where the answers that are as they must be end, at a message. */
static size_t
matching_len(const struct buf *input, const struct buf *wanted)
{
    size_t at = 0;

    while (at + PG_HEADER_SIZE <= input->len && at < wanted->len) {
        const size_t len = pg_get_uint32(wanted->data + at + 1) + 1;

        if (memcmp(input->data + at, wanted->data + at, MIN(len, input->len - at)) != 0)
            return at;
        at += MIN(len, input->len - at);
    }
    return at;
}

/*
 * The answers so far are the beginning of what they must be; true: they are all there. The end of a
 * connection is allowed to a client that broke the protocol, and to one for each server that died.
 */
static bool
check_answers(struct play *play, struct client_side *client)
{
    const struct buf *const wanted = &client->model.output;
    const struct buf *const input = &client->peer->input;
    size_t matching;

    if (client->is_gone)
        return true;
    (void)peer_fill(client->peer);
    matching = matching_len(input, wanted);
    if (client->peer->ended &&
        (client->script.style.is_careless || play->is_starved || play->deaths > 0)) {
        if (!is_last_word(input, matching))
            complain(play, client, matching);
        play->deaths -= play->deaths > 0 && !client->script.style.is_careless;
        play->totals->ends++;
        client->is_gone = true;
        return true;
    }
    if (client->peer->ended || (matching < input->len && input->len - matching >= PG_HEADER_SIZE))
        complain(play, client, matching);
    return input->len == wanted->len;
}

/* --- accidents ------------------------------------------------------------------------------- */

/*
 * If it was in the queue, it is told at once. It had all answers to what was before then, and
 * nothing is on its way to it.
 */
static void
client_cancels(struct play *play, struct client_side *client)
{
    size_t before;

    if (client->is_gone || play->canceller != 0)
        return;
    fixture_settle(play->f);
    before = peer_fill(client->peer);
    play->canceller = (char)('0' + (client - play->clients));
    play->asker = fixture_cancel(client->peer);
    (void)peer_fill(play->asker);
    if (!play->asker->ended)
        return;
    play->canceller = 0;
    if (peer_fill(client->peer) > before) {
        play->totals->queue_cancels++;
        client->cancelled[client->cancelled_count++] = script_first_open(&client->script, before);
        client_expects(client);
    }
}

/* The signal comes to the server; PostgreSQL ignores it when there is nothing to do. */
static void
cancel_arrives(struct play *play)
{
    const uint32_t pid = (uint32_t)fake_connector_cancelled_pid(play->f->connector);

    for (size_t i = 0; i < SERVERS; i++) {
        struct server_side *const server = &play->servers[i];

        if (server->peer != NULL && server->peer->pid == pid)
            if (peer_fill(server->peer) > 0 || server->model.copy != MODEL_NO_COPY)
                server->model.cancel = play->canceller;
    }
    fake_connector_finish_cancel(play->f->connector, 0);
    play->canceller = 0;
    fixture_settle(play->f);
}

static void
server_dies(struct play *play, struct server_side *server)
{
    if (server->peer == NULL)
        return;
    server_gone(server);
    play->deaths++;
    fixture_settle(play->f);
}

/* The query has ended before its cancel had begun. */
static void
cancel_is_dropped(struct play *play)
{
    if (play->canceller == 0)
        return;
    (void)peer_fill(play->asker);
    if (play->asker->ended)
        play->canceller = 0;
}

static void
accidents_happen(struct play *play)
{
    cancel_is_dropped(play);
    if (fake_connector_cancelling(play->f->connector) > 0 && roll(play, 4) == 0)
        cancel_arrives(play);
    if (!play->has_accidents)
        return;
    if (roll(play, 40) == 0)
        client_cancels(play, &play->clients[roll(play, CLIENTS)]);
    if (roll(play, 500) == 0)
        server_dies(play, &play->servers[roll(play, SERVERS)]);
}

/* --- playing --------------------------------------------------------------------------------- */

/* What cancels have hit on servers was to be hit. */
static void
learn_fates(struct play *play)
{
    if (play->fates_seen == play->fates.count)
        return;
    play->totals->cancels += play->fates.count - play->fates_seen;
    play->fates_seen = play->fates.count;
    for (size_t i = 0; i < CLIENTS; i++)
        client_expects(&play->clients[i]);
}

static void
play_sequence(struct play *play)
{
    bool done = false;
    unsigned steps = 0;

    play->deaths = 0;
    play->fates.count = 0;
    play->fates_seen = 0;
    for (size_t i = 0; i < CLIENTS; i++)
        client_begins(play, &play->clients[i]);
    while (!done || play->canceller != 0) {
        struct client_side *const client = &play->clients[roll(play, CLIENTS)];

        done = true;
        if (play->f->memory == 0 && steps > 300)
            play->f->memory = -1; /* there is some again: now nobody may be left waiting */
        if (++steps > 20000)
            fail_msg("there is no end; again: PIPELINES=1 PIPELINES_SEED=%llu",
                     (unsigned long long)play->seed);
        if (!client->is_gone)
            client_sends(play, client);
        fixture_settle(play->f);
        servers_come(play);
        servers_work(play, false);
        accidents_happen(play);
        /* Another shard gets a server only after some time. */
        fixture_advance(play->f, roll(play, 4) == 0 ? 5 * MSEC : 0);
        learn_fates(play);
        for (size_t i = 0; i < CLIENTS; i++)
            done = check_answers(play, &play->clients[i]) && done;
    }
    for (size_t i = 0; i < CLIENTS; i++)
        buf_clear(&play->clients[i].peer->input);
}

/* A client comes anew now and then: it has no names, and finds what is on the servers. */
static void
renew_client(struct play *play, struct client_side *client)
{
    if (client->peer != NULL)
        peer_close(client->peer);
    client->is_gone = false;
    model_done(&client->model);
    model_init(&client->model, &play->fates);
    client->peer = fixture_knock(play->f, "db", "alice");
    for (unsigned round = 0; round < 6; round++) {
        fixture_advance(play->f, SEC);
        servers_come(play);
        servers_work(play, true);
    }
    /* Without memory for its timer a pool waits for its next event; this client does not. */
    client->is_gone =
        play->is_starved && (peer_fill(client->peer) == 0 || *client->peer->input.data == 'E');
    if (!client->is_gone)
        peer_expect_login(client->peer);
}

static struct play *
play_begin(struct fixture *f, const char *text, const struct script_style *style, uint64_t seed,
           struct totals *totals)
{
    struct play *const play = calloc(1, sizeof(*play));

    assert_non_null(play);
    play->f = f;
    play->totals = totals;
    play->seed = seed;
    play->style = *style;
    rng_seed(&play->rng, seed);
    play->style.has_transactions = style->has_transactions && roll(play, 2) == 0;
    play->has_accidents = roll(play, 2) == 0;
    fixture_start(f, text);
    return play;
}

static void
play_end(struct play *play)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        model_done(&play->clients[i].model);
        script_done(&play->clients[i].script);
    }
    fixture_stop(play->f);
    for (size_t i = 0; i < SERVERS; i++)
        model_done(&play->servers[i].model);
    fixture_forget_peers(play->f);
    free(play);
}

/* Old clients and new ones, and what they have to say. */
static void
play_round(struct play *play)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        struct client_side *const client = &play->clients[i];

        client->script.rng = &play->rng;
        if (client->peer == NULL || client->is_gone || roll(play, 10) == 0)
            renew_client(play, client);
    }
    play_sequence(play);
}

static uint64_t
number_from(const char *name, uint64_t otherwise)
{
    const char *const text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static const char base[] = "max_prepared_statements = 3\nquery_wait_notify = 0\n";

/* This kind's part of all sequences. */
static void
play_kind(struct fixture *f, const char *how, struct script_style style)
{
    const uint64_t first = number_from("PIPELINES_SEED", 1);
    const uint64_t count = number_from("PIPELINES", 2000);
    const uint64_t plays = (count + KINDS * SEQUENCES - 1) / (KINDS * SEQUENCES);
    struct totals totals = {0};
    char text[200];

    (void)snprintf(text, sizeof(text), "%s%s", base, how);
    for (uint64_t seed = first; seed < first + plays; seed++) {
        struct play *const play = play_begin(f, text, &style, seed, &totals);

        for (unsigned i = 0; i < SEQUENCES; i++)
            play_round(play);
        play_end(play);
    }
    /* With enough plays there is some of everything. */
    assert_true(plays < 10 || (totals.cancels > 0 && totals.ends > 0));
    assert_true(plays < 10 || style.has_session || totals.queue_cancels > 0);
}

static const struct script_style plain = {.has_transactions = true};
static const struct script_style single = {.has_transactions = false};
static const struct script_style session = {
    .has_transactions = true, .has_session = true, .has_own_names = true};

static void
test_one_worker(void **state)
{
    play_kind(*state, "default_pool_size = 2\n", plain);
}

static void
test_one_server(void **state)
{
    play_kind(*state, "default_pool_size = 1\n", plain);
}

/* Where a text that comes again is a named statement. */
static void
test_prepare_unnamed(void **state)
{
    play_kind(*state, "default_pool_size = 2\nprepare_unnamed = 1\n", plain);
}

static void
test_two_shards(void **state)
{
    play_kind(*state, "default_pool_size = 2\nworker_threads = 2\npool_shards = 2\n", plain);
}

static void
test_statement_mode(void **state)
{
    play_kind(*state, "default_pool_size = 2\npool_mode = statement\n", single);
}

static void
test_session_mode(void **state)
{
    play_kind(*state, "default_pool_size = 3\npool_mode = session\n", session);
}

static void
test_session_mode_on_two_shards(void **state)
{
    play_kind(*state,
              "default_pool_size = 3\npool_mode = session\nworker_threads = 2\npool_shards = 2\n",
              session);
}

/* --- without memory --------------------------------------------------------------------------- */

/*
 * Memory ends at the first allocation, the second, and so on, until there is enough for logins and
 * a sequence: each time clients get what they must or are closed, and all is well when there is
 * memory again.
 */
static void
starve(struct fixture *f, const char *how, const struct script_style *style, long failures)
{
    struct totals totals = {0};
    bool was_enough = false;
    char text[200];

    (void)snprintf(text, sizeof(text), "%s%s", base, how);
    fake_memory_fail_only(failures);
    for (long memory = 0; !was_enough; memory++) {
        struct play *const play = play_begin(f, text, style, 1, &totals);

        fake_memory_fail_only(failures);
        play->is_starved = true;
        f->memory = memory;
        play_round(play);
        was_enough = f->memory > 0;
        f->memory = -1;
        play_round(play);
        play->is_starved = false;
        play_round(play);
        play_end(play);
    }
    assert_true(totals.ends > 0);
}

static void
test_memory_ends(void **state)
{
    starve(*state, "default_pool_size = 2\n", &plain, -1);
}

static void
test_an_allocation_fails(void **state)
{
    starve(*state, "default_pool_size = 2\n", &plain, 1);
}

static void
test_an_allocation_fails_with_two_shards(void **state)
{
    starve(*state, "default_pool_size = 2\nworker_threads = 2\npool_shards = 2\n", &plain, 1);
}

static void
test_an_allocation_fails_in_session_mode(void **state)
{
    starve(*state, "default_pool_size = 3\npool_mode = session\n", &session, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_worker),
        TEST(test_one_server),
        TEST(test_prepare_unnamed),
        TEST(test_two_shards),
        TEST(test_statement_mode),
        TEST(test_session_mode),
        TEST(test_session_mode_on_two_shards),
        TEST(test_memory_ends),
        TEST(test_an_allocation_fails),
        TEST(test_an_allocation_fails_with_two_shards),
        TEST(test_an_allocation_fails_in_session_mode),
    };

    if (getenv("PIPELINES_ONLY") != NULL)
        cmocka_set_test_filter(getenv("PIPELINES_ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
