/*
 * fixture.c - a connector under test.
 */
#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "executor.h"
#include "macros.h"
#include "str.h"

/* So that a test that hangs ends. */
#define PATIENCE_MS 60000

/* ---- where */

const char *
test_file(const char *variable)
{
    const char *path = getenv(variable);

    assert_non_null(path);
    return path;
}

const char *
test_dir(void)
{
    return test_file("TEST_DIR");
}

static int
port_from(const char *variable)
{
    return atoi(test_file(variable));
}

int
test_port(void)
{
    return port_from("TEST_PORT");
}

int
test_dead_port(void)
{
    return port_from("TEST_DEAD_PORT");
}

struct backend_target *
target_new(const char *dbname, const char *user)
{
    struct backend_target *target = backend_target_new();

    assert_non_null(target);
    assert_int_equal(str_set(&target->host, "127.0.0.1"), 0);
    assert_int_equal(str_set(&target->dbname, dbname), 0);
    assert_int_equal(str_set(&target->user, user), 0);
    assert_int_equal(str_set(&target->sslmode, "disable"), 0);
    target->port = test_port();
    target->connect_timeout = 60 * SEC;
    target->login_retry = 15 * SEC;
    return target;
}

struct backend_target *
target_new_tls(const char *user, const char *ca_variable)
{
    struct backend_target *target = target_new("postgres", user);

    assert_int_equal(str_set(&target->host, "localhost"), 0);
    assert_int_equal(str_set(&target->sslmode, "verify-full"), 0);
    assert_int_equal(str_set(&target->sslrootcert, test_file(ca_variable)), 0);
    return target;
}

/* ---- life */

int
fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(loop_new("test", &f->loop), 0);
    assert_int_equal(executor_new("test", EXECUTOR_THREADS, 8, &f->executor), 0);
    assert_int_equal(connector_new(f->executor, &f->connector), 0);
    f->admin = connect_to(f, target_new("postgres", "postgres"), NULL);
    assert_non_null(f->admin);
    *state = f;
    return 0;
}

int
fixture_teardown(void **state)
{
    struct fixture *f = *state;
    struct connector_stats stats;

    if (f->admin != NULL)
        retire(f, f->admin, true);
    connector_get_stats(f->connector, &stats);
    assert_int_equal(stats.connecting, 0);
    assert_int_equal(stats.attempts, stats.successes + stats.failures);
    connector_close(f->connector);
    executor_close(f->executor);
    connector_free(f->connector);
    executor_free(f->executor);
    loop_free(f->loop);
    free(f);
    return 0;
}

/* ---- asking the connector */

void
answered(struct fixture *f)
{
    assert_true(f->waiting > 0);
    f->waiting--;
    loop_stop(f->loop);
}

static void
asking_answered(struct connect_request *request, struct backend *backend,
                const struct backend_error *error)
{
    struct asking *asking = container_of(request, struct asking, request);

    assert_true((backend == NULL) == (error != NULL));
    asking->answers++;
    asking->backend = backend;
    if (error != NULL)
        asking->error = *error;
    answered(asking->fixture);
}

void
ask(struct fixture *f, struct asking *asking, struct backend_target *target)
{
    *asking = (struct asking){.fixture = f};
    asking->request.loop = f->loop;
    asking->request.target = target;
    asking->request.done = asking_answered;
    f->waiting++;
    connector_connect(f->connector, &asking->request);
}

void
settle(struct fixture *f)
{
    while (f->waiting > 0)
        loop_run(f->loop);
}

void
asking_done(struct asking *asking)
{
    assert_int_equal(asking->answers, 1);
    backend_target_unref(asking->request.target);
}

struct backend *
connect_to(struct fixture *f, struct backend_target *target, struct backend_error *ret_error)
{
    struct asking asking;

    ask(f, &asking, target);
    settle(f);
    asking_done(&asking);
    if (asking.backend == NULL && ret_error == NULL)
        fail_msg("%s: %s", asking.error.sqlstate, asking.error.message);
    if (asking.backend == NULL)
        *ret_error = asking.error;
    return asking.backend;
}

static void
retired(struct message *message)
{
    answered(container_of(message, struct retiring, message)->fixture);
}

void
retire_begin(struct fixture *f, struct retiring *retiring, struct backend *backend, bool polite)
{
    *retiring = (struct retiring){.message.fn = retired, .fixture = f};
    f->waiting++;
    connector_retire(f->connector, backend, polite, f->loop, &retiring->message);
}

void
retire(struct fixture *f, struct backend *backend, bool polite)
{
    struct retiring retiring;

    retire_begin(f, &retiring, backend, polite);
    settle(f);
}

/* ---- the protocol, plain */

static void
wait_for(struct backend *backend, short events)
{
    struct pollfd pollfd = {.fd = backend->fd, .events = events};

    assert_int_equal(poll(&pollfd, 1, PATIENCE_MS), 1);
}

void
raw_send(struct backend *backend, const void *data, size_t len)
{
    const char *next = data;

    assert_null(backend->tls);
    while (len > 0) {
        const ssize_t n = send(backend->fd, next, len, MSG_NOSIGNAL);

        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            wait_for(backend, POLLOUT);
            continue;
        }
        next += n;
        len -= (size_t)n;
    }
}

void
raw_query(struct backend *backend, const char *sql)
{
    const uint32_t len = htonl((uint32_t)(4 + strlen(sql) + 1));

    raw_send(backend, "Q", 1);
    raw_send(backend, &len, sizeof(len));
    raw_send(backend, sql, strlen(sql) + 1);
}

static bool
receive(struct backend *backend, char *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = recv(backend->fd, data, len, 0);

        if (n < 0 && errno == EAGAIN) {
            wait_for(backend, POLLIN);
            continue;
        }
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

char
raw_receive(struct backend *backend, char *body, size_t size)
{
    char header[5], *whole;
    uint32_t len;

    if (!receive(backend, header, sizeof(header)))
        return 0;
    memcpy(&len, header + 1, sizeof(len));
    len = ntohl(len) - 4;
    whole = malloc(len + 1);
    assert_non_null(whole);
    assert_true(receive(backend, whole, len));
    memset(body, 0, size);
    memcpy(body, whole, MIN(len, size - 1));
    free(whole);
    return header[0];
}

const char *
raw_ask(struct backend *backend, const char *sql)
{
    static char answer[1024];
    char body[sizeof(answer)], type;

    answer[0] = '\0';
    raw_query(backend, sql);
    while ((type = raw_receive(backend, body, sizeof(body))) != 'Z') {
        uint32_t len;

        if (type == 0 || type == 'E')
            fail_msg("\"%s\" failed: %s", sql, type == 0 ? "the connection has ended" : body);
        if (type != 'D')
            continue;
        memcpy(&len, body + 2, sizeof(len));
        len = ntohl(len);
        if (len == UINT32_MAX)
            continue;
        assert_true(len < sizeof(answer));
        memcpy(answer, body + 6, len);
        answer[len] = '\0';
    }
    return answer;
}

void
raw_await(struct backend *backend, const char *sql, const char *expected)
{
    for (int i = 0; i < 100000; i++)
        if (str_eq(raw_ask(backend, sql), expected))
            return;
    fail_msg("\"%s\" gave \"%s\" instead of \"%s\"", sql, raw_ask(backend, sql), expected);
}
