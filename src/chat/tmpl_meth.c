/* tmpl_meth.c - the methods of strings, lists and dicts.
 *
 * Those that change their object are known by name only: the immutable sandbox refuses them. The
 * binder that pairs arguments with parameters, for methods, filters and functions alike, lives
 * here, too.
 */
#include <math.h>

#include "base/utf8.h"
#include "chat/tmpl_int.h"

/* --- binding --- */

static int param_index(const char *params, struct str name)
{
    struct str rest = str_c(params), one;
    int        i    = 0;

    for (; str_cut(&rest, ',', &one); i++)
        if (str_eq(one, name)) return i;
    return -1;
}

bool tmpl_bind(struct run *r, const struct fn *f, struct args *a)
{
    int  n = f->params[0] ? 1 : 0;
    char quoted[LIM_QUOTE_BYTES];

    for (const char *p = f->params; *p; p++) n += *p == ',';
    if (a->n_pos > n) {
        tmpl_fail(r, "%s takes at most %d arguments, %d given", f->name, n, a->n_pos);
        return false;
    }
    struct val *v = tmpl_alloc(r, (size_t)n + 1, sizeof *v);
    if (!v) return false;
    for (int i = 0; i < a->n_pos; i++) v[i] = a->pos[i];
    for (int i = 0; i < a->n_kw; i++) {
        int at = param_index(f->params, a->kw[i].name);
        if (at < 0 || v[at].kind != V_MISSING) {
            tmpl_fail(r, at < 0 ? "%s has no parameter '%s'" : "%s got two values for '%s'",
                      f->name, str_quote(quoted, sizeof quoted, a->kw[i].name));
            return false;
        }
        v[at] = a->kw[i].v;
    }
    for (int i = 0; i < f->n_min; i++) {
        if (v[i].kind != V_MISSING) continue;
        tmpl_fail(r, "%s wants %d or more arguments", f->name, f->n_min);
        return false;
    }
    a->pos   = v;
    a->n_pos = n;
    a->n_kw  = 0;
    return true;
}

struct val tmpl_fn_call(struct run *r, const struct fn *f, struct val self, struct args *a)
{
    struct args bound = *a;

    if (r->failed || (f->params && !tmpl_bind(r, f, &bound))) return VAL_NONE;
    return f->call(r, self, &bound);
}

static bool given(struct val v)
{
    return v.kind != V_MISSING && v.kind != V_NONE;
}

/* The string argument number i, NULL when it was not given; fails when it is no string. */
static struct vstr *str_arg(struct run *r, struct args *a, int i)
{
    if (!given(a->pos[i])) return NULL;
    if (a->pos[i].kind == V_STR) return a->pos[i].u.s;
    if (a->pos[i].kind == V_UNDEF) tmpl_fail_undef(r, a->pos[i]);
    else tmpl_fail(r, "expected a str argument, not %s", tmpl_type(a->pos[i]));
    return NULL;
}

static int64_t int_arg(struct run *r, struct args *a, int i, int64_t def)
{
    if (a->pos[i].kind == V_MISSING) return def;
    if (tmpl_is_int(a->pos[i])) return tmpl_as_int(a->pos[i]);
    tmpl_fail(r, "'%s' object cannot be interpreted as an integer", tmpl_type(a->pos[i]));
    return def;
}

/* --- strings --- */

#define CASE_METHOD(name, what)                                                \
    static struct val m_##name(struct run *r, struct val self, struct args *a) \
    {                                                                          \
        (void)a;                                                               \
        return tmpl_case(r, self.u.s, what);                                   \
    }
CASE_METHOD(upper, CASE_UPPER)
CASE_METHOD(lower, CASE_LOWER)
CASE_METHOD(title, CASE_TITLE)
CASE_METHOD(capitalize, CASE_CAPITAL)
CASE_METHOD(swapcase, CASE_SWAP)
CASE_METHOD(casefold, CASE_FOLD)

