/* gram_num.c - the decimal numbers between two bounds, digit by digit.
 *
 * A bound is a sign, its digits before and behind the point. Magnitudes are compared as texts: of those
 * before the point more digits is more; digits of the same place decide from the left. Below zero the
 * bounds change places. No exponents here; -0 is not written.
 */
#include "constrain/gram_int.h"

#include <string.h>

#define INT_DIGITS  18
#define FRAC_DIGITS 17

/* A magnitude. */
struct mag {
    char whole[INT_DIGITS + 2]; // without leading zeros, "0" for none
    char frac[64];              // without trailing zeros
    bool over;                  // too large to matter
    bool negative;
    bool zero;
};

static struct gram_node *span(struct gram *g, char lo, char hi)
{
    struct gram_range r = { (unsigned char)lo, (unsigned char)hi };
    return lo > hi ? gram_never(g) : gram_class(g, &r, 1, false);
}

static struct gram_node *digits(struct gram *g, int min, int max)
{
    return gram_rep(g, span(g, '0', '9'), min, max);
}

/* "-12.5", "1e+30", "2.5e-07": json_put_f64's and a client's spellings. False: more digits than we take. */
static bool parse(struct str s, struct mag *m)
{
    char   all[400];
    size_t n = 0, point = SIZE_MAX, i = 0;
    long   exp = 0;

    *m = (struct mag){ .negative = s.n > 0 && s.p[0] == '-' };
    for (i = m->negative; i < s.n && s.p[i] != 'e' && s.p[i] != 'E'; i++) {
        if (s.p[i] == '.') point = n;
        else if (n < 350) all[n++] = s.p[i];
        else return false;
    }
    if (i < s.n) {
        int64_t x = 0;
        i++;
        if (i < s.n && s.p[i] == '+') i++;
        if (!str_to_i64(str_from(s, i), &x) || x > 400 || x < -400) return false;
        exp = (long)x;
    }
    long at = (long)(point == SIZE_MAX ? n : point) + exp; // where the point is, in digits of all
    size_t n_whole = 0, n_frac = 0;
    for (long k = 0; k < at; k++) {
        char c = k < (long)n ? all[k] : '0';
        if (c == '0' && n_whole == 0) continue;
        if (n_whole > INT_DIGITS) break;
        m->whole[n_whole++] = c;
    }
    m->over = n_whole > INT_DIGITS;
    if (n_whole == 0) m->whole[n_whole++] = '0';
    m->whole[n_whole] = 0;
    for (long k = at; k < (long)n; k++) {
        char c = k < 0 ? '0' : all[k];
        if (n_frac + 1 < sizeof m->frac) m->frac[n_frac++] = c;
        else if (c != '0') return false;
    }
    while (n_frac && m->frac[n_frac - 1] == '0') n_frac--;
    m->frac[n_frac] = 0;
    m->zero = !m->over && !strcmp(m->whole, "0") && !n_frac;
    if (m->zero) m->negative = false;
    return n_frac <= FRAC_DIGITS;
}

/* --- behind the point --- */

enum side { ABOVE, BELOW };

/* Up to `left` more digits, with what was read so far equal to the bound's up to here: f[0..] is its rest. */
static struct gram_node *frac_side(struct gram *g, const char *f, int left, enum side side, bool open)
{
    if (!*f) { // equal so far, and the bound's rest is zeros
        struct gram_node *zeros = gram_rep(g, gram_z(g, "0"), 0, left);
        if (side == BELOW) return open ? gram_never(g) : zeros;
        if (!open) return digits(g, 0, left);
        return left == 0 ? gram_never(g)
                         : GRAM_SEQ(g, gram_rep(g, gram_z(g, "0"), 0, left - 1), span(g, '1', '9'),
                                    digits(g, 0, left - 1));
    }
    /* no more digits: zeros follow, and the bound has more than that */
    struct gram_node *stop = side == BELOW ? gram_empty(g) : gram_never(g);
    if (left == 0) return stop;
    struct gram_node *same = GRAM_SEQ(g, span(g, *f, *f), frac_side(g, f + 1, left - 1, side, open));
    struct gram_node *off  = side == BELOW ? span(g, '0', (char)(*f - 1)) : span(g, (char)(*f + 1), '9');
    return GRAM_ALT(g, stop, same, GRAM_SEQ(g, off, digits(g, 0, left - 1)));
}

