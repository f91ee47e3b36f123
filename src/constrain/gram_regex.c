/* gram_regex.c - regular expressions, as JSON Schema's `pattern` has them (ECMA-262), without what no
 * automaton can do: lookaround, back references, word borders.
 *
 * ^ and $ stand at the ends of the whole or of one of its outermost alternatives. Classes are ASCII's, as
 * there: \d [0-9], \w [A-Za-z0-9_], \s also the spaces of Unicode. Greedy or not makes no difference.
 */
#include "constrain/gram_int.h"

#include <string.h>

#include "base/utf8.h"
#include "constrain/pda_int.h"

struct part {
    struct gram_node *x;
    int64_t           min, max; // characters; max -1: any number
    struct gram_node *one;      // x is this one character repeated min .. max times
};

struct re {
    struct gram                 *g;
    struct str                   text;
    size_t                       at;
    int                          depth;
    const struct gram_regex_opt *o;
};

static struct part fail(struct re *r, const char *what)
{
    char q[LIM_QUOTE_BYTES];

    gram_fail(r->g, ERR_INVALID_VALUE, "regular expression \"%s\": %s at byte %zu",
              str_quote(q, sizeof q, r->text), what, r->at + 1);
    return (struct part){ 0 };
}

static int peek(const struct re *r)
{
    return r->at < r->text.n ? (unsigned char)r->text.p[r->at] : -1;
}

static bool eat(struct re *r, char c)
{
    if (peek(r) != c) return false;
    r->at++;
    return true;
}

static struct gram_node *class_node(struct re *r, const struct gram_range *v, int n, bool negate)
{
    return r->o->json ? gram_json_class(r->g, v, n, negate) : gram_class(r->g, v, n, negate);
}

static struct part one(struct re *r, const struct gram_range *v, int n, bool negate)
{
    struct gram_node *x = class_node(r, v, n, negate);
    return (struct part){ x, 1, 1, x };
}

/* --- sets --- */

struct set {
    struct gram_range r[LIM_CONSTRAIN_RANGES];
    int               n;
};

static bool put(struct re *r, struct set *s, uint32_t lo, uint32_t hi)
{
    if (s->n == LIM_CONSTRAIN_RANGES) {
        fail(r, "a set has too many parts");
        return false;
    }
    s->r[s->n++] = (struct gram_range){ lo, hi };
    return true;
}

static const struct gram_range digits[] = { { '0', '9' } };
static const struct gram_range words[]  = { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } };
static const struct gram_range spaces[] = { { 9, 13 },          { ' ', ' ' },       { 0xA0, 0xA0 },
                                            { 0x1680, 0x1680 }, { 0x2000, 0x200A }, { 0x2028, 0x2029 },
                                            { 0x202F, 0x202F }, { 0x205F, 0x205F }, { 0x3000, 0x3000 },
                                            { 0xFEFF, 0xFEFF } };

/* \d \w \s and their negations; false: c is none of them. */
static bool shorthand(struct re *r, int c, struct set *s)
{
    const struct gram_range *v;
    size_t                   n;
    uint32_t                 at = 0;

    switch (c | 0x20) {
    case 'd': v = digits, n = ARRAY_LEN(digits); break;
    case 'w': v = words, n = ARRAY_LEN(words); break;
    case 's': v = spaces, n = ARRAY_LEN(spaces); break;
    default: return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (c & 0x20) {
            put(r, s, v[i].lo, v[i].hi);
        } else {
            if (v[i].lo > at) put(r, s, at, v[i].lo - 1);
            at = v[i].hi + 1;
        }
    }
    if (!(c & 0x20)) put(r, s, at, 0x10FFFF);
    return true;
}

