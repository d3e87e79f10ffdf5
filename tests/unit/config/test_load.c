/*
 * Whole files: what they become, all that can be wrong with them, and what changes at a reload.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "fixture.h"
#include "rng.h"
#include "str.h"

static void
expect_errors(struct fixture *f, const char *text, const char *said)
{
    assert_int_equal(fixture_load(f, text), -EINVAL);
    assert_string_equal(f->said, said);
    assert_null(f->config);
    assert_true(config_errors_fatal(&f->errors));
}

/* The same with nothing wrong but what is said. */
static void
expect_warnings(struct fixture *f, const char *text, const char *said)
{
    assert_int_equal(fixture_load(f, text), 0);
    assert_string_equal(f->said, said);
    assert_false(config_errors_fatal(&f->errors));
    assert_null(config_errors_first(&f->errors));
}

static void
test_defaults(void **state)
{
    struct fixture *f = *state;

    fixture_load_keys(f, "");
    assert_string_equal(f->said, "");
    assert_int_equal(f->config->listen_port, 6432);
    assert_int_equal(f->config->server_lifetime, 3600 * SEC);
    assert_string_equal(f->config->listen_addr, "");
    assert_string_equal(f->config->server_check_query, "<empty>");
    assert_string_equal(f->config->conffile, "t.ini");
    assert_int_equal(f->config->n_databases, 0);
    assert_null(f->config->autodb);
}

static void
test_later_key_overrides(void **state)
{
    struct fixture *f = *state;

    fixture_load_keys(f, "listen_port = 1\nlisten_port = 2\n[databases]\na = port=1 user=x host=h\n"
                         "a = port=2 user=x\n[pgbouncer]\nmax_client_conn = 7\n");
    assert_string_equal(f->said, "");
    assert_int_equal(f->config->listen_port, 2);
    assert_int_equal(f->config->max_client_conn, 7);
    assert_int_equal(f->config->n_databases, 1);
    assert_int_equal(f->config->databases[0]->port, 2);
    assert_null(f->config->databases[0]->host);
}

static void
test_databases(void **state)
{
    struct fixture *f = *state;
    const struct config_database *db;

    fixture_load_keys(f, "[databases]\n"
                         "shop = host=a,b port=5433 user=app password='it''s' load_balance_hosts="
                         "disable connect_query='set a = 1' timezone=UTC\n"
                         "archive = dbname=old user=x\n"
                         "* = host=c user=x\n"
                         "'odd name' = user=x\n");
    assert_string_equal(f->said, "");
    assert_int_equal(f->config->n_databases, 3);
    assert_string_equal(f->config->databases[0]->name, "archive");
    db = config_find_database(f->config, "shop");
    assert_string_equal(db->host, "a,b");
    assert_int_equal(db->port, 5433);
    assert_string_equal(db->dbname, "shop");
    assert_string_equal(db->password, "it's");
    assert_string_equal(db->connect_query, "set a = 1");
    assert_int_equal(db->load_balance_hosts, LOAD_BALANCE_DISABLE);
    assert_int_equal(db->pool_size, CONFIG_UNSET);
    assert_int_equal(db->pool_mode, CONFIG_UNSET);
    assert_int_equal(db->server_lifetime, USEC_NEVER);
    db = config_find_database(f->config, "archive");
    assert_string_equal(db->dbname, "old");
    assert_int_equal(db->port, 5432);
    assert_int_equal(db->load_balance_hosts, LOAD_BALANCE_ROUND_ROBIN);
    assert_non_null(config_find_database(f->config, "odd name"));
    assert_null(config_find_database(f->config, "*"));
    assert_null(config_find_database(f->config, "shop2"));
    assert_string_equal(f->config->autodb->host, "c");
    assert_null(f->config->autodb->dbname);
}

static void
test_peers(void **state)
{
    struct fixture *f = *state;
    const struct config_peer *peer;

    assert_int_equal(fixture_load(f, "[peers]\n2 = host=10.0.0.2\n10 = host=/run port=7000 "
                                     "pool_size=3\n2 = host=10.0.0.3\n"
                                     "[pgbouncer]\npeer_id = 1\n"),
                     0);
    assert_int_equal(f->config->peer_id, 1);
    assert_int_equal(f->config->n_peers, 2);
    peer = config_find_peer(f->config, 10);
    assert_string_equal(peer->host, "/run");
    assert_int_equal(peer->port, 7000);
    assert_int_equal(peer->pool_size, 3);
    peer = config_find_peer(f->config, 2);
    assert_string_equal(peer->host, "10.0.0.3");
    assert_int_equal(peer->port, 6432);
    assert_null(config_find_peer(f->config, 1));
}

