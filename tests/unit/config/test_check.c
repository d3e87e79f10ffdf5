/*
 * TLS to the clients, and what logins need of it and of each other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "fixture.h"

#define FILES "client_tls_cert_file = c\nclient_tls_key_file = k\nclient_tls_ca_file = a\n"

/* With "auth_type = any" in line 2. */
static void
expect(struct fixture *f, int result, const char *keys, const char *said)
{
    CLEANUP(buf_done) struct buf text = BUF_INIT;

    assert_int_equal(buf_printf(&text, "[pgbouncer]\nauth_type = any\n%s", keys), 0);
    assert_int_equal(fixture_load(f, buf_str(&text)), result);
    assert_string_equal(f->said, said);
}

static void
test_modes(void **state)
{
    static const struct {
        const char *list, *address;
        enum tls_mode mode;
    } cases[] = {
        {"", "*", TLS_DISABLE},
        {"require", "*", TLS_REQUIRE},
        {"require", NULL, TLS_DISABLE}, /* a unix socket */
        {"require, 127.0.0.1=prefer", "127.0.0.1", TLS_PREFER},
        {"require, 127.0.0.1=prefer", "::1", TLS_REQUIRE},
        {"127.0.0.1=prefer,require", "::1", TLS_REQUIRE},
        {"127.0.0.1=prefer", "::1", TLS_DISABLE},
        {"127.0.0.1=prefer , ::1 = Verify-Full", "::1", TLS_VERIFY_FULL},
        {"require, LOCALHOST=allow", "localhost", TLS_ALLOW},
        {"require, localhost=allow", "localhos", TLS_REQUIRE},
    };
    struct fixture *f = *state;
    char keys[256];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        (void)snprintf(keys, sizeof(keys), FILES "client_tls_sslmode = %s\n", cases[i].list);
        fixture_load_keys(f, keys);
        assert_string_equal(f->said, "");
        assert_int_equal(config_client_tls_sslmode(f->config, cases[i].address), cases[i].mode);
    }
}

static void
test_files_are_needed(void **state)
{
    struct fixture *f = *state;

    expect(f, 0, "client_tls_sslmode = disable\n", "");
    expect(f, -EINVAL, "client_tls_sslmode = disable, ::1=allow\nlisten_addr = ::1\n",
           "t.ini:3: client_tls_sslmode = allow needs client_tls_cert_file\n"
           "t.ini:3: client_tls_sslmode = allow needs client_tls_key_file\n");
    expect(f, 0, "client_tls_sslmode = require\nclient_tls_cert_file=c\nclient_tls_key_file=k\n",
           "");
    expect(f, -EINVAL,
           "client_tls_sslmode = verify-ca\nclient_tls_cert_file=c\nclient_tls_key_file=k\n",
           "t.ini:3: client_tls_sslmode = verify-ca needs client_tls_ca_file\n");
}

static void
test_addresses(void **state)
{
    struct fixture *f = *state;

    expect(f, 0, FILES "client_tls_sslmode = *=require\nlisten_addr = *\n", "");
    expect(f, -EINVAL,
           FILES "client_tls_sslmode = prefer, 10.0.0.1=require\nlisten_addr = 10.0.0.2\n",
           "t.ini:6: client_tls_sslmode: 10.0.0.1 is not in listen_addr\n");
    expect(f, -EINVAL, FILES "client_tls_sslmode = a=prefer, require, A=require, disable\n",
           "t.ini:6: client_tls_sslmode: two modes for a\n"
           "t.ini:6: client_tls_sslmode: two modes for all addresses\n");
}

static void
test_auth_type_cert(void **state)
{
    struct fixture *f = *state;

    expect(f, -EINVAL, FILES "client_tls_sslmode = require\nauth_type = cert\n",
           "t.ini:7: auth_type = cert needs client_tls_sslmode = verify-full\n");
    expect(f, 0, FILES "client_tls_sslmode = verify-full\nauth_type = cert\n", "");
}

static void
test_secrets(void **state)
{
    struct fixture *f = *state;

    expect(f, 0, "auth_type = scram-sha-256\n",
           "t.ini: warning: neither auth_file nor auth_user is set: with auth_type = scram-sha-256 "
           "nobody can log in\n");
    expect(f, 0, "auth_type = md5\nauth_user = x\n", "");
    expect(f, 0, "auth_type = md5\n[databases]\na = auth_user=x\n", "");
    expect(f, 0, "auth_type = md5\n[databases]\n* = auth_user=x\n", "");
    expect(f, 0, "auth_type = peer\n", "");
}

static void
test_auth_dbname(void **state)
{
    struct fixture *f = *state;

    expect(f, -EINVAL, "auth_dbname = pgweir\n[databases]\na = user=x auth_dbname=pgbouncer\n",
           "t.ini:5: database \"a\": auth_dbname cannot be the console\n"
           "t.ini:3: auth_dbname cannot be the console\n");
    expect(f, 0, "auth_dbname = b\n[databases]\na = user=x\n",
           "t.ini:3: warning: auth_dbname: there is no database \"b\"\n");
    expect(f, 0, "auth_dbname = b\n[databases]\n* = user=x\n", "");
}

static void
test_ldap(void **state)
{
    struct fixture *f = *state;

    if (auth_type_missing(AUTH_TYPE_LDAP) != NULL)
        skip();
    expect(f, 0, "auth_type = ldap\nauth_ldap_options = ldapserver=l ldapprefix=x\n", "");
    assert_int_equal(fixture_load(f, "[pgbouncer]\nauth_type = ldap\n"), -EINVAL);
    assert_non_null(strstr(f->said, "t.ini: auth_ldap_options"));
}

/* A value that is good by itself must fit the others, as in a file. */
static void
test_set(void **state)
{
    struct fixture *f = *state;
    struct config *none = NULL;
    CLEANUP(config_unref) struct config *set = NULL;

    expect(f, 0, "auth_type = md5\n",
           "t.ini: warning: neither auth_file nor auth_user is set: with auth_type = md5 nobody "
           "can log in\n");
    config_errors_done(&f->errors);
    assert_int_equal(config_set(f->config, "client_tls_sslmode", "require", &f->errors, &none),
                     -EINVAL);
    assert_int_equal(config_set(f->config, "auth_dbname", "pgweir", &f->errors, &none), -EINVAL);
    assert_null(none);
    fixture_print(f);
    assert_string_equal(f->said, "client_tls_sslmode = require needs client_tls_cert_file\n"
                                 "client_tls_sslmode = require needs client_tls_key_file\n"
                                 "auth_dbname cannot be the console\n");
    config_errors_done(&f->errors);
    assert_int_equal(config_set(f->config, "query_timeout", "1", &f->errors, &set), 0);
    assert_int_equal(f->errors.count, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_modes),     fixture_test(test_files_are_needed),
        fixture_test(test_addresses), fixture_test(test_auth_type_cert),
        fixture_test(test_secrets),   fixture_test(test_auth_dbname),
        fixture_test(test_ldap),      fixture_test(test_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
