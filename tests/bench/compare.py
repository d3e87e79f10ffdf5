"""
Contenders, measured in turn.

Every contender of a comparison has its turn, round after round, so that a machine which gets slower gets slower
for all. Ratios are taken within a round, and their median counts. Each pooler runs in a session of its own and
talks to its servers without TLS, like the others, unless the setup says otherwise.
"""

import contextlib
import math
import statistics

from report import Row
from targets import DIRECT, ONE_WORKER, PGBOUNCER, TWO_POOLS, TWO_SHARDS, TWO_WORKERS, Setup, Target

COLUMNS = [  # number, heading, width, digits
    ("tps", "tps", 9, 0),
    ("p50", "p50 ms", 9, 2),
    ("p99", "p99 ms", 9, 2),
    ("p99.9", "p99.9 ms", 9, 2),
    ("tail", "p99/p50", 9, 2),
    ("cpu", "CPU us", 11, 1),
    ("calls", "calls", 9, 2),
    ("pulled", "pulled MB/s", 12, 0),
]


class Contender:
    """A load on a pooler; idle is how many more clients have logged in and stay there."""

    def __init__(self, shape, load, setup=None, idle=0):
        self.shape, self.load, self.setup, self.idle = shape, load, setup or Setup(), idle

    @contextlib.contextmanager
    def ready(self, site):
        target = Target(site, self.shape, self.setup)
        try:
            target.start()
            self.load.warm_up(target)
            if self.idle:
                target.invite(self.idle)
            yield target
        finally:
            target.stop()


class Claim:
    """
    What a contender may have of a number: so many times what another has, or with absolute so much. name is what
    the table calls it.
    """

    def __init__(self, name, limit, own=ONE_WORKER, other=PGBOUNCER, number="cpu", unit="us", absolute=False):
        self.name, self.limit, self.own, self.other = name, limit, own, other
        self.number, self.unit, self.absolute = number, unit, absolute

    def row(self, rounds):
        own, other = (median(rounds[name], self.number) for name in (self.own, self.other))
        return Row(self.name, own, self.unit, self.other, other,
                   median_ratio(rounds, self.own, self.other, self.number), self.limit, self.absolute)


class Comparison:
    """Contenders by name, and what is claimed about them. The first is what the others are printed beside."""

    def __init__(self, name, contenders, claims, quick=False):
        self.name, self.contenders, self.claims, self.quick = name, contenders, claims, quick

    def run(self, site):
        """The rows of the table, and all numbers."""
        rounds = self.measure(site)
        self.show(rounds)
        return self.rows(rounds), rounds

    def measure(self, site):
        """The measured rounds of each: {name: [{number: value}, ...]}."""
        contenders = self.claimed() if site.options.quick else self.contenders
        rounds = {name: [] for name in contenders}
        with contextlib.ExitStack() as stack:
            targets = {name: stack.enter_context(contender.ready(site)) for name, contender in contenders.items()}
            for turn in range(site.options.rounds):
                order = list(targets) if turn % 2 == 0 else list(reversed(targets))
                for name in order:
                    rounds[name].append(contenders[name].load.measure(targets[name], site.options.seconds))
        return rounds

    def claimed(self):
        """Those contenders that a claim is about."""
        names = {name for claim in self.claims for name in (claim.own, claim.other)}
        return {name: contender for name, contender in self.contenders.items() if name in names}

    def rows(self, rounds):
        return [claim.row(rounds) for claim in self.claims]

    def show(self, rounds):
        reference, width = next(iter(rounds)), max(18, *map(len, rounds))
        columns = [column for column in COLUMNS if column[0] in rounds[reference][0]]
        print(f"\n{self.name}")
        print(f"  {'':<{width}}" + "".join(f"{heading:>{size}}{'':>7}" for _, heading, size, _ in columns))
        for name in rounds:
            print(f"  {name:<{width}}" + "".join(cell(rounds, name, reference, *column) for column in columns),
                  flush=True)


def median(turns, number):
    return statistics.median(turn[number] for turn in turns)


def median_ratio(rounds, name, reference, number):
    return statistics.median(mine[number] / other[number]
                             for mine, other in zip(rounds[name], rounds[reference]))


def cell(rounds, name, reference, number, _heading, width, digits):
    value = median(rounds[name], number)
    if math.isnan(value):
        return f"{'-':>{width}}{'':>7}"
    return f"{value:>{width},.{digits}f} {median_ratio(rounds, name, reference, number):>5.2f}x"


def beside_pgbouncer(name, load, limit, setup=None, shapes=(TWO_WORKERS, DIRECT), unit="us", quick=False):
    """The usual comparison: one worker may take so much of PgBouncer's CPU; others are there to be seen."""
    contenders = {shape: Contender(shape, load, setup) for shape in (PGBOUNCER, ONE_WORKER, *shapes)}
    claims = [Claim(name, limit, unit=unit)]
    for shape, of_one_worker in ((TWO_POOLS, 1.10), (TWO_SHARDS, 1.15)):
        if shape in shapes:
            claims.append(Claim(f"{name}: {shape[len('pgweir, '):]} on 2 workers", of_one_worker, shape, ONE_WORKER))
    return Comparison(name, contenders, claims, quick)


