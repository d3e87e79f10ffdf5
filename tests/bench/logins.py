"""
What a login costs: workloads for bench.py that log in again and again, the memory of clients that have logged in
and stay, and what a storm of logins does to those who work.

The load comes from login_load, which costs the machine less than libpq and can resume TLS sessions. The pooler
logs in to the server as somebody whom the server trusts, so that only the clients' logins count.
"""

import json
import math
import os
import statistics
import subprocess
import tempfile
import threading
import time

import harness
from latency import percentile, read_transactions

PGBOUNCER = "/usr/sbin/pgbouncer"
USER, PASSWORD = "visitor", "a password of usual length"
SERVER_RULES = [f"host all {USER} all scram-sha-256", "host all all all trust"]


def prepare(postgres):
    """The user of the logins, at the server, too."""
    postgres.visitor = postgres.create_user(USER, PASSWORD)


def tls_settings(postgres, sslmode="require"):
    """The same for both poolers: an RSA key of 2048 bits, as most sites have."""
    pair = postgres.certs.server
    return {"client_tls_sslmode": sslmode, "client_tls_cert_file": pair.cert, "client_tls_key_file": pair.key}


def login_settings(postgres, plain=False, sslmode="allow"):
    return {"auth": {"postgres": "", USER: PASSWORD if plain else postgres.visitor}, "auth_type": "scram-sha-256",
            "listen_backlog": 1000, **tls_settings(postgres, sslmode)}


def login_load():
    build = os.path.join(harness.ROOT, os.environ.get("PGWEIR_BUILD", "build/release"))
    return os.path.join(build, "tests", "bench", "login_load")


def load_command(port, database, *words):
    return [login_load(), *map(str, words), harness.HOST, str(port), database, USER, PASSWORD]


class Workload:
    """Clients that log in, ask one question and leave. resume: they continue the TLS session that they had."""

    session, quick = False, False
    server = "user=postgres"

    def __init__(self, name, clients=16, plain=False, tls=False, resume=False, limit=1):
        self.name, self.clients, self.plain, self.resume, self.limit = name, clients, plain, resume, limit
        self.words = ["-s"] * tls + ["-r"] * resume

    def settings(self, postgres):
        return login_settings(postgres, self.plain)

    def warm_up(self, target):
        self.load(target, "-n", 2)

    def load(self, target, *words):
        port = (target.pooler or target.postgres).port
        return target.on_all_pools(lambda database: json.loads(harness.run(
            load_command(port, database, "-c", target.clients, *self.words, *words))))

    def measure(self, target, seconds):
        before = target.cpu()
        runs = self.load(target, "-t", seconds)
        spent = target.cpu() - before
        done, resumed = (sum(run[number] for run in runs) for number in ("logins", "resumed"))
        if target.pooler and self.resume != (resumed > done / 2):
            raise harness.Failed(f"{target.name}: {resumed} of {done} TLS sessions were resumed")
        return {
            "tps": sum(run["logins"] / run["seconds"] for run in runs),
            "p50": max(run["p50"] for run in runs),
            "p99": max(run["p99"] for run in runs),
            "cpu": spent * 1e6 / done,
        }


def pooler(postgres, name, options, **settings):
    """One of the two, with one pool for pgbench and the logins."""
    return harness.Pgweir(
        postgres, binary=PGBOUNCER if name == "pgbouncer" else options.pooler_binary, worker_threads=1, pool_shards=1,
        databases={"bench": f"host={harness.HOST} port={postgres.port} dbname=bench user=postgres pool_size=20"},
        server_tls_sslmode="disable", log_connections=0, log_disconnections=0, log_stats=0, **settings)


POOLERS = ("pgbouncer", "pgweir")


