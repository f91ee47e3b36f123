/* tmpl_val.c - values with Python's manners: truth, equality, order, hashing, access.
 *
 * Values are small and copied; what they point to is in the arena of the rendering and, apart from
 * namespaces, loops and generators, never changes after it was built: the sandbox refuses the
 * methods that would.
 */
#include <math.h>
#include <string.h>

#include "chat/tmpl_int.h"

struct val tmpl_bool(bool b)
{
    return (struct val){ .kind = V_BOOL, .u.b = b };
}

struct val tmpl_int(int64_t i)
{
    return (struct val){ .kind = V_INT, .u.i = i };
}

struct val tmpl_float(double f)
{
    return (struct val){ .kind = V_FLOAT, .u.f = f };
}

static struct val new_undef(struct run *r, struct undef u)
{
    struct undef *p = tmpl_alloc(r, 1, sizeof *p);

    if (!p) return VAL_NONE;
    *p = u;
    return (struct val){ .kind = V_UNDEF, .u.undef = p };
}

struct val tmpl_undef(struct run *r, struct str name, const char *of)
{
    return new_undef(r, (struct undef){ .name = name, .of = of });
}

struct val tmpl_undef_hint(struct run *r, const char *hint)
{
    return new_undef(r, (struct undef){ .hint = hint });
}

const char *tmpl_type(struct val v)
{
    static const char *const names[] = {
        [V_MISSING] = "missing", [V_UNDEF] = "Undefined", [V_NONE] = "NoneType",
        [V_BOOL] = "bool",       [V_INT] = "int",         [V_FLOAT] = "float",
        [V_STR] = "str",         [V_LIST] = "list",       [V_TUPLE] = "tuple",
        [V_DICT] = "dict",       [V_RANGE] = "range",     [V_ITER] = "generator",
        [V_VIEW] = "dict view",  [V_NS] = "Namespace",    [V_LOOP] = "LoopContext",
        [V_MACRO] = "Macro",     [V_FUNC] = "function",   [V_METHOD] = "method",
        [V_CYCLER] = "Cycler",   [V_JOINER] = "Joiner",
    };
    return names[v.kind];
}

bool tmpl_is_int(struct val v)
{
    return v.kind == V_INT || v.kind == V_BOOL;
}

bool tmpl_is_num(struct val v)
{
    return tmpl_is_int(v) || v.kind == V_FLOAT;
}

int64_t tmpl_as_int(struct val v)
{
    return v.kind == V_BOOL ? v.u.b : v.u.i;
}

double tmpl_as_float(struct val v)
{
    return v.kind == V_FLOAT ? v.u.f : (double)tmpl_as_int(v);
}

/* --- lists --- */

struct val tmpl_list_new(struct run *r, enum val_kind kind, size_t n_hint)
{
    struct vlist *l = tmpl_alloc(r, 1, sizeof *l);

    if (!l) return VAL_NONE;
    if (n_hint > 0) {
        l->v   = tmpl_alloc(r, n_hint, sizeof *l->v);
        l->cap = l->v ? n_hint : 0;
    }
    return (struct val){ .kind = kind, .u.l = l };
}

void tmpl_list_put(struct run *r, struct val list, struct val v)
{
    if (r->failed || !tmpl_step(r, 1)) return;

    struct vlist *l = list.u.l;
    if (l->n >= LIM_TMPL_ITEMS) {
        tmpl_fail_code(r, ERR_TOO_LARGE, "list of more than %d elements", LIM_TMPL_ITEMS);
        return;
    }
    if (l->n == l->cap) {
        size_t      cap  = l->cap ? l->cap * 2 : 8;
        struct val *more = tmpl_alloc(r, cap, sizeof *more);
        if (!more) return;
        if (l->n) memcpy(more, l->v, l->n * sizeof *more);
        l->v   = more;
        l->cap = cap;
    }
    l->v[l->n++] = v;
}

