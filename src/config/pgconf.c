/*
 * From files to lines of words.
 */
#include "pgconf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "str.h"
#include "wipe.h"

/* A file that is being read, and the one that has named it. */
struct source {
    const char *path;
    const struct source *outer; /* NULL: a key of the configuration */
    unsigned depth;
    dev_t device; /* this and the inode recognise it under any path; 0: not known */
    ino_t inode;
};

static struct source
make_source(const char *path, const struct source *outer)
{
    struct source source = {path, outer, outer != NULL ? outer->depth + 1 : 0, 0, 0};
    struct stat status;

    if (stat(path, &status) == 0) {
        source.device = status.st_dev;
        source.inode = status.st_ino;
    }
    return source;
}

/* What a file is read for: its lines, or their words as those of the line that has @path. */
struct reading {
    struct pgconf *pgconf;
    const struct source *source;
    struct pgconf_line *into; /* NULL: lines */
    struct place place;       /* of the line that is being read */
};

static int read_file(struct pgconf *pgconf, const char *path, const struct source *outer,
                     const struct place *place, bool may_be_missing, struct pgconf_line *into);

int
pgconf_complain(struct pgconf *pgconf, const struct place *place, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    errors_vadd(pgconf->errors, pgconf->is_lenient, place, format, args);
    va_end(args);
    return -EINVAL;
}

struct pgconf_field
pgconf_field(const struct pgconf_line *line, size_t number)
{
    struct pgconf_field field = {.words = line->words};

    for (size_t i = 0; i < line->n_words; i++) {
        if (line->words[i].field == number)
            field.count++;
        else if (field.count == 0)
            field.words++;
    }
    return field;
}

bool
pgconf_word_is(const struct pgconf_word *word, const char *keyword)
{
    return !word->is_quoted && str_eq(word->text, keyword);
}

/* ---- words ---- */

static void
line_done(struct pgconf_line *line)
{
    for (size_t i = 0; i < line->n_words; i++)
        wipe_free(line->words[i].text); /* ldapbindpasswd=... */
    free(line->words);
}
DEFINE_CLEANUP_IN_PLACE(struct pgconf_line, line_done);

/* Takes over text, also on failure; NULL is "no memory for it". */
static int
line_add(struct pgconf_line *line, char *text, bool is_quoted)
{
    struct pgconf_word *words = line->words;

    if (text == NULL)
        return -ENOMEM;
    if ((line->n_words & (line->n_words - 1)) == 0) /* doubles at each power of two */
        words = realloc(words, MAX(2 * line->n_words, (size_t)1) * sizeof(*words));
    if (words == NULL) {
        free(text);
        return -ENOMEM;
    }
    line->words = words;
    words[line->n_words++] = (struct pgconf_word){text, is_quoted, line->n_fields - 1};
    return 0;
}

/* Takes what stands between quotes off *rest, which is behind the first. */
static int
unquote(const char **rest, struct buf *text)
{
    const char *p;

    for (p = *rest; *p != '\0'; p++) {
        if (*p == '"' && *++p != '"') {
            *rest = p;
            return 0;
        }
        if (buf_append_char(text, *p) < 0)
            return -ENOMEM;
    }
    return -EINVAL;
}

/* Takes a word off *rest, which stands at one. (strchr finds the NUL, too.) */
static int
take_word(const char **rest, struct buf *text)
{
    int r = 0;

    while (r == 0 && strchr(",#", **rest) == NULL && !str_is_blank(**rest)) {
        const char c = *(*rest)++;

        r = c == '"' ? unquote(rest, text) : buf_append_char(text, c);
    }
    return r;
}

static const char *
skip_separators(const char *p)
{
    while (*p == ',' || str_is_blank(*p))
        p++;
    return p;
}

static int
add_word(struct reading *reading, struct pgconf_line *line, bool is_quoted, struct buf *text)
{
    if (is_quoted || text->len < 2 || *text->data != '@')
        return line_add(line, strdup(buf_str(text)), is_quoted);
    return read_file(reading->pgconf, text->data + 1, reading->source, &reading->place, false,
                     line);
}

/* All the words of a line. After a comma the field goes on; those of an @path are of one field. */
static int
split_line(struct reading *reading, const char *p, struct pgconf_line *line)
{
    bool goes_on = reading->into != NULL;

    for (p = skip_separators(p); *p != '\0' && *p != '#'; p = skip_separators(p)) {
        CLEANUP(buf_done) struct buf text = BUF_INIT;
        const bool is_quoted = *p == '"';
        int r;

        r = take_word(&p, &text);
        if (r == -EINVAL)
            return pgconf_complain(reading->pgconf, &reading->place, "a quote does not end");
        line->n_fields += !goes_on;
        if (r == 0)
            r = add_word(reading, line, is_quoted, &text);
        if (r < 0)
            return r;
        goes_on = *p == ',' || reading->into != NULL;
    }
    return 0;
}

/* ---- lines ---- */

static int
include_directory(struct reading *reading, const char *path)
{
    const struct place *place = &reading->place;
    CLEANUP(buf_done) struct buf paths = BUF_INIT;
    int r;

    r = directory_read(path, &paths);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return pgconf_complain(reading->pgconf, place, "could not read the directory \"%s\": %s",
                               path, strerror(-r));
    for (size_t pos = 0; pos < paths.len; pos += strlen(paths.data + pos) + 1) {
        r = read_file(reading->pgconf, paths.data + pos, reading->source, place, false, NULL);
        if (r == -ENOMEM)
            return r;
    }
    return 0;
}

