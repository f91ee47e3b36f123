/* tmpl_seq.c - filters on sequences.
 *
 * Where Jinja returns a generator, the elements are computed at once but still handed out like a
 * generator's: it is always true, has no length, and can be walked once.
 */
#include <string.h>

#include "chat/tmpl_int.h"

static bool given(struct val v)
{
    return v.kind != V_MISSING && v.kind != V_NONE;
}

/* item.a.0.b, as the filters' `attribute` argument spells it. */
static struct val attr_path(struct run *r, struct val item, struct val path, struct val def)
{
    struct str rest, part;

    if (path.kind != V_STR) {
        item = given(path) ? tmpl_item(r, item, path) : item;
        return item.kind == V_UNDEF && given(def) ? def : item;
    }
    rest = path.u.s->text;
    if (rest.n == 0) rest = STR("");
    while (!r->failed && str_cut(&rest, '.', &part)) {
        int64_t i;
        bool    digits = part.n > 0;
        for (size_t k = 0; k < part.n; k++) digits &= part.p[k] >= '0' && part.p[k] <= '9';
        item = tmpl_item(
            r, item, digits && str_to_i64(part, &i) ? tmpl_int(i) : tmpl_str_new(r, part, true));
        if (item.kind == V_UNDEF && given(def)) item = def;
    }
    return item;
}

static struct val fold(struct run *r, struct val v, bool case_sensitive)
{
    return v.kind == V_STR && !case_sensitive ? tmpl_case(r, v.u.s, CASE_LOWER) : v;
}

/* The generator of a filter's results. */
static struct val iter_of(struct val list)
{
    if (list.kind == V_LIST) list.kind = V_ITER;
    return list;
}

/* A generator that fails when it is walked: until then nobody notices, as with Python's. */
static struct val late_failure(struct run *r, const char *why)
{
    struct val v = tmpl_list_new(r, V_ITER, 0);

    if (!r->failed) v.u.l->late = why;
    return v;
}

#define NOT_ITERABLE "this object is not iterable"

static struct val copy_list(struct run *r, const struct vlist *l)
{
    struct val list = tmpl_list_new(r, V_LIST, l->n);

    for (size_t i = 0; i < l->n && !r->failed; i++) tmpl_list_put(r, list, l->v[i]);
    return list;
}

/* --- order --- */

struct keyed {
    struct val v;
    struct val key;
};

/* Stable merge sort. `loose`: equal keys are not compared by "<", as when Python compares lists of
 * keys. */
static void sort_keyed(struct run *r, struct keyed *k, size_t n, bool reverse, bool loose)
{
    struct keyed *tmp = tmpl_alloc(r, n + 1, sizeof *tmp), *from = k, *to = tmp;

    if (!tmp) return;
    for (size_t w = 1; w < n && !r->failed; w *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * w) {
            size_t mid = lo + w < n ? lo + w : n, hi = lo + 2 * w < n ? lo + 2 * w : n;
            for (size_t a = lo, b = mid, at = lo; at < hi; at++) {
                bool left = a < mid;
                if (left && b < hi) {
                    struct val x = from[a].key, y = from[b].key;
                    int        c = loose && tmpl_eq(r, x, y) ? 0 : tmpl_cmp(r, x, y, "<");
                    left         = reverse ? c >= 0 : c <= 0;
                }
                to[at] = left ? from[a++] : from[b++];
            }
        }
        struct keyed *swap = from;
        from = to;
        to   = swap;
    }
    if (from != k) memcpy(k, from, n * sizeof *k);
}

static struct val values_of(struct run *r, const struct keyed *k, size_t n)
{
    struct val list = tmpl_list_new(r, V_LIST, n);

    for (size_t i = 0; i < n && !r->failed; i++) tmpl_list_put(r, list, k[i].v);
    return list;
}

