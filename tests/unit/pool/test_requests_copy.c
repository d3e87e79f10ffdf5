/*
 * test_requests_copy.c - what a server still has to answer when there is COPY: data, Syncs among
 * them, and what comes behind one that fails.
 */
#include "requests_fixture.h"

/* --- COPY ------------------------------------------------------------------------------------ */

static void
test_copy_out(void **state)
{
    struct requests *requests = *state;

    push(requests, "QES");
    answer(requests, "HddcCZ");
    assert_int_equal(requests_head_type(requests), 'E');
    answer(requests, "HddcCZ");
    assert_true(requests_empty(requests));
}

static void
test_copy_in_by_query(void **state)
{
    struct requests *requests = *state;

    push(requests, "Q");
    answer(requests, "G");
    push(requests, "dddcQ");
    answer(requests, "CZ");
    assert_int_equal(requests->count, 1);
    assert_int_equal(requests_head_type(requests), 'Q');
}

static void
test_two_copies_in_one_query(void **state)
{
    struct requests *requests = *state;

    push(requests, "Q");
    answer(requests, "G");
    push(requests, "dc");
    answer(requests, "CG");
    push(requests, "df");
    answer(requests, "EZ");
    assert_true(requests_empty(requests));
}

/* Each has an end of its own: a Sync behind the first one's is among the data of the second. */
static void
test_syncs_in_the_second_copy(void **state)
{
    struct requests *requests = *state;

    push(requests, "QdcSdSc");
    answer(requests, "GCG");
    assert_int_equal(requests->doubtful, 2);
    answer(requests, "CZ");
    assert_true(requests_empty(requests));
    push(requests, "Qdc");
    answer(requests, "GCG");
    push(requests, "dSc");
    answer(requests, "CZ");
    assert_true(requests_empty(requests));
}

/* Data sent ahead, before it is known that the statement is a COPY. */
static void
test_copy_in_without_waiting(void **state)
{
    struct requests *requests = *state;

    push(requests, "PBEdcS");
    answer(requests, "12G");
    assert_int_equal(requests_head_type(requests), 'E');
    answer(requests, "C");
    assert_int_equal(requests_head_type(requests), 'S');
    answer(requests, "Z");
    assert_true(requests_empty(requests));
}

/* libpq sends a Sync after Execute before it knows of the COPY: the server reads over it. */
static void
test_syncs_before_the_data_are_passed_over(void **state)
{
    struct requests *requests = *state;

    push(requests, "PBESS");
    answer(requests, "12G");
    assert_int_equal(requests->count, 1);
    push(requests, "SdSc");
    assert_int_equal(requests->count, 2); /* E and the end of its data */
    push(requests, "S");
    answer(requests, "CZ");
    assert_true(requests_empty(requests));
}

static void
test_syncs_behind_the_data_are_kept(void **state)
{
    struct requests *requests = *state;

    push(requests, "PBESdcSPS");
    answer(requests, "12GC");
    assert_int_equal(requests_head_type(requests), 'S');
    assert_int_equal(requests->count, 3);
    answer(requests, "Z1Z");
    assert_true(requests_empty(requests));
}

static void
test_copy_that_is_refused_answers_its_sync(void **state)
{
    struct requests *requests = *state;

    push(requests, "PBESdcS");
    answer(requests, "12E");
    assert_int_equal(requests_head_type(requests), 'S');
    answer(requests, "Z");
    assert_int_equal(requests_head_type(requests), 'S');
    answer(requests, "Z");
    assert_true(requests_empty(requests));
}

static void
test_copy_fails_in_the_data_simple(void **state)
{
    struct requests *requests = *state;

    push(requests, "Q");
    answer(requests, "G");
    push(requests, "d");
    answer(requests, "EZ");
    assert_true(requests_empty(requests));
    push(requests, "ddc"); /* was on its way; the server reads over it */
    assert_true(requests_empty(requests));
    push(requests, "Q");
    assert_int_equal(requests->count, 1);
}

static void
test_copy_fails_in_the_data_extended(void **state)
{
    struct requests *requests = *state;

    push(requests, "PBE");
    answer(requests, "12G");
    push(requests, "dd");
    answer(requests, "E");
    assert_true(requests_empty(requests));
    push(requests, "dc");
    assert_true(requests_empty(requests));
    push(requests, "S");
    answer(requests, "Z");
    assert_true(requests_empty(requests));
}

