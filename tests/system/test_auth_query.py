"""auth_query: secrets that the server keeps, asked for through the pool itself."""

import asyncio
import concurrent.futures
import signal

import psycopg
import pytest

import harness
import wire
import wire_login
from wire_login import Client

RIGHT, WRONG = "right one", "wrong one"
REFUSED = "password authentication failed|SASL authentication failed"

# Counts the questions, and lets a test hold up the answers by a lock.
SCHEMA = """
CREATE SEQUENCE asked;
CREATE TABLE zones (zone text);
CREATE FUNCTION ask(name text, OUT who text, OUT secret text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('asked'), pg_advisory_xact_lock_shared(4711);
    INSERT INTO zones VALUES (current_setting('TimeZone'));
    RETURN QUERY SELECT rolname::text, rolpassword FROM pg_authid WHERE rolname = name AND rolcanlogin;
END $$;
"""
ASK = "SELECT who, secret FROM ask($1)"


@pytest.fixture(scope="module")
def people(postgres):
    """A database with the function above, and users with all kinds of secrets."""
    postgres.psql("CREATE DATABASE people")
    postgres.psql("CREATE DATABASE empty")
    postgres.psql(SCHEMA, "people")
    for name, encryption in (("asked_md5", "md5"), ("asked_scram", "scram-sha-256"), ("asked_late", "scram-sha-256"),
                             ("asked_gone", "md5"), ("o'dd \"$1\" name", "scram-sha-256")):
        postgres.create_user(name, RIGHT, encryption)
    postgres.create_user("asked_none")
    postgres.psql("ALTER USER asked_late VALID UNTIL '2001-01-01'; ALTER USER asked_gone NOLOGIN")
    return postgres


@pytest.fixture
def start(pgweir, people):
    def get(auth_type="md5", databases=None, **options):
        line = f"host={harness.HOST} port={people.port}"
        return pgweir(**{"auth_type": auth_type, "auth_user": "postgres", "databases": databases or {"*": line},
                         "ignore_startup_parameters": "extra_float_digits", "auth": {"postgres": RIGHT}, **options})

    return get


def login(pooler, user="asked_scram", password=RIGHT, database="people", **parameters):
    with Client(pooler.port) as client:
        client.login(user, password, database, **parameters)
        return client.query("SELECT current_user")[0][0]


def console(pooler, sql):
    return pooler.console(sql, password=RIGHT)


def refused(pooler, *args, **options):
    with pytest.raises(wire_login.Refused) as refusal:
        login(pooler, *args, **options)
    return refusal.value


def count(people):
    return int(people.psql("SELECT last_value FROM asked WHERE is_called UNION ALL SELECT 0 LIMIT 1", "people"))


@pytest.mark.parametrize("driver", ["psql", "psycopg", "pgjdbc", "wire"], indirect=True)
@pytest.mark.parametrize("method, user", [("md5", "asked_md5"), ("md5", "asked_scram"), ("plain", "asked_md5"),
                                          ("plain", "asked_scram"), ("scram-sha-256", "asked_scram")])
def test_right_and_wrong(start, driver, method, user):
    pooler = start(method)
    assert driver.login(pooler, user=user, password=RIGHT, dbname="people").user == user
    for name, password in ((user, WRONG), ("asked_nobody", RIGHT), ("asked_late", RIGHT), ("asked_none", RIGHT),
                           ("asked_gone", RIGHT)):
        outcome = driver.login(pooler, user=name, password=password, dbname="people")
        assert not outcome and "authentication failed" in outcome.text
        assert outcome.sqlstate in (None, "08P01" if pooler.foreign else "28P01")


def test_null_is_not_a_password(start):
    """A secret that has run out, or was never set, lets nobody in, with an empty password neither."""
    for method in ("plain", "md5", "scram-sha-256"):
        pooler = start(method)
        for user in ("asked_late", "asked_none"):
            refused(pooler, user, "")


def test_strange_names(start):
    """The name is a parameter of the query, never a part of its text."""
    pooler = start()
    assert login(pooler, "o'dd \"$1\" name") == "o'dd \"$1\" name"
    refused(pooler, "x' OR '1' = '1")


def test_auth_file_comes_first(start, people):
    pooler = start(auth={"postgres": RIGHT, "asked_scram": "another one"})
    assert login(pooler, password="another one") == "asked_scram"
    refused(pooler, password=RIGHT)
    assert login(pooler, "asked_md5") == "asked_md5"


def test_answers_are_not_kept(start, people):
    """By default each login asks anew: a changed password counts at once."""
    people.create_user("asked_changed", "first")
    pooler = start()
    assert login(pooler, "asked_changed", "first")
    people.create_user("asked_changed", "second")
    refused(pooler, "asked_changed", "first")
    assert login(pooler, "asked_changed", "second")


def test_answers_are_kept_for_a_while(start, people):
    pooler = start(auth_query=ASK, auth_query_cache="1h")
    before = count(people)
    for _ in range(5):
        assert login(pooler)
        refused(pooler, password=WRONG)
    assert count(people) == before + 1


def test_one_question_for_many_logins(start, people):
    """Those who come while the server is being asked wait for the same answer."""
    pooler = start(auth_query=ASK)
    before = count(people)
    login(pooler)

    async def many():
        async def one():
            connection = await psycopg.AsyncConnection.connect(
                pooler.conninfo("people", user="asked_scram", password=RIGHT, sslmode="disable"))
            await connection.close()

        with psycopg.connect(people.conninfo("people"), autocommit=True) as gate:
            gate.execute("SELECT pg_advisory_lock(4711)")
            open_before = pooler.process.fds()
            logins = asyncio.gather(*(one() for _ in range(30)))
            async with asyncio.timeout(30):
                while pooler.process.fds() < open_before + 30:
                    await asyncio.sleep(0.01)
            gate.execute("SELECT pg_advisory_unlock(4711)")
            await logins

    asyncio.run(many())
    assert before + 2 <= count(people) <= before + 6  # some may have come too late for the first


