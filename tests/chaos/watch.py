"""
What must hold at all times, and is looked at all the time: no pool and no database has more servers than it
may, as the daemon counts and as PostgreSQL does; nobody waits longer than query_wait_timeout.
"""

import collections
import threading

import harness
import wire_login
from world import BANKS, QUERY_WAIT_TIMEOUT, UNREACHABLE, USERS, Talker, table

SLACK = 4  # seconds that a loop may be late on a busy machine
MOMENTS = 3  # looks in a row in which a sum that is not of one moment may be too large
SERVERS = ("sv_active", "sv_being_canceled", "sv_idle", "sv_used", "sv_tested", "sv_login")

BACKENDS = f"""
    SELECT pid, backend_start, datname, usename FROM pg_stat_activity
    WHERE usename IN {USERS} AND backend_type = 'client backend'"""

DETAILS = f"""
    SELECT datname, usename, pid, client_port, backend_start, state, state_change, wait_event, left(query, 60)
    FROM pg_stat_activity WHERE usename IN {USERS} ORDER BY 1, 2, 3"""


class Watch(threading.Thread):
    """Does the same again and again until it is stopped; violations are what it has found."""

    PAUSE = 0.05  # seconds

    def __init__(self, world, log):
        super().__init__(daemon=True)
        self.world, self.log = world, log
        self.stopping = threading.Event()
        self.violations, self.looks, self.failure = [], 0, None

    def run(self):
        try:
            while not self.stopping.wait(self.PAUSE):
                try:
                    self.look()
                    self.looks += 1
                except UNREACHABLE:
                    self.lost()
        except Exception as failure:
            self.failure = failure

    def violation(self, text):
        self.log(f"VIOLATION {text}")
        self.violations.append(text)

    def stop(self):
        self.stopping.set()
        self.join()
        self.lost()
        if self.failure is not None:
            raise self.failure


class WatchPostgres(Watch):
    """
    Only of the banks whose servers are near: if a network loses connections, PostgreSQL may not know for long.
    What is counted is there in two looks in a row, so at one moment between them.
    """

    def __init__(self, world, log):
        super().__init__(world, log)
        self.talker = Talker(lambda: world.cluster)
        self.most = collections.Counter()

    def look(self):
        before = set(self.talker.ask(BACKENDS))
        together = before.intersection(self.talker.ask(BACKENDS))
        pools = collections.Counter((bank, user) for _, _, bank, user in together if not BANKS[bank].is_far)
        databases = collections.Counter()
        for (bank, user), count in pools.items():
            databases[bank] += count
            self.check(f"{bank}/{user}", count, self.world.bounds.allowed(bank))
        for bank, count in databases.items():
            self.check(bank, count, BANKS[bank].most)

    def check(self, name, count, allowed):
        self.most[name] = max(self.most[name], count)
        if count > allowed and self.world.bounds.is_sharp():
            self.violation(f"PostgreSQL has {count} servers of {name}, of which there may be {allowed}")
            for row in self.talker.ask(DETAILS):
                self.log("    " + " ".join(map(str, row)))

    def lost(self):
        self.talker.close()


class WatchDaemon(Watch):
    def __init__(self, world, log):
        super().__init__(world, log)
        self.client = None
        self.memory, self.descriptors = [], []
        self.exceeded = collections.Counter()  # looks in a row
        self.longest_wait = 0

    def look(self):
        if self.client is None:
            self.client = wire_login.Client(self.world.daemon.port)
            self.client.login(harness.SUPERUSER, database="pgbouncer")
        for pool in table(self.client, "SHOW POOLS"):
            if pool["database"] in BANKS:
                self.check_pool(pool)
        for database in table(self.client, "SHOW DATABASES"):
            if database["name"] in BANKS:
                self.check_database(database)
        process = self.world.daemon.process
        self.memory.append(process.memory())
        self.descriptors.append(process.fds())

    def check_pool(self, pool):
        name = f"{pool['database']}/{pool['user']}"
        count, allowed = sum(int(pool[column]) for column in SERVERS), self.world.bounds.allowed(pool["database"])
        # Shards are not counted at the same moment, and a server may move from one to the other.
        self.exceeded[name] = self.exceeded[name] + 1 if count > allowed else 0
        if self.exceeded[name] > MOMENTS:
            self.violation(f"SHOW POOLS has {count} servers of {name}, of which there may be {allowed}: {pool}")
        waits = int(pool["maxwait"])
        self.longest_wait = max(self.longest_wait, waits)
        if waits > QUERY_WAIT_TIMEOUT + SLACK:
            self.violation(f"somebody has waited for {waits} s in {name}: {pool}")

    def check_database(self, database):
        if int(database["current_connections"]) > BANKS[database["name"]].most:
            self.violation(f"too many servers: {database}")

    def lost(self):
        if self.client is not None:
            self.client.close()
        self.client = None


def await_rest(world, limit=60):
    """All clients have gone, so nothing is in use; then gives the descriptors that are open without servers."""
    busy = ("cl_active", "cl_waiting", "sv_active", "sv_tested", "sv_login", "sv_being_canceled")

    def rests():
        return all(row[name] == "0" for row in world.console("SHOW POOLS") for name in busy if row["database"] in BANKS)

    harness.wait_for(rests, limit, "the pools to come to rest")
    return descriptors(world)


def descriptors(world):
    servers = [row for row in world.console("SHOW SERVERS") if row["database"] in BANKS]
    return world.daemon.process.fds() - len(servers)
