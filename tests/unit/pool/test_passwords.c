/*
 * test_passwords.c - logins that have to wait for a secret, and what becomes of the password: the
 * servers of the pool are logged in to with it.
 */
#include "fixture.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "build.h"
#include "config.h"
#include "credential.h"
#include "engine_int.h"
#include "fd.h"
#include "pg.h"
#include "policy.h"
#include "pool.h"

/* The users of the fixture's auth_file have no password, and dave is not in it. */
#define PLAIN "auth_type = plain\n"
#define QUERY PLAIN "auth_user = bob\n"

static void
expect_password_request(struct peer *client)
{
    peer_expect_bytes(client, "R\0\0\0\x08\0\0\0\3", 9);
}

/* The server is asked for a secret, and has it. NULL: there is no such user. */
static void
answer_query(struct peer *server, const char *user, const char *secret)
{
    static const struct msg_column columns[] = {{"usename", PG_TYPE_TEXT},
                                                {"secret", PG_TYPE_TEXT}};
    CLEANUP(buf_done) struct buf buf = BUF_INIT;

    peer_expect_types(server, "PBDES");
    peer_send(server, '1', NULL);
    peer_send(server, '2', NULL);
    assert_int_equal(msg_row_description(&buf, columns, 2), 0);
    if (secret != NULL)
        assert_int_equal(msg_data_row(&buf, (const char *const[]){user, secret}, 2), 0);
    peer_send_bytes(server, buf.data, buf.len);
    peer_send_complete(server, "SELECT", 'I');
}

/* dave logs in by auth_query; auth_server is bob's. */
static struct peer *
login_dave(struct fixture *f, struct peer *auth_server, const char *password)
{
    struct peer *const client = fixture_knock(f, "db", "dave");

    answer_query(auth_server, "dave", password);
    expect_password_request(client);
    peer_send(client, 'p', password);
    fixture_settle(f);
    return client;
}

/* The first question opens a connection for bob. */
static struct peer *
begin(struct fixture *f, const char *text, struct peer **ret_client)
{
    struct peer *server;

    fixture_start(f, text);
    *ret_client = fixture_knock(f, "db", "dave");
    server = fixture_serve(f);
    assert_int_equal(fake_connector_pending(f->connector), 0);
    return server;
}

static void
expect_target(struct fixture *f, const char *user, const char *password)
{
    const struct backend_target *target;

    fixture_settle(f);
    assert_int_equal(fake_connector_pending(f->connector), 1);
    target = fake_connector_target(f->connector);
    assert_string_equal(target->user, user);
    if (password != NULL)
        assert_string_equal(target->password, password);
    else
        assert_null(target->password);
}

/* --- waiting for the secret ----------------------------------------------------------------------
 */

static void
test_login_by_query(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *auth_server;

    auth_server = begin(f, QUERY, &client);
    peer_expect_silence(client);
    answer_query(auth_server, "dave", "secret");
    expect_password_request(client);
    peer_send(client, 'p', "secret");
    expect_target(f, "dave", "secret");
    (void)fixture_serve(f);
    peer_expect_login(client);
}

static void
test_wrong_passwords_look_alike(void **state)
{
    static const char *const secrets[] = {"other", NULL, ""};
    struct fixture *f = *state;
    struct peer *client, *auth_server;

    auth_server = begin(f, QUERY, &client);
    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
        if (i > 0)
            client = fixture_knock(f, "db", "dave");
        answer_query(auth_server, "dave", secrets[i]);
        expect_password_request(client);
        peer_send(client, 'p', "secret");
        peer_expect_error(client, "FATAL", "28P01", "password authentication failed");
        peer_expect_end(client);
    }
    /* So does a database that is not there. */
    client = fixture_knock(f, "nowhere", "dave");
    expect_password_request(client);
    peer_send(client, 'p', "secret");
    peer_expect_error(client, "FATAL", "28P01", "password authentication failed");
    peer_expect_end(client);
    assert_int_equal(fake_connector_counts(f->connector).connects, 1);
}

static void
test_query_fails(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *auth_server;

    auth_server = begin(f, QUERY, &client);
    peer_expect_types(auth_server, "PBDES");
    peer_send_error(auth_server, "ERROR", "42501", "permission denied for table pg_authid");
    peer_send_ready(auth_server, 'I');
    peer_expect_error(client, "FATAL", "28000", "bouncer config error");
    peer_expect_end(client);
}

/* Who is in the file needs no query, nor does auth_user himself if he is. */
static void
test_file_comes_first(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    fixture_start(f, "auth_user = bob\n");
    client = fixture_knock(f, "db", "bob");
    expect_target(f, "bob", NULL);
    (void)fixture_serve(f);
    peer_expect_login(client);
}

