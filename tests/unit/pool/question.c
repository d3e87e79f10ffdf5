#include "question.h"

#include <stdlib.h>

#include "build.h"
#include "config.h"
#include "engine_int.h"

/* --- who asks ------------------------------------------------------------------------------------
 */

static void
answered(struct message *message)
{
    container_of(message, struct question, lookup.message)->answers++;
}

void
ask(struct fixture *f, struct question *question, const char *database, const char *user)
{
    *question = (struct question){
        .lookup = {.message.fn = answered,
                   .loop = f->engine->workers[0].loop,
                   .config = config_ref(f->config),
                   .database = strdup(database),
                   .user = strdup(user)},
    };
    engine_look_up(f->engine, &question->lookup);
    fixture_settle(f);
}

void
ask_done(struct question *question)
{
    config_unref(question->lookup.config);
    free(question->lookup.database);
    free(question->lookup.user);
    free(question->lookup.secret);
    memset(question, 0, sizeof(*question));
}

void
expect_answer(struct fixture *f, struct question *question, enum auth_lookup_answer answer,
              const char *secret)
{
    fixture_settle(f);
    assert_int_equal(question->answers, 1);
    assert_int_equal(question->lookup.answer, answer);
    if (secret != NULL)
        assert_string_equal(question->lookup.secret, secret);
    else
        assert_null(question->lookup.secret);
    ask_done(question);
}

void
expect_no_answer(struct fixture *f, const struct question *question)
{
    fixture_settle(f);
    assert_int_equal(question->answers, 0);
}

/* --- who answers ---------------------------------------------------------------------------------
 */

void
expect_query(struct peer *server, const char *user)
{
    peer_expect(server, 'P', AUTH_QUERY);
    peer_expect(server, 'B', user);
    peer_expect_types(server, "DES");
    peer_expect_silence(server);
}

void
send_columns(struct peer *server, size_t count)
{
    static const struct msg_column columns[] = {
        {"usename", PG_TYPE_TEXT}, {"secret", PG_TYPE_TEXT}, {"more", PG_TYPE_TEXT}};
    CLEANUP(buf_done) struct buf buf = BUF_INIT;

    peer_send(server, '1', NULL);
    peer_send(server, '2', NULL);
    if (count == 0) {
        peer_send(server, 'n', NULL);
        return;
    }
    assert_int_equal(msg_row_description(&buf, columns, count), 0);
    peer_send_bytes(server, buf.data, buf.len);
}

void
send_row(struct peer *server, const char *name, const char *secret)
{
    CLEANUP(buf_done) struct buf buf = BUF_INIT;

    assert_int_equal(msg_data_row(&buf, (const char *const[]){name, secret, "x"}, 2), 0);
    peer_send_bytes(server, buf.data, buf.len);
}

void
answer_query(struct peer *server, const char *name, const char *secret)
{
    send_columns(server, 2);
    if (name != NULL)
        send_row(server, name, secret);
    peer_send_complete(server, name != NULL ? "SELECT 1" : "SELECT 0", 'I');
}

struct peer *
start_and_ask(struct fixture *f, const char *config, struct question *question)
{
    struct peer *server;

    fixture_start(f, config);
    ask(f, question, "db", "dave");
    server = fixture_serve(f);
    expect_query(server, "dave");
    return server;
}
