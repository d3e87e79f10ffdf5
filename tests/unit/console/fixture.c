#include "fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "config.h"
#include "fd.h"
#include "log.h"
#include "notice.h"
#include "outbox.h"
#include "pg.h"

static const char config_text[] = "[databases]\n"
                                  "shop = host=a,b\n"
                                  "plain =\n"
                                  "[users]\n"
                                  "bob = pool_size=3 max_user_connections=9 pool_mode=statement\n"
                                  "[pgbouncer]\n"
                                  "auth_type = trust\n"
                                  "admin_users = boss\n"
                                  "stats_users = watch\n"
                                  "stats_period = 60\n";

static struct buf transcript = BUF_INIT;

static struct config *
load_config(void)
{
    CLEANUP(config_errors_done) struct config_errors errors = CONFIG_ERRORS_INIT;
    char path[] = "/tmp/pgweir-test-XXXXXX";
    struct config *config = NULL;
    const int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, config_text, sizeof(config_text) - 1), sizeof(config_text) - 1);
    close(fd);
    if (config_load(path, &errors, &config) < 0)
        config_errors_print(&errors, stderr);
    unlink(path);
    assert_non_null(config);
    return config;
}

static void
fixture_reload(void *arg, struct reload_waiter *waiter)
{
    struct fixture *f = arg;

    f->reload = waiter;
}

static void
fixture_shutdown(void *arg, enum engine_shutdown mode)
{
    struct fixture *f = arg;

    f->shutdown = mode;
}

static int
fixture_set(void *arg, const char *key, const char *value, struct buf *message)
{
    struct fixture *f = arg;

    snprintf(f->set_text, sizeof(f->set_text), "%s=%s", key, value);
    if (f->set_message != NULL)
        (void)buf_append_str(message, f->set_message);
    return f->set_result;
}

int
fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct console_hooks hooks = {
        .arg = f,
        .reload = fixture_reload,
        .shutdown = fixture_shutdown,
        .set = fixture_set,
    };

    (void)log_open(&(struct log_options){.level = LOG_LEVEL_FATAL});
    f->loop = fake_loop_new();
    assert_int_equal(outbox_new(f->loop, OUTBOX_SEND, &f->outbox), 0);
    f->config = load_config();
    f->engine.config = f->config;
    assert_int_equal(console_new(&f->engine, f->loop, f->outbox, &hooks, &f->console), 0);
    *state = f;
    return 0;
}

/* As main does it: the engine has stopped, so nothing is in its hands any more. */
int
fixture_teardown(void **state)
{
    struct fixture *f = *state;

    f->engine.mode = ENGINE_IMMEDIATE;
    while (f->engine.request_count > 0)
        fake_engine_answer(&f->engine, NULL);
    if (f->engine.kill != NULL)
        fake_engine_killed(&f->engine, false);
    console_free(f->console);
    assert_int_equal(f->engine.visitors, 0);
    outbox_free(f->outbox);
    loop_free(f->loop);
    config_unref(f->config);
    buf_done(&transcript);
    log_close();
    free(f);
    return 0;
}

int
peer_visit(struct fixture *f, const char *user)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(fd_set_nonblock(ends[1]), 0);
    assert_int_equal(fd_set_nonblock(ends[0]), 0);
    console_visit(f->console, fake_engine_visitor(&f->engine, ends[1], user));
    fake_loop_settle(f->loop);
    return ends[0];
}

int
peer_connect(struct fixture *f, const char *user)
{
    const int fd = peer_visit(f, user);

    assert_non_null(strstr(peer_read(f, fd), " Z "));
    return fd;
}

void
peer_send(struct fixture *f, int fd, const void *data, size_t len)
{
    assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
    fake_loop_settle(f->loop);
}

void
peer_message(struct fixture *f, int fd, char type, const void *body, size_t len)
{
    char message[1024];

    assert_true(len + PG_HEADER_SIZE <= sizeof(message));
    pg_put_header(message, type, (uint32_t)len);
    memcpy(message + PG_HEADER_SIZE, body, len);
    peer_send(f, fd, message, len + PG_HEADER_SIZE);
}

