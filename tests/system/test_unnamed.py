"""
The unnamed statement in transaction mode, as programs use it that parse in one transaction and bind in a later one
(libpq's PQprepare without a name, psql's \\gdesc, drivers that describe first): it goes with its client, whichever
server that gets, and nobody meets another client's.
"""

import contextlib
import os
import random
import subprocess

import psycopg
import pytest
from psycopg import pq

import harness

CLIENTS = 12
TURNS = 400


@pytest.fixture(params=[0, 1], ids=["parsed", "prepare_unnamed"])
def few(request, pgweir):
    """Two servers that take turns."""
    return pgweir(default_pool_size=2, server_round_robin=1, pool_mode="transaction", prepare_unnamed=request.param)


class Client:
    """One that knows what its unnamed statement says."""

    def __init__(self, pooler):
        self.connection = pq.PGconn.connect(pooler.conninfo().encode())
        assert self.connection.status == pq.ConnStatus.OK, self.connection.error_message
        self.value = None

    def prepare(self, value):
        result = self.connection.prepare(b"", f"SELECT {value} AS v{value}".encode())
        assert result.status == pq.ExecStatus.COMMAND_OK, result.error_message
        self.value = value

    def fail(self):
        assert self.connection.prepare(b"", b"SELECT nonsense").error_field(pq.DiagnosticField.SQLSTATE) == b"42703"
        self.value = None

    def query(self):
        assert self.connection.exec_(b"SELECT 1").get_value(0, 0) == b"1"
        self.value = None

    def parse_and_use(self, value):
        result = self.connection.exec_params(f"SELECT {value} AS v{value}".encode(), [])
        assert (result.get_value(0, 0), result.fname(0)) == (b"%d" % value, b"v%d" % value)
        self.value = value

    def check(self, result, expected):
        if self.value is None:
            assert result.error_field(pq.DiagnosticField.SQLSTATE) == b"26000"
            assert result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) == (
                b"unnamed prepared statement does not exist")
        else:
            assert result.status == expected, result.error_message
            assert result.fname(0) == b"v%d" % self.value

    def use(self):
        result = self.connection.exec_prepared(b"", [])
        self.check(result, pq.ExecStatus.TUPLES_OK)
        assert self.value is None or result.get_value(0, 0) == b"%d" % self.value

    def describe(self):
        self.check(self.connection.describe_prepared(b""), pq.ExecStatus.COMMAND_OK)


def test_each_client_has_its_own(few):
    choice = random.Random(4)
    clients = [Client(few) for _ in range(CLIENTS)]
    for client in clients:  # who has none yet gets none
        client.use()
    for turn in range(TURNS):
        client = choice.choice(clients)
        step = choice.randrange(12)
        if step < 3:
            client.prepare(turn % 7)
        elif step == 3:
            client.fail()
        elif step == 4:
            client.query()
        elif step == 5:
            client.parse_and_use(turn % 7)
        elif step < 9:
            client.use()
        else:
            client.describe()
    for client in clients:
        client.connection.finish()


def test_gdesc(few, postgres):
    """psql parses, then describes: two transactions."""
    with psycopg.connect(few.conninfo(), autocommit=True) as other:
        other.execute("SELECT 1")
        script = "SELECT 1 AS number, 'x'::varchar(10) AS word \\gdesc\nSELECT * FROM nowhere \\gdesc\n" * 5
        env = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        outputs = [subprocess.run([postgres.tool("psql"), "--no-psqlrc", "-At", conninfo], input=script, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, env=env, check=True).stdout
                   for conninfo in (postgres.conninfo(), few.conninfo())]
    assert "number|integer" in outputs[0] and outputs[1] == outputs[0]


def test_familiar_text_is_prepared_once(pgweir):
    pooler = pgweir(default_pool_size=1, pool_mode="transaction", prepare_unnamed=1)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(psycopg.connect(pooler.conninfo(), autocommit=True)) for _ in range(3)]
        for client in clients:
            client.prepare_threshold = None
        for turn in range(30):
            assert clients[turn % 3].execute("SELECT %s::int + 1", [turn]).fetchone() == (turn + 1,)
        held = clients[0].execute("SELECT statement FROM pg_prepared_statements WHERE name LIKE 'pgweir%'").fetchall()
        assert held == [("SELECT $1::int + 1",)]


def test_changing_table(pgweir):
    """PostgreSQL would parse each time, and never say that a plan is out of date."""
    pooler = pgweir(default_pool_size=2, server_round_robin=1, pool_mode="transaction", prepare_unnamed=1)
    with psycopg.connect(pooler.conninfo(), autocommit=True) as client:
        client.prepare_threshold = None
        client.execute("CREATE TABLE changing (a int)")
        client.execute("INSERT INTO changing VALUES (1)")
        for width in range(1, 12):
            for _ in range(6):
                assert len(client.execute("SELECT * FROM changing WHERE a = %s", [1]).fetchone()) == width
            client.execute(f"ALTER TABLE changing ADD COLUMN b{width} int")


@pytest.mark.parametrize("script", ["select-only", "tpcb-like"])
def test_pgbench(pgweir, script):
    pooler = pgweir(default_pool_size=4, pool_mode="transaction", prepare_unnamed=1)
    pooler.pgbench("-i", "-q", "-s", 1, dbname="postgres")
    pooler.pgbench("-n", "-b", script, "-M", "extended", "-c", 16, "-j", 2, "-t", 100, dbname="postgres")
