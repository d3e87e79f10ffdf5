/*
 * Databases, users and lines of auth_file while they are read: a list that is sorted in the end.
 */
#include "config_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"

int
entries_add(struct entries *entries, void *object, const struct place *place)
{
    struct entry *list = entries->list;

    if (object == NULL)
        return -ENOMEM;
    if ((entries->count & (entries->count - 1)) == 0) /* doubles at each power of two */
        list = realloc(list, MAX(2 * entries->count, (size_t)1) * sizeof(*list));
    if (list == NULL) {
        entries->free(object);
        return -ENOMEM;
    }
    entries->list = list;
    list[entries->count] = (struct entry){object, entries->count, *place};
    entries->count++;
    return 0;
}

void
entries_done(struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        entries->free(entries->list[i].object);
    free(entries->list);
}

const char *
entry_name(const struct entry *entry)
{
    return *(char *const *)entry->object;
}

static int
compare_entries(const void *a, const void *b)
{
    const struct entry *one = a, *other = b;
    const int names = strcmp(entry_name(one), entry_name(other));

    if (names != 0)
        return names;
    return one->order < other->order ? -1 : 1;
}

void
entries_sort(struct entries *entries)
{
    const size_t count = entries->count;
    struct entry *list = entries->list;

    if (count == 0)
        return;
    qsort(list, count, sizeof(*list), compare_entries);
    entries->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && str_eq(entry_name(&list[i]), entry_name(&list[i + 1])))
            entries->free(list[i].object);
        else
            list[entries->count++] = list[i];
    }
}

void *
entries_take(struct entries *entries, size_t *ret_count)
{
    void **objects = calloc(entries->count + 1, sizeof(*objects));

    if (objects == NULL)
        return NULL;
    for (size_t i = 0; i < entries->count; i++)
        objects[i] = entries->list[i].object;
    *ret_count = entries->count;
    entries->count = 0;
    return objects;
}
