#include "lesson.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "pg.h"
#include "prepared.h"
#include "requests.h"
#include "shape.h"
#include "statement.h"

struct lesson {
    struct request_op request;
    struct prepared_set *set;    /* borrowed, as names */
    struct statement *statement; /* a reference */
    unsigned made;               /* which making of the entry it is about */
    uint64_t shape;
    struct prepared_names *names; /* NULL: the client does not hear it */
    uint16_t number;              /* of its name */
    size_t name_len;
    char name[PREPARED_NAME_LEN];
};

/* As with changes (prepared.c) one is kept for each client. */
static struct lesson *
lesson_new(struct prepared_names *names)
{
    struct lesson *const lesson = names != NULL && names->spare_lesson != NULL
                                      ? TAKE(names->spare_lesson)
                                      : malloc(sizeof *lesson);

    if (lesson != NULL)
        *lesson = (struct lesson){.names = names, .shape = SHAPE_BROKEN};
    return lesson;
}

static void
lesson_free(struct lesson *lesson)
{
    if (lesson->names != NULL && lesson->names->spare_lesson == NULL)
        lesson->names->spare_lesson = lesson;
    else
        free(lesson);
}

static void
lesson_resolve(struct request_op *request, enum request_outcome outcome)
{
    struct lesson *const lesson = container_of(request, struct lesson, request);
    struct prepared_entry *const entry = prepared_get(lesson->set, lesson->statement);
    struct prepared_name *const name = prepared_find(lesson->names, lesson->name, lesson->name_len);

    if (entry != NULL && entry->made == lesson->made) {
        entry->is_asked = false;
        if (outcome == REQUEST_DONE)
            entry->shape = lesson->shape;
    }
    if (name != NULL && name->number == lesson->number) {
        name->questions--;
        if (outcome == REQUEST_DONE)
            prepared_learn_rows(name, lesson->statement, lesson->shape);
    }
    statement_unref(lesson->statement);
    lesson_free(lesson);
}

int
lesson_push(struct requests *requests, int action, struct prepared_set *set,
            struct prepared_entry *entry, struct prepared_names *names, struct prepared_name *name)
{
    struct lesson *const lesson = lesson_new(names);
    int r;

    if (lesson == NULL)
        return -ENOMEM;
    lesson->request.resolve = lesson_resolve;
    lesson->set = set;
    lesson->statement = statement_ref(entry != NULL ? entry->statement : name->then);
    lesson->made = entry != NULL ? entry->made : 0;
    if (name != NULL) {
        prepared_ask_rows(name, lesson->made);
        lesson->number = name->number;
        lesson->name_len = name->len;
        memcpy(lesson->name, name->text, name->len);
    }
    if (entry != NULL)
        entry->is_asked = true;
    r = requests_push_op(requests, FRONTEND_DESCRIBE, (enum request_action)action,
                         &lesson->request);
    if (r < 0)
        lesson_resolve(&lesson->request, REQUEST_SKIPPED);
    return r;
}

void
lesson_read(const struct requests *requests, uint64_t shape)
{
    container_of(list_first(&requests->ops), struct lesson, request.link)->shape = shape;
}
