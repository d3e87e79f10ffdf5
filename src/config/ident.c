/*
 * The maps of auth_ident_file:
 *
 *     map-name  system-user  pg-user
 *
 * With a /regex as system-user, \1 in pg-user is what the first parentheses have matched.
 */
#include "hba_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"

#define REFERENCE "\\1"

struct ident_line {
    char *map; /* owned */
    struct hba_name system;
    struct hba_name pg;
};

struct ident {
    struct ref ref;
    struct ident_line *lines; /* owned; any that fits will do */
    size_t n_lines;
};

/* A file that is being read. */
struct reading {
    struct pgconf pgconf;
    struct ident *ident; /* owned by the caller */
};

static void
line_done(struct ident_line *line)
{
    free(line->map);
    hba_name_done(&line->system);
    hba_name_done(&line->pg);
}
DEFINE_CLEANUP_IN_PLACE(struct ident_line, line_done);

static bool
has_reference(const struct ident_line *line)
{
    return line->system.kind == HBA_REGEX && line->pg.kind == HBA_NAME &&
           strstr(line->pg.text, REFERENCE) != NULL;
}

static int
parse_line(struct pgconf *pgconf, const struct pgconf_line *words, struct ident_line *line)
{
    const struct pgconf_word *map = NULL, *system = NULL, *pg = NULL;
    int r;

    r = hba_single_word(pgconf, words, 0, "name of the map", &map);
    if (r == 0)
        r = hba_single_word(pgconf, words, 1, "system's user", &system);
    if (r == 0)
        r = hba_single_word(pgconf, words, 2, "database user", &pg);
    if (r == 0 && words->n_fields > 3)
        r = pgconf_complain(pgconf, &words->place, "the line goes on behind the database user");
    if (r == 0)
        r = hba_name_check_group(pgconf, &words->place, pg);
    if (r == 0)
        r = hba_name_parse(pgconf, &words->place, system, &line->system);
    if (r == 0)
        r = hba_name_parse(pgconf, &words->place, pg, &line->pg);
    if (r < 0)
        return r;
    if (line->system.kind == HBA_ALL)
        line->system.kind = HBA_NAME; /* a keyword only as the database user */
    if (has_reference(line) && line->system.regex.re_nsub == 0)
        return pgconf_complain(pgconf, &words->place,
                               "\"%s\" has no parentheses that " REFERENCE " could stand for",
                               line->system.text);
    line->map = strdup(map->text);
    return line->map != NULL ? 0 : -ENOMEM;
}

/* Takes what line has over. */
static int
add_line(struct ident *ident, struct ident_line *line)
{
    struct ident_line *lines = ident->lines;

    if ((ident->n_lines & (ident->n_lines - 1)) == 0) /* doubles at each power of two */
        lines = realloc(lines, MAX(2 * ident->n_lines, (size_t)1) * sizeof(*lines));
    if (lines == NULL)
        return -ENOMEM;
    ident->lines = lines;
    lines[ident->n_lines++] = *line;
    *line = (struct ident_line){0};
    return 0;
}

static int
read_line(void *arg, const struct pgconf_line *words)
{
    struct reading *reading = arg;
    CLEANUP(line_done) struct ident_line line = {0};
    const int r = parse_line(&reading->pgconf, words, &line);

    return r == 0 ? add_line(reading->ident, &line) : r;
}

int
ident_read(const char *path, const struct place *place, bool is_lenient,
           struct config_errors *errors, struct ident **ret_ident)
{
    CLEANUP(ident_unref) struct ident *ident = calloc(1, sizeof(*ident));
    struct reading reading = {.ident = ident};
    int r;

    if (ident == NULL)
        return -ENOMEM;
    ref_init(&ident->ref);
    reading.pgconf = (struct pgconf){
        .errors = errors, .is_lenient = is_lenient, .line = read_line, .arg = &reading};
    r = pgconf_read(&reading.pgconf, path, "auth_ident_file", place);
    if (r < 0)
        return r;
    *ret_ident = TAKE(ident);
    return 0;
}

/* Whether text is the name, with what the first parentheses have matched for its first \1. */
static bool
is_expanded(const char *name, const char *match, size_t match_len, const char *text)
{
    const char *reference = strstr(name, REFERENCE);
    const size_t before = (size_t)(reference - name);

    return strncmp(text, name, before) == 0 && strncmp(text + before, match, match_len) == 0 &&
           str_eq(text + before + match_len, reference + strlen(REFERENCE));
}

static bool
line_allows(const struct ident_line *line, const char *system_user, const char *pg_user)
{
    regmatch_t match[2];

    if (!has_reference(line))
        return hba_name_fits(&line->system, system_user) && hba_name_fits(&line->pg, pg_user);
    if (regexec(&line->system.regex, system_user, ARRAY_SIZE(match), match, 0) != 0 ||
        match[1].rm_so < 0)
        return false;
    return is_expanded(line->pg.text, system_user + match[1].rm_so,
                       (size_t)(match[1].rm_eo - match[1].rm_so), pg_user);
}

bool
ident_map_allows(const struct ident *ident, const char *map, const char *system_user,
                 const char *pg_user)
{
    if (map == NULL)
        return str_eq(system_user, pg_user);
    for (size_t i = 0; ident != NULL && i < ident->n_lines; i++)
        if (str_eq(ident->lines[i].map, map) && line_allows(&ident->lines[i], system_user, pg_user))
            return true;
    return false;
}

bool
ident_has_map(const struct ident *ident, const char *map)
{
    for (size_t i = 0; ident != NULL && i < ident->n_lines; i++)
        if (str_eq(ident->lines[i].map, map))
            return true;
    return false;
}

struct ident *
ident_ref(struct ident *ident)
{
    ref_get(&ident->ref);
    return ident;
}

void
ident_unref(struct ident *ident)
{
    if (ident == NULL || !ref_put(&ident->ref))
        return;
    for (size_t i = 0; i < ident->n_lines; i++)
        line_done(&ident->lines[i]);
    free(ident->lines);
    free(ident);
}
