#include "instant_answer.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "build.h"
#include "sql.h"
#include "startup.h"
#include "str.h"

/* Commands are told apart by their first word. */
struct kind {
    const char *word;
    const char *tag;
    enum ready_status status; /* behind it; READY_BROKEN: no other than before */
    bool forgets;             /* all prepared statements */
};

// clang-format off
static const struct kind kinds[] = {
    { "select",     "SELECT 1",          READY_BROKEN,         false },
    { "begin",      "BEGIN",             READY_IN_TRANSACTION, false },
    { "start",      "START TRANSACTION", READY_IN_TRANSACTION, false },
    { "commit",     "COMMIT",            READY_IDLE,           false },
    { "end",        "COMMIT",            READY_IDLE,           false },
    { "rollback",   "ROLLBACK",          READY_IDLE,           false },
    { "abort",      "ROLLBACK",          READY_IDLE,           false },
    { "insert",     "INSERT 0 1",        READY_BROKEN,         false },
    { "update",     "UPDATE 1",          READY_BROKEN,         false },
    { "delete",     "DELETE 1",          READY_BROKEN,         false },
    { "set",        "SET",               READY_BROKEN,         false },
    { "reset",      "RESET",             READY_BROKEN,         false },
    { "discard",    "DISCARD ALL",       READY_BROKEN,         true },
    { "deallocate", "DEALLOCATE ALL",    READY_BROKEN,         true },
};

/* What a session begins with; all of it is reported when it changes. */
static const struct startup_param parameters[] = {
    { "application_name",              "" },
    { "client_encoding",               "UTF8" },
    { "DateStyle",                     "ISO, MDY" },
    { "default_transaction_read_only", "off" },
    { "in_hot_standby",                "off" },
    { "integer_datetimes",             "on" },
    { "IntervalStyle",                 "postgres" },
    { "is_superuser",                  "off" },
    { "server_encoding",               "UTF8" },
    { "server_version",                "15.0 (instant)" },
    { "session_authorization",         "postgres" },
    { "standard_conforming_strings",   "on" },
    { "TimeZone",                      "UTC" },
};
// clang-format on

#define SELECT (&kinds[0])

char answer_rows[ANSWER_ROWS_SIZE];

/* Made by answer_prepare, and never changed again. */
static struct {
    struct buf complete[ARRAY_SIZE(kinds)];
    struct buf ready[256]; /* by status */
    struct buf description, row, bulk_description;
    struct buf parsed, bound, closed, no_data, empty, function_result;
    struct buf unknown_statement, duplicate_statement;
} answers;

struct statement {
    struct map_node node;
    struct command command;
    char name[]; /* with its NUL */
};

/* Answers ------------------------------------------------------------------------------------- */

static void
must(int r)
{
    if (r < 0)
        errx(1, "no memory");
}

static void
put(struct buf *out, const struct buf *answer)
{
    must(buf_append(out, answer->data, answer->len));
}

static void
prepare_simple(struct buf *answer, char type)
{
    struct msg msg;

    msg_begin(&msg, answer, type);
    must(msg_end(&msg));
}

static void
prepare_rows(void)
{
    const uint32_t value_len = ANSWER_ROW_SIZE - PG_HEADER_SIZE - 2 - 4;

    memset(answer_rows, 'x', sizeof(answer_rows));
    for (char *row = answer_rows; row < answer_rows + sizeof(answer_rows); row += ANSWER_ROW_SIZE) {
        pg_put_header(row, BACKEND_DATA_ROW, ANSWER_ROW_SIZE - PG_HEADER_SIZE);
        pg_put_uint16(row + PG_HEADER_SIZE, 1);
        pg_put_uint32(row + PG_HEADER_SIZE + 2, value_len);
    }
}

static void
prepare_function_result(void)
{
    struct msg msg;

    msg_begin(&msg, &answers.function_result, BACKEND_FUNCTION_CALL_RESPONSE);
    msg_put_int32(&msg, UINT32_MAX); /* NULL */
    must(msg_end(&msg));
}

