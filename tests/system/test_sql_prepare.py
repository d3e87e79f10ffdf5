"""
Prepared statements by SQL (PREPARE, EXECUTE, DEALLOCATE) over fewer servers than clients: each client has names of
its own, which mean the same on every server.
"""

import contextlib
import subprocess

import psycopg
import pytest

import harness

SERVERS = 2
MAX = 5


@pytest.fixture(params=["transaction", "statement"])
def few(request, pgweir):
    return pgweir(default_pool_size=SERVERS, max_prepared_statements=MAX, pool_mode=request.param)


@pytest.fixture
def one(pgweir):
    """A pooler with one server: what one client leaves there, the next will find."""
    return pgweir(default_pool_size=1, max_prepared_statements=MAX, pool_mode="transaction")


@contextlib.contextmanager
def connected(pooler, count=1, **options):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(psycopg.connect(pooler.conninfo(**options), autocommit=True)) for _ in range(count)]


def one_value(connection, query):
    return connection.execute(query).fetchone()[0]


def as_parse(connection, query):
    """The same by the extended protocol, unnamed."""
    result = connection.pgconn.exec_params(query.encode(), [])
    if result.status not in (psycopg.pq.ExecStatus.COMMAND_OK, psycopg.pq.ExecStatus.TUPLES_OK):
        raise psycopg.errors.lookup(result.error_field(psycopg.pq.DiagnosticField.SQLSTATE).decode())(
            result.error_message.decode())
    return result


def test_each_client_has_its_own(few):
    with connected(few, 12) as clients:
        for number, client in enumerate(clients):
            assert client.execute(f"PREPARE Mine (int) AS SELECT $1 + {number % 8}").statusmessage == "PREPARE"
        for _ in range(5):
            for number, client in enumerate(clients):
                assert one_value(client, "EXECUTE mine(100);") == 100 + number % 8
        for client in clients:
            assert client.execute('DEALLOCATE "mine"').statusmessage == "DEALLOCATE"
            with pytest.raises(psycopg.errors.InvalidSqlStatementName, match='"mine" does not exist'):
                client.execute("EXECUTE mine(1)")


def test_errors_are_postgresqls(few):
    with connected(few, 3) as clients:
        for client in clients:
            client.execute("PREPARE a AS SELECT 1")
            with pytest.raises(psycopg.errors.DuplicatePreparedStatement, match='"a" already exists'):
                client.execute("PREPARE a AS SELECT 2")
            with pytest.raises(psycopg.errors.SyntaxError):
                client.execute("PREPARE a AS SELEC 2")
            with pytest.raises(psycopg.errors.SyntaxError):
                client.execute("PREPARE b AS SELEC 2")
            with pytest.raises(psycopg.errors.InvalidSqlStatementName, match='"b" does not exist'):
                client.execute("EXECUTE b")
            client.execute("PREPARE with_int (int) AS SELECT $1")
            with pytest.raises(psycopg.errors.SyntaxError, match='parameters for prepared statement "with_int"'):
                client.execute("EXECUTE with_int")
            with pytest.raises(psycopg.errors.InvalidSqlStatementName, match='"pgweir_1" does not exist'):
                client.execute("EXECUTE pgweir_1")
            assert one_value(client, "EXECUTE a") == 1


def test_both_protocols_share_the_names(few):
    with connected(few, 3) as clients:
        for number, client in enumerate(clients):
            client.execute(f"PREPARE by_sql (int) AS SELECT $1 + {number}")
            client.pgconn.prepare(b"by_parse", f"SELECT $1::int + {number + 10}".encode())
        for _ in range(3):
            for number, client in enumerate(clients):
                assert client.pgconn.exec_prepared(b"by_sql", [b"1"]).get_value(0, 0) == b"%d" % (number + 1)
                assert one_value(client, "EXECUTE by_parse(1)") == number + 11
                assert client.pgconn.describe_prepared(b"by_sql").nparams == 1
                assert as_parse(client, "EXECUTE by_sql(2)").get_value(0, 0) == b"%d" % (number + 2)
        for client in clients:
            client.execute("DEALLOCATE by_parse")
            as_parse(client, "DEALLOCATE by_sql")
            assert client.pgconn.exec_prepared(b"by_sql", [b"1"]).status == psycopg.pq.ExecStatus.FATAL_ERROR


