"""The daemon as a process: command line, configuration errors, root, pidfile, signals, reload, drain, systemd."""

import os
import pwd
import re
import select
import signal
import socket
import subprocess
import threading

import psycopg
import pytest

import harness

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def unstarted(postgres):
    """A daemon's files, without the daemon; what the test started itself is killed at the end."""
    made = []

    def make(**options):
        made.append(harness.Pgweir(postgres, **options))
        return made[-1]

    yield make
    for pooler in made:
        if pooler.process is not None:
            pooler.process.kill(signal.SIGKILL)
            pooler.process.wait(20)


def command(pooler, *args, prefix=None):
    """Runs the binary to its end with just these arguments: its status and its output."""
    prefix = harness.unprivileged() if prefix is None else prefix
    done = subprocess.run([*prefix, pooler.binary, *args], text=True, timeout=60, cwd=pooler.dir,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=pooler.environment())
    assert not harness.SANITIZER_REPORT.search(done.stdout), done.stdout
    return done.returncode, done.stdout


def connect(pooler, dbname="postgres", **options):
    return psycopg.connect(pooler.conninfo(dbname, **options), autocommit=True)


def setting(pooler, key):
    return [row["value"] for row in pooler.console("SHOW CONFIG") if row["key"] == key][0]


class Running(threading.Thread):
    """A query on its way in a thread of its own; done() gives its rows or raises its error."""

    def __init__(self, connection, sql):
        super().__init__(daemon=True)
        self.connection, self.sql = connection, sql
        self.rows = self.error = None
        self.start()

    def run(self):
        try:
            self.rows = self.connection.execute(self.sql, prepare=False).fetchall()
        except psycopg.Error as error:
            self.error = error

    def done(self, timeout=30):
        self.join(timeout)
        assert not self.is_alive(), f"still waiting for {self.sql}"
        if self.error is not None:
            raise self.error
        return self.rows


# Command line ---------------------------------------------------------------------------------------------


def test_version(pgweir):
    pooler = pgweir()
    status, output = command(pooler, "--version")
    assert status == 0
    assert re.search(r"\bpgweir \d+\.\d+\.\d+\b", output.splitlines()[0])
    assert command(pooler, "-V") == (0, output)
    assert pooler.console("SHOW VERSION")[0]["version"] == output.splitlines()[0]


def test_help(unstarted):
    status, output = command(unstarted(), "--help")
    assert status == 0
    for option in ("-d", "--daemon", "-q", "--quiet", "-v", "--verbose", "-u", "--user", "-V", "--version", "--check"):
        assert option in output
    assert command(unstarted(), "-h") == (0, output)


@pytest.mark.parametrize("args", [["--frobnicate"], [], ["one.ini", "two.ini"], ["-u"]])
def test_wrong_command_line(unstarted, args):
    status, output = command(unstarted(), *args)
    assert status == 1
    assert output


def test_missing_file(unstarted):
    status, output = command(unstarted(), "/nonexistent/pgweir.ini")
    assert status == 1
    assert "/nonexistent/pgweir.ini" in output and "No such file" in output


# Configuration --------------------------------------------------------------------------------------------

BAD = """\
[databases]
shop = host=127.0.0.1 prot=5432

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 99999999
auth_type = trust
pool_mod = session
default_pool_size = many
pool_mode = transactional
"""


@pytest.mark.parametrize("args", [(), ("--check",)])
def test_every_error_at_once(unstarted, args):
    pooler = unstarted(text=BAD)
    status, output = command(pooler, *args, pooler.configfile)
    assert status == 1
    for line, words in [(2, "port"), (6, "99999999"), (8, "pool_mode"), (9, "many"), (10, "transaction")]:
        report = [text for text in output.splitlines() if f"pgweir.ini:{line}:" in text]
        assert report and any(words in text for text in report), (line, words, output)
    assert re.search(r"did you mean", output, re.IGNORECASE)


def test_duplicate_listen_address(unstarted):
    pooler = unstarted(listen_addr="127.0.0.1,127.0.0.1")
    status, output = command(pooler, "--check", pooler.configfile)
    assert status == 1
    assert "127.0.0.1" in output


