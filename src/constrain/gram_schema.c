/* gram_schema.c - JSON Schema (draft 2020-12, and what draft 7 writes otherwise) to a grammar.
 *
 * Everything that applies to a value is a view (view_int.h); each view becomes a rule, once, so schemas may
 * refer to themselves. Members come in the order in which `properties` declares them. What this grammar
 * accepts, the schema accepts; not the other way round:
 *   - objects have only declared members unless additionalProperties says that others may come, or nothing
 *     is declared (gram_schema_opt.open asks for the standard's reading);
 *   - a schema without `type` is about the type that its keywords are about;
 *   - a branch of oneOf leaves out a member that another branch asks for, unless the two are told apart
 *     otherwise; branches that no look at types, constants and required members tells apart are held as anyOf;
 *   - numbers with bounds are written without an exponent.
 * What cannot be held (gram_view.c lists the keywords) is refused by name and place.
 */
#include <math.h>
#include <string.h>

#include "constrain/view_int.h"

/* A view that has a rule. */
struct view_memo {
    uint64_t                hash;
    const struct view_part *part; // [n]
    int                     n, rule;
};

static uint64_t view_hash(const struct view *v)
{
    uint64_t h = (uint64_t)v->n;

    for (int i = 0; i < v->n; i++) h = (h ^ (uintptr_t)v->part[i].s ^ v->part[i].done) * 0x9E3779B97F4A7C15u;
    return h;
}

static bool same_view(const struct view_memo *m, const struct view *v)
{
    if (m->n != v->n) return false;
    for (int i = 0; i < m->n; i++)
        if (m->part[i].s != v->part[i].s || m->part[i].done != v->part[i].done) return false;
    return true;
}

/* --- numbers --- */

struct bound {
    const struct json *v;
    bool               open;
};

/* The tighter of two: sign 1 for lower bounds, -1 for upper ones. */
static void tighten(struct bound *b, const struct json *v, bool open, int sign)
{
    double x = sign * json_num(v), y = b->v ? sign * json_num(b->v) : -INFINITY;

    if (!b->v || x > y) *b = (struct bound){ v, open };
    else if (x == y) b->open |= open;
}

static void bounds(const struct view *v, const char *key, const char *open_key, int sign, struct bound *b)
{
    for (int i = 0; i < v->n; i++) {
        const struct json *x = json_get(v->part[i].s, key), *o = json_get(v->part[i].s, open_key);
        if (json_kind(x) == JSON_T_INT || json_kind(x) == JSON_T_REAL) tighten(b, x, json_bool(o), sign);
        if (json_kind(o) == JSON_T_INT || json_kind(o) == JSON_T_REAL) tighten(b, o, true, sign);
    }
}

static struct str bound_text(struct schema *s, const struct bound *b)
{
    struct buf t;
    struct str ret;

    if (!b->v) return STR_NULL;
    buf_init(&t, 512);
    json_write(&t, b->v, JSON_TIGHT);
    ret = t.failed ? STR_NULL : arena_str(s->g->a, buf_text(&t));
    buf_release(&t);
    if (!ret.p) gram_fail(s->g, ERR_NO_MEMORY, "out of memory while reading a schema");
    return ret;
}

/* 1, 0.1, 0.01 ...: how many digits behind the point; -1: another number. */
static int step_digits(double step)
{
    double p = 1;

    for (int k = 0; k <= 15; k++, p *= 10)
        if (fabs(step * p - 1) < 1e-9) return k;
    return -1;
}

static struct gram_node *number(struct schema *s, const struct view *v, bool integer)
{
    struct bound    lo = { 0 }, hi = { 0 };
    struct gram_num r  = { .integer = integer, .n_frac = GRAM_INF };

    bounds(v, "minimum", "exclusiveMinimum", 1, &lo);
    bounds(v, "maximum", "exclusiveMaximum", -1, &hi);
    for (int i = 0; i < v->n; i++) {
        const struct json *m = json_get(v->part[i].s, "multipleOf");
        if (!m) continue;
        int k = step_digits(json_num(m));
        if (k < 0 || (k > 0 && integer))
            schema_cannot(s, v->part[i].path, "\"multipleOf\" is supported for 1, 0.1, 0.01 and so on");
        else if (r.n_frac == GRAM_INF || k < r.n_frac) r.n_frac = k;
    }
    if (!lo.v && !hi.v && r.n_frac == GRAM_INF)
        return gram_json(s->g, integer ? SHARED_INTEGER : SHARED_NUMBER);
    r.lo      = bound_text(s, &lo);
    r.hi      = bound_text(s, &hi);
    r.lo_open = lo.open;
    r.hi_open = hi.open;
    return gram_num(s->g, &r);
}

