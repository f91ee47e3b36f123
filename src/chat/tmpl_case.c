/* tmpl_case.c - upper, lower and title case, and what kind of character it is, as Python sees it.
 *
 * Single mappings and categories come from utf8proc. Characters that become several (German sharp
 * s, the ligatures, Greek with iota) are in the table below: The Unicode Standard,
 * SpecialCasing.txt, the unconditional rows. The one conditional row that Python knows, the Greek
 * final sigma, is code.
 */
#include <utf8proc.h>

#include "base/utf8.h"
#include "chat/tmpl_int.h"

static const struct special {
    uint16_t cp;
    uint16_t upper[3], title[3]; // 0: no more
} specials[] = {
    { 0x00DF, { 0x0053, 0x0053 }, { 0x0053, 0x0073 } },
    { 0x0149, { 0x02BC, 0x004E }, { 0x02BC, 0x004E } },
    { 0x01F0, { 0x004A, 0x030C }, { 0x004A, 0x030C } },
    { 0x0390, { 0x0399, 0x0308, 0x0301 }, { 0x0399, 0x0308, 0x0301 } },
    { 0x03B0, { 0x03A5, 0x0308, 0x0301 }, { 0x03A5, 0x0308, 0x0301 } },
    { 0x0587, { 0x0535, 0x0552 }, { 0x0535, 0x0582 } },
    { 0x1E96, { 0x0048, 0x0331 }, { 0x0048, 0x0331 } },
    { 0x1E97, { 0x0054, 0x0308 }, { 0x0054, 0x0308 } },
    { 0x1E98, { 0x0057, 0x030A }, { 0x0057, 0x030A } },
    { 0x1E99, { 0x0059, 0x030A }, { 0x0059, 0x030A } },
    { 0x1E9A, { 0x0041, 0x02BE }, { 0x0041, 0x02BE } },
    { 0x1F50, { 0x03A5, 0x0313 }, { 0x03A5, 0x0313 } },
    { 0x1F52, { 0x03A5, 0x0313, 0x0300 }, { 0x03A5, 0x0313, 0x0300 } },
    { 0x1F54, { 0x03A5, 0x0313, 0x0301 }, { 0x03A5, 0x0313, 0x0301 } },
    { 0x1F56, { 0x03A5, 0x0313, 0x0342 }, { 0x03A5, 0x0313, 0x0342 } },
    { 0x1F80, { 0x1F08, 0x0399 }, { 0x1F88 } },
    { 0x1F81, { 0x1F09, 0x0399 }, { 0x1F89 } },
    { 0x1F82, { 0x1F0A, 0x0399 }, { 0x1F8A } },
    { 0x1F83, { 0x1F0B, 0x0399 }, { 0x1F8B } },
    { 0x1F84, { 0x1F0C, 0x0399 }, { 0x1F8C } },
    { 0x1F85, { 0x1F0D, 0x0399 }, { 0x1F8D } },
    { 0x1F86, { 0x1F0E, 0x0399 }, { 0x1F8E } },
    { 0x1F87, { 0x1F0F, 0x0399 }, { 0x1F8F } },
    { 0x1F88, { 0x1F08, 0x0399 }, { 0x1F88 } },
    { 0x1F89, { 0x1F09, 0x0399 }, { 0x1F89 } },
    { 0x1F8A, { 0x1F0A, 0x0399 }, { 0x1F8A } },
    { 0x1F8B, { 0x1F0B, 0x0399 }, { 0x1F8B } },
    { 0x1F8C, { 0x1F0C, 0x0399 }, { 0x1F8C } },
    { 0x1F8D, { 0x1F0D, 0x0399 }, { 0x1F8D } },
    { 0x1F8E, { 0x1F0E, 0x0399 }, { 0x1F8E } },
    { 0x1F8F, { 0x1F0F, 0x0399 }, { 0x1F8F } },
    { 0x1F90, { 0x1F28, 0x0399 }, { 0x1F98 } },
    { 0x1F91, { 0x1F29, 0x0399 }, { 0x1F99 } },
    { 0x1F92, { 0x1F2A, 0x0399 }, { 0x1F9A } },
    { 0x1F93, { 0x1F2B, 0x0399 }, { 0x1F9B } },
    { 0x1F94, { 0x1F2C, 0x0399 }, { 0x1F9C } },
    { 0x1F95, { 0x1F2D, 0x0399 }, { 0x1F9D } },
    { 0x1F96, { 0x1F2E, 0x0399 }, { 0x1F9E } },
    { 0x1F97, { 0x1F2F, 0x0399 }, { 0x1F9F } },
    { 0x1F98, { 0x1F28, 0x0399 }, { 0x1F98 } },
    { 0x1F99, { 0x1F29, 0x0399 }, { 0x1F99 } },
    { 0x1F9A, { 0x1F2A, 0x0399 }, { 0x1F9A } },
    { 0x1F9B, { 0x1F2B, 0x0399 }, { 0x1F9B } },
    { 0x1F9C, { 0x1F2C, 0x0399 }, { 0x1F9C } },
    { 0x1F9D, { 0x1F2D, 0x0399 }, { 0x1F9D } },
    { 0x1F9E, { 0x1F2E, 0x0399 }, { 0x1F9E } },
    { 0x1F9F, { 0x1F2F, 0x0399 }, { 0x1F9F } },
    { 0x1FA0, { 0x1F68, 0x0399 }, { 0x1FA8 } },
    { 0x1FA1, { 0x1F69, 0x0399 }, { 0x1FA9 } },
    { 0x1FA2, { 0x1F6A, 0x0399 }, { 0x1FAA } },
    { 0x1FA3, { 0x1F6B, 0x0399 }, { 0x1FAB } },
    { 0x1FA4, { 0x1F6C, 0x0399 }, { 0x1FAC } },
    { 0x1FA5, { 0x1F6D, 0x0399 }, { 0x1FAD } },
    { 0x1FA6, { 0x1F6E, 0x0399 }, { 0x1FAE } },
    { 0x1FA7, { 0x1F6F, 0x0399 }, { 0x1FAF } },
    { 0x1FA8, { 0x1F68, 0x0399 }, { 0x1FA8 } },
    { 0x1FA9, { 0x1F69, 0x0399 }, { 0x1FA9 } },
    { 0x1FAA, { 0x1F6A, 0x0399 }, { 0x1FAA } },
    { 0x1FAB, { 0x1F6B, 0x0399 }, { 0x1FAB } },
    { 0x1FAC, { 0x1F6C, 0x0399 }, { 0x1FAC } },
    { 0x1FAD, { 0x1F6D, 0x0399 }, { 0x1FAD } },
    { 0x1FAE, { 0x1F6E, 0x0399 }, { 0x1FAE } },
    { 0x1FAF, { 0x1F6F, 0x0399 }, { 0x1FAF } },
    { 0x1FB2, { 0x1FBA, 0x0399 }, { 0x1FBA, 0x0345 } },
    { 0x1FB3, { 0x0391, 0x0399 }, { 0x1FBC } },
    { 0x1FB4, { 0x0386, 0x0399 }, { 0x0386, 0x0345 } },
    { 0x1FB6, { 0x0391, 0x0342 }, { 0x0391, 0x0342 } },
    { 0x1FB7, { 0x0391, 0x0342, 0x0399 }, { 0x0391, 0x0342, 0x0345 } },
    { 0x1FBC, { 0x0391, 0x0399 }, { 0x1FBC } },
    { 0x1FC2, { 0x1FCA, 0x0399 }, { 0x1FCA, 0x0345 } },
    { 0x1FC3, { 0x0397, 0x0399 }, { 0x1FCC } },
    { 0x1FC4, { 0x0389, 0x0399 }, { 0x0389, 0x0345 } },
    { 0x1FC6, { 0x0397, 0x0342 }, { 0x0397, 0x0342 } },
    { 0x1FC7, { 0x0397, 0x0342, 0x0399 }, { 0x0397, 0x0342, 0x0345 } },
    { 0x1FCC, { 0x0397, 0x0399 }, { 0x1FCC } },
    { 0x1FD2, { 0x0399, 0x0308, 0x0300 }, { 0x0399, 0x0308, 0x0300 } },
    { 0x1FD3, { 0x0399, 0x0308, 0x0301 }, { 0x0399, 0x0308, 0x0301 } },
    { 0x1FD6, { 0x0399, 0x0342 }, { 0x0399, 0x0342 } },
    { 0x1FD7, { 0x0399, 0x0308, 0x0342 }, { 0x0399, 0x0308, 0x0342 } },
    { 0x1FE2, { 0x03A5, 0x0308, 0x0300 }, { 0x03A5, 0x0308, 0x0300 } },
    { 0x1FE3, { 0x03A5, 0x0308, 0x0301 }, { 0x03A5, 0x0308, 0x0301 } },
    { 0x1FE4, { 0x03A1, 0x0313 }, { 0x03A1, 0x0313 } },
    { 0x1FE6, { 0x03A5, 0x0342 }, { 0x03A5, 0x0342 } },
    { 0x1FE7, { 0x03A5, 0x0308, 0x0342 }, { 0x03A5, 0x0308, 0x0342 } },
    { 0x1FF2, { 0x1FFA, 0x0399 }, { 0x1FFA, 0x0345 } },
    { 0x1FF3, { 0x03A9, 0x0399 }, { 0x1FFC } },
    { 0x1FF4, { 0x038F, 0x0399 }, { 0x038F, 0x0345 } },
    { 0x1FF6, { 0x03A9, 0x0342 }, { 0x03A9, 0x0342 } },
    { 0x1FF7, { 0x03A9, 0x0342, 0x0399 }, { 0x03A9, 0x0342, 0x0345 } },
    { 0x1FFC, { 0x03A9, 0x0399 }, { 0x1FFC } },
    { 0xFB00, { 0x0046, 0x0046 }, { 0x0046, 0x0066 } },
    { 0xFB01, { 0x0046, 0x0049 }, { 0x0046, 0x0069 } },
    { 0xFB02, { 0x0046, 0x004C }, { 0x0046, 0x006C } },
    { 0xFB03, { 0x0046, 0x0046, 0x0049 }, { 0x0046, 0x0066, 0x0069 } },
    { 0xFB04, { 0x0046, 0x0046, 0x004C }, { 0x0046, 0x0066, 0x006C } },
    { 0xFB05, { 0x0053, 0x0054 }, { 0x0053, 0x0074 } },
    { 0xFB06, { 0x0053, 0x0054 }, { 0x0053, 0x0074 } },
    { 0xFB13, { 0x0544, 0x0546 }, { 0x0544, 0x0576 } },
    { 0xFB14, { 0x0544, 0x0535 }, { 0x0544, 0x0565 } },
    { 0xFB15, { 0x0544, 0x053B }, { 0x0544, 0x056B } },
    { 0xFB16, { 0x054E, 0x0546 }, { 0x054E, 0x0576 } },
    { 0xFB17, { 0x0544, 0x053D }, { 0x0544, 0x056D } },
};

