#include "requests.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "macros.h"
#include "pg.h"

#define REQUESTS_FIRST_SIZE 16

void
requests_init(struct requests *requests)
{
    memset(requests, 0, sizeof *requests);
    list_init(&requests->ops);
}

void
requests_done(struct requests *requests)
{
    requests_abandon_ops(requests);
    free(requests->ring);
    requests_init(requests);
}

void
requests_reset(struct requests *requests)
{
    requests_abandon_ops(requests);
    requests->head = 0;
    requests->count = 0;
    requests->skipping = false;
    requests->copy_in = false;
    requests->owes_ready = false;
    requests->flushed = false;
    requests->is_lost = false;
    requests->doubtful = 0;
}

static struct request *
requests_at(const struct requests *requests, uint32_t index)
{
    return &requests->ring[(requests->head + index) & (requests->size - 1)];
}

static int
requests_grow(struct requests *requests)
{
    const uint32_t size = requests->size == 0 ? REQUESTS_FIRST_SIZE : requests->size * 2;
    struct request *const ring = malloc(size * sizeof *ring);

    if (ring == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < requests->count; i++)
        ring[i] = *requests_at(requests, i);
    free(requests->ring);
    requests->ring = ring;
    requests->size = size;
    requests->head = 0;
    return 0;
}

static bool
requests_is_copy_end(char type)
{
    return type == FRONTEND_COPY_DONE || type == FRONTEND_COPY_FAIL;
}

static bool
requests_is_answered(char type)
{
    return type != FRONTEND_COPY_DATA && type != FRONTEND_FLUSH && !requests_is_copy_end(type);
}

/* Whether an end of the COPY that the server reads is on its way. */
static bool
requests_copy_end_pending(const struct requests *requests)
{
    for (uint32_t i = 0; i < requests->count; i++) {
        if (requests_is_copy_end(requests_at(requests, i)->type))
            return true;
    }
    return false;
}

/* Whether the server will pass over a message that is sent now, or has no answer to it. */
static bool
requests_is_ignored(const struct requests *requests, char type)
{
    switch (type) {
    case FRONTEND_COPY_DATA:
    case FRONTEND_FLUSH:
        return true;
    case FRONTEND_COPY_DONE:
    case FRONTEND_COPY_FAIL:
        /* Without anything that could begin a COPY they mean nothing. */
        return requests->count == 0;
    case FRONTEND_SYNC:
        return false;
    default:
        return requests->skipping;
    }
}

bool
requests_passes_over_now(const struct requests *requests)
{
    return requests->skipping || (requests->copy_in && !requests_copy_end_pending(requests));
}

/* A message among COPY data. */
static void
requests_be_in_doubt(struct requests *requests, char type)
{
    if (type == FRONTEND_SYNC)
        requests->doubtful++;
    else
        requests->is_lost = true;
}

/* A message that is passed over, unless a Sync in doubt comes before it. */
static void
requests_pass_over(struct requests *requests, char type)
{
    if (requests->doubtful > 0 && requests_is_answered(type))
        requests->is_lost = true;
}

bool
requests_are_syncs(const struct requests *requests)
{
    for (uint32_t i = 0; i < requests->count; i++) {
        if (requests_at(requests, i)->type != FRONTEND_SYNC)
            return false;
    }
    return true;
}

static bool
requests_ends_with_ready(char type)
{
    return type == FRONTEND_SYNC || type == FRONTEND_QUERY || type == FRONTEND_FUNCTION_CALL;
}

bool
requests_must_flush(struct requests *requests)
{
    const bool is_asked = requests->flushed;

    requests->flushed = true;
    return !is_asked && requests->count > 0 &&
           !requests_ends_with_ready(requests_at(requests, requests->count - 1)->type);
}

/* Enters the message; *ret_entered: it will be answered. */
static int
requests_enter(struct requests *requests, char type, enum request_action action, bool has_op,
               bool *ret_entered)
{
    int r;

    *ret_entered = false;
    if (type == FRONTEND_SYNC)
        requests->segment++;
    if (requests_is_ignored(requests, type)) {
        requests_pass_over(requests, type);
        return 0;
    }
    if (requests->copy_in && !requests_is_copy_end(type) && !requests_copy_end_pending(requests)) {
        requests_be_in_doubt(requests, type);
        return 0;
    }
    if (requests->count == requests->size) {
        r = requests_grow(requests);
        if (r < 0)
            return r;
    }
    *requests_at(requests, requests->count++) =
        (struct request){.type = type, .action = (uint8_t)action & 127, .has_op = has_op};
    requests->flushed = false;
    *ret_entered = true;
    if (type == FRONTEND_SYNC)
        requests->skipping = false;
    return 0;
}

