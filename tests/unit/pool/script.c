#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "macros.h"
#include "pg.h"
#include "rng.h"
#include "str.h"

void
script_done(struct script *script)
{
    buf_done(&script->bytes);
}

static unsigned
roll(struct script *script, unsigned n)
{
    return (unsigned)rng_below(script->rng, n);
}

/* --- messages -------------------------------------------------------------------------------- */

static void
append(struct script *script, char type, const void *body, size_t len)
{
    const struct script_message message = {.at = script->bytes.len,
                                           .end = script->bytes.len + PG_HEADER_SIZE + len};
    char header[PG_HEADER_SIZE];

    assert_true(script->count < SCRIPT_MOST);
    pg_put_header(header, type, (uint32_t)len);
    assert_int_equal(buf_append(&script->bytes, header, sizeof(header)), 0);
    assert_int_equal(buf_append(&script->bytes, body, len), 0);
    script->messages[script->count++] = message;
}

static void
append_str(struct script *script, char type, const char *text)
{
    append(script, type, text, strlen(text) + 1);
}

static void
append_sync(struct script *script)
{
    append(script, 'S', NULL, 0);
}

/* The client waits here for the answers to all it has sent. */
static void
append_gate(struct script *script)
{
    script->messages[script->count - 1].is_gate = true;
}

/* text with a new mark. */
static const char *
marked(struct script *script, const char *text)
{
    static char whole[MODEL_TEXT];

    (void)snprintf(whole, sizeof(whole), "%s c%u.%u;", text, script->style.client, ++script->marks);
    return whole;
}

static void
append_parse(struct script *script, const char *name, const char *text)
{
    char body[2 * MODEL_TEXT];
    const int len = snprintf(body, sizeof(body), "%s%c%s%c%c", name, 0, text, 0, 0);

    append(script, 'P', body, (size_t)len + 1);
}

/* With one value, which is a mark, and sometimes long. */
static void
append_bind(struct script *script, const char *portal, const char *name)
{
    struct buf body = BUF_INIT;
    const char *const mark = marked(script, "");
    const size_t padding = roll(script, 400) == 0 ? MODEL_BIG : 0;
    char count_and_len[8] = {0, 0, 0, 1};

    pg_put_uint32(count_and_len + 4, (uint32_t)(strlen(mark) + padding));
    assert_int_equal(buf_append(&body, portal, strlen(portal) + 1), 0);
    assert_int_equal(buf_append(&body, name, strlen(name) + 1), 0);
    assert_int_equal(buf_append(&body, count_and_len, sizeof(count_and_len)), 0);
    assert_int_equal(buf_append_str(&body, mark), 0);
    assert_int_equal(buf_reserve(&body, padding), 0);
    memset(body.data + body.len, 'x', padding);
    body.len += padding;
    assert_int_equal(buf_append(&body, "\0\0", 2), 0);
    append(script, 'B', body.data, body.len);
    buf_done(&body);
}

static void
append_named(struct script *script, char type, char kind, const char *name)
{
    char body[MODEL_NAME];

    (void)snprintf(body, sizeof(body), "%c%s", kind, name);
    append_str(script, type, body);
}

static void
append_execute(struct script *script, const char *portal, unsigned char max)
{
    char body[MODEL_NAME];
    const int len = snprintf(body, sizeof(body), "%s%c%c%c%c%c", portal, 0, 0, 0, 0, max);

    append(script, 'E', body, (size_t)len);
}

/* --- words ----------------------------------------------------------------------------------- */

static const char *
some_name(struct script *script)
{
    static const char *const names[] = {"a", "b", "b", "statement_with_a_long_name", "pg_x"};

    return names[roll(script, ARRAY_SIZE(names))];
}

/* Or the unnamed one. */
static const char *
some_statement(struct script *script)
{
    return roll(script, 4) == 0 ? "" : some_name(script);
}

static const char *
some_text(struct script *script)
{
    static const char *const texts[] = {
        "one",      "two",      "three", "a longer text than the others",
        "bad text", "die here", "rows",  "notice this",
        "show",     "copy out", "",
    };

    if (script->style.has_transactions && roll(script, 4) == 0)
        return roll(script, 3) == 0 ? "begin" : "rollback";
    if (roll(script, 300) == 0)
        return "big";
    return texts[roll(script, ARRAY_SIZE(texts))];
}

/* --- groups of messages ---------------------------------------------------------------------- */

static void
write_parse(struct script *script)
{
    const char *const text = some_text(script);

    append_parse(script, some_statement(script), *text != '\0' ? text : "none");
}

static void
write_bind(struct script *script)
{
    append_bind(script, "", some_statement(script));
    if (roll(script, 4) == 0)
        append_named(script, 'D', 'P', "");
    if (roll(script, 4) > 0)
        append_execute(script, "", (unsigned char)roll(script, 3));
    if (roll(script, 8) == 0)
        append_execute(script, "", 0);
}

static void
write_portal(struct script *script)
{
    const char *const portal = roll(script, 2) == 0 ? "p" : "q";

    append_bind(script, portal, some_name(script));
    append_execute(script, portal, 1);
    append_execute(script, portal, (unsigned char)roll(script, 3));
    if (roll(script, 2) == 0)
        append_named(script, 'C', 'P', portal);
}

static void
write_describe(struct script *script)
{
    append_named(script, 'D', 'S', some_statement(script));
}

static void
write_close(struct script *script)
{
    append_named(script, 'C', 'S', some_statement(script));
}

static void
write_query(struct script *script)
{
    const char *const text = some_text(script);
    const bool is_plain =
        *text == '\0' || strcmp(text, "begin") == 0 || strcmp(text, "rollback") == 0;

    append_str(script, 'Q', is_plain ? text : marked(script, text));
}

