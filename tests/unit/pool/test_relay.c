/*
 * test_relay.c - when a server goes from client to client, and what goes where meanwhile.
 */
#include "fixture.h"

#include "pool.h"

/* A server goes back at ReadyForQuery, not before. */
static void
test_released_at_ready(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;

    fixture_begin(f, "", &client, &server);
    assert_int_equal(fixture_idle_count(f), 1);
    peer_send(client, 'Q', "select 1");
    peer_expect(server, 'Q', "select 1");
    assert_int_equal(fixture_idle_count(f), 0);
    peer_send(server, 'C', "SELECT 1");
    peer_expect(client, 'C', "SELECT 1");
    assert_int_equal(fixture_idle_count(f), 0);
    peer_send_ready(server, 'I');
    peer_expect_ready(client, 'I');
    assert_int_equal(fixture_idle_count(f), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_released_at_ready),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
