/* prog.c - trees to operations: emission backwards, so that every node knows what follows it. */
#include "constrain/prog_int.h"

#include <string.h>

struct emit {
    struct prog *p;
    struct gram *g;
    uint32_t    *entry; // [n_rule] where each rule begins
    int          rc;
    struct err  *e;
};

#define NONE UINT32_MAX

static uint32_t put(struct emit *m, struct prog_op op)
{
    struct prog *p = m->p;

    if (m->rc < 0) return 0;
    if (p->n_op == LIM_CONSTRAIN_OPS) {
        m->rc =
            err_set(m->e, ERR_INVALID_VALUE, "the grammar needs more than %d operations", LIM_CONSTRAIN_OPS);
        return 0;
    }
    if (mem_grow(&p->op, &p->cap_op, p->n_op + 1, sizeof *p->op, LIM_CONSTRAIN_OPS) < 0) {
        m->rc = err_nomem(m->e, "building a grammar");
        return 0;
    }
    p->op[p->n_op] = op;
    return (uint32_t)p->n_op++;
}

static uint32_t set_of(struct emit *m, const struct prog_set *s)
{
    struct prog *p = m->p;

    for (size_t i = p->n_set; i > 0 && i + 512 > p->n_set; i--) // those of late are met most
        if (!memcmp(&p->set[i - 1], s, sizeof *s)) return (uint32_t)(i - 1);
    if (mem_grow(&p->set, &p->cap_set, p->n_set + 1, sizeof *s, LIM_CONSTRAIN_OPS) < 0) {
        if (m->rc == 0) m->rc = err_nomem(m->e, "building a grammar");
        return 0;
    }
    p->set[p->n_set] = *s;
    return (uint32_t)p->n_set++;
}

static void add_bytes(struct prog_set *s, unsigned lo, unsigned hi)
{
    for (unsigned b = lo; b <= hi; b++) s->w[b >> 6] |= (uint64_t)1 << (b & 63);
}

static uint32_t bytes_op(struct emit *m, const struct prog_set *s, uint32_t next)
{
    uint32_t x = set_of(m, s);
    return put(m, (struct prog_op){ .kind = PROG_BYTES, .x = x, .y = next });
}

static uint32_t alt(struct emit *m, uint32_t a, uint32_t b)
{
    if (a == NONE) return b;
    if (b == NONE) return a;
    return put(m, (struct prog_op){ .kind = PROG_SPLIT, .x = a, .y = b });
}

/* --- characters as bytes --- */

/* Up to three ranges of bytes behind the first: what follows a set of first bytes. */
struct tail {
    int     n;
    uint8_t lo[3], hi[3];
};

struct group { // first bytes with the same tail
    struct tail     tail;
    struct prog_set first;
};

#define GROUPS 64

struct groups {
    struct group g[GROUPS];
    int          n;
    uint32_t     out; // those that did not fit are emitted at once
};

static uint32_t group_op(struct emit *m, const struct group *q, uint32_t next)
{
    for (int i = q->tail.n - 1; i >= 0; i--) {
        struct prog_set s = { 0 };
        add_bytes(&s, q->tail.lo[i], q->tail.hi[i]);
        next = bytes_op(m, &s, next);
    }
    return bytes_op(m, &q->first, next);
}

static void add_group(struct emit *m, struct groups *v, unsigned lo, unsigned hi, const struct tail *t,
                      uint32_t next)
{
    for (int i = 0; i < v->n; i++) {
        if (memcmp(&v->g[i].tail, t, sizeof *t)) continue;
        add_bytes(&v->g[i].first, lo, hi);
        return;
    }
    if (v->n == GROUPS) {
        for (int i = 0; i < v->n; i++) v->out = alt(m, group_op(m, &v->g[i], next), v->out);
        v->n = 0;
    }
    v->g[v->n] = (struct group){ .tail = *t };
    add_bytes(&v->g[v->n++].first, lo, hi);
}

/* Code points of one length in UTF-8, [lo, hi]: split until each byte has a range of its own. The
 * idea is Ken Thompson's, described by R. Cox, "Regular Expression Matching in the Wild", 2010. */
static void add_utf8(struct emit *m, struct groups *v, uint32_t lo, uint32_t hi, int len, uint32_t next)
{
    static const uint8_t mark[5] = { 0, 0, 0xC0, 0xE0, 0xF0 };

    for (int i = 1; i < len; i++) {
        uint32_t low = ((uint32_t)1 << (6 * i)) - 1;
        if ((lo & ~low) == (hi & ~low)) continue;
        if (lo & low) {
            add_utf8(m, v, lo, lo | low, len, next);
            add_utf8(m, v, (lo | low) + 1, hi, len, next);
            return;
        }
        if ((hi & low) != low) {
            add_utf8(m, v, lo, (hi & ~low) - 1, len, next);
            add_utf8(m, v, hi & ~low, hi, len, next);
            return;
        }
    }
    struct tail t = { .n = len - 1 };
    for (int i = 1; i < len; i++) {
        int shift      = 6 * (len - 1 - i);
        t.lo[i - 1] = (uint8_t)(0x80 | (lo >> shift & 0x3F));
        t.hi[i - 1] = (uint8_t)(0x80 | (hi >> shift & 0x3F));
    }
    int shift = 6 * (len - 1);
    add_group(m, v, mark[len] | lo >> shift, mark[len] | hi >> shift, &t, next);
}

