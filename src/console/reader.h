/*
 * reader.h - reads the fields of a message's body.
 *
 * What is read beyond the end is 0 or "", and is_broken tells.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
    const char *p, *end; /* borrowed */
    bool is_broken;
};

/* NULL beyond the end. */
const char *read_bytes(struct reader *reader, size_t len);
uint16_t read_int16(struct reader *reader);
uint32_t read_int32(struct reader *reader);
const char *read_string(struct reader *reader);
/* Nothing is missing, and nothing is left. */
bool read_all(const struct reader *reader);
