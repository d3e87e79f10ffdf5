"""
Drivers as applications have them, fifty clients on two servers: nothing tells them that they have no server of their
own. For each driver there is a program in drivers/ that does the same steps, each client in an order of its own, and
holds each answer against the one that only this client can get:

    named        statements that are prepared, and used many times
    types        an array, an enum and a row type, which some drivers ask the server about first
    settings     application_name is the client's own; what is set for a transaction ends with it
    transaction  committed, and rolled back
    pipeline     many questions before the first answer, and an error among them
    copy         in and out, refused by the server, and given up by the client
    error        of values, of syntax, of a table that is not there, in a transaction
    cursor       rows, ten at a time
    large        a value of 300 kB, there and back
    cancel       a query that would last for a minute ends with 57014, and nobody else's does
    forget       statements are closed, deallocated, and prepared again
    changing     (only in the test of it) a table, while its columns change

A program prints, as one line of JSON, how often each step was done, and what went wrong.
"""

import json
import os
import shutil
import subprocess
import threading

import psycopg
import pytest

import harness
from drivers import PGJDBC

STEPS = ["named", "types", "settings", "transaction", "pipeline", "copy", "error", "cursor", "large", "cancel", "forget"]
CLIENTS, SERVERS = 50, 2
MAX_PREPARED = 10  # less than there are texts
DATABASE, ROLE = "drivers", "driving"

PROGRAMS = os.path.join(harness.ROOT, "tests", "system", "drivers")
NODE_MODULES = os.path.join(harness.ROOT, "build", "drivers", "node_modules")

SCHEMA = """
    CREATE UNLOGGED TABLE tokens (token text, n int, PRIMARY KEY (token, n));
    CREATE TYPE mood AS ENUM ('calm', 'busy');
    CREATE TYPE pair AS (token text, n int);
    CREATE UNLOGGED TABLE changing (id int PRIMARY KEY, value int);
    INSERT INTO changing SELECT n, 1000 + n FROM generate_series(0, 49) AS n;
    GRANT ALL ON tokens, changing TO PUBLIC"""

# Each leaves the values as they are, and lets a program find the row that it expects.
CHANGES = [
    "ALTER TABLE changing ADD COLUMN more int DEFAULT 5",
    "ALTER TABLE changing ALTER COLUMN value TYPE bigint",
    "ALTER TABLE changing ALTER COLUMN value TYPE text",
    "ALTER TABLE changing DROP COLUMN more",
    "ALTER TABLE changing ALTER COLUMN value TYPE int USING value::int",
]


@pytest.fixture(scope="module")
def database(postgres):
    """What the programs work with, and the role they come as, which PostgreSQL lets have no more than SERVERS."""
    # Without jit: it would spend a second on what asyncpg asks about types.
    for sql in (f"CREATE DATABASE {DATABASE}", f"ALTER DATABASE {DATABASE} SET jit = off", f"CREATE ROLE {ROLE} LOGIN"):
        postgres.psql(sql)
    postgres.psql(SCHEMA, DATABASE)
    return postgres


@pytest.fixture(scope="session")
def pgjdbc_classes(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("classes"))
    harness.run(["javac", "-cp", PGJDBC, "-d", directory, os.path.join(PROGRAMS, "PgjdbcSteps.java")])
    return directory


def python(name, package):
    def command(request):
        pytest.importorskip(package)
        return ["/usr/bin/python3", os.path.join(PROGRAMS, f"{name}_steps.py")]
    return command


def java(request):
    if not os.path.exists(PGJDBC) or not shutil.which("javac"):
        pytest.skip("libpostgresql-jdbc-java or default-jdk-headless is not installed")
    classes = request.getfixturevalue("pgjdbc_classes")
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{PGJDBC}:{classes}", "PgjdbcSteps"]


def node(name, package):
    def command(request):
        if not os.path.exists(os.path.join(NODE_MODULES, package)):
            pytest.skip(f"npm's {package} is not in build/drivers: ./dev test could not install it")
        return ["node", os.path.join(PROGRAMS, f"{name}_steps.js")]
    return command


