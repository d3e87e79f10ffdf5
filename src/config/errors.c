/*
 * The list of what is wrong with a file.
 */
#include "config_int.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

void
config_errors_done(struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        free(errors->list[i].file);
        free(errors->list[i].message);
    }
    free(errors->list);
    *errors = (struct config_errors)CONFIG_ERRORS_INIT;
}

bool
config_errors_fatal(const struct config_errors *errors)
{
    return errors->count > errors->warnings || errors->out_of_memory;
}

const struct config_error *
config_errors_first(const struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++)
        if (!errors->list[i].is_warning)
            return &errors->list[i];
    return NULL;
}

void
config_errors_print(const struct config_errors *errors, FILE *file)
{
    for (size_t i = 0; i < errors->count; i++) {
        const struct config_error *error = &errors->list[i];

        if (error->file != NULL)
            (void)fprintf(file, "%s:", error->file);
        if (error->line > 0)
            (void)fprintf(file, "%u:", error->line);
        (void)fprintf(file, "%s%s%s\n", error->file != NULL ? " " : "",
                      error->is_warning ? "warning: " : "", error->message);
    }
}

bool
errors_are_full(const struct config_errors *errors)
{
    return errors->count >= CONFIG_ERRORS_MAX && config_errors_fatal(errors);
}

/* Doubles the list whenever its length is a power of two. */
static int
errors_grow(struct config_errors *errors)
{
    struct config_error *list;

    if ((errors->count & (errors->count - 1)) != 0)
        return 0;
    list = realloc(errors->list, MAX(2 * errors->count, (size_t)1) * sizeof(*list));
    if (list == NULL)
        return -1;
    errors->list = list;
    return 0;
}

void
errors_vadd(struct config_errors *errors, bool is_warning, const struct place *place,
            const char *format, va_list args)
{
    CLEANUP(buf_done) struct buf message = BUF_INIT;
    struct config_error error = {.is_warning = is_warning};

    if (errors_are_full(errors) || (errors->count >= CONFIG_ERRORS_MAX && is_warning))
        return;
    if (buf_vprintf(&message, format, args) < 0 || errors_grow(errors) < 0) {
        errors->out_of_memory = true;
        return;
    }
    if (place != NULL && place->file != NULL) {
        error.file = strdup(place->file);
        error.line = place->line;
        errors->out_of_memory |= error.file == NULL;
    }
    error.message = buf_steal(&message);
    errors->list[errors->count++] = error;
    errors->warnings += is_warning;
}

static bool
error_is_after(const struct config_error *one, const struct config_error *other)
{
    int files;

    if (one->file == NULL || other->file == NULL)
        return one->file == NULL && other->file != NULL;
    files = strcmp(one->file, other->file);
    return files != 0 ? files > 0 : one->line > other->line;
}

/* Few, and those of one line stay in their order. */
void
config_errors_sort(struct config_errors *errors)
{
    for (size_t i = 1; i < errors->count; i++) {
        const struct config_error error = errors->list[i];
        size_t place = i;

        for (; place > 0 && error_is_after(&errors->list[place - 1], &error); place--)
            errors->list[place] = errors->list[place - 1];
        errors->list[place] = error;
    }
}

void
config_errors_add(struct config_errors *errors, bool is_warning, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    errors_vadd(errors, is_warning, NULL, format, args);
    va_end(args);
}

void
errors_add(struct config_errors *errors, const struct place *place, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    errors_vadd(errors, false, place, format, args);
    va_end(args);
}

void
errors_warn(struct config_errors *errors, const struct place *place, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    errors_vadd(errors, true, place, format, args);
    va_end(args);
}
