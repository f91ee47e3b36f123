/* tok_scan.h - pre-tokenizer patterns as hand-written scanners.
 *
 * A pre-tokenizer is a chain of stages; each cuts the pieces of the one before. A stage is defined by
 * a regular expression; the common ones have a scanner here that finds the same matches in one pass
 * over the bytes (a test holds the two equal), the others run under PCRE2 (tok_re.h).
 */
#ifndef CURLEW_TOKEN_TOK_SCAN_H
#define CURLEW_TOKEN_TOK_SCAN_H

#include "token/tok_uni.h"

enum scan_kind {
    SCAN_GPT2,    // 's|'t|...| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
    SCAN_CL100K,  // GPT-4's: (?i:'s|...)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|...
    SCAN_O200K,   // GPT-4o's: words split where lower case turns to upper
    SCAN_DSV3,    // DeepSeek-V3's last stage
    SCAN_RUN,     // X?[set]{1,max}, gaps between are pieces of their own
    SCAN_DIGITS3, // digits in threes counted from the right end of the run, "1 234 567"
    SCAN_TRAIL,   // \s+ at the end of a piece
    SCAN_REGEX,   // PCRE2
    SCAN_LITERAL, // one fixed string
};

enum scan_flag {
    SCAN_MARKS     = 1 << 0, // CL100K: letters are [\p{L}\p{M}] (qwen35)
    SCAN_SLASH     = 1 << 1, // punctuation takes [\r\n/]* after it, not [\r\n]*
    SCAN_NO_TAIL   = 1 << 2, // ... takes nothing
    SCAN_TAIL_ONE  = 1 << 3, // ... takes [\r\n/]? (exaone-moe)
    SCAN_NO_SUFFIX = 1 << 4, // O200K: words end without their contractions ('s)
    SCAN_HAN       = 1 << 5, // O200K: runs of Han are pieces, and no part of words (kimi-k2)
    SCAN_CASCADE   = 1 << 6, // spaces in runs of 512, 256 ... 4, 2, 1 (jais-2)
    SCAN_JOIN      = 1 << 7, // CL100K: single spaces join words (exaone-moe)
    SCAN_NL_CHAR   = 1 << 8, // a line break is a piece of its own, not \s*[\r\n]+ (spark2_5)
    SCAN_DECIMAL   = 1 << 9, // DIGITS3: \d, not \p{N}
    SCAN_EDGE      = 1 << 10, // DIGITS3: the run must end at a word border
    SCAN_POINTS    = 1 << 11, // DIGITS3: only the cuts before groups of three (superbpe)
};

struct scan_range {
    uint32_t first, last;
};

struct scan_stage {
    enum scan_kind kind;
    const char    *re;      // the same in PCRE2's words (UTF, UCP); for SCAN_LITERAL the string
    unsigned       flags;   // enum scan_flag
    int            digits;  // CL100K, O200K: most digits in a piece; 0: no limit, -1: none taken

    /* SCAN_RUN */
    uint8_t                  set;     // enum uni_bit: characters of these classes ...
    const struct scan_range *range;   // [n_range] ... or in these ranges, ascending
    int                      n_range;
    bool                     negate;  // ... or else those in neither
    char                     before;  // 0; ' ': one space may come first; 's': any white space
    int                      max;     // most characters of the set; 0: no limit
    bool                     exact;   // {max}: fewer are no match
    uint64_t                 ascii[2]; // filled by scan_init: which ASCII characters belong
};

/* What one walk over a text keeps between calls, so that no stretch is looked at twice. */
struct scan {
    const struct uni *uni;
    const char       *text;
    size_t            calm_end;  // white space up to here holds no line break
    uint64_t          looked;    // bytes seen beyond what matched: a test holds their sum linear
    size_t            digit_end; // the run of digits that was last looked at ends here
};

/* Fill what a stage derives from its other fields. */
void scan_init(struct scan_stage *stage);

/* The first match of stage (not REGEX) in text[at, end): true and its borders. No match is empty. */
bool scan_next(struct scan *s, const struct scan_stage *stage, size_t at, size_t end, size_t *from,
               size_t *to);

#endif