def test_check_accepts_a_good_file(unstarted):
    pooler = unstarted()
    assert command(pooler, "--check", pooler.configfile)[0] == 0


def test_sample_file_is_good(unstarted):
    pooler = unstarted(text=harness.read_file(os.path.join(harness.ROOT, "conf/pgweir.conf")))
    status, output = command(pooler, "--check", pooler.configfile)
    assert status == 0, output


def test_nowhere_to_listen(unstarted):
    pooler = unstarted(listen_addr="", unix_socket_dir="")
    status, output = command(pooler, pooler.configfile)
    assert status == 1
    assert "nowhere to listen on" in output


def test_port_in_use(pgweir, unstarted):
    first = pgweir()
    second = unstarted(listen_port=first.port, unix_socket_dir="")
    status, output = command(second, second.configfile)
    assert status == 1
    assert "Address already in use" in output


# Root -----------------------------------------------------------------------------------------------------


@needs_root
def test_refuses_root(unstarted):
    pooler = unstarted()
    status, output = command(pooler, pooler.configfile, prefix=[])
    assert status == 1
    assert "should not run as root" in output


@needs_root
@pytest.mark.parametrize("how", ["key", "option"])
def test_becomes_another_user(unstarted, how):
    user = pwd.getpwnam(harness.os_user())
    pooler = unstarted(user=user.pw_name if how == "key" else None)
    options = ["-u", user.pw_name] if how == "option" else []
    pooler.process = harness.Process([pooler.binary, *options, pooler.configfile], pooler.outfile(),
                                     env=pooler.environment())
    harness.wait_for(pooler.ready)
    status = harness.read_file(f"/proc/{pooler.process.pid}/status")
    assert re.search(rf"^Uid:(\s+{user.pw_uid}){{4}}$", status, re.MULTILINE)
    assert re.search(rf"^Gid:(\s+{user.pw_gid}){{4}}$", status, re.MULTILINE)
    assert pooler.psql("SELECT 1") == "1"
    pooler.kill(signal.SIGTERM)
    # One that has changed its user cannot be looked at by the leak checker, which then gives up.
    assert pooler.process.wait(30) == 0 or "LeakSanitizer has encountered" in pooler.log()
    pooler.process = None


# Pidfile, background, sockets -----------------------------------------------------------------------------


def test_pidfile(postgres, pgweir, unstarted):
    pooler = unstarted()
    path = os.path.join(pooler.dir, "pgweir.pid")
    pooler.configure(pidfile=path)
    pooler.start()
    assert int(harness.read_file(path)) == pooler.process.pid
    second = unstarted(pidfile=path)
    status, output = command(second, second.configfile)
    assert status == 1
    assert f"pidfile '{path}' exists, another instance running?" in output
    pooler.stop()
    assert not os.path.exists(path)


def test_stale_pidfile_is_replaced(unstarted):
    pooler = unstarted()
    path = pooler.write("pgweir.pid", "4194300\n")
    pooler.configure(pidfile=path)
    pooler.start()
    assert int(harness.read_file(path)) == pooler.process.pid
    pooler.stop()


def test_background(unstarted):
    """-d returns when the daemon serves; the daemon then writes to its log file only."""
    pooler = unstarted()
    path = os.path.join(pooler.dir, "pgweir.pid")
    pooler.configure(pidfile=path, logfile=os.path.join(pooler.dir, "pgweir.log"))
    status, output = command(pooler, "-d", pooler.configfile)
    assert status == 0, output
    pid = int(harness.read_file(path))
    try:
        assert pooler.psql("SELECT 1") == "1"
        assert os.getsid(pid) != os.getsid(0)
        assert "process up" in pooler.log()
    finally:
        os.kill(pid, signal.SIGTERM)
        harness.wait_for(lambda: not os.path.exists(path), what="the daemon to end")
    assert not harness.SANITIZER_REPORT.search(pooler.log())


