"""
What is put to the test: a PostgreSQL with a bank for each of the daemon's databases, the daemon before it, and
a network between them, and between the daemon and some of the clients, that can be made to fail.
"""

import collections
import dataclasses
import os
import random
import signal
import threading
import time

import harness
import wire
import wire_login
from proxy import Proxy
from transfers import SCHEMA

USERS = ("alice", "bob")
QUERY_WAIT_TIMEOUT, QUERY_TIMEOUT = 5, 7
SHARED = 4  # what max_db_connections lets the two pools of a database have beyond one's size

STANDBY = "127.0.0.2"  # where it listens, if there is one, with the same port
UNREACHABLE = (OSError, wire.Closed, wire_login.Refused)  # what comes of asking somebody who is not well


@dataclasses.dataclass(frozen=True)
class Bank:
    mode: str
    pool_size: int
    is_far: bool = False  # behind the faulty network
    may_be_cancelled: bool = False  # so that elsewhere every cancel that hits must have an author

    @property
    def most(self):
        """max_db_connections: less than both pools together would have."""
        return self.pool_size + SHARED


BANKS = {
    "plain": Bank("transaction", 6),
    "remote": Bank("transaction", 6, is_far=True),
    "cancelled": Bank("transaction", 6, may_be_cancelled=True),
    "lasting": Bank("session", 8),
    "single": Bank("statement", 5, is_far=True),
}


class Cluster(harness.Postgres):
    """
    It can be restarted, and by a crash of its processes it loses nothing that was acknowledged: what was written is
    in the hands of the kernel.
    """

    def __init__(self, address=harness.HOST, **settings):
        super().__init__(ssl=True, synchronous_commit="on", max_connections=150, log_min_messages="warning",
                         deadlock_timeout="1s", authentication_timeout="5s", restart_after_crash="on",
                         superuser_reserved_connections=20,
                         **{"listen_addresses": address, "wal_retrieve_retry_interval": "100ms", **settings})
        self.address = address
        self.data = os.path.join(self.dir, "data")

    def found_banks(self):
        for user in USERS:
            self.create_user(user)
        for bank in BANKS:
            self.psql(f"CREATE DATABASE {bank}")
            self.psql(SCHEMA, bank)

    def shut_down(self, signum):
        """Also with processes that another fault has stopped, and those that will not end."""
        for urgent, limit in ((signum, 10), (signal.SIGQUIT, 30)):
            self.process.kill(urgent)
            for pid in children(self.process.pid):
                resume(pid)
            if self.process.wait(limit) is not None:
                return
        raise harness.Failed("PostgreSQL did not end")

    def start_again(self):
        if self.process.running():
            return
        self.run_server()
        harness.wait_for(self.ready, 60, "PostgreSQL to be back")

    def run_server(self):
        self.process = harness.Process([*harness.unprivileged(), self.tool("postgres"), "-D", self.data],
                                       self.logfile(), cwd=self.dir)

    def tool_run(self, name, *args):
        harness.run([*harness.unprivileged(), self.tool(name), *args], cwd=self.dir)

    def make_standby(self):
        """Lets nobody in until it is promoted, and has by then all that was acknowledged."""
        standby = Cluster(STANDBY, port=self.port, hot_standby="off",
                          primary_conninfo=f"host={self.dir} port={self.port} user={harness.SUPERUSER}")
        standby.port = self.port
        self.tool_run("pg_basebackup", "-h", self.dir, "-p", str(self.port), "-U", harness.SUPERUSER,
                      "-D", standby.data, "--checkpoint=fast", "--write-recovery-conf")
        standby.configure()
        standby.run_server()
        streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        harness.wait_for(lambda: self.ask(streaming) == [("1",)], 60, "the standby to follow")
        self.configure(synchronous_standby_names="*")
        self.reload()
        return standby

    def promote(self):
        self.tool_run("pg_ctl", "promote", "-w", "-D", self.data)
        harness.wait_for(self.ready, 60, "the standby to be promoted")

    def ask(self, sql, database="postgres"):
        """Rows, by a way that no fault concerns but an end of PostgreSQL."""
        with Talker(lambda: self, database) as talker:
            return talker.ask(sql)

    def insist(self, sql):
        """The same, when PostgreSQL may just be recovering from a crash."""
        def asked():
            try:
                self.ask(sql)
                return True
            except UNREACHABLE:
                return False

        harness.wait_for(asked, 60, f"PostgreSQL to do {sql}")


def children(parent):
    """Process ids."""
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit():
                fields = harness.read_file(f"/proc/{entry}/stat").rpartition(")")[2].split()
                if int(fields[1]) == parent:
                    yield int(entry)
        except (FileNotFoundError, ProcessLookupError):
            pass


def resume(pid):
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass


class Talker:
    """A superuser's connection through the unix socket, opened when it is needed and kept while it lasts."""

    LIMIT = 5  # seconds for an answer

    def __init__(self, cluster, database="postgres"):
        self.cluster, self.database = cluster, database  # a function, since there may be another one later
        self.client = None

    def ask(self, sql):
        try:
            if self.client is None:
                cluster = self.cluster()
                self.client = wire_login.Client(0, path=os.path.join(cluster.dir, f".s.PGSQL.{cluster.port}"))
                self.client.sock.settimeout(self.LIMIT)
                self.client.login(harness.SUPERUSER, database=self.database)
            return self.client.query(sql)
        except UNREACHABLE:
            self.close()
            raise

    def close(self):
        if self.client is not None:
            self.client.close()
        self.client = None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


