/*
 * sql.h - the words of a SQL text: just enough to recognise a few commands for certain.
 *
 * What is not plainly such a command is none: the server decides what it is.
 */
#pragma once

#include <stdbool.h>

/* PostgreSQL's longest identifier, with its NUL. */
#define SQL_WORD_MAX 64

enum sql_kind {
    SQL_END,
    SQL_WORD,      /* a keyword or an identifier, as PostgreSQL would fold it */
    SQL_SEMICOLON, /* ; */
    SQL_OTHER,     /* a number, an operator, a string, ... */
};

struct sql_token {
    enum sql_kind kind;
    bool quoted;             /* a word in double quotes: an identifier in any case */
    char text[SQL_WORD_MAX]; /* of a word, cut to what PostgreSQL looks at */
};

/* The next token of a text, behind blanks and comments; *pos moves behind it. */
void sql_next(const char **pos, struct sql_token *ret_token);

/* What a text does to prepared statements. */
enum sql_effect {
    SQL_NOTHING,      /* nothing, as far as can be seen */
    SQL_FORGETS,      /* it is one DEALLOCATE of one name */
    SQL_FORGETS_MORE, /* it begins with some other DEALLOCATE, or with DISCARD */
};

/* SQL_FORGETS: ret_name is the name. */
enum sql_effect sql_effect(const char *text, char ret_name[SQL_WORD_MAX]);
