/*
 * auth_ldap_options: what each text means, and what is said about those that mean nothing.
 */
#include <errno.h>
#include <string.h>

#include "buf.h"
#include "fixture.h"
#include "hba.h"
#include "ldap_options.h"
#include "str.h"

/* ---- what is understood ---- */

struct good {
    const char *text;
    const char *means; /* as print_options has it */
};

static void
print_option(struct buf *to, const char *name, const char *value)
{
    if (value != NULL)
        assert_int_equal(buf_printf(to, " %s=<%s>", name, value), 0);
}

static void
print_options(struct buf *to, const struct ldap_options *options)
{
    static const char *const scopes[] = {
        [LDAP_SEARCH_BASE] = "base", [LDAP_SEARCH_ONE] = "one", [LDAP_SEARCH_SUB] = "sub"};

    assert_int_equal(buf_printf(to, "%s%s %d %s", options->is_ldaps ? "ldaps" : "ldap",
                                options->starttls ? "+tls" : "", options->port,
                                scopes[options->scope]),
                     0);
    print_option(to, "server", options->server);
    print_option(to, "prefix", options->prefix);
    print_option(to, "suffix", options->suffix);
    print_option(to, "base", options->base_dn);
    print_option(to, "bind", options->bind_dn);
    print_option(to, "password", options->bind_password);
    print_option(to, "attribute", options->search_attribute);
    print_option(to, "filter", options->search_filter);
}

static void
expect_good(const struct good *good)
{
    CLEANUP(ldap_options_done) struct ldap_options options = LDAP_OPTIONS_INIT;
    CLEANUP(buf_done) struct buf why = BUF_INIT;
    CLEANUP(buf_done) struct buf printed = BUF_INIT;

    if (ldap_options_parse(good->text, &options, &why) < 0)
        fail_msg("%s: %s", good->text, buf_str(&why));
    print_options(&printed, &options);
    assert_string_equal(buf_str(&printed), good->means);
}

/* clang-format off */
static const struct good names_and_values[] = {
    { "ldapserver=h ldapprefix=uid= ldapsuffix=\",dc=example,dc=org\"",
      "ldap 0 sub server=<h> prefix=<uid=> suffix=<,dc=example,dc=org>" },
    { "ldapserver=\"h1 h2\" ldapport=1389 ldaptls=1 ldapsuffix=@example.org",
      "ldap+tls 1389 sub server=<h1 h2> suffix=<@example.org>" },
    { "ldapserver=h ldapscheme=LDAPS ldaptls=0 ldapbasedn=\"dc=org\" ldapbinddn=\"cn=r\" "
      "ldapbindpasswd=\"a \"\"b\"\"\" ldapsearchattribute=mail",
      "ldaps 0 sub server=<h> base=<dc=org> bind=<cn=r> password=<a \"b\"> attribute=<mail>" },
    { "ldapbasedn=\"dc=example,dc=org\" ldapsearchfilter=\"(&(uid=$username)(x=y))\"",
      "ldap 0 sub base=<dc=example,dc=org> filter=<(&(uid=$username)(x=y))>" },
    /* all of it quoted, commas between, blanks around; the last one counts */
    { "  \"ldapserver=h\" , \"ldapbasedn=dc=a,dc=b\",ldapserver=i\t",
      "ldap 0 sub server=<i> base=<dc=a,dc=b>" },
    { "\"ldapserver\"=h ldapbasedn=\"\"", "ldap 0 sub server=<h> base=<>" },
};

static const struct good urls[] = {
    { "ldapurl=\"ldap://127.0.0.1:12345/dc=example,dc=net?uid?sub\"",
      "ldap 12345 sub server=<127.0.0.1> base=<dc=example,dc=net> attribute=<uid>" },
    { "ldapurl=LDAPS://h/dc=org", "ldaps 0 base server=<h> base=<dc=org>" },
    { "ldapurl=ldap://[::1]:389/dc=org?mail?one",
      "ldap 389 one server=<[::1]> base=<dc=org> attribute=<mail>" },
    { "ldapurl=\"ldap://h/dc=a%20b%2cdc=c??sub?(uid=$username)\"",
      "ldap 0 sub server=<h> base=<dc=a b,dc=c> filter=<(uid=$username)>" },
    { "ldapurl=\"ldap:///dc=example?uid,mail?subtree\"",
      "ldap 0 sub base=<dc=example> attribute=<uid>" },
    { "ldapurl=ldap://h/", "ldap 0 base server=<h> base=<>" },
    { "ldapurl=ldap://h/dc=org??base? ldapserver=i ldapport=1 ldaptls=on",
      "ldap+tls 1 base server=<i> base=<dc=org>" },
};
/* clang-format on */