def test_background_needs_a_pidfile(unstarted):
    pooler = unstarted()
    status, output = command(pooler, "-d", pooler.configfile)
    assert status == 1
    assert "daemon needs pidfile configured" in output


def test_socket_file_comes_and_goes(unstarted):
    pooler = unstarted(unix_socket_mode="0770")
    path = os.path.join(pooler.dir, f".s.PGSQL.{pooler.port}")
    pooler.start()
    assert os.stat(path).st_mode & 0o777 == 0o770
    pooler.stop()
    assert not os.path.exists(path)


def test_socket_of_another_instance(pgweir, unstarted):
    first = pgweir()
    second = unstarted(listen_port=first.port, listen_addr="", unix_socket_dir=first.dir)
    status, output = command(second, second.configfile)
    assert status == 1
    assert "unix socket is in use, cannot continue" in output
    assert first.psql("SELECT 1", host=first.dir) == "1"


def test_startup_lines(pgweir):
    pooler = pgweir()
    harness.wait_for(lambda: "process up: " in pooler.log(), what="the last of them")
    log = pooler.log()
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S+ \[\d+\] LOG listening on 127\.0\.0\.1:", log,
                     re.MULTILINE)
    assert f"listening on unix:{pooler.dir}/.s.PGSQL.{pooler.port}" in log
    assert "kernel file descriptor limit: " in log


def test_stats_line(pgweir):
    pooler = pgweir(stats_period=1)
    harness.wait_for(lambda: re.search(r"stats: \d+ xacts/s, \d+ queries/s, ", pooler.log()))


# Reload ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["signal", "console"])
def test_reload(pgweir, how):
    pooler = pgweir(query_wait_timeout=77)
    connection = connect(pooler)
    assert setting(pooler, "query_wait_timeout") == "77"
    pooler.configure(query_wait_timeout=88)
    if how == "signal":
        pooler.kill(signal.SIGHUP)
    else:
        pooler.console("RELOAD")
    harness.wait_for(lambda: setting(pooler, "query_wait_timeout") == "88", what="the new value")
    assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.close()


def test_reload_of_a_bad_file_changes_nothing(pgweir):
    pooler = pgweir(query_wait_timeout=77, server_idle_timeout=99)
    pooler.configure(query_wait_timeout=88, server_idle_timeout="forever")
    with pytest.raises(harness.Failed, match="RELOAD failed"):
        pooler.console("RELOAD")
    assert setting(pooler, "query_wait_timeout") == "77"
    assert setting(pooler, "server_idle_timeout") == "99"
    assert "forever" in pooler.log()
    assert pooler.psql("SELECT 1") == "1"


def test_reload_adds_and_removes_databases(postgres, pgweir):
    target = f"host={harness.HOST} port={postgres.port} dbname=postgres"
    pooler = pgweir(databases={"old": target})
    client = connect(pooler, "old")
    assert client.execute("SELECT 1").fetchone() == (1,)
    pooler.databases = {"new": target}
    pooler.configure()
    pooler.console("RELOAD")
    assert pooler.psql("SELECT 1", "new") == "1"
    with pytest.raises(psycopg.Error):
        client.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="no such database: old"):
        connect(pooler, "old")


def test_log_file_is_reopened(unstarted):
    pooler = unstarted()
    path = os.path.join(pooler.dir, "pgweir.log")
    pooler.configure(logfile=path)
    pooler.start()
    os.rename(path, path + ".1")
    pooler.kill(signal.SIGHUP)
    harness.wait_for(lambda: os.path.exists(path), what="a new log file")
    connect(pooler).close()
    harness.wait_for(lambda: "login attempt" in harness.read_file(path), what="a line in the new log file")
    pooler.stop()


# Signals --------------------------------------------------------------------------------------------------


