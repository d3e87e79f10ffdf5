/* A session's states: what it answers, what waits, and that every way out gives all back. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.h"
#include "fixture.h"
#include "list.h"
#include "macros.h"
#include "pg.h"

static void
test_greeting(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_visit(f, "boss");

    assert_string_equal(peer_read(f, fd),
                        "R S(server_version=1.26.0/pgweir) S(client_encoding=UTF8) "
                        "S(server_encoding=UTF8) S(DateStyle=ISO) S(TimeZone=GMT) "
                        "S(standard_conforming_strings=on) S(is_superuser=on) K Z ");
    peer_message(f, fd, 'X', "", 0);
    assert_string_equal(peer_read(f, fd), "EOF ");
    close(fd);
}

static void
test_stranger_is_not_allowed(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_visit(f, "alice");

    assert_string_equal(peer_read(f, fd), "E(FATAL 08P01 not allowed) EOF ");
    close(fd);
}

/* Statements that are answered at once, in the order of the transcript. */
static const struct {
    const char *user, *sql, *answer;
} at_once[] = {
    {"boss", "SHOW VERSION", "T(version) D(" CONSOLE_VERSION ") C(SHOW) Z "},
    {"watch", "select version;", "T(version) D(" CONSOLE_VERSION ") C(SHOW) Z "},
    {"boss", "show state", "T(key,value) D(active,yes) D(paused,no) D(suspended,no) C(SHOW) Z "},
    {"watch", "show help", "N(NOTICE 00000 Console usage) C(SHOW) Z "},
    {"watch", "SHOW timezone", "T(timezone) D(GMT) C(SHOW) Z "},
    {"watch", "SHOW client_encoding;", "T(client_encoding) D(UTF-8) C(SHOW) Z "},
    {"watch", "SET DateStyle = 'German'", "N(NOTICE 00000 SET ignored) C(SET) Z "},
    {"watch", "set extra_float_digits to 3", "N(NOTICE 00000 SET ignored) C(SET) Z "},
    {"watch", "SHOW transaction isolation level;",
     "T(transaction_isolation) D(read committed) C(SHOW) Z "},
    {"watch", "select 1", "T(?column?) D(1) C(SELECT 1) Z "},
    {"watch", " SELECT\n version() ;", "T(version) D(" CONSOLE_VERSION ") C(SELECT 1) Z "},
    {"watch", "select current_schema()", "T(current_schema) D(NULL) C(SELECT 1) Z "},
    {"watch", "BEGIN READ ONLY", "C(BEGIN) Z "},
    {"watch", "beginning", "E(ERROR 08P01 invalid command 'beginning', use SHOW HELP;) Z "},
    {"watch", "unlisten *", "C(UNLISTEN) Z "},
    {"watch", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
     "N(NOTICE 00000 SET ignored) C(SET) Z "},
    {"boss", "", "I Z "},
    {"boss", "show", "E(ERROR 08P01 invalid command 'show', use SHOW HELP;) Z "},
    {"boss", "show nothing;", "E(ERROR 08P01 invalid command 'show nothing;', use SHOW HELP;) Z "},
    {"boss", "dance", "E(ERROR 08P01 invalid command 'dance', use SHOW HELP;) Z "},
    {"boss", "set x", "E(ERROR 08P01 invalid command 'set x', use SHOW HELP;) Z "},
    {"boss", "reload now", "E(ERROR 08P01 invalid command 'reload now', use SHOW HELP;) Z "},
    {"boss", "shutdown now", "E(ERROR 08P01 invalid command 'shutdown now', use SHOW HELP;) Z "},
    {"boss", "commandmuchtoolong", "E(ERROR 08P01 bad arguments) Z "},
    {"watch", "PAUSE", "E(ERROR 08P01 admin access needed) Z "},
    {"watch", "RESUME", "E(ERROR 08P01 admin access needed) Z "},
    {"watch", "RELOAD", "E(ERROR 08P01 admin access needed) Z "},
    {"watch", "SHUTDOWN", "E(ERROR 08P01 admin access needed) Z "},
    {"watch", "SET max_client_conn = 5", "E(ERROR 08P01 admin access needed) Z "},
    {"boss", "PAUSE pgbouncer", "E(ERROR 08P01 cannot pause admin db: pgbouncer) Z "},
    {"boss", "PAUSE pgweir", "E(ERROR 08P01 cannot pause admin db: pgweir) Z "},
    {"boss", "SHUTDOWN WAIT_FOR_CLIENTS", "C(SHUTDOWN) Z "},
    {"boss", "shutdown wait_for_servers;", "C(SHUTDOWN) Z "},
    {"boss", "RESUME shop", "C(RESUME) Z "},
};

