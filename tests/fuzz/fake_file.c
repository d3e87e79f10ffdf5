#include "fake_file.h"

#include <errno.h>
#include <string.h>

#include "buf.h"
#include "config_int.h"

#define SEPARATOR   '\f'
#define REPEATS_MAX 8

static const char *files;
static size_t files_size;

void
fake_files_set(const uint8_t *data, size_t size)
{
    files = (const char *)data;
    files_size = size;
}

int
fake_files_are_costly(void)
{
    size_t repeats = 0;

    if (files_size == 0 || memchr(files, '/', files_size) == NULL)
        return 0;
    for (size_t i = 0; i < files_size; i++)
        repeats += files[i] == '+';
    return repeats > REPEATS_MAX || memchr(files, '{', files_size) != NULL;
}

/* The file of that number, from 1 on; NULL when there are not so many. */
static const char *
find_file(unsigned number, size_t *ret_len)
{
    const char *file = files, *const end = files + files_size, *separator;

    for (; number > 1; number--) {
        separator = memchr(file, SEPARATOR, (size_t)(end - file));
        if (separator == NULL)
            return NULL;
        file = separator + 1;
    }
    separator = memchr(file, SEPARATOR, (size_t)(end - file));
    *ret_len = (size_t)((separator != NULL ? separator : end) - file);
    return file;
}

int
file_read(const char *path, struct buf *text)
{
    const char number = *path;
    const char *file;
    size_t len;

    if (strlen(path) != 1 || number < '1' || number > '9')
        return -ENOENT;
    file = find_file((unsigned)(number - '0'), &len);
    if (file == NULL)
        return -ENOENT;
    if (buf_append(text, file, len) < 0)
        return -ENOMEM;
    return memchr(text->data, '\0', text->len) != NULL ? -EINVAL : 0;
}

void
file_done(struct buf *text)
{
    buf_done(text);
}

const char *
file_error(int error)
{
    return strerror(-error);
}

int
directory_read(const char *path, struct buf *paths)
{
    (void)path;
    return buf_append(paths, "1\0002", sizeof("1\0002"));
}
