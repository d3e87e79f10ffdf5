/*
 * What logins wait for on other threads: an executor that is full, logins that leave, verifiers
 * that are made once for many, and the end of the daemon.
 */
#include "fixture.h"

#include <semaphore.h>
#include <stdlib.h>

#include "auth_int.h"
#include "scram.h"
#include "service.h"

static char alice[] = "alice", plain_secret[] = PENCIL, scram_secret[] = PENCIL_SCRAM;

/* ---- the line before an executor; its work stands still until the test lets it go ---- */

#define LINE 6

/* What became of the work, for the test; the work itself is freed. */
struct fate {
    int order; /* as which it was finished; 0: it was not */
    bool ran, freed;
};

struct held_work {
    struct auth_work work;
    struct fate *fate;
    struct line_test *test;
};

struct line_test {
    struct fixture *f;
    sem_t started, go;
    int finished;
    struct fate fates[LINE];
    struct attempt attempts[LINE];
};

static struct held_work *
held_of(struct auth_work *work)
{
    return container_of(work, struct held_work, work);
}

static void
held_run(struct auth_work *work)
{
    struct held_work *const held = held_of(work);

    (void)sem_post(&held->test->started);
    (void)sem_wait(&held->test->go);
    held->fate->ran = true;
}

static enum auth_status
held_finish(struct auth_work *work, struct auth *auth)
{
    struct held_work *const held = held_of(work);

    held->fate->order = ++held->test->finished;
    return auth_accept(auth, NULL);
}

static void
held_free(struct auth_work *work)
{
    held_of(work)->fate->freed = true;
    free(held_of(work));
}

static enum auth_status
start_held(struct line_test *test, size_t i, enum auth_work_kind kind)
{
    struct held_work *const held = calloc(1, sizeof(*held));
    struct attempt *const attempt = &test->attempts[i];

    assert_non_null(held);
    held->fate = &test->fates[i];
    held->test = test;
    held->work.run = held_run;
    held->work.finish = held_finish;
    held->work.free = held_free;
    attempt->status = auth_work_start(&attempt->auth, &held->work, kind);
    return attempt->status;
}

static void
init_line(struct line_test *test, struct fixture *f)
{
    memset(test, 0, sizeof(*test));
    test->f = f;
    (void)sem_init(&test->started, 0, 0);
    (void)sem_init(&test->go, 0, 0);
    for (size_t i = 0; i < LINE; i++)
        attempt_init(&test->attempts[i], f, "alice");
}

/* One runs, one is in the executor's queue, the others wait in line. */
static void
fill_line(struct line_test *test, struct fixture *f)
{
    init_line(test, f);
    assert_int_equal(start_held(test, 0, AUTH_WORK_BLOCKING), AUTH_WAIT);
    (void)sem_wait(&test->started);
    for (size_t i = 1; i < LINE; i++)
        assert_int_equal(start_held(test, i, AUTH_WORK_BLOCKING), AUTH_WAIT);
    assert_int_equal(list_count(&f->service->blocking.waiting), LINE - 2);
}

static void
done_line(struct line_test *test)
{
    for (size_t i = 0; i < LINE; i++)
        attempt_done(&test->attempts[i]);
    (void)sem_destroy(&test->started);
    (void)sem_destroy(&test->go);
}

static void
test_full_executor_delays_in_order(void **state)
{
    struct line_test test;

    fill_line(&test, *state);
    for (size_t i = 0; i < LINE; i++) {
        assert_int_equal(test.fates[i].order, 0);
        (void)sem_post(&test.go);
        assert_int_equal(attempt_wait(&test.attempts[i]), AUTH_ACCEPTED);
        assert_int_equal(test.fates[i].order, i + 1);
        assert_true(test.fates[i].freed);
        assert_null(test.attempts[i].auth.work);
    }
    done_line(&test);
}

