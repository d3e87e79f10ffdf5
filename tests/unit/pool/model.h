/*
 * model.h - a small PostgreSQL: statements, portals, transactions, COPY, function calls, a
 * parameter, cancels, and errors that skip to a Sync.
 *
 * What a statement does is its text:
 *
 *     begin, rollback, DEALLOCATE x, DEALLOCATE ALL, DISCARD ALL, SET application_name = 'x'
 *     bad ...      cannot be parsed             rows ...     three rows, of which an Execute may
 *     die ...      fails when it runs                        take fewer
 *     notice ...   says something first         big ...      a row that is longer than any buffer
 *     copy in, copy out, copy both              copy none    fails behind its CopyInResponse
 *     show         a row with the parameter     anything else is a row with the text in it
 *
 * The end of a query's text, or the value that a Bind has, may be a mark, "c1.23;": number 23 of
 * client 1. Rows show it, and cancels are known by what they hit.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

#define MODEL_NAMES   64
#define MODEL_PORTALS 4
#define MODEL_NAME    64
#define MODEL_TEXT    64
#define MODEL_MARK    16
#define MODEL_BIG     100000 /* bytes of a big row, or value */
#define MODEL_FATES   512

struct model_statement {
    char name[MODEL_NAME]; /* "": free, but for the first, which is the unnamed one */
    char text[MODEL_TEXT]; /* "": there is none */
};

struct model_portal {
    bool exists; /* the first is the unnamed one */
    char name[MODEL_NAME];
    char text[MODEL_TEXT];
    char mark[MODEL_MARK];
    unsigned rows; /* that were sent */
    unsigned runs; /* Executes */
};

/* What cancels have hit: the servers' models write it, those of the clients repeat it. */
struct model_fate {
    char mark[MODEL_MARK];
    unsigned step; /* of what has that mark */
};

struct model_fates {
    struct model_fate hits[MODEL_FATES];
    unsigned count;
};

enum model_copy {
    MODEL_NO_COPY,
    MODEL_COPY_IN,
    MODEL_COPY_BOTH,
};

struct model {
    struct model_statement statements[MODEL_NAMES];
    struct model_portal portals[MODEL_PORTALS];
    struct model_fates *fates; /* borrowed */
    char application_name[MODEL_NAME];
    char reported[MODEL_NAME]; /* the same, as last told */
    char status;
    bool skipping;
    enum model_copy copy;
    bool copy_is_query;         /* it ends with ReadyForQuery */
    char copy_mark[MODEL_MARK]; /* of what is copied */
    unsigned copy_step;         /* messages of it */
    char cancel;                /* a cancel has come that client '0', '1', ... asked for; 0: none */
    struct buf output;          /* owned */
    unsigned count;             /* named statements */
    unsigned most;              /* the highest count there was */
};

void model_init(struct model *model, struct model_fates *fates);
void model_done(struct model *model);
/* The model is as past was; its output is empty. */
void model_return_to(struct model *model, const struct model *past);
/* A whole message with its header; the answers are appended to output. */
void model_message(struct model *model, const char *data, size_t len);
/* The same message; it was cancelled in the pooler's queue. */
void model_cancelled_message(struct model *model, const char *data, size_t len);
