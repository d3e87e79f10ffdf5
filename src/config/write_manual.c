/*
 * The manual page, pgweir(5), in mdoc.
 */
#include "config_int.h"

#include <string.h>

/*
 * Text of the table for roff: backslashes escaped, and no line that begins like a request. Each
 * sentence starts a line, as mdoc wants it.
 */
static void
write_text(FILE *file, const char *text)
{
    for (bool starts_line = true; *text != '\0'; text++) {
        if (starts_line && (*text == '.' || *text == '\''))
            (void)fputs("\\&", file);
        starts_line = text[0] == ' ' && text[-1] == '.';
        if (*text == '\\')
            (void)fputs("\\e", file);
        else
            (void)fputc(starts_line ? '\n' : *text, file);
    }
    (void)fputc('\n', file);
}

static const char *
type_name(const struct option *row)
{
    static const char *const names[] = {
        [OPT_STRING] = "string", [OPT_LIST] = "list",           [OPT_BOOL] = "boolean",
        [OPT_INT] = "number",    [OPT_AUTO] = "number or auto", [OPT_SIZE] = "size",
        [OPT_DURATION] = "time", [OPT_MODE] = "file mode",      [OPT_ENUM] = "word",
    };

    return names[row->type];
}

/* "time, default 120, changes need a restart" */
static void
write_properties(FILE *file, const struct option *row)
{
    (void)fprintf(file, "(%s", type_name(row));
    if (row->def != NULL)
        (void)fprintf(file, ", default %s", *row->def != '\0' ? row->def : "empty");
    if (row->alias != NULL)
        (void)fprintf(file, ", also called %s", row->alias);
    if (row->no_effect)
        (void)fputs(", accepted without effect", file);
    else if (row->reload == RELOAD_RESTART)
        (void)fputs(", a change needs a restart", file);
    else if (row->reload == RELOAD_NEW)
        (void)fputs(", a change replaces the server connections", file);
    (void)fputs(")\n", file);
}

static void
write_key(FILE *file, const struct option *row)
{
    (void)fprintf(file, ".It Ic %s\n", row->name);
    write_properties(file, row);
    (void)fputs(".br\n", file);
    write_text(file, row->help);
}

static void
write_group(FILE *file, enum option_group group)
{
    (void)fprintf(file, ".Ss %s\n.Bl -tag -width Ds\n", option_group_titles[group]);
    for (const struct option *row = option_table.rows; row < option_table_end(&option_table); row++)
        if (row->group == group)
            write_key(file, row);
    (void)fputs(".El\n", file);
}

static void
write_entry_keys(FILE *file, const struct option_table *table)
{
    (void)fputs(".Bl -tag -width Ds\n", file);
    for (const struct option *row = table->rows; row < option_table_end(table); row++)
        write_key(file, row);
    (void)fputs(".El\n", file);
}

static const char head[] =
    ".\\\" Made from the option table by config-gen; do not edit.\n"
    ".Dd November 21, 2026\n"
    ".Dt PGWEIR 5\n"
    ".Os\n"
    ".Sh NAME\n"
    ".Nm pgweir.conf\n"
    ".Nd configuration of the connection pooler pgweir\n"
    ".Sh DESCRIPTION\n"
    "The file has PgBouncer's grammar and keys.\n"
    "It is read at the start and on a reload (SIGHUP, or RELOAD on the console).\n"
    "A file with an error changes nothing; every error is reported with its file and line.\n"
    ".Dq pgweir --check FILE\n"
    "does only that.\n"
    ".Pp\n"
    "A line is empty, a comment that begins with\n"
    ".Ql \\&;\n"
    "or\n"
    ".Ql # ,\n"
    "the head of a section such as\n"
    ".Ql [databases] ,\n"
    "or\n"
    ".Ql key = value ,\n"
    "where the value goes to the end of the line.\n"
    "Sections may come in any order and more than once; a later key overrides an earlier one.\n"
    "A name of other characters than letters, digits and\n"
    ".Ql _.-*\n"
    "stands in single quotes, a single quote in it is doubled.\n"
    ".Ql %include FILE\n"
    "reads another file, relative to the working directory.\n"
    ".Pp\n"
    "A time is in seconds, with a fraction or not, or has a unit: us, ms, s, min, h, d.\n"
    "A size is in bytes or has a unit: kB, MB, GB, TB.\n"
    "A boolean is 0 or 1, off or on, no or yes, false or true.\n"
    "A number may be decimal, hexadecimal (0x) or octal (0).\n"
    "A list has commas between its items.\n";

