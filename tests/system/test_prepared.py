"""
Named prepared statements over fewer servers than clients: applications must not notice that they do not have a
server of their own, and servers must not gather more statements than max_prepared_statements.
"""

import contextlib
import threading
from concurrent import futures

import psycopg
import pytest

import harness

SERVERS = 2
MAX = 5
TURNS = 16


@pytest.fixture(params=["transaction", "statement"])
def mode(request):
    return request.param


@pytest.fixture
def few(pgweir):
    """A pooler with two servers, each of which takes five statements."""
    return pgweir(default_pool_size=SERVERS, max_prepared_statements=MAX, pool_mode="transaction")


def connect(pooler, *, threshold=0, autocommit=True, **options):
    connection = psycopg.connect(pooler.conninfo(**options), autocommit=autocommit)
    connection.prepare_threshold = threshold
    return connection


def held(pooler):
    """The statements of each server, by the name that the server knows them by."""
    # As the superuser of another database nothing of pg_prepared_statements can be seen: so each server is asked.
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(SERVERS):
            connection = stack.enter_context(connect(pooler, threshold=None, autocommit=False))
            found.append([name for name, in connection.execute(
                "SELECT name FROM pg_prepared_statements ORDER BY name").fetchall()])
        return found


def shown(pooler, what):
    return [int(row["prepared_statements"]) for row in pooler.console(f"SHOW {what}") if row["database"] == "postgres"]


@pytest.mark.parametrize("threshold, kinds", [(0, 8), (5, 2)])
def test_fifty_clients_on_two_servers(pgweir, mode, threshold, kinds):
    pooler = pgweir(default_pool_size=SERVERS, pool_mode=mode, max_prepared_statements=MAX)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(pooler, threshold=threshold)) for _ in range(50)]
        for turn in range(TURNS):
            for number, client in enumerate(clients):
                kind = (turn + number) % kinds
                row = client.execute(f"SELECT {kind}, %s::int, %s::text", (number, "x" * kind)).fetchone()
                assert row == (kind, number, "x" * kind)
        assert all(count <= MAX for count in shown(pooler, "SERVERS"))
        assert max(shown(pooler, "CLIENTS")) == kinds
    stats = next(row for row in pooler.console("SHOW STATS_TOTALS") if row["database"] == "postgres")
    assert int(stats["client_parse_count"]) == 50 * kinds
    assert int(stats["bind_count"]) == 50 * (TURNS - kinds * threshold)
    if mode == "transaction":
        assert all(len(names) <= MAX for names in held(pooler))
        assert all(name.startswith("pgweir_") for names in held(pooler) for name in names)


def test_clients_share_what_is_the_same(few):
    with connect(few) as one, connect(few) as other:
        for client in (one, other) * 10:
            assert client.execute("SELECT 41 + %s", (1,)).fetchone() == (42,)
    assert sorted(map(len, held(few)))[-1] == 1


def test_a_name_in_use_and_a_name_unknown(few):
    with connect(few) as client, connect(few) as other:
        pq = client.pgconn
        ok = psycopg.pq.ExecStatus
        assert pq.prepare(b"s1", b"SELECT 1").status == ok.COMMAND_OK
        again = pq.prepare(b"s1", b"SELECT 2")
        assert again.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"42P05"
        assert again.error_field(psycopg.pq.DiagnosticField.MESSAGE_PRIMARY) == b'prepared statement "s1" already exists'
        assert pq.exec_prepared(b"s1", []).get_value(0, 0) == b"1"
        lacking = pq.exec_prepared(b"s2", [])
        assert lacking.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"26000"
        assert lacking.error_field(psycopg.pq.DiagnosticField.MESSAGE_PRIMARY) == \
            b'prepared statement "s2" does not exist'
        assert pq.exec_prepared(b"s1", []).get_value(0, 0) == b"1"
        strange = other.pgconn.exec_prepared(b"s1", [])
        assert strange.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"26000"
        name = next(name for names in held(few) for name in names)
        guessed = other.pgconn.exec_prepared(name.encode(), [])
        assert guessed.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"26000"
        assert other.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_a_failed_parse_frees_its_name(few):
    with connect(few) as client:
        failed = client.pgconn.prepare(b"s1", b"SELECT nonsense")
        assert failed.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"42703"
        assert client.pgconn.prepare(b"s1", b"SELECT 1").status == psycopg.pq.ExecStatus.COMMAND_OK
        assert client.pgconn.exec_prepared(b"s1", []).get_value(0, 0) == b"1"


def test_an_error_names_the_statement_as_the_client_does(few):
    with connect(few) as client:
        client.pgconn.prepare(b"two_of_them", b"SELECT $1::int + $2::int")
        failed = client.pgconn.exec_prepared(b"two_of_them", [b"1"])
        assert b'"two_of_them" requires 2' in failed.error_field(psycopg.pq.DiagnosticField.MESSAGE_PRIMARY)