/* Who leaves while running, queued or in line is not called back, and holds up nobody. */
static void
test_leaving_while_waiting(void **state)
{
    static const bool leaves[LINE] = {true, true, true, false, true, false};
    struct line_test test;

    fill_line(&test, *state);
    for (size_t i = 0; i < LINE; i++) {
        if (!leaves[i])
            continue;
        attempt_done(&test.attempts[i]);
        /* In line it goes at once; on a thread, or before one, it comes back first. */
        assert_int_equal(test.fates[i].freed, i >= 2);
    }
    for (size_t i = 0; i < 4; i++)
        (void)sem_post(&test.go);
    assert_int_equal(attempt_wait(&test.attempts[3]), AUTH_ACCEPTED);
    assert_int_equal(attempt_wait(&test.attempts[5]), AUTH_ACCEPTED);
    for (size_t i = 0; i < LINE; i++) {
        assert_true(test.fates[i].freed);
        assert_int_equal(test.fates[i].order, i == 3 ? 1 : i == 5 ? 2 : 0);
        assert_int_equal(test.fates[i].ran, i < 2 || !leaves[i]);
    }
    done_line(&test);
}

static void
test_input_while_waiting_is_refused(void **state)
{
    struct line_test test;

    fill_line(&test, *state);
    (void)attempt_send(&test.attempts[0], "x", 2);
    attempt_expect_failure(&test.attempts[0], "08P01", "client password pkt before startup packet");
    for (size_t i = 0; i < LINE; i++)
        (void)sem_post(&test.go);
    for (size_t i = 0; i < LINE; i++)
        attempt_done(&test.attempts[i]);
    done_line(&test);
}

static void *
close_thread(void *f)
{
    fixture_close_executors(f);
    return NULL;
}

/* What runs ends as it would have; all others are told. Then nothing begins any more. */
static void
test_shutting_down(void **state)
{
    struct fixture *const f = *state;
    struct line_test test;
    pthread_t thread;

    fill_line(&test, f);
    attempt_done(&test.attempts[1]);
    attempt_done(&test.attempts[2]);
    assert_int_equal(pthread_create(&thread, NULL, close_thread, f), 0);
    /* The queued one comes back cancelled, and with it those in line. */
    (void)attempt_wait(&test.attempts[3]);
    (void)sem_post(&test.go);
    (void)pthread_join(thread, NULL);
    assert_int_equal(attempt_wait(&test.attempts[0]), AUTH_ACCEPTED);
    for (size_t i = 3; i < LINE; i++) {
        (void)attempt_wait(&test.attempts[i]);
        attempt_expect_failure(&test.attempts[i], "57P01", "pooler is shutting down");
    }
    for (size_t i = 0; i < LINE; i++) {
        assert_true(test.fates[i].freed);
        assert_int_equal(test.fates[i].ran, i == 0);
    }
    assert_int_equal(start_held(&test, 5, AUTH_WORK_BLOCKING), AUTH_FAILED);
    attempt_expect_failure(&test.attempts[5], "57P01", "pooler is shutting down");
    done_line(&test);
}

/* ---- verifiers ---- */

static struct attempt *
begin(struct attempt *attempt, struct fixture *f, char *secret)
{
    if (f->config.n_auth_users == 0)
        fixture_add_user(f, alice, secret);
    f->users[0]->secret = secret;
    attempt_init(attempt, f, "alice");
    assert_int_equal(attempt_begin(attempt), AUTH_CONTINUE);
    return attempt;
}

static size_t
count_made(const struct fixture *f)
{
    return map_count(&f->service->verifiers.map);
}

/* Logins that come before it is made wait for it, and those that come later do not. */
static void
test_verifier_is_made_once(void **state)
{
    struct fixture *const f = *state;
    struct attempt attempts[8], late;
    struct line_test test;

    init_line(&test, f);
    assert_int_equal(start_held(&test, 0, AUTH_WORK_HASHING), AUTH_WAIT);
    for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
        assert_int_equal(
            attempt_scram_start(begin(&attempts[i], f, plain_secret), i % 2 == 0 ? PENCIL : "x"),
            AUTH_WAIT);
    assert_int_equal(count_made(f), 1);
    attempt_done(&attempts[7]);
    (void)sem_post(&test.go);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(attempt_wait(&attempts[i]), i % 2 == 0 ? AUTH_ACCEPTED : AUTH_FAILED);
        attempt_done(&attempts[i]);
    }
    assert_int_equal(count_made(f), 1);
    assert_int_equal(attempt_scram_start(begin(&late, f, plain_secret), PENCIL), AUTH_ACCEPTED);
    attempt_done(&late);
    done_line(&test);
}

