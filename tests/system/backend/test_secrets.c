/*
 * test_secrets.c - what a server asks for, and what there is to log in with.
 */
#include "fixture.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "macros.h"
#include "str.h"

#define PASSWORD "secret word" /* of all users that have one, but for "filed" */

/* What the server knows of a connection. */
static const char *
told(struct fixture *f, const struct backend *backend, const char *column)
{
    char sql[200];

    (void)snprintf(sql, sizeof(sql),
                   "SELECT %s FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE pid = %d",
                   column, backend->pid);
    return raw_ask(f->admin, sql);
}

static void
expect_login(struct fixture *f, struct backend_target *target)
{
    char user[64];
    struct backend *backend;

    (void)str_copy(user, sizeof(user), target->user);
    backend = connect_to(f, target, NULL);
    assert_string_equal(told(f, backend, "usename"), user);
    assert_string_equal(told(f, backend, "ssl"), backend->tls != NULL ? "t" : "f");
    retire(f, backend, true);
}

static void
expect_wrong_secret(struct fixture *f, struct backend_target *target)
{
    struct backend_error error;

    assert_null(connect_to(f, target, &error));
    assert_string_equal(error.sqlstate, "28P01");
    assert_true(error.from_server);
    assert_true(error.hopeless);
}

static void
expect_wrong_type(struct fixture *f, struct backend_target *target, const char *detail)
{
    struct backend_error error;

    assert_null(connect_to(f, target, &error));
    assert_string_equal(error.sqlstate, "28000");
    assert_string_equal(error.message, "server login failed: wrong password type");
    assert_non_null(strstr(error.detail, detail));
    assert_false(error.from_server);
    assert_true(error.hopeless);
}

/* ---- passwords */

static struct backend_target *
target_with_password(const char *user, const char *password)
{
    struct backend_target *target = target_new("postgres", user);

    assert_int_equal(str_set(&target->password, password), 0);
    return target;
}

static void
test_password(void **state)
{
    static const char *const users[] = {"clearuser", "md5user", "scramuser", "postgres"};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(users); i++)
        expect_login(f, target_with_password(users[i], PASSWORD));
    for (size_t i = 0; i < 3; i++)
        expect_wrong_secret(f, target_with_password(users[i], "guess"));
}

static void
test_no_password(void **state)
{
    static const char *const users[] = {"clearuser", "md5user", "scramuser"};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(users); i++)
        expect_wrong_type(f, target_new("postgres", users[i]), "none that could be sent");
}

/* The file is libpq's own, in the home directory; what is configured comes before it. */
static void
test_password_file(void **state)
{
    struct fixture *f = *state;

    expect_login(f, target_new("postgres", "filed"));
    expect_wrong_secret(f, target_with_password("filed", "guess"));
}

/* ---- md5 secrets */

static struct backend_target *
target_with_md5(struct fixture *f, const char *user)
{
    struct backend_target *target = target_new("postgres", user);
    const char *secret = "SELECT rolpassword FROM pg_authid WHERE rolname = 'md5user'";

    assert_int_equal(str_set(&target->md5_secret, raw_ask(f->admin, secret)), 0);
    assert_int_equal(strlen(target->md5_secret), 35);
    return target;
}

static void
test_md5_secret(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target = target_with_md5(f, "md5user");

    expect_login(f, target);
    target = target_with_md5(f, "md5user");
    assert_int_equal(str_set(&target->host, test_dir()), 0);
    expect_login(f, target);
    expect_login(f, target_with_md5(f, "postgres"));
}

static void
test_md5_secret_over_tls(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target = target_with_md5(f, "md5user");

    if (!tls_is_usable())
        skip();
    assert_int_equal(str_set(&target->sslmode, "require"), 0);
    expect_login(f, target);
}

static void
test_wrong_md5_secret(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target = target_with_md5(f, "md5user");

    target->md5_secret[10] = target->md5_secret[10] == '0' ? '1' : '0';
    expect_wrong_secret(f, target);
    target = target_with_md5(f, "md5user");
    target->md5_secret[34] = '\0'; /* too short to be one */
    expect_wrong_type(f, target, "only an md5 secret");
}

static void
test_md5_secret_does_not_do(void **state)
{
    struct fixture *f = *state;

    expect_wrong_type(f, target_with_md5(f, "clearuser"), "only an md5 secret");
    expect_wrong_type(f, target_with_md5(f, "scramuser"), "only an md5 secret");
}

/* ---- the keys of a SCRAM login */

