#include "scram.h"

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>

#include "auth.h"
#include "entropy.h"
#include "sqlstate.h"
#include "str.h"

#define BINDING_TYPE "tls-server-end-point"

/* ---- what a client can do wrong ---- */

#define MALFORMED(why)                                                                             \
    {                                                                                              \
        .sqlstate = SQLSTATE_PROTOCOL_VIOLATION, .message = "malformed SCRAM message",             \
        .detail = (why)                                                                            \
    }

static const struct auth_failure bad_length = MALFORMED("The message has a NUL in it.");
static const struct auth_failure bad_attribute =
    MALFORMED("An attribute is missing, or not where it must be.");
static const struct auth_failure bad_binding_flag =
    MALFORMED("The channel binding flag is none of n, y and p.");
static const struct auth_failure bad_nonce = MALFORMED("The nonce is empty or not printable.");
static const struct auth_failure bad_proof = MALFORMED("The proof is no SHA-256 key in base64.");
static const struct auth_failure plus_unbound =
    MALFORMED("The client has chosen SCRAM-SHA-256-PLUS, but does not bind to the channel.");
static const struct auth_failure bound_without_plus =
    MALFORMED("The client binds to the channel, but has not chosen SCRAM-SHA-256-PLUS.");
static const struct auth_failure other_nonce = {
    .sqlstate = SQLSTATE_PROTOCOL_VIOLATION,
    .message = "invalid SCRAM response",
    .detail = "The nonce is not the one of this login.",
};
static const struct auth_failure other_header = {
    .sqlstate = SQLSTATE_PROTOCOL_VIOLATION,
    .message = "unexpected SCRAM channel-binding attribute in client-final-message",
};
static const struct auth_failure other_type = {
    .sqlstate = SQLSTATE_PROTOCOL_VIOLATION,
    .message = "unsupported SCRAM channel-binding type",
    .hint = "The only one that there is here is " BINDING_TYPE ".",
};
static const struct auth_failure other_channel = {
    .sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
    .message = "SCRAM channel binding check failed",
    .detail = "The client sees another certificate than ours: somebody is in between.",
};
static const struct auth_failure downgraded = {
    .sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
    .message = "SCRAM channel binding negotiation error",
    .detail = "The client can bind to the channel and was made to believe that we cannot.",
};
static const struct auth_failure authorization_identity = {
    .sqlstate = SQLSTATE_FEATURE_NOT_SUPPORTED,
    .message = "client uses authorization identity, but it is not supported",
};
static const struct auth_failure extension = {
    .sqlstate = SQLSTATE_FEATURE_NOT_SUPPORTED,
    .message = "client requires an unsupported SCRAM extension",
};

static int
fail(struct scram *scram, const struct auth_failure *failure)
{
    scram->failure = failure;
    return -EPROTO;
}

/* ---- pieces of messages ---- */

/* What is left of a message; a NUL stands for its end. */
struct reader {
    const char *pos;
    const char *end;
};

struct span {
    const char *data;
    size_t len;
};

static char
peek(const struct reader *reader)
{
    return reader->pos < reader->end ? *reader->pos : '\0';
}

static bool
take(struct reader *reader, char c)
{
    if (reader->pos == reader->end || *reader->pos != c)
        return false;
    reader->pos++;
    return true;
}

/* All up to the next comma, which is skipped; or to the end. */
static struct span
take_field(struct reader *reader)
{
    const size_t rest = (size_t)(reader->end - reader->pos);
    const char *const comma = memchr(reader->pos, ',', rest);
    const struct span span = {reader->pos, comma != NULL ? (size_t)(comma - reader->pos) : rest};

    reader->pos = comma != NULL ? comma + 1 : reader->end;
    return span;
}

/* The value of an attribute such as "r=...". */
static bool
take_attribute(struct reader *reader, char name, struct span *ret_value)
{
    if (!take(reader, name) || !take(reader, '='))
        return false;
    *ret_value = take_field(reader);
    return true;
}

static bool
span_is(const struct span *span, const void *data, size_t len)
{
    return span->len == len && (len == 0 || memcmp(span->data, data, len) == 0);
}

static bool
span_is_printable(const struct span *span)
{
    for (size_t i = 0; i < span->len; i++) {
        if (span->data[i] < 0x21 || span->data[i] > 0x7e)
            return false;
    }
    return span->len > 0;
}

/* ---- life ---- */

