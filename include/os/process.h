/*
 * process.h - CPU time spent, CPUs to spend it on.
 *
 * Thread: any.
 */
#pragma once

#include "usec.h"

/* User and system time of all threads, and of the calling one. */
usec_t process_cpu_time(void);
usec_t thread_cpu_time(void);
/* The CPUs that the process may use by affinity and by its control groups' quota, at least 1. */
unsigned cpu_count(void);
