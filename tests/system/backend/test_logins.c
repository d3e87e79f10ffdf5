/*
 * test_logins.c - logins that work, logins that do not, and when to try again.
 */
#include "fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "macros.h"
#include "str.h"

static const char *
parameter(const struct backend *backend, const char *name)
{
    for (size_t i = 0; i < backend->parameter_count; i++)
        if (str_eq(backend->parameters[i].name, name))
            return backend->parameters[i].value;
    return NULL;
}

/* ---- logins that work */

/* The stream begins exactly behind ReadyForQuery: a Sync is answered by one, and nothing else. */
static void
test_stream_is_in_step(void **state)
{
    struct fixture *f = *state;
    struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);
    char body[16], extra;

    raw_send(backend, "S\0\0\0\4", 5);
    assert_int_equal(raw_receive(backend, body, sizeof(body)), 'Z');
    assert_string_equal(body, "I");
    assert_int_equal(recv(backend->fd, &extra, 1, MSG_DONTWAIT), -1);
    retire(f, backend, true);
}

static void
test_what_a_login_tells(void **state)
{
    struct fixture *f = *state;
    struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);

    assert_int_equal(backend->pid, atoi(raw_ask(backend, "SELECT pg_backend_pid()")));
    assert_int_equal(backend->server_version, atoi(raw_ask(backend, "SHOW server_version_num")));
    assert_string_equal(backend->remote_addr, "127.0.0.1");
    assert_int_equal(backend->remote_port, test_port());
    assert_string_equal(backend->local_addr, "127.0.0.1");
    assert_int_equal(backend->local_port, atoi(raw_ask(backend, "SELECT inet_client_port()")));
    assert_null(backend->tls);
    retire(f, backend, true);
}

/* All that the server reports, which is more than what libpq knows by name. */
static void
test_parameters_are_complete(void **state)
{
    static const char *const names[] = {"application_name",
                                        "client_encoding",
                                        "DateStyle",
                                        "default_transaction_read_only",
                                        "in_hot_standby",
                                        "integer_datetimes",
                                        "IntervalStyle",
                                        "is_superuser",
                                        "server_encoding",
                                        "server_version",
                                        "session_authorization",
                                        "standard_conforming_strings",
                                        "TimeZone"};
    struct fixture *f = *state;
    struct backend_target *target = target_new("postgres", "postgres");
    struct backend *backend;

    assert_int_equal(str_set(&target->application_name, "a \"quoted\" name"), 0);
    backend = connect_to(f, target, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char sql[100];

        (void)snprintf(sql, sizeof(sql), "SHOW %s", names[i]);
        assert_non_null(parameter(backend, names[i]));
        assert_string_equal(parameter(backend, names[i]), raw_ask(backend, sql));
    }
    assert_string_equal(parameter(backend, "application_name"), "a \"quoted\" name");
    if (backend->server_version < 160000)
        assert_int_equal(backend->parameter_count, ARRAY_SIZE(names));
    retire(f, backend, true);
}

static void
test_startup_settings(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target = target_new("postgres", "postgres");
    struct backend *backend;

    assert_int_equal(str_set(&target->datestyle, "German, DMY"), 0);
    assert_int_equal(str_set(&target->timezone, "Asia/Tokyo"), 0);
    assert_int_equal(str_set(&target->client_encoding, "LATIN1"), 0);
    backend = connect_to(f, target, NULL);
    assert_string_equal(raw_ask(backend, "SHOW DateStyle"), "German, DMY");
    assert_string_equal(raw_ask(backend, "SHOW TimeZone"), "Asia/Tokyo");
    assert_string_equal(parameter(backend, "client_encoding"), "LATIN1");
    retire(f, backend, true);
}

static void
test_unix_socket(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target = target_new("postgres", "postgres");
    struct backend *backend;

    assert_int_equal(str_set(&target->host, test_dir()), 0);
    backend = connect_to(f, target, NULL);
    assert_string_equal(backend->remote_addr, "unix");
    assert_int_equal(backend->remote_port, test_port());
    assert_string_equal(raw_ask(backend, "SELECT 1 + 1"), "2");
    retire(f, backend, true);
}

