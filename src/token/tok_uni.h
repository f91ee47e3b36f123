/* tok_uni.h - what pre-tokenizers ask of a character: a byte of class bits, and a few scripts. */
#ifndef CURLEW_TOKEN_TOK_UNI_H
#define CURLEW_TOKEN_TOK_UNI_H

#include "base/str.h"

/* General categories, folded to what the patterns distinguish. No bit: control, format, unassigned,
 * private use, and bytes that are not UTF-8. */
enum uni_bit {
    UNI_UPPER = 1 << 0, // Lu Lt
    UNI_LOWER = 1 << 1, // Ll
    UNI_OTHER = 1 << 2, // Lm Lo
    UNI_MARK  = 1 << 3, // Mn Mc Me
    UNI_NUM   = 1 << 4, // Nd Nl No
    UNI_PUNCT = 1 << 5, // Pc Pd Ps Pe Pi Pf Po
    UNI_SYM   = 1 << 6, // Sm Sc Sk So
    UNI_SPACE = 1 << 7, // White_Space=yes: regex \s
    UNI_LETTER = UNI_UPPER | UNI_LOWER | UNI_OTHER,
};

/* The classes of all characters below U+10000; the others are looked up one by one. Filled once per
 * vocabulary (half a millisecond), then read-only. */
struct uni {
    uint8_t cls[0x10000];
};

void    uni_init(struct uni *u);
uint8_t uni_class_of(uint32_t cp); // from the Unicode tables; any value is fine

static inline uint8_t uni_class(const struct uni *u, uint32_t cp)
{
    return cp < 0x10000 ? u->cls[cp] : uni_class_of(cp);
}

/* The character at text[at], at < n: its length 1..4 and value. A byte that begins no well-formed
 * character counts as one character of value UNI_BAD, which has no class. */
#define UNI_BAD 0xFFFFFFFFu
int uni_next_slow(const char *text, size_t at, size_t n, uint32_t *cp);

static inline int uni_next(const char *text, size_t at, size_t n, uint32_t *cp)
{
    unsigned char c = (unsigned char)text[at];
    if (LIKELY(c < 0x80)) {
        *cp = c;
        return 1;
    }
    return uni_next_slow(text, at, n, cp);
}

/* Its class, with the length in *len. */
static inline uint8_t uni_class_at(const struct uni *u, const char *text, size_t at, size_t n, int *len)
{
    uint32_t cp;
    *len = uni_next(text, at, n, &cp);
    return uni_class(u, cp);
}

bool uni_is_han(uint32_t cp); // Script=Han
bool uni_is_cjk(uint32_t cp); // what BERT splits one by one (its basic tokenizer's blocks)

/* text is in normalisation form C for certain. False means: perhaps not. */
bool uni_surely_nfc(struct str text);

#endif