#define IS_METHOD(name, what)                                                  \
    static struct val m_##name(struct run *r, struct val self, struct args *a) \
    {                                                                          \
        (void)a;                                                               \
        tmpl_step(r, self.u.s->text.n);                                        \
        return tmpl_bool(!r->failed && tmpl_str_is(self.u.s->text, what));     \
    }
IS_METHOD(isalpha, IS_ALPHA)
IS_METHOD(isdigit, IS_DIGIT)
IS_METHOD(isalnum, IS_ALNUM)
IS_METHOD(isspace, IS_SPACE)
IS_METHOD(isupper, IS_UPPER)
IS_METHOD(islower, IS_LOWER)
IS_METHOD(istitle, IS_TITLE)
IS_METHOD(isascii, IS_ASCII)
IS_METHOD(isnumeric, IS_NUMERIC)
IS_METHOD(isdecimal, IS_DECIMAL)
IS_METHOD(isidentifier, IS_IDENT)
IS_METHOD(isprintable, IS_PRINT)

static struct val strip(struct run *r, struct val self, struct args *a, bool left, bool right)
{
    const struct vstr *chars = str_arg(r, a, 0);

    return r->failed ? VAL_NONE : tmpl_strip(r, self.u.s, chars, left, right);
}

static struct val m_strip(struct run *r, struct val self, struct args *a)
{
    return strip(r, self, a, true, true);
}

static struct val m_lstrip(struct run *r, struct val self, struct args *a)
{
    return strip(r, self, a, true, false);
}

static struct val m_rstrip(struct run *r, struct val self, struct args *a)
{
    return strip(r, self, a, false, true);
}

static struct val m_split(struct run *r, struct val self, struct args *a)
{
    const struct vstr *sep = str_arg(r, a, 0);
    int64_t            max = int_arg(r, a, 1, -1);

    return r->failed ? VAL_NONE : tmpl_split(r, self.u.s, sep, max, false);
}

static struct val m_rsplit(struct run *r, struct val self, struct args *a)
{
    const struct vstr *sep = str_arg(r, a, 0);
    int64_t            max = int_arg(r, a, 1, -1);

    return r->failed ? VAL_NONE : tmpl_split(r, self.u.s, sep, max, true);
}

static struct val m_splitlines(struct run *r, struct val self, struct args *a)
{
    return tmpl_lines(r, self.u.s, tmpl_truth(r, a->pos[0]));
}

/* Bytes [*from, *to) that the code point positions in pos[1] and pos[2] mean, as in s[start:end].
 * False when start is behind the end: then not even "" is found. */
static bool bounds(struct run *r, struct vstr *s, struct args *a, size_t *from, size_t *to)
{
    int64_t at, by, n = (int64_t)tmpl_n_char(s);
    size_t  count;

    tmpl_step(r, TMPL_BYTES(s->text.n));
    if (!tmpl_slice_bounds(r, (size_t)n, a->pos[1], a->pos[2], VAL_MISSING, &at, &by, &count, NULL))
        return false;
    *from = tmpl_char_at(s, (size_t)at);
    *to   = count ? tmpl_char_at(s, (size_t)at + count) : *from;
    return !tmpl_is_int(a->pos[1]) || tmpl_as_int(a->pos[1]) <= n;
}

static bool affix(struct run *r, struct str part, struct val v, bool tail)
{
    if (v.kind == V_STR) return tail ? str_ends(part, v.u.s->text) : str_starts(part, v.u.s->text);
    tmpl_fail(r, "%s first arg must be str or a tuple of str, not %s",
              tail ? "endswith" : "startswith", tmpl_type(v));
    return false;
}

static struct val has_affix(struct run *r, struct val self, struct args *a, bool tail)
{
    size_t from, to;

    if (!bounds(r, self.u.s, a, &from, &to)) return tmpl_bool(false);
    struct str part = str_sub(self.u.s->text, from, to - from);
    if (a->pos[0].kind != V_TUPLE) return tmpl_bool(affix(r, part, a->pos[0], tail));
    for (size_t i = 0; i < a->pos[0].u.l->n && tmpl_step(r, 1); i++)
        if (affix(r, part, a->pos[0].u.l->v[i], tail)) return tmpl_bool(true);
    return tmpl_bool(false);
}

