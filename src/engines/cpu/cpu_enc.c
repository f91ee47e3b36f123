/* cpu_enc.c - encoders: a micro-batch of whole texts through all layers.
 *
 * Phases as in cpu_graph.c, with what encoders do otherwise: the embeddings have segments and a norm, each half of
 * a layer is added to its input and normed behind that, and every token attends to its whole text. Nothing is kept
 * of a text, so keys and values are laid out for a product of matrices and overwritten by the next layer:
 *
 *   pack     q and k are rotated; the keys of a head become a matrix of n rows (its scores are one product), the
 *            values one of head_dim rows and n columns
 *   attend   for some tokens and a head: scores, weights (kern.h, softmax), weighted values
 *
 * One score sums components in order, one value sums a text's tokens in order: neither depends on which tokens
 * are worked on together, nor on other texts.
 * Source of the layer: Devlin et al., BERT, arXiv:1810.04805; Vaswani et al., arXiv:1706.03762, sec. 3.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "engines/cpu/cpu_int.h"

#define QUERIES 32  // tokens that attend together
#define UBATCH  512 // tokens of a micro-batch, unless a text is longer: what lies between phases stays in the cache

static int pad(int n)
{
    return (n + 15) & ~15;
}

size_t cpu_enc_lane_floats(const struct engine *en)
{
    return (size_t)QUERIES * (size_t)(pad(en->n_ctx) + pad(en->hp.head_dim));
}

size_t cpu_enc_kv_floats(const struct engine *en)
{
    if (!(en->traits & FAM_ENCODER)) return 0;
    return (size_t)(pad(en->n_ubatch) + 16) * (size_t)en->hp.n_head_kv * (size_t)pad(en->hp.head_dim);
}

/* --- embeddings --- */

static int segment(const struct engine *en, int t)
{
    for (int i = 0; i < en->enc.n_text; i++) {
        const struct cpu_text *x = &en->enc.text[i];
        if (t >= x->first && t < x->first + x->n) return x->n_first && t - x->first >= x->n_first;
    }
    return 0;
}

static void embed(struct engine *en, int t)
{
    const struct cpu_enc *c = &en->enc;
    const struct tensor  *m = en->embd, *pm = en->pos_embd;
    const struct cpu_tok *tok = &en->tok[t];
    float *x = en->x + (size_t)t * en->s_embd, *p = en->xn + (size_t)t * en->s_embd;
    int    n = en->hp.n_embd, kind = segment(en, t);

    /* Their types were tried at load. */
    (void)!dequant_row(m->type, m->data + (size_t)tok->id * (size_t)tensor_row_bytes(m), x, n);
    if (c->type) en->kern.add(x, c->type + (size_t)(kind < c->n_type ? kind : 0) * en->s_embd, n);
    if (pm) {
        (void)!dequant_row(pm->type, pm->data + (size_t)tok->pos * (size_t)tensor_row_bytes(pm), p, n);
        en->kern.add(x, p, n);
    }
    cpu_norm_row(en, (struct cpu_norm){ c->norm, c->norm_b }, x, n, x);
    if (en->n_rope) cpu_rope_angles(en, &en->rope[0], tok->pos, en->cs[0] + (size_t)t * (size_t)en->hp.n_rot);
}

/* --- attention --- */

/* The keys of a text and head, and its values: matrices of the kind that kern.gemm takes. */
static struct kern_mat matrix_of(const struct engine *en, float *all, const struct cpu_text *x, int head, int rows, int cols)
{
    size_t dim = (size_t)pad(en->hp.head_dim);
    float *p   = all + ((size_t)x->at * (size_t)en->hp.n_head_kv + (size_t)head * (size_t)pad(x->n)) * dim;

    return (struct kern_mat){ .data = (unsigned char *)p, .panel_bytes = kern_panel_bytes(KERN_F32, cols), .rows = rows,
                              .cols = cols, .type = KERN_F32 };
}

/* Panels of values: 16 components of each token in turn, which is what they are in memory already. */
static void pack_values(const struct engine *en, const struct kern_mat *m, const float *v)
{
    int dim = en->hp.head_dim;

    for (int d = 0; d < dim; d += 16) {
        float *p = (float *)(void *)(m->data + (size_t)(d / 16) * m->panel_bytes);
        int    n = dim - d < 16 ? dim - d : 16;
        for (int t = 0; t < m->cols; t++, p += 16) {
            if (n < 16) memset(p, 0, 16 * sizeof *p);
            memcpy(p, v + (size_t)t * en->s_kv + d, (size_t)n * sizeof *p);
        }
    }
}

