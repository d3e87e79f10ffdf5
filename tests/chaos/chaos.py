"""
Nothing acknowledged is lost, nothing is run twice, nobody sees what is another's, the bound holds: while
everything around the daemon fails.

    ./dev chaos [--minutes N] [--seed S]

A hundred clients (clients.py) move money between accounts while faults are injected (faults.py) by a schedule
that the seed decides (schedule.py). The daemon is watched all the time (watch.py), and at the end the tables
are held against what the clients know (checker.py). At last the daemon is ended while clients work. Exit status
1 says that there was a violation: what there is to look into it is in the folder that is named then. The same
seed gives the same schedule and the same plans of the clients, though not the same moments.
"""

import argparse
import collections
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, "system"))

import harness  # noqa: E402
import wire_login  # noqa: E402
from checker import check  # noqa: E402
from schedule import Runner, plan  # noqa: E402
from watch import WatchDaemon, WatchPostgres, await_rest, descriptors  # noqa: E402
from world import BANKS, QUERY_TIMEOUT, QUERY_WAIT_TIMEOUT, USERS, World  # noqa: E402

CLIENTS, PROCESSES = 100, 2
SLACK = 12  # seconds that an answer may take beyond the timeouts that bound it
LAST_ACT = 4  # seconds of work in whose midst the daemon is ended
SHUTDOWN = 40  # seconds
LEAK = 24 << 20  # bytes that the daemon may need more at the end than after the first half
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)

SUSPICIOUS = re.compile(r"leaked at exit|out of step|bad pkt header|BUG|assert|did not end within|slow callback"
                        r"|out of memory", re.IGNORECASE)
VIOLATIONS = re.compile(r"leaked at exit|out of step|bad pkt header|BUG|assert")


class Load:
    """The processes of clients, and what they tell at their end."""

    def __init__(self, options, first=0):
        self.running = []
        share = options["clients"] // PROCESSES
        for number in range(PROCESSES):
            part = {**options, "clients": share, "first": first + number * share}
            self.running.append(subprocess.Popen([sys.executable, os.path.join(HERE, "clients.py"), json.dumps(part)],
                                                 stdout=subprocess.PIPE, text=True, start_new_session=True))

    def runs(self):
        return all(process.poll() is None for process in self.running)

    def signal(self, signum):
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signum)

    def results(self, into):
        """Waits for all of them; those that a failure has not stopped are told to end."""
        for process in self.running:
            output, _ = process.communicate(timeout=300)
            if process.returncode != 0:
                into.failures.append(f"clients have failed with status {process.returncode}")
                continue
            into.add(json.loads(output))


class Results:
    def __init__(self):
        self.done, self.errors = collections.Counter(), collections.Counter()
        self.committed, self.failures, self.longest = [], [], 0

    @contextlib.contextmanager
    def noting(self):
        """What does not come to pass in time is a violation, and all that can still be proved is."""
        try:
            yield
        except harness.Failed as failure:
            self.failures.append(str(failure)[:2000])

    def add(self, told):
        self.done.update(told["done"])
        self.errors.update(told["errors"])
        self.committed += told["committed"]
        self.failures += told["failures"]
        self.longest = max(self.longest, told["longest"])


class Log:
    """What happened when, for whoever looks into a violation."""

    def __init__(self, folder):
        self.file = open(os.path.join(folder, "events.log"), "w", buffering=1)

    def __call__(self, text):
        now = time.time()
        stamp = time.strftime("%H:%M:%S", time.gmtime(now))
        self.file.write(f"{stamp}.{int(now % 1 * 1000):03} {text}\n")


def load_options(world, arguments, folder):
    with wire_login.Client(world.daemon.port) as client:
        client.login(USERS[0], database="plain")
        defaults = {name: client.query(f"SHOW {name}")[0][0] for name in ("TimeZone", "DateStyle")}
    return {
        "host": harness.HOST, "port": world.daemon.port, "far_port": world.proxy.ports["client"],
        "pools": [(bank, user) for user in USERS for bank in BANKS],
        "modes": {name: bank.mode for name, bank in BANKS.items()},
        "cancelled": [name for name, bank in BANKS.items() if bank.may_be_cancelled],
        "seed": arguments.seed, "clients": arguments.clients, "seconds": arguments.seconds, "folder": folder,
        "ca": world.cluster.certs.ca, "patience": QUERY_WAIT_TIMEOUT + QUERY_TIMEOUT + SLACK, "defaults": defaults,
        "daemon_ends": False,
    }


def storm(world, options, events, results, log):
    """The schedule, from its beginning to its end, or to the first violation that a client sees."""
    watches = [WatchPostgres(world, log), WatchDaemon(world, log)]
    runner = Runner(world, events, log)
    load = Load(options)
    for thread in (*watches, runner):
        thread.start()
    while runner.is_alive() and load.runs():
        time.sleep(0.2)
    runner.stop()
    load.signal(signal.SIGTERM)
    load.results(results)
    for watch in watches:
        watch.stop()
        results.failures += watch.violations
    if runner.failure is not None:
        results.failures.append(str(runner.failure))
    return watches, runner


