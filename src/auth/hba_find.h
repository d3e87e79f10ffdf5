/*
 * hba_find.h - which rule of auth_hba_file a login meets.
 *
 * Thread: any; nothing is kept. The rules are those of config/hba.h.
 */
#pragma once

#include <netdb.h>
#include <sys/socket.h>

#include "auth.h"

struct hba;
struct hba_rule;

enum hba_verdict {
    HBA_FOUND,
    HBA_NONE,
    HBA_NEEDS_NAME, /* a rule asks for the client's host name: hba_find_name, then once more */
};

/*
 * The first rule that fits the login. client_name is NULL as long as nobody has looked it up, and
 * "" for a client that has none. hba may be NULL, which has no rules.
 */
enum hba_verdict hba_find(const struct hba *hba, const struct auth_login *login,
                          const char *client_name, const struct hba_rule **ret_rule);

/*
 * The host name of a client's address, "" when it has none that leads back to the address. Blocks
 * while name servers are asked: for an executor's thread.
 */
void hba_find_name(const struct sockaddr *address, char ret_name[static NI_MAXHOST]);
