"""TLS to clients: who gets in with which certificate, channel binding, direct TLS, resumption, reload."""

import asyncio
import os
import ssl
import struct
import threading

import psycopg
import pytest

import drivers
import harness
import wire
import wire_login
from wire_login import Client, Scram, tls_context

PASSWORD = "right one"
DIRECT = ["postgresql"]  # what a client that begins with TLS must offer as ALPN


def tls(certs, sslmode="require", pair=None, **more):
    """The pooler's keys of TLS."""
    pair = pair or certs.server
    return {"client_tls_sslmode": sslmode, "client_tls_cert_file": pair.cert, "client_tls_key_file": pair.key,
            "client_tls_ca_file": certs.ca, **more}


@pytest.fixture(scope="module")
def certs(postgres):
    return postgres.certs


@pytest.fixture(scope="module")
def users(postgres):
    for user in ("ann", "ben"):
        postgres.create_user(user)
    return {"postgres": wire_login.scram_secret(PASSWORD), "ann": wire_login.scram_secret(PASSWORD), "ben": PASSWORD}


@pytest.fixture(scope="module")
def start(postgres, users, certs):
    """Starts a pooler that lives as long as this module's tests; who asks for the same gets the same."""
    started = {}

    def get(sslmode="require", auth_type="scram-sha-256", pair=None, **more):
        key = repr((sslmode, auth_type, pair, more))
        if key not in started:
            started[key] = harness.Pgweir(postgres, auth=users, auth_type=auth_type,
                                          ignore_startup_parameters="extra_float_digits",
                                          **tls(certs, sslmode, pair), **more)
            started[key].start()
        return started[key]

    yield get
    for pooler in started.values():
        pooler.stop()


def logged_in(pooler, context=None, user="ann", **options):
    client = Client(pooler.port)
    try:
        if context:
            client.start_tls(context)
        return client.login(user, PASSWORD, **options)
    except BaseException:
        client.close()
        raise


# Who gets in ------------------------------------------------------------------------------------------------

REFUSES_PLAIN = ("require", "verify-ca", "verify-full")
VERIFIES = ("verify-ca", "verify-full")
MODES = ("disable", "allow", "prefer", *REFUSES_PLAIN)


@pytest.mark.parametrize("mode", MODES)
def test_without_tls(start, mode):
    pooler = start(mode, "trust")
    if mode in REFUSES_PLAIN:
        with pytest.raises(wire_login.Refused, match="SSL required") as refused:
            logged_in(pooler)
        assert refused.value.sqlstate == ("08P01" if pooler.foreign else "28000")
    else:
        with logged_in(pooler) as client:
            assert client.query("SELECT 1") == [("1",)]


@pytest.mark.parametrize("certificate", ["none", "good", "foreign", "expired"])
@pytest.mark.parametrize("mode", MODES)
def test_with_tls(start, certs, mode, certificate):
    """A certificate is a must in some modes; who shows one must show a good one in all of them."""
    pooler = start(mode, "trust")
    pair = {"none": None, "good": certs.client("ann"), "foreign": certs.foreign_client("ann"),
            "expired": certs.expired_client("ann")}[certificate]
    context = tls_context(certs.ca, pair)
    if mode == "disable":
        with Client(pooler.port) as client:
            assert client.request_tls() == b"N"
            client.login("ann")  # and goes on without
    elif certificate in ("foreign", "expired") or (mode in VERIFIES and certificate == "none"):
        with pytest.raises((ssl.SSLError, wire.Closed, ConnectionError)):
            logged_in(pooler, context)
    else:
        with logged_in(pooler, context) as client:
            assert client.query("SELECT 1") == [("1",)]


@pytest.mark.parametrize("kind", ["server", "server_ec"])
@pytest.mark.parametrize("driver", ["psql", "psycopg", "pgjdbc"], indirect=True)
def test_drivers(start, certs, driver, kind):
    pooler = start(pair=getattr(certs, kind))
    options = dict(host="localhost", user="ann", sslmode="verify-full", sslrootcert=certs.ca)
    assert driver.login(pooler, password=PASSWORD, **options).user == "ann"
    refused = driver.login(pooler, password="wrong one", **options)
    assert not refused and "SASL authentication failed" in refused.text
    assert not driver.login(pooler, password=PASSWORD, **{**options, "sslrootcert": certs.other_ca})


