/* Who is let in, by which method, with which secret, and what the console allows whom. */
#include "fixture.h"

#include <pwd.h>
#include <unistd.h>

#include "credential.h"
#include "hba.h"
#include "pg.h"
#include "scram.h"
#include "secret.h"

static char alice[] = "alice", app[] = "app", auth_user[] = "pgweir_auth";
static char plain_secret[] = PENCIL, scram_secret[] = PENCIL_SCRAM, no_secret[] = "";
static char md5_secret[MD5_SECRET_LEN + 1];
static const char certificate[] = "the hash of our certificate";

static int
setup(void **state)
{
    assert_int_equal(secret_md5(PENCIL, "alice", 5, md5_secret), 0);
    return fixture_setup(state);
}

/* A login as alice, whose secret in auth_file is this one; NULL: she is not in it. */
static void
begin(struct attempt *attempt, struct fixture *f, enum auth_type type, char *secret)
{
    f->config.auth_type = (int)type;
    if (f->config.n_auth_users == 0 && secret != NULL)
        fixture_add_user(f, alice, secret);
    else if (secret != NULL)
        f->users[0]->secret = secret;
    attempt_init(attempt, f, "alice");
    (void)attempt_begin(attempt);
}

/* ---- any, trust, cert, peer ---- */

static void
test_any_wants_a_forced_user(void **state)
{
    struct fixture *const f = *state;
    struct attempt attempt;

    begin(&attempt, f, AUTH_TYPE_ANY, NULL);
    attempt_expect_failure(&attempt, "28000", "bouncer config error");
    assert_string_equal(auth_method_name(&attempt.auth), "any");
    attempt_done(&attempt);

    f->database.user = app;
    begin(&attempt, f, AUTH_TYPE_ANY, NULL);
    assert_int_equal(attempt.status, AUTH_ACCEPTED);
    assert_null(attempt.auth.credential);
    attempt_done(&attempt);

    /* Whether the database exists is not for us to tell. */
    attempt_init(&attempt, f, "alice");
    attempt.who.database = NULL;
    assert_int_equal(attempt_begin(&attempt), AUTH_ACCEPTED);
    attempt_done(&attempt);
}

static void
test_trust_believes_known_names(void **state)
{
    struct fixture *const f = *state;
    struct attempt attempt;

    begin(&attempt, f, AUTH_TYPE_TRUST, NULL);
    attempt_expect_failure(&attempt, "28000", "\"trust\" authentication failed");
    attempt_done(&attempt);
    begin(&attempt, f, AUTH_TYPE_TRUST, no_secret);
    assert_int_equal(attempt.status, AUTH_ACCEPTED);
    assert_null(attempt.auth.credential);
    attempt_done(&attempt);
    begin(&attempt, f, AUTH_TYPE_TRUST, plain_secret);
    assert_int_equal(attempt.status, AUTH_ACCEPTED);
    assert_string_equal(credential_text(attempt.auth.credential), PENCIL);
    attempt_done(&attempt);
    begin(&attempt, f, AUTH_TYPE_TRUST, scram_secret);
    assert_int_equal(attempt.status, AUTH_ACCEPTED);
    assert_null(attempt.auth.credential);
    attempt_done(&attempt);
}

static void
try_certificate(struct fixture *f, const char *name, enum auth_status status)
{
    struct attempt attempt;

    attempt_init(&attempt, f, "alice");
    attempt.who.is_tls = true;
    attempt.who.tls_name = name;
    assert_int_equal(attempt_begin(&attempt), status);
    if (status == AUTH_FAILED) {
        attempt_expect_failure(&attempt, "28000", "certificate authentication failed");
        assert_string_not_equal(attempt.auth.log_detail, "");
    }
    attempt_done(&attempt);
}

