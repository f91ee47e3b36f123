/* tmpl_str.c - strings that know who wrote them.
 *
 * A string is a slice of bytes and, when it has more than one author, a list of spans. Cutting
 * shares both. Pasting copies into a builder; the result remembers the builder, so that the usual
 *
 *     {% set ns.text = ns.text + more %}
 *
 * grows in place instead of copying everything each time: whoever holds the newest end of a builder
 * may write behind it, and older strings never look there. This is what makes a loop of n additions
 * linear.
 *
 *     builder   [hello, world!......]      p, n = 13, cap = 19
 *     older      ^^^^^^                     text.n = 6
 *     newest     ^^^^^^^^^^^^^              text.n = 13: may grow
 *
 * All text is UTF-8; positions in the language are code points, here bytes.
 */
#include <string.h>

#include "base/utf8.h"
#include "chat/tmpl_int.h"

/* --- reading --- */

size_t tmpl_char_len(struct str s)
{
    uint32_t cp;
    int      n = utf8_decode(s, &cp);

    return (size_t)(n < 0 ? -n : n);
}

size_t tmpl_n_char(struct vstr *s)
{
    if (s->n_char == SIZE_MAX) s->n_char = utf8_count(s->text);
    return s->n_char;
}

size_t tmpl_char_at(struct vstr *s, size_t i)
{
    size_t at = 0;

    if (tmpl_n_char(s) == s->text.n) return i < s->text.n ? i : s->text.n;
    while (i-- > 0 && at < s->text.n) at += tmpl_char_len(str_from(s->text, at));
    return at;
}

size_t tmpl_find(struct str s, struct str needle, size_t from)
{
    if (from > s.n) return SIZE_MAX;
    size_t at = str_find(str_from(s, from), needle);
    return at == SIZE_MAX ? SIZE_MAX : from + at;
}

/* Index of the span that holds byte `at`. */
static size_t span_index(const struct vstr *s, size_t at)
{
    size_t lo = 0, hi = s->n_span - 1;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->span[mid].end > at + s->off) hi = mid;
        else lo = mid + 1;
    }
    return lo;
}

bool tmpl_span_at(const struct vstr *s, size_t at, size_t *end)
{
    *end = s->text.n;
    if (s->trust != TRUST_MIXED) return s->trust == TRUST_ALL;
    const struct span *sp = &s->span[span_index(s, at)];
    if (sp->end - s->off < *end) *end = sp->end - s->off;
    return sp->trusted;
}

bool tmpl_trusted(const struct vstr *s)
{
    return s->trust == TRUST_ALL || s->text.n == 0;
}

/* --- making --- */

static struct val new_str(struct run *r, struct vstr s)
{
    struct vstr *p = tmpl_alloc(r, 1, sizeof *p);

    if (!p) return VAL_NONE;
    *p = s;
    return (struct val){ .kind = V_STR, .u.s = p };
}

struct val tmpl_str_new(struct run *r, struct str text, bool trusted)
{
    return new_str(r, (struct vstr){ .text = text, .trust = trusted ? TRUST_ALL : TRUST_NONE,
                                     .n_char = SIZE_MAX });
}

struct val tmpl_str_c(struct run *r, const char *z)
{
    return tmpl_str_new(r, str_c(z), true);
}

struct val tmpl_str_markup(struct run *r, struct val s, bool markup)
{
    if (r->failed || s.kind != V_STR || s.u.s->markup == markup) return s;
    struct vstr copy = *s.u.s;
    copy.markup      = markup;
    return new_str(r, copy);
}

struct val tmpl_str_sub(struct run *r, const struct vstr *s, size_t from, size_t to)
{
    struct vstr sub = { .text   = str_sub(s->text, from, to - from),
                        .trust  = s->trust,
                        .markup = s->markup,
                        .n_char = SIZE_MAX };

