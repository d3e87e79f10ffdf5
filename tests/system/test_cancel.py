"""Cancels: of whatever a client is doing, late ones, many of them, through TLS, with the keys of every protocol."""

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import warnings

import pytest

import harness
import libpq18
import wire
import wire_login
from harness import wait_for

CANCELLED = "E:57014"
PROTOCOL_3_2 = 3 << 16 | 2
GREASE = 3 << 16 | 9999  # what newer clients ask for, to see whether a server can negotiate
TOO_MANY = 40


class Client(wire_login.Client):
    """Its queries are sent, and answered later."""

    def ask(self, sql):
        self.send(wire.query(sql))
        return self

    def answer(self):
        """What it was answered, without descriptions, up to ReadyForQuery."""
        messages = []
        while not messages or not messages[-1].startswith("Z"):
            message = wire.plain(*self.receive())
            if message != "T":
                messages.append(message if isinstance(message, str) else message[0])
        return messages


@contextlib.contextmanager
def logged_in(pooler, count=1, **options):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(pooler.port)) for _ in range(count)]
        yield [client.login(harness.SUPERUSER, **options) for client in clients]


def send_cancel(pooler, key, context=None):
    """The connection that it goes by; it ends when the cancel is through."""
    canceller = Client(pooler.port)
    if context:
        canceller.start_tls(context)
    canceller.send(wire.cancel_request(key))
    return canceller


def cancel(pooler, key, context=None):
    with send_cancel(pooler, key, context) as canceller:
        assert canceller.at_end(), "an answer to a cancel request"


def answered(client):
    """Whether an answer, or the end, comes within a moment."""
    client.sock.settimeout(0.05)
    try:
        client.input += client.sock.recv(1 << 16)
        return True
    except TimeoutError:
        return False
    finally:
        client.sock.settimeout(wire_login.LIMIT)


class Lock:
    """Something that a query can wait for, until it is let go."""

    def __init__(self, postgres):
        self.postgres = postgres
        self.holder = Client(postgres.port).login(harness.SUPERUSER)
        self.number = int.from_bytes(self.holder.key[4:8]) >> 1
        self.holder.ask(f"SELECT pg_advisory_lock({self})").answer()

    def __str__(self):
        return str(self.number)

    def wait(self):
        return f"SELECT pg_advisory_xact_lock({self})"

    def waiters(self):
        return int(self.postgres.psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
                                      f"AND objid = {self}", host=self.postgres.dir))

    def let_go(self):
        self.holder.close()


@pytest.fixture
def lock(postgres):
    locks = []

    def take(cluster=postgres):
        locks.append(Lock(cluster))
        return locks[-1]

    yield take
    for taken in locks:
        taken.let_go()


def is_waiting(taken, count=1):
    wait_for(lambda: taken.waiters() == count, what="a query that runs")


class Detour:
    """A way to the cluster that new connections can be held back on."""

    def __init__(self, postgres):
        self.postgres = postgres
        self.listener = socket.create_server((harness.HOST, 0))
        self.port = self.listener.getsockname()[1]
        self.open = threading.Event()
        self.open.set()
        self.held = 0
        self.lost = 0  # how many of the next are closed when they have said what they want
        self.codes = []  # what each has begun with: a protocol, or a request
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                here, _ = self.listener.accept()
                if not self.open.is_set():
                    self.held += 1
                threading.Thread(target=self.forward, args=(here,), daemon=True).start()

    def forward(self, here):
        self.codes.append(struct.unpack("!II", here.recv(8, socket.MSG_PEEK | socket.MSG_WAITALL))[1])
        self.open.wait()
        if self.lost > 0:
            self.lost -= 1
            here.recv(1 << 16)
            here.close()
            return
        there = socket.create_connection((harness.HOST, self.postgres.port))
        self.sockets += here, there
        threading.Thread(target=self.pipe, args=(there, here), daemon=True).start()
        self.pipe(here, there)

    def pipe(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self):
        self.open.set()
        self.listener.close()
        for sock in self.sockets:
            with contextlib.suppress(OSError):  # it may have ended
                sock.shutdown(socket.SHUT_RDWR)  # close() alone would not wake who waits in recv()
            sock.close()


