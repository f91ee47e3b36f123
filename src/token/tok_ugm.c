/* tok_ugm.c - unigram models (T5): the most probable way to cut a text; and RWKV's greedy longest match.
 *
 * Viterbi over the places of the text, each token a step with its log probability (Kudo,
 * arXiv:1804.10959). A place that no token spans is a cut: all before it is settled, so the table is
 * as long as the longest stretch without a cut, a word or two in ordinary text.
 */
#include <float.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "token/tok_int.h"
#include "token/tok_trie.h"

#define SPACE "\xE2\x96\x81"

struct node {
    double   score; // of the best way here
    uint32_t from;  // where its last token begins, from the table's first place
    int32_t  id;
};

struct viterbi {
    struct enc  *c;
    struct node *node; // [cap]
    size_t       cap;
    size_t       base; // the text's place that node[0] stands for
    struct str   s;    // the text
    uint32_t    *path; // [path_cap] places in reverse
    size_t       path_cap;
};

/* A character that no token has: its bytes where they all have one, else unknown, once in a row. */
static int put_unknown(struct viterbi *v, struct str s, struct err *e)
{
    const struct tok *t     = v->c->t;
    bool              bytes = t->byte_fallback;

    for (size_t i = 0; i < s.n && bytes; i++) bytes = t->byte_id[(unsigned char)s.p[i]] >= 0;
    for (size_t i = 0; i < s.n && bytes; i++) ids_put(v->c->out, t->byte_id[(unsigned char)s.p[i]]);
    if (!bytes && t->unk < 0)
        return err_set(e, ERR_INVALID_VALUE, "the vocabulary has no token for unknown text");
    if (!bytes && !v->c->unk_open) ids_put(v->c->out, t->unk);
    v->c->unk_open = !bytes;
    return 0;
}

/* The best way to node n: out with it, and n is the new first place. */
static int settle(struct viterbi *v, size_t n, struct err *e)
{
    size_t k = 0;

    if (mem_grow(&v->path, &v->path_cap, n, sizeof *v->path, SIZE_MAX / 8) < 0) return err_nomem(e, "tokenising");
    for (size_t i = n; i; i = v->node[i].from) v->path[k++] = (uint32_t)i;
    while (k--) {
        const struct node *x = &v->node[v->path[k]];
        if (x->id >= 0) {
            ids_put(v->c->out, x->id);
            v->c->unk_open = false;
            continue;
        }
        int rc = put_unknown(v, str_sub(v->s, v->base + x->from, v->path[k] - x->from), e);
        if (rc < 0) return rc;
    }
    v->base += n;
    return 0;
}

static void step(struct viterbi *v, size_t from, size_t to, double score, int32_t id)
{
    struct node *x = &v->node[to];

    score += v->node[from].score;
    if (score > x->score) *x = (struct node){ score, (uint32_t)from, id };
}

static int viterbi(struct viterbi *v, struct str s, struct err *e)
{
    const struct tok *t     = v->c->t;
    size_t            reach = 0, ready = 0; // the furthest place reached; nodes up to it are set up

    v->s    = s;
    v->base = 0;
    for (size_t at = 0; at < s.n;) {
        size_t i = at - v->base;
        if (at && i && reach == i) { // nothing spans this place
            int rc = settle(v, i, e);
            if (rc < 0) return rc;
            i = reach = 0;
        }
        if (!i) ready = 0;
        size_t far = i + (s.n - at < t->len_max + UTF8_MAX ? s.n - at : t->len_max + UTF8_MAX);
        if (mem_grow(&v->node, &v->cap, far + 1, sizeof *v->node, UINT32_MAX) < 0)
            return err_nomem(e, "tokenising");
        if (!i) v->node[0] = (struct node){ .id = -1 };
        for (; ready < far; ready++) v->node[ready + 1] = (struct node){ .score = -DBL_MAX, .id = -1 };

        uint32_t cp, node = 0;
        int      len = uni_next(s.p, at, s.n, &cp);
        bool     one = false;
        for (size_t k = at; k < s.n && (node = trie_step(t->words, node, (unsigned char)s.p[k])); k++) {
            v->c->work++;
            int32_t id = trie_id(t->words, node);
            if (id < 0) continue;
            size_t to = k + 1 - v->base;
            one |= k + 1 - at == (size_t)len;
            step(v, i, to, t->score[id], id);
            if (to > reach) reach = to;
        }
        if (!one) step(v, i, i + (size_t)len, t->unk_score, -1);
        if (i + (size_t)len > reach) reach = i + (size_t)len;
        at += (size_t)len;
    }
    return s.n > v->base ? settle(v, s.n - v->base, e) : 0;
}

/* Spaces as sentencepiece wants them: one before every word (or behind), runs made one. */
static int spaces(struct enc *c, struct err *e)
{
    const struct tok *t    = c->t;
    struct buf       *b    = &c->space_buf;
    bool              in_word = false, put = false, prefix = t->prefix != SPACE_NONE;
    const char       *space   = t->spaces ? SPACE : " ";

    buf_release(b);
    buf_init(b, c->n * 3 + 16);
    for (size_t i = 0; i < c->n; i++) {
        if (c->text[i] == ' ') {
            in_word = false;
            if (!t->merge_spaces) buf_str(b, str_c(space));
            continue;
        }
        if (!in_word && ((prefix && !t->suffix_space && !put) || t->merge_spaces)) {
            buf_str(b, str_c(space));
            put = true;
        }
        in_word = true;
        buf_byte(b, c->text[i]);
    }
    if (prefix && t->suffix_space) buf_str(b, str_c(space));
    return b->failed ? err_nomem(e, "tokenising") : 0;
}

static int piece(void *ctx, size_t at, size_t end, struct err *e)
{
    struct viterbi *v = ctx;
    v->c->unk_open    = false;
    return viterbi(v, (struct str){ v->c->text + at, end - at }, e);
}

int ugm_encode(struct enc *c, const char *shadow, struct err *e)
{
    struct viterbi v = { .c = c };
    int            rc;

    if (c->t->pre.n_stage && !c->t->merge_spaces) { // a tokenizer.json says where to cut
        rc = pre_walk(&c->t->pre, shadow, c->n, piece, &v, &c->work, e);
    } else if (!(rc = spaces(c, e))) {
        c->text = c->space_buf.p;
        c->n    = c->space_buf.n;
        rc      = piece(&v, 0, c->n, e);
    }
    mem_free(v.node);
    mem_free(v.path);
    return rc;
}

int rwkv_encode(struct enc *c, struct err *e)
{
    const struct tok *t = c->t;

    for (size_t at = 0; at < c->n;) {
        uint32_t node = 0;
        int32_t  best = t->unk;
        size_t   to   = at + 1;
        for (size_t i = at; i < c->n && (node = trie_step(t->words, node, (unsigned char)c->text[i])); i++) {
            c->work++;
            if (trie_id(t->words, node) < 0) continue;
            best = trie_id(t->words, node);
            to   = i + 1;
        }
        if (best < 0)
            return err_set(e, ERR_INVALID_VALUE, "the vocabulary has no token for byte 0x%02X",
                           (unsigned)(unsigned char)c->text[at]);
        ids_put(c->out, best);
        at = to;
    }
    return 0;
}
