#include "requests_fixture.h"

#include <stdlib.h>

int
requests_setup(void **state)
{
    struct requests *requests = calloc(1, sizeof(*requests));

    assert_non_null(requests);
    requests_init(requests);
    *state = requests;
    return 0;
}

int
requests_teardown(void **state)
{
    requests_done(*state);
    free(*state);
    return 0;
}

void
push(struct requests *requests, const char *types)
{
    for (; *types != '\0'; types++)
        assert_int_equal(requests_push(requests, *types, REQUEST_FORWARD), 0);
}

void
answer(struct requests *requests, const char *types)
{
    for (; *types != '\0'; types++)
        assert_true(requests_answer(requests, *types));
}