static struct val m_startswith(struct run *r, struct val self, struct args *a)
{
    return has_affix(r, self, a, false);
}

static struct val m_endswith(struct run *r, struct val self, struct args *a)
{
    return has_affix(r, self, a, true);
}

static struct val m_replace(struct run *r, struct val self, struct args *a)
{
    const struct vstr *old = str_arg(r, a, 0), *by = str_arg(r, a, 1);
    int64_t            max = int_arg(r, a, 2, -1);

    if (!r->failed && (!old || !by))
        return tmpl_fail(r, "replace() argument must be str, not None");
    return r->failed ? VAL_NONE : tmpl_replace(r, self.u.s, old, by, max);
}

/* Code point position of the first or last hit, -1 when there is none. */
static int64_t find(struct run *r, struct val self, struct args *a, bool last)
{
    const struct vstr *sub = str_arg(r, a, 0);
    size_t             from, to, hit;

    if (!r->failed && !sub) tmpl_fail(r, "must be str, not NoneType");
    if (r->failed || !bounds(r, self.u.s, a, &from, &to)) return -1;
    struct str part = str_sub(self.u.s->text, 0, to);
    if (last) {
        hit = tmpl_find_last(r, str_from(part, from), sub->text, to - from);
        if (hit != SIZE_MAX) hit += from;
    } else {
        hit = tmpl_find(part, sub->text, from);
    }
    return hit == SIZE_MAX ? -1 : (int64_t)utf8_count(str_sub(part, 0, hit));
}

static struct val m_find(struct run *r, struct val self, struct args *a)
{
    return tmpl_int(find(r, self, a, false));
}

static struct val m_rfind(struct run *r, struct val self, struct args *a)
{
    return tmpl_int(find(r, self, a, true));
}

static struct val m_index(struct run *r, struct val self, struct args *a)
{
    int64_t at = find(r, self, a, false);

    return at < 0 ? tmpl_fail(r, "substring not found") : tmpl_int(at);
}

static struct val m_rindex(struct run *r, struct val self, struct args *a)
{
    int64_t at = find(r, self, a, true);

    return at < 0 ? tmpl_fail(r, "substring not found") : tmpl_int(at);
}

static struct val m_count(struct run *r, struct val self, struct args *a)
{
    const struct vstr *sub = str_arg(r, a, 0);
    size_t             from, to;
    int64_t            n = 0;

    if (!r->failed && !sub) tmpl_fail(r, "must be str, not NoneType");
    if (r->failed || !bounds(r, self.u.s, a, &from, &to)) return tmpl_int(0);
    struct str part = str_sub(self.u.s->text, 0, to);
    if (sub->text.n == 0) return tmpl_int((int64_t)utf8_count(str_from(part, from)) + 1);
    while ((from = tmpl_find(part, sub->text, from)) != SIZE_MAX && tmpl_step(r, 1)) {
        n++;
        from += sub->text.n;
    }
    return tmpl_int(n);
}

static struct val m_join(struct run *r, struct val self, struct args *a)
{
    const struct vlist *l = tmpl_elems(r, a->pos[0]);

    return r->failed ? VAL_NONE : tmpl_join(r, self.u.s, l, false);
}

static struct val m_format(struct run *r, struct val self, struct args *a)
{
    return tmpl_format(r, self.u.s, a);
}

static struct val m_format_map(struct run *r, struct val self, struct args *a)
{
    struct args named = { 0 };

    if (a->pos[0].kind != V_DICT) return tmpl_fail(r, "format_map() argument must be a dict");
    const struct vdict *d = a->pos[0].u.d;
    named.kw = tmpl_alloc(r, d->n + 1, sizeof *named.kw);
    for (size_t i = 0; named.kw && i < d->n; i++)
        if (d->e[i].key.kind == V_STR)
            named.kw[named.n_kw++] =
                (struct kwarg){ .name = d->e[i].key.u.s->text, .v = d->e[i].v };
    return r->failed ? VAL_NONE : tmpl_format(r, self.u.s, &named);
}