static utf8proc_category_t category(uint32_t cp)
{
    return utf8proc_category((utf8proc_int32_t)cp);
}

bool tmpl_cp_space(uint32_t cp)
{
    if (cp < 0x80) return (cp >= 0x09 && cp <= 0x0D) || (cp >= 0x1C && cp <= 0x20);
    return cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

bool tmpl_cp_alpha(uint32_t cp)
{
    utf8proc_category_t c = category(cp);

    return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT ||
           c == UTF8PROC_CATEGORY_LM || c == UTF8PROC_CATEGORY_LO;
}

static bool numeric(uint32_t cp)
{
    utf8proc_category_t c = category(cp);

    return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO;
}

bool tmpl_cp_word(uint32_t cp)
{
    return cp == '_' || tmpl_cp_alpha(cp) || numeric(cp);
}

bool tmpl_cp_print(uint32_t cp)
{
    if (cp < 0x7F) return cp >= 0x20;
    switch ((int)category(cp)) {
    case UTF8PROC_CATEGORY_CC: case UTF8PROC_CATEGORY_CF: case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return false;
    default: return true;
    }
}

bool tmpl_cp_ident(uint32_t cp, bool first)
{
    if (cp < 0x80)
        return cp == '_' || (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') ||
               (!first && cp >= '0' && cp <= '9');
    if (tmpl_cp_alpha(cp) || category(cp) == UTF8PROC_CATEGORY_NL) return true;
    utf8proc_category_t c = category(cp);
    return !first && (c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_MN ||
                      c == UTF8PROC_CATEGORY_MC || c == UTF8PROC_CATEGORY_PC);
}

/* --- mapping --- */

static const struct special *special_of(uint32_t cp)
{
    size_t lo = 0, hi = ARRAY_LEN(specials);

    if (cp < 0xDF || cp > 0xFFFF) return NULL;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (specials[mid].cp < cp) lo = mid + 1;
        else hi = mid;
    }
    return lo < ARRAY_LEN(specials) && specials[lo].cp == cp ? &specials[lo] : NULL;
}

static uint32_t to_lower(uint32_t cp)
{
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
}

static uint32_t to_upper(uint32_t cp)
{
    return (uint32_t)utf8proc_toupper((utf8proc_int32_t)cp);
}

/* Has case: letters of the three cases, and what maps to another case. */
static bool cased(uint32_t cp)
{
    utf8proc_category_t c = category(cp);

    if (c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT)
        return true;
    if (cp == 0xAA || cp == 0xBA) return true;
    return c != UTF8PROC_CATEGORY_LO && (to_lower(cp) != cp || to_upper(cp) != cp);
}

/* Unicode's Case_Ignorable, as far as it can stand next to a sigma. */
static bool ignorable(uint32_t cp)
{
    utf8proc_category_t c = category(cp);

    if (cp == '\'' || cp == '.' || cp == ':' || cp == 0xB7 || cp == 0x2018 || cp == 0x2019 ||
        cp == 0x2024)
        return true;
    return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_ME || c == UTF8PROC_CATEGORY_CF ||
           c == UTF8PROC_CATEGORY_LM || c == UTF8PROC_CATEGORY_SK;
}

/* The capital sigma at `at` ends a word: something cased before it, nothing cased behind. */
static bool final_sigma(struct str s, size_t at, size_t n)
{
    uint32_t cp     = 0;
    bool     before = false;

    for (size_t i = at; i > 0;) { // backwards by whole characters
        do i--; while (i > 0 && ((unsigned char)s.p[i] & 0xC0) == 0x80);
        if (utf8_decode(str_from(s, i), &cp) <= 0) break;
        if (ignorable(cp)) continue;
        before = cased(cp);
        break;
    }
    if (!before) return false;
    for (size_t i = at + n; i < s.n;) {
        int len = utf8_decode(str_from(s, i), &cp);
        if (len <= 0) break;
        i += (size_t)len;
        if (!ignorable(cp)) return !cased(cp);
    }
    return true;
}

static void put_cp(struct sb *b, uint32_t cp, bool trusted)
{
    char c[UTF8_MAX];
    int  n = utf8_encode(cp, c);

    tmpl_sb_put(b, (struct str){ c, (size_t)n }, trusted);
}

static void put_special(struct sb *b, const uint16_t cps[3], bool trusted)
{
    for (int i = 0; i < 3 && cps[i]; i++) put_cp(b, cps[i], trusted);
}

static void put_lower(struct sb *b, struct str s, size_t at, size_t n, uint32_t cp, bool trusted)
{
    if (cp == 0x3A3) {
        put_cp(b, final_sigma(s, at, n) ? 0x3C2 : 0x3C3, trusted);
    } else if (cp == 0x130) { // capital I with a dot: i and a dot
        put_cp(b, 'i', trusted);
        put_cp(b, 0x307, trusted);
    } else {
        put_cp(b, to_lower(cp), trusted);
    }
}

static void put_upper(struct sb *b, uint32_t cp, bool title, bool trusted)
{
    const struct special *sp = special_of(cp);

    if (sp) put_special(b, title ? sp->title : sp->upper, trusted);
    else if (title) put_cp(b, (uint32_t)utf8proc_totitle((utf8proc_int32_t)cp), trusted);
    else put_cp(b, to_upper(cp), trusted);
}

/* Case folding, derived: what has several capitals folds to those in lower case; the rest goes up
 * and down again, which joins variants such as the final sigma. Dotless i has no partner. */
static void put_fold(struct sb *b, uint32_t cp, bool trusted)
{
    const struct special *sp = special_of(cp);

    for (int i = 0; sp && i < 3 && sp->upper[i]; i++) put_cp(b, to_lower(sp->upper[i]), trusted);
    if (cp == 0x130) put_lower(b, STR_NULL, 0, 0, cp, trusted);
    else if (!sp) put_cp(b, cp == 0x131 ? cp : to_lower(to_upper(cp)), trusted);
}

struct val tmpl_case(struct run *r, const struct vstr *s, enum casing c)
{
    struct sb b;
    bool      in_word = false; // after a cased character

    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    for (size_t at = 0; at < s->text.n && tmpl_step(r, 1);) {
        uint32_t cp = 0xFFFD;
        int      n  = utf8_decode(str_from(s->text, at), &cp);
        size_t   len = (size_t)(n < 0 ? -n : n), end;
        bool     trusted = tmpl_span_at(s, at, &end);
        bool     is_cased = cased(cp);

        switch (c) {
        case CASE_FOLD: put_fold(&b, cp, trusted); break;
        case CASE_LOWER: put_lower(&b, s->text, at, len, cp, trusted); break;
        case CASE_UPPER: put_upper(&b, cp, false, trusted); break;
        case CASE_TITLE:
            if (in_word) put_lower(&b, s->text, at, len, cp, trusted);
            else put_upper(&b, cp, true, trusted);
            break;
        case CASE_CAPITAL:
            if (at > 0) put_lower(&b, s->text, at, len, cp, trusted);
            else put_upper(&b, cp, true, trusted);
            break;
        case CASE_SWAP:
            if (category(cp) == UTF8PROC_CATEGORY_LU) put_lower(&b, s->text, at, len, cp, trusted);
            else if (category(cp) == UTF8PROC_CATEGORY_LL) put_upper(&b, cp, false, trusted);
            else put_cp(&b, cp, trusted);
            break;
        }
        in_word = is_cased;
        at += len;
    }
    return tmpl_str_markup(r, tmpl_sb_end(&b), s->markup);
}

/* --- predicates of whole strings --- */

static bool cp_is(uint32_t cp, int what)
{
    switch (what) {
    case IS_ALPHA: return tmpl_cp_alpha(cp);
    case IS_ALNUM: return tmpl_cp_alpha(cp) || numeric(cp);
    case IS_DECIMAL: return category(cp) == UTF8PROC_CATEGORY_ND;
    case IS_DIGIT:
        return category(cp) == UTF8PROC_CATEGORY_ND || cp == 0xB2 || cp == 0xB3 || cp == 0xB9 ||
               cp == 0x2070 || (cp >= 0x2074 && cp <= 0x2079) || (cp >= 0x2080 && cp <= 0x2089);
    case IS_NUMERIC: return numeric(cp);
    case IS_SPACE: return tmpl_cp_space(cp);
    case IS_ASCII: return cp < 0x80;
    case IS_PRINT: return tmpl_cp_print(cp);
    default: return false;
    }
}

/* isupper, islower, istitle: some cased character, and every one as it should be. */
static bool case_is(struct str s, int what)
{
    bool     any = false, in_word = false;
    uint32_t cp = 0;

    for (size_t at = 0; at < s.n;) {
        int n = utf8_decode(str_from(s, at), &cp);
        if (n < 0) cp = 0xFFFD;
        at += (size_t)(n < 0 ? -n : n);
        utf8proc_category_t c = category(cp);
        bool                upper = c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LT,
             lower                = !upper && cased(cp);
        if (what == IS_UPPER && (lower || c == UTF8PROC_CATEGORY_LT)) return false;
        if (what == IS_LOWER && upper) return false;
        if (what == IS_TITLE && (upper ? in_word : lower && !in_word)) return false;
        in_word = upper || lower;
        any |= in_word;
    }
    return any;
}

bool tmpl_str_is(struct str s, int what)
{
    uint32_t cp    = 0;
    bool     first = true;

    if (what == IS_UPPER || what == IS_LOWER || what == IS_TITLE) return case_is(s, what);
    if (s.n == 0) return what == IS_ASCII || what == IS_PRINT;
    for (size_t at = 0; at < s.n; first = false) {
        int n = utf8_decode(str_from(s, at), &cp);
        if (n < 0) return false;
        at += (size_t)n;
        if (what == IS_IDENT ? !tmpl_cp_ident(cp, first) : !cp_is(cp, what)) return false;
    }
    return true;
}
