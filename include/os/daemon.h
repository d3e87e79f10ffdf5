/*
 * daemon.h - into the background, and out of root's powers.
 *
 * Thread: the only one; call both before any other is started.
 */
#pragma once

/*
 * Goes on in a new process in a session of its own. The old one waits until daemon_report_ready and
 * exits with 0; if the new one ends before, it exits with the same code. The new process keeps
 * stderr till daemon_report_ready, so that its user sees why it failed. 0 or -errno, then nothing
 * happened.
 */
int daemon_detach(void);
/* Lets the old process go, and turns stdin, stdout and stderr to /dev/null. Nothing if not
 * detached. */
void daemon_report_ready(void);

/*
 * Becomes user, a name or a number, with that user's groups and home directory, for good; nothing
 * to do for one who is that user already. 0, -ENOENT for an unknown user, or -errno: then end the
 * process, it may be half way.
 */
int privileges_drop(const char *user);