class IdleMemory:
    """Clients that have logged in, asked one question, and stay: what one more costs, in memory of its own."""

    name = "memory of an idle client"
    quick = False
    CLIENTS = 800

    def run(self, postgres, options):
        print(f"\n{self.name}, of {self.CLIENTS}\n  {'':<18}{'plain kB':>9}{'TLS kB':>9}")
        result = {name: {kind: self.measure(postgres, name, options, words)
                         for kind, words in (("plain", []), ("tls", ["-s"]))} for name in POOLERS}
        for name, kinds in result.items():
            print(f"  {name:<18}{kinds['plain'] / 1024:>9.1f}{kinds['tls'] / 1024:>9.1f}", flush=True)
        return result

    def measure(self, postgres, name, options, words):
        with pooler(postgres, name, options, **login_settings(postgres)) as target:
            harness.run(load_command(target.port, "bench", "-c", 20, "-n", 5, *words))
            before = proportional_memory(target.process.pid)
            with Visitors(target, self.CLIENTS, words):
                return (proportional_memory(target.process.pid) - before) / self.CLIENTS


class Visitors:
    """Clients that stay until the end of the block."""

    def __init__(self, target, clients, words):
        self.process = subprocess.Popen(load_command(target.port, "bench", "-i", "-c", clients, *words),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        if not self.process.stdout.readline():
            raise harness.Failed("login_load did not get its clients in")
        return self

    def __exit__(self, *unused):
        self.process.communicate()


def proportional_memory(pid):
    """Bytes that are in memory; what is shared with other processes is divided by their number."""
    for line in harness.read_file(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise harness.Failed("the kernel does not tell the proportional set size")


class Storm:
    """
    Clients who work, and suddenly many who log in with SCRAM over TLS, all at the same moment. Those who log in
    are nice to the others, as they would be on a machine of their own: what is left is what the pooler does to
    its clients.
    """

    name = "a storm of logins"
    quick = False
    BUSY, LOGINS = 32, 500
    LIMIT = 3  # how many times its quiet value the 99th percentile may be

    def run(self, postgres, options):
        print(f"\n{self.name}: {self.LOGINS} with TLS and SCRAM, beside {self.BUSY} clients of -S")
        print(f"  {'':<18}{'quiet p99 ms':>13}{'p99 ms':>9}{'':>7}{'storm s':>9}")
        rounds = {name: [] for name in POOLERS}
        for _ in range(options.rounds):
            for name in POOLERS:
                rounds[name].append(self.measure(postgres, name, options))
        result = {name: {number: statistics.median(turn[number] for turn in turns) for number in turns[0]}
                  for name, turns in rounds.items()}
        for name, numbers in result.items():
            print(f"  {name:<18}{numbers['quiet']:>13.2f}{numbers['stormy']:>9.2f} {numbers['ratio']:>5.2f}x"
                  f"{numbers['seconds']:>9.2f}", flush=True)
        if result["pgweir"]["ratio"] > self.LIMIT:
            print(f"too much: the busy clients' p99 grows {result['pgweir']['ratio']:.2f} times, not {self.LIMIT}")
        return result

    def measure(self, postgres, name, options):
        with pooler(postgres, name, options, **login_settings(postgres)) as target:
            harness.run(load_command(target.port, "bench", "-c", 5, "-n", 2, "-s"))
            with tempfile.TemporaryDirectory(dir=postgres.dir) as logs:
                prefix = os.path.join(logs, "latency")
                busy = threading.Thread(target=self.work, args=(postgres, target, prefix, 2 * options.seconds))
                begin = time.time()
                busy.start()
                time.sleep(options.seconds)  # the quiet half
                start, end = self.log_in(target)
                busy.join()
                transactions = list(read_transactions(prefix))
        quiet = percentile(sorted(took for ended, took in transactions if begin + 0.5 < ended < start), 99) / 1000
        stormy = percentile(sorted(took for ended, took in transactions if start < ended < end), 99) / 1000
        if math.isnan(stormy):
            raise harness.Failed("no transaction has ended during the storm")
        return {"quiet": quiet, "stormy": stormy, "ratio": stormy / quiet, "seconds": end - start}

    def work(self, postgres, target, prefix, seconds):
        harness.run([postgres.tool("pgbench"), "-n", "-S", "-c", str(self.BUSY), "-j", "2", "-T", str(seconds), "-l",
                     "--log-prefix", prefix,
                     target.conninfo("bench", user=USER, password=PASSWORD, sslmode="disable")], cwd=postgres.dir)

    def log_in(self, target):
        start = time.time()
        harness.run(["nice", "-n", "19", *load_command(target.port, "bench", "-c", self.LOGINS, "-n", 1, "-s")])
        return start, time.time()