/* Such a login uses a server of the pool that it will itself be a client of. */
static void
test_auth_user_asks_for_himself(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_start(f, PLAIN "auth_user = dave\n");
    client = fixture_knock(f, "db", "dave");
    server = fixture_serve(f);
    answer_query(server, "dave", "secret");
    expect_password_request(client);
    peer_send(client, 'p', "secret");
    peer_expect_login(client);
    peer_ask(client, server, "select 1");
}

static void
test_sent_ahead(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *auth_server;

    auth_server = begin(f, QUERY, &client);
    peer_send(client, 'p', "secret");
    peer_send(client, 'Q', "select 1");
    peer_expect_silence(client);
    answer_query(auth_server, "dave", "secret");
    expect_password_request(client);
    peer_expect(fixture_serve(f), 'Q', "select 1");
    peer_expect_login(client);
}

static void
test_client_leaves_while_waiting(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *auth_server;

    auth_server = begin(f, QUERY, &client);
    peer_close(client);
    fixture_settle(f);
    assert_int_equal(permits_used(&f->engine->logins), 0);
    answer_query(auth_server, "dave", "secret");
    peer_expect_silence(auth_server);
}

static void
test_client_login_timeout(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *auth_server;

    auth_server = begin(f, QUERY "client_login_timeout = 5\n", &client);
    fixture_advance(f, 5 * SEC - 1);
    peer_expect_silence(client);
    fixture_advance(f, 1);
    peer_expect_error(client, "FATAL", "28000", "client_login_timeout");
    peer_expect_end(client);
    peer_expect_types(auth_server, "PBDES");
    peer_expect_end(auth_server);
}

static void
test_stop_while_waiting(void **state)
{
    struct fixture *f = *state;
    struct peer *client;

    (void)begin(f, QUERY, &client);
    fixture_stop(f);
    assert_true(peer_fill(client) > 0);
    assert_true(client->ended);
}

static void
test_shutdown_while_waiting(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *auth_server;

    auth_server = begin(f, QUERY, &client);
    engine_shutdown(f->engine, ENGINE_IMMEDIATE, NULL, NULL);
    peer_expect_error(client, "FATAL", "57P01", "pooler is shutting down");
    peer_expect_end(client);
    answer_query(auth_server, "dave", "secret");
}

static void
test_reload_while_waiting(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *auth_server;

    auth_server = begin(f, QUERY, &client);
    fixture_reload(f, "auth_type = trust\n");
    answer_query(auth_server, "dave", "secret");
    expect_password_request(client);
    peer_send(client, 'p', "secret");
    expect_target(f, "dave", "secret");
}

static void
test_console_by_query(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *auth_server;

    fixture_start(f, QUERY "auth_dbname = two\nadmin_users = dave\n");
    client = fixture_knock(f, "pgbouncer", "dave");
    auth_server = fixture_serve(f);
    answer_query(auth_server, "dave", "secret");
    expect_password_request(client);
    peer_send(client, 'p', "secret");
    fixture_settle(f);
    assert_non_null(f->visitor);
    assert_string_equal(f->visitor->user, "dave");
}

/* --- the servers' password -----------------------------------------------------------------------
 */

static void
test_new_password_replaces_the_old(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *second, *auth_server, *server;

    auth_server = begin(f, QUERY, &first);
    answer_query(auth_server, "dave", "old");
    expect_password_request(first);
    peer_send(first, 'p', "old");
    expect_target(f, "dave", "old");
    server = fixture_serve(f);
    peer_expect_login(first);
    second = login_dave(f, auth_server, "new");
    peer_expect_login(second);
    /* Servers that are there stay: they are logged in. */
    assert_int_equal(fake_connector_pending(f->connector), 0);
    peer_ask(first, server, "begin");
    peer_send(second, 'Q', "select 1");
    expect_target(f, "dave", "new");
}

/* What was wrong before need not be wrong with the new password. */
static void
test_new_password_is_tried_at_once(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *auth_server;

    auth_server = begin(f, QUERY, &client);
    answer_query(auth_server, "dave", "old");
    expect_password_request(client);
    peer_send(client, 'p', "old");
    expect_target(f, "dave", "old");
    fixture_refuse(f, "28P01", "password authentication failed", true, false);
    peer_expect_error(client, "FATAL", "28P01", "password authentication failed");
    client = login_dave(f, auth_server, "new");
    expect_target(f, "dave", "new");
    (void)fixture_serve(f);
    peer_expect_login(client);
}

/* The old password's failure is not the new one's. */
static void
test_new_password_while_the_old_is_tried(void **state)
{
    struct fixture *f = *state;
    struct peer *first, *second, *auth_server;

    auth_server = begin(f, QUERY, &first);
    answer_query(auth_server, "dave", "old");
    expect_password_request(first);
    peer_send(first, 'p', "old");
    expect_target(f, "dave", "old");
    second = login_dave(f, auth_server, "new");
    fixture_refuse(f, "28P01", "password authentication failed", true, false);
    expect_target(f, "dave", "new");
    (void)fixture_serve(f);
    peer_expect_login(first);
    peer_expect_login(second);
}

