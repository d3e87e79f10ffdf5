"""
What grows, and must not make a transaction dearer: connected clients, pools, prepared statements. On the instant
server, since PostgreSQL would grow with them.
"""

from compare import Comparison, Contender, median_ratio
from loads import Load
from report import Row
from targets import ONE_WORKER, PGBOUNCER, Setup

FLAT = 1.10  # the dearest step beside the cheapest


class Scale(Comparison):
    """Steps from small to large, each a contender. The steps of PgBouncer, if any, are there to be seen."""

    def __init__(self, name, steps, contender, shapes=(ONE_WORKER, PGBOUNCER)):
        self.steps = {shape: {step: f"{shape}, {step:,}" for step in steps} for shape in shapes}
        super().__init__(name, {label: contender(shape, step) for shape, labels in self.steps.items()
                                for step, label in labels.items()}, [])

    def rows(self, rounds):
        own, other = (self.spread(rounds, shape) for shape in (ONE_WORKER, PGBOUNCER))
        return [Row(self.name, own, "", PGBOUNCER, other, own / other, FLAT, absolute=True)]

    def spread(self, rounds, shape):
        """The dearest step beside the cheapest, each as the median of its ratios to the first one."""
        if shape not in self.steps:
            return float("nan")
        labels = list(self.steps[shape].values())
        costs = [median_ratio(rounds, label, labels[0], "cpu") for label in labels]
        return max(costs) / min(costs)


def clients(shape, connected):
    """Ten of them work."""
    busy = 10
    return Contender(shape, Load(busy), Setup(instant=True, visitor=True, clients=connected + 100),
                     idle=connected - busy)


def pools(shape, number):
    """The same clients and as many servers, in more and more pools."""
    busy = 1000
    return Contender(shape, Load(busy), Setup(instant=True, servers=busy, pools=number, clients=busy + 100))


def statements(shape, number):
    return Contender(shape, Load(20, "--mode", "prepared", "--statements", number),
                     Setup(instant=True, more=lambda postgres: {"max_prepared_statements": 2 * number}))


SCALES = [
    Scale("from 10 to 10,000 connected clients", (10, 100, 1000, 10000), clients),
    Scale("from 1 to 1,000 pools", (1, 10, 100, 1000), pools),
    Scale("from 1 to 10,000 prepared statements", (1, 100, 10000), statements, (ONE_WORKER,)),
]
