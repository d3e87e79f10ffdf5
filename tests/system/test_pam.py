"""
Logins that PAM decides about. The services are files in /etc/pam.d with a name of this run's; their module is
pam_exec with a script of the test, which knows the passwords, writes down what it was told, and waits while the test
holds the gate.
"""

import contextlib
import fcntl
import os
import signal
import socket

import psycopg
import pytest

import drivers
import harness
import wire
import wire_login

MODULE = "pam_exec.so"
FAILED = "PAM authentication failed"
PASSWORDS = {"alice": "right, one", "bob": "bob's \\ own"}

# The shell reads its own signals first, and without a child: it blocks them all whenever it starts one.
SCRIPT = """#!/bin/sh
while read -r name mask; do case "$name" in SigBlk:|SigIgn:) echo "$name $mask";; esac; done <"/proc/$$/status" >"$1/signals"
password=$(tr -d '\\000')
echo "$PAM_SERVICE $PAM_USER ${PAM_RHOST-nowhere}" >>"$1/asked"
flock --shared "$1/gate" true
test "$password" = "$(cat "$1/password-$PAM_USER")"
"""


def why_not():
    if os.geteuid() != 0:
        return "only root can write to /etc/pam.d"
    folders = ("/lib/x86_64-linux-gnu/security", "/lib/aarch64-linux-gnu/security", "/lib/security",
               "/lib64/security", "/usr/lib64/security")
    if not any(os.path.exists(os.path.join(folder, MODULE)) for folder in folders):
        return f"PAM has no {MODULE}"
    return None


pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


class Service:
    """A service of PAM, gone after close()."""

    def __init__(self, name, lines):
        self.path = os.path.join("/etc/pam.d", name)
        self.name = name
        with open(self.path, "x") as file:
            file.writelines(f"{line}\n" for line in lines)

    def close(self):
        os.unlink(self.path)


class Judge:
    """The script, what it knows and what it has seen."""

    def __init__(self, directory):
        self.directory = directory
        os.mkdir(directory, 0o755)
        self.script = os.path.join(directory, "judge.sh")
        self.write("judge.sh", SCRIPT)
        os.chmod(self.script, 0o755)
        self.write("gate", "")
        self.write("asked", "")
        for name, password in PASSWORDS.items():
            self.write(f"password-{name}", password)
        harness.give(directory)

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as file:
            file.write(text)
        harness.give(path)

    def asked(self):
        """(service, user, host) of each question so far."""
        return [tuple(line.split(" ")) for line in harness.read_file(os.path.join(self.directory, "asked")).splitlines()]

    @contextlib.contextmanager
    def closed_gate(self):
        """Meanwhile no question is answered."""
        with open(os.path.join(self.directory, "gate")) as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield

    def lines(self):
        return [f"auth required {MODULE} quiet expose_authtok {self.script} {self.directory}",
                "account required pam_permit.so"]


@pytest.fixture(scope="module")
def strict():
    """A PostgreSQL that wants the same passwords."""
    hba = ["host bench all 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256"]
    with harness.Postgres(hba=hba) as cluster:
        for name, password in PASSWORDS.items():
            cluster.create_user(name, password)
        cluster.psql("CREATE DATABASE bench", host=cluster.dir)
        yield cluster


@pytest.fixture(scope="module")
def judge(strict):
    return Judge(os.path.join(strict.dir, "judge"))


@pytest.fixture(scope="module")
def services(judge):
    """One that asks the judge, one where he decides but nobody has an account, one whose module is not there."""
    prefix = f"pgweir-test-{os.getpid()}"
    lines = {
        "judge": judge.lines(),
        "denied": [judge.lines()[0], "account required pam_deny.so"],
        "broken": ["auth required pam_no_such_module.so"],
    }
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(contextlib.closing(Service(f"{prefix}-{name}", lines[name])))
               for name in lines}


def rules(services):
    """Databases named like services, and what needs no password."""
    return [f"host {name} all all pam pamservice={service.name}" for name, service in services.items()] + [
        f"host byname all all pam pamservice={services['judge'].name} pam_use_hostname=1",
        f"local all all pam pamservice={services['judge'].name}",
        "host bench,pgbouncer postgres all trust",
    ]