/* By name: all addresses of "localhost" are tried, and the server listens on one of them. */
static void
test_all_addresses_are_tried(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target = target_new("postgres", "postgres");
    struct backend *backend;

    assert_int_equal(str_set(&target->host, "localhost"), 0);
    backend = connect_to(f, target, NULL);
    assert_string_equal(backend->remote_addr, "127.0.0.1");
    retire(f, backend, true);
}

static void
test_replication(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target = target_new("postgres", "postgres");
    struct backend *backend;

    assert_int_equal(str_set(&target->replication, "true"), 0);
    backend = connect_to(f, target, NULL);
    assert_true(strlen(raw_ask(backend, "IDENTIFY_SYSTEM")) > 10);
    retire(f, backend, true);
}

static void
test_fifty_at_once(void **state)
{
    enum { N = 50 };
    struct fixture *f = *state;
    struct asking askings[N];

    for (int i = 0; i < N; i++)
        ask(f, &askings[i], target_new("postgres", "postgres"));
    settle(f);
    for (int i = 0; i < N; i++) {
        asking_done(&askings[i]);
        assert_non_null(askings[i].backend);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(askings[i].backend->pid, askings[j].backend->pid);
    }
    assert_string_equal(raw_ask(f->admin, "SELECT count(*) FROM pg_stat_activity "
                                          "WHERE backend_type = 'client backend'"),
                        "51");
    for (int i = 0; i < N; i++)
        retire(f, askings[i].backend, true);
    assert_string_equal(raw_ask(f->admin, "SELECT count(*) FROM pg_stat_activity "
                                          "WHERE backend_type = 'client backend'"),
                        "1");
}

/* ---- logins that do not */

static void
test_wrong_password(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target = target_new("postgres", "scramuser");
    struct backend_error first, second;

    assert_int_equal(str_set(&target->password, "guess"), 0);
    assert_null(connect_to(f, backend_target_ref(target), &first));
    assert_string_equal(first.sqlstate, "28P01");
    assert_string_equal(first.message, "password authentication failed for user \"scramuser\"");
    assert_true(first.from_server);
    assert_false(first.transient);
    assert_true(first.retry_at > clock_now() - 10 * SEC);

    /* The server is not bothered by the same again; others are not barred. */
    assert_null(connect_to(f, target, &second));
    assert_string_equal(second.sqlstate, "28P01");
    retire(f, connect_to(f, target_new("postgres", "postgres"), NULL), true);
}

static void
test_no_such_database(void **state)
{
    struct fixture *f = *state;
    struct backend_error error;

    assert_null(connect_to(f, target_new("nosuch", "postgres"), &error));
    assert_string_equal(error.sqlstate, "3D000");
    assert_string_equal(error.message, "database \"nosuch\" does not exist");
    assert_true(error.from_server);
    retire(f, connect_to(f, target_new("postgres", "postgres"), NULL), true);
}

static void
test_too_many_connections(void **state)
{
    struct fixture *f = *state;
    struct backend_error error;

    assert_null(connect_to(f, target_new("postgres", "nobodymore"), &error));
    assert_string_equal(error.sqlstate, "53300");
    assert_true(error.from_server);
    retire(f, connect_to(f, target_new("postgres", "postgres"), NULL), true);
}

static void
test_nobody_listens(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target = target_new("postgres", "postgres");
    struct backend_target *other = target_new("another", "one");
    struct backend_error first, second;

    target->port = other->port = test_dead_port();
    assert_null(connect_to(f, target, &first));
    assert_string_equal(first.sqlstate, "08001");
    assert_false(first.from_server);
    assert_non_null(strstr(first.message, "Connection refused"));
    assert_true(first.retry_at > 0);
    /* The host is out of order, whoever asks. */
    assert_null(connect_to(f, other, &second));
    assert_string_equal(second.sqlstate, "08001");
    assert_true(second.retry_at > 0);
}

static void
test_no_such_host(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target = target_new("postgres", "postgres");
    struct backend_error error;

    assert_int_equal(str_set(&target->host, "not..a..name"), 0);
    assert_null(connect_to(f, target, &error));
    assert_string_equal(error.sqlstate, "08001");
    assert_non_null(strstr(error.message, "could not translate host name \"not..a..name\""));
}

