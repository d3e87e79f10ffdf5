"""What the clients of crosstalk.py do with a connection, with the answer that must come."""

import asyncio
import hashlib
import struct

import wire
from crosstalk_client import DONE, SESSION, STYLES, TRANSACTION, ZONES, Any, Client, Wrong, step


def quoted(value):
    return "'" + value.replace("'", "''") + "'"


class Steps(Client):
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
                    sql = "SELECT 1 / (n - 1) FROM generate_series(1, $1::int) n"
                    data += wire.parse(sql) + wire.bind("3") + wire.execute()
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

    @step(6)
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

    # What belongs to a session --------------------------------------------------------------------------

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
