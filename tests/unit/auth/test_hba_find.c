/*
 * Which line of a file of rules a login meets, and by which name a client is known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "hba.h"
#include "hba_find.h"
#include "str.h"

/* Rules of a file of this text, which must be good. */
static struct config *
load_rules(const char *text)
{
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    char directory[] = "/tmp/test_hba_find.XXXXXX", hba[64], ini[64];
    struct config *config = NULL;
    FILE *file;

    assert_non_null(mkdtemp(directory));
    (void)snprintf(hba, sizeof(hba), "%s/hba.conf", directory);
    (void)snprintf(ini, sizeof(ini), "%s/t.ini", directory);
    file = fopen(hba, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    file = fopen(ini, "we");
    assert_non_null(file);
    assert_true(fprintf(file,
                        "[pgbouncer]\nauth_type = hba\nauth_hba_file = %s\n"
                        "client_tls_ca_file = a\n",
                        hba) > 0);
    assert_int_equal(fclose(file), 0);
    if (config_load(ini, &errors, &config) < 0)
        config_errors_print(&errors, stderr);
    (void)unlink(hba);
    (void)unlink(ini);
    (void)rmdir(directory);
    assert_non_null(config);
    return config;
}

/* A client; NULL is a unix socket. */
struct client {
    struct sockaddr_storage address;
    struct auth_login login;
};

static void
client_init(struct client *client, const char *ip, const char *database, const char *user)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&client->address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&client->address;

    *client = (struct client){.login = {.user = user, .database_name = database}};
    if (ip == NULL)
        return;
    client->login.address = (struct sockaddr *)&client->address;
    if (inet_pton(AF_INET, ip, &in->sin_addr) == 1) {
        client->address.ss_family = AF_INET;
        return;
    }
    assert_int_equal(inet_pton(AF_INET6, ip, &in6->sin6_addr), 1);
    client->address.ss_family = AF_INET6;
}

/* The line that fits, 0 for none, -1 when the client's name is needed. */
static int
find_line(const struct config *config, const struct client *client, const char *client_name)
{
    const struct hba_rule *rule = NULL;

    switch (hba_find(config->hba, &client->login, client_name, &rule)) {
    case HBA_FOUND:
        return (int)rule->line;
    case HBA_NEEDS_NAME:
        return -1;
    default:
        return 0;
    }
}

static void
test_names(void **state)
{
    static const char rules[] = "local db1,db2 ann,bob trust\n"
                                "local sameuser all trust\n"
                                "local \"all\" \"all\" trust\n"
                                "local /^x_ /_x$ trust\n"
                                "local replication repl trust\n"
                                "local all admin trust\n";
    static const struct {
        const char *database, *user;
        bool replication;
        int line;
    } cases[] = {
        {"db1", "ann", false, 1},    {"db2", "bob", false, 1},          {"db3", "bob", false, 0},
        {"db1", "Ann", false, 0},    {"DB1", "ann", false, 0},          {"zoe", "zoe", false, 2},
        {"all", "all", false, 2},    {"all", "ann", false, 0},          {"x_1", "ann_x", false, 4},
        {"ax_1", "ann_x", false, 0}, {"replication", "repl", false, 0}, /* a database of this name
                                                                           is not meant */
        {"db1", "repl", true, 5},    {"db1", "admin", true, 0},         /* all are all databases */
        {"zoe", "zoe", true, 0},     {"db9", "admin", false, 6},
    };
    CLEANUP(config_unref) struct config *config = load_rules(rules);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct client client;

        client_init(&client, NULL, cases[i].database, cases[i].user);
        client.login.replication = cases[i].replication;
        if (find_line(config, &client, NULL) != cases[i].line)
            fail_msg("%s/%s: not %d", cases[i].database, cases[i].user, cases[i].line);
    }
}

static void
test_types(void **state)
{
    static const char rules[] = "hostgssenc all all all trust\n"
                                "hostssl all ssl all trust\n"
                                "hostnossl all nossl all trust\n"
                                "hostnogssenc all nogss all trust\n"
                                "host all host all trust\n"
                                "local all local trust\n";
    static const struct {
        const char *user, *ip;
        bool is_tls;
        int line;
    } cases[] = {
        {"ssl", "1.2.3.4", true, 2},    {"ssl", "1.2.3.4", false, 0},   {"ssl", NULL, false, 0},
        {"nossl", "1.2.3.4", false, 3}, {"nossl", "1.2.3.4", true, 0},  {"nossl", NULL, false, 0},
        {"nogss", "1.2.3.4", false, 4}, {"nogss", "1.2.3.4", true, 4},  {"nogss", NULL, false, 0},
        {"host", "::1", false, 5},      {"host", "1.2.3.4", true, 5},   {"host", NULL, false, 0},
        {"local", "::1", false, 0},     {"local", "1.2.3.4", false, 0}, {"local", NULL, false, 6},
    };
    CLEANUP(config_unref) struct config *config = load_rules(rules);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct client client;

        client_init(&client, cases[i].ip, "db", cases[i].user);
        client.login.is_tls = cases[i].is_tls;
        if (find_line(config, &client, NULL) != cases[i].line)
            fail_msg("case %zu: not %d", i, cases[i].line);
    }
}

