/*
 * test_pipelines.c - random sequences of messages with named statements, cut anywhere, from several
 * clients over fewer servers: each client gets, byte by byte, what a server of its own would say.
 *
 * PIPELINES=100000 says how many sequences; PIPELINES_SEED=n repeats one.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "model.h"
#include "pg.h"
#include "rng.h"
#include "str.h"

#define CLIENTS 3
#define SERVERS 2
#define MOST    3 /* max_prepared_statements */

struct side {
    struct peer *peer;
    struct model model; /* a server's own; or what a client's would be */
    struct buf script;  /* of a client: what is not sent yet */
    struct buf sent;    /* of a client: all that was, for complaints */
};

struct play {
    struct fixture *f;
    struct rng rng;
    struct side clients[CLIENTS];
    struct side servers[SERVERS];
    unsigned server_count;
    bool with_transactions;
};

static unsigned
roll(struct play *play, unsigned n)
{
    return (unsigned)rng_below(&play->rng, n);
}

/* --- scripts --------------------------------------------------------------------------------- */

static void
append(struct buf *buf, char type, const char *first, const char *second, const void *rest,
       size_t rest_len)
{
    const size_t start = buf->len;
    char header[PG_HEADER_SIZE] = {type};

    assert_int_equal(buf_append(buf, header, sizeof(header)), 0);
    if (first != NULL)
        assert_int_equal(buf_append(buf, first, strlen(first) + 1), 0);
    if (second != NULL)
        assert_int_equal(buf_append(buf, second, strlen(second) + 1), 0);
    assert_int_equal(buf_append(buf, rest, rest_len), 0);
    pg_put_header(buf->data + start, type, (uint32_t)(buf->len - start - PG_HEADER_SIZE));
}

static const char *
some_name(struct play *play)
{
    static const char *const names[] = {"a", "b", "b", "statement_with_a_long_name", "pg_x"};

    return names[roll(play, ARRAY_SIZE(names))];
}

static const char *
some_text(struct play *play)
{
    static const char *const texts[] = {
        "one", "two", "three", "four", "a longer text than the others", "bad text", "die here",
    };

    if (play->with_transactions && roll(play, 4) == 0)
        return roll(play, 3) == 0 ? "begin" : "rollback";
    return texts[roll(play, ARRAY_SIZE(texts))];
}

/* DEALLOCATE of a name, by a query or the unnamed statement; or of all. */
static void
append_deallocate(struct play *play, struct buf *buf)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "DEALLOCATE %s", some_name(play));
    if (roll(play, 4) == 0)
        (void)str_copy(text, sizeof(text), roll(play, 2) == 0 ? "DEALLOCATE ALL" : "DISCARD ALL");
    if (roll(play, 2) == 0 || strstr(text, " ALL") != NULL) {
        append(buf, 'Q', text, NULL, NULL, 0);
        return;
    }
    append(buf, 'P', "", text, "\0\0", 2);
    append(buf, 'B', "", "", "\0\0\0\0\0\0", 6);
    append(buf, 'E', "", NULL, "\0\0\0\0", 4);
}

static void
append_message(struct play *play, struct buf *buf)
{
    char name[40];

    switch (roll(play, 14)) {
    case 13:
        append_deallocate(play, buf);
        return;
    case 12: /* the unnamed one, which is used at once */
        append(buf, 'P', "", some_text(play), "\0\0", 2);
        append(buf, 'B', "", "", "\0\0\0\0\0\0", 6);
        append(buf, 'E', "", NULL, "\0\0\0\0", 4);
        return;
    case 0:
    case 1:
    case 2:
        append(buf, 'P', some_name(play), some_text(play), "\0\0", 2);
        return;
    case 3:
    case 4:
    case 5:
        append(buf, 'B', "", some_name(play), "\0\0\0\0\0\0", 6);
        if (roll(play, 4) > 0)
            append(buf, 'E', "", NULL, "\0\0\0\0", 4);
        return;
    case 6:
        (void)snprintf(name, sizeof(name), "S%s", some_name(play));
        append(buf, 'D', name, NULL, NULL, 0);
        return;
    case 7:
        (void)snprintf(name, sizeof(name), "S%s", some_name(play));
        append(buf, 'C', name, NULL, NULL, 0);
        return;
    case 8:
        append(buf, 'Q', some_text(play), NULL, NULL, 0);
        return;
    case 9:
        append(buf, 'H', NULL, NULL, NULL, 0);
        return;
    default:
        append(buf, 'S', NULL, NULL, NULL, 0);
    }
}