static void
test_all_errors_at_once(void **state)
{
    fixture_write("b.ini", "\nverbse = 1\n");
    expect_errors(*state,
                  "lonely = 1\n"
                  "[databases]\n"
                  "a = hots=x port=99999\n"
                  "b = host\n"
                  "pgbouncer = host=x\n"
                  "pgweir = host=x\n"
                  "[pgboncer]\n"
                  "skipped = 1\n"
                  "[peers]\n"
                  "zero = host=x\n"
                  "65536 = host=x\n"
                  "7 = port=6432\n"
                  "[nonsense]\n"
                  "[users]\n"
                  "u = pool_mode=sesion query_timeout=x colour=red\n"
                  "[pgbouncer]\n"
                  "lisen_port = 1\n"
                  "what is this\n"
                  "peer_id = 65536\n"
                  "%include b.ini\n"
                  "listen_port = many\n"
                  "auth_type = any\n",
                  "t.ini:1: \"lonely\" stands before the first [section]\n"
                  "t.ini:3: database \"a\": unknown key \"hots\"; did you mean \"host\"?\n"
                  "t.ini:3: database \"a\": port: 99999 is out of range (1 to 65535)\n"
                  "t.ini:4: database \"b\": syntax error: key=value expected\n"
                  "t.ini:5: database name \"pgbouncer\" is reserved\n"
                  "t.ini:6: database name \"pgweir\" is reserved\n"
                  "t.ini:7: unknown section [pgboncer]; did you mean [pgbouncer]?\n"
                  "t.ini:10: peer \"zero\": its name is its peer_id, 1 to 65535\n"
                  "t.ini:11: peer \"65536\": its name is its peer_id, 1 to 65535\n"
                  "t.ini:12: peer \"7\": host= is missing\n"
                  "t.ini:13: unknown section [nonsense]\n"
                  "t.ini:15: user \"u\": pool_mode: \"sesion\" is none of session, transaction, "
                  "statement; did you mean \"session\"?\n"
                  "t.ini:15: user \"u\": query_timeout: \"x\" is no time; 1.5, 500ms, 30s, 5min or "
                  "2h is one\n"
                  "t.ini:15: user \"u\": unknown key \"colour\"\n"
                  "t.ini:17: unknown key \"lisen_port\"; did you mean \"listen_port\"?\n"
                  "t.ini:18: syntax error: neither [section] nor key = value\n"
                  "t.ini:19: peer_id: 65536 is out of range (0 to 65535)\n"
                  "b.ini:2: unknown key \"verbse\"; did you mean \"verbose\"?\n"
                  "t.ini:21: listen_port: \"many\" is not a whole number\n"
                  "t.ini:3: warning: database \"a\": without user= nobody can use it while "
                  "auth_type = any\n"
                  "t.ini:4: warning: database \"b\": without user= nobody can use it while "
                  "auth_type = any\n");
}

static void
test_missing_file(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_load_file(f, "none.ini"), -EINVAL);
    assert_string_equal(config_errors_first(&f->errors)->message,
                        "could not read \"none.ini\": No such file or directory");
}

static void
test_duplicate_listen_address(void **state)
{
    static const char *const good[] = {
        "*", "127.0.0.1, ::1", "0.0.0.0, ::", "localhost, 127.0.0.1", "127.0.0.1,127.0.0.2", ""};
    static const struct {
        const char *list, *said;
    } bad[] = {
        {"127.0.0.1, ::1, 127.0.0.1", "127.0.0.1 beside 127.0.0.1"},
        {"*, *", "* beside *"},
        {"::1, *", "* beside ::1"},
        {"::1, 0:0:0:0:0:0:0:1", "0:0:0:0:0:0:0:1 beside ::1"},
        {"127.0.0.1, 0.0.0.0", "0.0.0.0 beside 127.0.0.1"},
        {"db.local, DB.local", "DB.local beside db.local"},
    };
    char text[128], said[128];

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        (void)snprintf(text, sizeof(text), "listen_addr = %s\n", good[i]);
        fixture_load_keys(*state, text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        (void)snprintf(text, sizeof(text), "[pgbouncer]\nauth_type = any\nlisten_addr = %s\n",
                       bad[i].list);
        (void)snprintf(said, sizeof(said),
                       "t.ini:3: listen_addr: duplicate listen address: %s, port 6432\n",
                       bad[i].said);
        expect_errors(*state, text, said);
    }
}