/* Pad to pos[0] characters with pos[1] or blanks; `left` of `total` blanks go in front. */
static struct val pad(struct run *r, struct val self, struct args *a, int where)
{
    int64_t            width = int_arg(r, a, 0, 0), n = (int64_t)tmpl_n_char(self.u.s);
    const struct vstr *fill = a->n_pos > 1 ? str_arg(r, a, 1) : NULL;
    struct sb          b;

    if (fill) {
        struct vstr copy = *fill;
        if (tmpl_n_char(&copy) != 1)
            return tmpl_fail(r, "The fill character must be exactly one character long");
    }
    if (r->failed || width <= n) return self;
    size_t total = (size_t)(width - n);
    /* Python's centre: the odd blank goes left when the width is odd, too */
    size_t left = where < 0 ? 0 : where > 0 ? total : total / 2 + (total & (size_t)width & 1);
    struct str c = fill ? fill->text : STR(" ");
    bool trusted = !fill || tmpl_trusted(fill);
    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    tmpl_sb_fill(&b, c, left, trusted);
    tmpl_sb_str(&b, self.u.s);
    tmpl_sb_fill(&b, c, total - left, trusted);
    return tmpl_str_markup(r, tmpl_sb_end(&b), self.u.s->markup);
}

static struct val m_center(struct run *r, struct val self, struct args *a)
{
    return pad(r, self, a, 0);
}

static struct val m_ljust(struct run *r, struct val self, struct args *a)
{
    return pad(r, self, a, -1);
}

static struct val m_rjust(struct run *r, struct val self, struct args *a)
{
    return pad(r, self, a, 1);
}

static struct val m_zfill(struct run *r, struct val self, struct args *a)
{
    int64_t   width = int_arg(r, a, 0, 0), n = (int64_t)tmpl_n_char(self.u.s);
    struct sb b;
    size_t    sign = self.u.s->text.n && (self.u.s->text.p[0] == '-' || self.u.s->text.p[0] == '+');

    if (r->failed || width <= n) return self;
    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    tmpl_sb_sub(&b, self.u.s, 0, sign);
    tmpl_sb_fill(&b, STR("0"), (size_t)(width - n), true);
    tmpl_sb_sub(&b, self.u.s, sign, self.u.s->text.n);
    return tmpl_sb_end(&b);
}

static struct val partition(struct run *r, struct val self, struct args *a, bool last)
{
    struct vstr *s = self.u.s, *sep = str_arg(r, a, 0);
    struct val   t = tmpl_list_new(r, V_TUPLE, 3);

    if (!r->failed && (!sep || sep->text.n == 0)) return tmpl_fail(r, "empty separator");
    if (r->failed) return VAL_NONE;
    size_t hit =
        last ? tmpl_find_last(r, s->text, sep->text, s->text.n) : tmpl_find(s->text, sep->text, 0);
    if (hit == SIZE_MAX) {
        struct val none = tmpl_str_c(r, "");
        tmpl_list_put(r, t, last ? none : self);
        tmpl_list_put(r, t, none);
        tmpl_list_put(r, t, last ? self : none);
        return t;
    }
    tmpl_list_put(r, t, tmpl_str_sub(r, s, 0, hit));
    tmpl_list_put(r, t, tmpl_str_sub(r, s, hit, hit + sep->text.n));
    tmpl_list_put(r, t, tmpl_str_sub(r, s, hit + sep->text.n, s->text.n));
    return t;
}

static struct val m_partition(struct run *r, struct val self, struct args *a)
{
    return partition(r, self, a, false);
}

static struct val m_rpartition(struct run *r, struct val self, struct args *a)
{
    return partition(r, self, a, true);
}

