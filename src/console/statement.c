#include "statement.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "str.h"

/* Behind the comment that begins here; a block that does not end reaches to the end. */
static const char *
skip_comment(const char *p)
{
    const char *end;

    if (p[0] == '-' && p[1] == '-')
        return p + strcspn(p, "\n");
    if (p[0] != '/' || p[1] != '*')
        return p;
    end = strstr(p + 2, "*/");
    return end != NULL ? end + 2 : p + strlen(p);
}

const char *
statement_skip(const char *p)
{
    const char *from;

    do {
        from = p;
        p = skip_comment(p + strspn(p, " \t\r\n"));
    } while (p != from);
    return p;
}

bool
statement_is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* What stands bare as a value: a word, or a number with its unit and sign. */
static bool
is_value(char c)
{
    return statement_is_word(c) || c == '.' || c == '-' || c == '+';
}

/* The text between two quotes, in which a doubled quote is one. */
static enum statement_result
take_quoted(const char **pos, char quote, char *out, size_t size)
{
    const char *p = *pos + 1;
    size_t len = 0;

    for (;; p++) {
        if (*p == '\0')
            return STATEMENT_SYNTAX;
        if (*p == quote && *++p != quote)
            break;
        if (len + 1 >= size)
            return STATEMENT_TOO_LONG;
        out[len++] = *p;
    }
    out[len] = '\0';
    *pos = p;
    return STATEMENT_OK;
}

static enum statement_result
take_bare(const char **pos, bool (*belongs)(char c), char *out, size_t size)
{
    const char *p = *pos;
    size_t len;

    while (belongs(*p))
        p++;
    len = (size_t)(p - *pos);
    if (len == 0)
        return STATEMENT_SYNTAX;
    if (len >= size)
        return STATEMENT_TOO_LONG;
    memcpy(out, *pos, len);
    out[len] = '\0';
    *pos = p;
    return STATEMENT_OK;
}

static enum statement_result
take_word(const char **pos, char *out, size_t size)
{
    return **pos == '"' ? take_quoted(pos, '"', out, size)
                        : take_bare(pos, statement_is_word, out, size);
}

static enum statement_result
take_value(const char **pos, char *out, size_t size)
{
    if (**pos == '\'' || **pos == '"')
        return take_quoted(pos, **pos, out, size);
    return take_bare(pos, is_value, out, size);
}

/* "=" or "to" between a key and its value. */
static bool
take_equals(const char **pos)
{
    const char *p = statement_skip(*pos);

    if (*p == '=')
        p++;
    else if ((p[0] == 't' || p[0] == 'T') && (p[1] == 'o' || p[1] == 'O') &&
             !statement_is_word(p[2]))
        p += 2;
    else
        return false;
    *pos = statement_skip(p);
    return true;
}

/* Nothing follows but blanks and at most one semicolon. */
static bool
is_end(const char *p)
{
    p = statement_skip(p);
    if (*p == ';')
        p = statement_skip(p + 1);
    return *p == '\0';
}

enum statement_result
statement_parse(const char *sql, struct statement *ret_statement)
{
    struct statement statement = {.is_set = false};
    enum statement_result result;
    const char *p = statement_skip(sql);

    if (is_end(p))
        return STATEMENT_EMPTY;
    result = take_word(&p, statement.command, sizeof(statement.command));
    if (result == STATEMENT_OK && !is_end(p)) {
        if (statement_skip(p) == p)
            return STATEMENT_SYNTAX;
        p = statement_skip(p);
        result = take_word(&p, statement.arg, sizeof(statement.arg));
    }
    if (result == STATEMENT_OK && str_ieq(statement.command, "set") && take_equals(&p)) {
        statement.is_set = true;
        result = take_value(&p, statement.value, sizeof(statement.value));
    }
    if (result != STATEMENT_OK)
        return result;
    if (!is_end(p))
        return STATEMENT_SYNTAX;
    *ret_statement = statement;
    return STATEMENT_OK;
}
