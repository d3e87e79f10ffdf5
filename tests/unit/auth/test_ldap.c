/*
 * What the LDAP check says to a server and makes of its answers. The server is a thread that
 * follows a script.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "ldap_check.h"
#include "ldap_options.h"

enum { OP_BIND = 0x60, OP_SEARCH = 0x63, OP_EXTENDED = 0x77, OP_UNBIND = 0x42 };
enum { ANSWER_BIND = 0x61, ANSWER_ENTRY = 0x64, ANSWER_SEARCH = 0x65, ANSWER_EXTENDED = 0x78 };
enum { LDAP_OK = 0, NO_SUCH_OBJECT = 32, WRONG_PASSWORD = 49, IS_BUSY = 51, UNSUPPORTED = 2 };

/* ---- the server ---- */

struct exchange {
    unsigned char op;
    const char *contains[2]; /* bytes of the request */
    int result;
    const char *entries[3]; /* names that a search finds */
};

#define SCRIPT_MAX 4

struct server {
    struct exchange script[SCRIPT_MAX]; /* up to op 0; what comes then is not answered */
    int listener;
    int port;
    pthread_t thread;
    char complaint[200]; /* "" is none; to be read after server_stop */
    size_t n_done;
};

static bool
read_all(int fd, unsigned char *to, size_t len)
{
    return recv(fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

/* One message behind its header; its length, or 0 at the end. */
static size_t
read_message(int fd, unsigned char body[static 1024])
{
    unsigned char head[2], more[4];
    size_t len;

    if (!read_all(fd, head, sizeof(head)) || head[0] != 0x30)
        return 0;
    len = head[1];
    if (len > 0x80) {
        const size_t n = len - 0x80;

        if (n > sizeof(more) || !read_all(fd, more, n))
            return 0;
        len = 0;
        for (size_t i = 0; i < n; i++)
            len = len << 8 | more[i];
    }
    return len <= 1024 && read_all(fd, body, len) ? len : 0;
}

/* Both of the answers, all shorter than 128 bytes: what follows the operation's own length. */
static void
send_answer(int fd, unsigned char id, unsigned char op, const void *body, size_t len)
{
    unsigned char message[256] = {0x30, (unsigned char)(len + 5), 0x02, 1, id,
                                  op,   (unsigned char)len};

    assert_true(len < 120);
    memcpy(message + 7, body, len);
    (void)send(fd, message, len + 7, MSG_NOSIGNAL);
}

static void
send_entry(int fd, unsigned char id, const char *name)
{
    const size_t len = strlen(name);
    unsigned char body[128] = {0x04, (unsigned char)len};

    memcpy(body + 2, name, len);
    body[2 + len] = 0x30; /* no attributes */
    send_answer(fd, id, ANSWER_ENTRY, body, len + 4);
}

static void
send_result(int fd, unsigned char id, unsigned char op, int result)
{
    const unsigned char body[] = {0x0a, 1, (unsigned char)result, 0x04, 0, 0x04, 0};

    send_answer(fd, id, op, body, sizeof(body));
}

static void
answer(int fd, unsigned char id, const struct exchange *exchange)
{
    static const unsigned char answers[256] = {
        [OP_BIND] = ANSWER_BIND, [OP_SEARCH] = ANSWER_SEARCH, [OP_EXTENDED] = ANSWER_EXTENDED};

    for (size_t i = 0; i < 3 && exchange->entries[i] != NULL; i++)
        send_entry(fd, id, exchange->entries[i]);
    send_result(fd, id, answers[exchange->op], exchange->result);
}

static bool
has(const unsigned char *body, size_t len, const char *text)
{
    return text == NULL || memmem(body, len, text, strlen(text)) != NULL;
}

/* Whether the request is the one that the script has. */
static bool
fits(struct server *server, const struct exchange *exchange, const unsigned char *body, size_t len)
{
    const char *missing = NULL;

    for (size_t i = 0; i < 2; i++)
        if (!has(body, len, exchange->contains[i]))
            missing = exchange->contains[i];
    if (body[3] == exchange->op && missing == NULL)
        return true;
    (void)snprintf(server->complaint, sizeof(server->complaint),
                   "step %zu: operation %02x instead of %02x; lacks \"%s\"", server->n_done,
                   body[3], exchange->op, missing != NULL ? missing : "");
    return false;
}

/* A message begins with 02 01 id op. */
static void
serve(struct server *server, int fd)
{
    unsigned char body[1024];
    size_t len;

    while ((len = read_message(fd, body)) > 4 && body[3] != OP_UNBIND) {
        const struct exchange *exchange = &server->script[server->n_done];

        if (server->n_done == SCRIPT_MAX || exchange->op == 0)
            continue;
        if (!fits(server, exchange, body, len))
            return;
        answer(fd, body[2], exchange);
        server->n_done++;
    }
}

static void *
server_thread(void *arg)
{
    struct server *server = arg;
    const int fd = accept(server->listener, NULL, NULL);

    if (fd != -1) {
        serve(server, fd);
        (void)close(fd);
    }
    return NULL;
}

static void
server_start(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(server->listener, 5), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &len), 0);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, server_thread, server), 0);
}

