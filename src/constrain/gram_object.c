/* gram_object.c - objects of a schema: members in declared order, the optional ones left out or not.
 *
 * Two rules for each place in that order, by whether a member has been written:
 *     none(i) = member(i) some(i + 1)      or none(i + 1) where member i is optional
 *     some(i) = "," member(i) some(i + 1)  or some(i + 1)
 */
#include <stdlib.h>
#include <string.h>

#include "constrain/view_int.h"

struct member {
    struct str        key;
    struct gram_node *node; // key, colon and value
    bool              required;
};

struct members {
    struct member *v;
    int            n, cap;
};

static int find(const struct members *m, struct str key)
{
    for (int i = 0; i < m->n; i++)
        if (str_eq(m->v[i].key, key)) return i;
    return -1;
}

static struct member *add(struct schema *s, struct members *m, struct str key)
{
    int i = find(m, key);

    if (i >= 0) return &m->v[i];
    if (m->n == LIM_CONSTRAIN_MEMBERS) {
        gram_fail(s->g, ERR_INVALID_VALUE, "an object has more than %d properties", LIM_CONSTRAIN_MEMBERS);
        return NULL;
    }
    if (m->n == m->cap) {
        int            cap  = m->cap ? m->cap * 2 : 16;
        struct member *more = arena_array(s->g->a, (size_t)cap, sizeof *more);
        if (!more) {
            gram_fail(s->g, ERR_NO_MEMORY, "out of memory while reading a schema");
            return NULL;
        }
        if (m->n) memcpy(more, m->v, (size_t)m->n * sizeof *more);
        m->v   = more;
        m->cap = cap;
    }
    m->v[m->n] = (struct member){ .key = key };
    return &m->v[m->n++];
}

/* Names from all parts, in the order of their first appearance. */
static void names(struct schema *s, const struct view *v, struct members *m)
{
    for (int i = 0; i < v->n; i++) {
        const struct json *p = json_get(v->part[i].s, "properties");
        if (p && json_kind(p) != JSON_T_OBJ)
            schema_fail(s, v->part[i].path, "\"properties\" must be an object");
        for (struct json_it it = json_it(p); s->g->rc == 0 && json_next(&it);) add(s, m, it.key);
    }
    for (int i = 0; i < v->n; i++) {
        const struct json *r = json_get(v->part[i].s, "required");
        if (json_kind(r) == JSON_T_BOOL) continue; // draft 3 had it inside the property
        if (r && json_kind(r) != JSON_T_ARR) schema_fail(s, v->part[i].path, "\"required\" must be an array");
        for (size_t k = 0; k < json_len(r) && s->g->rc == 0; k++) {
            if (json_kind(json_at(r, k)) != JSON_T_STR) {
                schema_fail(s, v->part[i].path, "\"required\" must be an array of names");
                break;
            }
            struct member *x = add(s, m, json_str(json_at(r, k)));
            if (x) x->required = true;
        }
    }
}

/* What a part says of members it does not name, or NULL. */
static const struct json *additional(const struct view_part *p, const char **key)
{
    const struct json *a = json_get(p->s, *key = "additionalProperties");

    return a ? a : json_get(p->s, *key = "unevaluatedProperties");
}

/* Everything that applies to a member. */
static void member_view(struct schema *s, const struct view *v, struct str key, struct view *ret)
{
    *ret = (struct view){ 0 };
    for (int i = 0; i < v->n && s->g->rc == 0; i++) {
        const struct view_part *p = &v->part[i];
        const struct json      *x     = json_get_str(json_get(p->s, "properties"), key),
                          *patterns   = json_get(p->s, "patternProperties");
        bool                    named = x != NULL;
        if (x) view_add(s, ret, x, schema_path(s, schema_path(s, p->path, STR("properties")), key), 0);
        for (struct json_it it = json_it(patterns); s->g->rc == 0 && json_next(&it);) {
            int hit = gram_regex_test(it.key, key);
            if (hit < 0)
                schema_cannot(s, p->path, "a regular expression of \"patternProperties\" is not supported");
            if (hit <= 0) continue;
            named = true;
            view_add(s, ret, it.val,
                     schema_path(s, schema_path(s, p->path, STR("patternProperties")), it.key), 0);
        }
        const char        *word;
        const struct json *rest = additional(p, &word);
        if (!named && rest) view_add(s, ret, rest, schema_path(s, p->path, str_c(word)), 0);
    }
}

/* --- members that are not named --- */

