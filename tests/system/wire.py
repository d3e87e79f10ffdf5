"""
PostgreSQL's protocol by hand, for tests that say byte by byte what is sent and hold each answer against what it
must be. Nothing is read ahead and nothing buffered but the rest of one receive, so a test that stops reading
makes the other side feel it.
"""

import asyncio
import socket
import struct

PROTOCOL = 3 << 16
CANCEL_REQUEST, SSL_REQUEST, GSSENC_REQUEST = ((1234 << 16) + code for code in (5678, 5679, 5680))

RECEIVE = 1 << 16


class Closed(Exception):
    """The other side has closed the connection."""


# What a client sends --------------------------------------------------------------------------------------


def message(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


def text(value):
    return value.encode() + b"\0"


def startup(protocol=PROTOCOL, /, **parameters):
    body = b"".join(text(key) + text(value) for key, value in parameters.items())
    return packet(struct.pack("!I", protocol) + body + b"\0")


def packet(body):
    """What comes before the messages have types."""
    return struct.pack("!I", len(body) + 4) + body


def cancel_request(key):
    return packet(struct.pack("!I", CANCEL_REQUEST) + key)


def query(sql):
    return message(b"Q", text(sql))


def parse(sql, name=""):
    return message(b"P", text(name) + text(sql) + struct.pack("!H", 0))


def bind(*values, portal="", statement=""):
    """With all parameters and all results as text."""
    body = text(portal) + text(statement) + struct.pack("!HH", 0, len(values))
    for value in values:
        body += struct.pack("!I", len(value.encode())) + value.encode()
    return message(b"B", body + struct.pack("!H", 0))


def describe(what="P", name=""):
    return message(b"D", what.encode() + text(name))


def close(what, name):
    return message(b"C", what.encode() + text(name))


def execute(portal="", limit=0):
    return message(b"E", text(portal) + struct.pack("!I", limit))


def copy_data(data):
    return message(b"d", data)


def copy_fail(reason):
    return message(b"f", text(reason))


SYNC, FLUSH, COPY_DONE, TERMINATE = (message(kind) for kind in (b"S", b"H", b"c", b"X"))


# What a server sends --------------------------------------------------------------------------------------


def fields(body):
    """The fields of an error or a notice, by their letters."""
    return {field[:1].decode(): field[1:].decode(errors="replace") for field in body.split(b"\0") if field}


def row(body):
    (count,), at, values = struct.unpack_from("!H", body), 2, []
    for _ in range(count):
        (size,) = struct.unpack_from("!i", body, at)
        at += 4
        values.append(None if size < 0 else body[at:at + size].decode())
        at += max(size, 0)
    return tuple(values)


def pair(body):
    name, value = body.split(b"\0")[:2]
    return name.decode(), value.decode()


def plain(kind, body):
    """
    A message in the form in which tests expect it: a row as the tuple of its values, COPY data as its bytes,
    "C:SELECT 1", "Z:I", "E:22012", and the mere letter of what needs no telling apart.
    """
    if kind == "D":
        return row(body)
    if kind == "d":
        return body
    if kind == "C":
        return "C:" + body[:-1].decode()
    if kind == "Z":
        return "Z:" + body.decode()
    if kind == "E":
        return "E:" + fields(body)["C"]
    return kind


class Connection:
    """A socket that speaks in messages."""

    def __init__(self, sock):
        self.sock = sock
        self.loop = asyncio.get_running_loop()
        self.input = b""
        self.at = 0
        self.pause = 0  # seconds to wait before each receive

    @classmethod
    async def open(cls, host, port, receive_buffer=None):
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    async def send(self, data):
        try:
            await self.loop.sock_sendall(self.sock, data)
        except OSError as error:
            raise Closed(str(error)) from None

    async def fill(self, size):
        """Waits until so many bytes are there."""
        parts, have = [self.input[self.at:]], len(self.input) - self.at
        while have < size:
            if self.pause:
                await asyncio.sleep(self.pause)
            try:
                chunk = await self.loop.sock_recv(self.sock, RECEIVE)
            except OSError as error:
                raise Closed(str(error)) from None
            if not chunk:
                raise Closed(f"end of file with {have} bytes left over" if have else "end of file")
            parts.append(chunk)
            have += len(chunk)
        self.input, self.at = b"".join(parts), 0

    async def bytes(self, size):
        if len(self.input) - self.at < size:
            await self.fill(size)
        self.at += size
        return self.input[self.at - size:self.at]

    async def receive(self):
        """The next message: its letter and its body."""
        header = await self.bytes(5)
        return chr(header[0]), await self.bytes(struct.unpack_from("!I", header, 1)[0] - 4)

    async def rest(self, limit=None):
        """All messages until the other side closes, or for so many seconds."""
        messages = []
        try:
            async with asyncio.timeout(limit):
                while True:
                    messages.append(await self.receive())
        except (Closed, TimeoutError):
            return messages

    def shut(self):
        """No more will be sent, but what comes is still received."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise Closed(str(error)) from None

    def close(self, reset=False):
        """Without a word; with a reset, what is still on its way is lost as well."""
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
