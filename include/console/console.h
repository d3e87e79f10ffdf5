/*
 * console.h - the admin database: who connects to `pgbouncer` or `pgweir` talks to the daemon
 * itself.
 *
 * It speaks PgBouncer's language: SHOW, PAUSE, RESUME, RELOAD, SHUTDOWN, SET, one a Query. Sessions
 * live on the main loop; what they show comes from the workers by snapshot. The console also takes
 * the samples that averages and the periodic stats line are made of.
 *
 * Thread: the main loop's.
 * Life: console_new ... console_close, engine_stop, console_free, engine_free.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "list.h"

struct buf;
struct console;
struct console_visitor;
struct loop;
struct outbox;

/* What tools that know PgBouncer are told to be talking to. */
#define CONSOLE_PGBOUNCER_VERSION "1.26.0"
#define CONSOLE_SERVER_VERSION    CONSOLE_PGBOUNCER_VERSION "/pgweir"
#define CONSOLE_VERSION           "PgBouncer " CONSOLE_PGBOUNCER_VERSION " (pgweir " PGWEIR_VERSION ")"

/* Embedded by who waits for the end of a reload; list_remove(&waiter->link) forgets it. */
struct reload_waiter {
    struct list link;                                              /* the reloader's */
    void (*done)(struct reload_waiter *waiter, const char *error); /* NULL: it is in force */
};

/* What the console asks of main. */
struct console_hooks {
    void *arg;
    /* Reads the configuration again; waiter->done is called later, from the loop. */
    void (*reload)(void *arg, struct reload_waiter *waiter);
    void (*shutdown)(void *arg, enum engine_shutdown mode);
    /*
     * Changes one key until the next reload. 0, maybe with a warning in message, or a negative
     * errno with the reason.
     */
    int (*set)(void *arg, const char *key, const char *value, struct buf *message);
};

/* Everything is borrowed and outlives the console; hooks is copied. 0 or -errno. */
int console_new(struct engine *engine, struct loop *loop, struct outbox *outbox,
                const struct console_hooks *hooks, struct console **ret_console);
/* Ends all sessions; asks the engine for nothing any more. Visitors who come later are turned away.
 */
void console_close(struct console *console);
/* When the engine has answered all that it was asked. */
void console_free(struct console *console);

/* A new session; takes the visitor over. */
void console_visit(struct console *console, struct console_visitor *visitor);
/*
 * A client has sent a CancelRequest with this key. If it is that of a session whose PAUSE waits,
 * what it paused is resumed, as with PgBouncer. False: no session has it.
 */
bool console_cancel(struct console *console, uint32_t pid, uint32_t key);
/* engine_resume, and sessions whose PAUSE has waited for its end are told. */
enum engine_result console_resume(struct console *console, const char *database);
