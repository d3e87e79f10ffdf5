/*
 * config-gen SOURCE_DIR: writes the files that are made from the option table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config.h"

static int
write_file(const char *path, void (*write)(FILE *file))
{
    FILE *file = fopen(path, "we");

    if (file == NULL) {
        perror(path);
        return -1;
    }
    write(file);
    if (fclose(file) != 0) {
        perror(path);
        return -1;
    }
    return 0;
}

int
main(int argc, char *argv[])
{
    if (argc != 2 || chdir(argv[1]) < 0) {
        (void)fprintf(stderr, "usage: %s SOURCE_DIR\n", argv[0]);
        return EXIT_FAILURE;
    }
    if (write_file("conf/pgweir.conf", config_write_sample) < 0 ||
        write_file("docs/pgweir.5", config_write_manual) < 0)
        return EXIT_FAILURE;
    return EXIT_SUCCESS;
}
