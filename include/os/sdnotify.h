/*
 * sdnotify.h - tells systemd how we are, and takes the sockets that it opened for us.
 *
 * Speaks the protocols themselves (sd_notify(3), sd_listen_fds(3)), so that no library is needed.
 * Without NOTIFY_SOCKET the notify functions do nothing, and a message that cannot be sent is
 * dropped.
 *
 * Thread: the main one.
 */
#pragma once

#include "macros.h"
#include "usec.h"

void notify_ready(void);
/* Followed by notify_ready when the reload is over. */
void notify_reloading(void);
void notify_stopping(void);
/* One line for `systemctl status`. */
void notify_status(const char *format, ...) PRINTF_LIKE(1, 2);
void notify_watchdog(void);
/* How often notify_watchdog is due at the latest (half of what systemd waits); 0 is never. */
usec_t notify_watchdog_interval(void);

/*
 * The sockets that were passed to this process: *ret_first and those after it, close-on-exec, now
 * the caller's. Returns how many, 0 when asked again, -EINVAL when the environment makes no sense.
 */
int listen_fds_take(int *ret_first);
