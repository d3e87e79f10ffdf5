"""The steps of test_drivers.py with asyncpg. Its pipelines are those of executemany."""

import asyncio
import decimal

import asyncpg

from steps import asleep, run, same, unchanged


class Client:
    def __init__(self, number, options):
        self.number, self.token = number, f"asyncpg-{number}"
        self.options = {"host": options["host"], "port": int(options["port"]), "database": options["dbname"],
                        "user": options["user"], "server_settings": {"application_name": self.token}}

    async def open(self):
        self.connection = await asyncpg.connect(**self.options)

    async def close(self):
        await self.connection.close()

    async def row(self, sql, *values):
        return tuple(await self.connection.fetchrow(sql, *values))

    async def fails(self, error, sql, *values):
        try:
            await self.connection.fetch(sql, *values)
        except error:
            return
        raise AssertionError(f"no {error.__name__}: {sql}")

    async def named(self):
        for turn in range(6):
            for kind in range(4):
                same(await self.row(f"SELECT $1::text || '-{kind}', $2::int + {kind}", self.token, turn),
                     (f"{self.token}-{kind}", turn + kind))

    async def types(self):
        row = await self.row("SELECT ROW($1::text, $2::int)::pair, 'busy'::mood, ARRAY[$2::int, 2], NULL::text,"
                             " convert_to($1::text, 'UTF8'), 12345.678::numeric", self.token, self.number)
        same((tuple(row[0]), *row[1:]), ((self.token, self.number), "busy", [self.number, 2], None,
                                         self.token.encode(), decimal.Decimal("12345.678")))

    async def settings(self):
        same(await self.row("SHOW application_name"), (self.token,))
        async with self.connection.transaction():
            await self.row("SELECT set_config('statement_timeout', $1, true)", f"{self.number}min")
            same(await self.row("SELECT extract(epoch FROM current_setting('statement_timeout')::interval)::int"),
                 (self.number * 60,))
        same(await self.row("SHOW statement_timeout"), ("0",))

    async def count(self):
        return await self.connection.fetchval("SELECT count(*) FROM tokens WHERE token = $1", self.token)

    async def clear(self):
        return await self.connection.execute("DELETE FROM tokens WHERE token = $1", self.token)

    async def insert(self, *numbers):
        await self.connection.executemany("INSERT INTO tokens VALUES ($1, $2)", [(self.token, n) for n in numbers])

    async def transaction(self):
        transaction = self.connection.transaction()
        await transaction.start()
        await self.insert(1)
        same(await self.count(), 1)
        await transaction.rollback()
        same(await self.count(), 0)
        async with self.connection.transaction():
            await self.insert(1)
            await self.insert(2)
        same(await self.clear(), "DELETE 2")

    async def pipeline(self):
        await self.insert(*range(200))
        same(await self.clear(), "DELETE 200")
        try:
            await self.insert(*range(100), 50, *range(100, 200))
            raise AssertionError("no error in the pipeline")
        except asyncpg.UniqueViolationError:
            same(await self.count(), 0)

    async def copy(self):
        rows = [(self.token, n) for n in range(100)]
        same(await self.connection.copy_records_to_table("tokens", records=rows), "COPY 100")
        found = bytearray()

        async def keep(data):
            found.extend(data)

        await self.connection.copy_from_query("SELECT * FROM tokens WHERE token = $1 ORDER BY n", self.token,
                                              output=keep)
        same(found.decode(), "".join(f"{token}\t{n}\n" for token, n in rows))

        async def wrong():
            yield f"{self.token}\t101\n{self.token}\tx\n".encode()

        async def broken():
            yield f"{self.token}\t101\n".encode()
            raise RuntimeError("the application gives up")

        for source, error in ((wrong, asyncpg.InvalidTextRepresentationError), (broken, RuntimeError)):
            try:
                await self.connection.copy_to_table("tokens", source=source())
                raise AssertionError("no error in COPY")
            except error:
                pass
        same(await self.clear(), "DELETE 100")

    async def error(self):
        await self.fails(asyncpg.DivisionByZeroError, "SELECT 7 / $1::int", 0)
        same(await self.row("SELECT 7 / $1::int", 1), (7,))
        await self.fails(asyncpg.PostgresSyntaxError, "SELEC 1")
        for _ in range(2):
            await self.fails(asyncpg.UndefinedTableError, "SELECT * FROM nowhere WHERE token = $1", self.token)
        try:
            async with self.connection.transaction():
                await self.insert(1)
                await self.fails(asyncpg.UniqueViolationError, "INSERT INTO tokens VALUES ($1, $2)", self.token, 1)
                await self.insert(2)
        except asyncpg.InFailedSQLTransactionError:
            same(await self.count(), 0)

    async def cursor(self):
        async with self.connection.transaction():
            cursor = self.connection.cursor("SELECT $1::text, n FROM generate_series(1, 35) n", self.token, prefetch=10)
            same([tuple(row) async for row in cursor], [(self.token, n) for n in range(1, 36)])

    async def large(self):
        text = self.token + "x" * 300_000
        same(await self.row("SELECT $1::text", text), (text,))

    async def cancel(self):
        sleeping = asyncio.create_task(self.connection.execute("SELECT pg_sleep(600)"))
        await asleep(self.token)
        sleeping.cancel()
        await asyncio.wait([sleeping])
        same(await self.row("SELECT $1::text", self.token), (self.token,))  # asyncpg keeps the 57014 to itself

    async def forget(self):
        await self.named()
        statement = await self.connection.prepare("SELECT $1::text || 'forgotten'")
        same(await statement.fetchval(self.token), f"{self.token}forgotten")
        await self.connection.execute("DEALLOCATE ALL")
        try:
            await statement.fetchval(self.token)
            raise AssertionError("still there")
        except asyncpg.InvalidSQLStatementNameError:
            del statement
        await self.connection.reload_schema_state()  # so asyncpg forgets, too
        await self.named()

    async def changing(self):
        row = await self.connection.fetchrow("SELECT * FROM changing WHERE id = $1", self.number)
        unchanged(self.number, list(row.keys()), list(row.values()))


asyncio.run(run(f"asyncpg {asyncpg.__version__}", Client))
