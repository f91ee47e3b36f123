/* err.c - fill and look up errors. */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

static const struct err_row rows[ERR_CODES] = {
    [ERR_NONE] = { "NONE", 200, "", NULL, false },
#define ERR_ROW(name, status, type, code, retry) [ERR_##name] = { #name, status, type, code, retry },
#include "base/err.def"
#undef ERR_ROW
};

int err_setv(struct err *e, enum err_code code, const char *fmt, va_list ap)
{
    if (e) {
        e->code     = code;
        e->param[0] = 0;
        vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    }
    return -(int)code;
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int rc = err_setv(e, code, fmt, ap);
    va_end(ap);
    return rc;
}

int err_param(struct err *e, enum err_code code, const char *param, const char *fmt, ...)
{
    va_list ap;
    char    name[ERR_PARAM_MAX]; // param may point into e->param

    str_copy_z(name, sizeof name, str_c(param));
    va_start(ap, fmt);
    int rc = err_setv(e, code, fmt, ap);
    va_end(ap);
    if (e) memcpy(e->param, name, sizeof name);
    return rc;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    if (!e) return -(int)ERR_INTERNAL;
    char    old[ERR_MSG_MAX];
    va_list ap;

    memcpy(old, e->msg, sizeof old);
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    size_t n = strlen(e->msg);
    if (n < sizeof e->msg - 1) str_copy_z(e->msg + n, sizeof e->msg - n, STR(": "));
    n = strlen(e->msg);
    if (n < sizeof e->msg - 1) str_copy_z(e->msg + n, sizeof e->msg - n, str_c(old));
    return -(int)e->code;
}

int err_nomem(struct err *e, const char *what)
{
    return err_set(e, ERR_NO_MEMORY, "out of memory while %s", what);
}

const char *err_errno(int errnum)
{
    const char *s = strerrordesc_np(errnum);
    return s ? s : "unknown error";
}

const struct err_row *err_row(enum err_code code)
{
    if ((unsigned)code >= ERR_CODES) code = ERR_INTERNAL;
    return &rows[code];
}
