/*
 * requests.h - what a server still has to answer, in order, and to whom each answer goes.
 *
 * Every message sent to the server that is answered (or that ends something) is a request here,
 * from its sending to its last answer; so the queue says where the next answer goes, and an empty
 * queue that the server is free.
 *
 *     Q F S   answered up to ReadyForQuery      P B D E C   answered by one message or an error,
 *     c f     end a COPY, not answered                      after which all up to S are skipped
 *
 * Thread: the server's. Pure: no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "list.h"

/* What happens to the answer. */
enum request_action {
    REQUEST_FORWARD, /* it goes to the client */
    REQUEST_SKIP,    /* the daemon asked: it is swallowed */
    REQUEST_FENCE, /* an empty query of the daemon; what comes before its answer is the client's */
    /*
     * About prepared statements. Their success is shown so, their failure, and what else
     * the server says meanwhile, is the client's.
     */
    REQUEST_QUIET,    /* the daemon's, ahead of a message of the client: nobody sees it */
    REQUEST_AS_PARSE, /* a Close in the place of the client's Parse: a ParseComplete */
    REQUEST_REFUSED,  /* a Parse that must fail: success means that we are out of step */
};

enum request_outcome {
    REQUEST_DONE,
    REQUEST_FAILED,
    REQUEST_SKIPPED, /* the server has passed it over, or is no more */
};

/* Embedded in what is to be told of a request's end; resolve, called once, owns it then. */
struct request_op {
    struct list link;
    void (*resolve)(struct request_op *op, enum request_outcome outcome);
};

struct request {
    char type;          /* of the frontend message */
    uint8_t action : 7; /* enum request_action */
    uint8_t has_op : 1; /* the next of ops is told of its end */
    uint16_t mark;      /* of whoever has entered it; 0: none */
};

struct requests {
    struct request *ring; /* owned, or NULL */
    uint32_t size;        /* of ring; a power of two */
    uint32_t head;
    uint32_t count;
    bool skipping;   /* an error was answered: all up to the next Sync is dropped */
    bool copy_in;    /* the server reads COPY data */
    bool owes_ready; /* a query was passed over, for what was ahead of it: a Sync is to be sent */
    bool flushed;    /* a Flush that must_flush has told of is behind all of them */
    bool is_lost;    /* what will be answered cannot be known: the connection is of no more use */
    /*
     * Syncs among COPY data. The server passes over them, but if the COPY fails it answers those
     * that it had not read by then. So it may say ReadyForQuery so many times more, until it
     * answers what came behind them.
     */
    uint64_t doubtful;
    struct list ops;   /* struct request_op, in the order of their requests */
    uint32_t resolved; /* how many ops were told, ever */
    uint32_t dropped;  /* how many requests were answered or passed over, ever */
    /*
     * Counts the Syncs, and the queries with an op, which change something or do not while what
     * comes behind them is executed. After an error the server passes over all up to a Sync; so
     * within a segment each message is executed only if all before it were.
     */
    uint32_t segment;
};

/* From here on no more is taken in until some are answered; see relay.c. */
#define REQUESTS_HIGH 65536

void requests_init(struct requests *requests);
void requests_done(struct requests *requests);
/* Empty and with the state of a new connection. */
void requests_reset(struct requests *requests);

static inline bool
requests_empty(const struct requests *requests)
{
    return requests->count == 0;
}

/* Whether nothing comes but the answers to what was entered. */
static inline bool
requests_are_certain(const struct requests *requests)
{
    return requests->doubtful == 0 && !requests->is_lost;
}

/*
 * A message of this type is being sent. Messages without an answer (CopyData, Flush) are not
 * entered, nor is what the server will ignore. 0 or -ENOMEM.
 */
int requests_push(struct requests *requests, char type, enum request_action action);
/*
 * The same, and op hears of its end: at once if the server will not look at it. On failure op is
 * still the caller's.
 */
int requests_push_op(struct requests *requests, char type, enum request_action action,
                     struct request_op *op);
/* Of what was entered last. */
void requests_mark(struct requests *requests, uint16_t mark);
/* A number of what was entered last, and how many are to be answered before the one that has it. */
static inline uint32_t
requests_last(const struct requests *requests)
{
    return requests->dropped + requests->count - 1;
}
static inline uint32_t
requests_before(const struct requests *requests, uint32_t number)
{
    return number - requests->dropped;
}
/* The answer to the head, a Sync, is nobody's. */
void requests_swallow_head(struct requests *requests);
/* The server is lost: all ops are told. */
void requests_abandon_ops(struct requests *requests);

/* Whether the server will not look at what is sent now: an error, or COPY data, came before it. */
bool requests_passes_over_now(const struct requests *requests);
static inline bool
requests_passes_over(const struct requests *requests)
{
    return (requests->skipping || requests->copy_in) && requests_passes_over_now(requests);
}

/* Where the answer that comes next goes; FORWARD when nothing is asked (notices and the like). */
static inline enum request_action
requests_action(const struct requests *requests)
{
    enum request_action action;

    if (requests->count == 0)
        return REQUEST_FORWARD;
    action = (enum request_action)requests->ring[requests->head].action;
    if (action == REQUEST_FENCE)
        return requests->doubtful > 0 ? REQUEST_FORWARD : REQUEST_SKIP;
    return action;
}

/* Whether what is being answered has an op. */
static inline bool
requests_head_has_op(const struct requests *requests)
{
    return requests->count > 0 && requests->ring[requests->head].has_op;
}

/* What it was marked with. */
static inline uint16_t
requests_head_mark(const struct requests *requests)
{
    return requests->count == 0 ? 0 : requests->ring[requests->head].mark;
}

/* Whether the server's next own answer is that of a fence. */
static inline bool
requests_is_fence(const struct requests *requests)
{
    return requests->count > 0 && requests->ring[requests->head].action == REQUEST_FENCE;
}

/* What the server is answering: the frontend message's type, or 0. */
static inline char
requests_head_type(const struct requests *requests)
{
    return requests->count == 0 ? 0 : requests->ring[requests->head].type;
}

/* Whether nothing is on its way that could fail. */
bool requests_are_syncs(const struct requests *requests);

/*
 * Whether a Flush is to be sent, since answers may stay with the server until it is told to send
 * them; true once for what was entered so far.
 */
bool requests_must_flush(struct requests *requests);

/*
 * The server has sent a message of this type (any but DataRow and CopyData may matter). Returns
 * false for a ReadyForQuery that nobody asked for: then the two are out of step.
 */
bool requests_answer(struct requests *requests, char type);
