/*
 * statement.h - PgBouncer's grammar: one statement of the console, taken apart.
 *
 *     CMD [arg] [;]        SET key = value [;]        SET key TO 'value' [;]
 *
 * A word is letters, digits and underscores, or anything in double quotes; a value may stand in
 * single quotes. Case matters only within quotes.
 */
#pragma once

#include <stdbool.h>

/* The longest that PgBouncer takes, and a NUL. */
#define STATEMENT_COMMAND_MAX 16
#define STATEMENT_ARG_MAX     64
#define STATEMENT_VALUE_MAX   256

struct statement {
    char command[STATEMENT_COMMAND_MAX];
    char arg[STATEMENT_ARG_MAX]; /* "" without one; of SET: the key */
    char value[STATEMENT_VALUE_MAX];
    bool is_set; /* SET: value was given */
};

enum statement_result {
    STATEMENT_OK,
    STATEMENT_EMPTY,    /* blanks, comments and semicolons only */
    STATEMENT_SYNTAX,   /* `invalid command` */
    STATEMENT_TOO_LONG, /* `bad arguments` */
};

enum statement_result statement_parse(const char *sql, struct statement *ret_statement);
/* Whether it belongs to a word. */
bool statement_is_word(char c);
/* Behind blanks and comments. */
const char *statement_skip(const char *p);
