"""
PgBouncer's contract, 5.3 and 6: what clients are told, and what the log says. Texts are PgBouncer's, SQLSTATEs those of
section 0; every error names the database and the user, and says what to do. The ends of tests' names are those of rows.
"""

import contextlib
import re
import socket
import struct

import pytest

import harness
import wire
import wire_login
from harness import wait_for
from wire_login import Client

ALICE = "alice"
NAMES = 'Database "postgres", user "alice"'


@pytest.fixture(scope="module")
def pooler(postgres):
    postgres.create_user(ALICE)
    here = f"host={harness.HOST} port={postgres.port}"
    databases = {"postgres": here, "statement": f"{here} dbname=postgres pool_mode=statement",
                 "off": f"{here} dbname=postgres"}
    with harness.Pgweir(postgres, databases=databases, verbose=2) as pooler:
        pooler.psql("DISABLE off", "pgbouncer")
        yield pooler


@contextlib.contextmanager
def logged_in(pooler, database="postgres", user=ALICE, **parameters):
    with Client(pooler.port) as client:
        yield client.login(user, database=database, **parameters)


def error(client, expected_end=True):
    """The fields of the next error, which is the last word."""
    while True:
        kind, body = client.receive()
        if kind == "E":
            break
    assert not expected_end or client.at_end()
    return wire.fields(body)


def check(fields, sqlstate, message, names=NAMES):
    """A complete error: text, SQLSTATE, who it is about, and what to do."""
    assert (fields["S"], fields["V"], fields["C"], fields["M"]) == ("FATAL", "FATAL", sqlstate, message)
    assert fields["D"].startswith(names)
    assert fields["H"]


def raw(pooler, *data):
    """What the first bytes on a connection are answered with, and the end."""
    with Client(pooler.port) as client:
        for piece in data:
            client.send(piece)
        return error(client)


def startup(*fields):
    return wire.packet(struct.pack("!I", wire.PROTOCOL) + b"".join(map(wire.text, fields)) + b"\0")


# At the startup packet ---------------------------------------------------------------------------------------

STARTUPS = {
    "no username supplied": (startup("database", "postgres"), "28000", "no username supplied"),
    "username too long": (startup("user", "u" * 200), "28000", "username too long"),
    "old V2 protocol not supported": (wire.packet(struct.pack("!I", 2 << 16)), "08P01", "old V2 protocol not supported"),
    "invalid startup packet layout": (wire.packet(struct.pack("!I", wire.PROTOCOL) + b"user\0alice\0x"), "08P01",
                                      "invalid startup packet layout: expected terminator as last byte"),
    "client password pkt before startup packet": (wire.message(b"p", b"secret\0"), "08P01",
                                                  "client password pkt before startup packet"),
    "unsupported startup parameter": (startup("user", ALICE, "geqo", "on"), "08P01",
                                      "unsupported startup parameter: geqo"),
    "unsupported startup parameter in options": (startup("user", ALICE, "options", "-c geqo=on"), "08P01",
                                                 "unsupported startup parameter in options: geqo"),
    "unsupported options startup parameter": (
        startup("user", ALICE, "options", "-z"), "08P01",
        "unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed"),
    "received unencrypted data after SSL request": (
        wire.packet(struct.pack("!I", wire.SSL_REQUEST)) + b"x", "08P01", "received unencrypted data after SSL request"),
    "received unencrypted data after GSSAPI encryption request": (
        wire.packet(struct.pack("!I", wire.GSSENC_REQUEST)) + b"x", "08P01",
        "received unencrypted data after GSSAPI encryption request"),
}


@pytest.mark.parametrize("row", STARTUPS)
def test_startup(pooler, row):
    packet, sqlstate, message = STARTUPS[row]
    fields = raw(pooler, packet)
    assert (fields["S"], fields["C"], fields["M"]) == ("FATAL", sqlstate, message)
    assert fields["H"]


def test_client_sends_its_startup_packet_again(pooler):
    """Behind the login it is a message of a type that there is not."""
    with logged_in(pooler) as client:
        client.send(startup("user", ALICE))
        check(error(client), "08P01", "unknown pkt")


# Which database, and who -------------------------------------------------------------------------------------


def test_no_such_database(pooler):
    with pytest.raises(wire_login.Refused) as refusal, logged_in(pooler, "nowhere"):
        pass
    check(refusal.value.fields, "3D000", "no such database: nowhere", 'Database "nowhere", user "alice"')