/* Fails unless the script was followed to its end. */
static void
server_stop(struct server *server)
{
    size_t count = 0;

    (void)shutdown(server->listener, SHUT_RDWR);
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    (void)close(server->listener);
    while (count < SCRIPT_MAX && server->script[count].op != 0)
        count++;
    assert_string_equal(server->complaint, "");
    assert_int_equal(server->n_done, count);
}

/* ---- one check ---- */

struct question {
    const char *options; /* behind ldapserver=... */
    const char *user, *password;
    struct exchange script[SCRIPT_MAX];
    int result;
    const char *detail; /* how it begins */
};

static struct ldap_options
options_of(const char *server, int port, const char *more)
{
    CLEANUP(buf_done) struct buf text = BUF_INIT;
    CLEANUP(buf_done) struct buf why = BUF_INIT;
    struct ldap_options options = LDAP_OPTIONS_INIT;

    assert_int_equal(buf_printf(&text, "ldapserver=\"%s\" ldapport=%d %s", server, port, more), 0);
    if (ldap_options_parse(buf_str(&text), &options, &why) < 0)
        fail_msg("%s: %s", buf_str(&text), buf_str(&why));
    return options;
}

static void
expect(const struct question *question)
{
    CLEANUP(ldap_options_done) struct ldap_options options = LDAP_OPTIONS_INIT;
    struct server server = {.listener = -1};
    char detail[OUTSIDE_DETAIL_MAX] = "";
    int r;

    memcpy(server.script, question->script, sizeof(server.script));
    server_start(&server);
    options = options_of("127.0.0.1", server.port, question->options);
    r = ldap_check(&options, question->user, question->password, 20 * SEC, detail);
    server_stop(&server);
    if (r != question->result)
        fail_msg("%s: %d instead of %d, \"%s\"", question->options, r, question->result, detail);
    if (r < 0 && strncmp(detail, question->detail, strlen(question->detail)) != 0)
        fail_msg("%s: \"%s\" instead of \"%s\"", question->options, detail, question->detail);
}

static void
expect_all(const struct question *questions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect(&questions[i]);
}

/* ---- the tests ---- */

#define SIMPLE "ldapprefix=uid= ldapsuffix=\",dc=org\""
#define SEARCH "ldapbasedn=\"dc=org\""

