/* tok_scan.c - the scanners: what the regular expressions match, found in one pass.
 *
 * Each function states the alternatives it stands for. Their order decides, and a later alternative
 * is tried only where all before it fail, so most of the work is to see which one applies from the
 * first one or two characters. `at < end` everywhere; the end of a piece counts as the end of text
 * (a look-ahead sees nothing behind it).
 */
#include "token/tok_scan.h"

#include <utf8proc.h>

#include "base/utf8.h"

#define IS_NL(c) ((c) == '\n' || (c) == '\r')

static uint8_t class_at(const struct scan *s, size_t at, size_t end, int *len)
{
    return uni_class_at(s->uni, s->text, at, end, len);
}

/* The end of the run of characters with a class in `set` that begins at `at`. */
static size_t run_of(const struct scan *s, uint8_t set, size_t at, size_t end)
{
    while (at < end) {
        unsigned char c = (unsigned char)s->text[at];
        int           len = 1;
        if (!((c < 0x80 ? s->uni->cls[c] : class_at(s, at, end, &len)) & set)) break;
        at += (size_t)len;
    }
    return at;
}

/* The end of the run of characters that have none of the classes in `set`. */
static size_t run_not(const struct scan *s, uint8_t set, size_t at, size_t end)
{
    while (at < end) {
        unsigned char c = (unsigned char)s->text[at];
        int           len = 1;
        if ((c < 0x80 ? s->uni->cls[c] : class_at(s, at, end, &len)) & set) break;
        at += (size_t)len;
    }
    return at;
}

static size_t run_max(const struct scan *s, uint8_t set, int max, size_t at, size_t end)
{
    if (!max) return run_of(s, set, at, end);
    for (int len; max-- > 0 && at < end && class_at(s, at, end, &len) & set;) at += (size_t)len;
    return at;
}

/* 's|'t|'re|'ve|'m|'ll|'d at `at`: its length, or 0. Without case, U+017F is an s too. */
static size_t contraction(const struct scan *s, bool fold, size_t at, size_t end)
{
    const unsigned char *p = (const unsigned char *)s->text + at;
    size_t               n = end - at;

    if (n < 2 || p[0] != '\'') return 0;
    unsigned a = fold ? p[1] | 0x20u : p[1];
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (n < 3) return 0;
    if (fold && p[1] == 0xC5 && p[2] == 0xBF) return 3;
    unsigned b = fold ? p[2] | 0x20u : p[2];
    if ((a == 'l' && b == 'l') || ((a == 'r' || a == 'v') && b == 'e')) return 3;
    return 0;
}

/* The start of the character that ends before `at`. */
static size_t step_back(const struct scan *s, size_t at)
{
    do at--;
    while (((unsigned char)s->text[at] & 0xC0) == 0x80);
    return at;
}

/* jais-2: \s{512}(?!\S)|\s{256}(?!\S)|...|\s{4}(?!\S)|\s{1,2}(?!\S)|\s; `stop` ends the run. */
static size_t space_cascade(const struct scan *s, size_t at, size_t stop, size_t end)
{
    size_t edge[514]; // edge[k]: where k characters end; at most 513 are looked at
    int    n = 0;

    edge[0] = at;
    for (int len; n < 513 && edge[n] < stop; n++) {
        class_at(s, edge[n], stop, &len);
        edge[n + 1] = edge[n] + (size_t)len;
    }
    for (int k = 512; k >= 4; k /= 2)
        if (n > k || (n == k && stop == end)) return edge[k];
    if (n > 2 || (n == 2 && stop == end)) return edge[2];
    return edge[1];
}

