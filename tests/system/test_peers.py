"""
Cancel requests between poolers that share an address: PgBouncer's contract, 4.3, 1.10 and peer_id. Two real daemons, and
one that the test plays itself.
"""

import contextlib
import os
import socket
import struct

import psycopg
import pytest

import harness
import wire
import wire_login
from harness import wait_for
from test_cancel import CANCELLED, PROTOCOL_3_2, Client, cancel, logged_in, send_cancel

LISTED = ["peer_id", "cl_active_cancel_req", "cl_waiting_cancel_req", "sv_active_cancel", "sv_login"]


def directory(pooler):
    return f"host={pooler.dir} port={pooler.port}"


def address(pooler):
    return f"host=localhost port={pooler.port}"


@contextlib.contextmanager
def group(postgres, where, **settings):
    """Two poolers that know each other, each under its number."""
    poolers = {number: harness.Pgweir(postgres, peer_id=number, verbose=1, **settings) for number in (1, 2)}
    for pooler in poolers.values():
        pooler.peers = {number: where(peer) for number, peer in poolers.items()}
        pooler.configure()
    with poolers[1], poolers[2]:
        yield poolers[1], poolers[2]


@pytest.fixture(scope="module", params=[directory, address])
def pair(postgres, request):
    with group(postgres, request.param) as poolers:
        yield poolers


SLEEP = "SELECT pg_sleep(100)"


def sleeps(postgres):
    """The query has come to the server: a cancel that was faster would have no effect."""
    asleep = f"SELECT count(*) FROM pg_stat_activity WHERE query = '{SLEEP}' AND wait_event = 'PgSleep'"
    wait_for(lambda: postgres.psql(asleep) == "1", what="a query that runs")


@pytest.mark.parametrize("protocol", [wire.PROTOCOL, PROTOCOL_3_2], ids=["3.0", "3.2"])
def test_each_passes_on_what_is_the_others(postgres, pair, protocol):
    for here, there in (pair, pair[::-1]):
        with logged_in(here, protocol=protocol) as (client,):
            assert len(client.key) == (36 if protocol == PROTOCOL_3_2 else 8)
            client.ask(SLEEP)
            sleeps(postgres)
            cancel(there, client.key)
            assert client.answer() == [CANCELLED, "Z:I"]


def test_console(pair):
    """^C on a PAUSE that waits, which comes to the other pooler."""
    here, there = pair
    with logged_in(here) as (client,), Client(here.port) as console:
        client.ask("BEGIN").answer()
        console.login(harness.SUPERUSER, database="pgbouncer").ask("PAUSE")
        wait_for(lambda: here.console("SHOW STATE")[1]["value"] == "yes", what="the pause")
        cancel(there, console.key)
        assert console.answer() == [CANCELLED, "Z:I"]
        assert client.ask("COMMIT").answer() == ["C:COMMIT", "Z:I"]


def test_shared_port(postgres):
    """As people run several processes: one port, and the kernel chooses who gets a connection."""
    with group(postgres, directory, so_reuseport=1, listen_port=harness.free_port()) as poolers:
        clients = []

        def all_were_asked():
            """Every client is cancelled by whoever the kernel chooses, until both have had one of the other's."""
            connection = psycopg.connect(poolers[0].conninfo(), autocommit=True)
            clients.append(connection)
            for client in clients:
                client.pgconn.send_query(SLEEP.encode())
                sleeps(postgres)
                client.pgconn.get_cancel().cancel()
                result = client.pgconn.get_result()
                assert result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"57014"
                assert client.pgconn.get_result() is None
            return all("passed on to peer" in pooler.log() for pooler in poolers)

        wait_for(all_were_asked, 60, "requests in both directions")
        for client in clients:
            client.close()


# A peer that the test plays ----------------------------------------------------------------------------------


