"""
The whole protocol, byte for byte: what a client gets through the pooler is what a direct connection gives it, for
random dialogues cut anywhere, for large objects, and for rows as long as PostgreSQL has them.
"""

import asyncio
import ctypes
import ctypes.util
import os
import random
import socket
import struct

import pytest

import harness
import wire

LIMIT = 60  # seconds for an answer


@pytest.fixture(scope="module")
def pooler(postgres):
    postgres.psql("CREATE TABLE numbers (i int); CREATE TABLE words (w text); CREATE VIEW looked_at AS SELECT 1 AS i; "
                  "CREATE FUNCTION fail(text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$")
    target = f"host={harness.HOST} port={postgres.port} dbname=postgres"
    databases = {mode: f"{target} pool_mode={mode} pool_size={size}"
                 for mode, size in (("transaction", 2), ("statement", 2), ("session", 8))}
    with harness.Pgweir(postgres, databases=databases, max_prepared_statements=3, query_wait_notify=0) as pooler:
        yield pooler


# Random dialogues -----------------------------------------------------------------------------------------


def call(function, value):
    """By the oid of a function of one text."""
    return wire.message(b"F", struct.pack("!IHHI", function, 0, 1, len(value)) + value + struct.pack("!H", 0))


LOWER = 870
END = "the end"


class Author:
    """Writes what one client says, in turns: what is sent, and which message it waits for then."""

    NAMES = ["a", "b", "b", "a_statement_with_a_longer_name", "Pg"]
    TEXTS = ["SELECT $1::text", "SELECT $1::text AS two, 2", "SELECT g, $1::text FROM generate_series(1, 5) g",
             "SELECT fail($1)", "SELECT FROM nowhere WHERE $1", "SELECT length($1), repeat('x', 100000)",
             "SELECT $1::text, current_setting('application_name')", "SELECT 1"]
    QUERIES = ["SELECT 1", "SELECT 1; SELECT 2", "SELECT 1/0", "", ";", "nonsense", "SELECT fail('')",
               "SET application_name = 'one'", "SET application_name = 'two'", "SHOW application_name",
               "DO $$BEGIN RAISE NOTICE 'a notice'; END$$", "DEALLOCATE a", "DEALLOCATE b", "DEALLOCATE ALL",
               "COPY (SELECT generate_series(1, 3)) TO STDOUT", "SELECT 1; SELECT 1/0; SELECT 2"]

    RESETS = ["RESET application_name", "RESET ALL", "DISCARD ALL"]

    def __init__(self, seed, mode):
        self.random = random.Random(seed)
        # Without prepared statements nothing waits for the answer to a RESET.
        self.queries = self.QUERIES + (self.RESETS if mode != "session" else [])
        self.transactions = mode != "statement"
        self.groups = [self.parse, self.parse, self.bind, self.bind, self.bind, self.portal, self.describe, self.close,
                       self.query, self.query, self.unnamed, self.call, self.flush, self.sync, self.sync, self.copy]
        self.count = 0

    def turns(self):
        for _ in range(self.random.randint(2, 5)):
            yield b"".join(self.random.choice(self.groups)() for _ in range(self.random.randint(1, 20))) + self.end(), END
            if self.random.random() < 0.3:
                yield from self.copy_with_sync()

    def end(self):
        return wire.SYNC + (wire.query("ROLLBACK") if self.transactions else b"") + wire.query(f"SELECT '{END}'")

    def name(self):
        return self.random.choice(self.NAMES)

    def parse(self):
        return wire.parse(self.random.choice(self.TEXTS), self.name())

    def value(self):
        self.count += 1
        return f"value {self.count}" + "y" * self.random.choice([0, 0, 0, 10, 100, 70000])

    def bind(self):
        data = wire.bind(self.value(), statement=self.name())
        if self.random.random() < 0.3:
            data += wire.describe()
        return data + wire.execute(limit=self.random.choice([0, 0, 2]))

    def portal(self):
        data = wire.bind(self.value(), portal="p", statement=self.name())
        for _ in range(self.random.randint(1, 3)):
            data += wire.execute("p", 2)
        return data + wire.close("P", "p")

    def describe(self):
        return wire.describe("S", self.name())

    def close(self):
        return wire.close("S", self.name())

    def query(self):
        if self.transactions and self.random.random() < 0.2:
            return wire.query(self.random.choice(["BEGIN", "COMMIT", "ROLLBACK"]))
        return wire.query(self.random.choice(self.queries))

    def unnamed(self):
        data = wire.parse(self.random.choice(self.TEXTS)) + wire.bind(self.value()) + wire.describe()
        return data + wire.execute()

    def call(self):
        return call(self.random.choice([LOWER, LOWER, 1]), b"A VALUE")

    def flush(self):
        return wire.FLUSH

    def sync(self):
        return wire.SYNC

    def copy_sql(self):
        return f"COPY {self.random.choice(['numbers', 'numbers', 'words', 'looked_at'])} FROM STDIN"

    def sync_in_copy(self):
        """Passed over; or answered, if the COPY has failed by then."""
        return wire.SYNC if self.random.random() < 0.2 else b""

    def copy_data(self):
        """Rows of which one may be bad, so that the others come late; in the end perhaps a CopyFail."""
        rows = [self.random.choice([b"1\n", b"2\n", b"bad\n"]) for _ in range(self.random.randint(0, 5))]
        data = b"".join(wire.copy_data(row) + self.sync_in_copy() for row in rows)
        return data + (wire.COPY_DONE if self.random.random() < 0.7 else wire.copy_fail("not wanted"))

    def copy(self):
        """All at once."""
        sql, data = self.copy_sql(), self.copy_data()
        if self.random.random() < 0.5:
            return wire.query(sql) + data
        return wire.parse(sql) + wire.bind() + wire.execute() + self.sync_in_copy() + data + wire.SYNC

    def copy_with_sync(self):
        """As libpq does it: the first Sync is part of what COPY passes over."""
        yield wire.parse(self.copy_sql()) + wire.bind() + wire.execute() + wire.SYNC, "G"
        yield self.copy_data() + wire.SYNC, "Z"


