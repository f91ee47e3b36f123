/* tok_norm.c - rewriting text before it is cut: Unicode forms, case, replacements, sentencepiece's map.
 *
 * Bytes that are no UTF-8 pass through all steps unchanged, but for the charsmap, which has U+FFFD for
 * them. The output of a step is at most NORM_GROWTH times its input, or the text is refused.
 */
#include <utf8proc.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "token/tok_int.h"

#define NORM_GROWTH 18 // bytes out for a byte in: the longest NFKD is U+FDFA's, 33 bytes for 3

static int too_large(struct err *e)
{
    return err_set(e, ERR_TOO_LARGE, "the text grows too large by normalisation");
}

/* --- Unicode forms --- */

/* Combining marks in a row are sorted by insertion, which is quadratic: a longer row than this is
 * normalised part by part (Unicode's stream-safe format allows 30). */
#define MARKS_MAX 256

/* How much of well-formed s may go through utf8proc at once. */
static size_t safe_part(struct str s)
{
    int marks = 0;

    for (size_t at = 0; at < s.n;) {
        uint32_t cp;
        at += (size_t)uni_next(s.p, at, s.n, &cp);
        if (cp < 0x300 || !utf8proc_get_property((utf8proc_int32_t)cp)->combining_class) marks = 0;
        else if (++marks == MARKS_MAX) return at;
    }
    return s.n;
}

/* Runs of well-formed text go through utf8proc, the bytes between as they are. */
static int map_unicode(struct str in, int options, struct buf *out, struct err *e)
{
    while (in.n) {
        size_t good = utf8_check(in);
        while (good) {
            utf8proc_uint8_t *r   = NULL;
            size_t            n   = safe_part(str_sub(in, 0, good));
            utf8proc_ssize_t  len = utf8proc_map((const utf8proc_uint8_t *)in.p, (utf8proc_ssize_t)n, &r,
                                                 (utf8proc_option_t)options);
            if (len < 0) return err_nomem(e, "normalising text");
            buf_put(out, r, (size_t)len);
            free(r); // utf8proc's own allocation
            in = str_from(in, n);
            good -= n;
        }
        if (in.n) buf_byte(out, in.p[0]);
        in = str_from(in, 1);
    }
    return 0;
}

/* Each character of `in` by fn(cp), which returns how many characters it put. */
typedef int map_fn(uint32_t cp, uint32_t dst[4], int flag);

static void map_chars(struct str in, map_fn *fn, int flag, struct buf *out)
{
    for (size_t at = 0; at < in.n;) {
        uint32_t cp, dst[4];
        int      len = uni_next(in.p, at, in.n, &cp);
        if (cp == UNI_BAD) {
            buf_byte(out, in.p[at]);
        } else {
            int n = fn(cp, dst, flag);
            for (int i = 0; i < n; i++) {
                char b[UTF8_MAX];
                buf_put(out, b, (size_t)utf8_encode(dst[i], b));
            }
        }
        at += (size_t)len;
    }
}

