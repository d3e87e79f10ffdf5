/*
 * listeners.h - all the sockets that the configuration, or systemd, asks to listen on.
 *
 * Thread: that of the loop they are opened on. Life: listeners_open ... listeners_free. Logs what
 * it does.
 */
#pragma once

#include <sys/socket.h>

#include "listener.h"

struct config;
struct listeners;
struct loop;

/*
 * As listener_fn; listen_address is the item of listen_addr that the client came through (of
 * systemd's sockets, "*" or the address), NULL for a unix socket.
 */
typedef void listeners_fn(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len,
                          const char *listen_address);

/*
 * Takes systemd's sockets if there are any, else opens those of listen_addr and unix_socket_dir.
 * One address of several that fails is a warning. 0, or -errno after the reason was logged.
 */
int listeners_open(const struct config *config, struct loop *loop, listeners_fn *accepted,
                   void *arg, struct listeners **ret_listeners);
/* New clients get the tcp_* options of config. */
void listeners_reload(struct listeners *listeners, const struct config *config);
/* Administrators can still come in by the unix socket. Idempotent. */
void listeners_close_tcp(struct listeners *listeners);
void listeners_free(struct listeners *listeners);
