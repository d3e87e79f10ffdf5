"""The daemon's main job with the clients that people use: psql and psycopg, in every mode, and the console."""

import os
import threading

import psycopg
import pytest

import harness

MODES = ("session", "transaction", "statement")


@pytest.fixture(scope="module", params=[1, 4], ids=["1-worker", "4-workers"])
def pooler(postgres, request):
    target = f"host={harness.HOST} port={postgres.port} dbname=postgres"
    databases = {mode: f"{target} pool_mode={mode}" for mode in MODES}
    databases["tiny"] = f"{target} pool_size=1"
    databases["nowhere"] = f"host={harness.HOST} port={harness.free_port()} dbname=postgres"
    databases["renamed"] = f"{target} user=postgres"
    with harness.Pgweir(postgres, databases=databases, worker_threads=request.param) as pooler:
        yield pooler


@pytest.mark.parametrize("mode", MODES)
def test_psql(pooler, mode):
    assert pooler.psql("SELECT 6 * 7", mode) == "42"


@pytest.mark.parametrize("mode", MODES)
def test_psycopg(pooler, mode):
    with psycopg.connect(pooler.conninfo(mode), autocommit=True) as connection:
        connection.prepare_threshold = None
        assert connection.execute("SELECT %s::int + 1", [41]).fetchone() == (42,)
        assert connection.execute("SELECT generate_series(1, 5000)").fetchall()[-1] == (5000,)


def test_unix_socket(pooler):
    assert pooler.psql("SELECT 1", "transaction", host=pooler.dir) == "1"


def test_transaction_keeps_its_server(pooler):
    with psycopg.connect(pooler.conninfo("transaction")) as connection:
        pids = {connection.execute("SELECT pg_backend_pid()").fetchone() for _ in range(10)}
        assert len(pids) == 1


def test_one_server_serves_many(pooler):
    """Four clients share a pool of one; each transaction sees its own values only."""
    connections = [psycopg.connect(pooler.conninfo("tiny"), autocommit=True) for _ in range(4)]
    pids = {c.execute("SELECT pg_backend_pid()", prepare=False).fetchone() for c in connections * 5}
    assert len(pids) == 1
    for connection in connections:
        connection.close()