int
requests_push(struct requests *requests, char type, enum request_action action)
{
    bool entered;

    return requests_enter(requests, type, action, false, &entered);
}

void
requests_mark(struct requests *requests, uint16_t mark)
{
    assert(requests->count > 0);
    requests_at(requests, requests->count - 1)->mark = mark;
}

static void
requests_tell(struct requests *requests, struct request_op *op, enum request_outcome outcome)
{
    requests->resolved++;
    op->resolve(op, outcome);
}

int
requests_push_op(struct requests *requests, char type, enum request_action action,
                 struct request_op *op)
{
    bool entered;
    const int r = requests_enter(requests, type, action, true, &entered);

    if (r < 0)
        return r;
    if (entered)
        list_push_back(&requests->ops, &op->link);
    else
        requests_tell(requests, op, REQUEST_SKIPPED);
    return 0;
}

void
requests_abandon_ops(struct requests *requests)
{
    struct list *link;

    while ((link = list_pop(&requests->ops)) != NULL)
        requests_tell(requests, list_entry(link, struct request_op, link), REQUEST_SKIPPED);
    for (uint32_t i = 0; i < requests->count; i++)
        requests_at(requests, i)->has_op = 0;
}

void
requests_swallow_head(struct requests *requests)
{
    struct request *const head = requests_at(requests, 0);

    assert(requests->count > 0 && head->type == FRONTEND_SYNC);
    head->action = REQUEST_SKIP;
}

static void
requests_tell_head(struct requests *requests, enum request_outcome outcome)
{
    requests_at(requests, 0)->has_op = 0;
    requests_tell(requests, list_entry(list_pop(&requests->ops), struct request_op, link), outcome);
}

/* The head leaves. */
static void
requests_drop(struct requests *requests, enum request_outcome outcome)
{
    if (unlikely(requests_at(requests, 0)->has_op))
        requests_tell_head(requests, outcome);
    requests->head = (requests->head + 1) & (requests->size - 1);
    requests->count--;
    requests->dropped++;
}

static void
requests_pop(struct requests *requests)
{
    requests_drop(requests, REQUEST_DONE);
    /* The end of a COPY has no answer of its own. */
    while (requests->count > 0 && requests_is_copy_end(requests_head_type(requests)))
        requests_drop(requests, REQUEST_DONE);
}

static void
requests_pop_if(struct requests *requests, char type)
{
    if (requests_head_type(requests) == type)
        requests_pop(requests);
}

/* Whether an error in the answer to a message of this type makes the server skip to a Sync. */
static bool
requests_is_extended(char type)
{
    return type == FRONTEND_PARSE || type == FRONTEND_BIND || type == FRONTEND_DESCRIBE ||
           type == FRONTEND_EXECUTE || type == FRONTEND_CLOSE;
}

/* The head has failed. Drops all up to the next Sync, as the server does. */
static void
requests_skip_rest(struct requests *requests)
{
    requests_drop(requests, REQUEST_FAILED);
    while (requests->count > 0 && requests_head_type(requests) != FRONTEND_SYNC) {
        requests_pass_over(requests, requests_head_type(requests));
        requests_drop(requests, REQUEST_SKIPPED);
    }
    requests->skipping = requests->count == 0;
}

/* Whether what has failed was put ahead of a query, which knows of no Sync. */
static bool
requests_is_ahead_of_query(const struct requests *requests)
{
    uint32_t i = 0;

    while (i < requests->count && requests_at(requests, i)->action == REQUEST_QUIET)
        i++;
    return i > 0 && i < requests->count && requests_at(requests, i)->type == FRONTEND_QUERY;
}

static void
requests_skip(struct requests *requests)
{
    requests->owes_ready = requests_is_ahead_of_query(requests);
    requests_skip_rest(requests);
}

