/* pda.c - frames, configurations, and where a byte leads. */
#include "constrain/pda_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

static uint32_t mix(uint32_t h, uint32_t v)
{
    h ^= v;
    h *= 0x9E3779B1u;
    return h ^ h >> 15;
}

/* --- frames --- */

static uint32_t frame_hash(uint32_t pc, uint32_t count, uint32_t parent)
{
    return mix(mix(mix(0x811C9DC5u, pc), count), parent);
}

static int rehash_frames(struct pda *p, size_t want)
{
    uint32_t *slot = mem_array(want, sizeof *slot);

    if (!slot) return -ERR_NO_MEMORY;
    for (size_t i = 1; i < p->n_frame; i++) {
        const struct pda_frame *f = &p->frame[i];
        size_t                  h = frame_hash(f->pc, f->count, f->parent) & (want - 1);
        while (slot[h]) h = (h + 1) & (want - 1);
        slot[h] = (uint32_t)i + 1;
    }
    mem_free(p->frame_slot);
    p->frame_slot = slot;
    p->frame_mask = want - 1;
    return 0;
}

/* The frame, made if need be; PDA_ROOT when it cannot be (memory, or p would hold too many). */
static uint32_t frame(struct pda *p, uint32_t pc, uint32_t count, uint32_t parent)
{
    size_t h = frame_hash(pc, count, parent) & p->frame_mask;

    for (; p->frame_slot[h]; h = (h + 1) & p->frame_mask) {
        const struct pda_frame *f = &p->frame[p->frame_slot[h] - 1];
        if (f->pc == pc && f->count == count && f->parent == parent) return p->frame_slot[h] - 1;
    }
    if (mem_grow(&p->frame, &p->cap_frame, p->n_frame + 1, sizeof *p->frame, LIM_CONSTRAIN_POOL_FRAMES) < 0)
        return PDA_ROOT;
    if (mem_grow(&p->seen, &p->cap_seen, p->cap_frame, sizeof *p->seen, LIM_CONSTRAIN_POOL_FRAMES) < 0)
        return PDA_ROOT;
    uint32_t id  = (uint32_t)p->n_frame++;
    p->frame[id] = (struct pda_frame){ .pc = pc, .count = count, .parent = parent,
                                       .depth = (uint16_t)(p->frame[parent].depth + 1) };
    p->seen[id]  = 0;
    p->frame_slot[h] = id + 1;
    if (p->n_frame * 2 > p->frame_mask && rehash_frames(p, (p->frame_mask + 1) * 2) < 0) {
        p->frame_slot[h] = 0;
        p->n_frame--;
        return PDA_ROOT;
    }
    return id;
}

/* --- closures --- */

static void begin(struct pda *p)
{
    p->n_work = p->n_out = 0;
    p->accept = false;
    if (++p->epoch == 0) {
        memset(p->seen, 0, p->cap_seen * sizeof *p->seen);
        p->epoch = 1;
    }
}

static int add_frame(struct pda *p, uint32_t id)
{
    if (p->seen[id] == p->epoch) return 0;
    p->seen[id] = p->epoch;
    if (mem_grow(&p->work, &p->cap_work, p->n_work + 1, sizeof *p->work, LIM_CONSTRAIN_POOL_FRAMES) < 0)
        return PDA_FULL;
    p->work[p->n_work++] = id;
    return 0;
}

/* A place of the program on top of parent. */
static int add(struct pda *p, uint32_t pc, uint32_t count, uint32_t parent)
{
    if (!p->prog.op[pc].live) return 0;
    if (pc == 0) { // END: what the parent waits for
        if (parent != PDA_ROOT) return add_frame(p, parent);
        p->accept = true;
        return 0;
    }
    /* Deeper than this there is nothing: whatever is nested as deep can only be closed. */
    if (p->frame[parent].depth >= LIM_CONSTRAIN_FRAMES) return 0;
    uint32_t id = frame(p, pc, count, parent);
    return id == PDA_ROOT ? PDA_FULL : add_frame(p, id);
}

