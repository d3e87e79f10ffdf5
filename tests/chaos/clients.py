"""
The clients of chaos.py: those of crosstalk.py, which hold every message against the one that must come, and who
here also move money (transfers.py). Some use TLS, some come through the faulty network.

    clients.py '{"port": 6432, "seed": 1, "first": 0, "clients": 50, "seconds": 60, ...}'

Prints what was done as JSON. What happens to servers may cost a client its connection. It must then have been
told so by an error that fits, or be cut off; anything else that it did not ask for is a violation, as is an
answer that takes too long.
"""

import asyncio
import collections
import json
import os
import re
import signal
import socket
import ssl
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "system"))

import wire  # noqa: E402
from crosstalk_client import Excused, Report, Wrong  # noqa: E402
from journal import Journal  # noqa: E402
from transfers import Transfers  # noqa: E402

# What the end of a connection may be explained with, and whether it says that the statement did not reach a server.
FATAL = {
    "08006": False,  # the server was lost
    "25P03": False,  # idle_transaction_timeout
    "57014": False,  # query_timeout
    "57P01": False,  # the server, the pooler or the database ends
    "57P02": False,  # another backend has crashed
    "28000": True,  # a login that was refused, by the server or in time
    "53300": True,  # query_wait_timeout; or no more connections
    "55000": True,  # the database is disabled
    "57P03": True,  # the server starts up or shuts down
}
NEVER_SENT = ("server login has been failing",)  # of 08006


class TlsConnection(wire.Connection):
    """The same over TLS, of which the event loop knows only with streams."""

    async def start(self, context):
        try:
            self.reader, self.writer = await asyncio.open_connection(
                sock=self.sock, ssl=context, server_hostname="localhost", limit=wire.RECEIVE)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise wire.Closed(str(error)) from None

    async def send(self, data):
        try:
            self.writer.write(data)
            await self.writer.drain()
        except (OSError, RuntimeError) as error:
            raise wire.Closed(str(error)) from None

    async def fill(self, size):
        parts, have = [self.input[self.at:]], len(self.input) - self.at
        while have < size:
            if self.pause:
                await asyncio.sleep(self.pause)
            try:
                chunk = await self.reader.read(wire.RECEIVE)
            except OSError as error:
                raise wire.Closed(str(error)) from None
            if not chunk:
                raise wire.Closed("end of file")
            parts.append(chunk)
            have += len(chunk)
        self.input, self.at = b"".join(parts), 0

    def shut(self):
        """TLS has no half-closed connections that anybody would answer."""
        self.close()

    def close(self, reset=False):
        if reset and (sock := self.writer.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Banker(Transfers):
    def __init__(self, number, options, report):
        dbname, _ = options["pools"][number % len(options["pools"])]
        super().__init__(number, {**options, "mode": options["modes"][dbname], "accidents": True}, report)
        self.is_far = self.chance(0.2)  # behind the faulty network
        self.port = options["far_port"] if self.is_far else options["port"]
        self.tls = options["tls"] if self.chance(0.3) else None
        self.may_be_cancelled = dbname in options["cancelled"]
        self.patience = options["patience"]  # seconds for one message
        self.step_patience = 3 * self.patience

    # Connections ----------------------------------------------------------------------------------------

    async def open(self):
        small = 4096 if self.chance(0.1) else None
        try:
            return await wire.Connection.open(self.options["host"], self.port, small)
        except OSError as error:
            if self.is_far or self.options["daemon_ends"]:
                raise wire.Closed(str(error)) from None
            raise

    async def negotiate(self):
        if self.tls is None:
            return
        await self.connection.send(wire.packet(struct.pack("!I", wire.SSL_REQUEST)))
        if await self.connection.bytes(1) != b"S":
            raise Wrong("no TLS")
        secure = TlsConnection(self.connection.sock)
        await secure.start(self.tls)
        self.connection = secure

    def out_of_patience(self):
        """What lies behind a network that drops everything may be waited for in vain."""
        if self.is_far:
            self.report.done["given up"] += 1
            return wire.Closed("given up")
        return super().out_of_patience()

    # What comes back ------------------------------------------------------------------------------------

    async def receive(self):
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.patience):
                got = await super().receive()
        except TimeoutError:
            raise self.out_of_patience() from None
        if not self.is_far:
            self.report.longest = max(self.report.longest, time.monotonic() - began)
        if got == "Z:I":
            self.readies += 1
        elif isinstance(got, str) and got.startswith("E:"):
            self.failed(got, wire.fields(self.raw))
        return got

    def failed(self, got, fields):
        """Remembers an error, and judges one that ends the connection."""
        self.error = fields
        text = re.sub(r'"[^"]*"|\d+', "...", fields["M"].partition(": ")[0])
        self.report.errors[f"{fields['S']} {fields['C']} {text}"] += 1
        if fields["S"] == "FATAL" and not self.is_accident(got):
            raise Wrong(f"FATAL {fields}")

    def was_refused(self):
        """Whether the error says that the statement has not been executed, or was undone."""
        return self.error is not None and self.error["S"] == "ERROR"

    def was_never_sent(self):
        """Whether it says that nothing of what was not yet answered has reached a server."""
        return self.error is not None and self.error["S"] == "FATAL" and (
            FATAL[self.error["C"]] or self.error["M"].startswith(NEVER_SENT))

    def is_accident(self, got):
        if not isinstance(got, str) or not got.startswith("E:") or self.error is None:
            return False
        if self.error["S"] == "FATAL":
            return self.error["C"] in FATAL
        return self.may_be_cancelled and got == "E:57014"

    def is_own_cancel(self):
        return self.may_be_cancelled or super().is_own_cancel()

    def noticed(self, notice):
        if "synchronous replication" in notice["M"]:  # a cancel while the commit waited: it may be lost later
            raise Excused
        if notice["C"] not in ("57P01", "57P02"):  # the server says farewell
            super().noticed(notice)

    async def last_words(self):
        """What comes until the connection is closed, but for what explains an accident."""
        words = []
        for kind, body in await self.connection.rest(self.patience):
            if kind == "E" and wire.fields(body)["C"] in FATAL:
                continue
            if kind in "NS":
                continue
            words.append(wire.plain(kind, body))
        return words


async def main(options):
    report = Report()
    report.errors, report.longest = collections.Counter(), 0
    report.journal = Journal(options["folder"], options["first"])
    options["tls"] = ssl.create_default_context(cafile=options["ca"])
    deadline = time.monotonic() + options["seconds"]
    numbers = range(options["first"], options["first"] + options["clients"])
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, report.end)
    await asyncio.gather(*(Banker(number, options, report).run(deadline) for number in numbers))
    report.journal.close()
    print(json.dumps({"done": report.done, "committed": report.committed, "failures": report.failures[:10],
                      "errors": report.errors, "longest": report.longest}))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
