/*
 * test_startup.c - first packets: good, bad, cut at every byte, and random.
 */
#include "startup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "macros.h"
#include "pg.h"
#include "test_seed.h"

#define LITERAL(bytes) (bytes), sizeof(bytes) - 1

/* A packet with this code and body; the length is right. */
static void
packet_make(struct buf *packet, uint32_t code, const char *body, size_t body_len)
{
    char header[8];

    buf_clear(packet);
    pg_put_uint32(header, (uint32_t)(8 + body_len));
    pg_put_uint32(header + 4, code);
    assert_int_equal(buf_append(packet, header, sizeof(header)), 0);
    assert_int_equal(buf_append(packet, body, body_len), 0);
}

/* Parses a copy that has the exact size, so that the sanitizer sees a step beyond it. */
static enum startup_kind
parse_kind(const char *data, size_t len, enum startup_error *ret_error)
{
    CLEANUP(free) char *copy = malloc(len + (len == 0));
    struct startup startup;
    enum startup_kind kind;

    assert_non_null(copy);
    memcpy(copy, data, len);
    kind = startup_parse(copy, len, &startup);
    *ret_error = startup.error;
    return kind;
}

/* The packet is of this kind once it is whole, and incomplete before. */
static void
check_kind(const struct buf *packet, enum startup_kind kind)
{
    enum startup_error error;

    for (size_t len = 0; len < packet->len; len++)
        assert_int_equal(parse_kind(packet->data, len, &error), STARTUP_INCOMPLETE);
    assert_int_equal(parse_kind(packet->data, packet->len, &error), kind);
}

static void
check_bad(const char *data, size_t len, enum startup_error expected)
{
    enum startup_error error;

    assert_int_equal(parse_kind(data, len, &error), STARTUP_BAD);
    assert_int_equal(error, expected);
}

static void
test_login(void **state)
{
    CLEANUP(buf_done) struct buf packet = BUF_INIT;
    struct startup startup;
    struct startup_param param;
    const char *pos;

    (void)state;
    packet_make(&packet, PG_PROTOCOL_3_0,
                LITERAL("user\0alice\0database\0shop\0application_name\0psql\0options\0-c a=b\0"
                        "replication\0true\0empty\0\0\0"));
    check_kind(&packet, STARTUP_LOGIN);
    assert_int_equal(buf_append_str(&packet, "more"), 0);
    assert_int_equal(startup_parse(packet.data, packet.len, &startup), STARTUP_LOGIN);
    assert_int_equal(startup.len, packet.len - 4);
    assert_int_equal(startup.major, 3);
    assert_int_equal(startup.minor, 0);
    assert_false(startup.negotiate);
    assert_string_equal(startup.user, "alice");
    assert_string_equal(startup.database, "shop");
    assert_string_equal(startup.application_name, "psql");
    assert_string_equal(startup.options, "-c a=b");
    assert_int_equal(startup.replication, REPLICATION_PHYSICAL);
    pos = startup.params;
    for (int i = 0; i < 6; i++)
        assert_true(startup_next_param(&pos, &param));
    assert_string_equal(param.name, "empty");
    assert_string_equal(param.value, "");
    assert_false(startup_next_param(&pos, &param));
}

static void
test_login_with_the_user_only(void **state)
{
    CLEANUP(buf_done) struct buf packet = BUF_INIT;
    struct startup startup;

    (void)state;
    packet_make(&packet, PG_PROTOCOL_3_0, LITERAL("user\0bob\0\0"));
    assert_int_equal(startup_parse(packet.data, packet.len, &startup), STARTUP_LOGIN);
    assert_string_equal(startup.database, "bob");
    assert_null(startup.application_name);
    assert_null(startup.options);
    assert_int_equal(startup.replication, REPLICATION_NONE);
    packet_make(&packet, PG_PROTOCOL_3_0, LITERAL("user\0bob\0database\0\0\0"));
    assert_int_equal(startup_parse(packet.data, packet.len, &startup), STARTUP_LOGIN);
    assert_string_equal(startup.database, "bob");
}