static int expand(struct pda *p, uint32_t id)
{
    struct pda_frame      f = p->frame[id];
    const struct prog_op *o = &p->prog.op[f.pc];
    int                   rc;

    switch ((enum prog_kind)o->kind) {
    case PROG_END:
    case PROG_NEVER: return 0;
    case PROG_BYTES:
        if (p->n_out == LIM_CONSTRAIN_STACKS)
            return err_set(&p->err, ERR_INVALID_VALUE,
                           "the grammar is too ambiguous: more than %d ways to read the "
                           "text so far",
                           LIM_CONSTRAIN_STACKS),
                   PDA_ERROR;
        if (mem_grow(&p->out, &p->cap_out, p->n_out + 1, sizeof *p->out, LIM_CONSTRAIN_STACKS) < 0)
            return PDA_FULL;
        p->out[p->n_out++] = id;
        return 0;
    case PROG_SPLIT:
        rc = add(p, o->x, 0, f.parent);
        return rc < 0 ? rc : add(p, o->y, 0, f.parent);
    case PROG_JUMP: return add(p, o->x, 0, f.parent);
    case PROG_CALL:
    case PROG_REP: break;
    }
    uint32_t back, body = o->x;
    if (o->kind == PROG_CALL) {
        if (!p->prog.op[o->x].live) return 0;
        back = frame(p, o->y, 0, f.parent);
        return back == PDA_ROOT ? PDA_FULL : add(p, body, 0, back);
    }
    if (f.count >= o->min && (rc = add(p, o->y, 0, f.parent)) < 0) return rc;
    if ((o->max != PROG_INF && f.count >= o->max) || !p->prog.op[o->y].live) return 0;
    if (p->frame[f.parent].depth + 1 >= LIM_CONSTRAIN_FRAMES) return 0;
    uint32_t count = f.count + 1;
    if (o->max == PROG_INF && count > o->min) count = o->min; // more does not matter
    back = frame(p, f.pc, count, f.parent);
    return back == PDA_ROOT ? PDA_FULL : add(p, body, 0, back);
}

static int close_over(struct pda *p)
{
    while (p->n_work > 0) {
        if (++p->steps > LIM_CONSTRAIN_STEPS)
            return err_set(&p->err, ERR_INVALID_VALUE,
                           "the grammar is too ambiguous: more than %d steps for one token",
                           LIM_CONSTRAIN_STEPS),
                   PDA_ERROR;
        int rc = expand(p, p->work[--p->n_work]);
        if (rc < 0) return rc;
    }
    return 0;
}

/* --- configurations --- */

static int by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static int rehash_confs(struct pda *p, size_t want)
{
    uint32_t *slot = mem_array(want, sizeof *slot);

    if (!slot) return -ERR_NO_MEMORY;
    for (size_t i = 0; i < p->n_conf; i++) {
        size_t h = p->conf[i].hash & (want - 1);
        while (slot[h]) h = (h + 1) & (want - 1);
        slot[h] = (uint32_t)i + 1;
    }
    mem_free(p->conf_slot);
    p->conf_slot = slot;
    p->conf_mask = want - 1;
    return 0;
}

/* The configuration of p->out and p->accept. */
static int32_t intern(struct pda *p)
{
    size_t   n = p->n_out, n_cls = (size_t)p->prog.n_cls;
    uint32_t hash = p->accept;

    if (n == 0 && !p->accept) return PDA_DEAD;
    if (n > 1) qsort(p->out, n, sizeof *p->out, by_id);
    for (size_t i = 0; i < n; i++) hash = mix(hash, p->out[i]);
    size_t h = hash & p->conf_mask;
    for (; p->conf_slot[h]; h = (h + 1) & p->conf_mask) {
        const struct pda_conf *c = &p->conf[p->conf_slot[h] - 1];
        if (c->hash == hash && c->accept == p->accept && c->n_top == n
            && (n == 0 || !memcmp(p->top + c->top_at, p->out, n * sizeof *p->out)))
            return (int32_t)p->conf_slot[h] - 1;
    }
    if (mem_grow(&p->top, &p->cap_top, p->n_top + n, sizeof *p->top, LIM_CONSTRAIN_POOL_TOPS) < 0 ||
        mem_grow(&p->conf, &p->cap_conf, p->n_conf + 1, sizeof *p->conf, LIM_CONSTRAIN_POOL_CONFS) < 0 ||
        mem_grow(&p->trans, &p->cap_trans, (p->n_conf + 1) * n_cls, sizeof *p->trans,
                 LIM_CONSTRAIN_POOL_TRANS) < 0)
        return PDA_FULL;
    if ((p->n_conf + 1) * 2 > p->conf_mask) {
        if (rehash_confs(p, (p->conf_mask + 1) * 2) < 0) return PDA_FULL;
        for (h = hash & p->conf_mask; p->conf_slot[h]; h = (h + 1) & p->conf_mask) {}
    }
    p->conf_slot[h]     = (uint32_t)p->n_conf + 1;
    p->conf[p->n_conf] = (struct pda_conf){ .top_at = (uint32_t)p->n_top, .n_top = (uint32_t)n, .hash = hash,
                                            .mask = -1, .accept = p->accept };
    if (n) memcpy(p->top + p->n_top, p->out, n * sizeof *p->out);
    p->n_top += n;
    for (size_t i = 0; i < n_cls; i++) p->trans[p->n_conf * n_cls + i] = PDA_UNKNOWN;
    return (int32_t)p->n_conf++;
}

