/*
 * units.h - numbers as people write them in the file, and back.
 *
 * The parsers take the whole string, blanks around it allowed. They return 0, -EINVAL for what is
 * no such number, -ERANGE for one that does not fit or must not be negative.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "usec.h"

/* Holds what any of the units_format functions print. */
#define UNITS_TEXT_MAX 32

/* "30", "1.5", "500ms", "30 s", "5min", "2h", "1d", "100us"; a bare number counts in unit. */
int units_parse_duration(const char *text, usec_t unit, usec_t *ret_usec);
/* "4096", "0x1000", "64kB", "1.5MB", "2 GB", "1TB": bytes. */
int units_parse_size(const char *text, uint64_t *ret_bytes);
/* 1/0, on/off, yes/no, true/false. */
int units_parse_bool(const char *text, bool *ret_bool);
/* Decimal, 0x hexadecimal, 0 octal; maybe with a sign. */
int units_parse_int(const char *text, int64_t *ret_int);

/* Seconds as PgBouncer prints them: "30", "0.1", "86400", "2.592e+06". Returns text. */
const char *units_format_duration(char text[static UNITS_TEXT_MAX], usec_t usec);
/* In the largest unit that leaves no fraction: "64kB", "1MB", "1500". Returns text. */
const char *units_format_size(char text[static UNITS_TEXT_MAX], uint64_t bytes);