static struct val m_removeprefix(struct run *r, struct val self, struct args *a)
{
    const struct vstr *x = str_arg(r, a, 0), *s = self.u.s;

    if (r->failed || !x || !str_starts(s->text, x->text)) return self;
    return tmpl_str_sub(r, s, x->text.n, s->text.n);
}

static struct val m_removesuffix(struct run *r, struct val self, struct args *a)
{
    const struct vstr *x = str_arg(r, a, 0), *s = self.u.s;

    if (r->failed || !x || !str_ends(s->text, x->text)) return self;
    return tmpl_str_sub(r, s, 0, s->text.n - x->text.n);
}

static struct val m_expandtabs(struct run *r, struct val self, struct args *a)
{
    int64_t   size = int_arg(r, a, 0, 8), col = 0;
    struct sb b;

    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    for (size_t at = 0; at < self.u.s->text.n && tmpl_step(r, 1);) {
        size_t n = tmpl_char_len(str_from(self.u.s->text, at));
        char   c = self.u.s->text.p[at];
        if (c == '\t') {
            int64_t fill = size > 0 ? size - col % size : 0;
            tmpl_sb_fill(&b, STR(" "), (size_t)fill, true);
            col += fill;
        } else {
            tmpl_sb_sub(&b, self.u.s, at, at + n);
            col = c == '\n' || c == '\r' ? 0 : col + 1;
        }
        at += n;
    }
    return tmpl_sb_end(&b);
}

static struct val m_bytes(struct run *r, struct val self, struct args *a)
{
    (void)self;
    (void)a;
    return tmpl_fail(r, "strings of bytes and translation tables are not supported");
}

static const struct method str_methods[] = {
    { { "encode", m_bytes, NULL, 0 }, false },
    { { "maketrans", m_bytes, NULL, 0 }, false },
    { { "translate", m_bytes, NULL, 0 }, false },
    { { "upper", m_upper, "", 0 }, false },
    { { "lower", m_lower, "", 0 }, false },
    { { "title", m_title, "", 0 }, false },
    { { "capitalize", m_capitalize, "", 0 }, false },
    { { "swapcase", m_swapcase, "", 0 }, false },
    { { "casefold", m_casefold, "", 0 }, false },
    { { "strip", m_strip, "chars", 0 }, false },
    { { "lstrip", m_lstrip, "chars", 0 }, false },
    { { "rstrip", m_rstrip, "chars", 0 }, false },
    { { "split", m_split, "sep,maxsplit", 0 }, false },
    { { "rsplit", m_rsplit, "sep,maxsplit", 0 }, false },
    { { "splitlines", m_splitlines, "keepends", 0 }, false },
    { { "startswith", m_startswith, "prefix,start,end", 1 }, false },
    { { "endswith", m_endswith, "suffix,start,end", 1 }, false },
    { { "replace", m_replace, "old,new,count", 2 }, false },
    { { "find", m_find, "sub,start,end", 1 }, false },
    { { "rfind", m_rfind, "sub,start,end", 1 }, false },
    { { "index", m_index, "sub,start,end", 1 }, false },
    { { "rindex", m_rindex, "sub,start,end", 1 }, false },
    { { "count", m_count, "sub,start,end", 1 }, false },
    { { "join", m_join, "iterable", 1 }, false },
    { { "format", m_format, NULL, 0 }, false },
    { { "format_map", m_format_map, "mapping", 1 }, false },
    { { "center", m_center, "width,fillchar", 1 }, false },
    { { "ljust", m_ljust, "width,fillchar", 1 }, false },
    { { "rjust", m_rjust, "width,fillchar", 1 }, false },
    { { "zfill", m_zfill, "width", 1 }, false },
    { { "partition", m_partition, "sep", 1 }, false },
    { { "rpartition", m_rpartition, "sep", 1 }, false },
    { { "removeprefix", m_removeprefix, "prefix", 1 }, false },
    { { "removesuffix", m_removesuffix, "suffix", 1 }, false },
    { { "expandtabs", m_expandtabs, "tabsize", 0 }, false },
    { { "isalpha", m_isalpha, "", 0 }, false },
    { { "isdigit", m_isdigit, "", 0 }, false },
    { { "isalnum", m_isalnum, "", 0 }, false },
    { { "isspace", m_isspace, "", 0 }, false },
    { { "isupper", m_isupper, "", 0 }, false },
    { { "islower", m_islower, "", 0 }, false },
    { { "istitle", m_istitle, "", 0 }, false },
    { { "isascii", m_isascii, "", 0 }, false },
    { { "isnumeric", m_isnumeric, "", 0 }, false },
    { { "isdecimal", m_isdecimal, "", 0 }, false },
    { { "isidentifier", m_isidentifier, "", 0 }, false },
    { { "isprintable", m_isprintable, "", 0 }, false },
};

