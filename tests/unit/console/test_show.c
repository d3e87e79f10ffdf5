/* The columns are PgBouncer's, name by name, and the values those of the snapshot. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "macros.h"
#include "str.h"

static const struct {
    const char *name;
    const char *columns;
} shows[] = {
    {"DATABASES",
     "name,host,port,database,force_user,pool_size,min_pool_size,reserve_pool_size,server_lifetime,"
     "pool_mode,load_balance_hosts,max_connections,current_connections,max_client_connections,"
     "current_client_connections,paused,disabled"},
    {"POOLS", "database,user,cl_active,cl_waiting,cl_active_cancel_req,cl_waiting_cancel_req,"
              "sv_active,sv_active_cancel,sv_being_canceled,sv_idle,sv_used,sv_tested,sv_login,"
              "maxwait,maxwait_us,pool_mode,load_balance_hosts"},
    {"CLIENTS", "type,user,database,replication,state,addr,port,local_addr,local_port,connect_time,"
                "request_time,wait,wait_us,close_needed,ptr,link,remote_pid,tls,application_name,"
                "prepared_statements,id"},
    {"SERVERS", "type,user,database,replication,state,addr,port,local_addr,local_port,connect_time,"
                "request_time,wait,wait_us,close_needed,ptr,link,remote_pid,tls,application_name,"
                "prepared_statements,id"},
    {"USERS", "name,pool_size,reserve_pool_size,pool_mode,max_user_connections,current_connections,"
              "max_user_client_connections,current_client_connections"},
    {"LISTS", "list,items"},
    {"STATS",
     "database,total_server_assignment_count,total_xact_count,total_query_count,total_received,"
     "total_sent,total_xact_time,total_query_time,total_wait_time,total_client_parse_count,"
     "total_server_parse_count,total_bind_count,total_client_login_count,"
     "avg_server_assignment_count,avg_xact_count,avg_query_count,avg_recv,avg_sent,avg_xact_time,"
     "avg_query_time,avg_wait_time,avg_client_parse_count,avg_server_parse_count,avg_bind_count,"
     "avg_client_login_count"},
    {"STATS_TOTALS", "database,server_assignment_count,xact_count,query_count,bytes_received,"
                     "bytes_sent,xact_time,query_time,wait_time,client_parse_count,"
                     "server_parse_count,bind_count,client_login_count"},
    {"STATS_AVERAGES", "database,server_assignment_count,xact_count,query_count,bytes_received,"
                       "bytes_sent,xact_time,query_time,wait_time,avg_client_parse_count,"
                       "avg_server_parse_count,avg_bind_count,avg_client_login_count"},
    {"TOTALS", "name,value"},
    {"TASKS", "name,owner,task_group,thread,state,age_us,remaining_us"},
    {"CONFIG", "key,value,default,changeable"},
};

/* Asks, and gives the workers' answer if one is waited for. */
static const char *
show(struct fixture *f, int fd, const char *name, struct snapshot *snapshot)
{
    char sql[64];

    snprintf(sql, sizeof(sql), "SHOW %s", name);
    peer_query(f, fd, sql);
    if (f->engine.request_count > 0)
        fake_engine_answer(&f->engine, snapshot);
    else
        snapshot_free(snapshot);
    fake_loop_settle(f->loop);
    return peer_read(f, fd);
}

static void
test_columns(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "watch");
    char expected[1024];

    for (size_t i = 0; i < ARRAY_SIZE(shows); i++) {
        const char *answer = show(f, fd, shows[i].name, calloc(1, sizeof(struct snapshot)));

        snprintf(expected, sizeof(expected), "T(%s) ", shows[i].columns);
        assert_memory_equal(answer, expected, strlen(expected));
        assert_non_null(strstr(answer, " C(SHOW) Z "));
    }
    peer_close(f, fd);
}

static void
test_pools(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "watch");
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    const char *answer;

    snapshot->pools = calloc(1, sizeof(*snapshot->pools));
    snapshot->pool_count = 1;
    snapshot->pools[0] = (struct pool_row){
        .database = "shop",
        .user = "alice",
        .cl_active = 1,
        .cl_waiting = 2,
        .cl_active_cancel = 3,
        .cl_waiting_cancel = 4,
        .sv_active = 5,
        .sv_active_cancel = 6,
        .sv_being_canceled = 7,
        .sv_idle = 8,
        .sv_used = 9,
        .sv_tested = 10,
        .sv_login = 11,
        .max_wait = 12 * SEC + 13,
        .pool_mode = "transaction",
    };
    answer = show(f, fd, "POOLS", snapshot);
    assert_non_null(strstr(
        answer, " D(shop,alice,1,2,3,4,5,6,7,8,9,10,11,12,13,transaction,round-robin) "
                "D(pgbouncer,pgbouncer,1,0,0,0,0,0,0,0,0,0,0,0,0,statement,NULL) C(SHOW) Z "));
    peer_close(f, fd);
}

