"""
What a test, the demo and the benchmark stand on: a throw-away PostgreSQL, and a pooler in front of it.

Everything lives in one temporary directory per cluster and is ended by stop(), or at the latest when the
interpreter exits. Started as root, the daemons run as an ordinary user, since both refuse root. Nothing here
sleeps for a guessed time: wait_for() polls a condition until it holds.

Environment:
    PGWEIR_PG_BINDIR   the PostgreSQL to use                 (/usr/lib/postgresql/15/bin)
    PGWEIR_BUILD       the build to test                     (build/release)
    PGWEIR_BINARY      another binary to test, say /usr/sbin/pgbouncer: it is given no key of pgweir's own,
                       so that a test of PgBouncer's contract can be tried on PgBouncer itself
"""

import atexit
import csv
import functools
import glob
import io
import os
import pwd
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import wire
from certs import Certs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOST = "127.0.0.1"
SUPERUSER = "postgres"

# Keys of [pgbouncer] that PgBouncer would not know.
OWN_KEYS = {"auth_hba_lenient", "auth_query_cache", "batch_sends", "connect_burst", "console_legacy_columns",
            "log_stats_legacy", "pool_shards", "prepare_unnamed", "shutdown_timeout",
            "slow_callback_duration", "state_file", "worker_threads"}

SANITIZER_REPORT = re.compile(r"ERROR: (?:Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer"
                              r"|runtime error:|Sanitizer:DEADLYSIGNAL")


class Failed(AssertionError):
    """Something did not start, stop or happen as it should."""


def wait_for(condition, timeout=20, what=None):
    """Polls until condition() is true and returns what it gave."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Failed(f"waited {timeout} s in vain for {what or condition}")
        time.sleep(0.01)


def end_on_signals():
    """Lets SIGTERM and SIGHUP end us as Ctrl-C does: with everything cleaned up."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler)


def free_port():
    """A TCP port that nothing listens on, below the range from which the kernel takes ephemeral ports."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
                return port
            except OSError:
                pass


def os_user():
    """The user that daemons run as: ourselves, unless we are root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            pass
    raise Failed("no user to run the daemons as: neither postgres nor nobody exists")


def unprivileged():
    """The words in front of a command that must not run as root."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam(os_user())
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", "--"]


def give(path):
    """Makes path belong to the user that the daemons run as."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(os_user())
        os.chown(path, user.pw_uid, user.pw_gid)


def pg_bindir():
    chosen = os.environ.get("PGWEIR_PG_BINDIR")
    if chosen:
        return chosen
    installed = glob.glob("/usr/lib/postgresql/*/bin/postgres")
    if not installed:
        raise Failed("no PostgreSQL found: set PGWEIR_PG_BINDIR")
    default = "/usr/lib/postgresql/15/bin/postgres"
    return os.path.dirname(default if default in installed else max(installed))


def read_file(path):
    with open(path, errors="replace") as file:
        return file.read()


