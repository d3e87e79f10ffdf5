/*
 * str.h - what string.h lacks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* NULL equals only NULL. */
bool str_eq(const char *a, const char *b);
/* ASCII letters compare without regard to case. */
bool str_ieq(const char *a, const char *b);
bool str_starts_with(const char *str, const char *prefix);
bool str_is_blank(char c);

/* "" becomes NULL. */
const char *str_or_null(const char *str);

/* Copies what fits, always ends it with a NUL (unless size is 0), returns the length of src. */
size_t str_copy(char *dst, size_t size, const char *src);
/* Replaces an owned string by a copy of value, which may be NULL. 0 or -ENOMEM, then unchanged. */
int str_set(char **field, const char *value);
/* Cuts blanks off both ends, in place; returns the first that is not blank. */
char *str_trim(char *str);

/*
 * Letters to insert, delete, change, or swap with their neighbour, without regard to case, to make
 * one of the other. limit + 1 stands for any number over limit; a word of over 64 letters is that
 * far from any other.
 */
size_t str_edit_distance(const char *a, const char *b, size_t limit);

/*
 * Walks a list such as "alice, bob": the next item that is not empty, blanks around it cut off.
 *
 *     while (str_list_next(&rest, &item, &len)) ...
 */
bool str_list_next(const char **rest, const char **ret_item, size_t *ret_len);
/* list may be NULL, which contains nothing. */
bool str_list_contains(const char *list, const char *item);
