#include "sql.h"

#include <string.h>

#include "str.h"

static bool
sql_is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* PostgreSQL takes all bytes that are not ASCII for letters. */
static bool
sql_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

static bool
sql_is_inner(char c)
{
    return sql_is_letter(c) || (c >= '0' && c <= '9') || c == '$';
}

/* Behind a comment of this style, which may have others in it. */
static const char *
sql_skip_comment(const char *pos)
{
    unsigned depth = 1;

    pos += 2;
    while (*pos != '\0' && depth > 0) {
        if (pos[0] == '/' && pos[1] == '*') {
            depth++;
            pos += 2;
        } else if (pos[0] == '*' && pos[1] == '/') {
            depth--;
            pos += 2;
        } else {
            pos++;
        }
    }
    return pos;
}

static const char *
sql_skip_space(const char *pos)
{
    for (;;) {
        if (sql_is_blank(*pos))
            pos++;
        else if (pos[0] == '-' && pos[1] == '-')
            pos += strcspn(pos, "\n\r");
        else if (pos[0] == '/' && pos[1] == '*')
            pos = sql_skip_comment(pos);
        else
            return pos;
    }
}

static void
sql_add(struct sql_token *token, size_t *len, char c)
{
    if (*len < sizeof token->text - 1)
        token->text[(*len)++] = c;
}

static const char *
sql_read_word(const char *pos, struct sql_token *token)
{
    size_t len = 0;

    for (; sql_is_inner(*pos); pos++)
        sql_add(token, &len, *pos >= 'A' && *pos <= 'Z' ? (char)(*pos - 'A' + 'a') : *pos);
    token->kind = SQL_WORD;
    return pos;
}

/* Without its end it is nothing that could be sent. */
static const char *
sql_read_quoted(const char *pos, struct sql_token *token)
{
    size_t len = 0;

    for (pos++; *pos != '\0'; pos++) {
        if (*pos == '"' && *++pos != '"') {
            token->kind = SQL_WORD;
            token->quoted = true;
            return pos;
        }
        sql_add(token, &len, *pos);
    }
    return pos;
}

void
sql_next(const char **pos, struct sql_token *ret_token)
{
    const char *at = sql_skip_space(*pos);

    memset(ret_token, 0, sizeof *ret_token);
    ret_token->kind = SQL_OTHER;
    if (*at == '\0') {
        ret_token->kind = SQL_END;
    } else if (*at == ';') {
        ret_token->kind = SQL_SEMICOLON;
        at++;
    } else if (*at == '"') {
        at = sql_read_quoted(at, ret_token);
    } else if ((*at == 'U' || *at == 'u') && at[1] == '&') {
        at += 2; /* an identifier or string with escapes */
    } else if (sql_is_letter(*at)) {
        at = sql_read_word(at, ret_token);
        if (*at == '\'') /* a string, such as E'...' */
            ret_token->kind = SQL_OTHER;
    } else {
        at++;
    }
    *pos = at;
}

static bool
sql_is(const struct sql_token *token, const char *keyword)
{
    return token->kind == SQL_WORD && !token->quoted && str_eq(token->text, keyword);
}

/* Whether nothing but semicolons is left. */
static bool
sql_ends(const struct sql_token *token, const char *pos)
{
    struct sql_token next = *token;

    while (next.kind == SQL_SEMICOLON)
        sql_next(&pos, &next);
    return next.kind == SQL_END;
}

enum sql_effect
sql_effect(const char *text, char ret_name[SQL_WORD_MAX])
{
    struct sql_token name, next;

    sql_next(&text, &next);
    if (sql_is(&next, "discard"))
        return SQL_FORGETS_MORE;
    if (!sql_is(&next, "deallocate"))
        return SQL_NOTHING;
    sql_next(&text, &name);
    sql_next(&text, &next);
    if (sql_is(&name, "prepare") && next.kind == SQL_WORD) {
        name = next;
        sql_next(&text, &next);
    }
    if (name.kind != SQL_WORD || sql_is(&name, "all") || !sql_ends(&next, text))
        return SQL_FORGETS_MORE;
    memcpy(ret_name, name.text, sizeof name.text);
    return SQL_FORGETS;
}
