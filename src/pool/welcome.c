#include "welcome.h"

#include "build.h"
#include "settings.h"

void
welcome_done(struct welcome *welcome)
{
    settings_unref(welcome->base);
    settings_unref(welcome->wishes);
    settings_unref(welcome->settings);
    buf_done(&welcome->parameters);
    *welcome = (struct welcome){.parameters = BUF_INIT};
}

/* A wish that no server reports could not be kept: it would be lost at the next server. */
static int
welcome_overlay(struct settings **settings, const struct settings *wishes)
{
    int r = 0;

    for (size_t i = 0; i < settings_count(wishes) && r == 0; i++) {
        const char *name, *value;

        settings_at(wishes, i, &name, &value);
        if (settings_get(*settings, name) != NULL)
            r = settings_put(settings, name, value);
    }
    return r;
}

static int
welcome_write_parameters(struct welcome *welcome)
{
    const struct settings *const settings = welcome->settings;
    int r = 0;

    for (size_t i = 0; i < settings_count(settings) && r == 0; i++) {
        const char *name, *value;

        settings_at(settings, i, &name, &value);
        r = msg_parameter_status(&welcome->parameters, name, value);
    }
    return r;
}

int
welcome_prepare(struct welcome *welcome, struct settings *base, struct settings *wishes)
{
    int r;

    if (welcome->base == base && welcome->wishes == wishes)
        return 0;
    welcome_done(welcome);
    welcome->base = settings_ref(base);
    welcome->wishes = settings_ref(wishes);
    welcome->settings = settings_ref(base);
    r = welcome_overlay(&welcome->settings, wishes);
    if (r == 0)
        r = welcome_write_parameters(welcome);
    if (r < 0)
        welcome_done(welcome);
    return r;
}
