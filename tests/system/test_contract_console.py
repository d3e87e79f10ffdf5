"""
PgBouncer's contract, 2: the console. Every SHOW with its columns and types, every command with its tag and its errors, who may
come in, and the drivers and tools that people use with it. A test's name ends with that of its row.
"""

import asyncio
import decimal
import json
import os
import shutil
import subprocess
import urllib.request

import asyncpg
import psycopg
import psycopg2
import pytest

import drivers
import harness

INT4, INT8, TEXT, NUMERIC = 23, 20, 25, 1700

SOCKET = ("type user database replication state addr port:i local_addr local_port:i connect_time request_time wait:i wait_us:i "
          "close_needed:i ptr link remote_pid:i tls application_name prepared_statements:i id:i")
BUFFERS = " recv_pos:i pkt_pos:i pkt_remain:i send_pos:i send_remain:i pkt_avail:i send_avail:i"
COUNTS = ("server_assignment_count xact_count query_count {received} {sent} xact_time query_time wait_time {ps}client_parse_count "
          "{ps}server_parse_count {ps}bind_count client_login_count")


def counted(prefix, received, sent, ps=""):
    """Columns of counts, each with a prefix."""
    return [prefix + name for name in COUNTS.format(received=received, sent=sent, ps=ps).split()]


# 2.2: the columns, in order; text but for i (int4), q (int8), N (numeric)
SHOWS = {
    "DATABASES": "name host port:i database force_user pool_size:i min_pool_size:i reserve_pool_size:i server_lifetime pool_mode "
                 "load_balance_hosts max_connections:i current_connections:i max_client_connections:i "
                 "current_client_connections:i paused:i disabled:i",
    "POOLS": "database user cl_active:i cl_waiting:i cl_active_cancel_req:i cl_waiting_cancel_req:i sv_active:i "
             "sv_active_cancel:i sv_being_canceled:i sv_idle:i sv_used:i sv_tested:i sv_login:i maxwait:i maxwait_us:i pool_mode "
             "load_balance_hosts",
    "PEER_POOLS": "peer_id:i cl_active_cancel_req:i cl_waiting_cancel_req:i sv_active_cancel:i sv_login:i",
    "PEERS": "peer_id:i host port:i pool_size:i",
    "CLIENTS": SOCKET,
    "SERVERS": SOCKET,
    "SOCKETS": SOCKET + BUFFERS,
    "ACTIVE_SOCKETS": SOCKET + BUFFERS,
    "USERS": "name pool_size reserve_pool_size pool_mode max_user_connections:i current_connections:i "
             "max_user_client_connections:i current_client_connections:i",
    "LISTS": "list items:i",
    "STATS": "database " + " ".join(f"{name}:N" for name in [
        *counted("total_", "received", "sent"), *counted("avg_", "recv", "sent")]),
    "STATS_TOTALS": "database " + " ".join(f"{name}:N" for name in counted("", "bytes_received", "bytes_sent")),
    "STATS_AVERAGES": "database " + " ".join(f"{name}:N" for name in [
        *counted("", "bytes_received", "bytes_sent")[:8], *counted("avg_", "x", "y")[8:]]),
    "TOTALS": "name value:N",
    "MEM": "name size:i used:i free:i memtotal:i",
    "DNS_HOSTS": "hostname ttl:q addrs",
    "DNS_ZONES": "zonename serial count:i",
    "CONFIG": "key value default changeable",
    "STATE": "key value",
    "VERSION": "version",
}

TYPES = {"": TEXT, "i": INT4, "q": INT8, "N": NUMERIC}

LISTS = ("databases users peers pools peer_pools free_clients used_clients login_clients free_servers used_servers dns_names "
         "dns_zones dns_queries dns_pending").split()


@pytest.fixture(scope="module")
def pooler(postgres):
    here = f"host={harness.HOST} port={postgres.port} dbname=postgres"
    names = ("shop", "paused", "killed", "closed", "renewed", "session", "many")
    databases = {name: here for name in names}
    databases["session"] += " pool_mode=session"
    databases["forced"] = f"{here} user=carol"
    postgres.create_user("carol")
    databases["many"] = f"host={harness.HOST},{postgres.dir} port={postgres.port} dbname=postgres"
    with harness.Pgweir(postgres, databases=databases, stats_users="alice", stats_period=1, verbose=0) as daemon:
        daemon.psql("SELECT 1", "shop")
        yield daemon


