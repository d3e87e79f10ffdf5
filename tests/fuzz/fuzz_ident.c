/*
 * fuzz_ident.c - files of maps, and names that go through them.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fake_file.h"
#include "hba_int.h"
#include "str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_maps(const struct ident *ident)
{
    static const char *const names[] = {"", "m", "alice", "alice@example.org", "\\1", "x_alice_y"};

    for (size_t map = 0; map < ARRAY_SIZE(names); map++)
        for (size_t from = 0; from < ARRAY_SIZE(names); from++)
            for (size_t to = 0; to < ARRAY_SIZE(names); to++)
                if (ident_map_allows(ident, names[map], names[from], names[to]))
                    assert(ident_has_map(ident, names[map]));
    assert(ident_map_allows(ident, NULL, "a", "a") && !ident_map_allows(ident, NULL, "a", "b"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    CLEANUP(ident_unref) struct ident *ident = NULL;

    fake_files_set(data, size);
    if (fake_files_are_costly())
        return -1;
    if (ident_read("1", NULL, false, &errors, &ident) < 0)
        abort();
    check_maps(ident);
    return 0;
}
