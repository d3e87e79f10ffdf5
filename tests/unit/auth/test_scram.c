/* The messages of SCRAM: the RFC's example, both mechanisms, and whatever a client can do wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "auth.h"
#include "macros.h"
#include "scram.h"
#include "scram_client.h"

#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="

static const char certificate[] = "the hash of a certificate";

static struct verifier
pencil(int iterations)
{
    struct verifier verifier;

    assert_int_equal(verifier_make("pencil", SALT, iterations, &verifier), 0);
    return verifier;
}

static void
init(struct scram *scram, bool is_bound)
{
    scram_init(scram, is_bound ? certificate : NULL, is_bound ? strlen(certificate) : 0);
}

static void
test_example_of_rfc_7677(void **state)
{
    static const char first[] = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    static const char nonce[] = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    static const char final[] = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const struct verifier verifier = pencil(4096);
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    struct scram scram;

    (void)state;
    init(&scram, false);
    assert_int_equal(scram_read_first(&scram, SCRAM_NAME, first, strlen(first)), 0);
    assert_int_equal(scram_write_challenge(&scram, nonce, SALT, 4096, &message), 0);
    assert_string_equal(buf_str(&message), "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                           "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    assert_int_equal(scram_read_final(&scram, final, strlen(final)), 0);
    assert_int_equal(scram_verify(&scram, &verifier), 0);
    buf_clear(&message);
    assert_int_equal(scram_write_final(&scram, &verifier, &message), 0);
    assert_string_equal(buf_str(&message), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    scram_done(&scram);
}

/* How a login ends: 0, -EPROTO (then *ret_failure), -EACCES. */
static int
run(struct scram_client *client, bool is_bound, const char *mechanism,
    const struct verifier *verifier, const struct auth_failure **ret_failure)
{
    CLEANUP(buf_done) struct buf to_server = BUF_INIT, to_client = BUF_INIT;
    struct scram scram;
    int r;

    init(&scram, is_bound);
    scram_client_first(client, &to_server);
    r = scram_read_first(&scram, mechanism, to_server.data, to_server.len);
    if (r == 0) {
        assert_int_equal(
            scram_write_challenge(&scram, "ours", SALT, verifier->iterations, &to_client), 0);
        buf_clear(&to_server);
        scram_client_final(client, to_client.data, &to_server);
        r = scram_read_final(&scram, to_server.data, to_server.len);
    }
    if (r == 0)
        r = scram_verify(&scram, verifier);
    if (r == 0) {
        assert_memory_equal(scram.client_key, client->client_key, SCRAM_KEY_SIZE);
        buf_clear(&to_client);
        assert_int_equal(scram_write_final(&scram, verifier, &to_client), 0);
        assert_true(scram_client_trusts(client, to_client.data));
    }
    *ret_failure = scram.failure;
    scram_done(&scram);
    return r;
}

static const struct {
    const char *password, *header, *binding, *mechanism;
    bool is_bound;
    int result;
    const char *sqlstate, *message;
} logins[] = {
    {"pencil", "n,,", "", SCRAM_NAME, false, 0, NULL, NULL},
    {"pencil", "n,,", "", SCRAM_NAME, true, 0, NULL, NULL},
    {"pencil", "y,,", "", SCRAM_NAME, false, 0, NULL, NULL},
    {"pencil", "p=tls-server-end-point,,", certificate, SCRAM_PLUS_NAME, true, 0, NULL, NULL},
    {"Pencil", "n,,", "", SCRAM_NAME, false, -EACCES, NULL, NULL},
    {"pencil ", "p=tls-server-end-point,,", certificate, SCRAM_PLUS_NAME, true, -EACCES, NULL,
     NULL},
    /* Somebody has taken SCRAM-SHA-256-PLUS out of what we offered. */
    {"pencil", "y,,", "", SCRAM_NAME, true, -EPROTO, "28000",
     "SCRAM channel binding negotiation error"},
    /* Somebody in between has shown the client another certificate. */
    {"pencil", "p=tls-server-end-point,,", "the hash of another one", SCRAM_PLUS_NAME, true,
     -EPROTO, "28000", "SCRAM channel binding check failed"},
    {"pencil", "p=tls-unique,,", certificate, SCRAM_PLUS_NAME, true, -EPROTO, "08P01",
     "unsupported SCRAM channel-binding type"},
    {"pencil", "n,,", "", SCRAM_PLUS_NAME, true, -EPROTO, "08P01", "malformed SCRAM message"},
    {"pencil", "y,,", "", SCRAM_PLUS_NAME, true, -EPROTO, "08P01", "malformed SCRAM message"},
    {"pencil", "p=tls-server-end-point,,", certificate, SCRAM_NAME, true, -EPROTO, "08P01",
     "malformed SCRAM message"},
    /* What was proved is not what was said first. */
    {"pencil", "n,,", "more", SCRAM_NAME, false, -EPROTO, "08P01",
     "unexpected SCRAM channel-binding attribute in client-final-message"},
    {"pencil", "n,a=bob,", "", SCRAM_NAME, false, -EPROTO, "0A000",
     "client uses authorization identity, but it is not supported"},
    {"pencil", "n,,m=must,", "", SCRAM_NAME, false, -EPROTO, "0A000",
     "client requires an unsupported SCRAM extension"},
    {"pencil", "x,,", "", SCRAM_NAME, false, -EPROTO, "08P01", "malformed SCRAM message"},
    {"pencil", "", "", SCRAM_NAME, false, -EPROTO, "08P01", "malformed SCRAM message"},
    {"pencil", "n,", "", SCRAM_NAME, false, -EPROTO, "08P01", "malformed SCRAM message"},
    {"pencil", "nn,", "", SCRAM_NAME, false, -EPROTO, "08P01", "malformed SCRAM message"},
    {"pencil", "p,,", certificate, SCRAM_PLUS_NAME, true, -EPROTO, "08P01",
     "malformed SCRAM message"},
};