class Bounds:
    """How many servers each pool may have. What was allowed a moment ago may still be there."""

    GRACE = 12  # seconds

    def __init__(self):
        self.lock = threading.Lock()
        self.sizes = {name: bank.pool_size for name, bank in BANKS.items()}
        self.before = collections.defaultdict(list)  # pairs of until when, and how many
        self.blurred_until = 0

    def change(self, name, size):
        with self.lock:
            self.before[name].append((time.monotonic() + self.GRACE, self.sizes[name]))
            self.sizes[name] = size

    def allowed(self, name):
        with self.lock:
            now = time.monotonic()
            return max([self.sizes[name], *(size for until, size in self.before[name] if until > now)])

    def blur(self, seconds):
        """
        PostgreSQL counts more than there are: those who have given up while they waited for it to accept them are
        yet to be accepted.
        """
        self.blurred_until = max(self.blurred_until, time.monotonic() + seconds)

    def is_sharp(self):
        return time.monotonic() > self.blurred_until


class World:
    """Whoever enters it finds everything running. The seed decides how the daemon is set up."""

    def __init__(self, seed):
        self.rng = random.Random(f"{seed}/world")
        self.bounds = Bounds()
        self.connect_queries = dict.fromkeys(BANKS, 0)
        self.cluster = Cluster()
        self.standby = None
        self.lost = []  # clusters that another one has replaced

    def __enter__(self):
        try:
            self.cluster.start()
            self.cluster.found_banks()
            if self.rng.random() < 0.5:
                self.standby = self.cluster.make_standby()
            port = harness.free_port()
            self.proxy = Proxy({"server": self.cluster.port, "client": port}).__enter__()
            self.daemon = self.make_daemon(port).start()
            return self
        except BaseException:
            self.stop_clusters()
            raise

    def __exit__(self, kind, *unused):
        try:
            if self.daemon.process is not None:
                self.daemon.process.kill(signal.SIGKILL)  # who ends it in order does so before
                self.daemon.process.wait(20)
            self.proxy.__exit__()
        finally:
            self.stop_clusters()

    def stop_clusters(self):
        for cluster in (self.cluster, self.standby, *self.lost):
            if cluster is not None:
                cluster.stop()

    def fail_over(self):
        """The daemon knows both; the network to the others leads to the new one now."""
        self.standby.promote()
        self.lost.append(self.cluster)
        self.cluster, self.standby = self.standby, None
        self.proxy.lead("server", self.cluster.address)

    def make_daemon(self, port):
        rng, certs = self.rng, self.cluster.certs
        return harness.Pgweir(
            self.cluster, databases={name: self.database(name) for name in BANKS}, auth=(harness.SUPERUSER, *USERS),
            args=("--quiet",), listen_port=port, worker_threads=rng.choice((1, 2, 3)),
            pool_shards=rng.choice((1, 2, 3)), batch_sends=rng.choice(("auto", "io_uring", "aio", "off")),
            server_tls_sslmode=rng.choice(("disable", "require")), prepare_unnamed=rng.choice((0, 1)),
            max_prepared_statements=rng.choice((2, 200)), server_round_robin=rng.choice((0, 1)),
            client_tls_sslmode="allow", client_tls_key_file=certs.server.key, client_tls_cert_file=certs.server.cert,
            query_wait_timeout=QUERY_WAIT_TIMEOUT, query_timeout=QUERY_TIMEOUT, idle_transaction_timeout=8,
            client_login_timeout=10, server_connect_timeout=3, server_login_retry=1, server_check_delay=1,
            server_lifetime=20, server_idle_timeout=10, query_wait_notify=1, cancel_wait_timeout=4, stats_period=10,
            logfile=os.path.join(self.cluster.dir, "daemon.log"), log_connections=0, log_disconnections=0)

    def database(self, name):
        bank = BANKS[name]
        hosts = harness.HOST if bank.is_far else f"{harness.HOST},{STANDBY}"
        port = self.proxy.ports["server"] if bank.is_far else self.cluster.port
        return (f"host={hosts} load_balance_hosts=disable port={port} pool_mode={bank.mode} "
                f"pool_size={self.bounds.sizes[name]} max_db_connections={bank.most} "
                f"connect_query='SELECT {self.connect_queries[name]}'")

    def console(self, command, limit=wire_login.LIMIT):
        """The rows of a console command, each a dict of strings."""
        with wire_login.Client(self.daemon.port) as client:
            client.sock.settimeout(limit)
            client.login(harness.SUPERUSER, database="pgbouncer")
            return table(client, command)


def table(client, command):
    """The rows of a query as dicts."""
    client.send(wire.query(command))
    names, rows = (), []
    while True:
        kind, body = client.receive()
        if kind == "T":
            names = columns(body)
        elif kind == "D":
            rows.append(dict(zip(names, wire.row(body))))
        elif kind == "E":
            raise wire_login.Refused(wire.fields(body))
        elif kind == "Z":
            return rows


def columns(body):
    """The names in a RowDescription."""
    names, at = [], 2
    while at < len(body):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode())
        at = end + 19
    return names
