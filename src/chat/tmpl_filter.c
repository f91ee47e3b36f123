/* tmpl_filter.c - filters on text and numbers, and the table of all filters.
 *
 * pprint writes on one line, in the order of the dict.
 *
 * Not there, since no chat template uses them and each is a small program: random, striptags,
 * urlize, wordwrap.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "chat/tmpl_int.h"

static int64_t int_arg(struct run *r, struct val v, int64_t def)
{
    if (v.kind == V_MISSING) return def;
    if (tmpl_is_int(v)) return tmpl_as_int(v);
    if (v.kind == V_UNDEF) tmpl_fail_undef(r, v);
    else tmpl_fail(r, "'%s' object cannot be interpreted as an integer", tmpl_type(v));
    return def;
}

/* --- case and blanks --- */

static struct val cased(struct run *r, struct val v, enum casing c)
{
    struct val s = tmpl_str(r, v);

    return r->failed ? VAL_NONE : tmpl_case(r, s.u.s, c);
}

static struct val f_upper(struct run *r, struct val v, struct args *a)
{
    (void)a;
    return cased(r, v, CASE_UPPER);
}

static struct val f_lower(struct run *r, struct val v, struct args *a)
{
    (void)a;
    return cased(r, v, CASE_LOWER);
}

static struct val f_capitalize(struct run *r, struct val v, struct args *a)
{
    (void)a;
    return cased(r, v, CASE_CAPITAL);
}

static bool word_break(uint32_t cp)
{
    return tmpl_cp_space(cp) || cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<';
}

/* Unlike str.title, only blanks, hyphens and opening brackets begin a word: "they're" is one. */
static struct val f_title(struct run *r, struct val v, struct args *a)
{
    struct val s = tmpl_str(r, v);
    struct sb  b;

    (void)a;
    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    for (size_t at = 0; !r->failed && at < s.u.s->text.n;) {
        size_t   end = at, first = 0;
        uint32_t cp  = 0;
        bool     gap = false;
        for (bool start = true; end < s.u.s->text.n; start = false) {
            int n = utf8_decode(str_from(s.u.s->text, end), &cp);
            if (n < 0) cp = 0xFFFD;
            if (start) gap = word_break(cp), first = (size_t)abs(n);
            else if (word_break(cp) != gap) break;
            end += (size_t)abs(n);
        }
        struct val head = tmpl_str_sub(r, s.u.s, at, at + first),
                   tail = tmpl_str_sub(r, s.u.s, at + first, end);
        if (r->failed) break;
        head = tmpl_case(r, head.u.s, CASE_UPPER);
        tail = tmpl_case(r, tail.u.s, CASE_LOWER);
        if (r->failed) break;
        tmpl_sb_str(&b, head.u.s);
        tmpl_sb_str(&b, tail.u.s);
        at = end;
    }
    return tmpl_sb_end(&b);
}

static struct val f_trim(struct run *r, struct val v, struct args *a)
{
    struct val         s     = tmpl_str(r, v);
    const struct vstr *chars = a->pos[0].kind == V_STR ? a->pos[0].u.s : NULL;

    if (!chars && a->pos[0].kind != V_MISSING && a->pos[0].kind != V_NONE)
        return tmpl_fail(r, "strip arg must be None or str");
    return r->failed ? VAL_NONE : tmpl_strip(r, s.u.s, chars, true, true);
}

static struct val f_replace(struct run *r, struct val v, struct args *a)
{
    struct val s = tmpl_str(r, v), old = tmpl_str(r, a->pos[0]), by = tmpl_str(r, a->pos[1]);
    int64_t    max = a->pos[2].kind == V_NONE ? -1 : int_arg(r, a->pos[2], -1);

    if (r->failed) return VAL_NONE;
    return tmpl_str_markup(r, tmpl_replace(r, s.u.s, old.u.s, by.u.s, max), false);
}

static struct val f_indent(struct run *r, struct val v, struct args *a)
{
    struct sb  b;
    struct val pad = a->pos[0];
    bool       first = tmpl_truth(r, a->pos[1]), blank = tmpl_truth(r, a->pos[2]);

    if (v.kind == V_UNDEF) return tmpl_fail_undef(r, v);
    if (v.kind != V_STR) return tmpl_fail(r, "indent: a string is wanted, not %s", tmpl_type(v));
    if (pad.kind != V_STR) pad = tmpl_repeat(r, tmpl_str_c(r, " "), int_arg(r, pad, 4));
    struct val lines = r->failed ? VAL_NONE : tmpl_lines(r, v.u.s, false);
    if (r->failed) return VAL_NONE;