def test_database_is_disabled(pooler):
    with pytest.raises(wire_login.Refused) as refusal, logged_in(pooler, "off"):
        pass
    check(refusal.value.fields, "55000", 'database "off" is disabled', 'Database "off", user "alice"')


@pytest.mark.parametrize("dbname, text", [
    ("off", 'authentication database "off" is disabled'),
    ("nowhere", 'authentication database "nowhere" is not configured'),
])
def test_authentication_database(postgres, pgweir, dbname, text):
    """The log says it; the client hears no more than that something is wrong."""
    here = f"host={harness.HOST} port={postgres.port} dbname=postgres"
    pooler = pgweir(databases={"postgres": here, "off": here}, auth_type="md5", auth={"postgres": "", ALICE: "secret"},
                    auth_user=ALICE, admin_users=ALICE)
    pooler.psql("DISABLE off", "pgbouncer", user=ALICE, password="secret")
    pooler.psql(f"SET auth_dbname = {dbname}", "pgbouncer", user=ALICE, password="secret")
    with pytest.raises(wire_login.Refused) as refusal, Client(pooler.port) as client:
        client.login("stranger", "secret")
    check(refusal.value.fields, "28000", "bouncer config error", 'Database "postgres", user "stranger"')
    assert text in pooler.log()


# What is sent ------------------------------------------------------------------------------------------------


def test_unknown_pkt(pooler):
    with logged_in(pooler) as client:
        client.send(wire.message(b"!"))
        check(error(client), "08P01", "unknown pkt")


def test_bad_packet_header(pooler):
    with logged_in(pooler) as client:
        client.send(b"Q\0\0\0\x01")
        check(error(client), "08P01", "bad packet header: '5100000001'")


BROKEN = {"Parse": wire.message(b"P", b"name"), "Bind": wire.message(b"B", b"portal\0name"),
          "Describe": wire.message(b"D", b"Sname"), "Close": wire.message(b"C", b"Sname")}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_packet(postgres, pooler, kind):
    """Names without an end. PostgreSQL is asked, and its words are the answer; nobody else sees anything of it."""
    answers = []
    for port in (pooler.port, postgres.port):
        with Client(port) as client:
            client.login(ALICE, database="postgres")
            client.send(BROKEN[kind] + wire.SYNC)
            fields = error(client, expected_end=False)
            answers.append((fields["S"], fields["C"]))
    assert answers[0] == answers[1] and answers[0][1] == "08P01"


def test_transaction_blocks(pooler):
    with logged_in(pooler, "statement") as client:
        client.send(wire.query("BEGIN"))
        check(error(client), "0A000", "transaction blocks not allowed in statement pooling mode",
              'Database "statement", user "alice"')


def test_invalid_server_parameter(pooler):
    """The server is what this row is about; the client learns that its setting is to blame."""
    with logged_in(pooler, TimeZone="Mars/Olympus") as client:
        client.send(wire.query("SELECT 1"))
        check(error(client), "22023", "invalid server parameter")


def test_prepared_statement_did_not_exist(pooler):
    with logged_in(pooler) as client:
        client.send(wire.bind(statement="nobody") + wire.SYNC)
        fields = error(client, expected_end=False)
        assert (fields["S"], fields["C"], fields["M"]) == ("ERROR", "26000", 'prepared statement "nobody" does not exist')
    assert "pooler error: prepared statement did not exist" in pooler.log()


def test_server_conn_crashed(postgres, pooler):
    with logged_in(pooler) as client:
        client.send(wire.query("SELECT pg_backend_pid(), pg_sleep(60)"))
        asleep = "FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%pg_sleep(60)'"
        pid = wait_for(lambda: postgres.psql(f"SELECT pid {asleep}"), what="the query to run")
        harness.run(["kill", "-KILL", pid]) if harness.os.geteuid() == 0 else harness.os.kill(int(pid), 9)
        check(error(client), "08006", "server conn crashed?")


# No message, only an end -------------------------------------------------------------------------------------


def closes(pooler, reason, *data):
    """The log says why, and the client nothing but that it is over."""
    before = pooler.log().count(f"closing because: {reason} (age=")
    with Client(pooler.port) as client:
        for piece in data:
            client.send(piece)
        client.sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(wire.Closed):
            while client.receive()[0] != "E":
                pass
            pytest.fail("an error")
    wait_for(lambda: pooler.log().count(f"closing because: {reason} (age=") > before, what=f"the log to say {reason}")