/* --- strings --- */

static struct gram_node *quoted(struct gram *g, struct gram_node *x)
{
    return GRAM_SEQ(g, gram_z(g, "\""), x, gram_z(g, "\""));
}

static struct gram_node *string(struct schema *s, const struct view *v)
{
    int64_t           min = view_count(s, v, "minLength", true), max = view_count(s, v, "maxLength", false);
    struct str        pattern = STR_NULL;
    const char       *format  = NULL;
    struct gram_node *x;

    for (int i = 0; i < v->n; i++) {
        const struct json *p = json_get(v->part[i].s, "pattern"), *f = json_get(v->part[i].s, "format");
        if (p && json_kind(p) != JSON_T_STR) schema_fail(s, v->part[i].path, "\"pattern\" must be a string");
        else if (p && pattern.p && !str_eq(pattern, json_str(p)))
            schema_cannot(s, v->part[i].path, "two patterns for one string are not supported");
        else if (p) pattern = json_str(p);
        if (f && gram_format(json_str(f))) format = gram_format(json_str(f));
    }
    if (max >= 0 && max < min) return gram_never(s->g);
    struct gram_regex_opt o = { .json  = true,
                                .n_min = min > 0 ? (int)min : 0,
                                .n_max = max >= 0 ? (int)max : GRAM_INF };
    if (pattern.p && s->g->rc == 0) {
        o.soft = s->o->loose;
        x      = gram_regex(s->g, pattern, &o);
        if (x) return quoted(s->g, x);
        if (s->o->loose && s->g->rc != -ERR_NO_MEMORY) { // whatever the pattern is, it is left free
            s->g->rc = 0;
        } else {
            char why[ERR_MSG_MAX];
            str_copy_z(why, sizeof why, str_c(s->g->e->msg));
            if (s->g->rc != -ERR_NO_MEMORY) s->g->rc = 0;
            schema_fail(s, v->part[0].path, "%s", why);
            return NULL;
        }
    } else if (format) { // an annotation by the standard: it gives way to a length
        o.soft = true;
        x      = gram_regex(s->g, str_c(format), &o);
        if (x) return quoted(s->g, x);
    }
    if (min <= 0 && max < 0) return gram_json(s->g, SHARED_STRING);
    return gram_json_string(s->g, o.n_min, o.n_max);
}

/* --- arrays --- */

/* What applies to element i, or to those behind all that are named (i == n_prefix of the view). */
static void element(struct schema *s, const struct view *v, size_t i, struct view *ret)
{
    char name[24];

    *ret = (struct view){ 0 };
    snprintf(name, sizeof name, "%zu", i);
    for (int k = 0; k < v->n; k++) {
        const struct json *x = v->part[k].s, *items = json_get(x, "items"),
                          *prefix   = json_get(x, "prefixItems");
        const struct view_path *at = v->part[k].path;
        const char             *key = "items", *list = "prefixItems";
        if (json_kind(items) == JSON_T_ARR) { // draft 7
            prefix = items;
            list   = "items";
            key    = "additionalItems";
            items  = json_get(x, key);
        }
        if (!items) items = json_get(x, key = "unevaluatedItems");
        if (i < json_len(prefix))
            view_add(s, ret, json_at(prefix, i), schema_path(s, schema_path(s, at, str_c(list)), str_c(name)),
                     0);
        else if (items) view_add(s, ret, items, schema_path(s, at, str_c(key)), 0);
    }
}

static struct gram_node *array(struct schema *s, const struct view *v)
{
    int64_t          min = view_count(s, v, "minItems", true), max = view_count(s, v, "maxItems", false);
    struct gram_list head = { 0 };
    size_t           n    = 0;
    struct view      rest;
    bool             counted = min > 0 || max >= 0, items = false;

