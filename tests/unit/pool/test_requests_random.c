/*
 * test_requests_random.c - what a server still has to answer, while a small model of PostgreSQL
 * answers random sequences of messages: each answer is for the head, and all that come are known.
 */
#include "requests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pg.h"
#include "rng.h"

#define MODEL_MAX 1024

enum fate {
    FATE_FINE,
    FATE_ERROR,
    FATE_EMPTY,
    FATE_COPY_OUT,
    FATE_COPY_IN,
    FATE_COPY_IN_FAILS, /* before it has read any data */
    FATE_TWO_COPIES,    /* of a query */
};

/* A frontend message, and what it will come to if it is executed. */
struct front {
    char type;
    enum fate fate;
    enum request_action action;
    uint16_t mark; /* its own */
};

struct answer {
    char type;
    struct front front; /* the message that it answers */
};

/* postgres.c in small: reads messages in order, and gives its answers in order. */
struct model {
    struct front in[MODEL_MAX];
    unsigned in_count, in_done;
    struct answer out[4 * MODEL_MAX];
    unsigned out_count, out_done;
    bool skipping;     /* ignore_till_sync */
    bool commits;      /* something was done that a Sync commits, so it may fail */
    struct front copy; /* the message that reads COPY data; type 0: none */
};

static void
model_say(struct model *model, const struct front *front, const char *types)
{
    for (; *types != '\0'; types++)
        model->out[model->out_count++] = (struct answer){*types, *front};
}

static void
model_fail(struct model *model, const struct front *front)
{
    model->commits = false;
    model_say(model, front, "E");
    if (front->type == 'Q' || front->type == 'F' || front->type == 'S')
        model_say(model, front, "Z");
    else
        model->skipping = true;
}

static void
model_copy_input(struct model *model, const struct front *front)
{
    struct front copy = model->copy;

    if (front->type == 'd' && front->fate != FATE_ERROR)
        return;
    if (front->type == 'S' || front->type == 'H')
        return; /* "for the convenience of client libraries" */
    model->copy.type = 0;
    if (front->type != 'c') {
        model_fail(model, &copy);
    } else if (copy.fate == FATE_TWO_COPIES) {
        model_say(model, &copy, "CG");
        copy.fate = FATE_COPY_IN;
        model->copy = copy;
    } else {
        model_say(model, &copy, copy.type == 'Q' ? "CZ" : "C");
    }
}

static void
model_execute(struct model *model, const struct front *front)
{
    static const char *const answers[256] = {
        ['P'] = "1",  ['B'] = "2", ['D'] = "tT",    ['C'] = "3",
        ['F'] = "VZ", ['S'] = "Z", ['Q'] = "TDDCZ", ['E'] = "DDC",
    };

    const bool commits = model->commits;

    model->commits = front->type != 'S';
    if (front->fate == FATE_ERROR && (front->type != 'S' || commits)) {
        model_fail(model, front);
    } else if (front->fate == FATE_COPY_IN || front->fate == FATE_TWO_COPIES) {
        model->copy = *front;
        model_say(model, front, "G");
    } else if (front->fate == FATE_COPY_IN_FAILS) {
        model_say(model, front, "G");
        model_fail(model, front);
    } else if (front->fate == FATE_COPY_OUT) {
        model_say(model, front, front->type == 'Q' ? "HddcCZ" : "HddcC");
    } else if (front->fate == FATE_EMPTY) {
        model_say(model, front, front->type == 'Q' ? "IZ" : "I");
    } else if (answers[(unsigned char)front->type] != NULL) {
        model_say(model, front, answers[(unsigned char)front->type]);
    }
}

static void
model_read(struct model *model)
{
    const struct front *const front = &model->in[model->in_done++];

    if (model->copy.type != 0) {
        model_copy_input(model, front);
        return;
    }
    if (front->type == 'S')
        model->skipping = false;
    if (!model->skipping && strchr("dcfH", front->type) == NULL)
        model_execute(model, front);
}

/* Whether anything that was sent will still be answered, or is being answered. */
static bool
model_owes(const struct model *model)
{
    static struct model ahead;

    ahead = *model;
    while (ahead.in_done < ahead.in_count)
        model_read(&ahead);
    return ahead.out_count > model->out_done || ahead.copy.type != 0;
}