/* Absolute, or in the folder of the file that says it; owned, NULL: no memory. */
static char *
resolve_path(const struct source *outer, const char *path)
{
    const char *slash = strrchr(outer->path, '/');
    CLEANUP(buf_done) struct buf resolved = BUF_INIT;

    if (*path == '/' || slash == NULL)
        return strdup(path);
    if (buf_append(&resolved, outer->path, (size_t)(slash - outer->path) + 1) < 0 ||
        buf_append_str(&resolved, path) < 0)
        return NULL;
    return buf_steal(&resolved);
}

static int
include(struct reading *reading, const struct pgconf_line *line, const char *keyword)
{
    const char *path = line->n_words == 2 ? line->words[1].text : "";

    if (*path == '\0')
        return pgconf_complain(reading->pgconf, &reading->place, "%s needs one path", keyword);
    if (str_eq(keyword, "include_dir")) {
        CLEANUP(free) char *resolved = resolve_path(reading->source, path);

        return resolved != NULL ? include_directory(reading, resolved) : -ENOMEM;
    }
    return read_file(reading->pgconf, path, reading->source, &reading->place,
                     str_eq(keyword, "include_if_exists"), NULL);
}

/* NULL: a line that does not include others. */
static const char *
find_include(const struct pgconf_line *line)
{
    static const char *const keywords[] = {"include", "include_if_exists", "include_dir"};
    const struct pgconf_field field = pgconf_field(line, 0);

    for (size_t i = 0; field.count > 0 && i < ARRAY_SIZE(keywords); i++)
        if (pgconf_word_is(field.words, keywords[i]))
            return keywords[i];
    return NULL;
}

static int
parse_line(struct reading *reading, const char *text)
{
    CLEANUP(line_done) struct pgconf_line line = {.place = reading->place};
    const char *keyword;
    int r;

    if (reading->into != NULL)
        return split_line(reading, text, reading->into);
    r = split_line(reading, text, &line);
    if (r < 0 || line.n_fields == 0)
        return r;
    keyword = find_include(&line);
    if (keyword != NULL)
        return include(reading, &line, keyword);
    return reading->pgconf->line(reading->pgconf->arg, &line);
}

/* Takes a line and those that a "\" at its end joins to it; *line_number goes on behind them. */
static int
take_line(char **rest, struct buf *text, unsigned *line_number)
{
    bool goes_on = true;

    while (goes_on && *rest != NULL) {
        const char *part = strsep(rest, "\n");
        size_t len = strlen(part);

        if (len > 0 && part[len - 1] == '\r')
            len--;
        goes_on = len > 0 && part[len - 1] == '\\';
        if (buf_append(text, part, len - goes_on) < 0)
            return -ENOMEM;
        (*line_number)++;
    }
    return 0;
}

/* -EINVAL: a line was bad; the others have been read. */
static int
parse_text(struct reading *reading, char *text)
{
    unsigned next_line = 1;
    int result = 0;

    while (text != NULL && !errors_are_full(reading->pgconf->errors)) {
        CLEANUP(buf_done) struct buf line = BUF_INIT;
        int r;

        reading->place = (struct place){.file = reading->source->path, .line = next_line};
        r = take_line(&text, &line, &next_line);
        if (r == 0)
            r = parse_line(reading, buf_str(&line));
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            result = r;
    }
    return result;
}

/* ---- files ---- */

static bool
includes_itself(const struct source *source)
{
    for (const struct source *outer = source->outer; outer != NULL; outer = outer->outer)
        if (str_eq(outer->path, source->path) ||
            (outer->inode == source->inode && outer->device == source->device &&
             source->inode != 0))
            return true;
    return false;
}

static int
check_source(struct pgconf *pgconf, const struct source *source, const struct place *place)
{
    if (includes_itself(source))
        return pgconf_complain(pgconf, place, "\"%s\" includes itself", source->path);
    if (source->depth > PGCONF_DEPTH_MAX)
        return pgconf_complain(pgconf, place,
                               "\"%s\" is included too deeply; %d files is the limit", source->path,
                               PGCONF_DEPTH_MAX);
    if (++pgconf->n_files > PGCONF_FILES_MAX)
        return pgconf_complain(pgconf, place, "more than %d files are included", PGCONF_FILES_MAX);
    return 0;
}

/* -EINVAL: something was wrong, and is in the list of errors. */
static int
read_file(struct pgconf *pgconf, const char *path, const struct source *outer,
          const struct place *place, bool may_be_missing, struct pgconf_line *into)
{
    CLEANUP(free) char *resolved = resolve_path(outer, path);
    CLEANUP(file_done) struct buf text = BUF_INIT;
    struct source source;
    struct reading reading = {.pgconf = pgconf, .source = &source, .into = into};
    int r;

    if (resolved == NULL)
        return -ENOMEM;
    source = make_source(resolved, outer);
    r = check_source(pgconf, &source, place);
    if (r < 0)
        return r;
    r = file_read(resolved, &text);
    if (r == -ENOMEM || (r == -ENOENT && may_be_missing))
        return r == -ENOMEM ? r : 0;
    if (r < 0)
        return pgconf_complain(pgconf, place, "could not read \"%s\": %s", resolved, file_error(r));
    return parse_text(&reading, text.data);
}

int
pgconf_read(struct pgconf *pgconf, const char *path, const char *key, const struct place *place)
{
    CLEANUP(file_done) struct buf text = BUF_INIT;
    const struct source source = make_source(path, NULL);
    struct reading reading = {.pgconf = pgconf, .source = &source};
    int r;

    r = file_read(path, &text);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        errors_add(pgconf->errors, place, "%s: could not read \"%s\": %s", key, path,
                   file_error(r));
        return 0;
    }
    r = parse_text(&reading, text.data);
    return r == -ENOMEM ? r : 0;
}
