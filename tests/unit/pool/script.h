/*
 * script.h - what a client of the property test says: a random sequence of messages, each of which
 * makes sense after those before it, or is at least answered by PostgreSQL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "model.h"

struct rng;

#define SCRIPT_MOST 500

struct script_message {
    size_t at;
    size_t end;
    size_t answered; /* bytes of answers up to and with this message's; see script_expect */
    bool is_gate;    /* what comes behind it is not sent before all these have come */
};

/* How the client is. */
struct script_style {
    unsigned client; /* its digit in marks */
    bool has_transactions;
    bool has_session;   /* CopyBoth */
    bool has_own_names; /* nobody rewrites them */
    bool is_careless;   /* it may break the protocol, and be closed for it */
};

struct script {
    struct script_style style;
    struct rng *rng; /* borrowed */
    struct buf bytes;
    struct script_message messages[SCRIPT_MOST];
    unsigned count;
    unsigned marks; /* given out, ever */
};

void script_done(struct script *script);
/* A new text. */
void script_write(struct script *script);
/*
 * What model says to it. Those of its messages in cancelled, in order, were cancelled in the queue.
 */
void script_expect(struct script *script, struct model *model, const unsigned *cancelled,
                   unsigned cancelled_count);
/* How many bytes may be sent, when so many bytes of answers have come. */
size_t script_allowed(const struct script *script, size_t answered);
/* The first message that needs a server when so many bytes of answers have come. */
unsigned script_first_open(const struct script *script, size_t answered);
