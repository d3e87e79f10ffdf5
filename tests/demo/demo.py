#!/usr/bin/python3
"""
pgweir at work in half a minute: a throw-away PostgreSQL, the daemon in front of it, psql and pgbench through it,
and what the daemon's console says about that. Stays until Ctrl-C; with --once it ends by itself, with status 0.
Everything it starts and writes is gone afterwards.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

import harness  # noqa: E402
from latency import percentile, read_latencies  # noqa: E402

CLIENTS = 64
SERVERS = 10
SECONDS = 5


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--once", action="store_true", help="end when the numbers are printed")
    once = options.parse_args().once

    harness.end_on_signals()
    try:
        with harness.Postgres(max_connections=300) as postgres:
            say(f"PostgreSQL runs on port {postgres.port}, in {postgres.dir}")
            with harness.Pgweir(postgres, default_pool_size=SERVERS, max_client_conn=500) as pooler:
                say(f"pgweir runs on port {pooler.port}, its configuration is {pooler.configfile}")
                show(postgres, pooler)
                if not once:
                    stay(pooler)
    except KeyboardInterrupt:
        say("ending what was started")
    except harness.Failed as failure:
        sys.exit(f"demo: {failure}")


def say(text):
    print(f"== {text}", flush=True)


def show(postgres, pooler):
    say("psql through pgweir:")
    print("   ", pooler.psql("SELECT 'hello from ' || split_part(version(), ' on ', 1)"))

    say(f"pgbench through pgweir: {CLIENTS} clients on {SERVERS} servers, {SECONDS} s of its TPC-B-like transaction")
    postgres.psql("CREATE DATABASE bench")
    harness.run([postgres.tool("pgbench"), "-i", "-q", "-s", "10", postgres.conninfo("bench")])
    prefix = os.path.join(postgres.dir, "latency")
    output = pooler.pgbench("-n", "-c", CLIENTS, "-j", 2, "-T", SECONDS, "-l", "--log-prefix", prefix)
    table(facts(pooler, output, sorted(read_latencies(prefix))))
    print("\n   Try it:  psql", f'"{pooler.conninfo("bench")}"')
    print("   Ask it:  psql", f'"{pooler.conninfo("pgbouncer")}" -c "SHOW POOLS"\n', flush=True)


def facts(pooler, output, latencies):
    """Rows of (what, number, remark) from pgbench's output and log and from the pooler's console."""
    stats = next(row for row in pooler.console("SHOW STATS") if row["database"] == "bench")
    servers = sum(row["database"] == "bench" for row in pooler.console("SHOW SERVERS"))
    transactions = int(stats["total_xact_count"])
    tps = next(line.split()[2] for line in output.splitlines() if line.startswith("tps = "))
    return [
        ("throughput", f"{float(tps):,.0f}", "transactions per second"),
        ("latency, average", f"{sum(latencies) / len(latencies) / 1000:.1f}", "ms"),
        ("latency, median", f"{percentile(latencies, 50) / 1000:.1f}", "ms"),
        ("latency, 99 %", f"{percentile(latencies, 99) / 1000:.1f}", "ms"),
        ("clients", f"{CLIENTS}", "connected to pgweir at once"),
        ("servers used", f"{servers}", f"connections to PostgreSQL, of {SERVERS} allowed"),
        ("transactions", f"{transactions:,}", "as pgweir counted them"),
        ("waiting for a server", f"{int(stats['total_wait_time']) / transactions / 1000:.1f}", "ms per transaction"),
        ("pgweir's own CPU", f"{pooler.process.cpu() * 1e6 / transactions:.0f}", "microseconds per transaction"),
    ]


def table(rows):
    print()
    for what, number, remark in rows:
        print(f"    {what:<22}{number:>12}  {remark}")


def stay(pooler):
    say("stays until Ctrl-C")
    pooler.process.wait(None)
    raise harness.Failed(f"pgweir has ended:\n{pooler.tail()}")


if __name__ == "__main__":
    main()
