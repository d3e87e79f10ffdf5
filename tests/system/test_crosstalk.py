"""
No client ever sees what is another's; the bound holds; nothing leaks. Two hundred clients (crosstalk.py) ask for
values only they know and hold every message against the one that must come, while the number of server processes
is watched. After a first half of the time, when all have gone, the same again: memory and descriptors must be
where they were.

    PGWEIR_CROSSTALK_SECONDS   for each combination   (6)
    PGWEIR_CROSSTALK_SEED      of the clients' plans  (drawn, and printed)
"""

import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
import threading

import psycopg
import pytest

import crosstalk
import harness
import wire

SECONDS = float(os.environ.get("PGWEIR_CROSSTALK_SECONDS", 6))
CLIENTS = 200
PROCESSES = 2  # one interpreter cannot keep the daemon busy
POOL_SIZE = {"session": 40, "transaction": 12, "statement": 12}
ROLE, DATABASE = "crossing", "crosstalk"


def cases():
    """Mode, worker threads, shards of a pool, and sslmode to the server; with a sanitizer the harder ones only."""
    for mode in POOL_SIZE:
        for workers in (1, 4):
            for shards in (1, 3):
                hard = workers > 1 and shards > 1
                yield pytest.param(mode, workers, shards, "disable", marks=() if hard else pytest.mark.full,
                                   id=f"{mode}-{workers}-workers-{shards}-shards")
    yield pytest.param("transaction", 4, 3, "require", id="transaction-tls")


BACKENDS = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{ROLE}' AND backend_type = 'client backend'"


@pytest.fixture(scope="module")
def cluster():
    """A cluster that can do TLS, with a role for the pooler alone: its servers can be told from everybody else's."""
    cluster = harness.Postgres()
    certificate, key = (os.path.join(cluster.dir, name) for name in ("server.crt", "server.key"))
    harness.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2",
                 "-out", certificate, "-keyout", key])
    os.chmod(key, 0o600)
    harness.give(key)
    cluster.settings.update(ssl="on", ssl_cert_file=certificate, ssl_key_file=key)
    with cluster:
        cluster.psql(f"CREATE ROLE {ROLE} LOGIN")
        cluster.psql(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
        cluster.psql("CREATE UNLOGGED TABLE ledger (token text PRIMARY KEY, kind text);"
                     "CREATE UNLOGGED TABLE copied (token text, n int); CREATE INDEX ON copied (token)",
                     DATABASE, user=ROLE)
        yield cluster


class Routine(threading.Thread):
    """Does something again and again, so many seconds apart, while the clients work."""

    def __init__(self, pause, action):
        super().__init__(daemon=True)
        self.pause, self.action = pause, action
        self.stopping = threading.Event()
        self.results, self.failure = [], None

    def run(self):
        try:
            while not self.stopping.wait(self.pause):
                self.results.append(self.action())
        except Exception as failure:
            self.failure = failure

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *unused):
        self.stopping.set()
        self.join()
        if self.failure is not None and kind is None:
            raise self.failure


def target(cluster):
    return f"host={harness.HOST} port={cluster.port}"


