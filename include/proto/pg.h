/*
 * pg.h - the vocabulary of PostgreSQL's wire protocol, version 3: message types, codes, integers.
 */
#pragma once

#include <stdint.h>

/* The first byte of what a client sends, after its startup packet. */
enum frontend_type {
    FRONTEND_BIND = 'B',
    FRONTEND_CLOSE = 'C',
    FRONTEND_COPY_DATA = 'd',
    FRONTEND_COPY_DONE = 'c',
    FRONTEND_COPY_FAIL = 'f',
    FRONTEND_DESCRIBE = 'D',
    FRONTEND_EXECUTE = 'E',
    FRONTEND_FLUSH = 'H',
    FRONTEND_FUNCTION_CALL = 'F',
    FRONTEND_PARSE = 'P',
    FRONTEND_PASSWORD = 'p', /* and the SASL and GSS answers */
    FRONTEND_QUERY = 'Q',
    FRONTEND_SYNC = 'S',
    FRONTEND_TERMINATE = 'X',
};

/* The first byte of what a server sends. */
enum backend_type {
    BACKEND_AUTHENTICATION = 'R',
    BACKEND_BIND_COMPLETE = '2',
    BACKEND_CLOSE_COMPLETE = '3',
    BACKEND_COMMAND_COMPLETE = 'C',
    BACKEND_COPY_BOTH = 'W',
    BACKEND_COPY_DATA = 'd',
    BACKEND_COPY_DONE = 'c',
    BACKEND_COPY_FAIL = 'f',
    BACKEND_COPY_IN = 'G',
    BACKEND_COPY_OUT = 'H',
    BACKEND_DATA_ROW = 'D',
    BACKEND_EMPTY_QUERY = 'I',
    BACKEND_ERROR = 'E',
    BACKEND_FUNCTION_CALL_RESPONSE = 'V',
    BACKEND_KEY_DATA = 'K',
    BACKEND_NEGOTIATE_VERSION = 'v',
    BACKEND_NO_DATA = 'n',
    BACKEND_NOTICE = 'N',
    BACKEND_NOTIFICATION = 'A',
    BACKEND_PARAMETER_DESCRIPTION = 't',
    BACKEND_PARAMETER_STATUS = 'S',
    BACKEND_PARSE_COMPLETE = '1',
    BACKEND_PORTAL_SUSPENDED = 's',
    BACKEND_READY = 'Z',
    BACKEND_ROW_DESCRIPTION = 'T',
};

/* The transaction status in ReadyForQuery. */
enum ready_status {
    READY_BROKEN = 0, /* no ReadyForQuery that makes sense */
    READY_IDLE = 'I',
    READY_IN_TRANSACTION = 'T',
    READY_FAILED_TRANSACTION = 'E',
};

/* The code in an Authentication message. */
enum auth_code {
    AUTH_OK = 0,
    AUTH_CLEARTEXT = 3,
    AUTH_MD5 = 5,
    AUTH_SASL = 10,
    AUTH_SASL_CONTINUE = 11,
    AUTH_SASL_FINAL = 12,
};

/* The code in a startup packet: a version, or one of the requests that come in a version's place.
 */
#define PG_PROTOCOL(major, minor) (((uint32_t)(major) << 16) | (uint32_t)(minor))
#define PG_PROTOCOL_3_0           PG_PROTOCOL(3, 0)
#define PG_PROTOCOL_MINOR_MAX     2 /* 3.2 is the newest there is; 3.1 was never given out */
#define PG_CANCEL_REQUEST         PG_PROTOCOL(1234, 5678)
#define PG_SSL_REQUEST            PG_PROTOCOL(1234, 5679)
#define PG_GSSENC_REQUEST         PG_PROTOCOL(1234, 5680)

/* Oids of the types that the daemon itself sends. */
enum pg_type {
    PG_TYPE_BOOL = 16,
    PG_TYPE_INT8 = 20,
    PG_TYPE_INT4 = 23,
    PG_TYPE_TEXT = 25,
    PG_TYPE_FLOAT8 = 701,
    PG_TYPE_NUMERIC = 1700,
};

/* A message begins with its type and a length that counts itself and the body. */
#define PG_HEADER_SIZE 5

/* The largest answer to an authentication request that PostgreSQL accepts, header included. */
#define PG_PASSWORD_MAX 65536

/* BackendKeyData and CancelRequest: a process id, and a key, which is of 4 bytes until 3.2. */
#define PG_CANCEL_PID_SIZE 4
#define PG_CANCEL_KEY_MIN  4
#define PG_CANCEL_KEY_MAX  256

/*
 * The largest message, header included, that PostgreSQL accepts of this type from a client once it
 * is logged in; 0 if it knows no such type.
 */
uint32_t frontend_max_len(char type);

static inline uint16_t
pg_get_uint16(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;

    return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t
pg_get_uint32(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline void
pg_put_uint16(char *p, uint16_t value)
{
    p[0] = (char)(value >> 8);
    p[1] = (char)value;
}

static inline void
pg_put_uint32(char *p, uint32_t value)
{
    p[0] = (char)(value >> 24);
    p[1] = (char)(value >> 16);
    p[2] = (char)(value >> 8);
    p[3] = (char)value;
}

/* Writes the header of a message of so many bytes of body. */
static inline void
pg_put_header(char *p, char type, uint32_t body_len)
{
    p[0] = type;
    pg_put_uint32(p + 1, body_len + 4);
}
