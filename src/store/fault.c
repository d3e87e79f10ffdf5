/*
 * fault.c - SQLite's errors as SQLSTATEs, by their texts, since its codes say no more than "error".
 */
#include "query_int.h"

#include <string.h>

#include "macros.h"
#include "str.h"

static const char hint_tables[] = "SELECT * FROM columns tells what there is.";
static const char hint_read[] = "The console's tables can be read, and nothing else.";
static const char hint_dialect[] =
    "The console speaks SQLite's SQL: CAST(x AS text) in place of x::text, for instance.";

/* The first whose text is found counts. */
// clang-format off
static const struct {
    const char *text;
    const char *sqlstate;
    const char *hint;
} faults[] = {
    { "no such table",                  "42P01", hint_tables },
    { "no such column",                 "42703", hint_tables },
    { "ambiguous column",               "42702", NULL },
    { "no such function",               "42883", hint_dialect },
    { "wrong number of arguments",      "42883", NULL },
    { "misuse of aggregate",            "42803", NULL },
    { "misuse of window function",      "42P20", NULL },
    { "unrecognized token",             "42601", hint_dialect },
    { "syntax error",                   "42601", hint_dialect },
    { "incomplete input",               "42601", NULL },
    { "not authorized",                 "42501", hint_read },
    { "prohibited",                     "42501", hint_read },
    { "may not be modified",            "42501", hint_read },
    { "SELECTs to the left and right",  "42601", NULL },
    { "integer overflow",               "22003", NULL },
    { "JSON",                           "22032", NULL },
    { "datatype mismatch",              "42804", NULL },
    { "too many columns",               "54011", NULL },
    { "too many",                       "54000", NULL },
    { "string or blob too big",         "54000", "A value may have 512 kB." },
    { "pattern too complex",            "54000", NULL },
    { "too large",                      "54001", NULL },
    { "parser stack overflow",          "54001", NULL },
};

static const struct {
    int code;
    const char *sqlstate;
    const char *detail;
} codes[] = {
    { SQLITE_NOMEM,    "53200", "There is a limit to the memory of all SELECTs on the console." },
    { SQLITE_TOOBIG,   "54000", NULL },
    { SQLITE_AUTH,     "42501", NULL },
    { SQLITE_MISMATCH, "42804", NULL },
    { SQLITE_ERROR,    "42000", NULL },
};
// clang-format on

void
fault_set(struct query_error *error, const char *sqlstate, const char *message, const char *detail,
          const char *hint)
{
    error->sqlstate = sqlstate;
    error->detail = detail;
    error->hint = hint;
    (void)str_copy(error->message, sizeof(error->message), message);
}

void
fault_of_sqlite(struct query_error *error, sqlite3 *db, int code)
{
    const char *const text = sqlite3_errmsg(db);

    fault_set(error, "XX000", text, NULL, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        if (codes[i].code != (code & 0xff))
            continue;
        error->sqlstate = codes[i].sqlstate;
        error->detail = codes[i].detail;
    }
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        if (strstr(text, faults[i].text) == NULL)
            continue;
        error->sqlstate = faults[i].sqlstate;
        error->hint = faults[i].hint;
        return;
    }
}
