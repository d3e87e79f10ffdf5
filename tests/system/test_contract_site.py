"""
A PgBouncer site as there are many, whose files are read as they are: 40 databases, 200 users, auth_query, HBA rules, TLS to
clients and to the server, %include, comments, and keys that mean nothing any more. Its users log in and work.
"""

import os

import pytest

import harness
import wire_login
from wire_login import Client, Refused, tls_context

DATABASES, USERS = 40, 200
ASKED, FILED = "user001", "user150"  # one whom the server knows, one of auth_file
HERE = f"{harness.HOST}/32"

SCHEMA = """
CREATE ROLE pgbouncer LOGIN PASSWORD 'pooler''s own';
CREATE SCHEMA pgbouncer AUTHORIZATION pgbouncer;
CREATE FUNCTION pgbouncer.get_auth(name text) RETURNS TABLE (usename text, passwd text) LANGUAGE sql SECURITY DEFINER AS
$$ SELECT rolname::text, rolpassword FROM pg_authid WHERE rolname = name AND rolcanlogin $$;
"""

MAIN = """\
;; the pooler of the shop, since 2014
%include {dir}/databases.ini

[users]
%include {dir}/users.ini

[pgbouncer]
logfile = {dir}/pgbouncer.log
pidfile = {dir}/pgbouncer.pid
listen_addr = {host}
listen_port = {port}
unix_socket_dir = {dir}

; who may come in
auth_type = hba
auth_hba_file = {dir}/pg_hba.conf
auth_file = {dir}/userlist.txt
auth_user = pgbouncer
auth_query = SELECT usename, passwd FROM pgbouncer.get_auth($1)
auth_dbname = shop01
admin_users = admin
stats_users = stats, monitoring

# TLS on both sides
client_tls_sslmode = allow
client_tls_key_file = {key}
client_tls_cert_file = {cert}
client_tls_ca_file = {ca}
client_tls_protocols = secure
client_tls_ciphers = default
server_tls_sslmode = verify-full
server_tls_ca_file = {ca}

pool_mode = transaction
server_reset_query = DISCARD ALL
server_check_query = select 1
ignore_startup_parameters = extra_float_digits, geqo
max_client_conn = 2000
default_pool_size = 3
min_pool_size = 0
reserve_pool_size = 1
reserve_pool_timeout = 5
max_db_connections = 6
max_user_connections = 0
server_round_robin = 0
log_connections = 1
log_disconnections = 1
log_pooler_errors = 1
stats_period = 60
server_lifetime = 1200
server_idle_timeout = 60
server_connect_timeout = 15
server_login_retry = 15
query_timeout = 0
query_wait_timeout = 120
client_idle_timeout = 0
client_login_timeout = 60
autodb_idle_timeout = 3600
; low-level tuning that somebody found on the web
pkt_buf = 8192
listen_backlog = 4096
sbuf_loopcnt = 5
max_packet_size = 2147483647
suspend_timeout = 10
tcp_defer_accept = 0
tcp_socket_buffer = 0
tcp_keepalive = 1
tcp_keepcnt = 0
tcp_keepidle = 0
tcp_keepintvl = 0
dns_max_ttl = 15
dns_nxdomain_ttl = 15
%include {dir}/local.ini
"""

HBA = f"""\
# TYPE  DATABASE  USER  ADDRESS  METHOD
local   all  all  md5
hostssl all  all  {HERE}  md5
host    pgbouncer  admin,stats  {HERE}  scram-sha-256
host    shop02     all  {HERE}  md5
host    all        all  0.0.0.0/0  reject
"""


def password(number):
    return f"it's \"{number:03d}\""


@pytest.fixture(scope="module")
def server():
    """The site's PostgreSQL: passwords and TLS for everybody but its owner. Its older users have md5 secrets."""
    with harness.Postgres(ssl=True, hba=[f"hostssl all all {HERE} md5"]) as postgres:
        statements = ["SET password_encryption = md5;"]
        for number in range(1, USERS + 1):
            statements.append(f"CREATE ROLE user{number:03d} LOGIN PASSWORD {harness.literal(password(number))};")
            if number == USERS // 2:
                statements.append("SET password_encryption = 'scram-sha-256';")
        postgres.psql("\n".join(statements), host=postgres.dir)
        for number in range(1, DATABASES + 1):
            postgres.psql(f"CREATE DATABASE shop{number:02d} STRATEGY file_copy TEMPLATE template0", host=postgres.dir)
        postgres.psql(SCHEMA, "shop01", host=postgres.dir)
        yield postgres


def databases(server):
    """A line each, in the ways that lines are written."""
    lines = ["[databases]", "; moved in 2019"]
    for number in range(1, DATABASES + 1):
        name, target = f"shop{number:02d}", f"host=localhost port={server.port}"
        lines.append({0: f"{name} = {target}",
                      1: f"  {name}={target} dbname={name} pool_size=5",
                      2: f"{name} = {target} pool_mode=session max_db_connections=4 connect_query='select ''hello'''",
                      3: f"{name} = {target} timezone=UTC application_name='the shop' reserve_pool=2",
                      }[number % 4])
    return "\n".join(lines) + "\n"