/* An md5 secret is enough for some servers, a password for all: it stays as long as it is right. */
static void
test_better_credential_stays(void **state)
{
    struct fixture *f = *state;
    CLEANUP(credential_unref) struct credential *md5 = credential_new_md5("md5 and digits");
    struct peer *client, *auth_server, *server;
    struct registry *registry;
    struct pool *pool;

    auth_server = begin(f, QUERY, &client);
    answer_query(auth_server, "dave", "secret");
    expect_password_request(client);
    peer_send(client, 'p', "secret");
    server = fixture_serve(f);
    peer_expect_login(client);
    pool = fixture_pool(f, "db", "dave");
    registry = engine_registry(f->engine);
    registry_learn_credential(registry, pool, md5);
    assert_int_equal(credential_kind(pool->credential), CREDENTIAL_PASSWORD);
    peer_close(server);
    fixture_settle(f);
    peer_send(client, 'Q', "select 1");
    expect_target(f, "dave", "secret");
    fixture_refuse(f, "28P01", "password authentication failed", true, false);
    registry_learn_credential(registry, pool, md5);
    assert_ptr_equal(pool->credential, md5);
}

static void
test_forced_user_keeps_its_password(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *auth_server;

    fixture_start(f, QUERY "auth_dbname = two\n[databases]\n"
                           "forced = host=10.0.0.3 user=app password=apps\n");
    client = fixture_knock(f, "forced", "dave");
    auth_server = fixture_serve(f);
    answer_query(auth_server, "dave", "secret");
    expect_password_request(client);
    peer_send(client, 'p', "secret");
    expect_target(f, "app", "apps");
    (void)fixture_serve(f);
    peer_expect_login(client);
    assert_null(fixture_pool(f, "forced", "app")->credential);
}

/* Other shards learn it, too. */
static void
test_all_shards_follow(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *auth_server;
    struct pool *pool;

    auth_server = begin(f, QUERY "worker_threads = 2\npool_shards = 2\n", &client);
    answer_query(auth_server, "dave", "secret");
    expect_password_request(client);
    peer_send(client, 'p', "secret");
    (void)fixture_serve(f);
    peer_expect_login(client);
    pool = fixture_pool(f, "db", "dave");
    assert_int_equal(atomic_load(&pool->shard_count), 2);
    for (unsigned i = 0; i < 2; i++)
        assert_string_equal(pool->shards[i]->policy->targets[0]->password, "secret");
}

/* A file of users that lives as long as the descriptor; its text for the configuration. */
static int
users_file(const char *users, char text[static 100])
{
    const int fd = memfd_create("users", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, users, strlen(users)), strlen(users));
    (void)snprintf(text, 100, PLAIN "auth_file = /proc/self/fd/%d\n", fd);
    return fd;
}

/* Newer than the last login is only a file that says something else. */
static void
test_password_of_the_file(void **state)
{
    struct fixture *f = *state;
    CLEANUP(fd_close) int before = -1;
    CLEANUP(fd_close) int after = -1;
    struct peer *client;
    char text[100];

    before = users_file("\"alice\" \"one\"\n", text);
    fixture_start(f, text);
    client = fixture_knock(f, "db", "alice");
    expect_password_request(client);
    peer_send(client, 'p', "one");
    expect_target(f, "alice", "one");
    peer_close(fixture_serve(f));
    peer_expect_login(client);
    fixture_reload(f, text);
    assert_non_null(fixture_pool(f, "db", "alice")->credential);
    after = users_file("\"alice\" \"two\"\n", text);
    fixture_reload(f, text);
    peer_send(client, 'Q', "select 1");
    expect_target(f, "alice", "two");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_login_by_query),
        TEST(test_wrong_passwords_look_alike),
        TEST(test_query_fails),
        TEST(test_file_comes_first),
        TEST(test_auth_user_asks_for_himself),
        TEST(test_sent_ahead),
        TEST(test_client_leaves_while_waiting),
        TEST(test_client_login_timeout),
        TEST(test_stop_while_waiting),
        TEST(test_shutdown_while_waiting),
        TEST(test_reload_while_waiting),
        TEST(test_console_by_query),
        TEST(test_new_password_replaces_the_old),
        TEST(test_new_password_is_tried_at_once),
        TEST(test_new_password_while_the_old_is_tried),
        TEST(test_better_credential_stays),
        TEST(test_forced_user_keeps_its_password),
        TEST(test_all_shards_follow),
        TEST(test_password_of_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
