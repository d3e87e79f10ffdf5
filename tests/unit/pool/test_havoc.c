/*
 * test_havoc.c - random clients, servers and accidents, in all modes, on one loop and on several:
 * no answer reaches a wrong client, no limit is exceeded, and nothing is left behind.
 *
 * Whatever a client sends bears its mark, "c7.12;": the twelfth of client 7. Servers put the mark
 * of what they answer into the answer. The clients' user is auth_user, too, so that his pool has to
 * look up other users in between: each of them has his name as his secret.
 */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>

#include "auth.h"
#include "build.h"
#include "config.h"
#include "engine_int.h"
#include "pg.h"
#include "pool.h"
#include "rng.h"

#define CLIENTS   8
#define SERVERS   3 /* of the pool */
#define STEPS     1500
#define MARK_SIZE 32
#define USERS     4 /* to be looked up */

struct client_actor {
    struct peer *peer; /* NULL: there is none now */
    unsigned id;
    unsigned sent; /* marks given out */
    unsigned seen; /* the newest mark that came back */
    bool in_transaction;
    struct buf rest; /* of a message of which half was sent */
};

struct server_actor {
    struct peer *peer; /* NULL: there is none now */
    struct buf output; /* answers on their way */
    char status;
    bool skipping;
    char asked[8]; /* the user to be looked up */
};

struct question {
    struct list link;
    struct auth_lookup lookup;
    char database[8];
    char user[8];
    bool answered;
};

struct havoc {
    struct fixture *f;
    struct rng rng;
    struct client_actor clients[CLIENTS];
    struct server_actor servers[3 * SERVERS];
    struct list questions;
    unsigned next_id;
    bool paused;
    unsigned answers; /* with a mark, that were checked */
};

static bool
one_in(struct havoc *h, unsigned n)
{
    return rng_below(&h->rng, n) == 0;
}

/* --- clients ------------------------------------------------------------------------------------
 */

static void
append_message(struct buf *buf, char type, const char *text)
{
    const size_t len = text != NULL ? strlen(text) + 1 : 0;
    char header[PG_HEADER_SIZE];

    pg_put_header(header, type, (uint32_t)len);
    assert_int_equal(buf_append(buf, header, sizeof(header)), 0);
    assert_int_equal(buf_append(buf, text, len), 0);
}

static void
client_gone(struct client_actor *client)
{
    if (client->peer != NULL)
        peer_close(client->peer);
    client->peer = NULL;
    buf_done(&client->rest);
}

/* One in a few wants a server of its own. */
static void
client_comes(struct havoc *h, struct client_actor *client)
{
    const char *const parameters[] = {
        "user", "alice", "database", "db", "replication", one_in(h, 5) ? "database" : "off", NULL};

    *client = (struct client_actor){.id = ++h->next_id};
    client->peer = fixture_connect(h->f);
    fixture_send_startup(client->peer, PG_PROTOCOL_3_0, parameters);
    fixture_settle(h->f);
}

static void
append_marked(struct client_actor *client, struct buf *buf, char type, const char *word)
{
    char text[MARK_SIZE + 16];

    (void)snprintf(text, sizeof(text), "%s c%u.%u;", word, client->id, ++client->sent);
    append_message(buf, type, text);
}

/* A statement with a name, or a use of one that there may be: an older one's number is its name. */
static void
append_statement(struct client_actor *client, struct buf *buf, char type, const char *word,
                 unsigned number)
{
    char body[2 * MARK_SIZE + 32] = "";
    int len;
    char header[PG_HEADER_SIZE];

    if (type == 'P')
        len = snprintf(body, sizeof(body), "s%u%c%s c%u.%u;%c%c", number, 0, word, client->id,
                       ++client->sent, 0, 0);
    else
        len = snprintf(body, sizeof(body), "%cs%u%c%c%c%c%c%c", 0, number, 0, 0, 0, 0, 0, 0);
    pg_put_header(header, type, (uint32_t)len + 1);
    assert_int_equal(buf_append(buf, header, sizeof(header)), 0);
    assert_int_equal(buf_append(buf, body, (size_t)len + 1), 0);
}

