/* pda_mask.c - which tokens fit: walk the vocabulary's trie and the automaton together.
 *
 * Most tokens of a vocabulary are plain text, and inside a JSON string all of them fit as long as the
 * string may still be that long. Those are known by their number of characters (vocab_int.h); only the
 * others are walked. A mask is kept with its configuration: a text in a string stays in one
 * configuration, so most tokens of an answer cost nothing but the look.
 */
#include <string.h>

#include "base/limits.h"
#include "constrain/pda_int.h"

/* Plain characters that the string a configuration is in may still take: 0 when it is in none, or when
 * something else in the configuration may read plain characters too. */
static uint32_t plain_left(const struct pda *p, const struct pda_conf *c)
{
    uint32_t left = 0, rep = PDA_ROOT;

    for (uint32_t i = 0; i < c->n_top; i++) { // the string whose rest is longest
        const struct pda_frame *f = &p->frame[p->top[c->top_at + i]], *up = &p->frame[f->parent];
        const struct prog_op   *o = &p->prog.op[up->pc];
        if (f->parent == PDA_ROOT || o->kind != PROG_REP || !o->plain) continue;
        if (!prog_has(&p->prog.set[p->prog.op[f->pc].x], 'z')) continue; // inside a character or an escape
        uint32_t n = o->max == PROG_INF ? PROG_INF : o->max - up->count + 1;
        if (n <= left) continue;
        left = n;
        rep  = f->parent;
    }
    if (left == 0 || left >= VOCAB_PLAIN) return left;
    for (uint32_t i = 0; i < c->n_top; i++) { // tokens longer than the rest are refused unread
        const struct pda_frame *f = &p->frame[p->top[c->top_at + i]];
        const struct prog_set  *s = &p->prog.set[p->prog.op[f->pc].x];
        if (f->parent == rep) continue;
        for (unsigned b = 0x20; b < 0x100; b++)
            if (b != '"' && b != '\\' && b != 0xFF && prog_has(s, b)) return 0;
    }
    return left;
}

/* Returns 0, PDA_FULL or PDA_ERROR. */
static int walk(struct pda *p, const struct vocab_trie *t, int32_t conf, uint64_t *mask)
{
    int32_t *path = p->path;

    path[0] = conf;
    for (uint32_t i = 0; i < t->n;) {
        const struct vocab_node *n  = &t->node[i];
        int32_t                  to = pda_next(p, path[n->depth], n->byte);
        if (to < 0) {
            if (to != PDA_DEAD) return to;
            i = n->skip;
            continue;
        }
        path[n->depth + 1] = to;
        for (uint32_t k = n->first; k < n[1].first; k++) mask[t->id[k] / 64] |= (uint64_t)1 << (t->id[k] % 64);
        i++;
    }
    return 0;
}

static uint64_t *mask_at(struct pda *p, int i)
{
    return p->masks + (size_t)i * (size_t)p->vocab->n_word;
}

/* A place for a mask: a new one, or that of the one kept longest. */
static int place(struct pda *p)
{
    size_t cap = (size_t)p->n_mask, words = (size_t)p->vocab->n_word;

    if (p->n_mask < p->cap_mask) {
        if (!p->masks) { // all at once, so that no step allocates later; pages come as they are written
            p->masks = mem_alloc((size_t)p->cap_mask * words * sizeof *p->masks);
            if (!p->masks) return -1;
        }
        return p->n_mask++;
    }
    int i   = p->hand;
    p->hand = (p->hand + 1) % (int)cap;
    if (p->mask_conf[i] >= 0) p->conf[p->mask_conf[i]].mask = -1;
    return i;
}

static int fill(struct pda *p, int32_t conf, uint64_t *mask)
{
    const struct constrain_vocab *v = p->vocab;
    struct pda_conf               c = p->conf[conf];
    size_t                        words = (size_t)v->n_word;
    uint32_t                      left  = plain_left(p, &c);

    p->steps = 0;
    if (left)
        memcpy(mask, v->plain + (size_t)(left < VOCAB_PLAIN ? left : VOCAB_PLAIN) * words,
               words * sizeof *mask);
    else memset(mask, 0, words * sizeof *mask);
    int rc = walk(p, left ? &v->rest : &v->all, conf, mask);
    if (c.accept)
        for (int i = 0; i < v->n_eog; i++) mask[v->eog[i] / 64] |= (uint64_t)1 << (v->eog[i] % 64);
    return rc;
}

const uint64_t *pda_mask(struct pda *p, struct constrain_run *r)
{
    if (p->conf[r->conf].mask >= 0) return mask_at(p, p->conf[r->conf].mask);
    for (int again = 0;; again++) {
        int32_t conf = pda_alike(p, r->conf);
        if (p->conf[conf].mask >= 0) return mask_at(p, p->conf[conf].mask);
        int i = place(p);
        if (i < 0) {
            err_nomem(&p->err, "holding an answer to its form");
            return NULL;
        }
        p->mask_conf[i] = -1;
        int rc          = fill(p, conf, mask_at(p, i));
        if (rc == 0) {
            p->mask_conf[i]    = conf;
            p->conf[conf].mask = i;
            return mask_at(p, i);
        }
        if (rc == PDA_ERROR) return NULL;
        if (again) {
            err_set(&p->err, ERR_INVALID_VALUE, "the grammar needs too much memory for one token");
            return NULL;
        }
        if (pda_forget(p, &p->err) < 0) return NULL;
    }
}