static uint32_t emit_class(struct emit *m, const struct gram_node *x, uint32_t next)
{
    static const uint32_t last[] = { 0x7F, 0x7FF, 0xFFFF, 0x10FFFF };
    struct groups         v      = { .out = NONE };

    for (int i = 0; i < x->n; i++) {
        uint32_t lo = x->range[i].lo, hi = x->range[i].hi;
        if (lo <= 0x7F) {
            struct tail none = { 0 };
            add_group(m, &v, lo, hi < 0x7F ? hi : 0x7F, &none, next);
        }
        for (int len = 2; len <= 4; len++) {
            uint32_t a = last[len - 2] + 1 > lo ? last[len - 2] + 1 : lo,
                     b = last[len - 1] < hi ? last[len - 1] : hi;
            if (a <= b) add_utf8(m, &v, a, b, len, next);
        }
    }
    uint32_t out = v.out;
    for (int i = v.n - 1; i >= 0; i--) out = alt(m, group_op(m, &v.g[i], next), out);
    return out;
}

/* --- the tree --- */

static uint32_t emit(struct emit *m, const struct gram_node *x, uint32_t next);

static uint32_t emit_rep(struct emit *m, const struct gram_node *x, uint32_t next)
{
    const struct gram_node *kid = x->kid[0];

    if (x->plain || (x->min > 1 || x->max > 1)) {
        uint32_t body = emit(m, kid, 0);
        return put(m, (struct prog_op){ .kind  = PROG_REP,
                                        .plain = x->plain,
                                        .x     = body,
                                        .y     = next,
                                        .min   = (uint32_t)x->min,
                                        .max   = x->max == GRAM_INF ? PROG_INF : (uint32_t)x->max });
    }
    if (x->max == 1) { // min is 0
        uint32_t once = emit(m, kid, next);
        return alt(m, once, next);
    }
    uint32_t loop = put(m, (struct prog_op){ .kind = PROG_SPLIT }), body = emit(m, kid, loop);
    if (m->rc < 0) return 0;
    m->p->op[loop].x = body;
    m->p->op[loop].y = next;
    return x->min ? body : loop;
}

static uint32_t emit(struct emit *m, const struct gram_node *x, uint32_t next)
{
    if (m->rc < 0) return 0;
    switch (x->kind) {
    case GRAM_NEVER: return put(m, (struct prog_op){ .kind = PROG_NEVER });
    case GRAM_CLASS: return emit_class(m, x, next);
    case GRAM_LIT:
        for (size_t i = x->lit.n; i > 0; i--) {
            struct prog_set s = { 0 };
            unsigned        b = (unsigned char)x->lit.p[i - 1];
            add_bytes(&s, b, b);
            next = bytes_op(m, &s, next);
        }
        return next;
    case GRAM_SEQ:
        for (int i = x->n - 1; i >= 0; i--) next = emit(m, x->kid[i], next);
        return next;
    case GRAM_ALT: {
        uint32_t out = NONE;
        for (int i = x->n - 1; i >= 0; i--) out = alt(m, emit(m, x->kid[i], next), out);
        return out;
    }
    case GRAM_REP: return emit_rep(m, x, next);
    case GRAM_RULE: {
        uint32_t entry = m->entry[x->rule];
        if (next == 0) return entry; // nothing is left to do here: no frame
        return put(m, (struct prog_op){ .kind = PROG_CALL, .x = entry, .y = next });
    }
    }
    return 0;
}

/* --- what leads nowhere, and what never gets on --- */

static bool improve(struct prog_op *v, size_t i)
{
    struct prog_op *o    = &v[i];
    bool            live = o->live, null = o->null;

    switch ((enum prog_kind)o->kind) {
    case PROG_END: live = null = true; break;
    case PROG_NEVER: break;
    case PROG_BYTES: live = v[o->y].live; break;
    case PROG_SPLIT:
        live = v[o->x].live || v[o->y].live;
        null = v[o->x].null || v[o->y].null;
        break;
    case PROG_JUMP:
        live = v[o->x].live;
        null = v[o->x].null;
        break;
    case PROG_CALL:
        live = v[o->x].live && v[o->y].live;
        null = v[o->x].null && v[o->y].null;
        break;
    case PROG_REP:
        live = v[o->y].live && (o->min == 0 || v[o->x].live);
        null = v[o->y].null && (o->min == 0 || v[o->x].null);
        break;
    }
    bool more = live != o->live || null != o->null;
    o->live = live;
    o->null = null;
    return more;
}

