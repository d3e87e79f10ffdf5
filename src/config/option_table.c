/*
 * The keys of the general section, [pgbouncer].
 *
 * To add one: a field of the same name in struct config and a row here, in alphabetical order, then
 * `config-gen` for the sample and the manual. The order is that of SHOW CONFIG, where PgBouncer has
 * pool_mode before pool_idle_timeout.
 */
#include "config_int.h"

#include <limits.h>
#include <syslog.h>

#include "str.h"

#define KEY(key)                                                                                   \
    .name = #key, .field = offsetof(struct config, key), .size = sizeof(((struct config *)0)->key)

/* clang-format off */
const struct option_word words_auth_type[] = {
    { "any",           AUTH_TYPE_ANY },
    { "trust",         AUTH_TYPE_TRUST },
    { "plain",         AUTH_TYPE_PLAIN },
    { "md5",           AUTH_TYPE_MD5 },
    { "scram-sha-256", AUTH_TYPE_SCRAM_SHA_256 },
    { "cert",          AUTH_TYPE_CERT },
    { "peer",          AUTH_TYPE_PEER },
    { "hba",           AUTH_TYPE_HBA },
    { "pam",           AUTH_TYPE_PAM },
    { "ldap",          AUTH_TYPE_LDAP },
    { NULL, 0 },
};

const struct option_word words_load_balance[] = {
    { "disable",     LOAD_BALANCE_DISABLE },
    { "round-robin", LOAD_BALANCE_ROUND_ROBIN },
    { NULL, 0 },
};

const struct option_word words_pool_mode[] = {
    { "session",     POOL_SESSION },
    { "transaction", POOL_TRANSACTION },
    { "statement",   POOL_STATEMENT },
    { NULL, 0 },
};

const struct option_word words_tls_mode[] = {
    { "disable",     TLS_DISABLE },
    { "allow",       TLS_ALLOW },
    { "prefer",      TLS_PREFER },
    { "require",     TLS_REQUIRE },
    { "verify-ca",   TLS_VERIFY_CA },
    { "verify-full", TLS_VERIFY_FULL },
    { NULL, 0 },
};

const struct option_word words_tls_protocols[] = {
    { "secure",  1 },
    { "all",     1 },
    { "legacy",  1 },
    { "tlsv1.0", 1 },
    { "tlsv1.1", 1 },
    { "tlsv1.2", 1 },
    { "tlsv1.3", 1 },
    { NULL, 0 },
};

static const struct option_word words_batch_sends[] = {
    { "auto",     BATCH_AUTO },
    { "io_uring", BATCH_URING },
    { "aio",      BATCH_AIO },
    { "off",      BATCH_OFF },
    { NULL, 0 },
};

static const struct option_word words_syslog_facility[] = {
    { "auth",     LOG_AUTH },
    { "authpriv", LOG_AUTHPRIV },
    { "daemon",   LOG_DAEMON },
    { "user",     LOG_USER },
    { "local0",   LOG_LOCAL0 },
    { "local1",   LOG_LOCAL1 },
    { "local2",   LOG_LOCAL2 },
    { "local3",   LOG_LOCAL3 },
    { "local4",   LOG_LOCAL4 },
    { "local5",   LOG_LOCAL5 },
    { "local6",   LOG_LOCAL6 },
    { "local7",   LOG_LOCAL7 },
    { NULL, 0 },
};