static void
test_cert_wants_the_name(void **state)
{
    struct fixture *const f = *state;

    f->config.auth_type = AUTH_TYPE_CERT;
    try_certificate(f, "alice", AUTH_FAILED);
    fixture_add_user(f, alice, no_secret);
    try_certificate(f, "alice", AUTH_ACCEPTED);
    try_certificate(f, "Alice", AUTH_FAILED);
    try_certificate(f, "bob", AUTH_FAILED);
    try_certificate(f, "", AUTH_FAILED);
    try_certificate(f, NULL, AUTH_FAILED);
}

static void
try_peer(struct fixture *f, const char *user, uid_t uid, bool is_unix, enum auth_status status)
{
    struct attempt attempt;

    attempt_init(&attempt, f, user);
    attempt.who.peer_uid = uid;
    if (is_unix)
        attempt.who.address = NULL;
    (void)attempt_begin(&attempt);
    assert_int_equal(attempt_wait(&attempt), status);
    if (status == AUTH_FAILED)
        attempt_expect_failure(&attempt, "28000", "unix socket login rejected");
    attempt_done(&attempt);
}

static void
test_peer_asks_the_system(void **state)
{
    struct fixture *const f = *state;
    char *const self = getpwuid(geteuid())->pw_name;

    f->config.auth_type = AUTH_TYPE_PEER;
    try_peer(f, self, geteuid(), true, AUTH_FAILED);
    fixture_add_user(f, self, no_secret);
    try_peer(f, self, geteuid(), true, AUTH_ACCEPTED);
    try_peer(f, self, geteuid(), false, AUTH_FAILED);
    try_peer(f, self, (uid_t)-1, true, AUTH_FAILED);
    try_peer(f, self, (uid_t)987654321, true, AUTH_FAILED);
    try_peer(f, "alice", geteuid(), true, AUTH_FAILED);
}

/* ---- passwords ---- */

/* Right and wrong passwords, against each kind of secret. */
static void
try_password(struct fixture *f, enum auth_type type, char *secret, const char *password,
             uint32_t code, enum auth_status status)
{
    struct attempt attempt;

    begin(&attempt, f, type, secret);
    assert_int_equal(attempt.status, AUTH_CONTINUE);
    assert_int_equal(attempt_code(&attempt), code);
    if (code == AUTH_CLEARTEXT)
        (void)attempt_plain(&attempt, password);
    else if (code == AUTH_MD5)
        (void)attempt_md5(&attempt, password);
    else
        (void)attempt_scram(&attempt, SCRAM_NAME, password);
    assert_int_equal(attempt.status, status);
    if (status == AUTH_FAILED)
        attempt_expect_failure(&attempt, "28P01",
                               code == AUTH_SASL ? "SASL authentication failed"
                                                 : "password authentication failed");
    attempt_done(&attempt);
}

static void
test_passwords_right_and_wrong(void **state)
{
    static const struct {
        enum auth_type type;
        char *secret;
        uint32_t code;
        bool can_fit;
    } cases[] = {
        {AUTH_TYPE_PLAIN, plain_secret, AUTH_CLEARTEXT, true},
        {AUTH_TYPE_PLAIN, md5_secret, AUTH_CLEARTEXT, true},
        {AUTH_TYPE_PLAIN, scram_secret, AUTH_CLEARTEXT, true},
        {AUTH_TYPE_PLAIN, no_secret, AUTH_CLEARTEXT, false},
        {AUTH_TYPE_MD5, plain_secret, AUTH_MD5, true},
        {AUTH_TYPE_MD5, md5_secret, AUTH_MD5, true},
        {AUTH_TYPE_MD5, scram_secret, AUTH_SASL, true},
        {AUTH_TYPE_SCRAM_SHA_256, plain_secret, AUTH_SASL, true},
        {AUTH_TYPE_SCRAM_SHA_256, scram_secret, AUTH_SASL, true},
        {AUTH_TYPE_SCRAM_SHA_256, md5_secret, AUTH_SASL, false},
        {AUTH_TYPE_SCRAM_SHA_256, no_secret, AUTH_SASL, false},
    };
    struct fixture *const f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        try_password(f, cases[i].type, cases[i].secret, PENCIL, cases[i].code,
                     cases[i].can_fit ? AUTH_ACCEPTED : AUTH_FAILED);
        try_password(f, cases[i].type, cases[i].secret, "Pencil", cases[i].code, AUTH_FAILED);
        try_password(f, cases[i].type, cases[i].secret, PENCIL, cases[i].code,
                     cases[i].can_fit ? AUTH_ACCEPTED : AUTH_FAILED);
    }
}

