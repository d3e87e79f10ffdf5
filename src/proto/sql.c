#include "sql.h"

#include <string.h>

#include "macros.h"
#include "str.h"

/* ---- tokens -----------------------------------------------------------------------------------
 */

static bool
sql_is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
sql_is_digit(char c)
{
    return c >= '0' && c <= '9';
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
    return sql_is_letter(c) || sql_is_digit(c) || c == '$';
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

/* Behind the string whose opening quote is at pos; without an end it is all of the rest. */
static const char *
sql_skip_string(const char *pos, bool escapes)
{
    for (pos++; *pos != '\0'; pos++) {
        if (escapes && *pos == '\\' && pos[1] != '\0')
            pos++;
        else if (*pos == '\'' && *++pos != '\'')
            return pos;
    }
    return pos;
}

/* The quote with which a string goes on behind a new line, as SQL has it; NULL if it does not. */
static const char *
sql_next_part(const char *pos)
{
    bool has_newline = false;

    for (;; pos++) {
        if (pos[0] == '-' && pos[1] == '-')
            pos += strcspn(pos, "\n\r");
        if (!sql_is_blank(*pos))
            break;
        has_newline = has_newline || *pos == '\n' || *pos == '\r';
    }
    return has_newline && *pos == '\'' ? pos : NULL;
}

static const char *
sql_skip_strings(const char *pos, bool escapes)
{
    const char *part = pos;

    do {
        pos = sql_skip_string(part, escapes);
        part = sql_next_part(pos);
    } while (part != NULL);
    return pos;
}

/* Behind $$...$$ or $tag$...$tag$, or behind the $. */
static const char *
sql_skip_dollar(const char *pos)
{
    const char *const quote = pos;
    size_t len;

    pos++;
    while (sql_is_letter(*pos) || (sql_is_digit(*pos) && pos > quote + 1))
        pos++;
    if (*pos != '$')
        return quote + 1;
    len = (size_t)(++pos - quote);
    for (; *pos != '\0'; pos++) {
        if (*pos == '$' && strncmp(pos, quote, len) == 0)
            return pos + len;
    }
    return pos;
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
    token->text[len] = '\0';
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
            token->text[len] = '\0';
            token->kind = SQL_WORD;
            token->quoted = true;
            return pos;
        }
        sql_add(token, &len, *pos);
    }
    return pos;
}

/* A word, or what begins like one: E'...', U&'...', N'...'. */
static const char *
sql_read_letters(const char *pos, const struct sql_dialect *dialect, struct sql_token *token)
{
    const char letter = (char)(*pos | 0x20);

    if (letter == 'u' && pos[1] == '&' && (pos[2] == '"' || pos[2] == '\''))
        return pos[2] == '"' ? sql_read_quoted(pos + 2, &(struct sql_token){.kind = SQL_OTHER})
                             : sql_skip_strings(pos + 2, false);
    if (pos[1] == '\'' && (letter == 'e' || letter == 'n' || letter == 'b' || letter == 'x'))
        return sql_skip_strings(pos + 1, letter == 'e' || (letter == 'n' && dialect->escapes));
    return sql_read_word(pos, token);
}

void
sql_next(const char **pos, const struct sql_dialect *dialect, struct sql_token *ret_token)
{
    const char *at = sql_skip_space(*pos);

    ret_token->kind = SQL_OTHER;
    ret_token->quoted = false;
    ret_token->start = at;
    *ret_token->text = '\0';
    if (*at == '\0') {
        ret_token->kind = SQL_END;
    } else if (*at == ';') {
        ret_token->kind = SQL_SEMICOLON;
        at++;
    } else if (*at == '"') {
        at = sql_read_quoted(at, ret_token);
    } else if (*at == '\'') {
        at = sql_skip_strings(at, dialect->escapes);
    } else if (*at == '$') {
        at = sql_skip_dollar(at);
    } else if (sql_is_letter(*at)) {
        at = sql_read_letters(at, dialect, ret_token);
    } else {
        at++;
    }
    *pos = at;
}

/* ---- commands ---------------------------------------------------------------------------------
 */

/* A walk over the tokens of a text. */
struct walk {
    const struct sql_dialect *dialect;
    const char *pos;
    const char *before; /* the end of the token before this one */
    struct sql_token token;
};

static void
sql_step(struct walk *walk)
{
    walk->before = walk->pos;
    sql_next(&walk->pos, walk->dialect, &walk->token);
}

static bool
sql_is(const struct walk *walk, const char *keyword)
{
    return walk->token.kind == SQL_WORD && !walk->token.quoted && str_eq(walk->token.text, keyword);
}

static bool
sql_is_char(const struct walk *walk, char c)
{
    return walk->token.kind == SQL_OTHER && *walk->token.start == c;
}

/* True: the keyword was there, and is behind us. */
static bool
sql_accept(struct walk *walk, const char *keyword)
{
    if (!sql_is(walk, keyword))
        return false;
    sql_step(walk);
    return true;
}

static bool
sql_accept_name(struct walk *walk, struct sql_command *command)
{
    if (walk->token.kind != SQL_WORD || *walk->token.text == '\0')
        return false;
    command->name_start = walk->token.start;
    command->name_end = walk->pos;
    memcpy(command->name, walk->token.text, sizeof command->name);
    sql_step(walk);
    return true;
}