static void pack(struct engine *en, const struct cpu_text *x, int head)
{
    int    dim = en->hp.head_dim, group = en->hp.n_head / en->hp.n_head_kv;
    size_t at = (size_t)x->first * en->s_kv + (size_t)head * (size_t)dim;
    struct kern_mat k = matrix_of(en, en->enc.k, x, head, x->n, dim), v = matrix_of(en, en->enc.v, x, head, dim, x->n);

    for (int t = x->first; en->n_rope && t < x->first + x->n; t++) {
        const float *cs = en->cs[0] + (size_t)t * (size_t)en->hp.n_rot;
        float       *q = en->q + (size_t)t * en->s_q + (size_t)(head * group * dim);
        for (int g = 0; g < group; g++) en->kern.rope(q + (size_t)g * (size_t)dim, cs, en->hp.n_rot, en->traits & FAM_NEOX);
        en->kern.rope(en->k + (size_t)t * en->s_kv + (size_t)(head * dim), cs, en->hp.n_rot, en->traits & FAM_NEOX);
    }
    for (int t = 0; t < x->n; t += KERN_ROWS)
        kern_pack(KERN_F32, dim, en->k + at + (size_t)t * en->s_kv, en->s_kv * sizeof(float),
                  x->n - t < KERN_ROWS ? x->n - t : KERN_ROWS,
                  (void *)(k.data + (size_t)(t / KERN_ROWS) * k.panel_bytes));
    pack_values(en, &v, en->v + at);
}

/* Tokens from .. from + n - 1 of a text, for one query head. */
static void attend(struct engine *en, const struct cpu_text *x, int head, int from, int n, float *mem)
{
    const struct kern *kern = &en->kern;
    int    dim = en->hp.head_dim, head_kv = head / (en->hp.n_head / en->hp.n_head_kv);
    size_t stride = (size_t)pad(x->n), at = (size_t)(x->first + from) * en->s_q + (size_t)head * (size_t)dim;
    float *out = mem + (size_t)QUERIES * (size_t)pad(en->n_ctx), slope = en->enc.slope ? en->enc.slope[head] : 0;
    const struct kern_mat k = matrix_of(en, en->enc.k, x, head_kv, x->n, dim), v = matrix_of(en, en->enc.v, x, head_kv, dim, x->n);

    kern->gemm[KERN_F32](&k, 0, kern_panels(x->n), en->q + at, en->s_q * sizeof(float), n, mem, stride, false);
    for (int i = 0; i < n; i++) kern->softmax(mem + (size_t)i * stride, x->n, en->hp.attn_scale, slope, from + i);
    kern->gemm[KERN_F32](&v, 0, kern_panels(dim), mem, stride * sizeof(float), n, out, (size_t)pad(dim), false);
    for (int i = 0; i < n; i++)
        memcpy(en->att + at + (size_t)i * en->s_q, out + (size_t)i * (size_t)pad(dim), (size_t)dim * sizeof *out);
}

/* Item i: some tokens of a text and a head; texts in order. */
static void attend_item(struct engine *en, int i, float *mem)
{
    for (const struct cpu_text *x = en->enc.text;; x++) {
        int blocks = cpu_chunks(x->n, QUERIES), items = blocks * en->hp.n_head;
        if (i >= items) {
            i -= items;
            continue;
        }
        int from = i % blocks * QUERIES;
        attend(en, x, i / blocks, from, x->n - from < QUERIES ? x->n - from : QUERIES, mem);
        return;
    }
}

static void attention(struct engine *en, struct lane *l)
{
    int items = 0, kv = en->hp.n_head_kv;

    for (int i; lane_next(l, en->enc.n_text * kv, &i);) pack(en, &en->enc.text[i / kv], i % kv);
    for (int i = 0; i < en->enc.n_text; i++) items += cpu_chunks(en->enc.text[i].n, QUERIES) * en->hp.n_head;
    for (int i; lane_next(l, items, &i);) attend_item(en, i, cpu_lane_mem(en, l));
}

/* --- layers --- */

static struct cpu_inputs prepare(struct engine *en, struct lane *l, const float *x, size_t stride, int n, bool q8)
{
    return cpu_prepare(en, l, x, stride, en->n_tok, n, (struct cpu_norm){ NULL, NULL }, q8 ? en->xq : NULL);
}

/* x = norm(x + m * in + bias): the end of either half of a layer. */
static void add_norm(struct engine *en, struct lane *l, const struct cpu_mat *m, const float *bias, const float *in,
                     size_t stride, int n, struct cpu_norm norm)
{
    const struct cpu_product p  = { m, en->x, en->s_embd, bias };
    const struct cpu_inputs  pi = prepare(en, l, in, stride, n, cpu_wants_q8(m));

    cpu_multiply(en, l, &p, 1, &pi, en->n_tok, true);
    for (int t; lane_next(l, en->n_tok, &t);) {
        float *x = en->x + (size_t)t * en->s_embd;
        cpu_norm_row(en, norm, x, en->hp.n_embd, x);
    }
}

