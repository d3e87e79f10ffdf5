"""
COPY that fails while its client goes on sending. What the server has passed over and what it still answers is
then known to the server alone, so this is where the next client of that server could get an answer too many. Each
answer must be the one that a direct connection gives, and the neighbours on a pool of one must get their own.
"""

import asyncio

import pytest

import harness
import wire

LIMIT = 20  # seconds for an answer


@pytest.fixture(scope="module")
def pooler(postgres):
    postgres.psql("CREATE TABLE copied (i int); CREATE TABLE slow (i int); CREATE TABLE numbers_copied (i int); CREATE VIEW seen AS SELECT 1 AS i; "
                  "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                  "$$BEGIN PERFORM pg_sleep(0.3); RAISE EXCEPTION 'no'; END$$; "
                  "CREATE TRIGGER per_statement BEFORE INSERT ON slow FOR EACH STATEMENT EXECUTE FUNCTION refuse(); "
                  "CREATE TRIGGER per_row BEFORE INSERT ON copied FOR EACH ROW EXECUTE FUNCTION refuse()")
    target = f"host={harness.HOST} port={postgres.port} dbname=postgres"
    databases = {"one": f"{target} pool_mode=transaction pool_size=1",
                 "session": f"{target} pool_mode=session pool_size=2"}
    with harness.Pgweir(postgres, databases=databases) as pooler:
        yield pooler


async def connect(server, database):
    connection = await wire.Connection.open(harness.HOST, server.port)
    await connection.send(wire.startup(user="postgres", database=database))
    await until(connection, "Z:I")
    return connection


async def until(connection, last):
    """All messages up to the one that is wanted, in plain form."""
    seen = []
    async with asyncio.timeout(LIMIT):
        while not seen or seen[-1] != last:
            seen.append(wire.plain(*await connection.receive()))
            assert seen[-1] is not None
    return seen


def copy_extended(table):
    return wire.parse(f"COPY {table} FROM STDIN") + wire.bind() + wire.describe() + wire.execute() + wire.SYNC


async def ask(connection, value):
    await connection.send(wire.query(f"SELECT '{value}', pg_sleep(0.2)"))


async def answer(connection):
    return [message for message in await until(connection, "Z:I") if isinstance(message, tuple)]


def test_sync_behind_a_copy_that_failed_at_once(pooler):
    """The Sync sent with the COPY was not passed over: both it and the one behind the data are answered."""
    async def run():
        writer, neighbour = await connect(pooler, "one"), await connect(pooler, "one")
        await writer.send(copy_extended("slow"))
        assert (await until(writer, "G"))[-1] == "G"
        await writer.send(wire.copy_data(b"1\n") + wire.COPY_DONE + wire.SYNC)
        await ask(neighbour, "neighbour")
        assert await until(writer, "Z:I") == ["E:P0001", "Z:I"]
        assert await until(writer, "Z:I") == ["Z:I"]
        assert await answer(neighbour) == [("neighbour", "")]
        await ask(writer, "writer")
        assert await answer(writer) == [("writer", "")]
        writer.close()
        neighbour.close()

    asyncio.run(run())


@pytest.mark.parametrize("database", ["one", "session"])
def test_copy_into_a_view(pooler, database):
    """Fails behind CopyInResponse; the client lives on, and sees nothing that is not its own."""
    async def run():
        writer = await connect(pooler, database)
        for turn in range(3):
            await writer.send(copy_extended("seen"))
            assert (await until(writer, "Z:I"))[-3:] == ["G", "E:42809", "Z:I"]
            await ask(writer, f"turn {turn}")
            assert await answer(writer) == [(f"turn {turn}", "")]
        writer.close()

    asyncio.run(run())


def test_query_in_the_middle_of_a_copy(pooler):
    """It is no end of the data: the one who sends it may lose the connection, the neighbours nothing."""
    async def run():
        writer = await connect(pooler, "one")
        neighbours = [await connect(pooler, "one") for _ in range(3)]
        await writer.send(wire.query("COPY copied FROM STDIN"))
        assert await until(writer, "G") == ["G"]
        await writer.send(wire.copy_data(b"1\n") + wire.copy_data(b"x") * 3000 +
                          wire.query("SELECT 'writer', pg_sleep(0.2)"))
        for number, neighbour in enumerate(neighbours):
            await ask(neighbour, f"neighbour {number}")
        for number, neighbour in enumerate(neighbours):
            assert await answer(neighbour) == [(f"neighbour {number}", "")]
            neighbour.close()
        writer.close()

    asyncio.run(run())


def test_data_behind_the_end_is_dropped(pooler):
    """CopyData and CopyDone of a COPY that has failed long ago neither need nor hold a server."""
    async def run():
        writer, neighbour = await connect(pooler, "one"), await connect(pooler, "one")
        await writer.send(wire.query("COPY copied FROM STDIN"))
        assert await until(writer, "G") == ["G"]
        await writer.send(wire.copy_data(b"not a number\n"))
        await writer.send(wire.copy_fail("enough"))
        assert (await until(writer, "Z:I"))[-1] == "Z:I"
        await writer.send(wire.copy_data(b"1\n") * 100 + wire.COPY_DONE)
        await ask(neighbour, "neighbour")
        assert await answer(neighbour) == [("neighbour", "")]
        await ask(writer, "writer")
        assert await answer(writer) == [("writer", "")]
        writer.close()
        neighbour.close()

    asyncio.run(run())


def pipeline(by_query, bad):
    """A COPY with a Sync before each row, of which one is bad, and all that a client may have behind it."""
    begin = wire.query("COPY numbers_copied FROM STDIN") if by_query else copy_extended("numbers_copied")
    rows = (wire.SYNC + wire.copy_data(b"bad\n" if row == bad else b"1\n") for row in range(4))
    select = wire.parse("SELECT 'extended'") + wire.bind() + wire.execute() + wire.SYNC
    return begin + b"".join(rows) + wire.COPY_DONE + wire.SYNC + select + wire.query("SELECT 'simple'; SELECT 1/0")


@pytest.mark.parametrize("by_query", [True, False])
@pytest.mark.parametrize("database", ["one", "session"])
def test_pipeline_behind_a_failed_copy(postgres, pooler, database, by_query):
    """All is answered as PostgreSQL does, however many of the Syncs it has read before the COPY failed."""
    async def hear(connection, bad):
        await connection.send(pipeline(by_query, bad) + pipeline(by_query, 3 - bad) + wire.query("SELECT 'last'"))
        return await until(connection, ("last",)) + await until(connection, "Z:I")

    async def run():
        direct, writer = await connect(postgres, "postgres"), await connect(pooler, database)
        neighbour = await connect(pooler, database)
        for bad in range(-1, 5):
            assert await hear(writer, bad) == await hear(direct, bad)
            await neighbour.send(wire.query(f"SELECT 'neighbour {bad}'"))
            assert await answer(neighbour) == [(f"neighbour {bad}",)]
        for connection in (direct, writer, neighbour):
            connection.close()

    asyncio.run(run())