    if (sub.text.n == s->text.n) return new_str(r, *s);
    if (s->n_char == s->text.n) sub.n_char = sub.text.n; // all of it is ASCII
    if (s->trust == TRUST_MIXED) {
        size_t first = span_index(s, from), last = to > from ? span_index(s, to - 1) : first;
        if (first == last) {
            sub.trust = s->span[first].trusted ? TRUST_ALL : TRUST_NONE;
        } else {
            sub.off    = s->off + from;
            sub.span   = s->span + first;
            sub.n_span = last - first + 1;
        }
    }
    return new_str(r, sub);
}

void tmpl_sb_init(struct sb *b, struct run *r, size_t max)
{
    *b = (struct sb){ .r = r, .max = max };
}

/* Room for n more bytes; false: failed. */
static bool room(struct sb *b, size_t n)
{
    struct run *r = b->r;

    if (!tmpl_step(r, TMPL_BYTES(n))) return false;
    if (n > b->max - b->n) {
        if (b->max == LIM_TMPL_OUT_BYTES)
            tmpl_fail_code(r, ERR_TOO_LARGE, "the rendering exceeds %zu bytes", b->max);
        else
            tmpl_fail_code(r, ERR_TOO_LARGE, "a string exceeds %zu bytes", b->max);
        return false;
    }
    if (n <= b->cap - b->n) return true;

    size_t cap = b->cap ? b->cap * 2 : 32;
    while (cap < b->n + n) cap *= 2;
    char *p = arena_alloc(r->a, cap);
    if (!p) {
        tmpl_no_room(r, cap);
        return false;
    }
    if (b->n) memcpy(p, b->p, b->n);
    b->p   = p;
    b->cap = cap;
    return true;
}

static void push_span(struct sb *b, size_t end, bool trusted)
{
    if (b->n_span == b->cap_span) {
        size_t       cap  = b->cap_span ? b->cap_span * 2 : 4;
        struct span *more = tmpl_alloc(b->r, cap, sizeof *more);
        if (!more) return;
        if (b->n_span) memcpy(more, b->span, b->n_span * sizeof *more);
        b->span     = more;
        b->cap_span = cap;
    }
    b->span[b->n_span++] = (struct span){ .end = end, .trusted = trusted };
}

/* The n bytes behind b->n were written by this author. */
static void wrote(struct sb *b, size_t n, bool trusted)
{
    enum trust now = trusted ? TRUST_ALL : TRUST_NONE;

    if (n == 0) return;
    if (b->n == 0) {
        b->trust  = now;
        b->n_span = 0;
    } else if (b->trust == TRUST_MIXED) {
        if (b->span[b->n_span - 1].trusted == trusted) b->span[b->n_span - 1].end += n;
        else push_span(b, b->n + n, trusted);
    } else if (b->trust != now) {
        b->n_span = 0;
        push_span(b, b->n, b->trust == TRUST_ALL);
        push_span(b, b->n + n, trusted);
        b->trust = TRUST_MIXED;
    }
    if (!b->r->failed) b->n += n;
}

void tmpl_sb_put(struct sb *b, struct str s, bool trusted)
{
    if (s.n == 0 || !room(b, s.n)) return;
    memcpy(b->p + b->n, s.p, s.n);
    wrote(b, s.n, trusted);
}

void tmpl_sb_sub(struct sb *b, const struct vstr *s, size_t from, size_t to)
{
    while (from < to && !b->r->failed) {
        size_t end;
        bool   trusted = tmpl_span_at(s, from, &end);
        if (end > to) end = to;
        tmpl_sb_put(b, str_sub(s->text, from, end - from), trusted);
        from = end;
    }
}

void tmpl_sb_str(struct sb *b, const struct vstr *s)
{
    tmpl_sb_sub(b, s, 0, s->text.n);
}

void tmpl_sb_fill(struct sb *b, struct str s, size_t times, bool trusted)
{
    size_t n;

    if (s.n == 0 || times == 0) return;
    if (__builtin_mul_overflow(s.n, times, &n)) n = SIZE_MAX;
    if (!room(b, n)) return;
    if (s.n == 1) memset(b->p + b->n, s.p[0], n);
    else for (size_t i = 0; i < times; i++) memcpy(b->p + b->n + i * s.n, s.p, s.n);
    wrote(b, n, trusted);
}

