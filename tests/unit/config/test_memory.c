/*
 * Memory that ends at the first allocation, the second, and so on: each time the load says so,
 * gives nothing and loses nothing (ASan counts), until it has enough.
 */
#include <errno.h>
#include <string.h>

#include "fake_memory.h"
#include "fixture.h"
#include "hba.h"

static const char good[] = "[pgbouncer]\n"
                           "auth_type = trust\n"
                           "auth_file = users.txt\n"
                           "job_name = x\n"
                           "server_tls_protocols = tlsv1.3\n"
                           "[databases]\n"
                           "a = host=h user=x pool_size=1 min_pool_size=2\n"
                           "a = host=h user=x\n"
                           "b = dbname=c\n"
                           "* = host=i\n"
                           "[users]\n"
                           "u = pool_mode=session\n";

/* The same with rules and maps, of which some are wrong. */
static const char with_hba[] = "[pgbouncer]\n"
                               "auth_type = hba\n"
                               "auth_hba_file = hba.rules\n"
                               "auth_ident_file = ident.conf\n"
                               "auth_hba_lenient = 1\n"
                               "client_tls_ca_file = ca\n";

static void
write_rules(void)
{
    fixture_write("hba.rules", "local a,b,/c c,\"d\" md5\n"
                               "local all +group md5\n"
                               "include more.conf\n"
                               "include_if_exists none.conf\n"
                               "include_dir .\n"
                               "host all @names 10.0.0.0/8 md5\n"
                               "host all all .example.org md5\n"
                               "hostssl all all 10.0.0.0 255.0.0.0 cert map=m map=n\n"
                               "local all all ldap ldapserver=l ldapprefix=\"a b\"\n");
    fixture_write("more.conf", "local all @names md5\n");
    fixture_write("names", "a, b,\nc\n");
    fixture_write("ident.conf", "m a b\nn /^(.*)x$ \\1\nn a\n");
}

/* -ENOMEM for every number of allocations but enough; returns what the load says then. */
static int
load_until_enough(const char *path, struct config **ret_config)
{
    for (long enough = 0;; enough++) {
        CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
        int r;

        fake_memory_limit(enough);
        r = config_load(path, &errors, ret_config);
        if (fake_memory_unlimit() > 0)
            return r;
        if (r == 0 || r == -EINVAL) /* just enough */
            return r;
        assert_int_equal(r, -ENOMEM);
        assert_null(*ret_config);
    }
}

static void
test_good_file(void **state)
{
    CLEANUP(config_unref) struct config *config = NULL;

    (void)state;
    fixture_write("users.txt", "\"zoe\" \"one\"\n\"bob\" \"two\"\n\"zoe\" \"three\"\n");
    fixture_write("t.ini", good);
    assert_int_equal(load_until_enough("t.ini", &config), 0);
    assert_int_equal(config->n_databases, 2);
}

static void
test_rules(void **state)
{
    CLEANUP(config_unref) struct config *config = NULL;

    (void)state;
    write_rules();
    fixture_write("t.ini", with_hba);
    assert_int_equal(load_until_enough("t.ini", &config), 0);
    assert_true(config->hba->n_rules > 4);
}

static void
test_set_that_reads_files(void **state)
{
    struct fixture *f = *state;
    CLEANUP(config_unref) struct config *set = NULL;
    int r = -ENOMEM;

    write_rules();
    assert_int_equal(fixture_load(f, with_hba), 0);
    for (long enough = 0; r < 0; enough++) {
        CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;

        fake_memory_limit(enough);
        r = config_set(f->config, "auth_hba_file", "hba.rules", &errors, &set);
        (void)fake_memory_unlimit();
        assert_true(r == 0 || r == -ENOMEM);
    }
    assert_int_equal(set->hba->n_rules, f->config->hba->n_rules);
}

static void
test_set(void **state)
{
    struct fixture *f = *state;
    CLEANUP(config_unref) struct config *set = NULL;
    int r = -ENOMEM;

    fixture_write("users.txt", "\"zoe\" \"one\"\n");
    assert_int_equal(fixture_load(f, good), 0);
    for (long enough = 0; r < 0; enough++) {
        fake_memory_limit(enough);
        r = config_set(f->config, "admin_users", "zoe", &f->errors, &set);
        (void)fake_memory_unlimit();
        assert_true(r == 0 || r == -ENOMEM);
    }
    assert_string_equal(set->admin_users, "zoe");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_good_file),
        fixture_test(test_rules),
        fixture_test(test_set),
        fixture_test(test_set_that_reads_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