class Process:
    """A daemon that we started, in a session of its own (else the scheduler's autogroups bias measurements)."""

    def __init__(self, args, output, env=None, cwd="/"):
        with open(output, "ab") as stream:
            self.popen = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, cwd=cwd,
                                          env=env, start_new_session=True)
        self.pid = self.popen.pid
        atexit.register(self.kill, signal.SIGKILL)  # for the paths on which nobody calls stop()

    def running(self):
        return self.popen.poll() is None

    def kill(self, signum):
        if self.running():
            self.popen.send_signal(signum)

    def wait(self, timeout):
        """The exit status, or None when it still runs after timeout seconds."""
        try:
            status = self.popen.wait(timeout)
            atexit.unregister(self.kill)
            return status
        except subprocess.TimeoutExpired:
            return None

    def cpu(self):
        """CPU seconds of all threads so far, to the nanosecond where the kernel counts them."""
        try:
            threads = os.listdir(f"/proc/{self.pid}/task")
            return sum(int(read_file(f"/proc/{self.pid}/task/{tid}/schedstat").split()[0]) for tid in threads) / 1e9
        except FileNotFoundError:
            fields = read_file(f"/proc/{self.pid}/stat").rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def memory(self):
        """Resident memory in bytes."""
        return int(read_file(f"/proc/{self.pid}/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Postgres:
    """
    A private cluster, nothing synced, gone after stop(). It trusts everybody, unless hba has the lines of another
    pg_hba.conf; the superuser comes in through the unix socket in any case. With ssl it has certs.server, and
    verifies the certificates of clients against certs.ca.
    """

    def __init__(self, *, ssl=False, hba=None, **settings):
        self.bindir = pg_bindir()
        self.port = free_port()
        self.dir = tempfile.mkdtemp(prefix="pgweir-")
        self.process = None
        atexit.register(self.stop)
        os.chmod(self.dir, 0o755)
        give(self.dir)
        self.settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": self.dir,
            "max_connections": 500,
            "shared_buffers": "128MB",
            "max_wal_size": "4GB",
            "autovacuum": "off",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            **(self.tls() if ssl else {}),
            **settings,
        }
        self.hba = hba

    @functools.cached_property
    def certs(self):
        return Certs(os.path.join(self.dir, "certs"), give)

    def tls(self):
        return {"ssl": "on", "ssl_ca_file": self.certs.ca, "ssl_cert_file": self.certs.server.cert,
                "ssl_key_file": self.certs.server.key}

    def start(self):
        data = os.path.join(self.dir, "data")
        initdb = [self.tool("initdb"), "--pgdata", data, "--username", SUPERUSER, "--auth", "trust", "--no-sync",
                  "--encoding", "UTF8", "--locale", "C"]
        run([*unprivileged(), *initdb], cwd=self.dir)
        self.configure()
        self.process = Process([*unprivileged(), self.tool("postgres"), "-D", data], self.logfile(), cwd=self.dir)
        wait_for(self.ready, 60, "PostgreSQL to accept connections")
        return self

    def configure(self, hba=None, **changes):
        """Writes its files anew, with some settings and all lines of pg_hba.conf changed; see reload()."""
        self.settings.update(changes)
        self.hba = hba or self.hba
        self.write("postgresql.auto.conf", [f"{key} = '{value}'" for key, value in self.settings.items()])
        if self.hba is not None:
            self.write("pg_hba.conf", [f"local all {SUPERUSER} trust", *self.hba])

    def write(self, name, lines):
        path = os.path.join(self.dir, "data", name)
        with open(path, "w") as file:
            file.writelines(f"{line}\n" for line in lines)
        give(path)

    def reload(self):
        """Lets it read its files again, and waits until it has."""
        def loaded():
            return self.psql("SELECT pg_conf_load_time()", host=self.dir)

        before = loaded()
        self.process.kill(signal.SIGHUP)
        wait_for(lambda: loaded() != before, 20, "PostgreSQL to reload")

    def create_user(self, name, password=None, encryption="scram-sha-256"):
        """Makes a user who may log in, or gives him another password; returns the secret that is stored."""
        quoted = name.replace('"', '""')
        exists = self.psql(f"SELECT 1 FROM pg_roles WHERE rolname = {literal(name)}", host=self.dir)
        secret = f"PASSWORD {literal(password)}" if password is not None else ""
        self.psql(f"""SET password_encryption = '{encryption}';
                      {"ALTER" if exists else "CREATE"} USER "{quoted}" LOGIN {secret}""", host=self.dir)
        return self.psql(f"SELECT rolpassword FROM pg_authid WHERE rolname = {literal(name)}", host=self.dir)

    def ready(self):
        if not self.process.running():
            raise Failed(f"PostgreSQL did not start:\n{read_file(self.logfile())}")
        return subprocess.run([self.tool("pg_isready"), "-q", "-h", self.dir, "-p", str(self.port)]).returncode == 0

    def stop(self):
        if self.process is not None:
            self.process.kill(signal.SIGQUIT)  # nothing in it is worth a checkpoint
            if self.process.wait(20) is None:
                self.process.kill(signal.SIGKILL)
                self.process.wait(20)
        shutil.rmtree(self.dir, ignore_errors=True)
        atexit.unregister(self.stop)

    def tool(self, name):
        return os.path.join(self.bindir, name)

    def logfile(self):
        return os.path.join(self.dir, "postgres.log")

    def conninfo(self, dbname="postgres", user=SUPERUSER, **options):
        return conninfo(**{"host": HOST, "port": self.port, "dbname": dbname, "user": user, **options})

    def psql(self, sql, dbname="postgres", **options):
        return psql(self, sql, self.conninfo(dbname, **options))

    def backends(self, dbname=None):
        """How many client backends there are, but for the one that asks."""
        where = f"AND datname = '{dbname}'" if dbname else ""
        return int(self.psql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                             f"AND pid <> pg_backend_pid() {where}", host=self.dir))

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.stop()