def test_error_leaves_the_connection_usable(pooler):
    with psycopg.connect(pooler.conninfo("transaction"), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_notice_reaches_the_client(pooler):
    with psycopg.connect(pooler.conninfo("transaction"), autocommit=True) as connection:
        notices = []
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        connection.execute("DO $$ BEGIN RAISE NOTICE 'hear me'; END $$")
        assert notices == ["hear me"]


def test_statement_mode_refuses_transactions(pooler):
    with psycopg.connect(pooler.conninfo("statement"), autocommit=True) as connection:
        with pytest.raises(psycopg.Error, match="transaction blocks not allowed in statement pooling mode"):
            connection.execute("BEGIN")


@pytest.mark.parametrize("mode", MODES)
def test_copy_both_ways(pooler, mode):
    """COPY in and out, byte for byte; in one statement each, so that every mode can do it."""
    table = f"copied_{mode}"
    rows = [(n, "x" * (n % 300)) for n in range(20000)]
    with psycopg.connect(pooler.conninfo(mode), autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.execute(f"CREATE TABLE {table} (n int, filler text)")
        with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        with connection.cursor().copy(f"COPY (SELECT * FROM {table} ORDER BY n) TO STDOUT") as copy:
            copy.set_types(["int4", "text"])
            assert list(copy.rows()) == rows


def test_failed_copy(pooler):
    with psycopg.connect(pooler.conninfo("transaction"), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS refused (n int)")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            with connection.cursor().copy("COPY refused FROM STDIN") as copy:
                copy.write(b"not a number\n" * 10000)
        assert connection.execute("SELECT count(*) FROM refused").fetchone() == (0,)


def test_big_value(pooler):
    """64 MB in one value, up and down."""
    value = os.urandom(1 << 16).hex() * 512
    with psycopg.connect(pooler.conninfo("transaction"), autocommit=True) as connection:
        assert connection.execute("SELECT %s::text", [value], prepare=False).fetchone() == (value,)


def test_slow_reader(pooler):
    """A client that does not read holds up nobody, and its result is not gathered in the pooler's memory."""
    query = "SELECT repeat('x', 1000) FROM generate_series(1, 200000)"
    before = pooler.process.memory()
    slow = psycopg.pq.PGconn.connect(pooler.conninfo("transaction").encode())
    slow.send_query(query.encode())
    for _ in range(20):
        assert pooler.psql("SELECT 1", "transaction") == "1"
    if os.path.basename(os.environ.get("PGWEIR_BUILD", "release")) == "release":
        assert pooler.process.memory() - before < 32 << 20
    assert slow.get_result().ntuples == 200000
    slow.finish()


def test_pipeline(pooler):
    with psycopg.connect(pooler.conninfo("transaction"), autocommit=True) as connection:
        connection.prepare_threshold = None
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int", [n]) for n in range(200)]
        assert [cursor.fetchone() for cursor in cursors] == [(n,) for n in range(200)]


def test_parameters_follow_the_client(pooler):
    """Two clients with different settings take turns on one server."""
    def name_and_zone(connection):
        return connection.execute("SELECT current_setting('application_name'), current_setting('TimeZone')",
                                  prepare=False).fetchone()

    first = psycopg.connect(pooler.conninfo("tiny", application_name="first"), autocommit=True)
    second = psycopg.connect(pooler.conninfo("tiny", application_name="second"), autocommit=True)
    first.execute("SET TimeZone = 'Asia/Tokyo'")
    zone = name_and_zone(second)[1]
    for _ in range(3):
        assert name_and_zone(first) == ("first", "Asia/Tokyo")
        assert name_and_zone(second) == ("second", zone)
    assert first.info.parameter_status("TimeZone") == "Asia/Tokyo"
    assert zone != "Asia/Tokyo"
    first.close()
    second.close()


def test_session_state_is_reset(pooler):
    with psycopg.connect(pooler.conninfo("session"), autocommit=True) as connection:
        connection.execute("SET work_mem = '123kB'")
        connection.execute("CREATE TEMP TABLE mine (n int)")
    for _ in range(3):
        with psycopg.connect(pooler.conninfo("session"), autocommit=True) as connection:
            assert connection.execute("SHOW work_mem").fetchone() != ("123kB",)
            assert connection.execute("SELECT to_regclass('pg_temp.mine')").fetchone() == (None,)


def test_cancel(pooler):
    with psycopg.connect(pooler.conninfo("transaction"), autocommit=True) as connection:
        def busy():
            return pooler.psql("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(100)'",
                               "session") == "1"

        def cancel():
            harness.wait_for(busy, what="the query to run")
            connection.cancel()

        helper = threading.Thread(target=cancel)
        helper.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(100)")
        helper.join()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_unknown_database(pooler):
    with pytest.raises(psycopg.OperationalError, match="no such database: atlantis"):
        psycopg.connect(pooler.conninfo("atlantis"))


def test_server_out_of_reach(pooler):
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(pooler.conninfo("nowhere", connect_timeout=4))
    assert pooler.psql("SELECT 1", "transaction") == "1"


def test_killed_server(pooler):
    """A server that dies takes its own client along and nobody else."""
    with psycopg.connect(pooler.conninfo("transaction"), autocommit=True) as connection:
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert pooler.psql("SELECT 1", "transaction") == "1"


CONSOLE = {
    "POOLS": "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active "
             "sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode",
    "CLIENTS": "type user database state addr port local_addr local_port connect_time request_time wait wait_us "
               "close_needed ptr link remote_pid tls",
    "SERVERS": "type user database state addr port local_addr local_port connect_time request_time wait wait_us "
               "close_needed ptr link remote_pid tls",
    "DATABASES": "name host port database force_user pool_size min_pool_size pool_mode max_connections "
                 "current_connections paused disabled",
    "STATS": "database total_xact_count total_query_count total_received total_sent total_xact_time "
             "total_query_time total_wait_time avg_xact_count avg_query_count avg_recv avg_sent avg_xact_time "
             "avg_query_time avg_wait_time",
    "CONFIG": "key value default changeable",
    "VERSION": "version",
}


@pytest.mark.parametrize("command", CONSOLE)
def test_console_columns(pooler, command):
    """What monitoring reads is there, in PgBouncer's order; newer columns may stand between."""
    pooler.psql("SELECT 1", "transaction")
    columns = list(pooler.console(f"SHOW {command}")[0])
    assert [name for name in columns if name in CONSOLE[command].split()] == CONSOLE[command].split()


def test_console_counts(pooler):
    def counted():
        row = [row for row in pooler.console("SHOW STATS") if row["database"] == "tiny"][0]
        return int(row["total_xact_count"]), int(row["total_query_count"])

    xacts, queries = counted()
    with psycopg.connect(pooler.conninfo("tiny")) as connection:
        for _ in range(5):
            for _ in range(3):
                connection.execute("SELECT 1", prepare=False)
            connection.commit()
    after = counted()
    assert after[0] - xacts == 5
    assert after[1] - queries == 5 * (1 + 3 + 1)


def test_console_refuses_strangers(pooler):
    with pytest.raises(psycopg.OperationalError, match="not allowed"):
        psycopg.connect(pooler.conninfo("pgbouncer", user="alice"))
    with pytest.raises(harness.Failed, match="invalid command"):
        pooler.console("FROBNICATE")


def test_pause_and_resume(pooler):
    pooler.console("PAUSE tiny")
    connection = psycopg.connect(pooler.conninfo("tiny"), autocommit=True)
    waiting = threading.Thread(target=lambda: connection.execute("SELECT 1", prepare=False))
    waiting.start()
    harness.wait_for(lambda: (pooler.pool("tiny") or {}).get("cl_waiting") == 1, what="the client to wait")
    pooler.console("RESUME tiny")
    waiting.join(20)
    assert not waiting.is_alive()
    connection.close()
