"""
How clients move money from one account to another: in each way that the protocol has, with a token of its own
each time, and with the answer that must come. The journal knows before what is tried, and afterwards what came
of it.
"""

import asyncio
import contextlib

import journal
import wire
from crosstalk_client import DONE, SESSION, TRANSACTION, farewell, step
from crosstalk_ends import Ends

ACCOUNTS, BALANCE = 500, 1000  # of each bank

SCHEMA = f"""
    CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL);
    INSERT INTO account SELECT n, {BALANCE} FROM generate_series(0, {ACCOUNTS - 1}) n;
    -- No key: what is executed twice shall be seen twice.
    CREATE TABLE entry (token text NOT NULL, payer int NOT NULL, payee int NOT NULL, amount bigint NOT NULL);
    CREATE INDEX ON entry (token);
    -- In the order of the accounts, so that there are no deadlocks.
    CREATE FUNCTION pay(payer int, payee int, amount bigint) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE account SET balance = balance + CASE id WHEN payer THEN -amount ELSE amount END
            WHERE id = least(payer, payee);
        UPDATE account SET balance = balance + CASE id WHEN payer THEN -amount ELSE amount END
            WHERE id = greatest(payer, payee);
    END $$;
    CREATE FUNCTION transfer(token text, payer int, payee int, amount bigint) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO entry VALUES (token, payer, payee, amount);
        PERFORM pay(payer, payee, amount);
        RETURN token;
    END $$;
    -- As crosstalk.py has them.
    CREATE TABLE ledger (token text PRIMARY KEY, kind text);
    CREATE TABLE copied (token text, n int);
    CREATE INDEX ON copied (token);
    GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
"""

TRANSFER = "SELECT transfer($1, $2, $3, $4), current_setting('application_name')"


