/* tok_re.c - patterns of other regex engines translated for PCRE2, and a search with a bound.
 *
 * What differs between Oniguruma, Rust's regex and PCRE2 with UTF|UCP:
 *   \s   White_Space there; PCRE2 adds U+180E
 *   \w   letters, marks, numbers and connector punctuation; PCRE2 10.42 has no marks, but "_"
 *   \h   hexadecimal digits in Oniguruma, blanks here: refused, nobody uses it
 *   &&   intersection of classes: [a-z&&[^b]] becomes (?:(?=[a-z])[^b])
 *   \p{Han}  the script; PCRE2 from 10.40 on means script extensions: \p{sc:Han}
 *   $    only the end of the text there: \z
 */
#include "token/tok_re.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"

#define PATTERN_MAX  KIB(64) // bytes, translated; the longest known is 2 KiB
#define FIRST_WINDOW 256     // bytes an attempt sees at first
#define BUDGET_RATIO 64      // window bytes a text byte pays for

#define CLS_SPACE "\\x09-\\x0D\\x20\\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"
#define CLS_NOT_SPACE                                                                             \
    "\\x00-\\x08\\x0E-\\x1F\\x21-\\x84\\x86-\\x9F\\xA1-\\x{167F}\\x{1681}-\\x{1FFF}\\x{200B}-\\x{2027}" \
    "\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}\\x{3001}-\\x{10FFFF}"
#define CLS_WORD "\\p{L}\\p{M}\\p{N}\\p{Pc}"

struct tok_re {
    pcre2_code          *code;
    pcre2_match_context *ctx;
    bool                 jit;
};

struct trans {
    struct str  pat;
    size_t      at;
    int         depth;
    struct buf *out;
    struct err *e;
};

static int bad(struct trans *t, const char *what)
{
    char q[LIM_QUOTE_BYTES + 8];
    return err_set(t->e, ERR_UNSUPP_MODEL, "pre-tokenizer pattern \"%s\" at byte %zu: %s",
                   str_quote(q, LIM_QUOTE_BYTES, t->pat), t->at, what);
}

static void put(struct trans *t, const char *z)
{
    buf_str(t->out, str_c(z));
}

/* \p{...} behind its "p": a script's name gets "sc:" in front. */
static void property(struct trans *t)
{
    static const char *const scripts[] = {
        "Arabic", "Armenian", "Bengali", "Bopomofo", "Cyrillic", "Devanagari", "Ethiopic", "Georgian", "Greek",
        "Gujarati", "Gurmukhi", "Han", "Hangul", "Hebrew", "Hiragana", "Kannada", "Katakana", "Khmer", "Lao",
        "Latin", "Malayalam", "Mongolian", "Myanmar", "Sinhala", "Tamil", "Telugu", "Thai", "Tibetan",
    };
    struct str rest = str_from(t->pat, t->at);

    if (!str_starts(rest, STR("{"))) return;
    bool       not  = str_starts(rest, STR("{^"));
    size_t     head = not ? 2 : 1, end = str_find_byte(rest, '}');
    struct str name = end == SIZE_MAX ? STR_NULL : str_sub(rest, head, end - head);
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        if (!str_eq(name, str_c(scripts[i]))) continue;
        put(t, not ? "{^sc:" : "{sc:");
        t->at += head;
    }
}

/* An escape, inside or outside of a class. `at` is behind the backslash. */
static int escape(struct trans *t, bool in_class)
{
    if (t->at >= t->pat.n) return bad(t, "ends in a backslash");
    char c = t->pat.p[t->at++];

    switch (c) {
    case 's':
        put(t, in_class ? CLS_SPACE : "[" CLS_SPACE "]");
        return 0;
    case 'S':
        put(t, in_class ? CLS_NOT_SPACE : "[^" CLS_SPACE "]");
        return 0;
    case 'w':
        put(t, in_class ? CLS_WORD : "[" CLS_WORD "]");
        return 0;
    case 'W':
        if (in_class) return bad(t, "\\W inside a class is not supported");
        put(t, "[^" CLS_WORD "]");
        return 0;
    case 'b':
    case 'B':
        if (in_class) break;
        put(t, c == 'b' ? "(?:(?<=[" CLS_WORD "])(?![" CLS_WORD "])|(?<![" CLS_WORD "])(?=[" CLS_WORD "]))"
                        : "(?:(?<=[" CLS_WORD "])(?=[" CLS_WORD "])|(?<![" CLS_WORD "])(?![" CLS_WORD "]))");
        return 0;
    case 'u': // four hex digits follow
        put(t, "\\x{");
        for (int i = 0; i < 4; i++, t->at++) {
            if (t->at >= t->pat.n || !strchr("0123456789abcdefABCDEF", t->pat.p[t->at]) || !t->pat.p[t->at])
                return bad(t, "\\u wants four hexadecimal digits");
            buf_byte(t->out, t->pat.p[t->at]);
        }
        buf_byte(t->out, '}');
        return 0;
    case 'h': case 'H': case 'R': case 'X': case 'K': case 'G': case 'Q': case 'E': case 'C':
        return bad(t, "an escape that is not supported");
    default:
        break;
    }
    buf_byte(t->out, '\\');
    buf_byte(t->out, c);
    if (c == 'p' || c == 'P') property(t);
    return 0;
}