def connect(pooler, dbname="pgbouncer", **options):
    return psycopg.connect(pooler.conninfo(dbname, **options), autocommit=True)


@pytest.fixture(scope="module")
def console(pooler):
    with connect(pooler) as connection:
        yield connection


def simple(connection, sql):
    """By the simple protocol: the tag of the answer."""
    result = connection.pgconn.exec_(sql.encode())
    assert result.status in (psycopg.pq.ExecStatus.COMMAND_OK, psycopg.pq.ExecStatus.TUPLES_OK), result.error_message.decode()
    return result.command_status.decode()


def refused(connection, sql):
    """The SQLSTATE and the text of the error that sql is answered with."""
    result = connection.pgconn.exec_(sql.encode())
    assert result.status == psycopg.pq.ExecStatus.FATAL_ERROR
    fields = psycopg.pq.DiagnosticField
    return result.error_field(fields.SQLSTATE).decode(), result.error_field(fields.MESSAGE_PRIMARY).decode()


def result_of(connection):
    """What answers a query that was sent, and nothing more."""
    result = connection.pgconn.get_result()
    assert connection.pgconn.get_result() is None
    return result


def is_told(client, text):
    """The client's next query finds the connection closed, with this error."""
    with pytest.raises(psycopg.OperationalError, match=text):
        client.execute("SELECT 1")


def listen(connection):
    """A list of the notices to come, each its text and its detail."""
    notices = []
    connection.add_notice_handler(lambda notice: notices.append((notice.message_primary, notice.message_detail)))
    return notices


def rows(connection, sql):
    cursor = connection.execute(sql)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor.fetchall()]


def row(connection, show, **key):
    """The row of a SHOW with these values."""
    return next((row for row in rows(connection, f"SHOW {show}") if key.items() <= row.items()), None)


# 2.2 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("show", SHOWS)
def test_show(console, show, extended):
    if extended:
        described = [(column.name, column.type_code) for column in console.execute(f"SHOW {show}").description]
    else:
        result = console.pgconn.exec_(f"SHOW {show};".encode())
        described = [(result.fname(i).decode(), result.ftype(i)) for i in range(result.nfields)]
    expected = [column.partition(":")[::2] for column in SHOWS[show].split()]
    assert described == [(name, TYPES[kind]) for name, kind in expected]


def test_show_help(console):
    notices = listen(console)
    assert simple(console, "SHOW HELP") == "SHOW"
    assert [text for text, _ in notices] == ["Console usage"]
    for show in SHOWS:
        assert show in notices[0][1]


def test_show_is_in_the_order_of_names(console, pooler):
    """As with PgBouncer; what is the console's own comes last."""
    for name in ("shop", "many", "killed"):
        pooler.psql("SELECT 1", name)
    for show, column in (("DATABASES", "name"), ("POOLS", "database"), ("STATS", "database")):
        names = [row[column] for row in rows(console, f"SHOW {show}")]
        assert names == [*sorted(names[:-1]), "pgbouncer"] and len(names) >= 4


def test_show_lists(console):
    assert [row["list"] for row in rows(console, "SHOW LISTS")] == LISTS


def test_show_totals(console):
    expected = [*counted("total_", "client_bytes", "server_bytes", "ps_"), *counted("avg_", "client_bytes", "server_bytes", "ps_")]
    assert [row["name"] for row in rows(console, "SHOW TOTALS")] == expected


def test_show_state(console):
    assert [row["key"] for row in rows(console, "SHOW STATE")] == ["active", "paused", "suspended"]


def test_show_mem(console):
    assert rows(console, "SHOW MEM") == []


def test_show_databases_values(console, pooler):
    database = row(console, "DATABASES", name="many")
    assert database["load_balance_hosts"] == "round-robin" and database["pool_mode"] is None
    assert row(console, "DATABASES", name="session")["pool_mode"] == "session"
    own = row(console, "DATABASES", name="pgbouncer")
    assert own["port"] == pooler.port and own["pool_size"] == 2 and own["pool_mode"] == "statement"


