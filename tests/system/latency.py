"""Latencies out of the per-transaction logs of pgbench -l."""

import glob


def read_transactions(prefix):
    """When each logged transaction ended, in seconds of the clock, and its microseconds; a file per thread."""
    for path in glob.glob(glob.escape(prefix) + ".*"):
        with open(path) as log:
            for line in log:
                words = line.split(" ", 6)
                yield int(words[4]) + int(words[5]) / 1e6, int(words[2])


def read_latencies(prefix):
    """Microseconds of each logged transaction; pgbench writes one file per thread."""
    latencies = []
    for path in glob.glob(glob.escape(prefix) + ".*"):
        with open(path) as log:
            latencies += [int(line.split(" ", 3)[2]) for line in log]
    return latencies


def percentile(ordered, percent):
    """The smallest value that percent of all are not above."""
    return ordered[max(0, int(-(-len(ordered) * percent // 100)) - 1)] if ordered else float("nan")
