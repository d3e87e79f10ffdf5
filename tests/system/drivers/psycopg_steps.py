"""The steps of test_drivers.py with psycopg 3; prepare=N is its prepare_threshold."""

import asyncio

import psycopg
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum

from steps import run, same, unchanged


class Client:
    def __init__(self, number, options):
        self.number, self.token = number, f"psycopg-{number}"
        self.conninfo = psycopg.conninfo.make_conninfo(
            **{key: options[key] for key in ("host", "port", "dbname", "user")}, application_name=self.token)
        self.threshold = int(options.get("prepare", 5))

    async def open(self):
        self.connection = await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True)
        self.connection.prepare_threshold = self.threshold
        register_enum(await EnumInfo.fetch(self.connection, "mood"), self.connection)
        register_composite(await CompositeInfo.fetch(self.connection, "pair"), self.connection)

    async def close(self):
        await self.connection.close()

    async def row(self, sql, *values, **options):
        return await (await self.connection.execute(sql, values, **options)).fetchone()

    async def fails(self, error, sql, *values):
        try:
            await self.connection.execute(sql, values)
        except error:
            return
        raise AssertionError(f"no {error.__name__}: {sql}")

    async def named(self):
        for turn in range(6):
            for kind in range(4):
                same(await self.row(f"SELECT %s::text || '-{kind}', %s::int + {kind}", self.token, turn),
                     (f"{self.token}-{kind}", turn + kind))

    async def types(self):
        for binary in (False, True):
            row = await self.row("SELECT ROW(%s::text, %s::int)::pair, 'busy'::mood, ARRAY[%s::int, 2], NULL::text,"
                                 " convert_to(%s::text, 'UTF8'), 12345.678::numeric", self.token, self.number,
                                 self.number, self.token, binary=binary)
            same((*row[0], row[1].name, *row[2:5], str(row[5])),
                 (self.token, self.number, "busy", [self.number, 2], None, self.token.encode(), "12345.678"))

    async def settings(self):
        same(await self.row("SHOW application_name"), (self.token,))
        async with self.connection.transaction():
            await self.connection.execute("SELECT set_config('statement_timeout', %s, true)", (f"{self.number}min",))
            same(await self.row("SELECT extract(epoch FROM current_setting('statement_timeout')::interval)::int"),
                 (self.number * 60,))
        same(await self.row("SHOW statement_timeout"), ("0",))

    async def count(self):
        return (await self.row("SELECT count(*) FROM tokens WHERE token = %s", self.token))[0]

    async def clear(self):
        return (await self.connection.execute("DELETE FROM tokens WHERE token = %s", (self.token,))).rowcount

    async def insert(self, n):
        await self.connection.execute("INSERT INTO tokens VALUES (%s, %s)", (self.token, n))

    async def transaction(self):
        async with self.connection.transaction(force_rollback=True):
            await self.insert(1)
            same(await self.count(), 1)
        same(await self.count(), 0)
        async with self.connection.transaction():
            await self.insert(1)
            await self.insert(2)
        same(await self.clear(), 2)

    async def pipeline(self):
        async with self.connection.pipeline():
            cursors = [await self.connection.execute("SELECT %s::text, %s::int", (self.token, n)) for n in range(20)]
            for n, cursor in enumerate(cursors):
                same(await cursor.fetchone(), (self.token, n))
        try:
            async with self.connection.pipeline():
                await self.insert(1)
                await self.connection.execute("SELECT 1 / %s::int", (0,))
                await self.insert(2)
            raise AssertionError("no error in the pipeline")
        except psycopg.errors.DivisionByZero:
            same(await self.count(), 0)

    async def copy(self):
        rows = [(self.token, n) for n in range(100)]
        async with self.connection.cursor().copy("COPY tokens FROM STDIN") as copy:
            for row in rows:
                await copy.write_row(row)
        async with self.connection.cursor().copy(
                "COPY (SELECT * FROM tokens WHERE token = %s ORDER BY n) TO STDOUT", (self.token,)) as copy:
            same([(token, int(n)) async for token, n in copy.rows()], rows)
        for error, text in ((psycopg.errors.InvalidTextRepresentation, f"{self.token}\tx\n"),
                            (psycopg.errors.QueryCanceled, None)):
            try:
                async with self.connection.cursor().copy("COPY tokens FROM STDIN") as copy:
                    await copy.write_row((self.token, 101))
                    if text is None:
                        raise RuntimeError("the application gives up")
                    await copy.write(text)
                raise AssertionError("no error in COPY")
            except (error, RuntimeError):
                pass
        same(await self.clear(), 100)

    async def error(self):
        await self.fails(psycopg.errors.DivisionByZero, "SELECT 7 / %s::int", 0)
        same(await self.row("SELECT 7 / %s::int", 1), (7,))
        await self.fails(psycopg.errors.SyntaxError, "SELEC 1")
        for _ in range(2):
            await self.fails(psycopg.errors.UndefinedTable, "SELECT * FROM nowhere WHERE token = %s", self.token)
        try:
            async with self.connection.transaction():
                await self.insert(1)
                await self.fails(psycopg.errors.UniqueViolation, "INSERT INTO tokens VALUES (%s, %s)", self.token, 1)
                await self.insert(2)
        except psycopg.errors.InFailedSqlTransaction:
            same(await self.count(), 0)

    async def cursor(self):
        async with self.connection.transaction(), self.connection.cursor("ten") as cursor:
            cursor.itersize = 10
            await cursor.execute("SELECT %s::text, n FROM generate_series(1, 35) n", (self.token,))
            same([row async for row in cursor], [(self.token, n) for n in range(1, 36)])

    async def large(self):
        text = self.token + "x" * 300_000
        same(await self.row("SELECT %s::text", text), (text,))

    async def cancel(self):
        done = asyncio.Event()

        async def again_and_again():
            while not done.is_set():  # what comes before the query, or after it, is for nobody
                await asyncio.sleep(0.03)
                await asyncio.to_thread(self.connection.cancel)

        cancelling = asyncio.create_task(again_and_again())
        await self.fails(psycopg.errors.QueryCanceled, "SELECT pg_sleep(%s)", 60)
        done.set()
        await cancelling
        same(await self.row("SELECT %s::text", self.token), (self.token,))

    async def forget(self):
        self.connection.prepared_max = 2  # so each of named() is deallocated when it was used
        await self.named()
        self.connection.prepared_max = 100
        await self.connection.execute("DROP TABLE IF EXISTS nowhere")  # then psycopg says DEALLOCATE ALL
        await self.named()

    async def changing(self):
        cursor = await self.connection.execute("SELECT * FROM changing WHERE id = %s", (self.number,))
        unchanged(self.number, [column.name for column in cursor.description], await cursor.fetchone())


asyncio.run(run(f"psycopg {psycopg.__version__}", Client))
