"""
Who may log in, by method, kind of stored secret and driver: the table. The server trusts everybody, so that only
the pooler's answer counts.
"""

import pytest

import drivers
import harness
import wire_login

RIGHT, WRONG = "right one, 'quoted'", "wrong one"
KINDS = ("plain", "md5", "scram")
METHODS = ("plain", "md5", "scram-sha-256")
DRIVERS = ("psql", "psycopg", "pgjdbc", "wire")

TRUST_FAILED = '"trust" authentication failed'
PASSWORD_FAILED = "password authentication failed"
SASL_FAILED = "SASL authentication failed"


def refusal(method, kind):
    """What a client is told: SCRAM has a text of its own, and md5 becomes SCRAM for who has such a secret."""
    is_scram = method == "scram-sha-256" or (method == "md5" and kind == "scram")
    return SASL_FAILED if is_scram else PASSWORD_FAILED


def accepts(method, kind):
    """An md5 hash is of no use to SCRAM; everything else can be checked with everything."""
    return not (method == "scram-sha-256" and kind == "md5")


def as_superuser(postgres):
    """The server knows none of the users: it sees another one."""
    return {"postgres": f"host={harness.HOST} port={postgres.port} user=postgres"}


def check_refused(pooler, outcome, text, sqlstate="28P01"):
    assert not outcome
    assert text in outcome.text
    if outcome.sqlstate is not None:
        assert outcome.sqlstate == ("08P01" if pooler.foreign else sqlstate)


@pytest.fixture(scope="module")
def secrets(postgres):
    """The users of auth_file, each with what is stored for him; the server knows them, too."""
    for kind in (*KINDS, "empty"):
        postgres.create_user(f"{kind}_user")
    return {
        "postgres": "",
        "plain_user": RIGHT,
        "md5_user": wire_login.md5_secret("md5_user", RIGHT),
        "scram_user": wire_login.scram_secret(RIGHT),
        "empty_user": "",
    }


@pytest.fixture(scope="module")
def poolers(postgres, secrets):
    """One pooler for each auth_type, started when it is first asked for."""
    started = {}

    def get(method):
        if method not in started:
            started[method] = harness.Pgweir(
                postgres, auth=secrets, auth_type=method, ignore_startup_parameters="extra_float_digits",
                databases={"postgres": f"host={harness.HOST} port={postgres.port}",
                           "forced": f"host={harness.HOST} port={postgres.port} dbname=postgres user=postgres"})
            started[method].start()
        return started[method]

    yield get
    for pooler in started.values():
        pooler.stop()


@pytest.mark.parametrize("driver", DRIVERS, indirect=True)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_right(poolers, method, kind, driver):
    pooler = poolers(method)
    outcome = driver.login(pooler, user=f"{kind}_user", password=RIGHT)
    if accepts(method, kind):
        assert outcome == drivers.Outcome(user=f"{kind}_user")
    else:
        check_refused(pooler, outcome, refusal(method, kind))


@pytest.mark.parametrize("driver", DRIVERS, indirect=True)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_wrong(poolers, method, kind, driver):
    pooler = poolers(method)
    check_refused(pooler, driver.login(pooler, user=f"{kind}_user", password=WRONG), refusal(method, kind))


@pytest.mark.parametrize("driver", DRIVERS, indirect=True)
@pytest.mark.parametrize("method", METHODS)
def test_unknown_user(poolers, method, driver):
    pooler = poolers(method)
    outcome = driver.login(pooler, user="nobody_knows", password=RIGHT)
    check_refused(pooler, outcome, authentication_failed(method))


@pytest.mark.parametrize("method", METHODS)
def test_empty_secret_lets_nobody_in(poolers, method):
    pooler = poolers(method)
    for password in ("", RIGHT):
        with wire_login.Client(pooler.port) as client, pytest.raises(wire_login.Refused) as refused:
            client.login("empty_user", password)
        assert refused.value.sqlstate == ("08P01" if pooler.foreign else "28P01")


