/*
 * test_endings.c - cancels, retirements, abandoned requests and the end of it all.
 */
#include "fixture.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "executor.h"
#include "macros.h"
#include "outbox.h"
#include "str.h"
#include "stream.h"
#include "timer.h"

#define CLIENT_BACKENDS                                                                            \
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"

static void
await_activity(struct fixture *f, const struct backend *backend, const char *activity)
{
    char sql[200];

    (void)snprintf(sql, sizeof(sql),
                   "SELECT state || ' ' || coalesce(wait_event, '') FROM pg_stat_activity "
                   "WHERE pid = %d",
                   backend->pid);
    raw_await(f->admin, sql, activity);
}

static void
expect_gone(struct fixture *f, int pid)
{
    char sql[100];

    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM pg_stat_activity WHERE pid = %d", pid);
    assert_string_equal(raw_ask(f->admin, sql), "0");
}

/* Keeps a thread of the executor busy until the pipe is closed. */
struct blocker {
    struct job job;
    struct fixture *fixture;
    int fd;
};

static void
blocker_run(struct job *job)
{
    char byte;

    assert_int_equal(read(container_of(job, struct blocker, job)->fd, &byte, 1), 0);
}

static void
blocker_done(struct job *job, bool cancelled)
{
    assert_false(cancelled);
    answered(container_of(job, struct blocker, job)->fixture);
}

static void
block_executor(struct fixture *f, struct blocker blockers[EXECUTOR_THREADS], int fd)
{
    for (int i = 0; i < EXECUTOR_THREADS; i++) {
        blockers[i] = (struct blocker){{.run = blocker_run, .done = blocker_done}, f, fd};
        assert_int_equal(executor_submit(f->executor, f->loop, &blockers[i].job), 0);
    }
}

/* Closes the end that the blockers wait for, and waits until all that was asked has ended. */
static void
unblock_executor(struct fixture *f, int fd)
{
    f->waiting += EXECUTOR_THREADS;
    (void)close(fd);
    settle(f);
}

/* ---- cancels */

struct cancel {
    struct cancel_request request;
    struct fixture *fixture;
    int error;
    unsigned answers;
};

static void
cancel_answered(struct cancel_request *request, int error, const char *text)
{
    struct cancel *cancel = container_of(request, struct cancel, request);

    assert_non_null(text);
    cancel->error = error;
    cancel->answers++;
    answered(cancel->fixture);
}

static void
cancel_ask_for(struct fixture *f, struct cancel *cancel, struct backend_cancel *what,
               usec_t patience)
{
    *cancel = (struct cancel){.fixture = f};
    cancel->request.loop = f->loop;
    cancel->request.cancel = what;
    cancel->request.patience = patience;
    cancel->request.done = cancel_answered;
    f->waiting++;
    connector_cancel(f->connector, &cancel->request);
}

static void
cancel_ask(struct fixture *f, struct cancel *cancel, struct backend_cancel *what)
{
    cancel_ask_for(f, cancel, what, 0);
}

static void
expect_cancelled(struct backend *backend)
{
    char body[256], type;
    bool cancelled = false;

    while ((type = raw_receive(backend, body, sizeof(body))) != 'Z') {
        assert_int_not_equal(type, 0);
        if (type == 'E') /* S ERROR, V ERROR, C 57014 */
            cancelled = memmem(body, sizeof(body), "C57014", 6) != NULL;
    }
    assert_true(cancelled);
}

static void
test_cancel(void **state)
{
    struct fixture *f = *state;
    struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);
    struct cancel cancel;

    raw_query(backend, "SELECT pg_sleep(60)");
    await_activity(f, backend, "active PgSleep");
    cancel_ask(f, &cancel, backend->cancel);
    settle(f);
    assert_int_equal(cancel.error, 0);
    expect_cancelled(backend);
    assert_string_equal(raw_ask(backend, "SELECT 1"), "1");
    retire(f, backend, true);
}

/* More than the executor's queue holds: all are delivered in the end. */
static void
test_many_cancels(void **state)
{
    enum { N = 40 };
    struct fixture *f = *state;
    struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);
    struct cancel cancels[N];

    for (int i = 0; i < N; i++)
        cancel_ask(f, &cancels[i], backend->cancel);
    settle(f);
    for (int i = 0; i < N; i++) {
        assert_int_equal(cancels[i].answers, 1);
        assert_int_equal(cancels[i].error, 0);
    }
    retire(f, backend, true);
}

