/*
 * test_names.c - the names that a client gives to statements: which of them an error is about, how
 * many there may be, and what waits until it is known which are left.
 */
#include "dialogue.h"

#include <stdio.h>
#include <stdlib.h>

#include "buf.h"
#include "cleanup.h"
#include "client.h"
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
    answer_sync(client, server, "3", "1");
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
    answer_sync(client, server, "2", "2");
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

/* --- how many there may be ----------------------------------------------------------------------
 */

/* The client's message is refused by a Bind of what nobody has. */
static void
expect_too_many(struct peer *client, struct peer *server)
{
    peer_send(client, 'S', NULL);
    refuse_nowhere(server, 'B');
    peer_expect_types(server, "S");
    peer_send_ready(server, 'I');
    peer_expect_error(client, "ERROR", "54000", "too many prepared statements");
    peer_expect_ready(client, 'I');
}

static struct client *
only_client(struct fixture *f)
{
    return list_entry(list_first(&fixture_shard(f, "db", "alice")->clients), struct client, link);
}

static void
test_too_many_names(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];
    struct prepared_name *added;

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "a", "select 1", name);
    for (unsigned i = 1; i < PREPARED_NAMES_MAX; i++) {
        char text[20];

        (void)snprintf(text, sizeof(text), "name %u", i);
        assert_int_equal(prepared_add_name(&only_client(f)->names, text, strlen(text), &added), 0);
    }
    send_parse(client, "b", "select 1");
    expect_too_many(client, server);
    /* One less is one more. */
    send_close(client, "a");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "CS");
    answer_sync(client, server, "3", "3");
    prepare_again(client, server, "b");
}

/* The bytes are those of texts, however few they are. */
static void
test_too_many_bytes(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "a", "select 1", name);
    only_client(f)->names->bytes += PREPARED_BYTES_MAX;
    send_parse(client, "b", "select 2");
    expect_too_many(client, server);
    only_client(f)->names->bytes -= PREPARED_BYTES_MAX;
    prepare(client, server, "b", "select 2", name);
}

/* --- which are left -----------------------------------------------------------------------------
 */

/* What is too long to be looked at may forget any of them: the next use waits. */
static void
test_use_behind_a_long_query(void **state)
{
    static const char tag[] = "DEALLOCATE ALL";
    const size_t len = 100 * 1000;
    char *const text = malloc(len + 1);
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    assert_non_null(text);
    memset(text, ' ', len);
    text[len] = '\0';
    add_message(&message, 'Q', text, NULL, "", 0);
    free(text);
    fixture_begin(f, "", &client, &server);
    prepare(client, server, "a", "select 1", name);
    peer_send_bytes(client, message.data, len / 2); /* not in one piece */
    fixture_settle(f);
    peer_send_bytes(client, message.data + len / 2, message.len - len / 2);
    send_bind(client, "a");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'Q', " ");
    peer_expect_silence(server);
    peer_send_body(server, 'C', tag, sizeof(tag));
    peer_send_ready(server, 'I');
    peer_expect_types(client, "CZ");
    refuse_nowhere(server, 'B');
    peer_expect_types(server, "S");
    peer_send_ready(server, 'I');
    peer_expect_error(client, "ERROR", "26000", "statement \"a\" does not exist");
    peer_expect_ready(client, 'I');
}

/* It takes effect with the Execute, and what comes behind that waits for the answer. */
static void
test_deallocate_all_by_an_unnamed_parse(void **state)
{
    static const char tag[] = "DEALLOCATE ALL";
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "a", "select 1", name);
    send_parse(client, "", "deallocate all");
    send_bind(client, "");
    send_execute(client);
    send_bind(client, "a");
    peer_send(client, 'S', NULL);
    peer_expect(server, 'P', "deallocate all");
    peer_expect_types(server, "BEH");
    peer_expect_silence(server);
    peer_send_types(server, "12");
    peer_send_body(server, 'C', tag, sizeof(tag));
    peer_expect_types(client, "12C");
    refuse_nowhere(server, 'B');
    peer_expect_types(server, "S");
    peer_send_ready(server, 'I');
    peer_expect_error(client, "ERROR", "26000", "statement \"a\" does not exist");
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
        TEST(test_too_many_names),
        TEST(test_too_many_bytes),
        TEST(test_use_behind_a_long_query),
        TEST(test_deallocate_all_by_an_unnamed_parse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
