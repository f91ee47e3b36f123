/* str.c - slices of bytes: compare, search, cut, convert. */
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

struct str str_c(const char *z)
{
    return z ? (struct str){ z, strlen(z) } : STR_NULL;
}

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i])) return false;
    return true;
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int    c = n ? memcmp(a.p, b.p, n) : 0;

    if (c) return c;
    return a.n < b.n ? -1 : a.n > b.n;
}

bool str_starts(struct str s, struct str head)
{
    return s.n >= head.n && (head.n == 0 || memcmp(s.p, head.p, head.n) == 0);
}

bool str_ends(struct str s, struct str tail)
{
    return s.n >= tail.n && (tail.n == 0 || memcmp(s.p + (s.n - tail.n), tail.p, tail.n) == 0);
}

size_t str_find(struct str s, struct str needle)
{
    if (needle.n == 0) return 0;
    if (needle.n > s.n) return SIZE_MAX;
    const char *hit = memmem(s.p, s.n, needle.p, needle.n);
    return hit ? (size_t)(hit - s.p) : SIZE_MAX;
}

size_t str_find_byte(struct str s, char c)
{
    const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;
    return hit ? (size_t)(hit - s.p) : SIZE_MAX;
}

struct str str_from(struct str s, size_t at)
{
    if (!s.p) return STR_NULL;
    if (at > s.n) at = s.n;
    return (struct str){ s.p + at, s.n - at };
}

struct str str_sub(struct str s, size_t at, size_t n)
{
    struct str tail = str_from(s, at);

    if (tail.n > n) tail.n = n;
    return tail;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
    while (s.n && is_blank(s.p[0])) s = str_from(s, 1);
    while (s.n && is_blank(s.p[s.n - 1])) s.n--;
    return s;
}

bool str_cut(struct str *rest, char sep, struct str *ret)
{
    if (!rest->p) return false;
    size_t at = str_find_byte(*rest, sep);

    if (at == SIZE_MAX) {
        *ret  = *rest;
        *rest = STR_NULL;
        return true;
    }
    *ret  = str_sub(*rest, 0, at);
    *rest = str_from(*rest, at + 1);
    return true;
}

bool str_to_u64(struct str s, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.n && s.p[0] == '+') s = str_from(s, 1);
    if (s.n == 0) return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        if (__builtin_mul_overflow(v, (uint64_t)10, &v)) return false;
        if (__builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v)) return false;
    }
    *ret = v;
    return true;
}

bool str_to_i64(struct str s, int64_t *ret)
{
    bool     neg = s.n && s.p[0] == '-';
    uint64_t v;

    if (neg) {
        s = str_from(s, 1);
        if (s.n && s.p[0] == '+') return false;
    }
    if (!str_to_u64(s, &v)) return false;
    if (v > (uint64_t)INT64_MAX + (neg ? 1 : 0)) return false;
    *ret = neg ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool str_to_f64(struct str s, double *ret)
{
    char  z[64];
    char *end;

    if (s.n == 0 || s.n >= sizeof z) return false;
    for (size_t i = 0; i < s.n; i++) // no hex, no "inf", no "nan", no blanks
        if (!strchr("0123456789+-.eE", s.p[i]) || s.p[i] == 0) return false;
    memcpy(z, s.p, s.n);
    z[s.n] = 0;

    double v = strtod(z, &end); // programs never call setlocale: the C locale has '.'
    if (end != z + s.n || !isfinite(v)) return false;
    *ret = v;
    return true;
}

char *str_copy_z(char *dst, size_t size, struct str s)
{
    if (size == 0) return dst;
    size_t n = s.n < size ? s.n : size - 1;

    if (n < s.n) n = utf8_cut((struct str){ s.p, n });
    if (n) memcpy(dst, s.p, n);
    dst[n] = 0;
    return dst;
}

char *str_quote(char *dst, size_t size, struct str s)
{
    size_t at = 0;

    if (size < 8) {
        if (size) dst[0] = 0;
        return dst;
    }
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        char          one[5];

        if (c == '\n') snprintf(one, sizeof one, "\\n");
        else if (c == '\r') snprintf(one, sizeof one, "\\r");
        else if (c == '\t') snprintf(one, sizeof one, "\\t");
        else if (c < 0x20 || c >= 0x7f) snprintf(one, sizeof one, "\\x%02x", (unsigned)c);
        else snprintf(one, sizeof one, "%c", c);

        size_t n = strlen(one);
        if (at + n + 4 > size) { // leave room for "..." and NUL
            memcpy(dst + at, "...", 4);
            return dst;
        }
        memcpy(dst + at, one, n);
        at += n;
    }
    dst[at] = 0;
    return dst;
}