/* Whether nothing but semicolons is left behind this command. */
static bool
sql_accept_end(struct walk *walk, struct sql_command *command)
{
    command->end = walk->before;
    while (walk->token.kind == SQL_SEMICOLON)
        sql_step(walk);
    return walk->token.kind == SQL_END;
}

static bool
sql_accept_rest(struct walk *walk, struct sql_command *command)
{
    while (walk->token.kind != SQL_SEMICOLON && walk->token.kind != SQL_END)
        sql_step(walk);
    return sql_accept_end(walk, command);
}

/* Moves behind the parenthesis that belongs to the one we are at. */
static void
sql_skip_parentheses(struct walk *walk)
{
    unsigned depth = 0;

    do {
        depth += sql_is_char(walk, '(');
        depth -= sql_is_char(walk, ')');
        sql_step(walk);
    } while (depth > 0 && walk->token.kind != SQL_END);
}

/* PREPARE name [(types)] AS ... */
static enum sql_effect
sql_prepare(struct walk *walk, struct sql_command *command)
{
    if (!sql_accept_name(walk, command))
        return SQL_NOTHING;
    if (sql_is_char(walk, '('))
        sql_skip_parentheses(walk);
    return sql_accept(walk, "as") && sql_accept_rest(walk, command) ? SQL_PREPARES : SQL_NOTHING;
}

/* EXECUTE name [(values)] */
static enum sql_effect
sql_execute(struct walk *walk, struct sql_command *command)
{
    return sql_accept_name(walk, command) && sql_accept_rest(walk, command) ? SQL_EXECUTES
                                                                            : SQL_NOTHING;
}

/* EXPLAIN [(options) | ANALYZE VERBOSE] EXECUTE ... */
static enum sql_effect
sql_explain(struct walk *walk, struct sql_command *command)
{
    if (sql_is_char(walk, '('))
        sql_skip_parentheses(walk);
    else
        while (sql_accept(walk, "analyze") || sql_accept(walk, "analyse") ||
               sql_accept(walk, "verbose"))
            ;
    return sql_accept(walk, "execute") ? sql_execute(walk, command) : SQL_NOTHING;
}

/* CREATE [TEMPORARY ...] TABLE ... AS EXECUTE ... */
static enum sql_effect
sql_create(struct walk *walk, struct sql_command *command)
{
    while (sql_accept(walk, "temporary") || sql_accept(walk, "temp") || sql_accept(walk, "local") ||
           sql_accept(walk, "global") || sql_accept(walk, "unlogged"))
        ;
    if (!sql_accept(walk, "table"))
        return SQL_NOTHING;
    while (walk->token.kind != SQL_SEMICOLON && walk->token.kind != SQL_END) {
        if (sql_accept(walk, "as"))
            return sql_accept(walk, "execute") ? sql_execute(walk, command) : SQL_NOTHING;
        sql_step(walk);
    }
    return SQL_NOTHING;
}

/* DEALLOCATE [PREPARE] name */
static enum sql_effect
sql_deallocate(struct walk *walk, struct sql_command *command)
{
    const bool is_all = sql_is(walk, "all");
    const bool is_prepare = sql_is(walk, "prepare");
    bool is_one = sql_accept_name(walk, command);

    if (is_prepare && walk->token.kind == SQL_WORD) {
        is_one = !sql_is(walk, "all");
        is_one = sql_accept_name(walk, command) && is_one;
    }
    return is_one && !is_all && sql_accept_end(walk, command) ? SQL_FORGETS : SQL_FORGETS_MORE;
}

static enum sql_effect
sql_discard(struct walk *walk, struct sql_command *command)
{
    (void)walk;
    (void)command;
    return SQL_FORGETS_MORE;
}

static const struct {
    const char *keyword;
    enum sql_effect (*read)(struct walk *walk, struct sql_command *command);
} commands[] = {
    /* clang-format off */
    { "create",     sql_create },
    { "deallocate", sql_deallocate },
    { "discard",    sql_discard },
    { "execute",    sql_execute },
    { "explain",    sql_explain },
    { "prepare",    sql_prepare },
    /* clang-format on */
};

static bool
sql_is_ascii(const char *text)
{
    while (*text != '\0' && (*text & 0x80) == 0)
        text++;
    return *text == '\0';
}

void
sql_recognise(const char *text, const struct sql_dialect *dialect, struct sql_command *ret_command)
{
    struct walk walk = {.dialect = dialect, .pos = text};

    ret_command->effect = SQL_NOTHING;
    ret_command->name_start = NULL;
    sql_step(&walk);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!sql_is(&walk, commands[i].keyword))
            continue;
        if (dialect->opaque && !sql_is_ascii(text))
            return;
        sql_step(&walk);
        ret_command->effect = commands[i].read(&walk, ret_command);
        return;
    }
}

bool
sql_alters(const char *text)
{
    static const char *const words[] = {"call",   "create", "discard", "do",
                                        "import", "load",   "reset",   "set"};
    const struct sql_dialect dialect = {.opaque = false};
    struct walk walk = {.dialect = &dialect, .pos = text};

    sql_step(&walk);
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (sql_is(&walk, words[i]))
            return true;
    }
    if (!sql_accept(&walk, "select"))
        return false;
    if (sql_accept(&walk, "pg_catalog"))
        sql_step(&walk);
    return sql_is(&walk, "set_config");
}

bool
sql_resets(const char *text)
{
    const struct sql_dialect dialect = {.opaque = false};
    struct walk walk = {.dialect = &dialect, .pos = text};

    sql_step(&walk);
    return sql_is(&walk, "reset");
}