/* As PostgreSQL reads it. */
static void
test_replication(void **state)
{
    static const struct {
        const char *value;
        enum replication_kind replication;
    } good[] = {
        {"true", REPLICATION_PHYSICAL}, {"T", REPLICATION_PHYSICAL},
        {"on", REPLICATION_PHYSICAL},   {"1", REPLICATION_PHYSICAL},
        {"y", REPLICATION_PHYSICAL},    {"database", REPLICATION_LOGICAL},
        {"false", REPLICATION_NONE},    {"OFF", REPLICATION_NONE},
        {"of", REPLICATION_NONE},       {"n", REPLICATION_NONE},
        {"0", REPLICATION_NONE},
    };
    static const char *const bad[] = {"", "o", "Database", "database ", "truely", "2", "10"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good) + ARRAY_SIZE(bad); i++) {
        const char *const value = i < ARRAY_SIZE(good) ? good[i].value : bad[i - ARRAY_SIZE(good)];
        CLEANUP(buf_done) struct buf params = BUF_INIT;
        CLEANUP(buf_done) struct buf packet = BUF_INIT;
        struct startup startup;

        assert_int_equal(buf_append(&params, LITERAL("user\0bob\0replication\0")), 0);
        assert_int_equal(buf_append(&params, value, strlen(value) + 1), 0);
        assert_int_equal(buf_append_char(&params, '\0'), 0);
        packet_make(&packet, PG_PROTOCOL_3_0, params.data, params.len);
        if (i >= ARRAY_SIZE(good)) {
            check_bad(packet.data, packet.len, STARTUP_ERROR_REPLICATION);
            continue;
        }
        assert_int_equal(startup_parse(packet.data, packet.len, &startup), STARTUP_LOGIN);
        assert_int_equal(startup.replication, good[i].replication);
    }
}

static void
test_login_that_asks_for_more_than_3_0(void **state)
{
    CLEANUP(buf_done) struct buf packet = BUF_INIT;
    struct startup startup;

    (void)state;
    for (unsigned minor = 0; minor < 5; minor++) {
        packet_make(&packet, PG_PROTOCOL(3, minor), LITERAL("user\0bob\0\0"));
        assert_int_equal(startup_parse(packet.data, packet.len, &startup), STARTUP_LOGIN);
        assert_int_equal(startup.minor, MIN(minor, 2));
        assert_int_equal(startup.negotiate, minor > 2);
    }
    packet_make(&packet, PG_PROTOCOL(3, 9999), LITERAL("user\0bob\0\0"));
    assert_int_equal(startup_parse(packet.data, packet.len, &startup), STARTUP_LOGIN);
    assert_int_equal(startup.minor, 2);
    assert_true(startup.negotiate);
    packet_make(&packet, PG_PROTOCOL_3_0, LITERAL("user\0bob\0_pq_.cursor\0on\0\0"));
    assert_int_equal(startup_parse(packet.data, packet.len, &startup), STARTUP_LOGIN);
    assert_true(startup.negotiate);
    assert_true(startup_param_is_protocol("_pq_.cursor"));
    assert_false(startup_param_is_protocol("_pq_cursor"));
}

static void
test_requests_for_encryption(void **state)
{
    CLEANUP(buf_done) struct buf packet = BUF_INIT;

    (void)state;
    packet_make(&packet, PG_SSL_REQUEST, "", 0);
    check_kind(&packet, STARTUP_SSL);
    packet_make(&packet, PG_GSSENC_REQUEST, "", 0);
    check_kind(&packet, STARTUP_GSSENC);
    packet_make(&packet, PG_SSL_REQUEST, "x", 1);
    check_bad(packet.data, packet.len, STARTUP_ERROR_LENGTH);
}

/* What comes behind the request is not part of it; the caller refuses it if there is any. */
static void
test_bytes_behind_a_request_are_seen(void **state)
{
    struct startup startup;

    (void)state;
    assert_int_equal(startup_parse(LITERAL("\0\0\0\10\4\322\26\57more"), &startup), STARTUP_SSL);
    assert_int_equal(startup.len, 8);
}

static void
test_handshake_without_a_request(void **state)
{
    struct startup startup;

    (void)state;
    assert_int_equal(startup_parse(LITERAL("\26"), &startup), STARTUP_DIRECT_TLS);
    assert_int_equal(startup.len, 0);
    assert_int_equal(startup_parse(LITERAL("\26\3\1\2\0\1"), &startup), STARTUP_DIRECT_TLS);
}