/* --- lists and tuples --- */

static struct val m_list_index(struct run *r, struct val self, struct args *a)
{
    int64_t at, by;
    size_t  count;

    if (!tmpl_slice_bounds(r, self.u.l->n, a->pos[1], a->pos[2], VAL_MISSING, &at, &by, &count,
                           NULL))
        return VAL_NONE;
    for (size_t i = (size_t)at; i < (size_t)at + count && !r->failed; i++)
        if (tmpl_eq(r, self.u.l->v[i], a->pos[0])) return tmpl_int((int64_t)i);
    return tmpl_fail(r, "value is not in list");
}

static struct val m_list_count(struct run *r, struct val self, struct args *a)
{
    int64_t n = 0;

    for (size_t i = 0; i < self.u.l->n && !r->failed; i++)
        n += tmpl_eq(r, self.u.l->v[i], a->pos[0]);
    return tmpl_int(n);
}

static struct val m_list_copy(struct run *r, struct val self, struct args *a)
{
    (void)a;
    struct val copy = tmpl_list_new(r, V_LIST, self.u.l->n);
    for (size_t i = 0; i < self.u.l->n && !r->failed; i++) tmpl_list_put(r, copy, self.u.l->v[i]);
    return copy;
}

static const struct method list_methods[] = {
    { { "index", m_list_index, "value,start,stop", 1 }, false },
    { { "count", m_list_count, "value", 1 }, false },
    { { "copy", m_list_copy, "", 0 }, false }, // from here on: not of tuples
    { { "append", NULL, NULL, 0 }, true },
    { { "clear", NULL, NULL, 0 }, true },
    { { "extend", NULL, NULL, 0 }, true },
    { { "insert", NULL, NULL, 0 }, true },
    { { "pop", NULL, NULL, 0 }, true },
    { { "remove", NULL, NULL, 0 }, true },
    { { "reverse", NULL, NULL, 0 }, true },
    { { "sort", NULL, NULL, 0 }, true },
};
#define N_TUPLE_METHODS 2

/* --- dicts --- */

static struct val view(struct run *r, struct val self, enum view what)
{
    struct vview *w = tmpl_alloc(r, 1, sizeof *w);

    if (!w) return VAL_NONE;
    *w = (struct vview){ .d = self.u.d, .what = what };
    return (struct val){ .kind = V_VIEW, .u.view = w };
}

static struct val m_keys(struct run *r, struct val self, struct args *a)
{
    (void)a;
    return view(r, self, VIEW_KEYS);
}

static struct val m_values(struct run *r, struct val self, struct args *a)
{
    (void)a;
    return view(r, self, VIEW_VALUES);
}

static struct val m_items(struct run *r, struct val self, struct args *a)
{
    (void)a;
    return view(r, self, VIEW_ITEMS);
}

static struct val m_get(struct run *r, struct val self, struct args *a)
{
    struct val v = tmpl_dict_get(r, self, a->pos[0]);

    if (v.kind != V_MISSING) return v;
    return a->pos[1].kind == V_MISSING ? VAL_NONE : a->pos[1];
}

