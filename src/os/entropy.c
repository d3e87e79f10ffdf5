#include "entropy.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

int
entropy_fill(void *data, size_t len)
{
    char *at = data;

    while (len > 0) {
        const ssize_t n = getrandom(at, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}
