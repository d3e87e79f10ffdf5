/*
 * fuzz_ldap_options.c - auth_ldap_options: what is taken can be asked for, what is not has a
 * reason.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "ldap_options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_options(const struct ldap_options *options)
{
    const bool is_search = options->base_dn != NULL;

    assert(is_search != (options->prefix != NULL || options->suffix != NULL));
    assert(is_search || options->server != NULL);
    assert(is_search || (options->bind_dn == NULL && options->bind_password == NULL));
    assert(options->search_filter == NULL || strstr(options->search_filter, "$username") != NULL);
    assert(options->search_filter == NULL || options->search_attribute == NULL);
    assert(options->port >= 0 && options->port <= UINT16_MAX);
    assert(!options->starttls || !options->is_ldaps);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(ldap_options_done) struct ldap_options options = LDAP_OPTIONS_INIT;
    CLEANUP(buf_done) struct buf text = BUF_INIT;
    CLEANUP(buf_done) struct buf why = BUF_INIT;
    int r;

    if (buf_append(&text, data, size) < 0)
        abort();
    r = ldap_options_parse(buf_str(&text), &options, &why);
    assert(r == 0 || r == -EINVAL);
    assert((r == 0) == (why.len == 0));
    if (r == 0)
        check_options(&options);
    return 0;
}