static void
expect_text(struct attempt *attempt, enum credential_kind kind, const char *text)
{
    assert_int_equal(attempt->status, AUTH_ACCEPTED);
    assert_int_equal(credential_kind(attempt->auth.credential), kind);
    assert_string_equal(credential_text(attempt->auth.credential), text);
    attempt_done(attempt);
}

static void
test_what_a_login_gives_for_the_server(void **state)
{
    struct fixture *const f = *state;
    struct attempt attempt;
    struct verifier verifier;

    begin(&attempt, f, AUTH_TYPE_PLAIN, scram_secret);
    (void)attempt_plain(&attempt, PENCIL);
    expect_text(&attempt, CREDENTIAL_PASSWORD, PENCIL);
    begin(&attempt, f, AUTH_TYPE_MD5, md5_secret);
    (void)attempt_md5(&attempt, PENCIL);
    expect_text(&attempt, CREDENTIAL_MD5, md5_secret);
    begin(&attempt, f, AUTH_TYPE_SCRAM_SHA_256, plain_secret);
    (void)attempt_scram(&attempt, SCRAM_NAME, PENCIL);
    expect_text(&attempt, CREDENTIAL_PASSWORD, PENCIL);

    begin(&attempt, f, AUTH_TYPE_SCRAM_SHA_256, scram_secret);
    assert_int_equal(attempt_scram(&attempt, SCRAM_NAME, PENCIL), AUTH_ACCEPTED);
    assert_int_equal(verifier_parse(scram_secret, &verifier), 0);
    assert_memory_equal(credential_server_key(attempt.auth.credential), verifier.server_key,
                        SCRAM_KEY_SIZE);
    assert_int_equal(
        verifier_hash(credential_client_key(attempt.auth.credential), verifier.server_key), 0);
    assert_memory_equal(verifier.stored_key, verifier.server_key, SCRAM_KEY_SIZE);
    attempt_done(&attempt);
}

static void
test_broken_passwords(void **state)
{
    static const struct {
        const char *body;
        size_t len;
        const char *sqlstate, *message;
    } bodies[] = {
        {"", 0, "08P01", "invalid password packet size"},
        {"pencil", 6, "08P01", "invalid password packet size"},
        {"pen\0cil", 8, "08P01", "invalid password packet size"},
        {"", 1, "28P01", "empty password returned by client"},
    };
    struct fixture *const f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        struct attempt attempt;

        begin(&attempt, f, AUTH_TYPE_PLAIN, plain_secret);
        (void)attempt_send(&attempt, bodies[i].body, bodies[i].len);
        attempt_expect_failure(&attempt, bodies[i].sqlstate, bodies[i].message);
        attempt_done(&attempt);
    }
}

static void
test_unexpected_messages(void **state)
{
    static const char long_one[PG_PASSWORD_MAX];
    struct fixture *const f = *state;
    struct attempt attempt;

    attempt_init(&attempt, f, "alice");
    assert_string_equal(auth_method_name(&attempt.auth), "none");
    (void)attempt_send(&attempt, "pencil", 7);
    attempt_expect_failure(&attempt, "08P01", "client password pkt before startup packet");
    attempt_done(&attempt);

    begin(&attempt, f, AUTH_TYPE_TRUST, plain_secret);
    (void)attempt_send(&attempt, "pencil", 7);
    assert_int_equal(attempt.status, AUTH_FAILED);
    attempt_done(&attempt);

    begin(&attempt, f, AUTH_TYPE_PLAIN, plain_secret);
    attempt.status = auth_input(&attempt.auth, FRONTEND_QUERY, "select 1", 9);
    attempt_expect_failure(&attempt, "08P01", "expected password response");
    attempt_done(&attempt);

    begin(&attempt, f, AUTH_TYPE_PLAIN, plain_secret);
    (void)attempt_send(&attempt, long_one, sizeof(long_one));
    attempt_expect_failure(&attempt, "08P01", "password too long");
    attempt_done(&attempt);
}

