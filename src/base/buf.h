/* buf.h - a growing run of bytes with a ceiling.
 *
 * Failure is sticky: once an append failed (out of memory or over the ceiling) the buffer takes no
 * more, and the caller checks once at the end (`failed`). What was there before stays readable.
 */
#ifndef CURLEW_BASE_BUF_H
#define CURLEW_BASE_BUF_H

#include "base/str.h"

struct buf {
    char  *p;      // owned
    size_t n;      // bytes in use
    size_t cap;
    size_t max;    // ceiling of n
    bool   failed;
};

void buf_init(struct buf *b, size_t bytes_max); // allocates nothing yet
void buf_release(struct buf *b);                // NULL is fine; ready for buf_init
void buf_clear(struct buf *b);                  // empty, not failed, memory kept

void buf_put(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, struct str s);
void buf_byte(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_u64(struct buf *b, uint64_t v);        // decimal
void buf_i64(struct buf *b, int64_t v);         // decimal

/* Room for n more bytes at the end, uninitialised, already counted in b->n; NULL on failure. */
NODISCARD char *buf_room(struct buf *b, size_t n);
/* Drop the first n bytes (clamped). */
void buf_drop(struct buf *b, size_t n);

struct str buf_text(const struct buf *b);       // borrowed until the next change

#endif