@pytest.mark.parametrize("driver", ["psql", "psycopg", "pgjdbc"], indirect=True)
def test_certificate_as_login(start, certs, driver):
    """auth_type = cert: the common name is the user; it says nothing about another one."""
    pooler = start("verify-full", "cert")

    def login(user, pair):
        key = pair.der_key if isinstance(driver, drivers.Pgjdbc) else pair.key
        return driver.login(pooler, host="localhost", user=user, sslmode="verify-full", sslrootcert=certs.ca,
                            sslcert=pair.cert, sslkey=key)

    assert login("ann", certs.client("ann")).user == "ann"
    assert login("ben", certs.client("ben")).user == "ben"
    for user in ("ann", "nobody_knows"):
        outcome = login(user, certs.client("ben"))
        assert not outcome and "certificate authentication failed" in outcome.text
        assert outcome.sqlstate in (None, "08P01" if pooler.foreign else "28000")
    assert not login("ann", certs.foreign_client("ann"))
    assert not login("ann", certs.expired_client("ann"))


def test_certificate_as_login_needs_one(start, certs):
    pooler = start("verify-full", "cert")
    with pytest.raises((ssl.SSLError, wire.Closed, ConnectionError)):
        logged_in(pooler, tls_context(certs.ca))


def test_protocol_versions(start, certs):
    versions = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}
    for protocols in versions:
        pooler = start(client_tls_protocols=protocols)
        for protocol, version in versions.items():
            context = tls_context(certs.ca, version=version)
            if protocol == protocols:
                with logged_in(pooler, context) as client:
                    assert client.sock.version().lower() == protocol
            else:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    logged_in(pooler, context)


def test_ciphers(start, certs):
    pooler = start(client_tls_protocols="tlsv1.2", client_tls_ciphers="ECDHE-RSA-AES128-GCM-SHA256")
    with logged_in(pooler, tls_context(certs.ca)) as client:
        assert client.sock.cipher()[0] == "ECDHE-RSA-AES128-GCM-SHA256"


def test_ciphers_of_tls13(start, certs):
    pooler = start(client_tls13_ciphers="TLS_CHACHA20_POLY1305_SHA256")
    with logged_in(pooler, tls_context(certs.ca)) as client:
        assert client.sock.cipher()[0] == "TLS_CHACHA20_POLY1305_SHA256"


def test_unix_socket_has_none(start):
    """As with PostgreSQL; and nobody is asked for it there."""
    pooler = start()
    path = os.path.join(pooler.dir, f".s.PGSQL.{pooler.port}")
    with Client(None, path=path) as client:
        assert client.request_tls() == b"N"
        client.login("ann", PASSWORD)


def test_gss_is_refused_before_tls(start, certs):
    with Client(start().port) as client:
        client.send(wire.packet(struct.pack("!I", wire.GSSENC_REQUEST)))
        assert client.bytes(1) == b"N"
        client.start_tls(tls_context(certs.ca)).login("ann", PASSWORD)


def test_data_that_came_before_tls(start):
    """What was not encrypted must not be taken for what was (CVE-2021-3935)."""
    with Client(start().port) as client:
        client.send(wire.packet(struct.pack("!I", wire.SSL_REQUEST)) + wire.startup(user="ann", database="postgres"))
        received = b""
        try:
            while chunk := client.sock.recv(1 << 16):
                received += chunk
        except ConnectionResetError:
            pass
        assert received == b"" or b"received unencrypted data after SSL request" in received


def test_two_requests(start, certs):
    """TLS within TLS is a way to get nowhere."""
    with Client(start().port) as client:
        client.start_tls(tls_context(certs.ca))
        client.send(wire.packet(struct.pack("!I", wire.SSL_REQUEST)))
        with pytest.raises((wire.Closed, ssl.SSLError, ConnectionError, wire_login.Refused)):
            while client.receive():
                pass


@pytest.mark.parametrize("addresses", [["127.0.0.1", "127.0.0.2"]])
def test_mode_per_listener(pgweir, users, certs, addresses):
    encrypted, open_to_all = addresses
    pooler = pgweir(auth=users, auth_type="scram-sha-256", listen_addr=", ".join(addresses),
                    **tls(certs, f"require, {open_to_all}=disable"))
    with pytest.raises(wire_login.Refused, match="SSL required"):
        logged_in(pooler)
    with logged_in(pooler, tls_context(certs.ca)) as client:
        assert client.query("SELECT 1") == [("1",)]
    with Client(pooler.port, host=open_to_all) as client:
        assert client.request_tls() == b"N"
        client.login("ann", PASSWORD)


