#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->outside = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->outside >= 0);
    (void)snprintf(f->directory, sizeof(f->directory), "/tmp/test_config.XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    assert_int_equal(chdir(f->directory), 0);
    *state = f;
    return 0;
}

int
fixture_teardown(void **state)
{
    struct fixture *f = *state;
    DIR *directory = opendir(".");
    struct dirent *entry;

    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL)
        (void)unlink(entry->d_name);
    (void)closedir(directory);
    assert_int_equal(fchdir(f->outside), 0);
    (void)close(f->outside);
    assert_int_equal(rmdir(f->directory), 0);
    config_unref(f->config);
    config_errors_done(&f->errors);
    free(f->said);
    free(f);
    return 0;
}

void
fixture_write(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

void
fixture_print(struct fixture *f)
{
    size_t size;
    FILE *file;

    free(f->said);
    f->said = NULL;
    file = open_memstream(&f->said, &size);
    assert_non_null(file);
    config_errors_print(&f->errors, file);
    assert_int_equal(fclose(file), 0);
}

int
fixture_load_file(struct fixture *f, const char *name)
{
    int r;

    config_unref(f->config);
    f->config = NULL;
    config_errors_done(&f->errors);
    r = config_load(name, &f->errors, &f->config);
    fixture_print(f);
    return r;
}

int
fixture_load(struct fixture *f, const char *text)
{
    fixture_write("t.ini", text);
    return fixture_load_file(f, "t.ini");
}

void
fixture_load_keys(struct fixture *f, const char *text)
{
    char *file;
    int r;

    assert_true(asprintf(&file, "[pgbouncer]\nauth_type = any\n%s", text) > 0);
    r = fixture_load(f, file);
    free(file);
    if (r < 0)
        fail_msg("%s", f->said);
}
