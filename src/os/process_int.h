/*
 * process_int.h - what the tests of process.c reach for.
 */
#pragma once

/*
 * The CPUs that the control group path (below root, where cgroup2 is mounted) and those above it
 * grant by cpu.max, rounded up; 0 is no limit.
 */
unsigned cgroup_cpu_limit(const char *root, const char *path);
