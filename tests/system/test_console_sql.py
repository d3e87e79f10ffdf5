"""
SQL on the console: any SELECT over the SHOWs as tables, by both protocols, from the drivers that people use; what it may
not do, and how it ends when it takes too long or too much, or nobody waits for it any more.
"""

import asyncio
import decimal
import json
import os
import shutil
import signal
import time

import asyncpg
import psycopg
import psycopg2
import pytest

import drivers
import harness

ENDLESS = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
HUNGRY = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT i, hex(randomblob(500)) FROM n ORDER BY 2"
INT4, INT8, TEXT, FLOAT8, NUMERIC = 23, 20, 25, 701, 1700


@pytest.fixture(scope="module")
def pooler(postgres):
    here = f"host={harness.HOST} port={postgres.port} dbname=postgres"
    databases = {"shop": here, "narrow": f"{here} pool_size=1"}
    with harness.Pgweir(postgres, databases=databases, stats_users="alice", console_legacy_columns=1, verbose=0) as daemon:
        daemon.psql("SELECT 1", "shop")
        yield daemon


def connect(pooler, dbname="pgbouncer", **options):
    return psycopg.connect(pooler.conninfo(dbname, **options), autocommit=True)


@pytest.fixture(scope="module")
def console(pooler):
    with connect(pooler) as connection:
        yield connection


def simple(connection, sql):
    """Rows of texts, and the tag, by the simple protocol."""
    result = connection.pgconn.exec_(sql.encode())
    assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message.decode()
    values = [tuple(result.get_value(i, j) for j in range(result.nfields)) for i in range(result.ntuples)]
    return [tuple(value and value.decode() for value in row) for row in values], result.command_status.decode()


def refused(connection, sql):
    """The error that sql is answered with: SQLSTATE, text, hint."""
    result = connection.pgconn.exec_(sql.encode())
    assert result.status == psycopg.pq.ExecStatus.FATAL_ERROR
    fields = psycopg.pq.DiagnosticField
    found = [result.error_field(field) for field in (fields.SQLSTATE, fields.MESSAGE_PRIMARY, fields.MESSAGE_HINT)]
    return tuple(text and text.decode() for text in found)


def result_of(connection):
    """What answers a query that was sent, and nothing more."""
    result = connection.pgconn.get_result()
    assert connection.pgconn.get_result() is None
    return result


def runs_sql(pooler):
    """The CPU that it has used: where SQLite works, it grows."""
    before = pooler.process.cpu()
    return harness.wait_for(lambda: pooler.process.cpu() > before + 0.05, 60, "a SELECT to be run")


# Tables ------------------------------------------------------------------------------------------------------


def test_every_show_is_a_table(console):
    """With the columns of the SHOW, its types and its rows; SHOW COLUMNS tells of all of them."""
    tables = {}
    for name, column, kind in console.execute("SELECT table_name, column_name, data_type FROM columns ORDER BY ordinal_position"):
        tables.setdefault(name, []).append((column, kind))
    assert {"pools", "clients", "servers", "waits", "databases", "users", "config", "stats", "columns", "tasks"} <= set(tables)
    words = {INT4: "integer", INT8: "bigint", NUMERIC: "numeric", TEXT: "text"}
    for table, columns in tables.items():
        show = console.execute(f"SHOW {table.upper()}")
        select = console.execute(f"SELECT * FROM {table}")
        described = [(column.name, column.type_code) for column in show.description]
        assert [(column.name, column.type_code) for column in select.description] == described
        assert [(name, words[kind]) for name, kind in described] == columns
        if table not in ("stats", "stats_totals", "stats_averages", "totals", "tasks"):  # these go on meanwhile
            assert [without_times(row, described) for row in select] == [without_times(row, described) for row in show]


def without_times(row, columns):
    return [value for value, (name, _) in zip(row, columns) if name != "request_time"]


def test_aggregates(console):
    rows, tag = simple(console, "SELECT database, sum(cl_active) FROM pools GROUP BY 1 ORDER BY 1")
    assert [row[0] for row in rows] == ["pgbouncer", "shop"] and int(rows[0][1]) >= 1
    assert tag == "SELECT 2"


