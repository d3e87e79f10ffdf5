/*
 * Memory that ends at the first allocation of a login, the second, and so on: each time the login
 * is refused for that reason, nobody waits for ever and nothing is lost (ASan counts), until there
 * is enough.
 */
#include "fixture.h"

#include <stdlib.h>

#include "fake_memory.h"
#include "scram.h"
#include "secret.h"

/* Negative: no end. It is in force on the login's thread while that is inside of auth. */
static long budget;

enum auth_status __real_auth_begin(struct auth *auth, struct config *config,
                                   const struct auth_login *login);
enum auth_status __real_auth_input(struct auth *auth, char type, const void *body, size_t len);
enum auth_status __wrap_auth_begin(struct auth *auth, struct config *config,
                                   const struct auth_login *login);
enum auth_status __wrap_auth_input(struct auth *auth, char type, const void *body, size_t len);

static void
begin_limit(void)
{
    if (budget >= 0)
        fake_memory_limit(budget);
}

static void
end_limit(void)
{
    if (budget >= 0)
        budget = fake_memory_unlimit();
}

enum auth_status
__wrap_auth_begin(struct auth *auth, struct config *config, const struct auth_login *login)
{
    enum auth_status status;

    begin_limit();
    status = __real_auth_begin(auth, config, login);
    end_limit();
    return status;
}

enum auth_status
__wrap_auth_input(struct auth *auth, char type, const void *body, size_t len)
{
    enum auth_status status;

    begin_limit();
    status = __real_auth_input(auth, type, body, len);
    end_limit();
    return status;
}

/* ---- the logins ---- */

static char alice[] = "alice", plain_secret[] = PENCIL, scram_secret[] = PENCIL_SCRAM;
static char auth_user[] = "pgweir_auth";

static enum auth_status
log_in(struct attempt *attempt, enum auth_type type)
{
    if (attempt_begin(attempt) == AUTH_WAIT)
        fixture_answer(attempt->f, AUTH_LOOKUP_FOUND, PENCIL_SCRAM);
    if (attempt_wait(attempt) != AUTH_CONTINUE)
        return attempt->status;
    switch (type) {
    case AUTH_TYPE_PLAIN:
        return attempt_plain(attempt, PENCIL);
    case AUTH_TYPE_MD5:
        return attempt_md5(attempt, PENCIL);
    default:
        return attempt_scram(attempt, SCRAM_NAME, PENCIL);
    }
}

/* Allocations that the login takes. */
static long
starve(struct fixture *f, enum auth_type type, char *secret)
{
    f->config.auth_type = (int)type;
    if (secret != NULL)
        f->users[0]->secret = secret;
    for (long enough = 0;; enough++) {
        struct attempt attempt;
        enum auth_status status;

        attempt_init(&attempt, f, "alice");
        budget = enough;
        status = log_in(&attempt, type);
        budget = -1;
        if (status == AUTH_FAILED)
            attempt_expect_failure(&attempt, "53200", "out of memory");
        attempt_done(&attempt);
        if (status == AUTH_ACCEPTED)
            return enough;
    }
}

static void
test_memory_ends(void **state)
{
    struct fixture *const f = *state;

    budget = -1;
    fixture_add_user(f, alice, plain_secret);
    assert_true(starve(f, AUTH_TYPE_TRUST, plain_secret) >= 4);
    assert_true(starve(f, AUTH_TYPE_PLAIN, plain_secret) >= 4);
    assert_true(starve(f, AUTH_TYPE_PLAIN, scram_secret) >= 4);
    assert_true(starve(f, AUTH_TYPE_MD5, plain_secret) >= 4);
    assert_true(starve(f, AUTH_TYPE_SCRAM_SHA_256, plain_secret) >= 8);
    assert_true(starve(f, AUTH_TYPE_SCRAM_SHA_256, scram_secret) >= 8);
}

static void
test_memory_ends_while_the_server_is_asked(void **state)
{
    struct fixture *const f = *state;

    f->config.auth_user = auth_user;
    assert_true(starve(f, AUTH_TYPE_TRUST, NULL) >= 3);
    assert_true(starve(f, AUTH_TYPE_SCRAM_SHA_256, NULL) >= 8);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_memory_ends),
        TEST(test_memory_ends_while_the_server_is_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