def test_by_the_extended_protocol(few):
    with connected(few, 3) as clients:
        for number, client in enumerate(clients):
            as_parse(client, f"PREPARE mine AS SELECT {number}")
            with pytest.raises(psycopg.errors.DuplicatePreparedStatement, match='"mine" already exists'):
                as_parse(client, f"PREPARE mine AS SELECT {number}")
        for _ in range(3):
            for number, client in enumerate(clients):
                assert one_value(client, "EXECUTE mine") == number
                assert as_parse(client, "EXECUTE mine").get_value(0, 0) == b"%d" % number
        for client in clients:
            as_parse(client, "DEALLOCATE mine")
            with pytest.raises(psycopg.errors.InvalidSqlStatementName, match='"mine" does not exist'):
                as_parse(client, "DEALLOCATE mine")


def test_explain_and_create_table(one):
    with connected(one, 2) as (client, other):
        client.execute("PREPARE numbers (int) AS SELECT generate_series(1, $1) AS n")
        other.execute("DISCARD ALL")  # the only server has nothing prepared now
        assert "ProjectSet" in str(client.execute("EXPLAIN (COSTS OFF) EXECUTE numbers(3)").fetchall())
        other.execute("DISCARD ALL")
        with client.transaction(force_rollback=True):
            client.execute("CREATE TEMPORARY TABLE made AS EXECUTE numbers(7)")
            assert one_value(client, "SELECT count(*) FROM made") == 7


def test_transactions(one):
    with connected(one, 2) as (client, other):
        with client.transaction(force_rollback=True):
            client.execute("PREPARE stays AS SELECT 1")
        assert one_value(client, "EXECUTE stays") == 1
        with pytest.raises(ZeroDivisionError), client.transaction():
            with pytest.raises(psycopg.errors.DivisionByZero):
                client.execute("SELECT 1/0")
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                client.execute("PREPARE never AS SELECT 1")
            raise ZeroDivisionError
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            client.execute("EXECUTE never")
        # What goes ahead fails: one error, and the connection lives.
        other.execute("DISCARD ALL")
        with other.transaction(force_rollback=True):
            other.execute("CREATE TABLE short_lived (a int)")
        with client.transaction(force_rollback=True):
            client.execute("CREATE TABLE short_lived (a int)")
            client.execute("PREPARE of_table AS SELECT * FROM short_lived")
        other.execute("DISCARD ALL")
        for _ in range(2):
            with pytest.raises(psycopg.errors.UndefinedTable):
                client.execute("EXECUTE of_table")
        assert one_value(client, "EXECUTE stays") == 1


def test_servers_keep_no_more_than_they_may(one):
    with connected(one, 2) as (client, other):
        for number in range(4 * MAX):
            client.execute(f"PREPARE s{number} AS SELECT {number}")
            assert one_value(other, "SELECT count(*) FROM pg_prepared_statements") <= MAX
        for number in range(4 * MAX):
            assert one_value(client, f"EXECUTE s{number}") == number
        assert one_value(other, "SELECT count(*) FROM pg_prepared_statements") == MAX


def test_what_is_not_recognised_is_nobody_elses(one):
    with connected(one, 2) as (client, other):
        client.execute("PREPARE a AS SELECT 1; SELECT 1")
        for connection in (client, other):
            with pytest.raises(psycopg.errors.InvalidSqlStatementName):
                connection.execute("EXECUTE a")
        with client.transaction():
            client.execute("PREPARE a AS SELECT 1; SELECT 1")
            assert one_value(client, "EXECUTE a") == 1
        assert one_value(other, "SELECT count(*) FROM pg_prepared_statements") == 0


def test_texts_that_mean_something_else(one):
    with connected(one, 2) as (client, other):
        client.execute("PREPARE a AS SELECT 'x; EXECUTE b', $$;$$, E'\\';' -- ; c")
        other.execute("DISCARD ALL")
        assert client.execute('EXECUTE "a" /* ; */ ;').fetchone() == ("x; EXECUTE b", ";", "';")
        with client.transaction():
            client.execute("SET LOCAL standard_conforming_strings = off")
            client.execute("SET LOCAL escape_string_warning = off")
            client.execute("PREPARE old AS SELECT 'it\\'; s'")
            assert one_value(client, "EXECUTE old") == "it'; s"


def test_psql(few):
    script = "PREPARE a (int) AS SELECT $1 * 2;\nEXECUTE a(21);\nDEALLOCATE a;\nEXECUTE a(21);\n"
    done = subprocess.run(["psql", "-XAtq", few.conninfo()], input=script, capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.stdout == "42\n"
    assert 'prepared statement "a" does not exist' in done.stderr


def test_nothing_is_mapped_without_max_prepared_statements(pgweir):
    pooler = pgweir(default_pool_size=1, max_prepared_statements=0, pool_mode="transaction")
    with connected(pooler, 2) as (client, other):
        client.execute("PREPARE a AS SELECT 1")
        assert one_value(other, "EXECUTE a") == 1
