/* err.h - how a failure explains itself.
 *
 * A function that can fail returns 0 or a negative error code and fills the caller's struct err once,
 * where the facts are. Rooms return errors; programs and replies show them.
 */
#ifndef CURLEW_BASE_ERR_H
#define CURLEW_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

#include "base/cc.h"

enum err_code {
    ERR_NONE = 0,
#define ERR_ROW(name, status, type, code, retry) ERR_##name,
#include "base/err.def"
#undef ERR_ROW
    ERR_CODES
};

#define ERR_MSG_MAX   512
#define ERR_PARAM_MAX 64

struct err {
    enum err_code code;
    char          param[ERR_PARAM_MAX]; // the request field at fault ("messages[0].role"), or ""
    char          msg[ERR_MSG_MAX];     // starts lower case, no full stop, quotes the culprit
};

/* Fill *e (may be NULL) and return -code, so that `return err_set(...)` is the whole error path. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
int err_setv(struct err *e, enum err_code code, const char *fmt, va_list ap) PRINTF_LIKE(3, 0);

/* The same with the name of the request field at fault. */
int err_param(struct err *e, enum err_code code, const char *param, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Put "what: " in front of the message of *e; returns -e->code. For a caller that knows which file
 * or which request it was. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Out of memory while `what`. */
int err_nomem(struct err *e, const char *what);

/* errno as text, in words; never NULL; any thread. */
const char *err_errno(int errnum);

/* The row of a code in err.def. Unknown codes give the row of INTERNAL. */
struct err_row {
    const char *name;   // "CONTEXT_LENGTH"
    int         status; // HTTP
    const char *type;   // API error type
    const char *code;   // API error code, or NULL
    bool        retry;
};
const struct err_row *err_row(enum err_code code);

#endif
