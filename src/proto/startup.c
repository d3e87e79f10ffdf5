/*
 * startup.c - the first packets of a connection, read in place.
 *
 * The packet: length (4 bytes, counting itself), code (4 bytes: a version or a request), and for a
 * login name\0value\0 ... \0, for a cancel the process id and the key.
 */
#include "startup.h"

#include <string.h>
#include <strings.h>

#include "macros.h"
#include "pg.h"
#include "sqlstate.h"
#include "str.h"

#define TLS_HANDSHAKE 0x16 /* the first byte of a TLS ClientHello */
#define PACKET_HEADER 8

// clang-format off
static const struct {
    const char *sqlstate;
    const char *text;
} errors[] = {
    [STARTUP_ERROR_NONE]             = { SQLSTATE_SUCCESSFUL_COMPLETION, "" },
    [STARTUP_ERROR_LENGTH]           = { SQLSTATE_PROTOCOL_VIOLATION, "invalid packet length" },
    [STARTUP_ERROR_V2]               = { SQLSTATE_PROTOCOL_VIOLATION,
        "old V2 protocol not supported" },
    [STARTUP_ERROR_VERSION]          = { SQLSTATE_FEATURE_NOT_SUPPORTED,
        "unsupported frontend protocol, only 3.0 to 3.2 are supported" },
    [STARTUP_ERROR_LAYOUT]           = { SQLSTATE_PROTOCOL_VIOLATION,
        "invalid startup packet layout: expected terminator as last byte" },
    [STARTUP_ERROR_NO_USER]          = { SQLSTATE_INVALID_AUTHORIZATION, "no username supplied" },
    [STARTUP_ERROR_USER_TOO_LONG]    = { SQLSTATE_INVALID_AUTHORIZATION, "username too long" },
    [STARTUP_ERROR_DB_TOO_LONG]      = { SQLSTATE_UNDEFINED_DATABASE, "database name too long" },
    [STARTUP_ERROR_PASSWORD_FIRST]   = { SQLSTATE_PROTOCOL_VIOLATION,
        "client password pkt before startup packet" },
    [STARTUP_ERROR_REPLICATION]      = { SQLSTATE_INVALID_PARAMETER_VALUE,
        "invalid value for parameter \"replication\"" },
    [STARTUP_ERROR_OPTIONS_SHAPE]    = { SQLSTATE_PROTOCOL_VIOLATION,
        "unsupported options startup parameter: "
        "only '-c config=val' and '--config=val' are allowed" },
    [STARTUP_ERROR_OPTIONS_TOO_LONG] = { SQLSTATE_PROTOCOL_VIOLATION,
        "unsupported options startup parameter: parameter too long" },
    [STARTUP_ERROR_OPTIONS_REFUSED]  = { SQLSTATE_PROTOCOL_VIOLATION,
        "unsupported startup parameter in options" },
};
// clang-format on

const char *
startup_error_text(enum startup_error error)
{
    return errors[error].text;
}

const char *
startup_error_sqlstate(enum startup_error error)
{
    return errors[error].sqlstate;
}

static enum startup_kind
bad(struct startup *startup, enum startup_error error)
{
    startup->error = error;
    return STARTUP_BAD;
}

/* Whether data .. end is name\0value\0 ... \0, with the last \0 at the very end. */
static bool
params_are_well_formed(const char *data, const char *end)
{
    if (data == end || end[-1] != '\0')
        return false; /* from here every string ends before end */
    while (*data != '\0') {
        data += strlen(data) + 1;
        if (data == end)
            return false;
        data += strlen(data) + 1;
        if (data == end)
            return false;
    }
    return data + 1 == end;
}

/* A boolean as PostgreSQL reads it: any beginning of a word that leaves no doubt. */
static bool
parse_replication(const char *value, enum replication_kind *ret_replication)
{
    static const struct {
        const char *word;
        size_t min; /* letters */
        enum replication_kind replication;
    } words[] = {
        {"true", 1, REPLICATION_PHYSICAL}, {"yes", 1, REPLICATION_PHYSICAL},
        {"on", 2, REPLICATION_PHYSICAL},   {"1", 1, REPLICATION_PHYSICAL},
        {"false", 1, REPLICATION_NONE},    {"no", 1, REPLICATION_NONE},
        {"off", 2, REPLICATION_NONE},      {"0", 1, REPLICATION_NONE},
    };
    const size_t len = strlen(value);

    if (strcmp(value, "database") == 0) {
        *ret_replication = REPLICATION_LOGICAL;
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (len >= words[i].min && strncasecmp(words[i].word, value, len) == 0) {
            *ret_replication = words[i].replication;
            return true;
        }
    }
    return false;
}

static void
take_param(struct startup *startup, const struct startup_param *param)
{
    if (strcmp(param->name, "user") == 0)
        startup->user = param->value;
    else if (strcmp(param->name, "database") == 0)
        startup->database = param->value;
    else if (strcmp(param->name, "replication") == 0)
        startup->error = parse_replication(param->value, &startup->replication)
                             ? STARTUP_ERROR_NONE
                             : STARTUP_ERROR_REPLICATION;
    else if (strcmp(param->name, "options") == 0)
        startup->options = param->value;
    else if (strcmp(param->name, "application_name") == 0)
        startup->application_name = param->value;
    else if (startup_param_is_protocol(param->name))
        startup->negotiate = true;
}