static void
test_logins_right_and_wrong(void **state)
{
    const struct verifier verifier = pencil(10);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(logins); i++) {
        const struct auth_failure *failure;
        struct scram_client client;

        scram_client_init(&client, logins[i].password);
        client.header = logins[i].header;
        client.binding = logins[i].binding;
        client.binding_len = strlen(logins[i].binding);
        assert_int_equal(run(&client, logins[i].is_bound, logins[i].mechanism, &verifier, &failure),
                         logins[i].result);
        if (logins[i].message != NULL) {
            assert_string_equal(failure->sqlstate, logins[i].sqlstate);
            assert_string_equal(failure->message, logins[i].message);
        }
        scram_client_done(&client);
    }
}

/* Whatever bit is wrong on the way, the proof is. */
static void
test_no_bit_of_the_final_message_may_flip(void **state)
{
    const struct verifier verifier = pencil(1);
    CLEANUP(buf_done) struct buf first = BUF_INIT, challenge = BUF_INIT, final = BUF_INIT;
    struct scram_client client;

    (void)state;
    scram_client_init(&client, "pencil");
    scram_client_first(&client, &first);
    assert_int_equal(buf_printf(&challenge, "r=the-client's-nonce+ours,s=%s,i=1", SALT), 0);
    scram_client_final(&client, challenge.data, &final);
    for (size_t bit = 0; bit <= final.len * 8; bit++) {
        CLEANUP(buf_done) struct buf message = BUF_INIT;
        struct scram scram;
        int r;

        init(&scram, false);
        assert_int_equal(scram_read_first(&scram, SCRAM_NAME, first.data, first.len), 0);
        assert_int_equal(scram_write_challenge(&scram, "+ours", SALT, 1, &message), 0);
        assert_string_equal(message.data, challenge.data);
        if (bit < final.len * 8)
            final.data[bit / 8] ^= (char)(1 << bit % 8);
        r = scram_read_final(&scram, final.data, final.len);
        if (r == 0)
            r = scram_verify(&scram, &verifier);
        /* Bits behind the last byte of the proof mean nothing in base64. */
        if (bit < final.len * 8 && bit / 8 != final.len - 2)
            assert_true(r == -EPROTO || r == -EACCES);
        if (bit < final.len * 8)
            final.data[bit / 8] ^= (char)(1 << bit % 8);
        else
            assert_int_equal(r, 0);
        scram_done(&scram);
    }
    scram_client_done(&client);
}

