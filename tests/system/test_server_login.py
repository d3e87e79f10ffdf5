"""
The other side: how the pooler logs in to servers, by what they ask for and what there is to answer with; TLS to them;
and what is refused at the start because this libpq cannot do it.
"""

import re
import warnings

import psycopg
import pytest

import drivers
import harness
import libpq18
import wire_login

RIGHT, WRONG = "right one, 'quoted'", "wrong one"
METHODS = ("trust", "password", "md5", "scram-sha-256")  # and the names of the users whom the server asks so
WRONG_TYPE = "server login failed: wrong password type"

# What each kind of secret is good for, besides trust.
KINDS = {
    "none": (),
    "plain": ("password", "md5", "scram-sha-256"),
    "md5": ("md5",),
    "scram": (),
    "entry": ("password", "md5", "scram-sha-256"),
    "md5 entry": ("md5",),
    "pgpass": ("password", "md5", "scram-sha-256"),
    "typed": ("password", "md5", "scram-sha-256"),
}


@pytest.fixture(scope="module")
def server():
    hba = [f"host all {method} 127.0.0.1/32 {method}" for method in METHODS]
    hba += ["hostssl all certified 127.0.0.1/32 cert", "hostnossl all tls 127.0.0.1/32 reject",
            "host all all 127.0.0.1/32 trust", "local all all trust"]
    with harness.Postgres(ssl=True, hba=hba) as cluster:
        for method in METHODS:
            cluster.create_user(method, RIGHT, "md5" if method == "md5" else "scram-sha-256")
        for name in ("certified", "tls", "boss"):
            cluster.create_user(name)
        yield cluster


@pytest.fixture
def pooler(server):
    """Starts a pooler before that server; stopped and checked after the test."""
    started = []

    def start(**options):
        started.append(harness.Pgweir(server, **options))
        return started[-1].start()

    yield start
    for daemon in reversed(started):
        daemon.stop()


def host(server, **keys):
    return " ".join([f"host={harness.HOST} port={server.port} dbname=postgres",
                     *(f"{key}='{value}'" for key, value in keys.items())])


def secret_for(kind, method, password):
    """What auth_file has."""
    if kind == "plain":
        return password
    if kind in ("md5", "typed"):
        return wire_login.md5_secret(method, password)
    return wire_login.scram_secret(password) if kind == "scram" else ""


def entry(server, kind, method, password):
    """The line of [databases] for the server."""
    quoted = password.replace("'", "''")
    if kind == "entry":
        return host(server, user=method, password=quoted)
    if kind == "md5 entry":
        return host(server, user=method, password=wire_login.md5_secret(method, password))
    return host(server)


@pytest.fixture(scope="module")
def poolers(server):
    """One pooler for each kind of secret and each password, started when it is first asked for."""
    started = {}

    def get(kind, password):
        if (kind, password) not in started:
            line = f"{harness.HOST}:{server.port}:postgres:*:{password}"
            started[kind, password] = harness.Pgweir(
                server, auth={method: secret_for(kind, method, password) for method in METHODS},
                auth_type="plain" if kind == "typed" else "trust", pgpass=[line] if kind == "pgpass" else (),
                databases={method: entry(server, kind, method, password) for method in METHODS})
            started[kind, password].start()
        return started[kind, password]

    yield get
    for daemon in started.values():
        daemon.stop()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_right(poolers, kind, method):
    outcome = drivers.Psycopg().login(poolers(kind, RIGHT), dbname=method, user=method, password=RIGHT)
    if method == "trust" or method in KINDS[kind]:
        assert outcome == drivers.Outcome(user=method)
    else:
        assert not outcome
        assert WRONG_TYPE in outcome.text


@pytest.mark.parametrize("kind, method", [(kind, method) for kind in KINDS for method in KINDS[kind]])
def test_wrong(poolers, kind, method):
    """The server's own words."""
    outcome = drivers.ByHand().login(poolers(kind, WRONG), dbname=method, user=method, password=WRONG)
    assert (outcome.sqlstate, outcome.text) == ("28P01", f'password authentication failed for user "{method}"')