@pytest.fixture(scope="module")
def pooler(strict, services):
    target = f"host={harness.HOST} port={strict.port}"
    databases = {name: f"{target} dbname=postgres" for name in (*services, "byname")}
    with harness.Pgweir(strict, databases={**databases, "bench": target}, hba=rules(services),
                        auth=("postgres",), admin_users="postgres, alice",
                        ignore_startup_parameters="extra_float_digits") as pooler:
        yield pooler


def refusal(pooler, dbname, user, password):
    """All that a client is told who is not let in."""
    outcome = drivers.ByHand().login(pooler, dbname=dbname, user=user, password=password)
    assert not outcome
    return outcome.sqlstate, outcome.text


@pytest.mark.parametrize("driver", ("psql", "psycopg", "pgjdbc", "wire"), indirect=True)
def test_drivers(pooler, driver):
    """Who gets in has shown that the server is logged in to with the same password."""
    for name, password in PASSWORDS.items():
        assert driver.login(pooler, dbname="judge", user=name, password=password).user == name
    outcome = driver.login(pooler, dbname="judge", user="alice", password="wrong")
    assert not outcome and FAILED in outcome.text


def test_refusals(pooler):
    assert refusal(pooler, "judge", "alice", "wrong") == ("28000", FAILED)
    assert refusal(pooler, "judge", "alice", PASSWORDS["bob"]) == ("28000", FAILED)
    assert refusal(pooler, "judge", "nobody", "wrong") == ("28000", FAILED)
    assert "pam_authenticate: " in pooler.log()


def test_empty_password(pooler, judge):
    before = judge.asked()
    assert refusal(pooler, "judge", "alice", "")[1] == "empty password returned by client"
    assert judge.asked() == before


def test_account(pooler):
    """The right password is not enough when PAM says that the account may not be used."""
    assert refusal(pooler, "denied", "alice", PASSWORDS["alice"]) == ("28000", FAILED)
    assert "pam_acct_mgmt" in pooler.log()


def test_broken_service(pooler):
    assert refusal(pooler, "broken", "alice", PASSWORDS["alice"]) == ("28000", FAILED)


def test_what_pam_is_told(pooler, judge, services):
    alice = {"user": "alice", "password": PASSWORDS["alice"]}
    name = services["judge"].name
    assert drivers.Psycopg().login(pooler, dbname="judge", **alice)
    assert judge.asked()[-1] == (name, "alice", harness.HOST)
    assert drivers.Psycopg().login(pooler, dbname="judge", host=pooler.dir, **alice)
    assert judge.asked()[-1] == (name, "alice", "nowhere")
    assert drivers.Psycopg().login(pooler, dbname="byname", **alice)
    assert judge.asked()[-1] == (name, "alice", socket.getnameinfo((harness.HOST, 0), 0)[0])


@pytest.mark.skipif(os.path.basename(os.environ.get("PGWEIR_BUILD", "")) == "tsan",
                    reason="ThreadSanitizer gives a child the signals of its parent")
def test_programs_have_their_signals(pooler, judge):
    """What PAM runs can be ended, and can be told that a time is over: no signal is blocked or ignored."""
    assert drivers.Psycopg().login(pooler, dbname="judge", user="alice", password=PASSWORDS["alice"])
    signals = dict(line.split() for line in harness.read_file(os.path.join(judge.directory, "signals")).splitlines())
    assert {name: int(mask, 16) for name, mask in signals.items()} == {"SigBlk:": 0, "SigIgn:": 0}


def test_auth_type(strict, judge):
    """Without rules the service is pgbouncer, as it is for PgBouncer."""
    try:
        service = Service("pgbouncer", judge.lines())
    except FileExistsError:
        pytest.skip("this machine has a service pgbouncer")
    with contextlib.closing(service), harness.Pgweir(strict, auth=(), auth_type="pam", admin_users="alice") as pooler:
        assert drivers.Psycopg().login(pooler, user="bob", password=PASSWORDS["bob"]).user == "bob"
        assert judge.asked()[-1] == ("pgbouncer", "bob", harness.HOST)
        assert refusal(pooler, "postgres", "bob", "wrong") == ("28000", FAILED)
        assert pooler.console("SHOW VERSION", user="alice", password=PASSWORDS["alice"])
        with pytest.raises(harness.Failed, match="not allowed"):
            pooler.console("SHOW VERSION", user="bob", password=PASSWORDS["bob"])