static void
test_cancel(void **state)
{
    CLEANUP(buf_done) struct buf packet = BUF_INIT;
    char body[4 + PG_CANCEL_KEY_MAX + 1] = "\0\0\1\2";
    struct startup startup;

    (void)state;
    packet_make(&packet, PG_CANCEL_REQUEST, LITERAL("\0\0\1\2key!"));
    check_kind(&packet, STARTUP_CANCEL);
    assert_int_equal(startup_parse(packet.data, packet.len, &startup), STARTUP_CANCEL);
    assert_int_equal(startup.key_len, 8);
    assert_memory_equal(startup.key, "\0\0\1\2key!", 8);

    packet_make(&packet, PG_CANCEL_REQUEST, body, sizeof(body) - 1);
    assert_int_equal(startup_parse(packet.data, packet.len, &startup), STARTUP_CANCEL);
    assert_int_equal(startup.key_len, PG_CANCEL_PID_SIZE + PG_CANCEL_KEY_MAX);

    packet_make(&packet, PG_CANCEL_REQUEST, body, sizeof(body));
    check_bad(packet.data, packet.len, STARTUP_ERROR_LENGTH);
    packet_make(&packet, PG_CANCEL_REQUEST, body, 7);
    check_bad(packet.data, packet.len, STARTUP_ERROR_LENGTH);
    packet_make(&packet, PG_CANCEL_REQUEST, body, 0);
    check_bad(packet.data, packet.len, STARTUP_ERROR_LENGTH);
}

/* A bad length is told at once, without waiting for the bytes. */
static void
test_lengths(void **state)
{
    static char longest[STARTUP_PACKET_MAX + 1];
    enum startup_error error;

    (void)state;
    check_bad(LITERAL("\0\0\0\0"), STARTUP_ERROR_LENGTH);
    check_bad(LITERAL("\0\0\0\7"), STARTUP_ERROR_LENGTH);
    check_bad(LITERAL("\377\377\377\377"), STARTUP_ERROR_LENGTH);
    check_bad(LITERAL("GET / HTTP/1.1\r\n"), STARTUP_ERROR_LENGTH);
    check_bad(LITERAL("pass"), STARTUP_ERROR_PASSWORD_FIRST);

    memset(longest, 'x', sizeof(longest));
    pg_put_uint32(longest, STARTUP_PACKET_MAX);
    pg_put_uint32(longest + 4, PG_PROTOCOL_3_0);
    memcpy(longest + 8, "user\0bob\0", 9);
    memcpy(longest + STARTUP_PACKET_MAX - 4, "\0v\0", 4);
    assert_int_equal(parse_kind(longest, STARTUP_PACKET_MAX - 1, &error), STARTUP_INCOMPLETE);
    assert_int_equal(parse_kind(longest, STARTUP_PACKET_MAX, &error), STARTUP_LOGIN);
    pg_put_uint32(longest, STARTUP_PACKET_MAX + 1);
    check_bad(longest, sizeof(longest), STARTUP_ERROR_LENGTH);
}

static void
test_versions(void **state)
{
    CLEANUP(buf_done) struct buf packet = BUF_INIT;

    (void)state;
    packet_make(&packet, PG_PROTOCOL(2, 0), LITERAL("user\0bob\0\0"));
    check_bad(packet.data, packet.len, STARTUP_ERROR_V2);
    packet_make(&packet, PG_PROTOCOL(4, 0), LITERAL("user\0bob\0\0"));
    check_bad(packet.data, packet.len, STARTUP_ERROR_VERSION);
    packet_make(&packet, PG_PROTOCOL(1, 0), LITERAL("user\0bob\0\0"));
    check_bad(packet.data, packet.len, STARTUP_ERROR_VERSION);
    packet_make(&packet, PG_PROTOCOL(1234, 5681), "", 0);
    check_bad(packet.data, packet.len, STARTUP_ERROR_VERSION);
}

