#include "outside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
run(struct auth_work *work)
{
    struct outside *outside = container_of(work, struct outside, work);

    outside->result = outside->method->check(outside);
}

static enum auth_status
finish(struct auth_work *work, struct auth *auth)
{
    struct outside *outside = container_of(work, struct outside, work);

    if (outside->result == 0)
        return auth_accept_password(auth, outside->password);
    auth_explain(auth, "%s", outside->detail);
    return auth_fail(auth, &outside->method->failure);
}

static void
free_all(struct auth_work *work)
{
    struct outside *outside = container_of(work, struct outside, work);

    if (outside->password != NULL)
        explicit_bzero(outside->password, strlen(outside->password));
    free(outside->password);
    free(outside->user);
    outside->method->free(outside);
}

enum auth_status
outside_start(struct auth *auth, const struct outside_method *method, struct outside *outside,
              const char *password)
{
    outside->method = method;
    outside->work.run = run;
    outside->work.finish = finish;
    outside->work.free = free_all;
    outside->user = strdup(auth->login.user);
    outside->password = strdup(password);
    if (outside->user == NULL || outside->password == NULL) {
        free_all(&outside->work);
        return auth_fail_error(auth, -ENOMEM);
    }
    return auth_work_start(auth, &outside->work, AUTH_WORK_BLOCKING);
}

int
outside_complain(char detail[static OUTSIDE_DETAIL_MAX], int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(detail, OUTSIDE_DETAIL_MAX, format, args);
    va_end(args);
    return error;
}