def test_the_transaction_fails_with_it(few):
    with connect(few, autocommit=False, threshold=None) as client:
        client.execute("SELECT 1")
        client.pgconn.prepare(b"s1", b"SELECT 1")
        client.pgconn.prepare(b"s1", b"SELECT 1")
        assert client.pgconn.transaction_status == psycopg.pq.TransactionStatus.INERROR
        # As everything else; although the server has it.
        refused = client.pgconn.prepare(b"s2", b"SELECT 1")
        assert refused.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"25P02"
        client.rollback()
        assert client.pgconn.prepare(b"s2", b"SELECT 1").status == psycopg.pq.ExecStatus.COMMAND_OK
        assert client.pgconn.exec_prepared(b"s1", []).get_value(0, 0) == b"1"
        assert client.pgconn.exec_prepared(b"s2", []).get_value(0, 0) == b"1"


@pytest.mark.parametrize("command", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_all_are_forgotten(few, command):
    with connect(few) as client:
        client.pgconn.prepare(b"s1", b"SELECT 1")
        client.pgconn.prepare(b"s2", b"SELECT 2")
        client.execute(command)
        assert client.pgconn.exec_prepared(b"s1", []).error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"26000"
        assert client.pgconn.prepare(b"s1", b"SELECT 3").status == psycopg.pq.ExecStatus.COMMAND_OK
        assert client.pgconn.exec_prepared(b"s1", []).get_value(0, 0) == b"3"


def test_describe(few):
    with connect(few) as one, connect(few) as other:
        one.pgconn.prepare(b"s1", b"SELECT $1::int AS answer")
        other.pgconn.prepare(b"s1", b"SELECT $1::text AS a, $2::bool AS b")
        for _ in range(4):
            assert one.pgconn.describe_prepared(b"s1").nparams == 1
            assert other.pgconn.describe_prepared(b"s1").nparams == 2
            assert one.pgconn.describe_prepared(b"s1").fname(0) == b"answer"


def test_settings_decide_what_a_text_means(few):
    with connect(few) as one, connect(few, options="-c datestyle=SQL,DMY") as other:
        for _ in range(4):
            assert one.execute("SELECT '02/01/2003'::date - %s::date", ("2003-01-01",)).fetchone() == (31,)
            assert other.execute("SELECT '02/01/2003'::date - %s::date", ("2003-01-01",)).fetchone() == (1,)


@pytest.mark.parametrize("threshold", [0, 5])
def test_pipeline(few, threshold):
    with connect(few, threshold=threshold) as client, connect(few, threshold=threshold) as other:
        for turn in range(6):
            with client.pipeline() as pipeline, other.pipeline():
                cursors = []
                for number in range(40):
                    cursors += [(number, side.execute(f"SELECT {number % 9} + %s", (number,)))
                                for side in (client, other)]
                    if number % 7 == turn:
                        pipeline.sync()
                for number, cursor in cursors:
                    assert cursor.fetchone() == (number % 9 + number,)
    assert all(len(names) <= MAX for names in held(few))


def test_error_in_a_pipeline(few):
    with connect(few) as client:
        client.execute("SELECT 'skipped' || %s", ("x",))  # else psycopg would think that it was prepared below
        for _ in range(4):
            with pytest.raises(psycopg.errors.DivisionByZero):
                with client.pipeline() as pipeline:
                    client.execute("SELECT 1 / %s", (1,))
                    client.execute("SELECT 1 / %s", (0,))
                    client.execute("SELECT 'skipped' || %s", ("x",))
                    pipeline.sync()
            assert client.execute("SELECT 'skipped' || %s", ("y",)).fetchone() == ("skippedy",)


def test_copy_between(few):
    with connect(few, autocommit=False) as client:
        client.execute("CREATE TEMP TABLE t (a int, b text) ON COMMIT DROP")
        client.execute("INSERT INTO t VALUES (%s, %s)", (1, "x"))
        with client.cursor().copy("COPY t FROM STDIN") as copy:
            copy.write_row((2, "y"))
        assert client.execute("SELECT count(*) FROM t WHERE a < %s", (9,)).fetchone() == (2,)
        client.rollback()


def test_long_text_and_long_parameters(few):
    text = f"SELECT /* {'long ' * 40_000} */ length(%s)"
    with connect(few) as one, connect(few) as other:
        for size in (1, 100_000, 3_000_000):
            for client in (one, other):
                assert client.execute(text, ("x" * size,)).fetchone() == (size,)


def test_a_table_changes(few):
    """Also under load, nobody hears of it, since psycopg asks for the description of the rows each time."""
    few.psql("DROP TABLE IF EXISTS changing; CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)")
    done = threading.Event()

    def work(client):
        count = 0
        while not done.is_set():
            (row,) = client.execute("SELECT * FROM changing WHERE a > %s", (0,)).fetchall()
            assert set(row) <= {1, None}
            count += 1
        return count

    with contextlib.ExitStack() as stack, futures.ThreadPoolExecutor(8) as threads:
        stack.callback(done.set)
        workers = [threads.submit(work, stack.enter_context(connect(few))) for _ in range(8)]
        for number in range(20):
            few.psql(f"ALTER TABLE changing ADD COLUMN b{number} int")
        done.set()
        assert all(worker.result() > 0 for worker in workers)
    few.psql("DROP TABLE changing")
    assert "prepared anew" in few.log()


def test_a_table_changes_in_a_transaction(few):
    """There the error is the application's; then the server has the statement anew."""
    few.psql("DROP TABLE IF EXISTS changing; CREATE TABLE changing (a int)")
    with connect(few) as client:
        for _ in range(2):
            assert client.execute("SELECT * FROM changing WHERE a > %s", (0,)).fetchall() == []
        few.psql("ALTER TABLE changing ADD COLUMN b int; INSERT INTO changing VALUES (1, 2)")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            with client.transaction():
                client.execute("SELECT * FROM changing WHERE a > %s", (0,))
        assert client.execute("SELECT * FROM changing WHERE a > %s", (0,)).fetchall() == [(1, 2)]
    few.psql("DROP TABLE changing")


def test_a_statement_that_cannot_be_prepared_any_more(few):
    few.psql("DROP TABLE IF EXISTS leaving; CREATE TABLE leaving (a int)")
    with connect(few) as client, contextlib.ExitStack() as stack:
        client.pgconn.prepare(b"s1", b"SELECT * FROM leaving")
        few.psql("DROP TABLE leaving")
        # Whichever server it gets, with the statement or without, says that the table is gone.
        for _ in range(2):
            failed = client.pgconn.exec_prepared(b"s1", [])
            assert failed.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"42P01"
            busy = stack.enter_context(connect(few, autocommit=False, threshold=None))
            busy.execute("SELECT 1")
            if few.pool("postgres")["sv_active"] == SERVERS:
                break
        stack.close()
        few.psql("CREATE TABLE leaving (a int)")
        assert client.pgconn.exec_prepared(b"s1", []).status == psycopg.pq.ExecStatus.TUPLES_OK
        few.psql("DROP TABLE leaving")


def test_servers_come_and_go(few):
    with connect(few) as client:
        for turn in range(6):
            assert client.execute("SELECT 1 + %s", (turn,)).fetchone() == (1 + turn,)
            few.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                     "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")


