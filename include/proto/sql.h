/*
 * sql.h - the words of a SQL text: just enough to recognise a few commands for certain.
 *
 * What is not plainly such a command is none: the server decides what it is.
 *
 * Thread: any. Pure: tokens point into the text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* PostgreSQL's longest identifier, with its NUL. */
#define SQL_WORD_MAX 64

/* How the server reads a text. */
struct sql_dialect {
    bool escapes; /* '\'' is a string: standard_conforming_strings is off */
    bool opaque;  /* letters of several bytes may have bytes that look like ASCII (SJIS, say) */
};

enum sql_kind {
    SQL_END,
    SQL_WORD,      /* a keyword or an identifier, as PostgreSQL would fold it */
    SQL_SEMICOLON, /* ; */
    SQL_OTHER,     /* a number, an operator, a string, ... */
};

struct sql_token {
    enum sql_kind kind;
    bool quoted;             /* a word in double quotes: an identifier in any case */
    const char *start;       /* in the text; it goes on to where *pos is then */
    char text[SQL_WORD_MAX]; /* of a word, cut to what PostgreSQL looks at */
};

/* The next token of a text, behind blanks and comments; *pos moves behind it. */
void sql_next(const char **pos, const struct sql_dialect *dialect, struct sql_token *ret_token);

/* What a text does to prepared statements. */
enum sql_effect {
    SQL_NOTHING,      /* nothing, as far as can be seen */
    SQL_PREPARES,     /* it is one PREPARE */
    SQL_EXECUTES,     /* one EXECUTE, or EXPLAIN or CREATE TABLE AS of one */
    SQL_FORGETS,      /* one DEALLOCATE of one name */
    SQL_FORGETS_MORE, /* it begins with some other DEALLOCATE, or with DISCARD */
};

struct sql_command {
    enum sql_effect effect;
    const char *name_start; /* where the name stands in the text; NULL if there is none */
    const char *name_end;
    const char *end; /* of the command: what is behind it says nothing */
    char name[SQL_WORD_MAX];
};

void sql_recognise(const char *text, const struct sql_dialect *dialect,
                   struct sql_command *ret_command);

/* Whether text may be a command that sql_recognise knows, by its first letters. */
static inline bool
sql_may_matter(const char *text)
{
    switch (*text) {
    case 'C':
    case 'c':
    case 'P':
    case 'p':
        return (text[1] | 0x20) == 'r';
    case 'D':
    case 'd':
        return true;
    case 'E':
    case 'e':
        return (text[1] | 0x20) == 'x';
    default:
        return *text > '\0' && *text <= '/';
    }
}

/*
 * Whether a text begins with a command that may alter how other texts are read: a setting, or what
 * a name means. What functions do cannot be seen, but for set_config() where a text begins with it.
 */
bool sql_alters(const char *text);

/* Whether text begins with RESET. */
bool sql_resets(const char *text);

/* The same, for most texts without a look behind their first letters. */
static inline bool
sql_may_alter(const char *text)
{
    switch (*text | 0x20) {
    case 's': /* of the SELECTs only that of a function like set_config */
        return (text[1] | 0x20) == 'e' && text[2] != '\0' &&
               ((text[2] | 0x20) == 't' ||
                (strnlen(text, 8) == 8 && ((text[7] | 0x20) == 's' || (text[7] | 0x20) == 'p'))) &&
               sql_alters(text);
    case 'c':
    case 'd':
    case 'i':
    case 'l':
    case 'r':
        return sql_alters(text);
    default:
        return *text > '\0' && *text <= '/' && sql_alters(text);
    }
}