static void
test_simple_bind(void **state)
{
    static const struct question questions[] = {
        {SIMPLE,
         "alice",
         "secret",
         {{OP_BIND, {"uid=alice,dc=org", "secret"}, LDAP_OK, {0}}},
         0,
         NULL},
        {SIMPLE,
         "alice",
         "wrong",
         {{OP_BIND, {"wrong", NULL}, WRONG_PASSWORD, {0}}},
         -EACCES,
         "could not bind: Invalid credentials"},
        {SIMPLE,
         "alice",
         "secret",
         {{OP_BIND, {NULL, NULL}, IS_BUSY, {0}}},
         -EIO,
         "could not bind: Server is busy"},
        /* who is called so is one person, not a place in the tree */
        {SIMPLE,
         "a,dc=b+c",
         "secret",
         {{OP_BIND, {"uid=a\\2cdc\\3db\\2bc,dc=org", NULL}, LDAP_OK, {0}}},
         0,
         NULL},
        {"ldapsuffix=@corp.example",
         "a b",
         "secret",
         {{OP_BIND, {"a b@corp.example", NULL}, LDAP_OK, {0}}},
         0,
         NULL},
        {"ldapprefix=CORP\\",
         "alice",
         "secret",
         {{OP_BIND, {"CORP\\alice", NULL}, LDAP_OK, {0}}},
         0,
         NULL},
    };

    (void)state;
    expect_all(questions, ARRAY_SIZE(questions));
}

static void
test_search_and_bind(void **state)
{
    static const struct question questions[] = {
        {SEARCH,
         "alice",
         "secret",
         {{OP_BIND, {NULL, NULL}, LDAP_OK, {0}},
          {OP_SEARCH,
           {"dc=org", "\x03uid\x04\x05"
                      "alice"},
           LDAP_OK,
           {"cn=a,dc=org"}},
          {OP_BIND, {"cn=a,dc=org", "secret"}, LDAP_OK, {0}}},
         0,
         NULL},
        {SEARCH " ldapbinddn=\"cn=reader\" ldapbindpasswd=key ldapsearchattribute=mail",
         "alice",
         "wrong",
         {{OP_BIND, {"cn=reader", "key"}, LDAP_OK, {0}},
          {OP_SEARCH,
           {"\x04mail\x04\x05"
            "alice",
            NULL},
           LDAP_OK,
           {"cn=a,dc=org"}},
          {OP_BIND, {"cn=a,dc=org", "wrong"}, WRONG_PASSWORD, {0}}},
         -EACCES,
         "could not bind: Invalid credentials"},
        {SEARCH,
         "nobody",
         "secret",
         {{OP_BIND, {NULL, NULL}, LDAP_OK, {0}}, {OP_SEARCH, {NULL, NULL}, LDAP_OK, {0}}},
         -EACCES,
         "the search has found no such user"},
        {SEARCH,
         "alice",
         "secret",
         {{OP_BIND, {NULL, NULL}, LDAP_OK, {0}}, {OP_SEARCH, {NULL, NULL}, 4, {"cn=a", "cn=b"}}},
         -EACCES,
         "the search has found several such users"},
        {SEARCH,
         "alice",
         "secret",
         {{OP_BIND, {NULL, NULL}, LDAP_OK, {0}}, {OP_SEARCH, {NULL, NULL}, LDAP_OK, {""}}},
         -EACCES,
         "the search has found an entry without name"},
        {SEARCH,
         "alice",
         "secret",
         {{OP_BIND, {NULL, NULL}, LDAP_OK, {0}}, {OP_SEARCH, {NULL, NULL}, NO_SUCH_OBJECT, {0}}},
         -EIO,
         "could not search: No such object"},
        {SEARCH " ldapbinddn=\"cn=reader\" ldapbindpasswd=old",
         "alice",
         "secret",
         {{OP_BIND, {NULL, NULL}, WRONG_PASSWORD, {0}}},
         -EIO,
         "could not bind for the search: Invalid credentials"},
    };

    (void)state;
    expect_all(questions, ARRAY_SIZE(questions));
}

