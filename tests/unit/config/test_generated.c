/*
 * The option table itself, and the files that are made from it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "config_int.h"
#include "fixture.h"
#include "str.h"

static void
expect_same(const char *path, void (*write)(FILE *file))
{
    CLEANUP(buf_done) struct buf checked_in = BUF_INIT;
    CLEANUP(free) char *made = NULL;
    size_t size;
    FILE *file = open_memstream(&made, &size);

    assert_non_null(file);
    write(file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(file_read(path, &checked_in), 0);
    if (!str_eq(made, buf_str(&checked_in)))
        fail_msg("%s is not what the option table says; build the target config-gen", path);
}

static void
test_sample_is_up_to_date(void **state)
{
    (void)state;
    expect_same(SOURCE_DIR "/conf/pgweir.conf", config_write_sample);
}

static void
test_manual_is_up_to_date(void **state)
{
    (void)state;
    expect_same(SOURCE_DIR "/docs/pgweir.5", config_write_manual);
}

/* The sample can be used as it is, and says what is the default anyway. */
static void
test_sample_loads(void **state)
{
    struct fixture *f = *state;
    CLEANUP(config_unref) struct config *defaults = config_new();

    assert_int_equal(fixture_load_file(f, SOURCE_DIR "/conf/pgweir.conf"), 0);
    assert_non_null(defaults);
    for (size_t i = 0; i < option_table.count; i++) {
        const struct option *row = &option_table.rows[i];

        if (!str_eq(row->name, "conffile"))
            assert_true(option_equal(row, f->config, defaults));
    }
}

static void
check_rows(const struct option_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option *row = &table->rows[i];

        if (row->size != option_field_size(row->type))
            fail_msg("%s: its field is of another type", row->name);
        assert_true(row->help != NULL && row->help[strlen(row->help) - 1] == '.');
        assert_true(row->type != OPT_ENUM || row->words != NULL);
        assert_true(!row->keyed || (row->type == OPT_LIST && row->words != NULL));
        for (size_t j = 0; j < i; j++)
            assert_true(row->field != table->rows[j].field);
    }
}

static void
test_rows(void **state)
{
    (void)state;
    check_rows(&option_table);
    check_rows(&database_table);
    check_rows(&user_table);
    check_rows(&peer_table);
    for (size_t i = 0; i < option_table.count; i++)
        assert_non_null(option_table.rows[i].def);
}

static void
check_order(const struct option_table *table)
{
    for (size_t i = 1; i < table->count; i++) {
        const char *before = table->rows[i - 1].name, *name = table->rows[i].name;

        if (strcmp(before, name) >= 0 && !str_eq(before, "pool_mode"))
            fail_msg("%s stands before %s", before, name);
    }
}

static void
test_rows_are_in_order(void **state)
{
    (void)state;
    check_order(&option_table);
    check_order(&database_table);
    check_order(&user_table);
    check_order(&peer_table);
    assert_string_equal(option_find(&option_table, "pool_mode")[1].name, "pool_idle_timeout");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_is_up_to_date),
        cmocka_unit_test(test_manual_is_up_to_date),
        fixture_test(test_sample_loads),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_rows_are_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
