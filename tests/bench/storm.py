"""
Clients who work, and suddenly many who log in with SCRAM over TLS, all at the same moment. Those who log in are
nice to the others, as they would be on a machine of their own: what is left is what the pooler does to its clients.
"""

import math
import os
import statistics
import tempfile
import threading
import time

import harness
import logins
from latency import percentile, read_transactions
from report import Row
from targets import ONE_WORKER, PGBOUNCER, Setup, Target


class Storm:
    name = "a storm of logins"
    quick = False
    BUSY, LOGINS = 32, 500
    LIMIT = 3  # how many times its quiet value the 99th percentile may be
    SECONDS = 4  # that those who work do so at least, half of them before the storm

    def run(self, site):
        """The row of the table, and all numbers."""
        print(f"\n{self.name}: {self.LOGINS} with TLS and SCRAM, beside {self.BUSY} clients of -S")
        print(f"  {'':<18}{'quiet p99 ms':>13}{'p99 ms':>9}{'':>7}{'storm s':>9}")
        rounds = {PGBOUNCER: [], ONE_WORKER: []}
        for _ in range(site.options.rounds):
            for shape, turns in rounds.items():
                turns.append(self.measure(site, shape))
        result = {shape: {number: statistics.median(turn[number] for turn in turns) for number in turns[0]}
                  for shape, turns in rounds.items()}
        for shape, numbers in result.items():
            print(f"  {shape:<18}{numbers['quiet']:>13.2f}{numbers['stormy']:>9.2f} {numbers['ratio']:>5.2f}x"
                  f"{numbers['seconds']:>9.2f}", flush=True)
        own, other = (result[shape]["ratio"] for shape in (ONE_WORKER, PGBOUNCER))
        return [Row("p99 in a storm of logins, to the quiet p99", own, "", PGBOUNCER, other, own / other, self.LIMIT,
                    absolute=True)], rounds

    def measure(self, site, shape):
        target = Target(site, shape, Setup(visitor=True))
        seconds = max(self.SECONDS, 2 * site.options.seconds)
        try:
            target.start()
            harness.run(logins.load_command(target.port, "bench", "-c", 5, "-n", 2, "-s"))
            with tempfile.TemporaryDirectory(dir=site.postgres.dir) as logs:
                prefix = os.path.join(logs, "latency")
                busy = threading.Thread(target=self.work, args=(target, prefix, seconds))
                begin = time.time()
                busy.start()
                time.sleep(seconds / 2)  # the quiet half
                start, end = self.log_in(target)
                busy.join()
                transactions = list(read_transactions(prefix))
        finally:
            target.stop()
        quiet = percentile(sorted(took for ended, took in transactions if begin + 0.5 < ended < start), 99) / 1000
        stormy = percentile(sorted(took for ended, took in transactions if start < ended < end), 99) / 1000
        if math.isnan(stormy):
            raise harness.Failed("no transaction has ended during the storm")
        return {"quiet": quiet, "stormy": stormy, "ratio": stormy / quiet, "seconds": end - start}

    def work(self, target, prefix, seconds):
        postgres = target.site.postgres
        harness.run([postgres.tool("pgbench"), "-n", "-S", "-c", str(self.BUSY), "-j", "2", "-T", str(seconds), "-l",
                     "--log-prefix", prefix, target.conninfo("bench")], cwd=postgres.dir)

    def log_in(self, target):
        start = time.time()
        harness.run(["nice", "-n", "19",
                     *logins.load_command(target.port, "bench", "-c", self.LOGINS, "-n", 1, "-s")])
        return start, time.time()
