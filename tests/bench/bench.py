#!/usr/bin/python3
"""
pgweir beside PgBouncer and PostgreSQL alone: throughput, latency, and the pooler's CPU per transaction; for
logins, per login, which includes the one query of each.

Every workload runs against every target in turn, round after round, so that a machine which gets slower gets
slower for all. Ratios are taken within a round, and their median is printed. Each pooler runs in a session of
its own and talks to its servers without TLS, like the other.

pgbench reads the clock once a turn, so that an answer which arrives within the turn counts as 0 ms: that happens
to PostgreSQL alone.
"""

import argparse
import concurrent.futures
import json
import math
import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

import harness  # noqa: E402
import logins  # noqa: E402
from latency import percentile, read_latencies  # noqa: E402

PGBOUNCER = "/usr/sbin/pgbouncer"
SERVERS = 20
REFERENCE = "pgbouncer"

SCRIPTS = {
    "select-1.sql": "SELECT 1;\n",
    "megabyte.sql": "SELECT repeat('x', 1000) FROM generate_series(1, 1000);\n",
}


class Workload:
    """
    One way to use pgbench. A session workload has a server for each client. limit is how much of PgBouncer's CPU
    it may take.
    """

    def __init__(self, name, clients, *args, script=None, session=False, tls=False, quick=False, limit=1, more=None):
        self.name, self.clients, self.args = name, clients, args
        self.more = more or {}  # for the pooler's file
        self.script, self.session, self.tls, self.quick, self.limit = script, session, tls, quick, limit
        self.options = {"sslmode": "require" if tls else "disable"}  # of clients
        self.server = ""  # more about the server in the pooler's file

    def settings(self, postgres):
        """What the pooler's file must say."""
        return {**self.more, **(logins.tls_settings(postgres) if self.tls else {})}

    def warm_up(self, target):
        """Opens the servers."""
        target.pgbench("-t", 5)

    def measure(self, target, seconds):
        """One run: what it reached and what that cost the pooler."""
        with tempfile.TemporaryDirectory(dir=target.postgres.dir) as logs:
            prefix = os.path.join(logs, "latency")
            before = target.cpu()
            outputs = target.pgbench("-T", seconds, "-l", "--log-prefix", prefix)
            spent = target.cpu() - before
            latencies = sorted(read_latencies(prefix))
        done = sum(int(field(output, "number of transactions actually processed: ")) for output in outputs)
        return {
            "tps": sum(float(field(output, "tps = ")) for output in outputs),
            "p50": percentile(latencies, 50) / 1000,
            "p99": percentile(latencies, 99) / 1000,
            "cpu": spent * 1e6 / done,
        }


WORKLOADS = [
    Workload("SELECT 1, 64 clients", 64, script="select-1.sql", quick=True),
    Workload("-S, 1 client", 1, "-S"),
    Workload("-S, 16 clients", 16, "-S"),
    Workload("-S, 64 clients", 64, "-S"),
    Workload("-S, 256 clients", 256, "-S"),
    Workload("-S over TLS, 64 clients", 64, "-S", tls=True, limit=0.8),
    Workload("-S extended, 64 clients", 64, "-S", "-M", "extended"),
    Workload("-S prepared, 64 clients", 64, "-S", "-M", "prepared"),
    Workload("-S prepared, 64 sessions", 64, "-S", "-M", "prepared", session=True, quick=True),
    Workload("TPC-B, 64 clients", 64, quick=True),
    Workload("1 MB result, 8 clients", 8, script="megabyte.sql", quick=True),
    Workload("connect each time, 16", 16, "-S", "-C"),
    logins.Workload("log in each time, SCRAM", limit=0.7),
    logins.Workload("log in each time, SCRAM, plain secrets", plain=True, limit=0.7),
    logins.Workload("log in each time, SCRAM over TLS", tls=True),
    logins.Workload("log in each time, SCRAM over TLS, resumed", tls=True, resume=True, limit=0.7),
]

ONE_WORKER, TWO_WORKERS = "pgweir", "pgweir, 2 workers"
TWO_SHARDS, TWO_POOLS = "pgweir, 2 shards", "pgweir, 2 pools"

TARGETS = {  # what a pooler's file says beyond the rest; None is PostgreSQL alone
    "pgbouncer": {},
    ONE_WORKER: {"worker_threads": 1, "pool_shards": 1},
    TWO_WORKERS: {"worker_threads": 2},  # as it comes: the pool is sharded when it fills a core
    TWO_SHARDS: {"worker_threads": 2, "pool_shards": 2},
    TWO_POOLS: {"worker_threads": 2, "pool_shards": 1},
    "direct": None,
}


