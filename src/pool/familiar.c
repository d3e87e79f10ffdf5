#include "familiar.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "hash.h"
#include "settings.h"
#include "statement.h"

#define FAMILIAR_PLACES 1024

struct place {
    uint64_t mark;
    struct settings *settings;   /* a reference, and so is the next; both NULL at first */
    struct statement *statement; /* of these settings; perhaps a draft */
};

struct familiar {
    struct place places[FAMILIAR_PLACES];
};

static bool
familiar_is_at(const struct place *place, uint64_t mark, const struct settings *settings,
               const char *text, size_t len)
{
    return place->mark == mark && place->settings == settings && place->statement != NULL &&
           statement_has_text(place->statement, text, len);
}

static void
familiar_clear(struct place *place)
{
    statement_unref(place->statement);
    settings_unref(place->settings);
}

static int
familiar_finish(struct place *place)
{
    struct statement *finished;
    int r;

    if (!statement_is_draft(place->statement))
        return 0;
    r = statement_finish(place->statement, &finished);
    if (r < 0)
        return r;
    statement_unref(place->statement);
    place->statement = finished;
    return 0;
}

/* What was there goes. */
static int
familiar_take(struct place *place, uint64_t mark, struct settings *settings, const char *text,
              size_t len)
{
    struct statement *draft;
    const int r = statement_draft(settings, text, len, &draft);

    if (r < 0)
        return r;
    familiar_clear(place);
    *place = (struct place){mark, settings_ref(settings), draft};
    return 0;
}

int
familiar_get(struct familiar **familiar, struct settings *settings, const char *text, size_t len,
             bool finishes, struct statement **ret_statement)
{
    struct place *place;
    uint64_t mark;
    int r = 0;

    if (len > FAMILIAR_TEXT_MAX)
        return statement_draft(settings, text, len, ret_statement);
    if (*familiar == NULL)
        *familiar = calloc(1, sizeof **familiar);
    if (*familiar == NULL)
        return -ENOMEM;
    mark = hash_combine(hash_bytes(text, len), (uint64_t)(uintptr_t)settings);
    place = &(*familiar)->places[mark % FAMILIAR_PLACES];
    if (!familiar_is_at(place, mark, settings, text, len))
        r = familiar_take(place, mark, settings, text, len);
    else if (finishes)
        r = familiar_finish(place);
    if (r < 0)
        return r;
    *ret_statement = statement_ref(place->statement);
    return 0;
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
