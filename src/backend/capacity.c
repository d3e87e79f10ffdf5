/*
 * capacity.c - one question to a server, asked while nothing runs yet: how many connections it has.
 */
#include "backend_int.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "str.h"

#define QUESTION                                                                                   \
    "SELECT current_setting('max_connections'), "                                                  \
    "current_setting('superuser_reserved_connections')::int "                                      \
    "+ coalesce(current_setting('reserved_connections', true)::int, 0)"

DEFINE_CLEANUP(PGconn *, PQfinish);
DEFINE_CLEANUP(PGresult *, PQclear);

/* 0 when the socket is ready for that, -ETIMEDOUT. */
static int
wait_for(PGconn *conn, short events, usec_t deadline)
{
    struct pollfd wanted = {.fd = PQsocket(conn), .events = events};
    const usec_t left = usec_sub(deadline, clock_now());
    int r;

    do
        r = poll(&wanted, 1, (int)((left + MSEC - 1) / MSEC));
    while (r < 0 && errno == EINTR);
    return r > 0 ? 0 : -ETIMEDOUT;
}

static int
capacity_connect(PGconn *conn, usec_t deadline)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    int r = 0;

    if (PQstatus(conn) == CONNECTION_BAD)
        return -ECONNREFUSED;
    while (r == 0 && status != PGRES_POLLING_OK) {
        r = wait_for(conn, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline);
        if (r == 0)
            status = PQconnectPoll(conn);
        if (status == PGRES_POLLING_FAILED)
            r = -ECONNREFUSED;
    }
    return r;
}

static int
capacity_take(const PGresult *result, struct backend_capacity *ret_capacity)
{
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
        return -EPROTO;
    ret_capacity->max_connections = atoi(PQgetvalue(result, 0, 0));
    ret_capacity->reserved = atoi(PQgetvalue(result, 0, 1));
    return 0;
}

static int
capacity_question(PGconn *conn, usec_t deadline, struct backend_capacity *ret_capacity)
{
    CLEANUP(PQclear) PGresult *result = NULL;
    int r = 0;

    if (PQsendQuery(conn, QUESTION) != 1)
        return -EPROTO;
    while (r == 0 && PQisBusy(conn)) {
        r = wait_for(conn, POLLIN, deadline);
        if (r == 0 && PQconsumeInput(conn) != 1)
            r = -EPROTO;
    }
    if (r < 0)
        return r;
    result = PQgetResult(conn);
    return capacity_take(result, ret_capacity);
}

static void
quiet(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

int
backend_ask_capacity(const struct backend_target *target, usec_t patience,
                     struct backend_capacity *ret_capacity, struct backend_error *ret_error)
{
    CLEANUP(conninfo_done) struct conninfo info = {.count = 0};
    CLEANUP(PQfinish) PGconn *conn = NULL;
    const usec_t deadline = clock_now() + patience;
    int r;

    r = conninfo_init(&info, target, NULL);
    if (r == 0)
        conn = PQconnectStartParams(info.keywords, info.values, 0);
    if (conn == NULL)
        return -ENOMEM;
    (void)PQsetNoticeReceiver(conn, quiet, NULL);
    (void)PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
    r = capacity_connect(conn, deadline);
    if (r == 0)
        r = capacity_question(conn, deadline, ret_capacity);
    if (r == -ETIMEDOUT)
        backend_error_set(ret_error, "08001", "no answer within %.0f s",
                          (double)patience / USEC_PER_SEC);
    else if (r < 0)
        login_error_parse(ret_error, PQerrorMessage(conn), true);
    return r;
}