/* Keys for sort: the attribute, or a tuple of several ("a,b"). */
static struct val sort_key(struct run *r, struct val item, struct val attr, bool case_sensitive)
{
    if (attr.kind != V_STR || str_find_byte(attr.u.s->text, ',') == SIZE_MAX)
        return fold(r, attr_path(r, item, attr, VAL_MISSING), case_sensitive);
    struct val key  = tmpl_list_new(r, V_TUPLE, 2);
    struct str rest = attr.u.s->text, part;
    while (!r->failed && str_cut(&rest, ',', &part)) {
        struct val path = tmpl_str_new(r, part, true);
        tmpl_list_put(r, key, fold(r, attr_path(r, item, path, VAL_MISSING), case_sensitive));
    }
    return key;
}

static struct val f_sort(struct run *r, struct val v, struct args *a)
{
    const struct vlist *l = tmpl_elems(r, v);
    struct keyed       *k = tmpl_alloc(r, l->n + 1, sizeof *k);

    for (size_t i = 0; k && i < l->n && tmpl_step(r, 1); i++)
        k[i] = (struct keyed){ l->v[i], sort_key(r, l->v[i], a->pos[2], tmpl_truth(r, a->pos[1])) };
    if (r->failed || !k) return VAL_NONE;
    sort_keyed(r, k, l->n, tmpl_truth(r, a->pos[0]), true);
    return values_of(r, k, l->n);
}

static struct val f_dictsort(struct run *r, struct val v, struct args *a)
{
    bool by_value = false;

    if (v.kind == V_UNDEF) return tmpl_fail_undef(r, v);
    if (v.kind != V_DICT)
        return tmpl_fail(r, "dictsort: a mapping is wanted, not %s", tmpl_type(v));
    if (a->pos[1].kind == V_STR) {
        by_value = str_eq(a->pos[1].u.s->text, STR("value"));
        if (!by_value && !str_eq(a->pos[1].u.s->text, STR("key")))
            return tmpl_fail(r, "You can only sort by either \"key\" or \"value\"");
    }
    const struct vdict *d = v.u.d;
    struct keyed       *k = tmpl_alloc(r, d->n + 1, sizeof *k);
    for (size_t i = 0; k && i < d->n && tmpl_step(r, 1); i++)
        k[i] =
            (struct keyed){ tmpl_tuple2(r, d->e[i].key, d->e[i].v),
                            fold(r, by_value ? d->e[i].v : d->e[i].key, tmpl_truth(r, a->pos[0])) };
    if (r->failed || !k) return VAL_NONE;
    sort_keyed(r, k, d->n, tmpl_truth(r, a->pos[2]), false);
    return values_of(r, k, d->n);
}

static struct val extreme(struct run *r, struct val v, struct args *a, int sign)
{
    const struct vlist *l    = tmpl_elems(r, v);
    struct val          best = VAL_MISSING, best_key = VAL_MISSING;
    bool                cs   = tmpl_truth(r, a->pos[0]);

    for (size_t i = 0; i < l->n && tmpl_step(r, 1); i++) {
        struct val key = fold(r, attr_path(r, l->v[i], a->pos[1], VAL_MISSING), cs);
        if (best.kind != V_MISSING && sign * tmpl_cmp(r, key, best_key, sign < 0 ? "<" : ">") <= 0)
            continue;
        best     = l->v[i];
        best_key = key;
    }
    if (r->failed) return VAL_NONE;
    return best.kind == V_MISSING ? tmpl_undef_hint(r, "No aggregated item, sequence was empty.")
                                  : best;
}

static struct val f_min(struct run *r, struct val v, struct args *a)
{
    return extreme(r, v, a, -1);
}

static struct val f_max(struct run *r, struct val v, struct args *a)
{
    return extreme(r, v, a, 1);
}

static struct val f_unique(struct run *r, struct val v, struct args *a)
{
    if (!tmpl_iterable(v)) return late_failure(r, NOT_ITERABLE);
    const struct vlist *l    = tmpl_elems(r, v);
    struct val          seen = tmpl_dict_new(r, V_DICT), list = tmpl_list_new(r, V_LIST, 0);

    for (size_t i = 0; i < l->n && tmpl_step(r, 1); i++) {
        struct val key =
            fold(r, attr_path(r, l->v[i], a->pos[1], VAL_MISSING), tmpl_truth(r, a->pos[0]));
        if (r->failed || tmpl_dict_get(r, seen, key).kind != V_MISSING) continue;
        tmpl_dict_put(r, seen, key, VAL_NONE);
        tmpl_list_put(r, list, l->v[i]);
    }
    return iter_of(list);
}

