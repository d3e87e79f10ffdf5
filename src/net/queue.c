#include "queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* A ring of pointers. All fields but size belong to the lock. */
struct queue {
    pthread_mutex_t lock;
    pthread_cond_t readable; /* an element, or the end */
    pthread_cond_t writable; /* room, or the end */
    size_t size;
    size_t first;
    size_t count;
    bool closed;
    void *elements[];
};

int
queue_new(size_t size, struct queue **ret_queue)
{
    struct queue *queue;

    assert(size > 0);
    queue = calloc(1, sizeof(*queue) + size * sizeof(queue->elements[0]));
    if (queue == NULL)
        return -ENOMEM;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->readable, NULL);
    pthread_cond_init(&queue->writable, NULL);
    queue->size = size;
    *ret_queue = queue;
    return 0;
}

void
queue_free(struct queue *queue)
{
    if (queue == NULL)
        return;
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
    queue->elements[(queue->first + queue->count) % queue->size] = element;
    queue->count++;
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
    element = queue->elements[queue->first];
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