async def say(connection, data, cut):
    """In pieces, if there is somebody to cut it."""
    at = 0
    while at < len(data):
        size = len(data) if cut is None else cut.choice([1, 2, 5, 30, 200, 5000, 100000])
        await connection.send(data[at:at + size])
        at += size
        if cut is not None:
            await asyncio.sleep(0)


async def hear(connection, last):
    """All messages up to the last answer of a turn; of END that is its ReadyForQuery."""
    messages, ends = [], last != END
    while True:
        try:
            kind, body = await connection.receive()
        except wire.Closed as reason:
            return messages + [("closed", str(reason).encode())]
        messages.append((kind, body))
        ends = ends or (kind == "D" and body[6:] == END.encode())
        if ends and kind == ("Z" if last == END else last):
            return messages


async def converse(port, database, seed, mode, cut=None):
    connection = await wire.Connection.open(harness.HOST, port)
    heard = []
    await connection.send(wire.startup(user="postgres", database=database, application_name="test"))
    while (await connection.receive())[0] != "Z":
        pass
    for turn, last in Author(seed, mode).turns():
        async with asyncio.timeout(LIMIT):
            answers = asyncio.create_task(hear(connection, last))
            await say(connection, turn, cut)
            heard += await answers
        if heard[-1][0] == "closed":
            break
    connection.close()
    return heard


def describe(messages, at):
    """What is around it, for complaints."""
    return [(kind, body[:100]) for kind, body in messages[max(at - 3, 0):at + 3]]


def plain(messages):
    """In a failed transaction it is the Parse ahead of a Bind that is refused, at another line of PostgreSQL."""
    return [(kind, body.split(b"\0F")[0] if kind == "E" and b"\0C25P02\0" in body else body) for kind, body in messages]


