/*
 * A word that stands for databases or users.
 */
#include "hba_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"

int
hba_single_word(struct pgconf *pgconf, const struct pgconf_line *line, size_t field,
                const char *what, const struct pgconf_word **ret_word)
{
    const struct pgconf_field words = pgconf_field(line, field);

    if (words.count == 0)
        return pgconf_complain(pgconf, &line->place, "the line ends before the %s", what);
    if (words.count > 1)
        return pgconf_complain(pgconf, &line->place, "only one %s is allowed", what);
    *ret_word = words.words;
    return 0;
}

int
hba_name_check_group(struct pgconf *pgconf, const struct place *place,
                     const struct pgconf_word *word)
{
    if (word->is_quoted || *word->text != '+')
        return 0;
    return pgconf_complain(pgconf, place,
                           "\"%s\" is not supported: who is in a group stands in the catalog of a "
                           "server; list the names, in an @file maybe, or use a /regex",
                           word->text);
}

static int
compile(struct pgconf *pgconf, const struct place *place, struct hba_name *name)
{
    const int r = regcomp(&name->regex, name->text + 1, REG_EXTENDED);
    char why[128];

    if (r == REG_ESPACE)
        return -ENOMEM;
    if (r != 0) {
        (void)regerror(r, &name->regex, why, sizeof(why));
        return pgconf_complain(pgconf, place, "invalid regular expression \"%s\": %s",
                               name->text + 1, why);
    }
    name->kind = HBA_REGEX;
    return 0;
}

int
hba_name_parse(struct pgconf *pgconf, const struct place *place, const struct pgconf_word *word,
               struct hba_name *ret_name)
{
    struct hba_name name = {.kind = pgconf_word_is(word, "all") ? HBA_ALL : HBA_NAME};
    int r = 0;

    name.text = strdup(word->text);
    if (name.text == NULL)
        return -ENOMEM;
    if (*name.text == '/')
        r = compile(pgconf, place, &name);
    if (r < 0) {
        free(name.text);
        return r;
    }
    *ret_name = name;
    return 0;
}

void
hba_name_done(struct hba_name *name)
{
    if (name->kind == HBA_REGEX)
        regfree(&name->regex);
    free(name->text);
}

bool
hba_name_fits(const struct hba_name *name, const char *text)
{
    switch (name->kind) {
    case HBA_ALL:
        return true;
    case HBA_NAME:
        return str_eq(name->text, text);
    case HBA_REGEX:
        return regexec(&name->regex, text, 0, NULL, 0) == 0;
    case HBA_SAMEUSER:
    case HBA_REPLICATION:
        break;
    }
    return false;
}
