/*
 * test_notice.c - the small messages of a server, whole, cut at every byte, and broken.
 */
#include "notice.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "macros.h"
#include "test_seed.h"

#define LITERAL(bytes) (bytes), sizeof(bytes) - 1

static void
test_notice_of_a_new_server(void **state)
{
    static const char body[] =
        "SFEHLER\0VERROR\0C22012\0MDivision durch Null\0Ddetail\0Hhint\0Fint.c\0L1\0Rint4div\0";
    struct notice notice;

    (void)state;
    assert_int_equal(notice_parse(body, sizeof(body), &notice), 0);
    assert_string_equal(notice.severity, "ERROR");
    assert_string_equal(notice.severity_local, "FEHLER");
    assert_string_equal(notice.sqlstate, "22012");
    assert_string_equal(notice.message, "Division durch Null");
    assert_string_equal(notice.detail, "detail");
    assert_string_equal(notice.hint, "hint");
    assert_false(notice_is_fatal(&notice));
}

static void
test_notice_with_little_in_it(void **state)
{
    struct notice notice;

    (void)state;
    assert_int_equal(notice_parse(LITERAL("SFATAL\0Mno\0\0"), &notice), 0);
    assert_string_equal(notice.severity, "FATAL");
    assert_string_equal(notice.sqlstate, "");
    assert_null(notice.detail);
    assert_null(notice.hint);
    assert_true(notice_is_fatal(&notice));
    assert_int_equal(notice_parse(LITERAL("\0"), &notice), 0);
    assert_string_equal(notice.severity, "");
    assert_string_equal(notice.message, "");
    assert_int_equal(notice_parse(LITERAL("VPANIC\0\377future\0\0"), &notice), 0);
    assert_true(notice_is_fatal(&notice));
}

static void
test_notice_cut_short_is_refused(void **state)
{
    static const char body[] = "SERROR\0VERROR\0C57014\0Mm\0";

    (void)state;
    for (size_t len = 0; len < sizeof(body); len++) {
        CLEANUP(free) char *copy = malloc(len + (len == 0));
        struct notice notice = {.message = "untouched"};

        assert_non_null(copy);
        memcpy(copy, body, len);
        assert_int_equal(notice_parse(copy, len, &notice), -EBADMSG);
        assert_string_equal(notice.message, "untouched");
    }
}

static void
test_notice_with_a_tail_is_refused(void **state)
{
    struct notice notice;

    (void)state;
    assert_int_equal(notice_parse(LITERAL("Mm\0\0x"), &notice), -EBADMSG);
    assert_int_equal(notice_parse(LITERAL("Mm\0\0\0"), &notice), -EBADMSG);
}

static void
test_random_bodies_stay_inside(void **state)
{
    static const char alphabet[] = "SVCMDH\0\0\0x\377";
    struct rng rng;

    (void)state;
    test_seed(&rng);
    for (int round = 0; round < 20000; round++) {
        const size_t len = rng_below(&rng, 24);
        CLEANUP(free) char *body = malloc(len + (len == 0));
        struct notice notice;
        const char *name, *value;
        size_t length = 0;

        assert_non_null(body);
        for (size_t i = 0; i < len; i++)
            body[i] = alphabet[rng_below(&rng, sizeof(alphabet) - 1)];
        if (notice_parse(body, len, &notice) == 0)
            assert_true(strlen(notice.severity) + strlen(notice.message) < len);
        if (parameter_status_parse(body, len, &name, &value) == 0)
            length = strlen(name) + strlen(value) + 2;
        assert_true(length == 0 || length == len);
        if (command_tag_parse(body, len, &name) == 0)
            assert_int_equal(strlen(name) + 1, len);
    }
}

