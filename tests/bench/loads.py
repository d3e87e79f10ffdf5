"""
The ways to keep a target busy. Each load can warm a target up, which opens its servers, and measure it: one run,
of which it tells what was reached and what that cost the pooler.

    tps     transactions a second                               p50, p99, p99.9  their latency, in ms
    cpu     microseconds of the pooler's CPU, per transaction    calls            its system calls, likewise
    tail    p99 / p50                                            pulled           MB a second of big results meanwhile
"""

import concurrent.futures
import json
import math
import os
import re
import signal
import subprocess
import tempfile
import time

import harness
import logins
from latency import percentile, read_latencies, read_transactions
from targets import Skipped

SCRIPTS = {
    "select-1.sql": "SELECT 1;\n",
    "megabyte.sql": "SELECT repeat('x', 1000) FROM generate_series(1, 1000);\n",
}


class Pgbench:
    """
    pgbench reads the clock once a turn, so that an answer which arrives within the turn counts as 0 ms: that
    happens to PostgreSQL alone.
    """

    def __init__(self, clients, *args, script=None):
        self.clients, self.args, self.script = clients, args, script

    def warm_up(self, target):
        self.run(target, "-t", 5)

    def measure(self, target, seconds):
        with tempfile.TemporaryDirectory(dir=target.site.postgres.dir) as logs:
            prefix = os.path.join(logs, "latency")
            before = target.cpu()
            outputs = self.run(target, "-T", seconds, "-l", "--log-prefix", prefix)
            spent = target.cpu() - before
            latencies = sorted(read_latencies(prefix))
        if not latencies:  # the time was up when the last client came in: pgbench counts from the first
            if seconds > 30:
                raise harness.Failed(f"{target.shape}: no transaction in {seconds} s")
            return self.measure(target, 2 * seconds)
        return {
            "tps": sum(float(field(output, "tps = ")) for output in outputs),
            **quantiles(latencies),
            "cpu": spent * 1e6 / transactions(outputs),
        }

    def run(self, target, *args):
        """Runs pgbench on each pool with its share of the clients, and returns the outputs."""
        return target.on_all_pools(lambda database: self.run_on(target, database, *args))

    def run_on(self, target, database, *args):
        pools = len(target.databases)
        words = ["-n", "-c", max(1, self.clients // pools), "-j", max(1, 2 // pools), *self.args, *args]
        postgres = target.site.postgres
        if self.script:
            words += ["-f", self.write_script(postgres)]
        return harness.run([postgres.tool("pgbench"), *map(str, words), target.conninfo(database)], cwd=postgres.dir)

    def write_script(self, postgres):
        path = os.path.join(postgres.dir, self.script)
        if not os.path.exists(path):
            with open(path, "w") as file:
                file.write(SCRIPTS[self.script])
        return path


class SettledPgbench(Pgbench):
    """The same where logins are dear: only what happens once all clients are in counts. It takes a second longer."""

    LOGINS = 0.8  # seconds

    def measure(self, target, seconds):
        with tempfile.TemporaryDirectory(dir=target.site.postgres.dir) as logs, \
                concurrent.futures.ThreadPoolExecutor() as threads:
            prefix = os.path.join(logs, "latency")
            running = threads.submit(self.run, target, "-T", seconds + 1, "-l", "--log-prefix", prefix)
            time.sleep(self.LOGINS)
            start, before = time.time(), target.cpu()
            time.sleep(seconds)
            end, after = time.time(), target.cpu()
            running.result()
            latencies = sorted(took for ended, took in read_transactions(prefix) if start < ended <= end)
        if not latencies:
            raise harness.Failed(f"{target.shape}: no transaction in {seconds} s")
        return {"tps": len(latencies) / (end - start), **quantiles(latencies),
                "cpu": (after - before) * 1e6 / len(latencies)}


def quantiles(latencies):
    """In ms, of microseconds in order."""
    return {f"p{percent}": percentile(latencies, percent) / 1000 for percent in (50, 99, 99.9)}


def transactions(outputs):
    return sum(int(field(output, "number of transactions actually processed: ")) for output in outputs)


def field(output, label):
    return output.partition(label)[2].split()[0].partition("/")[0]


class Counted:
    """The system calls of the pooler under another load, counted by strace, which slows it down."""

    def __init__(self, load, transactions_each):
        self.load, self.transactions_each = load, transactions_each

    def warm_up(self, target):
        self.load.warm_up(target)

    def measure(self, target, _seconds):
        counts = os.path.join(target.site.postgres.dir, "strace")
        tracer = subprocess.Popen(["strace", "-c", "-f", "-o", counts, "-p", str(target.pooler.process.pid)],
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            if "attached" not in tracer.stderr.readline():
                raise Skipped("strace may not attach to a process (see kernel.yama.ptrace_scope)")
            outputs = self.load.run(target, "-t", self.transactions_each)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=60)
        total = re.search(r"^100\.00\s+\S+\s+\S+\s+(\d+).*total$", harness.read_file(counts), re.MULTILINE)
        return {"calls": int(total[1]) / transactions(outputs)}


class Load:
    """
    Clients of bench_load; words are more of its options. It reads the pooler's CPU itself, between the logins and
    the end. opening is how many transactions it takes until all servers are as they stay.
    """

    def __init__(self, clients, *words, opening=1000):
        self.clients, self.words, self.opening = clients, words, opening

    def warm_up(self, target):
        self.run(target, "--count", self.opening + 10 * self.clients)

    def measure(self, target, seconds):
        watched = ["--watch", target.pooler.process.pid] if target.pooler else []
        result = self.run(target, "--seconds", seconds, *watched)
        return {
            **reached(result),
            "cpu": result["watched_cpu"] / result["transactions"] if target.pooler else math.nan,
        }

    def run(self, target, *words):
        command = [logins.program("bench_load"), "--host", harness.HOST, "--port", target.port, *target.whom(),
                   "--clients", self.clients, *self.words, *words]
        result = json.loads(harness.run(list(map(str, command)), timeout=300))
        if result["errors"] or not result["transactions"]:
            raise harness.Failed(f"{target.shape}: {' '.join(map(str, command))}: {result}")
        return result


def reached(result):
    """What bench_load says of its clients."""
    return {"tps": result["transactions"] / result["seconds"],
            **{quantile: result[quantile] / 1000 for quantile in ("p50", "p99", "p99.9")}}


class LoadBesidePullers(Load):
    """While one client pulls the results of another query, big ones, and a second one does not read them."""

    def __init__(self, clients, pull_query, *words):
        super().__init__(clients, *words)
        self.disturbance = ["--pull-query", pull_query, "--pullers", 1, "--non-readers", 1]

    def measure(self, target, seconds):
        result = self.run(target, "--seconds", seconds, *self.disturbance)
        return {
            **reached(result),
            "tail": result["p99"] / result["p50"],
            "pulled": result["pulled_bytes"] / 1e6 / result["seconds"],
        }


class Logins:
    """Clients that log in, ask one question and leave. resume: they continue the TLS session that they had."""

    def __init__(self, clients=16, tls=False, resume=False):
        self.clients, self.resume = clients, resume
        self.words = ["-s"] * tls + ["-r"] * resume

    def warm_up(self, target):
        self.load(target, "-n", 2)

    def load(self, target, *words):
        return target.on_all_pools(lambda database: json.loads(harness.run(logins.load_command(
            target.port, database, "-c", self.clients // len(target.databases), *self.words, *words))))

    def measure(self, target, seconds):
        before = target.cpu()
        runs = self.load(target, "-t", seconds)
        spent = target.cpu() - before
        done, resumed = (sum(run[number] for run in runs) for number in ("logins", "resumed"))
        if target.pooler and self.resume != (resumed > done / 2):
            raise harness.Failed(f"{target.shape}: {resumed} of {done} TLS sessions were resumed")
        return {
            "tps": sum(run["logins"] / run["seconds"] for run in runs),
            "p50": max(run["p50"] for run in runs),
            "p99": max(run["p99"] for run in runs),
            "cpu": spent * 1e6 / done,
        }
