/*
 * relay_int.h - what the two directions of the relay share: spans, limits, and the end of a link.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "frame.h"
#include "pg.h"
#include "requests.h"
#include "server.h"
#include "stream.h"

struct buf;
struct client;
struct worker;

/*
 * A message up to this size that the network has cut is kept until it is whole: so a client that
 * stalls in the middle of one holds no server, and leaves none in the middle of a message. Larger
 * ones, and COPY data, are passed on as they come.
 */
#define RELAY_HOLD_MAX (64 * 1024)

/* A run of bytes of one chunk that goes out in one piece. */
struct span {
    struct stream *to;
    const char *start;
    const char *end; /* of the client's messages that have come, or NULL */
    bool borrowed;   /* in the arena */
    bool glued;      /* what came before was copied: what is short goes behind it, in one piece */
};
/* A copy of so many bytes costs less than another piece. */
#define SPAN_GLUE_MAX 512

/* What the framer has taken of the end of a chunk that is not given out yet: part of a header. */
static inline size_t
framer_kept_back(const struct framer *framer)
{
    return framer->left == 0 ? framer->kept : 0;
}

static inline void
span_send(const struct span *span, const char *end)
{
    const size_t len = (size_t)(end - span->start);

    if (len == 0)
        return;
    if (span->borrowed && !(span->glued && len <= SPAN_GLUE_MAX))
        stream_send(span->to, span->start, len);
    else
        stream_send_copy(span->to, span->start, len);
}

/* Sends what has gathered up to end, and goes on from there. */
static inline void
relay_span_end(struct span *span, const char *end)
{
    if (span->to != NULL)
        span_send(span, end);
    span->start = end;
}

/*
 * The same before a cut message. The rest of a split header, which goes with the message, may lie
 * before it: such a message is the first of its chunk, so there is nothing else.
 */
static inline void
relay_span_before(struct span *span, const struct frame *frame)
{
    if (!frame->split)
        relay_span_end(span, frame->data);
}

/*
 * The end of a chunk is the moment to let a server go: nothing that came with it is for another
 * client then. True: it went, and may be another thread's by now.
 */
bool relay_settle(struct server *server);
/* Whether that will let it go: its client has all that was for him. */
bool relay_is_over(const struct server *server);
/* Whether the client is not to be read now: the other side, or its own, does not keep up. */
bool relay_client_must_wait(const struct client *client);
/* Receive calls for one event; then it is the others' turn. */
unsigned relay_reads_max(const struct worker *worker);
/* What the client expects, and its server does not have, is SET. 0 or -ENOMEM. */
int relay_set_server(struct server *server);
/*
 * That is answered: the client has what the server made of its wishes, and is told what came out
 * differently. False: one of them is gone.
 */
bool relay_settings_done(struct server *server);
/*
 * ParameterStatus; *action becomes SKIP if the client is told something else. False: the server is
 * gone.
 */
bool relay_parameter(struct server *server, const struct frame *frame, enum request_action *action);
/* A Sync of ours; action says whose its answer is. 0 or -ENOMEM. */
int relay_send_sync(struct server *server, enum request_action action);
/* The client has asked for something: the clocks of its query and its transaction run. */
void relay_begin_query(struct client *client);

/* ---- relay_statement.c: named prepared statements ------------------------------------------- */

/* What was done about a message that may name a statement. */
enum mapped {
    MAPPED_NOTHING, /* it goes to the server as it is, and is entered as any other */
    MAPPED_ENTERED, /* it goes to the server as it is, and was entered */
    MAPPED_SENT,    /* it was entered and sent, in other words; the span goes on behind it */
    MAPPED_WAIT,    /* what it means depends on answers that have not come: not now */
    MAPPED_FAILED,  /* no memory */
};

/* Whether messages of this type are to be looked at. */
bool relay_maps(const struct client *client, char type);
/*
 * The message of len bytes (Bind: at least its names, else all of it) at data, for the client's
 * server, which has nothing of what comes before data in the span yet.
 */
enum mapped relay_map(struct client *client, struct span *span, const char *data, size_t avail,
                      size_t len);
/* Of a Parse with a name that is too long to be kept, in its place. MAPPED_SENT or _FAILED. */
enum mapped relay_refuse_long(struct client *client, struct span *span);
/* Whether this beginning of a Bind holds both names. */
bool relay_has_bind_names(const char *data, size_t len);
/* What the server has for the client's statement that this Bind or Describe is about, or NULL. */
struct prepared_entry *relay_entry_of(const struct server *server, const char *data, size_t len);

/* What the unnamed statement was going to do is not known any more. */
void relay_forget_plan(struct server *server);

/* ---- relay_unnamed.c: the unnamed statement -------------------------------------------------- */

/* Enters a Query or an unnamed Parse that is too long to be looked at. 0 or -ENOMEM. */
int relay_push_long(struct client *client, char type);
/* What the server answers now is an error. */
void relay_unnamed_failed(const struct server *server);

/* ---- relay_heal.c: what is refused, and can be sent once more ------------------------------- */

/* Something goes to the server on its client's account. */
static inline void
relay_begin_work(struct server *server)
{
    if (server->progress == PROGRESS_READY || server->progress == PROGRESS_LINKED)
        server->progress = server->status == READY_IDLE ? PROGRESS_NAMED : PROGRESS_BUSY;
}

static inline bool
relay_is_keeping(const struct server *server)
{
    return server->progress == PROGRESS_KEEPS || server->progress == PROGRESS_KEPT;
}

/* A message of this type was entered. */
void relay_progress(struct server *server, char type);
/* NAMED: a whole Bind or Describe of a statement, which can be sent again: it is kept. */
void relay_begin_keep(struct server *server, const char *data, size_t len);
/* Keeping: the client has sent another message. */
void relay_keep_more(struct server *server, const char *data, size_t len);
/* What was kept will not be sent again. */
void relay_keep_no_more(struct server *server);
/* Keeping: the client is to have a message of this type from the server. */
void relay_keep_answered(struct server *server, char type);
/*
 * An error for the client. True: it is not, since what failed was sent again; the server may be
 * CLOSING now.
 */
bool relay_heal(struct server *server, const char *data, size_t len);

/* ---- relay_statement_told.c: what servers say of them --------------------------------------- */

/* The server has finished a command that may matter to statements. */
void relay_read_tag(struct server *server, const struct frame *frame, enum request_action action);
/* What an error says about the statements of the server. */
enum relay_doubt {
    DOUBT_NOTHING,
    DOUBT_RESULT, /* one of them would have other rows than it had */
    DOUBT_NAMES,  /* it does not have those that we know of */
};
enum relay_doubt relay_doubts(const struct server *server, const char *body, size_t len,
                              const char *sqlstate);
/* The client hears of that error; or of one of ours, that the rows are not those it knows of. */
void relay_note_told(const struct server *server, enum relay_doubt doubt);
/*
 * An ErrorResponse in which a name of ours stands, in the client's words; nothing is appended if
 * there is none. 0 or a negative errno.
 */
int relay_reword_error(const struct server *server, const char *data, size_t len,
                       struct buf *reworded);

/* ---- relay_reset.c: what a RESET takes the client back to ----------------------------------- */

/*
 * The server has reported this value: what the client has now instead, since it has RESET what it
 * came with; or NULL.
 */
const char *relay_reset_value(const struct server *server, const char *name, const char *value);
/* It has that, and is told if it had another. 0 or -ENOMEM. */
int relay_reset_parameter(struct client *client, const char *name, const char *asked);
/* ReadyForQuery, after a RESET. 0 or -ENOMEM. */
int relay_reset_done(struct server *server);