/* ---- SCRAM in the protocol ---- */

static void
test_channel_binding(void **state)
{
    static const char both[] = "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0";
    static const char one[] = "SCRAM-SHA-256\0";
    struct fixture *const f = *state;
    struct attempt attempt;

    begin(&attempt, f, AUTH_TYPE_SCRAM_SHA_256, scram_secret);
    assert_memory_equal(attempt_data(&attempt), one, sizeof(one));
    (void)attempt_scram(&attempt, SCRAM_PLUS_NAME, PENCIL);
    attempt_expect_failure(&attempt, "08P01",
                           "client selected an invalid SASL authentication mechanism");
    attempt_done(&attempt);

    attempt_init(&attempt, f, "alice");
    attempt.who.is_tls = true;
    attempt.who.tls_binding = certificate;
    attempt.who.tls_binding_len = sizeof(certificate);
    (void)attempt_begin(&attempt);
    assert_memory_equal(attempt_data(&attempt), both, sizeof(both));
    assert_int_equal(attempt_scram(&attempt, SCRAM_PLUS_NAME, PENCIL), AUTH_ACCEPTED);
    attempt_done(&attempt);
}

static void
test_broken_sasl_messages(void **state)
{
#define BODY(text) text, sizeof(text) - 1
    static const struct {
        const char *body;
        size_t len;
        const char *message;
    } bodies[] = {
        {BODY(""), "invalid SASL response packet"},
        {BODY("SCRAM-SHA-256"), "invalid SASL response packet"},
        {BODY("SCRAM-SHA-256\0"), "invalid SASL response packet"},
        {BODY("SCRAM-SHA-256\0\0\0\0"), "invalid SASL response packet"},
        {BODY("SCRAM-SHA-256\0\0\0\0\5n,,n"), "invalid SASL response packet"},
        {BODY("SCRAM-SHA-256\0\0\0\0\3n,,n"), "invalid SASL response packet"},
        {BODY("SCRAM-SHA-256\0\xff\xff\xff\xffn,,n"), "invalid SASL response packet"},
        {BODY("SCRAM-SHA-1\0\0\0\0\0"), "client selected an invalid SASL authentication mechanism"},
        {BODY("SCRAM-SHA-256\0\0\0\0\4n,,n"), "malformed SCRAM message"},
        {BODY("SCRAM-SHA-256\0\0\0\0\0"), "malformed SCRAM message"},
    };
    struct fixture *const f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        struct attempt attempt;

        begin(&attempt, f, AUTH_TYPE_SCRAM_SHA_256, scram_secret);
        (void)attempt_send(&attempt, bodies[i].body, bodies[i].len);
        attempt_expect_failure(&attempt, "08P01", bodies[i].message);
        attempt_done(&attempt);
    }
}

/* A client may first say only which mechanism it likes. */
static void
test_mechanism_alone(void **state)
{
    struct fixture *const f = *state;
    struct attempt attempt;

    begin(&attempt, f, AUTH_TYPE_SCRAM_SHA_256, scram_secret);
    assert_int_equal(attempt_send(&attempt, BODY("SCRAM-SHA-256\0\xff\xff\xff\xff")),
                     AUTH_CONTINUE);
    assert_int_equal(attempt_code(&attempt), AUTH_SASL_CONTINUE);
    assert_string_equal(attempt_data(&attempt), "");
    assert_int_equal(attempt_send(&attempt, BODY("n,,n=,r=abc")), AUTH_CONTINUE);
    assert_int_equal(attempt_code(&attempt), AUTH_SASL_CONTINUE);
    assert_memory_equal(attempt_data(&attempt), "r=abc", 5);
    attempt_done(&attempt);
}