struct val tmpl_tuple2(struct run *r, struct val a, struct val b)
{
    struct val t = tmpl_list_new(r, V_TUPLE, 2);

    tmpl_list_put(r, t, a);
    tmpl_list_put(r, t, b);
    return t;
}

/* --- truth, equality, order --- */

bool tmpl_len(struct run *r, struct val v, size_t *ret)
{
    switch (v.kind) {
    case V_UNDEF: *ret = 0; return true;
    case V_STR:
        if (v.u.s->n_char == SIZE_MAX) tmpl_step(r, TMPL_BYTES(v.u.s->text.n));
        *ret = tmpl_n_char(v.u.s);
        return true;
    case V_LIST:
    case V_TUPLE: *ret = v.u.l->n; return true;
    case V_DICT: *ret = v.u.d->n; return true;
    case V_RANGE: *ret = v.u.range->n; return true;
    case V_VIEW: *ret = v.u.view->d->n; return true;
    case V_LOOP: {
        struct val n = tmpl_loop_attr(r, v.u.loop, STR("length"));
        *ret = r->failed ? 0 : (size_t)n.u.i;
        return true;
    }
    case V_MISSING: case V_NONE: case V_BOOL: case V_INT: case V_FLOAT: case V_ITER: case V_NS:
    case V_MACRO:
    case V_FUNC: case V_METHOD: case V_CYCLER: case V_JOINER: break;
    }
    return false;
}

bool tmpl_truth(struct run *r, struct val v)
{
    size_t n = 1;

    switch (v.kind) {
    case V_MISSING: case V_NONE: case V_UNDEF: return false;
    case V_BOOL: return v.u.b;
    case V_INT: return v.u.i != 0;
    case V_FLOAT: return v.u.f != 0;
    case V_STR: return v.u.s->text.n > 0;
    case V_LIST: case V_TUPLE: case V_DICT: case V_RANGE: case V_VIEW: case V_LOOP:
        tmpl_len(r, v, &n);
        return n > 0;
    case V_ITER: case V_NS: case V_MACRO: case V_FUNC: case V_METHOD: case V_CYCLER: case V_JOINER:
    break;
    }
    return true;
}

bool tmpl_same(struct val a, struct val b)
{
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case V_MISSING: case V_NONE: return true;
    case V_BOOL: return a.u.b == b.u.b;
    case V_INT:
    return a.u.i == b.u.i; // Python shares small integers only; nobody relies on large ones
    case V_FLOAT: return false;
    case V_STR: return a.u.s == b.u.s || str_eq(a.u.s->text, b.u.s->text); // literals are interned
    case V_UNDEF: case V_LIST: case V_TUPLE: case V_DICT: case V_RANGE: case V_ITER: case V_VIEW:
    case V_NS:
    case V_LOOP: case V_MACRO: case V_FUNC: case V_METHOD: case V_CYCLER: case V_JOINER: break;
    }
    return a.u.l == b.u.l;
}

/* An integer and a double without rounding either: <0, 0, >0. f is not NaN. */
static int cmp_int_float(int64_t i, double f)
{
    if (f >= 9223372036854775808.0) return -1;
    if (f < -9223372036854775808.0) return 1;
    int64_t whole = (int64_t)f;
    if (i != whole) return i < whole ? -1 : 1;
    double rest = f - (double)whole;
    return rest > 0 ? -1 : rest < 0 ? 1 : 0;
}

/* Two numbers; false when they have no order (NaN). */
static bool cmp_num(struct val a, struct val b, int *ret)
{
    if (a.kind == V_FLOAT && b.kind == V_FLOAT) {
        if (isnan(a.u.f) || isnan(b.u.f)) return false;
        *ret = a.u.f < b.u.f ? -1 : a.u.f > b.u.f;
    } else if (a.kind == V_FLOAT) {
        if (isnan(a.u.f)) return false;
        *ret = -cmp_int_float(tmpl_as_int(b), a.u.f);
    } else if (b.kind == V_FLOAT) {
        if (isnan(b.u.f)) return false;
        *ret = cmp_int_float(tmpl_as_int(a), b.u.f);
    } else {
        int64_t x = tmpl_as_int(a), y = tmpl_as_int(b);
        *ret = x < y ? -1 : x > y;
    }
    return true;
}

