#include "link.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "notice.h"
#include "pg.h"

#define MESSAGE_MAX 8192
#define NONCE_SIZE  18

/* A message from the server, or one that is being written. */
struct message {
    char type;
    size_t len;
    char body[MESSAGE_MAX + 1]; /* always followed by a zero byte */
};

/* Bytes --------------------------------------------------------------------------------------- */

static void
send_all(struct link *link, const char *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = link->tls != NULL ? SSL_write(link->tls, data, (int)len)
                                            : send(link->fd, data, len, MSG_NOSIGNAL);

        if (n <= 0)
            err(1, "could not send");
        data += n;
        len -= (size_t)n;
    }
}

static void
receive_all(struct link *link, char *data, size_t len)
{
    while (len > 0) {
        const ssize_t n =
            link->tls != NULL ? SSL_read(link->tls, data, (int)len) : recv(link->fd, data, len, 0);

        if (n <= 0)
            errx(1, "the server has closed the connection");
        data += n;
        len -= (size_t)n;
    }
}

static const char *
error_text(const struct message *message)
{
    struct notice notice;

    return notice_parse(message->body, message->len, &notice) == 0 ? notice.message : "an error";
}

/* The next message but those that inform only; an error is the end. */
static void
receive_message(struct link *link, struct message *message)
{
    char header[PG_HEADER_SIZE];

    do {
        receive_all(link, header, sizeof(header));
        message->type = header[0];
        message->len = pg_get_uint32(header + 1) - 4;
        if (message->len > MESSAGE_MAX)
            errx(1, "a message of %zu bytes", message->len);
        receive_all(link, message->body, message->len);
        message->body[message->len] = '\0';
        if (message->type == BACKEND_ERROR)
            errx(1, "%s", error_text(message));
    } while (message->type == BACKEND_PARAMETER_STATUS || message->type == BACKEND_NOTICE);
}

/* What the server wants next. */
static enum auth_code
receive_auth(struct link *link, struct message *message)
{
    receive_message(link, message);
    if (message->type != BACKEND_AUTHENTICATION || message->len < 4)
        errx(1, "not a login: message '%c'", message->type);
    return (enum auth_code)pg_get_uint32(message->body);
}

static void
expect_auth(struct link *link, struct message *message, enum auth_code expected)
{
    const enum auth_code code = receive_auth(link, message);

    if (code != expected)
        errx(1, "authentication %d, not %d", (int)code, (int)expected);
}

static void
send_message(struct link *link, char type, const void *body, size_t len)
{
    char data[PG_HEADER_SIZE + MESSAGE_MAX];

    data[0] = type;
    pg_put_uint32(data + 1, (uint32_t)len + 4);
    memcpy(data + PG_HEADER_SIZE, body, len);
    send_all(link, data, PG_HEADER_SIZE + len);
}

/* SCRAM --------------------------------------------------------------------------------------- */

static void
hmac(const unsigned char *key, const char *text, size_t len, unsigned char ret[HASH_SIZE])
{
    unsigned size;

    if (HMAC(EVP_sha256(), key, HASH_SIZE, (const unsigned char *)text, len, ret, &size) == NULL)
        errx(1, "HMAC failed");
}

/* The hash that takes thousands of rounds; once, as long as the server asks for the same one. */
static void
salt_password(struct link_memory *memory, const char *password, const char *salt, int iterations)
{
    unsigned char bytes[sizeof(memory->salt)];
    int len = (int)strlen(salt);

    if (iterations == memory->iterations && strcmp(salt, memory->salt) == 0)
        return;
    if ((size_t)len >= sizeof(memory->salt) || len % 4 != 0)
        errx(1, "a strange salt: %s", salt);
    memcpy(memory->salt, salt, (size_t)len + 1);
    memory->iterations = iterations;
    EVP_DecodeBlock(bytes, (const unsigned char *)salt, len);
    len = len / 4 * 3 - (salt[len - 1] == '=') - (salt[len - 2] == '=');
    if (PKCS5_PBKDF2_HMAC(password, (int)strlen(password), bytes, len, iterations, EVP_sha256(),
                          HASH_SIZE, memory->salted) != 1)
        errx(1, "PBKDF2 failed");
}

