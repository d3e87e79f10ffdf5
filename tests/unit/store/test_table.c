/* Rows of values: what goes in comes out, types follow values, and there is an end to memory. */

#include "table.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fake_memory.h"
#include "macros.h"

static struct table *
make(size_t count, size_t max)
{
    struct table *table = NULL;

    assert_int_equal(table_new("t", count, max, &table), 0);
    return table;
}

static void
test_texts_become_what_their_column_is(void **state)
{
    static const struct {
        enum column_type type;
        const char *text;
        enum value_kind kind;
        const char *back;
    } cells[] = {
        {COLUMN_TEXT, "7", VALUE_TEXT, "7"},
        {COLUMN_TEXT, NULL, VALUE_NULL, NULL},
        {COLUMN_INT4, "-7", VALUE_INTEGER, "-7"},
        {COLUMN_INT4, "seven", VALUE_TEXT, "seven"},
        {COLUMN_INT4, "", VALUE_TEXT, ""},
        {COLUMN_INT8, "9223372036854775807", VALUE_INTEGER, "9223372036854775807"},
        {COLUMN_INT8, "9223372036854775808", VALUE_TEXT, "9223372036854775808"},
        {COLUMN_NUMERIC, "12", VALUE_INTEGER, "12"},
        {COLUMN_NUMERIC, "1.5", VALUE_REAL, "1.5"},
        {COLUMN_FLOAT8, "3", VALUE_REAL, "3"},
        {COLUMN_FLOAT8, "0.1", VALUE_REAL, "0.1"},
        {COLUMN_FLOAT8, "0.30000000000000004", VALUE_REAL, "0.30000000000000004"},
        {COLUMN_FLOAT8, "x", VALUE_TEXT, "x"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cells); i++) {
        CLEANUP(table_free) struct table *table = make(1, 0);
        char text[VALUE_TEXT_MAX];
        struct value value;

        assert_int_equal(table_set_column(table, 0, "c", cells[i].type), 0);
        assert_int_equal(table_add_texts(table, &cells[i].text), 0);
        value = table_get(table, 0, 0);
        assert_int_equal(value.kind, cells[i].kind);
        if (cells[i].back == NULL)
            assert_null(value_text(&value, text));
        else
            assert_string_equal(value_text(&value, text), cells[i].back);
    }
}

static void
test_bytes_become_a_text(void **state)
{
    CLEANUP(table_free) struct table *table = make(1, 0);
    const struct value bytes = {.kind = VALUE_BYTES, .text = "\0\377a", .len = 3};
    struct value value;

    (void)state;
    assert_int_equal(table_add(table, &bytes), 0);
    value = table_get(table, 0, 0);
    assert_int_equal(value.kind, VALUE_TEXT);
    assert_string_equal(value.text, "\\x00ff61");
    assert_int_equal(value.len, 8);
}

static void
test_infinity(void **state)
{
    const struct value value = {.kind = VALUE_REAL, .real = -INFINITY};
    char text[VALUE_TEXT_MAX];

    (void)state;
    assert_string_equal(value_text(&value, text), "-Infinity");
}

static void
test_types_follow_values(void **state)
{
    static const struct value null = {.kind = VALUE_NULL}, text = {.kind = VALUE_TEXT},
                              one = {.kind = VALUE_INTEGER, .integer = 1},
                              many = {.kind = VALUE_INTEGER, .integer = INT64_C(1) << 31},
                              real = {.kind = VALUE_REAL, .real = 1};
    static const struct {
        enum column_type before;
        const struct value *value;
        enum column_type after;
    } steps[] = {
        {COLUMN_UNKNOWN, &null, COLUMN_UNKNOWN}, {COLUMN_UNKNOWN, &one, COLUMN_INT8},
        {COLUMN_UNKNOWN, &real, COLUMN_FLOAT8},  {COLUMN_UNKNOWN, &text, COLUMN_TEXT},
        {COLUMN_INT4, &one, COLUMN_INT4},        {COLUMN_INT4, &many, COLUMN_INT8},
        {COLUMN_INT4, &real, COLUMN_FLOAT8},     {COLUMN_NUMERIC, &many, COLUMN_NUMERIC},
        {COLUMN_FLOAT8, &one, COLUMN_FLOAT8},    {COLUMN_INT8, &text, COLUMN_TEXT},
        {COLUMN_TEXT, &one, COLUMN_TEXT},        {COLUMN_TEXT, &real, COLUMN_TEXT},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        assert_int_equal(column_type_widen(steps[i].before, steps[i].value), steps[i].after);
    assert_true(column_type_holds(COLUMN_TEXT, COLUMN_INT8));
    assert_true(column_type_holds(COLUMN_FLOAT8, COLUMN_INT8));
    assert_true(column_type_holds(COLUMN_INT4, COLUMN_UNKNOWN));
    assert_false(column_type_holds(COLUMN_INT4, COLUMN_INT8));
    assert_false(column_type_holds(COLUMN_INT8, COLUMN_TEXT));
}

static void
test_names_of_types(void **state)
{
    (void)state;
    for (enum column_type type = COLUMN_TEXT; type <= COLUMN_FLOAT8; type++)
        assert_int_equal(column_type_find(column_type_name(type)), type);
    assert_int_equal(column_type_find(NULL), COLUMN_UNKNOWN);
    assert_int_equal(column_type_find("point"), COLUMN_UNKNOWN);
}

/* A row that is too much is not there, and what was there still is. */
static void
test_bounded(void **state)
{
    CLEANUP(table_free) struct table *table = make(2, 1000);
    const char *const texts[] = {"left", "right"};
    size_t rows = 0;

    (void)state;
    while (table_add_texts(table, texts) == 0)
        rows++;
    assert_int_equal(table_add_texts(table, texts), -EFBIG);
    assert_int_equal(table_row_count(table), rows);
    assert_in_range(rows, 10, 30);
    assert_string_equal(table_get(table, rows - 1, 1).text, "right");
    table_clear(table);
    assert_int_equal(table_row_count(table), 0);
    assert_int_equal(table_add_texts(table, texts), 0);
}

static int
make_and_fill(void)
{
    CLEANUP(table_free) struct table *table = NULL;
    const char *const texts[] = {"left", "right"};
    int r = table_new("t", 2, 0, &table);

    for (size_t i = 0; i < 2 && r == 0; i++)
        r = table_set_column(table, i, "c", COLUMN_TEXT);
    for (int i = 0; i < 100 && r == 0; i++) {
        r = table_add_texts(table, texts);
        assert_int_equal(table_row_count(table), r == 0 ? i + 1 : i);
    }
    return r;
}

static void
test_memory_ends(void **state)
{
    int r;

    (void)state;
    for (long allocations = 0;; allocations++) {
        fake_memory_limit(allocations);
        r = make_and_fill();
        if (fake_memory_unlimit() > 0)
            break;
        assert_true(r == 0 || r == -ENOMEM);
    }
    assert_int_equal(r, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_become_what_their_column_is),
        cmocka_unit_test(test_bytes_become_a_text),
        cmocka_unit_test(test_infinity),
        cmocka_unit_test(test_types_follow_values),
        cmocka_unit_test(test_names_of_types),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_memory_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