/* Element i: in range, but on the way there a product may not be, hence unsigned. */
static int64_t range_at(const struct vrange *g, size_t i)
{
    return (int64_t)((uint64_t)g->start + (uint64_t)i * (uint64_t)g->step);
}

static bool eq_deep(struct run *r, struct val a, struct val b, int depth);

static bool too_deep(struct run *r, int depth)
{
    if (depth <= LIM_TMPL_NEST) return false;
    tmpl_fail_code(r, ERR_TOO_LARGE, "lists or objects nested deeper than %d", LIM_TMPL_NEST);
    return true;
}

static bool eq_dict(struct run *r, struct vdict *a, struct vdict *b, int depth)
{
    if (a == b) return true;
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n && !r->failed; i++) {
        struct val other = tmpl_dict_get(r, (struct val){ .kind = V_DICT, .u.d = b }, a->e[i].key);
        if (other.kind == V_MISSING || !eq_deep(r, a->e[i].v, other, depth + 1)) return false;
    }
    return true;
}

static bool eq_deep(struct run *r, struct val a, struct val b, int depth)
{
    int order;

    if (!tmpl_step(r, 1) || too_deep(r, depth)) return false;
    if (tmpl_is_num(a) && tmpl_is_num(b)) return cmp_num(a, b, &order) && order == 0;
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case V_STR: return tmpl_step(r, TMPL_BYTES(a.u.s->text.n)) && str_eq(a.u.s->text, b.u.s->text);
    case V_LIST:
    case V_TUPLE:
        if (a.u.l == b.u.l) return true;
        if (a.u.l->n != b.u.l->n) return false;
        for (size_t i = 0; i < a.u.l->n; i++)
            if (!eq_deep(r, a.u.l->v[i], b.u.l->v[i], depth + 1)) return false;
        return true;
    case V_DICT: return eq_dict(r, a.u.d, b.u.d, depth);
    case V_RANGE:
        return a.u.range->n == b.u.range->n &&
               (a.u.range->n == 0 || (a.u.range->start == b.u.range->start &&
                                      (a.u.range->n == 1 || a.u.range->step == b.u.range->step)));
    case V_UNDEF: case V_NONE: return true;
    case V_METHOD:
    return a.u.method->m == b.u.method->m && tmpl_same(a.u.method->self, b.u.method->self);
    case V_FUNC: return a.u.fn == b.u.fn;
    case V_MISSING: case V_BOOL: case V_INT: case V_FLOAT: case V_ITER: case V_VIEW: case V_NS:
    case V_LOOP:
    case V_MACRO: case V_CYCLER: case V_JOINER: break;
    }
    return tmpl_same(a, b);
}

bool tmpl_eq(struct run *r, struct val a, struct val b)
{
    return eq_deep(r, a, b, 0);
}

static int cmp_deep(struct run *r, struct val a, struct val b, const char *op, int depth)
{
    int order = 0;

    if (!tmpl_step(r, 1) || too_deep(r, depth)) return 0;
    if (a.kind == V_UNDEF || b.kind == V_UNDEF) {
        tmpl_fail_undef(r, a.kind == V_UNDEF ? a : b);
        return 0;
    }
    if (tmpl_is_num(a) && tmpl_is_num(b)) return cmp_num(a, b, &order) ? order : 0;
    if (a.kind == b.kind && a.kind == V_STR) { // code point order is byte order in UTF-8
        tmpl_step(r, TMPL_BYTES(a.u.s->text.n));
        return str_cmp(a.u.s->text, b.u.s->text);
    }
    if (a.kind == b.kind && (a.kind == V_LIST || a.kind == V_TUPLE)) {
        struct vlist *x = a.u.l, *y = b.u.l;
        for (size_t i = 0; i < x->n && i < y->n && !r->failed; i++)
            if (!eq_deep(r, x->v[i], y->v[i], depth + 1))
                return cmp_deep(r, x->v[i], y->v[i], op, depth + 1);
        return x->n < y->n ? -1 : x->n > y->n;
    }
    tmpl_fail(r, "'%s' not supported between instances of '%s' and '%s'", op, tmpl_type(a),
              tmpl_type(b));
    return 0;
}