/* What the builder holds now; `grow` is where it lives on, or NULL. */
static struct val snapshot(struct sb *b, struct sb *grow)
{
    return new_str(b->r, (struct vstr){ .text   = { b->p, b->n },
                                        .trust  = b->n ? b->trust : TRUST_ALL,
                                        .n_char = SIZE_MAX,
                                        .span   = b->span,
                                        .n_span = b->n_span,
                                        .grow   = grow });
}

struct val tmpl_sb_end(struct sb *b)
{
    return b->r->failed ? VAL_NONE : snapshot(b, NULL);
}

/* --- pasting --- */

struct val tmpl_concat(struct run *r, struct val a, struct val b)
{
    if (a.u.s->markup != b.u.s->markup) { // the other side is escaped first, as Markup does
        if (a.u.s->markup) b = tmpl_escape(r, b);
        else a = tmpl_escape(r, a);
    }
    if (r->failed || b.u.s->text.n == 0) return a;
    if (a.u.s->text.n == 0) return b;

    const struct vstr *left = a.u.s;
    struct sb         *grow = left->grow;
    bool               anew = !grow || grow->n != left->text.n || grow->p != left->text.p;
    if (anew) {
        grow = tmpl_alloc(r, 1, sizeof *grow);
        if (!grow) return VAL_NONE;
        tmpl_sb_init(grow, r, LIM_TMPL_STR_BYTES);
        tmpl_sb_str(grow, left);
    }
    tmpl_sb_str(grow, b.u.s);
    if (r->failed) return VAL_NONE;
    return tmpl_str_markup(r, snapshot(grow, grow), left->markup);
}

struct val tmpl_repeat(struct run *r, struct val s, int64_t times)
{
    struct sb b;

    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    const struct vstr *v = s.u.s;
    if (times > 0 && v->trust != TRUST_MIXED)
        tmpl_sb_fill(&b, v->text, (size_t)times, v->trust == TRUST_ALL);
    else if (v->text.n > 0)
        for (int64_t i = 0; i < times && !r->failed; i++) tmpl_sb_str(&b, v);
    return tmpl_str_markup(r, tmpl_sb_end(&b), v->markup);
}

struct val tmpl_join(struct run *r, const struct vstr *sep, const struct vlist *l, bool convert)
{
    struct sb b;

    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    for (size_t i = 0; i < l->n && tmpl_step(r, 1); i++) {
        if (i > 0) tmpl_sb_str(&b, sep);
        if (!convert && l->v[i].kind != V_STR)
            return tmpl_fail(r, "sequence item %zu: expected str instance, %s found", i,
                             tmpl_type(l->v[i]));
        if (!convert && sep->markup && !l->v[i].u.s->markup) {
            struct val safe = tmpl_escape(r, l->v[i]);
            if (!r->failed) tmpl_sb_str(&b, safe.u.s);
        } else {
            tmpl_put_str(&b, l->v[i]);
        }
    }
    return tmpl_str_markup(r, tmpl_sb_end(&b), !convert && sep->markup);
}

struct val tmpl_replace(struct run *r, const struct vstr *s, const struct vstr *old,
                        const struct vstr *by, int64_t count)
{
    struct sb b;
    size_t    at = 0;

    if (count == 0 || !tmpl_step(r, TMPL_BYTES(s->text.n))) return new_str(r, *s);
    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    if (old->text.n == 0) { // between all characters, and at both ends
        for (int64_t done = 0; tmpl_step(r, 1); done++) {
            if (count >= 0 && done == count) break;
            tmpl_sb_str(&b, by);
            if (at >= s->text.n) break;
            size_t n = tmpl_char_len(str_from(s->text, at));
            tmpl_sb_sub(&b, s, at, at + n);
            at += n;
        }
    } else {
        for (int64_t done = 0; (count < 0 || done < count) && tmpl_step(r, 1); done++) {
            size_t hit = tmpl_find(s->text, old->text, at);
            if (hit == SIZE_MAX) break;
            tmpl_sb_sub(&b, s, at, hit);
            tmpl_sb_str(&b, by);
            at = hit + old->text.n;
        }
    }
    tmpl_sb_sub(&b, s, at, s->text.n);
    return tmpl_str_markup(r, tmpl_sb_end(&b), s->markup);
}

