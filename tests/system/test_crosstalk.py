"""
No client ever sees what is another's; the bound holds; nothing leaks. Two hundred clients (crosstalk.py) ask for
values only they know and hold every message against the one that must come, while the number of server processes
is watched. After a first half of the time, when all have gone, the same again: memory and descriptors must be
where they were.

    PGWEIR_CROSSTALK_SECONDS   for each combination   (4)
    PGWEIR_CROSSTALK_SEED      of the clients' plans  (drawn, and printed)
"""

import collections
import itertools
import json
import os
import random
import subprocess
import sys
import threading

import psycopg
import pytest

import harness

SECONDS = float(os.environ.get("PGWEIR_CROSSTALK_SECONDS", 4))
CLIENTS = 200
PROCESSES = 2  # one interpreter cannot keep the daemon busy
POOL_SIZE = {"session": 40, "transaction": 12, "statement": 12}
DATABASES, ROLES = ("crosstalk", "crosstalk2"), ("crossing", "crossing2")  # most tests use the first of each
DATABASE, ROLE = DATABASES[0], ROLES[0]


def cases():
    """Mode, worker threads, shards of a pool, and sslmode to the server; with a sanitizer the harder ones only."""
    for mode in POOL_SIZE:
        for workers in (1, 4):
            for shards in (1, 3):
                hard = workers > 1 and shards > 1
                yield pytest.param(mode, workers, shards, "disable", marks=() if hard else pytest.mark.full,
                                   id=f"{mode}-{workers}-workers-{shards}-shards")
    yield pytest.param("transaction", 4, 3, "require", id="transaction-tls")


BACKENDS = """
    SELECT datname, usename, count(*) FROM pg_stat_activity
    WHERE usename LIKE 'crossing%' AND backend_type = 'client backend' GROUP BY datname, usename"""


@pytest.fixture(scope="module")
def cluster():
    """A cluster that can do TLS, with roles for the pooler alone: its servers can be told from everybody else's."""
    cluster = harness.Postgres()
    certificate, key = (os.path.join(cluster.dir, name) for name in ("server.crt", "server.key"))
    harness.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2",
                 "-out", certificate, "-keyout", key])
    os.chmod(key, 0o600)
    harness.give(key)
    cluster.settings.update(ssl="on", ssl_cert_file=certificate, ssl_key_file=key)
    with cluster:
        for role in ROLES:
            cluster.psql(f"CREATE ROLE {role} LOGIN")
        for database in DATABASES:
            cluster.psql(f"CREATE DATABASE {database}")
            cluster.psql("CREATE UNLOGGED TABLE ledger (token text PRIMARY KEY, kind text);"
                         "CREATE UNLOGGED TABLE copied (token text, n int); CREATE INDEX ON copied (token);"
                         "GRANT ALL ON ledger, copied TO PUBLIC", database)
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


def client_options(pooler, mode, pools):
    defaults = {name: pooler.psql(f"SHOW {name}", DATABASE, user=ROLE) for name in ("TimeZone", "DateStyle")}
    return {"host": harness.HOST, "port": pooler.port, "pools": pools, "mode": mode, "seed": 0, "defaults": defaults}


def clients(pooler, mode, seed, pools, accidents):
    """Lets the clients work for half of the time; what all of them did, and what they wrote."""
    share = CLIENTS // PROCESSES
    options = {**client_options(pooler, mode, pools), "seed": seed, "clients": share, "seconds": SECONDS / 2,
               "accidents": accidents}
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
    present = set()
    for database in DATABASES:
        assert cluster.psql("SELECT DISTINCT kind FROM ledger", database) in ("", "committed")
        assert cluster.psql("SELECT count(*) FROM copied WHERE token = 'abandoned'", database) == "0"
        present.update(cluster.psql("SELECT token FROM ledger", database).splitlines())
    assert set(committed) <= present


def of_ours(rows):
    return [row for row in rows if row["database"] in DATABASES]


def open_descriptors(pooler):
    """But for those of servers, of which each has one."""
    return pooler.process.fds() - len(of_ours(pooler.console("SHOW SERVERS")))


def await_rest(pooler):
    """All clients have gone, so nothing is in use."""
    busy = ("cl_active", "cl_waiting", "sv_active", "sv_tested", "sv_login", "sv_being_canceled")

    def at_rest():
        return all(row[name] == "0" for row in of_ours(pooler.console("SHOW POOLS")) for name in busy)

    harness.wait_for(at_rest, 30, "the pools to come to rest")