static struct val f_groupby(struct run *r, struct val v, struct args *a)
{
    const struct vlist *l   = tmpl_elems(r, v);
    struct keyed       *k   = tmpl_alloc(r, l->n + 1, sizeof *k);
    struct val          out = tmpl_list_new(r, V_LIST, 0);
    bool                cs  = tmpl_truth(r, a->pos[2]);

    for (size_t i = 0; k && i < l->n && tmpl_step(r, 1); i++)
        k[i] = (struct keyed){ l->v[i], fold(r, attr_path(r, l->v[i], a->pos[0], a->pos[1]), cs) };
    if (r->failed || !k) return VAL_NONE;
    sort_keyed(r, k, l->n, false, false);
    for (size_t i = 0; i < l->n && !r->failed;) {
        struct val group = tmpl_list_new(r, V_LIST, 0);
        size_t     first = i;
        for (; i < l->n && !r->failed && (i == first || tmpl_eq(r, k[first].key, k[i].key)); i++)
            tmpl_list_put(r, group, k[i].v);
        struct val name = cs ? k[first].key : attr_path(r, k[first].v, a->pos[0], a->pos[1]);
        struct val pair = tmpl_tuple2(r, name, group);
        if (r->failed) break;
        pair.u.l->group = true;
        tmpl_list_put(r, out, pair);
    }
    return out;
}

static struct val f_reverse(struct run *r, struct val v, struct args *a)
{
    (void)a;
    if (v.kind == V_STR) return tmpl_slice(r, v, VAL_MISSING, VAL_MISSING, tmpl_int(-1));
    bool                generator = v.kind == V_ITER;
    const struct vlist *l         = tmpl_elems(r, v);
    struct val          list      = tmpl_list_new(r, V_LIST, l->n);
    for (size_t i = l->n; i-- > 0 && !r->failed;) tmpl_list_put(r, list, l->v[i]);
    return generator ? list : iter_of(list);
}

/* --- picking --- */

static struct val f_first(struct run *r, struct val v, struct args *a)
{
    (void)a;
    if (v.kind == V_ITER) {
        struct vlist *l = v.u.l;
        if (l->late) return tmpl_fail(r, "%s", l->late);
        return l->at < l->n ? l->v[l->at++]
                            : tmpl_undef_hint(r, "No first item, sequence was empty.");
    }
    if (v.kind == V_STR && v.u.s->text.n > 0)
        return tmpl_str_markup(r, tmpl_str_sub(r, v.u.s, 0, tmpl_char_len(v.u.s->text)), false);
    const struct vlist *l = tmpl_elems(r, v);
    if (r->failed) return VAL_NONE;
    return l->n ? l->v[0] : tmpl_undef_hint(r, "No first item, sequence was empty.");
}

static struct val f_last(struct run *r, struct val v, struct args *a)
{
    (void)a;
    if (v.kind == V_ITER) return tmpl_fail(r, "'generator' object is not reversible");
    const struct vlist *l = tmpl_elems(r, v);
    if (r->failed) return VAL_NONE;
    return l->n ? l->v[l->n - 1] : tmpl_undef_hint(r, "No last item, sequence was empty.");
}

static struct val f_list(struct run *r, struct val v, struct args *a)
{
    (void)a;
    const struct vlist *l = tmpl_elems(r, v);
    return r->failed ? VAL_NONE : copy_list(r, l);
}

static struct val f_items(struct run *r, struct val v, struct args *a)
{
    (void)a;
    struct val list = tmpl_list_new(r, V_LIST, 0);
    if (v.kind == V_UNDEF) return iter_of(list);
    if (v.kind != V_DICT) return late_failure(r, "Can only get item pairs from a mapping.");
    for (size_t i = 0; i < v.u.d->n && !r->failed; i++)
        tmpl_list_put(r, list, tmpl_tuple2(r, v.u.d->e[i].key, v.u.d->e[i].v));
    return iter_of(list);
}