static void
test_layouts(void **state)
{
    static const struct {
        const char *body;
        size_t len;
    } cases[] = {
        {LITERAL("")},
        {LITERAL("user")},
        {LITERAL("user\0")},
        {LITERAL("user\0bob")},
        {LITERAL("user\0bob\0")},
        {LITERAL("user\0bob\0\0x")},
        {LITERAL("user\0bob\0\0\0")},
        {LITERAL("user\0bob\0\0x\0")},
        {LITERAL("user\0bob\0name\0")},
    };
    CLEANUP(buf_done) struct buf packet = BUF_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        packet_make(&packet, PG_PROTOCOL_3_0, cases[i].body, cases[i].len);
        check_bad(packet.data, packet.len, STARTUP_ERROR_LAYOUT);
    }
}

/* A login with names of these lengths. */
static void
packet_make_login(struct buf *packet, size_t user_len, size_t database_len)
{
    CLEANUP(buf_done) struct buf body = BUF_INIT;
    char name[200];

    memset(name, 'n', sizeof(name));
    assert_int_equal(buf_append(&body, "user", 5), 0);
    assert_int_equal(buf_append(&body, name, user_len), 0);
    assert_int_equal(buf_append(&body, "\0database", 10), 0);
    assert_int_equal(buf_append(&body, name, database_len), 0);
    assert_int_equal(buf_append(&body, "\0", 2), 0);
    packet_make(packet, PG_PROTOCOL_3_0, body.data, body.len);
}

static void
test_names(void **state)
{
    CLEANUP(buf_done) struct buf packet = BUF_INIT;
    enum startup_error error;

    (void)state;
    packet_make(&packet, PG_PROTOCOL_3_0, LITERAL("\0"));
    check_bad(packet.data, packet.len, STARTUP_ERROR_NO_USER);
    packet_make(&packet, PG_PROTOCOL_3_0, LITERAL("database\0shop\0\0"));
    check_bad(packet.data, packet.len, STARTUP_ERROR_NO_USER);
    packet_make_login(&packet, 0, 1);
    check_bad(packet.data, packet.len, STARTUP_ERROR_NO_USER);
    packet_make_login(&packet, STARTUP_USER_MAX, STARTUP_DB_MAX);
    assert_int_equal(parse_kind(packet.data, packet.len, &error), STARTUP_LOGIN);
    packet_make_login(&packet, STARTUP_USER_MAX + 1, STARTUP_DB_MAX);
    check_bad(packet.data, packet.len, STARTUP_ERROR_USER_TOO_LONG);
    packet_make_login(&packet, STARTUP_USER_MAX, STARTUP_DB_MAX + 1);
    check_bad(packet.data, packet.len, STARTUP_ERROR_DB_TOO_LONG);
    packet_make_login(&packet, STARTUP_DB_MAX + 1, 0);
    check_bad(packet.data, packet.len, STARTUP_ERROR_DB_TOO_LONG);
}

/* A packet of random bytes that look like what the parser looks for. */
static void
packet_make_random(struct buf *packet, struct rng *rng)
{
    static const char *const words[] = {"user", "database", "_pq_.x", "options", "a", ""};
    static const uint32_t codes[] = {PG_PROTOCOL_3_0, PG_CANCEL_REQUEST, PG_SSL_REQUEST};
    CLEANUP(buf_done) struct buf body = BUF_INIT;

    for (size_t i = rng_below(rng, 8); i > 0; i--) {
        const char *word = words[rng_below(rng, ARRAY_SIZE(words))];

        assert_int_equal(buf_append(&body, word, strlen(word) + rng_below(rng, 2)), 0);
    }
    packet_make(packet, codes[rng_below(rng, ARRAY_SIZE(codes))], buf_str(&body), body.len);
    if (rng_below(rng, 4) == 0)
        packet->data[rng_below(rng, packet->len)] = (char)rng_below(rng, 256);
}

static void
test_random_packets_stay_inside(void **state)
{
    struct rng rng;

    (void)state;
    test_seed(&rng);
    for (int round = 0; round < 20000; round++) {
        CLEANUP(buf_done) struct buf packet = BUF_INIT;
        CLEANUP(free) char *copy = NULL;
        struct startup startup;
        struct startup_param param;
        size_t used = 9;

        packet_make_random(&packet, &rng);
        copy = malloc(packet.len);
        assert_non_null(copy);
        memcpy(copy, packet.data, packet.len);
        if (startup_parse(copy, packet.len, &startup) != STARTUP_LOGIN)
            continue;
        for (const char *pos = startup.params; startup_next_param(&pos, &param);)
            used += strlen(param.name) + strlen(param.value) + 2;
        assert_int_equal(used, startup.len);
    }
}

