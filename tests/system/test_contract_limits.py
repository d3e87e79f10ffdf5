"""
PgBouncer's contract, 1.2, 1.3, 1.8, 1.9 and 5.2: what limits, timeouts, health rules and overrides do. One daemon serves
nearly all rows: each has a database of its own, and general keys are SET for the time of a test.
"""

import contextlib
import os
import socket
import struct

import psycopg
import pytest

import harness
import wire

ALICE, BOB, CAROL, DAVE = "alice", "bob", "carol", "dave"


def databases(postgres):
    here = f"host={harness.HOST} port={postgres.port} dbname=postgres"
    return {
        "plain": here,
        "one": f"{here} pool_size=1",
        "two": f"{here} pool_size=2",
        "session": f"{here} pool_size=1 pool_mode=session",
        "reserve": f"{here} pool_size=1 reserve_pool=1",
        "minimum": f"{here} user=postgres min_pool_size=3",
        "capped": f"{here} max_db_connections=1",
        "other": here,
        "clients": f"{here} max_db_client_connections=1",
        "patience": f"{here} pool_size=1 query_wait_timeout=300ms",
        "young": f"{here} server_lifetime=1s",
        "missing": f"host={harness.HOST} port={postgres.port} dbname=nowhere",
        "hosts": f"host={postgres.dir},{harness.HOST} port={postgres.port} dbname=postgres pool_size=2",
        "sticky": f"host={postgres.dir},{harness.HOST} port={postgres.port} dbname=postgres pool_size=2 "
                  "load_balance_hosts=disable",
        "failover": f"host=127.0.0.9,{harness.HOST} port={postgres.port} dbname=postgres",
        "dressed": f"{here} client_encoding=LATIN1 datestyle=German timezone=Asia/Tokyo application_name=dressed",
        "greeting": f"{here} connect_query='select set_config(''my.greeting'', ''good day'', false)'",
        "renamed": f"host={harness.HOST} port={postgres.port} dbname=template1 user=postgres",
        "*": f"host={harness.HOST} port={postgres.port} dbname=postgres",
    }


USERS = {
    BOB: "max_user_connections=1",
    CAROL: "pool_mode=session pool_size=1 max_user_client_connections=2",
    DAVE: "query_timeout=300ms idle_transaction_timeout=300ms transaction_timeout=10s client_idle_timeout=10s "
          "query_wait_timeout=300ms",
    "erin": "transaction_timeout=300ms",
    "frank": "client_idle_timeout=300ms",
    "grace": "query_wait_timeout=300ms",
}


@pytest.fixture(scope="module")
def pooler(postgres):
    for name in (ALICE, BOB, CAROL, DAVE, "erin", "frank", "grace"):
        postgres.create_user(name)
    with harness.Pgweir(postgres, databases=databases(postgres), users=USERS,
                        auth=("postgres", ALICE, BOB, CAROL, DAVE, "erin", "frank", "grace")) as pooler:
        yield pooler


@contextlib.contextmanager
def settings(pooler, **values):
    """General keys with other values, for a while."""
    before = {row["key"]: row["value"] for row in pooler.console("SHOW CONFIG")}
    try:
        for key, value in values.items():
            pooler.psql(f"SET {key} = '{value}'", "pgbouncer")
        yield
    finally:
        for key in values:
            pooler.psql(f"SET {key} = '{before[key]}'", "pgbouncer")


@contextlib.contextmanager
def connected(pooler, dbname, user=ALICE, **options):
    """A client in autocommit mode who prepares nothing."""
    with contextlib.closing(psycopg.connect(pooler.conninfo(dbname, user, **options), autocommit=True)) as client:
        client.prepare_threshold = None
        yield client


def ask(client, sql="SELECT pg_backend_pid()"):
    return client.execute(sql).fetchone()[0]


def servers(pooler, dbname):
    return [row for row in pooler.console("SHOW SERVERS") if row["database"] == dbname]


