/*
 * signals.h - signals as events of the main loop.
 *
 * Thread: signals_block the only one, before any other is started, which then inherits the mask;
 * the rest the main loop's.
 */
#pragma once

struct loop;
struct signals;

/* Those that we handle are delivered by signals_new's loop only; SIGPIPE never. */
void signals_block(void);
/* 0 or -errno. */
int signals_new(struct loop *loop, void (*fn)(void *arg, int signal), void *arg,
                struct signals **ret_signals);
void signals_free(struct signals *signals);