static void
hmac(const unsigned char *key, const char *text, unsigned char *ret_digest)
{
    assert_non_null(HMAC(EVP_sha256(), key, BACKEND_SCRAM_KEY_SIZE, (const unsigned char *)text,
                         strlen(text), ret_digest, NULL));
}

/* SCRAM-SHA-256$4096:salt$... and the password, as far as the salted password. */
static void
salt_password(const char *secret, const char *password, unsigned char *ret_salted)
{
    unsigned char salt[64];
    char text[64];
    int iterations, len;

    assert_int_equal(sscanf(secret, "SCRAM-SHA-256$%d:%63[^$]", &iterations, text), 2);
    len = EVP_DecodeBlock(salt, (const unsigned char *)text, (int)strlen(text));
    for (const char *pad = strchr(text, '='); pad != NULL && *pad == '='; pad++)
        len--;
    assert_int_equal(PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, len, iterations,
                                       EVP_sha256(), BACKEND_SCRAM_KEY_SIZE, ret_salted),
                     1);
}

static struct backend_target *
target_with_keys(struct fixture *f, const char *user, const char *password)
{
    unsigned char salted[BACKEND_SCRAM_KEY_SIZE], client[BACKEND_SCRAM_KEY_SIZE],
        server[BACKEND_SCRAM_KEY_SIZE];
    struct backend_target *target = target_new("postgres", user);

    salt_password(
        raw_ask(f->admin, "SELECT rolpassword FROM pg_authid WHERE rolname = 'scramuser'"),
        password, salted);
    hmac(salted, "Client Key", client);
    hmac(salted, "Server Key", server);
    assert_int_equal(backend_target_set_scram_keys(target, client, server), 0);
    return target;
}

static void
test_scram_keys(void **state)
{
    struct fixture *f = *state;

    if (!scram_keys_are_usable()) {
        expect_wrong_type(f, target_with_keys(f, "scramuser", PASSWORD), "cannot pass on");
        return;
    }
    expect_login(f, target_with_keys(f, "scramuser", PASSWORD));
    expect_login(f, target_with_keys(f, "postgres", PASSWORD));
    expect_wrong_secret(f, target_with_keys(f, "scramuser", "guess"));
    expect_wrong_type(f, target_with_keys(f, "md5user", PASSWORD), "only the client's SCRAM login");
}

/* ---- TLS */

/* With the server's certificate bound into the login, which libpq does where it can. */
static void
test_scram_over_tls(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target;

    if (!tls_is_usable())
        skip();
    target = target_new_tls("scramuser", "TEST_CA");
    assert_int_equal(str_set(&target->password, PASSWORD), 0);
    expect_login(f, target);
    target = target_new_tls("scramuser", "TEST_CA");
    assert_int_equal(str_set(&target->password, "guess"), 0);
    expect_wrong_secret(f, target);
}

static void
test_client_certificate(void **state)
{
    struct fixture *f = *state;
    struct backend_target *target;
    struct backend_error error;

    if (!tls_is_usable())
        skip();
    target = target_new_tls("certuser", "TEST_CA");
    assert_int_equal(str_set(&target->sslcert, test_file("TEST_CERT")), 0);
    assert_int_equal(str_set(&target->sslkey, test_file("TEST_KEY")), 0);
    expect_login(f, target);
    assert_null(connect_to(f, target_new_tls("certuser", "TEST_CA"), &error));
    assert_string_equal(error.sqlstate, "28000");
    assert_true(error.hopeless);
}

static void
test_protocol_versions(void **state)
{
    static const char *const versions[] = {"TLSv1.2", "TLSv1.3"};
    struct fixture *f = *state;

    if (!tls_is_usable())
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        struct backend_target *target = target_new_tls("tlsuser", "TEST_CA");
        struct backend *backend;

        assert_int_equal(str_set(&target->ssl_min_protocol, versions[i]), 0);
        assert_int_equal(str_set(&target->ssl_max_protocol, versions[i]), 0);
        backend = connect_to(f, target, NULL);
        assert_string_equal(backend->tls_version, versions[i]);
        assert_string_equal(told(f, backend, "version"), versions[i]);
        retire(f, backend, true);
    }
}

int
run_secret_tests(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest secret_tests[] = {
        TEST(test_password),
        TEST(test_no_password),
        TEST(test_password_file),
        TEST(test_md5_secret),
        TEST(test_md5_secret_over_tls),
        TEST(test_wrong_md5_secret),
        TEST(test_md5_secret_does_not_do),
        TEST(test_scram_keys),
        TEST(test_scram_over_tls),
        TEST(test_client_certificate),
        TEST(test_protocol_versions),
    };

    return cmocka_run_group_tests(secret_tests, NULL, NULL);
}
