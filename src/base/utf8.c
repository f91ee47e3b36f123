/* utf8.c - decode, encode, validate and cut UTF-8. */
#include "base/utf8.h"

#include <string.h>

/* What may follow a lead byte: how many bytes, and the range of the first of them (the others are
 * 80..BF). Unicode table 3-7. */
static int lead_info(unsigned char c, unsigned char *lo, unsigned char *hi)
{
    *lo = 0x80;
    *hi = 0xBF;
    if (c < 0xC2) return 0;
    if (c < 0xE0) return 1;
    if (c < 0xF0) {
        if (c == 0xE0) *lo = 0xA0;
        if (c == 0xED) *hi = 0x9F;
        return 2;
    }
    if (c < 0xF5) {
        if (c == 0xF0) *lo = 0x90;
        if (c == 0xF4) *hi = 0x8F;
        return 3;
    }
    return 0;
}

int utf8_decode(struct str s, uint32_t *cp)
{
    const unsigned char *p = (const unsigned char *)s.p;
    unsigned char        lo, hi;

    if (s.n == 0) return 0;
    if (p[0] < 0x80) {
        *cp = p[0];
        return 1;
    }
    int more = lead_info(p[0], &lo, &hi);
    if (more == 0) return -1;

    uint32_t v = p[0] & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((size_t)i >= s.n || p[i] < lo || p[i] > hi) return -i;
        v  = v << 6 | (p[i] & 0x3F);
        lo = 0x80;
        hi = 0xBF;
    }
    *cp = v;
    return more + 1;
}

int utf8_encode(uint32_t cp, char dst[UTF8_MAX])
{
    if (cp < 0x80) {
        dst[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        dst[0] = (char)(0xC0 | cp >> 6);
        dst[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        dst[0] = (char)(0xE0 | cp >> 12);
        dst[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        dst[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    dst[0] = (char)(0xF0 | cp >> 18);
    dst[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    dst[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    dst[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

size_t utf8_check(struct str s)
{
    size_t   at = 0;
    uint32_t cp;

    while (at < s.n) {
        if ((unsigned char)s.p[at] < 0x80) {
            at++;
            continue;
        }
        int n = utf8_decode(str_from(s, at), &cp);
        if (n <= 0) return at;
        at += (size_t)n;
    }
    return at;
}

bool utf8_valid(struct str s)
{
    return utf8_check(s) == s.n;
}

size_t utf8_tail(struct str s)
{
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        unsigned char c = (unsigned char)s.p[s.n - back];
        unsigned char lo, hi;
        uint32_t      cp;

        if (c < 0x80) return 0;
        if (c < 0xC0) continue; // a continuation byte: look further back for its lead
        if ((size_t)lead_info(c, &lo, &hi) < back) return 0; // complete, or no lead at all
        /* ill-formed within the bytes we have: it can never be completed */
        int n = utf8_decode((struct str){ s.p + (s.n - back), back }, &cp);
        return n == -(int)back ? back : 0;
    }
    return 0;
}

size_t utf8_cut(struct str s)
{
    return s.n - utf8_tail(s);
}

size_t utf8_count(struct str s)
{
    size_t   count = 0;
    uint32_t cp;

    for (size_t at = 0; at < s.n; count++) {
        int n = utf8_decode(str_from(s, at), &cp);
        at += (size_t)(n > 0 ? n : -n);
    }
    return count;
}

/* Append all of s but an incomplete character at its end, whose length is returned. */
static size_t put_whole(struct str s, struct buf *out)
{
    size_t tail = utf8_tail(s);

    s.n -= tail;
    for (size_t bad; (bad = utf8_check(s)) < s.n;) {
        uint32_t cp;
        int      n = utf8_decode(str_from(s, bad), &cp);
        buf_put(out, s.p, bad);
        buf_str(out, STR("\xEF\xBF\xBD"));
        s = str_from(s, bad + (size_t)-n);
    }
    buf_str(out, s);
    return tail;
}

void utf8_stream_put(struct utf8_stream *s, struct str bytes, struct buf *out)
{
    /* finish the held character byte by byte: it takes at most three */
    while (s->n_held && bytes.n) {
        char joined[UTF8_MAX + 1];
        memcpy(joined, s->held, (size_t)s->n_held);
        joined[s->n_held] = bytes.p[0];
        bytes             = str_from(bytes, 1);
        struct str one    = { joined, (size_t)s->n_held + 1 };
        size_t     tail   = put_whole(one, out);
        memcpy(s->held, joined + (one.n - tail), tail);
        s->n_held = (int)tail;
    }
    if (bytes.n == 0) return;
    size_t tail = put_whole(bytes, out);
    memcpy(s->held, bytes.p + (bytes.n - tail), tail);
    s->n_held = (int)tail;
}

void utf8_stream_end(struct utf8_stream *s, struct buf *out)
{
    if (s->n_held) buf_str(out, STR("\xEF\xBF\xBD"));
    s->n_held = 0;
}
