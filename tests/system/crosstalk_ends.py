"""How the clients of crosstalk.py end a connection, and how some begin one: seldom as they should."""

import asyncio
import struct

import wire
from crosstalk_client import SESSION, STATEMENT, TRANSACTION, Wrong, farewell
from crosstalk_steps import Steps


class Ends(Steps):
    @farewell(10)
    async def terminate(self):
        await self.connection.send(wire.TERMINATE)
        if await self.last_words():
            raise Wrong("an answer to Terminate")
        self.hang_up()

    @farewell(3)
    async def vanish_idle(self):
        self.hang_up(self.chance(0.5))

    @farewell(4)
    async def vanish_in_query(self):
        sql = f"SELECT '{self.token()}', pg_sleep({self.rng.choice((0.01, 0.3, 30))})"
        await self.connection.send(self.rng.choice((
            wire.query(sql), wire.query(sql) * 3, wire.parse(sql) + wire.bind() + wire.execute() + wire.SYNC)))
        await asyncio.sleep(self.rng.random() * 0.05)
        self.hang_up(self.chance(0.5))

    @farewell(4)
    async def vanish_amid_a_result(self):
        value = self.token()
        sql = f"SELECT '{value}:' || repeat('x', 9000) FROM generate_series(1, 1000)"
        await self.ask(wire.query(sql), "T", *[(f"{value}:" + "x" * 9000,)] * self.rng.randrange(20))
        await asyncio.sleep(self.rng.random() * 0.05)
        self.hang_up(self.chance(0.5))

    @farewell(3)
    async def vanish_in_copy_out(self):
        value = self.token()
        sql = f"COPY (SELECT '{value}', n FROM generate_series(1, 1000000) n) TO STDOUT"
        await self.ask(wire.query(sql), "H", f"{value}\t1\n".encode())
        self.hang_up(self.chance(0.5))

    @farewell(4)
    async def vanish_in_copy_in(self):
        """What was sent must not arrive."""
        await self.ask(wire.query("COPY copied FROM STDIN"), "G")
        data = self.copy_lines("abandoned", self.rng.choice((1, 1000, 20000)))
        await self.connection.send(data[:self.rng.randrange(len(data)) + 1])
        self.hang_up(self.chance(0.5))

    @farewell(4, SESSION, TRANSACTION)
    async def vanish_in_transaction(self):
        await self.ask(wire.query("BEGIN"), "C:BEGIN", "Z:T")
        await self.ask(wire.query(self.ledger(self.token(), "abandoned")), "C:INSERT 0 1", "Z:T")
        if self.chance(0.5):
            await self.ask(wire.query("SELECT nonsense"), "E:42703", "Z:E")
        self.hang_up(self.chance(0.5))

    @farewell(3)
    async def vanish_before_sync(self):
        value = self.token()
        data = wire.parse(self.ledger(value, "abandoned")) + wire.bind() + wire.execute() + wire.FLUSH
        await self.ask(data, "1", "2", "C:INSERT 0 1")
        self.hang_up(self.chance(0.5))

    @farewell(4)
    async def vanish_in_half_a_message(self):
        data = wire.query(f"{self.ledger(self.token(), 'abandoned')} -- " + "x" * self.rng.choice((0, 100, 200000)))
        await self.connection.send(data[:self.rng.randrange(1, len(data))])
        await asyncio.sleep(self.rng.choice((0, 0.1, 1)))
        self.hang_up(self.chance(0.5))

    @farewell(2)
    async def cancel_and_vanish(self):
        await self.connection.send(wire.query(f"SELECT '{self.token()}', pg_sleep(0.1)"))
        helper = asyncio.ensure_future(self.cancel(self.rng.random() * 0.1, self.key))
        await asyncio.sleep(self.rng.random() * 0.1)
        self.hang_up(self.chance(0.5))
        await helper

    @farewell(2)
    async def shut_one_way(self):
        """No more will be sent; the answer may come or not."""
        await self.connection.send(wire.query(f"SELECT '{self.token()}'"))
        self.connection.shut()
        await self.connection.rest()
        self.hang_up()

    @farewell(2, STATEMENT)
    async def refused_transaction(self):
        await self.connection.send(wire.query("BEGIN"))
        words = await self.last_words()
        if words != ["C:BEGIN", "E:0A000"] and not self.accidents:
            raise Wrong(f"{words} to BEGIN")
        self.hang_up()

    @farewell(4)
    async def nonsense(self):
        """What no client may send ends its connection, with an error that says so; wherever it comes."""
        if self.mode != STATEMENT and self.chance(0.3):
            await self.ask(wire.query("BEGIN"), "C:BEGIN", "Z:T")
        await self.connection.send(self.rng.choice((
            wire.message(b"?"), wire.message(b"\0", b"x" * 100), wire.message(b"p", b"secret\0"),
            *(kind + struct.pack("!I", size) + b"x" for kind, size in (
                (b"Q", 3), (b"Q", 0), (b"D", 2), (b"Q", 0x7fffffff), (b"P", 0xffffffff), (b"S", 1 << 20),
                (b"d", 0x80000000))))))
        words = await self.last_words()
        if words != ["E:08P01"] and not self.accidents:
            raise Wrong(f"{words} to nonsense")
        self.hang_up()

    @farewell(2)
    async def noise(self):
        """Anything may come of it, but not for anybody else."""
        await self.connection.send(self.rng.randbytes(self.rng.randrange(1, 500)))
        await self.connection.rest(1)
        self.hang_up(self.chance(0.5))

    def any_message(self):
        """One of the protocol's messages, correct in itself."""
        sql = self.rng.choice((
            f"SELECT '{self.token()}'", f"SELECT '{self.token()}' || n FROM generate_series(1, 3) n", "SELECT nonsense",
            "COPY copied FROM STDIN", f"COPY (SELECT '{self.token()}') TO STDOUT", "BEGIN", "ROLLBACK", ""))
        return self.rng.choice((
            wire.query(sql), wire.parse(sql), wire.parse(sql), wire.bind(), wire.bind(), wire.describe("P"),
            wire.describe("S"), wire.execute(), wire.execute(), wire.execute(limit=1), wire.close("P", ""), wire.SYNC,
            wire.SYNC, wire.FLUSH, wire.copy_data(b"any\t1\n"), wire.copy_data(b"bad\n"), wire.COPY_DONE,
            wire.copy_fail("no"), wire.message(b"F", struct.pack("!IHHH", 1, 0, 0, 0))))

    @farewell(8)
    async def gibberish(self):
        """Good messages in no good order. No matter what comes of it, every value in it must be our own."""
        for _ in range(self.rng.randrange(1, 4)):
            try:
                await self.send(b"".join(self.any_message() for _ in range(self.rng.randrange(1, 20))))
            except wire.Closed:
                pass  # PostgreSQL, too, gives up on a client that asks something amid its COPY data
            for kind, body in await self.connection.rest(self.rng.random() * 0.2):
                value = wire.row(body)[0] if kind == "D" else body.decode() if kind == "d" else None
                if value is not None and not value.startswith(f"c{self.number}.{self.session}."):
                    raise Wrong(f"another's value: {value}")
        self.hang_up(self.chance(0.5))

    async def rubbish(self):
        """What comes of a bad beginning: an error or nothing, never a session."""
        good = wire.startup(user=self.user, database=self.dbname)
        connection = await self.open()
        await connection.send(self.rng.choice((
            b"", good[:self.rng.randrange(1, len(good))], self.rng.randbytes(self.rng.randrange(4, 100)),
            struct.pack("!I", 0), struct.pack("!I", 3), struct.pack("!I", 0x7fffffff) + b"x" * 20,
            struct.pack("!II", 20000, wire.PROTOCOL) + b"x" * 20000,
            *(wire.packet(struct.pack("!I", version) + rest) for version, rest in (
                (2 << 16, b"x" * 292), (4 << 16, b"user\0x\0\0"), (wire.PROTOCOL, b""), (wire.PROTOCOL, b"user"),
                (wire.PROTOCOL, b"\0"))),
            wire.startup(user=self.user, database="atlantis"), wire.startup(user="stranger", database=self.dbname),
            wire.cancel_request(self.rng.randbytes(8)), wire.cancel_request(b"\0" * 8), wire.cancel_request(b""),
            wire.packet(struct.pack("!I", wire.SSL_REQUEST)) + self.rng.randbytes(50), wire.query("SELECT 1"))))
        if any(kind == "Z" for kind, _ in await connection.rest(1)):
            raise Wrong("an answer to rubbish")
        connection.close(self.chance(0.5))
