/*
 * verifiers.c - an entry is made by the first login that wants it, on an executor's thread:
 *
 *     MAKING --> MADE, and used by all who wait and who come --> kept, until others push it out
 *          \--> failed: out of the map, so that the next login tries again
 *
 * The job of the entry belongs to no login. Between "made" and "kept" it is on its way back to the
 * loop that it was started from; only then may the entry be freed.
 */
#include "verifiers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "service.h"
#include "str.h"
#include "wipe.h"

#define KEPT_MAX    8192
#define DIGEST_SIZE SCRAM_KEY_SIZE

struct entry {
    struct map_node node;
    struct list link;                  /* in verifiers->kept once it is back */
    struct list waiters;               /* while it is being made */
    unsigned char digest[DIGEST_SIZE]; /* of salt, iterations and password */
    bool is_made, has_failed;
    struct verifier verifier; /* once made; before, iterations and salt */
    char *password;           /* owned, wiped once made */
    struct auth_work work;    /* that makes it; nobody's */
};

/* A login that waits for an entry; work.link is in its waiters. */
struct waiter {
    struct auth_work work;
    struct verifier verifier;
    int error;
    verifiers_fn *finish;
};

/* ---- by digest ---- */

static uint64_t
digest_hash(const unsigned char digest[DIGEST_SIZE])
{
    uint64_t hash;

    memcpy(&hash, digest, sizeof(hash));
    return hash;
}

static bool
entry_has_digest(const struct map_node *node, const void *digest)
{
    return memcmp(container_of(node, struct entry, node)->digest, digest, DIGEST_SIZE) == 0;
}

/* Keyed, so that memory holds nothing that passwords could be tried on faster than by logging in.
 */
static int
make_digest(const struct auth_service *service, const char *password, const char *salt,
            int iterations, unsigned char ret_digest[DIGEST_SIZE])
{
    CLEANUP(buf_done) struct buf text = BUF_INIT;
    int r;

    r = buf_printf(&text, "%s %d %s", salt, iterations, password);
    if (r == 0)
        r = verifier_hmac(service->cache_key, sizeof(service->cache_key), text.data, text.len,
                          ret_digest);
    if (text.data != NULL)
        OPENSSL_cleanse(text.data, text.cap);
    return r;
}

/* ---- life ---- */

void
verifiers_init(struct verifiers *verifiers)
{
    map_init(&verifiers->map, entry_has_digest);
    list_init(&verifiers->kept);
}

static void
entry_free(struct entry *entry)
{
    wipe_free(entry->password);
    OPENSSL_cleanse(entry, sizeof(*entry));
    free(entry);
}

static void
drop_oldest(struct verifiers *verifiers)
{
    struct entry *const entry = list_entry(list_pop_back(&verifiers->kept), struct entry, link);

    map_remove(&verifiers->map, &entry->node);
    entry_free(entry);
}

void
verifiers_done(struct verifiers *verifiers)
{
    while (!list_empty(&verifiers->kept))
        drop_oldest(verifiers);
    assert(map_count(&verifiers->map) == 0);
    map_done(&verifiers->map);
}

/* ---- those who wait ---- */

static struct waiter *
waiter_of(struct auth_work *work)
{
    return container_of(work, struct waiter, work);
}

static enum auth_status
waiter_finish(struct auth_work *work, struct auth *auth)
{
    const struct waiter *const waiter = waiter_of(work);

    if (waiter->error < 0)
        return auth_fail_error(auth, waiter->error);
    return waiter->finish(auth, &waiter->verifier);
}

static void
waiter_free(struct auth_work *work)
{
    struct waiter *const waiter = waiter_of(work);

    OPENSSL_cleanse(waiter, sizeof(*waiter));
    free(waiter);
}

static void
waiter_arrive(struct message *message)
{
    auth_work_arrive(container_of(message, struct auth_work, job.message));
}

/* Under the mutex: all go on, each on the loop of its login. */
static void
wake_waiters(struct entry *entry, int error)
{
    struct list *link;

    while ((link = list_pop(&entry->waiters)) != NULL) {
        struct waiter *const waiter = waiter_of(container_of(link, struct auth_work, link));

        waiter->error = error;
        if (error == 0)
            waiter->verifier = entry->verifier;
        loop_post(waiter->work.job.loop, &waiter->work.job.message);
    }
}

/* Under the mutex. */
static enum auth_status
wait_for(struct entry *entry, struct auth *auth, verifiers_fn *finish)
{
    struct waiter *const waiter = calloc(1, sizeof(*waiter));

    if (waiter == NULL)
        return auth_fail_error(auth, -ENOMEM);
    waiter->finish = finish;
    waiter->work.finish = waiter_finish;
    waiter->work.free = waiter_free;
    waiter->work.job.loop = auth->loop;
    waiter->work.job.message.fn = waiter_arrive;
    auth_work_expect(auth, &waiter->work);
    list_push_back(&entry->waiters, &waiter->work.link);
    return AUTH_WAIT;
}

/* ---- making one ---- */

