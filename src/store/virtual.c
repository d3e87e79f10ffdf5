/*
 * virtual.c - a struct table as SQLite sees it: a virtual table of the same name that is there
 * without having been made ("eponymous"). SQLite connects to it when a statement names it.
 *
 * Two tables are joined by equality as a rule, so a column can be looked up: its rows in the order
 * of their values are found out at the first look.
 *
 * While a query is described each table has one row, for which every condition holds: SQLite is
 * told that the conditions have been seen to, and none of them is looked at.
 */
#include "query_int.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "macros.h"

/* What a pointer to the type of a parameter is called, so that no other is taken for one. */
#define PARAMETER_POINTER "parameter"

/* A guess, since rows come when the plan is made; that a look-up is cheaper is what matters. */
#define ROWS_GUESSED   10000
#define COST_OF_LOOKUP 20

struct virtual_table {
    sqlite3_vtab base;
    struct source *source; /* borrowed */
    uint32_t **orders;     /* owned: of each column, its rows by value; NULL until looked up */
};

struct cursor {
    sqlite3_vtab_cursor base;
    size_t at, end;        /* rows; or places in order */
    const uint32_t *order; /* borrowed of the table; NULL: as they are */
};

static struct virtual_table *
table_of(sqlite3_vtab *base)
{
    return container_of(base, struct virtual_table, base);
}

static struct cursor *
cursor_of(sqlite3_vtab_cursor *base)
{
    return container_of(base, struct cursor, base);
}

static bool
is_described(const struct virtual_table *virtual)
{
    return virtual->source->query->purpose == QUERY_DESCRIBE;
}

/* ---- from the first use to the last ---------------------------------------------------------- */

/* The CREATE TABLE that tells SQLite what columns there are. */
static int
declare(sqlite3 *db, struct source *source)
{
    const struct table *const table = source->table;
    CLEANUP(buf_done) struct buf sql = BUF_INIT;
    int code, r = buf_append_str(&sql, "CREATE TABLE x(");

    for (size_t i = 0; i < table_column_count(table) && r == 0; i++)
        r = buf_printf(&sql, "%s\"%s\" %s", i > 0 ? ", " : "", table_column_name(table, i),
                       column_type_name(table_column_type(table, i)));
    if (r == 0)
        r = buf_append_char(&sql, ')');
    if (r < 0)
        return SQLITE_NOMEM;
    source->query->declaring = true;
    code = sqlite3_declare_vtab(db, buf_str(&sql));
    source->query->declaring = false;
    return code;
}

static int
on_disconnect(sqlite3_vtab *base)
{
    struct virtual_table *const virtual = table_of(base);

    for (size_t i = 0; virtual->orders != NULL && i < table_column_count(virtual->source->table);
         i++)
        free(virtual->orders[i]);
    free(virtual->orders);
    free(virtual);
    return SQLITE_OK;
}

static int
on_connect(sqlite3 *db, void *arg, int argc, const char *const *argv, sqlite3_vtab **ret_base,
           char **ret_error)
{
    struct source *const source = arg;
    struct virtual_table *virtual = NULL;
    int code = declare(db, source);

    (void)argc;
    (void)argv;
    (void)ret_error;
    if (code != SQLITE_OK)
        return code;
    virtual = calloc(1, sizeof(*virtual));
    if (virtual == NULL)
        return SQLITE_NOMEM;
    virtual->source = source;
    virtual->orders = calloc(table_column_count(source->table), sizeof(virtual->orders[0]));
    if (virtual->orders == NULL) {
        free(virtual);
        return SQLITE_NOMEM;
    }
    source->used = true;
    *ret_base = &virtual->base;
    return SQLITE_OK;
}

/* ---- the plan -------------------------------------------------------------------------------- */

/* idxStr tells the columns that the arguments of a scan are compared with, each plus one. */
static int
plan_description(sqlite3_index_info *info)
{
    int count = 0;

    info->idxStr = sqlite3_malloc(info->nConstraint + 1);
    if (info->idxStr == NULL)
        return SQLITE_NOMEM;
    info->needToFreeIdxStr = 1;
    for (int i = 0; i < info->nConstraint; i++) {
        if (!info->aConstraint[i].usable || info->aConstraint[i].iColumn < 0 ||
            info->aConstraint[i].op == SQLITE_INDEX_CONSTRAINT_LIMIT ||
            info->aConstraint[i].op == SQLITE_INDEX_CONSTRAINT_OFFSET)
            continue;
        info->idxStr[count++] = (char)(info->aConstraint[i].iColumn + 1);
        info->aConstraintUsage[i].argvIndex = count;
        info->aConstraintUsage[i].omit = 1;
    }
    info->idxStr[count] = '\0';
    return SQLITE_OK;
}