static void
test_command_tag(void **state)
{
    const char *tag = "untouched";

    (void)state;
    assert_int_equal(command_tag_parse(LITERAL(""), &tag), -EBADMSG);
    assert_int_equal(command_tag_parse(LITERAL("SELECT"), &tag), -EBADMSG);
    assert_int_equal(command_tag_parse(LITERAL("SELECT\0x"), &tag), -EBADMSG);
    assert_string_equal(tag, "untouched");
    assert_int_equal(command_tag_parse(LITERAL("INSERT 0 1\0"), &tag), 0);
    assert_string_equal(tag, "INSERT 0 1");
}

static void
test_parameter_status(void **state)
{
    const char *name = "untouched", *value = "untouched";

    (void)state;
    assert_int_equal(parameter_status_parse(LITERAL(""), &name, &value), -EBADMSG);
    assert_int_equal(parameter_status_parse(LITERAL("a"), &name, &value), -EBADMSG);
    assert_int_equal(parameter_status_parse(LITERAL("a\0"), &name, &value), -EBADMSG);
    assert_int_equal(parameter_status_parse(LITERAL("a\0b"), &name, &value), -EBADMSG);
    assert_int_equal(parameter_status_parse(LITERAL("a\0b\0c\0"), &name, &value), -EBADMSG);
    assert_string_equal(name, "untouched");
    assert_string_equal(value, "untouched");
    assert_int_equal(parameter_status_parse(LITERAL("TimeZone\0\0"), &name, &value), 0);
    assert_string_equal(name, "TimeZone");
    assert_string_equal(value, "");
}

static void
test_backend_key(void **state)
{
    char body[4 + PG_CANCEL_KEY_MAX + 1] = "\0\1\2\3key!";
    uint32_t pid;
    const char *key;
    size_t key_len;

    (void)state;
    assert_int_equal(backend_key_parse(body, 7, &pid, &key, &key_len), -EBADMSG);
    assert_int_equal(backend_key_parse(body, sizeof(body), &pid, &key, &key_len), -EBADMSG);
    assert_int_equal(backend_key_parse(body, 8, &pid, &key, &key_len), 0);
    assert_int_equal(pid, 0x010203);
    assert_int_equal(key_len, 4);
    assert_memory_equal(key, "key!", 4);
    assert_int_equal(backend_key_parse(body, sizeof(body) - 1, &pid, &key, &key_len), 0);
    assert_int_equal(key_len, PG_CANCEL_KEY_MAX);
}

/* The status is found whole in the chunk, behind a cut header, and only if it is one. */
static void
test_ready_status(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        enum ready_status status;
    } cases[] = {
        {LITERAL("Z\0\0\0\5I"), READY_IDLE},
        {LITERAL("Z\0\0\0\5T"), READY_IN_TRANSACTION},
        {LITERAL("Z\0\0\0\5E"), READY_FAILED_TRANSACTION},
        {LITERAL("Z\0\0\0\5i"), READY_BROKEN},
        {LITERAL("Z\0\0\0\5\0"), READY_BROKEN},
        {LITERAL("Z\0\0\0\4"), READY_BROKEN},
        {LITERAL("Z\0\0\0\6II"), READY_BROKEN},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (size_t cut = 0; cut < PG_HEADER_SIZE; cut++) {
            const char *pos = cases[i].bytes;
            struct framer framer;
            struct frame frame;

            framer_init(&framer, FRAMER_NO_LIMIT);
            (void)framer_next(&framer, &pos, pos + cut, &frame);
            assert_int_equal(framer_next(&framer, &pos, cases[i].bytes + cases[i].len, &frame),
                             FRAME_WHOLE);
            assert_int_equal(ready_status(&frame), cases[i].status);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notice_of_a_new_server),
        cmocka_unit_test(test_notice_with_little_in_it),
        cmocka_unit_test(test_notice_cut_short_is_refused),
        cmocka_unit_test(test_notice_with_a_tail_is_refused),
        cmocka_unit_test(test_random_bodies_stay_inside),
        cmocka_unit_test(test_command_tag),
        cmocka_unit_test(test_parameter_status),
        cmocka_unit_test(test_backend_key),
        cmocka_unit_test(test_ready_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
