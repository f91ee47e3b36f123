/* cpu_moe.c - a mixture of experts: a router scores them, each token goes through the best few, and what they
 * give is summed by weight (Shazeer et al., arXiv:1701.06538; top-k then softmax as in Jiang et al.,
 * arXiv:2401.04088, sec. 2.1, which is also softmax over all, then normalised to the chosen).
 *
 *   inputs    norm; scores of the router
 *   choose    per token: its experts, best first, and their weights
 *   sort      tokens by expert: slots
 *   gather    inputs of each slot
 *   gate, up  an expert's panels, for its slots
 *   inputs    of down
 *   down      likewise
 *   sum       per token, best expert first
 *
 * A token's part in a product does not depend on which others are beside it (kern.h), and its sum has its own
 * order: so the answer does not depend on the batch.
 */
#include "engines/cpu/cpu_int.h"

#include <math.h>
#include <string.h>

/* The k best scores (the lower number where equal) and their softmax. */
static void choose(const float *score, int n, int k, int32_t *expert, float *weight)
{
    double sum = 0;

    for (int j = 0; j < k; j++) {
        int best = -1;
        for (int i = 0; i < n; i++) {
            bool taken = false;
            for (int m = 0; m < j; m++) taken |= expert[m] == i;
            if (!taken && (best < 0 || score[i] > score[best])) best = i;
        }
        expert[j] = best;
        sum += exp((double)score[best] - (double)score[expert[0]]);
    }
    for (int j = 0; j < k; j++)
        weight[j] = (float)(exp((double)score[expert[j]] - (double)score[expert[0]]) / sum);
}

/* Slots in order of expert, then token. */
static void sort(const struct engine *en)
{
    const struct cpu_moe *m = &en->moe;
    int n = en->n_tok * en->hp.n_expert_used, at = 0;

    memset(m->first, 0, (size_t)(en->hp.n_expert + 1) * sizeof *m->first);
    for (int i = 0; i < n; i++) m->first[m->expert[i]]++;
    for (int x = 0; x <= en->hp.n_expert; x++) { // counts to ends
        at += m->first[x];
        m->first[x] = at;
    }
    for (int i = n - 1; i >= 0; i--) { // ends to beginnings
        int s = --m->first[m->expert[i]];
        m->slot[i] = s;
        m->token[s] = i / en->hp.n_expert_used;
    }
}

static struct cpu_inputs of_slots(const struct engine *en, const struct cpu_inputs *in, int slot)
{
    return (struct cpu_inputs){
        .f32 = in->f32 + (size_t)slot * in->stride, .stride = in->stride,
        .q8 = in->q8 ? in->q8 + (size_t)slot * in->q8_bytes : NULL, .q8_bytes = en->xq_bytes,
    };
}

static const float *bias_of(const struct cpu_layer *w, enum cpu_vec_id id, int expert, int n)
{
    return w->vec[id] ? w->vec[id] + (size_t)expert * cpu_pad16((size_t)n) : NULL;
}

/* Gate and up of one expert, some panels of both. */
static void gate_up(struct engine *en, struct lane *l, const struct cpu_layer *w, const struct cpu_inputs *all, int x,
                    int panel, int n_panel)
{
    const struct cpu_moe *m = &en->moe;
    int    first = m->first[x], n = m->first[x + 1] - first, rows = w->exp[EXP_UP][x].packed.rows;
    size_t at = (size_t)first * m->s_ff;
    struct cpu_product gate = { &w->exp[EXP_GATE][x], m->gate + at, m->s_ff, bias_of(w, VEC_GATES_B, x, rows) };
    struct cpu_product up = { &w->exp[EXP_UP][x], m->up + at, m->s_ff, bias_of(w, VEC_UPS_B, x, rows) };
    struct cpu_inputs  in = of_slots(en, all, first);

    if (!n) return;
    cpu_panels(en, l, &gate, &in, panel, n_panel, n, false);
    cpu_panels(en, l, &up, &in, panel, n_panel, n, false);
    for (int s = 0; s < n; s++) {
        size_t row = at + (size_t)s * m->s_ff + (size_t)panel * KERN_ROWS;
        cpu_activate(en, m->gate + row, m->up + row, n_panel * KERN_ROWS);
    }
}

