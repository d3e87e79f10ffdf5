/*
 * test_heal.c - statements that are out of date: what is run again, what the client is told, and
 * what it never has to read.
 */
#include "dialogue.h"

#include "pg.h"
#include "pool.h"

/* --- what is said ------------------------------------------------------------------------------
 */

/* What a Flush has brought the answers to was done, and is undone by the error. */
static void
test_stale_statement_behind_work(void **state)
{
    static const char inserted[] = "INSERT 0 1";
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    send_parse(client, "", "insert into t values (1)");
    send_bind(client, "");
    send_execute(client);
    peer_send(client, 'H', NULL);
    peer_expect_types(server, "PBEH");
    peer_send_types(server, "12");
    peer_send_body(server, 'C', inserted, sizeof(inserted));
    peer_expect_types(client, "12C");
    send_described(client, "s1");
    peer_expect(server, 'B', one);
    peer_expect_types(server, "DES");
    refuse_stale(server);
    peer_expect_types(client, "EZ");
}

static void
test_stale_statement_is_run_again(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    for (unsigned turn = 0; turn < 3; turn++) {
        send_described(client, "s1");
        peer_expect(server, 'B', one);
        peer_expect_types(server, "DES");
        refuse_stale(server);
        peer_expect_silence(client);
        peer_expect(server, 'C', one);
        peer_expect(server, 'P', one);
        peer_expect(server, 'B', one);
        peer_expect_types(server, "DES");
        peer_send_types(server, "312");
        peer_send(server, 'T', "new");
        peer_send_complete(server, "SELECT 1", 'I');
        peer_expect(client, '2', NULL);
        peer_expect(client, 'T', "new");
        peer_expect_types(client, "CZ");
        peer_expect_silence(client);
    }
}

static void
test_stale_twice_is_told(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    send_described(client, "s1");
    peer_expect_types(server, "BDES");
    refuse_stale(server);
    peer_expect_types(server, "CPBDES");
    peer_send_types(server, "31");
    refuse_stale(server);
    peer_expect_types(client, "EZ");
    peer_expect_silence(server);
}

/* Not where something else of it was done, or was sent behind it. */
static void
test_stale_is_told_in_a_pipeline(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    send_described(client, "s1");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "BDESS");
    refuse_stale(server);
    peer_send_ready(server, 'I');
    peer_expect_types(client, "EZZ");
    send_message(client, 'P', "", "insert", "\0\0", 2);
    send_bind(client, "");
    send_described(client, "s1");
    peer_expect(server, 'P', "insert");
    peer_expect_types(server, "BCPBDES");
    peer_send_types(server, "1231");
    refuse_stale(server);
    peer_expect_types(client, "12EZ");
    peer_expect_silence(server);
}

static void
test_stale_is_told_in_a_transaction(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    peer_begin(client, server);
    send_described(client, "s1");
    peer_expect_types(server, "BDES");
    send_stale(server);
    peer_send_ready(server, 'E');
    peer_expect_types(client, "EZ");
    peer_expect_silence(server);
}

/* The error and the ReadyForQuery, cut anywhere. */
static void
test_stale_cut_anywhere(void **state)
{
    char answer[PG_HEADER_SIZE + sizeof(STALE_FIELDS) + 6];
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE];

    pg_put_header(answer, 'E', sizeof(STALE_FIELDS));
    memcpy(answer + PG_HEADER_SIZE, STALE_FIELDS, sizeof(STALE_FIELDS));
    memcpy(answer + sizeof(answer) - 6, "Z\0\0\0\5I", 6);
    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select 1", one);
    for (size_t cut = 1; cut < sizeof(answer); cut++) {
        send_described(client, "s1");
        peer_expect_types(server, "BDES");
        peer_send_bytes(server, answer, cut);
        fixture_settle(f);
        peer_send_bytes(server, answer + cut, sizeof(answer) - cut);
        peer_expect_types(server, "CPBDES");
        peer_send_types(server, "312n");
        peer_send_complete(server, "INSERT 0 1", 'I');
        peer_expect_types(client, "2nCZ");
    }
}