def fails(sqlstate, text):
    """The client is closed with this error, which says whose it is, and what to do."""
    class Expected:
        def __enter__(self):
            return self

        def __exit__(self, kind, error, trace):
            assert isinstance(error, psycopg.Error), f"no error, but {kind}"
            assert text in str(error), str(error)
            if error.sqlstate is None:  # psycopg has but a text for a login that failed
                assert "DETAIL: " in str(error) and "HINT: " in str(error), str(error)
            else:
                assert error.sqlstate == sqlstate
                assert error.diag.message_detail and error.diag.message_hint, str(error)
            return True

    return Expected()


def logged(pooler, text, times=1):
    harness.wait_for(lambda: pooler.log().count(text) >= times, 20, f"the log to say: {text}")


# Servers: how many, whose ------------------------------------------------------------------------------------


def test_default_pool_size(pooler):
    with settings(pooler, default_pool_size=1, query_wait_timeout="0.3"), connected(pooler, "sized") as first:
        first.execute("BEGIN")
        with connected(pooler, "sized") as second, fails("53300", "query_wait_timeout"):
            ask(second)


def test_pool_size_of_a_user_goes_first(pooler):
    with connected(pooler, "two", CAROL) as first, connected(pooler, "two", CAROL) as second:
        ask(first)
        with settings(pooler, query_wait_timeout="0.3"), fails("53300", "query_wait_timeout"):
            ask(second)


def test_pool_mode_of_a_user_goes_first(pooler):
    with connected(pooler, "plain", CAROL) as client:
        ask(client)
        assert pooler.pool("plain", CAROL)["pool_mode"] == "session"
        assert pooler.pool("plain", CAROL)["sv_active"] == 1


def test_max_db_connections_evicts_the_longest_idle(pooler):
    with connected(pooler, "capped", ALICE) as alice, connected(pooler, "capped", "postgres") as other:
        for client in (alice, other, alice):
            ask(client)
        assert len(servers(pooler, "capped")) == 1
    logged(pooler, "evicted", 2)


def test_max_user_connections_evicts_of_the_same_user(pooler):
    with connected(pooler, "plain", BOB) as here, connected(pooler, "other", BOB) as there:
        ask(here)
        ask(there)
        assert [row["database"] for row in pooler.console("SHOW SERVERS") if row["user"] == BOB] == ["other"]


def test_max_user_connections_waits_for_who_is_busy(pooler):
    with connected(pooler, "plain", BOB) as here, connected(pooler, "other", BOB) as there:
        here.execute("BEGIN")
        with settings(pooler, query_wait_timeout="0.3"), fails("53300", "query_wait_timeout"):
            ask(there)
        here.execute("COMMIT")


def test_reserve_pool(pooler):
    with settings(pooler, reserve_pool_timeout="0.1"), connected(pooler, "reserve") as first, \
            connected(pooler, "reserve") as second:
        first.execute("BEGIN")
        assert ask(second) != ask(first)
        first.execute("COMMIT")
    logged(pooler, "taking connection from reserve_pool")
    harness.wait_for(lambda: len(servers(pooler, "reserve")) == 1, 20, "the reserve to go")
    logged(pooler, "too many servers in the pool")


def test_min_pool_size(pooler):
    harness.wait_for(lambda: len(servers(pooler, "minimum")) == 3, 20, "three servers without a client")


# Clients: how many -------------------------------------------------------------------------------------------


def test_max_client_conn(pooler):
    with connected(pooler, "plain") as client:
        with settings(pooler, max_client_conn=1):
            ask(client)
            with fails("53300", "no more connections allowed (max_client_conn)"), connected(pooler, "plain"):
                pass
            assert pooler.console("SHOW VERSION")  # the admin may always come in
        with connected(pooler, "plain"):
            pass


def test_max_db_client_connections(pooler):
    with connected(pooler, "clients"), \
            fails("53300", "client connections exceeded (max_db_client_connections)"), connected(pooler, "clients"):
        pass
    with connected(pooler, "clients"):
        pass


