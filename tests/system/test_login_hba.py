"""auth_type = hba: which rule a login meets and what comes of it, the ident map, reload, and files that are wrong."""

import getpass
import os
import ssl

import pytest

import drivers
import harness
import wire
import wire_login
from test_login import RIGHT, WRONG, as_superuser
from test_login_tls import reload, tls
from wire_login import Client, tls_context

HERE = f"{harness.HOST}/32"
REFUSED = ("login rejected", "no authentication method is found")
ADMIN = f"host all postgres {HERE} trust"


@pytest.fixture(scope="module")
def secrets():
    return {"postgres": "", "plain_user": RIGHT, "md5_user": wire_login.md5_secret("md5_user", RIGHT),
            "scram_user": wire_login.scram_secret(RIGHT)}


@pytest.fixture
def start(pgweir, postgres, secrets):
    def get(*hba, **options):
        return pgweir(auth=options.pop("auth", secrets), hba=hba, databases=as_superuser(postgres),
                      ignore_startup_parameters="extra_float_digits", **options)

    return get


def login(pooler, user="scram_user", password=RIGHT, context=None, database="postgres", path=None):
    """How the pooler wanted the password: None for not at all."""
    with Client(pooler.port, path=path) as client:
        if context:
            client.start_tls(context)
        client.login(user, password, database)
        assert client.query("SELECT 1") == [("1",)]
        return client.asked


def refused(pooler, *args, **options):
    with pytest.raises(wire_login.Refused) as refusal:
        login(pooler, *args, **options)
    return refusal.value


# Methods ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["psql", "psycopg", "pgjdbc", "wire"], indirect=True)
@pytest.mark.parametrize("method, kinds", [("password", ("plain", "md5", "scram")), ("md5", ("plain", "md5", "scram")),
                                           ("scram-sha-256", ("plain", "scram"))])
def test_passwords(start, driver, method, kinds):
    pooler = start(f"host all all {HERE} {method}")
    for kind in kinds:
        assert driver.login(pooler, user=f"{kind}_user", password=RIGHT)
        assert not driver.login(pooler, user=f"{kind}_user", password=WRONG)
    assert not driver.login(pooler, user="nobody_knows", password=RIGHT)


def test_trust(start):
    """Trust is in who the user says to be, as long as he is in auth_file."""
    pooler = start(f"host all all {HERE} trust")
    assert login(pooler, "scram_user") is None
    assert refused(pooler, "nobody_knows").message == '"trust" authentication failed'


def test_reject(start):
    pooler = start(f"host all scram_user {HERE} reject", f"host all all {HERE} trust")
    refusal = refused(pooler)
    assert refusal.message in REFUSED
    assert refusal.sqlstate == ("08P01" if pooler.foreign else "28000")
    login(pooler, "plain_user")


def test_no_rule(start):
    refusal = refused(start(f"host all plain_user {HERE} trust"))
    assert refusal.message in REFUSED
    assert refusal.sqlstate in ("08P01", "28000")


def test_first_rule_counts(start):
    """Where the first that fits says no, the next is not asked."""
    pooler = start(f"host all plain_user {HERE} scram-sha-256", f"host all all {HERE} password",
                   f"host all all {HERE} trust")
    assert login(pooler, "plain_user") == "scram"
    assert login(pooler, "scram_user") == "plain"
    assert refused(pooler, "scram_user", WRONG).sqlstate in ("08P01", "28P01")


# What rules can say -----------------------------------------------------------------------------------------

ADDRESSES = {"cidr": "127.0.0.0/8", "host": HERE, "mask": "127.0.0.0 255.0.0.0", "all": "all"}
ELSEWHERE = {"cidr": "10.0.0.0/8", "mask": "127.0.0.2 255.255.255.255", "v6": "::1/128"}
OWN_ADDRESSES = {"samehost": "samehost", "samenet": "samenet", "name": "localhost"}


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_address(start, address):
    assert login(start(f"host all all {address} scram-sha-256")) == "scram"


@pytest.mark.parametrize("address", ELSEWHERE.values(), ids=ELSEWHERE)
def test_address_elsewhere(start, address):
    assert refused(start(f"host all all {address} trust")).message in REFUSED


@pytest.mark.parametrize("address", OWN_ADDRESSES.values(), ids=OWN_ADDRESSES)
def test_address_of_ours(start, address):
    assert login(start(f"host all all {address} scram-sha-256")) == "scram"


def test_name_of_another_host(start):
    """The look-up leads elsewhere: the next rule is asked."""
    pooler = start("host all all nowhere.invalid reject", f"host all all {HERE} scram-sha-256")
    assert login(pooler) == "scram"


def test_lists(start):
    pooler = start(f"host other,postgres plain_user,scram_user {HERE} trust")
    assert login(pooler, "scram_user") is None
    assert refused(pooler, "md5_user").message in REFUSED