def come_to_rest(world, before, memory, results):
    """When all clients have gone, nothing that was taken is missing."""
    with results.noting():
        await_rest(world)
    with results.noting():
        harness.wait_for(lambda: descriptors(world) <= before, 30, f"descriptors to be {before} again")
    half, now = max(memory[:len(memory) // 2 + 1]), world.daemon.process.memory()
    if "release" in world.daemon.source and now > half + LEAK:
        results.failures.append(f"memory has grown from {half} to {now} bytes")
    return half, now


def last_act(world, options, results, log):
    """The daemon ends while clients work: in time, in order, and with everything given back."""
    load = Load({**options, "seconds": LAST_ACT, "daemon_ends": True}, first=1000)
    time.sleep(world.rng.uniform(1, LAST_ACT))
    ending = world.rng.choice(ENDINGS)
    log(f"the daemon is ended by {ending.name}")
    began = time.monotonic()
    world.daemon.kill(ending)
    load.signal(signal.SIGTERM)
    await_end(world, options["folder"], results)
    load.results(results)
    return f"{ending.name} took {time.monotonic() - began:.1f} s"


def await_end(world, folder, results):
    """The daemon has been told to end, and does so; if not, what its threads do is kept."""
    daemon = world.daemon
    if daemon.process.wait(SHUTDOWN) is None and shutil.which("gdb"):
        with open(os.path.join(folder, "threads.txt"), "w") as file:
            subprocess.run(["gdb", "-p", str(daemon.process.pid), "-batch", "-ex", "thread apply all bt full"],
                           stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, timeout=60)
    with results.noting():
        daemon.ends(1)


def read_log(text, results):
    """What the daemon has said that it should not, or that somebody should think about."""
    said = collections.Counter()
    for line in text.splitlines():
        if SUSPICIOUS.search(line):
            said[re.sub(r"\d+", "N", line.partition("] ")[2])] += 1
        if VIOLATIONS.search(line):
            results.failures.append(line)
    return said


def await_end_of_servers(world):
    where = f"usename IN {USERS}"
    harness.wait_for(lambda: world.cluster.ask(f"SELECT count(*) FROM pg_stat_activity WHERE {where}") == [("0",)], 30,
                     "the servers to end")


def run(arguments, folder):
    """Everything; gives the report and whether there was a violation."""
    results, report = Results(), {}
    log = Log(folder)
    events = plan(arguments.seed, arguments.seconds)
    with open(os.path.join(folder, "schedule.txt"), "w") as file:
        file.writelines(f"{event.time:.2f} {event.name} {event.seconds:.2f} {event.luck:.4f}\n" for event in events)
    print(f"seed {arguments.seed}: {len(events)} events in {arguments.seconds:.0f} s, "
          f"schedule {hashlib.sha256(repr(events).encode()).hexdigest()[:16]}", flush=True)
    with World(arguments.seed) as world:
        options = load_options(world, arguments, folder)
        before = await_rest(world)
        watches, runner = storm(world, {**options, "seconds": arguments.seconds + 600}, events, results, log)
        if not results.failures:
            report["memory at half time and at the end"] = come_to_rest(world, before, watches[1].memory, results)
            report["the end"] = last_act(world, options, results, log)
        else:
            world.daemon.kill(signal.SIGQUIT)
            await_end(world, folder, results)
        world.cluster.start_again()  # should a fault not have come to its end
        with results.noting():
            await_end_of_servers(world)
        violations, transfers, unknown = check(world.cluster, folder, results.committed)
        results.failures += violations
        said = read_log(world.daemon.log(), results)
        if results.failures or arguments.keep:
            keep(world, folder)
    report.update({
        "faults": dict(sorted(runner.injected.items())), "not possible": dict(runner.skipped),
        "steps": sum(results.done.values()), "transfers": transfers, "never answered": unknown,
        "of clients": dict(sorted(results.done.items())), "errors": dict(results.errors.most_common()),
        "the daemon said": dict(said.most_common(20)),
        "looks": [watch.looks for watch in watches], "most servers": dict(watches[0].most),
        "longest wait in a pool": watches[1].longest_wait, "longest wait for a message": round(results.longest, 1),
        "recoveries": [round(seconds, 1) for seconds in runner.recoveries],
        "violations": len(results.failures),
    })
    return report, results.failures


def keep(world, folder):
    for path in (world.daemon.settings["logfile"], world.daemon.outfile(), world.daemon.configfile):
        if os.path.exists(path):
            shutil.copy(path, folder)
    for number, cluster in enumerate((*world.lost, world.cluster)):
        shutil.copy(cluster.logfile(), os.path.join(folder, f"postgres-{number}.log"))


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev chaos")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--keep", action="store_true", help="keep the logs without a violation, too")
    arguments = parser.parse_args()
    arguments.seconds = arguments.seconds or arguments.minutes * 60
    return arguments


def main():
    harness.end_on_signals()
    arguments = parse_arguments()
    folder = os.path.join(harness.ROOT, "build", "chaos", str(arguments.seed))
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    report, failures = run(arguments, folder)
    with open(os.path.join(folder, "report.json"), "w") as file:
        json.dump({**report, "failures": failures}, file, indent=2)
    for name, value in report.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, count in value.items():
                print(f"  {count:8} {key}")
        else:
            print(f"{name}: {value}")
    for failure in failures[:20]:
        print(f"VIOLATION {failure[:800]}")
    if failures:
        print(f"seed {arguments.seed}; look into {folder}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