/* --- what the client knows of the rows ---------------------------------------------------------
 */

/* It was told what the rows are, and they are the same: it does not notice. */
static void
test_known_rows_are_run_again(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare_described(client, server, "a", name);
    send_used(client, "s1");
    peer_expect(server, 'B', name);
    peer_expect_types(server, "ES");
    refuse_stale(server);
    peer_expect(server, 'C', name);
    peer_expect(server, 'P', name);
    peer_expect(server, 'D', name);
    peer_expect_types(server, "H");
    peer_send_types(server, "31");
    peer_send(server, 't', "");
    peer_expect_silence(client);
    send_rows(server, "a");
    peer_expect(server, 'B', name);
    peer_expect_types(server, "ES");
    finish(client, server, "2");
    peer_expect_silence(client);
    assert_int_equal(fixture_shard(f, "db", "alice")->stats.heals, 1);
}

/* They are others, which it could not read: it is told so, and its driver prepares anew. */
static void
test_other_rows_are_refused(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare_described(client, server, "a", name);
    send_used(client, "s1");
    peer_expect_types(server, "BES");
    refuse_stale(server);
    peer_expect_types(server, "CPDH");
    peer_send_types(server, "31");
    describe(server, "b");
    refuse_nowhere(server, 'B');
    peer_expect_types(server, "ES");
    peer_send_ready(server, 'I');
    expect_changed(client);
    /* What it is told then it can read. */
    send_described(client, "s1");
    peer_expect(server, 'B', name);
    peer_expect_types(server, "DES");
    finish_described(client, server, "2", "b");
    send_used(client, "s1");
    peer_expect(server, 'B', name);
}

/* What was made since an error is not what that was about. */
static void
test_made_behind_an_error(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    send_used(client, "s1");
    send_parse(client, "s2", "select *");
    peer_send(client, 'S', NULL);
    peer_expect_types(server, "BESCPS");
    refuse_stale(server);
    answer_sync(client, server, "31", "EZ1");
    send_used(client, "s2");
    peer_expect_types(server, "BES");
    finish(client, server, "2");
}

/* Who was told nothing may know them by heart: what PostgreSQL says is for it. */
static void
test_who_was_told_nothing_hears_it(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    send_used(client, "s1");
    peer_expect_types(server, "BES");
    refuse_stale(server);
    peer_expect_types(client, "EZ");
    peer_expect_silence(server);
}

/* --- what is in the way of a new client --------------------------------------------------------
 */

/* It has just parsed it, as far as it knows. */
static void
test_parsed_before_by_another(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    other = fixture_login(f, "db", "alice");
    send_parse(other, "q", "select *");
    send_described(other, "q");
    peer_expect_types(server, "CBDES");
    peer_send(server, '3', NULL);
    refuse_stale(server);
    peer_expect_types(other, "1");
    peer_expect(server, 'C', name);
    peer_expect_types(server, "PBDES");
    finish_described(other, server, "312", "a");
}

/* The same without a Describe: what was just parsed has the rows of now. */
static void
test_parsed_before_and_not_described(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    other = fixture_login(f, "db", "alice");
    send_parse(other, "q", "select *");
    send_used(other, "q");
    peer_expect_types(server, "CBES");
    peer_send(server, '3', NULL);
    refuse_stale(server);
    peer_expect_types(other, "1");
    peer_expect(server, 'C', name);
    peer_expect_types(server, "PBES");
    finish(other, server, "312");
}