/* White space at `at`: \s*[\r\n]+|\s+(?!\S)|\s+, the first part absent with `flat`. */
static size_t space_end(struct scan *s, unsigned flags, bool flat, size_t at, size_t end)
{
    if (flags & SCAN_NL_CHAR) {
        if (IS_NL(s->text[at])) return at + 1;
        flat = true;
    }
    if (at >= s->calm_end) {
        size_t i = at, nl = 0;
        for (int len; i < end && class_at(s, i, end, &len) & UNI_SPACE; i += (size_t)len)
            if (IS_NL(s->text[i])) nl = i + 1;
        s->looked += i - at;
        if (nl && !flat) return nl;
        s->calm_end = i;
    }
    size_t stop = s->calm_end;
    if (flags & SCAN_CASCADE) return space_cascade(s, at, stop, end);
    if (stop == end) return stop;
    size_t last = step_back(s, stop);
    return last > at ? last : stop;
}

/* GPT-2: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t gpt2_end(struct scan *s, size_t at, size_t end)
{
    int     len;
    uint8_t k = class_at(s, at, end, &len);
    size_t  i = at;

    if (s->text[at] == '\'') {
        size_t n = contraction(s, false, at, end);
        if (n) return at + n;
    }
    if (s->text[at] == ' ' && at + 1 < end) {
        k = class_at(s, at + 1, end, &len);
        if (!(k & UNI_SPACE)) i = at + 1;
    }
    if (k & UNI_LETTER) return run_of(s, UNI_LETTER, i, end);
    if (k & UNI_NUM) return run_of(s, UNI_NUM, i, end);
    if (!(k & UNI_SPACE)) return run_not(s, UNI_SPACE | UNI_LETTER | UNI_NUM, i, end);
    return space_end(s, 0, true, at, end);
}

/* The end of \p{L}\p{M}*( ?\p{L}\p{M}*)* at a letter. */
static size_t joined_words(const struct scan *s, size_t at, size_t end)
{
    for (;;) {
        int len;
        at = run_of(s, UNI_LETTER, at, end);
        size_t m = run_of(s, UNI_MARK, at, end);
        if (m > at) {
            at = m;
            if (at < end && class_at(s, at, end, &len) & UNI_LETTER) continue;
        }
        if (at + 1 < end && s->text[at] == ' ' && class_at(s, at + 1, end, &len) & UNI_LETTER) {
            at++;
            continue;
        }
        return at;
    }
}

/* What follows a run of punctuation. */
static size_t punct_tail(const struct scan *s, unsigned flags, size_t at, size_t end)
{
    bool slash = flags & (SCAN_SLASH | SCAN_TAIL_ONE);

    if (flags & SCAN_NO_TAIL) return at;
    while (at < end && (IS_NL(s->text[at]) || (slash && s->text[at] == '/'))) {
        at++;
        if (flags & SCAN_TAIL_ONE) break;
    }
    return at;
}

/* GPT-4: (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
 *        |\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t cl100k_end(struct scan *s, const struct scan_stage *st, size_t at, size_t end)
{
    unsigned char c      = (unsigned char)s->text[at];
    uint8_t       letter = st->flags & SCAN_MARKS ? UNI_LETTER | UNI_MARK : UNI_LETTER;
    uint8_t       k, next = 0;
    int           len, len2;

    if (c == '\'') {
        size_t n = contraction(s, true, at, end);
        if (n) return at + n;
    }
    k        = class_at(s, at, end, &len);
    size_t i = at + (size_t)len;
    if (!(k & letter)) {
        if (k & UNI_NUM) return run_max(s, UNI_NUM, st->digits, at, end);
        if (i < end) next = class_at(s, i, end, &len2);
        if (next & (st->flags & SCAN_JOIN ? UNI_LETTER : letter) && !IS_NL(c)) {
            if (st->flags & SCAN_JOIN) return joined_words(s, i, end);
            return run_of(s, letter, i + (size_t)len2, end);
        }
    } else {
        return st->flags & SCAN_JOIN ? joined_words(s, at, end) : run_of(s, letter, i, end);
    }
    /* A space may lead punctuation; the rest is white space. */
    uint8_t word = letter | UNI_NUM | UNI_SPACE;
    if (!(k & UNI_SPACE) || (c == ' ' && i < end && !(next & word)))
        return punct_tail(s, st->flags, run_not(s, word, i, end), end);
    return space_end(s, st->flags, false, at, end);
}

