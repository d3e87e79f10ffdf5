/*
 * quote.c - literals and identifiers for SQL that the daemon sends.
 */
#include "quote.h"

#include <string.h>

#include "buf.h"

/* Appends text between two quotes, those inside doubled. */
static int
append_quoted(struct buf *buf, const char *text, char quote)
{
    const char *inside;
    int r;

    r = buf_append_char(buf, quote);
    while (r == 0 && (inside = strchr(text, quote)) != NULL) {
        r = buf_append(buf, text, (size_t)(inside + 1 - text));
        if (r == 0)
            r = buf_append_char(buf, quote);
        text = inside + 1;
    }
    if (r == 0)
        r = buf_append_str(buf, text);
    return r < 0 ? r : buf_append_char(buf, quote);
}

/*
 * Appends text as an escape string. A backslash is doubled, but not behind a byte of the upper
 * half: there it may be the second byte of a character (SJIS, BIG5, GBK and others have such), and
 * the one of our own would then escape what follows, maybe the closing quote. \134 is right where
 * it was a backslash, and harmless where it was not.
 */
static int
append_escaped(struct buf *buf, const char *text)
{
    char before = '\0';
    int r;

    r = buf_append_str(buf, " E'");
    for (; r == 0 && *text != '\0'; before = *text++) {
        if (*text == '\'')
            r = buf_append_str(buf, "''");
        else if (*text == '\\')
            r = buf_append_str(buf, (unsigned char)before < 0x80 ? "\\\\" : "\\134");
        else
            r = buf_append_char(buf, *text);
    }
    return r < 0 ? r : buf_append_char(buf, '\'');
}

/* A failure leaves the buf as it was. */
static int
undo_unless_ok(struct buf *buf, size_t len, int r)
{
    if (r < 0 && buf->data != NULL) {
        buf->len = len;
        buf->data[len] = '\0';
    }
    return r;
}

int
quote_literal(struct buf *buf, const char *text)
{
    const size_t len = buf->len;

    return undo_unless_ok(buf, len,
                          strchr(text, '\\') == NULL ? append_quoted(buf, text, '\'')
                                                     : append_escaped(buf, text));
}

int
quote_ident(struct buf *buf, const char *name)
{
    const size_t len = buf->len;

    return undo_unless_ok(buf, len, append_quoted(buf, name, '"'));
}
