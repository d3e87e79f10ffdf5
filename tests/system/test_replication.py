"""
Replication through the pooler, with PostgreSQL's own tools: a base backup, archived WAL, decoded changes, a standby
and a subscription. The pool is in transaction mode, and whoever else uses it must notice nothing but the permits.
"""

import asyncio
import os
import signal
import struct
import subprocess

import pytest

import harness
import wire

LIMIT = 60  # seconds for what a loaded machine may take its time for


@pytest.fixture(scope="module")
def primary():
    with harness.Postgres(wal_level="logical", max_wal_senders=20, max_replication_slots=20) as postgres:
        postgres.psql("CREATE TABLE kept (i int PRIMARY KEY, t text); CREATE ROLE plain LOGIN")
        yield postgres


def entries(primary, **settings):
    target = f"host={harness.HOST} port={primary.port}"
    extra = "".join(f" {key}={value}" for key, value in settings.items())
    # Physical replication names no database: the tools say "replication", or leave it to the user's name.
    return {"postgres": f"{target} dbname=postgres{extra}", "replication": f"{target} dbname=postgres{extra}"}


@pytest.fixture(scope="module")
def pooler(primary):
    with harness.Pgweir(primary, databases=entries(primary), auth=("postgres", "plain"), worker_threads=2,
                        pool_shards=2) as pooler:
        yield pooler


class Tool:
    """A program of PostgreSQL's that runs until it is told to stop."""

    def __init__(self, postgres, name, *args, cwd):
        self.output = os.path.join(cwd, f"{name}.out")
        self.process = harness.Process([*harness.unprivileged(), postgres.tool(name), *args], self.output, cwd=cwd)

    def stop(self):
        self.process.kill(signal.SIGINT)
        assert self.process.wait(LIMIT) == 0, self.text()

    def text(self):
        return harness.read_file(self.output)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill(signal.SIGKILL)
        self.process.wait(LIMIT)


@pytest.fixture
def directory(primary, tmp_path_factory):
    path = os.path.join(primary.dir, os.path.basename(tmp_path_factory.mktemp("rep")))
    os.mkdir(path)
    harness.give(path)
    return path


def tool(primary, directory, name, *args):
    """The output of a program of PostgreSQL's that ends by itself."""
    return harness.run([*harness.unprivileged(), primary.tool(name), *args], timeout=LIMIT, cwd=directory)


def sockets(pooler, what):
    """Who replicates, as the console has it."""
    return [row for row in pooler.console(f"SHOW {what}") if row["replication"] != "none"]