/* What a user is called cannot change what is searched for. The server sees what was meant. */
static void
test_filter(void **state)
{
    static const struct question questions[] = {
        {SEARCH,
         "a*)(uid=\\",
         "secret",
         {{OP_BIND, {NULL, NULL}, LDAP_OK, {0}},
          {OP_SEARCH,
           {"\x03uid\x04\x09"
            "a*)(uid=\\",
            NULL},
           LDAP_OK,
           {0}}},
         -EACCES,
         "the search has found no such user"},
        {SEARCH " ldapsearchfilter=\"(|(uid=$username)(mail=$username@org))\"",
         "al*",
         "secret",
         {{OP_BIND, {NULL, NULL}, LDAP_OK, {0}},
          {OP_SEARCH,
           {"\x03uid\x04\x03"
            "al*",
            "\x04mail\x04\x07"
            "al*@org"},
           LDAP_OK,
           {0}}},
         -EACCES,
         "the search has found no such user"},
    };

    (void)state;
    expect_all(questions, ARRAY_SIZE(questions));
}

/* To a server an empty password means "as nobody", which it may well allow: it is never asked. */
static void
test_empty_password(void **state)
{
    static const struct question questions[] = {
        {SIMPLE, "alice", "", {{0, {0}, 0, {0}}}, -EACCES, "the password is empty"},
        {SEARCH, "alice", "", {{0, {0}, 0, {0}}}, -EACCES, "the password is empty"},
    };

    (void)state;
    expect_all(questions, ARRAY_SIZE(questions));
}

/* Without TLS the password is not sent. */
static void
test_starttls_refused(void **state)
{
    static const struct question question = {
        SIMPLE " ldaptls=1",
        "alice",
        "secret",
        {{OP_EXTENDED, {"1.3.6.1.4.1.1466.20037", NULL}, UNSUPPORTED, {0}}},
        -EIO,
        "could not begin TLS: Protocol error"};

    (void)state;
    expect(&question);
}

/* The first server is not there, the second is. */
static void
test_second_server(void **state)
{
    CLEANUP(ldap_options_done) struct ldap_options options = LDAP_OPTIONS_INIT;
    struct server server = {.script = {{OP_BIND, {"alice", "secret"}, LDAP_OK, {0}}}};
    char detail[OUTSIDE_DETAIL_MAX] = "";
    char hosts[64];

    (void)state;
    server_start(&server);
    (void)snprintf(hosts, sizeof(hosts), "127.0.0.1:1  127.0.0.1:%d", server.port);
    options = options_of(hosts, 1, SIMPLE);
    assert_int_equal(ldap_check(&options, "alice", "secret", 20 * SEC, detail), 0);
    server_stop(&server);
}

static void
test_no_server(void **state)
{
    CLEANUP(ldap_options_done) struct ldap_options options = options_of("127.0.0.1 ::1", 1, SIMPLE);
    char detail[OUTSIDE_DETAIL_MAX] = "";

    (void)state;
    assert_int_equal(ldap_check(&options, "alice", "secret", 20 * SEC, detail), -EIO);
    assert_string_equal(detail, "could not bind: Can't contact LDAP server");
}

/* A server that says nothing is not waited for longer than the timeout, in no step. */
static void
test_silent_server(void **state)
{
    static const char *const options[] = {SIMPLE, SIMPLE " ldaptls=1", SIMPLE " ldapscheme=ldaps",
                                          SEARCH};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        CLEANUP(ldap_options_done) struct ldap_options parsed = LDAP_OPTIONS_INIT;
        struct server server = {.listener = -1};
        char detail[OUTSIDE_DETAIL_MAX] = "";

        server_start(&server);
        parsed = options_of("127.0.0.1", server.port, options[i]);
        assert_int_equal(ldap_check(&parsed, "alice", "secret", 50 * MSEC, detail), -EIO);
        assert_string_not_equal(detail, "");
        server_stop(&server);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simple_bind),      cmocka_unit_test(test_search_and_bind),
        cmocka_unit_test(test_filter),           cmocka_unit_test(test_empty_password),
        cmocka_unit_test(test_starttls_refused), cmocka_unit_test(test_second_server),
        cmocka_unit_test(test_no_server),        cmocka_unit_test(test_silent_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
