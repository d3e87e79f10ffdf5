#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include "fd.h"
#include "log_int.h"
#include "str.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static const int priorities[] = {
    [LOG_LEVEL_FATAL] = LOG_CRIT, [LOG_LEVEL_ERROR] = LOG_ERR,   [LOG_LEVEL_WARNING] = LOG_WARNING,
    [LOG_LEVEL_INFO] = LOG_INFO,  [LOG_LEVEL_DEBUG] = LOG_DEBUG, [LOG_LEVEL_NOISE] = LOG_DEBUG,
};

static const struct {
    const char *name;
    int facility;
} facilities[] = {
    {"auth", LOG_AUTH},     {"authpriv", LOG_AUTHPRIV}, {"cron", LOG_CRON},
    {"daemon", LOG_DAEMON}, {"ftp", LOG_FTP},           {"lpr", LOG_LPR},
    {"mail", LOG_MAIL},     {"news", LOG_NEWS},         {"syslog", LOG_SYSLOG},
    {"user", LOG_USER},     {"uucp", LOG_UUCP},         {"local0", LOG_LOCAL0},
    {"local1", LOG_LOCAL1}, {"local2", LOG_LOCAL2},     {"local3", LOG_LOCAL3},
    {"local4", LOG_LOCAL4}, {"local5", LOG_LOCAL5},     {"local6", LOG_LOCAL6},
    {"local7", LOG_LOCAL7},
};

static int
find_facility(const char *name, int *ret_facility)
{
    for (size_t i = 0; i < ARRAY_SIZE(facilities); i++) {
        if (str_ieq(name, facilities[i].name)) {
            *ret_facility = facilities[i].facility;
            return 0;
        }
    }
    return -EINVAL;
}

bool
log_target_stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    char expected[64];

    if (stream == NULL || fstat(STDERR_FILENO, &st) < 0)
        return false;
    (void)snprintf(expected, sizeof(expected), "%ju:%ju", (uintmax_t)st.st_dev,
                   (uintmax_t)st.st_ino);
    return str_eq(stream, expected);
}

int
log_target_open_file(const char *path)
{
    const int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);

    return fd < 0 ? -errno : fd;
}

static int
open_file(struct log_target *target, const char *path)
{
    const int r = str_set(&target->path, path);

    if (r < 0)
        return r;
    target->file = log_target_open_file(path);
    return target->file < 0 ? target->file : 0;
}

static void
open_stderr(struct log_target *target)
{
    if (log_target_stderr_is_journal()) {
        target->journal = log_journal_open(JOURNAL_SOCKET);
        target->with_prefix = target->journal < 0;
    }
    target->to_stderr = target->journal < 0;
}

static int
open_syslog(struct log_target *target, const char *ident, const char *facility)
{
    const int r = find_facility(facility != NULL ? facility : "daemon", &target->facility);

    return r < 0 ? r : str_set(&target->ident, ident);
}

int
log_target_new(const struct log_options *options, struct log_target **ret_target)
{
    CLEANUP(log_target_free) struct log_target *target = calloc(1, sizeof(*target));
    int r = 0;

    if (target == NULL)
        return -ENOMEM;
    target->file = -1;
    target->journal = -1;
    if (options->syslog_ident != NULL && *options->syslog_ident != '\0')
        r = open_syslog(target, options->syslog_ident, options->syslog_facility);
    if (r == 0 && options->file != NULL && *options->file != '\0')
        r = open_file(target, options->file);
    if (r < 0)
        return r;
    if (!options->quiet)
        open_stderr(target);
    *ret_target = TAKE(target);
    return 0;
}

void
log_target_free(struct log_target *target)
{
    if (target == NULL)
        return;
    fd_close(target->file);
    fd_close(target->journal);
    free(target->path);
    free(target->ident);
    free(target);
}

/* What cannot be written is lost: there is nowhere left to complain. */
static void
write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

/* "<6>" and the line, in one write. */
static void
write_prefixed(int fd, int priority, const struct log_line *line)
{
    char prefix[8];
    const int len = snprintf(prefix, sizeof(prefix), "<%d>", priority);
    const struct iovec parts[] = {
        {.iov_base = prefix, .iov_len = (size_t)len},
        {.iov_base = (void *)(uintptr_t)line->text, .iov_len = line->len},
    };

    (void)!writev(fd, parts, ARRAY_SIZE(parts));
}

/* openlog() remembers the pointer, so that a swap of targets takes effect with the next line. */
static void
write_syslog(const struct log_target *target, int priority, const char *message, size_t len)
{
    openlog(target->ident, LOG_PID, target->facility);
    syslog(priority, "%.*s", (int)len, message);
}

void
log_target_write(const struct log_target *target, const struct log_line *line)
{
    const char *message = line->text + line->message;
    const size_t message_len = line->len - line->message - 1;
    const int priority = priorities[line->level];

    if (target->file >= 0)
        write_all(target->file, line->text, line->len);
    if (target->with_prefix)
        write_prefixed(STDERR_FILENO, priority, line);
    else if (target->to_stderr)
        write_all(STDERR_FILENO, line->text, line->len);
    if (target->journal >= 0)
        (void)log_journal_write(target->journal, priority, message, message_len);
    if (target->ident != NULL)
        write_syslog(target, priority, message, message_len);
}
