/*
 * Files of rules and of maps: what their lines become, and all that can be wrong with them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "fixture.h"
#include "hba.h"
#include "str.h"

#define KEYS                                                                                       \
    "[pgbouncer]\nauth_type = hba\nauth_hba_file = hba.conf\nauth_ident_file = ident.conf\n"       \
    "client_tls_sslmode = prefer\nclient_tls_cert_file = c\nclient_tls_key_file = k\n"             \
    "client_tls_ca_file = a\n"

/* Loads a configuration with these two files, and more keys. */
static int
load(struct fixture *f, const char *hba, const char *ident, const char *keys)
{
    CLEANUP(buf_done) struct buf text = BUF_INIT;

    fixture_write("hba.conf", hba);
    fixture_write("ident.conf", ident);
    assert_int_equal(buf_printf(&text, KEYS "%s", keys), 0);
    return fixture_load(f, buf_str(&text));
}

static void
load_good(struct fixture *f, const char *hba)
{
    if (load(f, hba, "m a b\n", "") < 0)
        fail_msg("%s", f->said);
    assert_string_equal(f->said, "");
}

/* ---- what a line becomes ---- */

static void
describe_names(const struct hba_name *names, size_t count, struct buf *text)
{
    static const char *const kinds[] = {
        [HBA_NAME] = "",         [HBA_REGEX] = "regex:",           [HBA_ALL] = "any:",
        [HBA_SAMEUSER] = "own:", [HBA_REPLICATION] = "walsender:",
    };

    assert_int_equal(buf_append_str(text, " ("), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(
            buf_printf(text, "%s%s%s", i > 0 ? " " : "", kinds[names[i].kind], names[i].text), 0);
    assert_int_equal(buf_append_str(text, ")"), 0);
}

static void
describe_address(const struct hba_address *address, struct buf *text)
{
    char ip[INET6_ADDRSTRLEN], mask[INET6_ADDRSTRLEN];

    switch (address->kind) {
    case HBA_ADDRESS_ALL:
        assert_int_equal(buf_append_str(text, " anywhere"), 0);
        break;
    case HBA_ADDRESS_NETWORK:
        (void)inet_ntop(address->family, address->bytes, ip, sizeof(ip));
        (void)inet_ntop(address->family, address->mask, mask, sizeof(mask));
        assert_int_equal(buf_printf(text, " %s&%s", ip, mask), 0);
        break;
    case HBA_ADDRESS_SAMEHOST:
        assert_int_equal(buf_append_str(text, " here"), 0);
        break;
    case HBA_ADDRESS_SAMENET:
        assert_int_equal(buf_append_str(text, " near"), 0);
        break;
    case HBA_ADDRESS_HOST:
        assert_int_equal(buf_printf(text, " host:%s", address->host), 0);
        break;
    case HBA_ADDRESS_SUFFIX:
        assert_int_equal(buf_printf(text, " suffix:%s", address->host), 0);
        break;
    }
}

static void
describe(const struct hba_rule *rule, struct buf *text)
{
    static const char *const types[] = {"local",     "host",       "hostssl",
                                        "hostnossl", "hostgssenc", "hostnogssenc"};

    assert_int_equal(buf_append_str(text, types[rule->type]), 0);
    describe_names(rule->databases, rule->n_databases, text);
    describe_names(rule->users, rule->n_users, text);
    if (rule->type != HBA_LOCAL)
        describe_address(&rule->address, text);
    assert_int_equal(
        buf_printf(text, " %s",
                   rule->method != AUTH_TYPE_REJECT ? auth_type_name(rule->method) : "reject"),
        0);
    for (size_t i = 0; i < rule->n_options; i++)
        assert_int_equal(
            buf_printf(text, " <%s|%s>", rule->options[i].name, rule->options[i].value), 0);
}

static void
test_lines(void **state)
{
    static const struct {
        const char *line, *rule;
    } cases[] = {
        {"local all all trust", "local (any:all) (any:all) trust"},
        {"\tlocal\tall all\ttrust\r", "local (any:all) (any:all) trust"},
        {"local all all trust # why not", "local (any:all) (any:all) trust"},
        {"local all all trust#why not", "local (any:all) (any:all) trust"},
        {"local all all reject", "local (any:all) (any:all) reject"},
        {"local all all password", "local (any:all) (any:all) plain"},
        {"local all all peer map=m", "local (any:all) (any:all) peer <map|m>"},
        {"local a,b c,d,e md5", "local (a b) (c d e) md5"},
        {"local a, b, c d md5", "local (a b c) (d) md5"},
        {"local a,,b c md5", "local (a b) (c) md5"},
        {"local sameuser,replication all md5",
         "local (own:sameuser walsender:replication) (any:all) md5"},
        {"local \"all\",\"sameuser\",\"replication\" \"all\" md5",
         "local (all sameuser replication) (all) md5"},
        {"local \"a b\",\"c,d\",\"e\"\"f\",\"#\" \"+x\",\"@y\" md5",
         "local (a b c,d e\"f #) (+x @y) md5"},
        {"local x\"all\" a\" \"b md5", "local (xall) (a b) md5"},
        {"local /^a.*z$,\"/x,y\" /^(a|b)$ md5",
         "local (regex:/^a.*z$ regex:/x,y) (regex:/^(a|b)$) md5"},
        {"host all all all md5", "host (any:all) (any:all) anywhere md5"},
        {"host all all samehost md5", "host (any:all) (any:all) here md5"},
        {"host all all samenet md5", "host (any:all) (any:all) near md5"},
        {"host all all \"samenet\" md5", "host (any:all) (any:all) host:samenet md5"},
        {"host all all 10.1.2.3/8 scram-sha-256",
         "host (any:all) (any:all) 10.1.2.3&255.0.0.0 scram-sha-256"},
        {"host all all 10.0.0.0/9 md5", "host (any:all) (any:all) 10.0.0.0&255.128.0.0 md5"},
        {"host all all 0.0.0.0/0 md5", "host (any:all) (any:all) 0.0.0.0&0.0.0.0 md5"},
        {"host all all 1.2.3.4/32 md5", "host (any:all) (any:all) 1.2.3.4&255.255.255.255 md5"},
        {"host all all 10.0.0.0 255.0.0.0 md5", "host (any:all) (any:all) 10.0.0.0&255.0.0.0 md5"},
        {"host all all ::1/128 md5",
         "host (any:all) (any:all) ::1&ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff md5"},
        {"host all all 2001:db8::/33 md5",
         "host (any:all) (any:all) 2001:db8::&ffff:ffff:8000:: md5"},
        {"host all all fe80:: ffc0:: md5", "host (any:all) (any:all) fe80::&ffc0:: md5"},
        {"host all all db1.example.org md5", "host (any:all) (any:all) host:db1.example.org md5"},
        {"host all all .example.org md5", "host (any:all) (any:all) suffix:.example.org md5"},
        {"hostnossl all all all md5", "hostnossl (any:all) (any:all) anywhere md5"},
        {"hostgssenc all all all md5", "hostgssenc (any:all) (any:all) anywhere md5"},
        {"hostnogssenc all all all md5", "hostnogssenc (any:all) (any:all) anywhere md5"},
        {"hostssl all all all cert map=m", "hostssl (any:all) (any:all) anywhere cert <map|m>"},
        {"hostssl all all all cert clientcert=verify-full clientname=CN",
         "hostssl (any:all) (any:all) anywhere cert <clientcert|verify-full> <clientname|CN>"},
        {"hostssl all all all md5 clientcert=verify-ca",
         "hostssl (any:all) (any:all) anywhere md5 <clientcert|verify-ca>"},
#ifdef HAVE_PAM
        {"local all all pam pamservice=x pam_use_hostname=1",
         "local (any:all) (any:all) pam <pamservice|x> <pam_use_hostname|1>"},
#endif
#ifdef HAVE_LDAP
        {"local all all ldap ldapserver=l ldapprefix=\"cn=\" ldapsuffix=\", dc=x\"",
         "local (any:all) (any:all) ldap <ldapserver|l> <ldapprefix|cn=> <ldapsuffix|, dc=x>"},
#endif
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture *f = *state;
        CLEANUP(buf_done) struct buf text = BUF_INIT;

        load_good(f, cases[i].line);
        assert_int_equal(f->config->hba->n_rules, 1);
        describe(&f->config->hba->rules[0], &text);
        assert_string_equal(buf_str(&text), cases[i].rule);
    }
}

static void
test_lines_that_go_on(void **state)
{
    struct fixture *f = *state;

    load_good(f, "# a comment \\\n goes on, too: local all all trust\n"
                 "\n"
                 "local \\\n"
                 "  all al\\\r\n"
                 "l trust\n"
                 "local b b trust\\");
    assert_int_equal(f->config->hba->n_rules, 2);
    assert_int_equal(f->config->hba->rules[0].line, 4);
    assert_string_equal(f->config->hba->rules[0].file, "hba.conf");
    assert_int_equal(f->config->hba->rules[0].users[0].kind, HBA_ALL);
    assert_int_equal(f->config->hba->rules[1].line, 7);
}

static void
test_last_option_counts(void **state)
{
    struct fixture *f = *state;

    load_good(f, "local all all peer map=x map=m");
    assert_string_equal(hba_rule_option(&f->config->hba->rules[0], "map"), "m");
    assert_null(hba_rule_option(&f->config->hba->rules[0], "clientcert"));
}

/* ---- other files ---- */

static void
test_includes(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkdir("d", 0700), 0);
    fixture_write("d/b.conf", "local b b trust\n");
    fixture_write("d/a.conf", "local a a trust\ninclude ../c.conf\n");
    fixture_write("d/.hidden.conf", "nonsense\n");
    fixture_write("d/readme", "nonsense\n");
    assert_int_equal(mkdir("d/sub.conf", 0700), 0);
    fixture_write("c.conf", "local c c trust\n");
    load_good(f, "include_if_exists nothing\ninclude_dir d\ninclude \"c.conf\"\nlocal e e trust\n");
    assert_int_equal(rmdir("d/sub.conf"), 0);
    (void)unlink("d/a.conf");
    (void)unlink("d/b.conf");
    (void)unlink("d/.hidden.conf");
    (void)unlink("d/readme");
    assert_int_equal(rmdir("d"), 0);
    assert_int_equal(f->config->hba->n_rules, 5);
    assert_string_equal(f->config->hba->rules[0].users[0].text, "a");
    assert_string_equal(f->config->hba->rules[0].file, "d/a.conf");
    assert_string_equal(f->config->hba->rules[1].file, "d/../c.conf");
    assert_string_equal(f->config->hba->rules[2].users[0].text, "b");
    assert_string_equal(f->config->hba->rules[3].users[0].text, "c");
    assert_int_equal(f->config->hba->rules[4].line, 4);
}

