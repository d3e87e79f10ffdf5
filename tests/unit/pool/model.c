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
model_init(struct model *model, struct model_fates *fates)
{
    *model = (struct model){.status = 'I', .fates = fates};
}

void
model_done(struct model *model)
{
    buf_done(&model->output);
}

void
model_return_to(struct model *model, const struct model *past)
{
    struct buf output = model->output;

    *model = *past;
    buf_clear(&output);
    model->output = output;
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

/* CopyInResponse and its like: text, no columns. */
static void
say_copy(struct model *model, char type)
{
    struct msg msg;

    msg_begin(&msg, &model->output, type);
    msg_put_bytes(&msg, "\0\0\0", 3);
    assert_int_equal(msg_end(&msg), 0);
}

static void
say_row(struct model *model, const char *text, const char *mark, size_t padding)
{
    static const char spaces[1000];
    struct msg msg;

    msg_begin(&msg, &model->output, 'D');
    msg_put_str(&msg, text);
    msg_put_str(&msg, mark);
    for (; padding >= sizeof(spaces); padding -= sizeof(spaces))
        msg_put_bytes(&msg, spaces, sizeof(spaces));
    assert_int_equal(msg_end(&msg), 0);
}

static void
forget_portals(struct model *model)
{
    memset(model->portals, 0, sizeof(model->portals));
}

static void
say_ready(struct model *model)
{
    if (strcmp(model->reported, model->application_name) != 0)
        assert_int_equal(
            msg_parameter_status(&model->output, "application_name", model->application_name), 0);
    (void)str_copy(model->reported, MODEL_NAME, model->application_name);
    if (model->status == 'I')
        forget_portals(model);
    assert_int_equal(msg_ready(&model->output, (enum ready_status)model->status), 0);
}

/* Always false, for those who say so of their message. */
static bool
fail_with(struct model *model, const char *sqlstate, const char *format, const char *name)
{
    char text[200];

    (void)snprintf(text, sizeof(text), "%s", format);
    if (strchr(format, '%') != NULL)
        (void)snprintf(text, sizeof(text), "prepared statement \"%s\" %s", name, format + 2);
    assert_int_equal(msg_error(&model->output, "ERROR", sqlstate, text, NULL, NULL), 0);
    if (model->status == 'T')
        model->status = 'E';
    return false;
}

/* --- marks and cancels ----------------------------------------------------------------------- */

/* The mark in text, or "". */
static void
get_mark(char *mark, const char *text)
{
    int len = 0;

    *mark = '\0';
    for (; (text = strchr(text, 'c')) != NULL; text++)
        if (sscanf(text, "c%*1[0-9].%*u;%n", &len) == 0 && len > 0 && len < MODEL_MARK) {
            (void)snprintf(mark, MODEL_MARK, "%.*s", len, text);
            return;
        }
}

/* A cancel that has come hits what has a mark, and nobody else's. */
static void
meet_cancel(struct model *model, const char *mark, unsigned step)
{
    struct model_fate *fate;

    if (model->cancel == 0 || *mark == '\0')
        return;
    if (mark[1] != model->cancel)
        fail_msg("the cancel of client %c has hit %s", model->cancel, mark);
    assert_true(model->fates->count < MODEL_FATES);
    fate = &model->fates->hits[model->fates->count++];
    (void)str_copy(fate->mark, MODEL_MARK, mark);
    fate->step = step;
    model->cancel = 0;
}

static bool
is_cancelled(struct model *model, const char *mark, unsigned step)
{
    meet_cancel(model, mark, step);
    for (unsigned i = 0; i < model->fates->count; i++)
        if (model->fates->hits[i].step == step && strcmp(model->fates->hits[i].mark, mark) == 0) {
            (void)fail_with(model, "57014", "canceling statement due to user request", NULL);
            return true;
        }
    return false;
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

static struct model_portal *
find_portal(struct model *model, const char *name)
{
    for (size_t i = 0; i < MODEL_PORTALS; i++)
        if (model->portals[i].exists && strcmp(model->portals[i].name, name) == 0)
            return &model->portals[i];
    return NULL;
}

/* Whether text ends a transaction: in a failed one nothing else is accepted. */
static bool
is_refused(struct model *model, const char *text)
{
    if (model->status != 'E' || strcmp(text, "rollback") == 0 || *text == '\0')
        return false;
    (void)fail_with(model, "25P02", "current transaction is aborted", NULL);
    return true;
}

/* --- running --------------------------------------------------------------------------------- */

static bool
deallocate(struct model *model, const char *name)
{
    struct model_statement *const statement = find(model, name);

    if (statement == NULL)
        return fail_with(model, "26000", "%sdoes not exist", name);
    forget(model, statement);
    say(model, 'C', "DEALLOCATE");
    return true;
}

static bool
deallocate_all(struct model *model, const char *text)
{
    forget_all(model);
    if (str_starts_with(text, "DISCARD"))
        model->application_name[0] = '\0';
    say(model, 'C', text);
    return true;
}

static bool
set_parameter(struct model *model, const char *text)
{
    const char *const value = strchr(text, '\'') + 1;

    (void)snprintf(model->application_name, MODEL_NAME, "%.*s", (int)(strchr(value, '\'') - value),
                   value);
    say(model, 'C', "SET");
    return true;
}

static bool
begin_copy(struct model *model, const char *how, const char *mark, bool is_query)
{
    if (str_starts_with(how, "out")) {
        say_copy(model, 'H');
        say(model, 'd', mark);
        say(model, 'd', "the second");
        say(model, 'c', NULL);
        say(model, 'C', "COPY 2");
        return true;
    }
    say_copy(model, str_starts_with(how, "both") ? 'W' : 'G');
    if (str_starts_with(how, "none"))
        return fail_with(model, "42809", "cannot copy to view", NULL);
    model->copy = str_starts_with(how, "both") ? MODEL_COPY_BOTH : MODEL_COPY_IN;
    model->copy_is_query = is_query;
    model->copy_step = 1000; /* behind all Executes */
    (void)str_copy(model->copy_mark, MODEL_MARK, mark);
    return true;
}

/* The portal's rows, at most max (0: all). */
static bool
run_rows(struct model *model, struct model_portal *portal, unsigned max)
{
    const unsigned first = portal->rows;

    for (; portal->rows < 3; portal->rows++) {
        if (max > 0 && portal->rows - first == max) {
            say(model, 's', NULL);
            return true;
        }
        say_row(model, portal->text, portal->mark, 0);
    }
    say(model, 'C', "SELECT 3");
    return true;
}

/* What a row shows, and whether there are some. */
static bool
run_select(struct model *model, struct model_portal *portal, unsigned max)
{
    const char *const text = portal->text;

    if (str_starts_with(text, "rows"))
        return run_rows(model, portal, max);
    if (str_starts_with(text, "notice"))
        assert_int_equal(msg_notice(&model->output, "NOTICE", "00000", text, NULL, NULL), 0);
    say_row(model, str_starts_with(text, "show") ? model->application_name : text, portal->mark,
            str_starts_with(text, "big") ? MODEL_BIG : 0);
    say(model, 'C', "SELECT 1");
    return true;
}

/* Whether it did not fail. */
static bool
run(struct model *model, struct model_portal *portal, unsigned max, bool is_query)
{
    const char *const text = portal->text;

    if (is_refused(model, text))
        return false;
    /* A DEALLOCATE takes no time in which it could be cancelled. */
    if (!str_starts_with(text, "DE") && is_cancelled(model, portal->mark, portal->runs++))
        return false;
    if (str_starts_with(text, "die"))
        return fail_with(model, "22012", text, NULL);
    if (str_starts_with(text, "bad"))
        return fail_with(model, "42601", text, NULL);
    if (*text == '\0') {
        say(model, 'I', NULL);
        return true;
    }
    if (strcmp(text, "begin") == 0)
        model->status = 'T';
    if (strcmp(text, "rollback") == 0)
        model->status = 'I';
    if (strcmp(text, "DEALLOCATE ALL") == 0 || strcmp(text, "DISCARD ALL") == 0)
        return deallocate_all(model, text);
    if (str_starts_with(text, "DEALLOCATE "))
        return deallocate(model, text + 11);
    if (str_starts_with(text, "SET "))
        return set_parameter(model, text);
    if (str_starts_with(text, "copy "))
        return begin_copy(model, text + 5, portal->mark, is_query);
    return run_select(model, portal, max);
}

/* --- messages -------------------------------------------------------------------------------- */

static bool
on_parse(struct model *model, const char *name, const char *text)
{
    if (*name == '\0') /* it goes, whatever comes of this */
        forget(model, &model->statements[0]);
    if (str_starts_with(text, "bad"))
        return fail_with(model, "42601", text, NULL);
    if (is_refused(model, text))
        return false;
    if (*name != '\0' && find(model, name) != NULL)
        return fail_with(model, "42P05", "%salready exists", name);
    store(model, name, text);
    say(model, '1', NULL);
    return true;
}

static bool
on_bind(struct model *model, const char *name)
{
    const char *const statement_name = name + strlen(name) + 1;
    const char *const value = statement_name + strlen(statement_name) + 1 + 8;
    const struct model_statement *const statement = find(model, statement_name);
    struct model_portal *portal = &model->portals[0];

    if (statement == NULL)
        return fail_with(model, "26000", "%sdoes not exist", statement_name);
    if (is_refused(model, statement->text))
        return false;
    if (*name != '\0') {
        if (find_portal(model, name) != NULL)
            return fail_with(model, "42P03", "cursor already exists", NULL);
        while ((++portal)->exists)
            assert_true(portal < &model->portals[MODEL_PORTALS - 1]);
    }
    *portal = (struct model_portal){.exists = true};
    (void)str_copy(portal->name, MODEL_NAME, name);
    (void)str_copy(portal->text, MODEL_TEXT, statement->text);
    get_mark(portal->mark, value);
    say(model, '2', NULL);
    return true;
}

static void
say_columns(struct model *model, const char *text)
{
    const bool has_rows = !str_starts_with(text, "copy") && strcmp(text, "begin") != 0;

    say(model, has_rows ? 'T' : 'n', has_rows ? text : NULL);
}

static bool
on_describe(struct model *model, char kind, const char *name)
{
    const struct model_statement *const statement = kind == 'S' ? find(model, name) : NULL;
    const struct model_portal *const portal = kind == 'P' ? find_portal(model, name) : NULL;

    if (portal == NULL && statement == NULL)
        return kind == 'P' ? fail_with(model, "34000", "no portal", NULL)
                           : fail_with(model, "26000", "%sdoes not exist", name);
    if (is_refused(model, portal != NULL ? portal->text : statement->text))
        return false;
    if (statement != NULL)
        say(model, 't', "types");
    say_columns(model, portal != NULL ? portal->text : statement->text);
    return true;
}

static bool
on_close(struct model *model, char kind, const char *name)
{
    struct model_statement *const statement = kind == 'S' ? find(model, name) : NULL;
    struct model_portal *const portal = kind == 'P' ? find_portal(model, name) : NULL;

    if (statement != NULL)
        forget(model, statement);
    if (portal != NULL)
        *portal = (struct model_portal){.exists = false};
    say(model, '3', NULL);
    return true;
}

static bool
on_execute(struct model *model, const char *name)
{
    struct model_portal *const portal = find_portal(model, name);

    if (portal == NULL)
        return fail_with(model, "34000", "no portal", NULL);
    return run(model, portal, pg_get_uint32(name + strlen(name) + 1), false);
}

static void
on_query(struct model *model, const char *text)
{
    struct model_portal query = {.exists = true};

    forget(model, &model->statements[0]);
    model->portals[0] = (struct model_portal){.exists = false};
    (void)str_copy(query.text, MODEL_TEXT, text);
    get_mark(query.mark, text);
    (void)run(model, &query, 0, true);
    if (model->copy == MODEL_NO_COPY)
        say_ready(model);
}

static void
on_function_call(struct model *model, const char *text)
{
    char mark[MODEL_MARK];

    get_mark(mark, text);
    if (is_refused(model, text) || is_cancelled(model, mark, 0))
        ;
    else if (str_starts_with(text, "die"))
        (void)fail_with(model, "22012", text, NULL);
    else
        say(model, 'V', text);
    say_ready(model);
}

static void
end_copy(struct model *model, bool went_well)
{
    model->copy = MODEL_NO_COPY;
    if (model->copy_is_query)
        say_ready(model);
    else
        model->skipping = !went_well;
}

/* A message while data are read. */
static void
on_copy(struct model *model, char type, const char *body)
{
    char text[80];

    if (type == 'd' && str_starts_with(body, "bad")) {
        end_copy(model, fail_with(model, "22P04", body, NULL));
    } else if (type == 'd') {
        if (model->copy == MODEL_COPY_BOTH)
            say(model, 'd', body);
    } else if (type == 'c') {
        if (model->copy == MODEL_COPY_BOTH)
            say(model, 'c', NULL);
        say(model, 'C', "COPY 1");
        end_copy(model, true);
    } else if (type == 'f') {
        (void)snprintf(text, sizeof(text), "COPY from stdin failed: %s", body);
        end_copy(model, fail_with(model, "57014", text, NULL));
    } else if (type != 'S' && type != 'H') {
        end_copy(model, fail_with(model, "08P01", "unexpected message type", NULL));
    }
}

void
model_message(struct model *model, const char *data, size_t len)
{
    const char *const body = data + PG_HEADER_SIZE;
    bool went_well = true;

    assert_true(len == pg_get_uint32(data + 1) + 1);
    if (model->copy != MODEL_NO_COPY && is_cancelled(model, model->copy_mark, model->copy_step++))
        end_copy(model, false);
    if (model->copy != MODEL_NO_COPY) {
        on_copy(model, *data, body);
        return;
    }
    if (*data == 'S') {
        model->skipping = false;
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
        went_well = on_bind(model, body);
        break;
    case 'D':
        went_well = on_describe(model, *body, body + 1);
        break;
    case 'C':
        went_well = on_close(model, *body, body + 1);
        break;
    case 'E':
        went_well = on_execute(model, body);
        break;
    case 'Q':
        on_query(model, body);
        break;
    case 'F':
        on_function_call(model, body);
        break;
    default: /* Flush, and what is left of a COPY that has failed */
        break;
    }
    model->skipping = !went_well;
}

void
model_cancelled_message(struct model *model, const char *data, size_t len)
{
    assert_int_equal(
        msg_error(&model->output, "ERROR", "57014", "canceling statement due to user request",
                  "The statement was waiting for a server and has not been sent.", NULL),
        0);
    if (*data == 'Q') /* as any other query */
        forget(model, &model->statements[0]);
    if (*data == 'Q' || *data == 'F') {
        say_ready(model);
        return;
    }
    model->skipping = true;
    model_message(model, data, len);
}
