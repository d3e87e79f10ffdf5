/*
 * Where a client may come from.
 */
#include "hba_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"
#include "units.h"

/* AF_UNSPEC: not an address. */
static int
parse_ip(const char *text, unsigned char bytes[static sizeof(struct in6_addr)])
{
    if (inet_pton(AF_INET, text, bytes) == 1)
        return AF_INET;
    return inet_pton(AF_INET6, text, bytes) == 1 ? AF_INET6 : AF_UNSPEC;
}

static unsigned
family_bits(int family)
{
    return family == AF_INET ? 32 : 128;
}

/* The first bits are ones; there are as many as the family has at most. */
static void
make_mask(unsigned bits, unsigned char mask[static sizeof(struct in6_addr)])
{
    for (size_t i = 0; i < sizeof(struct in6_addr); i++) {
        const unsigned here = MIN(bits, 8U);

        mask[i] = (unsigned char)(0xff00U >> here);
        bits -= here;
    }
}

static bool
parse_length(const char *text, int family, unsigned *ret_bits)
{
    char *end;
    unsigned long bits;

    if (*text < '0' || *text > '9')
        return false;
    bits = strtoul(text, &end, 10);
    if (*end != '\0' || bits > family_bits(family))
        return false;
    *ret_bits = (unsigned)bits;
    return true;
}

/* "10.0.0.0/8" */
static int
parse_cidr(struct pgconf *pgconf, const struct place *place, const char *text,
           struct hba_address *address)
{
    const char *slash = strchr(text, '/');
    char ip[INET6_ADDRSTRLEN] = "";
    unsigned bits;

    if ((size_t)(slash - text) < sizeof(ip))
        memcpy(ip, text, (size_t)(slash - text));
    address->family = parse_ip(ip, address->bytes);
    if (address->family == AF_UNSPEC)
        return pgconf_complain(pgconf, place, "\"%s\": what stands before the \"/\" is no address",
                               text);
    if (!parse_length(slash + 1, address->family, &bits))
        return pgconf_complain(pgconf, place,
                               "\"%s\": what stands behind the \"/\" is no number of bits, 0 to %u",
                               text, family_bits(address->family));
    make_mask(bits, address->mask);
    return 0;
}

/* "255.0.0.0", a field of its own */
static int
parse_mask(struct pgconf *pgconf, const struct pgconf_line *line, size_t field, const char *ip,
           struct hba_address *address)
{
    const struct pgconf_word *word;
    int r;

    r = hba_single_word(pgconf, line, field, "mask of the address", &word);
    if (r < 0)
        return r;
    if (parse_ip(word->text, address->mask) != address->family)
        return pgconf_complain(pgconf, &line->place,
                               "\"%s\" is no mask for the address %s; write %s/%u if you mean "
                               "only this address",
                               word->text, ip, ip, family_bits(address->family));
    return 0;
}

static int
parse_host(struct pgconf *pgconf, const struct place *place, const char *text,
           struct hba_address *address)
{
    if (*text == '\0' || strchr(text, ':') != NULL)
        return pgconf_complain(pgconf, place, "\"%s\" is neither an address nor a host name", text);
    address->kind = *text == '.' ? HBA_ADDRESS_SUFFIX : HBA_ADDRESS_HOST;
    address->host = strdup(text);
    return address->host != NULL ? 0 : -ENOMEM;
}

static bool
parse_keyword(const struct pgconf_word *word, struct hba_address *address)
{
    static const struct {
        const char *name;
        enum hba_address_kind kind;
    } keywords[] = {
        {"all", HBA_ADDRESS_ALL},
        {"samehost", HBA_ADDRESS_SAMEHOST},
        {"samenet", HBA_ADDRESS_SAMENET},
    };

    for (size_t i = 0; i < ARRAY_SIZE(keywords); i++) {
        if (pgconf_word_is(word, keywords[i].name)) {
            address->kind = keywords[i].kind;
            return true;
        }
    }
    return false;
}

int
hba_address_parse(struct pgconf *pgconf, const struct pgconf_line *line, size_t *field,
                  struct hba_address *ret_address)
{
    struct hba_address address = {.kind = HBA_ADDRESS_NETWORK};
    const struct pgconf_word *word;
    int r;

    r = hba_single_word(pgconf, line, (*field)++, "address", &word);
    if (r < 0)
        return r;
    address.family = parse_ip(word->text, address.bytes);
    if (address.family != AF_UNSPEC)
        r = parse_mask(pgconf, line, (*field)++, word->text, &address);
    else if (strchr(word->text, '/') != NULL)
        r = parse_cidr(pgconf, &line->place, word->text, &address);
    else if (!parse_keyword(word, &address))
        r = parse_host(pgconf, &line->place, word->text, &address);
    if (r < 0)
        return r;
    *ret_address = address;
    return 0;
}
