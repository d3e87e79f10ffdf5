"""
Fixtures of the system tests.

    postgres   one throw-away cluster for the whole run
    bench      the name of a database in it with pgbench's tables
    pgweir     starts a pooler: pgweir(pool_mode="session", worker_threads=2); stopped and checked after the test
    driver     of drivers.py, by the name that parametrize(..., indirect=True) gives it

A test that would take too long under a sanitizer is marked `full` and runs with an ordinary build only.
"""

import os
import signal
import threading

import pytest

import drivers
import harness

TIME_LIMIT = 180  # seconds for one test, unless marked time_limit(n)


def pytest_configure(config):
    harness.end_on_signals()
    config.addinivalue_line("markers", "full: too long for a build with a sanitizer")
    config.addinivalue_line("markers", "time_limit(seconds): instead of the usual time limit")


def pytest_collection_modifyitems(config, items):
    build = os.path.basename(os.environ.get("PGWEIR_BUILD", "release"))
    if build not in ("asan", "tsan"):
        return
    skip = [item for item in items if item.get_closest_marker("full")]
    items[:] = [item for item in items if not item.get_closest_marker("full")]
    config.hook.pytest_deselected(items=skip)


@pytest.fixture(autouse=True)
def time_limit(request):
    """
    A test that hangs fails. It waits for an answer, mostly, and may wait for another one while it cleans up: the
    end of the poolers ends all such waiting, also that inside libpq. The alarm is for a test that hangs elsewhere.
    """
    marker = request.node.get_closest_marker("time_limit")
    seconds = marker.args[0] if marker else TIME_LIMIT

    def end_poolers():
        for pooler in list(harness.Pgweir.running):
            pooler.kill(signal.SIGABRT)

    def expired(signum, frame):
        raise harness.Failed(f"not done after {seconds} s")

    timer = threading.Timer(seconds, end_poolers)
    timer.start()
    signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds + 10)
    yield
    signal.alarm(0)
    if timer.finished.is_set():
        pytest.fail(f"not done after {seconds} s")
    timer.cancel()


@pytest.fixture(scope="session")
def postgres():
    with harness.Postgres() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def bench(postgres):
    postgres.psql("CREATE DATABASE bench")
    harness.run([postgres.tool("pgbench"), "-i", "-q", "-s", "2", postgres.conninfo("bench")])
    return "bench"


@pytest.fixture
def pgweir(postgres):
    started = []

    def start(**options):
        pooler = harness.Pgweir(postgres, **options)
        started.append(pooler)
        return pooler.start()

    yield start
    failures = [failure for pooler in reversed(started) if (failure := stopped(pooler))]
    if failures:
        raise failures[0]


@pytest.fixture(scope="session")
def pgjdbc(tmp_path_factory):
    missing = drivers.Pgjdbc.missing()
    if missing:
        pytest.skip(f"{missing} is not installed")
    driver = drivers.Pgjdbc(str(tmp_path_factory.mktemp("jdbc")))
    yield driver
    driver.close()


@pytest.fixture
def driver(request):
    if request.param == "pgjdbc":
        return request.getfixturevalue("pgjdbc")
    return {"psql": drivers.Psql, "psycopg": drivers.Psycopg, "wire": drivers.ByHand}[request.param]()


def stopped(pooler):
    """Stops it and returns the failure, so that one which fails does not keep the others running."""
    try:
        return pooler.stop()
    except harness.Failed as failure:
        return failure