static void
test_databases(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "watch");
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    const char *answer;

    snapshot->databases = calloc(2, sizeof(*snapshot->databases));
    snapshot->database_count = 2;
    snapshot->databases[0] = (struct database_row){
        .name = "shop",
        .host = "a,b",
        .database = "shopdb",
        .force_user = "app",
        .port = 5433,
        .pool_size = 1,
        .min_pool_size = 2,
        .reserve_pool_size = 3,
        .server_lifetime = 3600 * SEC,
        .pool_mode = "session",
        .max_connections = 4,
        .current_connections = 5,
        .max_client_connections = 6,
        .current_client_connections = 7,
        .paused = true,
    };
    snapshot->databases[1] =
        (struct database_row){.name = "plain", .database = "plain", .port = 5432, .disabled = true};
    answer = show(f, fd, "DATABASES", snapshot);
    assert_non_null(
        strstr(answer, " D(shop,a,b,5433,shopdb,app,1,2,3,3600,session,round-robin,4,5,6,7,1,0) "
                       "D(plain,NULL,5432,plain,NULL,0,0,0,0,NULL,NULL,0,0,0,0,0,1) "
                       "D(pgbouncer,NULL,6432,pgbouncer,pgbouncer,2,0,0,3600,statement,NULL,"
                       "0,0,0,1,0,0) C(SHOW) Z "));
    peer_close(f, fd);
}

static void
test_clients_and_servers(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "watch");
    const struct socket_row row = {
        .database = "shop",
        .user = "alice",
        .application_name = "app",
        .replication = "none",
        .state = "waiting",
        .addr = "10.0.0.7",
        .local_addr = "10.0.0.1",
        .port = 50112,
        .local_port = 6432,
        .wait = 3 * SEC + 5,
        .close_needed = true,
        .id = 0x2a,
        .link_id = 0x1f,
        .remote_pid = 99,
        .tls = "TLSv1.3/X",
        .prepared_statements = 4,
    };

    for (int servers = 0; servers < 2; servers++) {
        struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
        const char *answer;

        snapshot->sockets = calloc(2, sizeof(*snapshot->sockets));
        snapshot->socket_count = 2;
        snapshot->sockets[0] = row;
        snapshot->sockets[1] = row;
        snapshot->sockets[1].is_server = true;
        answer = show(f, fd, servers ? "SERVERS" : "CLIENTS", snapshot);
        assert_non_null(strstr(answer, servers ? " D(S,alice,shop,none,waiting,10.0.0.7,50112,"
                                                 "10.0.0.1,6432,,,3,5,1,0x2a,0x1f,99,TLSv1.3/X,"
                                                 "app,4,42) C(SHOW) Z "
                                               : " D(C,alice,shop,none,waiting,10.0.0.7,50112,"
                                                 "10.0.0.1,6432,,,3,5,1,0x2a,0x1f,99,TLSv1.3/X,"
                                                 "app,4,42) D(C,watch,pgbouncer,none,active,unix,"
                                                 "6432,unix,6432,,"));
    }
    peer_close(f, fd);
}

/* Those of the files, and those who have come without. */
static void
test_users(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "watch");
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    const char *answer;

    snapshot->users = calloc(2, sizeof(*snapshot->users));
    snapshot->user_count = 2;
    snapshot->users[0] = (struct user_row){.name = "app", .servers = 5};
    snapshot->users[1] = (struct user_row){.name = "bob", .servers = 6, .clients = 4};
    answer = show(f, fd, "USERS", snapshot);
    assert_non_null(strstr(
        answer, ") D(app,NULL,NULL,NULL,0,5,0,0) D(bob,3,NULL,statement,9,6,0,4) C(SHOW) Z "));
    peer_close(f, fd);
}

static void
test_tasks(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "watch");
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    const char *answer;

    snapshot->tasks = calloc(2, sizeof(*snapshot->tasks));
    snapshot->task_count = 2;
    snapshot->tasks[0] = (struct task_row){.name = "connect",
                                           .owner = "shop/alice",
                                           .group = "pool",
                                           .thread = "worker 1",
                                           .age = 12,
                                           .remaining = 34};
    snapshot->tasks[1] =
        (struct task_row){.name = "drain", .remaining = USEC_NEVER, .cancelling = true};
    answer = show(f, fd, "TASKS", snapshot);
    assert_non_null(strstr(answer, " D(connect,shop/alice,pool,worker 1,running,12,34) "
                                   "D(drain,,,,cancelling,0,NULL) C(SHOW) Z "));
    peer_close(f, fd);
}

static void
test_config(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "watch");
    const char *answer = show(f, fd, "CONFIG", NULL);

    assert_non_null(strstr(answer, " D(admin_users,boss,,yes) "));
    assert_non_null(strstr(answer, " D(listen_port,6432,6432,no) "));
    peer_close(f, fd);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_columns), TEST(test_pools), TEST(test_databases), TEST(test_clients_and_servers),
        TEST(test_users),   TEST(test_tasks), TEST(test_config),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
