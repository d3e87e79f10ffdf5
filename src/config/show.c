/*
 * A configuration row by row: SHOW CONFIG, and what differs between two.
 */
#include "config_int.h"

#include <errno.h>
#include <stdlib.h>

#include "buf.h"

int
config_show(const struct config *config, struct config_iterator *iterator,
            struct config_item *ret_item)
{
    CLEANUP(buf_done) struct buf text = BUF_INIT;
    const struct option *row = &option_table.rows[iterator->next];
    char *value;

    if (iterator->next >= option_table.count)
        return 0;
    if (option_format(row, config, &text) < 0)
        return -ENOMEM;
    value = buf_steal(&text);
    if (value == NULL)
        return -ENOMEM;
    free(iterator->text);
    iterator->text = value;
    iterator->next++;
    *ret_item = (struct config_item){
        .key = row->name,
        .value = value,
        .default_value = row->def != NULL ? row->def : "",
        .changeable = row->reload != RELOAD_RESTART,
    };
    return 1;
}

void
config_iterator_done(struct config_iterator *iterator)
{
    free(iterator->text);
    *iterator = (struct config_iterator)CONFIG_ITERATOR_INIT;
}

void
config_diff(const struct config *old, const struct config *new, config_diff_fn *fn, void *arg)
{
    for (const struct option *row = option_table.rows; row < option_table_end(&option_table); row++)
        if (!option_equal(row, old, new))
            fn(arg, row->name, row->reload);
}

static bool
new_servers_needed(const struct option_table *table, const void *old, const void *new)
{
    for (const struct option *row = table->rows; row < option_table_end(table); row++)
        if (row->reload == RELOAD_NEW && !option_equal(row, old, new))
            return true;
    return false;
}

bool
config_servers_changed(const struct config *old, const struct config *new)
{
    return new_servers_needed(&option_table, old, new);
}

bool
config_database_changed(const struct config_database *old, const struct config_database *new)
{
    return new_servers_needed(&database_table, old, new);
}