static void
append_request(struct havoc *h, struct client_actor *client, struct buf *buf)
{
    switch (rng_below(&h->rng, 7)) {
    case 0:
        client->in_transaction = !client->in_transaction;
        append_marked(client, buf, 'Q', client->in_transaction ? "begin" : "commit");
        return;
    case 1:
        append_marked(client, buf, 'Q', "fail");
        return;
    case 2:
        append_message(buf, 'Q', "");
        return;
    case 3:
        if (one_in(h, 3))
            append_statement(client, buf, 'P', one_in(h, 4) ? "fail" : "parse", client->sent + 1);
        append_statement(client, buf, 'B', NULL, (unsigned)rng_below(&h->rng, client->sent + 1));
        if (one_in(h, 8))
            append_message(buf, 'C', "Ss3");
        append_marked(client, buf, 'E', "execute");
        if (!one_in(h, 4))
            append_message(buf, 'S', NULL);
        return;
    case 4:
        append_message(buf, 'S', NULL);
        return;
    default:
        append_marked(client, buf, 'Q', "select");
    }
}

static void
client_sends(struct havoc *h, struct client_actor *client)
{
    CLEANUP(buf_done) struct buf buf = BUF_INIT;
    size_t now;

    assert_int_equal(buf_append(&buf, client->rest.data, client->rest.len), 0);
    buf_done(&client->rest);
    do
        append_request(h, client, &buf);
    while (one_in(h, 3));
    now = one_in(h, 3) ? rng_below(&h->rng, buf.len) : buf.len;
    assert_int_equal(buf_append(&client->rest, buf.data + now, buf.len - now), 0);
    (void)peer_send_some(client->peer, buf.data, now);
}

/* The mark in a row, a tag or an error is the client's own, and they come in order. */
static void
check_mark(struct havoc *h, struct client_actor *client, const char *message)
{
    const char *text = message + PG_HEADER_SIZE;
    unsigned id, number;
    char end;

    if (*message == 'E')
        text = memmem(text, pg_get_uint32(message + 1) - 4, "fail c", 6);
    else if (*message != 'C' && *message != 'D')
        return;
    if (text == NULL || sscanf(text, "%*s c%u.%u%c", &id, &number, &end) != 3 || end != ';')
        return;
    if (id != client->id)
        fail_msg("client %u was sent an answer to client %u: %s", client->id, id, text);
    if (number < client->seen)
        fail_msg("client %u: answer %u comes after %u", id, number, client->seen);
    client->seen = number;
    h->answers++;
}

static void
client_reads(struct havoc *h, struct client_actor *client)
{
    struct buf *const input = &client->peer->input;

    (void)peer_fill(client->peer);
    while (input->len >= PG_HEADER_SIZE && pg_get_uint32(input->data + 1) < input->len) {
        const size_t len = pg_get_uint32(input->data + 1) + 1;

        if (input->data[0] == 'K') {
            client->peer->key_len = len - PG_HEADER_SIZE;
            memcpy(client->peer->key, input->data + PG_HEADER_SIZE, client->peer->key_len);
        } else {
            check_mark(h, client, input->data);
        }
        buf_consume(input, len);
    }
    if (client->peer->ended)
        client_gone(client);
}

static void
client_step(struct havoc *h, struct client_actor *client)
{
    if (client->peer == NULL) {
        client_comes(h, client);
        return;
    }
    client_reads(h, client);
    if (client->peer == NULL || client->peer->key_len == 0)
        return;
    if (one_in(h, 40))
        client_gone(client);
    else if (one_in(h, 40))
        peer_send(client->peer, 'X', NULL);
    else if (one_in(h, 15))
        (void)fixture_cancel(client->peer);
    else if (client->sent < client->seen + 20)
        client_sends(h, client);
}

