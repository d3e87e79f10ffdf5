/*
 * config_int.h - what the files of this folder share: the option table, the steps of a load.
 *
 *     ini.c      the grammar: sections, keys, %include          text -> (section, key, value)
 *     pairs.c    "host=db1 port=5433", the values of an entry    text -> (key, value)
 *     auth_file.c  "user" "secret"                                text -> (user, secret)
 *     option.c   one value of one row: parse, print, compare, copy, free
 *     load.c     puts these together; check.c looks at the whole
 */
#pragma once

#include <stdarg.h>

#include "config.h"

struct buf;

/* ---- the table of options ---- */

enum option_type {
    OPT_STRING,
    OPT_LIST, /* a string, commas between its items; only .words where the row has some */
    OPT_BOOL,
    OPT_INT,
    OPT_AUTO, /* an int, or "auto", which is 0 */
    OPT_SIZE,
    OPT_DURATION,
    OPT_MODE, /* of a file; octal needs a leading 0, as for PgBouncer */
    OPT_ENUM, /* an int: one of .words */
};

enum option_group {
    GROUP_NETWORK,
    GROUP_PROCESS,
    GROUP_LOG,
    GROUP_AUTH,
    GROUP_POOL,
    GROUP_SERVER,
    GROUP_TLS,
    GROUP_CLIENT_TLS,
    GROUP_CLIENT,
    GROUP_TIMEOUT,
    GROUP_COUNT,
};

/* "Network": the headings of the sample and the manual. */
extern const char *const option_group_titles[GROUP_COUNT];

struct option_word {
    const char *name; /* NULL ends the list */
    int value;
};

struct option {
    const char *name;
    const char *alias; /* another name that is accepted */
    enum option_type type;
    enum option_group group;
    size_t field;        /* its place in the struct */
    size_t size;         /* the size of that, for a test to compare with the type */
    const char *def;     /* as in a file; NULL, in an entry only: unset */
    const char *example; /* what the sample file says when that is not the default */
    uint64_t min, max;   /* max 0: as much as the field can hold */
    usec_t unit;         /* of a bare number of an OPT_DURATION; 0 is seconds */
    const struct option_word *words;
    bool keyed; /* of an OPT_LIST: an item may be "key=word", too */
    enum config_reload reload;
    bool reads_files; /* a new value lets config_read_files look again */
    bool no_effect;   /* accepted, because PgBouncer has it */
    const char *help;
};

/* The rows of one struct. */
struct option_table {
    const struct option *rows;
    size_t count;
};

extern const struct option_table option_table;   /* struct config */
extern const struct option_table database_table; /* struct config_database */
extern const struct option_table user_table;     /* struct config_user */
extern const struct option_table peer_table;     /* struct config_peer */

extern const struct option_word words_auth_type[];
extern const struct option_word words_load_balance[];
extern const struct option_word words_pool_mode[];
extern const struct option_word words_tls_mode[];
extern const struct option_word words_tls_protocols[];

static inline const struct option *
option_table_end(const struct option_table *table)
{
    return table->rows + table->count;
}

/* By name or alias. */
const struct option *option_find(const struct option_table *table, const char *name);
/* "listen_port" for "lisen_port"; NULL when no name is near. */
const char *option_nearest(const struct option_table *table, const char *name);
/* Without regard to case; -1: no such word. */
int option_word_value(const struct option_word *words, const char *text, size_t len);
/* "" for a value that has no word. */
const char *option_word_name(const struct option_word *words, int value);

/*
 * Sets the row's field in object from text. -EINVAL: it is wrong, why says how in words that go on
 * after "key: ". -ENOMEM. On failure the field keeps its value.
 */
