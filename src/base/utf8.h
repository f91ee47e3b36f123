/* utf8.h - UTF-8 as Unicode defines it (The Unicode Standard 15, sec. 3.9, table 3-7): no overlong
 * forms, no surrogates, nothing above U+10FFFF. */
#ifndef CURLEW_BASE_UTF8_H
#define CURLEW_BASE_UTF8_H

#include "base/buf.h"

#define UTF8_MAX 4 // bytes of the longest character

/* Decode the character at the head of s.
 * Returns its length 1..4 and sets *cp; 0 when s is empty; on ill-formed bytes returns minus the
 * length (1..3) of the maximal ill-formed part, which a decoder replaces by one U+FFFD. */
int utf8_decode(struct str s, uint32_t *cp);

/* Write cp (a scalar value) to dst and return the bytes used, 1..4. */
int utf8_encode(uint32_t cp, char dst[UTF8_MAX]);

/* All of s is well-formed. */
bool utf8_valid(struct str s);

/* Offset of the first ill-formed byte, or s.n. */
size_t utf8_check(struct str s);

/* How many bytes at the end of s are the head of a character that may still be completed: 0..3.
 * 0 when s ends on a character border or in bytes that can never become a character. */
size_t utf8_tail(struct str s);

/* s.n less an incomplete character at its end: where a text may be cut. */
size_t utf8_cut(struct str s);

/* Number of characters of well-formed s; each ill-formed part counts as one. */
size_t utf8_count(struct str s);

/* Bytes in pieces, cut anywhere, to whole characters: at most 3 bytes are held back; what can never
 * become a character comes out as U+FFFD, one for each maximal ill-formed part. Zeroed to begin. */
struct utf8_stream {
    char held[UTF8_MAX];
    int  n_held;
};
void utf8_stream_put(struct utf8_stream *s, struct str bytes, struct buf *out);
void utf8_stream_end(struct utf8_stream *s, struct buf *out); // what is held is incomplete: U+FFFD

#endif
