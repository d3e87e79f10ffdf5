/*
 * pidfile.h - a file that holds the process's number and proves that there is only one of it.
 *
 * The file is locked while the process lives, so one left behind by a crash does not count; one
 * that is not locked but names a living process does, since PgBouncer's look like that.
 */
#pragma once

#include <sys/types.h>

#include "cleanup.h"

struct pidfile;

/* Writes getpid(), so call it after daemon_detach. 0, -EEXIST when another instance runs, or
 * -errno. */
int pidfile_create(const char *path, struct pidfile **ret_pidfile);
/* Removes the file, if it is still ours. NULL is fine. */
void pidfile_remove(struct pidfile *pidfile);
DEFINE_CLEANUP(struct pidfile *, pidfile_remove);
