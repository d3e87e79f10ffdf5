/* A SELECT of SQLite's over two small tables: rows, types, descriptions, errors, limits, cancels.
 */

#include "query.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "fake_memory.h"
#include "macros.h"

enum { POOLS, CLIENTS, TABLES };

static const struct query_limits usual = {.time = 60 * SEC, .result = 1 << 20, .columns = 40};

static const struct query_constant constants[] = {
    {"version", {.kind = VALUE_TEXT, .text = "one", .len = 3}},
    {"pg_backend_pid", {.kind = VALUE_INTEGER, .integer = 4711}},
    {"none", {.kind = VALUE_NULL}},
};

static const struct {
    const char *name;
    struct {
        const char *name;
        enum column_type type;
    } columns[3];
} tables[TABLES] = {
    {"pools", {{"database", COLUMN_TEXT}, {"cl_active", COLUMN_INT4}, {"total", COLUMN_NUMERIC}}},
    {"clients", {{"database", COLUMN_TEXT}, {"id", COLUMN_INT8}, {"default", COLUMN_TEXT}}},
};

static const char *const pool_rows[][3] = {
    {"shop", "2", "100"}, {"shop", "3", "50"}, {"plain", "1", "7"}, {NULL, NULL, NULL}};
static const char *const client_rows[][3] = {
    {"shop", "11", "x"}, {"plain", "12", "x"}, {"shop", "13", NULL}, {"gone", "14", "x"}};

static int
make_table(size_t which, struct table **ret_table)
{
    CLEANUP(table_free) struct table *table = NULL;
    int r = table_new(tables[which].name, 3, 0, &table);

    for (size_t i = 0; i < 3 && r == 0; i++)
        r = table_set_column(table, i, tables[which].columns[i].name,
                             tables[which].columns[i].type);
    if (r == 0)
        *ret_table = TAKE(table);
    return r;
}

struct asked {
    struct table *tables[TABLES]; /* the query's */
    struct query *query;
};

static int
open_limited(const char *sql, const struct query_limits *limits, struct asked *asked)
{
    int r = 0;

    *asked = (struct asked){.query = NULL};
    for (size_t i = 0; i < TABLES && r == 0; i++)
        r = make_table(i, &asked->tables[i]);
    if (r < 0) {
        for (size_t i = 0; i < TABLES; i++)
            table_free(asked->tables[i]);
        return r;
    }
    r = query_new(sql, asked->tables, TABLES, limits, &asked->query);
    if (r == 0)
        query_set_constants(asked->query, constants, ARRAY_SIZE(constants));
    return r;
}

static struct asked
ask(const char *sql)
{
    struct asked asked;

    assert_int_equal(open_limited(sql, &usual, &asked), 0);
    return asked;
}

static int
fill(struct asked *asked)
{
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(pool_rows) && r == 0; i++)
        r = table_add_texts(asked->tables[POOLS], pool_rows[i]);
    for (size_t i = 0; i < ARRAY_SIZE(client_rows) && r == 0; i++)
        r = table_add_texts(asked->tables[CLIENTS], client_rows[i]);
    return r;
}

/* One row of texts. */
static struct table *
make_parameters(const char *const *texts, const enum column_type *types, size_t count)
{
    struct table *parameters = NULL;

    assert_int_equal(table_new("parameters", count, 0, &parameters), 0);
    for (size_t i = 0; i < count; i++)
        table_set_type(parameters, i, types != NULL ? types[i] : COLUMN_UNKNOWN);
    if (texts != NULL)
        assert_int_equal(table_add_texts(parameters, texts), 0);
    return parameters;
}

/* "name type,name type: value,value|value,value" */
static void
write_result(const struct table *result, struct buf *text)
{
    static const char *const types[] = {"?", "text", "int4", "int8", "numeric", "float8"};
    char number[VALUE_TEXT_MAX];

    for (size_t i = 0; i < table_column_count(result); i++)
        assert_int_equal(buf_printf(text, "%s%s %s", i > 0 ? "," : "", table_column_name(result, i),
                                    types[table_column_type(result, i)]),
                         0);
    for (size_t i = 0; i < table_row_count(result); i++) {
        for (size_t j = 0; j < table_column_count(result); j++) {
            const struct value value = table_get(result, i, j);
            const char *const shown = value_text(&value, number);

            assert_int_equal(buf_printf(text, "%s%s",
                                        j > 0   ? ","
                                        : i > 0 ? "|"
                                                : ": ",
                                        shown != NULL ? shown : "NULL"),
                             0);
        }
    }
}

