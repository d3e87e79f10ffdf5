#include "reloader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "config.h"
#include "executor.h"
#include "log.h"
#include "sdnotify.h"
#include "tls.h"

struct reloader {
    struct job job;
    struct loop *loop;         /* borrowed */
    struct executor *executor; /* borrowed */
    struct reloader_hooks hooks;
    struct list waiting;     /* struct reload_waiter: for the next reload */
    struct list served;      /* for the one under way */
    struct config *old;      /* owned: a reference while under way */
    struct config *new;      /* owned: the result */
    struct tls_context *tls; /* owned: its TLS, or NULL */
    struct config_errors errors;
    int result;
    bool running;
    bool again; /* somebody has asked since it began */
    bool closed;
};

static void reloader_begin(struct reloader *reloader);

int
reloader_new(struct loop *loop, struct executor *executor, const struct reloader_hooks *hooks,
             struct reloader **ret_reloader)
{
    struct reloader *reloader = calloc(1, sizeof(*reloader));

    if (reloader == NULL)
        return -ENOMEM;
    reloader->loop = loop;
    reloader->executor = executor;
    reloader->hooks = *hooks;
    list_init(&reloader->waiting);
    list_init(&reloader->served);
    *ret_reloader = reloader;
    return 0;
}

void
reloader_free(struct reloader *reloader)
{
    free(reloader);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void
reloader_tell(struct reloader *reloader, const char *error)
{
    struct list *link;

    while ((link = list_pop(&reloader->served)) != NULL) {
        struct reload_waiter *waiter = container_of(link, struct reload_waiter, link);

        waiter->done(waiter, error);
    }
}

static void
log_errors(const struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        const struct config_error *error = &errors->list[i];
        const enum log_level level = error->is_warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR;

        if (error->file == NULL)
            log_at(level, "%s", error->message);
        else
            log_at(level, "%s:%u: %s", error->file, error->line, error->message);
    }
}

/* Why the file was refused, in one line for whoever asked. */
static void
describe_failure(const struct reloader *reloader, struct buf *text)
{
    const struct config_error *error = config_errors_first(&reloader->errors);

    if (error == NULL)
        (void)buf_append_str(text, strerror(-reloader->result));
    else if (error->file == NULL)
        (void)buf_append_str(text, error->message);
    else
        (void)buf_printf(text, "%s:%u: %s", error->file, error->line, error->message);
}

/* Lets go of what the reload has used. */
static void
reloader_drop(struct reloader *reloader)
{
    config_unref(TAKE(reloader->new));
    tls_context_unref(TAKE(reloader->tls));
    config_unref(TAKE(reloader->old));
    config_errors_done(&reloader->errors);
    reloader->running = false;
}

static void
reloader_finish(struct reloader *reloader)
{
    CLEANUP(buf_done) struct buf failure = BUF_INIT;

    log_errors(&reloader->errors);
    if (reloader->result == 0)
        reloader->result = reloader->hooks.apply(reloader->hooks.arg, reloader->new, reloader->tls);
    if (reloader->result < 0) {
        describe_failure(reloader, &failure);
        log_error("RELOAD failed, nothing has changed: %s", buf_str(&failure));
    } else
        log_info("configuration reloaded");
    reloader_drop(reloader);
    notify_ready();
    reloader_tell(reloader, reloader->result < 0 ? buf_str(&failure) : NULL);
}

static void
reloader_done(struct job *job, bool cancelled)
{
    struct reloader *reloader = container_of(job, struct reloader, job);

    if (cancelled || reloader->closed) {
        reloader_drop(reloader);
        return;
    }
    reloader_finish(reloader);
    if (reloader->again)
        reloader_begin(reloader);
}

void
reloader_close(struct reloader *reloader)
{
    reloader->closed = true;
    list_append(&reloader->served, &reloader->waiting);
    reloader_tell(reloader, "pooler is shutting down");
}

/* ---- the work -------------------------------------------------------------------------------- */

/* On the executor: it reads files. */
static void
reloader_run(struct job *job)
{
    struct reloader *reloader = container_of(job, struct reloader, job);

    reloader->result = config_reload(reloader->old, &reloader->errors, &reloader->new);
    if (reloader->result < 0)
        return;
    reloader->hooks.check(reloader->hooks.arg, reloader->new, &reloader->errors, &reloader->tls);
    if (config_errors_fatal(&reloader->errors))
        reloader->result = -EINVAL;
}

static void
reloader_begin(struct reloader *reloader)
{
    int r;

    reloader->again = false;
    list_append(&reloader->served, &reloader->waiting);
    reloader->old = config_ref(reloader->hooks.current(reloader->hooks.arg));
    reloader->errors = (struct config_errors)CONFIG_ERRORS_INIT;
    reloader->job.run = reloader_run;
    reloader->job.done = reloader_done;
    reloader->running = true;
    notify_reloading();
    r = executor_submit(reloader->executor, reloader->loop, &reloader->job);
    if (r < 0) {
        reloader->result = r;
        reloader_finish(reloader);
    }
}

void
reloader_start(struct reloader *reloader, struct reload_waiter *waiter)
{
    if (waiter != NULL)
        list_push_back(&reloader->waiting, &waiter->link);
    if (reloader->running)
        reloader->again = true;
    else
        reloader_begin(reloader);
}
