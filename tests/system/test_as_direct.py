"""
The scripts in sql/, run by psql directly and through the pooler: the output is the same to the byte. In session mode
all of them; in transaction mode those that leave nothing behind in the session, with two servers that take turns.
"""

import difflib
import glob
import os
import re
import subprocess

import psycopg
import pytest

import harness

SCRIPTS = {os.path.basename(path)[:-4]: path
           for path in glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "sql", "*.sql"))}
STATELESS = sorted(SCRIPTS.keys() - {"session"})


@pytest.fixture(scope="module")
def cluster():
    with harness.Postgres(max_prepared_transactions=5) as cluster:
        yield cluster


def output(cluster, script, target):
    """All that psql says while it runs a script in a database of its own, whose conninfo is target(dbname)."""
    dbname = f"run_{len(cluster.psql('SELECT datname FROM pg_database', host=cluster.dir).split())}"
    cluster.psql(f"CREATE DATABASE {dbname} TEMPLATE template0", host=cluster.dir)
    directory = os.path.join(cluster.dir, dbname)
    os.mkdir(directory)
    env = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    done = subprocess.run([cluster.tool("psql"), "--no-psqlrc", "--echo-all", "-f", SCRIPTS[script], target(dbname)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                          cwd=directory, env={**env, "LC_ALL": "C.UTF-8"})
    text = done.stdout.decode(errors="backslashreplace").replace(dbname, "DBNAME")
    assert done.returncode == 0, text[-2000:]
    return re.sub(r"server process with PID \d+", "server process with PID N", text)


@pytest.fixture(scope="module")
def direct(cluster):
    """What each script says on a direct connection, worked out once."""
    outputs = {}

    def get(script):
        if script not in outputs:
            outputs[script] = output(cluster, script, cluster.conninfo)
        return outputs[script]

    return get


def check(got, expected):
    assert expected.count("ERROR:") > 5 and expected.endswith("-- the end\n")
    if got != expected:
        diff = difflib.unified_diff(expected.splitlines(), got.splitlines(), "direct", "pooled", lineterm="", n=2)
        pytest.fail("\n".join(list(diff)[:80]))


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_in_session_mode(cluster, direct, script):
    with harness.Pgweir(cluster, pool_mode="session") as pooler:
        check(output(cluster, script, pooler.conninfo), direct(script))


@pytest.mark.parametrize("script", STATELESS)
def test_in_transaction_mode(cluster, direct, script):
    with harness.Pgweir(cluster, pool_mode="transaction", default_pool_size=2, server_round_robin=1) as pooler:
        def two_servers(dbname):
            with psycopg.connect(pooler.conninfo(dbname)) as busy:
                busy.execute("SELECT 1")
                pooler.psql("SELECT 2", dbname)
            harness.wait_for(lambda: pooler.pool(dbname)["sv_idle"] == 2, what="two idle servers")
            return pooler.conninfo(dbname)

        check(output(cluster, script, two_servers), direct(script))
