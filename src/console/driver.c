#include "driver.h"

#include <stddef.h>
#include <string.h>

#include "console.h"
#include "macros.h"
#include "statement.h"
#include "str.h"

/* No phrase below is longer. */
#define PHRASE_MAX 128

/* Settings of PostgreSQL. */
static const struct {
    const char *name;
    const char *value;
} settings[] = {
    {"application_name", ""},
    {"bytea_output", "hex"},
    {"client_encoding", "UTF-8"},
    {"client_min_messages", "notice"},
    {"datestyle", "ISO"},
    {"default_transaction_isolation", "read committed"},
    {"default_transaction_read_only", "off"},
    {"extra_float_digits", "2"},
    {"in_hot_standby", "off"},
    {"integer_datetimes", "on"},
    {"intervalstyle", "postgres"},
    {"is_superuser", "on"},
    {"lock_timeout", "0"},
    {"max_identifier_length", "63"},
    {"search_path", ""},
    {"server_encoding", "UTF8"},
    {"server_version", CONSOLE_SERVER_VERSION},
    {"standard_conforming_strings", "on"},
    {"statement_timeout", "0"},
    {"timezone", "GMT"},
    {"transaction_isolation", "read committed"},
    {"transaction_read_only", "off"},
};

/* In lower case, one blank between words. A star at the end: whatever follows. */
// clang-format off
static const struct {
    const char *phrase;
    struct driver_answer answer;
} phrases[] = {
    { "begin*",             { .tag = "BEGIN", .effect = DRIVER_BEGIN } },
    { "start transaction*", { .tag = "START TRANSACTION", .effect = DRIVER_BEGIN } },
    { "commit*",            { .tag = "COMMIT", .effect = DRIVER_COMMIT } },
    { "end*",               { .tag = "COMMIT", .effect = DRIVER_COMMIT } },
    { "savepoint*",         { .tag = "SAVEPOINT" } },
    { "release*",           { .tag = "RELEASE" } },
    { "rollback to*",       { .tag = "ROLLBACK", .effect = DRIVER_RECOVER } },
    { "rollback*",          { .tag = "ROLLBACK", .effect = DRIVER_ROLLBACK } },
    { "abort*",             { .tag = "ROLLBACK", .effect = DRIVER_ROLLBACK } },
    { "close all",          { .tag = "CLOSE CURSOR ALL" } },
    { "deallocate all",     { .tag = "DEALLOCATE ALL" } },
    { "discard all",        { .tag = "DISCARD ALL" } },
    { "reset*",             { .tag = "RESET" } },
    { "unlisten *",         { .tag = "UNLISTEN" } },
    { "select pg_advisory_unlock_all(); close all; unlisten *; reset all", { .tag = "RESET" } },
    { "set local*",         { .tag = "SET", .effect = DRIVER_IGNORED } },
    { "set names*",         { .tag = "SET", .effect = DRIVER_IGNORED } },
    { "set session*",       { .tag = "SET", .effect = DRIVER_IGNORED } },
    { "set time zone*",     { .tag = "SET", .effect = DRIVER_IGNORED } },
    { "set transaction*",   { .tag = "SET", .effect = DRIVER_IGNORED } },
    { "show transaction isolation level", { "SHOW", "transaction_isolation", PG_TYPE_TEXT,
                                            "read committed", DRIVER_NOTHING } },
    { "select 1",           { "SELECT 1", "?column?", PG_TYPE_INT4, "1", DRIVER_NOTHING } },
    { "select version()",   { "SELECT 1", "version", PG_TYPE_TEXT, CONSOLE_VERSION,
                              DRIVER_NOTHING } },
    { "select pg_catalog.version()", { "SELECT 1", "version", PG_TYPE_TEXT, CONSOLE_VERSION,
                                       DRIVER_NOTHING } },
    { "select pg_is_in_recovery()",  { "SELECT 1", "pg_is_in_recovery", PG_TYPE_BOOL, "f",
                                       DRIVER_NOTHING } },
    { "select pg_catalog.pg_is_in_recovery()", { "SELECT 1", "pg_is_in_recovery", PG_TYPE_BOOL, "f",
                                                 DRIVER_NOTHING } },
    { "select current_schema()",     { "SELECT 1", "current_schema", PG_TYPE_TEXT, NULL,
                                       DRIVER_NOTHING } },
    { "select current_database()",   { "SELECT 1", "current_database", PG_TYPE_TEXT, "pgbouncer",
                                       DRIVER_NOTHING } },
};
// clang-format on

/* In lower case, one blank for many and for comments, none and no semicolon at the ends; cut to
 * size. */
static void
normalize(const char *sql, char *phrase, size_t size)
{
    size_t len = 0;

    for (sql = statement_skip(sql); *sql != '\0' && len + 1 < size;) {
        const char *const next = statement_skip(sql);
        const char c = *sql >= 'A' && *sql <= 'Z' ? (char)(*sql - 'A' + 'a') : *sql;

        phrase[len++] = next != sql ? ' ' : c;
        sql = next != sql ? next : sql + 1;
    }
    while (len > 0 && (phrase[len - 1] == ' ' || phrase[len - 1] == ';'))
        len--;
    phrase[len] = '\0';
}

static bool
matches(const char *phrase, const char *pattern)
{
    const size_t len = strlen(pattern);

    if (str_eq(phrase, pattern))
        return true;
    return pattern[len - 1] == '*' && pattern[len - 2] != ' ' &&
           strncmp(phrase, pattern, len - 1) == 0 &&
           (phrase[len - 1] == '\0' || phrase[len - 1] == ' ');
}

static bool
find_phrase(const char *sql, struct driver_answer *ret_answer)
{
    char phrase[PHRASE_MAX];

    normalize(sql, phrase, sizeof(phrase));
    for (size_t i = 0; i < ARRAY_SIZE(phrases); i++) {
        if (!matches(phrase, phrases[i].phrase))
            continue;
        *ret_answer = phrases[i].answer;
        return true;
    }
    return false;
}

/* SHOW x, SET x = ..., of a setting above. */
static bool
find_setting(const char *sql, struct driver_answer *ret_answer)
{
    struct statement statement;

    if (statement_parse(sql, &statement) != STATEMENT_OK ||
        !(statement.is_set || str_ieq(statement.command, "show")))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        if (!str_ieq(statement.arg, settings[i].name))
            continue;
        *ret_answer = statement.is_set
                          ? (struct driver_answer){.tag = "SET", .effect = DRIVER_IGNORED}
                          : (struct driver_answer){"SHOW", settings[i].name, PG_TYPE_TEXT,
                                                   settings[i].value, DRIVER_NOTHING};
        return true;
    }
    return false;
}

bool
driver_find(const char *sql, struct driver_answer *ret_answer)
{
    return find_phrase(sql, ret_answer) || find_setting(sql, ret_answer);
}