/* A class, `at` behind its "[". Intersections and nested classes that only stand for themselves are
 * rewritten; "[" has no meaning inside a class for PCRE2 but "[:". */
static int char_class(struct trans *t)
{
    struct buf *out = t->out, head, part;
    int         rc  = 0, n_and = 0;

    if (++t->depth > 16) return bad(t, "classes are nested too deeply");
    buf_init(&head, PATTERN_MAX);
    buf_init(&part, PATTERN_MAX);
    t->out     = &part;
    bool first = true, neg = false;
    if (t->at < t->pat.n && t->pat.p[t->at] == '^') {
        neg = true;
        t->at++;
    }
    for (;; first = false) {
        if (t->at >= t->pat.n) {
            rc = bad(t, "a class without its end");
            goto out;
        }
        char c = t->pat.p[t->at++];
        if (c == ']' && !first) break;
        if (c == '\\') {
            if ((rc = escape(t, true)) < 0) goto out;
        } else if (c == '&' && t->at < t->pat.n && t->pat.p[t->at] == '&') {
            t->at++;
            /* [x&&y]: a look-ahead for x, then y */
            buf_printf(&head, "(?=[" STR_FMT "])", STR_ARG(buf_text(&part)));
            buf_clear(&part);
            n_and++;
        } else if (c == '[' && !(t->at < t->pat.n && t->pat.p[t->at] == ':')) {
            if (!n_and || part.n) {
                rc = bad(t, "a class inside a class is not supported");
                goto out;
            }
            t->out = &head; // the nested class stands alone behind &&
            buf_str(&head, STR("(?="));
            if ((rc = char_class(t)) < 0) goto out;
            buf_byte(&head, ')');
            t->out = &part;
        } else if (c == '[') {
            buf_byte(&part, '[');
            while (t->at < t->pat.n && t->pat.p[t->at] != ']') buf_byte(&part, t->pat.p[t->at++]);
            if (t->at < t->pat.n) buf_byte(&part, t->pat.p[t->at++]);
        } else {
            buf_byte(&part, c);
        }
    }
    if (neg && n_and) {
        rc = bad(t, "a negated intersection is not supported");
        goto out;
    }
    if (n_and && !part.n) {
        buf_printf(out, "(?:" STR_FMT "(?s:.))", STR_ARG(buf_text(&head)));
    } else if (n_and) {
        buf_printf(out, "(?:" STR_FMT "[" STR_FMT "])", STR_ARG(buf_text(&head)), STR_ARG(buf_text(&part)));
    } else {
        buf_printf(out, "[%s" STR_FMT "]", neg ? "^" : "", STR_ARG(buf_text(&part)));
    }
out:
    if (!rc && (head.failed || part.failed)) rc = err_nomem(t->e, "translating a pattern");
    t->out = out;
    t->depth--;
    buf_release(&head);
    buf_release(&part);
    return rc;
}

int tok_re_translate(struct str pattern, struct buf *ret, struct err *e)
{
    struct trans t = { .pat = pattern, .out = ret, .e = e };

    if (pattern.n > KIB(8)) return bad(&t, "longer than a pattern may be");
    if (!utf8_valid(pattern)) return bad(&t, "not UTF-8");
    while (t.at < pattern.n) {
        char c  = pattern.p[t.at++];
        int  rc = 0;
        if (c == '\\') rc = escape(&t, false);
        else if (c == '[') rc = char_class(&t);
        else if (c == '$') put(&t, "\\z");
        else buf_byte(ret, c);
        if (rc < 0) return rc;
    }
    return ret->failed ? err_nomem(e, "translating a pattern") : 0;
}

