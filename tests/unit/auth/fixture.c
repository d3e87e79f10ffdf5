#include "fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "auth_int.h"
#include "pg.h"
#include "scram.h"
#include "scram_client.h"
#include "secret.h"

static const struct sockaddr_in somewhere = {.sin_family = AF_INET};
static char nothing[] = "";

static void
look_up(void *arg, struct auth_lookup *lookup)
{
    struct fixture *const f = arg;

    assert_true(f->n_questions < QUESTIONS_MAX);
    assert_ptr_equal(lookup->loop, f->loop);
    assert_ptr_equal(lookup->config, &f->config);
    f->questions[f->n_questions++] = lookup;
}

static void
make_config(struct fixture *f)
{
    f->config = (struct config){
        .auth_type = AUTH_TYPE_SCRAM_SHA_256,
        .auth_user = nothing,
        .auth_dbname = nothing,
        .scram_iterations = 7,
        .admin_users = nothing,
        .stats_users = nothing,
        .auth_users = f->users,
    };
    ref_init(&f->config.ref);
}

int
fixture_setup(void **state)
{
    struct fixture *const f = calloc(1, sizeof(*f));
    struct auth_service_options options = {.lookup = look_up, .arg = f};

    assert_non_null(f);
    f->loop = fake_loop_new();
    assert_int_equal(executor_new("hashing", 1, 64, &f->hashing), 0);
    assert_int_equal(executor_new("blocking", 1, 1, &f->blocking), 0);
    options.hashing = f->hashing;
    options.blocking = f->blocking;
    assert_int_equal(auth_service_new(&options, &f->service), 0);
    make_config(f);
    *state = f;
    return 0;
}

void
fixture_close_executors(struct fixture *f)
{
    executor_close(f->hashing);
    executor_close(f->blocking);
}

int
fixture_teardown(void **state)
{
    struct fixture *const f = *state;

    fixture_close_executors(f);
    while (f->n_questions > 0)
        fixture_answer(f, AUTH_LOOKUP_FAILED, NULL);
    loop_free(f->loop);
    auth_service_free(f->service);
    executor_free(f->hashing);
    executor_free(f->blocking);
    for (size_t i = 0; i < f->config.n_auth_users; i++)
        free(f->users[i]);
    free(f);
    return 0;
}

void
fixture_add_user(struct fixture *f, char *name, char *secret)
{
    struct config_auth_user *const user = calloc(1, sizeof(*user));

    assert_non_null(user);
    assert_true(f->config.n_auth_users < ARRAY_SIZE(f->users));
    user->name = name;
    user->secret = secret;
    f->users[f->config.n_auth_users++] = user;
}

void
fixture_answer(struct fixture *f, enum auth_lookup_answer answer, const char *secret)
{
    struct auth_lookup *const question = f->questions[0];

    assert_true(f->n_questions > 0);
    f->n_questions--;
    memmove(f->questions, f->questions + 1, f->n_questions * sizeof(f->questions[0]));
    question->answer = answer;
    if (secret != NULL) {
        question->secret = strdup(secret);
        assert_non_null(question->secret);
    }
    loop_post(question->loop, &question->message);
    fake_loop_settle(f->loop);
}

/* ---- a login ---- */

static void
decided(struct auth *auth, enum auth_status status)
{
    struct attempt *const attempt = container_of(auth, struct attempt, auth);

    assert_int_equal(attempt->status, AUTH_WAIT);
    assert_int_not_equal(status, AUTH_WAIT);
    attempt->status = status;
}

void
attempt_init(struct attempt *attempt, struct fixture *f, const char *user)
{
    memset(attempt, 0, sizeof(*attempt));
    attempt->f = f;
    attempt->who = (struct auth_login){
        .user = user,
        .database_name = "db",
        .database = &f->database,
        .address = (const struct sockaddr *)&somewhere,
        .peer_uid = (uid_t)-1,
    };
    auth_init(&attempt->auth, f->service, f->loop, decided);
}

void
attempt_done(struct attempt *attempt)
{
    auth_done(&attempt->auth);
}

/* As the configuration does when it is read. */
static void
note_secrets(struct fixture *f)
{
    f->config.auth_user_not_scram = NULL;
    for (size_t i = f->config.n_auth_users; i-- > 0;)
        if (*f->users[i]->secret != '\0' && secret_kind_of(f->users[i]->secret) != SECRET_SCRAM)
            f->config.auth_user_not_scram = f->users[i];
}

enum auth_status
attempt_begin(struct attempt *attempt)
{
    note_secrets(attempt->f);
    attempt->status = auth_begin(&attempt->auth, &attempt->f->config, &attempt->who);
    return attempt->status;
}

enum auth_status
attempt_wait(struct attempt *attempt)
{
    while (attempt->status == AUTH_WAIT)
        fake_loop_wait(attempt->f->loop);
    return attempt->status;
}

