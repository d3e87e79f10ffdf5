/*
 * listeners.h - all the sockets that the configuration, or systemd, asks to listen on.
 *
 * Thread: the main loop's. Life: listeners_open ... listeners_free. Logs what it does.
 */
#pragma once

#include "listener.h"

struct config;
struct listeners;
struct loop;

/*
 * Takes systemd's sockets if there are any, else opens those of listen_addr and unix_socket_dir.
 * One address of several that fails is a warning. 0, or -errno after the reason was logged.
 */
int listeners_open(const struct config *config, struct loop *loop, listener_fn *accepted, void *arg,
                   struct listeners **ret_listeners);
/* Administrators can still come in by the unix socket. Idempotent. */
void listeners_close_tcp(struct listeners *listeners);
void listeners_free(struct listeners *listeners);