static void
test_networks(void **state)
{
    static const char rules[] = "host all all 10.1.2.3/32 trust\n"
                                "host all all 10.1.0.0/17 trust\n"
                                "host all all 10.0.0.0 255.0.255.0 trust\n"
                                "host all all 2001:db8::1/128 trust\n"
                                "host all all 2001:db8::/31 trust\n"
                                "host all all 172.16.99.99/12 trust\n"
                                "host all six ::/0 trust\n"
                                "host all four 0.0.0.0/0 trust\n";
    static const struct {
        const char *user, *ip;
        int line;
    } cases[] = {
        {"x", "10.1.2.3", 1},
        {"x", "10.1.2.4", 2},
        {"x", "10.1.127.255", 2},
        {"x", "10.1.128.0", 0},
        {"x", "10.7.0.9", 3},
        {"x", "10.7.1.9", 0},
        {"x", "2001:db8::1", 4},
        {"x", "2001:db9::1", 5},
        {"x", "2001:dba::1", 0},
        {"x", "172.31.0.1", 6},
        {"x", "172.32.0.1", 0},
        {"six", "1.2.3.4", 0},
        {"six", "::1", 7},
        {"four", "1.2.3.4", 8},
        {"four", "::1", 0},
        {"x", "::ffff:10.1.2.3", 1}, /* IPv4 through a socket of both */
        {"six", "::ffff:1.2.3.4", 0},
        {"four", "::ffff:1.2.3.4", 8},
    };
    CLEANUP(config_unref) struct config *config = load_rules(rules);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct client client;

        client_init(&client, cases[i].ip, "db", cases[i].user);
        if (find_line(config, &client, NULL) != cases[i].line)
            fail_msg("%s from %s: not %d", cases[i].user, cases[i].ip, cases[i].line);
    }
}

static void
test_near(void **state)
{
    CLEANUP(config_unref)
    struct config *config =
        load_rules("host all host samehost trust\nhost all net samenet trust\n");
    struct client client;

    (void)state;
    client_init(&client, "127.0.0.1", "db", "host");
    assert_int_equal(find_line(config, &client, NULL), 1);
    client_init(&client, "127.0.0.77", "db", "host");
    assert_int_equal(find_line(config, &client, NULL), 0);
    client_init(&client, "127.0.0.77", "db", "net");
    assert_int_equal(find_line(config, &client, NULL), 2);
    client_init(&client, "240.0.0.1", "db", "net"); /* reserved: nobody has it */
    assert_int_equal(find_line(config, &client, NULL), 0);
    client_init(&client, "2001:db8::1", "db", "net");
    assert_int_equal(find_line(config, &client, NULL), 0);
}

static void
test_client_names(void **state)
{
    static const char rules[] = "host db1 all 10.0.0.1/32 trust\n"
                                "host db2 all db.example.org trust\n"
                                "host db2 all .example.org trust\n"
                                "host all all 10.0.0.2/32 trust\n";
    static const struct {
        const char *ip, *database, *name;
        int line;
    } cases[] = {
        {"10.0.0.1", "db1", NULL, 1},
        {"10.0.0.2", "db1", NULL, 4}, /* the rules with a name are for another database */
        {"10.0.0.2", "db2", NULL, -1},
        {"10.0.0.2", "db2", "", 4},
        {"10.0.0.3", "db2", "", 0},
        {"10.0.0.2", "db2", "DB.example.ORG", 2},
        {"10.0.0.2", "db2", "x.Example.org", 3},
        {"10.0.0.2", "db2", "example.org", 4},
        {"10.0.0.2", "db2", "db.example.org.evil", 4},
    };
    CLEANUP(config_unref) struct config *config = load_rules(rules);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct client client;

        client_init(&client, cases[i].ip, cases[i].database, "x");
        if (find_line(config, &client, cases[i].name) != cases[i].line)
            fail_msg("%s from %s: not %d", cases[i].database, cases[i].ip, cases[i].line);
    }
}

static void
test_no_rules(void **state)
{
    const struct hba_rule *rule = NULL;
    struct client client;

    (void)state;
    client_init(&client, "127.0.0.1", "db", "x");
    assert_int_equal(hba_find(NULL, &client.login, NULL, &rule), HBA_NONE);
    assert_null(rule);
}

/* Of the machine's own file of hosts; those that are nobody's have no name. */
static void
test_find_name(void **state)
{
    char name[NI_MAXHOST] = "?";
    struct client client;

    (void)state;
    client_init(&client, NULL, "db", "x");
    hba_find_name((struct sockaddr *)&client.address, name);
    assert_string_equal(name, "");
    client_init(&client, "127.0.0.1", "db", "x");
    hba_find_name(client.login.address, name);
    if (*name == '\0')
        skip(); /* a machine without /etc/hosts */
    assert_non_null(strstr(name, "localhost"));
    client_init(&client, "::ffff:127.0.0.1", "db", "x");
    *name = '\0';
    hba_find_name(client.login.address, name);
    assert_non_null(strstr(name, "localhost"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),        cmocka_unit_test(test_types),
        cmocka_unit_test(test_networks),     cmocka_unit_test(test_near),
        cmocka_unit_test(test_client_names), cmocka_unit_test(test_no_rules),
        cmocka_unit_test(test_find_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
