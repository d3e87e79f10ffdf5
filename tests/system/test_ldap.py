"""
Logins that an LDAP server decides about: Debian's slapd, which the test starts. PostgreSQL wants the same password,
so that whoever gets in has also shown that the server is logged in to with what he typed.
"""

import os

import psycopg
import pytest

import drivers
import harness
import slapd
import wire_login
from slapd import BASE, ODD_NAME, PEOPLE, PEOPLE_BASE, READER, READER_DN, quoted

pytestmark = pytest.mark.skipif(slapd.missing() is not None, reason=f"{slapd.missing()} is not installed")

FAILED = "LDAP authentication failed"
SIMPLE = f"ldapprefix=uid= ldapsuffix={quoted(',' + PEOPLE_BASE)}"
SEARCH = f"ldapbasedn={quoted(BASE)}"
AS_READER = f"ldapbinddn={quoted(READER_DN)} ldapbindpasswd={quoted(READER)}"


def ways(server):
    """auth_ldap_options for each way to ask, by a name."""
    url = f"ldapurl={quoted(f'ldap://{harness.HOST}:{server.port}/{BASE}?uid?sub')}"
    return {
        "simple": server.options(SIMPLE),
        "search": server.options(SEARCH),
        "reader": server.options(f"{SEARCH} {AS_READER} ldapsearchattribute=cn"),
        "filter": server.options(f"{SEARCH} ldapsearchfilter={quoted('(|(mail=$username@example.org)(uid=x))')}"),
        "url": url,
        "starttls": server.options(SEARCH, ldaptls=1),
        "ldaps": server.options(SIMPLE, ldapport=server.tls_port, ldapscheme="ldaps"),
        "second": server.options(SIMPLE, ldapserver=f"{harness.HOST}:{harness.free_port()} {harness.HOST}"),
    }


WAYS = ("simple", "search", "reader", "filter", "url", "starttls", "ldaps", "second")


@pytest.fixture(scope="module")
def strict():
    """A PostgreSQL that wants the passwords of LDAP's people."""
    with harness.Postgres(hba=["host all all 127.0.0.1/32 scram-sha-256"]) as cluster:
        for name, password in PEOPLE.items():
            cluster.create_user(name, password)
        yield cluster


@pytest.fixture(scope="module")
def server(strict):
    with slapd.Slapd(os.path.join(strict.dir, "ldap"), strict.certs) as server:
        yield server


def start(strict, options, **more):
    settings = {"auth": (), "auth_type": "ldap", "auth_ldap_options": options, "admin_users": "alice",
                "ignore_startup_parameters": "extra_float_digits", **more}
    return harness.Pgweir(strict, env={"LDAPTLS_CACERT": strict.certs.ca}, **settings)


@pytest.fixture(scope="module")
def poolers(strict, server):
    """One for each way to ask, started when it is first asked for."""
    started = {}

    def get(way):
        if way not in started:
            started[way] = start(strict, ways(server)[way]).start()
        return started[way]

    yield get
    for pooler in started.values():
        pooler.stop()


def refusal(pooler, user, password):
    """All that a client is told who is not let in."""
    outcome = drivers.ByHand().login(pooler, user=user, password=password)
    assert not outcome
    return outcome.sqlstate, outcome.text


@pytest.mark.parametrize("way", WAYS)
def test_ways(poolers, way):
    pooler = poolers(way)
    for name, password in PEOPLE.items():
        assert drivers.Psycopg().login(pooler, user=name, password=password).user == name
    assert refusal(pooler, "alice", "wrong") == ("28000", FAILED)
    assert refusal(pooler, "alice", PEOPLE["bob"]) == ("28000", FAILED)
    assert refusal(pooler, "nobody", "wrong") == ("28000", FAILED)


@pytest.mark.parametrize("driver", ("psql", "psycopg", "pgjdbc", "wire"), indirect=True)
def test_drivers(poolers, driver):
    pooler = poolers("search")
    assert driver.login(pooler, user="alice", password=PEOPLE["alice"]).user == "alice"
    outcome = driver.login(pooler, user="alice", password="wrong")
    assert not outcome and FAILED in outcome.text


def test_password_is_asked_for_in_clear(poolers):
    pooler = poolers("search")
    with wire_login.Client(pooler.port) as client:
        client.login("bob", PEOPLE["bob"])
        assert client.asked == "plain"


