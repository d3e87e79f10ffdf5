/* Who is let in, by which method, and what the console allows whom. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth.h"
#include "config.h"
#include "macros.h"

/* A configuration with one user in auth_file, two databases, and the console's lists. */
static char alice_name[] = "alice", app_name[] = "app";
static char admins[] = "root, boss", watchers[] = "watch";
static struct config_auth_user alice = {.name = alice_name};
static struct config_auth_user *auth_users[] = {&alice};
static const struct config_database plain;
static const struct config_database forced = {.user = app_name};

static struct config
make_config(int auth_type)
{
    return (struct config){
        .auth_type = auth_type,
        .auth_users = auth_users,
        .n_auth_users = ARRAY_SIZE(auth_users),
        .admin_users = admins,
        .stats_users = watchers,
    };
}

static const struct {
    int type;
    struct auth_login login;
    enum auth_status status;
    const char *message;
} logins[] = {
    {AUTH_TYPE_TRUST, {.user = "alice", .database = &plain}, AUTH_ACCEPTED, NULL},
    {AUTH_TYPE_TRUST,
     {.user = "bob", .database = &plain},
     AUTH_FAILED,
     "\"trust\" authentication failed"},
    {AUTH_TYPE_TRUST,
     {.user = "bob", .database = &forced},
     AUTH_FAILED,
     "\"trust\" authentication failed"},
    /* Whether the database exists is not for us to tell. */
    {AUTH_TYPE_TRUST, {.user = "alice", .database = NULL}, AUTH_ACCEPTED, NULL},
    {AUTH_TYPE_ANY, {.user = "bob", .database = &forced}, AUTH_ACCEPTED, NULL},
    {AUTH_TYPE_ANY, {.user = "alice", .database = &plain}, AUTH_FAILED, "bouncer config error"},
    {AUTH_TYPE_ANY, {.user = "bob", .database = NULL}, AUTH_ACCEPTED, NULL},
    {AUTH_TYPE_ANY, {.user = "boss", .for_console = true}, AUTH_ACCEPTED, NULL},
    {AUTH_TYPE_TRUST, {.user = "alice", .for_console = true}, AUTH_ACCEPTED, NULL},
    {AUTH_TYPE_TRUST,
     {.user = "boss", .for_console = true},
     AUTH_FAILED,
     "\"trust\" authentication failed"},
    {AUTH_TYPE_TRUST,
     {.user = "pgbouncer", .for_console = true, .is_unix = true, .peer_uid = (uid_t)-1},
     AUTH_FAILED,
     "\"trust\" authentication failed"},
};

static void
test_methods_decide(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(logins); i++) {
        const struct config config = make_config(logins[i].type);
        struct auth auth;

        auth_init(&auth);
        assert_int_equal(auth_begin(&auth, &config, &logins[i].login), logins[i].status);
        if (logins[i].message == NULL) {
            assert_null(auth.failure);
        } else {
            assert_string_equal(auth.failure->message, logins[i].message);
            assert_string_equal(auth.failure->sqlstate, "28000");
        }
        assert_string_equal(auth_method_name(&auth), auth_type_name(logins[i].type));
        auth_done(&auth);
    }
}

/* The user who owns the process needs no entry, but only by the right name and a unix socket. */
static void
test_owner_comes_in_by_unix_socket(void **state)
{
    const struct config config = make_config(AUTH_TYPE_TRUST);
    struct auth_login login = {.user = "pgbouncer", .for_console = true, .peer_uid = geteuid()};
    struct auth auth;

    (void)state;
    auth_init(&auth);
    assert_int_equal(auth_begin(&auth, &config, &login), AUTH_FAILED);
    login.is_unix = true;
    assert_int_equal(auth_begin(&auth, &config, &login), AUTH_ACCEPTED);
    login.user = "pgweir";
    assert_int_equal(auth_begin(&auth, &config, &login), AUTH_ACCEPTED);
    login.user = "mallory";
    assert_int_equal(auth_begin(&auth, &config, &login), AUTH_FAILED);
    login.user = "pgweir";
    login.for_console = false;
    assert_int_equal(auth_begin(&auth, &config, &login), AUTH_FAILED);
    auth_done(&auth);
}

/* Neither method has asked anything. */
static void
test_answers_to_nothing_are_refused(void **state)
{
    const struct config config = make_config(AUTH_TYPE_TRUST);
    const struct auth_login login = {.user = "alice", .database = &plain};
    struct auth auth;

    (void)state;
    auth_init(&auth);
    assert_string_equal(auth_method_name(&auth), "none");
    assert_int_equal(auth_begin(&auth, &config, &login), AUTH_ACCEPTED);
    assert_int_equal(auth_input(&auth, 'p', "secret", 7), AUTH_FAILED);
    assert_string_equal(auth.failure->sqlstate, "08P01");
    auth_done(&auth);
}

static void
test_console_access(void **state)
{
    const struct config config = make_config(AUTH_TYPE_TRUST);
    const uid_t self = geteuid();

    (void)state;
    assert_int_equal(auth_console_access(&config, "boss", false, 0), CONSOLE_ACCESS_ADMIN);
    assert_int_equal(auth_console_access(&config, "root", true, self + 1), CONSOLE_ACCESS_ADMIN);
    assert_int_equal(auth_console_access(&config, "watch", false, 0), CONSOLE_ACCESS_STATS);
    assert_int_equal(auth_console_access(&config, "alice", false, 0), CONSOLE_ACCESS_NONE);
    assert_int_equal(auth_console_access(&config, "pgbouncer", true, self), CONSOLE_ACCESS_ADMIN);
    assert_int_equal(auth_console_access(&config, "pgweir", true, self), CONSOLE_ACCESS_ADMIN);
    assert_int_equal(auth_console_access(&config, "pgweir", false, self), CONSOLE_ACCESS_NONE);
    assert_int_equal(auth_console_access(&config, "pgweir", true, self + 1), CONSOLE_ACCESS_NONE);
    assert_int_equal(auth_console_access(&config, "pgweir", true, (uid_t)-1), CONSOLE_ACCESS_NONE);
    assert_int_equal(auth_console_access(&config, "", false, 0), CONSOLE_ACCESS_NONE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods_decide),
        cmocka_unit_test(test_owner_comes_in_by_unix_socket),
        cmocka_unit_test(test_answers_to_nothing_are_refused),
        cmocka_unit_test(test_console_access),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