def users():
    limits = ["pool_mode = session", "max_user_connections=10", "pool_mode=transaction max_user_connections=2",
              "query_timeout=30"]
    return "".join(f"user{number:03d} = {limits[number % 4]}\n" for number in range(1, USERS + 1))


def user_list():
    """The second half of the users, and those who look after the pooler; a comment as PgBouncer allows it."""
    def line(name, secret):
        return '"{}" "{}"'.format(name, secret.replace('"', '""'))

    lines = [line(f"user{number:03d}", password(number)) for number in range(USERS // 2 + 1, USERS + 1)]
    lines += [line("admin", wire_login.scram_secret("admin's")), line("stats", "stats'"), line("pgbouncer", "pooler's own")]
    return "; kept by hand\n" + "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def site(server):
    pair = server.certs.server
    pooler = harness.Pgweir(server, auth=(), pgpass=None)
    pooler.write("databases.ini", databases(server))
    pooler.write("users.ini", users())
    pooler.write("userlist.txt", user_list())
    pooler.write("pg_hba.conf", HBA)
    pooler.write("local.ini", "stats_period = 30\nquery_wait_timeout = 20\n")
    pooler.text = MAIN.format(dir=pooler.dir, host=harness.HOST, port=pooler.port, key=pair.key, cert=pair.cert,
                              ca=server.certs.ca)
    pooler.settings["logfile"] = f"{pooler.dir}/pgbouncer.log"
    pooler.configure()
    with pooler:
        yield pooler


def login(site, user, secret, database, tls=True):
    """Who and where one is, after a login and a transaction."""
    with Client(site.port) as client:
        if tls:
            client.start_tls(tls_context(site.postgres.certs.ca))
        client.login(user, secret, database)
        client.query("BEGIN")
        rows = client.query("SELECT current_user, current_database()")
        client.query("COMMIT")
        return rows[0]


def console(site, sql):
    return site.console(sql, user="admin", password="admin's")


def test_starts_without_an_error(site):
    errors = [line for line in site.log().splitlines() if " ERROR " in line or " FATAL " in line]
    assert errors == []
    assert os.path.exists(f"{site.dir}/pgbouncer.pid")


def test_everything_is_there(site):
    entries = {row["name"]: row for row in console(site, "SHOW DATABASES")}
    assert len(entries) == DATABASES + 1  # and the console
    assert entries["shop02"]["pool_mode"] == "session" and entries["shop02"]["max_connections"] == "4"
    assert entries["shop03"]["reserve_pool_size"] == "2" and entries["shop05"]["pool_size"] == "5"
    known = {row["name"]: row for row in console(site, "SHOW USERS")}
    assert {f"user{number:03d}" for number in range(1, USERS + 1)} <= set(known)
    assert known["user002"]["max_user_connections"] == "2" and known["user004"]["pool_mode"] == "session"
    values = {row["key"]: row["value"] for row in console(site, "SHOW CONFIG")}
    assert (values["stats_period"], values["query_wait_timeout"], values["pkt_buf"]) == ("30", "20", "8192")


@pytest.mark.parametrize("user, number", [(ASKED, 1), (FILED, 150)])
def test_logins_to_every_database(site, user, number):
    for each in range(1, DATABASES + 1):
        name = f"shop{each:02d}"
        assert login(site, user, password(number), name) == (user, name)


def test_every_user_logs_in(site):
    for number in range(1, USERS + 1):
        assert login(site, f"user{number:03d}", password(number), "shop04") == (f"user{number:03d}", "shop04")


def test_rules(site):
    """Without TLS the rules let in to the console and to one database, and nobody else."""
    assert login(site, FILED, password(150), "shop02", tls=False) == (FILED, "shop02")
    with pytest.raises(Refused, match="login rejected"):
        login(site, FILED, password(150), "shop03", tls=False)
    with pytest.raises(Refused, match="authentication failed"):
        login(site, FILED, "a guess", "shop02", tls=False)
    with pytest.raises(Refused, match="authentication failed"):
        login(site, "nobody", "a guess", "shop02")
    assert site.console("SHOW VERSION", user="stats", password="stats'")


def test_connections_to_the_server_have_tls(site):
    login(site, ASKED, password(1), "shop01")
    rows = [row for row in console(site, "SHOW SERVERS") if row["database"] == "shop01"]
    assert rows and all(row["tls"].startswith("TLSv1.") for row in rows)


def test_reload(site):
    """One more database in the included file, and nothing else changes."""
    site.write("databases.ini", databases(site.postgres) + f"late = host=localhost port={site.postgres.port} dbname=shop01\n")
    console(site, "RELOAD")
    assert login(site, ASKED, password(1), "late") == (ASKED, "shop01")