int tok_re_new(struct str pattern, struct tok_re **ret, struct err *e)
{
    struct tok_re *re = mem_zalloc(sizeof *re);
    struct buf     b;
    int            rc, num;
    PCRE2_SIZE     where;
    char           q[LIM_QUOTE_BYTES + 8];
    unsigned char  msg[128];

    buf_init(&b, PATTERN_MAX);
    if (!re) {
        rc = err_nomem(e, "compiling a pattern");
        goto out;
    }
    if ((rc = tok_re_translate(pattern, &b, e)) < 0) goto out;

    rc       = -ERR_UNSUPP_MODEL;
    re->code = pcre2_compile((PCRE2_SPTR)(b.p ? b.p : ""), b.n,
                             PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE,
                             &num, &where, NULL);
    if (!re->code) {
        pcre2_get_error_message(num, msg, sizeof msg);
        err_set(e, ERR_UNSUPP_MODEL, "pre-tokenizer pattern \"%s\": %s",
                str_quote(q, LIM_QUOTE_BYTES, pattern), (char *)msg);
        goto out;
    }
    re->ctx = pcre2_match_context_create(NULL);
    if (!re->ctx) {
        rc = err_nomem(e, "compiling a pattern");
        goto out;
    }
    pcre2_set_match_limit(re->ctx, 20000000);
    pcre2_set_heap_limit(re->ctx, 64 << 10); // KiB
    re->jit = pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD) == 0;
    *ret    = re;
    re      = NULL;
    rc      = 0;
out:
    tok_re_free(re);
    buf_release(&b);
    return rc;
}

void tok_re_free(struct tok_re *re)
{
    if (!re) return;
    pcre2_match_context_free(re->ctx);
    pcre2_code_free(re->code);
    mem_free(re);
}

int tok_re_start(const struct tok_re *re, size_t n_text, struct tok_re_run *run, struct err *e)
{
    (void)re;
    run->budget = n_text * BUDGET_RATIO + MIB(1);
    run->data   = pcre2_match_data_create(1, NULL);
    return run->data ? 0 : err_nomem(e, "matching a pattern");
}

void tok_re_stop(struct tok_re_run *run)
{
    pcre2_match_data_free(run->data);
    run->data = NULL;
}

/* A match that begins at `at`: 1, 0 for none, or a negative error. */
static int attempt(const struct tok_re *re, struct tok_re_run *run, const char *text, size_t at,
                   size_t end, size_t *to, struct err *e)
{
    size_t window = FIRST_WINDOW;

    for (;;) {
        bool     whole = end - at <= window;
        size_t   stop  = whole ? end : at + window;
        uint32_t opt   = PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK;
        if (!whole) {
            stop -= utf8_tail((struct str){ text + at, stop - at });
            opt |= PCRE2_PARTIAL_HARD;
        }
        int rc = pcre2_match(re->code, (PCRE2_SPTR)text, stop, at, opt, run->data, re->ctx);
        if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
            rc = pcre2_match(re->code, (PCRE2_SPTR)text, stop, at, opt | PCRE2_NO_JIT, run->data, re->ctx);
        if (rc == PCRE2_ERROR_PARTIAL) {
            window *= 4;
            if (run->budget < window)
                return err_set(e, ERR_TOO_LARGE, "the tokenizer's pattern takes more than linear time "
                               "on this text (at byte %zu)", at);
            run->budget -= window;
            continue;
        }
        if (rc == PCRE2_ERROR_NOMATCH) return 0;
        if (rc < 0)
            return err_set(e, ERR_TOO_LARGE, "the tokenizer's pattern takes too much work on this text "
                           "(at byte %zu, PCRE2 error %d)", at, rc);
        const PCRE2_SIZE *ov = pcre2_get_ovector_pointer(run->data);
        *to = ov[1];
        return ov[1] > at;
    }
}

int tok_re_next(const struct tok_re *re, struct tok_re_run *run, const char *text, size_t at,
                size_t end, size_t *from, size_t *to, struct err *e)
{
    while (at < end) {
        int rc = attempt(re, run, text, at, end, to, e);
        if (rc) {
            *from = at;
            return rc;
        }
        do at++;
        while (at < end && ((unsigned char)text[at] & 0xC0) == 0x80);
    }
    return 0;
}