int32_t pda_first(struct pda *p)
{
    begin(p);
    p->steps = 0;
    int rc = add(p, p->prog.start, 0, PDA_ROOT);
    if (rc == 0) rc = close_over(p);
    return rc < 0 ? rc : intern(p);
}

int32_t pda_byte(struct pda *p, int32_t conf, uint8_t byte)
{
    struct pda_conf c  = p->conf[conf];
    int             rc = 0;

    begin(p);
    for (uint32_t i = 0; i < c.n_top && rc == 0; i++) {
        struct pda_frame      f = p->frame[p->top[c.top_at + i]];
        const struct prog_op *o = &p->prog.op[f.pc];
        if (prog_has(&p->prog.set[o->x], byte)) rc = add(p, o->y, 0, f.parent);
    }
    if (rc == 0) rc = close_over(p);
    int32_t to = rc < 0 ? rc : intern(p);
    if (to >= 0 || to == PDA_DEAD) p->trans[(size_t)conf * (size_t)p->prog.n_cls + p->prog.cls[byte]] = to;
    return to;
}

/* What a frame counts, as far as a token can tell. */
static uint32_t count_alike(const struct pda *p, const struct pda_frame *f)
{
    const struct prog_op *o   = &p->prog.op[f->pc];
    size_t                len = p->vocab->len_max;

    if (o->max == PROG_INF || (size_t)o->max < (size_t)f->count + len) return f->count;
    if (f->count >= o->min)
        return (size_t)o->max >= (size_t)o->min + len + 1 && o->min > 0 ? o->min : f->count ? 1 : 0;
    return (size_t)o->min > (size_t)f->count + len ? 1 : f->count;
}

int32_t pda_alike(struct pda *p, int32_t conf)
{
    struct pda_conf c   = p->conf[conf];
    bool            any = false;

    begin(p);
    p->accept = c.accept;
    if (c.n_top > 64) return conf;
    for (uint32_t i = 0; i < c.n_top; i++) {
        uint32_t         id = p->top[c.top_at + i];
        struct pda_frame f = p->frame[id], up = p->frame[f.parent];
        if (f.parent != PDA_ROOT && p->prog.op[up.pc].kind == PROG_REP && p->prog.op[up.pc].plain) {
            uint32_t count = count_alike(p, &up);
            if (count != up.count) {
                uint32_t parent = frame(p, up.pc, count, up.parent);
                if (parent == PDA_ROOT) return conf;
                id = frame(p, f.pc, f.count, parent);
                if (id == PDA_ROOT) return conf;
                any = true;
            }
        }
        if (mem_grow(&p->out, &p->cap_out, p->n_out + 1, sizeof *p->out, LIM_CONSTRAIN_STACKS) < 0) return conf;
        p->out[p->n_out++] = id;
    }
    int32_t to = any ? intern(p) : conf;
    return to < 0 ? conf : to;
}

/* --- life --- */

static void clear(struct pda *p)
{
    p->n_frame = 1;
    p->n_conf = p->n_top = 0;
    memset(p->frame_slot, 0, (p->frame_mask + 1) * sizeof *p->frame_slot);
    memset(p->conf_slot, 0, (p->conf_mask + 1) * sizeof *p->conf_slot);
    for (int i = 0; i < p->n_mask; i++) p->mask_conf[i] = -1;
    p->n_mask = p->hand = 0;
}

int pda_init(struct pda *p, struct prog *prog, struct constrain_vocab *v, struct err *e)
{
    size_t words = (size_t)v->n_word;

    *p       = (struct pda){ .prog = *prog, .vocab = v };
    *prog    = (struct prog){ 0 };
    p->cap_mask = (int)(LIM_CONSTRAIN_MASKS / (words * 8 + 1));
    if (p->cap_mask < 2) p->cap_mask = 2;
    if (p->cap_mask > LIM_CONSTRAIN_MASKS_N) p->cap_mask = LIM_CONSTRAIN_MASKS_N;
    p->mask_conf = mem_array((size_t)p->cap_mask, sizeof *p->mask_conf);
    p->path      = mem_array(v->len_max + 2, sizeof *p->path);
    if (!p->mask_conf || !p->path || rehash_frames(p, 256) < 0 || rehash_confs(p, 256) < 0
        || mem_grow(&p->frame, &p->cap_frame, 64, sizeof *p->frame, LIM_CONSTRAIN_POOL_FRAMES) < 0
        || mem_grow(&p->seen, &p->cap_seen, p->cap_frame, sizeof *p->seen, LIM_CONSTRAIN_POOL_FRAMES) < 0) {
        pda_release(p);
        return err_nomem(e, "building a grammar");
    }
    p->frame[PDA_ROOT] = (struct pda_frame){ 0 };
    memset(p->seen, 0, p->cap_seen * sizeof *p->seen);
    clear(p);
    return 0;
}

