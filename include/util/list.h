/*
 * list.h - a doubly linked list whose links are embedded in its elements.
 *
 * struct list is both the head and the link. A head must be initialised; a link is unlinked when it
 * was initialised, removed, or is all zero (fresh from calloc). All calls take constant time.
 *
 *     struct list waiters = LIST_INIT(waiters);      struct waiter { struct list link; ... };
 *
 *     list_push_back(&waiters, &waiter->link);
 *     oldest = list_entry(list_first(&waiters), struct waiter, link);      NULL when empty
 *     LIST_FOREACH(waiter, &waiters, link) ...
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "macros.h"

struct list {
    struct list *prev;
    struct list *next;
};

#define LIST_INIT(head)                                                                            \
    {                                                                                              \
        .prev = &(head), .next = &(head)                                                           \
    }

static inline void
list_init(struct list *list)
{
    list->prev = list;
    list->next = list;
}

static inline bool
list_is_linked(const struct list *link)
{
    return link->next != NULL && link->next != link;
}

static inline bool
list_empty(const struct list *head)
{
    return head->next == head;
}

/* Puts an unlinked link before where: an element, or the head for the end of the list. */
static inline void
list_insert_before(struct list *where, struct list *link)
{
    link->prev = where->prev;
    link->next = where;
    where->prev->next = link;
    where->prev = link;
}

static inline void
list_push_front(struct list *head, struct list *link)
{
    list_insert_before(head->next, link);
}

static inline void
list_push_back(struct list *head, struct list *link)
{
    list_insert_before(head, link);
}

/* Takes link out of whatever list it is in; nothing happens when it is in none. */
static inline void
list_remove(struct list *link)
{
    if (!list_is_linked(link))
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* The four below: NULL when there is none. */
static inline struct list *
list_first(const struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}

static inline struct list *
list_last(const struct list *head)
{
    return list_empty(head) ? NULL : head->prev;
}

static inline struct list *
list_next(const struct list *head, const struct list *link)
{
    return link->next == head ? NULL : link->next;
}

static inline struct list *
list_prev(const struct list *head, const struct list *link)
{
    return link->prev == head ? NULL : link->prev;
}

/* Removes and returns the first or the last; NULL when there is none. */
static inline struct list *
list_pop(struct list *head)
{
    struct list *link = list_first(head);

    if (link != NULL)
        list_remove(link);
    return link;
}

static inline struct list *
list_pop_back(struct list *head)
{
    struct list *link = list_last(head);

    if (link != NULL)
        list_remove(link);
    return link;
}

/* Moves all of from, in order, to the end of to; from is empty then. */
static inline void
list_append(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

static inline size_t
list_count(const struct list *head)
{
    size_t count = 0;

    for (const struct list *link = head->next; link != head; link = link->next)
        count++;
    return count;
}

/* The element that link is embedded in; NULL for NULL. */
#define list_entry(link, type, member) ((type *)list_entry_at(link, offsetof(type, member)))

static inline void *
list_entry_at(const struct list *link, size_t offset)
{
    return link != NULL ? (char *)link - offset : NULL;
}

/* pos, declared by the caller, is each element in turn; after the loop it means nothing. */
#define LIST_FOREACH(pos, head, member)                                                            \
    for (struct list *pos##_link = (head)->next;                                                   \
         pos##_link != (head) &&                                                                   \
         ((pos) = container_of(pos##_link, __typeof__(*(pos)), member), true);                     \
         pos##_link = pos##_link->next)

/* The same, where the body may remove or free pos (but no other element). */
#define LIST_FOREACH_SAFE(pos, head, member)                                                       \
    for (struct list *pos##_link = (head)->next, *pos##_next = pos##_link->next;                   \
         pos##_link != (head) &&                                                                   \
         ((pos) = container_of(pos##_link, __typeof__(*(pos)), member), true);                     \
         pos##_link = pos##_next, pos##_next = pos##_link->next)