static void
test_client_ends_copy_by_failing(void **state)
{
    struct requests *requests = *state;

    push(requests, "PBE");
    answer(requests, "12G");
    push(requests, "dfS");
    answer(requests, "E");
    assert_int_equal(requests_head_type(requests), 'S');
    answer(requests, "Z");
    assert_true(requests_empty(requests));
}

static void
test_stray_copy_messages_mean_nothing(void **state)
{
    struct requests *requests = *state;

    push(requests, "dcf");
    assert_true(requests_empty(requests));
    push(requests, "PcBfES");
    answer(requests, "12CZ");
    assert_true(requests_empty(requests));
}

/* --- doubt ----------------------------------------------------------------------------------- */

/* Syncs in the middle of the data: passed over if the COPY gets to its end. */
static void
test_no_doubt_after_a_copy_that_succeeds(void **state)
{
    struct requests *requests = *state;

    push(requests, "PBES");
    answer(requests, "12G");
    assert_int_equal(requests->doubtful, 1);
    push(requests, "dSdcS");
    answer(requests, "CZ");
    assert_true(requests_are_certain(requests));
    assert_true(requests_empty(requests));
    assert_false(requests_answer(requests, 'Z'));
}

/* If it fails, nobody knows how many of them are answered: a fence tells. */
static void
test_fence_ends_the_doubt(void **state)
{
    struct requests *requests = *state;

    push(requests, "PBE");
    answer(requests, "12G");
    push(requests, "dSSSdcS");
    answer(requests, "E");
    answer(requests, "Z");
    assert_true(requests_empty(requests));
    assert_false(requests_are_certain(requests));
    assert_int_equal(requests_push(requests, 'Q', REQUEST_FENCE), 0);
    assert_int_equal(requests_action(requests), REQUEST_FORWARD);
    answer(requests, "ZSZ"); /* of the Syncs, for the client */
    assert_int_equal(requests_action(requests), REQUEST_FORWARD);
    assert_true(requests_is_fence(requests));
    answer(requests, "I");
    assert_true(requests_are_certain(requests));
    assert_int_equal(requests_action(requests), REQUEST_SKIP);
    answer(requests, "Z");
    assert_true(requests_empty(requests));
    assert_false(requests_answer(requests, 'Z'));
}

/* A cancel may come late. */
static void
test_fence_that_fails_ends_the_doubt(void **state)
{
    struct requests *requests = *state;

    push(requests, "E");
    answer(requests, "G");
    push(requests, "dSScS");
    answer(requests, "EZ");
    assert_int_equal(requests_push(requests, 'Q', REQUEST_FENCE), 0);
    answer(requests, "ZE");
    assert_int_equal(requests_action(requests), REQUEST_SKIP);
    answer(requests, "Z");
    assert_true(requests_empty(requests));
}

/* All of them, and no more. */
static void
test_each_sync_in_doubt_is_answered_once(void **state)
{
    struct requests *requests = *state;

    push(requests, "E");
    answer(requests, "G");
    push(requests, "SScS");
    answer(requests, "EZZZ");
    assert_true(requests_are_certain(requests));
    assert_false(requests_answer(requests, 'Z'));
}

/* What is sent behind the client's own Sync is known by its first answer. */
static void
test_pipeline_behind_a_failed_copy(void **state)
{
    struct requests *requests = *state;

    push(requests, "E");
    answer(requests, "G");
    push(requests, "SSScSPS");
    answer(requests, "EZZ"); /* its own, or another: one more than there were */
    assert_int_equal(requests_head_type(requests), 'P');
    push(requests, "P");
    answer(requests, "NASZ");
    assert_int_equal(requests_head_type(requests), 'P');
    assert_false(requests_are_certain(requests));
    answer(requests, "1");
    assert_true(requests_are_certain(requests));
    assert_int_equal(requests->count, 2);
    answer(requests, "Z1");
    assert_true(requests_empty(requests));
}

/* The query is answered before the Syncs, and the next query behind them. */
static void
test_pipeline_behind_a_failed_copy_by_query(void **state)
{
    struct requests *requests = *state;

    push(requests, "Q");
    answer(requests, "G");
    push(requests, "dSdScQF");
    answer(requests, "EZ");
    assert_int_equal(requests->count, 2);
    answer(requests, "Z");
    assert_int_equal(requests->count, 2);
    answer(requests, "EZ");
    assert_int_equal(requests_head_type(requests), 'F');
    assert_true(requests_are_certain(requests));
    answer(requests, "VZ");
    assert_true(requests_empty(requests));
}

