/* What is stored of a user: its kinds, and passwords held against it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "credential.h"
#include "macros.h"
#include "secret.h"

#define PENCIL                                                                                     \
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"    \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static struct secret *
make(const char *text)
{
    struct secret *secret;

    assert_int_equal(secret_new(text, &secret), 0);
    assert_int_equal(secret->kind, secret_kind_of(text));
    assert_true(secret->is_known);
    assert_false(secret->is_mock);
    return secret;
}

static void
test_kinds(void **state)
{
    static const struct {
        const char *text;
        enum secret_kind kind;
    } secrets[] = {
        {"secret", SECRET_PLAIN},
        {"md5", SECRET_PLAIN},
        {"md50123456789abcdef0123456789abcdef", SECRET_MD5},
        {"md50123456789ABCDEF0123456789abcdef", SECRET_PLAIN},
        {"md50123456789abcdef0123456789abcdeg", SECRET_PLAIN},
        {"md50123456789abcdef0123456789abcdef0", SECRET_PLAIN},
        {PENCIL, SECRET_SCRAM},
        {PENCIL "x", SECRET_PLAIN},
        {"SCRAM-SHA-256$", SECRET_PLAIN},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
        CLEANUP(secret_free) struct secret *secret = make(secrets[i].text);

        assert_int_equal(secret->kind, secrets[i].kind);
    }
}

static void
test_passwords(void **state)
{
    char md5[MD5_SECRET_LEN + 1];
    CLEANUP(secret_free) struct secret *plain = make("secret");
    CLEANUP(secret_free) struct secret *hashed = NULL;

    (void)state;
    assert_int_equal(secret_md5("secret", "alice", 5, md5), 0);
    hashed = make(md5);
    assert_int_equal(secret_check_password(plain, "alice", "secret"), 0);
    assert_int_equal(secret_check_password(plain, "alice", "Secret"), -EACCES);
    assert_int_equal(secret_check_password(plain, "alice", "secrets"), -EACCES);
    assert_int_equal(secret_check_password(plain, "alice", ""), -EACCES);
    assert_int_equal(secret_check_password(hashed, "alice", "secret"), 0);
    assert_int_equal(secret_check_password(hashed, "bob", "secret"), -EACCES);
    assert_int_equal(secret_check_password(hashed, "alice", "Secret"), -EACCES);
    assert_int_equal(secret_check_password(hashed, "alice", md5), -EACCES);
}

/* RFC 1321's test suite, and the challenge of the protocol. */
static void
test_md5(void **state)
{
    static const unsigned char salt[MD5_SALT_SIZE] = {0x01, 0x02, 0x00, 0xff};
    char md5[MD5_SECRET_LEN + 1], answer[MD5_SECRET_LEN + 1], other[MD5_SECRET_LEN + 1];
    CLEANUP(secret_free) struct secret *plain = make("secret");
    CLEANUP(secret_free) struct secret *hashed = NULL;

    (void)state;
    assert_int_equal(secret_md5("", "", 0, md5), 0);
    assert_string_equal(md5, "md5d41d8cd98f00b204e9800998ecf8427e");
    assert_int_equal(secret_md5("a", "bc", 2, md5), 0);
    assert_string_equal(md5, "md5900150983cd24fb0d6963f7d28e17f72");

    assert_int_equal(secret_md5("secret", "alice", 5, md5), 0);
    hashed = make(md5);
    assert_int_equal(secret_md5(md5 + 3, salt, sizeof(salt), answer), 0);
    assert_int_equal(secret_check_md5(hashed, "alice", salt, answer), 0);
    assert_int_equal(secret_check_md5(plain, "alice", salt, answer), 0);
    assert_int_equal(secret_check_md5(plain, "bob", salt, answer), -EACCES);
    for (size_t i = 0; i < strlen(answer); i++) {
        memcpy(other, answer, sizeof(other));
        other[i] ^= 1;
        assert_int_equal(secret_check_md5(hashed, "alice", salt, other), -EACCES);
        assert_int_equal(secret_check_md5(plain, "alice", salt, other), -EACCES);
    }
    assert_int_equal(secret_check_md5(hashed, "alice", salt, "md5"), -EACCES);
    assert_int_equal(secret_check_md5(hashed, "alice", salt, ""), -EACCES);
}

