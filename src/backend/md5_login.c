/*
 * md5_login.c - logs in to a server that asks for md5 with the secret that PostgreSQL stores.
 *
 *     server:  R 12 5 salt          "md5" + md5(md5(password + user) + salt), what is inside of the
 *     we:      p 40 "md5..."        outer parentheses being the stored secret
 *     server:  R 8 0
 *
 * libpq knows only how to start from the password. So the question is taken off the wire before
 * libpq sees it, and answered here; what libpq sees next is that the server lets it in. Anything
 * else that the server says is left where it is.
 */
#include "backend_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include "str.h"

#define AUTHENTICATION_MD5 5
#define QUESTION_KNOWN     9  /* so many bytes tell what is asked for */
#define QUESTION_LEN       13 /* with the salt */
#define SALT_LEN           4
#define DIGEST_LEN         16
#define SECRET_LEN         (strlen("md5") + 2 * DIGEST_LEN)

/* The connection's TLS, NULL if it is plain. */
static SSL *
connection_tls(PGconn *conn)
{
    return PQsslInUse(conn) && libpq()->features.tls_usable ? PQsslStruct(conn, "OpenSSL") : NULL;
}

/* What is there to read, up to size bytes, which stays there; less than 1 is nothing. */
static ssize_t
peek(PGconn *conn, unsigned char *data, size_t size)
{
    SSL *tls = connection_tls(conn);

    if (tls == NULL)
        return recv(PQsocket(conn), data, size, MSG_PEEK | MSG_DONTWAIT);
    ERR_clear_error();
    return SSL_peek(tls, data, (int)size);
}

/* The same bytes once more, and for good. */
static bool
drop(PGconn *conn, size_t size)
{
    SSL *tls = connection_tls(conn);
    unsigned char data[QUESTION_LEN];

    if (tls == NULL)
        return recv(PQsocket(conn), data, size, MSG_DONTWAIT) == (ssize_t)size;
    ERR_clear_error();
    return SSL_read(tls, data, (int)size) == (int)size;
}

/* A few bytes on a connection that has sent next to nothing: they go out at once, or never. */
static bool
say(PGconn *conn, const void *data, size_t size)
{
    SSL *tls = connection_tls(conn);

    if (tls == NULL)
        return send(PQsocket(conn), data, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
    ERR_clear_error();
    return SSL_write(tls, data, (int)size) == (int)size;
}

/* Lets the socket be readable only when so many bytes are there. */
static void
set_low_water(PGconn *conn, int bytes)
{
    (void)setsockopt(PQsocket(conn), SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

/* "md5" and 32 hex digits, with a NUL: the question's answer to secret. */
static bool
make_answer(const char *secret, const unsigned char *salt, char *answer)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char text[2 * DIGEST_LEN + SALT_LEN], digest[DIGEST_LEN];
    bool made;

    memcpy(text, secret + strlen("md5"), 2 * DIGEST_LEN);
    memcpy(text + 2 * DIGEST_LEN, salt, SALT_LEN);
    made = EVP_Digest(text, sizeof(text), digest, NULL, EVP_md5(), NULL) == 1;
    explicit_bzero(text, sizeof(text));
    memcpy(answer, "md5", 3);
    answer += 3;
    for (size_t i = 0; made && i < DIGEST_LEN; i++) {
        *answer++ = hex[digest[i] >> 4];
        *answer++ = hex[digest[i] & 15];
    }
    *answer = '\0';
    return made;
}

static bool
send_answer(PGconn *conn, const char *secret, const unsigned char *salt)
{
    struct {
        char type;
        char len[4];
        char text[3 + 2 * DIGEST_LEN + 1];
    } message = {.type = 'p'};
    const uint32_t len = htonl(sizeof(message) - 1);

    memcpy(message.len, &len, sizeof(len));
    return make_answer(secret, salt, message.text) && drop(conn, QUESTION_LEN) &&
           say(conn, &message, sizeof(message));
}

enum md5_login
md5_login(PGconn *conn, const char *secret)
{
    unsigned char question[QUESTION_LEN];
    const ssize_t n = peek(conn, question, sizeof(question));
    uint32_t code;

    if (n < 1 || question[0] != 'R' || strlen(secret) != SECRET_LEN)
        return MD5_LOGIN_NOT_ASKED;
    if (n < QUESTION_KNOWN) {
        set_low_water(conn, QUESTION_KNOWN);
        return MD5_LOGIN_WAIT;
    }
    memcpy(&code, question + 5, sizeof(code));
    if (ntohl(code) == AUTHENTICATION_MD5 && n < QUESTION_LEN) {
        set_low_water(conn, QUESTION_LEN);
        return MD5_LOGIN_WAIT;
    }
    set_low_water(conn, 1);
    if (ntohl(code) != AUTHENTICATION_MD5)
        return MD5_LOGIN_NOT_ASKED;
    return send_answer(conn, secret, question + QUESTION_KNOWN) ? MD5_LOGIN_ANSWERED
                                                                : MD5_LOGIN_FAILED;
}