static const char databases[] = ".Sh DATABASES\n"
                                "The section\n"
                                ".Ql [databases]\n"
                                "lists what clients can connect to, as\n"
                                ".Ql name = key=value ... ;\n"
                                "a value with blanks in it stands in single quotes.\n"
                                "The entry\n"
                                ".Ql *\n"
                                "is the template of every database that is not listed.\n"
                                "Without an entry of its own a key is as in the general section.\n"
                                "The names pgbouncer and pgweir are those of the console.\n";

static const char users[] = ".Sh USERS\n"
                            "The section\n"
                            ".Ql [users]\n"
                            "says what is special about a user, as\n"
                            ".Ql name = key=value ... .\n";

static const char tail[] =
    ".Sh AUTH FILE\n"
    "Each line of\n"
    ".Ic auth_file\n"
    "has a user and a password, both in double quotes; a double quote in them is doubled.\n"
    "The password is plain, or the digest that PostgreSQL keeps: md5 and 32 hexadecimal digits, "
    "or\n"
    ".Ql SCRAM-SHA-256$... .\n"
    "What follows on the line is ignored, as are lines that begin with\n"
    ".Ql \\&; .\n"
    ".Sh HBA FILE\n"
    "With auth_type = hba, the first line of\n"
    ".Ic auth_hba_file\n"
    "that fits a login says how the client must prove who it is; who fits no line is rejected.\n"
    "The grammar is that of PostgreSQL's pg_hba.conf:\n"
    ".Bd -literal\n"
    "local  DATABASES USERS              METHOD [OPTION=VALUE ...]\n"
    "host   DATABASES USERS ADDRESS      METHOD [OPTION=VALUE ...]\n"
    "host   DATABASES USERS ADDRESS MASK METHOD [OPTION=VALUE ...]\n"
    "include FILE\n"
    "include_if_exists FILE\n"
    "include_dir DIRECTORY\n"
    ".Ed\n"
    ".Pp\n"
    "For\n"
    ".Ql host\n"
    "there may also stand hostssl, hostnossl and hostnogssenc; hostgssenc fits nobody.\n"
    "Databases are names, all, sameuser, replication (which only fits physical replication), a\n"
    ".Ql /regex\n"
    "(POSIX, extended) or an\n"
    ".Ql @file\n"
    "of them; users are names, all, a\n"
    ".Ql /regex\n"
    "or an\n"
    ".Ql @file .\n"
    "Lists have commas between.\n"
    "An address is 10.0.0.0/8, 2001:db8::/32, an address and its mask, all, samehost, samenet, a "
    "host name, or\n"
    ".Ql .example.org\n"
    "for all names that end so.\n"
    "A word in double quotes is only a name.\n"
    "A line that ends with a backslash goes on in the next one; a\n"
    ".Ql #\n"
    "begins a comment.\n"
    ".Pp\n"
    "Methods are trust, reject, scram-sha-256, md5, password (what auth_type calls plain), cert, "
    "peer, pam and ldap.\n"
    "Options are clientcert=verify-ca and clientcert=verify-full, with hostssl; map, with cert and "
    "peer; pamservice and pam_use_hostname, with pam; and those of ldap, as for "
    "auth_ldap_options.\n"
    "Groups (+name, samerole) are refused: only a server knows who is in them.\n"
    ".Pp\n"
    "All files are read again on every reload, and every bad line is reported; with "
    "auth_hba_lenient = 1 it is skipped.\n"
    ".Sh IDENT FILE\n"
    "Each line of\n"
    ".Ic auth_ident_file\n"
    "has the name of a map, a system user or name of a certificate, and the user that he may log "
    "in as.\n"
    "The grammar is that of PostgreSQL's pg_ident.conf: the second may be a\n"
    ".Ql /regex ,\n"
    "for whose first parentheses\n"
    ".Ql \\e1\n"
    "stands in the third; the third may also be all, or a\n"
    ".Ql /regex .\n"
    "A line of the HBA file names its map with\n"
    ".Ql map=NAME ;\n"
    "without one the names must be the same.\n"
    ".Sh POOL MODES\n"
    "In session mode a client has its server until it leaves, and whatever works with PostgreSQL "
    "alone works; then comes server_reset_query.\n"
    ".Pp\n"
    "In transaction mode it has one for as long as a transaction is open or answers are missing.\n"
    "All of the protocol works: pipelines, COPY, function calls, large objects, cancels, and "
    "prepared statements.\n"
    "Of what else a session keeps, the settings that servers report and those of\n"
    ".Ic track_extra_parameters\n"
    "go along with the client; the rest (other SETs, SET ROLE, LISTEN, temporary tables, cursors "
    "WITH HOLD, advisory locks of the session) stays with the server, and needs session mode.\n"
    ".Pp\n"
    "Statement mode is transaction mode without transaction blocks.\n"
    "A query or pipeline that leaves one open ends the connection with \"transaction blocks not "
    "allowed in statement pooling mode\" (0A000), and nothing of it stays.\n"
    ".Ss Prepared statements\n"
    "In transaction and statement mode a client's names are its own and mean the same on every "
    "server, whether they come by the protocol or by PREPARE, EXECUTE and DEALLOCATE.\n"
    "Errors are PostgreSQL's.\n"
    "On servers, and in pg_prepared_statements, a statement is called\n"
    ".Ql pgweir_\n"
    "and a hash of its text and types.\n"
    "A client may have 65536 of them, and 64 MB; one more is an error (54000).\n"
    "The unnamed statement goes with its client, too, if its text is no longer than 64 kB and no "
    "PREPARE, EXECUTE or DEALLOCATE; without one, or after a Query, the error is PostgreSQL's "
    "(26000).\n"
    ".Pp\n"
    "When a table has changed, PostgreSQL refuses statements whose rows are others now (\"cached "
    "plan must not change result type\").\n"
    "Outside of transactions, where nothing was done yet, such a statement is prepared anew and "
    "used once more, which is logged.\n"
    "A client that relies on an older description of the rows gets the error, once.\n"
    ".Ss Cancels\n"
    "A cancel request ends what its client is running, or its wait in the queue (57014), and "
    "nothing else: a server that one may still hit is lent to nobody.\n"
    "The connection that brings it is closed when the server has had it.\n"
    ".Sh REPLICATION\n"
    "A client that asks for replication gets a server connection of its own, whatever pool_mode "
    "says, opened with the client's own settings and closed when it leaves.\n"
    "The connection counts as one of the pool's; if need be, an idle one is closed for it.\n"
    "Timeouts of queries, transactions and idle clients do not apply.\n"
    "A reload that changes where the database is ends it.\n"
    ".Pp\n"
    "Physical replication belongs to no database, but names one all the same: PostgreSQL's tools "
    "say replication, as does a standby.\n"
    "So there is an entry of that name, or a\n"
    ".Ql * :\n"
    ".Bd -literal\n"
    "[databases]\n"
    "replication = host=10.0.0.7 dbname=postgres pool_size=10\n"
    ".Ed\n"
    ".Sh EXAMPLES\n"
    ".Bd -literal\n"
    "[databases]\n"
    "shop = host=10.0.0.7 pool_size=30\n"
    "\n"
    "[pgbouncer]\n"
    "listen_addr = *\n"
    "pool_mode = transaction\n"
    "max_client_conn = 5000\n"
    "auth_type = scram-sha-256\n"
    "auth_file = /etc/pgweir/userlist.txt\n"
    "admin_users = postgres\n"
    ".Ed\n";

void
config_write_manual(FILE *file)
{
    (void)fputs(head, file);
    (void)fputs(".Sh GENERAL SECTION\nThe section\n.Ql [pgbouncer]\nis about the daemon as a "
                "whole.\n",
                file);
    for (int group = 0; group < GROUP_COUNT; group++)
        write_group(file, (enum option_group)group);
    (void)fputs(databases, file);
    write_entry_keys(file, &database_table);
    (void)fputs(users, file);
    write_entry_keys(file, &user_table);
    (void)fputs(".Sh PEERS\nAn entry of\n.Ql [peers]\nis another process, by its peer_id, that "
                "clients reach by the same address: cancel requests that belong to it are passed "
                "on to it.\nIts line says where it can be reached alone, by its unix socket, say. "
                "PgBouncer, from 1.19 on, may be among them.\nRequests go in plain text.\n",
                file);
    write_entry_keys(file, &peer_table);
    (void)fputs(tail, file);
}