/* Nobody is let in, nor told so, until it goes on. */
static pid_t
stop_server(struct fixture *f)
{
    const int pid =
        atoi(raw_ask(f->admin, "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)"));

    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    return pid;
}

/* Who waits for others may be told that it takes too long, or change his mind. */
static void
test_cancels_that_wait(void **state)
{
    enum { AT_ONCE = 64 };
    struct fixture *f = *state;
    struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);
    struct cancel begun[AT_ONCE], withdrawn, late, patient;
    const pid_t server = stop_server(f);

    for (int i = 0; i < AT_ONCE; i++)
        cancel_ask(f, &begun[i], backend->cancel);
    cancel_ask_for(f, &late, backend->cancel, 20 * MSEC);
    cancel_ask(f, &withdrawn, backend->cancel);
    cancel_ask(f, &patient, backend->cancel);
    connector_withdraw(f->connector, &withdrawn.request);
    f->waiting = 2;
    settle(f);
    assert_int_equal(late.error, -EAGAIN);
    assert_int_equal(withdrawn.error, -ECANCELED);
    connector_withdraw(f->connector, &begun[0].request); /* too late */

    f->waiting = AT_ONCE + 1;
    assert_int_equal(kill(server, SIGCONT), 0);
    settle(f);
    for (int i = 0; i < AT_ONCE; i++)
        assert_int_equal(begun[i].error, 0);
    assert_int_equal(patient.error, 0);
    retire(f, backend, true);
}

/* A server that never answers keeps nobody else from cancelling, once the patience is over. */
static void
test_cancels_that_hang(void **state)
{
    enum { AT_ONCE = 64 };
    struct fixture *f = *state;
    struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);
    struct cancel hanging[AT_ONCE], next;
    const pid_t server = stop_server(f);

    for (int i = 0; i < AT_ONCE; i++)
        cancel_ask(f, &hanging[i], backend->cancel);
    settle(f);
    for (int i = 0; i < AT_ONCE; i++)
        assert_int_equal(hanging[i].error, -ETIMEDOUT);
    cancel_ask(f, &next, backend->cancel);
    assert_int_equal(kill(server, SIGCONT), 0);
    settle(f);
    assert_int_equal(next.error, 0);
    retire(f, backend, true);
}

/* Once its process may be gone, a cancel could meet a stranger. */
static void
test_cancel_after_the_end(void **state)
{
    struct fixture *f = *state;
    struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);
    struct backend_cancel *kept = backend_cancel_ref(backend->cancel);
    struct cancel cancel;

    retire(f, backend, true);
    cancel_ask(f, &cancel, kept);
    settle(f);
    assert_int_equal(cancel.error, -ENOTCONN);
    backend_cancel_unref(kept);
}

/* Cancels in flight while the connection ends: both come to an end. */
static void
test_cancel_during_the_end(void **state)
{
    struct fixture *f = *state;
    struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);
    struct backend_cancel *kept = backend_cancel_ref(backend->cancel);
    struct cancel cancels[4];
    const int pid = backend->pid;

    raw_query(backend, "SELECT pg_sleep(60)");
    for (size_t i = 0; i < ARRAY_SIZE(cancels); i++)
        cancel_ask(f, &cancels[i], kept);
    retire(f, backend, false);
    expect_gone(f, pid);
    for (size_t i = 0; i < ARRAY_SIZE(cancels); i++)
        assert_int_equal(cancels[i].answers, 1);
    backend_cancel_unref(kept);
}

/* ---- retirements: the process is gone when `retired` is called */

static void
test_retire_politely(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 20; i++) {
        struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);
        const int pid = backend->pid;

        retire(f, backend, true);
        expect_gone(f, pid);
    }
    assert_string_equal(raw_ask(f->admin, CLIENT_BACKENDS), "1");
}

static void
test_retire_in_a_query(void **state)
{
    struct fixture *f = *state;
    struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);
    const int pid = backend->pid;

    raw_query(backend, "SELECT pg_sleep(60)");
    await_activity(f, backend, "active PgSleep");
    retire(f, backend, false);
    expect_gone(f, pid);
}

/* The cancel may well arrive before the query, and would be lost if it was said once only. */
static void
test_retire_at_the_start_of_a_query(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 5; i++) {
        struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);
        const int pid = backend->pid;

        raw_query(backend, "SELECT pg_sleep(60)");
        retire(f, backend, false);
        expect_gone(f, pid);
    }
}

