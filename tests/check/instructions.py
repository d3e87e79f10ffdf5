#!/usr/bin/python3
"""
Counts the instructions that one transaction costs pgweir, and ends with status 1 if any kind of transaction takes over
10 % more than instructions.txt beside this file says. --update writes down what was counted.

Time depends on the machine and on what else it does; instructions hardly do. The servers are the instant server's, the
clients bench_load's, and pgweir, with one worker and a pool of 20, runs under callgrind. It does so twice, for some
transactions and for more: what the difference costs is free of start, logins and end. Valgrind makes the pooler many
times slower than those around it, so what comes together in one turn of its loop hardly depends on them either. What
the C library would choose by the CPU is turned off. What is left between two runs is under 2 %.

The counts stand for the release build by Debian 12's gcc, on x86_64; on other machines nothing is compared.
"""

import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
import types

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "bench"), os.path.join(ROOT, "tests", "system")]

import harness  # noqa: E402
import logins  # noqa: E402
import targets  # noqa: E402

FIGURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "instructions.txt")
PROFILES = os.path.join(ROOT, "build", "test")  # where the profiles stay, for callgrind_annotate
MACHINE = "x86_64"
LIMIT = 1.10
FEW, MANY = 2000, 6000  # transactions

KINDS = {  # what bench_load is to do
    "simple": ["--clients", "64", "--mode", "simple"],
    "extended": ["--clients", "64", "--mode", "extended"],
    "prepared": ["--clients", "64", "--mode", "prepared"],
    "simple, alone": ["--clients", "1", "--mode", "simple"],
}


class Counted(harness.Pgweir):
    """pgweir under callgrind."""

    # Which memcpy and strlen there are depends on the CPU that valgrind shows.
    PLAIN_LIBC = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM"}

    def __init__(self, site):
        super().__init__(
            site, databases={"bench": f"host={harness.HOST} port={site.port} pool_size=20"}, env=self.PLAIN_LIBC,
            worker_threads=1, pool_shards=1, max_prepared_statements=100, server_tls_sslmode="disable",
            log_connections=0, log_disconnections=0, log_stats=0)
        self.profile = os.path.join(self.dir, "profile")

    def spawn(self):
        self.process = harness.Process(
            [*harness.unprivileged(), "valgrind", "--tool=callgrind", f"--callgrind-out-file={self.profile}",
             self.binary, self.configfile], self.outfile(), env=self.environment(), cwd=self.dir)
        harness.Pgweir.running.add(self)

    def instructions(self):
        """Of its whole life, which is over."""
        return int(re.search(r"^totals: (\d+)$", harness.read_file(self.profile), re.MULTILINE)[1])


def count(site, name, words, transactions):
    with Counted(site) as pgweir:
        output = harness.run([logins.program("bench_load"), "--port", str(pgweir.port), "--database", "bench",
                              "--count", str(transactions), *words])
    result = json.loads(output)
    if result["errors"] or result["transactions"] != transactions:
        raise harness.Failed(f"{name}: {output}")
    os.makedirs(PROFILES, exist_ok=True)
    shutil.copy(pgweir.profile, os.path.join(PROFILES, f"callgrind.{name.replace(', ', '-')}"))
    return pgweir.instructions()


def count_all(site):
    """Instructions per transaction, of each kind."""
    counts = {}
    for name, words in KINDS.items():
        few, many = (count(site, name, words, transactions) for transactions in (FEW, MANY))
        counts[name] = round((many - few) / (MANY - FEW))
    return counts


def read_figures():
    with open(FIGURES) as file:
        lines = (line.split(" | ") for line in file if not line.startswith("#"))
        return {name: int(number) for name, number in lines}


def write_figures(counts):
    with open(FIGURES, "w") as file:
        file.write("# Instructions per transaction (SELECT 1), on x86_64; written by ./dev instructions --update\n")
        file.writelines(f"{name} | {number}\n" for name, number in counts.items())


def compare(counts, figures):
    """Prints both, and returns how many have become too dear."""
    for name, number in counts.items():
        ratio = number / figures[name]
        words = "too much" if ratio > LIMIT else "less: --update" if ratio < 1 / LIMIT else "ok"
        print(f"{name:<16}{number:>8} instructions, {ratio:.3f} of {figures[name]}: {words}")
    dear = sum(number > LIMIT * figures[name] for name, number in counts.items())
    if dear:
        print(f"over {LIMIT:.2f} of tests/check/instructions.txt. If it is worth that: ./dev instructions --update;\n"
              "what costs so much: callgrind_annotate build/test/callgrind.simple")
    return dear


def main():
    if sys.argv[1:] not in ([], ["--update"]):
        sys.exit(__doc__)
    if platform.machine() != MACHINE:
        print(f"not compared: the figures are {MACHINE}'s, this is {platform.machine()}")
        return 0
    if not shutil.which("valgrind"):
        sys.exit("there is no valgrind")
    harness.end_on_signals()
    started = time.monotonic()
    instant = targets.Instant()
    try:
        with tempfile.TemporaryDirectory(prefix="pgweir-") as directory:
            os.chmod(directory, 0o755)
            counts = count_all(types.SimpleNamespace(dir=directory, port=instant.port))
    except harness.Failed as failure:
        sys.exit(f"instructions: {failure}")
    finally:
        instant.stop()
    if sys.argv[1:]:
        write_figures(counts)
    dear = compare(counts, read_figures())
    print(f"{len(counts) - dear} passed, {dear} failed in {time.monotonic() - started:.0f}s")
    return 1 if dear else 0


if __name__ == "__main__":
    sys.exit(main())
