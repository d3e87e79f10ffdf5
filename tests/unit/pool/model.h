/*
 * model.h - a small PostgreSQL: named statements, portals, transactions, errors that skip to a
 * Sync.
 *
 * What a statement does is its text: "begin", "rollback", "deallocate all", "discard all", "bad
 * ..." cannot be parsed, "die ..." fails when it runs, anything else is a row with the text in it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

#define MODEL_NAMES 64
#define MODEL_NAME  64
#define MODEL_TEXT  64

struct model_statement {
    char name[MODEL_NAME]; /* "": free, but for the first, which is the unnamed one */
    char text[MODEL_TEXT]; /* "": there is none */
};

struct model {
    struct model_statement statements[MODEL_NAMES];
    char portal[MODEL_TEXT]; /* the unnamed one; "": there is none */
    char status;
    bool skipping;
    struct buf output; /* owned */
    unsigned count;    /* named statements */
    unsigned most;     /* the highest count there was */
};

void model_init(struct model *model);
void model_done(struct model *model);
/* A whole message with its header; the answers are appended to output. */
void model_message(struct model *model, const char *data, size_t len);