/* How a client keeps to the protocol. */
enum manners {
    CAREFUL,
    CARELESS, /* sends Syncs among COPY data */
    RECKLESS, /* sends anything there, and behind it */
};

struct play {
    struct model model;
    struct requests requests;
    struct rng rng;
    enum manners manners;
    bool ready;              /* as the relay's: nothing more is to come */
    bool closed;             /* by the daemon, who cannot tell any more what is whose */
    char log[4 * MODEL_MAX]; /* both directions, for complaints */
    size_t log_len;
};

static void
play_note(struct play *play, char mark, char type)
{
    play->log[play->log_len++] = mark;
    play->log[play->log_len++] = type;
    play->log[play->log_len] = '\0';
}

static void
play_send_for(struct play *play, char type, enum fate fate, enum request_action action)
{
    struct requests *const requests = &play->requests;
    const uint32_t before = requests->count;
    const uint16_t mark = (uint16_t)play->model.in_count;

    play_note(play, action == REQUEST_FORWARD ? '>' : '}', type);
    assert_int_equal(requests_push(requests, type, action), 0);
    if (requests->count > before)
        requests_mark(requests, mark);
    play->ready = false;
    play->model.in[play->model.in_count++] = (struct front){type, fate, action, mark};
}

/* Where the relay sends the answer that comes next. */
static enum request_action
play_action(const struct play *play, char type)
{
    if (type == 'I' && requests_is_fence(&play->requests))
        return REQUEST_SKIP;
    return requests_action(&play->requests);
}

/* What the relay does at ReadyForQuery. Not always would it give the server to another client. */
static void
play_settle(struct play *play)
{
    const bool empty = requests_empty(&play->requests);
    const bool certain = requests_are_certain(&play->requests);

    play->closed = play->requests.is_lost;
    play->ready = empty && certain;
    if (!play->closed && empty && !certain && rng_below(&play->rng, 2) == 0)
        play_send_for(play, 'Q', FATE_EMPTY, REQUEST_FENCE);
}

/* Whether it is the head's; of Syncs in a row it does not matter which is answered. */
static bool
play_is_for_head(const struct play *play, const struct answer *answer)
{
    return play->requests.is_lost ||
           (answer->type == 'Z' && answer->front.type == 'S') || /* in doubt, or one of them */
           (!requests_empty(&play->requests) &&
            requests_head_mark(&play->requests) == answer->front.mark);
}

static void
play_deliver(struct play *play)
{
    const struct answer given = play->model.out[play->model.out_done++];
    const bool is_ours = given.front.action != REQUEST_FORWARD;

    play_note(play, '<', given.type);
    if ((play_action(play, given.type) == REQUEST_SKIP) != is_ours ||
        !play_is_for_head(play, &given))
        fail_msg("'%c' goes astray in %s", given.type, play->log);
    if (!requests_answer(&play->requests, given.type))
        fail_msg("out of step: %s", play->log);
    if (given.type == 'Z')
        play_settle(play);
}

/* Never free too early; free as soon as everything has come. */
static void
play_check(const struct play *play)
{
    const struct model *const model = &play->model;
    const bool empty = requests_empty(&play->requests);

    if (empty && requests_are_certain(&play->requests) && model_owes(model))
        fail_msg("free, but answers are owed: %s", play->log);
    if (model->in_done == model->in_count && model->out_done == model->out_count &&
        model->copy.type == 0 && !empty)
        fail_msg("still waits for the answer to '%c': %s", requests_head_type(&play->requests),
                 play->log);
}

/* The server takes in a message, or an answer comes. */
static void
play_go_on(struct play *play)
{
    struct model *const model = &play->model;

    if (rng_below(&play->rng, 3) == 0) {
        if (model->in_done < model->in_count)
            model_read(model);
    } else if (model->out_done < model->out_count) {
        play_deliver(play);
    }
    if (!play->closed)
        play_check(play);
}

/*
 * A message of the client. Others come and go meanwhile, and before its first request the daemon
 * may ask something itself.
 */