/* idxNum is the column to be looked up, plus one. */
static void
plan_lookup(sqlite3_index_info *info)
{
    for (int i = 0; i < info->nConstraint; i++) {
        if (!info->aConstraint[i].usable || info->aConstraint[i].iColumn < 0 ||
            info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ ||
            sqlite3_stricmp(sqlite3_vtab_collation(info, i), "BINARY") != 0)
            continue;
        info->idxNum = info->aConstraint[i].iColumn + 1;
        info->aConstraintUsage[i].argvIndex = 1;
        info->estimatedCost = COST_OF_LOOKUP;
        info->estimatedRows = COST_OF_LOOKUP;
        return;
    }
}

static int
on_plan(sqlite3_vtab *base, sqlite3_index_info *info)
{
    info->estimatedCost = ROWS_GUESSED;
    info->estimatedRows = ROWS_GUESSED;
    if (is_described(table_of(base)))
        return plan_description(info);
    plan_lookup(info);
    return SQLITE_OK;
}

/* ---- looking up ------------------------------------------------------------------------------ */

struct ordered_column {
    const struct table *table;
    size_t column;
};

static int
compare_values(const struct value *a, const struct value *b)
{
    int order;

    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->kind == VALUE_INTEGER)
        return (a->integer > b->integer) - (a->integer < b->integer);
    if (a->kind == VALUE_REAL)
        return (a->real > b->real) - (a->real < b->real);
    if (a->kind == VALUE_NULL)
        return 0;
    order = memcmp(a->text, b->text, MIN(a->len, b->len));
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int
compare_rows(const void *a, const void *b, void *arg)
{
    const struct ordered_column *const ordered = arg;
    const struct value first = table_get(ordered->table, *(const uint32_t *)a, ordered->column);
    const struct value second = table_get(ordered->table, *(const uint32_t *)b, ordered->column);

    return compare_values(&first, &second);
}

/* NULL: no memory. */
static const uint32_t *
order_of(struct virtual_table *virtual, size_t column)
{
    struct ordered_column ordered = {virtual->source->table, column};
    const size_t count = table_row_count(ordered.table);
    uint32_t *order = virtual->orders[column];

    if (order != NULL)
        return order;
    order = calloc(count + 1, sizeof(*order));
    if (order == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, count, sizeof(*order), compare_rows, &ordered);
    virtual->orders[column] = order;
    return order;
}