@pytest.mark.parametrize("sql, rows", [
    ("SELECT 1 + 1", [("2",)]),
    ("select 'a' || 'b' as x, null, 1.5;", [("ab", None, "1.5")]),
    ("VALUES (1, 'x'), (2, 'y')", [("1", "x"), ("2", "y")]),
    ("WITH d AS (SELECT name FROM databases WHERE name <> 'pgbouncer') SELECT name FROM d ORDER BY 1", [("narrow",), ("shop",)]),
    ("/* a tool's */ SELECT version() LIKE 'PgBouncer 1.26.0%', current_database() -- it asks", [("1", "pgbouncer")]),
    ("SELECT name, rank() OVER (ORDER BY name DESC) FROM databases LIMIT 1", [("shop", "1")]),
    ("SELECT count(*) FROM config WHERE \"default\" <> value AND key = 'pool_mode'", [("1",)]),
    ("SELECT now() >= max(connect_time) FROM clients", [("1",)]),
    ("SELECT key FROM config WHERE key = 'no such key'", []),
])
def test_simple(console, sql, rows):
    assert simple(console, sql) == (rows, f"SELECT {len(rows)}")


def test_what_pgbouncer_and_drivers_say_is_as_before(console):
    assert simple(console, "SELECT 1") == ([("1",)], "SELECT 1")
    assert simple(console, "SELECT STATE")[1] == "SHOW"
    assert refused(console, "TABLE pools")[:2] == ("08P01", "invalid command 'TABLE pools', use SHOW HELP;")


def test_join_while_clients_wait(pooler, console):
    """Who waits, and who has what is waited for."""
    with connect(pooler, "narrow", application_name="holder") as holder, connect(pooler, "narrow", application_name="waiter") as waiter:
        holder.execute("BEGIN")
        waiter.pgconn.send_query(b"SELECT 1")
        sql = """SELECT w.application_name, v.cause, h.application_name, s.state
                 FROM clients AS w JOIN waits AS v ON v.id = w.id
                 JOIN servers AS s ON s.database = w.database JOIN clients AS h ON h.ptr = s.link
                 WHERE w.database = 'narrow' AND w.state = 'waiting' AND v.cause LIKE '%busy%'"""
        found = harness.wait_for(lambda: console.execute(sql).fetchall(), 60, "somebody to wait")
        assert found == [("waiter", "all servers of the pool are busy", "holder", "active")]
        holder.execute("COMMIT")
        assert result_of(waiter).get_value(0, 0) == b"1"


def test_stats_users_may(pooler):
    with connect(pooler, user="alice") as connection:
        assert connection.execute("SELECT count(*) FROM clients WHERE user = %s", ["alice"]).fetchone() == (1,)


@pytest.mark.parametrize("sql, state, text, hint", [
    ("SELECT * FROM cows", "42P01", "no such table: cows", "SELECT * FROM columns"),
    ("SELECT cow FROM pools", "42703", "no such column: cow", "columns"),
    ("SELECT moo()", "42883", "no such function: moo", "SQLite"),
    ("SELECT 1::int", "42601", "unrecognized token: \":\"", "CAST"),
    ("SELECT 1; SELECT 2", "42601", "there is more than one statement", "one SELECT"),
    ("WITH x AS (SELECT 1) DELETE FROM pools", "42501", "table pools may not be modified", "read"),
    ("SELECT load_extension('x')", "42501", "not authorized to use function: load_extension", "read"),
    ("SELECT * FROM pragma_database_list", "42501", "not authorized", "read"),
    ("SELECT $1", "42P02", "there is no parameter $1", "$1"),
    ("SELECT 1, 2 UNION SELECT 1", "42601", "SELECTs to the left and right of UNION do not have the same number", None),
    ("SELECT * FROM " + ", ".join(f"sockets AS {letter}" for letter in "abcdefghijkl"), "54011", "too many columns in result set", None),
])
def test_errors(console, sql, state, text, hint):
    found = refused(console, sql)
    assert found[0] == state and text in found[1]
    assert found[2] is None if hint is None else hint in found[2]


def test_errors_fail_the_transaction(pooler):
    with psycopg.connect(pooler.conninfo("pgbouncer")) as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM cows")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 2 + 2")
        connection.rollback()
        assert connection.execute("SELECT 2 + 2").fetchone() == (4,)