def test_base_backup_while_others_write(primary, pooler, directory):
    with subprocess.Popen([primary.tool("pgbench"), "-i", "-s", "2", "-n", pooler.conninfo("postgres")],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as writer:
        tool(primary, directory, "pg_basebackup", "--pgdata", "copy", "--checkpoint=fast", "--wal-method=stream",
             "--no-sync", "--dbname", pooler.conninfo("replication"))
        assert writer.wait(LIMIT) == 0
    tool(primary, directory, "pg_verifybackup", "copy")
    assert "replication=yes" in pooler.log()
    harness.wait_for(lambda: not sockets(pooler, "SERVERS"), what="the end of the backup's connections")
    assert "closing because: replication client was closed" in pooler.log()


def write_some(primary, count=1000):
    """Rows, and the place in the WAL behind them."""
    primary.psql("INSERT INTO kept SELECT (SELECT coalesce(max(i), 0) FROM kept) + s, repeat('x', 500) "
                 f"FROM generate_series(1, {count}) s")
    primary.psql("SELECT pg_switch_wal()")
    return primary.psql("SELECT pg_current_wal_flush_lsn()")


def caught_up(primary, lsn, column="flush_lsn"):
    return primary.psql(f"SELECT 1 FROM pg_stat_replication WHERE {column} >= '{lsn}'") == "1"


def test_receivewal(primary, pooler, directory):
    tool(primary, directory, "pg_receivewal", "--dbname", pooler.conninfo("replication"), "--create-slot",
         "--slot=archive")
    with Tool(primary, "pg_receivewal", "--dbname", pooler.conninfo("replication"), "--slot=archive",
              "--directory=.", "--synchronous", "--status-interval=1", cwd=directory) as archiver:
        harness.wait_for(lambda: sockets(pooler, "SERVERS"), LIMIT, "a connection")
        lsn = write_some(primary)
        harness.wait_for(lambda: caught_up(primary, lsn), LIMIT, "the archive to catch up")
        [client], [server] = sockets(pooler, "CLIENTS"), sockets(pooler, "SERVERS")
        assert client["link"] == server["ptr"] and client["replication"] == server["replication"] == "physical"
        assert (client["state"], server["state"]) == ("active", "active")
        archiver.stop()
    tool(primary, directory, "pg_receivewal", "--dbname", pooler.conninfo("replication"), "--drop-slot",
         "--slot=archive")
    assert any(len(name) == 24 for name in os.listdir(directory))  # whole segments


def test_recvlogical(primary, pooler, directory):
    def recvlogical(*args):
        return ["--dbname", pooler.conninfo("postgres"), "--slot=decoded", *args]

    tool(primary, directory, "pg_recvlogical", *recvlogical("--create-slot", "--plugin=test_decoding"))
    with Tool(primary, "pg_recvlogical", *recvlogical("--start", "--file=-", "--no-loop"), cwd=directory) as reader:
        for word in ("one", "two", "three"):
            pooler.psql(f"CREATE TABLE IF NOT EXISTS decoded (t text); INSERT INTO decoded VALUES ('{word}')")
            harness.wait_for(lambda: f"table public.decoded: INSERT: t[text]:'{word}'" in reader.text(), LIMIT, word)
        assert [row["replication"] for row in sockets(pooler, "SERVERS")] == ["logical"]
        reader.stop()
    tool(primary, directory, "pg_recvlogical", *recvlogical("--drop-slot"))
    assert "replication=database" in pooler.log()


def other_cluster(primary, directory, **settings):
    """A cluster from a base backup of the primary, which was taken directly."""
    other = harness.Postgres(max_wal_senders=20, wal_receiver_status_interval=1, **settings)
    data = os.path.join(other.dir, "data")
    tool(primary, other.dir, "pg_basebackup", "--pgdata", data, "--checkpoint=fast", "--wal-method=fetch",
         "--no-sync", "--dbname", primary.conninfo())
    return other


def run_from(other, signal_file=None):
    """Starts a cluster whose files are there."""
    other.configure()
    if signal_file:
        other.write(signal_file, [])
    other.process = harness.Process([*harness.unprivileged(), other.tool("postgres"), "-D",
                                     os.path.join(other.dir, "data")], other.logfile(), cwd=other.dir)
    harness.wait_for(other.ready, LIMIT, "the other cluster")


def test_standby(primary, pooler, directory):
    standby = other_cluster(primary, directory, primary_conninfo=pooler.conninfo("replication"))
    try:
        run_from(standby, "standby.signal")
        lsn = write_some(primary, 20000)
        harness.wait_for(lambda: caught_up(primary, lsn, "replay_lsn"), LIMIT, "the standby to catch up")
        count = "SELECT count(*), sum(i) FROM kept"
        assert standby.psql(count) == primary.psql(count)
    finally:
        standby.stop()


def test_subscription(primary, pooler, directory):
    """Its worker, a copy of the table on a connection each, and changes as they come."""
    primary.psql("CREATE TABLE shared (i int PRIMARY KEY, t text, f float8);"
                 "INSERT INTO shared SELECT i, repeat(i::text, 50), 1/3.0::float8 FROM generate_series(1, 5000) i;"
                 "CREATE PUBLICATION changes FOR TABLE shared")
    everything = "SELECT count(*), md5(string_agg(shared::text, ',' ORDER BY i)) FROM shared"
    with harness.Postgres() as subscriber:
        subscriber.psql("CREATE TABLE shared (i int PRIMARY KEY, t text, f float8)")
        subscriber.psql(f"CREATE SUBSCRIPTION changes CONNECTION {harness.literal(pooler.conninfo('postgres'))} "
                        "PUBLICATION changes")
        pooler.psql("INSERT INTO shared SELECT i, 'later', pi() FROM generate_series(5001, 6000) i; "
                    "UPDATE shared SET t = 'changed' WHERE i % 7 = 0")
        harness.wait_for(lambda: subscriber.psql(everything) == primary.psql(everything), LIMIT, "all changes")
        subscriber.psql("DROP SUBSCRIPTION changes")
    assert primary.psql("SELECT count(*) FROM pg_replication_slots") == "0"


def test_base_backup_with_passwords_over_tls(tmp_path_factory):
    """TLS and SCRAM on both sides, as it is where backups cross a network."""
    hba = ["hostssl replication backup 127.0.0.1/32 scram-sha-256", "host all all 127.0.0.1/32 reject"]
    with harness.Postgres(ssl=True, hba=hba) as primary:
        primary.create_user("backup", "secret")
        primary.psql("ALTER ROLE backup REPLICATION", host=primary.dir)
        pair = primary.certs.server
        with harness.Pgweir(primary, databases=entries(primary), auth={"backup": "secret"}, pgpass=None,
                            auth_type="scram-sha-256", server_tls_sslmode="require", client_tls_sslmode="require",
                            client_tls_cert_file=pair.cert, client_tls_key_file=pair.key) as pooler:
            target = pooler.conninfo("replication", "backup", sslmode="require", sslcert="/nowhere")
            tool(primary, primary.dir, "pg_basebackup", "--pgdata", "copy", "--checkpoint=fast", "--no-sync",
                 "--dbname", f"{target} password=secret")
            tool(primary, primary.dir, "pg_verifybackup", "copy")


# Single connections -----------------------------------------------------------------------------------------------


def replicate(pooler, sql, dbname="postgres", **options):
    """The output of psql on a replication connection."""
    return pooler.psql(sql, dbname, **{"replication": "database", **options})


def test_commands_and_sql(primary, pooler):
    assert replicate(pooler, "IDENTIFY_SYSTEM").split("|")[3] == "postgres"
    assert replicate(pooler, "IDENTIFY_SYSTEM", "replication", replication="true").endswith("|")
    assert replicate(pooler, "SHOW work_mem", options="-c work_mem=3MB -c extra_float_digits=2") == "3MB"
    assert replicate(pooler, "SHOW application_name", application_name="two words") == "two words"
    with pytest.raises(harness.Failed, match="cannot execute SQL commands in WAL sender for physical replication"):
        replicate(pooler, "SELECT 1", "replication", replication="true")


def test_a_role_without_the_privilege(pooler):
    """It hears what the server says; and its other connections, and those of others, are not barred."""
    for _ in range(2):
        with pytest.raises(harness.Failed, match="must be superuser or replication role to start walsender"):
            replicate(pooler, "IDENTIFY_SYSTEM", user="plain")
        assert pooler.psql("SELECT current_user", user="plain") == "plain"


def test_rules_for_replication(primary):
    """In a file of rules, physical replication is only meant by its own word, and logical by its database."""
    hba = ["host replication postgres 127.0.0.1/32 trust", "host postgres plain 127.0.0.1/32 trust"]
    with harness.Pgweir(primary, databases=entries(primary), hba=hba, auth=("postgres", "plain")) as pooler:
        assert replicate(pooler, "IDENTIFY_SYSTEM", "replication", replication="on")
        assert pooler.psql("SELECT 1", user="plain") == "1"
        with pytest.raises(harness.Failed, match="login rejected|no authentication method"):
            replicate(pooler, "IDENTIFY_SYSTEM")
        with pytest.raises(harness.Failed, match="login rejected|no authentication method"):
            replicate(pooler, "IDENTIFY_SYSTEM", user="plain", replication="true")


def test_it_takes_a_permit_and_idle_servers_make_room(primary):
    """A pool of one: with an idle server, with a busy one, and then with a stream."""
    with harness.Pgweir(primary, databases=entries(primary, pool_size=1), query_wait_timeout=1) as pooler:
        before = pooler.psql("SELECT pg_backend_pid()")
        assert replicate(pooler, "SELECT pg_backend_pid()") != before
        harness.wait_for(lambda: not pooler.console("SHOW SERVERS"), LIMIT, "its end")
        with subprocess.Popen([primary.tool("psql"), "-At", pooler.conninfo(replication="database")], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stream:
            stream.stdin.write("SELECT 'here';\n")
            stream.stdin.flush()
            assert stream.stdout.readline() == "here\n"
            with pytest.raises(harness.Failed, match="query_wait_timeout|client_login_timeout"):
                pooler.psql("SELECT 1")
            stream.stdin.close()
            assert stream.wait(LIMIT) == 0
        assert pooler.psql("SELECT 1") == "1"


def test_time_is_no_limit_for_a_stream(primary, directory):
    """The limits of queries are for queries."""
    with harness.Pgweir(primary, databases=entries(primary), query_timeout=1, transaction_timeout=1,
                        idle_transaction_timeout=1, client_idle_timeout=1, server_lifetime=1) as pooler:
        with Tool(primary, "pg_receivewal", "--dbname", pooler.conninfo("replication"), "--directory=.", "--no-loop",
                  "--status-interval=1", cwd=directory) as archiver:
            harness.wait_for(lambda: sockets(pooler, "SERVERS"), LIMIT, "a connection")
            with pytest.raises(harness.Failed, match="query timeout"):
                pooler.psql("SELECT pg_sleep(60)")
            [stream] = sockets(pooler, "CLIENTS")
            lsn = write_some(primary)
            harness.wait_for(lambda: caught_up(primary, lsn, "write_lsn"), LIMIT, "the stream")
            assert [row["ptr"] for row in sockets(pooler, "CLIENTS")] == [stream["ptr"]]
            archiver.stop()


@pytest.mark.parametrize("end", ["reload", "shutdown"])
def test_the_end(primary, directory, end):
    """Of the daemon, or of what the entry said: the stream is told, and nothing is left on the server."""
    pooler = harness.Pgweir(primary, databases=entries(primary)).start()
    with Tool(primary, "pg_receivewal", "--dbname", pooler.conninfo("replication"), "--directory=.", "--no-loop",
              cwd=directory) as archiver:
        harness.wait_for(lambda: sockets(pooler, "SERVERS"), LIMIT, "a connection")
        if end == "reload":
            pooler.databases["replication"] += " application_name=changed"
            pooler.configure()
            pooler.console("RELOAD")
        else:
            pooler.kill(signal.SIGQUIT)
        assert archiver.process.wait(LIMIT) == 1
        words = {"reload": "database configuration changed", "shutdown": "pooler is shutting down"}
        assert words[end] in archiver.text()
    harness.wait_for(lambda: primary.psql("SELECT count(*) FROM pg_stat_replication") == "0", LIMIT, "no stream")
    if end == "shutdown":
        pooler.ends()
    pooler.stop()


def test_cancel(primary, pooler, directory):
    """A query of a logical connection is cancelled like any other."""
    with Tool(primary, "psql", "-At", "-c", "SELECT pg_sleep(600)",
              pooler.conninfo(replication="database"), cwd=directory) as psql:
        harness.wait_for(lambda: primary.psql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' "
                                              "AND backend_type = 'walsender'") == "1", LIMIT, "the query")
        psql.process.kill(signal.SIGINT)
        assert psql.process.wait(LIMIT) == 1
        assert "canceling statement due to user request" in psql.text()


async def stream_slowly(pooler, primary, start):
    """Asks for WAL from start on, takes none while more comes than fits anywhere, then takes all of it."""
    connection = await wire.Connection.open(harness.HOST, pooler.port, receive_buffer=32768)
    try:
        await connection.send(wire.startup(user="postgres", database="replication", replication="true"))
        async with asyncio.timeout(LIMIT):
            while (await connection.receive())[0] != "Z":
                pass
            await connection.send(wire.query(f"START_REPLICATION PHYSICAL {start}"))
            before = pooler.process.memory()
            end = await asyncio.to_thread(write_some, primary, 100000)
            grown = pooler.process.memory() - before
            while True:
                kind, body = await connection.receive()
                assert kind in "Wd"
                if kind == "d" and body[:1] == b"w" and position(body) >= number(end):
                    return grown
    finally:
        connection.close()


def number(lsn):
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


def position(body):
    """The place in the WAL behind the data of a message."""
    return struct.unpack_from("!Q", body, 1)[0] + len(body) - 25


def test_a_slow_reader_slows_the_sender(primary, pooler):
    """50 MB that nobody takes wait where they are: not in the pooler's memory."""
    start = primary.psql("SELECT pg_current_wal_flush_lsn()")
    assert asyncio.run(stream_slowly(pooler, primary, start)) < 10 << 20