static struct val f_join(struct run *r, struct val v, struct args *a)
{
    struct val sep = a->pos[0].kind == V_MISSING ? tmpl_str_c(r, "") : tmpl_str(r, a->pos[0]);
    const struct vlist *l   = tmpl_elems(r, v);

    if (r->failed) return VAL_NONE;
    if (given(a->pos[1])) {
        struct val list = tmpl_list_new(r, V_LIST, l->n);
        for (size_t i = 0; i < l->n && !r->failed; i++)
            tmpl_list_put(r, list, attr_path(r, l->v[i], a->pos[1], VAL_MISSING));
        l = list.u.l;
    }
    return r->failed ? VAL_NONE : tmpl_join(r, sep.u.s, l, true);
}

static struct val f_sum(struct run *r, struct val v, struct args *a)
{
    const struct vlist *l   = tmpl_elems(r, v);
    struct val          sum = a->pos[1].kind == V_MISSING ? tmpl_int(0) : a->pos[1];

    if (sum.kind == V_STR)
        return tmpl_fail(r, "sum() can't sum strings [use ''.join(seq) instead]");
    for (size_t i = 0; i < l->n && tmpl_step(r, 1); i++)
        sum = tmpl_binary(r, OP_ADD, sum, attr_path(r, l->v[i], a->pos[0], VAL_MISSING));
    return r->failed ? VAL_NONE : sum;
}

static bool count_arg(struct run *r, struct val v, int64_t *ret)
{
    *ret = tmpl_is_int(v) ? tmpl_as_int(v) : 0;
    if (*ret > 0) return true;
    tmpl_fail(r, "a positive number of pieces is wanted");
    return false;
}

static struct val f_batch(struct run *r, struct val v, struct args *a)
{
    if (!tmpl_iterable(v)) return late_failure(r, NOT_ITERABLE);
    const struct vlist *l   = tmpl_elems(r, v);
    struct val          out = tmpl_list_new(r, V_LIST, 0), row = VAL_MISSING;
    int64_t             n;

    if (!count_arg(r, a->pos[0], &n)) return VAL_NONE;
    for (size_t i = 0; i < l->n && !r->failed; i++) {
        if (row.kind == V_MISSING || row.u.l->n == (size_t)n) {
            row = tmpl_list_new(r, V_LIST, 0);
            tmpl_list_put(r, out, row);
        }
        tmpl_list_put(r, row, l->v[i]);
    }
    if (row.kind == V_LIST && given(a->pos[1]))
        while (!r->failed && row.u.l->n < (size_t)n) tmpl_list_put(r, row, a->pos[1]);
    return iter_of(out);
}

static struct val f_slice(struct run *r, struct val v, struct args *a)
{
    if (!tmpl_iterable(v)) return late_failure(r, NOT_ITERABLE);
    const struct vlist *l   = tmpl_elems(r, v);
    struct val          out = tmpl_list_new(r, V_LIST, 0);
    int64_t             n;

    if (!count_arg(r, a->pos[0], &n)) return VAL_NONE;
    size_t each = l->n / (size_t)n, extra = l->n % (size_t)n, at = 0;
    for (size_t i = 0; i < (size_t)n && !r->failed; i++) {
        struct val row = tmpl_list_new(r, V_LIST, 0);
        for (size_t end = at + each + (i < extra); at < end && !r->failed; at++)
            tmpl_list_put(r, row, l->v[at]);
        if (given(a->pos[1]) && i >= extra) tmpl_list_put(r, row, a->pos[1]);
        tmpl_list_put(r, out, row);
    }
    return iter_of(out);
}

/* --- a filter or test for each --- */

static struct args args_from(const struct args *a, int from)
{
    struct args rest = *a;

    rest.pos += from;
    rest.n_pos -= from;
    return rest;
}

static struct val f_map(struct run *r, struct val v, struct args *a)
{
    struct val list = tmpl_list_new(r, V_LIST, 0), attr = VAL_MISSING, def = VAL_MISSING;