static void
test_names_and_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names_and_values); i++)
        expect_good(&names_and_values[i]);
}

static void
test_urls(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
        expect_good(&urls[i]);
}

/* ---- what is not ---- */

#define URL_FORM                                                                                   \
    " is not of the form ldap[s]://host[:port]/base[?attribute[?base|one|sub[?filter]]]"

/* clang-format off */
static const struct {
    const char *text;
    const char *complaint;
} bad[] = {
    { "", "ldapbasedn, ldapprefix or ldapsuffix must be set" },
    { "ldapserver=h", "ldapbasedn, ldapprefix or ldapsuffix must be set" },
    { "ldapprefix=uid=", "ldapserver must be set" },
    { "ldapbasedn=\"\"", "ldapserver must be set" },
    { "ldapserver=h ldapport=x", "ldapport: \"x\" is not a port number" },
    { "ldapserver=h ldapport=65536", "ldapport: \"65536\" is not a port number" },
    { "ldapserver=h ldapport=0", "ldapport: \"0\" is not a port number" },
    { "ldapserver=\"  \" ldapprefix=a", "ldapserver: no host is named" },
    { "ldapsearchattribute=", "ldapsearchattribute: \"\" is no name of an attribute" },
    { "ldapsearchattribute=a)(b", "ldapsearchattribute: \"a)(b\" is no name of an attribute" },
    { "ldapurl=ldap://h/dc=a?a)b", "ldapurl: \"ldap://h/dc=a?a)b\"" URL_FORM },
    { "ldapscheme=http", "ldapscheme: \"http\" is none of ldap, ldaps" },
    { "ldaptls=maybe", "ldaptls: \"maybe\" is none of 0, 1" },
    { "ldapserver=h ldapbasedn=dc=a ldaptls=1 ldapscheme=ldaps",
      "ldaptls=1 and ldaps exclude each other" },
    { "ldapserver=h ldapbasedn=dc=a ldapsearchattribute=uid ldapsearchfilter=(uid=$username)",
      "ldapsearchattribute and ldapsearchfilter exclude each other" },
    { "ldapserver=h ldapbasedn=dc=a ldapsearchfilter=(uid=alice)",
      "ldapsearchfilter: without $username it finds the same entry for everybody" },
    { "ldapserver=h ldapsufix=x",
      "unknown option \"ldapsufix\", did you mean \"ldapsuffix\"?" },
    { "ldapserver=h ldapbasedn=dc=a,dc=b",
      "unknown option \"dc\" (a value with commas or blanks needs quotes: "
      "ldapbasedn=\"dc=example,dc=org\")" },
    { "ldapserver", "\"ldapserver\": name=value expected" },
    { "ldapserver=\"h", "a quote does not end" },
    { "ldapurl=h", "ldapurl: \"h\"" URL_FORM },
    { "ldapurl=http://h/", "ldapurl: \"http://h/\"" URL_FORM },
    { "ldapurl=ldap://h:0/", "ldapurl: \"ldap://h:0/\"" URL_FORM },
    { "ldapurl=ldap://h:x/", "ldapurl: \"ldap://h:x/\"" URL_FORM },
    { "ldapurl=ldap://h/dc=a?uid?all", "ldapurl: \"ldap://h/dc=a?uid?all\"" URL_FORM },
    { "ldapurl=ldap://h/dc=%2", "ldapurl: \"ldap://h/dc=%2\"" URL_FORM },
    { "ldapurl=ldap://h/dc=%00", "ldapurl: \"ldap://h/dc=%00\"" URL_FORM },
    { "ldapurl=ldap://h/dc=%g0", "ldapurl: \"ldap://h/dc=%g0\"" URL_FORM },
    { "ldapurl=ldap://h/dc=a????x", "ldapurl: \"ldap://h/dc=a????x\"" URL_FORM },
    { "ldapurl=ldap://h", "ldapbasedn, ldapprefix or ldapsuffix must be set" },
};
/* clang-format on */

