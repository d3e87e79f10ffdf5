/*
 * The files themselves. Whoever links something in its place, as the fuzzers do, needs none.
 */
#include "config_int.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "str.h"

#define FILE_MAX (64 * 1024 * 1024)
#define CHUNK    4096

int
file_read(const char *path, struct buf *text)
{
    CLEANUP(fclose) FILE *file = fopen(path, "re");
    struct stat status;
    size_t got;

    if (file == NULL)
        return -errno;
    /* Without a buffer and at once, if possible: nobody would wipe the copies. */
    (void)setvbuf(file, NULL, _IONBF, 0);
    if (fstat(fileno(file), &status) == 0 && status.st_size > 0 && status.st_size <= FILE_MAX &&
        buf_reserve(text, (size_t)status.st_size + CHUNK + 1) < 0)
        return -ENOMEM;
    do {
        if (text->len > FILE_MAX)
            return -EFBIG;
        if (buf_reserve(text, CHUNK) < 0)
            return -ENOMEM;
        got = fread(text->data + text->len, 1, CHUNK, file);
        text->len += got;
    } while (got > 0);
    if (ferror(file))
        return errno != 0 ? -errno : -EIO;
    if (buf_append(text, "", 0) < 0) /* for the NUL behind it */
        return -ENOMEM;
    return memchr(text->data, '\0', text->len) != NULL ? -EINVAL : 0;
}

void
file_done(struct buf *text)
{
    if (text->data != NULL)
        explicit_bzero(text->data, text->cap);
    buf_done(text);
}

const char *
file_error(int error)
{
    return error == -EINVAL ? "it is not a text file" : strerror(-error);
}

static int
is_conf(const struct dirent *entry)
{
    const size_t len = strlen(entry->d_name);

    return entry->d_name[0] != '.' && len > strlen(".conf") &&
           str_eq(entry->d_name + len - strlen(".conf"), ".conf");
}

static int
compare_entries(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int
add_path(struct buf *paths, const char *directory, const char *name)
{
    const size_t before = paths->len;
    struct stat status;
    int r;

    r = buf_printf(paths, "%s/%s", directory, name);
    if (r < 0)
        return r;
    if (stat(paths->data + before, &status) == 0 && S_ISDIR(status.st_mode)) {
        paths->len = before;
        return 0;
    }
    return buf_append_char(paths, '\0');
}

int
directory_read(const char *path, struct buf *paths)
{
    struct dirent **entries;
    const int count = scandir(path, &entries, is_conf, compare_entries);
    int r = 0;

    if (count < 0)
        return -errno;
    for (int i = 0; i < count; i++) {
        if (r == 0)
            r = add_path(paths, path, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return r;
}
