/*
 * test_libpq_check.c - which configurations a libpq cannot do, and which it can.
 */
#include "libpq_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend.h"
#include "config.h"
#include "log.h"

#define SCRAM "SCRAM-SHA-256$4096:c2FsdA==$" KEY ":" KEY
#define KEY   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static const struct backend_features old = {.libpq_version = 150020, .tls_usable = true};
static const struct backend_features new = {
    .libpq_version = 180004, .scram_keys = true, .tls_trouble = "libpq is another's"};

static char dir[64];

static const char *
file(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void
write_file(const char *name, const char *text)
{
    FILE *const out = fopen(file(name), "w");

    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static int
setup(void **state)
{
    (void)state;
    (void)strcpy(dir, "/tmp/pgweir-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(setenv("HOME", dir, 1), 0);
    write_file("users",
               "\"plain\" \"secret\"\n\"hashed\" \"md511112222333344445555666677778888\"\n");
    write_file("scram", "\"plain\" \"secret\"\n\"app\" \"" SCRAM "\"\n\"boss\" \"" SCRAM "\"\n");
    write_file("hba", "host all all all scram-sha-256\n");
    write_file("hba-pam", "host all all all pam\n");
    return 0;
}

static int
teardown(void **state)
{
    static const char *const names[] = {"users", "scram", "hba", "hba-pam", ".pgpass", "ini"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        (void)unlink(file(names[i]));
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

/* What is found in a file of these lines; the caller frees it. */
static struct config_errors
check(const struct backend_features *features, const char *databases, const char *auth_file,
      const char *keys)
{
    struct config_errors errors = CONFIG_ERRORS_INIT;
    struct config *config;
    char text[2000];

    (void)snprintf(text, sizeof(text), "[databases]\n%s\n[pgbouncer]\nauth_file = %s/%s\n%s\n",
                   databases, dir, auth_file, keys);
    write_file("ini", text);
    if (config_load(file("ini"), &errors, &config) < 0) {
        config_errors_print(&errors, stderr);
        fail();
    }
    config_errors_done(&errors);
    libpq_check(config, features, &errors);
    config_unref(config);
    return errors;
}

static void
expect_fine(const struct backend_features *features, const char *databases, const char *auth_file,
            const char *keys)
{
    struct config_errors errors = check(features, databases, auth_file, keys);

    for (size_t i = 0; i < errors.count; i++)
        fail_msg("%s", errors.list[i].message);
    config_errors_done(&errors);
}

static void
expect_one(const struct backend_features *features, const char *databases, const char *auth_file,
           const char *keys, bool is_warning, const char *message)
{
    struct config_errors errors = check(features, databases, auth_file, keys);

    assert_int_equal(errors.count, 1);
    assert_int_equal(errors.list[0].is_warning, is_warning);
    assert_non_null(strstr(errors.list[0].message, message));
    config_errors_done(&errors);
}

/* ---- TLS */

static void
test_tls(void **state)
{
    (void)state;
    expect_fine(&old, "db = host=a", "users", "server_tls_sslmode = verify-full");
    expect_fine(&new, "db = host=a", "users", "server_tls_sslmode = disable");
    expect_one(&new, "db = host=a", "users", "", true, "without TLS: libpq is another's");
    expect_one(&new, "db = host=a", "users", "server_tls_sslmode = require", false,
               "\"db\": server_tls_sslmode = require is not possible: libpq is another's");
    expect_one(&new,
               "a = host=a server_tls_sslmode=disable\nb = host=/x,b server_tls_sslmode=verify-ca",
               "users", "", false, "\"b\"");
    expect_one(&new, "* = host=a", "users", "server_tls_sslmode = verify-full", false, "\"*\"");
    expect_fine(&new, "a = host=/run/pg\nb =\nc = host=@x", "users",
                "server_tls_sslmode = require");
    expect_fine(&new, "a = host=a server_tls_sslmode=disable", "users",
                "server_tls_sslmode = require");
}

/* ---- SCRAM logins passed on */

static void
expect_refused(const char *databases, const char *keys)
{
    char all[500];

    (void)snprintf(all, sizeof(all), "server_tls_sslmode = disable\n%s", keys);
    expect_one(&old, databases, "scram", all, false,
               "auth_file has only a SCRAM secret for \"app\" and others, with which libpq 15.20 "
               "cannot log in to the servers of database \"db\"; ways out: libpq 18, ");
    expect_fine(&new, databases, "scram", all);
    expect_fine(&old, databases, "users", all);
}

static void
test_scram_is_refused(void **state)
{
    char keys[300];

    (void)state;
    expect_refused("db = host=a", "auth_type = scram-sha-256");
    expect_refused("db = host=a", "auth_type = md5");
    expect_refused("a = host=a user=x\ndb = host=/x,a", "auth_type = md5");
    (void)snprintf(keys, sizeof(keys), "auth_type = hba\nauth_hba_file = %s", file("hba"));
    expect_refused("db = host=a", keys);
}

/* Who does not need it is not refused. */
static void
test_scram_is_not_needed(void **state)
{
    static const char scram[] = "auth_type = scram-sha-256";
    char keys[300];

    (void)state;
    expect_fine(&old, "db = host=a user=app password=x", "scram", scram);
    expect_fine(&old, "db = host=/run/postgresql", "scram", scram);
    expect_fine(&old, "db = host=a server_tls_cert_file=/c server_tls_key_file=/k", "scram", scram);
    expect_fine(&old, "db = host=a", "scram", "auth_type = plain");
    expect_fine(&old, "db = host=a", "scram", "auth_type = trust");
    expect_fine(&old, "db = host=a", "scram",
                "auth_type = md5\nadmin_users = boss\nstats_users = app");
    (void)snprintf(keys, sizeof(keys), "auth_type = hba\nauth_hba_file = %s", file("hba-pam"));
    expect_fine(&old, "db = host=a", "scram", keys);
    write_file(".pgpass", "");
    assert_int_equal(chmod(file(".pgpass"), 0600), 0);
    expect_fine(&old, "db = host=a", "scram", scram);
}

/* Secrets that are not known yet: only a warning. */
static void
test_scram_of_auth_query(void **state)
{
    static const char keys[] =
        "server_tls_sslmode = disable\nauth_type = scram-sha-256\nauth_user = asker";

    (void)state;
    expect_one(&old, "db = host=a", "users", keys, true,
               "\"db\": with a SCRAM secret that auth_query");
    expect_fine(&new, "db = host=a", "users", keys);
    expect_fine(&old, "db = host=a user=app", "users", keys);
    expect_fine(&old, "db = host=/run/postgresql", "users", keys);
}

/* As libpq does: what others can read is no secret. */
static void
test_open_password_file(void **state)
{
    (void)state;
    write_file(".pgpass", "");
    assert_int_equal(chmod(file(".pgpass"), 0640), 0);
    expect_one(&old, "db = host=a", "users", "", true, ".pgpass is ignored: others may read it");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scram_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scram_is_not_needed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scram_of_auth_query, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_password_file, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