/* Listens, and never answers; for the rest of the test. */
static int
listen_silently(int backlog, int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void
test_silent_server_times_out(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target = target_new("postgres", "postgres");
    struct backend_error error;
    const int fd = listen_silently(5, &target->port);

    target->connect_timeout = 100 * MSEC;
    assert_null(connect_to(f, target, &error));
    (void)close(fd);
    assert_string_equal(error.sqlstate, "08006");
    assert_non_null(strstr(error.message, "timeout expired"));
    assert_false(error.from_server);
    assert_true(error.retry_at > 0);
}

/* A unix socket refuses what its backlog does not hold, instead of letting it wait. */
static void
test_full_unix_backlog_is_waited_for(void **state)
{
    enum { N = 8 };
    struct fixture *f = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct asking askings[N];
    unsigned full = 0;

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.1", test_dir());
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    for (int i = 0; i < N; i++) {
        struct backend_target *target = target_new("postgres", "postgres");

        assert_int_equal(str_set(&target->host, test_dir()), 0);
        target->port = 1;
        target->connect_timeout = 200 * MSEC;
        ask(f, &askings[i], target);
    }
    settle(f);
    (void)unlink(address.sun_path);
    for (int i = 0; i < N; i++) {
        asking_done(&askings[i]);
        assert_null(askings[i].backend);
        full += strstr(askings[i].error.message, "temporarily unavailable") != NULL;
    }
    assert_in_range(full, 1, N - 1);
}

/* ---- TLS */

static void
test_tls_needs_the_right_ca(void **state)
{
    struct fixture *f = *state;
    struct backend_error error;

    if (!tls_is_usable())
        skip();
    assert_null(connect_to(f, target_new_tls("tlsuser", "TEST_OTHER_CA"), &error));
    assert_false(error.from_server);
    assert_non_null(strstr(error.message, "certificate verify failed"));
}

static void
test_tls_needs_the_right_name(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target;
    struct backend_error error;

    if (!tls_is_usable())
        skip();
    target = target_new_tls("tlsuser", "TEST_CA");
    assert_int_equal(str_set(&target->host, "127.0.0.1"), 0);
    assert_null(connect_to(f, target, &error));
    assert_non_null(strstr(error.message, "does not match host name"));
}

static void
test_tls_is_preferred(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target = target_new("postgres", "postgres");
    struct backend *backend;

    assert_int_equal(str_set(&target->sslmode, "prefer"), 0);
    backend = connect_to(f, target, NULL);
    assert_int_equal(backend->tls != NULL, tls_is_usable());
    assert_int_equal(backend->tls_version != NULL, tls_is_usable());
    retire(f, backend, true);
}

/* A TLS that is not ours to read would be a connection that nobody can use. */
static void
test_tls_is_refused_where_it_cannot_be_shared(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target;
    struct backend_error error;

    if (tls_is_usable())
        skip();
    target = target_new("postgres", "postgres");
    assert_int_equal(str_set(&target->sslmode, "require"), 0);
    assert_null(connect_to(f, target, &error));
    assert_string_equal(error.sqlstate, "08006");
}

int
run_login_tests(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest login_tests[] = {
        TEST(test_stream_is_in_step),
        TEST(test_what_a_login_tells),
        TEST(test_parameters_are_complete),
        TEST(test_startup_settings),
        TEST(test_unix_socket),
        TEST(test_all_addresses_are_tried),
        TEST(test_replication),
        TEST(test_fifty_at_once),
        TEST(test_wrong_password),
        TEST(test_no_such_database),
        TEST(test_too_many_connections),
        TEST(test_nobody_listens),
        TEST(test_no_such_host),
        TEST(test_silent_server_times_out),
        TEST(test_full_unix_backlog_is_waited_for),
        TEST(test_tls_needs_the_right_ca),
        TEST(test_tls_needs_the_right_name),
        TEST(test_tls_is_preferred),
        TEST(test_tls_is_refused_where_it_cannot_be_shared),
    };

    return cmocka_run_group_tests(login_tests, NULL, NULL);
}
