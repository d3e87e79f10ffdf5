/*
 * What --explain says about the lines of a file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

/* Whether the notes about the file are exactly these, sorted. */
static void
expect_notes(const char *text, const char *said)
{
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    CLEANUP(config_errors_done) struct config_errors notes = CONFIG_ERRORS_INIT;
    CLEANUP(config_unref) struct config *config = NULL;
    char *printed = NULL;
    size_t size;
    FILE *file = open_memstream(&printed, &size);

    fixture_write("t.ini", text);
    assert_int_equal(config_explain("t.ini", &errors, &notes, &config), 0);
    config_errors_sort(&notes);
    config_errors_print(&notes, file);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(printed, said);
    free(printed);
}

static void
test_nothing_to_say(void **state)
{
    (void)state;
    expect_notes("[databases]\n* = host=x pool_size=5 server_lifetime=600s\n"
                 "[users]\nbob = query_timeout=3\n"
                 "[pgbouncer]\npool_mode = transaction\nso_reuseport = 0\npeer_id = 0\n"
                 "max_db_connections = 3\nmin_pool_size = 0\nserver_lifetime = 0\n"
                 "auth_dbname = x\n",
                 "");
}

static void
test_general_keys(void **state)
{
    (void)state;
    fixture_write("hba", "local all all trust\n");
    expect_notes("[pgbouncer]\n"
                 "so_reuseport = 1\n"
                 "default_pool_size = 10\n"
                 "auth_hba_file = hba\n"
                 "auth_hba_lenient = 1\n"
                 "default_pool_size = 20\n",
                 "t.ini:2: warning: so_reuseport: one process serves from all cores, see "
                 "worker_threads; several are needed for a restart without a pause only\n"
                 "t.ini:6: warning: default_pool_size: holds for all threads of this process "
                 "together; where several PgBouncers shared the port, give it their sum\n");
}

static void
test_entries(void **state)
{
    (void)state;
    expect_notes("[users]\n"
                 "bob = client_idle_timeout=10 query_timeout=1.5\n"
                 "[databases]\n"
                 "db = host=10.0.0.7 server_lifetime=2h port=5433\n",
                 "t.ini:2: warning: user \"bob\": client_idle_timeout: holds for this user; "
                 "PgBouncer lets it hit others, too\n"
                 "t.ini:2: warning: user \"bob\": query_timeout=1.5: PgBouncer reads this as 1\n"
                 "t.ini:4: warning: database \"db\": server_lifetime=2h: PgBouncer reads this as "
                 "2\n");
}

static void
test_wrong_file(void **state)
{
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    CLEANUP(config_errors_done) struct config_errors notes = CONFIG_ERRORS_INIT;
    struct config *config = NULL;

    (void)state;
    fixture_write("t.ini", "[pgbouncer]\ncolour = red\n");
    assert_int_equal(config_explain("t.ini", &errors, &notes, &config), -EINVAL);
    assert_null(config);
    assert_true(config_errors_fatal(&errors));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_nothing_to_say),
        fixture_test(test_general_keys),
        fixture_test(test_entries),
        fixture_test(test_wrong_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