# Channel binding --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["sha256", "sha512", "ec"])
def bound(request, start, certs):
    """The hash of the binding is that of the certificate's signature."""
    pair = {"sha256": lambda: certs.server, "sha512": lambda: certs.server_sha512, "ec": lambda: certs.server_ec}
    return start(pair=pair[request.param]())


@pytest.mark.parametrize("user", ["ann", "ben"])
@pytest.mark.parametrize("driver", ["psql", "psycopg"], indirect=True)
def test_channel_binding(bound, certs, driver, user):
    """With a stored verifier and with a plain secret."""
    options = dict(user=user, host="localhost", sslmode="verify-full", sslrootcert=certs.ca, channel_binding="require")
    assert driver.login(bound, password=PASSWORD, **options).user == user
    refused = driver.login(bound, password="wrong one", **options)
    assert not refused and "SASL authentication failed" in refused.text


def with_scram(pooler, context, scram_of, user="ann", password=PASSWORD):
    with Client(pooler.port) as client:
        client.start_tls(context)
        client.login(user, password, scram=scram_of(client))
        return client.mechanisms


def test_channel_binding_is_offered_with_tls_only(start, certs):
    context = tls_context(certs.ca)
    assert with_scram(start(), context, lambda client: Scram()) == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
    with logged_in(start("allow")) as client:
        assert client.mechanisms == ["SCRAM-SHA-256"]


def test_channel_binding_by_hand(start, certs):
    """Ours is accepted; that of another certificate is a man in the middle, and so is who says we had offered none."""
    pooler, context = start(), tls_context(certs.ca)
    with_scram(pooler, context, lambda client: Scram(client.end_point()))
    for wrong in (lambda client: Scram(b"x" * 32), lambda client: Scram(gs2=b"y,,"),
                  lambda client: Scram(client.end_point(), gs2=b"p=tls-unique,,"),
                  lambda client: Scram(client.end_point(), gs2=b"n,,"),
                  lambda client: Scram(gs2=b"p=tls-server-end-point,,")):
        with pytest.raises(wire_login.Refused):
            with_scram(pooler, context, wrong)


def test_client_that_could_bind_but_sees_no_offer(start):
    """Without TLS "y" is the truth."""
    with Client(start("allow").port) as client:
        client.login("ann", PASSWORD, scram=Scram(gs2=b"y,,"))


# Direct TLS -------------------------------------------------------------------------------------------------


def test_direct_tls(start, certs):
    with Client(start().port) as client:
        client.start_tls(tls_context(certs.ca, alpn=DIRECT), direct=True)
        assert client.sock.selected_alpn_protocol() == "postgresql"
        client.login("ann", PASSWORD)
        assert client.query("SELECT 1") == [("1",)]


@pytest.mark.parametrize("alpn", [None, ["http/1.1"]], ids=["none", "http"])
def test_direct_tls_needs_alpn(start, certs, alpn):
    """Else a browser could be made to speak to us."""
    with Client(start().port) as client:
        with pytest.raises((ssl.SSLError, wire.Closed, ConnectionError)):
            client.start_tls(tls_context(certs.ca, alpn=alpn), direct=True)
            client.login("ann", PASSWORD)


def test_alpn_after_a_request(start, certs):
    """As libpq 17 does; one that offers something else only is in the wrong place."""
    with Client(start().port) as client:
        client.start_tls(tls_context(certs.ca, alpn=DIRECT)).login("ann", PASSWORD)
        assert client.sock.selected_alpn_protocol() == "postgresql"
    with Client(start().port) as client:
        with pytest.raises((ssl.SSLError, wire.Closed, ConnectionError)):
            client.start_tls(tls_context(certs.ca, alpn=["http/1.1"])).login("ann", PASSWORD)


def test_direct_tls_where_there_is_none(start, certs):
    with Client(start("disable", "trust").port) as client:
        with pytest.raises((ssl.SSLError, wire.Closed, ConnectionError)):
            client.start_tls(tls_context(certs.ca, alpn=DIRECT), direct=True)


