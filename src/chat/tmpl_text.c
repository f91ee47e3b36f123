/* tmpl_text.c - values as text: Python's str() and repr(), and JSON as json.dumps writes it.
 *
 * Numbers, None and True count as the template's own text: no special token can be made of them. A
 * list or an object as text is the client's as soon as one string in it is.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "chat/tmpl_int.h"

/* The shortest digits that read back as f, and the decimal exponent of the first. */
static int shortest(double f, char digits[20], int *exp10)
{
    char text[32];

    for (int prec = 0; prec < 17; prec++) {
        snprintf(text, sizeof text, "%.*e", prec, f);
        if (prec == 16 || strtod(text, NULL) == f) break;
    }
    int   n = 0;
    char *e = strchr(text, 'e');
    for (char *p = text; p < e; p++)
        if (*p >= '0' && *p <= '9') digits[n++] = *p;
    *exp10 = (int)strtol(e + 1, NULL, 10);
    while (n > 1 && digits[n - 1] == '0') n--;
    return n;
}

size_t tmpl_float_text(double f, char out[TMPL_NUM_MAX])
{
    char digits[20];
    int  exp10;

    if (isnan(f)) return (size_t)snprintf(out, TMPL_NUM_MAX, "nan");
    if (isinf(f)) return (size_t)snprintf(out, TMPL_NUM_MAX, "%sinf", f < 0 ? "-" : "");
    size_t at = 0;
    if (signbit(f)) out[at++] = '-';
    f     = fabs(f);
    int n = shortest(f, digits, &exp10);
    if (f != 0 && (exp10 < -4 || exp10 >= 16)) { // 1e+16, 1.5e-05
        out[at++] = digits[0];
        if (n > 1) out[at++] = '.';
        for (int i = 1; i < n; i++) out[at++] = digits[i];
        return at + (size_t)snprintf(out + at, TMPL_NUM_MAX - at, "e%c%02d", exp10 < 0 ? '-' : '+',
                                     abs(exp10));
    }
    if (exp10 < 0) {
        out[at++] = '0';
        out[at++] = '.';
        for (int i = -1; i > exp10; i--) out[at++] = '0';
    }
    for (int i = 0; i < n || i <= exp10; i++) {
        if (i == exp10 + 1 && i > 0 && exp10 >= 0) out[at++] = '.';
        out[at++] = i < n ? digits[i] : '0';
    }
    if (exp10 >= 0 && n <= exp10 + 1) {
        out[at++] = '.';
        out[at++] = '0';
    }
    return at;
}

/* --- whose text --- */

static bool all_trusted(struct run *r, struct val v, int depth)
{
    if (!tmpl_step(r, 1) || depth > LIM_TMPL_NEST) return false;
    switch (v.kind) {
    case V_STR: return tmpl_trusted(v.u.s);
    case V_LIST:
    case V_TUPLE:
    case V_ITER:
        for (size_t i = 0; i < v.u.l->n; i++)
            if (!all_trusted(r, v.u.l->v[i], depth + 1)) return false;
        return true;
    case V_NS:
    case V_DICT:
    case V_VIEW: {
        const struct vdict *d = v.kind == V_VIEW ? v.u.view->d : v.u.d;
        for (size_t i = 0; i < d->n; i++)
            if (!all_trusted(r, d->e[i].key, depth + 1) || !all_trusted(r, d->e[i].v, depth + 1))
                return false;
        return true;
    }
    case V_MISSING: case V_UNDEF: case V_NONE: case V_BOOL: case V_INT: case V_FLOAT: case V_RANGE:
    case V_LOOP:
    case V_MACRO: case V_FUNC: case V_METHOD: case V_CYCLER: case V_JOINER: break;
    }
    return true;
}

bool tmpl_text_trusted(struct run *r, struct val v)
{
    return all_trusted(r, v, 0);
}

/* --- repr --- */

static void put_c(struct sb *b, const char *z, bool trusted)
{
    tmpl_sb_put(b, str_c(z), trusted);
}