    if (!tmpl_truth(r, v)) return iter_of(list);
    if (!tmpl_iterable(v)) return late_failure(r, NOT_ITERABLE);
    if (a->n_pos == 0) {
        for (int i = 0; i < a->n_kw; i++) {
            if (str_eq(a->kw[i].name, STR("attribute"))) attr = a->kw[i].v;
            else if (str_eq(a->kw[i].name, STR("default"))) def = a->kw[i].v;
            else return tmpl_fail(r, "map: unexpected keyword argument");
        }
        if (attr.kind == V_MISSING) return tmpl_fail(r, "map requires a filter argument");
    } else if (a->pos[0].kind != V_STR) {
        return tmpl_fail(r, "map: the name of a filter is wanted");
    }
    const struct vlist *l = tmpl_elems(r, v);
    for (size_t i = 0; i < l->n && tmpl_step(r, 1); i++) {
        struct args rest = args_from(a, a->n_pos > 0);
        struct val  item = attr.kind != V_MISSING
                               ? attr_path(r, l->v[i], attr, def)
                               : tmpl_call_filter(r, a->pos[0].u.s->text, l->v[i], &rest);
        tmpl_list_put(r, list, item);
    }
    return iter_of(list);
}

static struct val pick(struct run *r, struct val v, struct args *a, bool by_attr, bool want)
{
    struct val list = tmpl_list_new(r, V_LIST, 0);
    int        off  = by_attr;

    if (!tmpl_truth(r, v)) return iter_of(list);
    if (!tmpl_iterable(v)) return late_failure(r, NOT_ITERABLE);
    if (a->n_pos < off) return tmpl_fail(r, "Missing parameter for attribute name");
    if (a->n_pos > off && a->pos[off].kind != V_STR)
        return tmpl_fail(r, "the name of a test is wanted");
    const struct vlist *l = tmpl_elems(r, v);
    for (size_t i = 0; i < l->n && tmpl_step(r, 1); i++) {
        struct val  item = by_attr ? attr_path(r, l->v[i], a->pos[0], VAL_MISSING) : l->v[i];
        struct args rest = args_from(a, a->n_pos > off ? off + 1 : a->n_pos);
        if (a->n_pos > off) item = tmpl_call_test(r, a->pos[off].u.s->text, item, &rest);
        if (!r->failed && tmpl_truth(r, item) == want) tmpl_list_put(r, list, l->v[i]);
    }
    return iter_of(list);
}

static struct val f_select(struct run *r, struct val v, struct args *a)
{
    return pick(r, v, a, false, true);
}

static struct val f_reject(struct run *r, struct val v, struct args *a)
{
    return pick(r, v, a, false, false);
}

static struct val f_selectattr(struct run *r, struct val v, struct args *a)
{
    return pick(r, v, a, true, true);
}

static struct val f_rejectattr(struct run *r, struct val v, struct args *a)
{
    return pick(r, v, a, true, false);
}

static const struct fn seq_filters[] = {
    { "batch", f_batch, "linecount,fill_with", 1 },
    { "dictsort", f_dictsort, "case_sensitive,by,reverse", 0 },
    { "first", f_first, "", 0 },
    { "groupby", f_groupby, "attribute,default,case_sensitive", 1 },
    { "items", f_items, "", 0 },
    { "join", f_join, "d,attribute", 0 },
    { "last", f_last, "", 0 },
    { "list", f_list, "", 0 },
    { "map", f_map, NULL, 0 },
    { "max", f_max, "case_sensitive,attribute", 0 },
    { "min", f_min, "case_sensitive,attribute", 0 },
    { "reject", f_reject, NULL, 0 },
    { "rejectattr", f_rejectattr, NULL, 0 },
    { "reverse", f_reverse, "", 0 },
    { "select", f_select, NULL, 0 },
    { "selectattr", f_selectattr, NULL, 0 },
    { "slice", f_slice, "slices,fill_with", 1 },
    { "sort", f_sort, "reverse,case_sensitive,attribute", 0 },
    { "sum", f_sum, "attribute,start", 0 },
    { "unique", f_unique, "case_sensitive,attribute", 0 },
};

const struct fn *tmpl_seq_filters(size_t *n)
{
    *n = ARRAY_LEN(seq_filters);
    return seq_filters;
}