int tmpl_cmp(struct run *r, struct val a, struct val b, const char *op)
{
    return cmp_deep(r, a, b, op, 0);
}

bool tmpl_contains(struct run *r, struct val seq, struct val v)
{
    if (seq.kind == V_STR) {
        if (v.kind != V_STR) {
            if (v.kind == V_UNDEF) tmpl_fail_undef(r, v);
            else
                tmpl_fail(r, "'in <string>' requires string as left operand, not %s", tmpl_type(v));
            return false;
        }
        return tmpl_step(r, TMPL_BYTES(seq.u.s->text.n)) &&
               tmpl_find(seq.u.s->text, v.u.s->text, 0) != SIZE_MAX;
    }
    if (seq.kind == V_DICT) return tmpl_dict_get(r, seq, v).kind != V_MISSING;
    if (seq.kind == V_VIEW && seq.u.view->what == VIEW_KEYS)
        return tmpl_dict_get(r, (struct val){ .kind = V_DICT, .u.d = seq.u.view->d }, v).kind !=
               V_MISSING;
    if (seq.kind == V_RANGE) {
        const struct vrange *g = seq.u.range;
        if (v.kind == V_FLOAT && fabs(v.u.f) < 9e18 && v.u.f == trunc(v.u.f))
            v = tmpl_int((int64_t)v.u.f);
        if (!tmpl_is_int(v) || g->n == 0) return false;
        int64_t i = tmpl_as_int(v), last = range_at(g, g->n - 1);
        if (g->step > 0)
            return i >= g->start && i <= last &&
                   ((uint64_t)i - (uint64_t)g->start) % (uint64_t)g->step == 0;
        return i <= g->start && i >= last &&
               ((uint64_t)g->start - (uint64_t)i) % (0 - (uint64_t)g->step) == 0;
    }
    if (!tmpl_iterable(seq)) {
        tmpl_fail(r, "argument of type '%s' is not iterable", tmpl_type(seq));
        return false;
    }
    const struct vlist *l = tmpl_elems(r, seq);
    for (size_t i = 0; i < l->n && !r->failed; i++)
        if (tmpl_eq(r, l->v[i], v)) return true;
    return false;
}

/* --- walking --- */

bool tmpl_iterable(struct val v)
{
    switch (v.kind) {
    case V_UNDEF: case V_STR: case V_LIST: case V_TUPLE: case V_DICT: case V_RANGE: case V_ITER:
    case V_VIEW:
    case V_LOOP: return true;
    case V_MISSING: case V_NONE: case V_BOOL: case V_INT: case V_FLOAT: case V_NS: case V_MACRO:
    case V_FUNC:
    case V_METHOD: case V_CYCLER: case V_JOINER: break;
    }
    return false;
}

static struct val view_at(struct run *r, const struct vview *w, size_t i)
{
    const struct entry *e = &w->d->e[i];

    switch (w->what) {
    case VIEW_KEYS: return e->key;
    case VIEW_VALUES: return e->v;
    case VIEW_ITEMS: break;
    }
    return tmpl_tuple2(r, e->key, e->v);
}

static void chars(struct run *r, struct vstr *s, struct val list)
{
    for (size_t at = 0; at < s->text.n && !r->failed;) {
        size_t n = tmpl_char_len(str_from(s->text, at));
        tmpl_list_put(r, list, tmpl_str_markup(r, tmpl_str_sub(r, s, at, at + n), false));
        at += n;
    }
}