def test_max_user_client_connections(pooler):
    with connected(pooler, "plain", CAROL), connected(pooler, "other", CAROL), \
            fails("53300", "client connections exceeded (max_user_client_connections)"), \
            connected(pooler, "one", CAROL):
        pass


# Servers: when they go, and which one is next ----------------------------------------------------------------


def test_server_lifetime(pooler):
    with connected(pooler, "young") as client:
        first = ask(client)
        harness.wait_for(lambda: ask(client) != first, 20, "another server")
    logged(pooler, "server lifetime over")


def test_server_lifetime_zero(pooler):
    """Each server is used once."""
    with settings(pooler, server_lifetime=0), connected(pooler, "used") as client:
        assert len({ask(client) for _ in range(4)}) == 4


def test_server_idle_timeout(pooler):
    with settings(pooler, server_idle_timeout="0.2"), connected(pooler, "idle") as client:
        ask(client)
        harness.wait_for(lambda: not servers(pooler, "idle"), 20, "the idle server to go")
        logged(pooler, "server idle timeout")
        ask(client)


def test_server_round_robin(pooler):
    """The one used last, or the one that has been idle longest."""
    with connected(pooler, "two") as first, connected(pooler, "two") as second:
        first.execute("BEGIN")
        ask(second)
        first.execute("COMMIT")
        assert len(servers(pooler, "two")) == 2
        assert len({ask(first) for _ in range(4)}) == 1
        with settings(pooler, server_round_robin=1):
            pids = [ask(first) for _ in range(4)]
            assert pids[0] != pids[1] and pids[:2] == pids[2:]


def test_server_check_query(pooler):
    """A server that fails its check is closed, and the client gets another."""
    with connected(pooler, "checked") as client:
        first = ask(client)
        with settings(pooler, server_check_delay=0, server_check_query="select 1 / 0"):
            assert ask(client) != first
        logged(pooler, "test query failed")
        with settings(pooler, server_check_delay=0, server_check_query=""):
            assert ask(client) == ask(client)


def test_server_reset_query(pooler):
    with connected(pooler, "session") as client:
        client.execute("SET my.state = 'left'")
    with connected(pooler, "session") as client:
        assert ask(client, "SELECT coalesce(current_setting('my.state', true), '')") == ""
        client.execute("SET my.state = 'left'")
        pooler.psql("SET server_reset_query = ''", "pgbouncer")
    try:
        with connected(pooler, "session") as client:
            assert ask(client, "SELECT current_setting('my.state', true)") == "left"
    finally:
        pooler.psql("SET server_reset_query = 'DISCARD ALL'", "pgbouncer")


def test_server_reset_query_always(pooler):
    with connected(pooler, "one") as client, settings(pooler, server_reset_query_always=1):
        client.execute("SET my.state = 'left'")
        assert ask(client, "SELECT coalesce(current_setting('my.state', true), '')") == ""


def test_server_fast_close(pooler, postgres):
    """A session whose database has changed ends between two transactions, where it else goes on."""
    with settings(pooler, server_fast_close=1), connected(pooler, "session") as client:
        ask(client)
        changed = dict(pooler.databases, session=pooler.databases["session"] + " timezone=UTC")
        before, pooler.databases = pooler.databases, changed
        try:
            pooler.configure(server_fast_close=1)
            pooler.psql("RELOAD", "pgbouncer")
            with fails("57P01", "database configuration changed"):
                harness.wait_for(lambda: not ask(client), 20)
        finally:
            pooler.databases = before
            pooler.configure(server_fast_close=None)
            pooler.psql("RELOAD", "pgbouncer")


# Servers that cannot be had ----------------------------------------------------------------------------------


def test_server_login_retry(pooler):
    """The server's own words; while it is not asked again, they are the cached error."""
    for text in ('database "nowhere" does not exist', "server login has been failing, cached error: "
                 'database "nowhere" does not exist (server_login_retry)'):
        with fails("3D000", text), connected(pooler, "missing"):
            pass