/* --- lookups -------------------------------------------------------------------------------------
 */

static void
question_answered(struct message *message)
{
    struct question *const question = container_of(message, struct question, lookup.message);

    assert_false(question->answered);
    question->answered = true;
    if (question->lookup.answer == AUTH_LOOKUP_FOUND)
        assert_string_equal(question->lookup.secret, question->user);
}

static void
question_asked(struct havoc *h)
{
    struct question *const question = calloc(1, sizeof(*question));
    struct engine *const engine = h->f->engine;

    assert_non_null(question);
    list_push_back(&h->questions, &question->link);
    (void)snprintf(question->user, sizeof(question->user), "u%u",
                   (unsigned)rng_below(&h->rng, USERS));
    question->lookup.message.fn = question_answered;
    question->lookup.loop = engine->workers[rng_below(&h->rng, engine->worker_count)].loop;
    question->lookup.config = config_ref(h->f->config);
    (void)snprintf(question->database, sizeof(question->database), "db");
    question->lookup.database = question->database;
    question->lookup.user = question->user;
    engine_look_up(engine, &question->lookup);
}

/* All were answered. Returns how many found what they asked for. */
static unsigned
questions_done(struct havoc *h)
{
    unsigned found = 0;
    struct question *question;

    LIST_FOREACH_SAFE (question, &h->questions, link) {
        assert_true(question->answered);
        found += question->lookup.answer == AUTH_LOOKUP_FOUND;
        free(question->lookup.secret);
        config_unref(question->lookup.config);
        free(question);
    }
    return found;
}

/* Of the messages of a lookup, each begins with an empty name; but for Describe. */
static void
server_looks_up(struct server_actor *server, char type, const char *body)
{
    static const struct msg_column columns[] = {{"name", PG_TYPE_TEXT}, {"secret", PG_TYPE_TEXT}};
    struct buf *const output = &server->output;

    switch (type) {
    case 'B': /* two names, no formats, one value and its length */
        (void)snprintf(server->asked, sizeof(server->asked), "%.2s", body + 10);
        append_message(output, '2', NULL);
        return;
    case 'D':
        assert_int_equal(msg_row_description(output, columns, ARRAY_SIZE(columns)), 0);
        return;
    case 'E':
        assert_int_equal(
            msg_data_row(output, (const char *const[]){server->asked, server->asked}, 2), 0);
        append_message(output, 'C', "SELECT 1");
        return;
    default:
        append_message(output, '1', NULL);
    }
}

/* --- servers ------------------------------------------------------------------------------------
 */

static void
server_gone(struct server_actor *server)
{
    peer_close(server->peer);
    server->peer = NULL;
    buf_done(&server->output);
}

static void
server_ready(struct server_actor *server)
{
    const char body[] = {server->status, '\0'};
    char header[PG_HEADER_SIZE];

    pg_put_header(header, 'Z', 1);
    assert_int_equal(buf_append(&server->output, header, sizeof(header)), 0);
    assert_int_equal(buf_append(&server->output, body, 1), 0);
}

static void
server_fails(struct server_actor *server, const char *text)
{
    char fields[MARK_SIZE + 64];
    const int len =
        snprintf(fields, sizeof(fields), "SERROR%cVERROR%cC42601%cM%s%c", 0, 0, 0, text, 0);
    char header[PG_HEADER_SIZE];

    pg_put_header(header, 'E', (uint32_t)len + 1);
    assert_int_equal(buf_append(&server->output, header, sizeof(header)), 0);
    assert_int_equal(buf_append(&server->output, fields, (size_t)len + 1), 0);
    if (server->status == 'T')
        server->status = 'E';
}

