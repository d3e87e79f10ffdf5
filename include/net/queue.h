/*
 * queue.h - a bounded queue between producing and consuming threads, with an orderly end.
 *
 * Elements are pointers, not NULL, owned by whoever holds them. After queue_close nothing more goes
 * in; what is in it still comes out; then every consumer is told the end. Any thread.
 */
#pragma once

#include <stddef.h>

#include "usec.h"

struct queue;

int queue_new(size_t size, struct queue **ret_queue);
/* Closed, with no thread in it. Elements left are the caller's to take out first. */
void queue_free(struct queue *queue);
/* 0, -EAGAIN when full, -ESHUTDOWN when closed. Never blocks. */
int queue_try_put(struct queue *queue, void *element);
/* Waits for room. 0 or -ESHUTDOWN. */
int queue_put(struct queue *queue, void *element);
/* Waits for an element; NULL is the end. */
void *queue_take(struct queue *queue);
/*
 * Waits for an element that nobody has taken for so long; NULL is the end, and what is left then is
 * for others.
 */
void *queue_take_late(struct queue *queue, usec_t patience);
/* NULL when there is nothing now. */
void *queue_try_take(struct queue *queue);
void queue_close(struct queue *queue);
size_t queue_count(struct queue *queue);