struct vlist *tmpl_elems(struct run *r, struct val v)
{
    static struct vlist none; // never written: n is 0 and nobody appends to an element list

    if (v.kind == V_LIST || v.kind == V_TUPLE) return v.u.l;
    if (v.kind == V_ITER) {
        if (v.u.l->late) tmpl_fail(r, "%s", v.u.l->late);
        struct vlist *rest = tmpl_alloc(r, 1, sizeof *rest);
        if (!rest) return &none;
        *rest       = (struct vlist){ .v = v.u.l->v + v.u.l->at, .n = v.u.l->n - v.u.l->at };
        v.u.l->at = v.u.l->n;
        return rest;
    }
    if (!tmpl_iterable(v) || v.kind == V_LOOP) {
        tmpl_fail(r, "'%s' object is not iterable", tmpl_type(v));
        return &none;
    }
    struct val list = tmpl_list_new(r, V_LIST, 0);
    if (r->failed) return &none;
    if (v.kind == V_STR) chars(r, v.u.s, list);
    if (v.kind == V_DICT)
        for (size_t i = 0; i < v.u.d->n && !r->failed; i++) tmpl_list_put(r, list, v.u.d->e[i].key);
    if (v.kind == V_VIEW)
        for (size_t i = 0; i < v.u.view->d->n && !r->failed; i++)
            tmpl_list_put(r, list, view_at(r, v.u.view, i));
    if (v.kind == V_RANGE)
        for (size_t i = 0; i < v.u.range->n && !r->failed; i++)
            tmpl_list_put(r, list, tmpl_int(range_at(v.u.range, i)));
    return r->failed ? &none : list.u.l;
}

/* --- access --- */

static struct val wrong_attr(struct run *r, struct val obj, struct str name, bool unsafe)
{
    if (obj.kind == V_UNDEF) return tmpl_fail_undef(r, obj);
    return new_undef(r, (struct undef){ .name = name, .of = tmpl_type(obj), .unsafe = unsafe });
}

/* A method or a property; MISSING when there is none of that name. */
static struct val python_attr(struct run *r, struct val obj, struct str name)
{
    if (obj.kind == V_LOOP) return tmpl_loop_attr(r, obj.u.loop, name);
    if (obj.kind == V_NS) return tmpl_dict_get(r, obj, tmpl_str_new(r, name, true));
    if (obj.kind == V_MACRO && str_eq(name, STR("name")))
        return tmpl_str_new(r, obj.u.macro->node->name, true);
    if (obj.kind == V_CYCLER && str_eq(name, STR("current"))) return obj.u.l->v[obj.u.l->at];
    if (obj.kind == V_TUPLE && obj.u.l->group) {
        if (str_eq(name, STR("grouper"))) return obj.u.l->v[0];
        if (str_eq(name, STR("list"))) return obj.u.l->v[1];
    }
    if (obj.kind == V_RANGE) {
        if (str_eq(name, STR("start"))) return tmpl_int(obj.u.range->start);
        if (str_eq(name, STR("stop"))) return tmpl_int(obj.u.range->stop);
        if (str_eq(name, STR("step"))) return tmpl_int(obj.u.range->step);
    }
    const struct method *m = tmpl_method_find(obj, name);
    if (!m && str_starts(name, STR("__")))
        return new_undef(r, (struct undef){ .name = name, .of = tmpl_type(obj), .unsafe = true });
    if (!m) return VAL_MISSING;
    if (m->refused) return wrong_attr(r, obj, name, true);
    struct vmethod *bound = tmpl_alloc(r, 1, sizeof *bound);
    if (!bound) return VAL_NONE;
    *bound = (struct vmethod){ .self = obj, .m = m };
    return (struct val){ .kind = V_METHOD, .u.method = bound };
}

