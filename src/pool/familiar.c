#include "familiar.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "hash.h"
#include "settings.h"
#include "statement.h"

#define FAMILIAR_PLACES 1024

struct place {
    uint64_t mark;               /* of what came last */
    struct settings *settings;   /* a reference, and so is the next; NULL if it came once */
    struct statement *statement; /* of these settings */
};

struct familiar {
    struct place places[FAMILIAR_PLACES];
};

static void
familiar_clear(struct place *place)
{
    statement_unref(place->statement);
    settings_unref(place->settings);
    *place = (struct place){.mark = place->mark};
}

/* The text has come to this place: its statement is kept if it came the time before, too. */
static bool
familiar_meet(struct place *place, uint64_t mark, struct settings *settings,
              struct statement *statement)
{
    const bool again = place->mark == mark;

    familiar_clear(place);
    place->mark = mark;
    if (again) {
        place->settings = settings_ref(settings);
        place->statement = statement_ref(statement);
    }
    return again;
}

static int
familiar_find(struct familiar *familiar, struct settings *settings, const char *text, size_t len,
              struct statement **ret_statement, bool *ret_is_familiar)
{
    const uint64_t mark = hash_combine(hash_bytes(text, len), (uint64_t)(uintptr_t)settings);
    struct place *const place = &familiar->places[mark % FAMILIAR_PLACES];
    struct statement *statement;
    int r;

    if (place->mark == mark && place->settings == settings && place->statement != NULL &&
        statement_has_text(place->statement, text, len)) {
        *ret_statement = statement_ref(place->statement);
        *ret_is_familiar = true;
        return 0;
    }
    r = statement_get(settings, STATEMENT_PARSED, text, len, &statement);
    if (r < 0)
        return r;
    *ret_is_familiar = familiar_meet(place, mark, settings, statement);
    *ret_statement = statement;
    return 0;
}

int
familiar_get(struct familiar **familiar, struct settings *settings, const char *text, size_t len,
             struct statement **ret_statement, bool *ret_is_familiar)
{
    if (len > FAMILIAR_TEXT_MAX) {
        *ret_is_familiar = false;
        return statement_get(settings, STATEMENT_PARSED, text, len, ret_statement);
    }
    if (*familiar == NULL)
        *familiar = calloc(1, sizeof **familiar);
    if (*familiar == NULL)
        return -ENOMEM;
    return familiar_find(*familiar, settings, text, len, ret_statement, ret_is_familiar);
}

void
familiar_free(struct familiar *familiar)
{
    if (familiar == NULL)
        return;
    for (size_t i = 0; i < FAMILIAR_PLACES; i++)
        familiar_clear(&familiar->places[i]);
    free(familiar);
}