/* ---- users who do not exist ---- */

/* What "s=salt,i=rounds" says to a name. */
static void
ask_salt(struct fixture *f, const char *user, char text[static 256])
{
    struct attempt attempt;

    attempt_init(&attempt, f, user);
    assert_int_equal(attempt_begin(&attempt), AUTH_CONTINUE);
    assert_int_equal(attempt_code(&attempt), AUTH_SASL);
    (void)attempt_send(&attempt, BODY("SCRAM-SHA-256\0\0\0\0\x0bn,,n=,r=abc"));
    assert_int_equal(attempt.status, AUTH_CONTINUE);
    (void)snprintf(text, 256, "%s", strchr(attempt_data(&attempt), ','));
    attempt_done(&attempt);
}

static void
test_nobody_looks_like_somebody(void **state)
{
    struct fixture *const f = *state;
    char first[256], again[256], other[256];

    fixture_add_user(f, alice, scram_secret);
    ask_salt(f, "nobody", first);
    ask_salt(f, "nobody", again);
    ask_salt(f, "noone", other);
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    assert_int_equal(strlen(first), strlen(",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=7"));
    /* An md5 secret cannot be used here: the name is as good as unknown. */
    f->users[0]->secret = md5_secret;
    ask_salt(f, "alice", first);
    ask_salt(f, "alice", again);
    assert_string_equal(first, again);
}

/* With passwords in auth_file, nobody's login waits for a hash as alice's does. */
static void
test_nobody_takes_the_same_steps(void **state)
{
    static char *const secrets[] = {plain_secret, scram_secret};
    static const char *const users[] = {"alice", "nobody"};
    struct fixture *const f = *state;

    fixture_add_user(f, alice, plain_secret);
    f->config.auth_type = AUTH_TYPE_SCRAM_SHA_256;
    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
        f->users[0]->secret = secrets[i];
        for (size_t j = 0; j < ARRAY_SIZE(users); j++) {
            struct attempt attempt;

            attempt_init(&attempt, f, users[j]);
            (void)attempt_begin(&attempt);
            assert_int_equal(attempt_scram_start(&attempt, "wrong"),
                             secrets[i] == plain_secret ? AUTH_WAIT : AUTH_FAILED);
            (void)attempt_wait(&attempt);
            attempt_expect_failure(&attempt, "28P01", "SASL authentication failed");
            attempt_done(&attempt);
        }
    }
}

static void
try_nobody(struct fixture *f, uint32_t code, const char *message)
{
    struct attempt attempt;

    attempt_init(&attempt, f, "nobody");
    assert_int_equal(attempt_begin(&attempt), AUTH_CONTINUE);
    assert_int_equal(attempt_code(&attempt), code);
    if (code == AUTH_CLEARTEXT)
        (void)attempt_plain(&attempt, PENCIL);
    else if (code == AUTH_MD5)
        (void)attempt_md5(&attempt, PENCIL);
    else
        (void)attempt_scram(&attempt, SCRAM_NAME, PENCIL);
    attempt_expect_failure(&attempt, "28P01", message);
    assert_string_equal(attempt.auth.log_detail, "no such user");
    attempt_done(&attempt);
}

static void
test_nobody_is_asked_as_the_others_are(void **state)
{
    struct fixture *const f = *state;

    fixture_add_user(f, alice, md5_secret);
    f->config.auth_type = AUTH_TYPE_PLAIN;
    try_nobody(f, AUTH_CLEARTEXT, "password authentication failed");
    f->config.auth_type = AUTH_TYPE_MD5;
    try_nobody(f, AUTH_MD5, "password authentication failed");
    f->users[0]->secret = scram_secret;
    try_nobody(f, AUTH_SASL, "SASL authentication failed");
    f->config.auth_type = AUTH_TYPE_PLAIN;
    try_nobody(f, AUTH_CLEARTEXT, "password authentication failed");
}

