/*
 * pgconf.h - the grammar that pg_hba.conf and pg_ident.conf have in common.
 *
 *     line  = { field } [ "#" ... ]      blanks between; "\" at its end: the next one belongs to it
 *     field = word { "," word }
 *     word  = { any but blank, comma, "#" | '"' any, "" for a quote '"' }
 *
 *     @path as a word stands for all the words of that file. These lines stand for others:
 *
 *     include path         include_if_exists path         include_dir path
 *
 * A relative path is relative to the file that it stands in. A word that begins with a quote is
 * only a name: neither a keyword, nor an @path.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config_int.h"

struct hba_name;

struct pgconf_word {
    char *text; /* owned */
    bool is_quoted;
    size_t field; /* the number of the field that it belongs to */
};

struct pgconf_line {
    struct place place;
    struct pgconf_word *words; /* owned */
    size_t n_words;
    size_t n_fields;
};

/* The words of one field, borrowed from the line. */
struct pgconf_field {
    const struct pgconf_word *words;
    size_t count; /* 0: no such field, or an @path without words */
};

struct pgconf_field pgconf_field(const struct pgconf_line *line, size_t number);
/* "all" for all, but not for "all" in quotes. */
bool pgconf_word_is(const struct pgconf_word *word, const char *keyword);

#define PGCONF_DEPTH_MAX 10
#define PGCONF_FILES_MAX 1000

struct pgconf {
    struct config_errors *errors;
    bool is_lenient; /* what is wrong is a warning */
    /*
     * Called with each line that has a field. 0; -EINVAL, after pgconf_complain: the reader goes on
     * with the next line; -ENOMEM, which ends it.
     */
    int (*line)(void *arg, const struct pgconf_line *line);
    void *arg;
    unsigned n_files; /* read so far, 0 at first */
};

/* 0 or -ENOMEM; what is wrong is in the list of errors. key has named the file, at place. */
int pgconf_read(struct pgconf *pgconf, const char *path, const char *key,
                const struct place *place);
/* Returns -EINVAL. */
int pgconf_complain(struct pgconf *pgconf, const struct place *place, const char *format, ...)
    PRINTF_LIKE(3, 4);