static void
test_words_of_a_file(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_done) struct buf text = BUF_INIT;

    fixture_write("users", "# who\nann, bob\n\"all\" @more\n/^x\n");
    fixture_write("more", "cid\\\nney\n");
    fixture_write("empty", "# nobody\n");
    load_good(f, "local @users a,@more,b trust\nlocal all @empty reject\n");
    describe(&f->config->hba->rules[0], &text);
    assert_string_equal(buf_str(&text), "local (ann bob all cidney regex:/^x) (a cidney b) trust");
    assert_int_equal(f->config->hba->rules[1].n_users, 0);
    assert_int_equal(f->config->hba->rules[1].method, AUTH_TYPE_REJECT);
}

/* ---- what is wrong ---- */

static void
test_bad_lines(void **state)
{
    static const struct {
        const char *line, *said;
    } cases[] = {
        {"locl all all trust", "\"locl\" is no connection type; local, host, hostssl, hostnossl, "
                               "hostgssenc and hostnogssenc are"},
        {"local,host all all trust", "only one connection type is allowed"},
        {"local", "the line ends before the database"},
        {"local all", "the line ends before the user"},
        {"local all all", "the line ends before the authentication method"},
        {"host all all", "the line ends before the address"},
        {"host all all all", "the line ends before the authentication method"},
        {"host all all 1.2.3.4 trust", "\"trust\" is no mask for the address 1.2.3.4; write "
                                       "1.2.3.4/32 if you mean only this address"},
        {"host all all ::1 255.0.0.0 trust", "\"255.0.0.0\" is no mask for the address ::1; write "
                                             "::1/128 if you mean only this address"},
        {"host all all 1.2.3.4", "the line ends before the mask of the address"},
        {"host all all 1.2.3.4,1.2.3.5 trust", "only one address is allowed"},
        {"host all all 1.2.3.4/33 trust", "\"1.2.3.4/33\": what stands behind the \"/\" is no "
                                          "number of bits, 0 to 32"},
        {"host all all ::/129 trust",
         "\"::/129\": what stands behind the \"/\" is no number of bits, 0 to 128"},
        {"host all all 1.2.3.4/-1 trust", "\"1.2.3.4/-1\": what stands behind the \"/\" is no "
                                          "number of bits, 0 to 32"},
        {"host all all 1.2.3.4/ trust", "\"1.2.3.4/\": what stands behind the \"/\" is no number "
                                        "of bits, 0 to 32"},
        {"host all all db1/24 trust", "\"db1/24\": what stands before the \"/\" is no address"},
        {"host all all 1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20/1 trust",
         "\"1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20/1\": what stands before the \"/\" "
         "is no address"},
        {"host all all 1:2 trust", "\"1:2\" is neither an address nor a host name"},
        {"host all all \"\" trust", "\"\" is neither an address nor a host name"},
        {"local all +admins trust",
         "\"+admins\" is not supported: who is in a group stands in the catalog of a server; list "
         "the names, in an @file maybe, or use a /regex"},
        {"local samerole all trust",
         "\"samerole\" is not supported: who has a role stands in the catalog of a server; list "
         "the names, in an @file maybe, or use a /regex"},
        {"local samegroup all trust",
         "\"samegroup\" is not supported: who has a role stands in the catalog of a server; list "
         "the names, in an @file maybe, or use a /regex"},
        {"local all /( trust", "invalid regular expression \"(\": Unmatched ( or \\("},
        {"local all \"x trust", "a quote does not end"},
        {"local all all magic", "\"magic\" is no authentication method"},
        {"local all all gss", "the authentication method \"gss\" is not supported"},
        {"local all all sspi", "the authentication method \"sspi\" is not supported"},
        {"local all all ident", "the authentication method \"ident\" is not supported"},
        {"local all all radius", "the authentication method \"radius\" is not supported"},
        {"local all all bsd", "the authentication method \"bsd\" is not supported"},
        {"local all all any", "\"any\" is no authentication method"},
        {"local all all md5,trust", "only one authentication method is allowed"},
        {"host all all all peer", "the method peer is only for lines with local"},
        {"host all all all cert", "the method cert is only for lines with hostssl"},
        {"local all all trust map", "\"map\" is not name=value"},
        {"local all all trust map=x", "the option \"map\" is only for the methods cert and peer"},
        {"local all all trust pamservice=x",
         "the option \"pamservice\" is only for the method pam"},
        {"local all all trust ldapserver=x",
         "the option \"ldapserver\" is only for the method ldap"},
        {"local all all trust colour=red", "unknown option \"colour\""},
        {"local all all trust clientcert=verify-ca", "clientcert is only for lines with hostssl"},
        {"hostssl all all all trust clientcert=1",
         "clientcert=1 is not supported, only verify-ca and verify-full"},
        {"hostssl all all all cert clientcert=verify-ca",
         "with the method cert, clientcert can only be verify-full"},
        {"hostssl all all all cert clientname=DN", "clientname=DN is not supported, only CN"},
        {"include", "include needs one path"},
        {"include a b", "include needs one path"},
        {"include none", "could not read \"none\": No such file or directory"},
        {"include hba.conf", "\"hba.conf\" includes itself"},
        {"include ./hba.conf", "\"./hba.conf\" includes itself"},
        {"include_dir none", "could not read the directory \"none\": No such file or directory"},
        {"local all @none trust", "could not read \"none\": No such file or directory"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(buf_done) struct buf said = BUF_INIT;

        assert_int_equal(buf_printf(&said, "hba.conf:1: %s\n", cases[i].said), 0);
        assert_int_equal(load(f, cases[i].line, "m a b\n", ""), -EINVAL);
        assert_string_equal(f->said, buf_str(&said));
        assert_null(f->config);
    }
}

/* Those in other files, too, each where it stands. */
static void
test_all_errors_at_once(void **state)
{
    struct fixture *f = *state;

    fixture_write("more.conf", "\nlocal all all gss\nlocal all all trust\n");
    fixture_write("users", "ann\n\"bob\n");
    assert_int_equal(load(f,
                          "local all all trust\n"
                          "nonsense\n"
                          "include more.conf\n"
                          "local all @users trust\n"
                          "local all +a trust\n",
                          "m a\n"
                          "m a b c\n"
                          "m /( b\n"
                          "m a +b\n"
                          "m,n a b\n"
                          "m /a \\1\n",
                          ""),
                     -EINVAL);
    assert_string_equal(
        f->said,
        "hba.conf:2: \"nonsense\" is no connection type; local, host, hostssl, hostnossl, "
        "hostgssenc and hostnogssenc are\n"
        "more.conf:2: the authentication method \"gss\" is not supported\n"
        "users:2: a quote does not end\n"
        "hba.conf:5: \"+a\" is not supported: who is in a group stands in the catalog of a server; "
        "list the names, in an @file maybe, or use a /regex\n"
        "ident.conf:1: the line ends before the database user\n"
        "ident.conf:2: the line goes on behind the database user\n"
        "ident.conf:3: invalid regular expression \"(\": Unmatched ( or \\(\n"
        "ident.conf:4: \"+b\" is not supported: who is in a group stands in the catalog of a "
        "server; list the names, in an @file maybe, or use a /regex\n"
        "ident.conf:5: only one name of the map is allowed\n"
        "ident.conf:6: \"/a\" has no parentheses that \\1 could stand for\n");
}

static void
test_lenient(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load(f, "nonsense\nlocal all @none trust\nlocal all all md5\n", "m a\nm a b\n",
                          "auth_hba_lenient = 1\n"),
                     0);
    assert_string_equal(f->said, "hba.conf:1: warning: \"nonsense\" is no connection type; local, "
                                 "host, hostssl, hostnossl, hostgssenc and hostnogssenc are\n"
                                 "hba.conf:2: warning: could not read \"none\": No such file or "
                                 "directory\n"
                                 "ident.conf:1: warning: the line ends before the database user\n");
    assert_int_equal(f->config->hba->n_rules, 1);
    assert_int_equal(f->config->hba->rules[0].line, 3);
    assert_true(ident_map_allows(f->config->ident, "m", "a", "b"));
}

