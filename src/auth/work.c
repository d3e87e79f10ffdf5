/*
 * work.c - work of a login on other threads, and its way back.
 *
 *     auth_work_start --> waiting --> the executor's queue --> run --> auth_work_arrive --> freed
 *
 * What the executor has no room for waits in a line, in order. Each job that comes back makes room
 * for the next; so a full executor costs those who want to log in their time, and nobody else.
 */
#include <assert.h>
#include <errno.h>

#include "service.h"

void
auth_work_expect(struct auth *auth, struct auth_work *work)
{
    assert(auth->work == NULL);
    work->service = auth->service;
    work->auth = auth;
    auth->work = work;
}

void
auth_work_arrive(struct auth_work *work)
{
    struct auth *const auth = work->auth;
    enum auth_status status;

    if (auth == NULL) {
        work->free(work);
        return;
    }
    auth->work = NULL;
    buf_clear(&auth->reply);
    status = work->cancelled ? auth_fail_error(auth, -ESHUTDOWN) : work->finish(work, auth);
    work->free(work);
    if (status != AUTH_WAIT)
        auth->decided(auth, status);
}

void
auth_work_abandon(struct auth_work *work)
{
    struct auth_service *const service = work->service;
    bool waits;

    (void)pthread_mutex_lock(&service->mutex);
    waits = list_is_linked(&work->link);
    list_remove(&work->link);
    (void)pthread_mutex_unlock(&service->mutex);
    work->auth = NULL;
    if (waits)
        work->free(work);
}

/* ---- the line ---- */

static void work_done(struct job *job, bool cancelled);

static void
work_run(struct job *job)
{
    struct auth_work *const work = container_of(job, struct auth_work, job);

    work->run(work);
}

static int
line_submit(struct auth_line *line, struct auth_work *work)
{
    const int r = executor_submit(line->executor, work->job.loop, &work->job);

    if (r == 0)
        line->running++;
    return r;
}

int
auth_line_enter(struct auth_line *line, struct loop *loop, struct auth_work *work)
{
    int r = -EAGAIN;

    work->line = line;
    work->job.loop = loop;
    work->job.run = work_run;
    work->job.done = work_done;
    if (list_empty(&line->waiting))
        r = line_submit(line, work);
    if (r != -EAGAIN)
        return r;
    assert(line->running > 0);
    list_push_back(&line->waiting, &work->link);
    return 0;
}

static void
work_cancelled(struct message *message)
{
    struct auth_work *const work = container_of(message, struct auth_work, job.message);

    work->cancelled = true;
    auth_work_arrive(work);
}

/*
 * The executor was closed. What a login waits for ends on the login's loop; what is nobody's is
 * the caller's to free, without the mutex.
 */
static void
work_reject(struct auth_work *work, struct list *orphans)
{
    if (work->auth == NULL) {
        list_push_back(orphans, &work->link);
        return;
    }
    work->job.message.fn = work_cancelled;
    loop_post(work->job.loop, &work->job.message);
}

/* Those that wait go on, as many as there is room for. */
static void
line_advance(struct auth_line *line, struct list *orphans)
{
    struct auth_work *work;
    int r;

    while ((work = list_entry(list_pop(&line->waiting), struct auth_work, link)) != NULL) {
        r = line_submit(line, work);
        if (r == -EAGAIN) {
            list_push_front(&line->waiting, &work->link);
            return;
        }
        if (r < 0)
            work_reject(work, orphans);
    }
}

static void
work_done(struct job *job, bool cancelled)
{
    struct auth_work *const work = container_of(job, struct auth_work, job);
    struct auth_service *const service = work->service;
    struct list orphans = LIST_INIT(orphans);
    struct auth_work *orphan;

    (void)pthread_mutex_lock(&service->mutex);
    work->line->running--;
    line_advance(work->line, &orphans);
    (void)pthread_mutex_unlock(&service->mutex);
    while ((orphan = list_entry(list_pop(&orphans), struct auth_work, link)) != NULL)
        orphan->free(orphan);
    work->cancelled = cancelled;
    auth_work_arrive(work);
}

enum auth_status
auth_work_start(struct auth *auth, struct auth_work *work, enum auth_work_kind kind)
{
    struct auth_service *const service = auth->service;
    struct auth_line *const line =
        kind == AUTH_WORK_HASHING ? &service->hashing : &service->blocking;
    int r;

    auth_work_expect(auth, work);
    (void)pthread_mutex_lock(&service->mutex);
    r = auth_line_enter(line, auth->loop, work);
    (void)pthread_mutex_unlock(&service->mutex);
    if (r == 0)
        return AUTH_WAIT;
    auth->work = NULL;
    work->free(work);
    return auth_fail_error(auth, -ESHUTDOWN);
}