struct val tmpl_attr(struct run *r, struct val obj, struct str name)
{
    struct val v = python_attr(r, obj, name);

    if (v.kind != V_MISSING) return v;
    if (obj.kind == V_DICT) v = tmpl_dict_get(r, obj, tmpl_str_new(r, name, true));
    return v.kind != V_MISSING ? v : wrong_attr(r, obj, name, false);
}

/* Element number i of a sequence, negative from the end; MISSING when it has none or is no
 * sequence. */
static struct val seq_at(struct run *r, struct val obj, int64_t i)
{
    size_t n;

    if (obj.kind != V_STR && obj.kind != V_LIST && obj.kind != V_TUPLE && obj.kind != V_RANGE)
        return VAL_MISSING;
    tmpl_len(r, obj, &n);
    if (i < 0) i += (int64_t)n;
    if (i < 0 || (uint64_t)i >= n) return VAL_MISSING;
    if (obj.kind == V_RANGE) return tmpl_int(range_at(obj.u.range, (size_t)i));
    if (obj.kind != V_STR) return obj.u.l->v[i];
    tmpl_step(r, TMPL_BYTES(obj.u.s->text.n == n ? 0 : obj.u.s->text.n));
    return tmpl_str_sub(r, obj.u.s, tmpl_char_at(obj.u.s, (size_t)i),
                        tmpl_char_at(obj.u.s, (size_t)i + 1));
}

struct val tmpl_item(struct run *r, struct val obj, struct val key)
{
    struct val v = VAL_MISSING;

    if (obj.kind == V_UNDEF) return tmpl_fail_undef(r, obj);
    if (obj.kind == V_DICT && tmpl_hashable(key)) v = tmpl_dict_get(r, obj, key);
    else if (tmpl_is_int(key)) v = seq_at(r, obj, tmpl_as_int(key));
    if (v.kind == V_MISSING && key.kind == V_STR) v = python_attr(r, obj, key.u.s->text);
    if (v.kind != V_MISSING) return v;
    return wrong_attr(r, obj, key.kind == V_STR ? key.u.s->text : STR("(index)"), false);
}

static bool slice_part(struct run *r, struct val v, int64_t *ret)
{
    if (v.kind == V_MISSING || v.kind == V_NONE) return false;
    if (tmpl_is_int(v)) {
        *ret = tmpl_as_int(v);
        return true;
    }
    tmpl_fail(r, "slice indices must be integers or None");
    return false;
}

bool tmpl_slice_bounds(struct run *r, size_t n, struct val from, struct val to, struct val step,
                       int64_t *at, int64_t *by, size_t *count, int64_t *end)
{
    int64_t len = (int64_t)n, start, stop, s = 1;

    slice_part(r, step, &s);
    if (s == 0) tmpl_fail(r, "slice step cannot be zero");
    int64_t low = s < 0 ? -1 : 0, high = s < 0 ? len - 1 : len;
    if (!slice_part(r, from, &start)) start = s < 0 ? high : low;
    else if (start < 0) start = start + len < low ? low : start + len;
    else if (start > high) start = high;
    if (!slice_part(r, to, &stop)) stop = s < 0 ? low : high;
    else if (stop < 0) stop = stop + len < low ? low : stop + len;
    else if (stop > high) stop = high;
    if (r->failed) return false;

    if (end) *end = stop;
    *at    = start;
    *by    = s;
    *count = 0;
    if (s > 0 && start < stop) *count = (size_t)((uint64_t)(stop - start - 1) / (uint64_t)s + 1);
    if (s < 0 && stop < start)
        *count = (size_t)((uint64_t)(start - stop - 1) / (0 - (uint64_t)s) + 1);
    return true;
}

static struct val slice_str(struct run *r, struct vstr *s, int64_t at, int64_t by, size_t count)
{
    struct sb b;

