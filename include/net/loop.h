/*
 * loop.h - one thread's event loop: descriptors, messages from other threads, deferred calls.
 *
 * A loop turns: it waits, calls what is ready, runs what was deferred, calls the end-of-turn hook
 * (where the outbox sends), and waits again. Nothing that it calls may block.
 *
 * Thread: everything here belongs to the loop's own thread, but for loop_post and loop_stop, which
 * any thread may call. Before loop_run starts, the thread that made the loop counts as its own.
 * Tests link tests/fake/fake_loop.c in place of loop.c and timer.c: the same functions, with a
 * clock that stands still.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "usec.h"

struct loop;
struct io;

/*
 * A call that waits for its turn, embedded in what it is about; container_of finds the way back.
 * It is free for reuse as soon as fn is called. Posting one that still waits is a bug.
 */
struct message {
    struct message *next;
    void (*fn)(struct message *message);
};

/* name is borrowed. 0 and *ret_loop, or -ENOMEM, -EMFILE... */
int loop_new(const char *name, struct loop **ret_loop);
/*
 * After loop_run has returned, when no thread posts any more and all io and timers are freed.
 * Messages that still wait are run first.
 */
void loop_free(struct loop *loop);
/* Turns until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
const char *loop_name(const struct loop *loop);

/* Monotonic time, read once a turn; outside of loop_run it is read anew each time. */
usec_t loop_now(struct loop *loop);
/* Share of the last second that this loop's thread spent on a CPU, in per mille. Any thread. */
unsigned loop_load(const struct loop *loop);

/* From any thread: message->fn is called on the loop, in the order of posting of each thread. */
void loop_post(struct loop *loop, struct message *message);
/*
 * On the loop's own thread: message->fn is called at the end of this turn, before the hook; from
 * within the hook, at the end of the next turn, which then comes at once.
 */
void loop_defer(struct loop *loop, struct message *message);
/* Called at the end of each turn, after what was deferred; one hook a loop. */
void loop_set_turn_hook(struct loop *loop, void (*hook)(void *arg), void *arg);

/* A callback that takes longer is logged with its name; 0 is never. Default 100 ms. */
void loop_set_slow_callback(struct loop *loop, usec_t limit);

/*
 * What an io waits for and is told, turn by turn while it lasts. IO_CLOSED: the peer has shut down
 * its sending side, or the connection is broken; it is told once when nothing else is wanted. An
 * error makes an io readable and writable.
 */
enum { IO_READ = 1, IO_WRITE = 2, IO_CLOSED = 4 };

/*
 * Watches fd, which it borrows; watches nothing until io_want. name (static) is what a slow
 * callback is logged as. fn may be called once for reading and once for writing in a turn, and may
 * free the io. One io a descriptor. NULL when there is no memory.
 */
struct io *io_new(struct loop *loop, int fd, const char *name, void (*fn)(void *arg, unsigned what),
                  void *arg);
/* Stops watching. NULL is fine. Before the descriptor is closed. */
void io_free(struct io *io);
/*
 * Watches for exactly these from now on; costs nothing when it is no change. 0, or -errno, and then
 * it watches nothing.
 */
int io_want(struct io *io, unsigned what);
unsigned io_wanted(const struct io *io);