@pytest.mark.parametrize("driver", DRIVERS, indirect=True)
def test_trust(poolers, driver):
    pooler = poolers("trust")
    for user in ("plain_user", "scram_user", "empty_user"):
        assert driver.login(pooler, user=user, password=WRONG).user == user
    check_refused(pooler, driver.login(pooler, user="nobody_knows", password=RIGHT), TRUST_FAILED, "28000")


@pytest.mark.parametrize("driver", DRIVERS, indirect=True)
def test_any(poolers, driver):
    """Whoever comes is the user that the database's entry names; without one there is no such database for him."""
    pooler = poolers("any")
    assert driver.login(pooler, dbname="forced", user="nobody_knows", password=WRONG).user == "postgres"
    check_refused(pooler, driver.login(pooler, user="nobody_knows", password=WRONG), "bouncer config error", "28000")


def authentication_failed(method):
    return refusal(method, None)


def answers_to(pooler, user, password, database="postgres"):
    """All that a failing login is told, with what must differ each time left out."""
    with wire_login.Client(pooler.port) as client:
        with pytest.raises(wire_login.Refused):
            client.login(user, password, database)
        assert client.at_end()
        own_words = f'Database "{database}", user "{user}".'.encode()
        told = [(kind, body.replace(own_words, b"")) for kind, body in client.transcript]
        scram = getattr(client, "scram", None)
        if scram is None or scram.salt is None:
            return [(kind, body[:4] if kind == "R" else body) for kind, body in told]
        shape = [(kind, body if kind == "E" else body[:4]) for kind, body in told]
        return [*shape, len(scram.salt), scram.iterations, client.mechanisms]


@pytest.mark.parametrize("method, kind", [("plain", "plain"), ("plain", "scram"), ("md5", "md5"), ("md5", "plain"),
                                          ("scram-sha-256", "plain"), ("scram-sha-256", "scram"),
                                          ("scram-sha-256", "md5")])
def test_nobody_can_probe_for_names(poolers, method, kind):
    """A user or a database that is not there looks like a wrong password, byte by byte."""
    pooler = poolers(method)
    wrong = answers_to(pooler, f"{kind}_user", WRONG)
    assert answers_to(pooler, "nobody_knows", WRONG) == wrong
    assert answers_to(pooler, f"{kind}_user", WRONG, "nowhere") == wrong
    assert answers_to(pooler, "nobody_knows", WRONG, "nowhere") == wrong
    assert answers_to(pooler, "empty_user", WRONG) == wrong


def salt_of(pooler, user):
    with wire_login.Client(pooler.port) as client:
        with pytest.raises(wire_login.Refused):
            client.login(user, WRONG)
        return client.scram.salt


def test_salts_are_stable(poolers):
    """Asked twice, a user who does not exist has the same salt, like one who does; two users have two."""
    pooler = poolers("scram-sha-256")
    for user in ("scram_user", "plain_user", "nobody_knows", "md5_user"):
        assert salt_of(pooler, user) == salt_of(pooler, user)
    assert len({salt_of(pooler, f"nobody_{n}") for n in range(5)}) == 5


def test_database_is_looked_for_after_the_password(poolers):
    pooler = poolers("scram-sha-256")
    with wire_login.Client(pooler.port) as client, pytest.raises(wire_login.Refused) as refused:
        client.login("scram_user", RIGHT, "nowhere")
    assert refused.value.message.startswith("no such database: nowhere")
    assert refused.value.sqlstate == ("08P01" if pooler.foreign else "3D000")


