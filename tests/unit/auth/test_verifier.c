/* Base64, the stored form of a verifier, and verifiers made of passwords and of nothing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "macros.h"
#include "verifier.h"
#include "wipe.h"

/* The password of RFC 7677's example. */
#define PENCIL_SALT   "W22ZaJ0SNY7soEsUEjb6gQ=="
#define PENCIL_STORED "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define PENCIL_SERVER "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define PENCIL        "SCRAM-SHA-256$4096:" PENCIL_SALT "$" PENCIL_STORED ":" PENCIL_SERVER

static void
test_base64(void **state)
{
    static const struct {
        const char *text, *bytes;
    } good[] = {
        {"", ""}, {"Zg==", "f"}, {"Zm8=", "fo"}, {"Zm9v", "foo"}, {"Zm9vYg==", "foob"},
    };
    static const char *const bad[] = {
        "Z", "Zg", "Zg=", "====", "=Zg=", "Zg=A", "Z===", "Zm9v\n", " Zm9v", "Zm9v    ", "Zm9-",
    };
    char bytes[16], text[16];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        const size_t len = strlen(good[i].bytes);

        assert_int_equal(base64_decode(good[i].text, strlen(good[i].text), bytes), (ssize_t)len);
        assert_memory_equal(bytes, good[i].bytes, len);
        base64_encode(good[i].bytes, len, text);
        assert_string_equal(text, good[i].text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(base64_decode(bad[i], strlen(bad[i]), bytes), -EINVAL);
    assert_int_equal(base64_decode("Zg\0=", 4, bytes), -EINVAL);
}

static void
assert_is_pencil(const struct verifier *verifier)
{
    char text[BASE64_LEN(SCRAM_KEY_SIZE) + 1];

    assert_int_equal(verifier->iterations, 4096);
    assert_string_equal(verifier->salt, PENCIL_SALT);
    base64_encode(verifier->stored_key, SCRAM_KEY_SIZE, text);
    assert_string_equal(text, PENCIL_STORED);
    base64_encode(verifier->server_key, SCRAM_KEY_SIZE, text);
    assert_string_equal(text, PENCIL_SERVER);
}

static void
test_stored_and_made_are_the_same(void **state)
{
    struct verifier verifier;

    (void)state;
    assert_int_equal(verifier_parse(PENCIL, &verifier), 0);
    assert_is_pencil(&verifier);
    memset(&verifier, 0, sizeof(verifier));
    assert_int_equal(verifier_make("pencil", PENCIL_SALT, 4096, &verifier), 0);
    assert_is_pencil(&verifier);
}

static void
test_what_is_no_verifier(void **state)
{
    static const char *const bad[] = {
        "",
        "pencil",
        "SCRAM-SHA-256$",
        "SCRAM-SHA-512$4096:" PENCIL_SALT "$" PENCIL_STORED ":" PENCIL_SERVER,
        "SCRAM-SHA-256$:" PENCIL_SALT "$" PENCIL_STORED ":" PENCIL_SERVER,
        "SCRAM-SHA-256$0:" PENCIL_SALT "$" PENCIL_STORED ":" PENCIL_SERVER,
        "SCRAM-SHA-256$-1:" PENCIL_SALT "$" PENCIL_STORED ":" PENCIL_SERVER,
        "SCRAM-SHA-256$ 4096:" PENCIL_SALT "$" PENCIL_STORED ":" PENCIL_SERVER,
        "SCRAM-SHA-256$99999999999:" PENCIL_SALT "$" PENCIL_STORED ":" PENCIL_SERVER,
        "SCRAM-SHA-256$4096$" PENCIL_SALT "$" PENCIL_STORED ":" PENCIL_SERVER,
        "SCRAM-SHA-256$4096:$" PENCIL_STORED ":" PENCIL_SERVER,
        "SCRAM-SHA-256$4096:!!!!$" PENCIL_STORED ":" PENCIL_SERVER,
        "SCRAM-SHA-256$4096:" PENCIL_SALT,
        "SCRAM-SHA-256$4096:" PENCIL_SALT "$" PENCIL_STORED,
        "SCRAM-SHA-256$4096:" PENCIL_SALT "$" PENCIL_STORED ":",
        "SCRAM-SHA-256$4096:" PENCIL_SALT "$" PENCIL_STORED ":" PENCIL_SERVER " ",
        "SCRAM-SHA-256$4096:" PENCIL_SALT "$" PENCIL_STORED "$" PENCIL_SERVER,
        "SCRAM-SHA-256$4096:" PENCIL_SALT "$" PENCIL_STORED ":" PENCIL_SALT,
    };
    struct verifier verifier;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(verifier_parse(bad[i], &verifier), -EINVAL);
    assert_int_equal(verifier_make("pencil", "no base64", 1, &verifier), -EINVAL);
}

/* The examples of RFC 4013, and what is hashed as it is. */
static void
test_passwords_are_prepared(void **state)
{
    static const struct {
        const char *typed, *hashed;
    } passwords[] = {
        {"pencil", "pencil"},
        {"", ""},
        {"tab\tand \x01", "tab\tand \x01"},
        {"I\u00adX", "IX"},
        {"us\u00a0er", "us er"},
        {"\u00aa", "a"},
        {"\u2168", "IX"},
        {"e\u0301", "\u00e9"},
        {"\u00e9\x07", "\u00e9\x07"}, /* a control character */
        {"\u0627"
         "1",
         "\u0627"
         "1"},                      /* bidirectional */
        {"\u0221", "\u0221"},       /* not assigned in Unicode 3.2 */
        {"\xe9t\xe9", "\xe9t\xe9"}, /* Latin 1 */
        {"\u00ad", "\u00ad"},       /* nothing would be left */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(passwords); i++) {
        CLEANUP(wipe_free) char *prepared = NULL;

        assert_int_equal(verifier_prepare_password(passwords[i].typed, &prepared), 0);
        assert_string_equal(prepared, passwords[i].hashed);
    }
}

static void
test_mocks_are_stable_and_all_different(void **state)
{
    const unsigned char key[SCRAM_KEY_SIZE] = "a secret", other_key[SCRAM_KEY_SIZE] = "another";
    char password[VERIFIER_MOCK_PASSWORD_SIZE], other[VERIFIER_MOCK_PASSWORD_SIZE];
    struct verifier a, b;
    char salt[SCRAM_SALT_TEXT_MAX];

    (void)state;
    assert_int_equal(verifier_mock(key, "alice", 4096, &a), 0);
    assert_int_equal(verifier_mock(key, "alice", 4096, &b), 0);
    assert_string_equal(a.salt, b.salt);
    assert_memory_equal(a.stored_key, b.stored_key, SCRAM_KEY_SIZE);
    assert_int_equal(strlen(a.salt), strlen(PENCIL_SALT));
    assert_memory_not_equal(a.stored_key, a.server_key, SCRAM_KEY_SIZE);
    assert_int_equal(verifier_mock_salt(key, "alice", salt), 0);
    assert_string_equal(salt, a.salt);

    assert_int_equal(verifier_mock(key, "bob", 4096, &b), 0);
    assert_string_not_equal(a.salt, b.salt);
    assert_memory_not_equal(a.stored_key, b.stored_key, SCRAM_KEY_SIZE);
    assert_int_equal(verifier_mock(other_key, "alice", 4096, &b), 0);
    assert_string_not_equal(a.salt, b.salt);

    assert_int_equal(verifier_mock_password(key, "alice", password), 0);
    assert_int_equal(verifier_mock_password(key, "bob", other), 0);
    assert_string_not_equal(password, other);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_stored_and_made_are_the_same),
        cmocka_unit_test(test_what_is_no_verifier),
        cmocka_unit_test(test_passwords_are_prepared),
        cmocka_unit_test(test_mocks_are_stable_and_all_different),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
