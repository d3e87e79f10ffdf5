"""
PgBouncer's contract, 1.1 to 1.7: every key of [pgbouncer] is there, with its default, and SET changes what may change.
The rows are PgBouncer's; a test's name ends with that of its row.
"""

import pytest

import harness

NO, YES = "no", "yes"
AUTH_QUERY = ("SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END FROM pg_authid "
              "WHERE rolname=$1 AND rolcanlogin")

# key: default, whether it may be changed while the daemon runs, and another value for it
KEYS = {
    # 1.1 network and process
    "listen_addr": ("", NO, "*"),
    "listen_port": ("6432", NO, "7000"),
    "listen_backlog": ("128", NO, "64"),
    "unix_socket_dir": ("/tmp", NO, "/var/tmp"),
    "unix_socket_mode": ("0777", NO, "0700"),
    "unix_socket_group": ("", NO, "daemon"),
    "so_reuseport": ("0", NO, "1"),
    "user": ("", NO, "nobody"),
    "pidfile": ("", NO, "/tmp/no.pid"),
    "logfile": ("", YES, None),  # see test_logfile_and_syslog
    "syslog": ("0", YES, None),
    "syslog_ident": ("pgbouncer", YES, "pooler"),
    "syslog_facility": ("daemon", YES, "local3"),
    "job_name": ("pgbouncer", NO, "pooler"),
    "conffile": (None, YES, "/tmp/other.ini"),
    "resolv_conf": ("", NO, "/tmp/resolv.conf"),
    "peer_id": ("0", YES, "7"),
    "disable_pqexec": ("0", NO, "1"),
    "max_packet_size": ("2147483647", YES, "1000000"),
    "pkt_buf": ("4096", NO, "8192"),
    "sbuf_loopcnt": ("5", YES, "10"),
    "suspend_timeout": ("10", YES, "1.5"),
    "tcp_defer_accept": ("1", YES, "0"),
    "tcp_socket_buffer": ("0", YES, "65536"),
    "tcp_keepalive": ("1", YES, "0"),
    "tcp_keepcnt": ("0", YES, "3"),
    "tcp_keepidle": ("0", YES, "60"),
    "tcp_keepintvl": ("0", YES, "10"),
    "tcp_user_timeout": ("0", YES, "5000"),
    # 1.2 pools and limits
    "pool_mode": ("session", YES, "statement"),
    "max_client_conn": ("100", YES, "500"),
    "default_pool_size": ("20", YES, "7"),
    "min_pool_size": ("0", YES, "1"),
    "reserve_pool_size": ("0", YES, "2"),
    "reserve_pool_timeout": ("5", YES, "2.5"),
    "max_db_connections": ("0", YES, "30"),
    "max_user_connections": ("0", YES, "31"),
    "max_db_client_connections": ("0", YES, "32"),
    "max_user_client_connections": ("0", YES, "33"),
    "server_round_robin": ("0", YES, "1"),
    "autodb_idle_timeout": ("3600", YES, "60"),
    "pool_idle_timeout": ("0", YES, "60"),
    "max_prepared_statements": ("200", YES, "0"),
    "server_lifetime": ("3600", YES, "1800"),
    "server_idle_timeout": ("600", YES, "60"),
    "server_connect_timeout": ("15", YES, "3"),
    "server_login_retry": ("15", YES, "1.5"),
    "server_check_delay": ("30", YES, "10"),
    "server_check_query": ("<empty>", YES, "select 1"),
    "server_reset_query": ("DISCARD ALL", YES, "RESET ALL"),
    "server_reset_query_always": ("0", YES, "1"),
    "server_fast_close": ("0", YES, "1"),
    "application_name_add_host": ("0", YES, "1"),
    "track_extra_parameters": ("IntervalStyle", NO, "search_path"),
    "ignore_startup_parameters": ("", YES, "extra_float_digits"),
    "login_notify_message": ("", YES, "welcome"),
    # 1.3 timeouts on clients
    "query_timeout": ("0", YES, "100"),
    "query_wait_timeout": ("120", YES, "60"),
    "query_wait_notify": ("5", YES, "7"),
    "client_idle_timeout": ("0", YES, "100"),
    "client_login_timeout": ("60", YES, "30"),
    "idle_transaction_timeout": ("0", YES, "100"),
    "transaction_timeout": ("0", YES, "100"),
    "cancel_wait_timeout": ("10", YES, "5"),
    # 1.4 authentication; auth_type and the files that it needs are tried by test_login*.py
    "auth_type": ("md5", YES, "any"),
    "auth_file": ("", YES, None),
    "auth_hba_file": ("", YES, None),
    "auth_ident_file": ("", YES, None),
    "auth_ldap_options": ("", YES, None),
    "auth_user": ("", YES, "bob"),
    "auth_dbname": ("", YES, "postgres"),
    "auth_query": (AUTH_QUERY, YES, "SELECT usename, passwd FROM pg_shadow WHERE usename=$1"),
    "scram_iterations": ("4096", YES, "5000"),
    "admin_users": ("", YES, "postgres, alice"),
    "stats_users": ("", YES, "bob"),
    # 1.5 TLS; values that need files are tried by test_login_tls.py and test_server_login.py
    "client_tls_sslmode": ("disable", YES, None),
    "client_tls_key_file": ("", YES, None),
    "client_tls_cert_file": ("", YES, None),
    "client_tls_ca_file": ("", YES, None),
    "client_tls_protocols": ("secure", YES, "tlsv1.3"),
    "client_tls_ciphers": ("default", YES, "HIGH"),
    "client_tls13_ciphers": ("", YES, "TLS_AES_256_GCM_SHA384"),
    "client_tls_ecdhcurve": ("auto", YES, "prime256v1"),
    "client_tls_dheparams": ("auto", YES, "none"),
    "server_tls_sslmode": ("prefer", YES, "disable"),
    "server_tls_key_file": ("", YES, None),
    "server_tls_cert_file": ("", YES, None),
    "server_tls_ca_file": ("", YES, None),
    "server_tls_protocols": ("secure", YES, "all"),
    "server_tls_ciphers": ("default", YES, "HIGH"),
    "server_tls13_ciphers": ("", YES, "TLS_AES_256_GCM_SHA384"),
    # 1.6 DNS
    "dns_max_ttl": ("15", YES, "5"),
    "dns_nxdomain_ttl": ("15", YES, "1"),
    "dns_zone_check_period": ("0", YES, "30"),
    # 1.7 log
    "log_connections": ("1", YES, "0"),
    "log_disconnections": ("1", YES, "0"),
    "log_pooler_errors": ("1", YES, "0"),
    "log_stats": ("1", YES, "0"),
    "stats_period": ("60", YES, "10"),
    "verbose": ("0", YES, "1"),
}