/* ---- auth_query ---- */

static void
begin_query(struct attempt *attempt, struct fixture *f, enum auth_type type)
{
    f->config.auth_user = auth_user;
    begin(attempt, f, type, NULL);
    assert_int_equal(attempt->status, AUTH_WAIT);
    assert_int_equal(f->n_questions, 1);
    assert_string_equal(f->questions[0]->user, "alice");
    assert_string_equal(f->questions[0]->database, "db");
}

static void
test_server_is_asked(void **state)
{
    struct fixture *const f = *state;
    struct attempt attempt;

    begin_query(&attempt, f, AUTH_TYPE_SCRAM_SHA_256);
    fixture_answer(f, AUTH_LOOKUP_FOUND, scram_secret);
    assert_int_equal(attempt_scram(&attempt, SCRAM_NAME, PENCIL), AUTH_ACCEPTED);
    attempt_done(&attempt);

    begin_query(&attempt, f, AUTH_TYPE_SCRAM_SHA_256);
    fixture_answer(f, AUTH_LOOKUP_FOUND, scram_secret);
    (void)attempt_scram(&attempt, SCRAM_NAME, "wrong");
    attempt_expect_failure(&attempt, "28P01", "SASL authentication failed");
    attempt_done(&attempt);

    begin_query(&attempt, f, AUTH_TYPE_SCRAM_SHA_256);
    fixture_answer(f, AUTH_LOOKUP_UNKNOWN, NULL);
    (void)attempt_scram(&attempt, SCRAM_NAME, PENCIL);
    attempt_expect_failure(&attempt, "28P01", "SASL authentication failed");
    attempt_done(&attempt);

    begin_query(&attempt, f, AUTH_TYPE_SCRAM_SHA_256);
    fixture_answer(f, AUTH_LOOKUP_FAILED, NULL);
    attempt_expect_failure(&attempt, "28000", "bouncer config error");
    attempt_done(&attempt);
}

/* NULL: there is such a user, but no password that fits. */
static void
test_server_says_null(void **state)
{
    struct fixture *const f = *state;
    struct attempt attempt;

    begin_query(&attempt, f, AUTH_TYPE_PLAIN);
    fixture_answer(f, AUTH_LOOKUP_FOUND, "");
    (void)attempt_plain(&attempt, PENCIL);
    attempt_expect_failure(&attempt, "28P01", "password authentication failed");
    attempt_done(&attempt);
}

/* Nobody is asked in the way of who was found last. */
static void
test_unknown_to_the_server(void **state)
{
    struct fixture *const f = *state;
    struct attempt attempt;

    begin_query(&attempt, f, AUTH_TYPE_MD5);
    fixture_answer(f, AUTH_LOOKUP_UNKNOWN, NULL);
    assert_int_equal(attempt_code(&attempt), AUTH_SASL);
    attempt_done(&attempt);
    begin_query(&attempt, f, AUTH_TYPE_MD5);
    fixture_answer(f, AUTH_LOOKUP_FOUND, md5_secret);
    assert_int_equal(attempt_code(&attempt), AUTH_MD5);
    attempt_done(&attempt);
    begin_query(&attempt, f, AUTH_TYPE_MD5);
    fixture_answer(f, AUTH_LOOKUP_UNKNOWN, NULL);
    assert_int_equal(attempt_code(&attempt), AUTH_MD5);
    attempt_done(&attempt);
}

static void
test_file_comes_before_the_server(void **state)
{
    struct fixture *const f = *state;
    struct attempt attempt;

    f->config.auth_user = auth_user;
    begin(&attempt, f, AUTH_TYPE_TRUST, no_secret);
    assert_int_equal(attempt.status, AUTH_ACCEPTED);
    assert_int_equal(f->n_questions, 0);
    attempt_done(&attempt);
}

