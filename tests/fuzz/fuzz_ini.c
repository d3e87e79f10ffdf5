/*
 * fuzz_ini.c - whole configurations, with all the files that they name: they load, or something is
 * said to be wrong with them; what has loaded can be shown, changed and compared.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "fake_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
unexpected_difference(void *arg, const char *key, enum config_reload reload)
{
    (void)arg;
    (void)key;
    (void)reload;
    abort();
}

/* Every row can be shown. */
static void
check_shown(const struct config *config)
{
    CLEANUP(config_iterator_done) struct config_iterator iterator = CONFIG_ITERATOR_INIT;
    struct config_item item;

    while (config_show(config, &iterator, &item) > 0)
        assert(item.key != NULL && item.value != NULL && item.default_value != NULL);
    assert(config_client_tls_sslmode(config, "127.0.0.1") <= TLS_VERIFY_FULL);
}

static void
check_set(const struct config *config)
{
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    CLEANUP(config_unref) struct config *same = NULL;

    if (config_set(config, "job_name", config->job_name, &errors, &same) < 0)
        abort();
    config_diff(config, same, unexpected_difference, NULL);
    assert(!config_servers_changed(config, same));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    CLEANUP(config_unref) struct config *config = NULL;
    int r;

    fake_files_set(data, size);
    if (fake_files_are_costly())
        return -1;
    r = config_load("1", &errors, &config);
    assert((r == 0) == (config != NULL) && (r == 0) == !config_errors_fatal(&errors));
    assert(r == 0 || r == -EINVAL);
    if (r == 0) {
        check_shown(config);
        check_set(config);
    }
    return 0;
}