static int by_name(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static struct gram_node *pair(struct schema *s, struct gram_node *key, const struct view *value)
{
    return GRAM_SEQ(s->g, key, gram_z(s->g, ":"), gram_sp(s->g), view_value(s, value));
}

/* The one pattern, where its names cannot be declared ones; else NULL: then there are no such members. */
static struct gram_node *by_pattern(struct schema *s, const struct view *v, const struct members *m,
                                    int n_pattern)
{
    struct view        one  = { 0 };
    struct str         re   = STR_NULL;
    struct gram_regex_opt o = { .json = true, .n_max = GRAM_INF };

    for (int i = 0; i < v->n; i++) {
        const struct json *p = json_get(v->part[i].s, "patternProperties");
        const char        *word;
        const struct json *rest = additional(&v->part[i], &word);
        if (json_len(p) == 0 && rest) view_add(s, &one, rest, schema_path(s, v->part[i].path, str_c(word)), 0);
        for (struct json_it it = json_it(p); s->g->rc == 0 && json_next(&it);) {
            re = it.key;
            view_add(s, &one, it.val,
                     schema_path(s, schema_path(s, v->part[i].path, STR("patternProperties")), it.key), 0);
        }
    }
    if (n_pattern > 1) {
        schema_cannot(s, v->part[0].path, "more than one pattern in \"patternProperties\" is not supported");
        return NULL;
    }
    for (int i = 0; i < m->n; i++)
        if (gram_regex_test(re, m->v[i].key) != 0) return NULL;
    if (one.never) return NULL;
    struct gram_node *key = gram_regex(s->g, re, &o);
    return pair(s, GRAM_SEQ(s->g, gram_z(s->g, "\""), key, gram_z(s->g, "\"")), &one);
}

static struct gram_node *extra(struct schema *s, const struct view *v, const struct members *m)
{
    struct view one       = { 0 };
    int         n_pattern = 0;
    bool        said      = false, declared = false;

    for (int i = 0; i < v->n; i++) {
        const char        *word;
        const struct json *a = additional(&v->part[i], &word);
        n_pattern += (int)json_len(json_get(v->part[i].s, "patternProperties"));
        declared |= json_get(v->part[i].s, "properties") != NULL;
        if (!a) continue;
        said |= json_kind(a) != JSON_T_BOOL || json_bool(a);
        view_add(s, &one, a, schema_path(s, v->part[i].path, str_c(word)), 0);
    }
    if (s->g->rc < 0) return NULL;
    if (n_pattern) return by_pattern(s, v, m, n_pattern);
    if (one.never || (!said && declared && !s->o->open)) return NULL;

    struct str *name = arena_array(s->g->a, (size_t)m->n + 1, sizeof *name);
    if (!name) return gram_fail(s->g, ERR_NO_MEMORY, "out of memory while reading a schema");
    for (int i = 0; i < m->n; i++) name[i] = m->v[i].key;
    if (m->n) qsort(name, (size_t)m->n, sizeof *name, by_name);
    return pair(s, gram_json_key_not(s->g, name, m->n), &one);
}

/* --- the whole --- */

static struct gram_node *as_rule(struct gram *g, struct gram_node *x)
{
    if (!x || x->kind == GRAM_RULE || (x->kind == GRAM_LIT && x->lit.n == 0)) return x;
    int rule = gram_rule_new(g);
    gram_rule_set(g, rule, x);
    return gram_rule(g, rule);
}

static struct gram_node *in_order(struct schema *s, const struct members *m, struct gram_node *more,
                                  int64_t min, int64_t max)
{
    struct gram      *g     = s->g;
    struct gram_node *comma = GRAM_SEQ(g, gram_z(g, ","), gram_sp(g)), *some, *none;
    int               first = 0; // the first that must be there: none(i) is wanted up to it

    if (m->n == 0 && more) {
        struct gram_node *rest = gram_rep(g, GRAM_SEQ(g, comma, more), min > 0 ? (int)min - 1 : 0,
                                          max < 0 ? GRAM_INF : (int)max - 1);
        if (max == 0) return gram_empty(g);
        rest = GRAM_SEQ(g, more, rest);
        return min > 0 ? rest : GRAM_OPT(g, rest);
    }
    more = as_rule(g, more);
    while (first < m->n && !m->v[first].required) first++;
    some = more ? gram_rep(g, GRAM_SEQ(g, comma, more), 0, GRAM_INF) : gram_empty(g);
    none = more ? GRAM_SEQ(g, more, some) : gram_empty(g);
    if (more && min <= 0) none = GRAM_OPT(g, none);
    if (!more && min > 0) none = gram_never(g);
    for (int i = m->n - 1; i >= 0 && g->rc == 0; i--) {
        const struct member *x    = &m->v[i];
        struct gram_node    *next = as_rule(g, some);
        some = GRAM_SEQ(g, comma, x->node, next);
        if (!x->required) some = GRAM_ALT(g, some, next);
        if (i > first) continue;
        none = x->required ? GRAM_SEQ(g, x->node, next) : GRAM_ALT(g, GRAM_SEQ(g, x->node, next), none);
    }
    return none;
}

struct gram_node *view_object(struct schema *s, const struct view *v)
{
    struct members m   = { 0 };
    int64_t min = view_count(s, v, "minProperties", true), max = view_count(s, v, "maxProperties", false);
    int            n_required = 0, n = 0;

    names(s, v, &m);
    struct member *there_v = arena_array(s->g->a, (size_t)m.n + 1, sizeof *there_v);
    if (!there_v) return gram_fail(s->g, ERR_NO_MEMORY, "out of memory while reading a schema");
    for (int i = 0; i < m.n && s->g->rc == 0; i++) {
        struct view one;
        member_view(s, v, m.v[i].key, &one);
        if (one.never && !m.v[i].required) continue; // never there
        there_v[n]      = m.v[i];
        there_v[n].node = GRAM_SEQ(s->g, gram_json_text(s->g, m.v[i].key), gram_z(s->g, ":"), gram_sp(s->g),
                                   view_value(s, &one));
        n_required += there_v[n++].required;
    }
    struct members there = { there_v, n, n };
    struct gram_node *more = s->g->rc < 0 ? NULL : extra(s, v, &m);
    if (s->g->rc < 0) return NULL;
    if (n > 0 && (min > n_required && min > 1))
        schema_cannot(s, v->part[0].path,
                      "\"minProperties\" is supported up to 1, or without \"properties\"");
    if (n > 0 && max >= 0 && (more || max < n))
        schema_cannot(s, v->part[0].path, "\"maxProperties\" is supported only without \"properties\"");
    struct gram_node *body = in_order(s, &there, more, min, max);
    return GRAM_SEQ(s->g, gram_z(s->g, "{"), gram_sp(s->g), body, gram_sp(s->g), gram_z(s->g, "}"));
}
