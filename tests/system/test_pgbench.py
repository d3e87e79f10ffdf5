"""
pgbench through the pooler: every protocol, both standard scripts, one to many clients on few servers, one to
four workers. No error is forgiven, and afterwards the books must balance: what pgbench wrote into its history
is what stands in the accounts, the tellers and the branches.
"""

import pytest

import harness

full = pytest.mark.full

SERVERS = 20
LAYOUTS = [  # worker threads, shards of a pool
    pytest.param((1, 1), id="1-worker"),
    pytest.param((2, 1), id="2-workers", marks=full),
    pytest.param((2, 2), id="2-workers-2-shards", marks=full),
    pytest.param((4, 3), id="4-workers-3-shards"),
]
CLIENTS = [1, pytest.param(16, marks=full), pytest.param(64, marks=full), 256]
TRANSACTIONS = {1: 300, 16: 80, 64: 40, 256: 12}  # per client

# pgbench -M prepared waits for one Parse before it goes on with its other clients, also within transactions: so it
# needs a server for each, unless a statement is a transaction.
PROTOCOLS = [
    ("simple", "transaction"),
    ("extended", "transaction"),
    ("prepared", "wide_session"),
    pytest.param("simple", "session", marks=full),
]


def balance(postgres):
    """The four sums of which pgbench promises that they are equal."""
    row = postgres.psql(
        "SELECT (SELECT coalesce(sum(delta), 0) FROM pgbench_history), "
        "(SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers), "
        "(SELECT sum(bbalance) FROM pgbench_branches)", "bench")
    return set(row.split("|"))


def history(postgres):
    return int(postgres.psql("SELECT count(*) FROM pgbench_history", "bench"))


@pytest.fixture(scope="module", params=LAYOUTS)
def layout(request):
    workers, shards = request.param
    return {"worker_threads": workers, "pool_shards": shards}


@pytest.fixture(scope="module")
def pooler(postgres, bench, layout):
    target = f"host={harness.HOST} port={postgres.port} dbname={bench}"
    databases = {mode: f"{target} pool_mode={mode}" for mode in ("session", "transaction", "statement")}
    databases["wide_session"] = f"{target} pool_mode=session pool_size={max(TRANSACTIONS)}"
    with harness.Pgweir(postgres, databases=databases, default_pool_size=SERVERS, **layout) as pooler:
        yield pooler


@pytest.mark.parametrize("clients", CLIENTS)
@pytest.mark.parametrize("protocol, mode", PROTOCOLS)
def test_tpcb(postgres, pooler, protocol, mode, clients):
    before = history(postgres)
    transactions = TRANSACTIONS[clients]
    pooler.pgbench("-n", "-M", protocol, "-c", clients, "-j", 2, "-t", transactions, dbname=mode)
    assert history(postgres) - before == clients * transactions
    assert len(balance(postgres)) == 1
    if mode != "wide_session":
        assert sum(row["database"] == mode for row in pooler.console("SHOW SERVERS")) <= SERVERS


@pytest.mark.parametrize("clients", CLIENTS)
@pytest.mark.parametrize("protocol, mode", [*PROTOCOLS, ("prepared", "transaction")])
def test_select(pooler, protocol, mode, clients):
    pooler.pgbench("-n", "-S", "-M", protocol, "-c", clients, "-j", 2, "-t", 4 * TRANSACTIONS[clients], dbname=mode)


@pytest.mark.parametrize("clients", CLIENTS)
@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_select_statement_mode(pooler, protocol, clients):
    pooler.pgbench("-n", "-S", "-M", protocol, "-c", clients, "-j", 2, "-t", 2 * TRANSACTIONS[clients],
                   dbname="statement")


@pytest.mark.parametrize("clients", [8, pytest.param(32, marks=full)])
def test_connect_per_transaction(pooler, clients):
    pooler.pgbench("-n", "-S", "-C", "-c", clients, "-j", 2, "-t", 20, dbname="transaction")


def test_pipeline(postgres, pooler):
    """Several statements on the way at once, in pgbench's pipeline mode."""
    script = pooler.write("pipeline.sql", "\\startpipeline\nSELECT 1;\nSELECT 2;\nSELECT 3;\n\\endpipeline\n")
    pooler.pgbench("-n", "-M", "extended", "-f", script, "-c", 32, "-j", 2, "-t", 50, dbname="transaction")


def test_ends_with_nothing_in_use(pooler):
    def at_rest():
        return all(row["state"] != "active" for row in pooler.console("SHOW SERVERS"))

    harness.wait_for(at_rest, what="every server to be given back")