/* gate = act(gate) * up, rows of both at a time. */
static void multiply_ffn(struct engine *en, struct lane *l, const struct cpu_layer *w)
{
    const struct cpu_mat *mg = &w->mat[MAT_GATE], *mu = &w->mat[MAT_UP];
    bool gated = mg->packed.rows, q8 = cpu_wants_q8(mu) || (gated && cpu_wants_q8(mg));
    struct cpu_inputs  in = prepare(en, l, en->x, en->s_embd, en->hp.n_embd, q8);
    struct cpu_product gate = { mg, en->gate, en->s_ff, NULL };
    struct cpu_product up = { mu, gated ? en->up : en->gate, en->s_ff, w->vec[VEC_UP_B] };
    int total = kern_panels(en->hp.n_ff), step = cpu_panels_at_once(en, total);

    for (int item; lane_next(l, cpu_chunks(total, step), &item);) {
        int a = item * step, n = total - a < step ? total - a : step;
        if (gated) cpu_panels(en, l, &gate, &in, a, n, en->n_tok, false);
        cpu_panels(en, l, &up, &in, a, n, en->n_tok, false);
        for (int t = 0; t < en->n_tok; t++) {
            size_t at = (size_t)t * en->s_ff + (size_t)a * KERN_ROWS;
            cpu_activate(en, en->gate + at, gated ? en->up + at : NULL, n * KERN_ROWS);
        }
    }
}

static void layer(struct engine *en, struct lane *l, const struct cpu_layer *w)
{
    const struct cpu_hparams *hp = &en->hp;
    const struct cpu_mat     *q = &w->mat[MAT_Q], *k = &w->mat[MAT_K], *v = &w->mat[MAT_V];
    bool   q8 = cpu_wants_q8(q) || cpu_wants_q8(k) || cpu_wants_q8(v);
    struct cpu_inputs in = prepare(en, l, en->x, en->s_embd, hp->n_embd, q8);
    const struct cpu_product qkv[] = {
        { q, en->q, en->s_q, w->vec[VEC_Q_B] },
        { k, en->k, en->s_kv, w->vec[VEC_K_B] },
        { v, en->v, en->s_kv, w->vec[VEC_V_B] },
    };

    cpu_multiply(en, l, qkv, 3, &in, en->n_tok, false);
    attention(en, l);
    add_norm(en, l, &w->mat[MAT_O], w->vec[VEC_O_B], en->att, en->s_q, hp->q_dim,
             (struct cpu_norm){ w->vec[VEC_ATTN_POST], w->vec[VEC_ATTN_POST_B] });
    multiply_ffn(en, l, w);
    add_norm(en, l, &w->mat[MAT_DOWN], w->vec[VEC_DOWN_B], en->gate, en->s_ff, hp->n_ff,
             (struct cpu_norm){ w->vec[VEC_FFN_POST], w->vec[VEC_FFN_POST_B] });
}

static void job(void *ctx, struct lane *l)
{
    struct engine *en = ctx;

    for (int t; lane_next(l, en->n_tok, &t);) embed(en, t);
    for (int i = 0; i < en->hp.n_layer; i++) layer(en, l, &en->layer[i]);
    for (int t; lane_next(l, en->n_tok, &t);)
        if (en->tok[t].row >= 0)
            memcpy(en->hidden + (size_t)en->tok[t].row * en->s_embd, en->x + (size_t)t * en->s_embd,
                   (size_t)en->hp.n_embd * sizeof *en->x);
}

/* --- batches --- */

static void run_texts(struct engine *en)
{
    if (en->enc.n_text) pool_run(en->pool, job, en);
    en->enc.n_text = en->n_tok = 0;
}

static void add_text(struct engine *en, const struct engine_run *r, int at)
{
    en->enc.text[en->enc.n_text++] = (struct cpu_text){ .first = en->n_tok, .n = r->n_tok, .n_first = r->n_first, .at = at };
    for (int i = 0; i < r->n_tok; i++) {
        assert(r->tok[i] >= 0 && r->tok[i] < en->hp.n_vocab);
        bool wanted = i >= r->n_tok - r->n_logits;
        en->tok[en->n_tok++] = (struct cpu_tok){
            .id = r->tok[i], .pos = i, .row = wanted ? en->n_batch - ++en->n_hidden : -1,
        };
    }
}

void cpu_enc_forward(struct engine *en, const struct engine_batch *batch)
{
    int at = 0, all = 0; // places of keys and values taken, tokens

    en->n_row = en->n_hidden = en->n_tok = en->enc.n_text = 0;
    for (int i = 0; i < batch->n_run; i++) {
        const struct engine_run *r = &batch->run[i];
        assert(r->n_tok >= 1 && r->n_tok <= en->n_ctx && r->pos == 0 && r->hidden && r->n_logits <= r->n_tok);
        all += r->n_tok;
        assert(all <= en->n_batch);
        if (at && at + pad(r->n_tok) > UBATCH) {
            run_texts(en);
            at = 0;
        }
        add_text(en, r, at);
        at += pad(r->n_tok);
    }
    run_texts(en);
}

/* --- ranking --- */

static double dot(const float *w, const float *x, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++) sum += (double)w[i] * (double)x[i];
    return sum;
}

float cpu_enc_score(const struct engine *en, const float *pooled)
{
    const struct cpu_enc *c = &en->enc;
    int    n = en->hp.n_embd;
    double sum = (double)c->out_b;

    assert(c->rank);
    if (!c->dense) return (float)(sum + dot(c->out, pooled, n));
    for (int i = 0; i < n; i++)
        sum += (double)c->out[i] * tanh(dot(c->dense + (size_t)i * en->s_embd, pooled, n) + (double)c->dense_b[i]);
    return (float)sum;
}
