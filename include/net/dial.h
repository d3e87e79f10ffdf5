/*
 * dial.h - plain connections to other daemons, made without blocking.
 *
 * Thread: any.
 */
#pragma once

/*
 * Begins to connect. address is numeric, or the directory ("/dir", "@name") of a unix socket as
 * PostgreSQL names it. 0: *ret_fd is the caller's; once it is writable, dial_result says more.
 * -EAGAIN: a unix socket's queue is full, so try again.
 */
int dial_begin(const char *address, int port, int *ret_fd);
/* 0: connected; else a negative errno. */
int dial_result(int fd);