/* A string in quotes: single ones unless only double ones need no escape. */
static void put_quoted(struct sb *b, const struct vstr *s, bool trusted)
{
    struct str t     = s->text;
    char       quote =
        str_find_byte(t, '\'') != SIZE_MAX && str_find_byte(t, '"') == SIZE_MAX ? '"' : '\'';
    char       esc[16];

    if (s->markup) put_c(b, "Markup(", trusted);
    tmpl_sb_put(b, (struct str){ &quote, 1 }, trusted);
    size_t from = 0;
    for (size_t at = 0; at < t.n && !b->r->failed;) {
        uint32_t cp  = 0xFFFD;
        int      got = utf8_decode(str_from(t, at), &cp);
        size_t   n   = (size_t)(got < 0 ? -got : got);
        esc[0]       = 0;
        if (cp == (unsigned char)quote || cp == '\\') snprintf(esc, sizeof esc, "\\%c", (int)cp);
        else if (cp == '\n') snprintf(esc, sizeof esc, "\\n");
        else if (cp == '\r') snprintf(esc, sizeof esc, "\\r");
        else if (cp == '\t') snprintf(esc, sizeof esc, "\\t");
        else if (!tmpl_cp_print(cp))
            snprintf(esc, sizeof esc,
                     cp < 0x100     ? "\\x%02x"
                     : cp < 0x10000 ? "\\u%04x"
                                    : "\\U%08x",
                     cp);
        if (esc[0]) {
            tmpl_sb_put(b, str_sub(t, from, at - from), trusted);
            put_c(b, esc, trusted);
            from = at + n;
        }
        at += n;
    }
    tmpl_sb_put(b, str_from(t, from), trusted);
    tmpl_sb_put(b, (struct str){ &quote, 1 }, trusted);
    if (s->markup) put_c(b, ")", trusted);
}

static void put_repr(struct sb *b, struct val v, bool trusted, int depth);

static void put_items(struct sb *b, const struct vlist *l, const char *open, const char *close,
                      bool trusted, int depth)
{
    put_c(b, open, trusted);
    for (size_t i = 0; i < l->n && !b->r->failed; i++) {
        if (i > 0) put_c(b, ", ", trusted);
        put_repr(b, l->v[i], trusted, depth + 1);
    }
    put_c(b, close, trusted);
}

static void put_dict(struct sb *b, const struct vdict *d, bool trusted, int depth)
{
    put_c(b, "{", trusted);
    for (size_t i = 0; i < d->n && !b->r->failed; i++) {
        if (i > 0) put_c(b, ", ", trusted);
        put_repr(b, d->e[i].key, trusted, depth + 1);
        put_c(b, ": ", trusted);
        put_repr(b, d->e[i].v, trusted, depth + 1);
    }
    put_c(b, "}", trusted);
}

static void put_view(struct sb *b, const struct vview *w, bool trusted, int depth)
{
    static const char *const open[] = {
        [VIEW_KEYS] = "dict_keys([", [VIEW_VALUES] = "dict_values([", [VIEW_ITEMS] = "dict_items(["
    };

    put_c(b, open[w->what], trusted);
    for (size_t i = 0; i < w->d->n && !b->r->failed; i++) {
        if (i > 0) put_c(b, ", ", trusted);
        if (w->what == VIEW_ITEMS) put_c(b, "(", trusted);
        if (w->what != VIEW_VALUES) put_repr(b, w->d->e[i].key, trusted, depth + 1);
        if (w->what == VIEW_ITEMS) put_c(b, ", ", trusted);
        if (w->what != VIEW_KEYS) put_repr(b, w->d->e[i].v, trusted, depth + 1);
        if (w->what == VIEW_ITEMS) put_c(b, ")", trusted);
    }
    put_c(b, "])", trusted);
}

static void put_num(struct sb *b, struct val v, bool trusted)
{
    char   text[TMPL_NUM_MAX];
    size_t n = v.kind == V_INT ? (size_t)snprintf(text, sizeof text, "%lld", (long long)v.u.i)
                               : tmpl_float_text(v.u.f, text);

    tmpl_sb_put(b, (struct str){ text, n }, trusted);
}

static void put_range(struct sb *b, const struct vrange *g, bool trusted)
{
    put_c(b, "range(", trusted);
    put_num(b, tmpl_int(g->start), trusted);
    put_c(b, ", ", trusted);
    put_num(b, tmpl_int(g->stop), trusted);
    if (g->step != 1) {
        put_c(b, ", ", trusted);
        put_num(b, tmpl_int(g->step), trusted);
    }
    put_c(b, ")", trusted);
}

