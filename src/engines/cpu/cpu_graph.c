/* cpu_graph.c - a micro-batch through all layers.
 *
 * All lanes walk through the same phases (os/pool.h); between two phases everything is in memory:
 *
 *   embed          rows of the embedding matrix, angles of each position
 *   each layer     inputs    norm, quantised where the next matrices want that
 *                  q k v     one phase for the three matrices
 *                  store     norms of heads, rotation; keys and values to their pages
 *                  attend    a span of tokens and a KV head at a time; with `store` where no run has
 *                            more than one span
 *                  inputs    of the output projection
 *                  o         added to the residual
 *                  inputs    norm
 *                  gate, up  and the activation of the same rows
 *                  inputs    of the down projection
 *                  down      added to the residual
 *   rows wanted    last norm
 *
 * Families that norm or scale what a half of a layer adds let `o` and `down` write to en->y, and have one
 * more phase that joins it to the residual; experts (cpu_moe.c) do so always.
 */
#include "engines/cpu/cpu_int.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* --- attention --- */

/* Of a layer and KV head, in page 0. */
static unsigned char *kv_base(const struct engine *en, const struct cpu_layer *w, int head)
{
    return en->kv[w->pages].mem + (size_t)w->kv_at * en->kv_layer_bytes + (size_t)head * en->kv_head_bytes;
}

/* A head of queries or keys: norm, rotation. */
static void turn_head(const struct engine *en, const float *norm, const float *cs, float *x)
{
    if (norm) en->kern.rms_norm(x, norm, en->hp.head_dim, en->hp.eps, x);
    if (cs) en->kern.rope(x, cs, en->hp.n_rot, en->traits & FAM_NEOX);
}

/* Of one KV head and the query heads that share it: norms, rotation, key and value to their page. */
static void store_head(struct engine *en, int layer, int t, int head_kv)
{
    const struct cpu_hparams *hp = &en->hp;
    const struct cpu_layer   *w = &en->layer[layer];
    const struct cpu_tok     *tok = &en->tok[t];
    const float *cs = w->rope < 0 ? NULL : en->cs[w->rope] + (size_t)t * (size_t)hp->n_rot;
    int    dim = hp->head_dim, group = hp->n_head / hp->n_head_kv;
    size_t at = (size_t)t * en->s_kv + (size_t)head_kv * (size_t)dim;
    float *q = en->q + (size_t)t * en->s_q + (size_t)(head_kv * group) * (size_t)dim;

    for (int h = 0; h < group; h++, q += dim) turn_head(en, w->vec[VEC_Q_NORM], cs, q);
    turn_head(en, w->vec[VEC_K_NORM], cs, en->k + at);
    en->kern.kv_put(en->k + at, en->v + at, dim, en->kv_type,
                    kv_base(en, w, head_kv) +
                        (size_t)tok->page[w->pages][tok->pos / KERN_PAGE_TOK] * en->kv[w->pages].page_bytes,
                    tok->pos % KERN_PAGE_TOK);
}

static int heads_at_once(const struct engine *en)
{
    int group = en->hp.n_head / en->hp.n_head_kv;
    return group < KERN_ATTN_Q ? group : KERN_ATTN_Q;
}

int cpu_span_max(const struct engine *en)
{
    return KERN_ATTN_Q / heads_at_once(en);
}

/* The tokens of a span, for all heads that share a KV head. */
static void attend(struct engine *en, int layer, const struct cpu_span *s, int head_kv, float *mem)
{
    const struct cpu_hparams *hp = &en->hp;
    const struct cpu_layer   *w = &en->layer[layer];
    const float *sinks = w->vec[VEC_SINKS];
    float sink[KERN_ATTN_Q];
    int  group = hp->n_head / hp->n_head_kv, step = heads_at_once(en);
    struct kern_attn a = {
        .kv = kv_base(en, w, head_kv),
        .page_bytes = en->kv[w->pages].page_bytes,
        .page = en->tok[s->first].page[w->pages],
        .head_dim = hp->head_dim,
        .type = en->kv_type,
        .scale = hp->attn_scale,
        .softcap = hp->attn_softcap,
        .sink = sinks ? sink : NULL,
        .scratch = mem,
    };

    for (int g = 0; g < group; g += step) {
        a.n_q = 0;
        for (int t = s->first; t < s->first + s->n; t++)
            for (int h = g; h < g + step && h < group; h++, a.n_q++) {
                int    head = head_kv * group + h, pos = en->tok[t].pos;
                size_t at = (size_t)t * en->s_q + (size_t)head * (size_t)hp->head_dim;
                a.q[a.n_q] = en->q + at;
                a.out[a.n_q] = en->att + at;
                a.lo[a.n_q] = w->swa && pos >= hp->n_swa ? pos + 1 - hp->n_swa : 0;
                a.hi[a.n_q] = pos + 1;
                if (sinks) sink[a.n_q] = sinks[head];
            }
        en->kern.attn(&a);
    }
}

