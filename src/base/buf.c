/* buf.c - a growing run of bytes with a ceiling. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void buf_init(struct buf *b, size_t bytes_max)
{
    *b = (struct buf){ .max = bytes_max };
}

void buf_release(struct buf *b)
{
    if (!b) return;
    mem_free(b->p);
    *b = (struct buf){ .max = b->max };
}

void buf_clear(struct buf *b)
{
    b->n      = 0;
    b->failed = false;
}

char *buf_room(struct buf *b, size_t n)
{
    if (b->failed) return NULL;
    if (n > b->max || b->n > b->max - n || mem_grow(&b->p, &b->cap, b->n + n, 1, b->max) < 0) {
        b->failed = true;
        return NULL;
    }
    char *p = b->p + b->n;
    b->n += n;
    return p;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    if (n == 0) return;
    char *dst = buf_room(b, n);

    if (dst) memcpy(dst, p, n);
}

void buf_str(struct buf *b, struct str s)
{
    buf_put(b, s.p, s.n);
}

void buf_byte(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    char    small[256];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if ((size_t)n < sizeof small) {
        buf_put(b, small, (size_t)n);
        return;
    }
    char *dst = buf_room(b, (size_t)n + 1); // the NUL goes again below
    if (!dst) return;
    va_start(ap, fmt);
    vsnprintf(dst, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n--;
}

void buf_u64(struct buf *b, uint64_t v)
{
    char  digits[20];
    char *p = digits + sizeof digits;

    do *--p = (char)('0' + v % 10);
    while (v /= 10);
    buf_put(b, p, (size_t)(digits + sizeof digits - p));
}

void buf_i64(struct buf *b, int64_t v)
{
    if (v < 0) buf_byte(b, '-');
    buf_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void buf_drop(struct buf *b, size_t n)
{
    if (n > b->n) n = b->n;
    b->n -= n;
    if (n && b->n) memmove(b->p, b->p + n, b->n);
}

struct str buf_text(const struct buf *b)
{
    return (struct str){ b->p ? b->p : "", b->n };
}