static void put_repr(struct sb *b, struct val v, bool trusted, int depth)
{
    struct run *r = b->r;

    if (!tmpl_step(r, 1)) return;
    if (depth > LIM_TMPL_NEST) {
        tmpl_fail_code(r, ERR_TOO_LARGE, "lists or objects nested deeper than %d", LIM_TMPL_NEST);
        return;
    }
    switch (v.kind) {
    case V_MISSING:
    case V_UNDEF: put_c(b, "Undefined", trusted); break;
    case V_NONE: put_c(b, "None", trusted); break;
    case V_BOOL: put_c(b, v.u.b ? "True" : "False", trusted); break;
    case V_INT:
    case V_FLOAT: put_num(b, v, trusted); break;
    case V_STR: put_quoted(b, v.u.s, trusted); break;
    case V_LIST: put_items(b, v.u.l, "[", "]", trusted, depth); break;
    case V_TUPLE: put_items(b, v.u.l, "(", v.u.l->n == 1 ? ",)" : ")", trusted, depth); break;
    case V_DICT: put_dict(b, v.u.d, trusted, depth); break;
    case V_VIEW: put_view(b, v.u.view, trusted, depth); break;
    case V_RANGE: put_range(b, v.u.range, trusted); break;
    case V_NS:
        put_c(b, "<Namespace ", trusted);
        put_dict(b, v.u.d, trusted, depth);
        put_c(b, ">", trusted);
        break;
    case V_MACRO:
        put_c(b, "<Macro ", trusted);
        if (v.u.macro->node->name.n) {
            put_c(b, "'", trusted);
            tmpl_sb_put(b, v.u.macro->node->name, trusted);
            put_c(b, "'>", trusted);
        } else {
            put_c(b, "anonymous>", trusted);
        }
        break;
    case V_ITER: case V_LOOP: case V_FUNC: case V_METHOD: case V_CYCLER: case V_JOINER:
        put_c(b, "<", trusted); // Python shows an address here; nobody can depend on it
        put_c(b, tmpl_type(v), trusted);
        put_c(b, " object>", trusted);
        break;
    }
}

void tmpl_put_repr(struct sb *b, struct val v)
{
    put_repr(b, v, tmpl_text_trusted(b->r, v), 0);
}

void tmpl_put_str(struct sb *b, struct val v)
{
    if (v.kind == V_STR) tmpl_sb_str(b, v.u.s);
    else if (v.kind != V_UNDEF && v.kind != V_MISSING) tmpl_put_repr(b, v);
}

struct val tmpl_str(struct run *r, struct val v)
{
    struct sb b;

    if (v.kind == V_STR) return v;
    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    tmpl_put_str(&b, v);
    struct val s = tmpl_sb_end(&b);
    return s.kind == V_STR ? s : VAL_NONE;
}

struct val tmpl_repr(struct run *r, struct val v)
{
    struct sb b;

    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    tmpl_put_repr(&b, v);
    return tmpl_sb_end(&b);
}

/* --- JSON --- */

struct json_out {
    struct sb              b;
    const struct json_opts *o;
    bool                   trusted;
};

static void json_put(struct json_out *w, const char *p, size_t n)
{
    tmpl_sb_put(&w->b, (struct str){ p, n }, w->trusted);
}

static void json_quoted(struct json_out *w, struct str t)
{
    char   esc[16];
    size_t from = 0;

    json_put(w, "\"", 1);
    for (size_t at = 0; at < t.n && !w->b.r->failed;) {
        uint32_t cp  = 0xFFFD;
        int      got = (unsigned char)t.p[at] < 0x80 ? 1 : utf8_decode(str_from(t, at), &cp);
        size_t   n   = (size_t)(got < 0 ? -got : got);
        if (n == 1 && got == 1) cp = (unsigned char)t.p[at];
        int len = 0;
        if (cp == '"' || cp == '\\') len = snprintf(esc, sizeof esc, "\\%c", (int)cp);
        else if (cp == '\n') len = snprintf(esc, sizeof esc, "\\n");
        else if (cp == '\r') len = snprintf(esc, sizeof esc, "\\r");
        else if (cp == '\t') len = snprintf(esc, sizeof esc, "\\t");
        else if (cp == '\b') len = snprintf(esc, sizeof esc, "\\b");
        else if (cp == '\f') len = snprintf(esc, sizeof esc, "\\f");
        else if (cp < 0x20 || (w->o->ascii && cp >= 0x7F && cp < 0x10000))
            len = cp == 0x7F ? 0 : snprintf(esc, sizeof esc, "\\u%04x", cp);
        else if (w->o->ascii && cp >= 0x10000)
            len = snprintf(esc, sizeof esc, "\\u%04x\\u%04x", 0xD800 + ((cp - 0x10000) >> 10),
                           0xDC00 + (cp & 0x3FF));
        if (len > 0) {
            json_put(w, t.p + from, at - from);
            json_put(w, esc, (size_t)len);
            from = at + n;
        }
        at += n;
    }
    json_put(w, t.p + from, t.n - from);
    json_put(w, "\"", 1);
}

static void json_number(struct json_out *w, struct val v)
{
    char   text[TMPL_NUM_MAX];
    size_t n;

    if (v.kind == V_INT) n = (size_t)snprintf(text, sizeof text, "%lld", (long long)v.u.i);
    else if (isnan(v.u.f)) n = (size_t)snprintf(text, sizeof text, "NaN");
    else if (isinf(v.u.f))
        n = (size_t)snprintf(text, sizeof text, "%sInfinity", v.u.f < 0 ? "-" : "");
    else n = tmpl_float_text(v.u.f, text);
    json_put(w, text, n);
}