static void
test_changed_password_makes_another(void **state)
{
    static char changed[] = "crayon";
    struct fixture *const f = *state;
    struct attempt attempt;

    assert_int_equal(attempt_scram(begin(&attempt, f, plain_secret), SCRAM_NAME, PENCIL),
                     AUTH_ACCEPTED);
    attempt_done(&attempt);
    assert_int_equal(attempt_scram_start(begin(&attempt, f, changed), PENCIL), AUTH_WAIT);
    assert_int_equal(attempt_wait(&attempt), AUTH_FAILED);
    attempt_done(&attempt);
    assert_int_equal(attempt_scram_start(begin(&attempt, f, changed), "crayon"), AUTH_ACCEPTED);
    attempt_done(&attempt);
    f->config.scram_iterations++;
    assert_int_equal(attempt_scram_start(begin(&attempt, f, changed), "crayon"), AUTH_WAIT);
    assert_int_equal(attempt_wait(&attempt), AUTH_ACCEPTED);
    attempt_done(&attempt);
    assert_int_equal(count_made(f), 3);
}

/* A password in clear text is hashed with the salt of the secret: once, too. */
static void
test_typed_password_is_hashed_once(void **state)
{
    struct fixture *const f = *state;
    struct attempt attempt;

    f->config.auth_type = AUTH_TYPE_PLAIN;
    assert_int_equal(attempt_send(begin(&attempt, f, scram_secret), PENCIL, sizeof(PENCIL)),
                     AUTH_WAIT);
    assert_int_equal(attempt_wait(&attempt), AUTH_ACCEPTED);
    attempt_done(&attempt);
    assert_int_equal(attempt_send(begin(&attempt, f, scram_secret), PENCIL, sizeof(PENCIL)),
                     AUTH_ACCEPTED);
    attempt_done(&attempt);
}

/* All who wanted it have left before it is made; it is made for who comes back. */
static void
test_leaving_before_the_verifier_is_made(void **state)
{
    struct fixture *const f = *state;
    struct attempt attempt, other;
    struct line_test test;

    init_line(&test, f);
    assert_int_equal(start_held(&test, 0, AUTH_WORK_HASHING), AUTH_WAIT);
    assert_int_equal(attempt_scram_start(begin(&attempt, f, plain_secret), PENCIL), AUTH_WAIT);
    attempt_done(&attempt);
    memset(&attempt, 0xa5, sizeof(attempt));
    assert_int_equal(attempt_scram_start(begin(&other, f, plain_secret), PENCIL), AUTH_WAIT);
    (void)sem_post(&test.go);
    assert_int_equal(attempt_wait(&other), AUTH_ACCEPTED);
    attempt_done(&other);
    assert_int_equal(count_made(f), 1);
    done_line(&test);
}

static void
test_no_verifier_after_the_end(void **state)
{
    struct fixture *const f = *state;
    struct attempt attempt;

    fixture_close_executors(f);
    (void)attempt_scram_start(begin(&attempt, f, plain_secret), PENCIL);
    attempt_expect_failure(&attempt, "57P01", "pooler is shutting down");
    attempt_done(&attempt);
    assert_int_equal(count_made(f), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_full_executor_delays_in_order),  TEST(test_leaving_while_waiting),
        TEST(test_input_while_waiting_is_refused), TEST(test_shutting_down),
        TEST(test_verifier_is_made_once),          TEST(test_changed_password_makes_another),
        TEST(test_typed_password_is_hashed_once),  TEST(test_leaving_before_the_verifier_is_made),
        TEST(test_no_verifier_after_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