static struct entry *
entry_of(struct auth_work *work)
{
    return container_of(work, struct entry, work);
}

/* Under the mutex. */
static void
entry_settle(struct entry *entry, int error)
{
    entry->is_made = error == 0;
    if (error < 0) {
        entry->has_failed = true;
        map_remove(&entry->work.service->verifiers.map, &entry->node);
    }
    wake_waiters(entry, error);
}

/* On the executor's thread: nobody else looks at the verifier before it is made. */
static void
entry_make(struct auth_work *work)
{
    struct entry *const entry = entry_of(work);
    struct auth_service *const service = work->service;
    struct verifier made;
    int r;

    r = verifier_make(entry->password, entry->verifier.salt, entry->verifier.iterations, &made);
    wipe_free(TAKE(entry->password));
    (void)pthread_mutex_lock(&service->mutex);
    if (r == 0)
        entry->verifier = made;
    entry_settle(entry, r);
    (void)pthread_mutex_unlock(&service->mutex);
    OPENSSL_cleanse(&made, sizeof(made));
}

/* Back on the loop, or never begun: kept if it is good for anything. */
static void
entry_return(struct auth_work *work)
{
    struct entry *const entry = entry_of(work);
    struct auth_service *const service = work->service;
    struct verifiers *const verifiers = &service->verifiers;

    (void)pthread_mutex_lock(&service->mutex);
    if (!entry->is_made && !entry->has_failed)
        entry_settle(entry, -ESHUTDOWN);
    if (entry->is_made)
        list_push_front(&verifiers->kept, &entry->link);
    else
        entry_free(entry);
    if (map_count(&verifiers->map) > KEPT_MAX && !list_empty(&verifiers->kept))
        drop_oldest(verifiers);
    (void)pthread_mutex_unlock(&service->mutex);
}

static struct entry *
entry_new(const char *password, const char *salt, int iterations,
          const unsigned char digest[DIGEST_SIZE])
{
    struct entry *const entry = calloc(1, sizeof(*entry));

    if (entry == NULL)
        return NULL;
    list_init(&entry->waiters);
    memcpy(entry->digest, digest, DIGEST_SIZE);
    entry->verifier.iterations = iterations;
    (void)str_copy(entry->verifier.salt, sizeof(entry->verifier.salt), salt);
    entry->work.run = entry_make;
    entry->work.free = entry_return;
    entry->password = strdup(password);
    if (entry->password == NULL) {
        entry_free(entry);
        return NULL;
    }
    return entry;
}

/* Under the mutex. */
static int
entry_start(struct auth_service *service, struct loop *loop, struct entry *entry)
{
    int r;

    r = map_add(&service->verifiers.map, &entry->node, digest_hash(entry->digest));
    if (r < 0)
        return r;
    entry->work.service = service;
    r = auth_line_enter(&service->hashing, loop, &entry->work);
    if (r < 0)
        map_remove(&service->verifiers.map, &entry->node);
    return r;
}

/* ---- wanting one ---- */

/* Under the mutex. */
static struct entry *
find_entry(struct verifiers *verifiers, const unsigned char digest[DIGEST_SIZE])
{
    struct entry *const entry =
        map_entry(map_get(&verifiers->map, digest_hash(digest), digest), struct entry, node);

    if (entry != NULL && list_is_linked(&entry->link)) {
        list_remove(&entry->link);
        list_push_front(&verifiers->kept, &entry->link);
    }
    return entry;
}

/* Under the mutex: there is none yet. */
static int
add_entry(struct auth *auth, const char *password, const char *salt, int iterations,
          const unsigned char digest[DIGEST_SIZE], struct entry **ret_entry)
{
    struct entry *const entry = entry_new(password, salt, iterations, digest);
    int r;

    if (entry == NULL)
        return -ENOMEM;
    r = entry_start(auth->service, auth->loop, entry);
    if (r < 0)
        entry_free(entry);
    else
        *ret_entry = entry;
    return r;
}

enum auth_status
verifiers_want(struct auth *auth, const char *password, const char *salt, int iterations,
               verifiers_fn *finish)
{
    struct auth_service *const service = auth->service;
    unsigned char digest[DIGEST_SIZE];
    struct verifier verifier;
    struct entry *entry;
    enum auth_status status;
    bool is_made;
    int r;

    r = make_digest(service, password, salt, iterations, digest);
    if (r < 0)
        return auth_fail_error(auth, r);
    (void)pthread_mutex_lock(&service->mutex);
    entry = find_entry(&service->verifiers, digest);
    is_made = entry != NULL && entry->is_made;
    if (is_made)
        verifier = entry->verifier;
    else if (entry == NULL)
        r = add_entry(auth, password, salt, iterations, digest, &entry);
    status = is_made || r < 0 ? AUTH_FAILED : wait_for(entry, auth, finish);
    (void)pthread_mutex_unlock(&service->mutex);
    if (r < 0)
        return auth_fail_error(auth, r);
    if (is_made) {
        status = finish(auth, &verifier);
        OPENSSL_cleanse(&verifier, sizeof(verifier));
    }
    return status;
}