static void
test_statements(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(at_once); i++) {
        const int fd = peer_connect(f, at_once[i].user);

        peer_query(f, fd, at_once[i].sql);
        assert_string_equal(peer_read(f, fd), at_once[i].answer);
        peer_close(f, fd);
    }
    assert_int_equal(f->engine.visitors, 0);
}

static void
test_set(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    peer_query(f, fd, "SET query_timeout = '5s'");
    assert_string_equal(f->set_text, "query_timeout=5s");
    assert_string_equal(peer_read(f, fd), "C(SET query_timeout=5s) Z ");
    f->set_message = "needs a restart";
    peer_query(f, fd, "set listen_port to 7000;");
    assert_string_equal(peer_read(f, fd),
                        "N(NOTICE 00000 needs a restart) C(SET listen_port=7000) Z ");
    f->set_result = -22;
    f->set_message = "unknown key";
    peer_query(f, fd, "set lisen_port = 7000");
    assert_string_equal(peer_read(f, fd), "E(ERROR 08P01 SET failed (unknown key)) Z ");
    peer_close(f, fd);
}

/* ---- the protocol ---------------------------------------------------------------------------- */

static void
test_unknown_packet(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    peer_message(f, fd, 'd', "x", 1);
    assert_string_equal(peer_read(f, fd),
                        "E(ERROR 08P01 unsupported packet type for admin console: 100) Z "
                        "E(FATAL 08P01 bad packet) EOF ");
    close(fd);
}

static void
test_broken_messages(void **state)
{
    static const struct {
        const char *data;
        size_t len;
        const char *reason;
    } broken[] = {
        {"Q\0\0\0\3", 5, "bad packet header"},     {"Q\0\1\0\1", 5, "bad packet header"},
        {"Q\377\0\0\0", 5, "bad packet header"},   {"Q\0\0\0\4", 5, "incomplete query"},
        {"Q\0\0\0\10show", 9, "incomplete query"}, {"Q\0\0\0\7a\0b", 8, "incomplete query"},
    };
    struct fixture *f = *state;
    char answer[128];

    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        const int fd = peer_connect(f, "boss");

        peer_send(f, fd, broken[i].data, broken[i].len);
        snprintf(answer, sizeof(answer), "E(FATAL 08P01 %s) EOF ", broken[i].reason);
        assert_string_equal(peer_read(f, fd), answer);
        close(fd);
    }
}

static void
test_message_in_pieces(void **state)
{
    static const char message[] = "Q\0\0\0\16show help";
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    for (size_t i = 0; i < sizeof(message); i++) {
        assert_string_equal(peer_read(f, fd), "");
        peer_send(f, fd, message + i, 1);
    }
    assert_string_equal(peer_read(f, fd), "N(NOTICE 00000 Console usage) C(SHOW) Z ");
    peer_close(f, fd);
}

/* ---- PAUSE, RESUME --------------------------------------------------------------------------- */

static void
test_pause_waits_and_so_does_what_follows(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    peer_query(f, fd, "PAUSE shop");
    assert_string_equal(f->engine.database, "shop");
    peer_query(f, fd, "SHOW STATE");
    peer_query(f, fd, "RESUME shop");
    assert_string_equal(peer_read(f, fd), "");
    fake_engine_drained(&f->engine);
    fake_loop_settle(f->loop);
    assert_string_equal(peer_read(f, fd),
                        "C(PAUSE) Z T(key,value) D(active,no) D(paused,yes) D(suspended,no) "
                        "C(SHOW) Z C(RESUME) Z ");
    peer_close(f, fd);
    assert_int_equal(f->engine.resumes, 1);
}

static void
test_pause_refused(void **state)
{
    static const struct {
        enum engine_result result;
        const char *sql, *answer;
    } refusals[] = {
        {ENGINE_ALREADY, "PAUSE", "E(ERROR 08P01 already suspended/paused) Z "},
        {ENGINE_NO_SUCH_DATABASE, "PAUSE x", "E(ERROR 08P01 no such database: x) Z "},
        {ENGINE_SHUTTING_DOWN, "PAUSE", "E(ERROR 08P01 pooler is shutting down) Z "},
        {ENGINE_NO_MEMORY, "PAUSE", "E(ERROR 53200 out of memory) Z "},
        {ENGINE_NOT_PAUSED, "RESUME", "E(ERROR 08P01 pooler is not paused/suspended) Z "},
        {ENGINE_NOT_PAUSED, "RESUME x", "E(ERROR 08P01 database x is not paused) Z "},
        {ENGINE_NO_SUCH_DATABASE, "RESUME x", "E(ERROR 08P01 no such database: x) Z "},
    };
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        f->engine.pause_result = refusals[i].result;
        f->engine.resume_result = refusals[i].result;
        peer_query(f, fd, refusals[i].sql);
        assert_string_equal(peer_read(f, fd), refusals[i].answer);
    }
    peer_query(f, fd, "show version"); /* it is not stuck */
    assert_non_null(strstr(peer_read(f, fd), "C(SHOW) Z "));
    peer_close(f, fd);
    assert_int_equal(f->engine.resumes, 0);
}

