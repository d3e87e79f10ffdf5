/*
 * reloader.h - reads the configuration again, on the executor, and puts it in force if all is well.
 *
 * One reload runs at a time; who asks meanwhile gets the next one, which surely sees what the file
 * holds now. A bad file changes nothing.
 *
 * Thread: the main loop's. Life: reloader_new ... reloader_close, then reloader_free after the
 * executor was closed and the loop freed: then nothing is under way.
 */
#pragma once

#include "console.h"

struct config;
struct config_errors;
struct executor;
struct loop;
struct reloader;
struct tls_context;

struct reloader_hooks {
    void *arg;
    /* The configuration in force. */
    struct config *(*current)(void *arg);
    /*
     * On the executor, before another is put in force: adds what it finds wrong with that, and
     * makes its TLS, if it has any.
     */
    void (*check)(void *arg, const struct config *config, struct config_errors *errors,
                  struct tls_context **ret_tls);
    /* Puts both in force (takes its own references); 0, or -errno and nothing has changed. */
    int (*apply)(void *arg, struct config *config, struct tls_context *tls);
};

/* Everything is borrowed; hooks is copied. 0 or -ENOMEM. */
int reloader_new(struct loop *loop, struct executor *executor, const struct reloader_hooks *hooks,
                 struct reloader **ret_reloader);
/* Nothing is put in force any more: what is under way is dropped, waiters are told. */
void reloader_close(struct reloader *reloader);
void reloader_free(struct reloader *reloader);
/* waiter, if any, is told when it is done. */
void reloader_start(struct reloader *reloader, struct reload_waiter *waiter);
