"""
Statement mode against PostgreSQL: whatever is over with its ReadyForQuery passes as it would directly, and a
transaction block ends the connection, with nothing of it left behind.
"""

import asyncio

import psycopg
import pytest

import harness
import wire

LIMIT = 20  # seconds for an answer
REFUSAL = "transaction blocks not allowed in statement pooling mode"


@pytest.fixture
def pooler(postgres, pgweir):
    postgres.psql("DROP TABLE IF EXISTS steps; CREATE TABLE steps (i int)")
    return pgweir(pool_mode="statement", default_pool_size=1)


def connect(pooler, **options):
    return psycopg.connect(pooler.conninfo(), **{"autocommit": True, **options})


def test_blocks_are_refused_and_leave_nothing(postgres, pooler):
    with pytest.raises(psycopg.OperationalError, match=REFUSAL):
        connect(pooler, autocommit=False).execute("INSERT INTO steps VALUES (1)")
    with pytest.raises(psycopg.OperationalError, match=REFUSAL):
        connect(pooler).execute("BEGIN; INSERT INTO steps VALUES (2)")
    with pytest.raises(psycopg.OperationalError):
        with connect(pooler) as connection, connection.pipeline():
            connection.execute("BEGIN")
            connection.execute("INSERT INTO steps VALUES (3)")
    assert connect(pooler).execute("SELECT count(*) FROM steps").fetchone() == (0,)
    assert f"pooler error: {REFUSAL}" in pooler.log()
    assert postgres.psql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'") == "0"


def test_several_statements_at_once(pooler):
    """They are one transaction, by a simple query or by a pipeline, and need no block for it."""
    with connect(pooler) as connection:
        connection.execute("INSERT INTO steps VALUES (1); INSERT INTO steps VALUES (2)")
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("INSERT INTO steps VALUES (3); SELECT 1 / 0")
        connection.execute("BEGIN; INSERT INTO steps VALUES (4); COMMIT")
        with connection.pipeline():
            for i in range(5, 100):
                connection.execute("INSERT INTO steps VALUES (%s)", (i,), prepare=True)
        with pytest.raises(psycopg.errors.DivisionByZero), connection.pipeline():
            connection.execute("INSERT INTO steps VALUES (100)")
            connection.execute("SELECT 1 / 0")
        assert connection.execute("SELECT count(*), sum(i) FROM steps").fetchone() == (98, sum(range(1, 100)) - 3)


SCRIPTS = {
    "simple": [wire.query("SELECT 1; SELECT 2"), wire.query(""), wire.query("SELECT 1 / 0"), wire.query("SELECT 3")],
    "named": [wire.parse("SELECT $1::int + 1", "s") + wire.describe("S", "s") + wire.SYNC,
              wire.bind("41", statement="s") + wire.execute() + wire.SYNC,
              wire.close("S", "s") + wire.SYNC, wire.bind("41", statement="s") + wire.execute() + wire.SYNC],
    "segments": [wire.parse("SELECT 1 / 0") + wire.bind() + wire.execute() + wire.SYNC
                 + wire.parse("SELECT generate_series(1, 3)") + wire.bind() + wire.execute(limit=2)
                 + wire.execute() + wire.SYNC + wire.query("SHOW server_version_num")],
    "copy": [wire.query("COPY steps FROM STDIN"), wire.copy_data(b"7\n8\n") + wire.COPY_DONE,
             wire.query("COPY (SELECT 1) TO STDOUT"), wire.query("TRUNCATE steps")],
}


async def play(port, script):
    """All that comes back, until the last answer is there."""
    connection = await wire.Connection.open(harness.HOST, port)
    await connection.send(wire.startup(user="postgres", database="postgres"))
    seen = []
    try:
        async with asyncio.timeout(LIMIT):
            while await connection.receive() != ("Z", b"I"):
                pass
            for step in script:
                await connection.send(step)
                await answers(connection, step, seen)
    finally:
        connection.close()
    return seen


async def answers(connection, step, seen):
    """A ReadyForQuery for each Sync and Query, or the wish for COPY data in place of the last."""
    wanted = step.count(wire.SYNC) + step.count(b"Q\0\0\0") + step.count(wire.COPY_DONE)
    while wanted > 0:
        kind, body = await connection.receive()
        seen.append(wire.plain(kind, body))
        wanted -= kind in "ZG"


@pytest.mark.parametrize("script", SCRIPTS)
def test_answers_are_those_of_a_direct_connection(postgres, pooler, script):
    assert asyncio.run(play(pooler.port, SCRIPTS[script])) == asyncio.run(play(postgres.port, SCRIPTS[script]))