def test_show_users_values(console, pooler):
    """Who logs in counts as a client, whom the entry names as a server's; who is in no file is there, too."""
    with connect(pooler, "forced", user="alice") as client:
        client.execute("SELECT 1")
        assert row(console, "USERS", name="alice")["current_client_connections"] == 1
        forced = row(console, "USERS", name="carol")
        assert (forced["current_connections"], forced["current_client_connections"]) == (1, 0)
        assert row(console, "LISTS", list="users")["items"] == len(rows(console, "SHOW USERS")) == 4


def test_show_sockets_states(console, pooler):
    with connect(pooler, "session") as client:
        client.execute("SELECT 1")
        states = {row["state"] for row in rows(console, "SHOW SOCKETS") if row["database"] == "session"}
        assert states == {"cl_active", "sv_active"}
        sockets = [row for row in rows(console, "SHOW ACTIVE_SOCKETS") if row["database"] == "session"]
        assert {row["link"] for row in sockets} == {row["ptr"] for row in sockets}


def test_show_ptr_is_the_name_in_the_log(console, pooler):
    with connect(pooler, "shop") as client:
        pid = client.info.backend_pid
        shown = [row for row in rows(console, "SHOW CLIENTS") if row["database"] == "shop"]
        assert pid and f"C-{shown[-1]['ptr']}: shop/" in pooler.log()


def test_show_waits(console, pooler):
    """pgweir's own: who waits, for how long, and for what."""
    pooler.psql("SELECT 1", "paused")
    simple(console, "PAUSE paused")
    with connect(pooler, "paused") as client:
        client.pgconn.send_query(b"SELECT 1")
        wait = harness.wait_for(lambda: row(console, "WAITS", database="paused"))
        assert list(wait) == ["database", "user", "id", "addr", "port", "wait", "wait_us", "cause"]
        assert "paused" in wait["cause"]
        simple(console, "RESUME paused")
        assert result_of(client).get_value(0, 0) == b"1"


# 2.1 -------------------------------------------------------------------------------------------------------

FAKES = {
    "client_encoding": "UTF-8",
    "default_transaction_isolation": "read committed",
    "standard_conforming_strings": "on",
    "datestyle": "ISO",
    "timezone": "GMT",
    "extra_float_digits": "2",
    "transaction_read_only": "off",
    "search_path": "",
    "statement_timeout": "0",
}


@pytest.mark.parametrize("name", FAKES)
def test_fake_variable(console, name):
    notices = listen(console)
    assert rows(console, f"SHOW {name}") == [{name: FAKES[name]}]
    assert simple(console, f"SET {name} = 'whatever'") == "SET"
    assert [text for text, _ in notices] == ["SET ignored"]


def test_login_parameters(console):
    status = {name: console.pgconn.parameter_status(name.encode()) for name in (
        "server_version", "client_encoding", "server_encoding", "DateStyle", "TimeZone", "standard_conforming_strings",
        "is_superuser")}
    assert status.pop("server_version").startswith(b"1.26.0/")
    assert list(status.values()) == [b"UTF8", b"UTF8", b"ISO", b"GMT", b"on", b"on"]


