/*
 * test_conninfo.c - libpq is told everything, so that it looks nowhere else.
 */
#include "backend_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char host[] = "db.example", dbname[] = "shop", user[] = "app", password[] = "secret",
            empty[] = "", path[] = "/run/postgresql", ca[] = "/etc/ca.pem", cert[] = "/etc/c.pem",
            key[] = "/etc/k.pem", verify_full[] = "verify-full", require[] = "require",
            date_style[] = "ISO, MDY", time_zone[] = "a\\b", options[] = "-c x=1";

static struct backend_target target;
static struct conninfo info;

static int
setup(void **state)
{
    (void)state;
    target = (struct backend_target){.host = host, .dbname = dbname, .user = user, .port = 5432};
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    conninfo_done(&info);
    return 0;
}

static const char *
get(const char *keyword)
{
    const char *value = conninfo_get(&info, keyword);

    return value != NULL ? value : "(none)";
}

/* What libpq makes of it is what we said, and all keywords are known to it. */
static void
expect_accepted(void)
{
    PGconn *conn;

    assert_null(info.keywords[info.count]);
    conn = PQconnectStartParams(info.keywords, info.values, 0);
    assert_non_null(conn);
    assert_null(strstr(PQerrorMessage(conn), "invalid connection option"));
    assert_string_equal(PQdb(conn), get("dbname"));
    assert_string_equal(PQuser(conn), get("user"));
    PQfinish(conn);
}

static void
test_tcp(void **state)
{
    (void)state;
    assert_int_equal(conninfo_init(&info, &target, "127.0.0.1"), 0);
    assert_string_equal(get("host"), "db.example");
    assert_string_equal(get("hostaddr"), "127.0.0.1");
    assert_string_equal(get("port"), "5432");
    assert_string_equal(get("sslmode"), libpq()->features.tls_usable ? "prefer" : "disable");
    assert_string_equal(get("gssencmode"), libpq_knows("gssencmode") ? "disable" : "(none)");
    assert_string_equal(get("sslrootcert"), "/dev/null/none");
    assert_string_equal(get("sslcert"), "/dev/null/none");
    assert_string_equal(get("passfile"), "(none)"); /* libpq's own */
    assert_string_equal(get("password"), "(none)");
    assert_string_equal(get("options"), "(none)");
    assert_string_equal(get("keepalives"), "0");
    assert_string_equal(get("max_protocol_version"),
                        libpq_knows("max_protocol_version") ? "3.0" : "(none)");
    expect_accepted();
}

static void
test_unix(void **state)
{
    (void)state;
    target.host = path;
    assert_int_equal(conninfo_init(&info, &target, NULL), 0);
    assert_string_equal(get("host"), path);
    assert_string_equal(get("hostaddr"), "(none)");
    expect_accepted();
    conninfo_done(&info);
    target.host = NULL;
    assert_int_equal(conninfo_init(&info, &target, NULL), 0);
    assert_string_equal(get("host"), "(none)");
    assert_true(target_is_unix(&target));
}

static void
test_password(void **state)
{
    (void)state;
    target.password = password;
    assert_int_equal(conninfo_init(&info, &target, "::1"), 0);
    assert_string_equal(get("password"), "secret");
    assert_string_equal(get("passfile"), "/dev/null/none");
    conninfo_done(&info);
    target.password = empty;
    assert_int_equal(conninfo_init(&info, &target, "::1"), 0);
    assert_string_equal(get("password"), "(none)");
    assert_string_equal(get("passfile"), "(none)");
}

/* The keys of a SCRAM login, as libpq wants them, if it does. */
static void
test_scram_keys(void **state)
{
    static const unsigned char client_key[BACKEND_SCRAM_KEY_SIZE] = "client",
                               server_key[BACKEND_SCRAM_KEY_SIZE] = {[31] = 0xff};
    const bool known = libpq_knows("scram_client_key");
    struct backend_target *with_keys = backend_target_new();

    (void)state;
    assert_non_null(with_keys);
    assert_int_equal(backend_target_set_scram_keys(with_keys, server_key, client_key), 0);
    assert_int_equal(backend_target_set_scram_keys(with_keys, client_key, server_key), 0);
    assert_int_equal(conninfo_init(&info, with_keys, "::1"), 0);
    assert_string_equal(get("scram_client_key"),
                        known ? "Y2xpZW50AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" : "(none)");
    assert_string_equal(get("scram_server_key"),
                        known ? "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8=" : "(none)");
    backend_target_unref(with_keys);
}