def refusal(daemon, **login):
    with wire_login.Client(daemon.port) as client, pytest.raises(wire_login.Refused) as refused:
        client.login(**login)
    return refused.value.fields


def test_wrong_type_says_what_and_what_to_do(poolers):
    fields = refusal(poolers("md5", RIGHT), user="scram-sha-256", database="scram-sha-256")
    assert (fields["S"], fields["C"], fields["M"]) == ("FATAL", "28000", WRONG_TYPE)
    assert 'user "scram-sha-256"' in fields["D"] and "only an md5 secret" in fields["D"]
    for way_out in ("auth_file", "password=", ".pgpass", "libpq 18"):
        assert way_out in fields["H"]
    assert f"{WRONG_TYPE}: The server of database" in poolers("md5", RIGHT).log()


def test_who_comes_next_is_told_at_once(poolers):
    """As PgBouncer: the server is not asked again before server_login_retry."""
    daemon = poolers("none", RIGHT)
    for _ in range(2):
        fields = refusal(daemon, user="password", database="password")
    assert WRONG_TYPE in fields["M"]
    assert "none that could be sent" in fields["D"]


def test_new_password_is_tried_at_once(server, pooler):
    """Nobody waits for server_login_retry once the secret is another one."""
    daemon = pooler(auth={"md5": WRONG}, databases={"postgres": host(server)}, server_login_retry=3600)
    assert not drivers.Psycopg().login(daemon, user="md5")
    daemon.write_auth({"md5": RIGHT})
    reload(daemon)
    assert drivers.Psycopg().login(daemon, user="md5")


def test_typed_password_replaces_one_that_was_wrong(server, pooler):
    """The server's password has changed; auth_file follows later, with a digest only."""
    server.create_user("changing", "second")
    hba = list(server.hba)
    server.configure(hba=["host all changing 127.0.0.1/32 scram-sha-256", *hba])
    server.reload()
    daemon = pooler(auth={"changing": wire_login.md5_secret("changing", "first")}, auth_type="plain",
                    databases={"postgres": host(server)}, server_login_retry=3600)
    outcome = drivers.Psycopg().login(daemon, user="changing", password="first")
    assert 'password authentication failed for user "changing"' in outcome.text
    daemon.write_auth({"changing": wire_login.md5_secret("changing", "second")})
    reload(daemon)
    assert drivers.Psycopg().login(daemon, user="changing", password="second")
    server.configure(hba=hba)
    server.reload()


def reload(daemon):
    before = daemon.log().count("configuration reloaded")
    daemon.kill(1)
    harness.wait_for(lambda: daemon.log().count("configuration reloaded") > before, what="the reload")


# TLS ------------------------------------------------------------------------------------------------------------

def over_tls(daemon, **login):
    """Whether the server connection has TLS, and its version and the name in the client's certificate."""
    with psycopg.connect(daemon.conninfo(**login)) as connection:
        return connection.execute("SELECT ssl, version, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                                  ).fetchone()


def tls_databases(server):
    """By sslmode, to the name in the certificate of the server."""
    line = f"host=localhost port={server.port} dbname=postgres"
    return {mode: f"{line} server_tls_sslmode={mode}"
            for mode in ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")}


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])
def test_tls_mode(server, pooler, mode):
    daemon = pooler(databases=tls_databases(server), server_tls_ca_file=server.certs.ca)
    is_tls = mode not in ("disable", "allow")
    assert over_tls(daemon, dbname=mode)[0] is is_tls


def test_tls_only_user_by_allow(server, pooler):
    """First without TLS, which the server does not take."""
    daemon = pooler(auth=["tls"], databases=tls_databases(server))
    assert over_tls(daemon, dbname="allow", user="tls")[0] is True


def test_scram_over_tls(server, pooler):
    """libpq binds the login to the certificate of the server."""
    daemon = pooler(auth={"scram-sha-256": RIGHT}, databases=tls_databases(server),
                    server_tls_ca_file=server.certs.ca)
    assert over_tls(daemon, dbname="verify-full", user="scram-sha-256")[0] is True


