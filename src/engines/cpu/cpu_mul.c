/* cpu_mul.c - products with weight matrices, and what brings inputs into the form that these want.
 *
 * A matrix is cut by panels of rows, never by columns, so each sum is made by one lane in one order.
 *
 * With few tokens the end of a phase costs more than preparing inputs: then every lane prepares its own copy
 * and there is no phase. A lane that comes too late for the matrices that follow may then read rows while the
 * next phases write them: what it makes of them is garbage, but nobody uses it, since no item is left
 * for it. While it can still take one, the rows it read had not changed.
 */
#include "engines/cpu/cpu_int.h"

bool cpu_wants_q8(const struct cpu_mat *m)
{
    return !kern_is_float(m->packed.type);
}

float *cpu_lane_mem(const struct engine *en, const struct lane *l)
{
    return en->lane_mem + (size_t)lane_id(l) * en->lane_floats;
}

/* Rows of a matrix without kernels: 16 at a time become an F32 panel of the lane's own. */
static void unpacked_panels(const struct engine *en, const struct cpu_product *p, const struct cpu_inputs *in,
                            int panel, int n_panel, int n_tok, bool add, float *mem)
{
    const struct tensor *t = p->mat->src;
    int    cols = p->mat->packed.cols, rows = p->mat->packed.rows;
    size_t row_bytes = (size_t)tensor_row_bytes(t);
    float *packed = mem + (size_t)KERN_ROWS * (size_t)cols;

    for (int i = panel; i < panel + n_panel; i++) {
        int n = rows - i * KERN_ROWS < KERN_ROWS ? rows - i * KERN_ROWS : KERN_ROWS;
        size_t row = (size_t)p->mat->row0 + (size_t)i * KERN_ROWS;
        /* Types were tried at load: this cannot fail. */
        if (!dequant_row(t->type, t->data + row * row_bytes, mem, (int64_t)n * cols)) return;
        kern_pack(KERN_F32, cols, mem, (size_t)cols * sizeof *mem, n, packed);
        struct kern_mat m = { .data = (unsigned char *)packed, .rows = n, .cols = cols, .type = KERN_F32 };
        en->kern.gemm[KERN_F32](&m, 0, 1, in->f32, in->stride * sizeof(float), n_tok,
                                p->out + (size_t)i * KERN_ROWS, p->stride, add);
    }
}

void cpu_panels(const struct engine *en, struct lane *l, const struct cpu_product *p, const struct cpu_inputs *in,
                int panel, int n_panel, int n_tok, bool add)
{
    const struct kern_mat *m = &p->mat->packed;

    if (!m->data)
        unpacked_panels(en, p, in, panel, n_panel, n_tok, add, cpu_lane_mem(en, l));
    else if (cpu_wants_q8(p->mat))
        en->kern.gemm[m->type](m, panel, n_panel, in->q8, in->q8_bytes, n_tok, p->out, p->stride, add);
    else
        en->kern.gemm[m->type](m, panel, n_panel, in->f32, in->stride * sizeof(float), n_tok, p->out, p->stride,
                               add);
    if (!p->bias) return;
    for (int t = 0; t < n_tok; t++)
        en->kern.add(p->out + (size_t)t * p->stride + (size_t)panel * KERN_ROWS, p->bias + panel * KERN_ROWS,
                     n_panel * KERN_ROWS);
}

int cpu_panels_at_once(const struct engine *en, int total)
{
    int n = total / (8 * en->lanes);
    return n < 2 ? 2 : n > 64 ? 64 : n + (n & 1);
}

int cpu_chunks(int n, int at_once)
{
    return (n + at_once - 1) / at_once;
}

void cpu_multiply(struct engine *en, struct lane *l, const struct cpu_product *p, int n, const struct cpu_inputs *in,
                  int n_tok, bool add)
{
    int total = 0;

    for (int i = 0; i < n; i++) total += kern_panels(p[i].mat->packed.rows);
    int step = cpu_panels_at_once(en, total);
    for (int item; lane_next(l, cpu_chunks(total, step), &item);) {
        int from = item * step, to = from + step, base = 0;
        for (int i = 0; i < n; i++) { // the part of from .. to that is in this matrix
            int size = kern_panels(p[i].mat->packed.rows);
            int a = from > base ? from - base : 0, b = to - base < size ? to - base : size;
            if (a < b) cpu_panels(en, l, &p[i], in, a, b - a, n_tok, add);
            base += size;
        }
    }
}

void cpu_norm_row(const struct engine *en, struct cpu_norm norm, const float *x, int n, float *out)
{
    if (norm.b)
        en->kern.layer_norm(x, norm.w, norm.b, n, en->hp.eps, out);
    else
        en->kern.rms_norm(x, norm.w, n, en->hp.eps, out);
}

/* Norm (or none) of row t, quantised or not. */
static void prepare_row(const struct engine *en, const float *x, size_t stride, int t, int n, struct cpu_norm norm,
                        float *xn, unsigned char *xq)
{
    const float *row = x + (size_t)t * stride;

    if (norm.w) {
        xn += (size_t)t * en->s_embd;
        cpu_norm_row(en, norm, row, n, xn);
        row = xn;
    }
    if (xq) en->kern.quant_q8(row, n, (void *)(xq + (size_t)t * en->xq_bytes));
}

struct cpu_inputs cpu_prepare(struct engine *en, struct lane *l, const float *x, size_t stride, int n_tok, int n,
                              struct cpu_norm norm, unsigned char *xq)
{
    enum { TOKS = 4 };
    bool   alone = n_tok <= CPU_ALONE;
    float *xn = alone ? cpu_lane_mem(en, l) + en->lane_xn : en->xn;

    if (alone && xq) xq = (unsigned char *)(cpu_lane_mem(en, l) + en->lane_xq);
    struct cpu_inputs in = {
        .f32 = norm.w ? xn : x, .stride = norm.w ? en->s_embd : stride, .q8 = xq, .q8_bytes = en->xq_bytes,
    };
    if (!norm.w && !xq) return in;
    if (alone) {
        for (int t = 0; t < n_tok; t++) prepare_row(en, x, stride, t, n, norm, xn, xq);
        return in;
    }
    for (int item; lane_next(l, cpu_chunks(n_tok, TOKS), &item);)
        for (int t = item * TOKS; t < n_tok && t < (item + 1) * TOKS; t++)
            prepare_row(en, x, stride, t, n, norm, xn, xq);
    return in;
}

void cpu_activate(const struct engine *en, float *gate, const float *up, int n)
{
    switch (en->arch->act) {
    case CPU_ACT_SILU: en->kern.swiglu(gate, up, n); break;
    case CPU_ACT_GELU: en->kern.gelu(gate, up, n); break;
    case CPU_ACT_SWIGLU_OAI: en->kern.swiglu_oai(gate, up, n); break;
    }
}