@pytest.fixture
def detour(postgres):
    way = Detour(postgres)
    yield way
    way.close()


@pytest.fixture(scope="module")
def new_libpq(postgres):
    try:
        return libpq18.find(postgres.dir)
    except OSError as error:
        warnings.warn(f"libpq 18 could not be fetched, so nothing shows what only that can do: {error}")
        return pytest.skip(f"no libpq 18: {error}")


@pytest.fixture(params=["libpq", "libpq 18"])
def libpq_env(request):
    """What the daemon cancels with: one that blocks, and one that does not."""
    return {"LD_LIBRARY_PATH": request.getfixturevalue("new_libpq")} if request.param == "libpq 18" else {}


# ---- who is cancelled ------------------------------------------------------------------------------------


def test_running_queued_idle(pgweir, lock, libpq_env):
    """Each goes on afterwards, and the server, too."""
    pooler, held = pgweir(default_pool_size=1, env=libpq_env), lock()
    with logged_in(pooler, 3) as (running, queued, idle):
        pid = running.ask("SELECT pg_backend_pid()").answer()[0]
        running.ask(held.wait())
        is_waiting(held)
        queued.ask("SELECT 1")
        wait_for(lambda: pooler.pool("postgres")["cl_waiting"] == 1)
        cancel(pooler, idle.key)
        cancel(pooler, queued.key)
        assert queued.answer() == [CANCELLED, "Z:I"]
        assert held.waiters() == 1
        cancel(pooler, running.key)
        assert running.answer() == [CANCELLED, "Z:I"]
        for client in (running, queued, idle):
            assert client.ask("SELECT pg_backend_pid()").answer() == [pid, "C:SELECT 1", "Z:I"]


def test_second_query_of_a_transaction(pgweir, lock, detour, libpq_env):
    """It is cancelled while the first one's cancel is still on its way, and comes to nothing."""
    pooler = pgweir(databases={"postgres": f"host={harness.HOST} port={detour.port}"}, env=libpq_env)
    first, second = lock(), lock()
    with logged_in(pooler) as (client,):
        client.ask("BEGIN").answer()
        client.ask(first.wait())
        is_waiting(first)
        detour.open.clear()
        detour.lost = 1
        with send_cancel(pooler, client.key) as early:
            wait_for(lambda: detour.held == 1)
            first.let_go()
            assert client.answer() == ["", "C:SELECT 1", "Z:T"]
            client.ask(second.wait())
            is_waiting(second)
            with send_cancel(pooler, client.key) as late:
                wait_for(lambda: pooler.pool("postgres")["cl_waiting_cancel_req"] == 1)
                detour.open.set()
                assert early.at_end() and late.at_end()
        assert client.answer() == [CANCELLED, "Z:E"]


def cancel_late(pooler, detour, mine, others):
    """It is held back until its query is over, and somebody else wants the one server: he gets it afterwards."""
    def pool(**expected):
        def is_so():
            row = pooler.pool("postgres")
            return all(row[key] == value for key, value in expected.items())
        wait_for(is_so, what=expected)

    with logged_in(pooler, 2) as (client, other):
        client.ask(mine.wait())
        is_waiting(mine)
        detour.open.clear()
        with send_cancel(pooler, client.key) as canceller:
            wait_for(lambda: detour.held == 1)
            pool(cl_active_cancel_req=1, sv_active_cancel=1)
            other.ask(others.wait())
            pool(cl_waiting=1)
            mine.let_go()
            assert client.answer() == ["", "C:SELECT 1", "Z:I"]
            if pooler.settings["pool_mode"] == "session":
                client.send(wire.TERMINATE)
            pool(cl_waiting=1, sv_being_canceled=1)
            assert not answered(canceller)  # who might go on with something that must not be hit
            detour.open.set()
            is_waiting(others)
            assert canceller.at_end()
        pool(cl_active_cancel_req=0, sv_active_cancel=0, sv_being_canceled=0)
        others.let_go()
        assert other.answer() == ["", "C:SELECT 1", "Z:I"]


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_late_cancel(pgweir, lock, detour, mode, libpq_env):
    pooler = pgweir(databases={"postgres": f"host={harness.HOST} port={detour.port}"}, pool_mode=mode,
                    default_pool_size=1, env=libpq_env)
    cancel_late(pooler, detour, lock(), lock())


