/*
 * console_int.h - what the files of the console share: the console itself and its sessions.
 */
#pragma once

#include "auth.h"
#include "buf.h"
#include "console.h"
#include "list.h"
#include "loop.h"
#include "macros.h"
#include "snapshot.h"
#include "stream.h"
#include "usec.h"

struct sampler;
struct show;

struct console {
    struct engine *engine; /* borrowed, as loop and outbox */
    struct loop *loop;
    struct outbox *outbox;
    struct console_hooks hooks;
    struct list sessions;    /* struct session; owned */
    struct sampler *sampler; /* owned */
    struct stats stats;      /* of the console's own database */
    bool closed;
};

/*
 *              +--> SNAPSHOT --+                 one wait a statement; input that was
 *              +--> RELOAD ----+                 pipelined behind it waits, too
 *   IDLE ------+--> DRAIN -----+--> IDLE
 *    |         +--> FLUSH -----+
 *    |         +--> EXIT
 *    +-------------- any ---------> CLOSED --> freed
 */
enum session_state {
    SESSION_IDLE,     /* reads and executes */
    SESSION_SNAPSHOT, /* SHOW: for the workers' rows */
    SESSION_RELOAD,   /* RELOAD: for its end */
    SESSION_DRAIN,    /* PAUSE: until the last server is gone */
    SESSION_FLUSH,    /* until the peer has read what it asked for */
    SESSION_EXIT,     /* SHUTDOWN: no answer but the end of the connection */
    SESSION_CLOSED,
};

/* One connection to the console. */
struct session {
    struct list link;                /* in console->sessions */
    struct console *console;         /* borrowed */
    struct console_visitor *visitor; /* owned; NULL once closed */
    struct stream stream;
    struct buf input;  /* owned: messages not executed yet */
    struct buf output; /* owned: answers of this turn */
    enum session_state state;
    enum console_access access;
    usec_t request_time; /* wall clock, of the last statement; 0 before */
    usec_t query_start;
    uint32_t cancel_pid, cancel_key;
    bool turn_pending;     /* turn is in the loop's hands */
    bool snapshot_pending; /* request is in the engine's hands */
    struct message turn;
    struct snapshot_request request;
    const struct show *show;     /* SNAPSHOT: what it is for */
    struct reload_waiter reload; /* RELOAD */
    struct engine_drain drain;   /* DRAIN */
    char *paused;                /* DRAIN, owned: the database, NULL for all */
};

/* session.c */

/* Takes the visitor over, also on failure. 0 or -errno. */
int session_open(struct console *console, struct console_visitor *visitor);
/* Idempotent. Frees the session later, from the loop. reason is for the log. */
void session_close(struct session *session, const char *reason);
/* ERROR and ReadyForQuery; the session lives on. */
void session_error(struct session *session, const char *format, ...) PRINTF_LIKE(2, 3);
void session_error_state(struct session *session, const char *sqlstate, const char *message,
                         const char *detail);
/* ReadyForQuery, or CommandComplete and ReadyForQuery, behind what is in output. */
void session_ready(struct session *session);
void session_complete(struct session *session, const char *tag);
/* Goes on, or is freed if closed, at the end of the loop's turn: no caller is on the stack then. */
void session_wake(struct session *session);
/* A statement that has no answer yet. */
void session_wait(struct session *session, enum session_state state);
/* Memory ran out while an answer was built; it is dropped. */
void session_no_memory(struct session *session);
void session_log(const struct session *session, int level, const char *format, ...)
    PRINTF_LIKE(3, 4);
const char *session_state_name(enum session_state state);

/* command.c */

/* Executes one statement: answers, or begins to wait. */
void command_execute(struct session *session, const char *sql);
/* The session waits in DRAIN no more, since its peer is gone or has cancelled. */
void command_undo_pause(struct session *session);

/* show.c */

/* NULL: there is no such SHOW. */
const struct show *show_find(const char *name);
/* Answers, or waits for the workers. */
void show_execute(struct session *session, const struct show *show);