/* Who leaves while his PAUSE waits does not leave the pooler paused. */
static void
test_leaving_a_pause_resumes(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    peer_query(f, fd, "PAUSE shop");
    peer_close(f, fd);
    assert_int_equal(f->engine.visitors, 0);
    assert_int_equal(f->engine.resumes, 1);
    assert_string_equal(f->engine.database, "shop");
}

/* But who leaves after it was done does. */
static void
test_leaving_after_a_pause(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    peer_query(f, fd, "PAUSE");
    fake_engine_drained(&f->engine);
    peer_close(f, fd);
    assert_int_equal(f->engine.visitors, 0);
    assert_int_equal(f->engine.resumes, 0);
}

static void
test_resume_by_another_session(void **state)
{
    struct fixture *f = *state;
    const int waiting = peer_connect(f, "boss");
    const int other = peer_connect(f, "boss");

    peer_query(f, waiting, "PAUSE");
    peer_query(f, other, "RESUME shop"); /* another matter */
    assert_string_equal(peer_read(f, waiting), "");
    peer_query(f, other, "RESUME");
    assert_string_equal(peer_read(f, other), "C(RESUME) Z C(RESUME) Z ");
    assert_string_equal(peer_read(f, waiting),
                        "E(ERROR 08P01 another session has ended the pause) Z ");
    peer_close(f, waiting);
    peer_close(f, other);
    assert_int_equal(f->engine.resumes, 2);
}

/* A CancelRequest with the session's key, from its greeting. */
static void
test_cancel_of_a_pause(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_visit(f, "boss");
    char greeting[1024];
    const ssize_t len = read(fd, greeting, sizeof(greeting));
    const char *key = greeting + len - 6 - 8; /* ReadyForQuery comes behind it */
    const uint32_t pid = pg_get_uint32(key), secret = pg_get_uint32(key + 4);

    assert_true(len > 20);
    assert_int_equal(key[-5], 'K');
    assert_true(console_cancel(f->console, pid, secret)); /* idle: nothing happens */
    assert_string_equal(peer_read(f, fd), "");
    peer_query(f, fd, "PAUSE shop");
    assert_false(console_cancel(f->console, pid, secret + 1));
    assert_true(console_cancel(f->console, pid, secret));
    fake_loop_settle(f->loop);
    assert_string_equal(peer_read(f, fd),
                        "E(ERROR 57014 canceling statement due to user request) Z ");
    assert_int_equal(f->engine.resumes, 1);
    peer_close(f, fd);
}

/* ---- RELOAD, SHUTDOWN ------------------------------------------------------------------------ */

static void
test_reload(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");

    peer_query(f, fd, "RELOAD");
    assert_non_null(f->reload);
    assert_string_equal(peer_read(f, fd), "");
    f->reload->done(f->reload, NULL);
    fake_loop_settle(f->loop);
    assert_string_equal(peer_read(f, fd), "C(RELOAD) Z ");
    peer_query(f, fd, "reload;");
    f->reload->done(f->reload, "pgweir.conf:3: unknown key");
    fake_loop_settle(f->loop);
    assert_string_equal(peer_read(f, fd),
                        "E(ERROR F0000 RELOAD failed, see logs for additional details "
                        "(pgweir.conf:3: unknown key)) Z ");
    peer_close(f, fd);
}

/* It is known that the peer has left only when its turn to read comes. */
static void
test_leaving_a_reload(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");
    struct list waiting = LIST_INIT(waiting);

    peer_query(f, fd, "RELOAD");
    list_push_back(&waiting, &f->reload->link);
    peer_close(f, fd);
    assert_int_equal(f->engine.visitors, 1);
    list_remove(&f->reload->link);
    f->reload->done(f->reload, NULL);
    fake_loop_settle(f->loop);
    assert_int_equal(f->engine.visitors, 0);
}

static void
test_the_end_during_a_reload(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "boss");
    struct list waiting = LIST_INIT(waiting);

    peer_query(f, fd, "RELOAD");
    list_push_back(&waiting, &f->reload->link);
    console_free(f->console);
    f->console = NULL;
    assert_true(list_empty(&waiting));
    assert_int_equal(f->engine.visitors, 0);
    close(fd);
}