static int hex_digit(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool hex(struct re *r, int n, uint32_t *ret)
{
    *ret = 0;
    for (int i = 0; i < n; i++, r->at++) {
        if (hex_digit(peek(r)) < 0) return false;
        *ret = *ret << 4 | (uint32_t)hex_digit(peek(r));
    }
    return true;
}

/* The character behind a backslash (which was read). False after a failure. */
static bool escape(struct re *r, bool in_set, uint32_t *ret)
{
    int      c = peek(r);
    uint32_t low;

    r->at++;
    switch (c) {
    case 'n': *ret = '\n'; return true;
    case 'r': *ret = '\r'; return true;
    case 't': *ret = '\t'; return true;
    case 'f': *ret = '\f'; return true;
    case 'v': *ret = '\v'; return true;
    case '0': *ret = 0; return true;
    case 'b':
        *ret = '\b';
        if (in_set) return true;
        break;
    case 'x':
        if (hex(r, 2, ret)) return true;
        break;
    case 'c':
        c = peek(r);
        *ret = (uint32_t)c & 31;
        r->at++;
        if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return true;
        break;
    case 'u':
        if (eat(r, '{')) {
            *ret = 0;
            while (hex_digit(peek(r)) >= 0 && *ret <= 0x10FFFF)
                *ret = *ret << 4 | (uint32_t)hex_digit(r->text.p[r->at++]);
            if (eat(r, '}') && *ret <= 0x10FFFF) return true;
            break;
        }
        if (!hex(r, 4, ret)) break;
        if (*ret >= 0xD800 && *ret < 0xDC00 && str_starts(str_from(r->text, r->at), STR("\\u"))) {
            r->at += 2;
            if (!hex(r, 4, &low) || low < 0xDC00 || low > 0xDFFF) break;
            *ret = 0x10000 + ((*ret - 0xD800) << 10) + (low - 0xDC00);
        }
        return true;
    default:
        if (c > 0x20 && c < 0x7F &&
            !((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))) {
            *ret = (uint32_t)c;
            return true;
        }
    }
    r->at--;
    fail(r, "an escape that is not supported");
    return false;
}

static bool character(struct re *r, uint32_t *ret)
{
    int n = utf8_decode(str_from(r->text, r->at), ret);

    if (n <= 0) {
        fail(r, n ? "a byte that is not UTF-8" : "it ends too early");
        return false;
    }
    r->at += (size_t)n;
    return true;
}

static struct part brackets(struct re *r)
{
    struct set s      = { .n = 0 };
    bool       negate = eat(r, '^');

    while (!eat(r, ']')) {
        uint32_t lo, hi;
        if (r->g->rc < 0) return (struct part){ 0 };
        if (eat(r, '\\')) {
            if (shorthand(r, peek(r), &s)) {
                r->at++;
                continue;
            }
            if (!escape(r, true, &lo)) return (struct part){ 0 };
        } else if (!character(r, &lo)) {
            return (struct part){ 0 };
        }
        hi = lo;
        if (peek(r) == '-' && r->at + 1 < r->text.n && r->text.p[r->at + 1] != ']') {
            struct set none = { .n = 0 };
            r->at++;
            if (eat(r, '\\')) {
                if (shorthand(r, peek(r), &none)) return fail(r, "a range that ends in a class");
                if (!escape(r, true, &hi)) return (struct part){ 0 };
            } else if (!character(r, &hi)) {
                return (struct part){ 0 };
            }
            if (hi < lo) return fail(r, "a range that ends before it begins");
        }
        if (!put(r, &s, lo, hi)) return (struct part){ 0 };
    }
    return one(r, s.r, s.n, negate);
}

/* --- the whole --- */

static struct part alternatives(struct re *r);

static int64_t add_len(int64_t a, int64_t b)
{
    return a < 0 || b < 0 ? -1 : a + b > INT32_MAX ? INT32_MAX : a + b;
}

static struct part atom(struct re *r)
{
    static const struct gram_range ends[] = { { '\n', '\n' }, { '\r', '\r' }, { 0x2028, 0x2029 } };
    uint32_t                       cp;
    struct part                    p;

    switch (peek(r)) {
    case '.': r->at++; return one(r, ends, 3, true);
    case '[': r->at++; return brackets(r);
    case '(':
        r->at++;
        if (++r->depth > LIM_CONSTRAIN_DEPTH) return fail(r, "groups are nested too deep");
        if (eat(r, '?')) {
            if (eat(r, '<') && peek(r) != '=' && peek(r) != '!') {
                while (peek(r) >= 0 && peek(r) != '>') r->at++;
                if (!eat(r, '>')) return fail(r, "a group's name has no end");
            } else if (!eat(r, ':')) {
                return fail(r, "lookaround and flags are not supported,");
            }
        }
        p = alternatives(r);
        r->depth--;
        if (r->g->rc == 0 && !eat(r, ')')) return fail(r, "a group is not closed");
        return p;
    case '\\': {
        struct set s = { .n = 0 };
        r->at++;
        if (shorthand(r, peek(r), &s)) {
            r->at++;
            return one(r, s.r, s.n, false);
        }
        if (peek(r) >= '1' && peek(r) <= '9') return fail(r, "a back reference is not supported");
        if ((peek(r) | 0x20) == 'b') return fail(r, "a word border is not supported");
        if ((peek(r) | 0x20) == 'p') return fail(r, "a Unicode property is not supported");
        if (!escape(r, false, &cp)) return (struct part){ 0 };
        return one(r, &(struct gram_range){ cp, cp }, 1, false);
    }
    case '^':
    case '$': return fail(r, "^ and $ are supported at the ends only,");
    case '*':
    case '+':
    case '?': return fail(r, "nothing to repeat");
    default: break;
    }
    if (!character(r, &cp)) return (struct part){ 0 };
    return one(r, &(struct gram_range){ cp, cp }, 1, false);
}

static bool digit_at(const struct re *r, size_t at)
{
    return at < r->text.n && r->text.p[at] >= '0' && r->text.p[at] <= '9';
}

static int count(struct re *r)
{
    int64_t n = 0;

    for (; digit_at(r, r->at); r->at++)
        if (n <= LIM_CONSTRAIN_REPEAT) n = n * 10 + (r->text.p[r->at] - '0');
    if (n > LIM_CONSTRAIN_REPEAT) fail(r, "a repetition above the limit");
    return n > LIM_CONSTRAIN_REPEAT ? 0 : (int)n;
}

static struct part item(struct re *r)
{
    struct part p   = atom(r);
    int         min = 1, max = 1;

    if (r->g->rc < 0) return p;
    if (eat(r, '*')) {
        min = 0, max = GRAM_INF;
    } else if (eat(r, '+')) {
        max = GRAM_INF;
    } else if (eat(r, '?')) {
        min = 0;
    } else if (peek(r) == '{' && digit_at(r, r->at + 1)) {
        r->at++;
        min = max = count(r);
        if (eat(r, ',')) max = digit_at(r, r->at) ? count(r) : GRAM_INF;
        if (!eat(r, '}')) return fail(r, "a repetition is not closed");
        if (max != GRAM_INF && max < min) return fail(r, "a repetition that ends below its beginning");
    } else {
        return p;
    }
    eat(r, '?'); // lazy: the same texts
    if (peek(r) == '*' || peek(r) == '+') return fail(r, "nothing to repeat");
    struct part q = { gram_rep(r->g, p.x, min, max), 0, 0, p.min == 1 && p.max == 1 ? p.one : NULL };
    q.min = p.min * min > INT32_MAX ? INT32_MAX : p.min * min;
    q.max         = p.max == 0 || max == 0    ? 0
                    : p.max < 0 || max < 0    ? -1
                    : p.max * max > INT32_MAX ? INT32_MAX
                                              : p.max * max;
    return q;
}

/* Up to | or ) or the end; `outer`: ^ and $ count. */
static struct part sequence(struct re *r, bool outer)
{
    struct gram_list l     = { 0 };
    struct part      all   = { .min = 0, .max = 0 };
    bool             begun = outer && eat(r, '^'), ended = false;
    int              n     = 0;

    while (r->g->rc == 0 && !ended && peek(r) >= 0 && peek(r) != '|' && peek(r) != ')') {
        if (outer && peek(r) == '$' && (r->at + 1 == r->text.n || r->text.p[r->at + 1] == '|')) {
            r->at++;
            ended = true;
            break;
        }
        struct part p = item(r);
        gram_push(r->g, &l, p.x);
        all.min = add_len(all.min, p.min);
        all.max = add_len(all.max, p.max);
        all.one = ++n == 1 ? p.one : NULL;
    }
    if (r->g->rc < 0) return all;
    if (!outer || r->o->whole) begun = ended = true;
    struct gram_node *any = begun && ended ? NULL
                            : r->o->json   ? gram_json(r->g, SHARED_CHAR)
                                           : gram_class(r->g, NULL, 0, true);
    if (any) any = gram_rep(r->g, any, 0, GRAM_INF);
    struct gram_node *x = gram_seq(r->g, l.v, l.n);
    if (!begun) x = GRAM_SEQ(r->g, any, x);
    if (!ended) x = GRAM_SEQ(r->g, x, any);
    if (any) {
        all.max = -1;
        all.one = NULL;
    }
    all.x = x;
    return all;
}

static struct part alternatives(struct re *r)
{
    struct gram_list l     = { 0 };
    struct part      all   = { 0 };
    bool             outer = r->depth == 0;

    for (int n = 0;; n++) {
        struct part p = sequence(r, outer);
        if (r->g->rc < 0) return all;
        gram_push(r->g, &l, p.x);
        if (n == 0) {
            all = p;
        } else {
            if (p.min < all.min) all.min = p.min;
            if (all.max >= 0 && (p.max < 0 || p.max > all.max)) all.max = p.max;
            all.one = NULL;
        }
        if (!eat(r, '|')) break;
    }
    all.x = gram_alt(r->g, l.v, l.n);
    if (l.n > 1 && all.min == 1 && all.max == 1) all.one = all.x;
    return all;
}

struct gram_node *gram_regex(struct gram *g, struct str text, const struct gram_regex_opt *o)
{
    struct re r = { .g = g, .text = text, .o = o };

    if (text.n > LIM_CONSTRAIN_PATTERN)
        return gram_fail(g, ERR_INVALID_VALUE, "a regular expression has %zu bytes, the limit is %d", text.n,
                         LIM_CONSTRAIN_PATTERN);
    struct part p = alternatives(&r);
    if (g->rc < 0) return NULL;
    if (r.at < text.n) {
        fail(&r, "a ) too many");
        return NULL;
    }
    bool short_ok = p.min >= o->n_min, long_ok = o->n_max == GRAM_INF || (p.max >= 0 && p.max <= o->n_max);
    if (short_ok && long_ok) return p.x;
    if (!p.one) {
        if (o->soft) return NULL;
        gram_fail(g, ERR_INVALID_VALUE,
                  "regular expression \"%.40s\": together with minLength or maxLength only patterns like "
                  "^[a-z]+$ are supported",
                  arena_str(g->a, text).p);
        return NULL;
    }
    int64_t min = p.min > o->n_min ? p.min : o->n_min;
    int64_t max = o->n_max == GRAM_INF ? p.max : p.max < 0 || p.max > o->n_max ? o->n_max : p.max;
    return gram_rep(g, p.one, (int)min, (int)max);
}

int gram_regex_test(struct str re, struct str text)
{
    struct arena           a;
    struct gram            g;
    struct prog            prog;
    struct pda             p;
    struct err             e;
    struct constrain_vocab none = { 0 };
    struct gram_regex_opt  o    = { .n_max = GRAM_INF };
    int                    ret  = -1;

    arena_init(&a, LIM_CONSTRAIN_ARENA);
    gram_init(&g, &a, &e);
    struct gram_node *x = gram_regex(&g, re, &o);
    if (prog_emit(&prog, &g, x, &e) == 0 && pda_init(&p, &prog, &none, &e) == 0) {
        int32_t at = pda_first(&p);
        for (size_t i = 0; i < text.n && at >= 0; i++) at = pda_next(&p, at, (uint8_t)text.p[i]);
        ret = at >= 0 ? p.conf[at].accept : at == PDA_DEAD ? 0 : -1;
        pda_release(&p);
    }
    arena_release(&a);
    return ret;
}