static void
play_send(struct play *play, char type, enum fate fate)
{
    while (!play->closed && rng_below(&play->rng, 3) == 0)
        play_go_on(play);
    if (play->closed)
        return;
    if (play->ready && rng_below(&play->rng, 3) == 0)
        play_send_for(play, 'Q', rng_below(&play->rng, 3) == 0 ? FATE_ERROR : FATE_FINE,
                      REQUEST_SKIP);
    play_send_for(play, type, fate, REQUEST_FORWARD);
}

static void
play_send_what_is_out_of_place(struct play *play)
{
    static const char types[] = "PBDECQF";

    if (play->manners >= CARELESS && rng_below(&play->rng, 4) == 0)
        play_send(play, 'S', FATE_FINE);
    if (play->manners == RECKLESS && rng_below(&play->rng, 8) == 0)
        play_send(play, types[rng_below(&play->rng, sizeof(types) - 1)], FATE_FINE);
}

static void
play_send_copy_data(struct play *play)
{
    while (rng_below(&play->rng, 3) != 0) {
        play_send_what_is_out_of_place(play);
        play_send(play, 'd', rng_below(&play->rng, 6) == 0 ? FATE_ERROR : FATE_FINE);
    }
    play_send(play, rng_below(&play->rng, 4) == 0 ? 'f' : 'c', FATE_FINE);
}

/* Whatever a client may send; a COPY with its data and what comes before and behind them. */
static void
play_send_something(struct play *play)
{
    static const char types[] = "QQPBDEECFSSSHHcfd";
    const char type = types[rng_below(&play->rng, sizeof(types) - 1)];
    enum fate fate = FATE_FINE;

    if (strchr("QPBDECFS", type) != NULL && rng_below(&play->rng, 6) == 0)
        fate = FATE_ERROR;
    else if ((type == 'Q' || type == 'E') && rng_below(&play->rng, 3) == 0)
        fate = (enum fate)(FATE_EMPTY + rng_below(&play->rng, type == 'Q' ? 5 : 4));
    play_send(play, type, fate);
    if (fate < FATE_COPY_IN)
        return;
    while (type == 'E' && rng_below(&play->rng, 3) == 0)
        play_send(play, 'S', FATE_FINE);
    play_send_copy_data(play);
    if (fate == FATE_TWO_COPIES)
        play_send_copy_data(play);
    if (play->manners == RECKLESS)
        play_send_what_is_out_of_place(play);
    if (type == 'E')
        play_send(play, 'S', FATE_FINE);
}

/* To the end of all that was sent. */
static void
play_finish(struct play *play)
{
    struct model *const model = &play->model;

    while (!play->closed &&
           (model->in_done < model->in_count || model->out_done < model->out_count)) {
        while (model->in_done < model->in_count)
            model_read(model);
        while (!play->closed && model->out_done < model->out_count)
            play_deliver(play);
        if (!play->closed)
            play_check(play);
    }
}

/* Whether it went to its end. */
static bool
play_one(struct play *play, uint64_t seed, enum manners manners)
{
    unsigned steps;

    memset(play, 0, sizeof(*play));
    requests_init(&play->requests);
    rng_seed(&play->rng, seed);
    play->manners = manners;
    play->ready = true;
    steps = 10 + (unsigned)rng_below(&play->rng, 60);
    while (steps-- > 0 && !play->closed) {
        if (rng_below(&play->rng, 4) == 0)
            play_send_something(play);
        else
            play_go_on(play);
    }
    play_finish(play);
    requests_done(&play->requests);
    return !play->closed;
}

#define PLAYS 10000

/* How many of the plays went to their end. */
static unsigned
play_many(enum manners manners)
{
    struct play *const play = malloc(sizeof(*play));
    unsigned finished = 0;

    assert_non_null(play);
    for (uint64_t seed = 1; seed <= PLAYS; seed++)
        finished += play_one(play, seed, manners);
    free(play);
    return finished;
}

/* Whatever they pipeline, there is always a way to go on. */
static void
test_random_sequences(void **state)
{
    (void)state;
    assert_int_equal(play_many(CAREFUL), PLAYS);
    assert_int_equal(play_many(CARELESS), PLAYS);
}

/* With these not always. */
static void
test_random_sequences_of_a_reckless_client(void **state)
{
    (void)state;
    assert_true(play_many(RECKLESS) > PLAYS / 4);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_sequences),
        cmocka_unit_test(test_random_sequences_of_a_reckless_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