static void
server_query(struct havoc *h, struct server_actor *server, const char *text)
{
    if (*text == '\0') {
        append_message(&server->output, 'I', NULL);
    } else if (strncmp(text, "fail", 4) == 0) {
        server_fails(server, text);
    } else {
        if (strncmp(text, "begin", 5) == 0 && server->status == 'I')
            server->status = 'T';
        if (strncmp(text, "commit", 6) == 0 || strcmp(text, "ROLLBACK") == 0)
            server->status = 'I';
        for (uint64_t rows = rng_below(&h->rng, 4); rows > 0; rows--)
            append_message(&server->output, 'D', text);
        append_message(&server->output, 'C', text);
    }
    server_ready(server);
}

static void
server_message(struct havoc *h, struct server_actor *server, char type, const char *text)
{
    if (type == 'S') {
        server->skipping = false;
        server_ready(server);
    } else if (server->skipping) {
        return;
    } else if (type == 'Q') {
        server_query(h, server, text);
    } else if (*text == '\0' && type == 'P' && one_in(h, 10)) {
        server_fails(server, "no such table");
        server->skipping = true;
    } else if (*text == '\0' || type == 'D') {
        server_looks_up(server, type, text);
    } else if (strncmp(text, "fail", 4) == 0) {
        server_fails(server, text);
        server->skipping = true;
    } else if (type == 'E') {
        append_message(&server->output, 'D', text);
        append_message(&server->output, 'C', text);
    } else {
        append_message(&server->output, type == 'P' ? '1' : type == 'C' ? '3' : '2', NULL);
    }
}

/* The message at the head of the input; false: there is none, or the server had enough of it. */
static bool
server_takes(struct havoc *h, struct server_actor *server)
{
    struct buf *const input = &server->peer->input;
    char text[MARK_SIZE + 32] = ""; /* a broken client's may lack its NUL */
    size_t len;

    if (input->len < PG_HEADER_SIZE || pg_get_uint32(input->data + 1) >= input->len || one_in(h, 5))
        return false;
    len = pg_get_uint32(input->data + 1) + 1;
    memcpy(text, input->data + PG_HEADER_SIZE, MIN(len - PG_HEADER_SIZE, sizeof(text) - 1));
    if (input->data[0] == 'P') /* what it is called does not matter here */
        memmove(text, text + strlen(text) + 1, sizeof(text) - strlen(text) - 1);
    if (input->data[0] == 'X') {
        server_gone(server);
        return false;
    }
    server_message(h, server, input->data[0], text);
    buf_consume(input, len);
    return true;
}

static void
server_reads(struct havoc *h, struct server_actor *server)
{
    (void)peer_fill(server->peer);
    while (server_takes(h, server))
        ;
    if (server->peer != NULL && server->peer->ended)
        server_gone(server);
}

static void
server_step(struct havoc *h, struct server_actor *server)
{
    size_t len;

    server_reads(h, server);
    if (server->peer == NULL)
        return;
    len = one_in(h, 3) ? rng_below(&h->rng, server->output.len + 1) : server->output.len;
    (void)peer_send_some(server->peer, server->output.data, len);
    buf_consume(&server->output, len);
    if (one_in(h, 150))
        server_gone(server);
}

static void
server_comes(struct havoc *h)
{
    for (size_t i = 0; i < ARRAY_SIZE(h->servers); i++) {
        if (h->servers[i].peer == NULL) {
            h->servers[i] = (struct server_actor){.status = 'I'};
            h->servers[i].peer = fixture_accept(h->f);
            return;
        }
    }
}

/* --- accidents ----------------------------------------------------------------------------------
 */

static void
connector_step(struct havoc *h)
{
    static const int cancel_results[5] = {0, 0, 0, -EAGAIN, -ETIMEDOUT};
    struct connector *const connector = h->f->connector;

    if (fake_connector_pending(connector) > 0 && one_in(h, 10))
        fixture_refuse(h->f, "08001", "connection refused", false, true);
    else if (fake_connector_pending(connector) > 0)
        server_comes(h);
    fake_connector_hold_cancels(connector, one_in(h, 3));
    if (fake_connector_cancelling(connector) > 0 && one_in(h, 2))
        fake_connector_finish_cancel(connector, cancel_results[rng_below(&h->rng, 5)]);
    if (fake_connector_retiring(connector) > 0 && one_in(h, 2))
        fake_connector_finish_retired(connector);
}

