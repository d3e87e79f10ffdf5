/*
 * show_columns.c - SHOW COLUMNS: the tables that a SELECT can ask, which are the other SHOWs.
 */
#include <stdio.h>

#include "show.h"

struct column_row {
    const char *table; /* as queries call it */
    const char *name;
    const char *type;
    unsigned position;
};

static const struct show_column column_columns[] = {
    SHOW_COLUMN("table_name", TEXT, show_get_string, column_row, table),
    SHOW_COLUMN("column_name", TEXT, show_get_string, column_row, name),
    SHOW_COLUMN("data_type", TEXT, show_get_string, column_row, type),
    SHOW_COLUMN("ordinal_position", INT4, show_get_unsigned, column_row, position),
};

static int
table_rows(struct show_output *output, const struct show *show)
{
    CLEANUP(table_free) struct table *table = NULL;
    const int r = show_make_table(output->config, show, &table);

    for (size_t i = 0; r == 0 && i < table_column_count(table); i++)
        show_row(output, &(struct column_row){
                             .table = table_name(table),
                             .name = table_column_name(table, i),
                             .type = column_type_name(table_column_type(table, i)),
                             .position = (unsigned)i + 1,
                         });
    return r;
}

static void
column_rows(struct show_output *output)
{
    const struct show *show;

    for (size_t i = 0; (show = show_at(i)) != NULL && output->error == 0; i++) {
        const int r = table_rows(output, show);

        if (r < 0)
            output->error = r;
    }
}

const struct show show_columns = {
    .name = "COLUMNS",
    .columns = column_columns,
    .column_count = ARRAY_SIZE(column_columns),
    .rows = column_rows,
};
