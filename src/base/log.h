/* log.h - lines for operators, and traces for us.
 *
 * One event, one line on stderr:  <level> <event> key=value key="value with blanks" ...
 * Prompts, outputs and API keys appear in no log line; in a trace only with TRACE=text.
 *
 *     log_info("worker_ready", "model=%s load_ms=%u", id, ms);
 *     TRACE(TRACE_SCHED, "plan rows=%d", n);
 */
#ifndef CURLEW_BASE_LOG_H
#define CURLEW_BASE_LOG_H

#include <stdbool.h>

#include "base/cc.h"

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

/* Set once at start. `who` ("front", "worker[qwen3]") stands in every line. */
void log_init(enum log_level level, const char *who);
/* Lines go to this descriptor (borrowed) instead of stderr. */
void log_to(int fd);

void log_write(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_error(...) log_write(LOG_LVL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LVL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LVL_DEBUG, __VA_ARGS__)

enum trace_bit {
    TRACE_HTTP    = 1 << 0,
    TRACE_CHAN    = 1 << 1,
    TRACE_SCHED   = 1 << 2,
    TRACE_SESSION = 1 << 3,
    TRACE_ENGINE  = 1 << 4,
    TRACE_PROC    = 1 << 5,
    TRACE_TEXT    = 1 << 6, // prompts and outputs may appear
    TRACE_ALL     = (1 << 7) - 1,
};

extern unsigned trace_mask; // read-only but for trace_init

/* Parse TRACE ("http,sched"); NULL for none. False when a name is unknown: *bad is set to it. */
bool trace_init(const char *names, const char **bad);
void trace_write(const char *fmt, ...) PRINTF_LIKE(1, 2);

#define TRACE(bit, ...)                                         \
    do {                                                        \
        if (UNLIKELY(trace_mask & (bit))) trace_write(__VA_ARGS__); \
    } while (0)

#endif