void
peer_query(struct fixture *f, int fd, const char *sql)
{
    peer_message(f, fd, FRONTEND_QUERY, sql, strlen(sql) + 1);
}

void
peer_close(struct fixture *f, int fd)
{
    close(fd);
    fake_loop_settle(f->loop);
}

/* ---- the transcript -------------------------------------------------------------------------- */

static void
write_columns(const char *body)
{
    const int count = pg_get_uint16(body);
    const char *p = body + 2;

    (void)buf_append_str(&transcript, "T(");
    for (int i = 0; i < count; i++) {
        (void)buf_printf(&transcript, "%s%s", i > 0 ? "," : "", p);
        p += strlen(p) + 1 + 18;
    }
    (void)buf_append_str(&transcript, ")");
}

static void
write_row(const char *body)
{
    const int count = pg_get_uint16(body);
    const char *p = body + 2;

    (void)buf_append_str(&transcript, "D(");
    for (int i = 0; i < count; i++) {
        const int32_t len = (int32_t)pg_get_uint32(p);

        p += 4;
        (void)buf_printf(&transcript, "%s%.*s", i > 0 ? "," : "", len < 0 ? 4 : len,
                         len < 0 ? "NULL" : p);
        p += len < 0 ? 0 : len;
    }
    (void)buf_append_str(&transcript, ")");
}

static void
write_error(char type, const char *body, size_t len)
{
    struct notice notice;

    assert_int_equal(notice_parse(body, len, &notice), 0);
    (void)buf_printf(&transcript, "%c(%s %s %s", type, notice.severity, notice.sqlstate,
                     notice.message);
    if (notice.detail != NULL && type == BACKEND_ERROR)
        (void)buf_printf(&transcript, " (%s)", notice.detail);
    (void)buf_append_str(&transcript, ")");
}

static void
write_message(char type, const char *body, size_t len)
{
    switch (type) {
    case BACKEND_ERROR:
    case BACKEND_NOTICE:
        write_error(type, body, len);
        break;
    case BACKEND_COMMAND_COMPLETE:
        (void)buf_printf(&transcript, "C(%s)", body);
        break;
    case BACKEND_PARAMETER_STATUS:
        (void)buf_printf(&transcript, "S(%s=%s)", body, body + strlen(body) + 1);
        break;
    case BACKEND_ROW_DESCRIPTION:
        write_columns(body);
        break;
    case BACKEND_DATA_ROW:
        write_row(body);
        break;
    default:
        (void)buf_append_char(&transcript, type);
        break;
    }
    (void)buf_append_char(&transcript, ' ');
}

/* Reads until nothing comes any more; true at the end of the connection. */
static bool
read_all(struct fixture *f, int fd, struct buf *input)
{
    char data[16384];
    ssize_t n;

    for (;;) {
        n = read(fd, data, sizeof(data));
        if (n > 0) {
            assert_int_equal(buf_append(input, data, (size_t)n), 0);
            fake_loop_settle(f->loop);
        } else
            return n == 0 || errno != EAGAIN;
    }
}

const char *
peer_read(struct fixture *f, int fd)
{
    CLEANUP(buf_done) struct buf input = BUF_INIT;
    const bool eof = read_all(f, fd, &input);
    size_t at = 0;

    buf_clear(&transcript);
    while (at + PG_HEADER_SIZE <= input.len) {
        const char *p = input.data + at;
        const size_t len = pg_get_uint32(p + 1);

        assert_true(at + len + 1 <= input.len);
        write_message(*p, p + PG_HEADER_SIZE, len - 4);
        at += len + 1;
    }
    assert_int_equal(at, input.len); /* never half a message */
    if (eof)
        (void)buf_append_str(&transcript, "EOF ");
    return buf_str(&transcript);
}