/* A second COPY has doubts of its own. */
static void
test_copy_behind_a_failed_copy(void **state)
{
    struct requests *requests = *state;

    push(requests, "E");
    answer(requests, "G");
    push(requests, "SSScSBESdcSQ");
    answer(requests, "EZZ2");
    assert_true(requests_are_certain(requests));
    answer(requests, "G");
    assert_int_equal(requests->doubtful, 1);
    answer(requests, "EZZ");
    assert_int_equal(requests_head_type(requests), 'Q');
    assert_true(requests_are_certain(requests));
    answer(requests, "IZ");
    assert_true(requests_empty(requests));
}

static void
test_queries_in_the_data_are_beyond_repair(void **state)
{
    struct requests *requests = *state;

    push(requests, "Q");
    answer(requests, "G");
    push(requests, "dQ");
    assert_true(requests->is_lost);
    push(requests, "S");
    assert_true(requests->is_lost);
}

/* The COPY fails by the query, which has no answer of its own. */
static void
test_query_before_the_data_is_beyond_repair(void **state)
{
    struct requests *requests = *state;

    push(requests, "QdQc");
    answer(requests, "G");
    assert_true(requests->is_lost);
}

/* From the end of the data to the client's Sync all is passed over, or answered, as the Syncs are.
 */
static void
test_what_is_behind_the_data_may_be_lost(void **state)
{
    struct requests *requests = *state;

    push(requests, "E");
    answer(requests, "G");
    push(requests, "dSdcHPS");
    assert_false(requests->is_lost); /* may come out well */
    answer(requests, "E");
    assert_true(requests->is_lost);
    requests_reset(requests);
    push(requests, "E");
    answer(requests, "G");
    push(requests, "dS");
    answer(requests, "E");
    push(requests, "dcH"); /* what has to come */
    assert_false(requests->is_lost);
    push(requests, "P"); /* and what has not */
    assert_true(requests->is_lost);
}

/* A ReadyForQuery has shown that nothing is passed over any more. */
static void
test_what_comes_behind_a_sync_in_doubt(void **state)
{
    struct requests *requests = *state;

    push(requests, "E");
    answer(requests, "G");
    push(requests, "dSS");
    answer(requests, "EZ");
    push(requests, "cPS");
    assert_false(requests->is_lost);
    assert_int_equal(requests_head_type(requests), 'P');
    answer(requests, "Z1");
    assert_true(requests_are_certain(requests));
    answer(requests, "Z");
    assert_true(requests_empty(requests));
}

static void
test_empty_query_of_the_client_is_no_fence(void **state)
{
    struct requests *requests = *state;

    push(requests, "Q");
    assert_false(requests_is_fence(requests));
    answer(requests, "I");
    assert_int_equal(requests_action(requests), REQUEST_FORWARD);
    answer(requests, "Z");
    assert_true(requests_empty(requests));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, requests_setup, requests_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_copy_out),
        TEST(test_copy_in_by_query),
        TEST(test_two_copies_in_one_query),
        TEST(test_syncs_in_the_second_copy),
        TEST(test_copy_in_without_waiting),
        TEST(test_syncs_before_the_data_are_passed_over),
        TEST(test_syncs_behind_the_data_are_kept),
        TEST(test_copy_that_is_refused_answers_its_sync),
        TEST(test_copy_fails_in_the_data_simple),
        TEST(test_copy_fails_in_the_data_extended),
        TEST(test_client_ends_copy_by_failing),
        TEST(test_stray_copy_messages_mean_nothing),
        TEST(test_no_doubt_after_a_copy_that_succeeds),
        TEST(test_fence_ends_the_doubt),
        TEST(test_fence_that_fails_ends_the_doubt),
        TEST(test_each_sync_in_doubt_is_answered_once),
        TEST(test_pipeline_behind_a_failed_copy),
        TEST(test_pipeline_behind_a_failed_copy_by_query),
        TEST(test_copy_behind_a_failed_copy),
        TEST(test_queries_in_the_data_are_beyond_repair),
        TEST(test_query_before_the_data_is_beyond_repair),
        TEST(test_what_is_behind_the_data_may_be_lost),
        TEST(test_what_comes_behind_a_sync_in_doubt),
        TEST(test_empty_query_of_the_client_is_no_fence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
