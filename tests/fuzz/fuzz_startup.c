/*
 * fuzz_startup.c - first packets: what a login yields lies in the packet and can be answered.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "build.h"
#include "startup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
check_setting(void *arg, const char *name, const char *value)
{
    (void)arg;
    assert(*name != '\0' && strlen(name) + strlen(value) < STARTUP_OPTION_MAX);
    return true;
}

static void
check_login(const struct startup *startup)
{
    CLEANUP(buf_done) struct buf answer = BUF_INIT;
    struct startup_param param;
    size_t used = 9; /* length, version, terminator */

    for (const char *pos = startup->params; startup_next_param(&pos, &param);)
        used += strlen(param.name) + strlen(param.value) + 2;
    assert(used == startup->len);
    assert(*startup->user != '\0' && strlen(startup->user) <= STARTUP_USER_MAX);
    assert(*startup->database != '\0' && strlen(startup->database) <= STARTUP_DB_MAX);
    if (startup->options != NULL)
        (void)startup_options(startup->options, check_setting, NULL);
    if (startup->negotiate && msg_negotiate(&answer, startup) == 0)
        assert(pg_get_uint32(answer.data + 1) + 1 == answer.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *packet = (const char *)data;
    struct startup startup, shorter;
    const enum startup_kind kind = startup_parse(packet, size, &startup);

    switch (kind) {
    case STARTUP_INCOMPLETE:
        assert(size < STARTUP_PACKET_MAX);
        return 0;
    case STARTUP_BAD:
        assert(*startup_error_text(startup.error) != '\0');
        return 0;
    case STARTUP_DIRECT_TLS:
        return 0;
    case STARTUP_LOGIN:
        check_login(&startup);
        break;
    case STARTUP_CANCEL:
        assert(startup.key + startup.key_len == packet + startup.len);
        break;
    case STARTUP_SSL:
    case STARTUP_GSSENC:
        break;
    }
    assert(startup.len <= size);
    assert(startup_parse(packet, startup.len - 1, &shorter) == STARTUP_INCOMPLETE);
    return 0;
}
