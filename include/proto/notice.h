/*
 * notice.h - reads the small messages of a server: errors, notices, tags, parameters, status.
 *
 * Each takes a whole body (frame_body() of a FRAME_WHOLE); results point into it. Broken bodies
 * give -EBADMSG, and the outputs stay untouched.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

/* ErrorResponse or NoticeResponse. What is not there is "", detail and hint are NULL. */
struct notice {
    const char *severity;       /* never translated where the server is 9.6 or newer */
    const char *severity_local; /* in the server's language */
    const char *sqlstate;
    const char *message;
    const char *detail;
    const char *hint;
};

int notice_parse(const char *body, size_t len, struct notice *ret_notice);
/* FATAL or PANIC: the server ends the connection. */
bool notice_is_fatal(const struct notice *notice);

/* The tag of a CommandComplete: "INSERT 0 1". */
int command_tag_parse(const char *body, size_t len, const char **ret_tag);
int parameter_status_parse(const char *body, size_t len, const char **ret_name,
                           const char **ret_value);
/* A key has 4 bytes, up to 256 since protocol 3.2. */
int backend_key_parse(const char *body, size_t len, uint32_t *ret_pid, const char **ret_key,
                      size_t *ret_key_len);

/* The status in a ReadyForQuery, READY_BROKEN if it makes no sense. */
static inline enum ready_status
ready_status(const struct frame *frame)
{
    size_t len;
    const char *body = frame_body(frame, &len);

    if (len != 1 || frame->len != PG_HEADER_SIZE + 1)
        return READY_BROKEN;
    return *body == READY_IDLE || *body == READY_IN_TRANSACTION || *body == READY_FAILED_TRANSACTION
               ? (enum ready_status) * body
               : READY_BROKEN;
}
