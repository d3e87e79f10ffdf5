#include "model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "build.h"
#include "macros.h"
#include "pg.h"
#include "str.h"

void
model_init(struct model *model)
{
    *model = (struct model){.status = 'I'};
}

void
model_done(struct model *model)
{
    buf_done(&model->output);
}

/* --- saying ---------------------------------------------------------------------------------- */

static void
say(struct model *model, char type, const char *text)
{
    struct msg msg;

    msg_begin(&msg, &model->output, type);
    if (text != NULL)
        msg_put_str(&msg, text);
    assert_int_equal(msg_end(&msg), 0);
}

static void
say_ready(struct model *model)
{
    assert_int_equal(msg_ready(&model->output, (enum ready_status)model->status), 0);
}

static void
fail_with(struct model *model, const char *sqlstate, const char *format, const char *name)
{
    char text[200];

    if (strchr(format, '%') != NULL)
        (void)snprintf(text, sizeof(text), "prepared statement \"%s\" %s", name, format + 2);
    else
        (void)snprintf(text, sizeof(text), "%s", format);
    assert_int_equal(msg_error(&model->output, "ERROR", sqlstate, text, NULL, NULL), 0);
    if (model->status == 'T')
        model->status = 'E';
}

/* --- statements ------------------------------------------------------------------------------ */

static struct model_statement *
find(struct model *model, const char *name)
{
    if (*name == '\0')
        return model->statements[0].text[0] != '\0' ? &model->statements[0] : NULL;
    for (size_t i = 1; i < MODEL_NAMES; i++)
        if (strcmp(model->statements[i].name, name) == 0)
            return &model->statements[i];
    return NULL;
}

static void
store(struct model *model, const char *name, const char *text)
{
    size_t i = 0;

    if (*name != '\0') {
        for (i = 1; i < MODEL_NAMES && model->statements[i].name[0] != '\0'; i++)
            ;
        assert_true(i < MODEL_NAMES);
        model->count += *text != '\0';
        model->most = MAX(model->most, model->count);
    }
    (void)str_copy(model->statements[i].name, MODEL_NAME, name);
    (void)str_copy(model->statements[i].text, MODEL_TEXT, text);
}

static void
forget(struct model *model, struct model_statement *statement)
{
    if (statement != &model->statements[0])
        model->count -= statement->text[0] != '\0';
    *statement = (struct model_statement){.name = ""};
}

static void
forget_all(struct model *model)
{
    for (size_t i = 1; i < MODEL_NAMES; i++)
        if (model->statements[i].name[0] != '\0')
            forget(model, &model->statements[i]);
}

/* In a failed transaction only its end is accepted. */
static bool
is_refused(struct model *model, const char *text)
{
    if (model->status != 'E' || strcmp(text, "rollback") == 0 || *text == '\0')
        return false;
    fail_with(model, "25P02", "current transaction is aborted", NULL);
    return true;
}

static bool
deallocate(struct model *model, const char *name)
{
    struct model_statement *const statement = find(model, name);

    if (statement == NULL) {
        fail_with(model, "26000", "%sdoes not exist", name);
        return false;
    }
    forget(model, statement);
    say(model, 'C', "DEALLOCATE");
    return true;
}

/* Runs text; false: it failed. */
static bool
run(struct model *model, const char *text)
{
    if (is_refused(model, text))
        return false;
    if (str_starts_with(text, "die") || str_starts_with(text, "bad")) {
        fail_with(model, str_starts_with(text, "die") ? "22012" : "42601", text, NULL);
        return false;
    }
    if (strcmp(text, "begin") == 0)
        model->status = 'T';
    if (strcmp(text, "rollback") == 0)
        model->status = 'I';
    if (str_starts_with(text, "DEALLOCATE ") && strcmp(text + 11, "ALL") != 0)
        return deallocate(model, text + 11);
    if (strcmp(text, "DEALLOCATE ALL") == 0 || strcmp(text, "DISCARD ALL") == 0) {
        forget_all(model);
        say(model, 'C', text);
        return true;
    }
    say(model, 'D', text);
    say(model, 'C', "SELECT 1");
    return true;
}

/* --- messages -------------------------------------------------------------------------------- */

static bool
on_parse(struct model *model, const char *name, const char *text)
{
    if (str_starts_with(text, "bad")) {
        fail_with(model, "42601", text, NULL);
        return false;
    }
    if (is_refused(model, text))
        return false;
    if (*name != '\0' && find(model, name) != NULL) {
        fail_with(model, "42P05", "%salready exists", name);
        return false;
    }
    store(model, name, text);
    say(model, '1', NULL);
    return true;
}

static bool
on_bind(struct model *model, const char *name)
{
    const struct model_statement *const statement = find(model, name);

    if (statement == NULL) {
        fail_with(model, "26000", "%sdoes not exist", name);
        return false;
    }
    if (is_refused(model, statement->text))
        return false;
    (void)str_copy(model->portal, MODEL_TEXT, statement->text);
    say(model, '2', NULL);
    return true;
}

static bool
on_describe(struct model *model, const char *name)
{
    const struct model_statement *const statement = find(model, name);

    if (statement == NULL) {
        fail_with(model, "26000", "%sdoes not exist", name);
        return false;
    }
    if (is_refused(model, statement->text))
        return false;
    say(model, 't', "types");
    say(model, 'T', statement->text);
    return true;
}

static bool
on_close(struct model *model, const char *name)
{
    struct model_statement *const statement = find(model, name);

    if (statement != NULL)
        forget(model, statement);
    say(model, '3', NULL);
    return true;
}

static bool
on_execute(struct model *model)
{
    if (model->portal[0] == '\0') {
        fail_with(model, "34000", "no portal", NULL);
        return false;
    }
    return run(model, model->portal);
}

void
model_message(struct model *model, const char *data, size_t len)
{
    const char *const body = data + PG_HEADER_SIZE;
    bool went_well = true;

    assert_true(len == pg_get_uint32(data + 1) + 1);
    if (*data == 'S') {
        model->skipping = false;
        model->portal[0] = '\0';
        say_ready(model);
        return;
    }
    if (model->skipping)
        return;
    switch (*data) {
    case 'P':
        went_well = on_parse(model, body, body + strlen(body) + 1);
        break;
    case 'B':
        went_well = on_bind(model, body + strlen(body) + 1);
        break;
    case 'D':
        went_well = on_describe(model, body + 1);
        break;
    case 'C':
        went_well = on_close(model, body + 1);
        break;
    case 'E':
        went_well = on_execute(model);
        break;
    case 'Q':
        model->portal[0] = '\0';
        (void)run(model, body);
        say_ready(model);
        break;
    default:
        break;
    }
    model->skipping = !went_well;
}