static void
test_bad_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        CLEANUP(ldap_options_done) struct ldap_options options = LDAP_OPTIONS_INIT;
        CLEANUP(buf_done) struct buf why = BUF_INIT;

        if (ldap_options_parse(bad[i].text, &options, &why) != -EINVAL)
            fail_msg("taken: %s", bad[i].text);
        assert_string_equal(buf_str(&why), bad[i].complaint);
    }
}

/* To make the user's name and to search for it are two ways, of which a site has one. */
static void
test_two_ways(void **state)
{
    static const char *const searches[] = {
        "ldapbasedn=dc=a",
        "ldapbinddn=cn=a",
        "ldapbindpasswd=a",
        "ldapsearchattribute=uid",
        "ldapsearchfilter=(uid=$username)",
        "ldapurl=ldap://h/dc=a",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(searches); i++) {
        CLEANUP(ldap_options_done) struct ldap_options options = LDAP_OPTIONS_INIT;
        CLEANUP(buf_done) struct buf text = BUF_INIT;
        CLEANUP(buf_done) struct buf why = BUF_INIT;

        assert_int_equal(buf_printf(&text, "ldapserver=h ldapprefix=uid= %s", searches[i]), 0);
        assert_int_equal(ldap_options_parse(buf_str(&text), &options, &why), -EINVAL);
        assert_true(str_starts_with(buf_str(&why), "ldapprefix and ldapsuffix are for a bind"));
    }
}

/* An HBA rule has options of other kinds, too. */
static void
test_rule(void **state)
{
    static char names[][16] = {"map", "ldapserver", "ldapprefix"};
    static char values[][16] = {"m", "h", "uid="};
    const struct hba_option rule[] = {
        {names[0], values[0]}, {names[1], values[1]}, {names[2], values[2]}};
    CLEANUP(ldap_options_done) struct ldap_options options = LDAP_OPTIONS_INIT;
    CLEANUP(buf_done) struct buf why = BUF_INIT;

    (void)state;
    assert_int_equal(ldap_options_from_rule(rule, 2, &options, &why), -EINVAL);
    assert_string_equal(buf_str(&why), "ldapbasedn, ldapprefix or ldapsuffix must be set");
    assert_int_equal(ldap_options_from_rule(rule, 3, &options, &why), 0);
    assert_string_equal(options.server, "h");
    assert_string_equal(options.prefix, "uid=");
    assert_true(ldap_options_has("ldapurl"));
    assert_false(ldap_options_has("map"));
}

/* ---- in a configuration ---- */

#ifdef HAVE_LDAP
static void
test_file(void **state)
{
    struct fixture *f = *state;

    fixture_load_keys(f, "auth_type = ldap\n"
                         "auth_ldap_options = ldapurl=\"ldap://h/dc=org?uid?sub\"\n");
    assert_int_equal(f->config->auth_type, AUTH_TYPE_LDAP);
    assert_string_equal(f->config->auth_ldap_options, "ldapurl=\"ldap://h/dc=org?uid?sub\"");
}

static void
test_file_without_options(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_load(f, "[pgbouncer]\nauth_type = ldap\n"), -EINVAL);
    assert_non_null(strstr(f->said, "auth_ldap_options is not set"));
}
#endif

static void
test_file_with_bad_options(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_load(f, "[pgbouncer]\nauth_ldap_options = ldapserver=h ldapport=x\n"),
                     -EINVAL);
    assert_non_null(
        strstr(f->said, "t.ini:2: auth_ldap_options: ldapport: \"x\" is not a port number\n"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_values),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_bad_texts),
        cmocka_unit_test(test_two_ways),
        cmocka_unit_test(test_rule),
#ifdef HAVE_LDAP
        fixture_test(test_file),
        fixture_test(test_file_without_options),
#endif
        fixture_test(test_file_with_bad_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