# Resumption -------------------------------------------------------------------------------------------------


def session_of(pooler, context, session=None, **options):
    """Logs in; whether a session was resumed, and the one that can be resumed next."""
    with Client(pooler.port) as client:
        client.start_tls(context, session=session)
        client.login("ann", PASSWORD, **options)
        client.query("SELECT 1")  # with TLS 1.3 the ticket comes behind the handshake
        return client.sock.session_reused, client.sock.session


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("workers", [1, 4])
def test_resumption(start, certs, version, workers):
    pooler, context = start(worker_threads=workers), tls_context(certs.ca, version=version)
    reused, session = session_of(pooler, context)
    assert not reused
    for _ in range(8):
        reused, session = session_of(pooler, context, session)
        assert reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_resumption_keeps_the_certificate(start, certs, version):
    """Who has shown a certificate needs not show it again, and is still nobody else."""
    pooler, context = start("verify-full", "cert"), tls_context(certs.ca, certs.client("ann"), version=version)
    reused, session = session_of(pooler, context)
    reused, session = session_of(pooler, context, session)
    assert reused
    with Client(pooler.port) as client:
        client.start_tls(context, session=session)
        with pytest.raises(wire_login.Refused, match="certificate authentication failed"):
            client.login("ben")


def test_resumption_after_a_reload(pgweir, users, certs):
    """A renewed certificate does not make all clients begin anew."""
    pooler = pgweir(auth=users, auth_type="scram-sha-256", **tls(certs))
    context = tls_context(certs.ca)
    _, session = session_of(pooler, context)
    pooler.configure(**tls(certs, pair=certs.renewed))
    pooler.console("RELOAD", sslmode="require", password=PASSWORD)
    reused, _ = session_of(pooler, context, session)
    assert reused


def test_resumption_does_not_outlive_the_authority(pgweir, users, certs):
    """A session that was verified against an authority that is no longer trusted is not resumed."""
    pooler = pgweir(auth=users, auth_type="cert", **tls(certs, "verify-full"))
    context = tls_context(certs.ca, certs.client("ann"))
    _, session = session_of(pooler, context)
    pooler.configure(client_tls_ca_file=certs.other_ca)
    admin = certs.client("postgres")
    pooler.console("RELOAD", host="localhost", sslmode="verify-full", sslrootcert=certs.ca, sslcert=admin.cert,
                   sslkey=admin.key)
    with pytest.raises((ssl.SSLError, wire.Closed, ConnectionError)):
        session_of(pooler, context, session)


# Reload -----------------------------------------------------------------------------------------------------


def shown_certificate(pooler, context):
    with Client(pooler.port) as client:
        return client.start_tls(context).sock.getpeercert(binary_form=True)


def reload(pooler, **options):
    return pooler.console("RELOAD", **{"sslmode": "require", "password": PASSWORD, **options})


def test_reload_of_certificates(pgweir, users, certs):
    """Who comes sees the new one, and nobody who is there notices."""
    pooler = pgweir(auth=users, auth_type="scram-sha-256", **tls(certs))
    context = tls_context(certs.ca)
    before = shown_certificate(pooler, context)
    with logged_in(pooler, context) as old:
        pooler.configure(**tls(certs, pair=certs.renewed))
        reload(pooler)
        after = shown_certificate(pooler, context)
        assert after == ssl.PEM_cert_to_DER_cert(pem(certs.renewed)) != before
        assert old.query("SELECT 1") == [("1",)]


def pem(pair):
    with open(pair.cert) as file:
        return file.read()


def test_reload_when_only_the_file_has_changed(pgweir, users, certs):
    """As certbot does it: the same names, another content."""
    pooler = pgweir(auth=users, auth_type="scram-sha-256", client_tls_sslmode="disable")

    def install(pair):
        with open(pair.key) as file:
            key = file.read()
        return {"client_tls_cert_file": pooler.write("tls.crt", pem(pair)),
                "client_tls_key_file": pooler.write("tls.key", key)}

    pooler.configure(client_tls_sslmode="prefer", **install(certs.server))
    reload(pooler, sslmode="disable")
    context = tls_context(certs.ca)
    before = shown_certificate(pooler, context)
    install(certs.renewed)
    reload(pooler)
    assert shown_certificate(pooler, context) != before