/* Such a text is familiar, and the server has it. */
static void
prepare_unnamed(struct peer *client, struct peer *server, char name[NAME_SIZE])
{
    for (unsigned turn = 0; turn < 2; turn++) {
        send_parse(client, "", "select *");
        send_used(client, "");
        if (turn == 0)
            peer_expect(server, 'P', "select *");
        else
            read_name(server, 'P', 0, name);
        peer_expect_types(server, "BES");
        peer_send_types(server, "12");
        peer_send_complete(server, "SELECT 1", 'I');
        peer_expect_types(client, "12CZ");
    }
}

static void
test_unnamed_is_run_again(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "prepare_unnamed = 1\n", &client, &server);
    prepare_unnamed(client, server, name);
    send_parse(client, "", "select *");
    send_used(client, "");
    peer_expect_types(server, "CBES");
    peer_send(server, '3', NULL);
    refuse_stale(server);
    peer_expect_types(client, "1");
    peer_expect(server, 'C', name);
    peer_expect_types(server, "PBES");
    finish(client, server, "312");
}

static void
test_unnamed_in_a_transaction(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "prepare_unnamed = 1\n", &client, &server);
    prepare_unnamed(client, server, name);
    peer_begin(client, server);
    send_parse(client, "", "select *");
    send_used(client, "");
    peer_expect(server, 'P', "select *");
    peer_expect_types(server, "BES");
}

/* Who waits for the description, and has sent a Flush, gets it too. */
static void
test_described_without_a_sync(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    other = fixture_login(f, "db", "alice");
    send_parse(other, "q", "select *");
    send_describe(other, "q");
    peer_send(other, 'H', NULL);
    peer_expect_types(server, "CDDH");
    peer_send(server, '3', NULL);
    send_stale(server);
    peer_expect_types(other, "1");
    peer_expect_types(server, "S");
    peer_expect(server, 'C', name);
    peer_expect(server, 'P', "select *");
    peer_expect_types(server, "DH");
    peer_send_ready(server, 'I');
    peer_send_types(server, "31");
    describe(server, "b");
    peer_expect_types(other, "tT");
    send_used(other, "q");
    peer_expect(server, 'B', name);
    peer_expect_types(server, "ES");
    finish(other, server, "2");
    assert_int_equal(fixture_idle_count(f), 1);
}

