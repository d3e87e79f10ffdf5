/*
 * prepared.h - which named statements a client has, and which a server; also while messages that
 * change it are on their way.
 *
 * Clients may send many messages without waiting for an answer, and any of them may fail. So each
 * of the two, a name of a client and a statement of a server, is known twice: `now` is what is
 * certain, from the answers that have come; `then` is how it will be when all that was sent was
 * executed. A change is a request's op (requests.h): it sets `then` when it is sent, and `now` when
 * its answer comes; one that the server has passed over changes nothing, and when none is left on
 * its way, `then` is again what `now` is.
 *
 * After an error the server passes over all up to a Sync. So behind a change in the same segment
 * (between two Syncs) `then` holds for certain: what comes there is executed only if the change
 * was. Behind the Sync it is not certain, and who needs to know has to wait for the answer
 * (PREPARED_UNSURE); it comes, since the Sync is sent.
 *
 * Statements of a server are in the order of their last use. They, and names, refer to statements
 * by references.
 *
 * Thread: that of the client or server. Life: NULL until the first; *_free at its end. A change
 * refers to both sides, which are linked while it is on its way.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "list.h"
#include "map.h"

struct lesson;
struct prepared_op;
struct requests;
struct statement;

enum prepared_state {
    PREPARED_NOT,
    PREPARED_IS,
    PREPARED_UNSURE,
};

/* What is on its way. */
struct prepared_changes {
    uint32_t count;
    uint32_t segment; /* of the last one */
};

/* PostgreSQL looks at so much of a name. */
#define PREPARED_NAME_LEN 63

/* A name of a client. */
struct prepared_name {
    struct map_node node;   /* in names, but for the unnamed one */
    struct statement *now;  /* a reference, or NULL: nothing has this name */
    struct statement *then; /* likewise */
    /*
     * Whether the server's unnamed statement is this one. Without a statement it is one that only
     * that server has. False for all that have a name.
     */
    bool now_here;
    bool then_here;
    struct prepared_changes changes;
    /*
     * Of the rows, as they were described to the client (shape.h): of `now`, and of `then`. A new
     * Parse, also of the same text, begins with SHAPE_UNKNOWN.
     */
    uint64_t now_shape;
    uint64_t shape;
    unsigned questions;  /* descriptions of them that are on their way to the client */
    unsigned about_made; /* the last of these: of which making of the server's statement */
    uint16_t number;     /* what requests about it are marked with; never 0 */
    uint8_t len;
    char text[];
};

/* What a client may do in one breath, before it prepares anew. */
#define PREPARED_TOLD_MAX 4

/* All names of a client. */
struct prepared_names {
    struct map map;
    struct prepared_name *unnamed;             /* owned; NULL before the first unnamed Parse */
    struct statement *told[PREPARED_TOLD_MAX]; /* references, or NULL; see prepared_tell */
    unsigned told_next;                        /* the oldest of them */
    size_t bytes;                /* of all statements as they will be, but for the unnamed one */
    uint16_t last_number;        /* given to a name; they come around */
    struct prepared_op *spare;   /* owned, or NULL: for the next change */
    struct lesson *spare_lesson; /* likewise, lesson.h's */
};

/* A client that has more than any application needs is told so. */
#define PREPARED_NAMES_MAX 65536
#define PREPARED_BYTES_MAX ((size_t)64 * 1024 * 1024)

/* A statement of a server. */
struct prepared_entry {
    struct map_node node;        /* in the set */
    struct list link;            /* in the set's order, while `then` */
    struct statement *statement; /* a reference */
    struct prepared_changes changes;
    /*
     * 0; or the client in whose transaction it was made, while a SET, say, or a temporary table may
     * have altered what its text means: it is made anew before it is anybody else's.
     */
    uint64_t owner;
    uint64_t shape; /* of its rows; it stays the same until it is made anew */
    unsigned made;  /* how often it was */
    bool now;
    bool then;
    bool is_stale; /* what the server has under this name is to be replaced before its next use */
    bool is_asked; /* a Describe that tells the shape is on its way */
};

/* All statements of a server. */
struct prepared_set {
    struct map map;
    struct list order; /* the last used first */
    unsigned count;    /* in order */
    bool is_doubtful; /* it may have statements that are not here: each Parse goes behind a Close */
};

/* ---- a client's names */

/* NULL when it has nothing to do with this name; "" is the unnamed one's. names may be NULL. */
struct prepared_name *prepared_find(const struct prepared_names *names, const char *text,
                                    size_t len);
/* Whether a statement has the name (then it is name->then). name may be NULL. */
enum prepared_state prepared_name_state(const struct prepared_name *name,
                                        const struct requests *requests);
/* A new name, without a statement yet; makes *names if it is NULL. 0 or -ENOMEM. */
int prepared_add_name(struct prepared_names **names, const char *text, size_t len,
                      struct prepared_name **ret_name);
/* Forgets a name that was added, if nothing has become of it. */
void prepared_drop_name(struct prepared_names *names, struct prepared_name *name);
/* A draft becomes what it is a draft of. 0 or -ENOMEM. */
int prepared_finish_name(struct prepared_names *names, struct prepared_name *name);
/* The client is going to be told what the rows of this making look like, */
static inline void
prepared_ask_rows(struct prepared_name *name, unsigned made)
{
    name->questions++;
    name->about_made = made;
}
/* and, when it has read so far, knows nothing of the making that the server has now. */
static inline bool
prepared_asks_other(const struct prepared_name *name, const struct prepared_entry *entry)
{
    return name->questions > 0 && name->about_made != entry->made;
}
/* The client was told what the rows of the name's statement look like. */
void prepared_learn_rows(struct prepared_name *name, const struct statement *statement,
                         uint64_t shape);
