/*
 * test_resolver.c - names to addresses, with an executor and a getaddrinfo that the test plays.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "executor.h"
#include "fake_loop.h"
#include "loop.h"
#include "resolver.h"
#include "str.h"
#include "usec.h"

/* --- the executor and the C library, as the resolver sees them ----------------------------------
 */

static struct job *submitted; /* the one that waits */
static int submit_result;
static unsigned lookups;
static int lookup_error;

int
executor_submit(struct executor *executor, struct loop *loop, struct job *job)
{
    (void)executor;
    if (submit_result < 0)
        return submit_result;
    assert_null(submitted);
    job->loop = loop;
    submitted = job;
    return 0;
}

/* Runs the job that waits, or cancels it. */
static void
executor_play(bool cancel)
{
    struct job *job = submitted;

    assert_non_null(job);
    submitted = NULL;
    if (!cancel)
        job->run(job);
    job->done(job, cancel);
}

int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret_infos);
void __wrap_freeaddrinfo(struct addrinfo *infos);

/* Every name has two addresses: 10.0.0.<number of look-ups> and ::1. */
int
__wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                   struct addrinfo **ret_infos)
{
    static struct sockaddr_in v4;
    static struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    static struct addrinfo infos[2];

    (void)name;
    assert_null(service);
    assert_int_equal(hints->ai_socktype, SOCK_STREAM);
    lookups++;
    if (lookup_error != 0)
        return lookup_error;
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(0x0a000000 + lookups);
    infos[0].ai_addr = (struct sockaddr *)&v4;
    infos[0].ai_addrlen = sizeof(v4);
    infos[0].ai_next = &infos[1];
    infos[1].ai_addr = (struct sockaddr *)&v6;
    infos[1].ai_addrlen = sizeof(v6);
    *ret_infos = infos;
    return 0;
}

void
__wrap_freeaddrinfo(struct addrinfo *infos)
{
    (void)infos;
}

/* --- those who ask ------------------------------------------------------------------------------
 */

struct asker {
    struct resolve_query query;
    unsigned answers;
    unsigned order; /* who was answered first, second, ... */
    struct resolved answer;
    struct resolver *again; /* asks this one once more when answered */
};

static unsigned answered;

static void
asker_done(struct resolve_query *query, const struct resolved *answer)
{
    struct asker *asker = container_of(query, struct asker, query);
    struct resolver *again = asker->again;

    asker->answers++;
    asker->order = ++answered;
    asker->answer = *answer;
    asker->again = NULL;
    if (again != NULL)
        assert_int_equal(resolver_ask(again, "db.example", &asker->query), 0);
}

struct fixture {
    struct loop *loop;
    struct resolver *resolver;
    struct asker askers[4];
};

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    submitted = NULL;
    submit_result = lookup_error = 0;
    lookups = answered = 0;
    f->loop = fake_loop_new();
    assert_int_equal(resolver_new(f->loop, NULL, &f->resolver), 0);
    resolver_set_ttl(f->resolver, 10 * SEC, 3 * SEC);
    for (size_t i = 0; i < ARRAY_SIZE(f->askers); i++)
        f->askers[i].query.done = asker_done;
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    resolver_free(f->resolver);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void
ask(struct fixture *f, unsigned asker, const char *name)
{
    assert_int_equal(resolver_ask(f->resolver, name, &f->askers[asker].query), 0);
}

static void
expect_answer(struct fixture *f, unsigned asker, const char *address)
{
    const struct resolved *answer = &f->askers[asker].answer;

    assert_int_equal(f->askers[asker].answers, 1);
    assert_int_equal(answer->error, 0);
    assert_string_equal(answer->address[0], address);
    f->askers[asker].answers = 0;
}

/* --- the tests ----------------------------------------------------------------------------------
 */

/* All addresses, in the order that the library gives; then from memory, until the ttl is over. */
static void
test_answer_is_kept(void **state)
{
    struct fixture *f = *state;

    ask(f, 0, "db.example");
    executor_play(false);
    assert_int_equal(f->askers[0].answer.count, 2);
    assert_string_equal(f->askers[0].answer.address[1], "::1");
    expect_answer(f, 0, "10.0.0.1");
    fake_loop_advance(f->loop, 10 * SEC - 1);
    ask(f, 1, "db.example");
    assert_int_equal(f->askers[1].answers, 0); /* later, not from within */
    fake_loop_settle(f->loop);
    expect_answer(f, 1, "10.0.0.1");
    fake_loop_advance(f->loop, 1);
    ask(f, 2, "db.example");
    executor_play(false);
    expect_answer(f, 2, "10.0.0.2");
    assert_int_equal(lookups, 2);
}

static void
test_failure_is_kept(void **state)
{
    struct fixture *f = *state;

    lookup_error = EAI_NONAME;
    ask(f, 0, "db.example");
    executor_play(false);
    assert_int_equal(f->askers[0].answer.error, EAI_NONAME);
    lookup_error = 0;
    fake_loop_advance(f->loop, 3 * SEC - 1);
    ask(f, 1, "db.example");
    fake_loop_settle(f->loop);
    assert_int_equal(f->askers[1].answer.error, EAI_NONAME);
    assert_int_equal(f->askers[1].answer.count, 0);
    fake_loop_advance(f->loop, 1);
    ask(f, 2, "db.example");
    executor_play(false);
    expect_answer(f, 2, "10.0.0.2");
}