async def compare(postgres, pooler, mode, seed):
    direct = plain(await converse(postgres.port, "postgres", seed, mode))
    through = plain(await converse(pooler.port, mode, seed, mode, random.Random(seed)))
    for at, (wanted, got) in enumerate(zip(direct, through)):
        assert wanted == got, f"seed {seed}, message {at}: {describe(direct, at)} became {describe(through, at)}"
    assert len(direct) == len(through)


@pytest.mark.parametrize("mode", ["transaction", "statement", "session"])
def test_random_dialogues(postgres, pooler, mode):
    """PIPELINES_SEED=n repeats one; the seed of what fails is in its message."""
    seeds = [int(os.environ["PIPELINES_SEED"])] if "PIPELINES_SEED" in os.environ else range(1, 81)

    async def run():
        free = asyncio.Semaphore(8)

        async def one(seed):
            async with free:
                await compare(postgres, pooler, mode, seed)

        async with asyncio.TaskGroup() as group:
            for seed in seeds:
                group.create_task(one(seed))

    asyncio.run(run())


def test_byte_by_byte(postgres, pooler):
    """A client whose every byte is a segment of its own."""
    async def run():
        class Single:
            def choice(self, sizes):
                return 1

        seed = 4711
        direct = await converse(postgres.port, "postgres", seed, "transaction")
        assert await converse(pooler.port, "transaction", seed, "transaction", Single()) == direct

    Author.TEXTS, texts = Author.TEXTS[:5], Author.TEXTS
    Author.value, value = lambda self: "value", Author.value
    try:
        asyncio.run(run())
    finally:
        Author.TEXTS, Author.value = texts, value


# Large objects --------------------------------------------------------------------------------------------


class Libpq:
    """Its functions for large objects, which are FunctionCalls on the wire."""

    WRITE, READ = 0x20000, 0x40000

    def __init__(self, conninfo):
        self.pq = ctypes.CDLL(ctypes.util.find_library("pq"))
        for name in ("PQconnectdb", "PQexec"):
            getattr(self.pq, name).restype = ctypes.c_void_p
        self.pq.PQerrorMessage.restype = ctypes.c_char_p
        self.connection = ctypes.c_void_p(self.pq.PQconnectdb(conninfo.encode()))
        assert self.pq.PQstatus(self.connection) == 0, self.pq.PQerrorMessage(self.connection)

    def __getattr__(self, name):
        def function(*args):
            result = getattr(self.pq, name)(self.connection, *args)
            assert result >= 0, (name, self.pq.PQerrorMessage(self.connection))
            return result
        return function

    def execute(self, sql):
        result = ctypes.c_void_p(self.pq.PQexec(self.connection, sql.encode()))
        assert self.pq.PQresultStatus(result) == 1, self.pq.PQerrorMessage(self.connection)
        self.pq.PQclear(result)

    def close(self):
        self.pq.PQfinish(self.connection)


def test_large_objects(pooler):
    writer, reader = (Libpq(pooler.conninfo("transaction")) for _ in range(2))
    data, back = os.urandom(300000), ctypes.create_string_buffer(400000)

    writer.execute("BEGIN")
    oid = writer.lo_creat(Libpq.WRITE | Libpq.READ)
    handle = writer.lo_open(oid, Libpq.WRITE)
    assert writer.lo_write(handle, data, ctypes.c_size_t(len(data))) == len(data)
    writer.lo_close(handle)
    writer.execute("COMMIT")
    reader.execute("BEGIN")
    handle = reader.lo_open(oid, Libpq.READ)
    assert reader.lo_lseek(handle, 1000, 0) == 1000
    assert reader.lo_read(handle, back, ctypes.c_size_t(len(back))) == len(data) - 1000
    assert back.raw[:len(data) - 1000] == data[1000:]
    assert reader.lo_tell(handle) == len(data)
    reader.execute("COMMIT")
    assert reader.lo_unlink(oid) == 1
    assert writer.pq.lo_unlink(writer.connection, oid) == -1
    assert b"does not exist" in writer.pq.PQerrorMessage(writer.connection)
    writer.close()
    reader.close()