# Drivers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_driver_psycopg(console, binary):
    placeholder = "%b" if binary else "%s"
    sql = f"""SELECT {placeholder} + pool_size, name, {placeholder} || name, {placeholder} * 2, {placeholder} IS NULL, {placeholder}
              FROM databases WHERE name = {placeholder} LIMIT {placeholder}"""
    cursor = console.cursor(binary=binary)
    row = cursor.execute(sql, [1, "x", 2.25, None, True, "narrow", 5]).fetchone()
    assert row == (2, "narrow", "xnarrow", 4.5, 1, 1)
    assert [column.type_code for column in cursor.description] == [INT8, TEXT, TEXT, FLOAT8, INT8, INT8]


def test_driver_psycopg_numeric(console):
    row = console.execute("SELECT %s + 1, total_query_count FROM stats LIMIT 1", [decimal.Decimal("1.25")], binary=True).fetchone()
    assert row[0] == 2.25 and isinstance(row[1], decimal.Decimal)


def test_driver_psycopg_prepared(pooler):
    """From the fifth time on it is a statement with a name."""
    with connect(pooler) as connection:
        for i in range(12):
            assert connection.execute("SELECT %s + count(*) FROM databases", [i], prepare=i > 3).fetchone() == (i + 3,)


def test_driver_psycopg_pipeline(console):
    with console.pipeline():
        cursors = [console.execute("SELECT %s + 1, database FROM pools LIMIT 1", [i]) for i in range(10)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(1, 11))


def test_driver_psycopg2(pooler):
    connection = psycopg2.connect(pooler.conninfo("pgbouncer"))
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT name FROM databases WHERE name LIKE %s AND pool_size < %s", ["nar%", 5])
        assert cursor.fetchall() == [("narrow",)]
    connection.close()


def test_driver_asyncpg(pooler):
    """Which prepares all, and has the types told: of columns where there are no rows, and of parameters."""
    async def ask():
        options = {"host": harness.HOST, "port": pooler.port, "user": harness.SUPERUSER, "database": "pgbouncer"}
        connection = await asyncpg.connect(**options)
        assert await connection.fetchval("SELECT count(*) FROM databases WHERE name = $1", "shop") == 1
        assert await connection.fetchval("SELECT sum(pool_size) FROM databases WHERE name = $1", "no such") is None
        assert await connection.fetchval("SELECT sum(pool_size) FROM databases WHERE pool_size = $1", 1) == 1
        assert await connection.fetchval("SELECT avg(pool_size) FROM databases WHERE pool_size <= $1 LIMIT $2", 1, 3) == 1.0
        assert await connection.fetchval("SELECT name FROM databases ORDER BY name LIMIT $1 OFFSET $2", 1, 2) == "shop"
        statement = await connection.prepare("SELECT name, pool_size FROM databases WHERE name <> $1 ORDER BY 1")
        assert [(column.name, column.type.name) for column in statement.get_attributes()] == [("name", "text"), ("pool_size", "int4")]
        async with connection.transaction():
            names = [row["name"] async for row in statement.cursor("pgbouncer", prefetch=1)]
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.fetch("SELECT * FROM cows")
        with pytest.raises(asyncpg.DatatypeMismatchError):  # it was a number when it was described
            await connection.fetchval("SELECT CASE WHEN name = 'shop' THEN name ELSE 1 END FROM databases WHERE name = $1", "shop")
        await connection.close()
        return names

    assert asyncio.run(asyncio.wait_for(ask(), 60)) == ["narrow", "shop"]


@pytest.mark.full
@pytest.mark.skipif(drivers.Pgjdbc.missing() is not None, reason="pgjdbc is not installed")
def test_driver_pgjdbc(pooler, tmp_path):
    source = os.path.join(harness.ROOT, "tests", "system", "jdbc", "ConsoleSql.java")
    harness.run(["javac", "-d", str(tmp_path), source])
    output = harness.run(["java", "-XX:TieredStopAtLevel=1", "-cp", f"{drivers.PGJDBC}:{tmp_path}", "ConsoleSql",
                          f"jdbc:postgresql://localhost:{pooler.port}/pgbouncer", harness.SUPERUSER])
    assert output.endswith("/pgweir\n" + 5 * "shop 20 6.666666666666667 1 float8\n" + "500500\n42P01\n"), output