/* Between two bounds that were equal up to here; lo <= hi. */
static struct gram_node *frac_between(struct gram *g, const char *lo, bool lo_open, const char *hi,
                                      bool hi_open, int left)
{
    char a = *lo ? *lo : '0', b = *hi ? *hi : '0';

    if (!*lo && !*hi) return lo_open || hi_open ? gram_never(g) : gram_rep(g, gram_z(g, "0"), 0, left);
    struct gram_node *stop =
        *lo || lo_open ? gram_never(g) : gram_empty(g); // the number is lo with zeros; hi has more
    if (left == 0) return stop;
    const char *lo1 = *lo ? lo + 1 : lo, *hi1 = *hi ? hi + 1 : hi;
    if (a == b)
        return GRAM_ALT(g, stop,
                        GRAM_SEQ(g, span(g, a, a), frac_between(g, lo1, lo_open, hi1, hi_open, left - 1)));
    return GRAM_ALT(g, stop, GRAM_SEQ(g, span(g, a, a), frac_side(g, lo1, left - 1, ABOVE, lo_open)),
                    GRAM_SEQ(g, span(g, (char)(a + 1), (char)(b - 1)), digits(g, 0, left - 1)),
                    GRAM_SEQ(g, span(g, b, b), frac_side(g, hi1, left - 1, BELOW, hi_open)));
}

/* A point and digits, at least one, when `tail` (digits or none) says what they may be; none at all when
 * `bare` is possible. */
static struct gram_node *point(struct gram *g, struct gram_node *tail, bool bare, int n_frac)
{
    if (n_frac == 0) return bare ? gram_empty(g) : gram_never(g);
    struct gram_node *with = GRAM_SEQ(g, gram_z(g, "."), tail);
    return bare ? GRAM_ALT(g, gram_empty(g), with) : with;
}

/* `tail` without the text that has no digit. Only what stands here is made: the trees of frac_* say no digit
 * at their top alone. */
static struct gram_node *some(struct gram *g, struct gram_node *x)
{
    struct gram_list l = { 0 };

    if (!x) return NULL;
    if (x->kind == GRAM_LIT && x->lit.n == 0) return gram_never(g);
    if (x->kind == GRAM_REP && x->min == 0) return gram_rep(g, x->kid[0], 1, x->max);
    if (x->kind != GRAM_ALT) return x;
    for (int i = 0; i < x->n; i++) gram_push(g, &l, some(g, x->kid[i]));
    return gram_alt(g, l.v, l.n);
}

/* --- before the point --- */

/* Whole numbers of exactly as many digits as the bounds, between them; `first`: no leading zero. The edge
 * cases (equal to a bound) are left out when the flag says so: they go on behind the point. */
static struct gram_node *same_len(struct gram *g, const char *lo, const char *hi, bool no_lo, bool no_hi)
{
    int n = (int)strlen(lo);

    if (n == 0) return no_lo || no_hi ? gram_never(g) : gram_empty(g);
    if (!no_lo && !no_hi && (int)strspn(lo, "0") == n && (int)strspn(hi, "9") == n) return digits(g, n, n);
    if (*lo == *hi) return GRAM_SEQ(g, span(g, *lo, *lo), same_len(g, lo + 1, hi + 1, no_lo, no_hi));
    char nines[INT_DIGITS + 2] = { 0 }, zeros[INT_DIGITS + 2] = { 0 };
    memset(nines, '9', (size_t)n - 1);
    memset(zeros, '0', (size_t)n - 1);
    return GRAM_ALT(g, GRAM_SEQ(g, span(g, *lo, *lo), same_len(g, lo + 1, nines, no_lo, false)),
                    GRAM_SEQ(g, span(g, (char)(*lo + 1), (char)(*hi - 1)), digits(g, n - 1, n - 1)),
                    GRAM_SEQ(g, span(g, *hi, *hi), same_len(g, zeros, hi + 1, false, no_hi)));
}