static struct val m_dict_copy(struct run *r, struct val self, struct args *a)
{
    (void)a;
    struct val copy = tmpl_dict_new(r, V_DICT);
    for (size_t i = 0; i < self.u.d->n && !r->failed; i++)
        tmpl_dict_put(r, copy, self.u.d->e[i].key, self.u.d->e[i].v);
    return copy;
}

static const struct method dict_methods[] = {
    { { "keys", m_keys, "", 0 }, false },
    { { "values", m_values, "", 0 }, false },
    { { "items", m_items, "", 0 }, false },
    { { "get", m_get, "key,default", 1 }, false },
    { { "copy", m_dict_copy, "", 0 }, false },
    { { "clear", NULL, NULL, 0 }, true },
    { { "pop", NULL, NULL, 0 }, true },
    { { "popitem", NULL, NULL, 0 }, true },
    { { "setdefault", NULL, NULL, 0 }, true },
    { { "update", NULL, NULL, 0 }, true },
};

/* --- the others --- */

static struct val m_range_index(struct run *r, struct val self, struct args *a)
{
    if (!tmpl_contains(r, self, a->pos[0]) || !tmpl_is_int(a->pos[0]))
        return tmpl_fail(r, "value is not in range");
    const struct vrange *g = self.u.range; // the difference may not fit an int64, the quotient does
    uint64_t d = (uint64_t)tmpl_as_int(a->pos[0]) - (uint64_t)g->start, s = (uint64_t)g->step;
    return tmpl_int((int64_t)(g->step > 0 ? d / s : (0 - d) / (0 - s)));
}

static struct val m_range_count(struct run *r, struct val self, struct args *a)
{
    return tmpl_int(tmpl_contains(r, self, a->pos[0]));
}

static const struct method range_methods[] = {
    { { "index", m_range_index, "value", 1 }, false },
    { { "count", m_range_count, "value", 1 }, false },
};

static struct val m_next(struct run *r, struct val self, struct args *a)
{
    struct vlist *l = self.u.l;

    (void)a;
    (void)r;
    struct val v = l->v[l->at];
    l->at        = (l->at + 1) % l->n;
    return v;
}

static struct val m_reset(struct run *r, struct val self, struct args *a)
{
    (void)a;
    (void)r;
    self.u.l->at = 0;
    return VAL_NONE;
}

static const struct method cycler_methods[] = {
    { { "next", m_next, "", 0 }, false },
    { { "reset", m_reset, "", 0 }, false },
};

static struct val m_is_integer(struct run *r, struct val self, struct args *a)
{
    (void)r;
    (void)a;
    return tmpl_bool(isfinite(self.u.f) && self.u.f == trunc(self.u.f));
}

static const struct method float_methods[] = {
    { { "is_integer", m_is_integer, "", 0 }, false },
};

static const struct method *find_row(const struct method *m, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(name, str_c(m[i].fn.name))) return &m[i];
    return NULL;
}

const struct method *tmpl_method_find(struct val self, struct str name)
{
    switch (self.kind) {
    case V_STR: return find_row(str_methods, ARRAY_LEN(str_methods), name);
    case V_LIST: return find_row(list_methods, ARRAY_LEN(list_methods), name);
    case V_TUPLE: return find_row(list_methods, N_TUPLE_METHODS, name);
    case V_DICT: return find_row(dict_methods, ARRAY_LEN(dict_methods), name);
    case V_RANGE: return find_row(range_methods, ARRAY_LEN(range_methods), name);
    case V_CYCLER: return find_row(cycler_methods, ARRAY_LEN(cycler_methods), name);
    case V_FLOAT: return find_row(float_methods, ARRAY_LEN(float_methods), name);
    case V_MISSING: case V_UNDEF: case V_NONE: case V_BOOL: case V_INT: case V_ITER: case V_VIEW:
    case V_NS:
    case V_LOOP: case V_MACRO: case V_FUNC: case V_METHOD: case V_JOINER: break;
    }
    return NULL;
}
