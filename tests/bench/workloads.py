"""Everything that is measured, in the order of the table. A workload with `quick` is part of ./dev bench --quick."""

import logins
from compare import Claim, Comparison, Contender, beside_pgbouncer
from loads import Counted, Load, LoadBesidePullers, Logins, Pgbench, SettledPgbench
from memory import IdleMemory
from scale import SCALES
from storm import Storm
from targets import DIRECT, ONE_WORKER, PGBOUNCER, TWO_POOLS, TWO_SHARDS, TWO_WORKERS, Setup

ALL_SHAPES = (TWO_WORKERS, TWO_SHARDS, TWO_POOLS, DIRECT)
SELECT_1 = "select-1.sql"
INSTANT = Setup(instant=True)


def of(clients):
    return f"{clients:,} client{'s' * (clients > 1)}"


def prepared(clients, shapes=(), quick=False):
    """Debian's PgBouncer has no prepared statements in transaction mode, so our own simple queries are beside."""
    name, load = f"-S prepared, {of(clients)}", Pgbench(clients, "-S", "-M", "prepared")
    return Comparison(name, {
        "simple": Contender(ONE_WORKER, Pgbench(clients, "-S")),
        "prepared": Contender(ONE_WORKER, load),
        **{f"prepared, {shape}": Contender(shape, load) for shape in shapes},
    }, [Claim(name, 1.10, "prepared", "simple")], quick)


def unnamed(clients):
    name, load = f"-S extended with prepare_unnamed, {of(clients)}", Pgbench(clients, "-S", "-M", "extended")
    return Comparison(name, {
        "without": Contender(ONE_WORKER, load),
        "with": Contender(ONE_WORKER, load, Setup(more=lambda postgres: {"prepare_unnamed": 1})),
    }, [Claim(name, 1.30, "with", "without")])


def many_idle(idle):
    load, setup = Pgbench(64, "-S"), Setup(clients=idle + 1000)
    return Comparison(f"-S, 64 clients, with {idle:,} idle ones", {
        "none idle": Contender(ONE_WORKER, load, setup),
        "many idle": Contender(ONE_WORKER, load, setup, idle),
        "none idle, pgbouncer": Contender(PGBOUNCER, load, setup),
        "many idle, pgbouncer": Contender(PGBOUNCER, load, setup, idle),
    }, [Claim(f"-S, 64 clients and {idle:,} idle ones", 1.05, "many idle", "none idle")])


def batch_sends(method):
    return Setup(more=lambda postgres: {"batch_sends": method})


def system_calls():
    load = Counted(Pgbench(64, script=SELECT_1), 100)
    return Comparison("system calls, SELECT 1, 64 clients", {
        **{shape: Contender(shape, load) for shape in (PGBOUNCER, ONE_WORKER, TWO_WORKERS)},
        "pgweir, sends one by one": Contender(ONE_WORKER, load, batch_sends("off")),
    }, [Claim("system calls, SELECT 1", 3.5, number="calls", unit="", absolute=True)], quick=True)


def batching():
    load = Pgbench(64, "-S")
    return Comparison("-S, 64 clients, sends in batches", {
        method: Contender(ONE_WORKER, load, batch_sends(method)) for method in ("off", "aio", "io_uring")
    }, [Claim("-S, 64 clients: sends in batches", 1, "io_uring", "off")])


def tail(name, pull_query, setup, *words):
    load = LoadBesidePullers(500, pull_query, *words)
    return Comparison(name, {shape: Contender(shape, load, setup) for shape in (PGBOUNCER, ONE_WORKER, TWO_WORKERS)},
                      [Claim(f"{name}: p99 / p50", 1.5, number="tail", unit="", absolute=True)])


def log_in(name, limit, plain=False, **load):
    setup = Setup(line="user=postgres", more=lambda postgres: logins.login_settings(postgres, plain))
    return beside_pgbouncer(name, Logins(**load), limit, setup, shapes=(TWO_WORKERS,))


WORKLOADS = [
    beside_pgbouncer("SELECT 1, 64 clients", Pgbench(64, script=SELECT_1), 0.60, shapes=ALL_SHAPES, quick=True),
    beside_pgbouncer("-S, 64 clients", Pgbench(64, "-S"), 0.72, shapes=ALL_SHAPES, quick=True),
    beside_pgbouncer("-S extended, 64 clients", Pgbench(64, "-S", "-M", "extended"), 0.72, quick=True),
    prepared(64, (TWO_WORKERS, DIRECT), quick=True),
    beside_pgbouncer("1 MB results, 8 clients", Pgbench(8, script="megabyte.sql"), 0.50, unit="us/MB",
                     quick=True),
    beside_pgbouncer("1 MB results, instant server, 8 clients", Load(8, "--query", "SELECT 'bytes=1000000'"), 0.20,
                     INSTANT, shapes=(DIRECT,), unit="us/MB", quick=True),
    beside_pgbouncer("TPC-B, 64 clients", Pgbench(64), 0.75, quick=True),
    many_idle(10000),
    beside_pgbouncer("-S over TLS, 64 clients", SettledPgbench(64, "-S"), 0.75, Setup(client_tls=True),
                     shapes=(TWO_WORKERS,), quick=True),
    beside_pgbouncer("-S with TLS to servers, 64 clients", Pgbench(64, "-S"), 0.70, Setup(server_tls=True),
                     shapes=(TWO_WORKERS,), quick=True),
    system_calls(),
    IdleMemory(),
    tail("tail of 500 clients, pool of 40", "SELECT repeat('x', 1000) FROM generate_series(1, 100000)",
         Setup(servers=40), "--query", "SELECT abalance FROM pgbench_accounts WHERE aid = 1"),
    tail("tail of 500 clients, pool of 40, instant server", "SELECT 'bytes=100000000'",
         Setup(servers=40, instant=True)),
    *SCALES,
    # Beyond the targets: other numbers of clients, other ways to come in.
    beside_pgbouncer("SELECT 1, instant server, 64 clients", Load(64), 1, INSTANT, shapes=ALL_SHAPES),
    batching(),
    beside_pgbouncer("-S, 1 client", Pgbench(1, "-S"), 1, shapes=(DIRECT,)),
    beside_pgbouncer("-S, 16 clients", Pgbench(16, "-S"), 1, shapes=(DIRECT,)),
    beside_pgbouncer("-S, 256 clients", Pgbench(256, "-S"), 1, shapes=(DIRECT,)),
    beside_pgbouncer("-S prepared, 64 sessions", Pgbench(64, "-S", "-M", "prepared"), 1,
                     Setup(session=True, servers=64), shapes=(DIRECT,)),
    prepared(1),
    prepared(16),
    prepared(256),
    unnamed(1),
    unnamed(64),
    beside_pgbouncer("connect each time, 16 clients", Pgbench(16, "-S", "-C"), 1),
    log_in("log in each time, SCRAM", 0.7),
    log_in("log in each time, SCRAM, plain secrets", 0.7, plain=True),
    log_in("log in each time, SCRAM over TLS", 1, tls=True),
    log_in("log in each time, SCRAM over TLS, resumed", 0.7, tls=True, resume=True),
    Storm(),
]
