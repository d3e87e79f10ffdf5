/*
 * peer.h - the other end of a connection, played by the test: an application, or PostgreSQL.
 *
 * Sending only writes. Expecting first lets all loops do what they can, then looks at what has
 * come, message by message; a failure is reported at the line of the caller.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "list.h"
#include "pg.h"

struct fixture;

struct peer {
    struct list link;
    struct fixture *fixture; /* borrowed: whose loops are settled */
    int fd;                  /* owned; -1 when closed */
    struct buf input;
    bool ended;                                       /* the daemon has closed the connection */
    uint32_t pid;                                     /* of a server: its process */
    char key[PG_CANCEL_PID_SIZE + PG_CANCEL_KEY_MAX]; /* of a client: its BackendKeyData */
    size_t key_len;
};

/* Takes fd over. The peer is freed by the fixture. */
struct peer *peer_new(struct fixture *fixture, int fd);
void peer_free(struct peer *peer);
/* Hangs up. */
void peer_close(struct peer *peer);

void peer_send_bytes(struct peer *peer, const void *data, size_t len);
/* A message with this body. */
void peer_send_body(struct peer *peer, char type, const void *body, size_t len);
/* A message whose body is str with its NUL; without a body for NULL. */
void peer_send(struct peer *peer, char type, const char *str);
/* Messages of these types, without bodies. */
void peer_send_types(struct peer *peer, const char *types);
/* As many bytes as the socket takes. Returns how many. */
size_t peer_send_some(struct peer *peer, const void *data, size_t len);

/* What a server says. */
void peer_send_ready(struct peer *peer, char status);
/* CommandComplete and ReadyForQuery. */
void peer_send_complete(struct peer *peer, const char *tag, char status);
void peer_send_error(struct peer *peer, const char *severity, const char *sqlstate,
                     const char *message);
void peer_send_parameter(struct peer *peer, const char *name, const char *value);

/* The next message is of this type, and text (if not NULL) stands in it. */
#define peer_expect(peer, type, text) peer_expect_at(peer, type, text, __FILE__, __LINE__)
/* The same for the types of all the next messages, in order: "RSSSKZ". */
#define peer_expect_types(peer, types) peer_expect_types_at(peer, types, __FILE__, __LINE__)
/* ErrorResponse of this severity and SQLSTATE, and text stands in one of its fields. */
#define peer_expect_error(peer, severity, sqlstate, text)                                          \
    peer_expect_error_at(peer, severity, sqlstate, text, __FILE__, __LINE__)
/* ReadyForQuery with this status. */
#define peer_expect_ready(peer, status) peer_expect_ready_at(peer, status, __FILE__, __LINE__)
/* Nothing has come, and the connection is open. */
#define peer_expect_silence(peer) peer_expect_silence_at(peer, __FILE__, __LINE__)
/* The connection was closed, and nothing came before. */
#define peer_expect_end(peer) peer_expect_end_at(peer, __FILE__, __LINE__)
/* A client's answer to its login: the key is kept. */
#define peer_expect_login(peer) peer_expect_login_at(peer, __FILE__, __LINE__)
/* A query that the client sends, and that comes to the server next. */
#define peer_ask(client, server, sql) peer_ask_at(client, server, sql, __FILE__, __LINE__)
/* CommandComplete and ReadyForQuery that the server sends, and that come to the client next. */
#define peer_answer(server, client, tag, status)                                                   \
    peer_answer_at(server, client, tag, status, __FILE__, __LINE__)
/* Both: a whole query that is answered with its text, outside of transactions. */
#define peer_round_trip(client, server, sql)                                                       \
    (peer_ask(client, server, sql), peer_answer(server, client, sql, 'I'))
/* A transaction of the client's on the server, and its end. */
#define peer_begin(client, server)                                                                 \
    (peer_ask(client, server, "begin"), peer_answer(server, client, "BEGIN", 'T'))
#define peer_commit(client, server)                                                                \
    (peer_ask(client, server, "commit"), peer_answer(server, client, "COMMIT", 'I'))
/* Exactly these bytes come next. */
#define peer_expect_bytes(peer, data, len) peer_expect_bytes_at(peer, data, len, __FILE__, __LINE__)

void peer_expect_at(struct peer *peer, char type, const char *text, const char *file, int line);
void peer_expect_types_at(struct peer *peer, const char *types, const char *file, int line);
void peer_expect_error_at(struct peer *peer, const char *severity, const char *sqlstate,
                          const char *text, const char *file, int line);
void peer_expect_ready_at(struct peer *peer, char status, const char *file, int line);
void peer_expect_silence_at(struct peer *peer, const char *file, int line);
void peer_expect_end_at(struct peer *peer, const char *file, int line);
void peer_expect_login_at(struct peer *peer, const char *file, int line);
void peer_expect_bytes_at(struct peer *peer, const void *data, size_t len, const char *file,
                          int line);
void peer_ask_at(struct peer *client, struct peer *server, const char *sql, const char *file,
                 int line);
void peer_answer_at(struct peer *server, struct peer *client, const char *tag, char status,
                    const char *file, int line);
/* Reads what has come into peer->input, without settling; returns how many bytes it holds. */
size_t peer_fill(struct peer *peer);