/* Cut anywhere, a message is refused and nothing is read behind it. */
static void
test_cut_messages_are_refused(void **state)
{
    static const char first[] = "p=tls-server-end-point,,n=,r=abc";
    static const char final[] =
        "c=biws,r=abcours,x=extension,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    (void)state;
    for (size_t len = 0; len < sizeof(first) - 4; len++) {
        char *const copy = test_malloc(MAX(len, 1));
        struct scram scram;

        memcpy(copy, first, len);
        init(&scram, true);
        assert_int_equal(scram_read_first(&scram, SCRAM_PLUS_NAME, copy, len), -EPROTO);
        scram_done(&scram);
        test_free(copy);
    }
    for (size_t len = 0; len < sizeof(final); len++) {
        CLEANUP(buf_done) struct buf message = BUF_INIT;
        char *const copy = test_malloc(MAX(len, 1));
        struct scram scram;

        memcpy(copy, final, len);
        init(&scram, false);
        assert_int_equal(scram_read_first(&scram, SCRAM_NAME, "n,,n=,r=abc", 11), 0);
        assert_int_equal(scram_write_challenge(&scram, "ours", SALT, 1, &message), 0);
        assert_int_equal(scram_read_final(&scram, copy, len),
                         len == sizeof(final) - 1 ? 0 : -EPROTO);
        scram_done(&scram);
        test_free(copy);
    }
}

static const struct {
    const char *first, *final;
} broken[] = {
    {"n,,r=abc", NULL},
    {"n,,n=x", NULL},
    {"n,,n=x,r=", NULL},
    {"n,,n=x,r=with blank", NULL},
    {"n,,n=x,r=\x7f", NULL},
    {"n,,n=x,r=\u00e9", NULL},
    {"n,,n=,r=abc,more=1", ""},
    {"n,,n=,r=abc", "r=abcours,c=biws,p=x"},
    {"n,,n=,r=abc", "c=biws,r=abc,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="},
    {"n,,n=,r=abc", "c=biws,r=abcourss,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="},
    {"n,,n=,r=abc", "c=eSws,r=abcours,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="},
    {"n,,n=,r=abc", "c=biws,r=abcours,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=,x=y"},
    {"n,,n=,r=abc", "c=biws,r=abcours,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ"},
    {"n,,n=,r=abc", "c=biws,r=abcours,p="},
    {"n,,n=,r=abc", "c=biws,r=abcours"},
};

static void
test_broken_messages_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        CLEANUP(buf_done) struct buf message = BUF_INIT;
        struct scram scram;
        int r;

        init(&scram, false);
        r = scram_read_first(&scram, SCRAM_NAME, broken[i].first, strlen(broken[i].first));
        assert_int_equal(r, broken[i].final == NULL ? -EPROTO : 0);
        if (r == 0) {
            assert_int_equal(scram_write_challenge(&scram, "ours", SALT, 1, &message), 0);
            assert_int_equal(scram_read_final(&scram, broken[i].final, strlen(broken[i].final)),
                             -EPROTO);
        }
        assert_non_null(scram.failure);
        scram_done(&scram);
    }
}

static void
test_nul_is_refused(void **state)
{
    struct scram scram;

    (void)state;
    init(&scram, false);
    assert_int_equal(scram_read_first(&scram, SCRAM_NAME, "n,,n=,r=a\0c", 11), -EPROTO);
    scram_done(&scram);
}

static void
test_plus_is_offered_where_there_is_a_channel(void **state)
{
    struct scram scram;

    (void)state;
    init(&scram, false);
    assert_true(scram_is_offered(&scram, "SCRAM-SHA-256"));
    assert_false(scram_is_offered(&scram, "SCRAM-SHA-256-PLUS"));
    assert_false(scram_is_offered(&scram, "SCRAM-SHA-1"));
    assert_false(scram_is_offered(&scram, ""));
    init(&scram, true);
    assert_true(scram_is_offered(&scram, "SCRAM-SHA-256"));
    assert_true(scram_is_offered(&scram, "SCRAM-SHA-256-PLUS"));
}

static void
test_nonces_differ(void **state)
{
    char a[SCRAM_NONCE_LEN + 1], b[SCRAM_NONCE_LEN + 1];

    (void)state;
    assert_int_equal(scram_make_nonce(a), 0);
    assert_int_equal(scram_make_nonce(b), 0);
    assert_int_equal(strlen(a), SCRAM_NONCE_LEN);
    assert_null(strchr(a, ','));
    assert_string_not_equal(a, b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_of_rfc_7677),
        cmocka_unit_test(test_logins_right_and_wrong),
        cmocka_unit_test(test_no_bit_of_the_final_message_may_flip),
        cmocka_unit_test(test_cut_messages_are_refused),
        cmocka_unit_test(test_broken_messages_are_refused),
        cmocka_unit_test(test_nul_is_refused),
        cmocka_unit_test(test_plus_is_offered_where_there_is_a_channel),
        cmocka_unit_test(test_nonces_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