static void
write_script(struct play *play, struct buf *buf)
{
    for (unsigned count = 3 + roll(play, 30); count > 0; count--)
        append_message(play, buf);
    append(buf, 'S', NULL, NULL, NULL, 0);
    append(buf, 'Q', "rollback", NULL, NULL, 0);
}

static void
expect_from(struct model *model, const struct buf *script)
{
    for (size_t at = 0; at < script->len;) {
        const size_t len = pg_get_uint32(script->data + at + 1) + 1;

        model_message(model, script->data + at, len);
        at += len;
    }
}

/* --- playing --------------------------------------------------------------------------------- */

static void
client_sends(struct play *play, struct side *client)
{
    const size_t len = roll(play, 3) == 0 ? client->script.len
                                          : roll(play, (unsigned)MIN(client->script.len, 60) + 1);

    peer_send_bytes(client->peer, client->script.data, len);
    assert_int_equal(buf_append(&client->sent, client->script.data, len), 0);
    buf_consume(&client->script, len);
}

/* Takes some of what has come; says some of what it has to say. */
static void
server_works(struct play *play, struct side *server, bool all)
{
    struct buf *const input = &server->peer->input;
    size_t len;

    (void)peer_fill(server->peer);
    while (input->len >= PG_HEADER_SIZE && pg_get_uint32(input->data + 1) < input->len &&
           (all || roll(play, 4) > 0)) {
        len = pg_get_uint32(input->data + 1) + 1;
        if (input->data[0] == 'P' && !server->model.skipping && input->data[PG_HEADER_SIZE] != '\0')
            assert_memory_equal(input->data + PG_HEADER_SIZE, "pgweir_", 7);
        model_message(&server->model, input->data, len);
        buf_consume(input, len);
    }
    assert_in_range(server->model.most, 0, MOST);
    len = all ? server->model.output.len : roll(play, (unsigned)server->model.output.len + 1);
    peer_send_bytes(server->peer, server->model.output.data, len);
    buf_consume(&server->model.output, len);
}

static void
servers_come(struct play *play)
{
    while (fake_connector_pending(play->f->connector) > 0 && play->server_count < SERVERS) {
        struct side *const server = &play->servers[play->server_count++];

        model_init(&server->model);
        server->peer = fixture_accept(play->f);
    }
}

static void
complain(const struct side *client, uint64_t seed, size_t at)
{
    print_error("seed %llu: the answers differ at byte %zu\nsent: ", (unsigned long long)seed, at);
    for (size_t i = 0; i < client->sent.len; i++)
        print_error("%c", client->sent.data[i] >= ' ' ? client->sent.data[i] : '.');
    print_error("\nwanted: ");
    for (size_t i = 0; i < client->model.output.len; i++)
        print_error("%c", client->model.output.data[i] >= ' ' ? client->model.output.data[i] : '.');
    print_error("\ngot: ");
    for (size_t i = 0; i < client->peer->input.len; i++)
        print_error("%c", client->peer->input.data[i] >= ' ' ? client->peer->input.data[i] : '.');
    fail_msg("see above");
}

