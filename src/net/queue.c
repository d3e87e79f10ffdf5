#include "queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"

struct queued {
    void *element;
    usec_t since;
};

/* A ring. All fields but size belong to the lock. */
struct queue {
    pthread_mutex_t lock;
    pthread_cond_t readable; /* an element, or the end */
    pthread_cond_t writable; /* room, or the end */
    pthread_cond_t filled;   /* no longer empty, or the end */
    pthread_cond_t closing;  /* the end */
    size_t size;
    size_t first;
    size_t count;
    bool closed;
    struct queued ring[];
};

/* What waits for a time waits for that of clock_now. */
static void
cond_init_monotonic(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

int
queue_new(size_t size, struct queue **ret_queue)
{
    struct queue *queue;

    assert(size > 0);
    queue = calloc(1, sizeof(*queue) + size * sizeof(queue->ring[0]));
    if (queue == NULL)
        return -ENOMEM;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->readable, NULL);
    pthread_cond_init(&queue->writable, NULL);
    pthread_cond_init(&queue->filled, NULL);
    cond_init_monotonic(&queue->closing);
    queue->size = size;
    *ret_queue = queue;
    return 0;
}

void
queue_free(struct queue *queue)
{
    if (queue == NULL)
        return;
    pthread_cond_destroy(&queue->closing);
    pthread_cond_destroy(&queue->filled);
    pthread_cond_destroy(&queue->writable);
    pthread_cond_destroy(&queue->readable);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

/* With the lock held. */
static int
queue_add(struct queue *queue, void *element)
{
    assert(element != NULL);
    if (queue->closed)
        return -ESHUTDOWN;
    if (queue->count == queue->size)
        return -EAGAIN;
    queue->ring[(queue->first + queue->count) % queue->size] =
        (struct queued){element, clock_now()};
    if (queue->count++ == 0)
        pthread_cond_signal(&queue->filled);
    pthread_cond_signal(&queue->readable);
    return 0;
}

/* With the lock held. */
static void *
queue_remove(struct queue *queue)
{
    void *element;

    if (queue->count == 0)
        return NULL;
    element = queue->ring[queue->first].element;
    queue->first = (queue->first + 1) % queue->size;
    queue->count--;
    pthread_cond_signal(&queue->writable);
    return element;
}

int
queue_try_put(struct queue *queue, void *element)
{
    int r;

    pthread_mutex_lock(&queue->lock);
    r = queue_add(queue, element);
    pthread_mutex_unlock(&queue->lock);
    return r;
}

int
queue_put(struct queue *queue, void *element)
{
    int r;

    pthread_mutex_lock(&queue->lock);
    while ((r = queue_add(queue, element)) == -EAGAIN)
        pthread_cond_wait(&queue->writable, &queue->lock);
    pthread_mutex_unlock(&queue->lock);
    return r;
}

void *
queue_take(struct queue *queue)
{
    void *element;

    pthread_mutex_lock(&queue->lock);
    while ((element = queue_remove(queue)) == NULL && !queue->closed)
        pthread_cond_wait(&queue->readable, &queue->lock);
    pthread_mutex_unlock(&queue->lock);
    return element;
}

/* With the lock held. */
static void *
queue_remove_late(struct queue *queue, usec_t patience)
{
    const usec_t since = queue->ring[queue->first].since;

    return queue->count > 0 && clock_now() - since >= patience ? queue_remove(queue) : NULL;
}

/*
 * With the lock held: until the oldest may have become late. While there is one nobody is woken by
 * those that come behind it.
 */
static void
queue_wait_late(struct queue *queue, usec_t patience)
{
    const usec_t at = usec_add(queue->ring[queue->first].since, patience);
    const struct timespec until = {.tv_sec = (time_t)(at / SEC),
                                   .tv_nsec = (long)(at % SEC) * 1000};

    if (queue->count == 0)
        pthread_cond_wait(&queue->filled, &queue->lock);
    else
        pthread_cond_timedwait(&queue->closing, &queue->lock, &until);
}

void *
queue_take_late(struct queue *queue, usec_t patience)
{
    void *element = NULL;

    pthread_mutex_lock(&queue->lock);
    while (!queue->closed && (element = queue_remove_late(queue, patience)) == NULL)
        queue_wait_late(queue, patience);
    pthread_mutex_unlock(&queue->lock);
    return element;
}

void *
queue_try_take(struct queue *queue)
{
    void *element;

    pthread_mutex_lock(&queue->lock);
    element = queue_remove(queue);
    pthread_mutex_unlock(&queue->lock);
    return element;
}

void
queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->readable);
    pthread_cond_broadcast(&queue->writable);
    pthread_cond_broadcast(&queue->filled);
    pthread_cond_broadcast(&queue->closing);
    pthread_mutex_unlock(&queue->lock);
}

size_t
queue_count(struct queue *queue)
{
    size_t count;

    pthread_mutex_lock(&queue->lock);
    count = queue->count;
    pthread_mutex_unlock(&queue->lock);
    return count;
}
