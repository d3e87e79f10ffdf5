/* The real loop: messages, deferred calls, the turn hook, the stop, slow callbacks, the load. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "log.h"
#include "loop.h"
#include "macros.h"
#include "process.h"

#define POSTERS  4
#define MESSAGES 10000 /* of each poster */

/* A message that notes its name in a trace, and may do one more thing. */
struct note {
    struct message message;
    struct loop *loop;
    char *trace;
    const char *name;
    struct note *defer; /* to be deferred from within, or NULL */
    bool stop;
};

static void
note_run(struct message *message)
{
    struct note *note = container_of(message, struct note, message);

    strcat(note->trace, note->name);
    if (note->defer != NULL)
        loop_defer(note->loop, &note->defer->message);
    if (note->stop)
        loop_stop(note->loop);
}

static struct note
note_make(struct loop *loop, char *trace, const char *name)
{
    return (struct note){.message.fn = note_run, .loop = loop, .trace = trace, .name = name};
}

static struct loop *
loop_make(void)
{
    struct loop *loop = NULL;

    assert_int_equal(loop_new("test", &loop), 0);
    assert_string_equal(loop_name(loop), "test");
    return loop;
}

static void
hook_note(void *arg)
{
    strcat(arg, "|");
}

/* Mail first, then what was deferred, then what that deferred, then the hook. */
static void
test_the_order_of_a_turn(void **state)
{
    struct loop *loop = loop_make();
    char trace[64] = "";
    struct note a = note_make(loop, trace, "a"), b = note_make(loop, trace, "b"),
                c = note_make(loop, trace, "c"), d = note_make(loop, trace, "d");

    (void)state;
    a.defer = &c;
    c.defer = &d;
    loop_set_turn_hook(loop, hook_note, trace);
    loop_post(loop, &a.message);
    loop_post(loop, &b.message);
    loop_stop(loop);
    loop_stop(loop);
    loop_run(loop);
    assert_string_equal(trace, "abcd|");
    loop_free(loop);
}

static void
hook_defer(void *arg)
{
    struct note *note = arg;

    if (note != NULL && note->trace[0] == '\0')
        loop_defer(note->loop, &note->message);
}

/* The hook's own deferred call comes in the next turn, which does not sleep. */
static void
test_the_hook_may_defer(void **state)
{
    struct loop *loop = loop_make();
    char trace[8] = "";
    struct note note = note_make(loop, trace, "x");

    (void)state;
    note.stop = true;
    loop_set_turn_hook(loop, hook_defer, &note);
    loop_defer(loop, &note.message);
    loop_run(loop);
    assert_string_equal(trace, "x");

    trace[0] = '\0';
    note.stop = false;
    loop_stop(loop);
    loop_run(loop);
    assert_string_equal(trace, ""); /* deferred by the hook of the last turn */
    note.stop = true;
    loop_run(loop);
    assert_string_equal(trace, "x");
    loop_free(loop);
}

/* Deferring for ever does not keep mail out. */
static void
test_endless_deferring_does_not_starve(void **state)
{
    struct loop *loop = loop_make();
    char trace[1024] = "";
    struct note endless = note_make(loop, trace, ".");

    (void)state;
    endless.defer = &endless;
    loop_defer(loop, &endless.message);
    loop_stop(loop);
    loop_run(loop);
    assert_true(strlen(trace) > 0 && strlen(trace) < 100);
    endless.defer = NULL;
    loop_free(loop);
}

static void
test_loop_free_runs_what_waits(void **state)
{
    struct loop *loop = loop_make();
    char trace[8] = "";
    struct note a = note_make(loop, trace, "a"), b = note_make(loop, trace, "b");

    (void)state;
    a.defer = &b;
    loop_post(loop, &a.message);
    loop_free(loop);
    assert_string_equal(trace, "ab");
    loop_free(NULL);
}

struct numbered {
    struct message message;
    struct poster *poster;
    int number;
};

struct poster {
    struct loop *loop;
    struct numbered *messages;
    int *remaining; /* of all posters */
    int next;       /* number to come */
    bool in_order;
};

static void
numbered_run(struct message *message)
{
    struct numbered *numbered = container_of(message, struct numbered, message);
    struct poster *poster = numbered->poster;

    if (numbered->number != poster->next++)
        poster->in_order = false;
    if (--*poster->remaining == 0)
        loop_stop(poster->loop);
}

static void *
poster_thread(void *arg)
{
    struct poster *poster = arg;

    for (int i = 0; i < MESSAGES; i++) {
        poster->messages[i] =
            (struct numbered){.message.fn = numbered_run, .poster = poster, .number = i};
        loop_post(poster->loop, &poster->messages[i].message);
    }
    return NULL;
}

/* From several threads at once: none lost, each thread's in its order. */
static void
test_posting_from_threads(void **state)
{
    struct loop *loop = loop_make();
    int remaining = POSTERS * MESSAGES;
    struct poster posters[POSTERS];
    pthread_t threads[POSTERS];

    (void)state;
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.loop = loop, .remaining = &remaining, .in_order = true};
        posters[i].messages = calloc(MESSAGES, sizeof(*posters[i].messages));
        assert_non_null(posters[i].messages);
        assert_int_equal(pthread_create(&threads[i], NULL, poster_thread, &posters[i]), 0);
    }
    loop_run(loop);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(posters[i].in_order);
        assert_int_equal(posters[i].next, MESSAGES);
        free(posters[i].messages);
    }
    assert_int_equal(remaining, 0);
    loop_free(loop);
}