static const struct option rows[] = {
    { KEY(admin_users), .type = OPT_LIST, .group = GROUP_AUTH, .def = "", .example = "postgres",
      .help = "Users who may do everything on the console, the database \"pgbouncer\" or "
              "\"pgweir\"." },
    { KEY(application_name_add_host), .type = OPT_BOOL, .group = GROUP_CLIENT, .def = "0",
      .help = "Append the client's address and port to the application_name it logs in with." },
    { KEY(auth_dbname), .type = OPT_STRING, .group = GROUP_AUTH, .def = "",
      .help = "The database that auth_query runs in, by its name here; without it, the one that "
              "the client asks for." },
    { KEY(auth_file), .type = OPT_STRING, .group = GROUP_AUTH, .def = "",
      .example = "/etc/pgweir/userlist.txt", .reads_files = true,
      .help = "The users and their passwords, a line each: \"user\" \"password\". Read again on "
              "every reload." },
    { KEY(auth_hba_file), .type = OPT_STRING, .group = GROUP_AUTH, .def = "",
      .reads_files = true,
      .help = "With auth_type = hba: the file of the rules, as PostgreSQL's pg_hba.conf." },
    { KEY(auth_hba_lenient), .type = OPT_BOOL, .group = GROUP_AUTH, .def = "0",
      .reads_files = true,
      .help = "Skip a bad line of auth_hba_file or auth_ident_file with a warning, as PgBouncer "
              "does, instead of refusing the configuration." },
    { KEY(auth_ident_file), .type = OPT_STRING, .group = GROUP_AUTH, .def = "",
      .reads_files = true,
      .help = "Maps of system users and certificate names to users, as PostgreSQL's "
              "pg_ident.conf." },
    { KEY(auth_ldap_options), .type = OPT_STRING, .group = GROUP_AUTH, .def = "",
      .help = "With auth_type = ldap: where and how to ask, in the words of PostgreSQL's "
              "pg_hba.conf. Between ldapprefix and ldapsuffix the user's name is what to bind with. "
              "Or there is ldapbasedn, and the user's entry is searched for first, by "
              "ldapsearchattribute (uid) or ldapsearchfilter, as ldapbinddn with ldapbindpasswd; "
              "ldapurl can say most of that. ldapserver may have several names, of which the first "
              "that is there is asked. With ldaptls=1 or ldapscheme=ldaps the servers' certificates "
              "are checked as ldap.conf says. A value with blanks or commas has double quotes." },
    { KEY(auth_query), .type = OPT_STRING, .group = GROUP_AUTH,
      .def = "SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END "
             "FROM pg_authid WHERE rolname=$1 AND rolcanlogin",
      .help = "Asks a server for a user who is not in auth_file: $1 is the name; the one row has "
              "the same name, and the secret, or NULL for a user who may not log in." },
    { KEY(auth_query_cache), .type = OPT_DURATION, .group = GROUP_AUTH, .def = "0",
      .help = "How long an answer of auth_query, also that there is no such user, may serve other "
              "logins of the same user; 0 means only those that came while it was under way." },
    { KEY(auth_type), .type = OPT_ENUM, .group = GROUP_AUTH, .def = "md5",
      .words = words_auth_type, .reads_files = true,
      .help = "How clients prove who they are. scram-sha-256, or md5, which means SCRAM for users "
              "whose secret is one of SCRAM: by the secret in auth_file or from auth_query. plain: "
              "by the password itself. cert: by a TLS certificate. peer: by the operating system, "
              "on unix sockets. hba: as auth_hba_file says for the address, database and user. pam, "
              "ldap: by the password, which is checked there; the service of PAM is pgbouncer, or "
              "what pamservice= of the rule says. trust: a user who is known needs no password. any: "
              "every name is let in and works as the user= of the database." },
    { KEY(auth_user), .type = OPT_STRING, .group = GROUP_AUTH, .def = "",
      .help = "Who runs auth_query; without it nobody is looked up." },
    { KEY(autodb_idle_timeout), .type = OPT_DURATION, .group = GROUP_POOL, .def = "3600",
      .help = "Forget a database that was made from the entry \"*\" and has not been used for this "
              "long." },
    { KEY(batch_sends), .type = OPT_ENUM, .group = GROUP_NETWORK, .def = "auto",
      .words = words_batch_sends, .reload = RELOAD_RESTART,
      .help = "How the messages of one turn of a worker reach the kernel: in one io_uring "
              "submission, in one io_submit (aio), or one by one (off). auto takes the first that "
              "the kernel allows." },
    { KEY(cancel_wait_timeout), .type = OPT_DURATION, .group = GROUP_TIMEOUT, .def = "10",
      .help = "Give up a cancel request that has waited for its turn to be sent for this long; 0 means "
              "never." },
    { KEY(client_idle_timeout), .type = OPT_DURATION, .group = GROUP_TIMEOUT, .def = "0",
      .help = "Close a client that has no server and sends nothing for this long; 0 means never." },
    { KEY(client_login_timeout), .type = OPT_DURATION, .group = GROUP_TIMEOUT, .def = "60",
      .help = "Close a client that has not logged in after this long; 0 means never." },
    { KEY(client_tls13_ciphers), .type = OPT_STRING, .group = GROUP_CLIENT_TLS, .def = "",
      .help = "Cipher suites of TLS 1.3, with colons between; nothing means OpenSSL's choice." },
    { KEY(client_tls_ca_file), .type = OPT_STRING, .group = GROUP_CLIENT_TLS, .def = "",
      .help = "Certificates of the authorities that client certificates are checked against." },
    { KEY(client_tls_cert_file), .type = OPT_STRING, .group = GROUP_CLIENT_TLS, .def = "",
      .help = "The certificate shown to clients, with those between it and the authority's." },
    { KEY(client_tls_ciphers), .type = OPT_STRING, .group = GROUP_CLIENT_TLS, .def = "default",
      .help = "Ciphers up to TLS 1.2, in OpenSSL's words; default, secure, fast or all." },
    { KEY(client_tls_dheparams), .type = OPT_STRING, .group = GROUP_CLIENT_TLS, .def = "auto",
      .help = "Parameters of the DHE key exchange up to TLS 1.2: auto, legacy, none." },
    { KEY(client_tls_ecdhcurve), .type = OPT_STRING, .group = GROUP_CLIENT_TLS, .def = "auto",
      .help = "Curves of the ECDHE key exchange, with colons between; auto is OpenSSL's choice; "
              "none means no such key exchange." },
    { KEY(client_tls_key_file), .type = OPT_STRING, .group = GROUP_CLIENT_TLS, .def = "",
      .help = "The private key of that certificate." },
    { KEY(client_tls_protocols), .type = OPT_LIST, .group = GROUP_CLIENT_TLS, .def = "secure",
      .words = words_tls_protocols,
      .help = "TLS versions: tlsv1.0, tlsv1.1, tlsv1.2, tlsv1.3; secure means the last two, all "
              "and legacy mean all." },
    { KEY(client_tls_sslmode), .type = OPT_LIST, .group = GROUP_CLIENT_TLS, .def = "disable",
      .words = words_tls_mode, .keyed = true,
      .help = "TLS to the clients: disable, allow or prefer (whoever asks for it gets it), require, "
              "verify-ca (and a certificate), verify-full (the same). A list may say more for an "
              "address of listen_addr: \"require, 127.0.0.1=prefer\". Not used on unix sockets." },
    { KEY(conffile), .type = OPT_STRING, .group = GROUP_PROCESS, .def = "",
      .help = "The file that a reload reads; it starts as the one on the command line." },
    { KEY(connect_burst), .type = OPT_INT, .group = GROUP_POOL, .def = "4", .min = 1, .max = 1000,
      .help = "How many server connections a pool opens at the same time." },
    { KEY(console_legacy_columns), .type = OPT_BOOL, .group = GROUP_PROCESS, .def = "0",
      .help = "SHOW STATS and SHOW DATABASES end with columns that PgBouncer had long ago "
              "(total_requests, reserve_pool), for tools that still ask for them, such as Debian's "
              "prometheus-pgbouncer-exporter." },
    { KEY(default_pool_size), .type = OPT_INT, .group = GROUP_POOL, .def = "20",
      .help = "Server connections per database and user; 0 means no limit." },
    { KEY(disable_pqexec), .type = OPT_BOOL, .group = GROUP_CLIENT, .def = "0",
      .reload = RELOAD_RESTART,
      .help = "Refuse the simple query protocol, which can carry several statements at once." },
    { KEY(dns_max_ttl), .type = OPT_DURATION, .group = GROUP_SERVER, .def = "15",
      .help = "How long the addresses of a host name are used before the next connection has it "
              "looked up again. Servers at addresses that it has no more close when they are free." },
    { KEY(dns_nxdomain_ttl), .type = OPT_DURATION, .group = GROUP_SERVER, .def = "15",
      .help = "How long a failed look-up of a host name is remembered." },
    { KEY(dns_zone_check_period), .type = OPT_DURATION, .group = GROUP_SERVER, .def = "0",
      .help = "Look all host names up again so often, also while no connection is opened, so that "
              "servers at an address that is theirs no more are left at once; 0 means never." },
    { KEY(idle_transaction_timeout), .type = OPT_DURATION, .group = GROUP_TIMEOUT, .def = "0",
      .help = "Close a client that sends nothing inside a transaction for this long; 0 means "
              "never." },
    { KEY(ignore_startup_parameters), .type = OPT_LIST, .group = GROUP_CLIENT, .def = "",
      .example = "extra_float_digits",
      .help = "Parameters that a client may send at login without effect. Others that pgweir does "
              "not track are refused." },
    { KEY(job_name), .alias = "service_name", .type = OPT_STRING, .group = GROUP_PROCESS,
      .def = "pgbouncer", .reload = RELOAD_RESTART, .no_effect = true,
      .help = "The name of PgBouncer's service on Windows." },
    { KEY(listen_addr), .type = OPT_LIST, .group = GROUP_NETWORK, .def = "",
      .example = "127.0.0.1, ::1", .reload = RELOAD_RESTART,
      .help = "Addresses and names to listen on; * means all, nothing means no TCP." },
    { KEY(listen_backlog), .type = OPT_INT, .group = GROUP_NETWORK, .def = "128", .min = 1,
      .reload = RELOAD_RESTART,
      .help = "How many connections the kernel keeps until they are accepted." },
    { KEY(listen_port), .type = OPT_INT, .group = GROUP_NETWORK, .def = "6432", .min = 1,
      .max = 65535, .reload = RELOAD_RESTART,
      .help = "The TCP port, and the end of the unix socket's name." },
    { KEY(log_connections), .type = OPT_BOOL, .group = GROUP_LOG, .def = "1",
      .help = "Log each login." },
    { KEY(log_disconnections), .type = OPT_BOOL, .group = GROUP_LOG, .def = "1",
      .help = "Log the end of each connection, with the reason." },
    { KEY(log_pooler_errors), .type = OPT_BOOL, .group = GROUP_LOG, .def = "1",
      .help = "Log each error that pgweir itself sends to a client." },
    { KEY(log_stats), .type = OPT_BOOL, .group = GROUP_LOG, .def = "1",
      .help = "Log a line of statistics every stats_period." },
    { KEY(log_stats_legacy), .type = OPT_BOOL, .group = GROUP_LOG, .def = "0",
      .help = "The line of statistics has the form that PgBouncer gave it until 1.20, without "
              "parses, binds and logins, for tools that read no other, such as Debian's pgBadger." },
    { KEY(logfile), .type = OPT_STRING, .group = GROUP_LOG, .def = "",
      .example = "/var/log/pgweir/pgweir.log",
      .help = "File to append the log to; a reload opens it anew, as rotation needs it." },
    { KEY(login_notify_message), .type = OPT_STRING, .group = GROUP_CLIENT, .def = "",
      .help = "Text that each client gets as a notice when it has logged in." },
    { KEY(max_client_conn), .type = OPT_INT, .group = GROUP_POOL, .def = "100", .min = 1,
      .help = "How many clients may be connected." },
    { KEY(max_db_client_connections), .type = OPT_INT, .group = GROUP_POOL, .def = "0",
      .help = "How many clients one database may have; 0 means no limit." },
    { KEY(max_db_connections), .type = OPT_INT, .group = GROUP_POOL, .def = "0",
      .help = "Server connections per database, over all its users; 0 means no limit." },
    { KEY(max_packet_size), .type = OPT_SIZE, .group = GROUP_NETWORK, .def = "2147483647",
      .min = 1024, .max = INT_MAX,
      .help = "Close a connection that announces a longer message." },
    { KEY(max_prepared_statements), .type = OPT_INT, .group = GROUP_POOL, .def = "200",
      .min = 0, .max = INT_MAX,
      .help = "How many named prepared statements (of the protocol, and of the commands PREPARE and "
              "EXECUTE) a server connection keeps in transaction and statement mode, so that "
              "clients can use theirs on any, and their unnamed one as well; 0 leaves all of them "
              "alone." },
    { KEY(max_user_client_connections), .type = OPT_INT, .group = GROUP_POOL, .def = "0",
      .help = "How many clients one user may have; 0 means no limit." },
    { KEY(max_user_connections), .type = OPT_INT, .group = GROUP_POOL, .def = "0",
      .help = "Server connections per user, over all databases; 0 means no limit." },
    { KEY(min_pool_size), .type = OPT_INT, .group = GROUP_POOL, .def = "0",
      .help = "Keep at least this many server connections in a pool that has clients, or whose "
              "database has a user=." },
    { KEY(peer_id), .type = OPT_INT, .group = GROUP_PROCESS, .def = "0", .max = PEER_ID_MAX,
      .help = "The number of this process among those that share an address and know each other by "
              "[peers]: a cancel request that comes to one is passed on to the one it is meant for. "
              "0 means that there are no others." },
    { KEY(pidfile), .type = OPT_STRING, .group = GROUP_PROCESS, .def = "",
      .example = "/run/pgweir/pgweir.pid", .reload = RELOAD_RESTART,
      .help = "File for the process id; the flag -d needs one." },
    { KEY(pkt_buf), .type = OPT_SIZE, .group = GROUP_NETWORK, .def = "4096",
      .reload = RELOAD_RESTART, .no_effect = true,
      .help = "PgBouncer's buffer per connection." },
    { KEY(pool_mode), .type = OPT_ENUM, .group = GROUP_POOL, .def = "session",
      .words = words_pool_mode,
      .help = "When a client gives its server back: when it leaves (session), after a transaction, "
              "or after a statement." },
    { KEY(pool_idle_timeout), .type = OPT_DURATION, .group = GROUP_POOL, .def = "0",
      .help = "Forget a pool that has had neither clients nor servers for this long; 0 means "
              "never." },
    { KEY(pool_shards), .type = OPT_AUTO, .group = GROUP_POOL, .def = "auto", .min = 1, .max = 1024,
      .help = "Over how many workers one pool is spread. auto: over one, and over another when "
              "that one is busy. All limits hold for the pool as a whole." },
    { KEY(prepare_unnamed), .type = OPT_BOOL, .group = GROUP_POOL, .def = "0",
      .help = "Do not let a server parse the text of an unnamed statement again that has come "
              "before: from its second time on it is kept among the prepared statements "
              "(max_prepared_statements), and PostgreSQL may choose a generic plan for it. Within "
              "a transaction, behind its first statement, it is parsed all the same." },
    { KEY(query_timeout), .type = OPT_DURATION, .group = GROUP_TIMEOUT, .def = "0",
      .help = "Close client and server when a query takes longer; 0 means never." },
    { KEY(query_wait_notify), .type = OPT_DURATION, .group = GROUP_TIMEOUT, .def = "5",
      .help = "Tell a client with a notice when it has waited this long for a server; 0 means "
              "never." },
    { KEY(query_wait_timeout), .type = OPT_DURATION, .group = GROUP_TIMEOUT, .def = "120",
      .help = "Close a client that has waited this long for a server; 0 means never." },
    { KEY(reserve_pool_size), .type = OPT_INT, .group = GROUP_POOL, .def = "0",
      .help = "Server connections that a pool may have beyond its size when a client has waited "
              "for reserve_pool_timeout." },
    { KEY(reserve_pool_timeout), .type = OPT_DURATION, .group = GROUP_POOL, .def = "5",
      .help = "How long a client waits before the reserve is used; 0 means it is not used." },
    { KEY(resolv_conf), .type = OPT_STRING, .group = GROUP_SERVER, .def = "",
      .reload = RELOAD_RESTART, .no_effect = true,
      .help = "The resolver's file for PgBouncer's c-ares." },
    { KEY(sbuf_loopcnt), .type = OPT_INT, .group = GROUP_NETWORK, .def = "5",
      .help = "How often in a row one connection is read before it is another's turn; 0 means as "
              "often as there is something." },
    { KEY(scram_iterations), .type = OPT_INT, .group = GROUP_AUTH, .def = "4096", .min = 1,
      .help = "Iterations of the SCRAM secret that is made of a plain password, once for each." },
    { KEY(server_check_delay), .type = OPT_DURATION, .group = GROUP_SERVER, .def = "30",
      .help = "A server that was idle for longer is checked with server_check_query before a "
              "client gets it." },
    { KEY(server_check_query), .type = OPT_STRING, .group = GROUP_SERVER, .def = "<empty>",
      .help = "The query that must succeed. <empty> is the empty query, the cheapest; nothing "
              "means no check." },
    { KEY(server_connect_timeout), .type = OPT_DURATION, .group = GROUP_SERVER, .def = "15",
      .help = "Give up a server connection that is not ready after this long; 0 means never." },
    { KEY(server_fast_close), .type = OPT_BOOL, .group = GROUP_SERVER, .def = "0",
      .help = "In session mode, close a server that must go when its transaction ends, not only "
              "when its client leaves." },
    { KEY(server_idle_timeout), .type = OPT_DURATION, .group = GROUP_SERVER, .def = "600",
      .help = "Close a server that was idle for this long, down to min_pool_size; 0 means never." },
    { KEY(server_lifetime), .type = OPT_DURATION, .group = GROUP_SERVER, .def = "3600",
      .help = "Close a server of this age when it is free; 0 means after each use." },
    { KEY(server_login_retry), .type = OPT_DURATION, .group = GROUP_SERVER, .def = "15",
      .help = "The longest pause between attempts to connect to a host that fails." },
    { KEY(server_reset_query), .type = OPT_STRING, .group = GROUP_SERVER, .def = "DISCARD ALL",
      .help = "Sent when a client of session mode has given back its server, so that nothing of it "
              "is left; nothing means no reset." },
    { KEY(server_reset_query_always), .type = OPT_BOOL, .group = GROUP_SERVER, .def = "0",
      .help = "Send server_reset_query in the other modes, too." },
    { KEY(server_round_robin), .type = OPT_BOOL, .group = GROUP_SERVER, .def = "0",
      .help = "Use the server that has been idle longest, and not the one used last." },
    { KEY(server_tls13_ciphers), .type = OPT_STRING, .group = GROUP_TLS, .def = "",
      .reload = RELOAD_NEW,
      .help = "Cipher suites of TLS 1.3, with colons between; nothing means OpenSSL's choice." },
    { KEY(server_tls_ca_file), .type = OPT_STRING, .group = GROUP_TLS, .def = "",
      .reload = RELOAD_NEW,
      .help = "Certificates of the authorities that server certificates are checked against." },
    { KEY(server_tls_cert_file), .type = OPT_STRING, .group = GROUP_TLS, .def = "",
      .reload = RELOAD_NEW, .help = "pgweir's own certificate, for servers that ask for one." },
    { KEY(server_tls_ciphers), .type = OPT_STRING, .group = GROUP_TLS, .def = "default",
      .reload = RELOAD_NEW,
      .help = "Ciphers up to TLS 1.2, as client_tls_ciphers; default means OpenSSL's choice." },
    { KEY(server_tls_key_file), .type = OPT_STRING, .group = GROUP_TLS, .def = "",
      .reload = RELOAD_NEW, .help = "The private key of that certificate." },
    { KEY(server_tls_protocols), .type = OPT_LIST, .group = GROUP_TLS, .def = "secure",
      .words = words_tls_protocols, .reload = RELOAD_NEW,
      .help = "TLS versions: tlsv1.0, tlsv1.1, tlsv1.2, tlsv1.3; secure means the last two, all "
              "and legacy mean all." },
    { KEY(server_tls_sslmode), .type = OPT_ENUM, .group = GROUP_TLS, .def = "prefer",
      .words = words_tls_mode, .reload = RELOAD_NEW,
      .help = "TLS to the servers, with libpq's words: disable, allow, prefer, require, verify-ca, "
              "verify-full. Not used on unix sockets. Cancel requests go in plain text, as "
              "PgBouncer's, if libpq is older than 17." },
    { KEY(shutdown_timeout), .type = OPT_DURATION, .group = GROUP_PROCESS, .def = "0",
      .help = "How long a graceful shutdown waits for clients before it closes them; 0 means as "
              "long as it takes, which then is up to systemd's TimeoutStopSec." },
    { KEY(slow_callback_duration), .type = OPT_DURATION, .group = GROUP_PROCESS, .def = "0.1",
      .help = "Log what keeps a worker's loop busy for longer at a stretch; 0 means never." },
    { KEY(so_reuseport), .type = OPT_BOOL, .group = GROUP_NETWORK, .def = "0",
      .reload = RELOAD_RESTART,
      .help = "Let several processes listen on the same address; the kernel spreads the clients." },
    { KEY(stats_period), .type = OPT_DURATION, .group = GROUP_LOG, .def = "60", .min = SEC,
      .help = "The time that averages are taken over, and between two lines of statistics." },
    { KEY(stats_users), .type = OPT_LIST, .group = GROUP_AUTH, .def = "",
      .help = "Users who may look at everything on the console, but change nothing." },
    { KEY(suspend_timeout), .type = OPT_DURATION, .group = GROUP_PROCESS, .def = "10",
      .no_effect = true, .help = "The limit of PgBouncer's SUSPEND." },
    { KEY(syslog), .type = OPT_BOOL, .group = GROUP_LOG, .def = "0", .help = "Log to syslog." },
    { KEY(syslog_facility), .type = OPT_ENUM, .group = GROUP_LOG, .def = "daemon",
      .words = words_syslog_facility,
      .help = "The facility for syslog: auth, authpriv, daemon, user, local0 to local7." },
    { KEY(syslog_ident), .type = OPT_STRING, .group = GROUP_LOG, .def = "pgbouncer",
      .help = "The name for syslog." },
    { KEY(tcp_defer_accept), .type = OPT_INT, .group = GROUP_NETWORK, .def = "1",
      .help = "Seconds that the kernel waits for a client's first message before it reports the "
              "connection; 0 means not at all." },
    { KEY(tcp_keepalive), .type = OPT_BOOL, .group = GROUP_NETWORK, .def = "1",
      .help = "Let the kernel find out whether silent peers are still there." },
    { KEY(tcp_keepcnt), .type = OPT_INT, .group = GROUP_NETWORK, .def = "0", .max = 127,
      .help = "How many probes in a row may stay without an answer; 0 means as the system does." },
    { KEY(tcp_keepidle), .type = OPT_DURATION, .group = GROUP_NETWORK, .def = "0",
      .max = 32767 * SEC,
      .help = "Silence before the first probe, in whole seconds; 0 means as the system does." },
    { KEY(tcp_keepintvl), .type = OPT_DURATION, .group = GROUP_NETWORK, .def = "0",
      .max = 32767 * SEC,
      .help = "Time between two probes, in whole seconds; 0 means as the system does." },
    { KEY(tcp_socket_buffer), .type = OPT_SIZE, .group = GROUP_NETWORK, .def = "0", .max = INT_MAX,
      .help = "The kernel's buffers of each connection; 0 means as the system does." },
    { KEY(tcp_user_timeout), .type = OPT_DURATION, .group = GROUP_NETWORK, .def = "0", .unit = MSEC,
      .max = INT_MAX * MSEC,
      .help = "Close a connection whose peer has not acknowledged data for this long; a bare "
              "number counts milliseconds; 0 means as the system does." },
    { KEY(track_extra_parameters), .type = OPT_LIST, .group = GROUP_CLIENT, .def = "IntervalStyle",
      .reload = RELOAD_RESTART,
      .help = "Settings that follow a client from server to server, beyond those that every server "
              "reports by itself." },
    { KEY(transaction_timeout), .type = OPT_DURATION, .group = GROUP_TIMEOUT, .def = "0",
      .help = "Close client and server when a transaction takes longer; 0 means never." },
    { KEY(unix_socket_dir), .type = OPT_STRING, .group = GROUP_NETWORK, .def = "/tmp",
      .reload = RELOAD_RESTART,
      .help = "Directory of the unix socket; @ at its start makes it abstract, nothing means no "
              "unix socket. Servers without host= are looked for there, too." },
    { KEY(unix_socket_group), .type = OPT_STRING, .group = GROUP_NETWORK, .def = "",
      .reload = RELOAD_RESTART, .help = "Group of the unix socket, by name or number." },
    { KEY(unix_socket_mode), .type = OPT_MODE, .group = GROUP_NETWORK, .def = "0777",
      .reload = RELOAD_RESTART, .help = "Permissions of the unix socket, octal with a leading 0." },
    { KEY(user), .type = OPT_STRING, .group = GROUP_PROCESS, .def = "", .example = "postgres",
      .reload = RELOAD_RESTART,
      .help = "User to become when started by root, who is refused otherwise." },
    { KEY(verbose), .type = OPT_INT, .group = GROUP_LOG, .def = "0", .max = 9,
      .help = "How much to log: 1 adds debugging, 2 adds each message; as the flag -v." },
    { KEY(worker_threads), .type = OPT_AUTO, .group = GROUP_PROCESS, .def = "auto", .min = 1,
      .max = 1024, .reload = RELOAD_RESTART,
      .help = "Threads that serve clients. auto: half of the CPUs that the process may use, at "
              "least one." },
};
/* clang-format on */

const struct option_table option_table = {rows, ARRAY_SIZE(rows)};

const char *const option_group_titles[GROUP_COUNT] = {
    [GROUP_NETWORK] = "Network",
    [GROUP_PROCESS] = "Process",
    [GROUP_LOG] = "Log",
    [GROUP_AUTH] = "Authentication",
    [GROUP_POOL] = "Pools and limits",
    [GROUP_SERVER] = "Servers",
    [GROUP_TLS] = "TLS to the servers",
    [GROUP_CLIENT_TLS] = "TLS to the clients",
    [GROUP_CLIENT] = "Clients",
    [GROUP_TIMEOUT] = "Timeouts of clients",
};

const char *
auth_type_name(enum auth_type type)
{
    return option_word_name(words_auth_type, (int)type);
}

const char *
load_balance_name(enum load_balance balance)
{
    return option_word_name(words_load_balance, (int)balance);
}

const char *
pool_mode_name(enum pool_mode mode)
{
    return option_word_name(words_pool_mode, (int)mode);
}

const char *
tls_mode_name(enum tls_mode mode)
{
    return option_word_name(words_tls_mode, (int)mode);
}
