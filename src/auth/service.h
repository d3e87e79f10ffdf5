/*
 * service.h - what all logins of the daemon share, and how their work waits for a thread.
 *
 * Thread: any; what changes is under the mutex.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "auth_int.h"
#include "secret.h"
#include "verifiers.h"

/* An executor and the work that it had no room for, oldest first. */
struct auth_line {
    struct executor *executor; /* borrowed */
    struct list waiting;       /* of struct auth_work */
    unsigned running; /* what the executor has; it makes room when one of these comes back */
};

struct auth_service {
    struct auth_service_options options;
    unsigned char mock_key[SCRAM_KEY_SIZE];  /* random; what mock secrets follow from */
    unsigned char cache_key[SCRAM_KEY_SIZE]; /* random; hides the passwords in verifiers' keys */
    _Atomic enum secret_kind queried_kind;   /* what auth_query's last secret was */
    pthread_mutex_t mutex;
    struct auth_line hashing, blocking; /* under the mutex, as the next */
    struct verifiers verifiers;
};

/* Under the mutex: takes over work. 0, or -ESHUTDOWN, and work is still the caller's. */
int auth_line_enter(struct auth_line *line, struct loop *loop, struct auth_work *work);

/*
 * On the loop: the work has come back; finish or not, then free. For work that does not run on an
 * executor this is what its message calls.
 */
void auth_work_arrive(struct auth_work *work);
/* The login goes on when somebody calls auth_work_arrive: on what the work waits for is his. */
void auth_work_expect(struct auth *auth, struct auth_work *work);
/* Nobody wants the outcome any more. */
void auth_work_abandon(struct auth_work *work);