/* The proof that we know the password, for the three messages that it is about. */
static void
prove(const struct link_memory *memory, const char *messages, char ret_proof[static 64])
{
    unsigned char client_key[HASH_SIZE], stored_key[HASH_SIZE], signature[HASH_SIZE];

    hmac(memory->salted, "Client Key", 10, client_key);
    EVP_Digest(client_key, HASH_SIZE, stored_key, NULL, EVP_sha256(), NULL);
    hmac(stored_key, messages, strlen(messages), signature);
    for (int i = 0; i < HASH_SIZE; i++)
        client_key[i] ^= signature[i];
    EVP_EncodeBlock((unsigned char *)ret_proof, client_key, HASH_SIZE);
}

/* "SCRAM-SHA-256", then the client's first message: without channel binding, which few use. */
static void
send_first(struct link *link, const char *bare)
{
    char body[256] = "SCRAM-SHA-256";
    const size_t len = strlen(body) + 1;
    const int size = snprintf(body + len + 4, sizeof(body) - len - 4, "n,,%s", bare);

    pg_put_uint32(body + len, (uint32_t)size);
    send_message(link, FRONTEND_PASSWORD, body, len + 4 + (size_t)size);
}

static void
log_in_by_scram(struct link *link, const struct link_target *target, struct link_memory *memory)
{
    unsigned char random[NONCE_SIZE];
    char nonce[NONCE_SIZE * 2], bare[64], salt[128], full_nonce[128], final[512], proof[64];
    char messages[2 * MESSAGE_MAX];
    struct message message;
    int iterations;

    RAND_bytes(random, sizeof(random));
    EVP_EncodeBlock((unsigned char *)nonce, random, sizeof(random));
    snprintf(bare, sizeof(bare), "n=,r=%s", nonce);
    send_first(link, bare);

    expect_auth(link, &message, AUTH_SASL_CONTINUE);
    if (sscanf(message.body + 4, "r=%127[^,],s=%127[^,],i=%d", full_nonce, salt, &iterations) != 3)
        errx(1, "not SCRAM: %s", message.body + 4);
    salt_password(memory, target->password, salt, iterations);

    snprintf(final, sizeof(final), "c=biws,r=%s", full_nonce);
    snprintf(messages, sizeof(messages), "%s,%s,%s", bare, message.body + 4, final);
    prove(memory, messages, proof);
    strncat(final, ",p=", sizeof(final) - strlen(final) - 1);
    strncat(final, proof, sizeof(final) - strlen(final) - 1);
    send_message(link, FRONTEND_PASSWORD, final, strlen(final));
    expect_auth(link, &message, AUTH_SASL_FINAL);
}

/* Login --------------------------------------------------------------------------------------- */

static int
connect_to(const struct link_target *target)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *address;
    const int one = 1;
    int fd;

    if (getaddrinfo(target->host, target->port, &hints, &address) != 0)
        errx(1, "not an address: %s port %s", target->host, target->port);
    fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, address->ai_addr, address->ai_addrlen) < 0)
        err(1, "could not connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    freeaddrinfo(address);
    return fd;
}

/* Believes any certificate: to check it is work of the client, which is not what is measured. */
SSL_CTX *
link_tls_new(void)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

    if (tls == NULL)
        errx(1, "no TLS");
    SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    return tls;
}

static void
start_tls(struct link *link, const struct link_target *target, const struct link_memory *memory)
{
    char data[8];
    char answer;

    pg_put_uint32(data, sizeof(data));
    pg_put_uint32(data + 4, PG_SSL_REQUEST);
    send_all(link, data, sizeof(data));
    receive_all(link, &answer, 1);
    if (answer != 'S')
        errx(1, "the server does not do TLS");
    link->tls = SSL_new(target->tls);
    if (link->tls == NULL || SSL_set_fd(link->tls, link->fd) != 1)
        errx(1, "no TLS");
    if (target->resume && memory->session != NULL)
        SSL_set_session(link->tls, memory->session);
    if (SSL_connect(link->tls) != 1)
        errx(1, "the TLS handshake failed");
    link->resumed = SSL_session_reused(link->tls) == 1;
}

