#include "process.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "process_int.h"
#include "str.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CPUS_MAX    (1 << 16)

static usec_t
read_clock(clockid_t id)
{
    struct timespec spent;

    (void)clock_gettime(id, &spent); /* cannot fail for these clocks */
    return (usec_t)spent.tv_sec * SEC + (usec_t)spent.tv_nsec / 1000;
}

usec_t
process_cpu_time(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

usec_t
thread_cpu_time(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

/* The kernel refuses a mask that is too small for the CPUs it could have, so we try larger ones. */
static unsigned
count_affine_cpus(void)
{
    for (int cpus = CPU_SETSIZE; cpus <= CPUS_MAX; cpus *= 2) {
        const size_t size = CPU_ALLOC_SIZE(cpus);
        CLEANUP(free) cpu_set_t *set = CPU_ALLOC(cpus);

        if (set == NULL)
            return 1;
        if (sched_getaffinity(0, size, set) == 0)
            return (unsigned)CPU_COUNT_S(size, set);
        if (errno != EINVAL)
            return 1;
    }
    return 1;
}

/* What one group's cpu.max, "max 100000" or "150000 100000", grants; 0 is no limit. */
static unsigned
read_cpu_max(const char *root, const char *path)
{
    CLEANUP(fclose) FILE *file = NULL;
    char name[PATH_MAX];
    unsigned long quota;
    unsigned long period;

    if (snprintf(name, sizeof(name), "%s%s/cpu.max", root, path) >= (int)sizeof(name))
        return 0;
    file = fopen(name, "re");
    if (file == NULL || fscanf(file, "%lu %lu", &quota, &period) != 2 || period == 0)
        return 0;
    return (unsigned)MAX((quota + period - 1) / period, 1);
}

unsigned
cgroup_cpu_limit(const char *root, const char *path)
{
    char group[PATH_MAX];
    unsigned limit = 0;
    char *slash;

    if (str_copy(group, sizeof(group), path) >= sizeof(group))
        return 0;
    do {
        const unsigned here = read_cpu_max(root, group);

        if (here > 0 && (limit == 0 || here < limit))
            limit = here;
        slash = strrchr(group, '/');
        if (slash != NULL)
            *slash = '\0';
    } while (slash != NULL);
    return limit;
}

/* The limit of our own group, whose path stands in the line "0::/path"; 0 is none. */
static unsigned
own_cgroup_cpu_limit(void)
{
    CLEANUP(fclose) FILE *file = fopen("/proc/self/cgroup", "re");
    char line[PATH_MAX];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (str_starts_with(line, "0::/"))
            return cgroup_cpu_limit(CGROUP_ROOT, str_trim(line + strlen("0::")));
    return 0;
}

unsigned
cpu_count(void)
{
    const unsigned affine = count_affine_cpus();
    const unsigned limit = own_cgroup_cpu_limit();

    return MAX(limit > 0 ? MIN(affine, limit) : affine, 1);
}