def work(cluster, pooler, mode, seed, pools, accidents=False):
    """Both halves of the time, with what must hold after each; gives the samples of BACKENDS."""
    descriptors = open_descriptors(pooler)
    memory = []
    with (psycopg.connect(cluster.conninfo(), autocommit=True) as connection,
          Routine(0.05, lambda: connection.execute(BACKENDS).fetchall()) as samples):
        for half in range(2):
            done, committed = clients(pooler, mode, f"{seed}.{half}", pools, accidents)
            print(f"{sum(done.values())} steps: {json.dumps(done)}")
            check_books(cluster, committed)
            await_rest(pooler)
            memory.append(pooler.process.memory())
    print(f"memory: {memory}")
    harness.wait_for(lambda: open_descriptors(pooler) <= descriptors, 30, "descriptors to be closed")
    if os.path.basename(os.environ.get("PGWEIR_BUILD", "release")) == "release":
        assert memory[1] - memory[0] < 8 << 20
    return samples.results


def check_bound(samples, columns, bound):
    """No more servers at any time that have these columns of BACKENDS in common; and enough to have tried it."""
    most = 0
    for rows in samples:
        sums = collections.Counter()
        for row in rows:
            sums[tuple(row[column] for column in columns)] += row[2]
        most = max(most, *sums.values(), 0)
    print(f"servers: at most {most} of {bound} in {len(samples)} samples")
    assert 1 < most <= bound


def draw_seed():
    seed = int(os.environ.get("PGWEIR_CROSSTALK_SEED", random.randrange(1 << 32)))
    print(f"PGWEIR_CROSSTALK_SEED={seed}")
    return seed


def check_end(cluster, pooler):
    assert "leaked at exit" not in pooler.log()
    harness.wait_for(lambda: cluster.psql(BACKENDS) == "", 20, "the servers to go")
    for database in DATABASES:
        cluster.psql("TRUNCATE ledger, copied", database)


@pytest.mark.time_limit(int(SECONDS * 3) + 240)
@pytest.mark.parametrize("mode, workers, shards, sslmode", cases())
def test_crosstalk(cluster, mode, workers, shards, sslmode):
    seed = draw_seed()
    batch_sends = random.Random(seed).choice(("io_uring", "aio", "off"))
    with harness.Pgweir(cluster, databases={DATABASE: target(cluster)},
                        auth=(harness.SUPERUSER, *ROLES), pool_mode=mode, default_pool_size=POOL_SIZE[mode],
                        worker_threads=workers, pool_shards=shards, server_tls_sslmode=sslmode,
                        server_lifetime=3, server_check_delay=0.2, batch_sends=batch_sends) as pooler:
        with Routine(1, operator(cluster, pooler, mode)):
            samples = work(cluster, pooler, mode, seed, [(DATABASE, ROLE)])
        check_bound(samples, (0, 1), POOL_SIZE[mode])
    check_end(cluster, pooler)


@pytest.mark.time_limit(int(SECONDS * 3) + 240)
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_caps(cluster, mode):
    """Two databases and two users make four pools, which contend for the servers that a database or a user may have."""
    seed = draw_seed()
    with harness.Pgweir(cluster, databases={database: target(cluster) for database in DATABASES},
                        auth=(harness.SUPERUSER, *ROLES), pool_mode=mode, default_pool_size=9, max_db_connections=14,
                        max_user_connections=12, worker_threads=4, pool_shards=2, server_lifetime=3) as pooler:
        samples = work(cluster, pooler, mode, seed, list(itertools.product(DATABASES, ROLES)))
        check_bound(samples, (0, 1), 9)
        check_bound(samples, (0,), 14)
        check_bound(samples, (1,), 12)
    check_end(cluster, pooler)


@pytest.mark.time_limit(int(SECONDS * 3) + 240)
@pytest.mark.parametrize("mode", POOL_SIZE)
def test_accidents(cluster, mode):
    """Servers end in the midst of their work. Their clients may lose their connection, and nobody anything else."""
    seed = draw_seed()
    accident = f"""
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE usename = '{ROLE}' AND backend_type = 'client backend' ORDER BY random() LIMIT 1"""
    with harness.Pgweir(cluster, databases={DATABASE: target(cluster)}, auth=(harness.SUPERUSER, *ROLES),
                        pool_mode=mode, default_pool_size=POOL_SIZE[mode], worker_threads=4, pool_shards=3) as pooler:
        with Routine(0.1, lambda: cluster.psql(accident)):
            samples = work(cluster, pooler, mode, seed, [(DATABASE, ROLE)], accidents=True)
        check_bound(samples, (0, 1), POOL_SIZE[mode])
    check_end(cluster, pooler)