def test_other_database(start, people):
    """auth_dbname: where the query is run; the client's own database need not know of it."""
    pooler = start(auth_query=ASK, auth_dbname="people")
    assert login(pooler, database="empty") == "asked_scram"
    refused(pooler, password=WRONG, database="empty")


def test_settings_of_the_entry(start, people):
    line = f"host={harness.HOST} port={people.port}"
    plain = "SELECT rolname, ''a plain one'' FROM pg_roles WHERE rolname = $1"
    pooler = start(auth_user=None, databases={"people": f"{line} auth_user=postgres auth_query='{ASK}'",
                                              "empty": f"{line} auth_user=postgres auth_query='{plain}'",
                                              "bare": f"{line} dbname=people"})
    assert login(pooler) == "asked_scram"
    assert login(pooler, password="a plain one", database="empty") == "asked_scram"
    refused(pooler, database="bare")


@pytest.mark.parametrize("query, complaint", [
    ("SELECT rolname FROM pg_authid WHERE rolname = $1", "expected 2 columns from auth_query, not 1"),
    ("SELECT rolname, rolpassword, 1 FROM pg_authid WHERE rolname = $1", "expected 2 columns from auth_query, not 3"),
    ("SELECT * FROM no_such_table WHERE name = $1", "no_such_table"),
    ("SELECT $1 broken", ""),
    ("SELECT 1 / 0, $1", "division by zero"),
], ids=["1-column", "3-columns", "no-table", "syntax", "fails-late"])
def test_query_that_fails(start, query, complaint):
    """The client hears that the fault is not his; the log says what is wrong."""
    pooler = start(auth_query=query)
    refusal = refused(pooler)
    assert refusal.message == "bouncer config error"
    assert refusal.sqlstate == ("08P01" if pooler.foreign else "28000")
    assert complaint in pooler.log() or pooler.foreign


def test_missing_database(start, people):
    """A database that does not exist looks like a wrong password, as with auth_file."""
    line = f"host={harness.HOST} port={people.port}"
    pooler = start(databases={"people": line})
    assert refused(pooler, database="nowhere").message == refused(pooler, password=WRONG).message


def test_settings_of_clients_do_not_reach_the_query(start, people):
    """What a client who is not yet anybody asks for is not set on the connection that checks him (CVE-2025-12819)."""
    pooler = start(auth_query=ASK)
    assert login(pooler, TimeZone="Pacific/Chatham")
    assert login(pooler, TimeZone="Pacific/Chatham")
    zones = people.psql("SELECT DISTINCT zone FROM zones", "people")
    assert "Chatham" not in zones


def test_pool_of_one(start, people):
    """The query waits for its turn like everybody, and takes no connection of its own beyond the limit."""
    line = f"host={harness.HOST} port={people.port} pool_size=1"
    pooler = start(databases={"people": line}, auth_query=ASK)
    assert login(pooler) == "asked_scram"
    with psycopg.connect(pooler.conninfo("people", user="asked_scram", password=RIGHT, sslmode="disable")) as busy:
        busy.execute("SELECT 1")  # holds the one server of its own pool
        with Client(pooler.port) as client:
            client.login("asked_scram", RIGHT, "people")  # asked through auth_user's pool
    assert people.backends("people") <= 2


def test_auth_user_logs_in_himself(start, people):
    secret = people.create_user("asker", "asker's own")
    people.psql("ALTER USER asker SUPERUSER")
    pooler = start(auth={"asker": secret, "postgres": RIGHT}, auth_user="asker")
    assert login(pooler, "asker", "asker's own") == "asker"
    assert login(pooler) == "asked_scram"


def test_console_asks_too(start, people):
    """Where auth_dbname says whom."""
    pooler = start(auth_dbname="people", admin_users="asked_scram")
    assert pooler.console("SHOW VERSION", user="asked_scram", password=RIGHT)
    with pytest.raises(harness.Failed, match=REFUSED):
        pooler.console("SHOW VERSION", user="asked_scram", password=WRONG)


def test_logins_that_leave_while_they_wait(start, people):
    """The answer finds nobody, and does no harm."""
    pooler = start(auth_query=ASK)
    login(pooler)
    with psycopg.connect(people.conninfo("people"), autocommit=True) as gate:
        gate.execute("SELECT pg_advisory_lock(4711)")
        clients = [Client(pooler.port) for _ in range(10)]
        for client in clients:
            client.send(wire.startup(user="asked_scram", database="people"))
        harness.wait_for(lambda: people.psql(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted LIMIT 1"))
        for client in clients:
            client.close()
        gate.execute("SELECT pg_advisory_unlock(4711)")
    assert login(pooler) == "asked_scram"


def test_many_workers_and_reloads(start, people):
    """Whoever comes from wherever, with the configuration changing under him: his own password counts."""
    users = ["asked_md5", "asked_scram", "o'dd \"$1\" name"]
    pooler = start(auth_query=ASK, auth_query_cache="100ms", worker_threads=3, pool_shards=2)

    def logs_in(user):
        for _ in range(8):
            assert login(pooler, user) == user
            refused(pooler, user, WRONG)

    with concurrent.futures.ThreadPoolExecutor() as threads:
        logins = [threads.submit(logs_in, user) for user in users * 3]
        while not all(done.done() for done in logins):
            pooler.kill(signal.SIGHUP)
            concurrent.futures.wait(logins, timeout=0.2)
        for done in logins:
            done.result()