/* Not even who guesses what the mock is made of. */
static void
test_nothing_fits_a_mock(void **state)
{
    static const unsigned char key[SCRAM_KEY_SIZE] = "a secret", salt[MD5_SALT_SIZE] = {1};
    char inner[MD5_SECRET_LEN + 1], answer[MD5_SECRET_LEN + 1];
    CLEANUP(secret_free) struct secret *mock = NULL;
    CLEANUP(secret_free) struct secret *hashed = NULL;
    CLEANUP(secret_free) struct secret *scram = NULL;

    (void)state;
    assert_int_equal(secret_new_mock(SECRET_PLAIN, key, "eve", 4096, &mock), 0);
    assert_true(mock->is_mock);
    assert_false(mock->is_known);
    assert_int_equal(secret_check_password(mock, "eve", mock->text), -EACCES);
    assert_int_equal(secret_md5(mock->text, "eve", 3, inner), 0);
    assert_int_equal(secret_md5(inner + 3, salt, sizeof(salt), answer), 0);
    assert_int_equal(secret_check_md5(mock, "eve", salt, answer), -EACCES);
    assert_int_equal(secret_new_mock(SECRET_MD5, key, "eve", 4096, &hashed), 0);
    assert_int_equal(secret_kind_of(hashed->text), SECRET_MD5);
    assert_int_equal(secret_check_password(hashed, "eve", mock->text), -EACCES);
    assert_int_equal(secret_check_md5(hashed, "eve", salt, answer), -EACCES);
    assert_int_equal(secret_new_mock(SECRET_SCRAM, key, "eve", 1234, &scram), 0);
    assert_int_equal(scram->kind, SECRET_SCRAM);
    assert_int_equal(scram->verifier.iterations, 1234);
}

static void
test_credentials_of_secrets(void **state)
{
    static const char md5[] = "md50123456789abcdef0123456789abcdef";
    static const unsigned char key[SCRAM_KEY_SIZE] = "a secret";
    const struct {
        const char *text;
        enum credential_kind kind;
    } secrets[] = {{"secret", CREDENTIAL_PASSWORD}, {md5, CREDENTIAL_MD5}};
    CLEANUP(secret_free) struct secret *scram = make(PENCIL);
    CLEANUP(secret_free) struct secret *mock = NULL;
    struct credential *credential;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
        CLEANUP(secret_free) struct secret *secret = make(secrets[i].text);

        assert_int_equal(secret_credential(secret, &credential), 0);
        assert_int_equal(credential_kind(credential), secrets[i].kind);
        assert_string_equal(credential_text(credential), secrets[i].text);
        credential_unref(credential);
    }
    assert_int_equal(secret_credential(scram, &credential), 0);
    assert_null(credential);
    assert_int_equal(secret_new_mock(SECRET_PLAIN, key, "eve", 1, &mock), 0);
    assert_int_equal(secret_credential(mock, &credential), 0);
    assert_null(credential);
}

static void
test_credentials(void **state)
{
    const unsigned char a[CREDENTIAL_KEY_SIZE] = {1}, b[CREDENTIAL_KEY_SIZE] = {2};
    CLEANUP(credential_unref) struct credential *password = credential_new_password("x");
    CLEANUP(credential_unref) struct credential *same = credential_new_password("x");
    CLEANUP(credential_unref) struct credential *md5 = credential_new_md5("x");
    CLEANUP(credential_unref) struct credential *keys = credential_new_keys(a, b);
    CLEANUP(credential_unref) struct credential *swapped = credential_new_keys(b, a);
    CLEANUP(credential_unref) struct credential *again = credential_ref(keys);

    (void)state;
    assert_true(credential_equal(password, same));
    assert_true(credential_equal(keys, again));
    assert_false(credential_equal(password, md5));
    assert_false(credential_equal(keys, swapped));
    assert_false(credential_equal(keys, NULL));
    assert_true(credential_equal(NULL, NULL));
    assert_null(credential_text(keys));
    assert_memory_equal(credential_client_key(keys), a, sizeof(a));
    assert_memory_equal(credential_server_key(keys), b, sizeof(b));
    assert_null(credential_client_key(password));
    assert_null(credential_server_key(md5));
    assert_null(credential_ref(NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_md5),
        cmocka_unit_test(test_nothing_fits_a_mock),
        cmocka_unit_test(test_credentials_of_secrets),
        cmocka_unit_test(test_credentials),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