void
answer_prepare(void)
{
    static const char statuses[] = {READY_IDLE, READY_IN_TRANSACTION, READY_FAILED_TRANSACTION};
    const struct msg_column number = {"?column?", PG_TYPE_INT4}, text = {"repeat", PG_TYPE_TEXT};
    const char *const one = "1";

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        must(msg_command_complete(&answers.complete[i], kinds[i].tag));
    for (size_t i = 0; i < sizeof(statuses); i++)
        must(msg_ready(&answers.ready[(size_t)statuses[i]], (enum ready_status)statuses[i]));
    must(msg_row_description(&answers.description, &number, 1));
    must(msg_row_description(&answers.bulk_description, &text, 1));
    must(msg_data_row(&answers.row, &one, 1));
    must(msg_error(&answers.unknown_statement, "ERROR", SQLSTATE_UNDEFINED_STATEMENT,
                   "prepared statement does not exist", NULL, NULL));
    must(msg_error(&answers.duplicate_statement, "ERROR", SQLSTATE_DUPLICATE_STATEMENT,
                   "prepared statement already exists", NULL, NULL));
    prepare_simple(&answers.parsed, BACKEND_PARSE_COMPLETE);
    prepare_simple(&answers.bound, BACKEND_BIND_COMPLETE);
    prepare_simple(&answers.closed, BACKEND_CLOSE_COMPLETE);
    prepare_simple(&answers.no_data, BACKEND_NO_DATA);
    prepare_simple(&answers.empty, BACKEND_EMPTY_QUERY);
    prepare_function_result();
    prepare_rows();
}

/* Parameters ---------------------------------------------------------------------------------- */

static const struct startup_param *
find_parameter(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
        if (strcasecmp(parameters[i].name, name) == 0)
            return &parameters[i];
    return NULL;
}

/* What the startup packet says of a parameter, or its default. */
static const char *
first_value(const struct startup *startup, const struct startup_param *parameter)
{
    struct startup_param given;

    for (const char *pos = startup->params; startup_next_param(&pos, &given);)
        if (strcasecmp(given.name, parameter->name) == 0)
            return given.value;
    return parameter->value;
}

void
dialogue_welcome(const struct startup *startup, uint32_t pid, struct buf *out)
{
    if (startup->negotiate)
        must(msg_negotiate(out, startup));
    must(msg_auth_ok(out));
    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
        must(msg_parameter_status(out, parameters[i].name, first_value(startup, &parameters[i])));
    must(msg_backend_key(out, pid, "inst", PG_CANCEL_KEY_MIN));
    put(out, &answers.ready[READY_IDLE]);
}

/* SET name = value, SET name TO value: a pooler wants to see that the server has done it. */
static void
report_set(const char *text, struct buf *out)
{
    static const struct sql_dialect dialect = {.escapes = false};
    const struct startup_param *parameter;
    struct sql_token set, name, equals, value;
    const char *pos = text;
    char copy[256];

    sql_next(&pos, &dialect, &set);
    sql_next(&pos, &dialect, &name);
    sql_next(&pos, &dialect, &equals);
    sql_next(&pos, &dialect, &value);
    parameter = name.kind == SQL_WORD ? find_parameter(name.text) : NULL;
    if (parameter == NULL || value.kind == SQL_END)
        return;
    if (*value.start == '\'' && pos - value.start >= 2) {
        value.start++;
        pos--;
    }
    str_copy(copy, MIN(sizeof(copy), (size_t)(pos - value.start) + 1), value.start);
    must(msg_parameter_status(out, parameter->name, copy));
}

/* Commands ------------------------------------------------------------------------------------ */

static uint16_t
count_params(const char *text)
{
    long highest = 0;

    while ((text = strchr(text, '$')) != NULL) {
        text++;
        highest = MAX(highest, strtol(text, NULL, 10));
    }
    return (uint16_t)MIN(highest, UINT16_MAX);
}

/* The first command of a text, up to a semicolon. What is not known is a SELECT; nothing at all has
 * no kind. */