    /* Python adds a newline before it splits: a text that ends in one gets an empty last line */
    struct vlist *l = lines.u.l;
    uint32_t      cp = 0;
    struct str    t  = v.u.s->text;
    size_t        last = t.n;
    while (last > 0 && last + UTF8_MAX > t.n && ((unsigned char)t.p[--last] & 0xC0) == 0x80) {}
    bool ends = t.n == 0 || (utf8_decode(str_from(t, last), &cp) > 0 &&
                             ((cp >= 0x0A && cp <= 0x0C) || (cp >= 0x1C && cp <= 0x1E) ||
                              cp == 0x85 || cp == 0x2028 || cp == 0x2029));
    if (ends) tmpl_list_put(r, lines, tmpl_str_c(r, ""));

    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    for (size_t i = 0; i < l->n && !r->failed; i++) {
        if (i > 0) tmpl_sb_put(&b, STR("\n"), true);
        if (i > 0 ? blank || l->v[i].u.s->text.n > 0 : first) tmpl_sb_str(&b, pad.u.s);
        tmpl_sb_str(&b, l->v[i].u.s);
    }
    return tmpl_str_markup(r, tmpl_sb_end(&b), v.u.s->markup);
}

static struct val f_center(struct run *r, struct val v, struct args *a)
{
    struct val           width = a->pos[0].kind == V_MISSING ? tmpl_int(80) : a->pos[0];
    struct val           s     = tmpl_str(r, v);
    struct args          one   = { .pos = &width, .n_pos = 1 };
    const struct method *m     = r->failed ? NULL : tmpl_method_find(s, STR("center"));

    return m ? tmpl_fn_call(r, &m->fn, s, &one) : VAL_NONE;
}

static struct val f_truncate(struct run *r, struct val v, struct args *a)
{
    int64_t length  = int_arg(r, a->pos[0], 255),
            leeway  = a->pos[3].kind == V_NONE ? 5 : int_arg(r, a->pos[3], 5);
    bool       kill = tmpl_truth(r, a->pos[1]);
    struct val end  = a->pos[2].kind == V_MISSING ? tmpl_str_c(r, "...") : a->pos[2];

    size_t     len;

    if (r->failed) return VAL_NONE;
    if (end.kind != V_STR || !tmpl_len(r, v, &len))
        return tmpl_fail(r, "truncate: a string is wanted");
    int64_t n_end = (int64_t)tmpl_n_char(end.u.s), n = (int64_t)len;
    if (length < n_end || leeway < 0)
        return tmpl_fail(r, "truncate: length or leeway is too small");
    if (n - leeway <= length) return v;
    if (v.kind != V_STR) return tmpl_fail(r, "truncate: a string is wanted");
    size_t cut = tmpl_char_at(v.u.s, (size_t)(length - n_end));
    if (!kill) {
        size_t blank = tmpl_find_last(r, v.u.s->text, STR(" "), cut);
        if (blank != SIZE_MAX) cut = blank;
    }
    struct val head = tmpl_str_sub(r, v.u.s, 0, cut);
    return r->failed ? VAL_NONE : tmpl_concat(r, head, end);
}

static struct val f_wordcount(struct run *r, struct val v, struct args *a)
{
    struct val s = tmpl_str(r, v);
    int64_t    n = 0;
    bool       in = false;

    (void)a;
    for (size_t at = 0; !r->failed && at < s.u.s->text.n && tmpl_step(r, 1);) {
        uint32_t cp  = 0xFFFD;
        int      len = utf8_decode(str_from(s.u.s->text, at), &cp);
        bool     word = tmpl_cp_word(cp);
        n += word && !in;
        in = word;
        at += (size_t)abs(len);
    }
    return tmpl_int(n);
}

/* --- text of other things --- */

static struct val f_string(struct run *r, struct val v, struct args *a)
{
    (void)a;
    return tmpl_str(r, v);
}

static struct val f_safe(struct run *r, struct val v, struct args *a)
{
    (void)a;
    return tmpl_str_markup(r, tmpl_str(r, v), true);
}

static struct val f_escape(struct run *r, struct val v, struct args *a)
{
    (void)a;
    return tmpl_escape(r, v);
}

static struct val f_forceescape(struct run *r, struct val v, struct args *a)
{
    (void)a;
    return tmpl_escape(r, tmpl_str_markup(r, tmpl_str(r, v), false));
}