static void
test_missing_files(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_load(f, KEYS "auth_hba_lenient = 1\n"), -EINVAL);
    assert_string_equal(
        f->said,
        "t.ini:3: auth_hba_file: could not read \"hba.conf\": No such file or directory\n"
        "t.ini:4: auth_ident_file: could not read \"ident.conf\": No such file or directory\n");
    assert_int_equal(fixture_load(f, "[pgbouncer]\nauth_type = hba\n"), -EINVAL);
    assert_string_equal(f->said, "t.ini:2: auth_type = hba needs auth_hba_file\n");
}

/* Files that nothing uses are not looked at. */
static void
test_unused_files(void **state)
{
    struct fixture *f = *state;

    fixture_load_keys(f, "auth_hba_file = none\nauth_ident_file = none\n");
    assert_string_equal(f->said, "");
    assert_null(f->config->hba);
    assert_null(f->config->ident);
}

static void
test_rules_that_fit_nobody(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load(f, "", "", ""), 0);
    assert_string_equal(f->said,
                        "t.ini:3: warning: \"hba.conf\" has no rules: nobody can log in\n");
    assert_int_equal(
        load(f, "hostssl all all all md5\nlocal all all peer map=x\n", "", "client_tls_sslmode=\n"),
        0);
    assert_string_equal(
        f->said,
        "hba.conf:1: warning: fits nobody while client_tls_sslmode = disable\n"
        "hba.conf:2: warning: map \"x\" is not in auth_ident_file: nobody can log in here\n");
    assert_int_equal(
        load(f, "hostssl all all all md5 clientcert=verify-ca\n", "", "client_tls_ca_file =\n"),
        -EINVAL);
    assert_string_equal(
        f->said, "hba.conf:1: client certificates are only checked with client_tls_ca_file\n");
}