def test_reload_of_a_bad_certificate(pgweir, users, certs):
    """Nothing changes, and the administrator hears of it."""
    pooler = pgweir(auth=users, auth_type="scram-sha-256", **tls(certs))
    context = tls_context(certs.ca)
    before = shown_certificate(pooler, context)
    for change in (dict(client_tls_cert_file=certs.renewed.cert),  # the key is another one's
                   dict(client_tls_cert_file="/nowhere.crt"), dict(client_tls_ca_file=certs.server.key),
                   dict(client_tls_ciphers="none-such")):
        pooler.configure(**{**tls(certs), **change})
        with pytest.raises(harness.Failed, match="RELOAD failed|" + next(iter(change))):
            reload(pooler)
        assert shown_certificate(pooler, context) == before
    pooler.configure(client_tls_ciphers="default")
    reload(pooler)


def test_reload_of_the_mode(pgweir, users, certs):
    pooler = pgweir(auth=users, auth_type="scram-sha-256", **tls(certs, "disable"))
    with logged_in(pooler) as old:
        pooler.configure(client_tls_sslmode="require")
        reload(pooler, sslmode="disable")
        with pytest.raises(wire_login.Refused, match="SSL required"):
            logged_in(pooler)
        with logged_in(pooler, tls_context(certs.ca)):
            assert old.query("SELECT 1") == [("1",)]


@pytest.mark.parametrize("change", [dict(client_tls_cert_file="/nowhere.crt"), dict(client_tls_key_file="/nowhere.key"),
                                    dict(client_tls_ca_file="/nowhere.ca"), dict(client_tls_ecdhcurve="no-such-curve"),
                                    dict(client_tls_protocols="tlsv9")], ids=lambda change: next(iter(change)))
def test_start_with_a_bad_certificate(postgres, users, certs, change):
    pooler = harness.Pgweir(postgres, auth=users, **{**tls(certs), **change})
    pooler.spawn()
    status = pooler.process.wait(30)
    harness.Pgweir.running.discard(pooler)
    assert status == 1
    assert next(iter(change.values())) in pooler.log()


# Use --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[1, 4], ids=["1-worker", "4-workers"])
def many_workers(start, request):
    return start(worker_threads=request.param)


def secured(pooler, certs, **options):
    return pooler.conninfo(**{"user": "ann", "password": PASSWORD, "host": "localhost", "sslmode": "verify-full",
                              "sslrootcert": certs.ca, **options})


def test_big_values(many_workers, certs):
    """32 MB up and down, and a result of many rows."""
    value = os.urandom(1 << 15).hex() * 512
    with psycopg.connect(secured(many_workers, certs), autocommit=True) as connection:
        assert connection.execute("SELECT %s::text", [value], prepare=False).fetchone() == (value,)
        assert connection.execute("SELECT generate_series(1, 300000)").fetchall()[-1] == (300000,)