static void
test_numeric_needs_no_look_up(void **state)
{
    struct fixture *f = *state;

    ask(f, 0, "192.0.2.7");
    ask(f, 1, "2001:db8::7");
    assert_int_equal(f->askers[0].answers, 0);
    fake_loop_settle(f->loop);
    expect_answer(f, 0, "192.0.2.7");
    expect_answer(f, 1, "2001:db8::7");
    assert_null(submitted);
    assert_int_equal(lookups, 0);
}

/* Those who ask for the same name at once wait for one look-up, and are told in order. */
static void
test_questions_are_merged(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 4; i++)
        ask(f, i, "db.example");
    resolver_cancel(&f->askers[1].query);
    resolver_cancel(&f->askers[1].query);
    executor_play(false);
    assert_int_equal(lookups, 1);
    assert_int_equal(f->askers[1].answers, 0);
    assert_int_equal(f->askers[0].order, 1);
    assert_int_equal(f->askers[2].order, 2);
    assert_int_equal(f->askers[3].order, 3);
}

static void
test_names_are_apart(void **state)
{
    struct fixture *f = *state;

    ask(f, 0, "one.example");
    executor_play(false);
    ask(f, 1, "two.example");
    executor_play(false);
    expect_answer(f, 0, "10.0.0.1");
    expect_answer(f, 1, "10.0.0.2");
}

/* Without a ttl nothing is kept; one who asks again from done waits for a new look-up. */
static void
test_asking_again_from_done(void **state)
{
    struct fixture *f = *state;

    resolver_set_ttl(f->resolver, 0, 0);
    f->askers[0].again = f->resolver;
    ask(f, 0, "db.example");
    executor_play(false);
    assert_int_equal(f->askers[0].answers, 1);
    executor_play(false);
    assert_int_equal(f->askers[0].answers, 2);
    assert_string_equal(f->askers[0].answer.address[0], "10.0.0.2");
}

static void
test_executor_refuses(void **state)
{
    struct fixture *f = *state;

    submit_result = -EAGAIN;
    assert_int_equal(resolver_ask(f->resolver, "db.example", &f->askers[0].query), -EAGAIN);
    submit_result = 0;
    ask(f, 1, "db.example");
    executor_play(true);
    assert_int_equal(f->askers[1].answer.error, EAI_AGAIN);
    ask(f, 2, "db.example");
    executor_play(false);
    expect_answer(f, 2, "10.0.0.1");
    assert_int_equal(f->askers[0].answers, 0);
}

/* An answer, or an answer to tell, that comes when the resolver is gone is nobody's. */
static void
test_resolver_freed_with_calls_under_way(void **state)
{
    struct fixture *f = *state;

    ask(f, 0, "192.0.2.7");
    ask(f, 1, "db.example");
    resolver_free(TAKE(f->resolver));
    fake_loop_settle(f->loop);
    executor_play(false);
    assert_int_equal(f->askers[0].answers + f->askers[1].answers, 0);
}

static struct {
    unsigned count;
    char name[64], address[64];
} moved;

static void
note_moved(void *arg, const char *name, const char *address)
{
    assert_ptr_equal(arg, &moved);
    moved.count++;
    (void)str_copy(moved.name, sizeof(moved.name), name);
    (void)str_copy(moved.address, sizeof(moved.address), address);
}

static void
look_up(struct fixture *f, const char *name)
{
    ask(f, 0, name);
    executor_play(false);
    fake_loop_advance(f->loop, 11 * SEC);
}

/* Which addresses a name has lost is told, whatever was looked up in between. */
static void
test_addresses_that_are_gone(void **state)
{
    struct fixture *f = *state;

    memset(&moved, 0, sizeof(moved));
    resolver_set_moved(f->resolver, note_moved, &moved);
    look_up(f, "db.example");
    look_up(f, "other.example");
    lookup_error = EAI_NONAME;
    look_up(f, "db.example");
    lookup_error = 0;
    assert_int_equal(moved.count, 0);
    look_up(f, "db.example");
    assert_int_equal(moved.count, 1);
    assert_string_equal(moved.name, "db.example");
    assert_string_equal(moved.address, "10.0.0.1");
}

/* With a period names are looked up without being asked for; numbers are not. */
static void
test_check_period(void **state)
{
    struct fixture *f = *state;

    memset(&moved, 0, sizeof(moved));
    resolver_set_moved(f->resolver, note_moved, &moved);
    resolver_set_check_period(f->resolver, 60 * SEC);
    ask(f, 0, "192.0.2.7");
    ask(f, 1, "db.example");
    executor_play(false);
    fake_loop_advance(f->loop, 60 * SEC);
    executor_play(false);
    assert_int_equal(moved.count, 1);
    assert_int_equal(lookups, 2);
    resolver_set_check_period(f->resolver, 0);
    fake_loop_advance(f->loop, HOUR);
    assert_null(submitted);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answer_is_kept),           TEST(test_failure_is_kept),
        TEST(test_numeric_needs_no_look_up), TEST(test_questions_are_merged),
        TEST(test_names_are_apart),          TEST(test_asking_again_from_done),
        TEST(test_executor_refuses),         TEST(test_resolver_freed_with_calls_under_way),
        TEST(test_addresses_that_are_gone),  TEST(test_check_period),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