/* Whole numbers from lo to hi (hi NULL: no bound). */
static struct gram_node *whole(struct gram *g, const char *lo, const char *hi, bool no_lo, bool no_hi)
{
    int              a = (int)strlen(lo), b = hi ? (int)strlen(hi) : INT_DIGITS;
    struct gram_list l = { 0 };

    if (hi && (a > b || (a == b && strcmp(lo, hi) > 0))) return gram_never(g);
    if (hi && !strcmp(lo, hi) && (no_lo || no_hi)) return gram_never(g);
    for (int n = a; n <= b; n++) {
        char first[INT_DIGITS + 2] = { 0 }, last[INT_DIGITS + 2] = { 0 };
        memset(first, '0', (size_t)n);
        first[0] = n == 1 ? '0' : '1';
        memset(last, '9', (size_t)n);
        bool at_lo = n == a, at_hi = hi && n == b;
        gram_push(g, &l, same_len(g, at_lo ? lo : first, at_hi ? hi : last, at_lo && no_lo, at_hi && no_hi));
    }
    return gram_alt(g, l.v, l.n);
}

/* Magnitudes in a range; hi NULL: no bound. */
static struct gram_node *between(struct gram *g, const struct mag *lo, bool lo_open, const struct mag *hi,
                                 bool hi_open, int n_frac)
{
    struct gram_list l = { 0 };

    if (lo->over) return gram_never(g);
    if (hi && hi->over) hi = NULL;
    bool same = hi && !strcmp(lo->whole, hi->whole);
    struct gram_node *any = point(g, digits(g, 1, n_frac), true, n_frac);
    if (same) {
        if (strcmp(lo->frac, hi->frac) > 0) return gram_never(g);
        struct gram_node *tail = frac_between(g, lo->frac, lo_open, hi->frac, hi_open, n_frac);
        bool bare = !*lo->frac && !lo_open && (*hi->frac || !hi_open);
        return GRAM_SEQ(g, gram_z(g, lo->whole), point(g, some(g, tail), bare, n_frac));
    }
    /* strictly between the whole parts anything may follow; at a bound's own its digits count */
    gram_push(g, &l, GRAM_SEQ(g, whole(g, lo->whole, hi ? hi->whole : NULL, true, hi != NULL), any));
    gram_push(g, &l,
              GRAM_SEQ(g, gram_z(g, lo->whole),
                       point(g, some(g, frac_side(g, lo->frac, n_frac, ABOVE, lo_open)),
                             !*lo->frac && !lo_open, n_frac)));
    if (hi)
        gram_push(g, &l,
                  GRAM_SEQ(g, gram_z(g, hi->whole),
                           point(g, some(g, frac_side(g, hi->frac, n_frac, BELOW, hi_open)),
                                 *hi->frac || !hi_open, n_frac)));
    return gram_alt(g, l.v, l.n);
}

struct gram_node *gram_num(struct gram *g, const struct gram_num *r)
{
    struct mag       lo = { 0 }, hi = { 0 }, zero = { .whole = "0", .zero = true };
    struct gram_list l = { 0 };
    int              n_frac = r->integer ? 0 : r->n_frac == GRAM_INF ? FRAC_DIGITS : r->n_frac;
    bool             has_lo = r->lo.p, has_hi = r->hi.p;

    if ((has_lo && !parse(r->lo, &lo)) || (has_hi && !parse(r->hi, &hi)))
        return gram_fail(g, ERR_INVALID_VALUE, "a bound of a number has more than %d digits behind the point",
                         FRAC_DIGITS);
    /* the side at or above zero */
    if (!has_hi || !hi.negative) {
        bool              up = has_lo && !lo.negative;
        struct gram_node *x =
            between(g, up ? &lo : &zero, up && r->lo_open, has_hi ? &hi : NULL, r->hi_open, n_frac);
        gram_push(g, &l, x);
    }
    /* below: the magnitudes from -hi up to -lo */
    if (!has_lo || lo.negative) {
        bool              down = has_hi && hi.negative;
        struct gram_node *x =
            between(g, down ? &hi : &zero, down ? r->hi_open : true, has_lo ? &lo : NULL, r->lo_open, n_frac);
        gram_push(g, &l, GRAM_SEQ(g, gram_z(g, "-"), x));
    }
    return gram_alt(g, l.v, l.n);
}