#define O_UPPER (UNI_UPPER | UNI_OTHER | UNI_MARK) // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
#define O_LOWER (UNI_LOWER | UNI_OTHER | UNI_MARK) // [\p{Ll}\p{Lm}\p{Lo}\p{M}]

/* A character's class where Han is no part of words. */
static uint8_t class_no_han(const struct scan *s, size_t at, size_t end, int *len)
{
    uint32_t cp;
    *len = uni_next(s->text, at, end, &cp);
    return cp >= 0x2E80 && uni_is_han(cp) ? 0 : uni_class(s->uni, cp);
}

/* U*L+ or, failing that, U+L* at `at` (U, L as above): the end, or `at` when neither matches; *first
 * tells that it was the former.
 *
 *     U U U L L L      the lower-case run follows the upper-case one: take both
 *     U b U U          none follows: U* gives back until a character that is in L too ("b", Lo or a
 *         ^ end        mark); the match ends behind it. Without one, all of U.
 */
static size_t o200k_word(struct scan *s, bool han, size_t at, size_t end, bool *first)
{
    size_t i = at, both_end = 0;
    int    len;

    *first = true;
    for (; i < end; i += (size_t)len) {
        uint8_t k = han ? class_no_han(s, i, end, &len) : class_at(s, i, end, &len);
        if (!(k & O_UPPER)) {
            if (!(k & UNI_LOWER)) break;
            for (i += (size_t)len; i < end; i += (size_t)len) {
                k = han ? class_no_han(s, i, end, &len) : class_at(s, i, end, &len);
                if (!(k & O_LOWER)) break;
            }
            return i;
        }
        if (k & O_LOWER) both_end = i + (size_t)len;
    }
    s->looked += i - at;
    if (both_end) return both_end;
    *first = false;
    return i;
}

/* GPT-4o: [^\r\n\p{L}\p{N}]?U*L+(?i:'s|...)?|[^\r\n\p{L}\p{N}]?U+L*(?i:'s|...)?|\p{N}{1,3}
 *         | ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t o200k_end(struct scan *s, const struct scan_stage *st, size_t at, size_t end)
{
    unsigned char c   = (unsigned char)s->text[at];
    bool          han = st->flags & SCAN_HAN;
    int           len, len2;
    uint32_t      cp;

    if (han && c >= 0xE2) {
        size_t i = at;
        for (; i < end; i += (size_t)len) {
            len = uni_next(s->text, i, end, &cp);
            if (cp == UNI_BAD || !uni_is_han(cp)) break;
        }
        if (i > at) return i;
    }
    uint8_t k    = class_at(s, at, end, &len);
    size_t  i    = at + (size_t)len, word = at, from = at;
    bool    lead = !(k & (UNI_LETTER | UNI_NUM)) && !IS_NL(c);
    bool    first = false;
    if (lead) from = i;
    if (lead || k & UNI_LETTER) {
        if (from < end) word = o200k_word(s, han, from, end, &first);
        /* A mark at the head may be the lead or part of the word. Where the first alternative fails
         * behind it, it matches without a lead, the mark alone, before the second has its turn. */
        if (k & UNI_MARK && !first) word = i, first = true;
        if (first || word > from)
            return st->flags & SCAN_NO_SUFFIX ? word : word + contraction(s, true, word, end);
    }
    if (k & UNI_NUM) return run_max(s, UNI_NUM, st->digits, at, end);

    uint8_t next = i < end ? class_at(s, i, end, &len2) : 0;
    uint8_t stop = UNI_LETTER | UNI_NUM | UNI_SPACE;
    if (!(k & UNI_SPACE) || (c == ' ' && i < end && !(next & stop)))
        return punct_tail(s, st->flags, run_not(s, stop, i, end), end);
    return space_end(s, st->flags, false, at, end);
}