class Peer:
    """Takes connections, and closes them when the test says so."""

    def __init__(self, number=9):
        self.listener = socket.create_server((harness.HOST, 0))
        self.listener.settimeout(wire_login.LIMIT)
        self.line = {number: f"host={harness.HOST} port={self.listener.getsockname()[1]} pool_size=1"}
        self.number = number

    def key(self, hops, size=8):
        key = bytearray(os.urandom(size))
        key[1:3] = struct.pack("<H", self.number)
        key[7] = key[7] & ~3 | hops
        return bytes(key)

    def take(self):
        """The next connection, and all that was sent by it so far."""
        connection, _ = self.listener.accept()
        connection.settimeout(wire_login.LIMIT)
        return connection, connection.recv(100)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.listener.close()


@pytest.mark.parametrize("size", [8, 36])
def test_what_is_sent(pgweir, size):
    """The key as it came, with one hop less; and who sent it waits until the other has done it."""
    with Peer() as peer:
        pooler = pgweir(peer_id=1, peers=peer.line)
        for hops in (3, 2, 1):
            key = peer.key(hops, size)
            with send_cancel(pooler, key) as canceller:
                connection, packet = peer.take()
                with connection:
                    assert packet == wire.cancel_request(key[:7] + bytes([key[7] - 1]) + key[8:])
                    canceller.sock.setblocking(False)
                    with pytest.raises(BlockingIOError):
                        canceller.sock.recv(1)
                    canceller.sock.settimeout(wire_login.LIMIT)
                assert canceller.at_end()
        cancel(pooler, peer.key(0))  # which has travelled enough
        peer.listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.listener.accept()


def test_show_and_pool_size(pgweir):
    """One at a time for this peer; the next one waits for its turn."""
    with Peer() as peer:
        pooler = pgweir(peer_id=1, peers={**peer.line, 1: f"host={harness.HOST}"})
        assert [row["peer_id"] for row in pooler.console("SHOW PEERS")] == ["1", "9"]
        with send_cancel(pooler, peer.key(3)) as first:
            connection, _ = peer.take()
            with send_cancel(pooler, peer.key(3)) as second:
                def row():
                    rows = pooler.console("SHOW PEER_POOLS")
                    assert list(rows[1]) == LISTED
                    return list(rows[1].values())

                wait_for(lambda: row() == ["9", "1", "1", "1", "0"], what="one that waits")
                connection.close()
                assert first.at_end()
                connection, _ = peer.take()
                connection.close()
                assert second.at_end()
                wait_for(lambda: row() == ["9", "0", "0", "0", "0"], what="none under way")


def test_cancel_wait_timeout(pgweir):
    """Who waits for too long is dropped; the one under way is not."""
    with Peer() as peer:
        pooler = pgweir(peer_id=1, peers=peer.line, cancel_wait_timeout="0.2")
        with send_cancel(pooler, peer.key(3)) as first:
            connection, _ = peer.take()
            cancel(pooler, peer.key(3))
            assert "could not pass a cancel request on to peer 9" in pooler.log()
            connection.close()
            assert first.at_end()


def test_peer_that_is_not_there(pgweir):
    pooler = pgweir(peer_id=1, peers={9: f"host={harness.HOST} port={harness.free_port()}", 8: "host=/nowhere",
                                      7: "host=no.such.name.invalid"})
    for number in (9, 8, 7):
        with Peer(number) as peer:
            cancel(pooler, peer.key(3))
        assert f"could not pass a cancel request on to peer {number}" in pooler.log()


def test_circle(postgres):
    """Each believes that the third one is where the other is: a request comes to an end all the same."""
    first, second = (harness.Pgweir(postgres, peer_id=number, verbose=1) for number in (1, 2))
    first.peers, second.peers = {9: directory(second)}, {9: directory(first)}
    for pooler in (first, second):
        pooler.configure()
    with first, second, Peer() as peer:
        cancel(first, peer.key(3))
        assert first.log().count("passed on to peer") == 2
        assert second.log().count("passed on to peer") == 1


def test_shutdown_while_under_way(pgweir):
    """It is not waited for longer than it takes."""
    with Peer() as peer:
        pooler = pgweir(peer_id=1, peers=peer.line)
        with send_cancel(pooler, peer.key(3)):
            connection, _ = peer.take()
            pooler.kill(15)
            connection.close()
            pooler.ends()