static void attention(struct engine *en, struct lane *l, int layer)
{
    int kv = en->hp.n_head_kv;

    if (!en->single_spans)
        for (int t; lane_next(l, en->n_tok, &t);)
            for (int h = 0; h < kv; h++) store_head(en, layer, t, h);
    for (int i; lane_next(l, en->n_span * kv, &i);) {
        const struct cpu_span *s = &en->span[i / kv];
        for (int t = s->first; en->single_spans && t < s->first + s->n; t++) store_head(en, layer, t, i % kv);
        attend(en, layer, s, i % kv, cpu_lane_mem(en, l));
    }
}

/* --- feed-forward --- */

/* gate = act(gate) * up, rows of both at a time. */
static void multiply_ffn(struct engine *en, struct lane *l, const struct cpu_layer *w, const struct cpu_inputs *in)
{
    bool gated = w->mat[MAT_GATE].packed.rows;
    struct cpu_product gate = { &w->mat[MAT_GATE], en->gate, en->s_ff, NULL };
    struct cpu_product up = { &w->mat[MAT_UP], gated ? en->up : en->gate, en->s_ff, w->vec[VEC_UP_B] };
    int total = kern_panels(en->hp.n_ff), step = cpu_panels_at_once(en, total);

    for (int item; lane_next(l, cpu_chunks(total, step), &item);) {
        int a = item * step, n = total - a < step ? total - a : step;
        if (gated) cpu_panels(en, l, &gate, in, a, n, en->n_tok, false);
        cpu_panels(en, l, &up, in, a, n, en->n_tok, false);
        for (int t = 0; t < en->n_tok; t++) {
            size_t at = (size_t)t * en->s_ff + (size_t)a * KERN_ROWS;
            cpu_activate(en, en->gate + at, gated ? en->up + at : NULL, n * KERN_ROWS);
        }
    }
}

static unsigned char *xq_if(const struct engine *en, bool wanted)
{
    return wanted ? en->xq : NULL;
}

/* What a half of a layer adds goes to the residual at once, or through en->y and a norm or a factor. */
static bool joins(const struct engine *en, const float *post)
{
    return post || en->hp.residual_scale != 1;
}

static void join(struct engine *en, struct lane *l, const float *post)
{
    int n = en->hp.n_embd;

    for (int t; lane_next(l, en->n_tok, &t);) {
        float *y = en->y + (size_t)t * en->s_embd;
        if (post) cpu_norm_row(en, (struct cpu_norm){ post, NULL }, y, n, y);
        for (int i = 0; en->hp.residual_scale != 1 && i < n; i++) y[i] *= en->hp.residual_scale;
        en->kern.add(en->x + (size_t)t * en->s_embd, y, n);
    }
}

/* A matrix whose products are what a half of a layer adds. */
static void multiply_last(struct engine *en, struct lane *l, const struct cpu_mat *m, const float *bias,
                          const float *x, size_t stride, int n, const float *post)
{
    bool apart = joins(en, post);
    const struct cpu_product  p = { m, apart ? en->y : en->x, en->s_embd, bias };
    const struct cpu_norm     none = { NULL, NULL };
    const struct cpu_inputs   in = cpu_prepare(en, l, x, stride, en->n_tok, n, none, xq_if(en, cpu_wants_q8(m)));

    cpu_multiply(en, l, &p, 1, &in, en->n_tok, !apart);
    if (apart) join(en, l, post);
}

static void feed_forward(struct engine *en, struct lane *l, const struct cpu_layer *w)
{
    const struct cpu_norm norm = { w->vec[VEC_FFN_NORM], w->vec[VEC_FFN_NORM_B] };
    const struct cpu_mat *gate = &w->mat[MAT_GATE], *up = &w->mat[MAT_UP];

    if (w->exp[EXP_UP]) {
        cpu_experts(en, l, w);
        join(en, l, w->vec[VEC_FFN_POST]);
        return;
    }
    bool q8 = cpu_wants_q8(up) || (gate->packed.rows && cpu_wants_q8(gate));
    struct cpu_inputs in = cpu_prepare(en, l, en->x, en->s_embd, en->n_tok, en->hp.n_embd, norm, xq_if(en, q8));
    multiply_ffn(en, l, w, &in);
    multiply_last(en, l, &w->mat[MAT_DOWN], w->vec[VEC_DOWN_B], en->gate, en->s_ff, en->hp.n_ff, w->vec[VEC_FFN_POST]);
}