class Pgweir:
    """
    A pooler in front of a cluster. Keys of [pgbouncer] are keyword arguments; databases, users and peers are the
    lines of their sections; auth is auth_file: names, or a dict of names with their secrets; hba and ident are the lines
    of these files, and hba makes auth_type what it is; pgpass has the lines of the password file of the daemon's
    user, None is no such file; text replaces the whole file. stop() raises when the daemon did not end with status 0
    or when a sanitizer had something to say.
    """

    running = set()  # all that have been started and not stopped

    def __init__(self, postgres, *, databases=None, users=None, peers=None, auth=(SUPERUSER, "alice", "bob"), hba=None,
                 ident=None, pgpass=(), text=None, env=None, args=(), binary=None, **settings):
        self.postgres = postgres
        self.source = binary or os.environ.get("PGWEIR_BINARY") or os.path.join(
            ROOT, os.environ.get("PGWEIR_BUILD", "build/release"), "pgweir")
        self.foreign = os.path.basename(self.source) != "pgweir"
        self.dir = tempfile.mkdtemp(prefix="pooler-", dir=postgres.dir)
        give(self.dir)
        self.port = int(settings.get("listen_port") or free_port())
        self.databases = databases or {"*": f"host={HOST} port={postgres.port}"}
        self.users = users or {}
        self.peers = peers or {}
        self.settings = {
            "listen_addr": HOST,
            "listen_port": self.port,
            "unix_socket_dir": self.dir,
            "auth_type": "trust" if hba is None else "hba",
            "auth_file": self.write_auth(auth),
            "auth_hba_file": self.write_lines("hba.conf", hba),
            "auth_ident_file": self.write_lines("ident.conf", ident),
            "admin_users": SUPERUSER,
            "pool_mode": "transaction",
            "max_client_conn": 1000,
            "default_pool_size": 20,
            **settings,
        }
        if pgpass is not None:  # empty: the servers let us in without a password, whatever auth_file holds
            os.chmod(self.write_lines(".pgpass", pgpass), 0o600)
        self.text = text
        self.args = list(args)
        self.env = env or {}
        self.configfile = self.configure()
        self.process = None
        self.binary = self.accessible(self.source)

    # Files ----------------------------------------------------------------------------------------------

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as file:
            file.write(text)
        give(path)
        return path

    def write_lines(self, name, lines):
        return None if lines is None else self.write(name, "".join(f"{line}\n" for line in lines))

    def write_auth(self, auth):
        """The file of users: names without a secret, or a dict of names and secrets."""
        def quoted(text):
            return '"' + text.replace('"', '""') + '"'

        secrets = auth if isinstance(auth, dict) else dict.fromkeys(auth, "")
        return self.write_lines("userlist.txt", [f"{quoted(name)} {quoted(secrets[name])}" for name in secrets])

    def accessible(self, binary):
        """The repository may lie where only root can look: the daemon's user runs a copy in our own directory."""
        if not os.access(binary, os.X_OK):
            raise Failed(f"{binary}: not built yet, see ./dev build")
        if binary.startswith("/usr/"):
            return binary
        info = os.stat(binary)
        copy = os.path.join(self.postgres.dir, f"pgweir-{info.st_ino}-{info.st_mtime_ns}")
        if not os.path.exists(copy):
            shutil.copy(binary, copy)
            os.chmod(copy, 0o755)
        return copy

    def configure(self, **changes):
        """Writes the configuration file anew, with some keys changed; None takes a key out."""
        self.settings.update(changes)
        return self.write("pgweir.ini", self.text if self.text is not None else self.ini())

    def ini(self):
        lines = ["[databases]"]
        lines += [f"{name} = {value}" for name, value in self.databases.items()]
        lines += ["", "[users]"]
        lines += [f"{name} = {value}" for name, value in self.users.items()]
        lines += ["", "[peers]"] if self.peers else []
        lines += [f"{number} = {value}" for number, value in self.peers.items()]
        lines += ["", "[pgbouncer]"]
        lines += [f"{key} = {value}" for key, value in self.settings.items()
                  if value is not None and not (self.foreign and key in OWN_KEYS)]
        return "\n".join(lines) + "\n"

    def outfile(self):
        return os.path.join(self.dir, "output.log")

    def log(self):
        """Everything that it wrote to its standard error, or to its log file if it has one."""
        logfile = self.settings.get("logfile")
        texts = [read_file(path) for path in (self.outfile(), logfile) if path and os.path.exists(path)]
        return "".join(texts)

    # Life -----------------------------------------------------------------------------------------------

    def start(self):
        self.spawn()
        wait_for(self.ready, 60, "the pooler to accept connections")
        return self

    def spawn(self):
        """Starts it without waiting for anything; for a daemon that may refuse to start."""
        self.process = Process([*unprivileged(), self.binary, *self.args, self.configfile], self.outfile(),
                               env=self.environment(), cwd=self.dir)
        Pgweir.running.add(self)

    def environment(self):
        suppressions = os.path.join(self.postgres.dir, "tsan.supp")
        if not os.path.exists(suppressions):
            shutil.copy(os.path.join(ROOT, "tests/system/tsan.supp"), suppressions)
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith(("PG", "NOTIFY_", "LISTEN_"))},
            "HOME": self.dir,
            "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "TSAN_OPTIONS": f"second_deadlock_stack=1:suppressions={suppressions}",
            **self.env,
        }

    def ready(self):
        """It answers: a socket that accepts may still be the first of several to be opened."""
        if not self.process.running():
            raise Failed(f"the pooler did not start:\n{self.log()}")
        try:
            with socket.create_connection((HOST, self.port), timeout=5) as connection:
                connection.sendall(wire.packet(struct.pack("!I", wire.SSL_REQUEST)))
                return len(connection.recv(1)) == 1
        except OSError:
            return False

    def stop(self, signum=signal.SIGTERM, timeout=60):
        """Ends it and fails unless it ends in time and in order. Does nothing when it does not run."""
        if self.process is None:
            return
        self.kill(signum)
        self.ends(timeout)

    def ends(self, timeout=60):
        """Waits until it has ended and fails unless it does so in time and in order."""
        process, self.process = self.process, None
        Pgweir.running.discard(self)
        status = process.wait(timeout)
        if status is None:
            process.kill(signal.SIGKILL)
            process.wait(timeout)
            raise Failed(f"still there after {timeout} s:\n{self.tail()}")
        self.check(status)

    def check(self, status, expected=0):
        """Fails unless status is the expected one and no sanitizer has spoken."""
        report = SANITIZER_REPORT.search(self.log())
        if report:
            raise Failed(f"a sanitizer report:\n{self.log()[report.start():][:20000]}")
        if status != expected and not self.foreign:
            raise Failed(f"exit status {status} instead of {expected}:\n{self.tail()}")

    def tail(self, lines=60):
        return "\n".join(self.log().splitlines()[-lines:])

    def kill(self, signum):
        self.process.kill(signum)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *unused):
        try:
            self.stop()
        except Failed:
            if kind is None:  # else the first failure is the one to hear of
                raise

    # Clients --------------------------------------------------------------------------------------------

    def conninfo(self, dbname="postgres", user=SUPERUSER, **options):
        return conninfo(**{"host": HOST, "port": self.port, "dbname": dbname, "user": user, **options})

    def psql(self, sql, dbname="postgres", **options):
        """The output of psql, unaligned and without headings; fails on any error."""
        return psql(self.postgres, sql, self.conninfo(dbname, **options))

    def console(self, sql, **options):
        """The rows of a console command, each a dict of strings."""
        table = psql(self.postgres, sql, self.conninfo("pgbouncer", **options), "--csv")
        return list(csv.DictReader(io.StringIO(table)))

    def pgbench(self, *args, dbname="bench", timeout=120, **options):
        """Runs pgbench to its end and returns its output; any error that it reports is a failure."""
        output = run([self.postgres.tool("pgbench"), *map(str, args), self.conninfo(dbname, **options)],
                     timeout=timeout, cwd=self.postgres.dir)
        failed = re.search(r"number of failed transactions: (\d+)", output)
        if (failed and int(failed[1])) or re.search(r"aborted|error:|ERROR|FATAL", output):
            raise Failed(f"pgbench {args}:\n{output}")
        return output

    def pool(self, dbname, user=SUPERUSER):
        """The line of SHOW POOLS for one pool, numbers as integers."""
        for row in self.console("SHOW POOLS"):
            if (row["database"], row["user"]) == (dbname, user):
                return {key: int(value) if value.isdigit() else value for key, value in row.items()}
        return None


def literal(text):
    """A string in SQL."""
    return "'" + text.replace("'", "''") + "'"


def conninfo(**options):
    def quoted(value):
        text = str(value)
        if re.fullmatch(r"[\w./:-]+", text):
            return text
        return "'" + re.sub(r"(['\\])", r"\\\1", text) + "'"

    return " ".join(f"{key}={quoted(value)}" for key, value in options.items())


def psql(postgres, sql, target, *format):
    options = ["--no-psqlrc", "--quiet", *(format or ["-At"]), "-v", "ON_ERROR_STOP=1"]
    return run([postgres.tool("psql"), *options, "-c", sql, target]).rstrip("\n")


def run(args, timeout=120, **options):
    """The output (both streams) of a command that must succeed."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PG") or key.startswith("PGWEIR")}
    done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=timeout, env={**env, "LC_ALL": "C"}, **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(args)}: status {done.returncode}\n{done.stdout}")
    return done.stdout
