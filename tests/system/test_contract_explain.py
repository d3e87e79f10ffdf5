"""pgweir --check FILE --explain: what a site should know before it switches."""

import os
import subprocess

import pytest

import harness


@pytest.fixture(scope="module", autouse=True)
def users(postgres):
    """Those of auth_file, by whom the server is asked."""
    for name in ("alice", "bob"):
        postgres.create_user(name)


def explain(pooler, expected=0):
    """What it prints, behind the verdict, and what it complains about."""
    done = subprocess.run([*harness.unprivileged(), pooler.binary, "--check", pooler.configfile, "--explain"],
                          capture_output=True, text=True, timeout=60, env=pooler.environment(), cwd=pooler.dir)
    assert done.returncode == expected, done.stderr
    return done.stdout, done.stderr


def line_of(pooler, key):
    return next(number for number, line in enumerate(harness.read_file(pooler.configfile).splitlines(), 1)
                if line.startswith(f"{key} ="))


def test_lines_that_mean_something_else(postgres):
    pooler = harness.Pgweir(postgres, users={"alice": "query_timeout=1.5"}, server_login_retry=5, so_reuseport=1,
                            pkt_buf=8192, peer_id=1, min_pool_size=0, server_lifetime=0)
    said, complaints = explain(pooler)
    notes = [line for line in said.splitlines() if line.startswith(f"{pooler.configfile}:")]
    assert f"{pooler.configfile}:{line_of(pooler, 'so_reuseport')}: so_reuseport: one process serves" in said
    assert f"{pooler.configfile}:{line_of(pooler, 'server_login_retry')}: server_login_retry: the longest" in said
    assert 'user "alice": query_timeout=1.5: PgBouncer reads this as 1' in said
    numbers = [int(line.split(":")[1]) for line in notes[1:]]
    assert numbers == sorted(numbers) and len(numbers) >= 3
    assert "min_pool_size" not in said and "server_lifetime" not in said
    assert f"{pooler.configfile}:{line_of(pooler, 'pkt_buf')}: warning: pkt_buf has no effect in pgweir" in complaints
    assert "take out so_reuseport, peer_id and [peers]" in said


def test_sum_of_pool_sizes(postgres):
    """Two databases of one server, one of them with a forced user; three users of auth_file have a pool each."""
    here = f"host={harness.HOST} port={postgres.port} dbname=postgres"
    pooler = harness.Pgweir(postgres, databases={"a": here, "b": f"{here} user=postgres pool_size=7 reserve_pool=3"},
                            default_pool_size=20)
    server = f"server {harness.HOST}:{postgres.port}: up to 70 connections in 4 pools; its max_connections is 500, " \
             "of which 3 are reserved: "
    assert server + "fits\n" in explain(pooler)[0]
    pooler.configure(default_pool_size=200)
    assert "up to 610 connections in 4 pools; its max_connections is 500, of which 3 are reserved: too many, " \
           "lower the pool sizes or set max_db_connections\n" in explain(pooler)[0]
    pooler.configure(max_db_connections=50)
    assert "up to 60 connections in 4 pools" in explain(pooler)[0]


def test_users_count(postgres):
    """What [users] says of them goes first, and each may have a limit over all databases."""
    here = f"host={harness.HOST} port={postgres.port} dbname=postgres"
    pooler = harness.Pgweir(postgres, databases={"a": here, "b": here}, default_pool_size=20,
                            users={"alice": "pool_size=5 reserve_pool_size=2"})
    assert "up to 94 connections in 6 pools; " in explain(pooler)[0]
    pooler.configure(max_user_connections=10)
    assert "up to 27 connections in 6 pools; " not in explain(pooler)[0]
    assert "up to 30 connections in 6 pools; " in explain(pooler)[0]
    pooler.configure(default_pool_size=0)
    assert "up to 30 connections in 6 pools; " in explain(pooler)[0]
    pooler.databases["c"] = f"{here} user=bob"  # who has been counted
    pooler.databases["d"] = pooler.databases["e"] = f"{here} user=carol"
    pooler.configure()
    assert "up to 40 connections in 9 pools; " in explain(pooler)[0]


@pytest.mark.parametrize("database, settings, why, remedy", [
    ("*", {}, "the entry * serves any number of databases", "set max_user_connections, or name the databases"),
    ("a", {"auth_user": "bob"}, "any number of users may log in", "set max_db_connections"),
    ("a", {"default_pool_size": 0}, "pool_size 0 is no limit", "set max_db_connections"),
])
def test_no_limit(postgres, database, settings, why, remedy):
    pooler = harness.Pgweir(postgres, databases={database: f"host={harness.HOST} port={postgres.port} dbname=postgres"}, **settings)
    assert f"server {harness.HOST}:{postgres.port}: any number of connections, as {why}; its max_connections is 500, of " \
           f"which 3 are reserved: {remedy}, so that there is a limit\n" in explain(pooler)[0]
    if database != "*":
        pooler.configure(max_db_connections=70)
        assert "up to 70 connections" in explain(pooler)[0]


def test_no_databases(postgres):
    pooler = harness.Pgweir(postgres)
    pooler.databases = {}
    pooler.configure()
    assert "servers: [databases] has no entry" in explain(pooler)[0]


def test_server_that_does_not_answer(postgres):
    port = harness.free_port()
    pooler = harness.Pgweir(postgres, databases={"a": f"host={harness.HOST} port={port} user=app"})
    assert f"server {harness.HOST}:{port}: up to 20 connections in 1 pool; it could not be asked for its " \
           "max_connections: " in explain(pooler)[0]


def test_server_that_lets_nobody_in(postgres):
    """Another database of the same server may do."""
    here = f"host={harness.HOST} port={postgres.port} dbname"
    pooler = harness.Pgweir(postgres, databases={"a": f"{here}=nowhere"})
    assert 'could not be asked for its max_connections: database "nowhere" does not exist' in explain(pooler)[0]
    pooler.databases["b"] = f"{here}=postgres"
    pooler.configure()
    assert "its max_connections is 500" in explain(pooler)[0]


def test_cores(postgres):
    cpus = len(os.sched_getaffinity(0))
    assert f"cores: worker_threads = auto is {max(cpus // 2, 1)} of {cpus} CPUs" in explain(harness.Pgweir(postgres))[0]
    assert f"cores: worker_threads = 3, of {cpus} CPUs" in explain(harness.Pgweir(postgres, worker_threads=3))[0]


def test_errors_are_all_that_is_told(postgres):
    said, complaints = explain(harness.Pgweir(postgres, colour="red"), expected=1)
    assert said == ""
    assert 'unknown key "colour"' in complaints
