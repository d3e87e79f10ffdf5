#!/usr/bin/python3
"""
pgweir beside PgBouncer and the server alone: CPU of the pooler per transaction, system calls, memory, latency,
and whether they stay as they are with more clients, pools and statements.

One table tells what was promised and what was measured; build/bench/ gets all numbers, and a chart. docs/performance.md
says what is measured and how. A promise that is broken is told, and no failure.
"""

import argparse
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

import harness  # noqa: E402
import report  # noqa: E402
from targets import Site, Skipped, machine  # noqa: E402
from workloads import WORKLOADS  # noqa: E402


def parse_options():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help="the main workloads, less beside them, shorter rounds: under 3 minutes")
    parser.add_argument("--only", metavar="NAME", help="only workloads that have NAME in their name")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds per workload (5; quick: 4)")
    parser.add_argument("--seconds", type=int, metavar="N", help="length of a run (2; quick: 1)")
    parser.add_argument("--pooler-binary", metavar="PATH", help="measure this one in the place of build/release/pgweir")
    options = parser.parse_args()
    options.rounds = options.rounds or (4 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 2)
    return options


def chosen(options):
    """Those workloads that the options ask for."""
    workloads = [one for one in WORKLOADS if one.quick or not options.quick]
    if options.only:
        workloads = [one for one in WORKLOADS if options.only.lower() in one.name.lower()]
    if not workloads:
        sys.exit(f"bench: no such workload: {options.only}; there are: " + "; ".join(one.name for one in WORKLOADS))
    return workloads


def run_all(site, workloads):
    """The rows, the numbers by workload, and those that failed; a failure does not keep the others from their turn."""
    rows, details, failed = [], {}, []
    for workload in workloads:
        try:
            its_rows, details[workload.name] = workload.run(site)
            rows += its_rows
        except Skipped as reason:
            print(f"\n{workload.name}: not measured: {reason}", flush=True)
        except (harness.Failed, subprocess.TimeoutExpired) as failure:
            print(f"\n{workload.name}: FAILED: {failure}", flush=True)
            failed.append(workload.name)
    return rows, details, failed


def main():
    options = parse_options()
    workloads = chosen(options)
    harness.end_on_signals()
    started, load = time.time(), os.getloadavg()[0]
    if load > os.cpu_count() / 2:
        print(f"others are at work (load average {load:.1f}): do not trust the figures")
    try:
        with Site(options) as site:
            print(f"{options.rounds} rounds of {options.seconds} s; medians, and ratios to the first line's")
            rows, details, failed = run_all(site, workloads)
            about = {"date": time.strftime("%Y-%m-%d %H:%M"), "rounds": options.rounds, "seconds": options.seconds,
                     "load_before": load, **machine(site)}
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
    except harness.Failed as failure:
        sys.exit(f"bench: {failure}")
    if rows:
        report.print_table(rows)
        print(f"all numbers and a chart, after {time.time() - started:.0f} s: "
              + " ".join(report.save(rows, details, about)))
    if failed:
        sys.exit(f"bench: failed: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