def test_server_connect_timeout(postgres, pgweir):
    with socket.create_server((harness.HOST, harness.free_port())) as silent:
        port = silent.getsockname()[1]
        pooler = pgweir(databases={"silent": f"host={harness.HOST} port={port}"}, server_connect_timeout="0.2",
                        client_login_timeout=1)
        with fails("57P03", "client_login_timeout (server down)"), connected(pooler, "silent", "postgres"):
            pass
        logged(pooler, "timeout")


@pytest.mark.parametrize("dbname, hosts", [("hosts", 2), ("sticky", 1)])
def test_load_balance_hosts(pooler, dbname, hosts):
    """One after the other, or always the first as long as it is there."""
    with connected(pooler, dbname, "postgres") as first, connected(pooler, dbname, "postgres") as second:
        first.execute("BEGIN")
        ask(second)
        first.execute("COMMIT")
        assert len({row["addr"].partition("(")[0] for row in servers(pooler, dbname)}) == hosts


def test_host_that_is_down(pooler):
    """The next one of the list is tried; nobody hears of it."""
    with connected(pooler, "failover") as client:
        assert ask(client)
    assert {row["addr"] for row in servers(pooler, "failover")} == {harness.HOST}


# Timeouts of clients -----------------------------------------------------------------------------------------


def test_query_timeout(pooler):
    with settings(pooler, query_timeout="0.3"), connected(pooler, "plain") as client, \
            fails("57014", "query timeout"):
        client.execute("SELECT pg_sleep(60)")


def test_query_timeout_of_a_user(pooler):
    with connected(pooler, "plain", DAVE) as client, fails("57014", "query timeout"):
        client.execute("SELECT pg_sleep(60)")


def test_query_timeout_in_the_queue(pooler):
    with connected(pooler, "one") as first, connected(pooler, "one") as second:
        first.execute("BEGIN")
        with settings(pooler, query_timeout="0.3"), fails("57014", "query_timeout"):
            ask(second)
        first.execute("COMMIT")


def test_query_wait_timeout(pooler):
    with connected(pooler, "one") as first, connected(pooler, "one") as second:
        first.execute("BEGIN")
        with settings(pooler, query_wait_timeout="0.3"), fails("53300", "query_wait_timeout"):
            ask(second)
        first.execute("COMMIT")


def test_query_wait_timeout_while_paused(pooler):
    """A pause is no reason to wait for longer."""
    with connected(pooler, "patience") as client:
        ask(client)
        pooler.psql("PAUSE patience", "pgbouncer")
        try:
            with pytest.raises(psycopg.Error, match="query_wait_timeout") as failure:
                ask(client)
        finally:
            pooler.psql("RESUME patience", "pgbouncer")
    assert "is paused" in str(failure.value)


def test_query_wait_timeout_of_a_database(pooler):
    with connected(pooler, "patience") as first, connected(pooler, "patience") as second:
        first.execute("BEGIN")
        with fails("53300", "query_wait_timeout"):
            ask(second)


def test_query_wait_timeout_of_a_user(pooler):
    with settings(pooler, query_wait_timeout=0), connected(pooler, "one", "grace") as first, \
            connected(pooler, "one", "grace") as second:
        first.execute("BEGIN")
        with fails("53300", "query_wait_timeout"):
            ask(second)


def test_query_wait_notify(pooler):
    notices = []
    with settings(pooler, query_wait_notify="0.1"), connected(pooler, "one") as first, \
            connected(pooler, "one") as second:
        second.add_notice_handler(lambda notice: notices.append((notice.sqlstate, notice.message_primary)))
        first.execute("BEGIN")
        with settings(pooler, query_wait_timeout="0.5"), fails("53300", "query_wait_timeout"):
            ask(second)
    assert notices == [("00000", "No server connection available in pgweir, client being queued")]


def test_idle_transaction_timeout(pooler):
    with settings(pooler, idle_transaction_timeout="0.3"):
        expect_idle_transaction_timeout(pooler, ALICE)