/* What a query answers: its result, or SQLSTATE and message. */
static void
run_limited(const char *sql, const struct query_limits *limits, const struct table *parameters,
            struct buf *answer)
{
    CLEANUP(table_free) struct table *result = NULL;
    struct asked asked;
    int r;

    assert_int_equal(open_limited(sql, limits, &asked), 0);
    r = query_prepare(asked.query, QUERY_RUN);
    if (r == 0) {
        assert_int_equal(fill(&asked), 0);
        r = query_run(asked.query, parameters, NULL, &result);
    }
    if (r == 0)
        write_result(result, answer);
    else
        assert_int_equal(buf_printf(answer, "%s %s", query_error(asked.query)->sqlstate,
                                    query_error(asked.query)->message),
                         0);
    query_free(asked.query);
}

static void
check(const char *sql, const struct table *parameters, const char *expected)
{
    CLEANUP(buf_done) struct buf answer = BUF_INIT;

    run_limited(sql, &usual, parameters, &answer);
    if (strcmp(buf_str(&answer), expected) != 0)
        fail_msg("%s\n  gives    %s\n  expected %s", sql, buf_str(&answer), expected);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void
test_answers(void **state)
{
    // clang-format off
    static const struct {
        const char *sql, *answer;
    } queries[] = {
        { "SELECT * FROM pools", "database text,cl_active int4,total numeric: "
                                 "shop,2,100|shop,3,50|plain,1,7|NULL,NULL,NULL" },
        { "select database, sum(cl_active) as n from pools group by 1 order by 1",
          "database text,n int8: NULL,NULL|plain,1|shop,5" },
        { "WITH x AS (SELECT id AS y FROM clients WHERE id > 12) SELECT y, y + 1 FROM x;",
          "y int8,y + 1 int8: 13,14|14,15" },
        { "VALUES (1, 'a'), (2.5, NULL) -- that is all", "column1 float8,column2 text: 1,a|2.5,NULL" },
        { "SELECT c.id, p.cl_active FROM clients c JOIN pools p ON c.database = p.database ORDER BY 1, 2",
          "id int8,cl_active int4: 11,2|11,3|12,1|13,2|13,3" },
        { "SELECT id FROM clients LEFT JOIN pools USING (database) WHERE cl_active IS NULL", "id int8: 14" },
        { "SELECT id FROM clients WHERE id = 12.0 OR id = '13'", "id int8: 12|13" },
        { "SELECT id FROM clients WHERE database = 'SHOP' COLLATE NOCASE", "id int8: 11|13" },
        { "SELECT id FROM clients WHERE database IN ('gone', 'shop') AND \"default\" IS NULL", "id int8: 13" },
        { "SELECT total FROM pools WHERE total = 50.0", "total numeric: 50" },
        { "SELECT id, rank() OVER (ORDER BY id DESC) AS r FROM clients LIMIT 1", "id int8,r int8: 14,1" },
        { "SELECT avg(total), max(database), 1.0 / 3 FROM pools",
          "avg(total) float8,max(database) text,1.0 / 3 float8: 52.333333333333336,shop,0.3333333333333333" },
        { "SELECT cl_active FROM pools UNION ALL SELECT 4294967296 LIMIT 9",
          "cl_active int8: 2|3|1|NULL|4294967296" },
        { "SELECT cl_active FROM pools UNION ALL SELECT 'x' LIMIT 9", "cl_active text: 2|3|1|NULL|x" },
        { "SELECT x'00ff', NULL, 9e999", "x'00ff' text,NULL text,9e999 float8: \\x00ff,NULL,Infinity" },
        { "SELECT version(), pg_backend_pid(), none()",
          "version() text,pg_backend_pid() int8,none() text: one,4711,NULL" },
        { "SELECT count(*) FROM clients WHERE 1 = 0", "count(*) int8: 0" },
        { "SELECT id FROM clients WHERE 1 = 0", "id int8" },
        { "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
          "SELECT count(*), sum(i) FROM n", "count(*) int8,sum(i) int8: 100,5050" },
        /* errors */
        { "SELECT", "42601 incomplete input" },
        { "SELECT FROM", "42601 near \"FROM\": syntax error" },
        { "SELECT 1::text", "42601 unrecognized token: \":\"" },
        { "SELECT * FROM cows", "42P01 no such table: cows" },
        { "SELECT cow FROM pools", "42703 no such column: cow" },
        { "SELECT database FROM pools, clients", "42702 ambiguous column name: database" },
        { "SELECT moo()", "42883 no such function: moo" },
        { "SELECT version(1)", "42883 wrong number of arguments to function version()" },
        { "SELECT sum(count(*)) FROM pools", "42803 misuse of aggregate function count()" },
        { "SELECT 1; SELECT 2", "42601 there is more than one statement" },
        { "SELECT 1; nonsense", "42601 there is more than one statement" },
        { "SELECT 1;; -- done\n ; /* really */", "1 int8: 1" },
        { "SELECT 1; ; SELECT 2", "42601 there is more than one statement" },
        { "SELECT $1", "42P02 there is no parameter $1" },
        { "SELECT ?", "42P02 there is no parameter ?" },
        { "SELECT :name", "42P02 there is no parameter :name" },
        { "SELECT abs(-9223372036854775807 - 1)", "22003 integer overflow" },
        { "SELECT json('{')", "22032 malformed JSON" },
        { "SELECT zeroblob(1000000)", "54000 string or blob too big" },
        { "SELECT 1 LIMIT 'x'", "42804 datatype mismatch" },
        /* nothing but reading */
        { "SELECT load_extension('x')", "42501 not authorized to use function: load_extension" },
        { "SELECT name FROM sqlite_master", "42501 access to sqlite_master.name is prohibited" },
        { "SELECT * FROM pragma_database_list", "42501 not authorized" },
        { "PRAGMA journal_mode", "42501 not authorized" },
        { "ATTACH '/tmp/pgweir-no-such-file' AS x", "42501 not authorized" },
        { "CREATE TEMP TABLE x (y)", "42501 not authorized" },
        { "WITH x AS (SELECT 1) DELETE FROM pools", "42501 table pools may not be modified" },
        { "VACUUM", "42501 not authorized" },
        { "BEGIN", "42501 not authorized" },
    };
    // clang-format on

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(queries); i++)
        check(queries[i].sql, NULL, queries[i].answer);
}