@pytest.fixture(scope="module")
def pooler(postgres):
    with harness.Pgweir(postgres) as pooler:
        yield pooler


@pytest.fixture(scope="module")
def shown(pooler):
    return {row["key"]: row for row in pooler.console("SHOW CONFIG")}


def value(pooler, key):
    """As it is now."""
    return next(row["value"] for row in pooler.console("SHOW CONFIG") if row["key"] == key)


@pytest.mark.parametrize("key", KEYS)
def test_key(shown, key):
    default, changeable, _ = KEYS[key]
    assert shown[key]["changeable"] == changeable
    if default is not None:
        assert shown[key]["default"] == default


def test_keys_are_in_order(shown):
    """Of PgBouncer's keys there are a hundred, alphabetical but for one."""
    keys = [key for key in shown if key not in harness.OWN_KEYS]
    assert sorted(keys) == sorted(KEYS)
    order = sorted(keys)
    order.remove("pool_mode")
    order.insert(order.index("pool_idle_timeout"), "pool_mode")
    assert keys == order


@pytest.mark.parametrize("key", [key for key, row in KEYS.items() if row[2] is not None])
def test_set(pooler, key):
    """SET of what needs a restart is answered as a success, and changes nothing."""
    _, changeable, other = KEYS[key]
    before = value(pooler, key)
    assert before != other
    try:
        pooler.psql(f"SET {key} = '{other}'", "pgbouncer")
        assert value(pooler, key) == (other if changeable == YES else before)
    finally:
        pooler.psql(f"SET {key} = '{before}'", "pgbouncer")
    assert value(pooler, key) == before