class Transfers(Ends):
    error = None  # the last that came
    readies = 0  # how many ReadyForQuery came outside of transactions

    # The journal ----------------------------------------------------------------------------------------

    def book(self, state, *tokens, rows=1):
        self.report.journal.write(state, self.dbname, tokens, rows)

    @contextlib.contextmanager
    def booking(self, *tokens, rows=1):
        """
        All of these transfers are sent now. Each is its own transaction, acknowledged by its own ReadyForQuery;
        behind the first that is not, nobody knows, but for what an error says.
        """
        self.book(journal.SENT, *tokens, rows=rows)
        self.error, before = None, self.readies
        try:
            yield
        except BaseException:
            done = min(self.readies - before, len(tokens))
            self.book(journal.COMMITTED, *tokens[:done], rows=rows)
            if self.was_never_sent():
                self.book(journal.REFUSED, *tokens[done:], rows=rows)
            elif self.was_refused():
                self.book(journal.REFUSED, *tokens[done:done + 1], rows=rows)
            raise
        self.book(journal.COMMITTED, *tokens, rows=rows)

    # What is said ---------------------------------------------------------------------------------------

    def order(self):
        """A token, two accounts and an amount."""
        return self.token(), *self.rng.sample(range(ACCOUNTS), 2), self.rng.randrange(1, 100)

    def simple_transfer(self):
        """One that is a query, and its answer, which has the client's token and its setting."""
        token, payer, payee, amount = self.order()
        sql = f"SELECT transfer('{token}', {payer}, {payee}, {amount}), current_setting('application_name')"
        return token, sql, ["T", (token, self.settings["application_name"]), DONE]

    def extended_transfer(self, parse=True, statement=""):
        token, *numbers = self.order()
        data = wire.parse(TRANSFER, statement) if parse else b""
        data += wire.bind(token, *map(str, numbers), statement=statement) + wire.execute()
        return token, data, [*(["1"] if parse else []), "2", (token, self.settings["application_name"]), DONE]

    # Transactions of one statement ----------------------------------------------------------------------

    @step(25)
    async def transfer(self):
        token, sql, answer = self.simple_transfer()
        with self.booking(token):
            await self.ask(wire.query(sql), *answer, "Z:I")

    @step(25)
    async def transfer_extended(self):
        token, data, answer = self.extended_transfer()
        with self.booking(token):
            await self.ask(data + wire.SYNC, *answer, "Z:I")

    @step(25)
    async def transfer_prepared(self):
        token, data, answer = self.extended_transfer("transfer" not in self.prepared, "transfer")
        with self.booking(token):
            await self.ask(data + wire.SYNC, *answer, "Z:I")
        self.prepared["transfer"] = TRANSFER

    @step(15)
    async def transfers_pipelined(self):
        """A Sync behind each, all in one send."""
        tokens, parts, answers = zip(*(self.extended_transfer() for _ in range(self.rng.randrange(2, 9))))
        with self.booking(*tokens):
            await self.ask(b"".join(part + wire.SYNC for part in parts),
                           *(message for answer in answers for message in (*answer, "Z:I")))

    @step(8)
    async def transfers_in_a_row(self):
        """Several simple queries in one send."""
        tokens, queries, answers = zip(*(self.simple_transfer() for _ in range(self.rng.randrange(2, 6))))
        with self.booking(*tokens):
            await self.ask(b"".join(map(wire.query, queries)),
                           *(message for answer in answers for message in (*answer, "Z:I")))

    @step(5)
    async def transfer_undone(self):
        """The second half of the query fails, and takes the first with it."""
        token, sql, answer = self.simple_transfer()
        self.book(journal.PART, token)
        await self.ask(wire.query(f"{sql}; SELECT 1 / 0"), *answer, "E:22012", "Z:I")

    @step(5)
    async def transfer_undone_in_pipeline(self):
        """What fails before Sync undoes what was done since the last one, and what comes is passed over."""
        first, data, answer = self.extended_transfer()
        second, more, _ = self.extended_transfer()
        sql = "SELECT 1 / (n - 1) FROM generate_series(1, $1::int) n"
        wrong = wire.parse(sql) + wire.bind("3") + wire.execute()
        self.book(journal.PART, first, second)
        await self.ask(data + wrong + more + wire.SYNC, *answer, "1", "2", "E:22012", "Z:I")

    @step(5)
    async def copy_of_entries(self):
        """Entries of nothing, since a COPY alone moves no money."""
        token, count = self.token(), self.rng.choice((1, 10, 2000))
        data = "".join(f"{token}/{n}\t0\t1\t0\n" for n in range(count)).encode()
        with self.booking(token, rows=count):
            await self.ask(wire.query("COPY entry FROM STDIN"), "G")
            await self.ask(wire.copy_data(data) + wire.COPY_DONE, f"C:COPY {count}", "Z:I")

    @step(4, cancels=True)
    async def transfer_cancelled(self):
        """Done or not done, as the answer says."""
        token, sql, answer = self.simple_transfer()
        answer = [answer[0], (*answer[1], ""), *answer[2:], "Z:I"]
        helper = asyncio.ensure_future(self.cancel(self.rng.random() * 0.1, self.key))
        self.book(journal.SENT, token)
        self.error = None
        try:
            await self.send(wire.query(f"{sql}, pg_sleep({self.rng.choice((0, 0.05))})"))
            await self.one_of(answer)
            self.book(journal.COMMITTED if self.error is None else journal.REFUSED, token)
        except BaseException:
            if self.was_never_sent():
                self.book(journal.REFUSED, token)
            raise
        finally:
            await helper

    @step(3)
    async def audit(self):
        """At no time does anybody see half a transfer."""
        await self.ask(wire.query("SELECT sum(balance) FROM account"), "T", (str(ACCOUNTS * BALANCE),), DONE, "Z:I")

    # Transactions of several ----------------------------------------------------------------------------

    def words(self, order):
        """The statements of a transfer between BEGIN and the end, with the tags of their answers."""
        token, payer, payee, amount = order
        changes = {payer: -amount, payee: amount}
        yield f"INSERT INTO entry VALUES ('{token}', {payer}, {payee}, {amount})", "C:INSERT 0 1"
        for account in sorted(changes):
            yield f"UPDATE account SET balance = balance + {changes[account]} WHERE id = {account}", "C:UPDATE 1"

    async def begin(self, order):
        """All but the end of a transaction."""
        self.book(journal.PART, order[0])
        await self.ask(wire.query("BEGIN"), "C:BEGIN", "Z:T")
        for sql, tag in self.words(order):
            if self.chance(0.5):
                await self.ask(wire.query(sql), tag, "Z:T")
            else:
                await self.ask(wire.parse(sql) + wire.bind() + wire.execute() + wire.SYNC, "1", "2", tag, "Z:T")
            if self.chance(0.1):
                await asyncio.sleep(self.rng.random() * 0.1)

    @step(20, SESSION, TRANSACTION)
    async def transfer_by_hand(self):
        order = self.order()
        await self.begin(order)
        with self.booking(order[0]):
            await self.ask(wire.query("COMMIT"), "C:COMMIT", "Z:I")

    @step(6, SESSION, TRANSACTION)
    async def transfer_rolled_back(self):
        await self.begin(self.order())
        await self.ask(wire.query("ROLLBACK"), "C:ROLLBACK", "Z:I")

    @step(5, SESSION, TRANSACTION)
    async def transfer_failed(self):
        """A COMMIT of what has failed is a ROLLBACK."""
        await self.begin(self.order())
        await self.ask(wire.query("SELECT 1 / 0"), "E:22012", "Z:E")
        await self.ask(wire.query("COMMIT"), "C:ROLLBACK", "Z:I")

    @step(12, SESSION, TRANSACTION)
    async def transfer_in_one_send(self):
        order = self.order()
        statements = [("BEGIN", "C:BEGIN"), *self.words(order), ("COMMIT", "C:COMMIT")]
        if self.chance(0.5):
            data = b"".join(wire.query(sql) for sql, _ in statements)
            answer = [message for _, tag in statements for message in (tag, "Z:T")][:-1] + ["Z:I"]
        else:
            data = b"".join(wire.parse(sql) + wire.bind() + wire.execute() for sql, _ in statements) + wire.SYNC
            answer = [message for _, tag in statements for message in ("1", "2", tag)] + ["Z:I"]
        with self.booking(order[0]):
            await self.ask(data, *answer)

    @step(6, SESSION, TRANSACTION)
    async def transfer_by_copy(self):
        token, payer, payee, amount = self.order()
        count = self.rng.randrange(1, 50)
        data = "".join(f"{token}/{n}\t{payer}\t{payee}\t{amount}\n" for n in range(count)).encode()
        cut = self.rng.randrange(len(data))
        self.book(journal.PART, token, rows=count)
        await self.ask(wire.query("BEGIN"), "C:BEGIN", "Z:T")
        await self.ask(wire.query("COPY entry FROM STDIN"), "G")
        await self.ask(wire.copy_data(data[:cut]) + wire.copy_data(data[cut:]) + wire.COPY_DONE,
                       f"C:COPY {count}", "Z:T")
        await self.ask(wire.query(f"SELECT pay({payer}, {payee}, {amount * count})"), "T", ("",), DONE, "Z:T")
        with self.booking(token, rows=count):
            await self.ask(wire.query("COMMIT"), "C:COMMIT", "Z:I")

    # Ends -----------------------------------------------------------------------------------------------

    @farewell(6)
    async def vanish_in_transfer(self):
        token, sql, _ = self.simple_transfer()
        self.book(journal.SENT, token)
        await self.connection.send(wire.query(sql))
        await asyncio.sleep(self.rng.choice((0, 0, 0.001, 0.01)))
        self.hang_up(self.chance(0.5))

    @farewell(4)
    async def vanish_in_half_a_transfer(self):
        token, sql, _ = self.simple_transfer()
        data = wire.query(sql)
        self.book(journal.PART, token)
        await self.connection.send(data[:self.rng.randrange(1, len(data))])
        self.hang_up(self.chance(0.5))

    @farewell(4)
    async def vanish_before_the_sync(self):
        token, data, answer = self.extended_transfer()
        self.book(journal.PART, token)
        if self.chance(0.5):
            await self.ask(data + wire.FLUSH, *answer)
        else:
            await self.connection.send(data)
        self.hang_up(self.chance(0.5))

    @farewell(4, SESSION, TRANSACTION)
    async def vanish_before_the_commit(self):
        await self.begin(self.order())
        self.hang_up(self.chance(0.5))

    @farewell(4, SESSION, TRANSACTION)
    async def vanish_in_the_commit(self):
        order = self.order()
        await self.begin(order)
        self.book(journal.SENT, order[0])
        await self.connection.send(wire.query("COMMIT"))
        self.hang_up(self.chance(0.5))

    @farewell(4)
    async def vanish_in_a_copy_of_entries(self):
        token = self.token()
        self.book(journal.PART, token, rows=100)
        await self.ask(wire.query("COPY entry FROM STDIN"), "G")
        await self.connection.send(wire.copy_data("".join(f"{token}/{n}\t0\t1\t0\n" for n in range(99)).encode()))
        self.hang_up(self.chance(0.5))
