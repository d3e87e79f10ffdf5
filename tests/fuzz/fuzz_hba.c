/*
 * fuzz_hba.c - files of rules: each rule that comes out is whole, and a login meets it or not; a
 * bad line is left out and told, whether that is an error or a warning.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fake_file.h"
#include "hba_find.h"
#include "hba_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_rule(const struct hba_rule *rule)
{
    assert(rule->file != NULL && rule->line > 0);
    assert(rule->method != AUTH_TYPE_ANY && rule->method != AUTH_TYPE_HBA);
    assert(rule->method != AUTH_TYPE_PEER || rule->type == HBA_LOCAL);
    assert(rule->method != AUTH_TYPE_CERT || rule->type == HBA_HOSTSSL);
    for (size_t i = 0; i < rule->n_databases; i++)
        (void)hba_name_fits(&rule->databases[i], "shop");
    for (size_t i = 0; i < rule->n_users; i++) {
        assert(rule->users[i].kind <= HBA_ALL);
        (void)hba_name_fits(&rule->users[i], "alice");
    }
    for (size_t i = 0; i < rule->n_options; i++)
        assert(hba_rule_option(rule, rule->options[i].name) != NULL);
}

/* Whoever comes, by name or not, the rule found is one of the file's. */
static void
check_find(const struct hba *hba)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const struct sockaddr *const addresses[] = {NULL, (struct sockaddr *)&in,
                                                (struct sockaddr *)&in6};

    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        const struct auth_login login = {.user = "alice",
                                         .database_name = i == 1 ? "alice" : "shop",
                                         .address = addresses[i],
                                         .is_tls = i == 2};
        const struct hba_rule *rule = NULL;
        const enum hba_verdict verdict = hba_find(hba, &login, "db.example.org", &rule);

        assert(verdict != HBA_NEEDS_NAME);
        assert((verdict == HBA_FOUND) == (rule != NULL));
        assert(rule == NULL || (rule >= hba->rules && rule < hba->rules + hba->n_rules));
    }
}

static struct hba *
read_rules(bool is_lenient, struct config_errors *errors)
{
    struct hba *hba = NULL;

    if (hba_read("1", NULL, is_lenient, errors, &hba) < 0)
        abort();
    return hba;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    CLEANUP(config_errors_done) struct config_errors warnings = CONFIG_ERRORS_INIT;
    CLEANUP(hba_unref) struct hba *strict = NULL;
    CLEANUP(hba_unref) struct hba *lenient = NULL;

    fake_files_set(data, size);
    if (fake_files_are_costly())
        return -1;
    strict = read_rules(false, &errors);
    lenient = read_rules(true, &warnings);
    assert(strict->n_rules == lenient->n_rules || errors_are_full(&errors)); /* it ends there */
    assert(errors.count == warnings.count && errors.warnings == 0);
    for (size_t i = 0; i < strict->n_rules; i++)
        check_rule(&strict->rules[i]);
    check_find(strict);
    return 0;
}
