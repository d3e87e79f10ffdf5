/*
 * PgBouncer's ini grammar:
 *
 *     file    = { blank | section | include | comment | key }
 *     section = "[" name "]"                    more may follow on the line
 *     include = "%include" blank path           relative to the working directory
 *     comment = ("#" | ";") ...                 only where a key could begin
 *     key     = name [blank] "=" [blank] value  the value goes to the end of the line
 *     name    = letters, digits and _.-*  |  'any text, with '' for a quote'
 *
 * What does not fit is an error, and the rest of the line is skipped, so that all errors are found.
 */
#include "config_int.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "str.h"

/* A file that was read, and while that goes on, the one that includes it. */
struct ini_file {
    struct ini_file *next;        /* in ini->files, which owns it */
    struct ini_file *included_by; /* borrowed */
    unsigned depth;
    dev_t device;
    ino_t inode;
    char name[];
};

/* Where the parser is. */
struct cursor {
    char *p;
    struct place place;
};

static void
skip_blanks(struct cursor *cursor)
{
    while (*cursor->p == ' ' || *cursor->p == '\t')
        cursor->p++;
}

/* To the next thing on this or a later line. */
static void
skip_space(struct cursor *cursor)
{
    for (; str_is_blank(*cursor->p); cursor->p++)
        if (*cursor->p == '\n')
            cursor->place.line++;
}

static void
skip_line(struct cursor *cursor)
{
    cursor->p += strcspn(cursor->p, "\n");
}

/* What is left of the line, without the blanks at its end. The cursor is then on the next line. */
static char *
take_line(struct cursor *cursor)
{
    char *text, *end;

    skip_blanks(cursor);
    text = cursor->p;
    skip_line(cursor);
    end = cursor->p;
    if (*cursor->p == '\n') {
        cursor->p++;
        cursor->place.line++;
    }
    while (end > text && str_is_blank(end[-1]))
        end--;
    *end = '\0';
    return text;
}

/* 'it''s' -> it's; NULL when no quote ends it on this line. */
static char *
take_quoted(struct cursor *cursor)
{
    char *from = cursor->p + 1;
    char *const text = from;
    char *to = from;

    for (; *from != '\n' && *from != '\0'; *to++ = *from++) {
        if (*from != '\'')
            continue;
        if (from[1] != '\'') {
            *to = '\0';
            cursor->p = from + 1;
            return text;
        }
        from++;
    }
    return NULL;
}

static size_t
bare_name_length(const char *text)
{
    size_t len = 0;

    while (isalnum((unsigned char)text[len]) || (text[len] != '\0' && strchr("_.-*", text[len])))
        len++;
    return len;
}

/* The name and the "=" behind it. NULL for a line that is none of this. */
static char *
take_name(struct cursor *cursor)
{
    char *name = cursor->p;
    char *end;

    if (*name == '\'') {
        name = take_quoted(cursor);
        end = NULL;
    } else {
        cursor->p += bare_name_length(name);
        end = cursor->p;
        if (end == name)
            return NULL;
    }
    if (name == NULL)
        return NULL;
    skip_blanks(cursor);
    if (*cursor->p != '=')
        return NULL;
    cursor->p++;
    if (end != NULL)
        *end = '\0';
    return name;
}

static int
parse_key(struct ini *ini, struct cursor *cursor)
{
    const struct place place = cursor->place;
    char *name = take_name(cursor);
    char *value;

    if (name == NULL) {
        errors_add(ini->errors, &place, "syntax error: neither [section] nor key = value");
        skip_line(cursor);
        return 0;
    }
    value = take_line(cursor);
    return ini->handler->key(ini->arg, &place, name, value);
}

static int
parse_section(struct ini *ini, struct cursor *cursor)
{
    char *const name = cursor->p + 1;
    char *const end = name + strcspn(name, "]\n");

    if (*end != ']') {
        errors_add(ini->errors, &cursor->place, "syntax error: \"[\" without \"]\"");
        skip_line(cursor);
        return 0;
    }
    *end = '\0';
    cursor->p = end + 1;
    return ini->handler->section(ini->arg, &cursor->place, name);
}