enum auth_status
attempt_send(struct attempt *attempt, const void *body, size_t len)
{
    attempt->status = auth_input(&attempt->auth, FRONTEND_PASSWORD, body, len);
    return attempt->status;
}

uint32_t
attempt_code(const struct attempt *attempt)
{
    const struct buf *const reply = &attempt->auth.reply;

    assert_true(reply->len >= PG_HEADER_SIZE + 4);
    assert_int_equal(reply->data[0], BACKEND_AUTHENTICATION);
    assert_int_equal(pg_get_uint32(reply->data + 1), reply->len - 1);
    return pg_get_uint32(reply->data + PG_HEADER_SIZE);
}

const char *
attempt_data(const struct attempt *attempt)
{
    return attempt->auth.reply.data + PG_HEADER_SIZE + 4;
}

void
attempt_expect_failure(const struct attempt *attempt, const char *sqlstate, const char *message)
{
    assert_int_equal(attempt->status, AUTH_FAILED);
    assert_string_equal(attempt->auth.failure->message, message);
    assert_string_equal(attempt->auth.failure->sqlstate, sqlstate);
    assert_null(attempt->auth.credential);
}

enum auth_status
attempt_plain(struct attempt *attempt, const char *password)
{
    assert_int_equal(attempt->status, AUTH_CONTINUE);
    assert_int_equal(attempt_code(attempt), AUTH_CLEARTEXT);
    (void)attempt_send(attempt, password, strlen(password) + 1);
    return attempt_wait(attempt);
}

enum auth_status
attempt_md5(struct attempt *attempt, const char *password)
{
    char inner[MD5_SECRET_LEN + 1], answer[MD5_SECRET_LEN + 1];
    const char *const user = attempt->who.user;

    assert_int_equal(attempt->status, AUTH_CONTINUE);
    assert_int_equal(attempt_code(attempt), AUTH_MD5);
    assert_int_equal(secret_md5(password, user, strlen(user), inner), 0);
    assert_int_equal(secret_md5(inner + 3, attempt_data(attempt), MD5_SALT_SIZE, answer), 0);
    return attempt_send(attempt, answer, sizeof(answer));
}

/* ---- SCRAM ---- */

static void
send_first(struct attempt *attempt, struct scram_client *client, const char *mechanism)
{
    CLEANUP(buf_done) struct buf first = BUF_INIT, message = BUF_INIT;
    char len[4];

    scram_client_first(client, &first);
    pg_put_uint32(len, (uint32_t)first.len);
    (void)buf_append(&message, mechanism, strlen(mechanism) + 1);
    (void)buf_append(&message, len, sizeof(len));
    (void)buf_append(&message, first.data, first.len);
    (void)attempt_send(attempt, message.data, message.len);
}

static void
send_final(struct attempt *attempt, struct scram_client *client)
{
    CLEANUP(buf_done) struct buf challenge = BUF_INIT, message = BUF_INIT;

    assert_int_equal(attempt_code(attempt), AUTH_SASL_CONTINUE);
    (void)buf_append_str(&challenge, attempt_data(attempt));
    scram_client_final(client, challenge.data, &message);
    (void)attempt_send(attempt, message.data, message.len);
}

static void
init_client(struct scram_client *client, const struct attempt *attempt, const char *mechanism,
            const char *password)
{
    scram_client_init(client, password);
    if (strcmp(mechanism, SCRAM_PLUS_NAME) != 0)
        return;
    client->header = "p=tls-server-end-point,,";
    client->binding = attempt->who.tls_binding;
    client->binding_len = attempt->who.tls_binding_len;
}

enum auth_status
attempt_scram(struct attempt *attempt, const char *mechanism, const char *password)
{
    struct scram_client client;

    assert_int_equal(attempt->status, AUTH_CONTINUE);
    assert_int_equal(attempt_code(attempt), AUTH_SASL);
    init_client(&client, attempt, mechanism, password);
    send_first(attempt, &client, mechanism);
    if (attempt->status == AUTH_CONTINUE)
        send_final(attempt, &client);
    if (attempt_wait(attempt) == AUTH_ACCEPTED) {
        assert_int_equal(attempt_code(attempt), AUTH_SASL_FINAL);
        assert_true(scram_client_trusts(&client, attempt_data(attempt)));
    }
    scram_client_done(&client);
    return attempt->status;
}

enum auth_status
attempt_scram_start(struct attempt *attempt, const char *password)
{
    struct scram_client client;

    assert_int_equal(attempt->status, AUTH_CONTINUE);
    init_client(&client, attempt, SCRAM_NAME, password);
    send_first(attempt, &client, SCRAM_NAME);
    send_final(attempt, &client);
    scram_client_done(&client);
    return attempt->status;
}