static bool is_ascii_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* DeepSeek-V3's last stage, whose alternatives do not cover all text:
 * [!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+
 * |\s+(?!\S)|\s+. Returns `at` when none matches here. */
static size_t dsv3_end(struct scan *s, const struct scan_stage *st, size_t at, size_t end)
{
    unsigned char c = (unsigned char)s->text[at];
    uint8_t       next = 0, word = UNI_LETTER | UNI_MARK, punct = UNI_PUNCT | UNI_SYM;
    int           len, len2;
    uint8_t       k = class_at(s, at, end, &len);
    size_t        i = at + (size_t)len;

    if (i < end) next = class_at(s, i, end, &len2);
    if (c < 0x80 && k & punct && i < end && is_ascii_alpha(s->text[i])) {
        while (i < end && is_ascii_alpha(s->text[i])) i++;
        return i;
    }
    if (k & word) return run_of(s, word, i, end);
    if (!(k & punct) && !IS_NL(c) && next & word) return run_of(s, word, i, end);
    if (k & punct || (c == ' ' && next & punct))
        return punct_tail(s, st->flags, run_of(s, punct, i, end), end);
    if (k & UNI_SPACE) return space_end(s, st->flags, false, at, end);
    return at;
}

static bool belongs(const struct scan *s, const struct scan_stage *st, uint32_t cp)
{
    if (cp < 0x80) return st->ascii[cp >> 6] >> (cp & 63) & 1;
    bool in = st->set & uni_class(s->uni, cp);
    int  lo = 0, hi = st->n_range;
    while (!in && lo < hi) {
        int mid = (lo + hi) / 2;
        if (cp < st->range[mid].first) hi = mid;
        else if (cp > st->range[mid].last) lo = mid + 1;
        else in = true;
    }
    return in != st->negate;
}

void scan_init(struct scan_stage *st)
{
    if (st->kind != SCAN_RUN) return;
    st->ascii[0] = st->ascii[1] = 0;
    for (uint32_t cp = 0; cp < 0x80; cp++) {
        bool in = st->set & uni_class_of(cp);
        for (int i = 0; i < st->n_range; i++) in |= cp >= st->range[i].first && cp <= st->range[i].last;
        if (in != st->negate) st->ascii[cp >> 6] |= (uint64_t)1 << (cp & 63);
    }
}

/* X?[set]{1,max} */
static bool run_next(struct scan *s, const struct scan_stage *st, size_t at, size_t end, size_t *from,
                     size_t *to)
{
    size_t   lead = SIZE_MAX; // the character before `at` may lead
    uint32_t cp;
    int      len;

    for (; at < end; at += (size_t)len) {
        len = uni_next(s->text, at, end, &cp);
        s->looked += (size_t)len;
        if (!belongs(s, st, cp)) {
            bool may = st->before && (cp == ' ' || (st->before == 's' && uni_class(s->uni, cp) & UNI_SPACE));
            lead     = may ? at : SIZE_MAX;
            continue;
        }
        size_t head = lead != SIZE_MAX ? lead : at;
        int    n    = 0;
        do {
            at += (size_t)len;
            n++;
            if (at >= end || n == st->max) break;
            len = uni_next(s->text, at, end, &cp);
        } while (belongs(s, st, cp));
        if (!st->exact || n == st->max) {
            *from = head;
            *to   = at;
            return true;
        }
        lead = SIZE_MAX;
        len  = 0; // go on at the character that ended the run
    }
    return false;
}

static bool is_digit(const struct scan *s, const struct scan_stage *st, size_t at, size_t end, int *len)
{
    uint32_t cp;
    *len = uni_next(s->text, at, end, &cp);
    if (!(uni_class(s->uni, cp) & UNI_NUM)) return false;
    return cp < 0x80 || !(st->flags & SCAN_DECIMAL) ||
           utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_ND;
}

/* Characters of regex \w. */
static bool is_word(const struct scan *s, size_t at, size_t end)
{
    uint32_t cp;
    uni_next(s->text, at, end, &cp);
    return uni_class(s->uni, cp) & (UNI_LETTER | UNI_MARK | UNI_NUM) ||
           (cp <= 0x10FFFF && utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_PC);
}

/* The next place at or after `at` where a group of digits begins, or `end`. The groups of a run are
 * of three, counted from its right end; the first may be shorter, and has no place of its own with
 * SCAN_POINTS. A run is counted once: behind its first group, all are of three. *n gets the size. */
static size_t group_next(struct scan *s, const struct scan_stage *st, size_t at, size_t end, int *n)
{
    int len;

    for (;;) {
        while (at < end && !is_digit(s, st, at, end, &len)) at += (size_t)len;
        if (at >= end) return end;
        *n = 3;
        if (at < s->digit_end) return at;

        size_t stop = at, count = 0;
        for (; stop < end && is_digit(s, st, stop, end, &len); stop += (size_t)len) count++;
        s->looked += stop - at;
        if (st->flags & SCAN_EDGE && stop < end && is_word(s, stop, end)) {
            at = stop;
            continue;
        }
        s->digit_end = stop;
        if (count % 3 == 0) return at;
        *n = (int)(count % 3);
        if (!(st->flags & SCAN_POINTS)) return at;
        for (; *n; --*n, at += (size_t)len) is_digit(s, st, at, end, &len);
    }
}

/* Runs of digits in groups of three from the right: \d{1,3}(?=(?:\d{3})*(?!\d)); with SCAN_POINTS
 * the pieces between the cuts (?=(?:\d{3})+(?!\d)). */
static bool digits3_next(struct scan *s, const struct scan_stage *st, size_t at, size_t end,
                         size_t *from, size_t *to)
{
    int n, len;

    at = group_next(s, st, at, end, &n);
    if (at >= end) return false;
    *from = at;
    for (; n--; at += (size_t)len) is_digit(s, st, at, end, &len);
    *to = st->flags & SCAN_POINTS ? group_next(s, st, at, end, &n) : at;
    return true;
}

/* \s+ at the end */
static bool trail_next(struct scan *s, size_t at, size_t end, size_t *from, size_t *to)
{
    size_t i = end;

    while (i > at) {
        size_t b = i;
        int    len;
        do b--;
        while (b > at && ((unsigned char)s->text[b] & 0xC0) == 0x80);
        if (!(class_at(s, b, end, &len) & UNI_SPACE) || b + (size_t)len != i) break;
        i = b;
    }
    s->looked += end - i;
    *from = i;
    *to   = end;
    return i < end;
}

static bool literal_next(const struct scan *s, struct str lit, size_t at, size_t end, size_t *from,
                         size_t *to)
{
    size_t i = str_find((struct str){ s->text + at, end - at }, lit);

    if (i == SIZE_MAX || !lit.n) return false;
    *from = at + i;
    *to   = at + i + lit.n;
    return true;
}

bool scan_next(struct scan *s, const struct scan_stage *st, size_t at, size_t end, size_t *from,
               size_t *to)
{
    *from = at;
    switch (st->kind) {
    case SCAN_GPT2:
        *to = gpt2_end(s, at, end);
        return true;
    case SCAN_CL100K:
        *to = cl100k_end(s, st, at, end);
        return true;
    case SCAN_O200K:
        *to = o200k_end(s, st, at, end);
        return true;
    case SCAN_DSV3:
        for (int len; at < end; at += (size_t)len) {
            *to = dsv3_end(s, st, at, end);
            if (*to > at) break;
            class_at(s, at, end, &len);
        }
        *from = at;
        return at < end;
    case SCAN_RUN:
        return run_next(s, st, at, end, from, to);
    case SCAN_DIGITS3:
        return digits3_next(s, st, at, end, from, to);
    case SCAN_TRAIL:
        return trail_next(s, at, end, from, to);
    case SCAN_LITERAL:
        return literal_next(s, str_c(st->re), at, end, from, to);
    case SCAN_REGEX:
        break;
    }
    return false;
}
