/*
 * The sample file: every key with its default and its meaning, as comments.
 */
#include "config_int.h"

#include <string.h>

#include "buf.h"

#define WIDTH 92

/* Text as comment lines of at most WIDTH characters. */
static void
write_comment(FILE *file, const char *text)
{
    while (*text != '\0') {
        size_t len = strlen(text);

        if (len > WIDTH)
            for (len = WIDTH; text[len] != ' '; len--)
                ;
        (void)fprintf(file, ";; %.*s\n", (int)len, text);
        text += len;
        text += strspn(text, " ");
    }
}

static void
write_key(FILE *file, const struct option *row)
{
    const char *value = row->example != NULL ? row->example : row->def;

    write_comment(file, row->help);
    if (row->no_effect)
        write_comment(file, "Without effect in pgweir.");
    else if (row->reload == RELOAD_RESTART)
        write_comment(file, "A change needs a restart.");
    (void)fprintf(file, ";%s =%s%s\n", row->name, *value != '\0' ? " " : "", value);
}

static void
write_group(FILE *file, enum option_group group)
{
    (void)fprintf(file, "\n;;;; %s\n", option_group_titles[group]);
    for (const struct option *row = option_table.rows; row < option_table_end(&option_table);
         row++) {
        if (row->group != group)
            continue;
        (void)fputc('\n', file);
        write_key(file, row);
    }
}

/* The names alone; what they mean is in the manual. */
static void
write_entry_keys(FILE *file, const struct option_table *table)
{
    CLEANUP(buf_done) struct buf names = BUF_INIT;

    for (const struct option *row = table->rows; row < option_table_end(table); row++)
        (void)buf_printf(&names, "%s%s", row == table->rows ? "" : " ", row->name);
    write_comment(file, buf_str(&names));
}

static void
write_intro(FILE *file)
{
    write_comment(file,
                  "The configuration of pgweir, a connection pooler for PostgreSQL. Every key "
                  "is here, with its default or an example behind a \";\".");
    write_comment(file,
                  "Times are in seconds, or have a unit: 500ms, 30s, 5min, 2h, 1d. Sizes are "
                  "in bytes, or have one: 64kB, 1MB. A comment takes a line of its own. "
                  "\"pgweir --check FILE\" tells what is wrong with a file; SIGHUP, or RELOAD on "
                  "the console, reads it anew.");
}

static void
write_databases(FILE *file)
{
    (void)fputs("\n[databases]\n\n", file);
    write_comment(file,
                  "The databases that clients can ask for: name = key=value ... with these "
                  "keys, which pgweir(5) explains. The name * stands for all that are not listed.");
    write_entry_keys(file, &database_table);
    (void)fputs("\n;shop = host=10.0.0.7 port=5432 dbname=shop pool_size=30\n"
                ";reports = host=10.0.0.8,10.0.0.9 user=report pool_mode=session\n"
                ";* = host=10.0.0.7\n",
                file);
}

static void
write_users(FILE *file)
{
    (void)fputs("\n[users]\n\n", file);
    write_comment(file, "What is special about a user: name = key=value ... with these keys.");
    write_entry_keys(file, &user_table);
    (void)fputs("\n;batch = pool_mode=session max_user_connections=5\n", file);
}

static void
write_peers(FILE *file)
{
    (void)fputs("\n[peers]\n\n", file);
    write_comment(file, "Other processes that clients reach by the same address: peer_id = "
                        "key=value ... with these keys. This process may be among them.");
    write_entry_keys(file, &peer_table);
    (void)fputs("\n;2 = host=10.0.0.2\n", file);
}

void
config_write_sample(FILE *file)
{
    write_intro(file);
    write_databases(file);
    write_users(file);
    write_peers(file);
    (void)fputs("\n[pgbouncer]\n", file);
    for (int group = 0; group < GROUP_COUNT; group++)
        write_group(file, (enum option_group)group);
}