/* An array with less room; stays as it is when that fails. */
static void cut(void *p_ptr, size_t *cap, size_t want, size_t size)
{
    void *old, *p;

    if (*cap <= want) return;
    memcpy(&old, p_ptr, sizeof old);
    p = mem_realloc(old, want * size);
    if (!p) return;
    memcpy(p_ptr, &p, sizeof p);
    *cap = want;
}

void pda_shrink(struct pda *p)
{
    size_t bytes = p->cap_frame * (sizeof *p->frame + sizeof *p->seen) + p->cap_trans * sizeof *p->trans
                   + p->cap_top * sizeof *p->top + p->cap_conf * sizeof *p->conf
                   + (size_t)p->n_mask * (size_t)p->vocab->n_word * sizeof *p->masks;

    if (p->runs || bytes < LIM_CONSTRAIN_KEEP) return;
    clear(p);
    cut(&p->frame, &p->cap_frame, 64, sizeof *p->frame);
    cut(&p->seen, &p->cap_seen, p->cap_frame, sizeof *p->seen);
    cut(&p->trans, &p->cap_trans, 4096, sizeof *p->trans);
    cut(&p->top, &p->cap_top, 1024, sizeof *p->top);
    cut(&p->conf, &p->cap_conf, 64, sizeof *p->conf);
    cut(&p->work, &p->cap_work, 1024, sizeof *p->work);
    (void)rehash_frames(p, 256); // with what they have if this fails
    (void)rehash_confs(p, 256);
    mem_free(p->masks);
    p->masks = NULL;
}

void pda_release(struct pda *p)
{
    prog_release(&p->prog);
    mem_free(p->frame);
    mem_free(p->seen);
    mem_free(p->frame_slot);
    mem_free(p->conf);
    mem_free(p->trans);
    mem_free(p->top);
    mem_free(p->conf_slot);
    mem_free(p->work);
    mem_free(p->out);
    mem_free(p->masks);
    mem_free(p->mask_conf);
    mem_free(p->path);
    *p = (struct pda){ 0 };
}

/* What running sequences hold, copied out: for each the tops, for each top its frames from the top down. */
struct kept {
    uint32_t *v;
    size_t    n, cap;
};

static bool keep(struct kept *k, uint32_t x)
{
    if (mem_grow(&k->v, &k->cap, k->n + 1, sizeof *k->v, LIM_CONSTRAIN_POOL_FRAMES * 8) < 0) return false;
    k->v[k->n++] = x;
    return true;
}

static bool keep_conf(struct pda *p, struct kept *k, const struct pda_conf *c)
{
    bool ok = keep(k, c->accept) && keep(k, c->n_top);

    for (uint32_t i = 0; ok && i < c->n_top; i++) {
        uint32_t at = p->top[c->top_at + i];
        ok = keep(k, p->frame[at].depth);
        for (; ok && at != PDA_ROOT; at = p->frame[at].parent)
            ok = keep(k, p->frame[at].pc) && keep(k, p->frame[at].count);
    }
    return ok;
}

static int32_t bring_conf(struct pda *p, const uint32_t **at)
{
    const uint32_t *v = *at;

    begin(p);
    p->accept  = *v++;
    uint32_t n = *v++;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t depth = *v++, parent = PDA_ROOT;
        for (uint32_t d = depth; d-- > 0;) {
            parent = frame(p, v[2 * d], v[2 * d + 1], parent);
            if (parent == PDA_ROOT) return PDA_FULL;
        }
        v += 2 * (size_t)depth;
        p->out[p->n_out++] = parent; // it had room for as many before
    }
    *at = v;
    return intern(p);
}

int pda_forget(struct pda *p, struct err *e)
{
    struct kept k  = { 0 };
    bool        ok = true;

    for (struct constrain_run *r = p->runs; r && ok; r = r->next)
        ok = r->conf < 0 || keep_conf(p, &k, &p->conf[r->conf]);
    if (!ok) {
        mem_free(k.v);
        return err_nomem(e, "holding an answer to its form");
    }
    clear(p);
    const uint32_t *at = k.v;
    for (struct constrain_run *r = p->runs; r && ok; r = r->next) {
        if (r->conf < 0) continue; // it has failed before
        int32_t conf = bring_conf(p, &at);
        ok = conf >= 0;
        if (ok) r->conf = conf;
    }
    mem_free(k.v);
    if (ok) return 0;
    for (struct constrain_run *r = p->runs; r; r = r->next) r->conf = PDA_ERROR; // nothing is known any more
    return err_set(e, ERR_INVALID_VALUE, "holding the answers to their form needs too much memory");
}