/* No answer but the end of the connection. */
static void
test_shutdown(void **state)
{
    struct fixture *f = *state;
    int fd = peer_connect(f, "boss");

    peer_query(f, fd, "SHUTDOWN");
    assert_int_equal(f->shutdown, ENGINE_IMMEDIATE);
    assert_string_equal(peer_read(f, fd), "");
    peer_close(f, fd);
    assert_int_equal(f->engine.visitors, 0);
    fd = peer_connect(f, "boss");
    peer_query(f, fd, "SHUTDOWN wait_for_clients");
    assert_int_equal(f->shutdown, ENGINE_WAIT_FOR_CLIENTS);
    peer_query(f, fd, "SHUTDOWN wait_for_servers");
    assert_int_equal(f->shutdown, ENGINE_WAIT_FOR_SERVERS);
    peer_close(f, fd);
}

/* ---- waiting for the workers ----------------------------------------------------------------- */

static void
test_snapshot_fails(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "watch");

    peer_query(f, fd, "SHOW POOLS");
    assert_string_equal(peer_read(f, fd), "");
    fake_engine_answer(&f->engine, NULL);
    fake_loop_settle(f->loop);
    assert_string_equal(peer_read(f, fd), "E(ERROR 53200 out of memory) Z ");
    peer_close(f, fd);
}

static void
test_leaving_before_the_snapshot(void **state)
{
    struct fixture *f = *state;
    const int fd = peer_connect(f, "watch");

    peer_query(f, fd, "SHOW POOLS");
    peer_close(f, fd);
    fake_engine_answer(&f->engine, calloc(1, sizeof(struct snapshot)));
    fake_loop_settle(f->loop);
    assert_int_equal(f->engine.visitors, 0);
}

/* A peer who reads late gets all there is, and is not executed for in advance. */
static void
test_slow_reader(void **state)
{
    enum { ROWS = 20000 };
    struct fixture *f = *state;
    const int fd = peer_connect(f, "watch");
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    const char *answer;
    size_t rows = 0;

    snapshot->tasks = calloc(ROWS, sizeof(*snapshot->tasks));
    snapshot->task_count = ROWS;
    peer_query(f, fd, "SHOW TASKS");
    peer_query(f, fd, "SHOW TASKS");
    assert_int_equal(f->engine.request_count, 1);
    fake_engine_answer(&f->engine, snapshot);
    fake_loop_settle(f->loop);
    assert_int_equal(f->engine.request_count, 0);
    answer = peer_read(f, fd);
    for (const char *p = answer; (p = strstr(p, "D(")) != NULL; p++)
        rows++;
    assert_int_equal(rows, ROWS);
    assert_non_null(strstr(answer, "C(SHOW) Z "));
    assert_int_equal(f->engine.request_count, 1);
    fake_engine_answer(&f->engine, NULL);
    fake_loop_settle(f->loop);
    assert_string_equal(peer_read(f, fd), "E(ERROR 53200 out of memory) Z ");
    peer_close(f, fd);
}

static void
test_slow_reader_leaves(void **state)
{
    enum { ROWS = 20000 };
    struct fixture *f = *state;
    const int fd = peer_connect(f, "watch");
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

    snapshot->tasks = calloc(ROWS, sizeof(*snapshot->tasks));
    snapshot->task_count = ROWS;
    peer_query(f, fd, "SHOW TASKS");
    fake_engine_answer(&f->engine, snapshot);
    fake_loop_settle(f->loop);
    peer_close(f, fd);
    assert_int_equal(f->engine.visitors, 0);
}

/* The console ends while its sessions are in every state. */
static void
test_the_end_in_every_state(void **state)
{
    struct fixture *f = *state;
    const char *const statements[] = {"", "SHOW POOLS", "RELOAD", "PAUSE", "SHUTDOWN"};
    int fds[ARRAY_SIZE(statements)];

    for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
        fds[i] = peer_connect(f, "boss");
        peer_query(f, fds[i], statements[i]);
    }
    f->engine.mode = ENGINE_IMMEDIATE;
    fake_engine_answer(&f->engine, NULL);
    console_free(f->console);
    f->console = NULL;
    assert_int_equal(f->engine.resumes, 0);
    fake_loop_settle(f->loop);
    for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
        assert_non_null(strstr(peer_read(f, fds[i]), "EOF "));
        close(fds[i]);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_greeting),
        TEST(test_stranger_is_not_allowed),
        TEST(test_statements),
        TEST(test_set),
        TEST(test_unknown_packet),
        TEST(test_broken_messages),
        TEST(test_message_in_pieces),
        TEST(test_pause_waits_and_so_does_what_follows),
        TEST(test_pause_refused),
        TEST(test_leaving_a_pause_resumes),
        TEST(test_leaving_after_a_pause),
        TEST(test_resume_by_another_session),
        TEST(test_cancel_of_a_pause),
        TEST(test_reload),
        TEST(test_leaving_a_reload),
        TEST(test_the_end_during_a_reload),
        TEST(test_shutdown),
        TEST(test_snapshot_fails),
        TEST(test_leaving_before_the_snapshot),
        TEST(test_slow_reader),
        TEST(test_slow_reader_leaves),
        TEST(test_the_end_in_every_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