@pytest.mark.parametrize("sql, state, text", [
    ("nonsense", "08P01", "invalid command 'nonsense', use SHOW HELP;"),
    ("SHOW nonsense", "08P01", "invalid command 'SHOW nonsense', use SHOW HELP;"),
    ("PAUSE pgbouncer", "08P01", "cannot pause admin db: pgbouncer"),
    ("RECONNECT pgbouncer", "08P01", "cannot reconnect admin db: pgbouncer"),
    ("KILL pgbouncer", "08P01", "cannot kill admin db: pgbouncer"),
    ("DISABLE pgbouncer", "08P01", "cannot disable admin db: pgbouncer"),
    ("ENABLE pgbouncer", "08P01", "cannot enable admin db: pgbouncer"),
    ("WAIT_CLOSE pgbouncer", "08P01", "cannot wait in admin db: pgbouncer"),
    ("PAUSE nowhere", "08P01", "no such database: nowhere"),
    ("RESUME nowhere", "08P01", "no such database: nowhere"),
    ("KILL nowhere", "08P01", "no such database: nowhere"),
    ("RECONNECT nowhere", "08P01", "no such database: nowhere"),
    ("WAIT_CLOSE nowhere", "08P01", "no such database: nowhere"),
    ("DISABLE", "08P01", "a database is required"),
    ("ENABLE", "08P01", "a database is required"),
    ("RESUME", "08P01", "pooler is not paused/suspended"),
    ("RESUME shop", "08P01", "database shop is not paused"),
    ("KILL_CLIENT x", "08P01", "invalid client pointer supplied"),
    ("KILL_CLIENT 123456789", "08P01", "client not found"),
    ("SET nonsense = 1", "08P01", "SET failed"),
    ("SET query_timeout = 'nonsense'", "08P01", "SET failed"),
    ("SUSPEND", "08P01", "invalid command 'SUSPEND', use SHOW HELP;"),
    ("SHOW FDS", "08P01", "invalid command 'SHOW FDS', use SHOW HELP;"),
])
def test_error(console, sql, state, text):
    assert refused(console, sql) == (state, text)


@pytest.mark.parametrize("command", ["PAUSE", "RESUME", "RECONNECT", "KILL shop", "KILL_CLIENT 1", "DISABLE shop", "ENABLE shop",
                                     "WAIT_CLOSE", "RELOAD", "SET query_timeout = 1", "SHUTDOWN"])
def test_access_of_stats_users(pooler, command):
    with connect(pooler, user="alice") as connection:
        assert refused(connection, command) == ("08P01", "admin access needed")
        assert rows(connection, "SHOW STATE")


def test_access_of_others(pooler):
    with pytest.raises(psycopg.OperationalError, match="not allowed"):
        connect(pooler, user="bob")


@pytest.mark.parametrize("user", ["pgbouncer", "pgweir"])
@pytest.mark.parametrize("dbname", ["pgbouncer", "pgweir"])
def test_access_by_peer_uid(pooler, user, dbname):
    """Who is the daemon's own user, on the unix socket, needs no password and no line in admin_users."""
    psql = [*harness.unprivileged(), pooler.postgres.tool("psql"), "-XAtc", "SHOW STATE",
            pooler.conninfo(dbname, host=pooler.dir, user=user)]
    assert "active|yes" in harness.run(psql, cwd="/")
    assert f"pgbouncer/{user}@unix" in pooler.log() or f"pgweir/{user}@unix" in pooler.log()
    assert "pgbouncer access from unix socket" in pooler.log()


# 2.3 -------------------------------------------------------------------------------------------------------


def test_command_pause_resume(console, pooler):
    pooler.psql("SELECT 1", "paused")
    assert simple(console, "PAUSE paused") == "PAUSE"
    assert row(console, "DATABASES", name="paused")["paused"] == 1
    assert row(console, "SERVERS", database="paused") is None
    assert simple(console, "PAUSE paused") == "PAUSE"  # there is nothing to wait for
    assert simple(console, "RESUME paused") == "RESUME"
    assert pooler.psql("SELECT 1", "paused") == "1"


def test_command_pause_of_all(postgres):
    """One database can neither be paused nor killed nor resumed meanwhile."""
    databases = {name: f"host={harness.HOST} port={postgres.port} dbname=postgres" for name in ("shop", "*")}
    with harness.Pgweir(postgres, databases=databases) as pooler, connect(pooler) as console:
        assert simple(console, "PAUSE") == "PAUSE"
        assert {row["key"]: row["value"] for row in rows(console, "SHOW STATE")} == {
            "active": "no", "paused": "yes", "suspended": "no"}
        for command in ("PAUSE", "PAUSE shop", "KILL shop"):
            assert refused(console, command) == ("08P01", "already suspended/paused")
        for name in ("shop", "pgbouncer"):
            assert refused(console, f"RESUME {name}") == ("08P01", f"database {name} is not paused")
        assert refused(console, "RESUME nowhere") == ("08P01", "no such database: nowhere")
        assert simple(console, "RESUME") == "RESUME"
        assert simple(console, "PAUSE nowhere") == "PAUSE"
        assert simple(console, "RESUME nowhere") == "RESUME"