def operator(cluster, pooler, mode):
    """What a person does to a daemon at work, of which no client must notice more than a wait."""
    sizes = itertools.cycle((POOL_SIZE[mode] // 2, POOL_SIZE[mode]))
    queries = itertools.cycle(("connect_query='SELECT 1'", ""))  # makes all servers obsolete

    def operate():
        pooler.databases[DATABASE] = f"{target(cluster)} {next(queries)}"
        pooler.configure(default_pool_size=next(sizes))
        pooler.console("RELOAD")
        if mode != "session":  # where a pause waits until the clients go
            pooler.console(f"PAUSE {DATABASE}")
            pooler.console(f"RESUME {DATABASE}")

    return operate


def clients(pooler, mode, seed, defaults):
    """Lets the clients work for half of the time; what all of them did, and what they wrote."""
    share = CLIENTS // PROCESSES
    options = {"host": harness.HOST, "port": pooler.port, "user": ROLE, "dbname": DATABASE, "mode": mode, "seed": seed,
               "clients": share, "seconds": SECONDS / 2, "defaults": defaults}
    script = os.path.join(os.path.dirname(__file__), "crosstalk.py")
    running = [subprocess.Popen([sys.executable, script, json.dumps({**options, "first": number * share})],
                                stdout=subprocess.PIPE, text=True) for number in range(PROCESSES)]
    done, committed, failures = {}, [], []
    for process in running:
        output, _ = process.communicate()
        assert process.returncode == 0, "the clients themselves have failed"
        report = json.loads(output)
        committed += report["committed"]
        failures += report["failures"]
        for name, count in report["done"].items():
            done[name] = done.get(name, 0) + count
    if failures:
        raise harness.Failed("\n".join(failures) + f"\n--- the daemon's log:\n{pooler.tail(100)}")
    return done, committed


def check_books(cluster, committed):
    """What was acknowledged is there, once (the key sees to that); what was not ended is not."""
    assert cluster.psql("SELECT DISTINCT kind FROM ledger", DATABASE) in ("", "committed")
    present = set(cluster.psql("SELECT token FROM ledger", DATABASE).splitlines())
    assert set(committed) <= present
    assert cluster.psql("SELECT count(*) FROM copied WHERE token = 'abandoned'", DATABASE) == "0"


def servers(pooler):
    return [row for row in pooler.console("SHOW SERVERS") if row["database"] == DATABASE]


def check_rest(pooler):
    """All clients have gone, so nothing is in use; gives the memory that remains."""
    def at_rest():
        pool = pooler.pool(DATABASE, ROLE)
        busy = ("cl_active", "cl_waiting", "sv_active", "sv_tested", "sv_login", "sv_being_canceled")
        return all(pool[name] == 0 for name in busy)

    harness.wait_for(at_rest, 30, "the pool to come to rest")
    return pooler.process.memory()


def work(cluster, pooler, mode, seed):
    """Both halves of the time, with what must hold after each."""
    defaults = {name: pooler.psql(f"SHOW {name}", DATABASE, user=ROLE) for name in ("TimeZone", "DateStyle")}
    descriptors = pooler.process.fds() - len(servers(pooler))
    memory = []
    with (psycopg.connect(cluster.conninfo(), autocommit=True) as connection,
          Routine(1, operator(cluster, pooler, mode)),
          Routine(0.05, lambda: connection.execute(BACKENDS).fetchone()[0]) as samples):
        for half in range(2):
            done, committed = clients(pooler, mode, f"{seed}.{half}", defaults)
            print(f"{sum(done.values())} steps: {json.dumps(done)}")
            check_books(cluster, committed)
            memory.append(check_rest(pooler))
    most = max(samples.results)
    print(f"servers: at most {most} of {POOL_SIZE[mode]} in {len(samples.results)} samples; memory: {memory}")
    assert 1 < most <= POOL_SIZE[mode]
    assert done["cancels that hit"] > 0
    harness.wait_for(lambda: pooler.process.fds() - len(servers(pooler)) <= descriptors, 30, "descriptors to be closed")
    if os.path.basename(os.environ.get("PGWEIR_BUILD", "release")) == "release":
        assert memory[1] - memory[0] < 8 << 20


@pytest.mark.time_limit(int(SECONDS * 3) + 240)
@pytest.mark.parametrize("mode, workers, shards, sslmode", cases())
def test_crosstalk(cluster, mode, workers, shards, sslmode):
    seed = int(os.environ.get("PGWEIR_CROSSTALK_SEED", random.randrange(1 << 32)))
    print(f"PGWEIR_CROSSTALK_SEED={seed}")
    cluster.psql("TRUNCATE ledger, copied", DATABASE)
    with harness.Pgweir(cluster, databases={DATABASE: target(cluster)},
                        auth=(harness.SUPERUSER, ROLE), pool_mode=mode, default_pool_size=POOL_SIZE[mode],
                        worker_threads=workers, pool_shards=shards, server_tls_sslmode=sslmode,
                        server_lifetime=3, server_check_delay=0.2) as pooler:
        work(cluster, pooler, mode, seed)
    assert "leaked at exit" not in pooler.log()
    harness.wait_for(lambda: cluster.psql(BACKENDS) == "0", 20, "the servers to go")


async def detour(cluster, delay):
    """A way to the cluster on which cancel requests take their time."""
    async def forward(reader, writer):
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def accept(reader, writer):
        first = await reader.read(1 << 16)
        if first[4:8] == wire.cancel_request(b"")[4:]:
            await asyncio.sleep(delay)
        onward_reader, onward_writer = await asyncio.open_connection(harness.HOST, cluster.port)
        onward_writer.write(first)
        await asyncio.gather(forward(reader, onward_writer), forward(onward_reader, writer))

    return await asyncio.start_server(accept, harness.HOST, 0)


async def late_cancel(cluster, mode):
    """The first client's cancel arrives a second after its query is over; the second's begins in the meantime."""
    way = await detour(cluster, 1)
    port = way.sockets[0].getsockname()[1]
    pooler = harness.Pgweir(cluster, databases={DATABASE: f"host={harness.HOST} port={port}"}, pool_mode=mode,
                            auth=(harness.SUPERUSER, ROLE), default_pool_size=1)
    await asyncio.to_thread(pooler.start)
    defaults = {name: cluster.psql(f"SHOW {name}") for name in ("TimeZone", "DateStyle")}
    options = {"host": harness.HOST, "port": pooler.port, "user": ROLE, "dbname": DATABASE, "mode": mode, "seed": 0,
               "defaults": defaults}
    first, second = (crosstalk.Client(number, options, crosstalk.Report()) for number in (0, 1))
    await first.connect()
    await second.connect()
    cancel = asyncio.ensure_future(first.cancel(0.1, first.key))
    await first.ask(wire.query("SELECT pg_sleep(0.3)"), "T", ("",), crosstalk.DONE, "Z:I")
    if mode == "session":
        await first.terminate()
    running = asyncio.ensure_future(
        second.ask(wire.query("SELECT pg_sleep(2)"), "T", ("",), crosstalk.DONE, "Z:I"))
    pool = await asyncio.to_thread(pooler.pool, DATABASE, ROLE)
    assert (pool["sv_being_canceled"], pool["cl_waiting"]) == (1, 1)
    await asyncio.gather(running, cancel)
    first.hang_up()
    second.hang_up()
    await asyncio.to_thread(pooler.stop)
    way.close()


@pytest.mark.parametrize("mode", POOL_SIZE)
def test_late_cancel(cluster, mode):
    asyncio.run(late_cancel(cluster, mode))
