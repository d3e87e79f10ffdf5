"""
Runs the program that is named on the command line, with a private PostgreSQL for it: unix socket and TCP, TLS with
a certificate for "localhost", and a user for each way to log in.
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import harness  # noqa: E402

HBA = """
local     all          md5user     md5
local     all          all         trust
hostnossl all          tlsuser     127.0.0.1/32  reject
hostssl   all          certuser    127.0.0.1/32  cert
host      all          md5user     127.0.0.1/32  md5
host      all          clearuser   127.0.0.1/32  password
host      all          scramuser   127.0.0.1/32  scram-sha-256
host      all          filed       127.0.0.1/32  scram-sha-256
host      replication  all         127.0.0.1/32  trust
host      all          all         127.0.0.1/32  trust
"""

SETUP = """
SET password_encryption = 'scram-sha-256';
CREATE ROLE scramuser LOGIN PASSWORD 'secret word';
CREATE ROLE clearuser LOGIN PASSWORD 'secret word';
CREATE ROLE filed LOGIN PASSWORD 'in the file';
SET password_encryption = 'md5';
CREATE ROLE md5user LOGIN PASSWORD 'secret word';
CREATE ROLE tlsuser LOGIN;
CREATE ROLE certuser LOGIN;
CREATE ROLE nobodymore LOGIN CONNECTION LIMIT 0;
"""


def password_file(postgres):
    path = os.path.join(postgres.dir, ".pgpass")
    with open(path, "w") as file:
        file.write(f"127.0.0.1:{postgres.port}:postgres:filed:in the file\n")
    os.chmod(path, 0o600)


def main(program):
    harness.end_on_signals()
    postgres = harness.Postgres(ssl=True, hba=HBA.splitlines())
    certs = postgres.certs
    server = certs.make("named", "localhost", "DNS:localhost")  # and not for its address
    client = certs.client("certuser")
    postgres.settings.update(ssl_cert_file=server.cert, ssl_key_file=server.key)
    password_file(postgres)
    with postgres:
        postgres.psql(SETUP)
        suppressions = os.path.join(os.path.dirname(harness.__file__), "tsan.supp")
        env = {
            **os.environ,
            "HOME": postgres.dir,
            "TEST_DIR": postgres.dir,
            "TEST_PORT": str(postgres.port),
            "TEST_DEAD_PORT": str(harness.free_port()),
            "TEST_CA": certs.ca,
            "TEST_OTHER_CA": certs.other_ca,
            "TEST_CERT": client.cert,
            "TEST_KEY": client.key,
            "TSAN_OPTIONS": f"suppressions={suppressions} {os.environ.get('TSAN_OPTIONS', '')}",
        }
        return subprocess.run([program], env=env).returncode


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
