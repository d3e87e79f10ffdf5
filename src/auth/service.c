#include "service.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

static void
line_init(struct auth_line *line, struct executor *executor)
{
    line->executor = executor;
    list_init(&line->waiting);
}

int
auth_service_new(const struct auth_service_options *options, struct auth_service **ret_service)
{
    struct auth_service *const service = calloc(1, sizeof(*service));

    if (service == NULL)
        return -ENOMEM;
    if (RAND_bytes(service->mock_key, sizeof(service->mock_key)) != 1 ||
        RAND_bytes(service->cache_key, sizeof(service->cache_key)) != 1) {
        free(service);
        return -EIO;
    }
    service->options = *options;
    atomic_init(&service->queried_kind, SECRET_SCRAM);
    (void)pthread_mutex_init(&service->mutex, NULL);
    line_init(&service->hashing, options->hashing);
    line_init(&service->blocking, options->blocking);
    verifiers_init(&service->verifiers);
    *ret_service = service;
    return 0;
}

void
auth_service_free(struct auth_service *service)
{
    if (service == NULL)
        return;
    assert(service->hashing.running == 0 && service->blocking.running == 0);
    verifiers_done(&service->verifiers);
    (void)pthread_mutex_destroy(&service->mutex);
    OPENSSL_cleanse(service, sizeof(*service));
    free(service);
}
