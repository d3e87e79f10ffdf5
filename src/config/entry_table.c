/*
 * The keys of an entry of [databases], of [users] and of [peers]. What is not said there is as the
 * general section says; RELOAD_NEW means that a change makes the entry's server connections go.
 */
#include "config_int.h"

#define KEY(type, key)                                                                             \
    .name = #key, .field = offsetof(struct type, key), .size = sizeof(((struct type *)0)->key)

/* clang-format off */
static const struct option database_rows[] = {
    { KEY(config_database, application_name), .type = OPT_STRING,
      .help = "The application_name that server connections start with." },
    { KEY(config_database, auth_dbname), .type = OPT_STRING, .reload = RELOAD_NEW,
      .help = "As the key of the general section." },
    { KEY(config_database, auth_query), .type = OPT_STRING, .reload = RELOAD_NEW,
      .help = "As the key of the general section." },
    { KEY(config_database, auth_user), .type = OPT_STRING,
      .help = "As the key of the general section." },
    { KEY(config_database, client_encoding), .type = OPT_STRING,
      .help = "The client_encoding that server connections start with." },
    { KEY(config_database, connect_query), .type = OPT_STRING, .reload = RELOAD_NEW,
      .help = "Query to run on each new server connection." },
    { KEY(config_database, datestyle), .type = OPT_STRING,
      .help = "The DateStyle that server connections start with." },
    { KEY(config_database, dbname), .type = OPT_STRING, .reload = RELOAD_NEW,
      .help = "The name of the database on the server; the entry's own by default." },
    { KEY(config_database, host), .type = OPT_LIST, .reload = RELOAD_NEW,
      .help = "Names, addresses, /directories or @abstract sockets, with commas between; without "
              "it, the unix socket in unix_socket_dir." },
    { KEY(config_database, load_balance_hosts), .type = OPT_ENUM, .def = "round-robin",
      .words = words_load_balance, .reload = RELOAD_NEW,
      .help = "How a list of hosts is used: round-robin, or disable to keep to one until it "
              "fails." },
    { KEY(config_database, max_db_client_connections), .type = OPT_INT,
      .help = "As the key of the general section; 0 means as there." },
    { KEY(config_database, max_db_connections), .type = OPT_INT,
      .help = "As the key of the general section; 0 means as there." },
    { KEY(config_database, min_pool_size), .type = OPT_INT,
      .help = "As the key of the general section." },
    { KEY(config_database, password), .type = OPT_STRING,
      .help = "The password of user=; without it, the one in auth_file." },
    { KEY(config_database, pool_mode), .type = OPT_ENUM, .words = words_pool_mode,
      .help = "As the key of the general section." },
    { KEY(config_database, pool_size), .type = OPT_INT,
      .help = "Server connections of each of its pools, for default_pool_size." },
    { KEY(config_database, port), .type = OPT_INT, .def = "5432", .min = 1, .max = 65535,
      .reload = RELOAD_NEW, .help = "The port, for all hosts." },
    { KEY(config_database, query_wait_timeout), .type = OPT_DURATION,
      .help = "As the key of the general section." },
    { KEY(config_database, reserve_pool_size), .alias = "reserve_pool", .type = OPT_INT,
      .help = "As the key of the general section." },
    { KEY(config_database, server_lifetime), .type = OPT_DURATION,
      .help = "As the key of the general section; 0 means as there." },
    { KEY(config_database, server_tls_ca_file), .type = OPT_STRING, .reload = RELOAD_NEW,
      .help = "As the key of the general section." },
    { KEY(config_database, server_tls_cert_file), .type = OPT_STRING, .reload = RELOAD_NEW,
      .help = "As the key of the general section." },
    { KEY(config_database, server_tls_key_file), .type = OPT_STRING, .reload = RELOAD_NEW,
      .help = "As the key of the general section." },
    { KEY(config_database, server_tls_protocols), .type = OPT_LIST, .words = words_tls_protocols,
      .reload = RELOAD_NEW, .help = "As the key of the general section." },
    { KEY(config_database, server_tls_sslmode), .type = OPT_ENUM, .words = words_tls_mode,
      .reload = RELOAD_NEW, .help = "As the key of the general section." },
    { KEY(config_database, timezone), .type = OPT_STRING,
      .help = "The TimeZone that server connections start with." },
    { KEY(config_database, user), .type = OPT_STRING, .reload = RELOAD_NEW,
      .help = "The user of all server connections, whoever the client is." },
};

static const struct option user_rows[] = {
    { KEY(config_user, client_idle_timeout), .type = OPT_DURATION,
      .help = "As the key of the general section; 0 means as there." },
    { KEY(config_user, idle_transaction_timeout), .type = OPT_DURATION,
      .help = "As the key of the general section; 0 means as there." },
    { KEY(config_user, max_user_client_connections), .type = OPT_INT,
      .help = "As the key of the general section; 0 means as there." },
    { KEY(config_user, max_user_connections), .type = OPT_INT,
      .help = "As the key of the general section; 0 means as there." },
    { KEY(config_user, pool_mode), .type = OPT_ENUM, .words = words_pool_mode,
      .help = "As the key of the general section; it goes before that of the database." },
    { KEY(config_user, pool_size), .type = OPT_INT,
      .help = "Server connections of each of its pools; it goes before that of the database." },
    { KEY(config_user, query_timeout), .type = OPT_DURATION,
      .help = "As the key of the general section; 0 means as there." },
    { KEY(config_user, query_wait_timeout), .type = OPT_DURATION,
      .help = "As the key of the general section; it goes before that of the database." },
    { KEY(config_user, reserve_pool_size), .type = OPT_INT,
      .help = "As the key of the general section; it goes before that of the database." },
    { KEY(config_user, transaction_timeout), .type = OPT_DURATION,
      .help = "As the key of the general section; 0 means as there." },
};

static const struct option peer_rows[] = {
    { KEY(config_peer, host), .type = OPT_STRING,
      .help = "Its name, address, /directory or @abstract socket." },
    { KEY(config_peer, pool_size), .type = OPT_INT, .def = "0",
      .help = "Cancel requests that may be under way to it at once; 0 means default_pool_size." },
    { KEY(config_peer, port), .type = OPT_INT, .def = "6432", .min = 1, .max = 65535,
      .help = "Its port." },
};
/* clang-format on */

const struct option_table database_table = {database_rows, ARRAY_SIZE(database_rows)};
const struct option_table user_table = {user_rows, ARRAY_SIZE(user_rows)};
const struct option_table peer_table = {peer_rows, ARRAY_SIZE(peer_rows)};