/* The first place from which on values are not below (or, with above, are above) this one. */
static size_t
find_place(const struct table *table, size_t column, const uint32_t *order,
           const struct value *value, bool above)
{
    size_t low = 0, high = table_row_count(table);

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const struct value here = table_get(table, order[middle], column);
        const int compared = compare_values(&here, value);

        if (compared < 0 || (above && compared == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/*
 * Whether the rows with this value are all those that can be equal to it: what SQLite converts
 * before it compares is none of these.
 */
static bool
can_look_up(const struct table *table, size_t column, sqlite3_value *value)
{
    const enum column_type type = table_column_type(table, column);
    const int kind = sqlite3_value_type(value);

    return (type == COLUMN_TEXT && kind == SQLITE_TEXT) ||
           ((type == COLUMN_INT4 || type == COLUMN_INT8) && kind == SQLITE_INTEGER);
}

static int
look_up(struct cursor *cursor, struct virtual_table *virtual, size_t column, sqlite3_value *wanted)
{
    const struct table *const table = virtual->source->table;
    struct value value = {.kind = VALUE_INTEGER, .integer = sqlite3_value_int64(wanted)};

    if (sqlite3_value_type(wanted) == SQLITE_TEXT) {
        value.kind = VALUE_TEXT;
        value.text = (const char *)sqlite3_value_text(wanted);
        value.len = (size_t)sqlite3_value_bytes(wanted);
        if (value.text == NULL)
            return SQLITE_NOMEM;
    }
    cursor->order = order_of(virtual, column);
    if (cursor->order == NULL)
        return SQLITE_NOMEM;
    cursor->at = find_place(table, column, cursor->order, &value, false);
    cursor->end = find_place(table, column, cursor->order, &value, true);
    return SQLITE_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int
on_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret_base)
{
    struct cursor *const cursor = calloc(1, sizeof(*cursor));

    (void)base;
    if (cursor == NULL)
        return SQLITE_NOMEM;
    *ret_base = &cursor->base;
    return SQLITE_OK;
}

static int
on_close(sqlite3_vtab_cursor *base)
{
    free(cursor_of(base));
    return SQLITE_OK;
}

/* What a parameter is compared with is what it is. */
static void
learn_types(const struct table *table, const char *columns, int argc, sqlite3_value **argv)
{
    for (int i = 0; i < argc; i++) {
        enum column_type *const type = sqlite3_value_pointer(argv[i], PARAMETER_POINTER);

        if (type != NULL && *type == COLUMN_UNKNOWN)
            *type = table_column_type(table, (size_t)(unsigned char)columns[i] - 1);
    }
}

static int
on_filter(sqlite3_vtab_cursor *base, int column, const char *columns, int argc,
          sqlite3_value **argv)
{
    struct virtual_table *const virtual = table_of(base->pVtab);
    const struct table *const table = virtual->source->table;
    struct cursor *const cursor = cursor_of(base);

    cursor->order = NULL;
    cursor->at = 0;
    if (is_described(virtual)) {
        learn_types(table, columns, argc, argv);
        cursor->end = 1;
        return SQLITE_OK;
    }
    cursor->end = table_row_count(table);
    if (column > 0 && can_look_up(table, (size_t)column - 1, argv[0]))
        return look_up(cursor, virtual, (size_t)column - 1, argv[0]);
    return SQLITE_OK;
}

static int
on_next(sqlite3_vtab_cursor *base)
{
    cursor_of(base)->at++;
    return SQLITE_OK;
}

static int
on_eof(sqlite3_vtab_cursor *base)
{
    return cursor_of(base)->at >= cursor_of(base)->end;
}

static size_t
row_of(const struct cursor *cursor)
{
    return cursor->order != NULL ? cursor->order[cursor->at] : cursor->at;
}

static void
give_sample(sqlite3_context *context, enum column_type type)
{
    if (type == COLUMN_TEXT)
        sqlite3_result_text(context, SAMPLE_TEXT, -1, SQLITE_STATIC);
    else
        sqlite3_result_int(context, 1);
}

static int
on_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
    const struct virtual_table *const virtual = table_of(base->pVtab);
    const struct table *const table = virtual->source->table;
    struct value value;

    if (is_described(virtual)) {
        give_sample(context, table_column_type(table, (size_t)column));
        return SQLITE_OK;
    }
    value = table_get(table, row_of(cursor_of(base)), (size_t)column);
    switch (value.kind) {
    case VALUE_NULL:
    case VALUE_BYTES: /* not in a table */
        sqlite3_result_null(context);
        break;
    case VALUE_INTEGER:
        sqlite3_result_int64(context, value.integer);
        break;
    case VALUE_REAL:
        sqlite3_result_double(context, value.real);
        break;
    case VALUE_TEXT: /* the table does not change while the query runs */
        sqlite3_result_text64(context, value.text, value.len, SQLITE_STATIC, SQLITE_UTF8);
        break;
    }
    return SQLITE_OK;
}

static int
on_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
    *ret_rowid = (sqlite3_int64)row_of(cursor_of(base)) + 1;
    return SQLITE_OK;
}

static const sqlite3_module module = {
    .xConnect = on_connect,
    .xBestIndex = on_plan,
    .xDisconnect = on_disconnect,
    .xOpen = on_open,
    .xClose = on_close,
    .xFilter = on_filter,
    .xNext = on_next,
    .xEof = on_eof,
    .xColumn = on_column,
    .xRowid = on_rowid,
};

int
virtual_register(sqlite3 *db, struct source *source)
{
    return sqlite3_create_module(db, table_name(source->table), &module, source);
}

int
virtual_bind_unknown(sqlite3_stmt *statement, int index, enum column_type *type)
{
    return sqlite3_bind_pointer(statement, index, type, PARAMETER_POINTER, NULL);
}
