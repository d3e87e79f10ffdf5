/*
 * features.c - what the loaded libpq can do, and a process in which it does only what it is told.
 */
#include "backend_int.h"

#include <dlfcn.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"

/* PQtrace's present format and PQsslAttribute(NULL, ...) are that old. */
#define LIBPQ_OLDEST 150000

/* What is true of the process, found before its first thread starts; never changed afterwards. */
static struct libpq loaded;
static PQconninfoOption *known_options;

const struct libpq *
libpq(void)
{
    return &loaded;
}

bool
libpq_knows(const char *keyword)
{
    for (const PQconninfoOption *o = known_options; o != NULL && o->keyword != NULL; o++)
        if (str_eq(o->keyword, keyword))
            return true;
    return false;
}

/*
 * libpq reads PGHOST, PGOPTIONS, PGTZ, PGSERVICE... wherever it was not given a value, and takes an
 * empty value for none: only their absence protects. Our own variables stay.
 */
static int
environment_clean(void)
{
    extern char **environ;
    char name[256];

    for (char **entry = environ; entry != NULL && *entry != NULL;) {
        const size_t len = strcspn(*entry, "=");

        if (!str_starts_with(*entry, "PG") || str_starts_with(*entry, "PGWEIR") ||
            len >= sizeof(name)) {
            entry++;
            continue;
        }
        memcpy(name, *entry, len);
        name[len] = '\0';
        if (unsetenv(name) < 0)
            return -errno;
        entry = environ; /* unsetenv has moved the rest */
    }
    return 0;
}

static int
sigpipe_ignore(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};

    /* libpq may send without MSG_NOSIGNAL. */
    return sigaction(SIGPIPE, &ignore, NULL) < 0 ? -errno : 0;
}

/*
 * One SONAME serves all versions, and the headers may be older than the library: so functions are
 * looked up at run time.
 */
static void
cancel_family_find(void)
{
    *(void **)&loaded.cancel_create = dlsym(RTLD_DEFAULT, "PQcancelCreate");
    *(void **)&loaded.cancel_start = dlsym(RTLD_DEFAULT, "PQcancelStart");
    *(void **)&loaded.cancel_poll = dlsym(RTLD_DEFAULT, "PQcancelPoll");
    *(void **)&loaded.cancel_socket = dlsym(RTLD_DEFAULT, "PQcancelSocket");
    *(void **)&loaded.cancel_error = dlsym(RTLD_DEFAULT, "PQcancelErrorMessage");
    *(void **)&loaded.cancel_finish = dlsym(RTLD_DEFAULT, "PQcancelFinish");
    loaded.features.cancel_nonblocking =
        loaded.cancel_create != NULL && loaded.cancel_start != NULL && loaded.cancel_poll != NULL &&
        loaded.cancel_socket != NULL && loaded.cancel_error != NULL && loaded.cancel_finish != NULL;
}

/* The SSL that PQsslStruct gives is ours to use only if it was made by the library we call. */
static bool
tls_is_shared(void)
{
    void *function = dlsym(RTLD_DEFAULT, "PQconnectPoll");
    void *handle, *theirs;
    Dl_info where;

    if (function == NULL || dladdr(function, &where) == 0)
        return true; /* libpq is linked in statically, with the one libssl that there is */
    handle = dlopen(where.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == NULL)
        return false;
    theirs = dlsym(handle, "SSL_new"); /* in libpq and in what it was linked with */
    (void)dlclose(handle);
    return theirs == dlsym(RTLD_DEFAULT, "SSL_new") && theirs == (void *)SSL_new;
}

static const char *
tls_trouble(void)
{
    if (!str_eq(PQsslAttribute(NULL, "library"), "OpenSSL"))
        return "libpq was built without OpenSSL";
    if (!tls_is_shared())
        return "libpq is linked to another OpenSSL than pgweir";
    return NULL;
}

int
backend_global_init(struct backend_features *ret_features, struct buf *ret_error)
{
    int r;

    r = environment_clean();
    if (r == 0)
        r = sigpipe_ignore();
    if (r < 0) {
        (void)buf_printf(ret_error, "could not prepare the process for libpq: %s", strerror(-r));
        return r;
    }
    if (PQlibVersion() < LIBPQ_OLDEST) {
        (void)buf_printf(ret_error, "libpq %d is too old, at least %d is needed",
                         PQlibVersion() / 10000, LIBPQ_OLDEST / 10000);
        return -ENOTSUP;
    }
    if (!PQisthreadsafe()) {
        (void)buf_printf(ret_error, "libpq was built without thread support");
        return -ENOTSUP;
    }
    PQconninfoFree(known_options);
    known_options = PQconndefaults();
    if (known_options == NULL) {
        (void)buf_printf(ret_error, "could not ask libpq for its options: no memory");
        return -ENOMEM;
    }
    cancel_family_find();
    loaded.features.libpq_version = PQlibVersion();
    loaded.features.scram_keys = libpq_knows("scram_client_key");
    loaded.features.require_auth = libpq_knows("require_auth");
    loaded.features.tls_trouble = tls_trouble();
    loaded.features.tls_usable = loaded.features.tls_trouble == NULL;
    *ret_features = loaded.features;
    return 0;
}