void
scram_init(struct scram *scram, const void *binding, size_t binding_len)
{
    *scram = (struct scram){.binding = binding, .binding_len = binding_len};
}

void
scram_done(struct scram *scram)
{
    buf_done(&scram->gs2_header);
    buf_done(&scram->nonce);
    buf_done(&scram->transcript);
    OPENSSL_cleanse(scram, sizeof(*scram));
}

bool
scram_is_offered(const struct scram *scram, const char *mechanism)
{
    return str_eq(mechanism, SCRAM_NAME) ||
           (scram->binding != NULL && str_eq(mechanism, SCRAM_PLUS_NAME));
}

int
scram_make_nonce(char ret_nonce[SCRAM_NONCE_LEN + 1])
{
    unsigned char bytes[BASE64_SIZE(SCRAM_NONCE_LEN)];
    const int r = entropy_fill(bytes, sizeof(bytes));

    if (r == 0)
        base64_encode(bytes, sizeof(bytes), ret_nonce);
    return r;
}

/* ---- client-first: "n,,n=,r=nonce" or "p=tls-server-end-point,,n=,r=nonce" ---- */

static int
read_binding_type(struct scram *scram, struct reader *reader)
{
    struct span type;

    if (!take(reader, '='))
        return fail(scram, &bad_attribute);
    type = take_field(reader);
    if (!span_is(&type, BINDING_TYPE, strlen(BINDING_TYPE)))
        return fail(scram, &other_type);
    return 0;
}

/*
 * "y" says: I could bind, but you have not offered it. When we have, then somebody in between has
 * taken the offer away.
 */
static int
read_binding_flag(struct scram *scram, struct reader *reader)
{
    const char flag = peek(reader);

    if (flag != 'n' && flag != 'y' && flag != 'p')
        return fail(scram, &bad_binding_flag);
    if (scram->is_plus != (flag == 'p'))
        return fail(scram, scram->is_plus ? &plus_unbound : &bound_without_plus);
    if (flag == 'y' && scram->binding != NULL)
        return fail(scram, &downgraded);
    reader->pos++;
    if (flag == 'p')
        return read_binding_type(scram, reader);
    return take(reader, ',') ? 0 : fail(scram, &bad_attribute);
}

static int
read_gs2_header(struct scram *scram, struct reader *reader)
{
    const char *const start = reader->pos;
    int r;

    r = read_binding_flag(scram, reader);
    if (r < 0)
        return r;
    if (peek(reader) == 'a')
        return fail(scram, &authorization_identity);
    if (!take(reader, ','))
        return fail(scram, &bad_attribute);
    return buf_append(&scram->gs2_header, start, (size_t)(reader->pos - start));
}

/* The name is not looked at: the one in the startup packet counts. */
static int
read_first_bare(struct scram *scram, struct reader *reader)
{
    const char *const start = reader->pos;
    struct span name, nonce;
    int r;

    if (peek(reader) == 'm')
        return fail(scram, &extension);
    if (!take_attribute(reader, 'n', &name) || !take_attribute(reader, 'r', &nonce))
        return fail(scram, &bad_attribute);
    if (!span_is_printable(&nonce))
        return fail(scram, &bad_nonce);
    r = buf_append(&scram->nonce, nonce.data, nonce.len);
    if (r == 0)
        r = buf_append(&scram->transcript, start, (size_t)(reader->end - start));
    return r;
}

int
scram_read_first(struct scram *scram, const char *mechanism, const char *message, size_t len)
{
    struct reader reader = {message, message + len};
    int r;

    if (memchr(message, '\0', len) != NULL)
        return fail(scram, &bad_length);
    scram->is_plus = str_eq(mechanism, SCRAM_PLUS_NAME);
    r = read_gs2_header(scram, &reader);
    if (r == 0)
        r = read_first_bare(scram, &reader);
    return r;
}

int
scram_write_challenge(struct scram *scram, const char *nonce, const char *salt, int iterations,
                      struct buf *message)
{
    const size_t start = message->len;
    int r;

    r = buf_append_str(&scram->nonce, nonce);
    if (r == 0)
        r = buf_printf(message, "r=%s,s=%s,i=%d", buf_str(&scram->nonce), salt, iterations);
    if (r == 0)
        r = buf_printf(&scram->transcript, ",%s", message->data + start);
    return r;
}

/* ---- client-final: "c=binding,r=nonces,p=proof" ---- */