class Target:
    """
    One thing that a workload runs against. With two pools, each has half of the clients and half of the servers,
    and is on a worker of its own.
    """

    def __init__(self, name, postgres, workload, binary):
        self.name, self.postgres, self.workload = name, postgres, workload
        self.pooler = None
        self.databases = ["bench", "bench2"] if name == TWO_POOLS and workload.clients > 1 else ["bench"]
        self.clients = workload.clients // len(self.databases)
        if TARGETS[name] is not None:
            servers = (workload.clients if workload.session else SERVERS) // len(self.databases)
            line = f"host={harness.HOST} port={postgres.port} dbname=bench pool_size={servers} {workload.server}"
            self.pooler = harness.Pgweir(
                postgres, binary=PGBOUNCER if name == "pgbouncer" else binary,
                databases=dict.fromkeys(self.databases, line),
                pool_mode="session" if workload.session else "transaction",
                server_tls_sslmode="disable", log_connections=0, log_disconnections=0, log_stats=0,
                **workload.settings(postgres), **TARGETS[name])
            self.pooler.start()

    def cpu(self):
        return self.pooler.process.cpu() if self.pooler else math.nan

    def stop(self):
        if self.pooler:
            self.pooler.stop()

    def on_all_pools(self, run):
        """What run(database) returns for each, all at once."""
        with concurrent.futures.ThreadPoolExecutor() as threads:
            return list(threads.map(run, self.databases))

    def pgbench(self, *args):
        """Runs pgbench as the workload wants it, and returns the outputs."""
        return self.on_all_pools(lambda database: self.pgbench_on(database, *args))

    def pgbench_on(self, database, *args):
        words = ["-n", "-c", self.clients, "-j", 2 // len(self.databases), *self.workload.args, *args]
        if self.workload.script:
            words += ["-f", os.path.join(self.postgres.dir, self.workload.script)]
        return harness.run([self.postgres.tool("pgbench"), *map(str, words),
                            (self.pooler or self.postgres).conninfo(database, **self.workload.options)],
                           cwd=self.postgres.dir)


def field(output, label):
    return output.partition(label)[2].split()[0].partition("/")[0]


def run_workload(postgres, workload, options):
    """The measured rounds of each target: {target: [round, ...]}."""
    targets = {name: Target(name, postgres, workload, options.pooler_binary) for name in TARGETS}
    rounds = {name: [] for name in TARGETS}
    try:
        for target in targets.values():
            workload.warm_up(target)
        for turn in range(options.rounds):
            order = list(targets) if turn % 2 == 0 else list(reversed(targets))
            for name in order:
                rounds[name].append(workload.measure(targets[name], options.seconds))
    finally:
        for target in targets.values():
            target.stop()
    return rounds


def median_ratio(rounds, name, reference, number):
    return statistics.median(mine[number] / other[number]
                             for mine, other in zip(rounds[name], rounds[reference]))


def summary(rounds):
    """Medians of each target, and its ratios to the reference."""
    return {
        name: {
            **{number: statistics.median(turn[number] for turn in turns) for number in turns[0]},
            "ratio": {number: median_ratio(rounds, name, REFERENCE, number) for number in turns[0]},
        }
        for name, turns in rounds.items()
    }


def print_workload(workload, result, rounds):
    print(f"\n{workload.name}")
    print(f"  {'':<18}{'tps':>9}{'':>7}{'p50 ms':>9}{'':>7}{'p99 ms':>9}{'':>7}{'CPU us':>11}")
    for name, numbers in result.items():
        cells = "".join(cell(numbers, number, width, digits)
                        for number, width, digits in [("tps", 9, 0), ("p50", 9, 2), ("p99", 9, 2), ("cpu", 11, 1)])
        print(f"  {name:<18}{cells}")
    more = [f"{median_ratio(rounds, name, ONE_WORKER, 'cpu'):.2f} ({name})" for name in (TWO_WORKERS, TWO_SHARDS, TWO_POOLS)]
    print(f"  CPU of 2 workers to that of 1: {', '.join(more)}", flush=True)


def cell(numbers, number, width, digits):
    if math.isnan(numbers[number]):
        return f"{'-':>{width}}{'':>7}"
    return f"{numbers[number]:>{width},.{digits}f} {numbers['ratio'][number]:>5.2f}x"


def verdict(results):
    """The workloads in which a promise about CPU is broken."""
    broken = []
    for workload, (result, rounds) in results.items():
        name, ratio = workload.name, result[ONE_WORKER]["ratio"]["cpu"]
        if ratio > workload.limit:
            broken.append(f"{name}: {ratio:.2f} of PgBouncer's CPU, not {workload.limit}")
        for target in (TWO_WORKERS, TWO_SHARDS, TWO_POOLS):
            ratio = median_ratio(rounds, target, ONE_WORKER, "cpu")
            if ratio > 1.15:
                broken.append(f"{name}: {target} take {ratio:.2f} of the CPU of one worker")
    return broken


class Beside:
    """
    What one way to use pgweir costs beside another: both in turn, with one worker and ever more clients. limit is
    how much of the other's CPU per transaction it may take; more is what its own file says beyond the other's.
    """

    quick = False
    CLIENTS = (1, 16, 64, 256)

    def __init__(self, name, words, other_words, limit, more=None):
        self.name, self.words, self.other_words, self.limit, self.more = name, words, other_words, limit, more

    def run(self, postgres, options):
        print(f"\n{self.name}\n  {'clients':<18}{'CPU us':>9}{'beside':>9}{'':>7}{'tps':>8}")
        result = {}
        for clients in self.CLIENTS:
            own, other, ratio, tps = self.measure(postgres, clients, options)
            result[clients] = {"cpu": own, "beside": other, "ratio": ratio, "tps": tps}
            print(f"  {clients:<18}{own:>9.1f}{other:>9.1f} {ratio:>5.2f}x {tps:>7.2f}x", flush=True)
        worst = max(numbers["ratio"] for numbers in result.values())
        if worst > self.limit:
            print(f"too much: {self.name}: {worst:.2f}, not {self.limit}")
        return result

    def measure(self, postgres, clients, options):
        """The medians of CPU per transaction, and of the ratios of that and of transactions per second."""
        workloads = [Workload(self.name, clients, *self.words, more=self.more),
                     Workload(self.name, clients, *self.other_words)]
        targets = [Target(ONE_WORKER, postgres, workload, options.pooler_binary) for workload in workloads]
        turns = []
        try:
            for target, workload in zip(targets, workloads):
                workload.warm_up(target)
            for _ in range(options.rounds):
                turns.append([workload.measure(target, options.seconds)
                              for target, workload in zip(targets, workloads)])
        finally:
            for target in targets:
                target.stop()
        return (statistics.median(own["cpu"] for own, _ in turns), statistics.median(other["cpu"] for _, other in turns),
                *(statistics.median(own[what] / other[what] for own, other in turns) for what in ("cpu", "tps")))


EXPERIMENTS = [
    logins.IdleMemory(),
    logins.Storm(),
    Beside("-S prepared beside simple", ["-S", "-M", "prepared"], ["-S"], 1.15),
    Beside("-S extended, with prepare_unnamed beside without", ["-S", "-M", "extended"], ["-S", "-M", "extended"], 1.3,
           {"prepare_unnamed": 1}),
]


def save(results, experiments, options):
    folder = os.path.join(harness.ROOT, "build", "bench")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, time.strftime("%Y%m%d-%H%M%S.json"))
    with open(path, "w") as file:
        json.dump({"seconds": options.seconds,
                   "workloads": {workload.name: {"summary": result, "rounds": rounds}
                                 for workload, (result, rounds) in results.items()},
                   "experiments": experiments}, file, indent=1)
    return path