/* --- the whole --- */

static void embed(struct engine *en, int t)
{
    const struct tensor  *m = en->embd, *pm = en->pos_embd;
    const struct cpu_tok *tok = &en->tok[t];
    float *x = en->x + (size_t)t * en->s_embd, *p = en->xn + (size_t)t * en->s_embd;
    int    n = en->hp.n_embd;

    /* Their types were tried at load. */
    (void)!dequant_row(m->type, m->data + (size_t)tok->id * (size_t)tensor_row_bytes(m), x, n);
    for (int i = 0; en->hp.embd_scale != 1 && i < n; i++) x[i] *= en->hp.embd_scale;
    if (pm) {
        (void)!dequant_row(pm->type, pm->data + (size_t)tok->pos * (size_t)tensor_row_bytes(pm), p, n);
        en->kern.add(x, p, n);
    }
    for (int i = 0; i < en->n_rope; i++)
        cpu_rope_angles(en, &en->rope[i], tok->pos, en->cs[i] + (size_t)t * (size_t)en->hp.n_rot);
}

static void layer(struct engine *en, struct lane *l, int i)
{
    const struct cpu_hparams *hp = &en->hp;
    const struct cpu_layer   *w = &en->layer[i];
    const struct cpu_mat     *q = &w->mat[MAT_Q], *k = &w->mat[MAT_K], *v = &w->mat[MAT_V];
    const struct cpu_norm     norm = { w->vec[VEC_ATTN_NORM], w->vec[VEC_ATTN_NORM_B] };
    bool   q8 = cpu_wants_q8(q) || cpu_wants_q8(k) || cpu_wants_q8(v);
    struct cpu_inputs in = cpu_prepare(en, l, en->x, en->s_embd, en->n_tok, hp->n_embd, norm, xq_if(en, q8));
    const struct cpu_product qkv[] = {
        { q, en->q, en->s_q, w->vec[VEC_Q_B] },
        { k, en->k, en->s_kv, w->vec[VEC_K_B] },
        { v, en->v, en->s_kv, w->vec[VEC_V_B] },
    };

    cpu_multiply(en, l, qkv, 3, &in, en->n_tok, false);
    attention(en, l, i);
    multiply_last(en, l, &w->mat[MAT_O], w->vec[VEC_O_B], en->att, en->s_q, hp->q_dim, w->vec[VEC_ATTN_POST]);
    feed_forward(en, l, w);
}

void cpu_layers_job(void *ctx, struct lane *l)
{
    struct engine *en = ctx;
    const struct cpu_norm norm = { en->output_norm, en->output_norm_b };

    for (int t; lane_next(l, en->n_tok, &t);) embed(en, t);
    for (int i = 0; i < en->hp.n_layer; i++) layer(en, l, i);
    for (int t; lane_next(l, en->n_tok, &t);)
        if (en->tok[t].row >= 0)
            cpu_norm_row(en, norm, en->x + (size_t)t * en->s_embd, en->hp.n_embd,
                         en->hidden + (size_t)en->tok[t].row * en->s_embd);
}

/* Scale and cap of finished logits. */
static void finish_logits(struct engine *en, struct lane *l, float *first, int n_row)
{
    const struct cpu_hparams *hp = &en->hp;

    if (hp->logit_scale == 1 && hp->final_softcap == 0) return;
    for (int r; lane_next(l, n_row, &r);) {
        float *row = first + (size_t)r * en->s_vocab;
        for (int i = 0; hp->logit_scale != 1 && i < hp->n_vocab; i++) row[i] /= hp->logit_scale;
        if (hp->final_softcap > 0) en->kern.softcap(row, hp->n_vocab, hp->final_softcap);
    }
}

void cpu_output_job(void *ctx, struct lane *l)
{
    struct engine *en = ctx;
    const struct cpu_norm none = { NULL, NULL };

    for (int r0 = 0; r0 < en->n_row; r0 += en->n_ubatch) {
        int n = en->n_row - r0 < en->n_ubatch ? en->n_row - r0 : en->n_ubatch;
        struct cpu_product out = { &en->output, en->logits + (size_t)r0 * en->s_vocab, en->s_vocab, NULL };
        struct cpu_inputs  in = cpu_prepare(en, l, en->hidden + (size_t)r0 * en->s_embd, en->s_embd, n, en->hp.n_embd,
                                            none, xq_if(en, cpu_wants_q8(&en->output)));
        cpu_multiply(en, l, &out, 1, &in, n, false);
        finish_logits(en, l, out.out, n);
    }
}