def test_copy(many_workers, certs):
    rows = [(n, "x" * (n % 300)) for n in range(20000)]
    with psycopg.connect(secured(many_workers, certs, user="postgres"), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS copied_tls")
        connection.execute("CREATE TABLE copied_tls (n int, filler text)")
        with connection.cursor().copy("COPY copied_tls FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        with connection.cursor().copy("COPY (SELECT * FROM copied_tls ORDER BY n) TO STDOUT") as copy:
            copy.set_types(["int4", "text"])
            assert list(copy.rows()) == rows


def test_slow_reader(many_workers, certs):
    """Who does not read his result holds up nobody, over TLS as well."""
    with psycopg.connect(secured(many_workers, certs), autocommit=True) as other:
        slow = psycopg.pq.PGconn.connect(secured(many_workers, certs).encode())
        slow.send_query(b"SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
        for _ in range(20):
            assert other.execute("SELECT 1").fetchone() == (1,)
        assert slow.get_result().ntuples == 100000
        slow.finish()


def test_login_in_one_byte_steps(start, certs):
    """A handshake that the network has cut into single bytes, and a startup packet, too."""
    pooler, context = start(), tls_context(certs.ca)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    machine = context.wrap_bio(incoming, outgoing, server_hostname="localhost")

    def flush(client):
        for byte in outgoing.read():
            client.send(bytes([byte]))

    with Client(pooler.port) as client:
        client.sock.setsockopt(wire.socket.IPPROTO_TCP, wire.socket.TCP_NODELAY, 1)
        assert client.request_tls() == b"S"
        while True:
            try:
                machine.do_handshake()
                break
            except ssl.SSLWantReadError:
                flush(client)
                incoming.write(client.sock.recv(1 << 16))
        machine.write(wire.startup(user="ann", database="postgres"))
        flush(client)
        answer = b""
        while b"SCRAM-SHA-256\0" not in answer:
            try:
                answer += machine.read(1 << 16)
            except ssl.SSLWantReadError:
                incoming.write(client.sock.recv(1 << 16))


def test_console(start, certs):
    pooler = start()
    rows = pooler.console("SHOW CLIENTS", user="postgres", password=PASSWORD, sslmode="require")
    assert any(row["database"] == "pgbouncer" and row["tls"].startswith("TLSv1.3/") for row in rows)


def test_tls_column_and_log(start, certs):
    pooler = start()
    with logged_in(pooler, tls_context(certs.ca)):
        rows = pooler.console("SHOW CLIENTS", user="postgres", password=PASSWORD, sslmode="require")
        assert [row["tls"] for row in rows if row["user"] == "ann"] == ["TLSv1.3/TLS_AES_256_GCM_SHA384"]
    assert "user=ann tls=TLSv1.3/TLS_AES_256_GCM_SHA384" in pooler.log()


def test_clean_ends_are_not_logged(pgweir, users, certs):
    pooler = pgweir(auth=users, auth_type="scram-sha-256", **tls(certs))
    for _ in range(3):
        with logged_in(pooler, tls_context(certs.ca)) as client:
            client.send(wire.TERMINATE)
            client.sock.unwrap()
    assert "unexpected eof while reading" not in pooler.log()


def test_cancel_over_tls(start, certs):
    pooler = start()
    with logged_in(pooler, tls_context(certs.ca)) as client:
        failed = []

        def sleep():
            try:
                client.query("SELECT pg_sleep(60)")
            except wire_login.Refused as refusal:
                failed.append(refusal.sqlstate)

        thread = threading.Thread(target=sleep)
        thread.start()
        harness.wait_for(lambda: pooler.postgres.psql(
            "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"))
        with Client(pooler.port) as canceller:
            canceller.start_tls(tls_context(certs.ca)).send(wire.cancel_request(client.key))
            assert canceller.at_end()
        thread.join(30)
        assert failed == ["57014"]


def test_handshakes_that_end_halfway(start, certs):
    """Each costs its own connection only, and leaves nothing behind."""
    pooler = start("require", worker_threads=2)
    with logged_in(pooler, tls_context(certs.ca)) as other:
        harness.wait_for(lambda: other.query("SELECT 1"))
        before = pooler.process.fds()
        hello = b"\x16\x03\x01"
        for garbage in (b"", hello[:1], hello + b"\x02\x00\x01", os.urandom(500), hello + b"\xff\xff" + b"x" * 70000):
            for _ in range(10):
                with Client(pooler.port) as client:
                    assert client.request_tls() == b"S"
                    try:
                        client.send(garbage)
                    except ConnectionError:
                        pass
            assert other.query("SELECT 1") == [("1",)]
        harness.wait_for(lambda: pooler.process.fds() <= before, what="the descriptors to be closed")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("user", ["ann", "ben"])
def test_500_logins_at_once(start, certs, workers, user):
    """They all get in, and a client that works meanwhile notices nothing but some company."""
    pooler = start(worker_threads=workers)

    async def storm():
        async def one():
            connection = await psycopg.AsyncConnection.connect(
                secured(pooler, certs, user=user, sslmode="require", connect_timeout=100))
            async with connection:
                cursor = await connection.execute("SELECT current_user")
                return (await cursor.fetchone())[0]

        return await asyncio.gather(*(one() for _ in range(500)))

    with logged_in(pooler, tls_context(certs.ca)) as other:
        stop, done = threading.Event(), []

        def work():
            while not stop.is_set():
                assert other.query("SELECT 1") == [("1",)]
                done.append(1)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            names = asyncio.run(storm())
        finally:
            stop.set()
            worker.join(30)
        assert names == [user] * 500
        assert done