/* The answers so far are the beginning of what they must be; true: they are all there. */
static bool
check_answers(struct side *client, uint64_t seed)
{
    const struct buf *const wanted = &client->model.output;
    const struct buf *const input = &client->peer->input;

    (void)peer_fill(client->peer);
    for (size_t i = 0; i < input->len; i++)
        if (i >= wanted->len || input->data[i] != wanted->data[i])
            complain(client, seed, i);
    if (client->peer->ended)
        complain(client, seed, input->len);
    return input->len == wanted->len;
}

static void
play_sequence(struct play *play, uint64_t seed)
{
    bool done = false;
    unsigned steps = 0;

    rng_seed(&play->rng, seed);
    play->with_transactions = roll(play, 2) == 0;
    for (size_t i = 0; i < CLIENTS; i++) {
        buf_clear(&play->clients[i].sent);
        write_script(play, &play->clients[i].script);
        expect_from(&play->clients[i].model, &play->clients[i].script);
    }
    while (!done) {
        done = true;
        if (++steps > 3000)
            fail_msg("seed %llu: there is no end", (unsigned long long)seed);
        client_sends(play, &play->clients[roll(play, CLIENTS)]);
        fixture_settle(play->f);
        servers_come(play);
        for (size_t i = 0; i < play->server_count; i++)
            if (roll(play, 2) == 0)
                server_works(play, &play->servers[i], roll(play, 2) == 0);
        /* Another shard gets a server only after some time. */
        fixture_advance(play->f, roll(play, 4) == 0 ? 5 * MSEC : 0);
        for (size_t i = 0; i < CLIENTS; i++)
            done = check_answers(&play->clients[i], seed) && done;
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        buf_clear(&play->clients[i].model.output);
        buf_clear(&play->clients[i].peer->input);
    }
}

/* A client comes anew now and then: it has no names, and finds what is on the servers. */
static void
renew_client(struct play *play, struct side *client)
{
    if (client->peer != NULL)
        peer_close(client->peer);
    model_done(&client->model);
    model_init(&client->model);
    client->peer = fixture_knock(play->f, "db", "alice");
    for (unsigned round = 0; round < 4; round++) {
        fixture_settle(play->f);
        servers_come(play);
        for (size_t i = 0; i < play->server_count; i++)
            server_works(play, &play->servers[i], true);
    }
    peer_expect_login(client->peer);
}

static void
play_many(struct fixture *f, const char *text)
{
    const char *const count_text = getenv("PIPELINES");
    const char *const seed_text = getenv("PIPELINES_SEED");
    const uint64_t count = count_text != NULL ? strtoull(count_text, NULL, 10) : 1000;
    uint64_t seed = seed_text != NULL ? strtoull(seed_text, NULL, 10) : 1;
    const uint64_t last = seed_text != NULL ? seed : count;
    struct play *const play = calloc(1, sizeof(*play));

    assert_non_null(play);
    play->f = f;
    fixture_start(f, text);
    for (; seed <= last; seed++) {
        rng_seed(&play->rng, seed ^ UINT64_C(0x5eed));
        for (size_t i = 0; i < CLIENTS; i++)
            if (play->clients[i].peer == NULL || roll(play, 10) == 0)
                renew_client(play, &play->clients[i]);
        play_sequence(play, seed);
    }
    fixture_stop(f);
    for (size_t i = 0; i < CLIENTS; i++) {
        model_done(&play->clients[i].model);
        buf_done(&play->clients[i].script);
        buf_done(&play->clients[i].sent);
    }
    for (size_t i = 0; i < SERVERS; i++)
        model_done(&play->servers[i].model);
    free(play);
}

static void
test_one_worker(void **state)
{
    play_many(*state, "default_pool_size = 2\nmax_prepared_statements = 3\n");
}

static void
test_two_shards(void **state)
{
    play_many(*state, "default_pool_size = 2\nmax_prepared_statements = 3\n"
                      "worker_threads = 2\npool_shards = 2\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_worker),
        TEST(test_two_shards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
