/*
 * scratch.h - a directory for the files of one test, and their contents.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCRATCH_TEXT_MAX (1 << 18)

struct scratch {
    char dir[64];
    char path[128]; /* the last one that scratch_path made */
};

static inline int
scratch_make(struct scratch *scratch)
{
    (void)snprintf(scratch->dir, sizeof(scratch->dir), "/tmp/pgweir-test-XXXXXX");
    return mkdtemp(scratch->dir) == NULL ? -1 : 0;
}

static inline const char *
scratch_path(struct scratch *scratch, const char *name)
{
    const int len = snprintf(scratch->path, sizeof(scratch->path), "%s/%s", scratch->dir, name);

    if (len < 0 || (size_t)len >= sizeof(scratch->path))
        abort();
    return scratch->path;
}

static inline void
scratch_write(struct scratch *scratch, const char *name, const char *text)
{
    FILE *file = fopen(scratch_path(scratch, name), "we");

    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
        abort();
}

/* What the file holds; "" when there is none. In a static buffer. */
static inline const char *
scratch_read(struct scratch *scratch, const char *name)
{
    static char text[SCRATCH_TEXT_MAX];
    FILE *file = fopen(scratch_path(scratch, name), "re");
    size_t len = 0;

    if (file != NULL) {
        len = fread(text, 1, sizeof(text) - 1, file);
        (void)fclose(file);
    }
    text[len] = '\0';
    return text;
}

static inline void
scratch_remove(struct scratch *scratch)
{
    DIR *dir = opendir(scratch->dir);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            (void)unlink(scratch_path(scratch, entry->d_name));
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(scratch->dir);
}
