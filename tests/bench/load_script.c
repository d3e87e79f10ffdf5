/*
 * load_script.c - the messages that clients send, as libpq would send them.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "load.h"
#include "macros.h"
#include "str.h"

#define PREPARES_AT_ONCE 100

static void
must(int r)
{
    if (r < 0)
        errx(1, "no memory");
}

static struct buf *
bufs_new(size_t count)
{
    struct buf *bufs = calloc(MAX(count, 1), sizeof(*bufs));

    if (bufs == NULL)
        errx(1, "no memory");
    return bufs;
}

/* The text of one statement; several are made different by a comment. */
static void
put_text(struct buf *text, const struct load *load, size_t number)
{
    must(buf_append_str(text, load->query));
    if (load->statements > 1)
        must(buf_printf(text, " /* %zu */", number));
}

static void
put_parse(struct buf *out, const char *name, const char *text)
{
    struct msg msg;

    msg_begin(&msg, out, FRONTEND_PARSE);
    msg_put_str(&msg, name);
    msg_put_str(&msg, text);
    msg_put_int16(&msg, 0); /* types of parameters */
    must(msg_end(&msg));
}

/* Bind, Describe, Execute, Sync. */
static void
put_execute(struct buf *out, const char *name)
{
    struct msg msg;

    must(msg_bind(out, "", name));
    msg_begin(&msg, out, FRONTEND_DESCRIBE);
    msg_put_byte(&msg, 'P');
    msg_put_str(&msg, "");
    must(msg_end(&msg));
    msg_begin(&msg, out, FRONTEND_EXECUTE);
    msg_put_str(&msg, "");
    msg_put_int32(&msg, 0); /* as many rows as there are */
    must(msg_end(&msg));
    must(msg_sync(out));
}

/* The variant of each mode, and what has to be prepared for it. */

static void
put_simple(struct script *script, size_t number, const char *text)
{
    must(msg_query(&script->variants[number], text));
}

static void
put_extended(struct script *script, size_t number, const char *text)
{
    put_parse(&script->variants[number], "", text);
    put_execute(&script->variants[number], "");
}

static void
put_prepared(struct script *script, size_t number, const char *text)
{
    struct buf *prepares = &script->prepares[number / PREPARES_AT_ONCE];
    char name[32];

    snprintf(name, sizeof(name), "s%zu", number);
    put_parse(prepares, name, text);
    if (number % PREPARES_AT_ONCE == PREPARES_AT_ONCE - 1 || number == script->n_variants - 1)
        must(msg_sync(prepares));
    put_execute(&script->variants[number], name);
}

static const struct mode {
    const char *name;
    void (*put)(struct script *script, size_t number, const char *text);
} modes[] = {{"simple", put_simple}, {"extended", put_extended}, {"prepared", put_prepared}};

static const struct mode *
find_mode(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
        if (str_eq(modes[i].name, name))
            return &modes[i];
    errx(2, "no such mode: %s", name);
}

void
script_init(struct script *script, const struct load *load)
{
    const struct mode *mode = find_mode(load->mode);
    const size_t n_prepares = ((size_t)load->statements - 1) / PREPARES_AT_ONCE + 1;

    *script = (struct script){
        .n_variants = (size_t)load->statements,
        .n_prepares = mode->put == put_prepared ? n_prepares : 0,
    };
    script->variants = bufs_new(script->n_variants);
    script->prepares = bufs_new(script->n_prepares);
    for (size_t i = 0; i < script->n_variants; i++) {
        CLEANUP(buf_done) struct buf text = BUF_INIT;

        put_text(&text, load, i);
        mode->put(script, i, text.data);
    }
    must(msg_query(&script->begin, "BEGIN"));
    must(msg_query(&script->commit, "COMMIT"));
    must(msg_query(&script->pull, load->pull_query));
}

static void
bufs_free(struct buf *bufs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_done(&bufs[i]);
    free(bufs);
}

void
script_done(struct script *script)
{
    bufs_free(script->variants, script->n_variants);
    bufs_free(script->prepares, script->n_prepares);
    buf_done(&script->begin);
    buf_done(&script->commit);
    buf_done(&script->pull);
}
