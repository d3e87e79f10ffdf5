/*
 * quote.h - text made safe to stand in a SQL command.
 *
 * The results mean the same whatever standard_conforming_strings is, and cannot be broken out of
 * in any client_encoding.
 */
#pragma once

struct buf;

/* 'it''s', or, with backslashes in the text, " E'...'" with a blank in front. 0 or -ENOMEM. */
int quote_literal(struct buf *buf, const char *text);
/* "name", always in quotes. 0 or -ENOMEM. */
int quote_ident(struct buf *buf, const char *name);