int option_parse(const struct option *row, const char *text, void *object, struct buf *why);
/* Appends the value as PgBouncer would print it. */
int option_format(const struct option *row, const void *object, struct buf *text);
bool option_equal(const struct option *row, const void *a, const void *b);
int option_copy(const struct option *row, const void *from, void *to);
/* Makes it CONFIG_UNSET, USEC_NEVER or NULL, in an object that is not initialised. */
void option_unset(const struct option *row, void *object);
/* Frees what the field owns. */
void option_done(const struct option *row, void *object);
/* What a field of this type takes. */
size_t option_field_size(enum option_type type);

/* An item of a list that is keyed. */
struct option_item {
    const char *key; /* NULL: only a word */
    size_t key_len;
    const char *word;
    size_t word_len;
};

void option_split_item(const char *item, size_t len, struct option_item *ret_item);

/* The best of the names offered so far for one that nobody knows. */
struct nearest {
    const char *wanted;
    const char *name; /* NULL: none is near */
    size_t distance;
};

void nearest_init(struct nearest *nearest, const char *wanted);
void nearest_offer(struct nearest *nearest, const char *name);

/* ---- errors ---- */

/* Where in the files something stands; file is borrowed from the struct ini. */
struct place {
    const char *file;
    unsigned line; /* 0: the whole file */
};

/* After this many the rest is not worth reading, if one of them is an error. */
#define CONFIG_ERRORS_MAX 100
bool errors_are_full(const struct config_errors *errors);

/* place may be NULL. A list without memory for it says so itself (out_of_memory). */
void errors_add(struct config_errors *errors, const struct place *place, const char *format, ...)
    PRINTF_LIKE(3, 4);
void errors_warn(struct config_errors *errors, const struct place *place, const char *format, ...)
    PRINTF_LIKE(3, 4);

void errors_vadd(struct config_errors *errors, bool is_warning, const struct place *place,
                 const char *format, va_list args) PRINTF_LIKE(4, 0);

/* ---- files ---- */

/* A whole text file, with a NUL behind it. -EINVAL: it has one inside; -EFBIG; -errno. */
int file_read(const char *path, struct buf *text);
/* Frees it; any file may have had passwords in it, so the memory is wiped. */
void file_done(struct buf *text);
DEFINE_CLEANUP_IN_PLACE(struct buf, file_done);
/* "it is not a text file", "No such file or directory": why file_read has failed. */
const char *file_error(int error);
/*
 * Appends the paths of the files in a directory that end with ".conf", in order of their names, a
 * NUL behind each. -errno.
 */
int directory_read(const char *path, struct buf *paths);

/* ---- parsers ---- */

/* Called with strings that live for the call only and may be changed. 0, or -ENOMEM to stop. */
struct ini_handler {
    int (*section)(void *arg, const struct place *place, const char *name);
    int (*key)(void *arg, const struct place *place, const char *name, char *value);
};

#define INI_DEPTH_MAX 10
#define INI_FILES_MAX 1000

/* All the files of one load: they stay here for the places that point to their names. */
struct ini {
    const struct ini_handler *handler;
    void *arg;
    struct config_errors *errors;
    struct ini_file *files; /* owned; a list */
    unsigned n_files;
};

/* What is wrong is added to errors and skipped. 0, or -ENOMEM. */
int ini_parse(struct ini *ini, const char *path);
void ini_done(struct ini *ini);
DEFINE_CLEANUP_IN_PLACE(struct ini, ini_done);

/*
 * Takes the next key=value off *rest, which it changes. 1, 0 at the end, or -EINVAL and *ret_key is
 * the complaint.
 */
int pairs_next(char **rest, const char **ret_key, char **ret_value);

/* Calls fn for each user of the text of an auth_file, which it changes. 0, or what fn failed with.
 */
typedef int auth_file_fn(void *arg, const char *user, const char *secret);
int auth_file_parse(char *text, const char *file, struct config_errors *errors, auth_file_fn *fn,
                    void *arg);

/* ---- entries ---- */

/* A database, user or auth_file line; each begins with its name. */
struct entry {
    void *object; /* owned */
    size_t order; /* in which it was read */
    struct place place;
};