/* The console has no server of its own to ask. */
static void
test_console_asks_in_auth_dbname(void **state)
{
    struct fixture *const f = *state;
    struct attempt attempt;

    f->config.auth_user = auth_user;
    attempt_init(&attempt, f, "alice");
    attempt.who.database = NULL;
    attempt.who.database_name = "pgbouncer";
    attempt.who.for_console = true;
    assert_int_equal(attempt_begin(&attempt), AUTH_CONTINUE);
    attempt_done(&attempt);

    f->config.auth_dbname = app;
    attempt_init(&attempt, f, "alice");
    attempt.who.database = NULL;
    attempt.who.database_name = "pgbouncer";
    attempt.who.for_console = true;
    assert_int_equal(attempt_begin(&attempt), AUTH_WAIT);
    assert_int_equal(f->n_questions, 1);
    attempt_done(&attempt);
}

static void
test_leaving_before_the_server_answers(void **state)
{
    struct fixture *const f = *state;
    struct attempt attempt;

    begin_query(&attempt, f, AUTH_TYPE_TRUST);
    attempt_done(&attempt);
    memset(&attempt, 0xa5, sizeof(attempt));
    fixture_answer(f, AUTH_LOOKUP_FOUND, scram_secret);
}

/* ---- HBA ---- */

static struct hba_name all = {.kind = HBA_ALL};
static char hba_file[] = "hba.conf", clientcert[] = "clientcert", verify_full[] = "verify-full";
static struct hba_option wants_certificate = {clientcert, verify_full};

static void
try_rule(struct fixture *f, enum hba_type type, enum auth_type method, bool with_certificate,
         const char *tls_name, enum auth_status status, const char *message)
{
    struct hba_rule rule = {
        .file = hba_file,
        .line = 7,
        .type = type,
        .databases = &all,
        .n_databases = 1,
        .users = &all,
        .n_users = 1,
        .address = {.kind = HBA_ADDRESS_ALL},
        .method = method,
        .options = &wants_certificate,
        .n_options = with_certificate ? 1 : 0,
    };
    struct hba hba = {.rules = &rule, .n_rules = 1};
    struct attempt attempt;

    f->config.hba = &hba;
    f->config.auth_type = AUTH_TYPE_HBA;
    attempt_init(&attempt, f, "alice");
    attempt.who.is_tls = true;
    attempt.who.tls_name = tls_name;
    (void)attempt_begin(&attempt);
    assert_int_equal(attempt.status, status);
    if (message != NULL)
        attempt_expect_failure(&attempt, "28000", message);
    if (status != AUTH_FAILED)
        assert_string_equal(auth_method_name(&attempt.auth), auth_type_name(method));
    attempt_done(&attempt);
    f->config.hba = NULL;
}

static void
test_rules_choose_the_method(void **state)
{
    static const char wants[] = "connection requires a valid client certificate";
    struct fixture *const f = *state;

    fixture_add_user(f, alice, scram_secret);
    try_rule(f, HBA_HOST, AUTH_TYPE_TRUST, false, NULL, AUTH_ACCEPTED, NULL);
    try_rule(f, HBA_HOST, AUTH_TYPE_SCRAM_SHA_256, false, NULL, AUTH_CONTINUE, NULL);
    try_rule(f, HBA_HOST, AUTH_TYPE_PLAIN, false, NULL, AUTH_CONTINUE, NULL);
    try_rule(f, HBA_HOST, AUTH_TYPE_CERT, false, "alice", AUTH_ACCEPTED, NULL);
    try_rule(f, HBA_HOST, AUTH_TYPE_REJECT, false, NULL, AUTH_FAILED, "login rejected");
    try_rule(f, HBA_LOCAL, AUTH_TYPE_TRUST, false, NULL, AUTH_FAILED,
             "no authentication method is found");
    try_rule(f, HBA_HOST, AUTH_TYPE_TRUST, true, NULL, AUTH_FAILED, wants);
    try_rule(f, HBA_HOST, AUTH_TYPE_TRUST, true, "bob", AUTH_FAILED, wants);
    try_rule(f, HBA_HOST, AUTH_TYPE_TRUST, true, "alice", AUTH_ACCEPTED, NULL);
}

