"""
Clients that log in: who they are, what the poolers' files say about them, and the commands of login_load, which costs
the machine less than libpq and can resume TLS sessions.

The pooler logs in to the server as somebody whom the server trusts, so that only the clients' logins count.
"""

import os

import harness

PGBOUNCER = "/usr/sbin/pgbouncer"
USER, PASSWORD = "visitor", "a password of usual length"
SERVER_RULES = [f"host all {USER} all scram-sha-256", "host all all all trust"]


def prepare(postgres):
    """The user of the logins, at the server, too."""
    postgres.visitor = postgres.create_user(USER, PASSWORD)


def tls_settings(postgres, sslmode="require"):
    """The same for both poolers: an RSA key of 2048 bits, as most sites have."""
    pair = postgres.certs.server
    return {"client_tls_sslmode": sslmode, "client_tls_cert_file": pair.cert, "client_tls_key_file": pair.key}


def login_settings(postgres, plain=False):
    return {"auth": {"postgres": "", USER: PASSWORD if plain else postgres.visitor}, "auth_type": "scram-sha-256",
            "listen_backlog": 1000, **tls_settings(postgres, "allow")}


def program(name):
    """One of the programs beside us."""
    build = os.path.join(harness.ROOT, os.environ.get("PGWEIR_BUILD", "build/release"))
    return os.path.join(build, "tests", "bench", name)


def load_command(port, database, *words):
    return [program("login_load"), *map(str, words), harness.HOST, str(port), database, USER, PASSWORD]