static struct val f_format(struct run *r, struct val v, struct args *a)
{
    struct val s = tmpl_str(r, v), arg;

    if (r->failed) return VAL_NONE;
    if (a->n_kw > 0 && a->n_pos > 0)
        return tmpl_fail(r, "can't handle positional and keyword arguments at the same time");
    if (a->n_kw > 0) {
        arg = tmpl_dict_new(r, V_DICT);
        for (int i = 0; i < a->n_kw; i++)
            tmpl_dict_put(r, arg, tmpl_str_new(r, a->kw[i].name, !a->kw[i].client), a->kw[i].v);
    } else {
        arg = tmpl_list_new(r, V_TUPLE, (size_t)a->n_pos);
        for (int i = 0; i < a->n_pos; i++) tmpl_list_put(r, arg, a->pos[i]);
    }
    return r->failed ? VAL_NONE : tmpl_percent(r, s.u.s, arg);
}

static struct val f_pprint(struct run *r, struct val v, struct args *a)
{
    (void)a;
    return tmpl_repr(r, v);
}

/* transformers' tojson: json.dumps with its arguments, nothing escaped for HTML. */
static struct val f_tojson(struct run *r, struct val v, struct args *a)
{
    struct json_opts o = { .item_sep = STR(", "), .key_sep = STR(": ") };
    struct val       indent = a->pos[1], sep = a->pos[2];

    o.ascii     = tmpl_truth(r, a->pos[0]);
    o.sort_keys = tmpl_truth(r, a->pos[3]);
    if (indent.kind != V_MISSING && indent.kind != V_NONE) {
        o.pretty   = true;
        o.item_sep = STR(",");
        if (indent.kind != V_STR)
            indent = tmpl_repeat(r, tmpl_str_c(r, " "), int_arg(r, indent, 0));
        if (r->failed) return VAL_NONE;
        o.indent = indent.u.s->text;
        o.client = !tmpl_trusted(indent.u.s);
    }
    if (sep.kind != V_MISSING && sep.kind != V_NONE) {
        if ((sep.kind != V_LIST && sep.kind != V_TUPLE) || sep.u.l->n != 2 ||
            sep.u.l->v[0].kind != V_STR || sep.u.l->v[1].kind != V_STR)
            return tmpl_fail(r, "tojson: separators must be two strings");
        o.item_sep = sep.u.l->v[0].u.s->text;
        o.key_sep  = sep.u.l->v[1].u.s->text;
        o.client |= !tmpl_trusted(sep.u.l->v[0].u.s) || !tmpl_trusted(sep.u.l->v[1].u.s);
    }
    return tmpl_json(r, v, &o);
}

static void put_quoted(struct sb *b, const struct vstr *s, bool query)
{
    for (size_t at = 0; at < s->text.n && !b->r->failed; at++) {
        unsigned char c = (unsigned char)s->text.p[at];
        char          hex[4];
        size_t        end;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c && strchr("_.-~", c)) || (c == '/' && !query);
        if (plain) snprintf(hex, sizeof hex, "%c", c);
        else if (c == ' ' && query) snprintf(hex, sizeof hex, "+");
        else snprintf(hex, sizeof hex, "%%%02X", c);
        tmpl_sb_put(b, str_c(hex), tmpl_span_at(s, at, &end));
    }
}

static struct val f_urlencode(struct run *r, struct val v, struct args *a)
{
    struct sb b;

    (void)a;
    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    if (v.kind == V_STR || !tmpl_iterable(v)) {
        struct val s = tmpl_str(r, v);
        if (!r->failed) put_quoted(&b, s.u.s, false);
        return tmpl_sb_end(&b);
    }
    struct vview  items = { .d = v.u.d, .what = VIEW_ITEMS };
    struct vlist *l =
        tmpl_elems(r, v.kind == V_DICT ? (struct val){ .kind = V_VIEW, .u.view = &items } : v);
    for (size_t i = 0; i < l->n && !r->failed; i++) {
        struct vlist *pair = tmpl_elems(r, l->v[i]);
        if (!r->failed && pair->n != 2) return tmpl_fail(r, "urlencode: pairs are wanted");
        struct val k = r->failed ? VAL_NONE : tmpl_str(r, pair->v[0]),
                   w = r->failed ? VAL_NONE : tmpl_str(r, pair->v[1]);
        if (r->failed) break;
        if (i > 0) tmpl_sb_put(&b, STR("&"), true);
        put_quoted(&b, k.u.s, true);
        tmpl_sb_put(&b, STR("="), true);
        put_quoted(&b, w.u.s, true);
    }
    return tmpl_sb_end(&b);
}