def ruby(request):
    if not shutil.which("ruby") or subprocess.run(["ruby", "-e", "require 'pg'"], capture_output=True).returncode:
        pytest.skip("ruby-pg is not installed")
    return ["ruby", os.path.join(PROGRAMS, "ruby_steps.rb")]


DRIVERS = [
    pytest.param(python("psycopg", "psycopg"), {"prepare": 0}, id="psycopg-prepares-at-once"),
    pytest.param(python("psycopg", "psycopg"), {}, id="psycopg"),
    pytest.param(python("asyncpg", "asyncpg"), {}, id="asyncpg"),
    pytest.param(java, {"prepare": 1}, id="pgjdbc-prepares-at-once"),
    pytest.param(java, {"prepare": 5}, id="pgjdbc"),
    pytest.param(node("node_postgres", "pg"), {}, id="node-postgres"),
    pytest.param(node("postgres_js", "postgres"), {}, id="postgres.js"),
    pytest.param(ruby, {}, id="ruby-pg"),
]


@pytest.fixture
def run(request, database, pgweir):
    """Runs a program with so many clients on so many servers, and gives the pooler that it ran through."""
    def run(program, options, steps, clients, servers, rounds, mode="transaction"):
        command = program(request)
        database.psql(f"TRUNCATE tokens; ALTER ROLE {ROLE} CONNECTION LIMIT {servers}", DATABASE)
        # pgjdbc asks for extra_float_digits, always.
        pooler = pgweir(pool_mode=mode, default_pool_size=servers, max_prepared_statements=MAX_PREPARED, auth=[ROLE],
                        ignore_startup_parameters="extra_float_digits", admin_users=ROLE)
        # server: where to look at PostgreSQL itself, as a URL, without any "=".
        options = {"host": harness.HOST, "port": pooler.port, "dbname": DATABASE, "user": ROLE, "clients": clients,
                   "server": f"postgresql://{harness.SUPERUSER}@{harness.HOST}:{database.port}/{DATABASE}",
                   "rounds": rounds, "steps": ",".join(steps), **options}
        done = subprocess.run([*command, *(f"{key}={value}" for key, value in options.items())], text=True,
                              env={**os.environ, "NODE_PATH": NODE_MODULES}, capture_output=True, timeout=170)
        assert done.returncode == 0 and done.stdout, done.stderr
        report = json.loads(done.stdout)
        assert report["failures"] == []
        assert report["done"] == dict.fromkeys(steps, clients * rounds)
        assert "too many connections" not in pooler.log()
        return pooler
    return run


@pytest.mark.parametrize("program, options", DRIVERS)
def test_fifty_clients_on_two_servers(run, program, options):
    pooler = run(program, options, STEPS, CLIENTS, SERVERS, 1)
    assert all(int(row["prepared_statements"]) <= MAX_PREPARED for row in pooler.console("SHOW SERVERS", user=ROLE))


@pytest.mark.full
@pytest.mark.parametrize("program, options", DRIVERS)
def test_session_mode(run, program, options):
    run(program, options, STEPS, 10, 10, 1, "session")


# asyncpg prepares again by itself, once, with a Sync between its Parse and its Bind: then it hears of a table that was
# changed in between, with PostgreSQL alone as well.
@pytest.mark.parametrize("program, options", [driver for driver in DRIVERS if driver.id != "asyncpg"])
def test_a_table_changes_under_load(run, database, program, options):
    """No application hears of it: the daemon prepares anew, or gives the driver the error that it does so for."""
    done, changes = threading.Event(), []

    def change():
        with psycopg.connect(database.conninfo(DATABASE), autocommit=True) as connection:
            while not done.is_set() or len(changes) % len(CHANGES) > 0:
                connection.execute(CHANGES[len(changes) % len(CHANGES)])
                changes.append(None)
                done.wait(0.02)  # so that there are statements to go out of date

    changing = threading.Thread(target=change)
    changing.start()
    try:
        run(program, options, ["changing"], CLIENTS, SERVERS, 60)
    finally:
        done.set()
        changing.join()
    assert len(changes) >= len(CHANGES)