@pytest.mark.parametrize("way", ("simple", "search"))
def test_empty_password(poolers, way):
    """For LDAP that would be a login as nobody, which always succeeds."""
    sqlstate, text = refusal(poolers(way), "alice", "")
    assert (sqlstate[:2], text) == ("28", "empty password returned by client")


@pytest.mark.parametrize("name", ("*", "alice)(uid=*", f"alice,{PEOPLE_BASE}", "al*", "alice\\", "alice#"))
@pytest.mark.parametrize("way", ("simple", "search", "filter"))
def test_name_is_only_a_name(poolers, way, name):
    """Punctuation in a user's name does not make him another one."""
    assert refusal(poolers(way), name, PEOPLE["alice"]) == ("28000", FAILED)


def test_several_entries(strict, server):
    with start(strict, server.options(f"{SEARCH} ldapsearchattribute=mail")) as pooler:
        assert refusal(pooler, "twin@example.org", "twin") == ("28000", FAILED)
        assert "several such users" in pooler.log()


def test_console(poolers):
    pooler = poolers("simple")
    options = {"user": "alice", "password": PEOPLE["alice"]}
    assert pooler.console("SHOW VERSION", **options)[0]["version"]
    with pytest.raises(harness.Failed, match=FAILED):
        pooler.console("SHOW VERSION", user="alice", password="wrong")


def test_server_down_and_back(strict):
    """Nobody gets in meanwhile, and the log says why; who is in stays."""
    directory = os.path.join(strict.dir, "ldap-down")
    with slapd.Slapd(directory, strict.certs) as server, start(strict, server.options(SEARCH)) as pooler:
        alice = {"user": "alice", "password": PEOPLE["alice"]}
        with psycopg.connect(pooler.conninfo(**alice), autocommit=True) as connection:
            server.stop()
            assert refusal(pooler, "alice", PEOPLE["alice"]) == ("28000", FAILED)
            assert "Can't contact LDAP server" in pooler.log()
            assert connection.execute("SELECT 1").fetchone() == (1,)
        server.start()
        assert drivers.Psycopg().login(pooler, **alice).user == "alice"
        assert PEOPLE["alice"] not in pooler.log()


def test_unknown_authority(strict, server):
    """Nobody who poses as the server is told a password."""
    options = server.options(SIMPLE, ldaptls=1)
    settings = {"auth": (), "auth_type": "ldap", "auth_ldap_options": options}
    with harness.Pgweir(strict, env={"LDAPTLS_CACERT": strict.certs.other_ca}, **settings) as pooler:
        assert refusal(pooler, "alice", PEOPLE["alice"]) == ("28000", FAILED)
        assert "could not begin TLS" in pooler.log()


def test_rules(strict, server):
    """Each rule has options of its own; auth_ldap_options is for auth_type = ldap."""
    hba = [f"host all alice all ldap {server.options(SIMPLE)}",
           f"host all bob all ldap {server.options(f'{SEARCH} {AS_READER}')}",
           "host all all all reject"]
    with start(strict, None, auth_type="hba", hba=hba) as pooler:
        for name in ("alice", "bob"):
            assert drivers.Psycopg().login(pooler, user=name, password=PEOPLE[name]).user == name
            assert refusal(pooler, name, "wrong") == ("28000", FAILED)
        assert not drivers.Psycopg().login(pooler, user=ODD_NAME, password=PEOPLE[ODD_NAME])


def test_reload(strict, server):
    """Other options are for the next login; bad ones change nothing."""
    bad = server.options(SEARCH, ldapport=1)
    with start(strict, bad) as pooler:
        def reload(options):
            pooler.configure(auth_ldap_options=options)
            pooler.kill(1)

        assert refusal(pooler, "alice", PEOPLE["alice"]) == ("28000", FAILED)
        reload(server.options(SEARCH))
        harness.wait_for(lambda: drivers.Psycopg().login(pooler, user="alice", password=PEOPLE["alice"]))
        reload(f"{SEARCH} ldapport=none")
        harness.wait_for(lambda: 'auth_ldap_options: ldapport: "none" is not a port number' in pooler.log())
        assert drivers.Psycopg().login(pooler, user="bob", password=PEOPLE["bob"]).user == "bob"
