/*
 * test_names.c - the names that a client gives to statements: which of them an error is about, how
 * many there may be, and what waits until it is known which are left.
 */
#include "dialogue.h"

#include <stdio.h>

#include "cleanup.h"
#include "pg.h"
#include "pool.h"
#include "prepared.h"
#include "relay_int.h"
#include "server.h"

/* --- the name in an error -----------------------------------------------------------------------
 */

/* Another name for what the server has already. */
static void
prepare_again(struct peer *client, struct peer *server, const char *name)
{
    send_parse(client, name, "select 1");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'C', "pgweir_");
    peer_expect_types(server, "S");
    peer_send(server, '3', NULL);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "1Z");
}

/* The server refuses a message about this statement of its own. */
static void
refuse_use(struct peer *server, const char *name)
{
    char text[120];

    (void)snprintf(text, sizeof(text),
                   "bind message supplies 1 parameters, but prepared statement \"%s\" requires 0",
                   name);
    peer_send_error(server, "ERROR", "08P01", text);
}

static void
begin_twins(struct fixture *f, struct peer **client, struct peer **server, char name[NAME_SIZE])
{
    fixture_begin(f, "", client, server);
    prepare(*client, *server, "a", "select 1", name);
    prepare_again(*client, *server, "b");
    prepare_again(*client, *server, "c");
}

/* Of several for the same statement it is the one that was used. */
static void
test_error_names_what_was_used(void **state)
{
    static const char *const names[] = {"b", "a", "c"};
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE], text[40];

    begin_twins(f, &client, &server, name);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        (void)snprintf(text, sizeof(text), "statement \"%s\" requires 0", names[i]);
        send_bind(client, names[i]);
        peer_send(client, 'S', NULL);
        peer_expect_types(server, "BS");
        refuse_use(server, name);
        peer_send_ready(server, 'I');
        peer_expect_error(client, "ERROR", "08P01", text);
        peer_expect_ready(client, 'I');
    }
}

/* Also while others of them are on their way. */
static void
test_error_names_one_of_a_pipeline(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    begin_twins(f, &client, &server, name);
    send_bind(client, "a");
    peer_send(client, 'S', NULL);
    send_bind(client, "b");
    peer_send(client, 'S', NULL);
    send_describe(client, "c");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "BSBSDS");
    peer_send(server, '2', NULL);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "2Z");
    refuse_use(server, name);
    peer_send_ready(server, 'I');
    peer_expect_error(client, "ERROR", "08P01", "statement \"b\" requires 0");
    peer_expect_ready(client, 'I');
    refuse_use(server, name);
    peer_send_ready(server, 'I');
    peer_expect_error(client, "ERROR", "08P01", "statement \"c\" requires 0");
    peer_expect_ready(client, 'I');
}

static void
test_error_of_sql_names_what_was_used(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    begin_twins(f, &client, &server, name);
    peer_send(client, 'Q', "execute b(1)");
    peer_expect(server, 'Q', name);
    refuse_use(server, name);
    peer_send_ready(server, 'I');
    peer_expect_error(client, "ERROR", "08P01", "statement \"b\" requires 0");
    peer_expect_ready(client, 'I');
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_error_names_what_was_used),
        TEST(test_error_names_one_of_a_pipeline),
        TEST(test_error_of_sql_names_what_was_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