static void down(struct engine *en, struct lane *l, const struct cpu_layer *w, const struct cpu_inputs *all, int x,
                 int panel, int n_panel)
{
    const struct cpu_moe *m = &en->moe;
    int first = m->first[x], n = m->first[x + 1] - first;
    struct cpu_product p = { &w->exp[EXP_DOWN][x], m->y + (size_t)first * en->s_embd, en->s_embd,
                             bias_of(w, VEC_DOWNS_B, x, en->hp.n_embd) };
    struct cpu_inputs  in = of_slots(en, all, first);

    if (n) cpu_panels(en, l, &p, &in, panel, n_panel, n, false);
}

typedef void expert_fn(struct engine *en, struct lane *l, const struct cpu_layer *w, const struct cpu_inputs *all, int x,
                       int panel, int n_panel);

/* One phase over all experts, by panels of a matrix of `rows`. */
static void each_expert(struct engine *en, struct lane *l, const struct cpu_layer *w, const struct cpu_inputs *in,
                        int rows, expert_fn *fn)
{
    int total = kern_panels(rows), step = cpu_panels_at_once(en, total * en->hp.n_expert_used);
    int chunks = cpu_chunks(total, step);

    for (int item; lane_next(l, en->hp.n_expert * chunks, &item);) {
        int a = item % chunks * step;
        fn(en, l, w, in, item / chunks, a, total - a < step ? total - a : step);
    }
}

static void sum(const struct engine *en, int t)
{
    const struct cpu_moe *m = &en->moe;
    int    k = en->hp.n_expert_used;
    float *y = en->y + (size_t)t * en->s_embd;

    for (int j = 0; j < k; j++) {
        float        weight = m->weight[t * k + j];
        const float *row = m->y + (size_t)m->slot[t * k + j] * en->s_embd;
        for (int i = 0; i < en->hp.n_embd; i++) {
            float part = weight * row[i];
            y[i] = j ? y[i] + part : part;
        }
    }
}

void cpu_experts(struct engine *en, struct lane *l, const struct cpu_layer *w)
{
    const struct cpu_norm norm = { w->vec[VEC_FFN_NORM], w->vec[VEC_FFN_NORM_B] }, none = { NULL, NULL };
    const struct cpu_hparams *hp = &en->hp;
    const struct cpu_moe *m = &en->moe;
    const struct cpu_mat *router = &w->mat[MAT_ROUTER];
    int  k = hp->n_expert_used, slots = en->n_tok * k, n_ff = w->exp[EXP_UP][0].packed.rows;
    bool q8 = cpu_wants_q8(&w->exp[EXP_GATE][0]) || cpu_wants_q8(&w->exp[EXP_UP][0]);
    bool f32 = !cpu_wants_q8(&w->exp[EXP_GATE][0]) || !cpu_wants_q8(&w->exp[EXP_UP][0]);

    struct cpu_inputs in = cpu_prepare(en, l, en->x, en->s_embd, en->n_tok, hp->n_embd, norm,
                                       q8 || cpu_wants_q8(router) ? en->xq : NULL);
    const struct cpu_product score = { router, m->score, m->s_router, w->vec[VEC_ROUTER_B] };
    cpu_multiply(en, l, &score, 1, &in, en->n_tok, false);
    for (int t; lane_next(l, en->n_tok, &t);)
        choose(m->score + (size_t)t * m->s_router, hp->n_expert, k, m->expert + t * k, m->weight + t * k);
    for (int i; lane_next(l, 1, &i);) sort(en);
    for (int s; lane_next(l, slots, &s);) {
        size_t to = (size_t)s, from = (size_t)m->token[s];
        if (f32) memcpy(m->x + to * en->s_embd, in.f32 + from * in.stride, (size_t)hp->n_embd * sizeof(float));
        if (q8) memcpy(m->xq + to * en->xq_bytes, in.q8 + from * in.q8_bytes, kern_q8_bytes(hp->n_embd));
    }
    in = (struct cpu_inputs){ m->x, en->s_embd, m->xq, en->xq_bytes };
    each_expert(en, l, w, &in, n_ff, gate_up);
    in = cpu_prepare(en, l, m->gate, m->s_ff, slots, n_ff, none, cpu_wants_q8(&w->exp[EXP_DOWN][0]) ? m->xq : NULL);
    each_expert(en, l, w, &in, hp->n_embd, down);
    for (int t; lane_next(l, en->n_tok, &t);) sum(en, t);
}