/* ---- the console ---- */

/* The user who owns the process needs no entry, but only by the right name and a unix socket. */
static void
try_owner(struct fixture *f, const char *user, bool is_unix, uid_t uid, bool for_console,
          enum auth_status status)
{
    struct attempt attempt;

    attempt_init(&attempt, f, user);
    attempt.who.peer_uid = uid;
    attempt.who.for_console = for_console;
    if (is_unix)
        attempt.who.address = NULL;
    assert_int_equal(attempt_begin(&attempt), status);
    attempt_done(&attempt);
}

static void
test_owner_comes_in_by_unix_socket(void **state)
{
    struct fixture *const f = *state;
    const uid_t self = geteuid();

    f->config.auth_type = AUTH_TYPE_TRUST;
    try_owner(f, "pgbouncer", true, self, true, AUTH_ACCEPTED);
    try_owner(f, "pgweir", true, self, true, AUTH_ACCEPTED);
    try_owner(f, "pgweir", false, self, true, AUTH_FAILED);
    try_owner(f, "pgweir", true, self + 1, true, AUTH_FAILED);
    try_owner(f, "pgweir", true, (uid_t)-1, true, AUTH_FAILED);
    try_owner(f, "mallory", true, self, true, AUTH_FAILED);
    try_owner(f, "pgweir", true, self, false, AUTH_FAILED);
}

static void
test_console_access(void **state)
{
    static char admins[] = "root, boss", watchers[] = "watch";
    const struct config config = {.admin_users = admins, .stats_users = watchers};
    const uid_t self = geteuid();

    (void)state;
    assert_int_equal(auth_console_access(&config, "boss", false, 0), CONSOLE_ACCESS_ADMIN);
    assert_int_equal(auth_console_access(&config, "root", true, self + 1), CONSOLE_ACCESS_ADMIN);
    assert_int_equal(auth_console_access(&config, "watch", false, 0), CONSOLE_ACCESS_STATS);
    assert_int_equal(auth_console_access(&config, "alice", false, 0), CONSOLE_ACCESS_NONE);
    assert_int_equal(auth_console_access(&config, "pgbouncer", true, self), CONSOLE_ACCESS_ADMIN);
    assert_int_equal(auth_console_access(&config, "pgweir", true, self), CONSOLE_ACCESS_ADMIN);
    assert_int_equal(auth_console_access(&config, "pgweir", false, self), CONSOLE_ACCESS_NONE);
    assert_int_equal(auth_console_access(&config, "pgweir", true, self + 1), CONSOLE_ACCESS_NONE);
    assert_int_equal(auth_console_access(&config, "pgweir", true, (uid_t)-1), CONSOLE_ACCESS_NONE);
    assert_int_equal(auth_console_access(&config, "", false, 0), CONSOLE_ACCESS_NONE);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_any_wants_a_forced_user),
        TEST(test_trust_believes_known_names),
        TEST(test_cert_wants_the_name),
        TEST(test_peer_asks_the_system),
        TEST(test_passwords_right_and_wrong),
        TEST(test_what_a_login_gives_for_the_server),
        TEST(test_broken_passwords),
        TEST(test_unexpected_messages),
        TEST(test_channel_binding),
        TEST(test_broken_sasl_messages),
        TEST(test_mechanism_alone),
        TEST(test_nobody_looks_like_somebody),
        TEST(test_nobody_takes_the_same_steps),
        TEST(test_nobody_is_asked_as_the_others_are),
        TEST(test_server_is_asked),
        TEST(test_server_says_null),
        TEST(test_unknown_to_the_server),
        TEST(test_file_comes_before_the_server),
        TEST(test_console_asks_in_auth_dbname),
        TEST(test_leaving_before_the_server_answers),
        TEST(test_rules_choose_the_method),
        TEST(test_owner_comes_in_by_unix_socket),
        TEST(test_console_access),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