static void
test_names_have_a_limit(void **state)
{
    char text[512], name[256];

    memset(name, 'n', sizeof(name));
    (void)snprintf(text, sizeof(text),
                   "[databases]\n%.63s = user=x\n[users]\n%.127s =\n"
                   "[pgbouncer]\nauth_type = any\n",
                   name, name);
    expect_warnings(*state, text, "");
    (void)snprintf(text, sizeof(text),
                   "[databases]\n%.64s = user=x\n[users]\n%.128s =\n'' =\n"
                   "[pgbouncer]\nauth_type = any\n",
                   name, name);
    expect_errors(*state, text,
                  "t.ini:2: a database name has 1 to 63 bytes\n"
                  "t.ini:4: a user name has 1 to 127 bytes\n"
                  "t.ini:5: a user name has 1 to 127 bytes\n");
}

static void
test_warnings(void **state)
{
    expect_warnings(*state,
                    "[pgbouncer]\nauth_type = trust\njob_name = x\n[databases]\n"
                    "a = pool_size=2 min_pool_size=3\n",
                    "t.ini:5: warning: database \"a\": min_pool_size 3 is over pool_size 2, which "
                    "is the limit\n"
                    "t.ini: warning: neither auth_file nor auth_user is set: with auth_type = "
                    "trust nobody can log in\n"
                    "t.ini:3: warning: job_name has no effect in pgweir\n");
}

static void
test_certificate_needs_its_key(void **state)
{
    expect_errors(*state,
                  "[pgbouncer]\nauth_type=any\nserver_tls_cert_file=/c\n"
                  "[databases]\na = user=x server_tls_key_file=/k\nb = user=x "
                  "server_tls_cert_file=/c\n",
                  "t.ini:6: database \"b\": server_tls_cert_file and server_tls_key_file need each "
                  "other\n"
                  "t.ini:3: server_tls_cert_file and server_tls_key_file need each other\n");
}

static void
test_too_many_errors(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_done) struct buf text = BUF_INIT;

    for (int i = 0; i < 5000; i++)
        assert_int_equal(buf_append_str(&text, "what\n"), 0);
    assert_int_equal(fixture_load(f, buf_str(&text)), -EINVAL);
    assert_int_equal(f->errors.count, 100);
}

static void
test_auth_file(void **state)
{
    struct fixture *f = *state;

    fixture_write("users.txt", "; comment\n"
                               "\n"
                               "\"zoe\" \"first\"\n"
                               "\"alice\" \"md5d41d8cd98f00b204e9800998ecf8427e\" \"rest\" ...\n"
                               "  \"it\"\"s\"   \"a\"\"b\"\r\n"
                               "\"empty\" \"\"\n"
                               "\"zoe\" \"second\"\n");
    fixture_load_keys(f, "auth_file = users.txt\n[users]\nalice = pool_size=3\n");
    assert_string_equal(f->said, "");
    assert_int_equal(f->config->n_auth_users, 4);
    assert_string_equal(config_find_auth_user(f->config, "zoe")->secret, "second");
    assert_string_equal(config_find_auth_user(f->config, "it\"s")->secret, "a\"b");
    assert_string_equal(config_find_auth_user(f->config, "empty")->secret, "");
    assert_null(config_find_auth_user(f->config, "bob"));
    assert_null(config_find_user(f->config, "zoe"));
    assert_int_equal(config_find_user(f->config, "alice")->pool_size, 3);
}

static void
test_bad_auth_file(void **state)
{
    fixture_write("users.txt", "\"a\" \"b\"\nalice secret\n\"c\"\n\"d\" \"open\n\"\" \"x\"\n");
    expect_errors(*state, "[pgbouncer]\nauth_type = trust\nauth_file = users.txt\n",
                  "users.txt:2: broken auth file: \"user\" \"password\" expected\n"
                  "users.txt:3: broken auth file: \"user\" \"password\" expected\n"
                  "users.txt:4: broken auth file: \"user\" \"password\" expected\n"
                  "users.txt:5: broken auth file: a user name has 1 to 127 bytes\n");
    expect_errors(*state, "[pgbouncer]\nauth_type = trust\nauth_file = none.txt\n",
                  "t.ini:3: auth_file: could not read \"none.txt\": No such file or directory\n");
}

