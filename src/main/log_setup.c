#include "log_setup.h"

#include <string.h>
#include <syslog.h>

#include "config.h"
#include "log.h"
#include "macros.h"

static const char *
facility_name(int facility)
{
    static const struct {
        int code;
        const char *name;
    } names[] = {
        {LOG_AUTH, "auth"},     {LOG_AUTHPRIV, "authpriv"}, {LOG_DAEMON, "daemon"},
        {LOG_USER, "user"},     {LOG_LOCAL0, "local0"},     {LOG_LOCAL1, "local1"},
        {LOG_LOCAL2, "local2"}, {LOG_LOCAL3, "local3"},     {LOG_LOCAL4, "local4"},
        {LOG_LOCAL5, "local5"}, {LOG_LOCAL6, "local6"},     {LOG_LOCAL7, "local7"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (names[i].code == facility)
            return names[i].name;
    }
    return NULL;
}

/* The more talkative of the two wins. */
static enum log_level
level_of(int verbose)
{
    return verbose >= 2 ? LOG_LEVEL_NOISE : verbose == 1 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
}

int
log_setup_apply(const struct log_setup *setup, const struct config *config)
{
    const struct log_options options = {
        .file = config->logfile,
        .syslog_ident = config->syslog ? config->syslog_ident : NULL,
        .syslog_facility = facility_name(config->syslog_facility),
        .level = level_of(MAX(setup->verbose, config->verbose)),
        .quiet = setup->quiet,
    };
    const int r = log_open(&options);

    if (r < 0)
        log_error("cannot open the log file %s: %s", config->logfile, strerror(-r));
    return r;
}