/* Two loops throw one message to each other: each post finds the other asleep, or nearly so. */
struct player {
    struct message message; /* the ball, in flight to this player */
    struct loop *loop;
    struct player *other;
    int hits;
};

static void
player_hit(struct message *message)
{
    struct player *player = container_of(message, struct player, message);

    if (++player->hits < 5000) {
        loop_post(player->other->loop, &player->other->message);
        return;
    }
    loop_stop(player->loop);
    loop_stop(player->other->loop);
}

static void *
loop_thread(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void
test_no_wake_up_is_lost(void **state)
{
    struct player a = {.message.fn = player_hit}, b = {.message.fn = player_hit};
    pthread_t thread;

    (void)state;
    a.loop = loop_make();
    b.loop = loop_make();
    a.other = &b;
    b.other = &a;
    loop_post(a.loop, &a.message);
    assert_int_equal(pthread_create(&thread, NULL, loop_thread, b.loop), 0);
    loop_run(a.loop);
    pthread_join(thread, NULL);
    assert_in_range(a.hits + b.hits, 9999, 10000);
    loop_free(a.loop);
    loop_free(b.loop);
}

static void
test_stop_from_another_thread(void **state)
{
    struct loop *loop = loop_make();
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, loop_thread, loop), 0);
    loop_stop(loop);
    pthread_join(thread, NULL);
    loop_free(loop);
}

static usec_t
coarse_clock(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

/* Works until the clock that slow callbacks are measured by has moved on. */
static void
busy_run(struct message *message)
{
    const usec_t begun = coarse_clock();

    (void)message;
    while (coarse_clock() < begun + 2 * MSEC)
        ;
}

static char *
run_busy_with_limit(usec_t limit)
{
    static char text[1024];
    char path[] = "/tmp/test_loop.XXXXXX";
    const int fd = mkstemp(path);
    struct loop *loop = loop_make();
    struct message busy = {.fn = busy_run};

    assert_true(fd >= 0);
    assert_int_equal(
        log_open(&(struct log_options){.file = path, .level = LOG_LEVEL_WARNING, .quiet = true}),
        0);
    loop_set_slow_callback(loop, limit);
    loop_post(loop, &busy);
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
    log_close();
    memset(text, 0, sizeof(text));
    assert_true(read(fd, text, sizeof(text) - 1) >= 0);
    (void)close(fd);
    (void)unlink(path);
    return text;
}

static void
test_a_slow_callback_is_logged(void **state)
{
    const char *text = run_busy_with_limit(MSEC);

    (void)state;
    assert_non_null(strstr(text, " WARNING loop test: callback \"message\" took "));
    assert_non_null(strstr(text, "slow_callback_duration is 1 ms"));
    assert_string_equal(run_busy_with_limit(0), "");
    assert_string_equal(run_busy_with_limit(HOUR), "");
}

/* Time stands still within a turn, and moves between turns. */
struct times {
    struct message first, second, third;
    struct loop *loop;
    usec_t at[3];
};

static void
times_third(struct message *message)
{
    struct times *times = container_of(message, struct times, third);

    times->at[2] = loop_now(times->loop);
    loop_stop(times->loop);
}

static void
times_second(struct message *message)
{
    struct times *times = container_of(message, struct times, second);

    times->at[1] = loop_now(times->loop);
    loop_post(times->loop, &times->third);
}

static void
times_first(struct message *message)
{
    struct times *times = container_of(message, struct times, first);

    times->at[0] = loop_now(times->loop);
    while (clock_now() <= times->at[0])
        ;
}

static void
test_now_is_read_once_a_turn(void **state)
{
    struct times times = {.first.fn = times_first,
                          .second.fn = times_second,
                          .third.fn = times_third,
                          .loop = loop_make()};
    const usec_t before = clock_now();

    (void)state;
    loop_post(times.loop, &times.first);
    loop_post(times.loop, &times.second);
    loop_run(times.loop);
    assert_true(times.at[0] >= before);
    assert_int_equal(times.at[0], times.at[1]);
    assert_true(times.at[2] > times.at[1]);
    assert_true(loop_now(times.loop) >= times.at[2]);
    loop_free(times.loop);
}

/* A loop that works all the time for more than a second knows that it did. */
static void
spin_run(struct message *message)
{
    struct times *times = container_of(message, struct times, first);
    const usec_t begun = thread_cpu_time();

    while (thread_cpu_time() < begun + 10 * MSEC)
        ;
    if (loop_load(times->loop) == 0)
        loop_post(times->loop, message);
    else
        loop_stop(times->loop);
}

static void
test_load(void **state)
{
    struct times times = {.first.fn = spin_run, .loop = loop_make()};

    (void)state;
    assert_int_equal(loop_load(times.loop), 0);
    loop_post(times.loop, &times.first);
    loop_run(times.loop);
    assert_in_range(loop_load(times.loop), 1, 1000);
    loop_free(times.loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_order_of_a_turn),
        cmocka_unit_test(test_the_hook_may_defer),
        cmocka_unit_test(test_endless_deferring_does_not_starve),
        cmocka_unit_test(test_loop_free_runs_what_waits),
        cmocka_unit_test(test_posting_from_threads),
        cmocka_unit_test(test_no_wake_up_is_lost),
        cmocka_unit_test(test_stop_from_another_thread),
        cmocka_unit_test(test_a_slow_callback_is_logged),
        cmocka_unit_test(test_now_is_read_once_a_turn),
        cmocka_unit_test(test_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