# Long rows ------------------------------------------------------------------------------------------------


def longest():
    """In units of 1000 bytes: nearly 1 GB, of which PostgreSQL needs some times as much memory."""
    memory = dict(line.split(":") for line in harness.read_file("/proc/meminfo").splitlines())
    return 1_073_000 if int(memory["MemAvailable"].split()[0]) > 6 << 20 else 200_000


def long_row(thousands):
    return wire.query(f"SELECT repeat(repeat('x', 1000), {thousands})")


class Raw:
    """A blocking socket: what is long is not put together in Python."""

    def __init__(self, pooler):
        self.sock = socket.create_connection((harness.HOST, pooler.port), timeout=LIMIT)
        self.file = self.sock.makefile("rb", buffering=1 << 20)
        self.sock.sendall(wire.startup(user="postgres", database="transaction"))
        while self.header()[0] != "Z":
            self.skip()
        self.skip()

    def header(self):
        kind, size = struct.unpack("!cI", self.file.read(5))
        self.size = size - 4
        return kind.decode(), self.size

    def skip(self):
        left = self.size
        while left > 0:
            left -= len(self.file.read(min(left, 1 << 20)))

    def expect(self, kind, size=None):
        got = self.header()
        body = b"" if got[1] > 1000 else self.file.read(got[1])
        assert got[0] == kind and size in (None, got[1]), (got, body)
        return body


@pytest.fixture
def memory(pooler):
    """What the daemon has more in the end than at the start, at its highest."""
    def high():
        with open(f"/proc/{pooler.process.pid}/status") as file:
            return int(next(line for line in file if line.startswith("VmHWM:")).split()[1]) << 10

    with open(f"/proc/{pooler.process.pid}/clear_refs", "w") as file:
        file.write("5")  # VmHWM begins anew
    before = pooler.process.memory()
    yield
    assert high() - before < 8 << 20


def waits(postgres):
    return postgres.psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'") == "1"


@pytest.mark.full
def test_a_row_as_long_as_there_are(pooler, memory):
    size = longest()
    client = Raw(pooler)

    client.sock.sendall(long_row(size))
    client.expect("T")
    client.expect("D", size * 1000 + 6)
    client.skip()
    client.expect("C")
    assert client.expect("Z") == b"I"
    client.sock.close()


@pytest.mark.full
def test_a_long_row_for_a_slow_client(postgres, pooler, memory):
    """Who does not read is not read ahead for."""
    client = Raw(pooler)

    client.sock.sendall(long_row(200_000))
    client.expect("T")
    harness.wait_for(lambda: waits(postgres), what="PostgreSQL waits for who does not read")
    client.expect("D", 200_000_006)
    client.skip()
    client.expect("C")
    assert client.expect("Z") == b"I"
    client.sock.close()


@pytest.mark.full
@pytest.mark.parametrize("name", ["", "length"])
def test_a_value_as_long(pooler, memory, name):
    size = longest() * 300
    client = Raw(pooler)
    chunk = b"x" * (1 << 20)

    client.sock.sendall(wire.parse("SELECT length($1::text)", name))
    body = wire.text("") + wire.text(name) + struct.pack("!HHI", 0, 1, size)
    client.sock.sendall(b"B" + struct.pack("!I", 4 + len(body) + size + 2) + body)
    for _ in range(size // len(chunk)):
        client.sock.sendall(chunk)
    client.sock.sendall(chunk[:size % len(chunk)] + b"\0\0" + wire.execute() + wire.SYNC)
    client.expect("1")
    client.expect("2")
    assert client.expect("D").endswith(str(size).encode())
    client.expect("C")
    assert client.expect("Z") == b"I"
    client.sock.close()