static int parse_file(struct ini *ini, const char *path, const struct place *place,
                      struct ini_file *included_by);

static int
parse_include(struct ini *ini, struct cursor *cursor, struct ini_file *file)
{
    const struct place place = cursor->place;

    cursor->p += strlen("%include");
    return parse_file(ini, take_line(cursor), &place, file);
}

static bool
is_include(const char *text)
{
    return str_starts_with(text, "%include") && (text[8] == ' ' || text[8] == '\t');
}

static int
parse_text(struct ini *ini, char *text, struct ini_file *file)
{
    struct cursor cursor = {.p = text, .place = {.file = file->name, .line = 1}};
    int r = 0;

    assert(text != NULL);
    while (r == 0 && !errors_are_full(ini->errors)) {
        skip_space(&cursor);
        if (*cursor.p == '\0')
            break;
        if (is_include(cursor.p))
            r = parse_include(ini, &cursor, file);
        else if (*cursor.p == '#' || *cursor.p == ';')
            skip_line(&cursor);
        else if (*cursor.p == '[')
            r = parse_section(ini, &cursor);
        else
            r = parse_key(ini, &cursor);
    }
    return r;
}

/* Keeps the name, and what recognises the file when it comes again. */
static int
ini_add_file(struct ini *ini, const char *path, struct ini_file *included_by,
             struct ini_file **ret_file)
{
    const size_t size = strlen(path) + 1;
    struct ini_file *file = calloc(1, sizeof(*file) + size);
    struct stat status;

    if (file == NULL)
        return -ENOMEM;
    memcpy(file->name, path, size);
    if (stat(path, &status) == 0) {
        file->device = status.st_dev;
        file->inode = status.st_ino;
    }
    file->included_by = included_by;
    file->depth = included_by != NULL ? included_by->depth + 1 : 0;
    file->next = ini->files;
    ini->files = file;
    *ret_file = file;
    return 0;
}

static bool
includes_itself(const struct ini_file *file)
{
    for (const struct ini_file *outer = file->included_by; outer != NULL;
         outer = outer->included_by)
        if (str_eq(outer->name, file->name) ||
            (outer->inode == file->inode && outer->device == file->device && file->inode != 0))
            return true;
    return false;
}

/* place is that of the %include, NULL for the first file. */
static int
parse_file(struct ini *ini, const char *path, const struct place *place,
           struct ini_file *included_by)
{
    CLEANUP(file_done) struct buf text = BUF_INIT;
    struct ini_file *file;
    int r;

    r = ini_add_file(ini, path, included_by, &file);
    if (r < 0)
        return r;
    if (includes_itself(file)) {
        errors_add(ini->errors, place, "\"%s\" includes itself", path);
        return 0;
    }
    if (file->depth > INI_DEPTH_MAX) {
        errors_add(ini->errors, place, "\"%s\" is included too deeply; %d files is the limit", path,
                   INI_DEPTH_MAX);
        return 0;
    }
    if (++ini->n_files > INI_FILES_MAX) {
        errors_add(ini->errors, place, "more than %d files are included", INI_FILES_MAX);
        return 0;
    }
    r = file_read(path, &text);
    if (r == -ENOMEM)
        return r;
    if (r == 0)
        return parse_text(ini, text.data, file);
    errors_add(ini->errors, place, "could not read \"%s\": %s", path, file_error(r));
    return 0;
}

int
ini_parse(struct ini *ini, const char *path)
{
    return parse_file(ini, path, NULL, NULL);
}

void
ini_done(struct ini *ini)
{
    struct ini_file *file;

    while ((file = ini->files) != NULL) {
        ini->files = file->next;
        free(file);
    }
}