    if (!tmpl_step(r, TMPL_BYTES(s->text.n))) return VAL_NONE;
    if (count == 0) return tmpl_str_sub(r, s, 0, 0);
    if (by == 1) {
        size_t from = tmpl_char_at(s, (size_t)at);
        return tmpl_str_sub(r, s, from, tmpl_char_at(s, (size_t)at + count));
    }
    tmpl_sb_init(&b, r, LIM_TMPL_STR_BYTES);
    size_t pos = tmpl_char_at(s, (size_t)at);
    for (size_t i = 0; i < count && tmpl_step(r, 1); i++) {
        size_t n = tmpl_char_len(str_from(s->text, pos));
        tmpl_sb_sub(&b, s, pos, pos + n);
        if (i + 1 == count) break;
        for (int64_t k = 0; k < by && pos < s->text.n; k++)
            pos += tmpl_char_len(str_from(s->text, pos));
        for (int64_t k = 0; k > by && pos > 0;
             k--) // over continuation bytes to the lead before them
            do pos--; while (pos > 0 && ((unsigned char)s->text.p[pos] & 0xC0) == 0x80);
    }
    return tmpl_str_markup(r, tmpl_sb_end(&b), s->markup);
}

struct val tmpl_slice(struct run *r, struct val obj, struct val from, struct val to,
                      struct val step)
{
    int64_t at, by, end;
    size_t  n, count;

    if (obj.kind == V_UNDEF) return tmpl_fail_undef(r, obj);
    if (obj.kind != V_STR && obj.kind != V_LIST && obj.kind != V_TUPLE && obj.kind != V_RANGE) {
        return tmpl_fail(r, "'%s' object cannot be sliced", tmpl_type(obj));
    }
    tmpl_len(r, obj, &n);
    if (!tmpl_slice_bounds(r, n, from, to, step, &at, &by, &count, &end)) return VAL_NONE;
    if (obj.kind == V_STR) return slice_str(r, obj.u.s, at, by, count);
    if (obj.kind == V_RANGE) {
        struct vrange *g = tmpl_alloc(r, 1, sizeof *g);
        if (!g) return VAL_NONE;
        const struct vrange *o = obj.u.range;
        g->start = range_at(o, (size_t)at);
        if (__builtin_mul_overflow(o->step, by, &g->step))
            g->step = by < 0 ? -1 : 1; // at most one element
        g->n    = count;
        g->stop = range_at(o, (size_t)end);
        return (struct val){ .kind = V_RANGE, .u.range = g };
    }
    struct val list = tmpl_list_new(r, obj.kind, count);
    for (size_t i = 0; i < count && !r->failed; i++) {
        tmpl_list_put(r, list, obj.u.l->v[at]);
        if (i + 1 < count) at += by;
    }
    return list;
}

/* --- JSON --- */

struct val tmpl_from_json(struct run *r, const struct json *j, bool trusted)
{
    struct val v = VAL_NONE;

    if (!tmpl_step(r, 1)) return v;
    switch (json_kind(j)) { // recursion is bounded: parsed documents have at most LIM_JSON_DEPTH
    case JSON_T_NULL: break;
    case JSON_T_BOOL: return tmpl_bool(json_bool(j));
    case JSON_T_INT: return tmpl_int(json_int(j));
    case JSON_T_REAL: return tmpl_float(json_num(j));
    case JSON_T_STR: return tmpl_str_new(r, json_str(j), trusted);
    case JSON_T_ARR:
        v = tmpl_list_new(r, V_LIST, json_len(j));
        for (size_t i = 0; i < json_len(j) && !r->failed; i++)
            tmpl_list_put(r, v, tmpl_from_json(r, json_at(j, i), trusted));
        break;
    case JSON_T_OBJ:
        v = tmpl_dict_new(r, V_DICT);
        for (struct json_it it = json_it(j); !r->failed && json_next(&it);)
            tmpl_dict_put(r, v, tmpl_str_new(r, it.key, trusted),
                          tmpl_from_json(r, it.val, trusted));
        break;
    }
    return v;
}