def test_command_pause_is_cancelled(console, pooler):
    """^C on a PAUSE that waits resumes what it has paused."""
    with connect(pooler, "session") as client, connect(pooler) as other:
        client.execute("SELECT 1")
        other.pgconn.send_query(b"PAUSE session")
        harness.wait_for(lambda: row(console, "DATABASES", name="session")["paused"] == 1)
        other.pgconn.get_cancel().cancel()
        result = result_of(other)
        assert result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"57014"
        assert row(console, "DATABASES", name="session")["paused"] == 0
        client.execute("SELECT 1")


def test_command_kill(console, pooler):
    with connect(pooler, "killed") as client:
        client.execute("SELECT 1")
        assert simple(console, "KILL killed") == "KILL"
        is_told(client, "database removed")
    assert row(console, "DATABASES", name="killed")["paused"] == 1
    assert simple(console, "RESUME killed") == "RESUME"
    assert pooler.psql("SELECT 1", "killed") == "1"


def test_command_kill_all(postgres):
    here = f"host={harness.HOST} port={postgres.port} dbname=postgres"
    databases = {"one": here, "postgres": here}
    with harness.Pgweir(postgres, databases=databases) as pooler, connect(pooler, "one") as one, \
            connect(pooler, "postgres") as two:
        two.execute("SELECT 1")
        with connect(pooler) as console:
            assert simple(console, "KILL") == "KILL"
            for client in (one, two):
                is_told(client, "database removed")
            assert refused(console, "KILL postgres") == ("08P01", "already suspended/paused")
            assert simple(console, "RESUME") == "RESUME"


def test_command_kill_client(console, pooler):
    with connect(pooler, "shop", application_name="victim") as client:
        client.execute("SELECT 1")
        victim = row(console, "CLIENTS", application_name="victim")
        assert simple(console, f"KILL_CLIENT {victim['id']}") == "KILL_CLIENT"
        is_told(client, "admin forced disconnect")


def test_command_disable_enable(console, pooler):
    with connect(pooler, "closed") as before:
        assert simple(console, "DISABLE closed") == "DISABLE"
        assert row(console, "DATABASES", name="closed")["disabled"] == 1
        with pytest.raises(psycopg.OperationalError, match='database "closed" is disabled'):
            connect(pooler, "closed")
        assert before.execute("SELECT 1").fetchone() == (1,)  # existing clients stay
    assert simple(console, "ENABLE closed") == "ENABLE"
    assert pooler.psql("SELECT 1", "closed") == "1"


def has_answer(connection):
    """Whether an answer is there already."""
    connection.pgconn.consume_input()
    return not connection.pgconn.is_busy()


def test_command_reconnect_and_wait_close(console, pooler):
    with connect(pooler, "renewed") as client, connect(pooler) as other:
        with client.transaction():
            before = client.execute("SELECT pg_backend_pid()").fetchone()
            assert simple(console, "RECONNECT renewed") == "RECONNECT"
            assert row(console, "SERVERS", database="renewed")["close_needed"] == 1
            other.pgconn.send_query(b"WAIT_CLOSE renewed")
            assert client.execute("SELECT pg_backend_pid()").fetchone() == before
            assert not has_answer(other)
        assert result_of(other).command_status == b"WAIT_CLOSE"
        assert client.execute("SELECT pg_backend_pid()").fetchone() != before
    assert simple(console, "WAIT_CLOSE") == "WAIT_CLOSE"


def test_command_reload(console):
    assert simple(console, "RELOAD") == "RELOAD"


def test_command_reload_of_a_bad_file(pgweir):
    pooler = pgweir()
    with connect(pooler) as console:
        pooler.configure(nonsense="1")
        assert refused(console, "RELOAD") == ("F0000", "RELOAD failed, see logs for additional details")