static enum startup_kind
parse_login(const char *data, struct startup *startup)
{
    struct startup_param param;
    const char *pos;

    startup->negotiate = startup->minor > PG_PROTOCOL_MINOR_MAX;
    startup->minor = MIN(startup->minor, PG_PROTOCOL_MINOR_MAX);
    startup->params = data + PACKET_HEADER;
    if (!params_are_well_formed(startup->params, data + startup->len))
        return bad(startup, STARTUP_ERROR_LAYOUT);
    for (pos = startup->params; startup_next_param(&pos, &param);)
        take_param(startup, &param);
    if (startup->error != STARTUP_ERROR_NONE)
        return STARTUP_BAD;
    if (startup->user == NULL || *startup->user == '\0')
        return bad(startup, STARTUP_ERROR_NO_USER);
    if (strlen(startup->user) > STARTUP_USER_MAX)
        return bad(startup, STARTUP_ERROR_USER_TOO_LONG);
    if (startup->database == NULL || *startup->database == '\0')
        startup->database = startup->user;
    if (strlen(startup->database) > STARTUP_DB_MAX)
        return bad(startup, STARTUP_ERROR_DB_TOO_LONG);
    return STARTUP_LOGIN;
}

static enum startup_kind
parse_cancel(const char *data, struct startup *startup)
{
    startup->key = data + PACKET_HEADER;
    startup->key_len = startup->len - PACKET_HEADER;
    if (startup->key_len < PG_CANCEL_PID_SIZE + PG_CANCEL_KEY_MIN ||
        startup->key_len > PG_CANCEL_PID_SIZE + PG_CANCEL_KEY_MAX)
        return bad(startup, STARTUP_ERROR_LENGTH);
    return STARTUP_CANCEL;
}

static enum startup_kind
parse_packet(const char *data, struct startup *startup)
{
    const uint32_t code = pg_get_uint32(data + 4);

    switch (code) {
    case PG_SSL_REQUEST:
    case PG_GSSENC_REQUEST:
        if (startup->len != PACKET_HEADER)
            return bad(startup, STARTUP_ERROR_LENGTH);
        return code == PG_SSL_REQUEST ? STARTUP_SSL : STARTUP_GSSENC;
    case PG_CANCEL_REQUEST:
        return parse_cancel(data, startup);
    }
    startup->major = (uint16_t)(code >> 16);
    startup->minor = (uint16_t)code;
    if (startup->major == 2)
        return bad(startup, STARTUP_ERROR_V2);
    if (startup->major != 3)
        return bad(startup, STARTUP_ERROR_VERSION);
    return parse_login(data, startup);
}

enum startup_kind
startup_parse(const char *data, size_t len, struct startup *ret_startup)
{
    *ret_startup = (struct startup){.error = STARTUP_ERROR_NONE};
    if (len > 0 && data[0] == TLS_HANDSHAKE)
        return STARTUP_DIRECT_TLS;
    if (len > 0 && data[0] == FRONTEND_PASSWORD)
        return bad(ret_startup, STARTUP_ERROR_PASSWORD_FIRST);
    if (len < 4)
        return STARTUP_INCOMPLETE;
    ret_startup->len = pg_get_uint32(data);
    if (ret_startup->len < PACKET_HEADER || ret_startup->len > STARTUP_PACKET_MAX)
        return bad(ret_startup, STARTUP_ERROR_LENGTH);
    if (len < ret_startup->len)
        return STARTUP_INCOMPLETE;
    return parse_packet(data, ret_startup);
}

bool
startup_next_param(const char **pos, struct startup_param *ret_param)
{
    if (**pos == '\0')
        return false;
    ret_param->name = *pos;
    ret_param->value = ret_param->name + strlen(ret_param->name) + 1;
    *pos = ret_param->value + strlen(ret_param->value) + 1;
    return true;
}

bool
startup_param_is_protocol(const char *name)
{
    return str_starts_with(name, "_pq_.");
}

/* What PostgreSQL splits options at. */
static const char *
skip_blanks(const char *pos)
{
    return pos + strspn(pos, " \t\n\v\f\r");
}

/* Copies up to the next blank, without the escapes; NULL if it is too long. */
static const char *
take_word(const char *pos, char *word, size_t size)
{
    for (; *pos != '\0' && skip_blanks(pos) == pos; pos++) {
        if (*pos == '\\' && *++pos == '\0')
            break;
        if (size == 1)
            return NULL;
        *word++ = *pos;
        size--;
    }
    *word = '\0';
    return pos;
}

/* Cuts name=value in two, with the name as the server knows it; NULL if it is nothing of the kind.
 */
static const char *
split_setting(char *word)
{
    char *equals = strchr(word, '=');

    if (equals == NULL || equals == word)
        return NULL;
    *equals = '\0';
    for (char *dash = word; (dash = strchr(dash, '-')) != NULL;)
        *dash = '_';
    return equals + 1;
}

enum startup_error
startup_options(const char *options, bool (*each)(void *arg, const char *name, const char *value),
                void *arg)
{
    char word[STARTUP_OPTION_MAX + 1];
    const char *value;

    for (options = skip_blanks(options); *options != '\0'; options = skip_blanks(options)) {
        if (str_starts_with(options, "-c"))
            options = skip_blanks(options + 2);
        else if (str_starts_with(options, "--"))
            options += 2;
        else
            return STARTUP_ERROR_OPTIONS_SHAPE;
        options = take_word(options, word, sizeof(word));
        if (options == NULL)
            return STARTUP_ERROR_OPTIONS_TOO_LONG;
        value = split_setting(word);
        if (value == NULL)
            return STARTUP_ERROR_OPTIONS_SHAPE;
        if (!each(arg, word, value))
            return STARTUP_ERROR_OPTIONS_REFUSED;
    }
    return STARTUP_ERROR_NONE;
}