static bool uses(const struct prog_op *o, int k, uint32_t *to)
{
    *to = k ? o->y : o->x;
    switch ((enum prog_kind)o->kind) {
    case PROG_END:
    case PROG_NEVER: return false;
    case PROG_BYTES: return k == 1;
    case PROG_JUMP: return k == 0;
    case PROG_SPLIT:
    case PROG_CALL:
    case PROG_REP: return true;
    }
    return false;
}

/* From each operation back to those that lead to it, until nothing changes: each may change twice.
 *   first  [n_op + 1] into by: who uses operation i is by[first[i]] .. by[first[i + 1] - 1]
 *   queue  [n_op] a ring of those to look at, each in it once at most */
static void settle(struct prog *p, uint32_t *first, uint32_t *by, uint32_t *queue, uint8_t *in)
{
    size_t   n = p->n_op, head = 0, count = n;
    uint32_t to;

    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++)
            if (uses(&p->op[i], k, &to)) first[to]++;
    for (size_t i = 1; i <= n; i++) first[i] += first[i - 1]; // where each one's end
    for (size_t i = n; i-- > 0;)
        for (int k = 0; k < 2; k++)
            if (uses(&p->op[i], k, &to)) by[--first[to]] = (uint32_t)i; // at last where each one's begin
    for (size_t i = 0; i < n; i++) {
        queue[i] = (uint32_t)i;
        in[i]    = 1;
    }
    while (count > 0) {
        uint32_t i = queue[head];
        head       = head + 1 == n ? 0 : head + 1;
        count--;
        in[i] = 0;
        if (!improve(p->op, i)) continue;
        for (size_t k = first[i]; k < first[i + 1]; k++) {
            if (in[by[k]]) continue;
            in[by[k]]                 = 1;
            queue[(head + count) % n] = by[k];
            count++;
        }
    }
}

static int mark_live(struct prog *p, struct err *e)
{
    size_t    n     = p->n_op, n_use = 0;
    uint32_t  to;
    uint8_t  *in    = mem_array(n, 1);

    for (size_t i = 0; i < n; i++) n_use += (size_t)uses(&p->op[i], 0, &to) + (size_t)uses(&p->op[i], 1, &to);
    uint32_t *first = mem_array(n + 1, sizeof *first), *by = mem_array(n_use + 1, sizeof *by),
             *queue = mem_array(n, sizeof *queue);
    bool      ok    = in && first && by && queue;
    if (ok) {
        settle(p, first, by, queue, in);
    }
    mem_free(in);
    mem_free(first);
    mem_free(by);
    mem_free(queue);
    if (!ok) return err_nomem(e, "building a grammar");
    if (!p->op[p->start].live) return err_set(e, ERR_INVALID_VALUE, "no text at all would fit");
    return 0;
}

/* Jumps are for rules that were used before they were there: go where they go. */
static uint32_t land(const struct prog *p, uint32_t at)
{
    for (int i = 0; p->op[at].kind == PROG_JUMP && i < 64; i++) at = p->op[at].x; // a cycle stays one
    return at;
}

static void skip_jumps(struct prog *p)
{
    uint32_t to;

    for (size_t i = 0; i < p->n_op; i++) {
        if (uses(&p->op[i], 0, &to)) p->op[i].x = land(p, to);
        if (uses(&p->op[i], 1, &to)) p->op[i].y = land(p, to);
    }
    p->start = land(p, p->start);
}

/* Where an operation goes without reading a byte; edge 0 and 1, NONE past the last. *push: it grows the
 * stack. */
static uint32_t edge(const struct prog_op *v, uint32_t at, int k, bool *push)
{
    const struct prog_op *o = &v[at];

    *push = k == 0 && (o->kind == PROG_CALL || o->kind == PROG_REP);
    switch ((enum prog_kind)o->kind) {
    case PROG_END:
    case PROG_NEVER:
    case PROG_BYTES: return NONE;
    case PROG_SPLIT: return k == 0 ? o->x : k == 1 ? o->y : NONE;
    case PROG_JUMP: return k == 0 ? o->x : NONE;
    case PROG_CALL: return k == 0 ? o->x : k == 1 && v[o->x].null ? o->y : NONE;
    case PROG_REP: return k == 0 ? o->x : k == 1 && (o->min == 0 || v[o->x].null) ? o->y : NONE;
    }
    return NONE;
}

/* A cycle without a byte that pushes would grow the stack for ever: left recursion. Strongly connected
 * parts by Tarjan ("Depth-first search and linear graph algorithms", 1972), without C recursion. */
