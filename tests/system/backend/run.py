"""
Runs the program that is named on the command line, with a private PostgreSQL for it: unix socket and TCP, TLS with
a certificate for "localhost" by a CA of its own, and users that log in by trust, by password, or not at all.
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import harness  # noqa: E402

HBA = """
local   all          all                     trust
hostnossl all        tlsuser   127.0.0.1/32  reject
host    all          scramuser 127.0.0.1/32  scram-sha-256
host    replication  all       127.0.0.1/32  trust
host    all          all       127.0.0.1/32  trust
"""

SETUP = """
SET password_encryption = 'scram-sha-256';
CREATE ROLE scramuser LOGIN PASSWORD 'secret word';
CREATE ROLE tlsuser LOGIN;
CREATE ROLE nobodymore LOGIN CONNECTION LIMIT 0;
"""


def openssl(directory, *args):
    harness.run(["openssl", *args], cwd=directory)


def make_ca(directory, name):
    openssl(directory, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.crt")


def make_certificates(directory):
    make_ca(directory, "ca")
    make_ca(directory, "stranger")
    openssl(directory, "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key",
            "-out", "server.csr")
    openssl(directory, "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-out", "server.crt")
    for name in ("server.key", "server.crt", "ca.crt", "stranger.crt"):
        harness.give(os.path.join(directory, name))
    os.chmod(os.path.join(directory, "server.key"), 0o600)


def main(program):
    harness.end_on_signals()
    postgres = harness.Postgres()
    hba = os.path.join(postgres.dir, "hba.conf")
    with open(hba, "w") as file:
        file.write(HBA)
    make_certificates(postgres.dir)
    postgres.settings.update(hba_file=hba, ssl="on", ssl_cert_file=os.path.join(postgres.dir, "server.crt"),
                             ssl_key_file=os.path.join(postgres.dir, "server.key"))
    with postgres:
        postgres.psql(SETUP)
        suppressions = os.path.join(os.path.dirname(harness.__file__), "tsan.supp")
        env = {
            **os.environ,
            "TEST_DIR": postgres.dir,
            "TEST_PORT": str(postgres.port),
            "TEST_DEAD_PORT": str(harness.free_port()),
            "TSAN_OPTIONS": f"suppressions={suppressions} {os.environ.get('TSAN_OPTIONS', '')}",
        }
        return subprocess.run([program], env=env).returncode


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