static void
test_retire_in_a_large_result(void **state)
{
    struct fixture *f = *state;
    struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);
    const int pid = backend->pid;

    raw_query(backend, "SELECT repeat('x', 1000), generate_series(1, 100000000)");
    await_activity(f, backend, "active ClientWrite");
    retire(f, backend, false);
    expect_gone(f, pid);
}

static void
test_retire_in_a_transaction_and_half_a_message(void **state)
{
    struct fixture *f = *state;
    struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);
    const int pid = backend->pid;

    (void)raw_ask(backend, "BEGIN");
    raw_send(backend, "Q\0\0", 3);
    retire(f, backend, false);
    expect_gone(f, pid);
}

/* A process that does nothing: it is waited for, and nobody else has to wait. */
static void
test_retire_of_a_stopped_server(void **state)
{
    struct fixture *f = *state;
    struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);
    struct retiring retiring;
    struct asking asking;
    const int pid = backend->pid;

    assert_int_equal(kill(pid, SIGSTOP), 0);
    retire_begin(f, &retiring, backend, true);
    ask(f, &asking, target_new("postgres", "postgres"));
    while (asking.answers == 0)
        loop_run(f->loop);
    assert_non_null(asking.backend);
    assert_int_equal(f->waiting, 1);
    assert_int_equal(kill(pid, SIGCONT), 0);
    settle(f);
    expect_gone(f, pid);
    asking_done(&asking);
    retire(f, asking.backend, true);
}

static void
test_retire_after_the_server_went(void **state)
{
    struct fixture *f = *state;
    struct backend *backend = connect_to(f, target_new("postgres", "postgres"), NULL);
    char sql[100];

    (void)snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d)", backend->pid);
    (void)raw_ask(f->admin, sql);
    raw_await(f->admin, CLIENT_BACKENDS, "1");
    retire(f, backend, true);
}

/* ---- TLS, through a stream as the pool does it */

struct tls_fixture {
    struct stream stream;
    struct fixture *fixture;
    char received[4096];
    size_t len;
};

static void
tls_readable(struct stream *stream)
{
    struct tls_fixture *t = container_of(stream, struct tls_fixture, stream);
    const char *data;
    const ssize_t n = stream_recv(stream, &data, NULL);

    if (n == -EAGAIN)
        return;
    assert_true(n > 0);
    assert_true(t->len + (size_t)n <= sizeof(t->received));
    memcpy(t->received + t->len, data, (size_t)n);
    t->len += (size_t)n;
    if (t->len >= 6 && memcmp(t->received + t->len - 6, "Z\0\0\0\5I", 6) == 0)
        loop_stop(t->fixture->loop);
}

static void
tls_ignore(struct stream *stream)
{
    (void)stream;
}

static void
tls_failed(struct stream *stream, int error)
{
    (void)stream;
    fail_msg("sending failed: %s", strerror(error));
}

static const struct stream_ops tls_ops = {"test", tls_readable, tls_ignore, tls_ignore, tls_failed};

/* What libpq loads for every connection has done its work. */
static void
expect_no_ca(struct backend *backend)
{
    X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(backend->tls));

    assert_int_equal(sk_X509_OBJECT_num(X509_STORE_get0_objects(store)), 0);
}

static void
retire_over_tls(struct fixture *f, bool polite)
{
    static const char query[] =
        "SELECT ssl::text || ' secure' FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    const char header[5] = {'Q', 0, 0, 0, 4 + sizeof(query)};
    struct backend *backend = connect_to(f, target_new_tls("tlsuser", "TEST_CA"), NULL);
    struct tls_fixture t = {.fixture = f};
    struct outbox *outbox;
    const int pid = backend->pid;

    assert_non_null(backend->tls);
    expect_no_ca(backend);
    assert_int_equal(outbox_new(f->loop, OUTBOX_SEND, &outbox), 0);
    assert_int_equal(stream_open(&t.stream, outbox, backend->fd, backend->tls, true, &tls_ops), 0);
    stream_send_copy(&t.stream, header, sizeof(header));
    stream_send_copy(&t.stream, query, sizeof(query));
    outbox_flush(outbox); /* the loop is not turning yet */
    loop_run(f->loop);
    assert_non_null(memmem(t.received, t.len, "true secure", 11));
    if (!polite) {
        stream_send_copy(&t.stream, "Q\0\0\0", 4);
        outbox_flush(outbox);
    }
    stream_close(&t.stream);
    retire(f, backend, polite);
    expect_gone(f, pid);
    outbox_free(outbox);
}