def parse_options():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer workloads and shorter rounds: under 3 minutes")
    parser.add_argument("--only", metavar="NAME", help="only workloads that have NAME in their name")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds per workload (5; quick: 3)")
    parser.add_argument("--seconds", type=int, metavar="N", help="length of a run (5; quick: 2)")
    parser.add_argument("--pooler-binary", metavar="PATH", help="measure this one in the place of build/release/pgweir")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (2 if options.quick else 5)
    return options


def chosen(all_there_are, options):
    """Those workloads, or experiments, that the options ask for."""
    if options.only:
        return [one for one in all_there_are if options.only.lower() in one.name.lower()]
    return [one for one in all_there_are if one.quick or not options.quick]


def main():
    options = parse_options()
    workloads, experiments = chosen(WORKLOADS, options), chosen(EXPERIMENTS, options)
    if not workloads and not experiments:
        sys.exit(f"bench: no such workload: {options.only}; there are: "
                 + "; ".join(one.name for one in WORKLOADS + EXPERIMENTS))
    harness.end_on_signals()
    results, findings = {}, {}
    try:
        with harness.Postgres(max_connections=600, ssl=True, hba=logins.SERVER_RULES) as postgres:
            postgres.psql("CREATE DATABASE bench")
            logins.prepare(postgres)
            harness.run([postgres.tool("pgbench"), "-i", "-q", "-s", "10", postgres.conninfo("bench")])
            for name, text in SCRIPTS.items():
                with open(os.path.join(postgres.dir, name), "w") as file:
                    file.write(text)
            print(f"{options.rounds} rounds of {options.seconds} s; medians, and ratios to PgBouncer's")
            for workload in workloads:
                rounds = run_workload(postgres, workload, options)
                result = summary(rounds)
                results[workload] = (result, rounds)
                print_workload(workload, result, rounds)
            for experiment in experiments:
                findings[experiment.name] = experiment.run(postgres, options)
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
    except harness.Failed as failure:
        sys.exit(f"bench: {failure}")
    print(f"\nall numbers: {save(results, findings, options)}")
    for line in verdict(results):
        print(f"too much: {line}")


if __name__ == "__main__":
    main()