static int lower_char(uint32_t cp, uint32_t dst[4], int flag)
{
    (void)flag;
    if (cp == 0x130) { // the one character whose full lower case is two
        dst[0] = 'i';
        dst[1] = 0x307;
        return 2;
    }
    dst[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
    return 1;
}

static int drop_mark(uint32_t cp, uint32_t dst[4], int flag)
{
    dst[0] = cp;
    if (flag) return !(uni_class_of(cp) & UNI_MARK); // all marks
    return utf8proc_category((utf8proc_int32_t)cp) != UTF8PROC_CATEGORY_MN;
}

/* BERT: tab, line feed, return and all space separators become " "; NUL, U+FFFD, other controls and
 * private characters vanish (unassigned ones stay, as in the fast tokenizer). */
static int clean_char(uint32_t cp, uint32_t dst[4], int flag)
{
    (void)flag;
    dst[0] = cp;
    if (uni_class_of(cp) & UNI_SPACE && cp != 0x0B && cp != 0x0C && cp != 0x85) {
        dst[0] = ' ';
        return 1;
    }
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
    return !(cp == 0 || cp == 0xFFFD || k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF ||
             k == UTF8PROC_CATEGORY_CO);
}

static int space_cjk(uint32_t cp, uint32_t dst[4], int flag)
{
    (void)flag;
    bool cjk = uni_is_cjk(cp);
    int  n   = 0;
    if (cjk) dst[n++] = ' ';
    dst[n++] = cp;
    if (cjk) dst[n++] = ' ';
    return n;
}

/* --- replacements --- */

static void replace_all(struct str in, struct str a, struct str b, struct buf *out)
{
    for (;;) {
        size_t i = a.n ? str_find(in, a) : SIZE_MAX;
        if (i == SIZE_MAX) break;
        buf_put(out, in.p, i);
        buf_str(out, b);
        in = str_from(in, i + a.n);
    }
    buf_str(out, in);
}

/* The pattern sees ill-formed bytes as U+0001, as a pre-tokenizer's does. */
static int replace_regex(struct str in, const struct norm_step *st, struct buf *out, struct err *e)
{
    struct tok_re_run run    = { .data = NULL };
    char             *shadow = NULL;
    size_t            at = 0, from, to;
    int               rc = tok_re_start(st->re, in.n, &run, e);

    if (!rc && !utf8_valid(in)) {
        shadow = tok_shadow(in.p, in.n);
        if (!shadow) rc = err_nomem(e, "normalising text");
    }
    while (!rc && at < in.n) {
        int found = tok_re_next(st->re, &run, shadow ? shadow : in.p, at, in.n, &from, &to, e);
        if (found < 0) rc = found;
        if (found <= 0) break;
        buf_put(out, in.p + at, from - at);
        buf_str(out, st->b);
        at = to;
    }
    if (!rc) buf_str(out, str_from(in, at));
    tok_re_stop(&run);
    mem_free(shadow);
    return rc;
}

/* Every ill-formed byte as U+0001, which no pattern asks for, in place. NULL when out of memory. */
char *tok_shadow(const char *text, size_t n)
{
    char *s = mem_alloc(n + 1);

    if (!s) return NULL;
    memcpy(s, text, n);
    for (size_t at = 0; at < n;) {
        uint32_t cp;
        int      len = uni_next(text, at, n, &cp);
        if (cp == UNI_BAD) s[at] = 1;
        at += (size_t)len;
    }
    return s;
}

static void strip(struct str in, int sides, struct buf *out)
{
    uint32_t cp;

    for (int len; sides & 1 && in.n; in = str_from(in, (size_t)len)) {
        len = uni_next(in.p, 0, in.n, &cp);
        if (!(uni_class_of(cp) & UNI_SPACE)) break;
    }
    while (sides & 2 && in.n) {
        size_t b = in.n;
        do b--;
        while (b && ((unsigned char)in.p[b] & 0xC0) == 0x80);
        int len = uni_next(in.p, b, in.n, &cp);
        if (!(uni_class_of(cp) & UNI_SPACE) || b + (size_t)len != in.n) break;
        in.n = b;
    }
    buf_str(out, in);
}

/* --- sentencepiece's precompiled map --- */

/* The map is a double-array trie of the strings to replace (Yata et al., darts-clone), and the
 * replacements, each ended by a NUL:
 *
 *     u32 bytes of the trie | u32 units ... | replacement NUL replacement NUL ...
 *
 *     unit: bits 0..7 label, 8 has a value, 9 offset is in units of 256, 10..30 offset; bit 31 set: a
 *     leaf, whose other bits are the value
 */
static uint32_t unit_at(const struct norm *nm, size_t i)
{
    const unsigned char *p = (const unsigned char *)nm->charsmap.p + 4 + 4 * i;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int norm_charsmap(struct norm *nm, struct str map, struct err *e)
{
    const unsigned char *p = (const unsigned char *)map.p;

    if (map.n < 4) return err_set(e, ERR_BAD_FILE, "precompiled_charsmap: %zu bytes", map.n);
    uint32_t n = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    if (n > map.n - 4 || n % 4 || !n)
        return err_set(e, ERR_BAD_FILE, "precompiled_charsmap: a trie of %u bytes in a map of %zu",
                       (unsigned)n, map.n);
    if (map.p[map.n - 1] && map.n - 4 > n)
        return err_set(e, ERR_BAD_FILE, "precompiled_charsmap: the last replacement has no end");
    nm->charsmap = map;
    nm->trie_n   = n / 4;
    return 0;
}

static size_t child_base(uint32_t unit)
{
    return (unit >> 10) << ((unit & (1u << 9)) >> 6);
}

/* The longest entry that s begins with: its length (0: none) and replacement. */
static size_t charsmap_find(const struct norm *nm, struct str s, struct str *to)
{
    size_t best = 0, value = 0, texts = 4 + 4 * nm->trie_n;
    size_t node = child_base(unit_at(nm, 0));

    for (size_t i = 0; i < s.n && s.p[i]; i++) {
        unsigned char c = (unsigned char)s.p[i];
        node ^= c;
        if (node >= nm->trie_n) break;
        uint32_t u = unit_at(nm, node);
        if ((u & (1u << 31 | 0xFF)) != c) break;
        node ^= child_base(u);
        if (u & 1u << 8) {
            if (node >= nm->trie_n) break;
            best  = i + 1;
            value = unit_at(nm, node) & ~(1u << 31);
        }
    }
    if (!best || value >= nm->charsmap.n - texts) return 0;
    *to   = str_from(nm->charsmap, texts + value);
    to->n = strnlen(to->p, to->n);
    return best;
}

static void charsmap_apply(const struct norm *nm, struct str in, struct buf *out)
{
    while (in.n) {
        struct str to;
        uint32_t   cp;
        size_t     n = charsmap_find(nm, in, &to);
        if (!n) {
            n  = (size_t)uni_next(in.p, 0, in.n, &cp);
            to = cp == UNI_BAD ? STR("\xEF\xBF\xBD") : str_sub(in, 0, n);
        }
        buf_str(out, to);
        in = str_from(in, n);
    }
}

/* --- the chain --- */

static int run_step(const struct norm *nm, const struct norm_step *st, struct str in, struct buf *out,
                    struct err *e)
{
    int form = UTF8PROC_STABLE;

    switch (st->kind) {
    case NORM_NFC:
        if (uni_surely_nfc(in)) break;
        return map_unicode(in, form | UTF8PROC_COMPOSE, out, e);
    case NORM_NFD:
        return map_unicode(in, form | UTF8PROC_DECOMPOSE, out, e);
    case NORM_NFKC:
        return map_unicode(in, form | UTF8PROC_COMPOSE | UTF8PROC_COMPAT, out, e);
    case NORM_NFKD:
        return map_unicode(in, form | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, out, e);
    case NORM_LOWER:
        map_chars(in, lower_char, 0, out);
        return 0;
    case NORM_ACCENTS:
        map_chars(in, drop_mark, st->flag, out);
        return 0;
    case NORM_BERT_CLEAN:
        map_chars(in, clean_char, 0, out);
        return 0;
    case NORM_BERT_CJK:
        map_chars(in, space_cjk, 0, out);
        return 0;
    case NORM_REPLACE:
        replace_all(in, st->a, st->b, out);
        return 0;
    case NORM_REGEX:
        return replace_regex(in, st, out, e);
    case NORM_PREPEND:
        if (in.n) buf_str(out, st->b);
        break;
    case NORM_STRIP:
        strip(in, st->flag, out);
        return 0;
    case NORM_CHARSMAP:
        charsmap_apply(nm, in, out);
        return 0;
    }
    buf_str(out, in);
    return 0;
}

int norm_apply(const struct norm *nm, struct str in, struct buf *out, struct err *e)
{
    struct buf other;
    int        rc  = 0;
    size_t     max = in.n * NORM_GROWTH + KIB(64);

    buf_init(&other, max);
    buf_release(out);
    buf_init(out, max);
    for (int i = 0; i < nm->n && !rc; i++) {
        rc = run_step(nm, &nm->step[i], i ? buf_text(&other) : in, out, e);
        if (!rc && out->failed) rc = too_large(e);
        struct buf swap = other; // the output is the next step's input
        other           = *out;
        *out            = swap;
        buf_clear(out);
    }
    buf_release(out);
    *out = other;
    return rc;
}

bool norm_is_noop(const struct norm *nm, struct str in)
{
    return !nm->n || (nm->n == 1 && nm->step[0].kind == NORM_NFC && uni_surely_nfc(in));
}

int norm_add(struct norm *nm, struct norm_step step, struct err *e)
{
    if (nm->n == NORM_STEPS)
        return err_set(e, ERR_UNSUPP_MODEL, "a normaliser of more than %d steps", NORM_STEPS);
    nm->step[nm->n++] = step;
    return 0;
}

void norm_release(struct norm *nm)
{
    for (int i = 0; i < nm->n; i++) tok_re_free(nm->step[i].re);
    nm->n = 0;
}
