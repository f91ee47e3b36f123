/* log.c - one line to stderr, written at once so that processes do not mix their lines. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"

unsigned trace_mask;

static enum log_level level_max = LOG_LVL_INFO;
static char           who_am_i[64] = "curlew";
static int            log_fd        = STDERR_FILENO;

static const char *const level_names[] = { "error", "warn", "info", "debug" };

static const struct {
    const char *name;
    unsigned    bit;
} traces[] = {
    { "http", TRACE_HTTP },       { "chan", TRACE_CHAN },     { "sched", TRACE_SCHED },
    { "session", TRACE_SESSION }, { "engine", TRACE_ENGINE }, { "proc", TRACE_PROC },
    { "text", TRACE_TEXT },       { "all", TRACE_ALL },
};

void log_init(enum log_level level, const char *who)
{
    level_max = level;
    str_copy_z(who_am_i, sizeof who_am_i, str_c(who));
}

void log_to(int fd)
{
    log_fd = fd;
}

PRINTF_LIKE(3, 0)
static void write_line(const char *kind, const char *event, const char *fmt, va_list ap)
{
    char    line[LIM_LOG_LINE_BYTES];
    int64_t us = clock_wall_us();
    int     n  = snprintf(line, sizeof line, "%lld.%03d %s %s: %s%s", (long long)(us / 1000000),
                          (int)(us / 1000 % 1000), kind, who_am_i, event, *event ? " " : "");

    if (n < 0) return;
    size_t at = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    int    m  = vsnprintf(line + at, sizeof line - at, fmt, ap);
    if (m > 0) at += (size_t)m;
    if (at > sizeof line - 2) at = sizeof line - 2;
    for (size_t i = 0; i < at; i++) // a line stays a line, whatever came in
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) line[i] = ' ';
    line[at++] = '\n';
    ssize_t done = write(log_fd, line, at);
    (void)done; // nowhere to complain to
}

void log_write(enum log_level level, const char *event, const char *fmt, ...)
{
    va_list ap;

    if (level > level_max) return;
    va_start(ap, fmt);
    write_line(level_names[level], event, fmt, ap);
    va_end(ap);
}

void trace_write(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    write_line("trace", "", fmt, ap);
    va_end(ap);
}

bool trace_init(const char *names, const char **bad)
{
    struct str rest = names && *names ? str_c(names) : STR_NULL;
    struct str name;

    trace_mask = 0;
    while (str_cut(&rest, ',', &name)) {
        size_t i = 0;
        while (i < ARRAY_LEN(traces) && !str_eq(name, str_c(traces[i].name))) i++;
        if (i == ARRAY_LEN(traces)) {
            *bad = name.p;
            return false;
        }
        trace_mask |= traces[i].bit;
    }
    return true;
}
