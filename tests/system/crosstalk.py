#!/usr/bin/python3
"""
The load of test_crosstalk.py: clients that ask for values only they know, in every way the protocol has, and hold
each message that comes back against the one that must come. Some cancel, some vanish, some stall in the middle of
a message, some send rubbish.

    crosstalk.py '{"port": 6432, "mode": "transaction", "seed": 1, "first": 0, "clients": 100, "seconds": 10, ...}'

Prints what was done as JSON. A failure names the client, its seed, and what it did last; the same seed gives each
client the same plan again, though not the same neighbours at the same moment.
"""

import asyncio
import collections
import hashlib
import json
import random
import struct
import sys
import time

import wire

PATIENCE = 100  # seconds for one step: the queue may be long, but somebody who never gets an answer is a failure
IN_FLIGHT = 10  # seconds within which a cancel of one's own may still arrive

ZONES = ("Asia/Tokyo", "America/New_York", "Europe/Paris", "Africa/Cairo", "UTC")
STYLES = ("ISO, MDY", "ISO, DMY", "German, DMY", "SQL, MDY")

ALL, SESSION, TRANSACTION, STATEMENT = ("session", "transaction", "statement"), "session", "transaction", "statement"
DONE = "C:SELECT 1"


class Wrong(Exception):
    """Something came back that should not have, or did not come."""


class Cancelled(Exception):
    """A cancel of our own has hit a later query than the one it was meant for, as it may."""


STEPS, FAREWELLS = [], []


def step(weight, *modes, cancels=False):
    """One thing that a client does; it leaves the connection idle."""
    return lambda function: STEPS.append((weight, modes or ALL, cancels, function)) or function


def farewell(weight, *modes):
    """The last thing that a client does with a connection."""
    return lambda function: FAREWELLS.append((weight, modes or ALL, False, function)) or function


def quoted(value):
    return "'" + value.replace("'", "''") + "'"


