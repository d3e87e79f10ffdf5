"""Clients that have logged in, asked one question, and stay: what one more costs, in memory of its own."""

import statistics

import harness
from loads import Logins
from report import Row
from targets import ONE_WORKER, PGBOUNCER, Setup, Target

LIMITS = {"plain": 700, "TLS": 12000}  # bytes


class IdleMemory:
    """Each measurement has a pooler of its own, which has served a few of these clients before."""

    name = "memory of an idle client"
    quick = True
    CLIENTS = {"plain": 5000, "TLS": 2000}

    def run(self, site):
        clients = {kind: number // 2 if site.options.quick else number for kind, number in self.CLIENTS.items()}
        rounds = 1 if site.options.quick else min(3, site.options.rounds)
        print(f"\n{self.name}\n  {'':<18}" + "".join(f"{f'{clients[kind]} {kind}, B':>15}" for kind in LIMITS))
        result = {shape: {kind: [self.measure(site, shape, kind == "TLS", clients[kind]) for _ in range(rounds)]
                          for kind in LIMITS} for shape in (PGBOUNCER, ONE_WORKER)}
        for shape, kinds in result.items():
            print(f"  {shape:<18}" + "".join(f"{statistics.median(kinds[kind]):>15.0f}" for kind in LIMITS), flush=True)
        return [self.row(result, kind) for kind in LIMITS], result

    def measure(self, site, shape, tls, clients):
        target = Target(site, shape, Setup(visitor=True, client_tls=tls, clients=clients + 100))
        try:
            target.start()
            Logins(clients=20, tls=tls).load(target, "-n", 5)
            before = proportional_memory(target.pooler.process.pid)
            target.invite(clients)
            return (proportional_memory(target.pooler.process.pid) - before) / clients
        finally:
            target.stop()

    def row(self, result, kind):
        own, other = (statistics.median(result[shape][kind]) for shape in (ONE_WORKER, PGBOUNCER))
        return Row(f"memory of an idle client, {kind}", own, "B", PGBOUNCER, other, own / other, LIMITS[kind],
                   absolute=True)


def proportional_memory(pid):
    """Bytes that are in memory; what is shared with other processes is divided by their number."""
    for line in harness.read_file(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise harness.Failed("the kernel does not tell the proportional set size")