@pytest.mark.parametrize("method", METHODS)
def test_passwords_beyond_ascii(pgweir, postgres, method):
    """As libpq prepares them for SCRAM: a no-break space is a space, a ligature its letters; else as they are."""
    passwords = {"french": "où ça", "ligature": "ﬁre", "space": "no\u00a0break", "soft": "I\u00adX", "chinese": "密码"}
    pooler = pgweir(auth=passwords, auth_type=method, databases=as_superuser(postgres))
    for user, password in passwords.items():
        assert drivers.Psql().login(pooler, user=user, password=password)
    if method == "scram-sha-256":
        for user, password in {"ligature": "fire", "space": "no break", "soft": "IX"}.items():
            assert drivers.Psql().login(pooler, user=user, password=password)


@pytest.mark.parametrize("method", METHODS)
def test_long_names_and_passwords(pgweir, postgres, method):
    password = "p" * 999
    name = "n" * 63
    pooler = pgweir(auth={name: password}, auth_type=method, databases=as_superuser(postgres))
    assert drivers.ByHand().login(pooler, user=name, password=password)
    assert not drivers.ByHand().login(pooler, user=name, password=password + "p")


# SCRAM, message by message ----------------------------------------------------------------------------------


class Tampered(wire_login.Scram):
    """Changes one message on its way."""

    def __init__(self, first=None, final=None):
        super().__init__()
        self.change_first, self.change_final = first, final

    def first(self):
        message = super().first()
        return self.change_first(message) if self.change_first else message

    def final(self, password, server_first):
        message = super().final(password, server_first)
        return self.change_final(message) if self.change_final else message


@pytest.mark.parametrize("change", [
    dict(first=lambda m: m.replace(b"n,,", b"p=tls-unique,,")),
    dict(first=lambda m: m.replace(b"n,,", b"x,,")),
    dict(first=lambda m: m.replace(b",r=", b",m=ext,r=")),
    dict(first=lambda m: b""),
    dict(first=lambda m: m + b"\x00"),
    dict(first=lambda m: b"n" * 5000),
    dict(final=lambda m: m.replace(b"c=biws", b"c=eSws")),
    dict(final=lambda m: m.replace(b",r=", b",r=x")),
    dict(final=lambda m: m[:-8]),
    dict(final=lambda m: m.rpartition(b",p=")[0]),
    dict(final=lambda m: m + b",p=AAAA"),
    dict(final=lambda m: b"\xff" * 300),
], ids=["binding", "gs2", "extension", "empty", "nul", "long", "header", "nonce", "short-proof", "no-proof", "more",
        "noise"])
def test_tampered_scram(poolers, change):
    """Whatever comes in the place of a message is refused, and concerns this connection only."""
    pooler = poolers("scram-sha-256")
    with wire_login.Client(pooler.port) as other:
        other.login("scram_user", RIGHT)
        with wire_login.Client(pooler.port) as client, pytest.raises(wire_login.Refused):
            client.login("scram_user", RIGHT, scram=Tampered(**change))
        assert other.query("SELECT 1") == [("1",)]


def test_unknown_mechanism(poolers):
    pooler = poolers("scram-sha-256")
    scram = wire_login.Scram()
    scram.mechanism = "SCRAM-SHA-1"
    with wire_login.Client(pooler.port) as client:
        with pytest.raises(wire_login.Refused, match="client selected an invalid SASL authentication mechanism"):
            client.login("scram_user", RIGHT, scram=scram)


@pytest.mark.parametrize("method", METHODS)
def test_wrong_secrets_cost_nobody_else_anything(poolers, method):
    """Whoever is logged in keeps his connection and his server; nothing is left of those who were refused."""
    pooler = poolers(method)
    with wire_login.Client(pooler.port) as other:
        other.login("plain_user", RIGHT)
        other.query("BEGIN")
        server, descriptors = other.query("SELECT pg_backend_pid()"), pooler.process.fds()
        for kind in (*KINDS, "nobody"):
            for _ in range(10):
                assert not drivers.ByHand().login(pooler, user=f"{kind}_user", password=WRONG)
        assert other.query("SELECT pg_backend_pid()") == server
        harness.wait_for(lambda: pooler.process.fds() <= descriptors, what="the descriptors to be closed")
