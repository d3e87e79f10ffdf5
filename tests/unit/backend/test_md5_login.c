/*
 * test_md5_login.c - what is taken off the wire before libpq sees it, and what is left.
 *
 * The server is the other end of a socket; its words come in one piece, or in several.
 */
#include "backend_int.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Of the password "secret" and the user "alice"; with the salt "salt" the answer follows. */
static const char secret[] = "md54a0a68b43b6cd5cf266fa02f196e2371";
static const char question[] = "R\0\0\0\14\0\0\0\5salt";
static const char answer[] = "md5986e2194384c07f4fd1df4b1351b3e68";

#define QUESTION_LEN (sizeof(question) - 1)

struct fixture {
    PGconn *conn;
    int server;
};

static int
listen_somewhere(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* Waits, so that what was sent is there. */
static bool
is_readable(PGconn *conn, int patience)
{
    struct pollfd pollfd = {.fd = PQsocket(conn), .events = POLLIN};

    return poll(&pollfd, 1, patience) == 1;
}

/* libpq has sent its startup packet, and awaits what the server demands. */
static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char conninfo[200], startup[512];
    int listener, port;

    assert_non_null(f);
    listener = listen_somewhere(&port);
    (void)snprintf(conninfo, sizeof(conninfo),
                   "hostaddr=127.0.0.1 port=%d user=alice dbname=shop sslmode=disable "
                   "gssencmode=disable passfile=/dev/null/none",
                   port);
    f->conn = PQconnectStart(conninfo);
    f->server = accept(listener, NULL, NULL);
    assert_true(f->server >= 0);
    (void)close(listener);
    while (PQstatus(f->conn) != CONNECTION_AWAITING_RESPONSE)
        assert_int_not_equal(PQconnectPoll(f->conn), PGRES_POLLING_FAILED);
    assert_true(recv(f->server, startup, sizeof(startup), 0) > 0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    PQfinish(f->conn);
    (void)close(f->server);
    free(f);
    return 0;
}

static void
server_says(struct fixture *f, const void *data, size_t len)
{
    assert_int_equal(send(f->server, data, len, 0), len);
}

static void
expect_answer(struct fixture *f)
{
    char message[64];
    const ssize_t n = recv(f->server, message, sizeof(message), 0);

    assert_int_equal(n, 41);
    assert_memory_equal(message, "p\0\0\0\50", 5);
    assert_string_equal(message + 5, answer);
}

static void
test_question_is_answered(void **state)
{
    struct fixture *f = *state;

    server_says(f, question, QUESTION_LEN);
    assert_true(is_readable(f->conn, -1));
    assert_int_equal(md5_login(f->conn, secret), MD5_LOGIN_ANSWERED);
    expect_answer(f);
    /* libpq sees that it is let in, and no question before. */
    server_says(f, "R\0\0\0\10\0\0\0\0", 9);
    assert_true(is_readable(f->conn, -1));
    assert_int_equal(PQconnectPoll(f->conn), PGRES_POLLING_READING);
    assert_int_equal(PQstatus(f->conn), CONNECTION_AUTH_OK);
}

/* Until it is whole the socket is not even readable, once we have seen that something is missing.
 */
static void
test_question_in_pieces(void **state)
{
    static const size_t ends[] = {1, 4, 8, 9, 12, QUESTION_LEN};
    struct fixture *f = *state;
    size_t sent = 0;

    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        server_says(f, question + sent, ends[i] - sent);
        sent = ends[i];
        if (i == 0 || sent == 9 || sent == QUESTION_LEN)
            assert_true(is_readable(f->conn, -1));
        if (sent < QUESTION_LEN)
            assert_int_equal(md5_login(f->conn, secret), MD5_LOGIN_WAIT);
        assert_int_equal(is_readable(f->conn, 0), sent == QUESTION_LEN);
    }
    assert_int_equal(md5_login(f->conn, secret), MD5_LOGIN_ANSWERED);
    expect_answer(f);
    server_says(f, "R", 1); /* one byte is enough again */
    assert_true(is_readable(f->conn, -1));
}

static void
expect_left_alone(struct fixture *f, const char *message, size_t len, const char *with)
{
    char there[16];

    server_says(f, message, len);
    assert_true(is_readable(f->conn, -1));
    assert_int_equal(md5_login(f->conn, with), MD5_LOGIN_NOT_ASKED);
    assert_int_equal(recv(PQsocket(f->conn), there, sizeof(there), 0), len);
    assert_memory_equal(there, message, len);
}

static void
test_all_else_is_left(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(md5_login(f->conn, secret), MD5_LOGIN_NOT_ASKED); /* nothing there */
    expect_left_alone(f, "R\0\0\0\10\0\0\0\0", 9, secret);
    expect_left_alone(f, "R\0\0\0\10\0\0\0\3", 9, secret);
    expect_left_alone(f, "E", 1, secret);
    expect_left_alone(f, question, QUESTION_LEN, "md5tooshort");
    (void)shutdown(f->server, SHUT_WR);
    assert_true(is_readable(f->conn, -1));
    assert_int_equal(md5_login(f->conn, secret), MD5_LOGIN_NOT_ASKED); /* the end */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_question_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_question_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_else_is_left, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