@pytest.mark.parametrize("key, bad", [("listen_prt", "1"), ("default_pool_size", "many"), ("pool_mode", "none")])
def test_set_refused(pooler, key, bad):
    with pytest.raises(harness.Failed, match="SET failed|unknown|no "):
        pooler.psql(f"SET {key} = '{bad}'", "pgbouncer")


def test_alias_service_name(pgweir):
    assert value(pgweir(service_name="other"), "job_name") == "other"


# The grammar, 1.0 -------------------------------------------------------------------------------------------


def test_grammar(postgres, pgweir):
    """Sections in any order and more than once, indented, with comments, the last value wins; names in quotes."""
    pooler = harness.Pgweir(postgres)
    text = pooler.ini()
    target = f"host={harness.HOST} port={postgres.port} dbname=postgres"
    pooler.text = text + "\n".join([
        "; a comment", "  # another", "", "  [pgbouncer]", "   default_pool_size=7   ", "max_db_connections = 0x10",
        "stats_period = 1.5", "default_pool_size = 9", "[databases]", f"'odd name' = {target} connect_query='select ''x'''",
        "[users]", "[pgbouncer]", "%include more.ini", ""])
    pooler.write("more.ini", "reserve_pool_size = 3\n")
    pooler.configure()
    with pooler:
        assert [value(pooler, key) for key in ("default_pool_size", "max_db_connections", "stats_period",
                                               "reserve_pool_size")] == ["9", "16", "1.5", "3"]
        assert pooler.psql("SELECT 1", "odd name") == "1"


def test_default_after_a_line_is_removed(pgweir):
    pooler = pgweir(default_pool_size=7)
    pooler.configure(default_pool_size=None)
    pooler.psql("RELOAD", "pgbouncer")
    assert value(pooler, "default_pool_size") == "20"


def test_bad_file_changes_nothing(pgweir):
    """Nothing of it is applied, and the admin is told the first error."""
    pooler = pgweir(default_pool_size=7)
    pooler.configure(default_pool_size=8, colour="red")
    with pytest.raises(harness.Failed, match="RELOAD failed"):
        pooler.psql("RELOAD", "pgbouncer")
    assert value(pooler, "default_pool_size") == "7"


@pytest.mark.parametrize("line, section", [("colour = red", "pgbouncer"), ("db = colour=red", "databases"),
                                           ("bob = colour=red", "users"), ("1 = host=x colour=red", "peers"),
                                           ("a = b", "colours")])
def test_unknown_key_at_start(postgres, line, section):
    pooler = harness.Pgweir(postgres)
    pooler.text = pooler.ini() + f"[{section}]\n{line}\n"
    pooler.configure()
    pooler.spawn()
    process, pooler.process = pooler.process, None
    harness.Pgweir.running.discard(pooler)
    assert process.wait(30) == 1
    assert "unknown" in pooler.log()


def test_logfile_and_syslog(postgres, pgweir):
    pooler = pgweir()
    path = f"{pooler.dir}/pooler.log"
    pooler.configure(logfile=path, syslog=1)
    pooler.psql("RELOAD", "pgbouncer")
    harness.wait_for(lambda: "configuration reloaded" in harness.read_file(path), 20, "the log file")


@pytest.mark.parametrize("key", ["job_name", "pkt_buf", "resolv_conf", "suspend_timeout"])
def test_key_without_effect(pgweir, key):
    """Accepted, and whoever sets it is told that it means nothing here."""
    pooler = pgweir(**{key: KEYS[key][2]})
    assert value(pooler, key) == KEYS[key][2]
    assert f"{key} has no effect in pgweir" in pooler.log()


def test_conffile(pgweir):
    """The next RELOAD reads another file."""
    pooler = pgweir()
    path = pooler.write("other.ini", pooler.ini() + "default_pool_size = 8\n")
    pooler.psql(f"SET conffile = '{path}'", "pgbouncer")
    assert value(pooler, "default_pool_size") == "20"
    pooler.psql("RELOAD", "pgbouncer")
    assert (value(pooler, "conffile"), value(pooler, "default_pool_size")) == (path, "8")
