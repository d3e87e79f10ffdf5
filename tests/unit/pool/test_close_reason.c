/*
 * test_close_reason.c - what is wrong with the table of reasons, if anything is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "close_reason.h"

/* Who is told anything is told what to do, in a sentence. */
static void
test_every_error_says_what_to_do(void **state)
{
    unsigned told = 0;

    (void)state;
    for (unsigned i = 0; i < CLOSE_REASON_COUNT; i++) {
        const struct close_reason_row *const row = close_reason_row((enum close_reason)i);

        assert_true(*row->text != '\0');
        if (*row->sqlstate == '\0')
            continue;
        told++;
        assert_int_equal(strlen(row->sqlstate), 5);
        if (row->hint == NULL)
            fail_msg("%s has no hint", row->name);
        assert_non_null(strchr(".?", row->hint[strlen(row->hint) - 1]));
    }
    assert_true(told > 20);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_error_says_what_to_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
