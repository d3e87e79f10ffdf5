"""
What a load runs against: PgBouncer, pgweir in several shapes, or the server alone; and what stands behind it:
PostgreSQL, or the instant server, which answers at once, so that little is measured but the pooler.
"""

import concurrent.futures
import math
import os
import resource
import subprocess

import harness
import logins

DIRECT = "direct"
PGBOUNCER = "pgbouncer"
ONE_WORKER, TWO_WORKERS = "pgweir", "pgweir, 2 workers"
TWO_SHARDS, TWO_POOLS = "pgweir, 2 shards", "pgweir, 2 pools"

SHAPES = {  # what a pooler's file says beyond the rest; None is the server alone
    PGBOUNCER: {},
    ONE_WORKER: {"worker_threads": 1, "pool_shards": 1},
    TWO_WORKERS: {"worker_threads": 2},  # as it comes: the pool is sharded when it fills a core
    TWO_SHARDS: {"worker_threads": 2, "pool_shards": 2},
    TWO_POOLS: {"worker_threads": 2, "pool_shards": 1},
    DIRECT: None,
}

DESCRIPTORS = 65536  # for thousands of clients, at both their ends


class Skipped(Exception):
    """What this machine cannot measure, and why."""


def take_descriptors():
    """As many as the system gives us; what we start inherits them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (max(hard, DESCRIPTORS), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            return
        except (OSError, ValueError):
            pass


def need_descriptors(number):
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed < number:
        raise Skipped(f"needs {number} descriptors (ulimit -n), {allowed} are allowed")


class Instant:
    """The instant server, from its first use on."""

    def __init__(self):
        self.process = None

    @property
    def port(self):
        if self.process is None:
            self.process = subprocess.Popen([logins.program("bench_instant")], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, text=True, start_new_session=True)
            word, self.listens_on = self.process.stdout.readline().split() or ("", 0)
            if word != "port":
                raise harness.Failed("bench_instant did not start")
        return int(self.listens_on)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process.stdout.close()


class Site:
    """The servers that everything is measured with, and the pooler that is."""

    def __init__(self, options):
        self.options = options
        self.postgres = harness.Postgres(max_connections=600, ssl=True, hba=logins.SERVER_RULES)
        self.instant = Instant()

    def __enter__(self):
        take_descriptors()
        self.postgres.start()
        self.postgres.psql("CREATE DATABASE bench")
        logins.prepare(self.postgres)
        harness.run([self.postgres.tool("pgbench"), "-i", "-q", "-s", "10", self.postgres.conninfo("bench")])
        return self

    def __exit__(self, *unused):
        self.instant.stop()
        self.postgres.stop()

    def port(self, setup):
        return self.instant.port if setup.instant else self.postgres.port

    def binary(self, shape):
        return logins.PGBOUNCER if shape == PGBOUNCER else self.options.pooler_binary


class Setup:
    """
    What the files of several poolers have in common. servers is how many connections all the pools have together, one
    for each database and user. more(postgres) returns further keys of [pgbouncer], line is more of what is said
    about a server.
    """

    def __init__(self, *, servers=20, databases=1, users=1, clients=1000, session=False, client_tls=False,
                 server_tls=False, instant=False, visitor=False, line="", more=None):
        self.servers, self.databases, self.users = servers, databases, users
        self.session, self.instant = session, instant
        self.clients = clients  # at most
        self.client_tls, self.server_tls = client_tls, server_tls
        self.visitor = visitor  # clients log in with SCRAM, as somebody whom logins.py knows
        self.line = "user=postgres " + line if visitor else line
        self.more = more or (lambda postgres: {})

    def settings(self, postgres):
        return {
            "pool_mode": "session" if self.session else "transaction",
            "server_tls_sslmode": "require" if self.server_tls else "disable",
            "max_client_conn": self.clients,
            "log_connections": 0, "log_disconnections": 0, "log_stats": 0,
            **({"auth": [f"user{i}" for i in range(self.users)]} if self.users > 1 else {}),
            **(logins.login_settings(postgres) if self.visitor else {}),
            **(logins.tls_settings(postgres) if self.client_tls else {}),
            **self.more(postgres),
        }

    def client_options(self):
        who = {"user": logins.USER, "password": logins.PASSWORD} if self.visitor else {"user": harness.SUPERUSER}
        return {**who, "sslmode": "require" if self.client_tls else "disable"}


class Target:
    """
    One thing that a load runs against, in one setup. With two pools, each has half of the clients and half of the
    servers, and is on a worker of its own.
    """

    def __init__(self, site, shape, setup):
        self.site, self.shape, self.setup = site, shape, setup
        self.pooler = self.visitors = None
        databases = 2 if shape == TWO_POOLS else setup.databases
        self.databases = ["bench"] if databases == 1 else [f"bench{i}" for i in range(databases)]

    def start(self):
        if SHAPES[self.shape] is None:
            return
        size = self.setup.servers // (len(self.databases) * self.setup.users)
        line = (f"host={harness.HOST} port={self.site.port(self.setup)} dbname=bench pool_size={size} "
                + self.setup.line)
        self.pooler = harness.Pgweir(
            self.site.postgres, binary=self.site.binary(self.shape), databases=dict.fromkeys(self.databases, line),
            **{**self.setup.settings(self.site.postgres), **SHAPES[self.shape]})
        self.pooler.start()

    def invite(self, number):
        """Clients who log in, ask one question, and stay until the target is stopped."""
        need_descriptors(number + 1000)
        words = [logins.program("bench_load"), "--host", harness.HOST, "--port", self.port, *self.whom(),
                 "--clients", 0, "--idle", number, "--wait", *["--tls"] * self.setup.client_tls]
        self.visitors = subprocess.Popen(list(map(str, words)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True)
        if self.visitors.stdout.readline() != "ready\n":
            raise harness.Failed(f"{self.shape}: {number} clients did not get in")

    def stop(self):
        if self.visitors:
            gone = self.visitors.poll() is not None
            self.visitors.kill()
            self.visitors.communicate()
        if self.pooler:
            self.pooler.stop()
        if self.visitors and gone:
            raise harness.Failed(f"{self.shape}: the clients that should stay have gone")

    @property
    def port(self):
        return self.pooler.port if self.pooler else self.site.port(self.setup)

    def cpu(self):
        """CPU seconds that the pooler has taken so far."""
        return self.pooler.process.cpu() if self.pooler else math.nan

    def conninfo(self, database):
        return harness.conninfo(host=harness.HOST, port=self.port, dbname=database, **self.setup.client_options())

    def whom(self):
        """The clients of bench_load: names and databases."""
        who = self.setup.client_options()
        users = {"--user": "user%d", "--users": self.setup.users} if self.setup.users > 1 else {
            "--user": who["user"], "--password": who.get("password", "")}
        databases = {"--database": "bench%d", "--databases": len(self.databases)} if len(self.databases) > 1 else {
            "--database": self.databases[0]}
        return [word for option in {**users, **databases}.items() for word in option]

    def on_all_pools(self, run):
        """What run(database) returns for each, all at once."""
        with concurrent.futures.ThreadPoolExecutor() as threads:
            return list(threads.map(run, self.databases))


def machine(site):
    """What the figures were measured on and with."""
    def first_line(*words):
        return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False).stdout.partition("\n")[0]

    return {
        "cpus": os.cpu_count(),
        "kernel": os.uname().release,
        "postgres": first_line(site.postgres.tool("postgres"), "--version"),
        "pgbouncer": first_line(logins.PGBOUNCER, "--version"),
    }