    for (int k = 0; k < v->n; k++) {
        const struct json *x = v->part[k].s, *prefix = json_get(x, "prefixItems");
        if (json_kind(json_get(x, "items")) == JSON_T_ARR) prefix = json_get(x, "items");
        if (json_len(prefix) > n) n = json_len(prefix);
        items |= json_get(x, "items") || prefix || json_get(x, "unevaluatedItems");
        if (json_bool(json_get(x, "uniqueItems")) && !(max >= 0 && max <= 1))
            schema_cannot(s, v->part[k].path, "the keyword \"uniqueItems\" is not supported");
    }
    if (s->g->rc < 0) return NULL;
    if (!counted && !items) return gram_json(s->g, SHARED_ARRAY);
    for (size_t i = 0; i < n && s->g->rc == 0; i++) {
        struct view one;
        element(s, v, i, &one);
        if (one.never) { // the array ends before it
            if (max < 0 || (int64_t)i < max) max = (int64_t)i;
            break;
        }
        gram_push(s->g, &head, view_value(s, &one));
    }
    element(s, v, n, &rest);
    struct gram_node *more = rest.never ? NULL : view_value(s, &rest);
    if (s->g->rc < 0) return NULL;
    if (max >= 0 && max < min) return gram_never(s->g);
    return gram_json_list(s->g, head.v, head.n, 0, more, min > 0 ? (int)min : 0,
                          max >= 0 ? (int)max : GRAM_INF);
}

/* --- any value --- */

static struct gram_node *constants(struct schema *s, const struct view *v)
{
    struct gram_list   l = { 0 };
    const struct json *list = NULL, *one = NULL;

    for (int i = 0; i < v->n; i++) {
        const struct json *x = json_get(v->part[i].s, "enum");
        if (x && json_kind(x) != JSON_T_ARR) schema_fail(s, v->part[i].path, "\"enum\" must be an array");
        if (x && json_len(x) > LIM_CONSTRAIN_ENUM)
            schema_fail(s, v->part[i].path, "\"enum\" has %zu values, the limit is %d", json_len(x),
                        LIM_CONSTRAIN_ENUM);
        if (x && !list) list = x;
        if (!one) one = json_get(v->part[i].s, "const");
    }
    if (s->g->rc < 0) return NULL;
    if (one) return view_fits(v, one, NULL) ? gram_json_const(s->g, one, 0) : gram_never(s->g);
    for (size_t i = 0; i < json_len(list) && s->g->rc == 0; i++)
        if (view_fits(v, json_at(list, i), list))
            gram_push(s->g, &l, gram_json_const(s->g, json_at(list, i), 0));
    return s->g->rc < 0 ? NULL : gram_words(s->g, l.v, l.n);
}

static bool has(const struct view *v, const char *key)
{
    for (int i = 0; i < v->n; i++)
        if (json_get(v->part[i].s, key)) return true;
    return false;
}

/* Branch i of oneOf is taken: the others must not hold. True: this branch never holds alone. */
static bool only_one(struct schema *s, struct view *w, const struct json *list, size_t i)
{
    const struct json *own = json_at(list, i);

    for (size_t j = 0; j < json_len(list) && s->g->rc == 0; j++) {
        const struct json *other = json_at(list, j), *r = json_get(other, "required");
        size_t             k     = 0, n = json_len(r);
        if (j == i || n == 0 || view_disjoint(own, other)) continue;
        for (; k < n; k++) { // a member that only the other one asks for
            bool both = false;
            for (size_t m = 0; m < json_len(json_get(own, "required")); m++)
                both |= str_eq(json_str(json_at(json_get(own, "required"), m)), json_str(json_at(r, k)));
            if (!both) break;
        }
        if (k < n) view_forbid(s, w, json_str(json_at(r, k)));
        else if (json_len(other) == 1) return true; // whatever fits here fits there
    }
    return false;
}

/* The first part with a choice that was not made yet: its branches, each with all the other parts. */
static bool branches(struct schema *s, const struct view *v, struct gram_node **ret)
{
    static const struct {
        const char *key;
        unsigned    done;
    } rows[] = { { "anyOf", VIEW_ANY }, { "oneOf", VIEW_ONE } };

    for (int i = 0; i < v->n; i++)
        for (int k = 0; k < 2; k++) {
            const struct json *list = json_get(v->part[i].s, rows[k].key);
            struct gram_list   l    = { 0 };
            if (!list || v->part[i].done & rows[k].done) continue;
            const struct view_path *at = schema_path(s, v->part[i].path, str_c(rows[k].key));
            if (json_kind(list) != JSON_T_ARR || json_len(list) == 0)
                schema_fail(s, at, "this must be an array with a schema in it");
            for (size_t j = 0; j < json_len(list) && s->g->rc == 0; j++) {
                struct view w = *v;
                char        name[24];
                snprintf(name, sizeof name, "%zu", j);
                w.part[i].done |= rows[k].done;
                view_add(s, &w, json_at(list, j), schema_path(s, at, str_c(name)), 0);
                if (k == 1 && only_one(s, &w, list, j)) continue;
                if (!w.never) gram_push(s->g, &l, view_value(s, &w));
            }
            *ret = gram_alt(s->g, l.v, l.n);
            return true;
        }
    return false;
}