static void
test_files_have_limits(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_done) struct buf many = BUF_INIT;
    char name[32], text[32];

    for (int i = 0; i < 12; i++) {
        (void)snprintf(name, sizeof(name), "%d.conf", i);
        (void)snprintf(text, sizeof(text), "include %d.conf\n", i + 1);
        fixture_write(name, text);
    }
    assert_int_equal(load(f, "include 0.conf\n", "", ""), -EINVAL);
    assert_string_equal(f->said,
                        "9.conf:1: \"10.conf\" is included too deeply; 10 files is the limit\n");
    fixture_write("empty", "");
    for (int i = 0; i < 1001; i++)
        assert_int_equal(buf_append_str(&many, "include empty\n"), 0);
    assert_int_equal(load(f, buf_str(&many), "", ""), -EINVAL);
    assert_string_equal(f->said, "hba.conf:1001: more than 1000 files are included\n");
}

/* ---- maps ---- */

static void
test_maps(void **state)
{
    static const struct {
        const char *map, *system_user, *pg_user;
        bool allowed;
    } cases[] = {
        {"plain", "ann", "app", true},
        {"plain", "ann", "ann", false},
        {"plain", "Ann", "app", false},
        {"plain", "bob", "x", true}, /* a second line */
        {"plain", "bob", "y", true},
        {"plain", "bob", "z", false},
        {"other", "ann", "app", false},
        {"every", "root", "whoever", true},
        {"every", "all", "root", false},
        {"quoted", "root", "all", true},
        {"quoted", "root", "bob", false},
        {"mail", "ann@example.org", "ann", true},
        {"mail", "ann@example.org", "bob", false},
        {"mail", "ann@example.com", "ann", false},
        {"mail", "@example.org", "", true},
        {"around", "x-ann", "pre_ann_post", true},
        {"around", "x-ann", "pre_ann_pos", false},
        {"around", "x-ann", "pre_an", false},
        {"around", "x-ann", "pre_ann_post2", false},
        {"maybe", "y", "", false}, /* the parentheses have matched nothing */
        {"regex", "any", "app_7", true},
        {"regex", "any", "app_x", false},
        {"literal", "ann", "\\1", true},
        {NULL, "ann", "ann", true},
        {NULL, "ann", "app", false},
    };
    struct fixture *f = *state;

    assert_int_equal(load(f, "local all all trust",
                          "# comment\n"
                          "plain ann app\n"
                          "plain bob x\n"
                          "plain bob y\n"
                          "every root all\n"
                          "quoted root \"all\"\n"
                          "mail /^(.*)@example\\.org$ \\1\n"
                          "around /^x-(.*)$ \"pre_\\1_post\"\n"
                          "maybe /^(x)?y$ \\1\n"
                          "regex /. \"/^app_[0-9]$\"\n"
                          "literal ann \\1\n",
                          ""),
                     0);
    assert_string_equal(f->said, "");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (ident_map_allows(f->config->ident, cases[i].map, cases[i].system_user,
                             cases[i].pg_user) != cases[i].allowed)
            fail_msg("%s: %s as %s", cases[i].map, cases[i].system_user, cases[i].pg_user);
    assert_true(ident_has_map(f->config->ident, "mail"));
    assert_false(ident_has_map(f->config->ident, "mai"));
    assert_true(ident_map_allows(NULL, NULL, "a", "a"));
    assert_false(ident_map_allows(NULL, "plain", "ann", "app"));
}

