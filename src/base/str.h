/* str.h - slices of bytes that somebody else owns.
 *
 * Bytes from outside have no NUL at their end and may hold any value. A slice never owns; where it
 * points to is said by the field or function that hands it out.
 */
#ifndef CURLEW_BASE_STR_H
#define CURLEW_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cc.h"

struct str {
    const char *p;
    size_t      n;
};

#define STR(lit)      ((struct str){ "" lit, sizeof(lit) - 1 })
#define STR_NULL      ((struct str){ NULL, 0 })
#define STR_FMT       "%.*s"
#define STR_ARG(s)    ((s).n > INT32_MAX ? INT32_MAX : (int)(s).n), ((s).p ? (s).p : "")

/* The bytes of a C string, without its NUL. NULL gives STR_NULL. */
struct str str_c(const char *z);

bool str_eq(struct str a, struct str b);
/* ASCII letters compare without case; everything else as bytes. */
bool str_eq_nocase(struct str a, struct str b);
/* <0, 0 or >0 by bytes, the shorter first where one is the head of the other. */
int  str_cmp(struct str a, struct str b);
bool str_starts(struct str s, struct str head);
bool str_ends(struct str s, struct str tail);

/* Offset of the first place in s at which needle begins, or SIZE_MAX. An empty needle is at 0. */
size_t str_find(struct str s, struct str needle);
/* Offset of the first byte c, or SIZE_MAX. */
size_t str_find_byte(struct str s, char c);

/* s from offset `at` (clamped), and the n bytes (clamped) that follow `at`. */
struct str str_from(struct str s, size_t at);
struct str str_sub(struct str s, size_t at, size_t n);

/* Without ASCII blanks (space, tab, CR, LF, VT, FF) at both ends. */
struct str str_trim(struct str s);

/* Take the part of *rest before the first `sep`; *rest becomes what follows it. Without a `sep`
 * the whole of *rest is taken and *rest becomes STR_NULL. False when *rest was STR_NULL already.
 *
 *     for (struct str rest = list, item; str_cut(&rest, ',', &item);) ...
 */
bool str_cut(struct str *rest, char sep, struct str *ret);

/* All of s is one decimal number with optional sign, in range: nothing before, nothing after. */
bool str_to_i64(struct str s, int64_t *ret);
bool str_to_u64(struct str s, uint64_t *ret);
/* One finite decimal number with optional fraction and exponent, whatever the locale. */
bool str_to_f64(struct str s, double *ret);

/* Copy s and a NUL into dst of `size` bytes, cut at a character border if too long; returns dst. */
char *str_copy_z(char *dst, size_t size, struct str s);

/* Write s to dst for a human: printable ASCII as it is, other bytes as \n, \t, \xNN, cut with "..."
 * after about `size` bytes; always NUL-terminated. For quoting a culprit in an error. Returns dst. */
char *str_quote(char *dst, size_t size, struct str s);

#endif
