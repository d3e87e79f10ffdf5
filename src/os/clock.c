#include "clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static usec_t
read_clock(clockid_t id)
{
    struct timespec now;

    (void)clock_gettime(id, &now); /* cannot fail for these clocks */
    return (usec_t)now.tv_sec * SEC + (usec_t)now.tv_nsec / 1000;
}

usec_t
clock_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

usec_t
clock_wall(void)
{
    return read_clock(CLOCK_REALTIME);
}

/* localtime_r takes a lock that all threads share, so each thread keeps its last second. */
static _Thread_local struct {
    time_t second;
    char date[24];
    char zone[16];
} last = {.second = -1};

const char *
clock_format(char text[static CLOCK_TEXT_MAX], usec_t wall)
{
    const time_t second = (time_t)(wall / SEC);

    if (second != last.second) {
        struct tm tm;

        (void)localtime_r(&second, &tm);
        (void)strftime(last.date, sizeof(last.date), "%Y-%m-%d %H:%M:%S", &tm);
        (void)strftime(last.zone, sizeof(last.zone), "%Z", &tm);
        last.second = second;
    }
    (void)snprintf(text, CLOCK_TEXT_MAX, "%s.%03u %s", last.date, (unsigned)(wall % SEC / MSEC),
                   last.zone);
    return text;
}
