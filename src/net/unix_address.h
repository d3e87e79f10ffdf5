/*
 * unix_address.h - where a unix socket is: a path, or with an @ in front a name of Linux' own.
 */
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

/* 0; -EINVAL: empty; -ENAMETOOLONG. */
int unix_address(const char *path, struct sockaddr_un *ret_addr, socklen_t *ret_len);
