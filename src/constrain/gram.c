/* gram.c - trees of grammars: making nodes, sets of characters, rules. */
#include "constrain/gram_int.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CP_MAX 0x10FFFF

void gram_init(struct gram *g, struct arena *a, struct err *e)
{
    *g = (struct gram){ .a = a, .e = e };
    for (size_t i = 0; i < ARRAY_LEN(g->shared); i++) g->shared[i] = -1;
}

struct gram_node *gram_fail(struct gram *g, enum err_code code, const char *fmt, ...)
{
    va_list ap;

    if (g->rc < 0) return NULL;
    va_start(ap, fmt);
    g->rc = err_setv(g->e, code, fmt, ap);
    va_end(ap);
    return NULL;
}

static struct gram_node *nomem(struct gram *g)
{
    if (g->rc == 0) g->rc = err_nomem(g->e, "building a grammar");
    return NULL;
}

static struct gram_node *node(struct gram *g, enum gram_kind kind)
{
    if (g->rc < 0) return NULL;
    if (++g->n_node > LIM_CONSTRAIN_NODES)
        return gram_fail(g, ERR_INVALID_VALUE, "the grammar needs more than %d nodes", LIM_CONSTRAIN_NODES);
    struct gram_node *x = arena_zalloc(g->a, sizeof *x);
    if (!x) return nomem(g);
    x->kind = kind;
    return x;
}

struct gram_node *gram_never(struct gram *g)
{
    return node(g, GRAM_NEVER);
}

struct gram_node *gram_lit(struct gram *g, struct str bytes)
{
    struct gram_node *x = node(g, GRAM_LIT);

    if (!x) return NULL;
    /* a byte of a literal becomes an operation: it counts as a node */
    if (bytes.n > LIM_CONSTRAIN_NODES || (g->n_node += (int)bytes.n) > LIM_CONSTRAIN_NODES)
        return gram_fail(g, ERR_INVALID_VALUE, "the grammar needs more than %d nodes", LIM_CONSTRAIN_NODES);
    x->lit = arena_str(g->a, bytes);
    return x->lit.p ? x : nomem(g);
}

struct gram_node *gram_z(struct gram *g, const char *z)
{
    return gram_lit(g, str_c(z));
}

struct gram_node *gram_buf(struct gram *g, struct buf *b)
{
    struct gram_node *x = b->failed ? nomem(g) : gram_lit(g, b->n ? buf_text(b) : STR(""));

    buf_release(b);
    return x;
}

struct gram_node *gram_empty(struct gram *g)
{
    return gram_lit(g, STR(""));
}

/* --- sets of characters --- */