static void
test_show(void **state)
{
    struct fixture *f = *state;
    CLEANUP(config_iterator_done) struct config_iterator iterator = CONFIG_ITERATOR_INIT;
    CLEANUP(buf_done) struct buf shown = BUF_INIT;
    struct config_item item;

    fixture_load_keys(f, "query_timeout = 500ms\nlisten_addr = *\n");
    while (config_show(f->config, &iterator, &item) > 0) {
        if (!str_list_contains("admin_users, auth_type, conffile, listen_addr, query_timeout, "
                               "unix_socket_mode, worker_threads",
                               item.key))
            continue;
        assert_int_equal(buf_printf(&shown, "%s|%s|%s|%s\n", item.key, item.value,
                                    item.default_value, item.changeable ? "yes" : "no"),
                         0);
    }
    assert_string_equal(buf_str(&shown), "admin_users|||yes\n"
                                         "auth_type|any|md5|yes\n"
                                         "conffile|t.ini||yes\n"
                                         "listen_addr|*||no\n"
                                         "query_timeout|0.5|0|yes\n"
                                         "unix_socket_mode|511|0777|no\n"
                                         "worker_threads|auto|auto|no\n");
}

static void
record_difference(void *arg, const char *key, enum config_reload reload)
{
    static const char *const names[] = {"live", "new", "restart"};

    assert_int_equal(buf_printf(arg, "%s:%s ", key, names[reload]), 0);
}

static void
test_diff(void **state)
{
    struct fixture *f = *state;
    CLEANUP(config_unref) struct config *old = NULL;
    CLEANUP(buf_done) struct buf seen = BUF_INIT;

    fixture_load_keys(f, "");
    old = TAKE(f->config);
    fixture_load_keys(f, "pool_mode = statement\nlisten_port = 1\n");
    config_diff(old, f->config, record_difference, &seen);
    assert_string_equal(buf_str(&seen), "listen_port:restart pool_mode:live ");
    assert_false(config_servers_changed(old, f->config));
    fixture_load_keys(f, "server_tls_sslmode = require\n");
    assert_true(config_servers_changed(old, f->config));
}

/* Which changes of an entry make its servers go. */
static void
test_database_changed(void **state)
{
    static const char *const same[] = {"host=h user=x", "host=h user=x password=p",
                                       "host=h user=x pool_size=9 pool_mode=session",
                                       "host=h user=x dbname=a port=5432"};
    static const char *const changed[] = {"host=i user=x",
                                          "user=x",
                                          "host=h user=y",
                                          "host=h user=x dbname=b",
                                          "host=h user=x port=5433",
                                          "host=h user=x connect_query=x",
                                          "host=h user=x load_balance_hosts=disable",
                                          "host=h user=x server_tls_sslmode=require"};
    struct fixture *f = *state;
    CLEANUP(config_unref) struct config *old = NULL;
    char text[128];

    fixture_load_keys(f, "[databases]\na = host=h user=x\n");
    old = TAKE(f->config);
    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        (void)snprintf(text, sizeof(text), "[databases]\na = %s\n", same[i]);
        fixture_load_keys(f, text);
        assert_false(config_database_changed(old->databases[0], f->config->databases[0]));
    }
    for (size_t i = 0; i < ARRAY_SIZE(changed); i++) {
        (void)snprintf(text, sizeof(text), "[databases]\na = %s\n", changed[i]);
        fixture_load_keys(f, text);
        assert_true(config_database_changed(old->databases[0], f->config->databases[0]));
    }
}

static void
test_reload(void **state)
{
    struct fixture *f = *state;
    CLEANUP(config_unref) struct config *old = NULL;

    fixture_load_keys(f, "listen_port = 7000\nmax_client_conn = 5\nunix_socket_dir = /x\n");
    old = TAKE(f->config);
    fixture_write("t.ini", "[pgbouncer]\nauth_type = any\nlisten_port = 8000\n");
    assert_int_equal(config_reload(old, &f->errors, &f->config), 0);
    fixture_print(f);
    assert_string_equal(f->said,
                        "t.ini:3: warning: listen_port keeps its value until a restart\n"
                        "t.ini: warning: unix_socket_dir keeps its value until a restart\n");
    assert_int_equal(f->config->listen_port, 7000);
    assert_string_equal(f->config->unix_socket_dir, "/x");
    assert_int_equal(f->config->max_client_conn, 100);
}