struct val tmpl_escape(struct run *r, struct val v)
{
    static const struct {
        char        c;
        const char *to;
    } rows[] = {
        { '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" }, { '\'', "&#39;" }, { '"', "&#34;" }
    };
    struct val s = tmpl_str(r, v);
    struct sb  b;

    if (r->failed || s.u.s->markup) return s;
    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    size_t from = 0;
    for (size_t at = 0; at < s.u.s->text.n && !r->failed; at++) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            if (s.u.s->text.p[at] != rows[i].c) continue;
            size_t end;
            tmpl_sb_sub(&b, s.u.s, from, at);
            tmpl_sb_put(&b, str_c(rows[i].to), tmpl_span_at(s.u.s, at, &end));
            from = at + 1;
        }
    }
    tmpl_sb_sub(&b, s.u.s, from, s.u.s->text.n);
    return tmpl_str_markup(r, tmpl_sb_end(&b), true);
}

/* --- cutting --- */

static size_t space_at(struct str s, size_t at)
{
    uint32_t cp = 0;
    int      n  = utf8_decode(str_from(s, at), &cp);

    return n > 0 && tmpl_cp_space(cp) ? (size_t)n : 0;
}

/* Start of the character that ends before byte `at` (> 0). */
static size_t char_before(struct str s, size_t at)
{
    size_t from = at - 1;

    while (from > 0 && at - from < UTF8_MAX && ((unsigned char)s.p[from] & 0xC0) == 0x80) from--;
    return tmpl_char_len(str_sub(s, from, at - from)) == at - from ? from : at - 1;
}

/* The character at `at` is one to strip: a blank, or one of `chars`. */
static bool stripped(struct str s, size_t at, size_t n, const struct vstr *chars)
{
    if (!chars) return space_at(s, at) > 0;
    return str_find(chars->text, str_sub(s, at, n)) != SIZE_MAX;
}

struct val tmpl_strip(struct run *r, const struct vstr *s, const struct vstr *chars, bool left,
                      bool right)
{
    size_t from = 0, to = s->text.n;

    while (left && from < to && tmpl_step(r, 1)) {
        size_t n = tmpl_char_len(str_from(s->text, from));
        if (!stripped(s->text, from, n, chars)) break;
        from += n;
    }
    while (right && to > from && tmpl_step(r, 1)) {
        size_t at = char_before(s->text, to);
        if (!stripped(s->text, at, to - at, chars)) break;
        to = at;
    }
    return tmpl_str_sub(r, s, from, to);
}

/* split() by blanks, which are never part of a result. */
static void split_blanks(struct run *r, const struct vstr *s, int64_t max, struct val list)
{
    size_t at = 0;

    for (int64_t done = 0; tmpl_step(r, 1); done++) {
        for (size_t n; (n = space_at(s->text, at)) > 0;) at += n;
        if (at >= s->text.n) return;
        size_t end = at;
        if (max >= 0 && done >= max) {
            end = s->text.n; // the rest as it is
        } else {
            while (end < s->text.n && !space_at(s->text, end))
                end += tmpl_char_len(str_from(s->text, end));
        }
        tmpl_list_put(r, list, tmpl_str_sub(r, s, at, end));
        if (max >= 0 && done >= max) return;
        at = end;
    }
}

static void rsplit_blanks(struct run *r, const struct vstr *s, int64_t max, struct val list)
{
    size_t at = s->text.n;

    for (int64_t done = 0; tmpl_step(r, 1); done++) {
        while (at > 0 && space_at(s->text, char_before(s->text, at))) at = char_before(s->text, at);
        if (at == 0) return;
        size_t from = at;
        if (max >= 0 && done >= max) {
            from = 0;
        } else {
            while (from > 0 && !space_at(s->text, char_before(s->text, from)))
                from = char_before(s->text, from);
        }
        tmpl_list_put(r, list, tmpl_str_sub(r, s, from, at));
        if (max >= 0 && done >= max) return;
        at = from;
    }
}