def test_md5_secret_over_tls(server, pooler):
    daemon = pooler(auth={"md5": wire_login.md5_secret("md5", RIGHT)}, databases=tls_databases(server))
    assert over_tls(daemon, dbname="require", user="md5")[0] is True


def test_client_certificate(server, pooler):
    """For the entry that names it; the others have none."""
    certs = server.certs
    pair = certs.client("certified")
    daemon = pooler(auth=["certified"], server_tls_sslmode="verify-full", server_tls_ca_file=certs.ca, databases={
        "own": f"host=localhost port={server.port} dbname=postgres server_tls_cert_file={pair.cert} "
               f"server_tls_key_file={pair.key}",
        "none": f"host=localhost port={server.port} dbname=postgres"})
    assert over_tls(daemon, dbname="own", user="certified")[2] == "/CN=certified"
    fields = refusal(daemon, database="none", user="certified")
    assert fields["C"] == "28000"
    assert "certificate" in fields["M"]


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_tls_version(server, pooler, version):
    daemon = pooler(databases=tls_databases(server), server_tls_protocols=version)
    assert over_tls(daemon, dbname="require")[1].lower() == version


CIPHERS = [  # what the file says, and the version and the cipher of the connection
    ({"server_tls_protocols": "tlsv1.2", "server_tls_ciphers": "ECDHE-RSA-AES128-GCM-SHA256"},
     ("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256")),
    ({"server_tls_protocols": "tlsv1.2", "server_tls_ciphers": "fast"}, ("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256")),
    ({"server_tls_protocols": "tlsv1.2", "server_tls_ciphers": "default"},
     ("TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384")),
    ({"server_tls13_ciphers": "TLS_AES_128_GCM_SHA256"}, ("TLSv1.3", "TLS_AES_128_GCM_SHA256")),
    ({"server_tls13_ciphers": ""}, ("TLSv1.3", "TLS_AES_256_GCM_SHA384")),
]


