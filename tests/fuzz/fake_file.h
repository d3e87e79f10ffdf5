/*
 * fake_file.h - the files that a fuzzer's input stands for; in the place of src/config/file.c.
 *
 * A form feed separates them; their names are "1", "2", and so on. In all directories are the first
 * two.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Borrows data until the next call. */
void fake_files_set(const uint8_t *data, size_t size);

/*
 * glibc's regcomp copies what stands before a "+" or a "{9}", so that some of them behind each
 * other take any amount of memory. Who writes the files is trusted with that; a fuzzer would find
 * nothing else any more.
 */
int fake_files_are_costly(void);