def test_lists_in_files(start, postgres):
    lists = os.path.join(postgres.dir, "hba-users")
    with open(lists, "w") as file:
        file.write("plain_user\nscram_user, md5_user\n")
    pooler = start(f"host all @{lists} {HERE} trust")
    for user in ("plain_user", "scram_user", "md5_user"):
        assert login(pooler, user) is None
    assert refused(pooler, "postgres").message in REFUSED


def test_sameuser(pgweir, postgres, secrets):
    line = f"host={harness.HOST} port={postgres.port} user=postgres dbname=postgres"
    pooler = pgweir(auth=secrets, hba=[f"host sameuser all {HERE} trust"],
                    databases={"scram_user": line, "postgres": line})
    assert login(pooler, "scram_user", database="scram_user") is None
    assert refused(pooler, "scram_user").message in REFUSED


def test_quoted_words_are_names(start):
    """"all" in quotes is somebody's name."""
    assert refused(start(f'host all "all" {HERE} trust')).message in REFUSED
    assert login(start(f'host "postgres" "scram_user" {HERE} trust')) is None


def test_regular_expressions(start):
    pooler = start(f'host /^post all {HERE} reject', f"host all all {HERE} trust")
    assert refused(pooler).message in REFUSED
    pooler = start(f'host all "/^(plain|scram)_user$" {HERE} trust')
    assert login(pooler, "scram_user") is None
    assert refused(pooler, "md5_user").message in REFUSED


def test_include(start, postgres):
    included = os.path.join(postgres.dir, "hba-included.conf")
    with open(included, "w") as file:
        file.write(f"host all scram_user {HERE} scram-sha-256\n")
    pooler = start(f"include {included}", f"host all all {HERE} trust")
    assert login(pooler, "scram_user") == "scram"
    assert login(pooler, "plain_user") is None


def test_encrypted_or_not(start, postgres):
    pooler = start(f"hostssl all scram_user {HERE} trust", f"hostnossl all plain_user {HERE} trust",
                   **tls(postgres.certs, "allow"))
    context = tls_context(postgres.certs.ca)
    assert login(pooler, "scram_user", context=context) is None
    assert refused(pooler, "scram_user").message in REFUSED
    assert login(pooler, "plain_user") is None
    assert refused(pooler, "plain_user", context=context).message in REFUSED


# Certificates and peers -------------------------------------------------------------------------------------


def unix_path(pooler):
    path = os.path.join(pooler.dir, f".s.PGSQL.{pooler.port}")
    harness.wait_for(lambda: os.path.exists(path), what="the unix socket")
    return path


def test_certificate(start, postgres):
    """Also where others may come without one: the rule asks, not the mode."""
    certs = postgres.certs
    pooler = start(f"hostssl all scram_user,plain_user {HERE} cert", f"host all all {HERE} trust",
                   **tls(certs, "require"))
    assert login(pooler, "scram_user", context=tls_context(certs.ca, certs.client("scram_user"))) is None
    refusal = refused(pooler, "plain_user", context=tls_context(certs.ca, certs.client("scram_user")))
    assert "certificate authentication failed" in refusal.message
    assert "certificate authentication failed" in refused(pooler, "scram_user", context=tls_context(certs.ca)).message
    assert login(pooler, "md5_user", context=tls_context(certs.ca)) is None


def test_certificate_and_map(start, postgres):
    certs = postgres.certs
    pooler = start(f"hostssl all all {HERE} cert map=people",
                   ident=["people  person-one       scram_user", 'people  /^robot-(.*)$   \\1_user',
                          "people  root-of-all      all"], **tls(certs, "verify-full"))

    def context(name):
        return tls_context(certs.ca, certs.client(name))

    assert login(pooler, "scram_user", context=context("person-one")) is None
    assert login(pooler, "plain_user", context=context("robot-plain")) is None
    assert login(pooler, "plain_user", context=context("root-of-all")) is None
    for name, user in (("person-one", "plain_user"), ("robot-plain", "scram_user"), ("scram_user", "scram_user")):
        assert "certificate authentication failed" in refused(pooler, user, context=context(name)).message


def test_peer(start, secrets):
    me = getpass.getuser()
    pooler = start("local all all peer", auth={**secrets, me: ""})
    assert login(pooler, me, path=unix_path(pooler)) is None
    refusal = refused(pooler, "scram_user", path=unix_path(pooler))
    assert "unix socket login rejected" in refusal.message
    assert refusal.sqlstate in ("08P01", "28000")
    assert drivers.Psql().login(pooler, user=me, host=pooler.dir)
    assert not drivers.Psql().login(pooler, user="scram_user", host=pooler.dir)


def test_peer_and_map(start):
    me = getpass.getuser()
    pooler = start("local all all peer map=us", ident=[f"us {me} scram_user", "us nobody-else plain_user"])
    assert login(pooler, "scram_user", path=unix_path(pooler)) is None
    assert "unix socket login rejected" in refused(pooler, "plain_user", path=unix_path(pooler)).message


def test_local_is_for_unix_sockets(start):
    pooler = start("local all all scram-sha-256", ADMIN)
    assert login(pooler, path=unix_path(pooler)) == "scram"
    assert refused(pooler).message in REFUSED


