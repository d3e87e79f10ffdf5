/*
 * outbox.h - one loop's arena for received bytes, and the sends of one turn, submitted together.
 *
 * Streams receive into the arena and send from it; at the end of the turn (or when the arena or
 * the batch is full) all sends go to the kernel in one system call: io_uring, else io_submit, else
 * one send each. Fewer than OUTBOX_BATCH_MIN sends are always sent one by one.
 *
 * Thread: the loop's. Life: from loop_new to just before loop_free; longer than its streams.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct loop;
struct outbox;

/* The ways to submit a batch, best first; AUTO tries them in this order. */
enum outbox_method { OUTBOX_AUTO, OUTBOX_URING, OUTBOX_AIO, OUTBOX_SEND };

#define OUTBOX_ARENA_SIZE (256 * 1024)
#define OUTBOX_BATCH_MAX  64
#define OUTBOX_BATCH_MIN  3

/* Installs itself as the loop's turn hook. A method that the kernel refuses falls to the next. */
int outbox_new(struct loop *loop, enum outbox_method method, struct outbox **ret_outbox);
void outbox_free(struct outbox *outbox);
/* Sends what is collected; called by the loop's turn hook. */
void outbox_flush(struct outbox *outbox);
struct loop *outbox_loop(const struct outbox *outbox);
enum outbox_method outbox_method(const struct outbox *outbox);
const char *outbox_method_name(enum outbox_method method);