def test_off(pgweir):
    pooler = pgweir(default_pool_size=1, max_prepared_statements=0)
    with connect(pooler) as client:
        client.pgconn.prepare(b"s1", b"SELECT 1")
        assert client.pgconn.exec_prepared(b"s1", []).get_value(0, 0) == b"1"
        assert pooler.psql("SELECT name FROM pg_prepared_statements") == "s1"
        client.execute("DEALLOCATE s1")
    assert set(shown(pooler, "SERVERS")) == {0}


def test_reload(few):
    with connect(few) as client:
        for number in range(MAX):
            client.execute(f"SELECT {number} + %s", (1,))
        few.configure(max_prepared_statements=2)
        few.console("RELOAD")
        for number in range(MAX + 3):
            assert client.execute(f"SELECT {number} + %s", (1,)).fetchone() == (number + 1,)
        assert max(shown(few, "SERVERS")) == 2
    # The server that is used all the time has no more than that.
    assert min(map(len, held(few))) <= 2


@pytest.mark.parametrize("clients", [1, 50])
@pytest.mark.parametrize("workers", [1, 3])
def test_pgbench(pgweir, bench, clients, workers):
    pooler = pgweir(default_pool_size=SERVERS, worker_threads=workers, pool_shards=workers, max_prepared_statements=MAX)
    pooler.pgbench("-n", "-M", "prepared", "-c", clients, "-j", clients, "-t", 500 // clients)
    pooler.pgbench("-n", "-S", "-M", "prepared", "-c", clients, "-j", 2, "-t", 4000 // clients)
    assert all(int(row["prepared_statements"]) <= MAX for row in pooler.console("SHOW SERVERS"))


def test_deallocate(few):
    """psycopg deallocates what it has prepared and uses no more, by SQL, also in a pipeline."""
    with connect(few) as client, connect(few) as other:
        client.prepared_max = 3
        for turn in range(3):
            for number in range(6):
                assert client.execute(f"SELECT {number} + %s", (turn,)).fetchone() == (number + turn,)
                assert other.execute(f"SELECT {number} + %s", (turn,)).fetchone() == (number + turn,)
        with client.pipeline():
            cursors = [client.execute(f"SELECT {number} + %s", (1,)) for number in range(20)]
            for number, cursor in enumerate(cursors):
                assert cursor.fetchone() == (number + 1,)
    assert all("gone" not in name for names in held(few) for name in names)