static int by_lo(const void *a, const void *b)
{
    const struct gram_range *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Sort and join in place; returns how many are left. */
static int normal(struct gram_range *r, int n)
{
    int m = 0;

    if (n > 0) qsort(r, (size_t)n, sizeof *r, by_lo);
    for (int i = 0; i < n; i++) {
        if (r[i].lo > r[i].hi || r[i].lo > CP_MAX) continue;
        if (r[i].hi > CP_MAX) r[i].hi = CP_MAX;
        if (m > 0 && r[i].lo <= r[m - 1].hi + 1) {
            if (r[i].hi > r[m - 1].hi) r[m - 1].hi = r[i].hi;
        } else {
            r[m++] = r[i];
        }
    }
    return m;
}

struct gram_node *gram_class(struct gram *g, const struct gram_range *r, int n, bool negate)
{
    struct gram_node  *x = node(g, GRAM_CLASS);
    struct gram_range *v, *w;
    uint32_t           at = 0;
    int                m  = 0;

    if (!x) return NULL;
    v = arena_array(g->a, (size_t)n + 1, sizeof *v);
    w = arena_array(g->a, 2 * (size_t)n + 4, sizeof *w);
    if (!v || !w) return nomem(g);
    if (n) memcpy(v, r, (size_t)n * sizeof *v);
    n = normal(v, n);
    if (negate) {
        for (int i = 0; i < n; i++) {
            if (v[i].lo > at) w[m++] = (struct gram_range){ at, v[i].lo - 1 };
            at = v[i].hi + 1;
        }
        if (at <= CP_MAX) w[m++] = (struct gram_range){ at, CP_MAX };
        n = m;
        memcpy(v, w, (size_t)n * sizeof *v);
        m = 0;
    }
    for (int i = 0; i < n; i++) { // without surrogates
        struct gram_range q = v[i];
        if (q.hi < 0xD800 || q.lo > 0xDFFF) {
            w[m++] = q;
            continue;
        }
        if (q.lo < 0xD800) w[m++] = (struct gram_range){ q.lo, 0xD7FF };
        if (q.hi > 0xDFFF) w[m++] = (struct gram_range){ 0xE000, q.hi };
    }
    if (m == 0) x->kind = GRAM_NEVER;
    x->range = w;
    x->n     = m;
    return x;
}

/* --- inner nodes --- */

static struct gram_node *inner(struct gram *g, enum gram_kind kind, struct gram_node *const *kid, int n)
{
    for (int i = 0; i < n; i++)
        if (!kid[i]) return NULL;
    struct gram_node *x = node(g, kind);
    if (!x) return NULL;
    x->kid = arena_array(g->a, n ? (size_t)n : 1, sizeof(x->kid[0]));
    if (!x->kid) return nomem(g);
    for (int i = 0; i < n; i++) {
        x->kid[i] = kid[i];
        if (kid[i]->height >= x->height) x->height = kid[i]->height + 1;
    }
    x->n = n;
    if (x->height > LIM_CONSTRAIN_HEIGHT)
        return gram_fail(g, ERR_INVALID_VALUE, "the grammar is nested more than %d deep", LIM_CONSTRAIN_HEIGHT);
    return x;
}

struct gram_node *gram_seq(struct gram *g, struct gram_node *const *kid, int n)
{
    return n == 1 ? kid[0] : inner(g, GRAM_SEQ, kid, n);
}

struct gram_node *gram_alt(struct gram *g, struct gram_node *const *kid, int n)
{
    if (n == 0) return gram_never(g);
    return n == 1 ? kid[0] : inner(g, GRAM_ALT, kid, n);
}

static int by_lit(const void *a, const void *b)
{
    const struct gram_node *x = *(struct gram_node *const *)a, *y = *(struct gram_node *const *)b;

    if ((x->kind == GRAM_LIT) != (y->kind == GRAM_LIT)) return x->kind == GRAM_LIT ? -1 : 1;
    return x->kind == GRAM_LIT ? str_cmp(x->lit, y->lit) : 0;
}

/* kid[0 .. n) are sorted literals that are equal up to `at`. */
static struct gram_node *words(struct gram *g, struct gram_node **kid, int n, size_t at)
{
    struct gram_list l = { 0 };

    for (int i = 0, j; i < n && g->rc == 0; i = j) {
        struct str first = kid[i]->lit;
        for (j = i + 1; j < n && first.n > at && kid[j]->lit.n > at && kid[j]->lit.p[at] == first.p[at]; j++) {}
        size_t end = at + 1; // what all of them share
        while (j - i > 1 && end < first.n && end < kid[j - 1]->lit.n &&
               kid[j - 1]->lit.p[end] == first.p[end])
            end++;
        if (j - i == 1) gram_push(g, &l, gram_lit(g, str_from(first, at)));
        else if (first.n <= at) gram_push(g, &l, gram_empty(g));
        else
            gram_push(g, &l,
                      GRAM_SEQ(g, gram_lit(g, str_sub(first, at, end - at)), words(g, kid + i, j - i, end)));
    }
    return gram_alt(g, l.v, l.n);
}

struct gram_node *gram_words(struct gram *g, struct gram_node **kid, int n)
{
    int              n_lit = 0, n_word = 0;
    struct gram_list l     = { 0 };

    if (g->rc < 0) return NULL;
    if (n > 1) qsort(kid, (size_t)n, sizeof(kid[0]), by_lit);
    while (n_lit < n && kid[n_lit]->kind == GRAM_LIT) n_lit++;
    for (int i = 0; i < n_lit; i++) // each once
        if (i == 0 || !str_eq(kid[i]->lit, kid[n_word - 1]->lit)) kid[n_word++] = kid[i];
    if (n_word) gram_push(g, &l, words(g, kid, n_word, 0));
    for (int i = n_lit; i < n; i++) gram_push(g, &l, kid[i]);
    return g->rc < 0 ? NULL : gram_alt(g, l.v, l.n);
}

struct gram_node *gram_rep(struct gram *g, struct gram_node *x, int min, int max)
{
    if (!x || g->rc < 0) return NULL;
    if (max != GRAM_INF && max < min) return gram_never(g);
    if (min == 1 && max == 1) return x;
    if (max == 0) return gram_empty(g);
    if (min > LIM_CONSTRAIN_REPEAT || max > LIM_CONSTRAIN_REPEAT)
        return gram_fail(g, ERR_INVALID_VALUE, "a repetition of %d is above the limit of %d",
                         max > min ? max : min, LIM_CONSTRAIN_REPEAT);
    struct gram_node *rep = inner(g, GRAM_REP, &x, 1);
    if (!rep) return NULL;
    rep->min = min;
    rep->max = max;
    return rep;
}

/* --- rules --- */

struct gram_node *gram_rule(struct gram *g, int rule)
{
    struct gram_node *x = rule < 0 ? NULL : node(g, GRAM_RULE);

    if (x) x->rule = rule;
    return x;
}

int gram_rule_new(struct gram *g)
{
    if (g->rc < 0) return -1;
    if (g->n_rule == g->cap_rule) {
        int                cap  = g->cap_rule ? g->cap_rule * 2 : 32;
        struct gram_node **more =
            cap > LIM_CONSTRAIN_NODES * 2 ? NULL : arena_array(g->a, (size_t)cap, sizeof *more);
        if (!more) {
            nomem(g);
            return -1;
        }
        if (g->n_rule) memcpy(more, g->rule, (size_t)g->n_rule * sizeof *more);
        g->rule     = more;
        g->cap_rule = cap;
    }
    g->rule[g->n_rule] = NULL;
    return g->n_rule++;
}

void gram_rule_set(struct gram *g, int rule, struct gram_node *x)
{
    if (rule >= 0 && g->rc == 0) g->rule[rule] = x;
}

void gram_push(struct gram *g, struct gram_list *l, struct gram_node *x)
{
    if (g->rc < 0 || !x) return;
    if (l->n == l->cap) {
        int                cap  = l->cap ? l->cap * 2 : 16;
        struct gram_node **more = arena_array(g->a, (size_t)cap, sizeof *more);
        if (!more) {
            nomem(g);
            return;
        }
        if (l->n) memcpy(more, l->v, (size_t)l->n * sizeof *more);
        l->v   = more;
        l->cap = cap;
    }
    l->v[l->n++] = x;
}