# ---- many of them ----------------------------------------------------------------------------------------


def test_storm(pgweir, libpq_env):
    """Everybody cancels, three times, and so do some who have no key: both servers are still there, and of use."""
    pooler = pgweir(default_pool_size=2, env=libpq_env)
    with logged_in(pooler, TOO_MANY) as clients, contextlib.ExitStack() as stack:
        for client in clients:
            client.ask("SELECT pg_sleep(60)")
        wait_for(lambda: pooler.pool("postgres")["cl_waiting"] == TOO_MANY - 2)
        waiting = clients
        while waiting:  # a cancel may come before its query
            for key in [client.key for client in waiting for _ in range(3)] + [os.urandom(8), os.urandom(36)]:
                stack.enter_context(send_cancel(pooler, key))
            for client in [client for client in waiting if answered(client)]:
                assert client.answer() == [CANCELLED, "Z:I"]
                waiting = [other for other in waiting if other is not client]
        for client in clients:
            assert client.ask("SELECT 1").answer() == ["1", "C:SELECT 1", "Z:I"]
        wait_for(lambda: pooler.pool("postgres")["sv_idle"] == 2, what="both servers to be idle")
        row = pooler.pool("postgres")
        assert (row["cl_active_cancel_req"], row["cl_waiting_cancel_req"]) == (0, 0)
        assert pooler.log().count("new connection to server") == 2


def test_wrong_keys(pgweir, lock):
    """They cost nothing, and do nothing."""
    pooler, held = pgweir(log_disconnections=1), lock()
    with logged_in(pooler) as (client,):
        client.ask(held.wait())
        is_waiting(held)
        for wrong in (client.key[:4] + bytes(4), bytes(4) + client.key[4:], client.key + b"\0", client.key * 32,
                      client.key[:7], b"", b"\0" * 300):
            with send_cancel(pooler, wrong) as canceller:
                canceller.sock.settimeout(wire_login.LIMIT)
                while canceller.sock.recv(1 << 16):  # the wrong length gets an error
                    pass
        assert held.waiters() == 1
        cancel(pooler, client.key)
        assert client.answer() == [CANCELLED, "Z:I"]
    assert "failed cancel request" in pooler.log()


# ---- protocol 3.2 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol, options, negotiated, key_size", [
    (3 << 16, {}, None, 4), (3 << 16 | 1, {}, None, 4), (PROTOCOL_3_2, {}, None, 32),
    (3 << 16 | 3, {}, (PROTOCOL_3_2, []), 32), (GREASE, {"_pq_.test": "x"}, (PROTOCOL_3_2, ["_pq_.test"]), 32),
    (3 << 16, {"_pq_.a": "1", "_pq_.b": ""}, (3 << 16, ["_pq_.a", "_pq_.b"]), 4),
])
@pytest.mark.parametrize("database", ["postgres", "pgbouncer"])
def test_protocols(pgweir, lock, database, protocol, options, negotiated, key_size):
    """As PostgreSQL 18 answers; and the key that a client gets is of use, as a whole but for two bits (peer_key.h)."""
    pooler = pgweir()
    with logged_in(pooler, protocol=protocol, database=database, **options) as (client,):
        kinds = "".join(kind for kind, _ in client.transcript)
        assert kinds.startswith("v" if negotiated else "R")
        if negotiated:
            version, count = struct.unpack_from("!II", client.transcript[0][1])
            names = client.transcript[0][1][8:].decode().split("\0")[:-1]
            assert ((version, names), count) == (negotiated, len(names))
        assert len(client.key) == 4 + (key_size if database == "postgres" else 4)
        if database == "postgres":
            held = lock()
            client.ask(held.wait())
            is_waiting(held)
            cancel(pooler, client.key[:-1] + bytes([client.key[-1] ^ 4]))
            if key_size > 4:
                cancel(pooler, client.key[:8])
            assert held.waiters() == 1
            cancel(pooler, client.key)
            assert client.answer() == [CANCELLED, "Z:I"]


