/*
 * statement.h - prepared statements: what was to be prepared, once for all clients and servers.
 *
 * A client's Parse names a statement as it likes; servers know it by a name that follows from what
 * it says. So two clients with the same statement share it on a server, whatever either calls it.
 *
 *     client "S_1"  --\
 *     client "q7"   ---+--> struct statement "pgweir_8c4f..." --- server 1, server 3 have it
 *
 * Two statements are the same if the text, the types of the parameters, and those settings are
 * equal that decide how PostgreSQL reads the text (client_encoding, DateStyle, search_path, ...):
 * a client with another TimeZone must not get the constants of this one's.
 *
 * The name is a hash of all that, the same in every process: so it stays when the daemon is
 * started anew. If two statements that are in use together have the same hash, the later one's
 * name gets a number behind it.
 *
 * Thread: any. A lock is taken by statement_get and by the last statement_unref. Life: reference
 * counted; immutable.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct settings;
struct statement;

/* What all names on servers begin with. */
#define STATEMENT_PREFIX     "pgweir_"
#define STATEMENT_PREFIX_LEN 7
/* The longest name, with its NUL. */
#define STATEMENT_NAME_MAX 48

/* How it is made on a server. */
enum statement_kind {
    STATEMENT_PARSED, /* by a Parse */
    STATEMENT_SQL,    /* by the command PREPARE, in messages that leave nothing else behind */
};

/*
 * text is what stands behind the name: in a Parse message the query with its NUL, how many types,
 * types; in a PREPARE all to its end.
 * Returns 0 and a reference, or -ENOMEM.
 */
int statement_get(const struct settings *settings, enum statement_kind kind, const char *text,
                  size_t len, struct statement **ret_statement);
struct statement *statement_ref(struct statement *statement);
/*
 * A draft of what is PARSED, which nobody else finds and which costs no more than a copy of the
 * text. It can be kept, and finished; all that is said of statements below, it has not yet.
 */
int statement_draft(struct settings *settings, const char *text, size_t len,
                    struct statement **ret_draft);
bool statement_is_draft(const struct statement *statement);
/* Whether it is a draft of this text under these settings. */
bool statement_is_draft_of(const struct statement *statement, const struct settings *settings,
                           const char *text, size_t len);
/* The statement that it is a draft of: 0 and a reference, or -ENOMEM. */
int statement_finish(const struct statement *draft, struct statement **ret_statement);
/* Whether it, or what it is a draft of, is PARSED and was made from this text. */
bool statement_has_text(const struct statement *statement, const char *text, size_t len);
/* NULL is nothing. */
void statement_unref(struct statement *statement);

/* Its name on servers. */
const char *statement_name(const struct statement *statement, size_t *ret_len);
/* The memory that it takes. */
size_t statement_size(const struct statement *statement);
/* A good hash of its name. */
uint64_t statement_hash(const struct statement *statement);
/* The types of the messages that make it on a server, one character each. */
const char *statement_steps(const struct statement *statement);
/* The one of them that does it. */
char statement_maker(const struct statement *statement);
/* These messages, of which each is answered. */
const char *statement_messages(const struct statement *statement, size_t *ret_len);

/* Whether its text, read under these settings, is this statement; false also without memory. */
bool statement_is_of(const struct statement *statement, const struct settings *settings);

/* Whether it may alter what other texts mean: a SET, say. */
bool statement_alters(const struct statement *statement);

/*
 * A name that no statement has, and that nobody can guess to give it one: so what is unknown here
 * is unknown to the server, too. Not for others' eyes.
 */
const char *statement_nowhere(size_t *ret_len);

/* Frees the table of all statements, which must be empty; returns how many were still held. */
size_t statement_global_done(void);
