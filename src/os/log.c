#include "log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "fd.h"
#include "log_int.h"

/* A longer message is cut, and ends in "...". */
#define MESSAGE_MAX 8192

static const char *const level_names[] = {
    [LOG_LEVEL_FATAL] = "FATAL", [LOG_LEVEL_ERROR] = "ERROR", [LOG_LEVEL_WARNING] = "WARNING",
    [LOG_LEVEL_INFO] = "LOG",    [LOG_LEVEL_DEBUG] = "DEBUG", [LOG_LEVEL_NOISE] = "NOISE",
};

static struct log_target before_open = {.file = -1, .journal = -1, .to_stderr = true};

/* The lock keeps lines whole and apart, and guards the target against a swap. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct log_target *current = &before_open;

atomic_int log_level_max = LOG_LEVEL_INFO;

/* Our process id, so that a line costs no system call for it; 0: to be asked for. */
static atomic_int process_id;

static void
forget_process_id(void)
{
    atomic_store_explicit(&process_id, 0, memory_order_relaxed);
}

static int
get_process_id(void)
{
    int pid = atomic_load_explicit(&process_id, memory_order_relaxed);

    if (pid == 0) {
        pid = (int)getpid();
        (void)pthread_atfork(NULL, NULL, forget_process_id);
        atomic_store_explicit(&process_id, pid, memory_order_relaxed);
    }
    return pid;
}

static void
swap_target(struct log_target *target)
{
    struct log_target *old;

    (void)pthread_mutex_lock(&lock);
    old = current;
    current = target;
    (void)pthread_mutex_unlock(&lock);
    if (old != &before_open)
        log_target_free(old);
}

int
log_open(const struct log_options *options)
{
    struct log_target *target;
    const int r = log_target_new(options, &target);

    if (r < 0)
        return r;
    log_set_level(options->level);
    swap_target(target);
    return 0;
}

int
log_reopen(void)
{
    int file;
    int old;

    if (current->path == NULL)
        return 0;
    file = log_target_open_file(current->path);
    if (file < 0)
        return file;
    (void)pthread_mutex_lock(&lock);
    old = current->file;
    current->file = file;
    (void)pthread_mutex_unlock(&lock);
    fd_close(old);
    return 0;
}

void
log_close(void)
{
    swap_target(&before_open);
}

void
log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level_max, (int)level, memory_order_relaxed);
}

static bool
is_c1(unsigned char c)
{
    return c >= 0x80 && c < 0xa0;
}

/* Whether c steers terminals or ends lines. In UTF-8 the C1 controls are two bytes, the first C2.
 */
static bool
is_control(unsigned char before, unsigned char c, unsigned char after)
{
    return c < 0x20 || c == 0x7f || (c == 0xc2 && is_c1(after)) || (before == 0xc2 && is_c1(c));
}

static const char *
escape(unsigned char c, char escaped[static 8])
{
    switch (c) {
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        (void)snprintf(escaped, 8, "\\x%02x", c);
        return escaped;
    }
}

/* Appends str with its control characters escaped; room for the newline is left. */
static void
line_add(struct log_line *line, const char *str)
{
    unsigned char before = '\0';

    for (; *str != '\0'; before = (unsigned char)*str++) {
        const bool control = is_control(before, (unsigned char)str[0], (unsigned char)str[1]);
        char escaped[8];
        const char *as = control ? escape((unsigned char)*str, escaped) : str;
        const size_t len = control ? strlen(as) : 1;

        if (line->len + len >= sizeof(line->text))
            return;
        memcpy(line->text + line->len, as, len);
        line->len += len;
    }
}

static void
line_begin(struct log_line *line, enum log_level level)
{
    char now[CLOCK_TEXT_MAX];
    const int len = snprintf(line->text, sizeof(line->text), "%s [%d] %s ",
                             clock_format(now, clock_wall()), get_process_id(), level_names[level]);

    line->level = level;
    line->len = (size_t)len;
    line->message = line->len;
}

void
log_vmsg(enum log_level level, const char *subject, const char *format, va_list args)
{
    const int saved_errno = errno; /* "%m" means the caller's */
    char message[MESSAGE_MAX];
    struct log_line line;
    int len;

    if (!log_level_enabled(level))
        return;
    len = vsnprintf(message, sizeof(message), format, args);
    if (len >= (int)sizeof(message))
        memcpy(message + sizeof(message) - 4, "...", 4);
    line_begin(&line, level);
    if (subject != NULL) {
        line_add(&line, subject);
        line_add(&line, " ");
    }
    line_add(&line, len < 0 ? format : message);
    line.text[line.len++] = '\n';

    (void)pthread_mutex_lock(&lock);
    log_target_write(current, &line);
    (void)pthread_mutex_unlock(&lock);
    errno = saved_errno;
}

void
log_msg(enum log_level level, const char *subject, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_vmsg(level, subject, format, args);
    va_end(args);
}