static struct command
command_of(const char *text)
{
    static const char bytes[] = "bytes=";
    struct command command = {.kind = SELECT};
    const char *number;

    while (str_is_blank(*text))
        text++;
    if (*text == '\0' || *text == ';')
        return (struct command){.kind = NULL};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (strncasecmp(text, kinds[i].word, strlen(kinds[i].word)) == 0) {
            command.kind = &kinds[i];
            break;
        }
    }
    if (command.kind != SELECT)
        return command;
    number = memmem(text, strcspn(text, ";"), bytes, sizeof(bytes) - 1);
    if (number != NULL)
        command.bytes = strtoull(number + sizeof(bytes) - 1, NULL, 10);
    return command;
}

static void
forget_statements(struct dialogue *dialogue)
{
    struct map_node *node, *next;

    for (node = map_first(&dialogue->statements); node != NULL; node = next) {
        next = map_next(&dialogue->statements, node);
        map_remove(&dialogue->statements, node);
        free(map_entry(node, struct statement, node));
    }
}

static void
describe(const struct command *command, struct buf *out)
{
    if (command->kind != SELECT)
        put(out, &answers.no_data);
    else
        put(out, command->bytes > 0 ? &answers.bulk_description : &answers.description);
}

/* All but the description. False: the rows are to be sent first. */
static bool
execute(struct dialogue *dialogue, const struct command *command, struct buf *out)
{
    if (command->kind == NULL) {
        put(out, &answers.empty);
        return true;
    }
    if (command->bytes > 0) {
        dialogue->rows = (command->bytes + ANSWER_ROW_SIZE - 1) / ANSWER_ROW_SIZE;
        dialogue->rows_left = dialogue->rows * ANSWER_ROW_SIZE;
        return false;
    }
    if (command->kind == SELECT)
        put(out, &answers.row);
    if (command->kind->forgets)
        forget_statements(dialogue);
    if (command->kind->status != READY_BROKEN)
        dialogue->status = command->kind->status;
    put(out, &answers.complete[command->kind - kinds]);
    return true;
}

void
dialogue_end_rows(struct dialogue *dialogue, struct buf *out)
{
    char tag[32];

    snprintf(tag, sizeof(tag), "SELECT %llu", (unsigned long long)dialogue->rows);
    must(msg_command_complete(out, tag));
    dialogue->rows = 0;
}

/* Messages ------------------------------------------------------------------------------------ */

static void
put_ready(struct dialogue *dialogue, struct buf *out)
{
    put(out, &answers.ready[(size_t)dialogue->status]);
}

static void
fail(struct dialogue *dialogue, const struct buf *error, struct buf *out)
{
    if (dialogue->status == READY_IN_TRANSACTION)
        dialogue->status = READY_FAILED_TRANSACTION;
    dialogue->skipping = true;
    put(out, error);
}

/* One command after the other; query_done is where the next begins. */
static bool
answer_query(struct dialogue *dialogue, const char *body, struct buf *out)
{
    const char *text = body + dialogue->query_done;
    bool done = true;

    while (done) {
        const struct command command = command_of(text);
        const size_t len = strcspn(text, ";");

        if (command.kind == NULL && dialogue->query_done > 0)
            break; /* nothing but a semicolon and blanks */
        if (command.kind == SELECT)
            describe(&command, out);
        else if (command.kind != NULL && strcmp(command.kind->word, "set") == 0)
            report_set(text, out);
        done = execute(dialogue, &command, out);
        text += len + (text[len] == ';');
        dialogue->query_done = (size_t)(text - body);
        if (*text == '\0' && done)
            break;
    }
    if (!done)
        return false;
    dialogue->query_done = 0;
    put_ready(dialogue, out);
    return true;
}

static bool
statement_has_name(const struct map_node *node, const void *name)
{
    return strcmp(container_of(node, struct statement, node)->name, name) == 0;
}

static struct statement *
find_statement(const struct dialogue *dialogue, const char *name)
{
    return map_entry(map_get(&dialogue->statements, hash_str(name), name), struct statement, node);
}

static struct statement *
add_statement(struct dialogue *dialogue, const char *name)
{
    const size_t size = strlen(name) + 1;
    struct statement *statement = calloc(1, sizeof(*statement) + size);

    if (statement == NULL)
        errx(1, "no memory");
    memcpy(statement->name, name, size);
    must(map_add(&dialogue->statements, &statement->node, hash_str(name)));
    return statement;
}