static void
test_failed_reload_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct config *untouched = NULL;

    fixture_load_keys(f, "max_client_conn = 5\n");
    fixture_write("t.ini", "[pgbouncer]\nauth_type = any\nmax_client_conn = 6\nx = 1\n");
    assert_int_equal(config_reload(f->config, &f->errors, &untouched), -EINVAL);
    assert_null(untouched);
    assert_int_equal(f->config->max_client_conn, 5);
    assert_string_equal(config_errors_first(&f->errors)->message, "unknown key \"x\"");
}

static void
test_set(void **state)
{
    struct fixture *f = *state;
    CLEANUP(config_unref) struct config *set = NULL;
    CLEANUP(config_unref) struct config *fixed = NULL;
    struct config *none = NULL;

    fixture_write("users.txt", "\"zoe\" \"s\"\n");
    fixture_load_keys(f, "auth_file = users.txt\nmax_client_conn = 5\n"
                         "[databases]\na = host=h user=x\n* = host=i user=y\n"
                         "[users]\nu = pool_size=3\n");
    assert_int_equal(config_set(f->config, "query_timeout", "3s", &f->errors, &set), 0);
    assert_int_equal(f->config->query_timeout, 0);
    assert_int_equal(set->query_timeout, 3 * SEC);
    assert_int_equal(set->max_client_conn, 5);
    assert_string_equal(config_find_database(set, "a")->host, "h");
    assert_string_equal(set->autodb->user, "y");
    assert_int_equal(config_find_user(set, "u")->pool_size, 3);
    assert_string_equal(config_find_auth_user(set, "zoe")->secret, "s");

    assert_int_equal(config_set(f->config, "listen_port", "1", &f->errors, &fixed), 0);
    assert_int_equal(fixed->listen_port, 6432);
    assert_int_equal(config_set(f->config, "listen_prt", "1", &f->errors, &none), -EINVAL);
    assert_int_equal(config_set(f->config, "pool_mode", "x", &f->errors, &none), -EINVAL);
    assert_null(none);
    fixture_print(f);
    assert_string_equal(f->said, "warning: listen_port keeps its value until a restart\n"
                                 "unknown key \"listen_prt\"; did you mean \"listen_port\"?\n"
                                 "pool_mode: \"x\" is none of session, transaction, statement\n");
}

/* Whatever is in the files, the load ends and says what is wrong. */
static void
test_random_bytes(void **state)
{
    static const char *const pieces[] = {
        "[pgbouncer]", "[databases]", "[users]",   "\n",
        "=",           "'",           "''",        "\"",
        ";",           "%include ",   "t.ini",     "a",
        " ",           "host=x",      "pool_size", "*",
        "]",           "[",           "auth_type", "any",
        "listen_addr", ",",           "::1",       "\xff",
        "\t",          "auth_file",   "users.txt", "99999999999999999999",
        "1e400",       "%s%n",
    };
    struct fixture *f = *state;
    struct rng rng;

    rng_seed(&rng, 4711);
    for (int round = 0; round < 2000; round++) {
        CLEANUP(buf_done) struct buf text = BUF_INIT;
        const uint64_t length = rng_below(&rng, 60);

        for (uint64_t i = 0; i < length; i++)
            assert_int_equal(buf_append_str(&text, pieces[rng_below(&rng, ARRAY_SIZE(pieces))]), 0);
        fixture_write("users.txt", buf_str(&text));
        if (fixture_load(f, buf_str(&text)) < 0)
            assert_non_null(config_errors_first(&f->errors));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_defaults),
        fixture_test(test_later_key_overrides),
        fixture_test(test_databases),
        fixture_test(test_peers),
        fixture_test(test_all_errors_at_once),
        fixture_test(test_missing_file),
        fixture_test(test_duplicate_listen_address),
        fixture_test(test_names_have_a_limit),
        fixture_test(test_warnings),
        fixture_test(test_certificate_needs_its_key),
        fixture_test(test_too_many_errors),
        fixture_test(test_auth_file),
        fixture_test(test_bad_auth_file),
        fixture_test(test_show),
        fixture_test(test_diff),
        fixture_test(test_database_changed),
        fixture_test(test_reload),
        fixture_test(test_failed_reload_changes_nothing),
        fixture_test(test_set),
        fixture_test(test_random_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