def cipher_of(connection):
    return connection.execute("SELECT version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()


@pytest.mark.parametrize("settings, expected", CIPHERS)
def test_ciphers(server, pooler, settings, expected):
    server.configure(ssl_prefer_server_ciphers="off")
    server.reload()
    daemon = pooler(databases=tls_databases(server), **settings)
    with psycopg.connect(daemon.conninfo(dbname="require")) as connection:
        assert cipher_of(connection) == expected


def test_ciphers_of_a_reload(server, pooler):
    """Also back to what OpenSSL would choose; clients' own TLS has its own list."""
    pair = server.certs.server
    daemon = pooler(databases={"postgres": f"host=localhost port={server.port}"}, server_tls_sslmode="require",
                    client_tls_sslmode="require", client_tls_cert_file=pair.cert, client_tls_key_file=pair.key)
    with psycopg.connect(daemon.conninfo(sslmode="require"), autocommit=True) as connection:
        for suites, expected in (("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
                                 ("", "TLS_AES_256_GCM_SHA384")):
            daemon.configure(server_tls13_ciphers=suites)
            reload(daemon)
            harness.wait_for(lambda: cipher_of(connection)[1] == expected, what=expected)
            psycopg.connect(daemon.conninfo(sslmode="require")).close()
            logins = [line for line in daemon.log().splitlines() if "login attempt" in line]
            assert "tls=TLSv1.3/TLS_AES_256_GCM_SHA384 " in logins[-1]


@pytest.mark.parametrize("key", ["server_tls_ciphers", "server_tls13_ciphers"])
@pytest.mark.parametrize("value", ["NONSENSE", "$HOME", "HIGH#"])
def test_ciphers_that_are_none(server, pooler, key, value):
    daemon = pooler()
    with pytest.raises(harness.Failed, match=f'{key}: "{re.escape(value)}" are no ciphers that OpenSSL knows'):
        daemon.console(f"SET {key} = '{value}'")


def test_server_that_cannot_be_trusted(server, pooler):
    """Each is told at once, with the reason, and the server is not given a password."""
    certs, sound = server.certs, {key: server.settings[key] for key in ("ssl_cert_file", "ssl_key_file")}
    bad = {"foreign": (certs.foreign, "certificate verify failed"), "expired": (certs.expired, "certificate verify failed"),
           "misnamed": (certs.misnamed, "does not match host name")}
    for name, (pair, text) in bad.items():
        server.configure(ssl_cert_file=pair.cert, ssl_key_file=pair.key)
        server.reload()
        daemon = pooler(databases=tls_databases(server), server_tls_ca_file=certs.ca)
        fields = refusal(daemon, database="verify-full", user=harness.SUPERUSER)
        assert text in fields["M"], name
        assert fields["C"] == "08006"
        assert over_tls(daemon, dbname="require")[0] is True  # which looks at nothing
        if name == "misnamed":
            assert over_tls(daemon, dbname="verify-ca")[0] is True
    server.configure(**sound)
    server.reload()


def test_wrong_ca(server, pooler):
    daemon = pooler(databases=tls_databases(server), server_tls_ca_file=server.certs.other_ca)
    for mode in ("verify-ca", "verify-full"):
        assert "certificate verify failed" in refusal(daemon, database=mode, user=harness.SUPERUSER)["M"]


def test_server_without_tls(server, pooler):
    server.configure(ssl="off")
    server.reload()
    daemon = pooler(databases=tls_databases(server))
    assert "does not support SSL" in refusal(daemon, database="require", user=harness.SUPERUSER)["M"]
    assert over_tls(daemon, dbname="prefer")[0] is False
    server.configure(ssl="on")
    server.reload()


def test_reload_replaces_the_connections(server, pooler):
    """A client who is connected stays; its next transaction is on another connection."""
    daemon = pooler(databases={"postgres": f"host=localhost port={server.port}"}, server_tls_sslmode="disable")
    tls = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    with psycopg.connect(daemon.conninfo(), autocommit=True) as connection:
        assert connection.execute(tls).fetchone()[0] is False
        for changes, expected in (({"server_tls_sslmode": "require"}, "TLSv1.3"),
                                  ({"server_tls_protocols": "tlsv1.2"}, "TLSv1.2")):
            daemon.configure(**changes)
            reload(daemon)
            harness.wait_for(lambda: connection.execute(tls).fetchone() == (True, expected), what=expected)


@pytest.mark.parametrize("buffer, size", [(0, 100_000), (16384, 2_000)])
def test_much_over_tls(server, pooler, buffer, size):
    """A long result, a large value there and back, and COPY both ways; also with sockets that take little at a time."""
    daemon = pooler(databases=tls_databases(server), tcp_socket_buffer=buffer)
    with psycopg.connect(daemon.conninfo(dbname="require")) as connection:
        large = "a large value, " * size
        assert connection.execute("SELECT %s::text", [large]).fetchone()[0] == large
        rows = connection.execute("SELECT i, repeat('x', i %% 100) FROM generate_series(1, %s) i", [size]).fetchall()
        assert rows == [(i, "x" * (i % 100)) for i in range(1, size + 1)]
        connection.execute("CREATE TEMP TABLE copied (line int)")
        with connection.cursor().copy("COPY copied FROM STDIN") as copy:
            for i in range(size):
                copy.write_row([i])
        with connection.cursor().copy("COPY copied TO STDOUT") as copy:
            assert [int(row[0]) for row in copy.rows()] == list(range(size))


def test_server_that_ends_in_mid_result_over_tls(server, pooler):
    """The client whose result it was is told, or cut off if that was in the middle of a message; nobody else is."""
    daemon = pooler(databases=tls_databases(server))
    with psycopg.connect(daemon.conninfo(dbname="require"), autocommit=True) as bystander:
        with psycopg.connect(daemon.conninfo(dbname="require")) as victim:
            pid = victim.execute("SELECT pg_backend_pid()").fetchone()[0]
            with pytest.raises(psycopg.OperationalError), victim.cursor() as cursor:
                for _ in cursor.stream("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)"):
                    if pid:
                        assert bystander.execute("SELECT pg_terminate_backend(%s)", [pid]).fetchone()[0]
                        pid = None
        assert bystander.execute("SELECT 1").fetchone() == (1,)


# What libpq cannot do -------------------------------------------------------------------------------------------

def test_scram_secret_is_refused_at_the_start(server):
    """By a libpq before 18, if nothing says that it will not be needed; in one line, with the ways out."""
    daemon = harness.Pgweir(server, auth={"scram-sha-256": wire_login.scram_secret(RIGHT)}, pgpass=None,
                            auth_type="scram-sha-256", databases={"postgres": host(server)})
    daemon.spawn()
    status = daemon.process.wait(60)
    daemon.check(status, expected=1)
    lines = [line for line in daemon.log().splitlines() if "FATAL" in line]
    assert len(lines) == 1
    for words in ("SCRAM", '"scram-sha-256"', "libpq 18", "auth_file", "password=", ".pgpass"):
        assert words in lines[0]


def test_reload_that_would_need_it_changes_nothing(server, pooler):
    daemon = pooler(auth={"md5": RIGHT, "boss": ""}, pgpass=None, auth_type="scram-sha-256", admin_users="md5",
                    databases={"postgres": host(server)})
    daemon.write_auth({"md5": RIGHT, "scram-sha-256": wire_login.scram_secret(RIGHT)})
    with pytest.raises(harness.Failed, match="only a SCRAM secret"):
        daemon.console("RELOAD", user="md5", password=RIGHT)
    assert drivers.Psycopg().login(daemon, user="md5", password=RIGHT)


@pytest.fixture(scope="module")
def new_libpq(server):
    try:
        return {"LD_LIBRARY_PATH": libpq18.find(server.dir)}
    except OSError as error:
        warnings.warn(f"libpq 18 could not be fetched, so nothing shows that SCRAM logins are passed on: {error}")
        return pytest.skip(f"no libpq 18: {error}")


def test_scram_login_is_passed_on(server, pooler, new_libpq):
    """The secret is the server's own; nobody but the client knows the password."""
    secret = server.psql("SELECT rolpassword FROM pg_authid WHERE rolname = 'scram-sha-256'", host=server.dir)
    daemon = pooler(auth={"scram-sha-256": secret, "md5": wire_login.scram_secret(RIGHT)}, pgpass=None,
                    auth_type="scram-sha-256", env=new_libpq, databases={"postgres": host(server)})
    harness.wait_for(lambda: "libpq 18" in daemon.log(), what="the line about versions")
    for driver in (drivers.Psycopg(), drivers.Psql()):
        assert driver.login(daemon, user="scram-sha-256", password=RIGHT).user == "scram-sha-256"
        assert not driver.login(daemon, user="scram-sha-256", password=WRONG)
    fields = refusal(daemon, user="md5", password=RIGHT)
    assert fields["M"] == WRONG_TYPE
    assert "only the client's SCRAM login" in fields["D"]


def test_scram_login_of_another_secret(server, pooler, new_libpq):
    """The same password with another salt: what the client proves to us proves nothing to the server."""
    daemon = pooler(auth={"scram-sha-256": wire_login.scram_secret(RIGHT)}, auth_type="scram-sha-256", env=new_libpq,
                    databases={"postgres": host(server)})
    fields = refusal(daemon, user="scram-sha-256", password=RIGHT)
    assert (fields["C"], fields["M"]) == ("28P01", 'password authentication failed for user "scram-sha-256"')


def test_tls_of_another_openssl_is_refused_at_the_start(server, new_libpq):
    daemon = harness.Pgweir(server, env=new_libpq, databases=tls_databases(server))
    daemon.spawn()
    daemon.check(daemon.process.wait(60), expected=1)
    assert 'FATAL database "require": server_tls_sslmode = require is not possible: libpq is linked to another ' \
           "OpenSSL than pgweir" in daemon.log()


def test_tls_of_another_openssl_is_not_preferred(server, pooler, new_libpq):
    daemon = pooler(env=new_libpq, databases={"postgres": f"host=localhost port={server.port}"})
    assert daemon.log().count("WARNING servers are connected to without TLS") == 1
    assert over_tls(daemon)[0] is False
    with pytest.raises(harness.Failed, match="is not possible"):
        daemon.console("SET server_tls_sslmode = 'require'")