struct entries {
    struct entry *list; /* owned */
    size_t count;
    void (*free)(void *object);
};

/* Takes over object, also on failure; NULL is "no memory for it". */
int entries_add(struct entries *entries, void *object, const struct place *place);
const char *entry_name(const struct entry *entry);
/* Sorts by name; of several of one name the last stays, as it overrides the others. */
void entries_sort(struct entries *entries);
/* The objects alone, which the caller owns now; NULL: no memory. */
void *entries_take(struct entries *entries, size_t *ret_count);
void entries_done(struct entries *entries);
DEFINE_CLEANUP_IN_PLACE(struct entries, entries_done);

/* ---- a configuration under construction ---- */

/*
 * Sets key in object, which table describes; what is wrong is added to errors, behind "where". 0,
 * -EINVAL, -ENOMEM. *ret_row is the key's row, also when its value is bad; else NULL.
 */
int config_set_key(const struct option_table *table, const char *where, const char *key,
                   const char *value, void *object, const struct place *place,
                   struct config_errors *errors, const struct option **ret_row);

/* Longest names and secrets, with PgBouncer. */
#define DATABASE_NAME_MAX 63
#define USER_NAME_MAX     127
#define SECRET_MAX        65530
/* As many as the cancel keys have room for. */
#define PEER_ID_MAX 65535

/* All at their defaults, no entries; NULL: no memory. */
struct config *config_new(void);
int config_copy(const struct config *config, struct config **ret_config);
/* After auth_users has changed. */
void config_note_secrets(struct config *config);
struct config_database *config_database_new(const char *name);
void config_database_free(struct config_database *db);
struct config_user *config_user_new(const char *name);
void config_user_free(struct config_user *user);
struct config_peer *config_peer_new(const char *name);
void config_peer_free(struct config_peer *peer);
struct config_auth_user *config_auth_user_new(const char *name, const char *secret);
void config_auth_user_free(struct config_auth_user *user);
DEFINE_CLEANUP(struct config_database *, config_database_free);
DEFINE_CLEANUP(struct config_user *, config_user_free);
DEFINE_CLEANUP(struct config_peer *, config_peer_free);
DEFINE_CLEANUP(struct config_auth_user *, config_auth_user_free);

/*
 * Reads the files that keys name, as far as auth_type needs them: users, rules and maps, in the
 * place of those that config has. What is wrong is added to errors. 0, or -ENOMEM.
 */
int config_read_files(struct config *config, const struct place *places,
                      struct config_errors *errors);

/*
 * What only shows when all is read. places[i] is where row i of option_table was set, line 0: not.
 */
void config_check(const struct config *config, const struct place *places,
                  struct config_errors *errors);
/* The same for what a running daemon keeps: only a whole load is checked for it. */
void config_check_listen(const struct config *config, const struct place *places,
                         struct config_errors *errors);
void config_check_database(const struct config *config, const struct config_database *db,
                           const struct place *place, struct config_errors *errors);

/* Its parts. */
void config_check_auth(const struct config *config, const struct place *places,
                       struct config_errors *errors);
void config_check_client_tls(const struct config *config, const struct place *place,
                             struct config_errors *errors);
void config_check_client_tls_addresses(const struct config *config, const struct place *place,
                                       struct config_errors *errors);

/* Where key was set, or the file as a whole. */
const struct place *config_place_of(const struct place *places, const char *key);
/* explain.c: what a key, or a pair of an entry, means that PgBouncer does not mean by it. */
void config_explain_keys(const struct config *config, const struct place *places,
                         struct config_errors *notes);
void config_explain_pair(const struct option_table *table, const struct option *row,
                         const char *where, const char *value, const struct place *place,
                         struct config_errors *notes);

/* "pgbouncer" and "pgweir"; name may be NULL. */
bool config_is_console(const char *name);