/* What c= must hold: the header once more, and what the client knows the channel by. */
static int
expect_binding(const struct scram *scram, struct buf *text)
{
    CLEANUP(buf_done) struct buf bytes = BUF_INIT;
    int r;

    r = buf_append(&bytes, scram->gs2_header.data, scram->gs2_header.len);
    if (r == 0 && scram->is_plus)
        r = buf_append(&bytes, scram->binding, scram->binding_len);
    if (r == 0)
        r = buf_reserve(text, BASE64_LEN(bytes.len));
    if (r < 0)
        return r;
    base64_encode(bytes.data, bytes.len, text->data);
    text->len = BASE64_LEN(bytes.len);
    return 0;
}

static int
check_binding(struct scram *scram, const struct span *binding)
{
    CLEANUP(buf_done) struct buf expected = BUF_INIT;
    const int r = expect_binding(scram, &expected);

    if (r < 0)
        return r;
    if (span_is(binding, buf_str(&expected), expected.len))
        return 0;
    return fail(scram, scram->is_plus ? &other_channel : &other_header);
}

static int
read_proof(struct scram *scram, const struct span *text)
{
    unsigned char proof[BASE64_SIZE(BASE64_LEN(SCRAM_KEY_SIZE))];

    if (text->len != BASE64_LEN(SCRAM_KEY_SIZE) ||
        base64_decode(text->data, text->len, proof) != SCRAM_KEY_SIZE)
        return fail(scram, &bad_proof);
    memcpy(scram->proof, proof, SCRAM_KEY_SIZE);
    return 0;
}

/* Extensions may stand before the proof, which is the last; what is before it is proved. */
static int
read_to_proof(struct scram *scram, const char *message, struct reader *reader)
{
    struct span proof;
    size_t len;
    int r;

    while (peek(reader) != 'p' && reader->pos < reader->end)
        (void)take_field(reader);
    len = (size_t)(reader->pos - message) - 1; /* without the comma */
    if (!take_attribute(reader, 'p', &proof) || reader->pos != reader->end)
        return fail(scram, &bad_attribute);
    r = buf_append_char(&scram->transcript, ',');
    if (r == 0)
        r = buf_append(&scram->transcript, message, len);
    return r == 0 ? read_proof(scram, &proof) : r;
}

int
scram_read_final(struct scram *scram, const char *message, size_t len)
{
    struct reader reader = {message, message + len};
    struct span binding, nonce;
    int r;

    if (memchr(message, '\0', len) != NULL)
        return fail(scram, &bad_length);
    if (!take_attribute(&reader, 'c', &binding) || !take_attribute(&reader, 'r', &nonce))
        return fail(scram, &bad_attribute);
    r = check_binding(scram, &binding);
    if (r < 0)
        return r;
    if (!span_is(&nonce, scram->nonce.data, scram->nonce.len))
        return fail(scram, &other_nonce);
    return read_to_proof(scram, message, &reader);
}

/* ---- proofs ---- */

/*
 * The proof is the client's key, hidden by a signature that only who knows the stored key can make.
 */
int
scram_verify(struct scram *scram, const struct verifier *verifier)
{
    unsigned char signature[SCRAM_KEY_SIZE], hash[SCRAM_KEY_SIZE];
    int r;

    r = verifier_hmac(verifier->stored_key, SCRAM_KEY_SIZE, scram->transcript.data,
                      scram->transcript.len, signature);
    if (r < 0)
        return r;
    for (size_t i = 0; i < SCRAM_KEY_SIZE; i++)
        scram->client_key[i] = scram->proof[i] ^ signature[i];
    r = verifier_hash(scram->client_key, hash);
    if (r < 0)
        return r;
    return CRYPTO_memcmp(hash, verifier->stored_key, SCRAM_KEY_SIZE) == 0 ? 0 : -EACCES;
}

int
scram_write_final(const struct scram *scram, const struct verifier *verifier, struct buf *message)
{
    unsigned char signature[SCRAM_KEY_SIZE];
    char text[BASE64_LEN(SCRAM_KEY_SIZE) + 1];
    int r;

    r = verifier_hmac(verifier->server_key, SCRAM_KEY_SIZE, scram->transcript.data,
                      scram->transcript.len, signature);
    if (r < 0)
        return r;
    base64_encode(signature, sizeof(signature), text);
    return buf_printf(message, "v=%s", text);
}