/* Whether the unnamed one is or was something, or becomes it. */
static inline bool
prepared_has_unnamed(const struct prepared_name *unnamed)
{
    return unnamed->then != NULL || unnamed->then_here || unnamed->changes.count > 0;
}
/* The client's unnamed one, or NULL. names may be NULL. */
static inline struct prepared_name *
prepared_unnamed(const struct prepared_names *names)
{
    return names != NULL ? names->unnamed : NULL;
}
/* It is this one, for certain; changes of it are not on their way. */
void prepared_set_unnamed(struct prepared_names *names, struct statement *statement, bool is_here);
/* A Parse of it that was certain to be executed has failed. */
void prepared_fail_unnamed(struct prepared_names *names);
/* The unnamed statement of the server may be anybody's. names may be NULL. */
void prepared_leave_unnamed(struct prepared_names *names);
/*
 * What the client calls the statement with this name on servers, or NULL; of several names the one
 * with the number.
 */
const struct prepared_name *prepared_name_of(const struct prepared_names *names, uint16_t number,
                                             const char *server_name, size_t len);
/*
 * The client is told that a statement that it has used is out of date: the one of the name with
 * this number, or statement itself. Its next Parse of that is to be one, as it takes the answer for
 * the truth and asks no more than once. Of several, the last few are remembered.
 */
void prepared_tell_numbered(struct prepared_names *names, uint16_t number);
void prepared_tell(struct prepared_names *names, struct statement *statement);
bool prepared_was_told(const struct prepared_names *names, const struct statement *statement);
/* It was parsed. */
void prepared_tell_no_more(struct prepared_names *names, const struct statement *statement);
/* The server has forgotten all that have a name. names may be NULL. */
void prepared_forget_names(struct prepared_names *names);
/* Whether the client may not name another statement, namely this one. names may be NULL. */
bool prepared_is_full(const struct prepared_names *names, const struct statement *statement);
/* Without the unnamed one. */
unsigned prepared_count_names(const struct prepared_names *names);
void prepared_free_names(struct prepared_names *names);

/* ---- a server's statements */

/* NULL when it has nothing to do with it. set may be NULL. */
struct prepared_entry *prepared_get(const struct prepared_set *set,
                                    const struct statement *statement);
/* Whether the server has it. entry may be NULL. */
enum prepared_state prepared_entry_state(const struct prepared_entry *entry,
                                         const struct requests *requests);
/* A new entry, that the server does not have yet; makes *set if it is NULL. 0 or -ENOMEM. */
int prepared_add(struct prepared_set **set, struct statement *statement,
                 struct prepared_entry **ret_entry);
/* Forgets an entry that was added, if nothing has become of it. */
void prepared_drop(struct prepared_set *set, struct prepared_entry *entry);
/* It is used now. */
static inline void
prepared_use(struct prepared_set *set, struct prepared_entry *entry)
{
    if (set->order.next == &entry->link)
        return;
    list_remove(&entry->link);
    list_push_front(&set->order, &entry->link);
}
/* The one that was not used for longest, or NULL. */
struct prepared_entry *prepared_oldest(const struct prepared_set *set);
/* The server has forgotten all. set may be NULL. */
void prepared_forget(struct prepared_set *set);
/*
 * Any of them may be out of date, but for those that are just being made: they are replaced before
 * they are used. With others, there may be some that we do not know of. set may be NULL.
 */
void prepared_doubt(struct prepared_set *set, bool with_others);
unsigned prepared_count(const struct prepared_set *set);
void prepared_free(struct prepared_set *set);

/* ---- changes */

/* What a request changes; fields that do not apply are NULL. */
struct prepared_change {
    struct prepared_names *names;
    struct prepared_name *name;  /* becomes */
    struct statement *statement; /* this one, or nothing */
    bool is_here;                /* as the server's unnamed one */
    struct prepared_set *set;
    struct prepared_entry *entry; /* is there, or not */
    bool adds;
    uint64_t owner;     /* of what is added */
    unsigned *barriers; /* one more, until the request is answered */
};

/*
 * Enters a request that makes this change, with the action of requests.h. 0; or -ENOMEM, and then
 * nothing has changed. The name and the entry may be gone afterwards, if nothing came of them.
 */
int prepared_push(struct requests *requests, char type, int action,
                  const struct prepared_change *change);
/* Whether what the server answers now is such a request. */
bool prepared_changes_now(const struct requests *requests);

/*
 * prepared_requests.c: enters a message that may forget any number of statements; *barriers is one
 * more until it is answered. 0 or -ENOMEM.
 */
int prepared_push_barrier(struct requests *requests, char type, unsigned *barriers);
/* Why the server will refuse a message: by its own words, or by ours. */
enum refused_why {
    REFUSED_NAME,    /* the name in it is unknown, or in use */
    REFUSED_CHANGED, /* its rows do not look any more as the client was told */
    REFUSED_FULL,    /* the client has too many names */
    REFUSED_LONG,    /* its text is longer than all texts of a client may be */
};
/* Enters a message that will be refused on account of a name. 0 or -ENOMEM. */
int prepared_push_refused(struct requests *requests, char type, enum refused_why why,
                          const char *text, size_t len);
/* Why what the server answers now is refused; REFUSED_NAME also if it is not. */
enum refused_why prepared_refused_why(const struct requests *requests);
/* If that is what the server answers now: the name. */
bool prepared_refused_name(const struct requests *requests, const char **ret_text, size_t *ret_len);