static struct val f_xmlattr(struct run *r, struct val v, struct args *a)
{
    struct sb b;

    if (v.kind != V_DICT) return tmpl_fail(r, "xmlattr: a mapping is wanted, not %s", tmpl_type(v));
    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    for (size_t i = 0; i < v.u.d->n && tmpl_step(r, 1); i++) {
        const struct entry *e = &v.u.d->e[i];
        if (e->v.kind == V_NONE || e->v.kind == V_UNDEF) continue;
        struct val key = tmpl_escape(r, e->key), to = tmpl_escape(r, e->v);
        if (r->failed) break;
        for (size_t k = 0; e->key.kind == V_STR && k < e->key.u.s->text.n; k++)
            if (strchr(" \t\n\r\f\v/>=", e->key.u.s->text.p[k]))
                return tmpl_fail(r, "invalid character in attribute name");
        if (b.n > 0 || a->pos[0].kind == V_MISSING || tmpl_truth(r, a->pos[0]))
            tmpl_sb_put(&b, STR(" "), true);
        tmpl_sb_str(&b, key.u.s);
        tmpl_sb_put(&b, STR("=\""), true);
        tmpl_sb_str(&b, to.u.s);
        tmpl_sb_put(&b, STR("\""), true);
    }
    return tmpl_sb_end(&b);
}

/* --- numbers --- */

/* Python's int(text, base). */
static bool parse_int(struct str s, int64_t base, int64_t *ret)
{
    bool     neg = false;
    uint64_t v   = 0;

    while (s.n && tmpl_cp_space((unsigned char)s.p[0]) && (unsigned char)s.p[0] < 0x80)
        s = str_from(s, 1);
    while (s.n && tmpl_cp_space((unsigned char)s.p[s.n - 1]) && (unsigned char)s.p[s.n - 1] < 0x80)
        s.n--;
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) neg = s.p[0] == '-', s = str_from(s, 1);
    if (s.n > 2 && s.p[0] == '0') {
        char c      = (char)(s.p[1] | 0x20);
        int  prefix = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
        if (prefix && (base == prefix || base == 0))
            base = prefix, s = str_from(s, s.p[2] == '_' ? 3 : 2);
    }
    if (base == 0) base = 10;
    if (base < 2 || base > 36 || s.n == 0) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '_' && i > 0 && i + 1 < s.n && s.p[i + 1] != '_') continue;
        int d = c >= '0' && c <= '9'                     ? c - '0'
                : (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? (c | 0x20) - 'a' + 10
                                                         : 99;
        if (d >= base) return false;
        if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
            __builtin_add_overflow(v, (uint64_t)d, &v))
            return false;
    }
    if (v > (uint64_t)INT64_MAX + neg) return false;
    *ret = (int64_t)(neg ? 0 - v : v);
    return true;
}

/* Python's float(text). */
static bool parse_float(struct str s, double *ret)
{
    char   text[512];
    size_t n = 0;

    s = str_trim(s);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '_' && i > 0 && i + 1 < s.n && s.p[i - 1] >= '0' && s.p[i - 1] <= '9' &&
            s.p[i + 1] >= '0' && s.p[i + 1] <= '9')
            continue;
        if (n + 1 >= sizeof text) return false;
        text[n++] = s.p[i];
    }
    text[n] = 0;
    struct str t = { text, n }, bare = n && (text[0] == '-' || text[0] == '+') ? str_from(t, 1) : t;
    double     sign = n && text[0] == '-' ? -1 : 1;
    if (str_eq_nocase(bare, STR("inf")) || str_eq_nocase(bare, STR("infinity"))) {
        *ret = sign * INFINITY;
        return true;
    }
    if (str_eq_nocase(bare, STR("nan"))) {
        *ret = NAN;
        return true;
    }
    if (str_to_f64(t, ret)) return true;
    /* what is left: ".5", "5." and beyond the range, which str_to_f64 does not take */
    bool digits = false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] >= '0' && text[i] <= '9') digits = true;
        else if (!strchr("+-.eE", text[i])) return false;
    }
    char *end = text;
    *ret      = digits ? strtod(text, &end) : 0;
    return digits && end == text + n;
}