static void
send_startup(struct link *link, const struct link_target *target)
{
    char data[512];
    const int len = snprintf(data + 8, sizeof(data) - 8, "user%c%s%cdatabase%c%s%c", 0,
                             target->user, 0, 0, target->database, 0);

    if (len < 0 || (size_t)len + 9 > sizeof(data))
        errx(1, "a name that is too long");
    data[8 + len] = '\0';
    pg_put_uint32(data, (uint32_t)len + 9);
    pg_put_uint32(data + 4, PG_PROTOCOL_3_0);
    send_all(link, data, (size_t)len + 9);
}

static void
authenticate(struct link *link, const struct link_target *target, struct link_memory *memory)
{
    struct message message;
    const enum auth_code code = receive_auth(link, &message);

    switch (code) {
    case AUTH_OK:
        return;
    case AUTH_CLEARTEXT:
        send_message(link, FRONTEND_PASSWORD, target->password, strlen(target->password) + 1);
        break;
    case AUTH_SASL:
        log_in_by_scram(link, target, memory);
        break;
    default:
        errx(1, "authentication %d is not known here", (int)code);
    }
    expect_auth(link, &message, AUTH_OK);
}

static void
wait_until_ready(struct link *link)
{
    struct message message;

    do {
        receive_message(link, &message);
    } while (message.type != BACKEND_READY);
}

void
link_open(struct link *link, const struct link_target *target, struct link_memory *memory)
{
    *link = (struct link){.fd = connect_to(target)};
    if (target->tls != NULL)
        start_tls(link, target, memory);
    send_startup(link, target);
    authenticate(link, target, memory);
    wait_until_ready(link);
}

void
link_ask(struct link *link, const char *messages, size_t len)
{
    send_all(link, messages, len);
    wait_until_ready(link);
}

void
link_query(struct link *link)
{
    static const char query[] = "Q\0\0\0\015SELECT 1";

    link_ask(link, query, sizeof(query));
}

/* Without blocking ---------------------------------------------------------------------------- */

void
link_stop_blocking(struct link *link)
{
    if (fd_set_nonblock(link->fd) < 0)
        err(1, "could not stop blocking");
}

static ssize_t
result_of(struct link *link, ssize_t n)
{
    if (n > 0)
        return n;
    if (link->tls == NULL)
        return n < 0 && errno == EAGAIN ? -EAGAIN : -ECONNRESET;
    switch (SSL_get_error(link->tls, (int)n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    default:
        ERR_clear_error();
        return -ECONNRESET;
    }
}

ssize_t
link_send(struct link *link, const char *data, size_t len)
{
    return result_of(link, link->tls != NULL ? SSL_write(link->tls, data, (int)len)
                                             : send(link->fd, data, len, MSG_NOSIGNAL));
}

ssize_t
link_receive(struct link *link, char *data, size_t size)
{
    return result_of(link, link->tls != NULL ? SSL_read(link->tls, data, (int)size)
                                             : recv(link->fd, data, size, 0));
}

bool
link_has_pending(const struct link *link)
{
    return link->tls != NULL && SSL_pending(link->tls) > 0;
}

/* Goodbye ------------------------------------------------------------------------------------- */

/* With TLS 1.3 the session that can be resumed has come behind the handshake. */
void
link_close(struct link *link, struct link_memory *memory)
{
    static const char terminate[] = {FRONTEND_TERMINATE, 0, 0, 0, 4};

    (void)link_send(link, terminate, sizeof(terminate));
    if (link->tls != NULL) {
        SSL_shutdown(link->tls);
        SSL_SESSION_free(memory->session);
        memory->session = SSL_get1_session(link->tls);
        SSL_free(link->tls);
    }
    close(link->fd);
}

void
link_forget(struct link_memory *memory)
{
    SSL_SESSION_free(memory->session);
    memory->session = NULL;
}
