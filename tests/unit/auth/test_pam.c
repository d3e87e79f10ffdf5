/*
 * What the PAM check asks of PAM and answers to its modules. The functions here take the place of
 * libpam's.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <security/pam_appl.h>

#include "pam_check.h"

/* ---- PAM ---- */

static struct {
    /* what the test wants */
    int start_result, authenticate_result, account_result;
    int styles[4]; /* what the module says and asks, up to 0 */
    /* what has come */
    struct pam_conv conversation;
    char service[64], user[64], rhost[64];
    char answers[64]; /* "-" for none, "!" when the conversation fails */
    int ended;        /* how often */
} fake;

struct pam_handle {
    int unused;
};
static struct pam_handle handle;

int
pam_start(const char *service, const char *user, const struct pam_conv *conversation,
          pam_handle_t **ret_handle)
{
    (void)snprintf(fake.service, sizeof(fake.service), "%s", service);
    (void)snprintf(fake.user, sizeof(fake.user), "%s", user);
    fake.conversation = *conversation;
    if (fake.start_result == PAM_SUCCESS)
        *ret_handle = &handle;
    return fake.start_result;
}

int
pam_set_item(pam_handle_t *pam, int type, const void *item)
{
    assert_ptr_equal(pam, &handle);
    assert_int_equal(type, PAM_RHOST);
    (void)snprintf(fake.rhost, sizeof(fake.rhost), "%s", (const char *)item);
    return PAM_SUCCESS;
}

/* As a module does: one conversation with all that there is, then the answers are freed. */
static void
converse(int count)
{
    struct pam_message messages[ARRAY_SIZE(fake.styles)];
    const struct pam_message *pointers[ARRAY_SIZE(fake.styles)];
    struct pam_response *answers = NULL;

    for (int i = 0; i < count; i++) {
        messages[i] = (struct pam_message){.msg_style = fake.styles[i], .msg = "Password: "};
        pointers[i] = &messages[i];
    }
    if (fake.conversation.conv(count, pointers, &answers, fake.conversation.appdata_ptr) !=
        PAM_SUCCESS) {
        (void)strcat(fake.answers, "!");
        return;
    }
    for (int i = 0; i < count; i++) {
        (void)strcat(fake.answers, answers[i].resp != NULL ? answers[i].resp : "-");
        free(answers[i].resp);
    }
    free(answers);
}

int
pam_authenticate(pam_handle_t *pam, int flags)
{
    int count = 0;

    assert_ptr_equal(pam, &handle);
    assert_int_equal(flags, 0);
    while (fake.styles[count] != 0)
        count++;
    converse(count);
    return fake.authenticate_result;
}

int
pam_acct_mgmt(pam_handle_t *pam, int flags)
{
    assert_ptr_equal(pam, &handle);
    assert_int_equal(flags, 0);
    return fake.account_result;
}

const char *
pam_strerror(pam_handle_t *pam, int result)
{
    (void)pam;
    return result == PAM_AUTH_ERR ? "wrong" : "broken";
}

int
pam_end(pam_handle_t *pam, int result)
{
    (void)result;
    assert_ptr_equal(pam, &handle);
    fake.ended++;
    return PAM_SUCCESS;
}

/* ---- the tests ---- */

static int
setup(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    fake.styles[0] = PAM_PROMPT_ECHO_OFF;
    return 0;
}

static void
expect(const char *rhost, int result, const char *expected_detail)
{
    const struct pam_question question = {
        .service = "pgbouncer", .user = "alice", .password = "secret", .rhost = rhost};
    char detail[OUTSIDE_DETAIL_MAX] = "";

    assert_int_equal(pam_check(&question, detail), result);
    assert_string_equal(detail, expected_detail);
    assert_int_equal(fake.ended, fake.start_result == PAM_SUCCESS);
}

static void
test_right_password(void **state)
{
    (void)state;
    expect("10.0.0.7", 0, "");
    assert_string_equal(fake.service, "pgbouncer");
    assert_string_equal(fake.user, "alice");
    assert_string_equal(fake.rhost, "10.0.0.7");
    assert_string_equal(fake.answers, "secret");
}

static void
test_unix_socket_has_no_host(void **state)
{
    (void)state;
    expect(NULL, 0, "");
    assert_string_equal(fake.rhost, "");
}

static void
test_wrong_password(void **state)
{
    (void)state;
    fake.authenticate_result = PAM_AUTH_ERR;
    fake.account_result = PAM_ABORT; /* is not reached */
    expect(NULL, -EACCES, "service \"pgbouncer\": pam_authenticate: wrong");
}

/* The password is right, but the account is not fit for a login. */
static void
test_account(void **state)
{
    static const int results[] = {PAM_ACCT_EXPIRED, PAM_NEW_AUTHTOK_REQD, PAM_PERM_DENIED};

    for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
        (void)setup(state);
        fake.account_result = results[i];
        expect(NULL, -EACCES, "service \"pgbouncer\": pam_acct_mgmt: broken");
    }
}

static void
test_broken_service(void **state)
{
    (void)state;
    fake.start_result = PAM_ABORT;
    expect(NULL, -EIO, "service \"pgbouncer\": pam_start: broken");
}

static void
test_broken_module(void **state)
{
    static const int results[] = {PAM_AUTHINFO_UNAVAIL, PAM_SERVICE_ERR, PAM_SYSTEM_ERR};

    for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
        (void)setup(state);
        fake.authenticate_result = results[i];
        expect(NULL, -EIO, "service \"pgbouncer\": pam_authenticate: broken");
    }
}

/* What a module tells is no question; a question that is not for a password has no answer. */
static void
test_conversation(void **state)
{
    static const struct {
        int styles[3];
        const char *answers;
    } rows[] = {
        {{PAM_TEXT_INFO, PAM_PROMPT_ECHO_OFF}, "-secret"},
        {{PAM_PROMPT_ECHO_OFF, PAM_ERROR_MSG, PAM_PROMPT_ECHO_OFF}, "secret-secret"},
        {{PAM_PROMPT_ECHO_ON}, "!"},
        {{PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON}, "!"},
        {{PAM_RADIO_TYPE}, "!"},
        {{0}, "!"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        (void)setup(state);
        memcpy(fake.styles, rows[i].styles, sizeof(rows[i].styles));
        expect(NULL, 0, "");
        assert_string_equal(fake.answers, rows[i].answers);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_right_password, setup),
        cmocka_unit_test_setup(test_unix_socket_has_no_host, setup),
        cmocka_unit_test_setup(test_wrong_password, setup),
        cmocka_unit_test_setup(test_account, setup),
        cmocka_unit_test_setup(test_broken_service, setup),
        cmocka_unit_test_setup(test_broken_module, setup),
        cmocka_unit_test_setup(test_conversation, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
