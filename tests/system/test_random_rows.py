"""
Random clients of a table that changes: prepared statements with and without a name, in pipelines, with errors between
them, cut anywhere. Each answer is of the kind that is due, and no row is of another shape than its client was told.

    PGWEIR_ROWS_SEED    of the clients' plans (drawn, and printed)
"""

import asyncio
import contextlib
import os
import random
import struct

import pytest

import harness
import wire

CLIENTS = 10
CHANGES = 40
LIMIT = 30  # seconds for the answers to what was sent at once
NAMES_MAX = 6
TEXTS = ("SELECT * FROM random_rows", "SELECT * FROM random_rows WHERE true")

# What a client sends, and what answers it.
STEPS = {
    "parse": (lambda name: wire.parse(TEXTS[int(name[1:] or 0) % 2], name), "1"),
    "describe": (lambda name: wire.describe("S", name), "T"),
    "bind": (lambda name: wire.bind(statement=name), "2"),
    "describe portal": (lambda name: wire.describe(), "T"),
    "execute": (lambda name: wire.execute(), "C"),
    "close": (lambda name: wire.close("S", name), "3"),
    "fail": (lambda name: wire.bind(statement="nobody's"), None),
    "sync": (lambda name: wire.SYNC, "Z"),
}


def columns(body):
    found = []
    (count,) = struct.unpack_from("!H", body)
    position = 2
    for _ in range(count):
        end = body.index(0, position)
        found.append(body[position:end].decode())
        position = end + 19
    return found


class Client:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.number = 0
        self.names = set()  # that it has
        self.hoped = []  # that it has, if what it sends before their use succeeds
        self.known = {}  # name: the columns that it was told
        self.stale = set()
        self.rows = 0

    async def open(self, pooler):
        self.connection = await wire.Connection.open(harness.HOST, pooler.port)
        await self.connection.send(wire.startup(user="postgres", database="postgres"))
        while (await self.connection.receive())[0] != "Z":
            pass

    def plan_use(self, name):
        described = [("describe portal", name)] if self.rng.random() < 0.4 else []
        return [("bind", name), *described, ("execute", name)]

    def plan_new(self, name):
        steps = [("parse", name)]
        if self.rng.random() < 0.5:
            steps.append(("describe", name))
        if self.rng.random() < 0.5:
            steps += self.plan_use(name)
        return steps

    def plan_step(self):
        chance = self.rng.random()
        if chance < 0.07:
            return [("fail", None)]
        if chance < 0.25 or not self.hoped:
            self.number += 1
            self.hoped.append(f"n{self.number}")
            return self.plan_new(self.hoped[-1])
        if chance < 0.35:
            return self.plan_new("")
        name = self.rng.choice(self.hoped)
        if chance < 0.43 or len(self.hoped) > NAMES_MAX:
            self.hoped.remove(name)
            return [("close", name)]
        return [("describe", name)] if chance < 0.55 else self.plan_use(name)

    def plan(self):
        steps = []
        self.hoped = sorted(self.names)
        for _ in range(self.rng.choice((1, 1, 1, 2, 3))):
            for _ in range(self.rng.randint(1, 3)):
                steps += self.plan_step()
            steps.append(("sync", None))
        return steps

    async def send(self, data):
        """In pieces, of which the next may come with the last one, or later."""
        cuts = sorted(self.rng.randrange(len(data)) for _ in range(self.rng.choice((0, 0, 1, 3))))
        for start, end in zip([0, *cuts], [*cuts, len(data)]):
            await self.connection.send(data[start:end])
            await asyncio.sleep(0.001 if self.rng.random() < 0.5 else 0)

    async def answer(self, step, name):
        """Up to the last message for the step; None: it has failed."""
        told = None
        while True:
            kind, body = await self.connection.receive()
            if kind == "E":
                assert step != "sync", wire.fields(body)
                if wire.fields(body)["C"] == "0A000":
                    self.stale.add(name)
                return None
            if kind == "T":
                told = columns(body)
            if kind == "D":
                self.rows += 1
                row = list(wire.row(body))
                assert self.portal is None or row == self.portal, (row, self.portal)
            elif kind == STEPS[step][1]:
                return told or kind
            else:
                assert (step, kind) == ("describe", "t"), (step, name, kind)

    def learn(self, step, name, answer):
        if step == "parse":
            self.names.add(name)
        elif step == "close":
            self.names.discard(name)
        if step in ("parse", "close"):
            self.known.pop(name, None)
        elif step == "bind":
            self.portal = self.known.get(name)
        elif step == "describe":
            self.known[name] = answer
        elif step == "describe portal":
            self.portal = answer
            self.known[name] = answer

    async def answers(self, steps):
        skipping = False
        for step, name in steps:
            if skipping and step != "sync":
                continue
            answer = await self.answer(step, name)
            skipping = answer is None
            if not skipping:
                self.learn(step, name, answer)

    async def talk(self, steps):
        data = b"".join(STEPS[step][0](name) for step, name in steps)
        try:
            async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
                group.create_task(self.send(data))
                await self.answers(steps)
        except BaseException as error:
            error.add_note(f"while answering {steps}")
            raise

    async def run(self):
        await self.talk(self.plan())
        # What is out of date is prepared anew by another name.
        for name in sorted(self.stale & self.names):
            await self.talk([("close", name), ("sync", None)])
        self.stale.clear()


async def change(postgres, rng):
    names = ["a"]
    for number in range(CHANGES):
        if len(names) > 3 or (len(names) > 1 and rng.random() < 0.5):
            sql = f"DROP COLUMN {names.pop()}"
        else:
            names.append(f"c{number}")
            sql = f"ADD COLUMN {names[-1]} text DEFAULT '{names[-1]}'"
        await asyncio.to_thread(postgres.psql, f"ALTER TABLE random_rows {sql}")
        await asyncio.sleep(rng.random() * 0.03)


async def run(postgres, pooler, seed):
    clients = [Client(f"{seed}/{number}") for number in range(CLIENTS)]
    done = asyncio.Event()

    async def work(client):
        while not done.is_set():
            await client.run()

    with contextlib.ExitStack() as stack:
        for client in clients:
            await client.open(pooler)
            stack.callback(client.connection.close)
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(work(client))
            await change(postgres, random.Random(seed))
            done.set()
    assert all(client.rows > 0 for client in clients)


@pytest.mark.full
@pytest.mark.parametrize("prepare_unnamed, max_prepared_statements", [(0, 200), (1, 200), (1, 1)])
def test_rows_are_as_told(postgres, pgweir, prepare_unnamed, max_prepared_statements):
    seed = int(os.environ.get("PGWEIR_ROWS_SEED", random.randrange(1 << 32)))
    print(f"PGWEIR_ROWS_SEED={seed}")
    pooler = pgweir(default_pool_size=2, pool_mode="transaction", prepare_unnamed=prepare_unnamed,
                    max_prepared_statements=max_prepared_statements)
    postgres.psql("DROP TABLE IF EXISTS random_rows; CREATE TABLE random_rows (a text DEFAULT 'a');"
                  " INSERT INTO random_rows DEFAULT VALUES")
    asyncio.run(run(postgres, pooler, seed))
    postgres.psql("DROP TABLE random_rows")
