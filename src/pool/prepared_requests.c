/*
 * prepared_requests.c - requests that are about prepared statements and change none by themselves:
 * those that may forget any, and those that are refused.
 */
#include "prepared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "macros.h"
#include "requests.h"

struct prepared_barrier {
    struct request_op request;
    unsigned *barriers;
};

static void
prepared_end_barrier(struct request_op *request, enum request_outcome outcome)
{
    struct prepared_barrier *const barrier =
        container_of(request, struct prepared_barrier, request);

    (void)outcome;
    (*barrier->barriers)--;
    free(barrier);
}

int
prepared_push_barrier(struct requests *requests, char type, unsigned *barriers)
{
    struct prepared_barrier *const barrier = malloc(sizeof *barrier);
    int r;

    if (barrier == NULL)
        return -ENOMEM;
    *barrier = (struct prepared_barrier){.request = {.resolve = prepared_end_barrier},
                                         .barriers = barriers};
    (*barriers)++;
    r = requests_push_op(requests, type, REQUEST_FORWARD, &barrier->request);
    if (r < 0)
        prepared_end_barrier(&barrier->request, REQUEST_SKIPPED);
    return r;
}

/* Only to remember the name: two names may mean the same statement, and the error says which. */
struct prepared_refusal {
    struct request_op request;
    enum refused_why why;
    uint8_t len;
    char text[PREPARED_NAME_LEN];
};

static void
prepared_forget_refusal(struct request_op *request, enum request_outcome outcome)
{
    (void)outcome;
    free(container_of(request, struct prepared_refusal, request));
}

int
prepared_push_refused(struct requests *requests, char type, enum refused_why why, const char *text,
                      size_t len)
{
    struct prepared_refusal *const refusal = malloc(sizeof *refusal);
    int r;

    if (refusal == NULL)
        return -ENOMEM;
    refusal->request = (struct request_op){.resolve = prepared_forget_refusal};
    refusal->why = why;
    refusal->len = (uint8_t)MIN(len, PREPARED_NAME_LEN);
    memcpy(refusal->text, text, refusal->len);
    r = requests_push_op(requests, type, REQUEST_REFUSED, &refusal->request);
    if (r < 0)
        free(refusal);
    return r;
}

static const struct prepared_refusal *
prepared_refusal(const struct requests *requests)
{
    if (requests_action(requests) != REQUEST_REFUSED)
        return NULL;
    return list_entry(list_first(&requests->ops), struct prepared_refusal, request.link);
}

enum refused_why
prepared_refused_why(const struct requests *requests)
{
    const struct prepared_refusal *const refusal = prepared_refusal(requests);

    return refusal != NULL ? refusal->why : REFUSED_NAME;
}

bool
prepared_refused_name(const struct requests *requests, const char **ret_text, size_t *ret_len)
{
    const struct prepared_refusal *const refusal = prepared_refusal(requests);

    if (refusal == NULL)
        return false;
    *ret_text = refusal->text;
    *ret_len = refusal->len;
    return true;
}