def test_idle_transaction_timeout_of_a_user(pooler):
    expect_idle_transaction_timeout(pooler, DAVE)


def expect_idle_transaction_timeout(pooler, user):
    with connected(pooler, "plain", user) as client:
        client.execute("BEGIN")
        goodbye(client, "idle transaction timeout", "25P03")


def goodbye(client, text, sqlstate):
    """What an idle client is sent before it is closed."""
    with socket.socket(fileno=os.dup(client.fileno())) as raw:
        raw.settimeout(20)
        data = bytearray()
        while piece := raw.recv(4096):
            data += piece
    assert text.encode() in data and sqlstate.encode() in data


def test_transaction_timeout(pooler):
    with settings(pooler, transaction_timeout="0.3"), connected(pooler, "plain") as client:
        client.execute("BEGIN")
        with fails("25P04", "transaction timeout"):
            client.execute("SELECT pg_sleep(60)")


def test_transaction_timeout_of_a_user(pooler):
    with connected(pooler, "plain", "erin") as client:
        client.execute("BEGIN")
        with fails("25P04", "transaction timeout"):
            client.execute("SELECT pg_sleep(60)")


def test_client_idle_timeout(pooler):
    with settings(pooler, client_idle_timeout="0.3"), connected(pooler, "plain") as client:
        ask(client)
        goodbye(client, "client_idle_timeout", "57P05")


def test_client_idle_timeout_of_a_user(pooler):
    """That user's, and nobody else's; wherever he goes, also as somebody else."""
    with connected(pooler, "plain") as alice:
        for dbname in ("plain", "renamed"):
            with connected(pooler, dbname, "frank") as client:
                ask(client)
                goodbye(client, "client_idle_timeout", "57P05")
        ask(alice)


def test_client_login_timeout(pooler):
    with settings(pooler, client_login_timeout="0.3"):
        with socket.create_connection((harness.HOST, pooler.port), timeout=20) as silent:
            silent.sendall(struct.pack("!I", 100))
            data = bytearray()
            while piece := silent.recv(4096):
                data += piece
    assert b"client_login_timeout" in data


# What comes with a login -------------------------------------------------------------------------------------


def test_connect_query(pooler):
    with connected(pooler, "greeting") as client:
        assert ask(client, "SELECT current_setting('my.greeting')") == "good day"


def test_parameters_of_a_database(pooler):
    with connected(pooler, "dressed") as client:
        assert ask(client, "SELECT current_setting('TimeZone') || current_setting('DateStyle')") == \
            "Asia/TokyoGerman, DMY"
    assert {row["application_name"] for row in servers(pooler, "dressed")} <= {"dressed", ""}


def test_user_and_dbname(pooler):
    with connected(pooler, "renamed") as client:
        assert ask(client, "SELECT current_database() || current_user") == "template1postgres"


def test_application_name_add_host(pooler):
    with settings(pooler, application_name_add_host=1), \
            connected(pooler, "plain", application_name="shop") as client:
        with socket.socket(fileno=os.dup(client.fileno())) as raw:
            host, port = raw.getsockname()
        assert ask(client, "SELECT current_setting('application_name')") == f"shop - {host}:{port}"


def test_login_notify_message(pooler):
    with settings(pooler, login_notify_message="mind the gap"):
        with socket.create_connection((harness.HOST, pooler.port), timeout=20) as raw:
            raw.sendall(wire.startup(user=ALICE, database="plain"))
            data = bytearray()
            while b"\x00\x00\x00\x05I" not in data:
                data += raw.recv(4096)
    assert b"C00000\0Mmind the gap\0" in data


def test_ignore_startup_parameters(pooler):
    options = {"options": "-c extra_float_digits=3"}
    with fails("08P01", "unsupported startup parameter in options: extra_float_digits"), \
            connected(pooler, "plain", **options):
        pass
    with settings(pooler, ignore_startup_parameters="geqo, extra_float_digits"), \
            connected(pooler, "plain", **options) as client:
        assert ask(client)
    with settings(pooler, ignore_startup_parameters="options"), \
            connected(pooler, "plain", options="-z what") as client:
        assert ask(client)


