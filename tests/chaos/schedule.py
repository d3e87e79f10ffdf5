"""
When what goes wrong: drawn from the seed, and carried out by a thread. Every so often there is a calm: all is
healed, and then everybody must be served again within a bounded time.
"""

import collections
import concurrent.futures
import heapq
import itertools
import random
import threading
import time

import harness
import wire_login
from faults import FAULTS
from world import BANKS, UNREACHABLE, USERS

Event = collections.namedtuple("Event", "time name seconds luck")

GAP = 0.8  # seconds between two faults, on the average
ROUND = 20  # seconds between two calms
RECOVERY = 25  # seconds after which all must be well again
CALM = "calm"


def plan(seed, seconds):
    """All events in their order; the last is a calm."""
    rng = random.Random(f"{seed}/schedule")
    names = list(FAULTS)
    weights = [FAULTS[name].weight for name in names]
    events = [Event(float(calm), CALM, 0, 0) for calm in range(ROUND, int(seconds), ROUND)]
    at = 1.0
    while (at := at + rng.expovariate(1 / GAP)) < seconds:
        name, = rng.choices(names, weights)
        events.append(Event(at, name, rng.uniform(FAULTS[name].shortest, FAULTS[name].longest), rng.random()))
    return [*sorted(events), Event(float(seconds), CALM, 0, 0)]


class Runner(threading.Thread):
    """Carries the plan out. What has been begun is healed in any case."""

    def __init__(self, world, events, log):
        super().__init__(daemon=True)
        self.world, self.events, self.log = world, events, log
        self.injected, self.skipped = collections.Counter(), collections.Counter()
        self.lasting, self.order = [], itertools.count()  # a heap of faults that last, by their ends
        self.recoveries = []
        self.stopping = threading.Event()
        self.failure = None

    def run(self):
        try:
            self.began = time.monotonic()
            for event in self.events:
                self.sleep_until(self.began + event.time)
                if self.stopping.is_set():
                    break
                self.calm() if event.name == CALM else self.begin(event)
        except Exception as failure:
            self.failure = failure
        finally:
            self.heal(float("inf"))

    def sleep_until(self, then):
        """And heals meanwhile what is due."""
        while not self.stopping.is_set():
            until = min([then, *(end for end, *_ in self.lasting[:1])])
            self.stopping.wait(max(0, until - time.monotonic()))
            self.heal(time.monotonic())
            if time.monotonic() >= then:
                return

    def begin(self, event):
        fault = FAULTS[event.name]
        harm = fault.function(self.world, event.luck)
        self.log(f"{event.name} for {event.seconds:.1f} s, luck {event.luck:.3f}")
        try:
            next(harm)
        except UNREACHABLE as error:
            self.skipped[event.name] += 1
            self.log(f"{event.name} was not possible: {error!r}")
            return
        self.injected[event.name] += 1
        heapq.heappush(self.lasting, (time.monotonic() + event.seconds, next(self.order), event.name, harm))
        if fault.alone:
            self.stopping.wait(event.seconds)
            self.end(next(lasting for lasting in self.lasting if lasting[3] is harm))

    def heal(self, now):
        while self.lasting and self.lasting[0][0] <= now:
            self.end(self.lasting[0])

    def end(self, lasting):
        self.lasting.remove(lasting)
        heapq.heapify(self.lasting)
        if FAULTS[lasting[2]].longest:
            self.log(f"{lasting[2]} ends")
        next(lasting[3], None)

    def calm(self):
        """Everything is healed, and everybody is served."""
        self.heal(float("inf"))
        self.log("calm")
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor() as threads:
            for _ in threads.map(self.await_service, *zip(*itertools.product(BANKS, USERS))):
                pass
        self.recoveries.append(time.monotonic() - began)
        self.log(f"calm: all are served after {self.recoveries[-1]:.1f} s")

    def await_service(self, bank, user):
        harness.wait_for(lambda: self.is_served(bank, user), RECOVERY, f"{bank}/{user} to be served again")

    def is_served(self, bank, user):
        try:
            with wire_login.Client(self.world.daemon.port) as client:
                client.sock.settimeout(RECOVERY)
                return client.login(user, database=bank).query("SELECT 'served'") == [("served",)]
        except UNREACHABLE as error:
            self.log(f"{bank}/{user} is not served yet: {error!r}")
            return False

    def stop(self):
        self.stopping.set()
        self.join()