def test_client_unexpected_eof(pooler):
    closes(pooler, "client unexpected eof", wire.startup(user=ALICE, database="postgres"))


def test_client_close_request(pooler):
    closes(pooler, "client close request", wire.startup(user=ALICE, database="postgres"), wire.TERMINATE)


def test_failed_cancel_request(pooler):
    closes(pooler, "failed cancel request", wire.cancel_request(b"\x01" * 8))


# What log watchers match: 3 and 6 ----------------------------------------------------------------------------


def lines(pooler, pattern):
    return [line for line in pooler.log().splitlines() if re.search(pattern, line)]


def test_log_new_connection(postgres, pgweir):
    pooler = pgweir()
    pooler.psql("SELECT 1")
    found = lines(pooler, r" new connection to server \(from ")
    assert len(found) == 1
    assert re.search(rf" LOG S-0x[0-9a-f]+: postgres/postgres@127\.0\.0\.1:{postgres.port} "
                     r"new connection to server \(from 127\.0\.0\.1:\d+\)$", found[0])


def test_log_connections(pgweir):
    """With and without log_connections, log_disconnections and log_pooler_errors."""
    pooler = pgweir()

    def counts():
        return [len(lines(pooler, pattern)) for pattern in (
            r" LOG C-0x[0-9a-f]+: postgres/postgres@127\.0\.0\.1:\d+ login attempt: db=postgres user=postgres tls=no replication=no$",
            r" LOG C-0x[0-9a-f]+: postgres/postgres@127\.0\.0\.1:\d+ closing because: client close request \(age=\d+s\)$",
            r" WARNING C-0x[0-9a-f]+: postgres/nobody@127\.0\.0\.1:\d+ pooler error: \"trust\" authentication failed")]

    def connect():
        pooler.psql("SELECT 1")
        with pytest.raises(harness.Failed):
            pooler.psql("SELECT 1", user="nobody")

    connect()
    wait_for(lambda: counts() == [1, 1, 1], what="three lines")
    for key in ("log_connections", "log_disconnections", "log_pooler_errors"):
        pooler.psql(f"SET {key} = 0", "pgbouncer")
    with Client(pooler.port) as client:
        client.login("postgres")
    connect()
    assert counts() == [1, 1, 1]


def test_log_stats_and_stats_period(pgweir):
    pooler = pgweir(stats_period=1)
    pattern = (r" LOG stats: \d+ xacts/s, \d+ queries/s, \d+ client parses/s, \d+ server parses/s, \d+ binds/s, "
               r"\d+ client logins/s, in \d+ B/s, out \d+ B/s, xact \d+ us, query \d+ us, wait \d+ us$")
    wait_for(lambda: len(lines(pooler, pattern)) >= 2, what="the line of statistics")
    pooler.psql("SET log_stats = 0", "pgbouncer")
    before = len(lines(pooler, pattern))
    pooler.psql("SHOW STATS", "pgbouncer")
    assert len(lines(pooler, pattern)) <= before + 1  # one may have been under way


def test_log_settings(pooler):
    """At verbose 2: what a server is told, and how it puts it."""
    with logged_in(pooler, datestyle="ISO") as client:
        client.query("SELECT 1")
        client.query("SET DateStyle = 'German'")
    with logged_in(pooler, datestyle="iso") as client:
        client.query("SELECT 1")
    assert lines(pooler, r" NOISE C-0x[0-9a-f]+: .* varcache_apply: .*SET DateStyle='iso'")
    assert lines(pooler, r" NOISE C-0x[0-9a-f]+: .* varcache_set_canonical: setting DateStyle to its canonical version iso -> ISO, ")


def test_verbose(pgweir):
    pooler = pgweir()
    pooler.psql("SELECT 1")
    assert not lines(pooler, " (DEBUG|NOISE) ")
    pooler.psql("SET verbose = 2", "pgbouncer")
    pooler.psql("SELECT 1")
    assert lines(pooler, " DEBUG ") or lines(pooler, " NOISE ")


def test_log_ends_of_servers(postgres, pgweir):
    """A server that is closed has a line of its own, with its reason."""
    pooler = pgweir()
    pooler.psql("SELECT 1")
    pooler.psql("RECONNECT", "pgbouncer")
    pattern = rf" LOG S-0x[0-9a-f]+: postgres/postgres@127\.0\.0\.1:{postgres.port} closing because: .* \(age=\d+s\)$"
    wait_for(lambda: lines(pooler, pattern), what="a line about its end")