/* Only what the statement names is asked for; a name within it is none. */
static void
test_tells_what_it_uses(void **state)
{
    static const struct {
        const char *sql;
        bool used[TABLES];
    } queries[] = {
        {"SELECT 1", {false, false}},
        {"SELECT count(*) FROM pools", {true, false}},
        {"SELECT 'pools' AS pools FROM clients", {false, true}},
        {"WITH pools AS (SELECT 1) SELECT * FROM pools", {false, false}},
        {"SELECT 1 WHERE EXISTS (SELECT 1 FROM POOLS) OR 1 IN (SELECT id FROM main.clients)",
         {true, true}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
        struct asked asked = ask(queries[i].sql);

        assert_int_equal(query_prepare(asked.query, QUERY_RUN), 0);
        for (size_t j = 0; j < TABLES; j++)
            assert_int_equal(query_uses(asked.query, j), queries[i].used[j]);
        query_free(asked.query);
    }
}

static void
test_parameters(void **state)
{
    static const enum column_type types[] = {COLUMN_TEXT, COLUMN_INT4, COLUMN_FLOAT8};
    static const char *const texts[] = {"shop", "12", NULL};
    CLEANUP(table_free) struct table *parameters = make_parameters(texts, types, 3);

    (void)state;
    check("SELECT id FROM clients WHERE database = $1 AND id > $2", parameters, "id int8: 13");
    check("SELECT id FROM clients WHERE id = $2", parameters, "id int8: 12");
    check("SELECT $2, $1, $3, $2 + 1", parameters,
          "$2 int8,$1 text,$3 text,$2 + 1 int8: 12,shop,NULL,13");
    check("SELECT $4", parameters, "42P02 there is no parameter $4");
    check("SELECT $x", parameters, "42P02 there is no parameter $x");
}

/* A parameter of no type is a text, which is as good as a number where one is. */
static void
test_parameters_of_no_type(void **state)
{
    static const char *const texts[] = {"12"};
    CLEANUP(table_free) struct table *parameters = make_parameters(texts, NULL, 1);

    (void)state;
    check("SELECT id FROM clients WHERE id > $1 ORDER BY id", parameters, "id int8: 13|14");
    check("SELECT id FROM clients WHERE id = $1", parameters, "id int8: 12");
    check("SELECT id FROM clients ORDER BY id LIMIT $1", parameters, "id int8: 11|12|13|14");
}

/* ---- descriptions ---------------------------------------------------------------------------- */

/* "columns <- types of parameters" */
static void
describe(const char *sql, const enum column_type *types, size_t count, const char *expected)
{
    CLEANUP(table_free) struct table *parameters = make_parameters(NULL, types, count);
    CLEANUP(table_free) struct table *columns = NULL;
    CLEANUP(buf_done) struct buf answer = BUF_INIT;
    struct asked asked = ask(sql);

    assert_int_equal(query_prepare(asked.query, QUERY_DESCRIBE), 0);
    assert_int_equal(query_describe(asked.query, parameters, &columns), 0);
    write_result(columns, &answer);
    assert_int_equal(table_row_count(columns), 0);
    assert_int_equal(buf_append_str(&answer, " <-"), 0);
    for (size_t i = 0; i < count; i++) {
        const char *const type = column_type_name(table_column_type(parameters, i));

        assert_int_equal(buf_printf(&answer, " %s", type != NULL ? type : "?"), 0);
    }
    if (strcmp(buf_str(&answer), expected) != 0)
        fail_msg("%s\n  is       %s\n  expected %s", sql, buf_str(&answer), expected);
    query_free(asked.query);
}

static void
test_descriptions(void **state)
{
    static const enum column_type known[] = {COLUMN_FLOAT8};

    (void)state;
    describe("SELECT * FROM pools", NULL, 0, "database text,cl_active int4,total numeric <-");
    describe("SELECT sum(cl_active) AS n, avg(total) AS a FROM pools WHERE database = $1", NULL, 1,
             "n int8,a float8 <- text");
    describe("SELECT max(id) AS m FROM clients WHERE id BETWEEN $1 AND $2 AND \"default\" LIKE $3",
             NULL, 3, "m int8 <- bigint bigint text");
    describe("SELECT p.cl_active + 1 AS n FROM clients c JOIN pools p USING (database) "
             "WHERE p.cl_active > $1 AND c.id = $2 ORDER BY 1 LIMIT $3 OFFSET $4",
             NULL, 4, "n int8 <- integer bigint bigint bigint");
    describe("SELECT $1 AS x, $1 + 1 AS y", known, 1, "x float8,y float8 <- double precision");
    describe("SELECT $1 AS x", NULL, 1, "x text <- ?");
    describe("SELECT total / 2.0 AS h FROM pools WHERE cl_active IN ($1, $2)", NULL, 2,
             "h float8 <- ? ?");
    describe("SELECT json_extract(database, '$.x') AS j, id FROM clients", NULL, 0,
             "j text,id int8 <-");
    describe("SELECT julianday(database) AS d FROM clients", NULL, 0, "d float8 <-");
    describe("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
             NULL, 0, "i int8 <-");
}

/* What was told holds for the rows, or they are refused. */
static void
test_rows_are_as_told(void **state)
{
    static const struct {
        enum column_type told;
        const char *sql, *answer;
    } runs[] = {
        {COLUMN_FLOAT8, "SELECT cl_active AS x FROM pools LIMIT 2", "x float8: 2|3"},
        {COLUMN_TEXT, "SELECT cl_active AS x FROM pools LIMIT 2", "x text: 2|3"},
        {COLUMN_INT8, "SELECT NULL AS x", "x int8: NULL"},
        {COLUMN_INT8, "SELECT 1.5 AS x", "42804"},
        {COLUMN_INT4, "SELECT 4294967296 AS x", "42804"},
        {COLUMN_INT4, "SELECT 'shop' AS x", "42804"},
        {COLUMN_INT4, "SELECT 1 AS x, 2 AS y", "0A000"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        CLEANUP(table_free) struct table *told = make_parameters(NULL, &runs[i].told, 1);
        CLEANUP(table_free) struct table *result = NULL;
        CLEANUP(buf_done) struct buf answer = BUF_INIT;
        struct asked asked = ask(runs[i].sql);

        assert_int_equal(query_prepare(asked.query, QUERY_RUN), 0);
        assert_int_equal(fill(&asked), 0);
        if (query_run(asked.query, NULL, told, &result) == 0)
            write_result(result, &answer);
        else
            assert_int_equal(buf_append_str(&answer, query_error(asked.query)->sqlstate), 0);
        assert_string_equal(buf_str(&answer), runs[i].answer);
        query_free(asked.query);
    }
}

/* ---- limits ---------------------------------------------------------------------------------- */

static const char endless[] = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) ";

static void
check_limited(const char *rest, struct query_limits limits, const char *expected)
{
    CLEANUP(buf_done) struct buf sql = BUF_INIT, answer = BUF_INIT;

    assert_int_equal(buf_printf(&sql, "%s%s", endless, rest), 0);
    run_limited(buf_str(&sql), &limits, NULL, &answer);
    assert_string_equal(buf_str(&answer), expected);
}

static void
test_limits(void **state)
{
    struct query_limits limits = usual;

    (void)state;
    check_limited("SELECT i FROM n", limits, "54000 the result is too large");
    limits.columns = 2;
    check_limited("SELECT 1, 2, 3", limits, "54011 too many columns in result set");
    limits.time = 0;
    check_limited("SELECT count(*) FROM n", limits,
                  "57014 canceling statement due to statement timeout");
}

/* What fails for want of memory leaves enough for the next. */
static void
test_memory_of_sqlite_ends(void **state)
{
    CLEANUP(buf_done) struct buf answer = BUF_INIT;

    (void)state;
    query_limit_memory(4 << 20);
    check_limited("SELECT i FROM n ORDER BY -i", usual, "53200 out of memory");
    check("SELECT count(*) FROM pools", NULL, "count(*) int8: 4");
    for (int64_t bytes = 1 << 10; bytes <= 1 << 20; bytes += bytes / 16) {
        query_limit_memory(bytes);
        buf_clear(&answer);
        run_limited("SELECT c.database, count(*) FROM clients c JOIN pools p USING (database) "
                    "GROUP BY 1 ORDER BY 2 DESC, 1",
                    &usual, NULL, &answer);
        if (strncmp(buf_str(&answer), "53200", 5) != 0)
            break;
    }
    query_limit_memory(0);
    assert_string_equal(buf_str(&answer), "database text,count(*) int8: shop,4|plain,1");
}

static int
run_once(void)
{
    CLEANUP(table_free) struct table *result = NULL;
    CLEANUP(query_free) struct query *query = NULL;
    struct asked asked;
    int r = open_limited("SELECT c.id, p.cl_active FROM clients c JOIN pools p USING (database)",
                         &usual, &asked);

    query = asked.query;
    if (r == 0)
        r = query_prepare(query, QUERY_RUN);
    if (r == 0)
        r = fill(&asked);
    if (r == 0)
        r = query_run(query, NULL, NULL, &result);
    if (r == 0)
        assert_int_equal(table_row_count(result), 5);
    return r;
}

static void
test_memory_ends(void **state)
{
    int r;

    (void)state;
    for (long allocations = 0;; allocations++) {
        fake_memory_limit(allocations);
        r = run_once();
        if (fake_memory_unlimit() > 0)
            break;
    }
    assert_int_equal(r, 0);
}

/* ---- cancels --------------------------------------------------------------------------------- */

static void *
cancel_there(void *query)
{
    query_cancel(query);
    return NULL;
}

/* From another thread, at whatever point this one is. */
static void
test_cancel(void **state)
{
    CLEANUP(buf_done) struct buf sql = BUF_INIT;
    struct table *result = NULL;
    struct asked asked;
    pthread_t thread;

    (void)state;
    assert_int_equal(buf_printf(&sql, "%sSELECT count(*) FROM n", endless), 0);
    for (int i = 0; i < 20; i++) {
        asked = ask(buf_str(&sql));
        assert_int_equal(query_prepare(asked.query, QUERY_RUN), 0);
        assert_int_equal(pthread_create(&thread, NULL, cancel_there, asked.query), 0);
        assert_int_equal(query_run(asked.query, NULL, NULL, &result), -EINVAL);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_string_equal(query_error(asked.query)->sqlstate, "57014");
        assert_string_equal(query_error(asked.query)->message,
                            "canceling statement due to user request");
        query_free(asked.query);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),      cmocka_unit_test(test_tells_what_it_uses),
        cmocka_unit_test(test_parameters),   cmocka_unit_test(test_parameters_of_no_type),
        cmocka_unit_test(test_descriptions), cmocka_unit_test(test_rows_are_as_told),
        cmocka_unit_test(test_limits),       cmocka_unit_test(test_memory_of_sqlite_ends),
        cmocka_unit_test(test_memory_ends),  cmocka_unit_test(test_cancel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