/* Only the last of several can be sent again: if another is refused, the client is told. */
static void
test_first_of_two_descriptions(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char one[NAME_SIZE], two[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", one);
    prepare(client, server, "s2", "select 2", two);
    for (unsigned turn = 0; turn < 2; turn++) {
        send_describe(client, "s1");
        send_describe(client, "s2");
        peer_send(client, 'S', NULL);
        peer_expect_types(server, turn == 0 ? "DDDDS" : "CPDCPDS");
        if (turn == 1)
            peer_send_types(server, "31");
        refuse_stale(server);
        peer_expect_types(client, "EZ");
        peer_expect_silence(server);
    }
}

/*
 * A driver that was told prepares anew, once: then it is made, since what the server has may be out
 * of date, too, and nobody knows.
 */
static void
test_who_was_told_parses(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other, *second;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare_described(client, server, "a", name);
    other = fixture_login(f, "db", "alice");
    peer_ask(client, server, "begin");
    peer_send_complete(server, "BEGIN", 'T');
    peer_expect_types(client, "CZ");
    send_parse(other, "q", "select *");
    peer_send(other, 'S', NULL);
    second = fixture_serve(f);
    peer_expect_types(second, "PS");
    answer_sync(other, second, "1", "1");
    send_used(client, "s1");
    peer_expect_types(server, "BES");
    send_stale(server);
    peer_send_ready(server, 'E');
    peer_expect_types(client, "EZ");
    peer_send(client, 'Q', "rollback");
    peer_expect_types(server, "Q");
    peer_send_complete(server, "ROLLBACK", 'I');
    peer_expect_types(client, "CZ");
    /* The first one is taken; the second has the statement. */
    peer_ask(other, server, "begin");
    for (const char *again = "tu"; *again != '\0'; again++) {
        send_parse(client, (const char[]){*again, '\0'}, "select *");
        send_describe(client, (const char[]){*again, '\0'});
        peer_send(client, 'H', NULL);
        if (*again == 't')
            peer_expect(second, 'C', name);
        peer_expect_types(second, *again == 't' ? "PDH" : "CDDH");
        peer_send(second, '3', NULL);
        peer_send(second, *again == 't' ? '1' : 't', *again == 't' ? NULL : "");
        if (*again == 'u')
            send_rows(second, "b");
        describe(second, "b");
        peer_expect_types(client, "1tT");
        peer_send(client, 'S', NULL);
        peer_expect_types(second, "S");
        peer_send_ready(second, 'I');
        peer_expect_types(client, "Z");
    }
}

static void
test_described_before_by_another(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    other = fixture_login(f, "db", "alice");
    send_parse(other, "q", "select *");
    send_describe(other, "q");
    peer_send(other, 'S', NULL);
    /* PostgreSQL says what the parameters are, and then looks at the rows. */
    peer_expect_types(server, "CDDS");
    peer_send(server, '3', NULL);
    peer_send(server, 't', "");
    refuse_stale(server);
    peer_expect_types(other, "1");
    peer_expect_types(server, "CPDS");
    peer_send_types(server, "31");
    describe(server, "a");
    peer_send_ready(server, 'I');
    peer_expect_types(other, "tTZ");
}

/* In a transaction nothing could be run again, so a Parse is one there. */
static void
test_parsed_in_a_transaction(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server, *other;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    other = fixture_login(f, "db", "alice");
    peer_begin(other, server);
    send_parse(other, "q", "select *");
    peer_send(other, 'S', NULL);
    peer_expect(server, 'C', name);
    peer_expect(server, 'P', name);
}

/* The server has forgotten it, by a function, say. */
static void
test_forgotten_is_made_anew(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE], error[100];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    send_described(client, "s1");
    peer_expect_types(server, "BDES");
    (void)snprintf(error, sizeof(error), "prepared statement \"%s\" does not exist", name);
    peer_send_error(server, "ERROR", "26000", error);
    peer_send_ready(server, 'I');
    peer_expect_types(server, "CPBDES");
    finish_described(client, server, "312", "a");
}

/* What SQL says of a name is no reason to doubt all others. */
static void
test_error_of_a_query_raises_no_doubt(void **state)
{
    struct fixture *f = *state;
    struct peer *client, *server;
    char name[NAME_SIZE];

    fixture_begin(f, "", &client, &server);
    prepare(client, server, "s1", "select *", name);
    peer_ask(client, server, "select f('pgweir_nope')");
    peer_send_error(server, "ERROR", "26000", "prepared statement \"pgweir_nope\" does not exist");
    peer_send_ready(server, 'I');
    peer_expect_types(client, "EZ");
    send_used(client, "s1");
    peer_expect(server, 'B', name);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_stale_statement_behind_work),
        TEST(test_stale_statement_is_run_again),
        TEST(test_stale_twice_is_told),
        TEST(test_stale_is_told_in_a_pipeline),
        TEST(test_stale_is_told_in_a_transaction),
        TEST(test_stale_cut_anywhere),
        TEST(test_known_rows_are_run_again),
        TEST(test_other_rows_are_refused),
        TEST(test_made_behind_an_error),
        TEST(test_who_was_told_nothing_hears_it),
        TEST(test_parsed_before_by_another),
        TEST(test_parsed_before_and_not_described),
        TEST(test_unnamed_is_run_again),
        TEST(test_unnamed_in_a_transaction),
        TEST(test_described_without_a_sync),
        TEST(test_first_of_two_descriptions),
        TEST(test_who_was_told_parses),
        TEST(test_described_before_by_another),
        TEST(test_parsed_in_a_transaction),
        TEST(test_forgotten_is_made_anew),
        TEST(test_error_of_a_query_raises_no_doubt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