# A PAM that does not answer -------------------------------------------------------------------------------------

STORM = 150  # more than there are threads for PAM, and than their queue takes


def knock(pooler, user, password):
    """A client that has sent its password; what comes next is the answer."""
    client = wire_login.Client(pooler.port)
    client.send(wire.startup(user=user, database="judge"))
    assert client.receive()[0] == "R"
    client.answer(wire.text(password))
    return client


def is_in(client):
    """Whether the answer that has to come is a login."""
    while True:
        kind, body = client.receive()
        if kind == "E":
            assert wire.fields(body)["M"] == FAILED
            return False
        if kind == "Z":
            return True


def test_silence_delays_only_logins(strict, services, judge):
    """
    While PAM does not answer, everybody else works, logs in and asks the console. When it does, all who wait get
    their answer, those that the executor's queue had no room for, too. Some have left before.
    """
    target = f"host={harness.HOST} port={strict.port}"
    hba = rules(services)
    with contextlib.ExitStack() as stack:
        pooler = stack.enter_context(harness.Pgweir(
            strict, databases={"judge": f"{target} dbname=postgres", "bench": target}, hba=hba, auth=("postgres",),
            pool_mode="transaction"))
        worker = stack.enter_context(psycopg.connect(pooler.conninfo("bench"), autocommit=True))
        with judge.closed_gate():
            before = len(judge.asked())
            right = [knock(pooler, "alice", PASSWORDS["alice"]) for _ in range(STORM)]
            wrong = [knock(pooler, "bob", "wrong") for _ in range(10)]
            gone = [knock(pooler, "alice", PASSWORDS["alice"]) for _ in range(10)]
            for client in (*right, *wrong):
                stack.enter_context(client)
            harness.wait_for(lambda: len(judge.asked()) > before)
            for client in gone[:5] + right[:5]:
                client.close()
            for number in range(200):
                assert worker.execute("SELECT %s::int", [number]).fetchone() == (number,)
            assert pooler.psql("SELECT 1", "bench") == "1"
            assert pooler.console("SHOW VERSION")
            assert len(judge.asked()) - before < STORM / 2, "that many threads?"
            for client in gone[5:]:
                client.close()
        assert all([is_in(client) for client in right[5:]])
        assert not any([is_in(client) for client in wrong])


def test_login_timeout(strict, services, judge):
    """Who waits too long is told so, and the thread that asks PAM is not missed."""
    target = f"host={harness.HOST} port={strict.port} dbname=postgres"
    with harness.Pgweir(strict, databases={"judge": target}, hba=rules(services), auth=("postgres",),
                        client_login_timeout=1) as pooler:
        with judge.closed_gate(), knock(pooler, "alice", PASSWORDS["alice"]) as client:
            kind, body = client.receive()
            assert (kind, wire.fields(body)["M"]) == ("E", "client_login_timeout")
            assert client.at_end()
        assert drivers.Psycopg().login(pooler, dbname="judge", user="alice", password=PASSWORDS["alice"])


def test_reload_meanwhile(pooler, judge):
    """The login goes on by the rules that it began with."""
    with judge.closed_gate():
        before = len(judge.asked())
        client = knock(pooler, "alice", PASSWORDS["alice"])
        harness.wait_for(lambda: len(judge.asked()) > before)
        pooler.console("RELOAD")
    with client:
        assert is_in(client)


def test_shutdown_meanwhile(strict, services, judge):
    """The daemon does not wait for PAM: it ends as usual, and leaves no pidfile."""
    target = f"host={harness.HOST} port={strict.port} dbname=postgres"
    with harness.Pgweir(strict, databases={"judge": target}, hba=rules(services), auth=("postgres",),
                        pidfile="pgweir.pid") as pooler:
        with judge.closed_gate():
            before = len(judge.asked())
            with knock(pooler, "alice", PASSWORDS["alice"]) as client:
                harness.wait_for(lambda: len(judge.asked()) > before)
                pooler.kill(signal.SIGTERM)
                kind, body = client.receive()
                assert (kind, wire.fields(body)["M"]) == ("E", "pooler is shutting down")
                pooler.ends()
                assert "not waiting for it" in pooler.log()
                assert not os.path.exists(os.path.join(pooler.dir, "pgweir.pid"))
