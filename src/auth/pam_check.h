/*
 * pam_check.h - one password, checked by PAM. Blocks, as long as the service's modules like.
 */
#pragma once

#include <sys/socket.h>

#include "outside.h"

struct pam_question {
    const char *service; /* a file in /etc/pam.d */
    const char *user;
    const char *password;
    const char *rhost; /* the client's address or name; NULL through a unix socket */
};

/*
 * Thread: any, several at once: each call has a PAM handle of its own. 0; -EACCES: PAM has said no;
 * -ENOMEM; -EIO: PAM does not work. On failure detail says why.
 */
int pam_check(const struct pam_question *question, char detail[static OUTSIDE_DETAIL_MAX]);