def test_auto_database(pooler):
    """An unknown name is made from the entry *."""
    with connected(pooler, "unheard_of") as client:
        assert ask(client)
    logged(pooler, "registered new auto-database: unheard_of")
    assert "unheard_of" in {row["name"] for row in pooler.console("SHOW DATABASES")}


# Limits that need a daemon of their own ----------------------------------------------------------------------


def test_max_packet_size(pgweir):
    pooler = pgweir(max_packet_size=2000)
    with connected(pooler, "postgres", "postgres") as client:
        assert ask(client, "SELECT length('" + "x" * 1000 + "')") == 1000
        with pytest.raises(psycopg.OperationalError):
            ask(client, "SELECT length('" + "x" * 3000 + "')")


def test_disable_pqexec(pgweir):
    pooler = pgweir(disable_pqexec=1)
    with connected(pooler, "postgres", "postgres") as client:
        assert client.execute("SELECT %s::int", [7]).fetchone() == (7,)
        with fails("08P01", "PQexec disallowed"):
            client.execute("SELECT 1; SELECT 2")


def test_track_extra_parameters(postgres, pgweir):
    """What the server reports follows the client; the list adds to what always does."""
    pooler = pgweir(track_extra_parameters="IntervalStyle, default_transaction_read_only", default_pool_size=1)
    with connected(pooler, "postgres", "postgres") as one, connected(pooler, "postgres", "postgres") as two:
        one.execute("SET IntervalStyle = 'iso_8601'")
        two.execute("SELECT 1")
        assert ask(two, "SELECT (interval '1 day')::text") == "1 day"
        assert ask(one, "SELECT (interval '1 day')::text") == "P1D"


def test_so_reuseport(postgres):
    first = harness.Pgweir(postgres, so_reuseport=1)
    second = harness.Pgweir(postgres, so_reuseport=1, listen_port=first.port)
    with first, second:
        def both_serve():
            for _ in range(8):
                with connected(first, "postgres", "postgres") as client:
                    ask(client)
            return all(" login attempt" in pooler.log() for pooler in (first, second))

        harness.wait_for(both_serve, 30, "the kernel to use both")


def test_pool_idle_timeout(pooler):
    with settings(pooler, pool_idle_timeout="0.5", server_idle_timeout="0.2"):
        with connected(pooler, "other", "erin") as client:
            ask(client)
        harness.wait_for(lambda: pooler.pool("other", "erin") is None, 20, "the pool to be forgotten")
    logged(pooler, "cleaning up idle pool")


def test_autodb_idle_timeout(pooler):
    with settings(pooler, autodb_idle_timeout="0.5", server_idle_timeout="0.2"):
        with connected(pooler, "fleeting", "erin") as client:
            ask(client)
        harness.wait_for(lambda: "fleeting" not in {row["name"] for row in pooler.console("SHOW DATABASES")}, 20,
                         "the database to be forgotten")


def test_entries_that_leave_the_file(postgres, pgweir):
    """A database takes its clients with it; a user's limits are the general ones again."""
    here = f"host={harness.HOST} port={postgres.port} dbname=postgres"
    pooler = pgweir(databases={"stays": here, "goes": here}, users={"postgres": "pool_mode=session"})
    with connected(pooler, "goes", "postgres") as gone, connected(pooler, "stays", "postgres") as client:
        ask(gone)
        ask(client)
        assert pooler.pool("stays")["pool_mode"] == "session"
        pooler.databases, pooler.users = {"stays": here}, {}
        pooler.configure()
        pooler.psql("RELOAD", "pgbouncer")
        harness.wait_for(lambda: pooler.pool("stays")["pool_mode"] == "transaction", 20, "the user's new mode")
        goodbye(gone, "database removed", "57P01")
    with fails("3D000", "no such database: goes"), connected(pooler, "goes", "postgres"):
        pass
