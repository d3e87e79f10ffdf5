"""
Tables that change under load, over fewer servers than clients. Who keeps the description of a statement's rows must
never get rows of another shape; it is told, once, and what it prepares then is up to date on whatever server it gets.
"""

import asyncio
import contextlib
import struct

import pytest

import harness
import wire

CLIENTS = 8
CHANGES = 15
LIMIT = 30  # seconds for an answer


@pytest.fixture
def few(pgweir):
    pooler = pgweir(default_pool_size=2, pool_mode="transaction")
    pooler.psql("DROP TABLE IF EXISTS changing; CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)")
    yield pooler
    pooler.psql("DROP TABLE changing")


class Keeper:
    """A driver that asks once what the rows are, and prepares anew when it is told that they have changed."""

    def __init__(self, by_portal):
        self.by_portal = by_portal
        self.number = 0
        self.columns = None
        self.told = 0

    async def open(self, pooler):
        self.connection = await wire.Connection.open(harness.HOST, pooler.port)
        await self.connection.send(wire.startup(user="postgres", database="postgres"))
        await self.answers()

    async def answers(self):
        """All up to ReadyForQuery; a description is kept, rows must match it. An error is returned."""
        error = None
        async with asyncio.timeout(LIMIT):
            while True:
                kind, body = await self.connection.receive()
                if kind == "T":
                    (self.columns,) = struct.unpack_from("!H", body)
                elif kind == "D":
                    assert struct.unpack_from("!H", body) == (self.columns,)
                elif kind == "E":
                    error = wire.fields(body)
                elif kind == "Z":
                    return error

    def use(self):
        return wire.bind(statement=f"s{self.number}")

    async def prepare(self):
        """Close, Parse and Describe; with the portal's description it is used at once."""
        old, self.number = f"s{self.number}", self.number + 1
        ask = (self.use() + wire.describe() + wire.execute() if self.by_portal
               else wire.describe("S", f"s{self.number}"))
        await self.connection.send(wire.close("S", old) + wire.parse("SELECT * FROM changing", f"s{self.number}") +
                                   ask + wire.SYNC)
        assert await self.answers() is None

    async def run(self):
        await self.connection.send(self.use() + wire.execute() + wire.SYNC)
        error = await self.answers()
        if error is None:
            return
        assert (error["C"], error["R"]) == ("0A000", "RevalidateCachedQuery"), error
        self.told += 1
        await self.prepare()


async def change(pooler):
    for number in range(CHANGES):
        await asyncio.to_thread(pooler.psql, f"ALTER TABLE changing ADD COLUMN b{number} int")


@pytest.mark.parametrize("by_portal", [False, True], ids=["statement", "portal"])
def test_rows_are_what_was_described(few, by_portal):
    async def work(keeper, done):
        await keeper.prepare()
        while not done.is_set():
            await keeper.run()

    async def run():
        done = asyncio.Event()
        keepers = [Keeper(by_portal) for _ in range(CLIENTS)]
        with contextlib.ExitStack() as stack:
            for keeper in keepers:
                await keeper.open(few)
                stack.callback(keeper.connection.close)
            async with asyncio.TaskGroup() as group:
                for keeper in keepers:
                    group.create_task(work(keeper, done))
                await change(few)
                done.set()
            assert all(keeper.told > 0 for keeper in keepers)
            for keeper in keepers:
                for _ in range(4):  # on either server
                    await keeper.run()
                assert keeper.columns == 1 + CHANGES

    asyncio.run(run())