# ---- TLS -------------------------------------------------------------------------------------------------


def tls(certs):
    return {"client_tls_sslmode": "require", "client_tls_cert_file": certs.server.cert,
            "client_tls_key_file": certs.server.key}


def test_cancel_through_tls(pgweir, postgres, lock):
    """What newer clients do; and what older ones do, in plain text, although they are only let in by TLS."""
    pooler = pgweir(**tls(postgres.certs))
    context = wire_login.tls_context(postgres.certs.ca)
    for how in (context, None):
        held = lock()
        with Client(pooler.port) as client:
            client.start_tls(context).login(harness.SUPERUSER)
            client.ask(held.wait())
            is_waiting(held)
            cancel(pooler, client.key, how)
            assert client.answer() == [CANCELLED, "Z:I"]


def test_cancel_over_tls_to_the_server(pgweir, lock):
    """It goes as the server's connection does, where libpq can; before 17, in plain text, as PgBouncer's do."""
    with harness.Postgres(ssl=True) as cluster, contextlib.closing(Detour(cluster)) as way:
        pooler = pgweir(databases={"postgres": f"host={harness.HOST} port={way.port}"}, default_pool_size=1,
                        server_tls_sslmode="require")
        version = harness.run([pooler.binary, "--version"])
        cancels_by_tls = int(re.search(r"^libpq (\d+)", version, re.MULTILINE)[1]) >= 17
        held = lock(cluster)
        with logged_in(pooler) as (client,):
            client.ask(held.wait())
            is_waiting(held)
            cancel(pooler, client.key)
            assert client.answer() == [CANCELLED, "Z:I"]
        assert way.codes == [wire.SSL_REQUEST, wire.SSL_REQUEST if cancels_by_tls else wire.CANCEL_REQUEST]
        cancel_late(pooler, way, lock(cluster), lock(cluster))


def test_server_that_answers_no_cancel(pgweir, lock):
    """It takes the connection, and is silent: the daemon ends all the same."""
    with harness.Postgres() as cluster:
        pooler = pgweir(databases={"postgres": f"host={harness.HOST} port={cluster.port}"}, default_pool_size=1)
        held = lock(cluster)
        with logged_in(pooler) as (client,):
            client.ask(held.wait())
            is_waiting(held)
            cluster.process.kill(signal.SIGSTOP)
            try:
                with send_cancel(pooler, client.key):
                    wait_for(lambda: pooler.pool("postgres")["sv_active_cancel"] == 1)
                    pooler.stop(signal.SIGQUIT)
            finally:
                cluster.process.kill(signal.SIGCONT)


@pytest.mark.parametrize("protocol", ["3.0", "3.2", "latest"])
@pytest.mark.parametrize("how", ["plain", "tls"])
def test_new_libpq(pgweir, postgres, lock, new_libpq, how, protocol):
    """libpq 18 cancels as its session is encrypted, and with a key as long as it was given."""
    pooler, held = pgweir(**(tls(postgres.certs) if how == "tls" else {})), lock()
    program = [sys.executable, os.path.join(os.path.dirname(__file__), "libpq_cancel.py"),
               pooler.conninfo(max_protocol_version=protocol, sslmode="require" if how == "tls" else "disable"),
               held.wait()]
    with subprocess.Popen(program, env={**os.environ, "LD_LIBRARY_PATH": new_libpq}, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout.readline().split() == ["protocol", "30000" if protocol == "3.0" else "30002"]
        is_waiting(held)
        said, _ = running.communicate("cancel\n", timeout=60)
        assert said.splitlines() == ["cancel 1 ", "57014"]