size_t tmpl_find_last(struct run *r, struct str s, struct str needle, size_t before)
{
    if (needle.n > before) return SIZE_MAX;
    for (size_t at = before - needle.n + 1; at-- > 0;) {
        if (needle.n > 0 && s.p[at] != needle.p[0]) continue;
        if (!tmpl_step(r, TMPL_BYTES(needle.n))) break; // "aaa...ab" in "aaa...": paid for
        if (needle.n == 0 || memcmp(s.p + at, needle.p, needle.n) == 0) return at;
    }
    return SIZE_MAX;
}

static void reverse(struct vlist *l)
{
    for (size_t i = 0; i + 1 < l->n - i; i++) {
        struct val v       = l->v[i];
        l->v[i]            = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = v;
    }
}

struct val tmpl_split(struct run *r, const struct vstr *s, const struct vstr *sep, int64_t max,
                      bool right)
{
    struct val list = tmpl_list_new(r, V_LIST, 0);

    if (sep && sep->text.n == 0) return tmpl_fail(r, "empty separator");
    if (r->failed || !tmpl_step(r, TMPL_BYTES(s->text.n))) return VAL_NONE;
    if (!sep && !right) {
        split_blanks(r, s, max, list);
    } else if (!sep) {
        rsplit_blanks(r, s, max, list);
    } else if (!right) {
        size_t at = 0;
        for (int64_t done = 0; (max < 0 || done < max) && tmpl_step(r, 1); done++) {
            size_t hit = tmpl_find(s->text, sep->text, at);
            if (hit == SIZE_MAX) break;
            tmpl_list_put(r, list, tmpl_str_sub(r, s, at, hit));
            at = hit + sep->text.n;
        }
        tmpl_list_put(r, list, tmpl_str_sub(r, s, at, s->text.n));
    } else {
        size_t end = s->text.n;
        for (int64_t done = 0; (max < 0 || done < max) && tmpl_step(r, 1); done++) {
            size_t hit = tmpl_find_last(r, s->text, sep->text, end);
            if (hit == SIZE_MAX) break;
            tmpl_list_put(r, list, tmpl_str_sub(r, s, hit + sep->text.n, end));
            end = hit;
        }
        tmpl_list_put(r, list, tmpl_str_sub(r, s, 0, end));
    }
    if (r->failed) return VAL_NONE;
    if (right) reverse(list.u.l);
    return list;
}

/* Bytes of the line break at `at`, 0 when there is none: what Python's splitlines splits at. */
static size_t break_at(struct str s, size_t at)
{
    uint32_t cp = 0;
    int      n  = utf8_decode(str_from(s, at), &cp);

    if (n <= 0) return 0;
    if (cp == '\r' && at + 1 < s.n && s.p[at + 1] == '\n') return 2;
    return (cp >= 0x0A && cp <= 0x0D) || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 || cp == 0x2028 ||
                   cp == 0x2029
               ? (size_t)n
               : 0;
}

struct val tmpl_lines(struct run *r, const struct vstr *s, bool keep_ends)
{
    struct val list = tmpl_list_new(r, V_LIST, 0);
    size_t     from = 0;

    if (!tmpl_step(r, TMPL_BYTES(s->text.n))) return VAL_NONE;
    for (size_t at = 0; at < s->text.n && !r->failed;) {
        size_t n = break_at(s->text, at);
        if (n == 0) {
            at += tmpl_char_len(str_from(s->text, at));
            continue;
        }
        tmpl_list_put(r, list, tmpl_str_sub(r, s, from, keep_ends ? at + n : at));
        from = at = at + n;
    }
    if (from < s->text.n) tmpl_list_put(r, list, tmpl_str_sub(r, s, from, s->text.n));
    return list;
}
