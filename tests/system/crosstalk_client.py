"""
A client of crosstalk.py, without the things that it does: its life, and how it sends and receives.
"""

import asyncio
import collections
import random
import struct
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


class Excused(Exception):
    """What came instead is our own doing or an accident; nobody knows where that leaves the connection."""


STEPS, FAREWELLS = [], []


def step(weight, *modes, cancels=False):
    """One thing that a client does; it leaves the connection idle."""
    return lambda function: STEPS.append((weight, modes or ALL, cancels, function)) or function


def farewell(weight, *modes):
    """The last thing that a client does with a connection."""
    return lambda function: FAREWELLS.append((weight, modes or ALL, False, function)) or function


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
        self.ended = False

    def end(self):
        """Nobody begins anything new."""
        self.ended = True


class Client:
    step_patience = PATIENCE

    def __init__(self, number, options, report):
        self.number = number
        self.mode = options["mode"]
        self.options = options
        self.dbname, self.user = options["pools"][number % len(options["pools"])]
        self.accidents = options.get("accidents", False)
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
            while time.monotonic() < deadline and not self.report.failures and not self.report.ended:
                await self.live(deadline)
        except (Wrong, wire.Closed, OSError) as error:
            if not self.report.failures or isinstance(error, Wrong):
                self.report.failures.append(f"client {self.number} of seed {self.options['seed']}, which did "
                                            f"{', '.join(self.last)}: {type(error).__name__}: {error}")
        finally:
            self.hang_up()

    async def live(self, deadline):
        if self.chance(0.1):
            await self.perform(type(self).rubbish)
        await self.perform(type(self).connect)
        for _ in range(self.rng.randrange(1, 9 if self.mode == SESSION else 16)):
            if time.monotonic() > deadline or self.connection is None:
                break
            await self.perform(self.choose(self.steps))
        if self.connection is not None:
            await self.perform(type(self).terminate if time.monotonic() > deadline else self.choose(self.farewells))
        self.hang_up()

    async def perform(self, function):
        name = function.__name__
        self.last.append(name)
        try:
            await self.attempt(function)
        except (Excused, wire.Closed) as end:
            if not self.accidents and not isinstance(end, Excused):
                raise
            self.report.done["excused"] += 1
            self.hang_up()
        self.report.done[name] += 1
        if self.connection is not None and self.reported != self.settings:
            raise Wrong(f"believes {self.reported} instead of {self.settings}")

    async def attempt(self, function):
        try:
            async with asyncio.timeout(self.step_patience):
                await function(self)
        except TimeoutError:
            raise self.out_of_patience() from None

    def out_of_patience(self):
        return Wrong(f"no answer within {self.step_patience} s")

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
        await self.negotiate()
        hello = wire.startup(user=self.user, database=self.dbname, **given)
        value = self.token()
        ahead = self.chance(0.1)  # does not wait for the login to be over
        await self.send(hello + (wire.query(f"SELECT '{value}'") if ahead else b""))
        await self.expect("R", "K")
        self.key = self.raw
        await self.expect("Z:I")
        if ahead:
            await self.expect("T", (value,), DONE, "Z:I")

    async def negotiate(self):
        """What comes before the startup packet."""
        for code in (wire.SSL_REQUEST, wire.GSSENC_REQUEST):
            if self.chance(0.1):
                await self.connection.send(wire.packet(struct.pack("!I", code)))
                if await self.connection.bytes(1) != b"N":
                    raise Wrong("TLS or GSSAPI, which nobody set up")

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
                self.noticed(wire.fields(body))
            else:
                self.raw = body
                return wire.plain(kind, body)

    def heard(self, name, value):
        if name in self.settings:
            self.reported[name] = value

    def noticed(self, notice):
        """The daemon says so when somebody waits for long; nothing else here gives cause for a notice."""
        if "client being queued" not in notice["M"]:
            raise Wrong(f"notice {notice}")

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

    def is_accident(self, got):
        """Whether our server was ended under us, as some tests do."""
        return self.accidents and got in ("E:57P01", "E:08006")

    def mismatch(self, got, wanted):
        if got == "E:57014" and self.is_own_cancel():
            return Excused()
        if self.is_accident(got):
            return Excused()
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

    async def last_words(self):
        """What comes until the daemon closes the connection."""
        words = [wire.plain(*message) for message in await self.connection.rest()]
        return [word for word in words if not self.is_accident(word)]

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
        if isinstance(self.mismatch(wrong, answers), Excused):
            raise Excused
        raise Wrong(f"{got} instead of {answers}")