/* ---- a running daemon ---- */

static void
test_reload(void **state)
{
    struct fixture *f = *state;
    CLEANUP(config_unref) struct config *old = NULL;

    load_good(f, "local all all trust\n");
    old = TAKE(f->config);
    fixture_write("hba.conf", "local all all md5\nlocal all all trust\n");
    fixture_write("ident.conf", "n a b\n");
    assert_int_equal(config_reload(old, &f->errors, &f->config), 0);
    assert_int_equal(f->config->hba->n_rules, 2);
    assert_int_equal(old->hba->n_rules, 1);
    assert_true(ident_has_map(f->config->ident, "n"));
    assert_true(ident_has_map(old->ident, "m"));
}

/* A SET of another key shares the rules; one of these keys reads them. */
static void
test_set(void **state)
{
    struct fixture *f = *state;
    CLEANUP(config_unref) struct config *other = NULL;
    CLEANUP(config_unref) struct config *again = NULL;
    CLEANUP(config_unref) struct config *without = NULL;
    struct config *none = NULL;

    load_good(f, "local all all trust\n");
    fixture_write("hba.conf", "local all all md5\nlocal all all trust\n");
    assert_int_equal(config_set(f->config, "query_timeout", "3", &f->errors, &other), 0);
    assert_ptr_equal(other->hba, f->config->hba);
    assert_ptr_equal(other->ident, f->config->ident);
    assert_int_equal(config_set(f->config, "auth_hba_file", "hba.conf", &f->errors, &again), 0);
    assert_int_equal(again->hba->n_rules, 2);
    assert_int_equal(config_set(f->config, "auth_type", "any", &f->errors, &without), 0);
    assert_null(without->hba);
    assert_int_equal(config_set(f->config, "auth_hba_file", "", &f->errors, &none), -EINVAL);
    assert_int_equal(config_set(f->config, "auth_hba_file", "none", &f->errors, &none), -EINVAL);
    assert_null(none);
    fixture_print(f);
    assert_string_equal(f->said,
                        "auth_type = hba needs auth_hba_file\n"
                        "auth_hba_file: could not read \"none\": No such file or directory\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_lines),
        fixture_test(test_lines_that_go_on),
        fixture_test(test_last_option_counts),
        fixture_test(test_includes),
        fixture_test(test_words_of_a_file),
        fixture_test(test_bad_lines),
        fixture_test(test_all_errors_at_once),
        fixture_test(test_lenient),
        fixture_test(test_missing_files),
        fixture_test(test_unused_files),
        fixture_test(test_rules_that_fit_nobody),
        fixture_test(test_files_have_limits),
        fixture_test(test_maps),
        fixture_test(test_reload),
        fixture_test(test_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