static void
test_retire_over_tls(void **state)
{
    if (!tls_is_usable())
        skip();
    retire_over_tls(*state, true);
    retire_over_tls(*state, false);
}

/* ---- requests that nobody wants any more */

struct delayed {
    struct timer *timer;
    struct asking *asking;
};

static void
abandon(void *arg)
{
    struct delayed *delayed = arg;

    connector_abandon(delayed->asking->fixture->connector, &delayed->asking->request);
}

static void
finish_askings(struct fixture *f, struct asking *askings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        asking_done(&askings[i]);
        if (askings[i].backend != NULL)
            retire(f, askings[i].backend, true);
        else
            assert_string_equal(askings[i].error.sqlstate, "57014");
    }
}

/* At whatever point of the login: one answer, and no server process is left when it comes. */
static void
test_abandon(void **state)
{
    enum { N = 60 };
    struct fixture *f = *state;
    struct asking askings[N];
    struct delayed delayed[N];

    for (int i = 0; i < N; i++) {
        ask(f, &askings[i], target_new("postgres", "postgres"));
        delayed[i] = (struct delayed){.asking = &askings[i]};
        delayed[i].timer = timer_new(f->loop, "abandon", abandon, &delayed[i]);
        assert_non_null(delayed[i].timer);
        assert_int_equal(timer_start(delayed[i].timer, (usec_t)i * 500), 0);
    }
    settle(f);
    for (int i = 0; i < N; i++)
        timer_free(delayed[i].timer);
    finish_askings(f, askings, N);
    assert_string_equal(raw_ask(f->admin, CLIENT_BACKENDS), "1");
}

static void
test_abandon_during_the_look_up(void **state)
{
    struct fixture *f = *state;
    struct blocker blockers[EXECUTOR_THREADS];
    struct backend_target *target = target_new("postgres", "postgres");
    struct asking asking;
    struct delayed delayed = {.asking = &asking};
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    block_executor(f, blockers, ends[0]);
    assert_int_equal(str_set(&target->host, "localhost"), 0);
    ask(f, &asking, target);
    delayed.timer = timer_new(f->loop, "abandon", abandon, &delayed);
    assert_int_equal(timer_start(delayed.timer, 20 * MSEC), 0);
    settle(f);
    timer_free(delayed.timer);
    finish_askings(f, &asking, 1);

    unblock_executor(f, ends[1]);
    (void)close(ends[0]);
}

/* What is under way is answered; what comes too late is answered, or ended, by connector_free. */
static void
test_close_with_attempts_under_way(void **state)
{
    enum { N = 20 };
    struct fixture *f = *state;
    struct asking askings[N], late;

    for (int i = 0; i < N; i++)
        ask(f, &askings[i], target_new("postgres", "postgres"));
    connector_retire(f->connector, f->admin, true, f->loop, NULL);
    connector_close(f->connector);
    settle(f);
    for (int i = 0; i < N; i++) {
        asking_done(&askings[i]);
        if (askings[i].backend != NULL)
            connector_retire(f->connector, askings[i].backend, true, f->loop, NULL);
    }
    ask(f, &late, target_new("postgres", "postgres"));
    executor_close(f->executor);
    connector_free(f->connector);
    settle(f);
    asking_done(&late);
    assert_null(late.backend);
    executor_free(f->executor);
    loop_free(f->loop);
    free(f);
}

int
run_ending_tests(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest ending_tests[] = {
        TEST(test_cancel),
        TEST(test_many_cancels),
        TEST(test_cancels_that_wait),
        TEST(test_cancels_that_hang),
        TEST(test_cancel_after_the_end),
        TEST(test_cancel_during_the_end),
        TEST(test_retire_politely),
        TEST(test_retire_in_a_query),
        TEST(test_retire_at_the_start_of_a_query),
        TEST(test_retire_in_a_large_result),
        TEST(test_retire_in_a_transaction_and_half_a_message),
        TEST(test_retire_of_a_stopped_server),
        TEST(test_retire_after_the_server_went),
        TEST(test_retire_over_tls),
        TEST(test_abandon),
        TEST(test_abandon_during_the_look_up),
        cmocka_unit_test_setup(test_close_with_attempts_under_way, fixture_setup),
    };

    return cmocka_run_group_tests(ending_tests, NULL, NULL);
}
