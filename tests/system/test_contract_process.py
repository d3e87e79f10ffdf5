"""
PgBouncer's contract, 3 and 2.3: what a shutdown tells those who are there, who wait, and who come; and signals meanwhile.
The rest of section 3 is in test_life.py.
"""

import contextlib
import signal

import pytest

import harness
import wire
from harness import wait_for
from test_contract_errors import check, error
from test_life import refused
from wire_login import Client, Refused

NAMES = 'Database "postgres", user "postgres"'


def connected(pooler, database="postgres", user="postgres", unix=False):
    path = f"{pooler.dir}/.s.PGSQL.{pooler.port}" if unix else None
    return contextlib.closing(Client(pooler.port, path=path).login(user, database=database))


def shut_down(pooler, signum):
    """It has begun to: nobody gets in over TCP any more."""
    pooler.kill(signum)
    wait_for(lambda: refused(pooler), what="the listener to close")


def test_shutdown_wait_for_servers(pgweir):
    """Who waits for a server is told that there will be none; who has one goes on."""
    pooler = pgweir(default_pool_size=1)
    with connected(pooler) as busy, connected(pooler) as waiting, connected(pooler, "pgbouncer") as console:
        busy.query("BEGIN")
        waiting.send(wire.query("SELECT 1"))
        wait_for(lambda: pooler.pool("postgres")["cl_waiting"] == 1, what="the client to wait")
        console.send(wire.query("SHUTDOWN WAIT_FOR_SERVERS"))
        check(error(waiting), "57P01", "server shutting down", NAMES)
        assert busy.query("SELECT 2") == [("2",)]
        busy.query("COMMIT")
        pooler.ends()


def test_pooler_is_shutting_down(pgweir):
    """Over the unix socket, which stays open for admins, everybody else is told so."""
    pooler = pgweir()
    with connected(pooler):
        shut_down(pooler, signal.SIGTERM)
        with pytest.raises(Refused) as refusal, connected(pooler, unix=True):
            pass
        check(refusal.value.fields, "57P01", "pooler is shutting down", NAMES)
    pooler.ends()


def test_admins_come_in_by_the_unix_socket(pgweir):
    pooler = pgweir(stats_users="alice")
    with connected(pooler) as client:
        shut_down(pooler, signal.SIGTERM)
        with connected(pooler, "pgbouncer", unix=True) as console:
            assert console.query("SHOW STATE")[0] == ("active", "yes")
            console.send(wire.query("SHUTDOWN"))
            check(error(client), "57P01", "pooler is shutting down", NAMES)
    pooler.ends()


def test_usr2_while_shutting_down(pgweir):
    pooler = pgweir()
    with connected(pooler) as busy:
        busy.query("BEGIN")
        shut_down(pooler, signal.SIGINT)
        pooler.kill(signal.SIGUSR2)
        wait_for(lambda: "got SIGUSR2 while shutting down, ignoring" in pooler.log(), what="the log to say so")
        busy.query("COMMIT")
        pooler.ends()