static void
write_flush(struct script *script)
{
    append(script, 'H', NULL, 0);
}

static void
write_unnamed_text(struct script *script, const char *text)
{
    append_parse(script, "", text);
    append_bind(script, "", "");
    append_execute(script, "", 0);
}

static void
write_unnamed(struct script *script)
{
    const char *const text = some_text(script);

    write_unnamed_text(script, *text != '\0' ? text : "none");
}

/* By a query or by the unnamed statement. */
static void
write_command(struct script *script, const char *text)
{
    if (roll(script, 2) == 0)
        append_str(script, 'Q', text);
    else
        write_unnamed_text(script, text);
}

static void
write_deallocate(struct script *script)
{
    char text[MODEL_TEXT];

    (void)snprintf(text, sizeof(text), "DEALLOCATE %s", some_name(script));
    if (roll(script, 4) == 0) {
        append_str(script, 'Q', roll(script, 2) == 0 ? "DEALLOCATE ALL" : "DISCARD ALL");
        return;
    }
    write_command(script, text);
    /* In later transactions that unnamed statement is not known. */
    if (script->style.has_own_names)
        return;
    append_sync(script);
    append_str(script, 'Q', marked(script, "after the command"));
}

static void
write_set(struct script *script)
{
    char text[MODEL_TEXT];

    (void)snprintf(text, sizeof(text), "SET application_name = 'app %u'", roll(script, 3));
    write_command(script, text);
}

static void
write_call(struct script *script)
{
    append_str(script, 'F', marked(script, roll(script, 4) == 0 ? "die" : "call"));
}

/* Rows, some of which are refused; so what comes behind them is late. */
static void
write_rows(struct script *script, bool is_both)
{
    for (unsigned count = roll(script, 5); count > 0; count--) {
        append_str(script, 'd', roll(script, 8) == 0 && !is_both ? "bad row" : "row");
        if (roll(script, 8) == 0 && !is_both)
            append_sync(script);
    }
    if (roll(script, 200) == 0) {
        static char big[MODEL_BIG] = "row";

        append(script, 'd', big, sizeof(big));
    }
    if (script->style.is_careless && roll(script, 2) == 0)
        append_str(script, 'Q', marked(script, "in the middle"));
    if (roll(script, 6) == 0)
        write_flush(script);
    if (is_both || roll(script, 4) > 0)
        append(script, 'c', NULL, 0);
    else
        append_str(script, 'f', "not wanted");
}

static void
write_copy_by_query(struct script *script)
{
    const bool is_both = script->style.has_session && roll(script, 4) == 0;

    append_str(script, 'Q',
               marked(script, is_both                ? "copy both"
                              : roll(script, 4) == 0 ? "copy none"
                                                     : "copy in"));
    if (roll(script, 2) == 0)
        append_gate(script);
    write_rows(script, is_both);
}

/* Most drivers send a Sync with the COPY, which is passed over. Nobody else uses the name. */
static void
write_copy(struct script *script)
{
    const char *const name = roll(script, 2) == 0 ? "" : "copying";

    append_parse(script, name, roll(script, 4) == 0 ? "copy none" : "copy in");
    append_bind(script, "", name);
    append_execute(script, "", 0);
    if (roll(script, 2) == 0)
        append_sync(script);
    if (roll(script, 2) == 0)
        append_gate(script);
    write_rows(script, false);
    append_sync(script);
    if (script->style.is_careless)
        append_gate(script);
    /* Nobody is to use that unnamed statement again. */
    if (*name == '\0')
        append_str(script, 'Q', marked(script, "after the copy"));
}

void
script_write(struct script *script)
{
    static void (*const groups[])(struct script *) = {
        write_parse, write_parse,         write_parse, write_bind,     write_bind,
        write_bind,  write_portal,        write_close, write_describe, write_query,
        write_query, write_flush,         append_sync, append_sync,    append_sync,
        append_sync, write_unnamed,       write_set,   write_call,     write_deallocate,
        write_copy,  write_copy_by_query,
    };

    buf_clear(&script->bytes);
    script->count = 0;
    for (unsigned count = 3 + roll(script, 30); count > 0; count--)
        groups[roll(script, ARRAY_SIZE(groups))](script);
    append_sync(script);
    append_str(script, 'Q', "rollback");
}

/* --- answers --------------------------------------------------------------------------------- */

void
script_expect(struct script *script, struct model *model, const unsigned *cancelled,
              unsigned cancelled_count)
{
    for (unsigned i = 0; i < script->count; i++) {
        struct script_message *const message = &script->messages[i];
        const char *const data = script->bytes.data + message->at;

        if (cancelled_count > 0 && *cancelled == i) {
            model_cancelled_message(model, data, message->end - message->at);
            cancelled++;
            cancelled_count--;
        } else {
            model_message(model, data, message->end - message->at);
        }
        message->answered = model->output.len;
    }
}

size_t
script_allowed(const struct script *script, size_t answered)
{
    for (unsigned i = 0; i < script->count; i++)
        if (script->messages[i].is_gate && script->messages[i].answered > answered)
            return script->messages[i].end;
    return script->bytes.len;
}

unsigned
script_first_open(const struct script *script, size_t answered)
{
    for (unsigned i = 0; i < script->count; i++) {
        const char type = script->bytes.data[script->messages[i].at];

        if ((i == 0 ? 0 : script->messages[i - 1].answered) >= answered && type != 'H' &&
            type != 'd' && type != 'c' && type != 'f')
            return i;
    }
    fail_msg("a client without a request was in the queue");
    return 0;
}