static void
remove_statement(struct dialogue *dialogue, const char *name)
{
    struct statement *statement = find_statement(dialogue, name);

    if (statement == NULL)
        return;
    map_remove(&dialogue->statements, &statement->node);
    free(statement);
}

/* NULL: it is not there. */
static const struct command *
prepared_command(const struct dialogue *dialogue, const char *name)
{
    const struct statement *statement;

    if (*name == '\0')
        return &dialogue->unnamed;
    statement = find_statement(dialogue, name);
    return statement != NULL ? &statement->command : NULL;
}

static void
answer_parse(struct dialogue *dialogue, const char *name, struct buf *out)
{
    const char *text = name + strlen(name) + 1;
    struct command command = command_of(text);

    command.params = count_params(text);
    if (*name == '\0')
        dialogue->unnamed = command;
    else if (find_statement(dialogue, name) == NULL)
        add_statement(dialogue, name)->command = command;
    else {
        fail(dialogue, &answers.duplicate_statement, out);
        return;
    }
    put(out, &answers.parsed);
}

static void
answer_bind(struct dialogue *dialogue, const char *portal, struct buf *out)
{
    const struct command *command = prepared_command(dialogue, portal + strlen(portal) + 1);

    if (command == NULL) {
        fail(dialogue, &answers.unknown_statement, out);
        return;
    }
    dialogue->bound = *command;
    put(out, &answers.bound);
}

static void
describe_params(const struct command *command, struct buf *out)
{
    struct msg msg;

    msg_begin(&msg, out, BACKEND_PARAMETER_DESCRIPTION);
    msg_put_int16(&msg, command->params);
    for (uint16_t i = 0; i < command->params; i++)
        msg_put_int32(&msg, PG_TYPE_INT4);
    must(msg_end(&msg));
}

static void
answer_describe(struct dialogue *dialogue, const char *what, struct buf *out)
{
    const struct command *command =
        *what == 'S' ? prepared_command(dialogue, what + 1) : &dialogue->bound;

    if (command == NULL) {
        fail(dialogue, &answers.unknown_statement, out);
        return;
    }
    if (*what == 'S')
        describe_params(command, out);
    describe(command, out);
}

/* Is shown again when the rows are out. */
static bool
answer_execute(struct dialogue *dialogue, struct buf *out)
{
    if (dialogue->query_done > 0) {
        dialogue->query_done = 0;
        return true;
    }
    if (execute(dialogue, &dialogue->bound, out))
        return true;
    dialogue->query_done = 1;
    return false;
}

static void
answer_close(struct dialogue *dialogue, const char *what, struct buf *out)
{
    if (*what == 'S')
        remove_statement(dialogue, what + 1);
    put(out, &answers.closed);
}

bool
dialogue_answer(struct dialogue *dialogue, char type, const char *body, struct buf *out)
{
    if (dialogue->skipping && type != FRONTEND_SYNC)
        return true;
    switch (type) {
    case FRONTEND_QUERY:
        return answer_query(dialogue, body, out);
    case FRONTEND_EXECUTE:
        return answer_execute(dialogue, out);
    case FRONTEND_PARSE:
        answer_parse(dialogue, body, out);
        break;
    case FRONTEND_BIND:
        answer_bind(dialogue, body, out);
        break;
    case FRONTEND_DESCRIBE:
        answer_describe(dialogue, body, out);
        break;
    case FRONTEND_CLOSE:
        answer_close(dialogue, body, out);
        break;
    case FRONTEND_SYNC:
        dialogue->skipping = false;
        put_ready(dialogue, out);
        break;
    case FRONTEND_FUNCTION_CALL:
        put(out, &answers.function_result);
        put_ready(dialogue, out);
        break;
    }
    return true; /* Flush, too: everything is sent at once anyway */
}

void
dialogue_init(struct dialogue *dialogue)
{
    *dialogue = (struct dialogue){.status = READY_IDLE};
    map_init(&dialogue->statements, statement_has_name);
}

void
dialogue_done(struct dialogue *dialogue)
{
    forget_statements(dialogue);
    map_done(&dialogue->statements);
}
