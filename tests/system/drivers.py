"""
The clients that people use, for the tables of logins: psql, psycopg and pgjdbc, and one by hand that sees all
of an error. Each logs in, asks who it is, leaves, and gives an Outcome.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass

import psycopg

import harness
import wire_login

PGJDBC = "/usr/share/java/postgresql.jar"


@dataclass
class Outcome:
    """Who the server says that we are; or why not, as far as the driver tells."""

    user: str = None
    text: str = None
    sqlstate: str = None

    def __bool__(self):
        return self.user is not None


class Psql:
    def login(self, pooler, **options):
        try:
            return Outcome(user=pooler.psql("SELECT current_user", **{"sslmode": "disable", **options}))
        except harness.Failed as failure:
            return Outcome(text=str(failure))


class Psycopg:
    def login(self, pooler, **options):
        try:
            with psycopg.connect(pooler.conninfo(**{"sslmode": "disable", **options})) as connection:
                return Outcome(user=connection.execute("SELECT current_user").fetchone()[0])
        except psycopg.OperationalError as error:
            return Outcome(text=str(error))


class Pgjdbc:
    """One Java process for all logins, since it takes long to start. It has no unix sockets."""

    def __init__(self, directory):
        source = os.path.join(harness.ROOT, "tests", "system", "jdbc", "Login.java")
        run = subprocess.run(["javac", "-d", directory, source], capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, run.stderr
        self.process = subprocess.Popen(["java", "-XX:TieredStopAtLevel=1", "-cp", f"{PGJDBC}:{directory}", "Login"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True, encoding="utf-8")

    @staticmethod
    def missing():
        """What has to be installed before there can be one, or None."""
        if not os.path.exists(PGJDBC):
            return "libpostgresql-jdbc-java"
        return None if shutil.which("javac") else "default-jdk-headless"

    def login(self, pooler, dbname="postgres", host="localhost", user=harness.SUPERUSER, **options):
        url = f"jdbc:postgresql://{host}:{pooler.port}/{dbname}"
        words = [f"{key}={value}" for key, value in {"user": user, "sslmode": "disable", **options}.items()]
        self.process.stdin.write("\t".join([url, *words]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().rstrip("\n").split("\t")
        if answer[0] == "ok":
            return Outcome(user=answer[1])
        return Outcome(sqlstate=answer[1], text=answer[2])

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)


class ByHand:
    def login(self, pooler, dbname="postgres", user=harness.SUPERUSER, password="", context=None):
        with wire_login.Client(pooler.port) as client:
            try:
                if context:
                    client.start_tls(context)
                client.login(user, password, dbname)
                return Outcome(user=client.query("SELECT current_user")[0][0])
            except wire_login.Refused as refusal:
                assert client.at_end()
                return Outcome(sqlstate=refusal.sqlstate, text=refusal.message)