def test_command_set(console):
    assert simple(console, "SET query_wait_notify = 6") == "SET query_wait_notify=6"
    assert row(console, "CONFIG", key="query_wait_notify")["value"] == "6"
    assert simple(console, "SET query_wait_notify TO '5';") == "SET query_wait_notify=5"


# 2, the extended protocol: drivers --------------------------------------------------------------------------


def test_driver_psycopg(pooler):
    with psycopg.connect(pooler.conninfo("pgbouncer")) as connection:  # in a transaction
        assert connection.execute("SHOW %s", ["STATE"]).fetchall()[0] == ("active", "yes")
        pools = connection.execute("SHOW STATS", binary=True)
        assert all(row[1] >= 0 for row in pools.fetchall())
        connection.execute("SET query_wait_notify = %s", [5])
        with pytest.raises(psycopg.errors.ProtocolViolation, match="no such database"):
            connection.execute("PAUSE %s", ["no where"])
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SHOW STATE")
        connection.rollback()
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("value, told", [(7, "7"), (2.5, "2.5"), (decimal.Decimal("1.25"), "1.25"), (True, "1"), ("500ms", "0.5")])
@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_driver_psycopg_types_of_parameters(console, value, told, binary):
    placeholder = "%b" if binary else "%s"
    try:
        console.execute(f"SET query_timeout = {placeholder}", [value])
        assert row(console, "CONFIG", key="query_timeout")["value"] == told
    finally:
        console.execute("SET query_timeout = 0")


def test_driver_psycopg_savepoints(pooler):
    with psycopg.connect(pooler.conninfo("pgbouncer")) as connection:
        assert rows(connection, "SHOW STATE")
        with pytest.raises(psycopg.errors.ProtocolViolation), connection.transaction():
            connection.execute("SHOW NOTHING")
        assert rows(connection, "SHOW STATE")


def test_driver_libpq_looks_for_a_primary(pooler):
    with connect(pooler, target_session_attrs="read-write") as connection:
        assert rows(connection, "SHOW STATE")
        assert connection.pgconn.exec_(b"-- ping").status == psycopg.pq.ExecStatus.EMPTY_QUERY
        assert simple(connection, "/* by a tool */ SHOW STATE") == "SHOW"


def test_driver_psycopg2(pooler):
    connection = psycopg2.connect(pooler.conninfo("pgbouncer"))
    with connection, connection.cursor() as cursor:
        cursor.execute("SHOW DATABASES")
        assert "shop" in [row[0] for row in cursor.fetchall()]
    connection.close()


def test_driver_asyncpg(pooler):
    async def ask():
        options = {"host": harness.HOST, "port": pooler.port, "user": harness.SUPERUSER, "database": "pgbouncer"}
        async with asyncpg.create_pool(**options, min_size=1, max_size=2) as pool:
            async with pool.acquire() as connection, connection.transaction():
                assert {row["list"]: row["items"] for row in await connection.fetch("SHOW LISTS")}["databases"] == 9
                assert (await connection.fetchrow("SHOW POOLS"))["maxwait"] == 0
            with pytest.raises(asyncpg.IndeterminateDatatypeError):
                await pool.fetch("SHOW $1", "STATE")
            with pytest.raises(asyncpg.ProtocolViolationError, match="client not found"):
                await pool.execute("KILL_CLIENT $1", "123456789")
            return await pool.fetchval("SELECT version()")

    assert asyncio.run(asyncio.wait_for(ask(), 60)).startswith("PgBouncer 1.26.0")


@pytest.mark.full
@pytest.mark.skipif(drivers.Pgjdbc.missing() is not None, reason="pgjdbc is not installed")
def test_driver_pgjdbc(pooler, tmp_path):
    source = os.path.join(harness.ROOT, "tests", "system", "jdbc", "Console.java")
    harness.run(["javac", "-d", str(tmp_path), source])
    output = harness.run(["java", "-XX:TieredStopAtLevel=1", "-cp", f"{drivers.PGJDBC}:{tmp_path}", "Console",
                          f"jdbc:postgresql://localhost:{pooler.port}/pgbouncer", harness.SUPERUSER])
    assert "shop true\n" in output and output.endswith("08P01\n7\n30\n2.5\n1.25\ntrue\n"), output