/* Settings as "name=value;" in the order they came. */
static bool
collect(void *arg, const char *name, const char *value)
{
    return buf_printf(arg, "%s=%s;", name, value) == 0;
}

static void
test_options(void **state)
{
    static const struct {
        const char *options;
        const char *settings;
    } cases[] = {
        {"", ""},
        {"  ", ""},
        {"-c a=b", "a=b;"},
        {"-ca=b", "a=b;"},
        {"--a=b", "a=b;"},
        {" -c  a=b \t-cc=d\n--e=f ", "a=b;c=d;e=f;"},
        {"-c a=", "a=;"},
        {"-c a=b=c", "a=b=c;"},
        {"-c DateStyle=ISO,\\ MDY", "DateStyle=ISO, MDY;"},
        {"-c a=\\\\x\\y", "a=\\xy;"},
        {"-c a=b\\", "a=b;"},
        {"--statement-timeout=5-6", "statement_timeout=5-6;"},
        {"-c a\\ b=c", "a b=c;"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(buf_done) struct buf settings = BUF_INIT;

        assert_int_equal(startup_options(cases[i].options, collect, &settings), STARTUP_ERROR_NONE);
        assert_string_equal(buf_str(&settings), cases[i].settings);
    }
}

static void
test_options_of_another_shape(void **state)
{
    static const char *const cases[] = {
        "x", "a=b", "-c", "-c a", "-c =b", "--", "--a", "-d a=b", "-c a=b x", "-", "\\", "-c \\",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(buf_done) struct buf settings = BUF_INIT;

        assert_int_equal(startup_options(cases[i], collect, &settings),
                         STARTUP_ERROR_OPTIONS_SHAPE);
    }
}

static void
test_options_that_are_too_long(void **state)
{
    char options[3 + STARTUP_OPTION_MAX + 2] = "-c a=";
    CLEANUP(buf_done) struct buf settings = BUF_INIT;

    (void)state;
    memset(options + 5, 'v', sizeof(options) - 5);
    options[3 + STARTUP_OPTION_MAX] = '\0';
    assert_int_equal(startup_options(options, collect, &settings), STARTUP_ERROR_NONE);
    assert_int_equal(settings.len, STARTUP_OPTION_MAX + 1);
    options[3 + STARTUP_OPTION_MAX] = 'v';
    options[3 + STARTUP_OPTION_MAX + 1] = '\0';
    assert_int_equal(startup_options(options, collect, &settings), STARTUP_ERROR_OPTIONS_TOO_LONG);
}

static bool
refuse_b(void *arg, const char *name, const char *value)
{
    (void)value;
    ++*(int *)arg;
    return strcmp(name, "b") != 0;
}

static void
test_options_that_the_caller_refuses(void **state)
{
    int calls = 0;

    (void)state;
    assert_int_equal(startup_options("-c a=1 -c b=2 -c c=3", refuse_b, &calls),
                     STARTUP_ERROR_OPTIONS_REFUSED);
    assert_int_equal(calls, 2);
}

static void
test_every_error_has_a_text(void **state)
{
    (void)state;
    assert_string_equal(startup_error_text(STARTUP_ERROR_V2), "old V2 protocol not supported");
    for (int error = STARTUP_ERROR_LENGTH; error <= STARTUP_ERROR_OPTIONS_REFUSED; error++) {
        assert_true(strlen(startup_error_text((enum startup_error)error)) > 0);
        assert_int_equal(strlen(startup_error_sqlstate((enum startup_error)error)), 5);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_login_with_the_user_only),
        cmocka_unit_test(test_replication),
        cmocka_unit_test(test_login_that_asks_for_more_than_3_0),
        cmocka_unit_test(test_requests_for_encryption),
        cmocka_unit_test(test_bytes_behind_a_request_are_seen),
        cmocka_unit_test(test_handshake_without_a_request),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_random_packets_stay_inside),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_options_of_another_shape),
        cmocka_unit_test(test_options_that_are_too_long),
        cmocka_unit_test(test_options_that_the_caller_refuses),
        cmocka_unit_test(test_every_error_has_a_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
