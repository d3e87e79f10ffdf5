/*
 * The method "pam". Home of libpam.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "hba.h"
#include "pam_check.h"
#include "sqlstate.h"
#include "str.h"

/* ---- the check ---- */

/* Answers what a module asks of the user; *answer is allocated where there is one. */
static int
answer_one(const struct pam_message *message, const char *password, char **answer)
{
    switch (message->msg_style) {
    case PAM_PROMPT_ECHO_OFF:
        *answer = strdup(password);
        return *answer != NULL ? PAM_SUCCESS : PAM_BUF_ERR;
    case PAM_ERROR_MSG: /* nobody is there to read them, which is no reason to fail */
    case PAM_TEXT_INFO:
        return PAM_SUCCESS;
    default: /* whatever that may be, the password is no answer */
        return PAM_CONV_ERR;
    }
}

static void
forget_answers(struct pam_response *answers, int count)
{
    for (int i = 0; i < count; i++) {
        if (answers[i].resp != NULL)
            explicit_bzero(answers[i].resp, strlen(answers[i].resp));
        free(answers[i].resp);
    }
    free(answers);
}

/* Called by the modules, who free what they get. */
static int
converse(int count, const struct pam_message **messages, struct pam_response **ret_answers,
         void *password)
{
    struct pam_response *answers;

    if (count <= 0 || count > PAM_MAX_NUM_MSG)
        return PAM_CONV_ERR;
    answers = calloc((size_t)count, sizeof(*answers));
    if (answers == NULL)
        return PAM_BUF_ERR;
    for (int i = 0; i < count; i++) {
        const int result = answer_one(messages[i], password, &answers[i].resp);

        if (result != PAM_SUCCESS) {
            forget_answers(answers, count);
            return result;
        }
    }
    *ret_answers = answers;
    return PAM_SUCCESS;
}

/* Modules run programs (pam_exec, unix_chkpwd), which shall have the signals of any other program.
 */
static void
in_child(void)
{
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigaction(SIGPIPE, &usual, NULL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* our threads block them all */
}

/* Nobody but the modules forks once the daemon is up. */
static void
prepare(void)
{
    (void)pthread_atfork(NULL, NULL, in_child);
}

/* What PAM's result means: the service is broken, or it has refused the user. */
static int
error_of(int result)
{
    switch (result) {
    case PAM_SUCCESS:
        return 0;
    case PAM_BUF_ERR:
        return -ENOMEM;
    case PAM_ABORT:
    case PAM_OPEN_ERR:
    case PAM_SERVICE_ERR:
    case PAM_SYMBOL_ERR:
    case PAM_SYSTEM_ERR:
    case PAM_AUTHINFO_UNAVAIL:
        return -EIO;
    default:
        return -EACCES;
    }
}

int
pam_check(const struct pam_question *question, char detail[static OUTSIDE_DETAIL_MAX])
{
    const struct pam_conv conversation = {
        .conv = converse,
        .appdata_ptr = (void *)(uintptr_t)question->password,
    };
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *step = "pam_start";
    pam_handle_t *pam = NULL;
    int result, r;

    (void)pthread_once(&once, prepare);
    result = pam_start(question->service, question->user, &conversation, &pam);
    if (result == PAM_SUCCESS && question->rhost != NULL) {
        step = "PAM_RHOST";
        result = pam_set_item(pam, PAM_RHOST, question->rhost);
    }
    if (result == PAM_SUCCESS) {
        step = "pam_authenticate";
        result = pam_authenticate(pam, 0);
    }
    if (result == PAM_SUCCESS) {
        step = "pam_acct_mgmt";
        result = pam_acct_mgmt(pam, 0);
    }
    r = error_of(result);
    if (r < 0)
        (void)outside_complain(detail, r, "service \"%s\": %s: %s", question->service, step,
                               pam_strerror(pam, result));
    if (pam != NULL)
        (void)pam_end(pam, result);
    return r;
}

/* ---- the method ---- */

struct pam_login {
    struct outside outside;
    char *service;                /* owned */
    struct sockaddr_storage from; /* of the client; AF_UNSPEC through a unix socket */
    bool by_name;                 /* the service shall know the client's host by its name */
};

static int
check(struct outside *outside)
{
    struct pam_login *login = container_of(outside, struct pam_login, outside);
    struct pam_question question = {
        .service = login->service,
        .user = outside->user,
        .password = outside->password,
    };
    char rhost[NI_MAXHOST];
    const int flags = login->by_name ? 0 : NI_NUMERICHOST;

    if (login->from.ss_family != AF_UNSPEC &&
        getnameinfo((struct sockaddr *)&login->from, sizeof(login->from), rhost, sizeof(rhost),
                    NULL, 0, flags) == 0)
        question.rhost = rhost;
    return pam_check(&question, outside->detail);
}

static void
free_login(struct outside *outside)
{
    struct pam_login *login = container_of(outside, struct pam_login, outside);

    free(login->service);
    free(login);
}

/* "pgbouncer" is the service that a site has when it comes from there. */
static struct pam_login *
login_new(const struct auth *auth)
{
    const char *service = auth->rule != NULL ? hba_rule_option(auth->rule, "pamservice") : NULL;
    const char *by_name =
        auth->rule != NULL ? hba_rule_option(auth->rule, "pam_use_hostname") : NULL;
    const struct sockaddr *from = auth->login.address;
    struct pam_login *login = calloc(1, sizeof(*login));

    if (login == NULL)
        return NULL;
    login->service = strdup(service != NULL ? service : "pgbouncer");
    if (login->service == NULL) {
        free(login);
        return NULL;
    }
    login->by_name = str_eq(by_name, "1");
    if (from != NULL)
        memcpy(&login->from, from,
               from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                           : sizeof(struct sockaddr_in));
    return login;
}

static enum auth_status
input(struct auth *auth, const void *body, size_t len)
{
    static const struct outside_method outside = {
        .failure = {.sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
                    .message = "PAM authentication failed"},
        .check = check,
        .free = free_login,
    };
    const char *password = auth_read_password(auth, body, len);
    struct pam_login *login;

    if (password == NULL)
        return AUTH_FAILED;
    login = login_new(auth);
    if (login == NULL)
        return auth_fail_error(auth, -ENOMEM);
    return outside_start(auth, &outside, &login->outside, password);
}

const struct auth_method auth_method_pam = {
    .name = "pam",
    .begin = auth_ask_password,
    .input = input,
};