def test_usr1_pauses_and_usr2_resumes(pgweir):
    pooler = pgweir()
    connection = connect(pooler)
    assert connection.execute("SELECT 1").fetchone() == (1,)
    pooler.kill(signal.SIGUSR1)
    harness.wait_for(lambda: pooler.pool("postgres")["sv_idle"] == 0, what="the servers to be closed")
    query = Running(connection, "SELECT 2")
    harness.wait_for(lambda: pooler.pool("postgres")["cl_waiting"] == 1, what="the client to wait")
    pooler.kill(signal.SIGUSR2)
    assert query.done() == [(2,)]
    connection.close()


def test_term_waits_for_clients(pgweir):
    """Who is connected goes on; nobody new gets in over TCP; the last one turns off the light."""
    pooler = pgweir()
    connection = connect(pooler)
    pooler.kill(signal.SIGTERM)
    harness.wait_for(lambda: refused(pooler), what="the listener to close")
    assert connection.execute("SELECT 1").fetchone() == (1,)
    assert pooler.process.running()
    connection.close()
    pooler.ends()


def refused(pooler):
    try:
        socket.create_connection((harness.HOST, pooler.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # it was in the listener's backlog when that closed
    return False


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_ends_at_once(pgweir, second):
    pooler = pgweir()
    connection = connect(pooler)
    pooler.kill(signal.SIGTERM)
    harness.wait_for(lambda: refused(pooler), what="the listener to close")
    pooler.kill(second)
    pooler.ends()
    with pytest.raises(psycopg.Error):
        connection.execute("SELECT 1")


def test_int_waits_for_servers(pgweir):
    """A transaction under way ends in peace; an idle client is no reason to stay."""
    pooler = pgweir()
    idle = connect(pooler)
    busy = psycopg.connect(pooler.conninfo())
    assert busy.execute("SELECT 1").fetchone() == (1,)
    pooler.kill(signal.SIGINT)
    harness.wait_for(lambda: refused(pooler), what="the listener to close")
    assert busy.execute("SELECT 2").fetchone() == (2,)
    busy.commit()
    pooler.ends()
    idle.close()
    busy.close()


def test_quit_ends_at_once(pgweir):
    pooler = pgweir()
    busy = psycopg.connect(pooler.conninfo())
    busy.execute("SELECT 1")
    pooler.kill(signal.SIGQUIT)
    pooler.ends()
    assert "got SIGQUIT, fast exit" in pooler.log()
    busy.close()


def test_drain_has_a_bound(pgweir):
    """shutdown_timeout: a client that never leaves does not keep the daemon for ever."""
    pooler = pgweir(shutdown_timeout=1)
    connection = connect(pooler)
    pooler.kill(signal.SIGTERM)
    pooler.ends()
    connection.close()


def test_servers_are_gone_after_the_end(postgres, pgweir):
    pooler = pgweir(min_pool_size=3)
    assert pooler.psql("SELECT 1") == "1"
    pooler.stop()
    harness.wait_for(lambda: postgres.backends() == 0, what="PostgreSQL to see the connections end")


@pytest.mark.parametrize("mode", ["", "WAIT_FOR_CLIENTS", "WAIT_FOR_SERVERS"])
def test_shutdown_command(pgweir, mode):
    pooler = pgweir()
    admin = psycopg.pq.PGconn.connect(pooler.conninfo("pgbouncer").encode())
    admin.send_query(f"SHUTDOWN {mode}".encode())
    harness.wait_for(lambda: refused(pooler), what="the listener to close")
    admin.finish()
    pooler.ends()


# systemd --------------------------------------------------------------------------------------------------


def test_systemd_is_told(unstarted):
    """READY, RELOADING and STOPPING arrive at NOTIFY_SOCKET in this order."""
    pooler = unstarted()
    path = os.path.join(pooler.dir, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        harness.give(path)
        pooler.env = {"NOTIFY_SOCKET": path}

        def expect(word):
            heard = ""
            while word not in heard:
                assert select.select([notify], [], [], 30)[0], f"{word} did not come"
                heard = notify.recv(4096).decode()
            return heard

        pooler.spawn()
        expect("READY=1")
        pooler.kill(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in expect("RELOADING=1")
        expect("READY=1")
        pooler.kill(signal.SIGTERM)
        expect("STOPPING=1")
        pooler.ends()
