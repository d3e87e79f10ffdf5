"""
A network that can be made to fail: TCP links whose bytes are passed on as they are told.

    with Proxy({"server": 5432, "client": 6432}) as proxy:
        proxy.ports["server"]                      where to connect instead
        proxy.tell("server", "delay", 0.1)         all connections of the link, those that are there and those to come
        proxy.tell("server", "pass")

One process does the work, so that it does not take the time of whoever tells it. It ends with its standard input.
"""

import asyncio
import json
import os
import random
import socket
import struct
import subprocess
import sys

HOST = "127.0.0.1"
CHUNK = 1 << 16


class Pair:
    """A connection and the one that goes on from it. Each direction is a task of its own."""

    def __init__(self, link, near):
        self.link = link
        self.ends = [near]
        self.swallowed = False  # bytes have been lost, so it can never go on
        self.is_doomed = False  # the next bytes are the last
        self.tasks = []

    async def run(self):
        await self.link.may_connect.wait()
        try:
            self.ends.append(await asyncio.open_connection(self.link.host, self.link.port))
        except OSError:
            self.cut()
            return
        (near_reader, near_writer), (far_reader, far_writer) = self.ends
        self.tasks = [asyncio.create_task(self.carry(near_reader, far_writer)),
                      asyncio.create_task(self.carry(far_reader, near_writer))]
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.link.tells.wait()
        for _, writer in self.ends:
            writer.close()

    async def carry(self, reader, writer):
        try:
            while data := await reader.read(CHUNK):
                await self.link.carry(self, data, writer)
            if self.is_heard():
                writer.write_eof()
        except OSError:
            if self.is_heard():
                self.cut()

    def is_heard(self):
        """Whether the other end learns of anything."""
        self.swallowed = self.swallowed or self.link.mode == "drop"
        return not self.swallowed

    def cut(self):
        """Both ends learn of it at once."""
        for task in self.tasks:
            task.cancel()
        for _, writer in self.ends:
            sock = writer.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Link:
    """A port, where it leads, and what happens on the way."""

    def __init__(self, target):
        self.host, self.port = HOST, target
        self.pairs = set()
        self.mode, self.amount = "pass", 0
        self.flows = asyncio.Event()
        self.may_connect = asyncio.Event()
        self.tells = asyncio.Event()
        self.tell("pass", 0)

    async def accepted(self, reader, writer):
        if self.mode == "refuse":
            writer.transport.abort()
            return
        pair = Pair(self, (reader, writer))
        self.pairs.add(pair)
        try:
            await pair.run()
        finally:
            self.pairs.discard(pair)

    def obey(self, order, argument):
        if order == "lead":
            self.host = argument
        else:
            self.tell(order, argument)

    def tell(self, mode, amount):
        """
        pass; delay (seconds); trickle: a byte at a time; bandwidth (bytes a second); stall: nothing moves until
        it passes again; drop: everything is lost, and nobody is told; mute: new connections lead nowhere;
        refuse: those there are, too, end; and at once: reset and cut (which part of them).
        """
        if mode in ("reset", "refuse"):
            for pair in self.some(amount if mode == "reset" else 1):
                pair.cut()
        if mode == "cut":
            for pair in self.some(amount):
                pair.is_doomed = True
        if mode in ("reset", "cut"):
            return
        if mode != "drop":
            for pair in [pair for pair in self.pairs if pair.swallowed]:
                pair.cut()
        self.mode, self.amount = mode, amount
        self.switch(self.flows, mode != "stall")
        self.switch(self.tells, mode != "drop")
        self.switch(self.may_connect, mode not in ("mute", "stall", "drop"))

    def some(self, part):
        pairs = list(self.pairs)
        return random.sample(pairs, min(len(pairs), max(1, round(len(pairs) * part))))

    @staticmethod
    def switch(event, on):
        event.set() if on else event.clear()

    async def carry(self, pair, data, writer):
        if pair.is_doomed:
            writer.write(data[:len(data) // 2])
            await writer.drain()
            pair.cut()
            return
        await self.flows.wait()
        if self.mode == "drop" or pair.swallowed:
            pair.swallowed = True
            return
        if self.mode == "delay":
            await asyncio.sleep(self.amount)
        if self.mode in ("trickle", "bandwidth"):
            await self.carry_slowly(data, writer)
            return
        writer.write(data)
        await writer.drain()

    async def carry_slowly(self, data, writer):
        while data and self.mode in ("trickle", "bandwidth"):
            step, pause = (1, 0) if self.mode == "trickle" else (max(1, int(self.amount / 20)), 0.05)
            writer.write(data[:step])
            await writer.drain()
            await asyncio.sleep(pause)
            data = data[step:]
        writer.write(data)
        await writer.drain()


async def serve(targets):
    links = {name: Link(target) for name, target in targets.items()}
    ports = {}
    for name, link in links.items():
        server = await asyncio.start_server(link.accepted, HOST, 0, limit=CHUNK)
        ports[name] = server.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        name, *what = json.loads(line)
        links[name].obey(*what)
        print("done", flush=True)


class Proxy:
    def __init__(self, targets):
        self.targets = targets

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), json.dumps(self.targets)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)
        self.ports = json.loads(self.process.stdout.readline())
        return self

    def lead(self, link, host):
        """New connections go there."""
        self.tell(link, "lead", host)

    def tell(self, link, mode, amount=0):
        """Comes back when it is so."""
        self.process.stdin.write(json.dumps([link, mode, amount]) + "\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def __exit__(self, *unused):
        self.process.stdin.close()
        if self.process.wait(10) != 0:
            raise RuntimeError("the proxy has failed")


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