/* A double as an integer; false when it is none or does not fit. */
static bool whole(double f, int64_t *ret)
{
    if (!(f > -9.3e18 && f < 9.3e18)) return false;
    f = trunc(f);
    if (f >= 9223372036854775808.0 || f < -9223372036854775808.0) return false;
    *ret = (int64_t)f;
    return true;
}

static struct val f_int(struct run *r, struct val v, struct args *a)
{
    struct val def = a->pos[0].kind == V_MISSING ? tmpl_int(0) : a->pos[0];
    int64_t    i;
    double     f;

    if (v.kind == V_UNDEF) return tmpl_fail_undef(r, v);
    if (tmpl_is_int(v)) return tmpl_int(tmpl_as_int(v));
    if (v.kind == V_FLOAT) {
        if (whole(v.u.f, &i)) return tmpl_int(i);
        return isnan(v.u.f) ? def : tmpl_fail(r, "cannot convert float to a 64-bit integer");
    }
    if (v.kind != V_STR) return def;
    if (parse_int(v.u.s->text, int_arg(r, a->pos[1], 10), &i)) return tmpl_int(i);
    return parse_float(v.u.s->text, &f) && whole(f, &i) ? tmpl_int(i) : def;
}

static struct val f_float(struct run *r, struct val v, struct args *a)
{
    double f;

    if (v.kind == V_UNDEF) return tmpl_fail_undef(r, v);
    if (tmpl_is_num(v)) return tmpl_float(tmpl_as_float(v));
    if (v.kind == V_STR && parse_float(v.u.s->text, &f)) return tmpl_float(f);
    return a->pos[0].kind == V_MISSING ? tmpl_float(0) : a->pos[0];
}

static struct val f_abs(struct run *r, struct val v, struct args *a)
{
    (void)a;
    if (v.kind == V_UNDEF) return tmpl_fail_undef(r, v);
    if (v.kind == V_FLOAT) return tmpl_float(fabs(v.u.f));
    if (!tmpl_is_int(v)) return tmpl_fail(r, "bad operand type for abs(): '%s'", tmpl_type(v));
    if (tmpl_as_int(v) == INT64_MIN) return tmpl_fail(r, "integer beyond 64 bits");
    return tmpl_int(tmpl_as_int(v) < 0 ? -tmpl_as_int(v) : tmpl_as_int(v));
}

/* An integer to tens, hundreds ...: halves to the even neighbour. */
static struct val round_int(struct run *r, int64_t i, int64_t digits)
{
    int64_t unit = 1;

    for (int64_t k = digits; k < 0; k++)
        if (__builtin_mul_overflow(unit, 10, &unit)) return tmpl_int(0);
    int64_t rest = i % unit, low = i - rest, next, up;
    if (rest < 0) rest += unit, low -= unit;
    if (__builtin_add_overflow(low, unit, &next)) return tmpl_fail(r, "integer beyond 64 bits");
    up = rest > unit - rest || (rest == unit - rest && (low / unit) % 2 != 0);
    return tmpl_int(rest && up ? next : low);
}

static struct val f_round(struct run *r, struct val v, struct args *a)
{
    int64_t    digits = int_arg(r, a->pos[0], 0);
    struct str method = a->pos[1].kind == V_STR ? a->pos[1].u.s->text : STR("common");
    char       text[512];

    if (v.kind == V_UNDEF) return tmpl_fail_undef(r, v);
    if (!tmpl_is_num(v))
        return tmpl_fail(r, "type %s doesn't define __round__ method", tmpl_type(v));
    if (str_eq(method, STR("common"))) {
        if (tmpl_is_int(v))
            return digits >= 0 ? tmpl_int(tmpl_as_int(v)) : round_int(r, tmpl_as_int(v), digits);
        if (!isfinite(v.u.f) || digits > 22) return v;
        if (digits < -308) return tmpl_float(copysign(0, v.u.f));
        if (digits < 0) {
            double unit = pow(10, (double)-digits);
            return tmpl_float(nearbyint(v.u.f / unit) * unit);
        }
        snprintf(text, sizeof text, "%.*f", (int)digits,
                 v.u.f); // correctly rounded, halves to even
        return tmpl_float(strtod(text, NULL));
    }
    bool ceil_it = str_eq(method, STR("ceil"));
    if (!ceil_it && !str_eq(method, STR("floor")))
        return tmpl_fail(r, "method must be common, ceil or floor");
    if (digits > 300 || digits < -300) return tmpl_fail(r, "round: precision is out of range");
    double unit = pow(10, (double)digits), x = tmpl_as_float(v) * unit;
    return tmpl_float((ceil_it ? ceil(x) : floor(x)) / unit);
}