NODE = os.path.join(harness.ROOT, "build", "drivers")
NODE_STEPS = """
const { Client } = require("pg");
(async () => {
    const client = new Client(process.argv[1]);
    await client.connect();
    for (const name of [undefined, "named", "named"]) {
        const text = "SELECT name, pool_size, pool_size / 2.0 AS half FROM databases WHERE pool_size < $1 AND name = $2";
        console.log(JSON.stringify((await client.query({ name, text, values: [5, "narrow"] })).rows));
    }
    await client.query("SELECT * FROM cows").catch(error => console.log(error.code));
    await client.end();
})();
"""


@pytest.mark.skipif(not shutil.which("node") or not os.path.isdir(os.path.join(NODE, "node_modules", "pg")), reason="npm's pg is not installed")
def test_driver_node_postgres(pooler):
    url = f"postgresql://{harness.SUPERUSER}@{harness.HOST}:{pooler.port}/pgbouncer"
    lines = harness.run(["node", "-e", NODE_STEPS, url], cwd=NODE).splitlines()
    assert [json.loads(line) for line in lines[:3]] == 3 * [[{"name": "narrow", "pool_size": 1, "half": 0.5}]]
    assert lines[3] == "42P01"


def test_driver_psql(pooler):
    assert pooler.psql("SELECT name FROM databases ORDER BY name DESC LIMIT 2", "pgbouncer") == "shop\npgbouncer"
    with pytest.raises(harness.Failed, match='ERROR:  near "databases": syntax error'):
        pooler.psql("SELECT name FORM databases", "pgbouncer")


# The end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_cancel(pooler, extended):
    with connect(pooler) as connection:
        if extended:
            connection.pgconn.send_query_params(ENDLESS.encode(), None)
        else:
            connection.pgconn.send_query(ENDLESS.encode())
        runs_sql(pooler)
        connection.cancel()
        result = result_of(connection)
        assert result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"57014"
        assert b"user request" in result.error_message
        assert connection.execute("SELECT 2 + 2").fetchone() == (4,)


def test_session_that_leaves(pooler, console):
    """What it has asked for is given up, so that it keeps nobody from working."""
    for _ in range(4):
        connection = connect(pooler)
        connection.pgconn.send_query(ENDLESS.encode())
        runs_sql(pooler)
        connection.close()
    assert console.execute("SELECT 2 + 2").fetchone() == (4,)


@pytest.mark.full
def test_hungry(pooler, console):
    """It is refused, and its memory given back; the daemon goes on."""
    assert refused(console, HUNGRY)[:2] == ("53200", "out of memory")
    assert refused(console, "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT i FROM n")[0] == "54000"
    assert console.execute("SELECT 2 + 2").fetchone() == (4,)
    assert pooler.psql("SELECT 1", "shop") == "1"


def test_long_selects_hold_up_no_one(pooler, console):
    """More of them than are run at a time: those wait, and whoever does something else does not."""
    crowd = [connect(pooler) for _ in range(4)]
    for connection in crowd:
        connection.pgconn.send_query(ENDLESS.encode())
    runs_sql(pooler)
    assert console.execute("SHOW STATE").fetchone() == ("active", "yes")
    assert pooler.psql("SELECT 1", "shop") == "1"
    assert console.pgconn.exec_(b"RELOAD").command_status == b"RELOAD"
    for connection in crowd:
        connection.cancel()
        assert result_of(connection).error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"57014"
        connection.close()


def test_too_many(pooler):
    """The bound is a clear error, not a queue without end."""
    crowd = [connect(pooler) for _ in range(40)]
    for connection in crowd:
        connection.pgconn.send_query(ENDLESS.encode())

    def answered():
        for connection in crowd:
            connection.pgconn.consume_input()
        return [connection for connection in crowd if not connection.pgconn.is_busy()]

    for connection in harness.wait_for(answered, 25, "one to be refused"):
        assert result_of(connection).error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"53000"
    for connection in crowd:
        connection.close()


@pytest.mark.parametrize("how", ["SHUTDOWN", "signal"])
def test_shutdown_while_a_select_runs(pgweir, how):
    pooler = pgweir()
    running, boss = connect(pooler), connect(pooler)
    running.pgconn.send_query(ENDLESS.encode())
    runs_sql(pooler)
    before = time.monotonic()
    if how == "SHUTDOWN":
        with pytest.raises(psycopg.OperationalError):
            boss.execute("SHUTDOWN")
    else:
        pooler.process.kill(signal.SIGTERM)
    pooler.ends()
    assert time.monotonic() - before < 25  # it would run for 30 s
    running.close()
    boss.close()