/* sslmode=require does not verify, as in PgBouncer; libpq would, if it were given a CA file. */
static void
test_tls_files(void **state)
{
    (void)state;
    target.sslmode = verify_full;
    target.sslrootcert = ca;
    target.sslcert = cert;
    target.sslkey = key;
    assert_int_equal(conninfo_init(&info, &target, "::1"), 0);
    assert_string_equal(get("sslrootcert"), ca);
    assert_string_equal(get("sslcert"), cert);
    assert_string_equal(get("sslkey"), key);
    assert_string_equal(get("sslcertmode"), "(none)");
    conninfo_done(&info);
    target.sslmode = require;
    assert_int_equal(conninfo_init(&info, &target, "::1"), 0);
    assert_string_equal(get("sslrootcert"), "/dev/null/none");
}

static void
test_tcp_options(void **state)
{
    (void)state;
    target.tcp = (struct tcp_options){.keepalive = true,
                                      .keepidle = 10,
                                      .keepintvl = 2147483647,
                                      .keepcnt = 3,
                                      .user_timeout = 4294967295u};
    assert_int_equal(conninfo_init(&info, &target, "::1"), 0);
    assert_string_equal(get("keepalives"), "1");
    assert_string_equal(get("keepalives_idle"), "10");
    assert_string_equal(get("keepalives_interval"), "2147483647");
    assert_string_equal(get("keepalives_count"), "3");
    assert_string_equal(get("tcp_user_timeout"), "4294967295");
}

static void
test_settings(void **state)
{
    (void)state;
    target.options = options;
    target.datestyle = date_style;
    target.timezone = time_zone;
    assert_int_equal(conninfo_init(&info, &target, "::1"), 0);
    assert_string_equal(get("options"), "-c DateStyle=ISO,\\ MDY -c TimeZone=a\\\\b -c x=1");
}

/* A client's own words, on top of what the entry says. */
static void
test_copy_with_settings(void **state)
{
    struct backend_target *copy;

    (void)state;
    target.password = password;
    target.application_name = dbname;
    target.client_encoding = dbname;
    target.options = options;
    target.port = 5433;
    target.login_retry = 7;
    assert_int_equal(backend_target_copy(&target, &copy), 0);
    assert_ptr_not_equal(copy->password, password);
    assert_string_equal(copy->password, password);
    assert_int_equal(copy->port, 5433);
    assert_int_equal(copy->login_retry, 7);
    assert_null(copy->md5_secret);
    assert_int_equal(backend_target_add_setting(copy, "Application_Name", "a b\\\n"), 0);
    assert_int_equal(backend_target_add_setting(copy, "geqo", ""), 0);
    assert_int_equal(conninfo_init(&info, copy, "::1"), 0);
    assert_string_equal(get("options"), "-c x=1 -c Application_Name=a\\ b\\\\\\\n -c geqo=");
    assert_string_equal(get("application_name"), "(none)");
    assert_string_equal(get("client_encoding"), dbname);
    assert_string_equal(target.options, options);
    backend_target_unref(copy);
}

/* Every field at once: there is room for all. */
static void
test_everything(void **state)
{
    (void)state;
    target.password = password;
    target.sslmode = verify_full;
    target.sslrootcert = ca;
    target.sslcert = cert;
    target.sslkey = key;
    target.ssl_min_protocol = target.ssl_max_protocol = (char[]){"TLSv1.2"};
    target.application_name = target.client_encoding = target.replication = dbname;
    target.options = options;
    target.tcp = (struct tcp_options){true, 1, 1, 1, 1, 1};
    assert_int_equal(conninfo_init(&info, &target, "::1"), 0);
    assert_string_equal(get("ssl_min_protocol_version"), "TLSv1.2");
    assert_string_equal(get("replication"), dbname);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tcp, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unix, setup, teardown),
        cmocka_unit_test_setup_teardown(test_password, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scram_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tls_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tcp_options, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copy_with_settings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_everything, setup, teardown),
    };
    struct backend_features features;
    struct buf error = BUF_INIT;

    if (backend_global_init(&features, &error) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
