/*
 * test_requests.c - what a server still has to answer, after every kind of message and answer.
 */
#include "requests_fixture.h"

/* --- the simple protocol --------------------------------------------------------------------- */

static void
test_new_queue_is_empty(void **state)
{
    struct requests *requests = *state;

    assert_true(requests_empty(requests));
    assert_int_equal(requests_head_type(requests), 0);
    assert_int_equal(requests_action(requests), REQUEST_FORWARD);
}

static void
test_query_ends_with_ready(void **state)
{
    struct requests *requests = *state;

    push(requests, "Q");
    answer(requests, "TDDCTDC"); /* two statements in one query */
    assert_false(requests_empty(requests));
    answer(requests, "Z");
    assert_true(requests_empty(requests));
}

static void
test_failed_query_ends_with_ready(void **state)
{
    struct requests *requests = *state;

    push(requests, "QQ");
    answer(requests, "EZ");
    assert_int_equal(requests->count, 1);
    answer(requests, "CZ");
    assert_true(requests_empty(requests));
}

static void
test_empty_query_and_function_call(void **state)
{
    struct requests *requests = *state;

    push(requests, "QF");
    answer(requests, "IZ");
    assert_int_equal(requests_head_type(requests), 'F');
    answer(requests, "V");
    assert_false(requests_empty(requests));
    answer(requests, "Z");
    assert_true(requests_empty(requests));
}

static void
test_unasked_ready_is_noticed(void **state)
{
    struct requests *requests = *state;

    assert_false(requests_answer(requests, 'Z'));
    push(requests, "PS");
    assert_false(requests_answer(requests, 'Z'));
}

static void
test_messages_at_any_time_change_nothing(void **state)
{
    struct requests *requests = *state;

    answer(requests, "NAS");
    assert_true(requests_empty(requests));
    push(requests, "PBDES");
    answer(requests, "NAS");
    assert_int_equal(requests->count, 5);
    answer(requests, "1N2ATSD");
    assert_int_equal(requests_head_type(requests), 'E');
}

/* --- the extended protocol ------------------------------------------------------------------- */

static void
test_each_message_is_answered_by_its_own(void **state)
{
    struct requests *requests = *state;

    push(requests, "PBDEDCHS");
    answer(requests, "1");
    assert_int_equal(requests_head_type(requests), 'B');
    answer(requests, "2");
    assert_int_equal(requests_head_type(requests), 'D');
    answer(requests, "T");
    assert_int_equal(requests_head_type(requests), 'E');
    answer(requests, "DDC");
    assert_int_equal(requests_head_type(requests), 'D');
    answer(requests, "tn"); /* of a statement, which gives no rows */
    assert_int_equal(requests_head_type(requests), 'C');
    answer(requests, "3");
    assert_int_equal(requests_head_type(requests), 'S');
    answer(requests, "Z");
    assert_true(requests_empty(requests));
}

static void
test_execute_ends_in_four_ways(void **state)
{
    struct requests *requests = *state;

    push(requests, "EEEES");
    answer(requests, "DC");
    answer(requests, "I");
    answer(requests, "Ds");
    assert_int_equal(requests->count, 2);
    answer(requests, "E");
    assert_int_equal(requests_head_type(requests), 'S');
}

static void
test_error_skips_to_sync(void **state)
{
    struct requests *requests = *state;

    push(requests, "PBESPBES");
    answer(requests, "E");
    assert_int_equal(requests_head_type(requests), 'S');
    assert_int_equal(requests->count, 5);
    answer(requests, "Z12CZ");
    assert_true(requests_empty(requests));
}

/* A simple query between an error and the Sync is passed over as well. */
static void
test_error_skips_queries_too(void **state)
{
    struct requests *requests = *state;

    push(requests, "PBQES");
    answer(requests, "1E");
    assert_int_equal(requests_head_type(requests), 'S');
    answer(requests, "Z");
    assert_true(requests_empty(requests));
}

static void
test_error_before_sync_was_sent(void **state)
{
    struct requests *requests = *state;

    push(requests, "PBE");
    answer(requests, "E");
    assert_true(requests_empty(requests));
    push(requests, "DECQH"); /* all of it is ignored by the server */
    assert_true(requests_empty(requests));
    push(requests, "S");
    assert_int_equal(requests_head_type(requests), 'S');
    answer(requests, "Z");
    push(requests, "P");
    assert_int_equal(requests_head_type(requests), 'P');
}

/* The commit at a Sync may fail: one error, one ReadyForQuery, and nothing is skipped. */
static void
test_error_at_sync(void **state)
{
    struct requests *requests = *state;

    push(requests, "SP");
    answer(requests, "EZ");
    assert_int_equal(requests_head_type(requests), 'P');
    push(requests, "B");
    assert_int_equal(requests->count, 2);
}

static void
test_error_without_a_request(void **state)
{
    struct requests *requests = *state;

    answer(requests, "E");
    push(requests, "P");
    assert_int_equal(requests_head_type(requests), 'P');
}

static void
test_who_asked_gets_the_answer(void **state)
{
    struct requests *requests = *state;

    assert_int_equal(requests_push(requests, 'Q', REQUEST_SKIP), 0);
    assert_int_equal(requests_push(requests, 'P', REQUEST_FORWARD), 0);
    assert_int_equal(requests_action(requests), REQUEST_SKIP);
    answer(requests, "SCZ");
    assert_int_equal(requests_action(requests), REQUEST_FORWARD);
    answer(requests, "1");
    assert_true(requests_empty(requests));
}

/* --- memory ---------------------------------------------------------------------------------- */

static void
test_growth_keeps_the_order(void **state)
{
    static const char types[] = "PBDECQFS";
    struct requests *requests = *state;
    unsigned pushed = 0, popped = 0;

    /* The ring is turned and grown in turn. */
    for (unsigned round = 1; round < 200; round++) {
        for (unsigned i = 0; i < round; i++, pushed++)
            push(requests, (const char[]){types[pushed % 8], '\0'});
        for (unsigned i = 0; i < round / 2; i++, popped++) {
            static const char *const answers[] = {"1", "2", "n", "C", "3", "Z", "Z", "Z"};

            assert_int_equal(requests_head_type(requests), types[popped % 8]);
            answer(requests, answers[popped % 8]);
        }
        assert_int_equal(requests->count, pushed - popped);
    }
}

static void
test_reset_forgets_everything(void **state)
{
    struct requests *requests = *state;

    push(requests, "Q");
    answer(requests, "G");
    requests_reset(requests);
    assert_true(requests_empty(requests));
    push(requests, "PB");
    answer(requests, "E");
    requests_reset(requests);
    push(requests, "PBES");
    assert_int_equal(requests->count, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, requests_setup, requests_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_new_queue_is_empty),
        TEST(test_query_ends_with_ready),
        TEST(test_failed_query_ends_with_ready),
        TEST(test_empty_query_and_function_call),
        TEST(test_unasked_ready_is_noticed),
        TEST(test_messages_at_any_time_change_nothing),
        TEST(test_each_message_is_answered_by_its_own),
        TEST(test_execute_ends_in_four_ways),
        TEST(test_error_skips_to_sync),
        TEST(test_error_skips_queries_too),
        TEST(test_error_before_sync_was_sent),
        TEST(test_error_at_sync),
        TEST(test_error_without_a_request),
        TEST(test_who_asked_gets_the_answer),
        TEST(test_growth_keeps_the_order),
        TEST(test_reset_forgets_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