static void json_break(struct json_out *w, int depth)
{
    if (!w->o->pretty) return;
    json_put(w, "\n", 1);
    tmpl_sb_fill(&w->b, w->o->indent, (size_t)depth, w->trusted);
}

static void json_value(struct json_out *w, struct val v, int depth);

/* Object keys are strings; numbers, booleans and None become them. */
static void json_key(struct json_out *w, struct val k)
{
    if (k.kind == V_STR) {
        json_quoted(w, k.u.s->text);
    } else if (k.kind == V_NONE || tmpl_is_num(k)) {
        json_put(w, "\"", 1);
        json_value(w, k, 0);
        json_put(w, "\"", 1);
    } else {
        tmpl_fail(w->b.r, "keys must be str, int, float, bool or None, not %s", tmpl_type(k));
    }
}

/* Indices of the entries in the order of their keys; insertion sort would be quadratic, so: merge.
 */
static uint32_t *sorted_keys(struct run *r, const struct vdict *d)
{
    uint32_t *at = tmpl_alloc(r, d->n * 2 + 1, sizeof *at), *to = at ? at + d->n : NULL;

    if (!at) return NULL;
    for (size_t i = 0; i < d->n; i++) at[i] = (uint32_t)i;
    for (size_t w = 1; w < d->n && !r->failed; w *= 2) {
        for (size_t lo = 0; lo < d->n && !r->failed; lo += 2 * w) {
            size_t mid = lo + w < d->n ? lo + w : d->n, hi = lo + 2 * w < d->n ? lo + 2 * w : d->n;
            for (size_t a = lo, b = mid, k = lo; k < hi; k++) {
                bool left =
                    a < mid && (b >= hi || tmpl_cmp(r, d->e[at[a]].key, d->e[at[b]].key, "<") <= 0);
                to[k] = left ? at[a++] : at[b++];
            }
        }
        uint32_t *swap = at;
        at = to;
        to = swap;
    }
    return at;
}

static void json_dict(struct json_out *w, const struct vdict *d, int depth)
{
    struct run *r     = w->b.r;
    uint32_t   *order = w->o->sort_keys && d->n > 1 ? sorted_keys(r, d) : NULL;

    json_put(w, "{", 1);
    for (size_t i = 0; i < d->n && !r->failed; i++) {
        const struct entry *e = &d->e[order ? order[i] : i];
        if (i > 0) json_put(w, w->o->item_sep.p, w->o->item_sep.n);
        json_break(w, depth + 1);
        json_key(w, e->key);
        json_put(w, w->o->key_sep.p, w->o->key_sep.n);
        json_value(w, e->v, depth + 1);
    }
    if (d->n > 0) json_break(w, depth);
    json_put(w, "}", 1);
}

static void json_value(struct json_out *w, struct val v, int depth)
{
    struct run *r = w->b.r;

    if (!tmpl_step(r, 1)) return;
    if (depth > LIM_TMPL_NEST) {
        tmpl_fail_code(r, ERR_TOO_LARGE, "lists or objects nested deeper than %d", LIM_TMPL_NEST);
        return;
    }
    switch (v.kind) {
    case V_NONE: json_put(w, "null", 4); return;
    case V_BOOL: json_put(w, v.u.b ? "true" : "false", v.u.b ? 4 : 5); return;
    case V_INT:
    case V_FLOAT: json_number(w, v); return;
    case V_STR: json_quoted(w, v.u.s->text); return;
    case V_DICT: json_dict(w, v.u.d, depth); return;
    case V_LIST:
    case V_TUPLE:
        json_put(w, "[", 1);
        for (size_t i = 0; i < v.u.l->n && !r->failed; i++) {
            if (i > 0) json_put(w, w->o->item_sep.p, w->o->item_sep.n);
            json_break(w, depth + 1);
            json_value(w, v.u.l->v[i], depth + 1);
        }
        if (v.u.l->n > 0) json_break(w, depth);
        json_put(w, "]", 1);
        return;
    case V_RANGE:
    case V_ITER:
    case V_VIEW: // Python refuses; templates made for other renderers count on a list
        json_value(w, (struct val){ .kind = V_LIST, .u.l = tmpl_elems(r, v) }, depth + 1);
        return;
    case V_MISSING: case V_UNDEF: case V_NS: case V_LOOP: case V_MACRO: case V_FUNC: case V_METHOD:
    case V_CYCLER:
    case V_JOINER: break;
    }
    tmpl_fail(r, "Object of type %s is not JSON serializable", tmpl_type(v));
}

struct val tmpl_json(struct run *r, struct val v, const struct json_opts *o)
{
    struct json_out w = { .o = o, .trusted = !o->client && tmpl_text_trusted(r, v) };

    tmpl_sb_init(&w.b, r, LIM_TMPL_STR_BYTES);
    json_value(&w, v, 0);
    return tmpl_sb_end(&w.b);
}
