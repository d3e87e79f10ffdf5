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
#include "pg.h"
#include "snapshot.h"
#include "stream.h"
#include "usec.h"

struct config;
struct executor;
struct formats;
struct msg_column;
struct portal;
struct sampler;
struct select;
struct show;
struct timer;

struct console {
    struct engine *engine; /* borrowed, as loop and outbox */
    struct loop *loop;
    struct outbox *outbox;
    struct console_hooks hooks;
    struct list sessions;      /* struct session; owned */
    struct sampler *sampler;   /* owned */
    struct executor *executor; /* owned: for SQLite */
    struct stats stats;        /* of the console's own database */
    bool closed;
};

/*
 *              +--> SNAPSHOT --+                 one wait a statement; input that was
 *              +--> BARRIER ---+                 pipelined behind it waits, too
 *              +--> RELOAD ----+
 *   IDLE ------+--> DRAIN -----+--> IDLE
 *    |         +--> WATCH -----+
 *    |         +--> KILL ------+
 *    |         +--> SQL -------+
 *    |         +--> FLUSH -----+
 *    |         +--> EXIT
 *    +-------------- any ---------> CLOSED --> freed
 */
enum session_state {
    SESSION_IDLE,     /* reads and executes */
    SESSION_SNAPSHOT, /* SHOW: for the workers' rows */
    SESSION_BARRIER,  /* KILL, RECONNECT: until all workers have done what they were told */
    SESSION_RELOAD,   /* RELOAD: for its end */
    SESSION_DRAIN,    /* PAUSE: until the last server is gone */
    SESSION_WATCH,    /* WAIT_CLOSE: until no server is left that is to be closed */
    SESSION_KILL,     /* KILL_CLIENT: until the client is found */
    SESSION_SQL,      /* SELECT: for SQLite, and for the rows of its tables */
    SESSION_FLUSH,    /* until the peer has read what it asked for */
    SESSION_EXIT,     /* SHUTDOWN: no answer but the end of the connection */
    SESSION_CLOSED,
};

/* How an answer ends. */
enum session_mode {
    SESSION_SIMPLE,   /* with ReadyForQuery */
    SESSION_EXTENDED, /* a Sync is still to come, and has the ReadyForQuery */
    SESSION_SKIPPING, /* after an error: nothing is answered up to the Sync */
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
    enum session_mode mode;
    enum ready_status status; /* of the transaction that the driver believes to be in */
    enum console_access access;
    struct list prepared;  /* owned: statements of the extended protocol */
    struct list portals;   /* owned */
    struct portal *portal; /* borrowed: the one being executed; NULL: a simple Query is */
    uint32_t row_limit;    /* of that Execute; 0: none */
    usec_t request_time;   /* wall clock, of the last statement; 0 before */
    usec_t query_start;
    uint32_t cancel_pid, cancel_key;
    bool turn_pending;   /* turn is in the loop's hands */
    bool engine_pending; /* request or kill is in the engine's hands */
    struct message turn;
    struct snapshot_request request;
    const struct show *show;     /* SNAPSHOT: what it is for */
    struct select *select;       /* SQL: owned until it is given up */
    const char *tag;             /* BARRIER: what it was; static */
    struct engine_kill kill;     /* KILL */
    struct timer *timer;         /* WATCH, owned: when to look again */
    char *watched;               /* WATCH, owned: the database, NULL for all */
    bool interrupted;            /* WATCH: ends when the answer under way is there */
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
/* detail and hint may be NULL. */
void session_fault(struct session *session, const char *sqlstate, const char *message,
                   const char *detail, const char *hint);
/* ReadyForQuery, or CommandComplete and ReadyForQuery, behind what is in output. */
void session_ready(struct session *session);
void session_complete(struct session *session, const char *tag);
/* Goes on, or is freed if closed, at the end of the loop's turn: no caller is on the stack then. */
void session_wake(struct session *session);
/* A statement has come: notes when, and in the log. */
void session_begin(struct session *session, const char *sql);
/* Sends what is in output; if the session has waited, it goes on. */
void session_go_on(struct session *session);
/* Sends what is in output; the answer goes on. */
void session_send_output(struct session *session);
/* Executes one statement that has just come. */
void session_execute(struct session *session, const char *sql);
/* A statement that has no answer yet. */
void session_wait(struct session *session, enum session_state state);
/* Tells the peer why, as far as it will listen, and closes. */
void session_fatal(struct session *session, const char *sqlstate, const char *reason);
/* Memory ran out while an answer was built; it is dropped. */
void session_no_memory(struct session *session);
void session_log(const struct session *session, int level, const char *format, ...)
    PRINTF_LIKE(3, 4);
const char *session_state_name(enum session_state state);

/* command.c */

/* Executes one statement: answers, or begins to wait. */
void command_execute(struct session *session, const char *sql);
/* An error, as PostgreSQL's: the driver is to notice that something has failed. */
void command_refuse_in_failed_transaction(struct session *session);
/* The columns that it will answer with, and how many; 0: no rows. */
size_t command_describe(const struct session *session, const char *sql, struct msg_column *columns);

/* admin.c */

/* A CancelRequest: what waits is given up, and what it has paused is resumed. */
void admin_cancel(struct session *session);
/* The same, for a session that is being closed. */
void admin_give_up(struct session *session);

/* select.c */

/* A session that is closed, or whose statement is cancelled, lets go of its SELECT. */
void select_give_up(struct session *session);

/* extended.c */

/* Parse, Bind, Describe, Execute, Close, Flush, Sync; false: it is none of these. */
bool extended_message(struct session *session, char type, const char *body, size_t len);
/* Forgets statements and portals; or portals only. */
void extended_forget(struct session *session);
void extended_forget_portals(struct session *session);
/* Keeps what of the answer in output is beyond the Execute's limit for the next. 0 or -ENOMEM. */
int extended_limit(struct session *session);
/* Of the answer's columns; NULL: text. */
const struct formats *extended_formats(const struct session *session);

/* show.c */

/* NULL: there is no such SHOW. */
const struct show *show_find(const char *name);
/* Its columns, and how many; 0 for none, or no show. */
size_t show_describe(const struct config *config, const struct show *show,
                     struct msg_column *columns);
/* Answers, or waits for the workers. */
void show_execute(struct session *session, const struct show *show);