static void
pause_or_resume(struct havoc *h)
{
    struct engine_drain drain = {.done = NULL};

    if (!h->paused && engine_pause(h->f->engine, NULL, &drain) == ENGINE_OK)
        engine_drain_cancel(&drain);
    else if (h->paused)
        (void)engine_resume(h->f->engine, NULL);
    h->paused = !h->paused;
}

static void
havoc_step(struct havoc *h)
{
    const uint64_t choice = rng_below(&h->rng, 100);

    if (choice < 40)
        client_step(h, &h->clients[rng_below(&h->rng, CLIENTS)]);
    else if (choice < 50)
        connector_step(h);
    else if (choice < 52)
        fixture_advance(h->f, rng_below(&h->rng, 3 * SEC));
    else if (choice >= 90)
        question_asked(h);
    else if (h->paused ? choice < 55 : choice < 53)
        pause_or_resume(h);
    else
        for (size_t i = 0; i < ARRAY_SIZE(h->servers); i++)
            if (h->servers[i].peer != NULL && one_in(h, 2))
                server_step(h, &h->servers[i]);
    fixture_settle(h->f);
    assert_true(fake_connector_counts(h->f->connector).connects == 0 ||
                fixture_server_count(h->f) <= SERVERS);
}

static unsigned
havoc_run(struct fixture *f, const char *text, uint64_t seed)
{
    struct havoc *const h = calloc(1, sizeof(*h));
    unsigned answers;

    assert_non_null(h);
    h->f = f;
    list_init(&h->questions);
    rng_seed(&h->rng, seed);
    fixture_start(f, text);
    fake_connector_hold_retired(f->connector);
    for (unsigned i = 0; i < STEPS; i++)
        havoc_step(h);
    fixture_stop(f);
    for (size_t i = 0; i < CLIENTS; i++)
        client_gone(&h->clients[i]);
    for (size_t i = 0; i < ARRAY_SIZE(h->servers); i++)
        buf_done(&h->servers[i].output);
    answers = h->answers;
    assert_true(questions_done(h) > 0);
    free(h);
    return answers;
}

static void
havoc_in(struct fixture *f, const char *how)
{
    static const char base[] = "default_pool_size = 3\nserver_check_delay = 1\n"
                               "query_wait_timeout = 20\nquery_timeout = 30\nauth_user = alice\n"
                               "client_login_timeout = 10\nmax_prepared_statements = 2\n";
    unsigned answers = 0;
    char text[300];

    (void)snprintf(text, sizeof(text), "%s%s", base, how);
    for (uint64_t seed = 1; seed <= 5; seed++)
        answers += havoc_run(f, text, seed);
    assert_true(answers > 100); /* it was not all in vain */
}

static void
test_transaction_mode(void **state)
{
    havoc_in(*state, "pool_mode = transaction\n");
}

static void
test_session_mode(void **state)
{
    havoc_in(*state, "pool_mode = session\n");
}

static void
test_statement_mode(void **state)
{
    havoc_in(*state, "pool_mode = statement\n");
}

static void
test_several_workers(void **state)
{
    havoc_in(*state, "worker_threads = 3\npool_shards = 1\n");
}

static void
test_several_shards(void **state)
{
    havoc_in(*state, "worker_threads = 3\npool_shards = 3\n");
}

static void
test_several_shards_in_session_mode(void **state)
{
    havoc_in(*state, "worker_threads = 3\npool_shards = 3\npool_mode = session\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_transaction_mode), TEST(test_session_mode),
        TEST(test_statement_mode),   TEST(test_several_workers),
        TEST(test_several_shards),   TEST(test_several_shards_in_session_mode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