static struct gram_node *value(struct schema *s, struct view *v)
{
    struct gram_list  l = { 0 };
    struct gram_node *x;

    view_flatten(s, v);
    if (s->g->rc < 0) return NULL;
    if (v->never) return gram_never(s->g);
    if (branches(s, v, &x)) return x;
    if (has(v, "enum") || has(v, "const")) return constants(s, v);
    unsigned types = view_types(s, v);
    if (s->g->rc < 0) return NULL;
    if (types & TYPE_OBJ) gram_push(s->g, &l, view_object(s, v));
    if (types & TYPE_ARR) gram_push(s->g, &l, array(s, v));
    if (types & TYPE_STR) gram_push(s->g, &l, string(s, v));
    if (types & (TYPE_INT | TYPE_REAL)) gram_push(s->g, &l, number(s, v, !(types & TYPE_REAL)));
    if (types & TYPE_BOOL) gram_push(s->g, &l, GRAM_ALT(s->g, gram_z(s->g, "true"), gram_z(s->g, "false")));
    if (types & TYPE_NULL) gram_push(s->g, &l, gram_z(s->g, "null"));
    return s->g->rc < 0 ? NULL : gram_alt(s->g, l.v, l.n);
}

static struct gram_node *nomem(struct schema *s)
{
    return gram_fail(s->g, ERR_NO_MEMORY, "out of memory while reading a schema");
}

/* The rule is there at once, its tree comes later (gram_schema): so nothing here is a recursion. */
struct gram_node *view_value(struct schema *s, const struct view *v)
{
    uint64_t hash = view_hash(v);

    if (s->g->rc < 0) return NULL;
    if (v->never) return gram_never(s->g);
    if (v->n == 0) return gram_json(s->g, SHARED_VALUE);
    for (int i = 0; i < s->n_memo; i++)
        if (s->memo[i].hash == hash && same_view(&s->memo[i], v)) return gram_rule(s->g, s->memo[i].rule);
    if (s->n_memo == LIM_CONSTRAIN_VIEWS) {
        schema_fail(s, v->part[0].path, "there are more than %d schemas and combinations of them",
                    LIM_CONSTRAIN_VIEWS);
        return NULL;
    }
    if (s->n_memo == s->cap_memo) {
        int               cap  = s->cap_memo ? s->cap_memo * 2 : 16;
        struct view_memo *more = arena_array(s->g->a, (size_t)cap, sizeof *more);
        if (!more) return nomem(s);
        if (s->n_memo) memcpy(more, s->memo, (size_t)s->n_memo * sizeof *more);
        s->memo     = more;
        s->cap_memo = cap;
    }
    struct view_part *part = arena_array(s->g->a, (size_t)v->n, sizeof *part);
    int               rule = gram_rule_new(s->g);
    if (!part) return nomem(s);
    if (rule < 0) return NULL;
    memcpy(part, v->part, (size_t)v->n * sizeof *part);
    s->memo[s->n_memo++] = (struct view_memo){ hash, part, v->n, rule };
    return gram_rule(s->g, rule);
}

struct gram_node *gram_schema(struct gram *g, struct str text, const struct gram_schema_opt *o)
{
    struct schema           s = { .g = g, .o = o };
    const struct view_path *at;
    struct json_doc        *doc;
    struct view             v = { 0 };

    int rc = json_parse_any(text, NULL, &doc, g->e);
    if (rc < 0) {
        g->rc = rc;
        return NULL;
    }
    s.root = json_root(doc);
    at     = schema_path(&s, NULL, STR("#"));
    view_add(&s, &v, s.root, at, 0);
    struct gram_node *x = view_value(&s, &v);
    for (int i = 0; i < s.n_memo && g->rc == 0; i++) { // grows meanwhile
        struct view w = { .n = s.memo[i].n };
        int         rule = s.memo[i].rule;
        memcpy(w.part, s.memo[i].part, (size_t)w.n * sizeof *w.part);
        gram_rule_set(g, rule, value(&s, &w));
    }
    schema_release(&s);
    json_free(doc);
    return x;
}
