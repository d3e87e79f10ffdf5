"""
What grows, and must not make a transaction dearer: connected clients, pools, prepared statements. On the instant
server, since PostgreSQL would grow with them.
"""

import math

from compare import Comparison, Contender, median_ratio
from loads import Load
from report import Row
from targets import ONE_WORKER, PGBOUNCER, Setup

FLAT = 1.10  # the dearest step beside the cheapest


class Scale(Comparison):
    """
    Steps from small to large, each a contender. PgBouncer's first and last are there to be seen, if it can do such
    things.
    """

    def __init__(self, name, steps, contender, beside=True):
        self.labels = {ONE_WORKER: [f"{step:,}" for step in steps]}
        contenders = {f"{step:,}": contender(ONE_WORKER, step) for step in steps}
        if beside:
            ends = {f"{PGBOUNCER}, {step:,}": contender(PGBOUNCER, step) for step in (steps[0], steps[-1])}
            self.labels[PGBOUNCER] = list(ends)
            contenders |= ends
        super().__init__(name, contenders, [])

    def rows(self, rounds):
        own, other = (self.spread(rounds, shape) for shape in (ONE_WORKER, PGBOUNCER))
        return [Row(self.name, own, "", PGBOUNCER, other, own / other, FLAT, absolute=True)]

    def spread(self, rounds, shape):
        """The dearest step beside the cheapest, each as the median of its ratios to the first one."""
        if shape not in self.labels:
            return math.nan
        first, *_ = labels = self.labels[shape]
        costs = [median_ratio(rounds, label, first, "cpu") for label in labels]
        return max(costs) / min(costs)


def clients(shape, connected):
    """Ten of them work."""
    busy = 10
    return Contender(shape, Load(busy), Setup(instant=True, clients=connected + 100), idle=connected - busy)


def pools(shape, number):
    """
    The same clients and as many servers, in more and more pools: of up to 100 databases, then of more users. Servers
    are used in turn, so that there is as much to do for all of them in one pool as in many.
    """
    busy, databases = 1000, min(number, 100)
    return Contender(shape, Load(busy), Setup(instant=True, servers=busy, databases=databases,
                                              users=number // databases, clients=busy + 100,
                                              more=lambda postgres: {"server_round_robin": 1}))


def statements(shape, number):
    """Few servers, so that each has soon prepared them all."""
    servers = 4
    return Contender(shape, Load(16, "--mode", "prepared", "--statements", number, opening=12 * servers * number),
                     Setup(instant=True, servers=servers,
                           more=lambda postgres: {"max_prepared_statements": 2 * number}))


SCALES = [
    Scale("flat from 10 to 10,000 connected clients", (10, 100, 1000, 10000), clients),
    Scale("flat from 1 to 1,000 pools", (1, 10, 100, 1000), pools),
    Scale("flat from 1 to 10,000 prepared statements", (1, 100, 10000), statements, beside=False),
]