/* A query has failed. It ends later, but so. */
static void
requests_fail_query(struct requests *requests)
{
    struct request *const head = requests_at(requests, 0);

    if (head->has_op)
        requests_tell_head(requests, REQUEST_FAILED);
    /* If it was a COPY, its ReadyForQuery is as good as one of theirs. */
    if (requests->doubtful > 0)
        head->type = FRONTEND_SYNC;
}

static void
requests_fail(struct requests *requests)
{
    requests->copy_in = false;
    if (requests_is_extended(requests_head_type(requests)))
        requests_skip(requests);
    else if (requests->count > 0)
        requests_fail_query(requests);
}

/*
 * The server begins to read COPY data. Syncs that were sent before the end of the data are part of
 * what it passes over; anything else makes the COPY fail, and is used up by that.
 */
static void
requests_begin_copy_in(struct requests *requests)
{
    uint32_t kept = 1;

    requests->copy_in = true;
    for (uint32_t i = 1; i < requests->count; i++) {
        const struct request request = *requests_at(requests, i);

        if (requests_is_copy_end(request.type)) {
            while (i < requests->count)
                *requests_at(requests, kept++) = *requests_at(requests, i++);
            break;
        }
        requests_be_in_doubt(requests, request.type);
        if (request.type != FRONTEND_SYNC)
            *requests_at(requests, kept++) = request;
    }
    if (requests->count > 0)
        requests->count = kept;
}

/*
 * ReadyForQuery. Syncs in doubt come before the head; if that is a Sync, too, it does not matter
 * which of them was answered. A query has another answer first.
 */
static bool
requests_ready(struct requests *requests)
{
    const char type = requests_head_type(requests);

    requests->copy_in = false;
    requests->skipping = false;
    if (type == FRONTEND_SYNC || (requests->doubtful == 0 && requests_ends_with_ready(type))) {
        requests_pop(requests);
        return true;
    }
    if (requests->doubtful > 0) {
        requests->doubtful--;
        return true;
    }
    return requests->is_lost;
}

/* A COPY of a query has come to its end; another one may follow, with an end of its own. */
static void
requests_drop_copy_end(struct requests *requests)
{
    if (requests->count < 2 || !requests_is_copy_end(requests_at(requests, 1)->type))
        return;
    *requests_at(requests, 1) = *requests_at(requests, 0);
    requests_at(requests, 0)->has_op = 0;
    requests_drop(requests, REQUEST_DONE);
}

static void
requests_complete(struct requests *requests)
{
    if (requests_head_type(requests) == FRONTEND_EXECUTE)
        requests_pop(requests);
    else if (requests->copy_in)
        requests_drop_copy_end(requests);
    requests->copy_in = false;
}

/* What a server says at any time. */
static bool
requests_is_unasked(char type)
{
    return type == BACKEND_NOTICE || type == BACKEND_NOTIFICATION ||
           type == BACKEND_PARAMETER_STATUS;
}

bool
requests_answer(struct requests *requests, char type)
{
    if (type == BACKEND_READY)
        return requests_ready(requests);
    if (requests_is_unasked(type))
        return true;
    /* What came behind the Syncs in doubt is being answered, or the COPY has read over them. */
    if (!requests->copy_in || type == BACKEND_COMMAND_COMPLETE)
        requests->doubtful = 0;
    switch (type) {
    case BACKEND_PARSE_COMPLETE:
        requests_pop_if(requests, FRONTEND_PARSE);
        break;
    case BACKEND_BIND_COMPLETE:
        requests_pop_if(requests, FRONTEND_BIND);
        break;
    case BACKEND_CLOSE_COMPLETE:
        requests_pop_if(requests, FRONTEND_CLOSE);
        break;
    case BACKEND_ROW_DESCRIPTION:
    case BACKEND_NO_DATA:
        requests_pop_if(requests, FRONTEND_DESCRIBE);
        break;
    case BACKEND_COMMAND_COMPLETE:
        requests_complete(requests);
        break;
    case BACKEND_EMPTY_QUERY:
    case BACKEND_PORTAL_SUSPENDED:
        requests_pop_if(requests, FRONTEND_EXECUTE);
        break;
    case BACKEND_COPY_IN:
    case BACKEND_COPY_BOTH:
        requests_begin_copy_in(requests);
        break;
    case BACKEND_ERROR:
        requests_fail(requests);
        break;
    default:
        break;
    }
    return true;
}
