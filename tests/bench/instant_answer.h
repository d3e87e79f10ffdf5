/*
 * instant_answer.h - what the instant server says to one message of a client.
 *
 * It knows just enough SQL to choose a tag and a transaction status. What it says was made before
 * the first client came, and is only copied. A text that has `bytes=N` in it has N bytes of rows as
 * its result: these are not copied at all, but left to whoever sends.
 *
 * It believes its clients: a message that is cut short would be read beyond its end.
 *
 * Thread: a dialogue belongs to one; the answers are made once and then shared.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "map.h"
#include "pg.h"

struct buf;
struct kind;
struct startup;

#define ANSWER_ROW_SIZE  1000 /* a DataRow with its header */
#define ANSWER_ROWS_SIZE (256 * ANSWER_ROW_SIZE)

/* What a text asks for. */
struct command {
    const struct kind *kind;
    uint64_t bytes;  /* of rows; 0: one row of one column */
    uint16_t params; /* as many as it has $n */
};

/* The state of one session. */
struct dialogue {
    enum ready_status status;
    bool skipping; /* after an error, until Sync */
    struct map statements;
    struct command unnamed; /* the unnamed statement */
    struct command bound;   /* what the last portal is of; the only one that is known */
    uint64_t rows;          /* of the big result that is being sent */
    uint64_t rows_left;     /* bytes of it, to be sent before anything else is answered */
    size_t query_done;      /* bytes of the Query, or the Execute, under way that are answered */
};

/* Rows without end, from any of their beginnings; rows_left says where to begin. */
extern char answer_rows[ANSWER_ROWS_SIZE];

void answer_prepare(void);

void dialogue_init(struct dialogue *dialogue);
void dialogue_done(struct dialogue *dialogue);

/* What follows the startup packet, as far as ReadyForQuery. */
void dialogue_welcome(const struct startup *startup, uint32_t pid, struct buf *out);
/*
 * Appends the answer to one message. False: it is not finished with it. Then rows_left is to be
 * sent after out, dialogue_end_rows() called, and the same message shown again.
 */
bool dialogue_answer(struct dialogue *dialogue, char type, const char *body, struct buf *out);
/* Where in answer_rows what is left of them begins. */
static inline size_t
dialogue_row_offset(const struct dialogue *dialogue)
{
    return (ANSWER_ROW_SIZE - dialogue->rows_left % ANSWER_ROW_SIZE) % ANSWER_ROW_SIZE;
}
/* What follows the rows. */
void dialogue_end_rows(struct dialogue *dialogue, struct buf *out);