static struct val f_filesizeformat(struct run *r, struct val v, struct args *a)
{
    static const char units[] = "kMGTPEZY";
    struct args       none    = { .pos = (struct val[]){ VAL_NONE }, .n_pos = 1 };
    struct val        f       = f_float(r, v, &none);
    bool              binary  = tmpl_truth(r, a->pos[0]);
    double            base    = binary ? 1024 : 1000, unit = base;
    char              text[64];

    if (!r->failed && f.kind != V_FLOAT)
        return tmpl_fail(r, "could not convert %s to float", tmpl_type(v));
    if (r->failed) return VAL_NONE;
    if (f.u.f == 1) return tmpl_str_c(r, "1 Byte");
    if (f.u.f < base) {
        snprintf(text, sizeof text, "%lld Bytes", (long long)f.u.f);
    } else {
        int i = 0;
        while (i < 7 && f.u.f >= unit * base) unit *= base, i++;
        snprintf(text, sizeof text, "%.1f %c%sB", f.u.f / unit, binary && i == 0 ? 'K' : units[i],
                 binary ? "i" : "");
    }
    struct str copy = arena_str(r->a, str_c(text));
    return copy.p ? tmpl_str_new(r, copy, true) : tmpl_no_room(r, 64);
}

/* --- everything --- */

static struct val f_default(struct run *r, struct val v, struct args *a)
{
    bool use = v.kind == V_UNDEF || (tmpl_truth(r, a->pos[1]) && !tmpl_truth(r, v));

    if (!use) return v;
    return a->pos[0].kind == V_MISSING ? tmpl_str_c(r, "") : a->pos[0];
}

static struct val f_length(struct run *r, struct val v, struct args *a)
{
    size_t n;

    (void)a;
    if (tmpl_len(r, v, &n)) return tmpl_int((int64_t)n);
    return tmpl_fail(r, "object of type '%s' has no len()", tmpl_type(v));
}

static struct val f_attr(struct run *r, struct val v, struct args *a)
{
    if (a->pos[0].kind != V_STR) return tmpl_fail(r, "attr: a name is wanted");
    struct str name = a->pos[0].u.s->text;
    if (v.kind == V_DICT && !tmpl_method_find(v, name)) return tmpl_undef(r, name, tmpl_type(v));
    return tmpl_attr(r, v, name);
}

static const struct fn text_filters[] = {
    { "abs", f_abs, "", 0 },
    { "attr", f_attr, "name", 1 },
    { "capitalize", f_capitalize, "", 0 },
    { "center", f_center, "width", 0 },
    { "count", f_length, "", 0 },
    { "d", f_default, "default_value,boolean", 0 },
    { "default", f_default, "default_value,boolean", 0 },
    { "e", f_escape, "", 0 },
    { "escape", f_escape, "", 0 },
    { "filesizeformat", f_filesizeformat, "binary", 0 },
    { "float", f_float, "default", 0 },
    { "forceescape", f_forceescape, "", 0 },
    { "format", f_format, NULL, 0 },
    { "indent", f_indent, "width,first,blank", 0 },
    { "int", f_int, "default,base", 0 },
    { "length", f_length, "", 0 },
    { "lower", f_lower, "", 0 },
    { "pprint", f_pprint, "", 0 },
    { "replace", f_replace, "old,new,count", 2 },
    { "round", f_round, "precision,method", 0 },
    { "safe", f_safe, "", 0 },
    { "string", f_string, "", 0 },
    { "title", f_title, "", 0 },
    { "tojson", f_tojson, "ensure_ascii,indent,separators,sort_keys", 0 },
    { "trim", f_trim, "chars", 0 },
    { "truncate", f_truncate, "length,killwords,end,leeway", 0 },
    { "upper", f_upper, "", 0 },
    { "urlencode", f_urlencode, "", 0 },
    { "wordcount", f_wordcount, "", 0 },
    { "xmlattr", f_xmlattr, "autospace", 0 },
};

const struct fn *tmpl_text_filters(size_t *n)
{
    *n = ARRAY_LEN(text_filters);
    return text_filters;
}

const struct fn *tmpl_filter_find(struct str name)
{
    size_t           n[2];
    const struct fn *table[2];

    table[0] = tmpl_text_filters(&n[0]);
    table[1] = tmpl_seq_filters(&n[1]);
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; i < n[t]; i++)
            if (str_eq(name, str_c(table[t][i].name))) return &table[t][i];
    return NULL;
}