static bool left_recursive(const struct prog *p, uint32_t *num, uint32_t *low, uint32_t *stack, uint32_t *path,
                           uint8_t *next)
{
    uint32_t n_num = 0, n_stack = 0;
    bool     push;

    for (uint32_t root = 0; root < p->n_op; root++) {
        uint32_t n_path = 0;
        if (num[root]) continue;
        path[n_path++] = root;
        num[root] = low[root] = ++n_num;
        stack[n_stack++]      = root;
        while (n_path > 0) {
            uint32_t at = path[n_path - 1], to = edge(p->op, at, next[at], &push);
            if (to != NONE) {
                next[at]++;
                if (num[to] == 0) {
                    num[to] = low[to] = ++n_num;
                    stack[n_stack++]  = to;
                    path[n_path++]    = to;
                } else if (num[to] < low[at] && num[to] != NONE) {
                    low[at] = num[to];
                }
                continue;
            }
            n_path--;
            if (n_path > 0 && low[at] < low[path[n_path - 1]]) low[path[n_path - 1]] = low[at];
            if (low[at] != num[at]) continue;
            uint32_t from = n_stack; // a part: from `at` to the top of the stack
            while (stack[--from] != at) {}
            for (uint32_t i = from; i < n_stack; i++) next[stack[i]] = 0xFF; // in this part
            for (uint32_t i = from; i < n_stack; i++)
                for (int k = 0; k < 2; k++) {
                    uint32_t t = edge(p->op, stack[i], k, &push);
                    if (t != NONE && push && next[t] == 0xFF) return true;
                }
            for (uint32_t i = from; i < n_stack; i++) {
                next[stack[i]] = 0xFE;
                num[stack[i]]  = NONE;
            }
            n_stack = from;
        }
    }
    return false;
}

static int check_left(const struct prog *p, struct err *e)
{
    uint32_t *num = mem_array(p->n_op * 4, sizeof *num);
    uint8_t  *next = mem_array(p->n_op, 1);
    int       rc   = 0;

    if (!num || !next) rc = err_nomem(e, "building a grammar");
    else if (left_recursive(p, num, num + p->n_op, num + 2 * p->n_op, num + 3 * p->n_op, next))
        rc = err_set(e, ERR_INVALID_VALUE,
                     "a rule begins with itself (left recursion); write it with a repetition");
    mem_free(num);
    mem_free(next);
    return rc;
}

/* Bytes that every set treats alike get one class. */
static void classify(struct prog *p)
{
    memset(p->cls, 0, sizeof p->cls);
    p->n_cls = 1;
    for (size_t s = 0; s < p->n_set && p->n_cls < 256; s++) {
        int split[256];
        for (int c = 0; c < 256; c++) split[c] = -1;
        bool in[256] = { false }, out[256] = { false };
        for (unsigned b = 0; b < 256; b++) {
            if (prog_has(&p->set[s], b)) in[p->cls[b]] = true;
            else out[p->cls[b]] = true;
        }
        for (unsigned b = 0; b < 256; b++) {
            int c = p->cls[b];
            if (!in[c] || !out[c] || !prog_has(&p->set[s], b)) continue;
            if (split[c] < 0) split[c] = p->n_cls++;
            p->cls[b] = (uint8_t)split[c];
        }
    }
    for (int b = 255; b >= 0; b--) p->rep[p->cls[b]] = (uint8_t)b;
}

int prog_emit(struct prog *p, struct gram *g, const struct gram_node *root, struct err *e)
{
    struct emit m = { .p = p, .g = g, .e = e };

    *p = (struct prog){ 0 };
    if (g->rc < 0) return g->rc;
    put(&m, (struct prog_op){ .kind = PROG_END });
    m.entry = arena_array(g->a, (size_t)g->n_rule + 1, sizeof *m.entry);
    if (!m.entry) return err_nomem(e, "building a grammar");
    for (int i = 0; i < g->n_rule; i++) m.entry[i] = put(&m, (struct prog_op){ .kind = PROG_JUMP });
    for (int i = 0; i < g->n_rule && m.rc == 0; i++) {
        uint32_t body = g->rule[i] ? emit(&m, g->rule[i], 0) : put(&m, (struct prog_op){ .kind = PROG_NEVER });
        if (m.rc == 0) p->op[m.entry[i]].x = body;
    }
    p->start = m.rc == 0 ? emit(&m, root, 0) : 0;
    int rc = m.rc;
    if (rc == 0) skip_jumps(p);
    if (rc == 0) rc = mark_live(p, e);
    if (rc == 0) rc = check_left(p, e);
    if (rc < 0) {
        prog_release(p);
        return rc;
    }
    classify(p);
    return 0;
}

void prog_release(struct prog *p)
{
    mem_free(p->op);
    mem_free(p->set);
    *p = (struct prog){ 0 };
}