# Tools that read the console and the log --------------------------------------------------------------------

EXPORTED = """databases users pools free_clients used_clients login_clients free_servers used_servers dns_names dns_zones
              dns_queries dns_pending requests_total received_bytes_total sent_bytes_total query_microseconds_total
              active_clients waiting_clients pool_size reserve_pool""".split()


@pytest.mark.skipif(not shutil.which("prometheus-pgbouncer-exporter"), reason="prometheus-pgbouncer-exporter is not installed")
def test_tool_prometheus_pgbouncer_exporter(pgweir, tmp_path):
    """Debian's asks for columns that PgBouncer itself has no more; console_legacy_columns brings them back."""
    pooler, port = pgweir(console_legacy_columns=1), harness.free_port()
    pooler.psql("SELECT 1", "postgres")
    exporter = harness.Process(["prometheus-pgbouncer-exporter", "--host", harness.HOST, "--port", str(port), "--pgbouncer-host",
                                harness.HOST, "--pgbouncer-port", str(pooler.port), "--pgbouncer-user", harness.SUPERUSER],
                               str(tmp_path / "output"))

    def metrics():
        assert exporter.running(), harness.read_file(tmp_path / "output")
        try:
            with urllib.request.urlopen(f"http://{harness.HOST}:{port}/metrics", timeout=20) as answer:
                return answer.read().decode()
        except OSError:
            return None

    lines = harness.wait_for(metrics, 60, "the exporter to answer").splitlines()
    exporter.kill(15)
    exporter.wait(20)
    values = dict(line.rsplit(" ", 1) for line in lines if line.startswith("pgbouncer_"))
    assert {name.partition("{")[0] for name in values} == {f"pgbouncer_{name}" for name in EXPORTED}
    assert float(values['pgbouncer_requests_total{database="postgres"}']) == 1
    assert float(values['pgbouncer_pool_size{database="postgres"}']) == 20
    assert float(values["pgbouncer_used_clients"]) >= 1


def pgbadger(pooler, tmp_path):
    """What it makes of the log, which it has found out to be a pooler's."""
    log, report = tmp_path / "pgbouncer.log", tmp_path / "report.json"
    log.write_text(pooler.log())
    said = harness.run(["pgbadger", "--quiet", "--outfile", str(report), str(log)])
    assert "UN" not in said  # such as UNRECOGNIZED LOG LEVEL
    return json.loads(report.read_text())


@pytest.mark.skipif(not shutil.which("pgbadger"), reason="pgbadger is not installed")
def test_tool_pgbadger(pooler, tmp_path):
    """It reports connections and errors."""
    for _ in range(5):
        pooler.psql("SELECT 1", "shop")
    with pytest.raises(harness.Failed):
        pooler.psql("SELECT 1", "no_such_database")
    found = pgbadger(pooler, tmp_path)
    assert found["pgb_connection_info"]["database"]["shop"] >= 5
    assert found["pgb_connection_info"]["user"][harness.SUPERUSER] >= 5
    assert any("no such database" in error for error in found["pgb_error_info"])


@pytest.mark.skipif(not shutil.which("pgbadger"), reason="pgbadger is not installed")
def test_tool_pgbadger_statistics(pgweir, tmp_path):
    """Debian's knows the line of statistics only as it was before PgBouncer 1.21: log_stats_legacy."""
    pooler = pgweir(log_stats_legacy=1, stats_period=1)
    harness.wait_for(lambda: "stats: 0 xacts/s, 0 queries/s, in 0 B/s" in pooler.log(), 20, "the first line")
    harness.wait_for(lambda: pooler.psql("SELECT 1", "postgres") and " 0 queries/s" not in pooler.log().rpartition("stats: ")[2])
    found = pgbadger(pooler, tmp_path)
    minutes = [minute for day in found["pgb_per_minute_info"].values() for hour in day.values() for minute in hour.values()]
    assert any(float(minute["t_req"]) >= 1 and float(minute["t_inbytes"]) >= 1 for minute in minutes if "t_req" in minute)