# Reload -----------------------------------------------------------------------------------------------------


def test_reload_of_rules(start):
    """Who is there stays, who comes meets the new rules."""
    pooler = start(ADMIN, f"host all all {HERE} scram-sha-256")
    with Client(pooler.port) as old:
        old.login("scram_user", RIGHT)
        pooler.write_lines("hba.conf", [ADMIN, f"host all scram_user {HERE} reject", f"host all all {HERE} md5"])
        assert login(pooler) == "scram"  # not before the reload
        pooler.console("RELOAD")
        assert refused(pooler).message in REFUSED
        assert login(pooler, "md5_user") == "md5"
        assert old.query("SELECT 1") == [("1",)]


def test_reload_of_secrets(start, secrets):
    """A new user, a changed password and one who is gone; nobody who is there is dropped."""
    pooler = start(ADMIN, f"host all all {HERE} scram-sha-256")
    with Client(pooler.port) as old:
        old.login("plain_user", RIGHT)
        pooler.write_auth({"postgres": "", "plain_user": "another", "new_user": wire_login.scram_secret("new")})
        pooler.console("RELOAD")
        assert login(pooler, "plain_user", "another") == "scram"
        assert login(pooler, "new_user", "new") == "scram"
        refused(pooler, "plain_user", RIGHT)
        refused(pooler, "scram_user", RIGHT)
        assert old.query("SELECT 1") == [("1",)]


def test_reload_of_a_bad_line(start):
    """All or nothing: the file and its line are named, and the old rules go on."""
    pooler = start(ADMIN, f"host all all {HERE} scram-sha-256")
    pooler.write_lines("hba.conf", [ADMIN, "", f"host all all {HERE} no-such-method"])
    with pytest.raises(harness.Failed, match="RELOAD failed"):
        pooler.console("RELOAD")
    assert "hba.conf:3" in pooler.log()
    assert login(pooler) == "scram"


BAD_LINES = {
    "group": (f"host all +people {HERE} trust", "group"),
    "method": (f"host all all {HERE} gss", "gss"),
    "address": ("host all all 300.0.0.0/8 trust", "300.0.0.0"),
    "bits": ("host all all 10.0.0.0/33 trust", "33"),
    "short": ("host all all", ""),
    "kind": (f"hots all all {HERE} trust", "hots"),
    "peer": (f"host all all {HERE} peer", "peer"),
    "cert": (f"host all all {HERE} cert", "cert"),
    "regex": (f'host all "/(" {HERE} trust', ""),
    "file": (f"host all @/nowhere/users {HERE} trust", "/nowhere/users"),
}


@pytest.mark.parametrize("line, word", BAD_LINES.values(), ids=BAD_LINES)
def test_bad_line(postgres, secrets, line, word):
    """At start the daemon says what is wrong, where, and ends."""
    pooler = harness.Pgweir(postgres, auth=secrets, hba=[ADMIN, line], ident=["some a b"])
    pooler.spawn()
    status = pooler.process.wait(30)
    harness.Pgweir.running.discard(pooler)
    assert status == 1
    complaint = next(text for text in pooler.log().splitlines() if "hba.conf:2" in text)
    assert word in complaint


def test_map_that_is_not_there(start):
    """As with PostgreSQL it lets nobody in; here that is said before somebody wonders."""
    pooler = start("local all all peer map=no-such-map", ident=["some a b"])
    assert "unix socket login rejected" in refused(pooler, path=unix_path(pooler)).message
    assert "no-such-map" in pooler.log()


def test_bad_line_if_lenient(start):
    """As PgBouncer: a warning, and the line is not there."""
    pooler = start(ADMIN, f"host all +people {HERE} trust", f"host all all {HERE} scram-sha-256", auth_hba_lenient=1)
    assert "hba.conf:2" in pooler.log() or pooler.foreign
    assert login(pooler) == "scram"


# The console, and the rest ----------------------------------------------------------------------------------


def test_console_has_rules_too(start):
    pooler = start(f"host pgbouncer postgres {HERE} trust", f"host postgres all {HERE} scram-sha-256")
    assert pooler.console("SHOW VERSION")
    with pytest.raises(harness.Failed, match="|".join(REFUSED)):
        pooler.console("SHOW VERSION", user="scram_user", password=RIGHT)


def test_rule_that_wants_tls_with_a_pooler_that_has_none(start):
    assert refused(start(f"hostssl all all {HERE} trust")).message in REFUSED


def test_bad_certificate_meets_no_rule(start, postgres):
    certs = postgres.certs
    pooler = start(f"host all all {HERE} trust", **tls(certs, "verify-full"))
    with pytest.raises((ssl.SSLError, wire.Closed, ConnectionError)):
        login(pooler, context=tls_context(certs.ca, certs.foreign_client("scram_user")))


def test_reload_over_tls(start, postgres):
    pooler = start(ADMIN, f"hostssl all all {HERE} scram-sha-256", **tls(postgres.certs))
    reload(pooler)
    assert login(pooler, context=tls_context(postgres.certs.ca)) == "scram"