class Client:
    def __init__(self, number, options, report):
        self.number = number
        self.mode = options["mode"]
        self.options = options
        self.report = report
        self.rng = random.Random(f"{options['seed']}/{number}")
        self.cancels = number % 4 == 0  # who never cancels must never be cancelled
        self.steps = self.repertoire(STEPS)
        self.farewells = self.repertoire(FAREWELLS)
        self.last = collections.deque(maxlen=8)
        self.session = self.sequence = 0
        self.connection = None

    def repertoire(self, table):
        mine = [(weight, function) for weight, modes, cancels, function in table
                if self.mode in modes and (self.cancels or not cancels)]
        return [function for _, function in mine], [weight for weight, _ in mine]

    def choose(self, repertoire):
        functions, weights = repertoire
        return self.rng.choices(functions, weights)[0]

    def chance(self, probability):
        return self.rng.random() < probability

    def token(self):
        """A value that nobody else knows."""
        self.sequence += 1
        return f"c{self.number}.{self.session}.{self.sequence}.{self.rng.getrandbits(48):012x}"

    # Life -----------------------------------------------------------------------------------------------

    async def run(self, deadline):
        """Connects and works, again and again."""
        await asyncio.sleep(self.rng.random() / 2)
        try:
            while time.monotonic() < deadline and not self.report.failures:
                await self.live(deadline)
        except (Wrong, wire.Closed, OSError) as error:
            if not self.report.failures or isinstance(error, Wrong):
                self.report.failures.append(f"client {self.number} of seed {self.options['seed']}, which did "
                                            f"{', '.join(self.last)}: {type(error).__name__}: {error}")
        finally:
            self.hang_up()

    async def live(self, deadline):
        if self.chance(0.1):
            await self.perform(Client.rubbish)
        await self.perform(Client.connect)
        for _ in range(self.rng.randrange(1, 9 if self.mode == SESSION else 16)):
            if time.monotonic() > deadline or self.connection is None:
                break
            await self.perform(self.choose(self.steps))
        if self.connection is not None:
            await self.perform(Client.terminate if time.monotonic() > deadline else self.choose(self.farewells))
        self.hang_up()

    async def perform(self, function):
        name = function.__name__
        self.last.append(name)
        try:
            async with asyncio.timeout(PATIENCE):
                await function(self)
        except TimeoutError:
            raise Wrong(f"no answer within {PATIENCE} s") from None
        except Cancelled:
            self.report.done["cancelled later"] += 1
            self.hang_up()
        self.report.done[name] += 1
        if self.connection is not None and self.reported != self.settings:
            raise Wrong(f"believes {self.reported} instead of {self.settings}")

    def hang_up(self, reset=False):
        if self.connection is not None:
            self.connection.close(reset)
        self.connection = None

    async def open(self):
        small = 4096 if self.chance(0.1) else None
        return await wire.Connection.open(self.options["host"], self.options["port"], small)

    async def connect(self):
        self.session += 1
        self.cancels_sent = self.cancels_seen = 0
        self.cancelled_at = 0
        self.prepared, self.private, self.listening = {}, {}, None
        self.settings = dict(self.options["defaults"], application_name=self.token())
        given = {"application_name": self.settings["application_name"]}
        for name, values in (("TimeZone", ZONES), ("DateStyle", STYLES)):
            if self.chance(0.5):
                self.settings[name] = given[name] = self.rng.choice(values)
        self.reported = {}
        self.connection = await self.open()
        for code in (wire.SSL_REQUEST, wire.GSSENC_REQUEST):
            if self.chance(0.1):
                await self.connection.send(wire.packet(struct.pack("!I", code)))
                if await self.connection.bytes(1) != b"N":
                    raise Wrong("TLS or GSSAPI, which nobody set up")
        hello = wire.startup(user=self.options["user"], database=self.options["dbname"], **given)
        value = self.token()
        ahead = self.chance(0.1)  # does not wait for the login to be over
        await self.send(hello + (wire.query(f"SELECT '{value}'") if ahead else b""))
        await self.expect("R", "K")
        self.key = self.raw
        await self.expect("Z:I")
        if ahead:
            await self.expect("T", (value,), DONE, "Z:I")

    # Sending and receiving ------------------------------------------------------------------------------

    async def send(self, data):
        """Most often in one piece; else cut anywhere, and now and then with a long pause in the middle."""
        luck = self.rng.random()
        if luck < 0.8 or len(data) < 2:
            await self.connection.send(data)
            return
        cuts = sorted(self.rng.randrange(1, len(data)) for _ in range(1 if luck > 0.99 else 1 + int(luck * 50) % 5))
        if luck < 0.85:
            cuts = list(range(1, min(len(data), 20)))  # byte by byte
        for start, end in zip([0] + cuts, cuts + [len(data)]):
            await self.connection.send(data[start:end])
            await asyncio.sleep(1 if luck > 0.99 else self.rng.random() * 0.005)

    async def receive(self):
        """The next message that answers something, in wire.plain() form."""
        while True:
            kind, body = await self.connection.receive()
            if kind == "S":
                self.heard(*wire.pair(body))
            elif kind == "A":
                self.notified(body)
            elif kind == "N":
                raise Wrong(f"notice {wire.fields(body)}")
            else:
                self.raw = body
                return wire.plain(kind, body)

    def heard(self, name, value):
        if name in self.settings:
            self.reported[name] = value

    def notified(self, body):
        channel, payload = (part.decode() for part in body[4:].split(b"\0")[:2])
        if channel != self.listening or not payload.startswith(f"c{self.number}.{self.session}."):
            raise Wrong(f"notification {channel} {payload} instead of {self.listening}")

    def is_own_cancel(self):
        """
        Whether an error 57014 can come of a cancel that we sent ourselves. Each accounts for two at most:
        PostgreSQL signals a process first and its group then, and between the two the next query may begin.
        """
        if self.cancels_seen >= 2 * self.cancels_sent or time.monotonic() - self.cancelled_at > IN_FLIGHT:
            return False
        self.cancels_seen += 1
        return True

    def mismatch(self, got, wanted):
        if got == "E:57014" and self.is_own_cancel():
            return Cancelled()
        if isinstance(got, str) and got.startswith("E:"):
            got = f"{got} {wire.fields(self.raw)}"
        return Wrong(f"{str(got)[:600]} instead of {str(wanted)[:600]}")

    async def expect(self, *wanted):
        for want in wanted:
            got = await self.receive()
            if got != want:
                raise self.mismatch(got, want)

    async def ask(self, data, *wanted):
        """Sends data and receives just these messages, both at once, since either may have to wait for the other."""
        sending = asyncio.ensure_future(self.send(data))
        try:
            await self.expect(*wanted)
            await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def until_ready(self):
        messages = [await self.receive()]
        while not str(messages[-1]).startswith("Z:"):
            messages.append(await self.receive())
        return messages

    # Simple queries -------------------------------------------------------------------------------------

    @step(20)
    async def simple(self):
        value = self.token()
        await self.ask(wire.query(f"SELECT '{value}'"), "T", (value,), DONE, "Z:I")

    @step(5)
    async def several_in_one(self):
        values = [self.token() for _ in range(self.rng.randrange(2, 6))]
        wanted = [part for value in values for part in ("T", (value,), DONE)]
        await self.ask(wire.query("; ".join(f"SELECT '{value}'" for value in values)), *wanted, "Z:I")

    @step(10)
    async def pipeline_of_queries(self):
        """Errors in between do not disturb the others."""
        data, wanted = b"", []
        for _ in range(self.rng.randrange(2, 12)):
            value = self.token()
            if self.chance(0.2):
                data += wire.query(f"SELECT '{value}'::int")
                wanted += ["E:22P02", "Z:I"]
            else:
                data += wire.query(f"SELECT '{value}'")
                wanted += ["T", (value,), DONE, "Z:I"]
        await self.ask(data, *wanted)

    @step(2)
    async def empty(self):
        await self.ask(wire.query(" "), "I", "Z:I")

    @step(5)
    async def error(self):
        """The message of the error carries the value."""
        value = self.token()
        await self.ask(wire.query(f"SELECT '{value}'::int"), "E:22P02")
        if value not in wire.fields(self.raw)["M"]:
            raise Wrong(f"another's error: {wire.fields(self.raw)}")
        await self.expect("Z:I")

    @step(2)
    async def error_amid_rows(self):
        value = self.token()
        sql = f"SELECT '{value}', 1 / (3 - n) FROM generate_series(1, 3) n"
        await self.ask(wire.query(sql), "T", (value, "0"), (value, "1"), "E:22012", "Z:I")

    @step(2)
    async def function_call(self):
        """int4larger(a, b), by the fast path."""
        number = str(self.rng.getrandbits(30))
        arguments = b"".join(struct.pack("!I", len(n)) + n for n in (number.encode(), b"7"))
        body = struct.pack("!IHH", 768, 0, 2) + arguments + struct.pack("!H", 0)
        await self.ask(wire.message(b"F", body), "V")
        if self.raw[4:].decode() != str(max(int(number), 7)):
            raise Wrong(f"{self.raw} instead of {number}")
        await self.expect("Z:I")

    @step(2)
    async def big_result(self):
        """A few MB, read with pauses."""
        value, rows = self.token(), self.rng.choice((10, 100, 400))
        sql = f"SELECT '{value}:' || n || repeat('{self.number % 10}', 9000) FROM generate_series(1, {rows}) n"
        self.connection.pause = self.rng.choice((0, 0, 0.001, 0.01))
        wanted = [(f"{value}:{n}" + str(self.number % 10) * 9000,) for n in range(1, rows + 1)]
        await self.ask(wire.query(sql), "T", *wanted, f"C:SELECT {rows}", "Z:I")
        self.connection.pause = 0

    @step(3)
    async def big_query(self):
        value = self.token() + self.rng.choice("xyz") * self.rng.choice((60000, 66000, 300000, 1000000))
        digest = hashlib.md5(value.encode()).hexdigest()
        sql = f"SELECT md5('{value}')"
        if self.chance(0.5):
            await self.ask(wire.query(sql), "T", (digest,), DONE, "Z:I")
        else:
            data = wire.parse("SELECT md5($1)") + wire.bind(value) + wire.execute() + wire.SYNC
            await self.ask(data, "1", "2", (digest,), DONE, "Z:I")

    # Extended queries -----------------------------------------------------------------------------------

    def extended_query(self, value):
        """One query with a parameter, and its answer."""
        data = wire.parse("SELECT $1::text, 'fixed'") + wire.bind(value)
        wanted = ["1", "2"]
        if self.chance(0.5):
            data += wire.describe()
            wanted += ["T"]
        return data + wire.execute(), [*wanted, (value, "fixed"), DONE]

    @step(15)
    async def extended(self):
        data, wanted = self.extended_query(self.token())
        await self.ask(data + wire.SYNC, *wanted, "Z:I")

    @step(8)
    async def pipeline_of_syncs(self):
        """Several groups in one send; in some a query fails, and the rest of its group is passed over."""
        data, wanted = b"", []
        for _ in range(self.rng.randrange(2, 8)):
            failed = False
            for _ in range(self.rng.randrange(1, 4)):
                if self.chance(0.15):
                    data += wire.parse("SELECT 1 / (n - 1) FROM generate_series(1, $1::int) n") + wire.bind("3") + wire.execute()
                    wanted += [] if failed else ["1", "2", "E:22012"]
                    failed = True
                else:
                    more, answer = self.extended_query(self.token())
                    data += more
                    wanted += [] if failed else answer
            data += wire.SYNC
            wanted += ["Z:I"]
        await self.ask(data, *wanted)

    @step(4)
    async def mixed_pipeline(self):
        value = self.token()
        data, wanted = self.extended_query(self.token())
        data = wire.query(f"SELECT '{value}'") + data + wire.SYNC + wire.query(f"SELECT '{value}'::int")
        await self.ask(data, "T", (value,), DONE, "Z:I", *wanted, "Z:I", "E:22P02", "Z:I")

    @step(4)
    async def flush(self):
        """Takes the answer before it says Sync."""
        data, wanted = self.extended_query(self.token())
        await self.ask(data + wire.FLUSH, *wanted)
        if self.chance(0.3):
            await asyncio.sleep(self.rng.random() * 0.1)
        await self.ask(wire.SYNC, "Z:I")

    @step(3)
    async def lone_sync(self):
        count = self.rng.randrange(1, 4)
        await self.ask(wire.SYNC * count, *["Z:I"] * count)

    @step(4)
    async def portal(self):
        """Rows by the handful, from a portal with a name."""
        value = self.token()
        data = wire.parse("SELECT $1 || n FROM generate_series(1, 5) n") + wire.bind(value, portal="p")
        data += wire.execute("p", 2) * 2 + wire.execute("p") + wire.close("P", "p") + wire.SYNC
        rows = [(f"{value}{n}",) for n in range(1, 6)]
        await self.ask(data, "1", "2", *rows[:2], "s", *rows[2:4], "s", rows[4], DONE, "3", "Z:I")

    @step(2)
    async def errors_before_sync(self):
        """What follows an error up to Sync is dropped, whenever it comes."""
        await self.ask(wire.parse("SELECT nonsense") + wire.FLUSH, "E:42703")
        data, _ = self.extended_query(self.token())
        value = self.token()
        await self.send(data + wire.query("SELECT 'dropped'"))
        await self.ask(wire.SYNC + wire.query(f"SELECT '{value}'"), "Z:I", "T", (value,), DONE, "Z:I")

    # Transactions ---------------------------------------------------------------------------------------

    def ledger(self, value, kind):
        """A line in the ledger; the key is unique, so one that is written twice is an error."""
        return f"INSERT INTO ledger VALUES ('{value}', '{kind}')"

    @step(4)
    async def single_insert(self):
        value = self.token()
        await self.ask(wire.query(self.ledger(value, "committed")), "C:INSERT 0 1", "Z:I")
        self.report.committed.append(value)

    @step(10, SESSION, TRANSACTION)
    async def transaction(self):
        value = self.token()
        end = self.rng.choice(("COMMIT", "ROLLBACK", "error, ROLLBACK", "error, COMMIT"))
        kind = "committed" if end == "COMMIT" else "rolled back"
        await self.ask(wire.query("BEGIN"), "C:BEGIN", "Z:T")
        await self.ask(wire.query("SELECT pg_backend_pid()"), "T", (pid := Any(),), DONE, "Z:T")
        await self.ask(wire.query(self.ledger(value, kind)), "C:INSERT 0 1", "Z:T")
        for _ in range(self.rng.randrange(4)):
            if self.chance(0.1):
                await asyncio.sleep(self.rng.random() * 0.2)
            data, wanted = self.extended_query(self.token())
            await self.ask(data + wire.SYNC, *wanted, "Z:T")
        await self.ask(wire.query("SELECT pg_backend_pid()"), "T", (pid.value,), DONE, "Z:T")
        if end.startswith("error"):
            await self.ask(wire.query("SELECT nonsense"), "E:42703", "Z:E")
            await self.ask(wire.query("SELECT 1"), "E:25P02", "Z:E")
        await self.ask(wire.query(end.split()[-1]), "C:COMMIT" if end == "COMMIT" else "C:ROLLBACK", "Z:I")
        if end == "COMMIT":
            self.report.committed.append(value)

    @step(4, SESSION, TRANSACTION)
    async def pipelined_transaction(self):
        value = self.token()
        data = wire.query("BEGIN") + wire.query(self.ledger(value, "committed")) + wire.query(f"SELECT '{value}'")
        await self.ask(data + wire.query("COMMIT"), "C:BEGIN", "Z:T", "C:INSERT 0 1", "Z:T", "T", (value,), DONE,
                       "Z:T", "C:COMMIT", "Z:I")
        self.report.committed.append(value)

    @step(3, SESSION, TRANSACTION)
    async def transactions_back_to_back(self):
        """The next one begins in the same message as the last one ends."""
        values = [self.token() for _ in range(3)]
        await self.ask(wire.query(f"BEGIN; SELECT '{values[0]}'"), "C:BEGIN", "T", (values[0],), DONE, "Z:T")
        for value in values[1:]:
            await self.ask(wire.query(f"COMMIT; BEGIN; SELECT '{value}'"), "C:COMMIT", "C:BEGIN", "T", (value,), DONE,
                           "Z:T")
        await self.ask(wire.query("ROLLBACK"), "C:ROLLBACK", "Z:I")

    # COPY -----------------------------------------------------------------------------------------------

    @step(5)
    async def copy_out(self):
        value, count = self.token(), self.rng.choice((0, 1, 100, 100, 20000))
        lines = [f"{value}\t{n}\n".encode() for n in range(1, count + 1)]
        sql = f"COPY (SELECT '{value}', n FROM generate_series(1, {count}) n) TO STDOUT"
        if self.chance(0.5):
            await self.ask(wire.query(sql), "H", *lines, "c", f"C:COPY {count}", "Z:I")
        else:
            data = wire.parse(sql) + wire.bind() + wire.execute() + wire.SYNC
            await self.ask(data, "1", "2", "H", *lines, "c", f"C:COPY {count}", "Z:I")

    def copy_lines(self, value, count):
        """The data of a COPY FROM, in messages that do not care for lines, and the sum of what is in it."""
        data = "".join(f"{value}\t{n}\n" for n in range(count)).encode()
        size = self.rng.choice((7, 1000, 100000)) if count <= 100 else 100000
        return b"".join(wire.copy_data(data[at:at + size]) for at in range(0, len(data), size))

    async def count_copied(self, value, count):
        total = str(count * (count - 1) // 2) if count else None
        await self.ask(wire.query(f"SELECT count(*), sum(n) FROM copied WHERE token = '{value}'"), "T",
                       (str(count), total), DONE, "Z:I")

    @step(6)
    async def copy_in(self):
        value, count = self.token(), self.rng.choice((0, 10, 100, 20000))
        data = self.copy_lines(value, count) + wire.COPY_DONE
        if self.chance(0.3):  # all at once, before the server asks for it
            await self.ask(wire.query("COPY copied FROM STDIN") + data, "G", f"C:COPY {count}", "Z:I")
        else:
            await self.ask(wire.query("COPY copied FROM STDIN"), "G")
            await self.ask(data, f"C:COPY {count}", "Z:I")
        await self.count_copied(value, count)

    @step(3)
    async def extended_copy_in(self):
        value = self.token()
        begin = wire.parse("COPY copied FROM STDIN") + wire.bind() + wire.execute()
        data = self.copy_lines(value, 100) + wire.COPY_DONE + wire.SYNC
        if self.chance(0.5):  # as libpq does: a Sync that the server passes over
            await self.ask(begin + wire.SYNC, "1", "2", "G")
        else:
            await self.ask(begin + wire.FLUSH, "1", "2", "G")
        await self.ask(data, "C:COPY 100", "Z:I")
        await self.count_copied(value, 100)

    @step(3)
    async def copy_given_up(self):
        value = self.token()
        await self.ask(wire.query("COPY copied FROM STDIN"), "G")
        await self.ask(self.copy_lines(value, 100) + wire.copy_fail(value), "E:57014", "Z:I")
        await self.count_copied(value, 0)

    @step(4)
    async def copy_gone_wrong(self):
        """The server refuses a line, and the rest comes all the same."""
        value, more = self.token(), self.rng.choice((10, 1000, 100000))
        data = wire.copy_data(f"{value}\tnonsense\n".encode()) + self.copy_lines(value, more) + wire.COPY_DONE
        await self.ask(wire.query("COPY copied FROM STDIN"), "G")
        await self.ask(data, "E:22P02", "Z:I")
        if self.chance(0.3):
            await asyncio.sleep(self.rng.random())
        await self.count_copied(value, 0)

    # Settings -------------------------------------------------------------------------------------------

    @step(10)
    async def who_am_i(self):
        names = ("application_name", "TimeZone", "DateStyle")
        sql = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
        await self.ask(wire.query(sql), "T", tuple(self.settings[name] for name in names), DONE, "Z:I")
        await self.ask(wire.query("SHOW application_name"), "T", (self.settings["application_name"],), "C:SHOW", "Z:I")

    def new_setting(self):
        name = self.rng.choice(tuple(self.settings))
        values = {"TimeZone": ZONES, "DateStyle": STYLES}.get(name) or (self.token() + " isn't \\ yours",)
        return name, self.rng.choice(values)

    @step(6)
    async def change_setting(self):
        name, value = self.new_setting()
        self.settings[name] = value
        sql = f"SET {name} = {quoted(value)}"
        way = self.rng.randrange(3)
        if way == 0:
            await self.ask(wire.query(sql), "C:SET", "Z:I")
        elif way == 1:
            await self.ask(wire.parse(sql) + wire.bind() + wire.execute() + wire.SYNC, "1", "2", "C:SET", "Z:I")
        else:
            await self.ask(wire.query(sql) + wire.query(f"SHOW {name}"), "C:SET", "Z:I", "T", (value,), "C:SHOW", "Z:I")

    @step(3)
    async def change_setting_in_vain(self):
        """An error takes it back."""
        name, value = self.new_setting()
        sql = f"SET {name} = {quoted(value)}; SELECT nonsense"
        await self.ask(wire.query(sql), "C:SET", "E:42703", "Z:I")

    @step(4, SESSION, TRANSACTION)
    async def change_setting_and_roll_back(self):
        name, value = self.new_setting()
        local, before = self.chance(0.5), self.settings[name]
        sql = f"SET {'LOCAL ' if local else ''}{name} = {quoted(value)}"
        end = self.rng.choice(("COMMIT", "ROLLBACK"))
        await self.ask(wire.query("BEGIN"), "C:BEGIN", "Z:T")
        await self.ask(wire.query(sql), "C:SET", "Z:T")
        await self.ask(wire.query(f"SHOW {name}"), "T", (value,), "C:SHOW", "Z:T")
        await self.ask(wire.query(end), f"C:{end}", "Z:I")
        if end == "COMMIT" and not local:
            self.settings[name] = value
        after = self.settings[name]
        if after == before:
            await self.ask(wire.query(f"SHOW {name}"), "T", (after,), "C:SHOW", "Z:I")

    # What belongs to a session --------------------------------------------------------------------------

    @step(6, SESSION)
    async def prepared_statement(self):
        """Everybody uses the same names."""
        name = self.rng.choice(("first", "second"))
        data, wanted = b"", []
        if name not in self.prepared:
            self.prepared[name] = self.token()
            data, wanted = wire.parse(f"SELECT '{self.prepared[name]}' || $1", name), ["1"]
        value = self.token()
        data += wire.bind(value, statement=name) + wire.execute() + wire.SYNC
        await self.ask(data, *wanted, "2", (self.prepared[name] + value,), DONE, "Z:I")

    @step(4, SESSION)
    async def temporary_table(self):
        if "table" not in self.private:
            value = self.token()
            await self.ask(wire.query("SELECT to_regclass('pg_temp.mine')"), "T", (None,), DONE, "Z:I")
            await self.ask(wire.query(f"CREATE TEMP TABLE mine AS SELECT '{value}' AS v"), DONE, "Z:I")
            self.private["table"] = value
        await self.ask(wire.query("SELECT v FROM mine"), "T", (self.private["table"],), DONE, "Z:I")

    @step(4, SESSION)
    async def unreported_setting(self):
        sql = "SELECT coalesce(current_setting('crosstalk.owner', true), '')"
        await self.ask(wire.query(sql), "T", (self.private.get("owner", ""),), DONE, "Z:I")
        self.private["owner"] = self.token()
        await self.ask(wire.query(f"SET crosstalk.owner = '{self.private['owner']}'"), "C:SET", "Z:I")

    @step(3, SESSION)
    async def notifications(self):
        channel = f"crosstalk_{self.number}"
        if self.listening is None:
            self.listening = channel
            await self.ask(wire.query(f"LISTEN {channel}"), "C:LISTEN", "Z:I")
        await self.ask(wire.query(f"NOTIFY {channel}, '{self.token()}'"), "C:NOTIFY", "Z:I")

    @step(2, SESSION)
    async def advisory_lock(self):
        sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        held = self.private.get("locks", 0)
        await self.ask(wire.query(sql), "T", (str(held),), DONE, "Z:I")
        await self.ask(wire.query(f"SELECT pg_advisory_lock({self.number}, {self.session * 100 + held})"), "T", ("",),
                       DONE, "Z:I")
        self.private["locks"] = held + 1

    # Cancels --------------------------------------------------------------------------------------------

    async def cancel(self, delay, key):
        """A request on a connection of its own, as libpq sends it."""
        await asyncio.sleep(delay)
        connection = await self.open()
        self.cancelled_at = time.monotonic()
        self.cancels_sent += 1
        await connection.send(wire.cancel_request(key))
        if await connection.rest():
            raise Wrong("an answer to a cancel request")
        connection.close()

    async def one_of(self, *answers):
        """Any of these, or the beginning of one with the error of a cancel for the rest."""
        got = await self.until_ready()
        if got in answers:
            return
        if got[-2:-1] == ["E:57014"] and any(got[:-2] == answer[:len(got) - 2] for answer in answers):
            if self.is_own_cancel():
                self.report.done["cancels that hit"] += 1
                return
            raise Wrong(f"cancelled by nobody: {got}")
        wrong = next((message for message in got if str(message).startswith("E:")), got)
        raise self.mismatch(wrong, answers)

    @step(12, cancels=True)
    async def cancelled(self):
        """Before, during or after the query, as it comes; also while the query waits for a server."""
        value, seconds = self.token(), self.rng.choice((0, 0.02, 0.2, 1))
        delay = self.rng.choice((0, 0, 0.005, seconds / 2, seconds, seconds + 0.01))
        padding = "/*" + "x" * self.rng.choice((0, 0, 0, 100, 70000, 300000)) + "*/"
        sql = f"SELECT '{value}', pg_sleep({seconds}) {padding}"
        helpers = [asyncio.ensure_future(self.cancel(delay, self.key)) for _ in range(self.rng.choice((1, 1, 2)))]
        if self.chance(0.5):
            data, answer = wire.query(sql), ["T", (value, ""), DONE, "Z:I"]
        else:
            data = wire.parse(sql) + wire.bind() + wire.describe() + wire.execute() + wire.SYNC
            answer = ["1", "2", "T", (value, ""), DONE, "Z:I"]
        try:
            if self.chance(0.3):
                await self.connection.send(data[:len(data) // 2])
                await asyncio.sleep(self.rng.random() * 0.3)
                await self.connection.send(data[len(data) // 2:])
            else:
                await self.send(data)
            await self.one_of(answer)
        finally:
            await asyncio.gather(*helpers)

    @step(4, cancels=True)
    async def cancelled_pipeline(self):
        values = [self.token() for _ in range(5)]
        helper = asyncio.ensure_future(self.cancel(self.rng.random() * 0.1, self.key))
        try:
            await self.send(b"".join(wire.query(f"SELECT '{value}', pg_sleep(0.02)") for value in values))
            for value in values:
                await self.one_of(["T", (value, ""), DONE, "Z:I"])
        finally:
            await helper

    @step(4, cancels=True)
    async def cancelled_too_late(self):
        """The query is over. The next of our own may be hit, if the cancel was on its way by then; no one else's."""
        value = self.token()
        await self.ask(wire.query(f"SELECT '{value}'"), "T", (value,), DONE, "Z:I")
        if self.chance(0.5):
            await self.cancel(0, self.key)
            return
        await self.send(wire.query(f"SELECT '{value}'"))
        await self.cancel(0, self.key)
        await self.one_of(["T", (value,), DONE, "Z:I"])

    # The end --------------------------------------------------------------------------------------------

    @farewell(10)
    async def terminate(self):
        await self.connection.send(wire.TERMINATE)
        if await self.connection.rest():
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
        self.connection.sock.shutdown(1)
        await self.connection.rest()
        self.hang_up()

    @farewell(2, STATEMENT)
    async def refused_transaction(self):
        await self.connection.send(wire.query("BEGIN"))
        answers = [wire.plain(*message) for message in await self.connection.rest()]
        if answers[-1:] != ["E:0A000"] or answers[:-1] not in ([], ["C:BEGIN", "Z:T"]):
            raise Wrong(f"{answers} to BEGIN")
        self.hang_up()

    @farewell(4)
    async def nonsense(self):
        """What no client may send ends its connection, with an error that says so; wherever it comes."""
        if self.mode != STATEMENT and self.chance(0.3):
            await self.ask(wire.query("BEGIN"), "C:BEGIN", "Z:T")
        await self.connection.send(self.rng.choice((
            wire.message(b"?"), wire.message(b"\0", b"x" * 100), wire.message(b"p", b"secret\0"),
            b"Q" + struct.pack("!I", 3), b"Q" + struct.pack("!I", 0) + b"x", b"Q" + struct.pack("!I", 0x7fffffff) + b"x",
            b"P" + struct.pack("!I", 0xffffffff) + b"x", b"S" + struct.pack("!I", 1 << 20) + b"x",
            b"d" + struct.pack("!I", 0x80000000) + b"x", b"D" + struct.pack("!I", 2))))
        answers = [wire.plain(*message) for message in await self.connection.rest()]
        if answers not in ([], ["E:08P01"]):
            raise Wrong(f"{answers} to nonsense")
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
        user, dbname = self.options["user"], self.options["dbname"]
        good = wire.startup(user=user, database=dbname)
        connection = await self.open()
        await connection.send(self.rng.choice((
            b"", good[:self.rng.randrange(1, len(good))], self.rng.randbytes(self.rng.randrange(4, 100)),
            struct.pack("!I", 0), struct.pack("!I", 3), struct.pack("!I", 0x7fffffff) + b"x" * 20,
            struct.pack("!II", 20000, wire.PROTOCOL) + b"x" * 20000, wire.packet(struct.pack("!I", 2 << 16) + b"x" * 292),
            wire.packet(struct.pack("!I", 4 << 16) + b"user\0x\0\0"), wire.packet(struct.pack("!I", wire.PROTOCOL)),
            wire.packet(struct.pack("!I", wire.PROTOCOL) + b"user"), wire.packet(struct.pack("!I", wire.PROTOCOL) + b"\0"),
            wire.startup(user=user, database="atlantis"), wire.startup(user="stranger", database=dbname),
            wire.cancel_request(self.rng.randbytes(8)), wire.cancel_request(b"\0" * 8), wire.cancel_request(b""),
            wire.packet(struct.pack("!I", wire.SSL_REQUEST)) + self.rng.randbytes(50), wire.query("SELECT 1"))))
        if any(kind == "Z" for kind, _ in await connection.rest(1)):
            raise Wrong("an answer to rubbish")
        connection.close(self.chance(0.5))


class Any:
    """Equal to whatever comes first, and remembers it."""

    value = None

    def __eq__(self, other):
        self.value = other if self.value is None else self.value
        return self.value == other


class Report:
    def __init__(self):
        self.done = collections.Counter()
        self.committed = []
        self.failures = []


async def main(options):
    report = Report()
    deadline = time.monotonic() + options["seconds"]
    numbers = range(options["first"], options["first"] + options["clients"])
    await asyncio.gather(*(Client(number, options, report).run(deadline) for number in numbers))
    print(json.dumps({"done": report.done, "committed": report.committed, "failures": report.failures[:10]}))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
