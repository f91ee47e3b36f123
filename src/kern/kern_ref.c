/* kern_ref.c - the kernels in plain C: the definition that every instruction set must meet bit for bit.
 *
 * fma is fmaf(): one rounding. The build forbids the compiler to contract or reorder f32 arithmetic.
 */
#include "kern/kern_int.h"

#include "base/half.h"

/* --- exp --- */

float kern_exp(float x)
{
    if (x != x) return x;
    if (x < EXP_LO) return 0;
    if (x > EXP_HI) return INFINITY;
    float n = rintf(x * EXP_LOG2E);
    float r = fmaf(-n, EXP_LN2_1, x);
    r = fmaf(-n, EXP_LN2_2, r);
    float p = EXP_C7;
    p = fmaf(p, r, EXP_C6);
    p = fmaf(p, r, EXP_C5);
    p = fmaf(p, r, EXP_C4);
    p = fmaf(p, r, EXP_C3);
    p = fmaf(p, r, EXP_C2);
    p = fmaf(p, r, 1);
    p = fmaf(p, r, 1);
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23; // 2^n; -126 <= n <= 127
    float    scale;
    memcpy(&scale, &bits, 4);
    return p * scale;
}

float kern_tree_sum(float v[16])
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++) v[i] = v[i] + v[i + half];
    return v[0];
}

static float larger(float a, float b)
{
    return a > b ? a : b;
}

/* --- matrices --- */

static void store(float acc[KERN_ROWS], float *out, bool add)
{
    for (int r = 0; r < KERN_ROWS; r++) out[r] = add ? out[r] + acc[r] : acc[r];
}

static float weight_f32(const void *p, size_t i)
{
    return ((const float *)p)[i];
}

static float weight_f16(const void *p, size_t i)
{
    return half_to_f32(((const uint16_t *)p)[i]);
}

static float weight_bf16(const void *p, size_t i)
{
    return bf16_to_f32(((const uint16_t *)p)[i]);
}

static inline void gemm_float(const struct kern_mat *w, int panel, int n_panel, const void *x, size_t x_bytes,
                              int n_tok, float *out, size_t out_stride, bool add,
                              float (*weight)(const void *, size_t))
{
    for (int p = panel; p < panel + n_panel; p++) {
        const unsigned char *data = w->data + (size_t)p * w->panel_bytes;
        for (int t = 0; t < n_tok; t++) {
            const float *in = (const void *)((const char *)x + (size_t)t * x_bytes);
            float acc[KERN_ROWS] = { 0 };
            for (int c = 0; c < w->cols; c++)
                for (int r = 0; r < KERN_ROWS; r++)
                    acc[r] = fmaf(weight(data, (size_t)c * KERN_ROWS + (size_t)r), in[c], acc[r]);
            store(acc, out + (size_t)t * out_stride + (size_t)p * KERN_ROWS, add);
        }
    }
}

#define GEMM_FLOAT(type)                                                                                    \
    static void gemm_##type(const struct kern_mat *w, int panel, int n_panel, const void *x, size_t x_bytes, \
                            int n_tok, float *out, size_t out_stride, bool add)                             \
    {                                                                                                       \
        gemm_float(w, panel, n_panel, x, x_bytes, n_tok, out, out_stride, add, weight_##type);              \
    }
GEMM_FLOAT(f32)
GEMM_FLOAT(f16)
GEMM_FLOAT(bf16)

/* A block of 32 columns as bytes u, in the order of struct pack_q8, and what makes weights of them:
 * d[part] * (u - offset) - min, in one part or two of 16 columns. */
struct block {
    uint8_t u[8][KERN_ROWS][4];
    int     offset; // 128, 0 or KERN_E2M1_ZERO
    int     parts;  // 1 or 2
    float   d[2][KERN_ROWS];
    float   min[KERN_ROWS]; // only where there are minima
};

static void block_q8_0(const unsigned char *panel, int i, struct block *b)
{
    const struct pack_q8 *p = (const struct pack_q8 *)panel + i / 2;

    b->offset = 128;
    b->parts = 1;
    memcpy(b->u, p->q[i & 1], sizeof b->u);
    for (int r = 0; r < KERN_ROWS; r++) b->d[0][r] = half_to_f32(p->d[i & 1][r]);
}

static int nibble(const uint8_t q[4][KERN_ROWS][4], int g, int r, int j)
{
    return g & 1 ? q[g / 2][r][j] >> 4 : q[g / 2][r][j] & 15;
}

#define EACH_VALUE                      \
    for (int g = 0; g < 8; g++)         \
        for (int r = 0; r < KERN_ROWS; r++) \
            for (int j = 0; j < 4; j++)

static void block_q4_0(const unsigned char *panel, int i, struct block *b)
{
    struct pack_q4 p = ((const struct pack_q4 *)panel)[i / 2];

    b->offset = 128;
    b->parts = 1;
    EACH_VALUE b->u[g][r][j] = (uint8_t)(16 * nibble(p.q[i & 1], g, r, j));
    for (int r = 0; r < KERN_ROWS; r++) b->d[0][r] = half_to_f32(p.d[i & 1][r]) * (1.0f / 16);
}

static void block_q5_0(const unsigned char *panel, int i, struct block *b)
{
    struct pack_q5 p = ((const struct pack_q5 *)panel)[i / 2];

    b->offset = 128;
    b->parts = 1;
    EACH_VALUE b->u[g][r][j] =
        (uint8_t)(8 * (nibble(p.q[i & 1], g, r, j) | (p.h[i & 1][r][j] >> g & 1) << 4));
    for (int r = 0; r < KERN_ROWS; r++) b->d[0][r] = half_to_f32(p.d[i & 1][r]) * (1.0f / 8);
}

static void block_q6_k(const unsigned char *panel, int i, struct block *b)
{
    struct pack_q6k p = ((const struct pack_q6k *)panel)[i / 8];

    b->offset = 128;
    b->parts = 1;
    EACH_VALUE b->u[g][r][j] =
        (uint8_t)(4 * (nibble(p.b[i & 7].q, g, r, j) | (p.b[i & 7].h[g / 4][r][j] >> 2 * (g & 3) & 3) << 4));
    b->parts = 2;
    for (int h = 0; h < 2; h++) // exact
        for (int r = 0; r < KERN_ROWS; r++) b->d[h][r] = half_to_f32(p.d[r]) * (1.0f / 4) * (float)p.sc[i & 7][h][r];
}

static void block_q4_k(const unsigned char *panel, int i, struct block *b)
{
    struct pack_q4k p = ((const struct pack_q4k *)panel)[i / 8];

    b->offset = 0;
    b->parts = 1;
    EACH_VALUE b->u[g][r][j] = (uint8_t)nibble(p.q[i & 7], g, r, j);
    for (int r = 0; r < KERN_ROWS; r++) { // both products are exact in f32
        b->d[0][r] = half_to_f32(p.d[r]) * (float)p.sc[i & 7][r];
        b->min[r] = half_to_f32(p.dmin[r]) * (float)p.mn[i & 7][r];
    }
}

static void block_mxfp4(const unsigned char *panel, int i, struct block *b)
{
    static const uint8_t value[16] = { KERN_E2M1 };
    struct pack_mx4 p = ((const struct pack_mx4 *)panel)[i / 2];

    b->offset = KERN_E2M1_ZERO;
    b->parts = 1;
    EACH_VALUE b->u[g][r][j] = value[nibble(p.q[i & 1], g, r, j)];
    for (int r = 0; r < KERN_ROWS; r++) b->d[0][r] = bf16_to_f32(p.d[i & 1][r]);
}

/* One block of one token into the sums of 16 rows. */
static void block_dot(const struct block *b, const struct kern_q8 *x, bool has_min, float acc[KERN_ROWS])
{
    int groups = 8 / b->parts; // of 4 columns, in a part

    for (int r = 0; r < KERN_ROWS; r++) {
        if (has_min) acc[r] = fmaf(-b->min[r], x->sum, acc[r]);
        for (int h = 0; h < b->parts; h++) {
            int32_t dot = 0;
            for (int g = groups * h; g < groups * (h + 1); g++)
                for (int j = 0; j < 4; j++) dot += (b->u[g][r][j] - b->offset) * x->q[4 * g + j];
            acc[r] = fmaf((float)dot, b->d[h][r] * x->d, acc[r]);
        }
    }
}

static void gemm_block(const struct kern_mat *w, int panel, int n_panel, const void *x, size_t x_bytes,
                       int n_tok, float *out, size_t out_stride, bool add, bool has_min,
                       void (*block)(const unsigned char *panel, int i, struct block *b))
{
    enum { TOKS = 16 }; // that share an expanded block
    int n_block = (w->cols + KERN_BLOCK - 1) / KERN_BLOCK;

    for (int p = panel; p < panel + n_panel; p++) {
        const unsigned char *data = w->data + (size_t)p * w->panel_bytes;
        for (int t0 = 0; t0 < n_tok; t0 += TOKS) {
            float acc[TOKS][KERN_ROWS] = { 0 };
            int   n = n_tok - t0 < TOKS ? n_tok - t0 : TOKS;
            for (int i = 0; i < n_block; i++) {
                struct block b;
                block(data, i, &b);
                for (int t = 0; t < n; t++) {
                    const char *in = (const char *)x + (size_t)(t0 + t) * x_bytes;
                    block_dot(&b, (const struct kern_q8 *)in + i, has_min, acc[t]);
                }
            }
            for (int t = 0; t < n; t++)
                store(acc[t], out + (size_t)(t0 + t) * out_stride + (size_t)p * KERN_ROWS, add);
        }
    }
}

#define GEMM_BLOCK(type, has_min)                                                                           \
    static void gemm_##type(const struct kern_mat *w, int panel, int n_panel, const void *x, size_t x_bytes, \
                            int n_tok, float *out, size_t out_stride, bool add)                             \
    {                                                                                                       \
        gemm_block(w, panel, n_panel, x, x_bytes, n_tok, out, out_stride, add, has_min, block_##type);      \
    }
GEMM_BLOCK(q8_0, false)
GEMM_BLOCK(q4_0, false)
GEMM_BLOCK(q5_0, false)
GEMM_BLOCK(q6_k, false)
GEMM_BLOCK(q4_k, true)
GEMM_BLOCK(mxfp4, false)

/* --- inputs --- */

static void quant_block(const float *x, struct kern_q8 *dst)
{
    uint32_t max = 0; // of |x| as bits: ordered like the numbers, infinities and NaNs on top
    float    amax;
    int32_t  lo = 0, hi = 0;

    for (int i = 0; i < 32; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        bits &= 0x7FFFFFFF;
        if (bits > max) max = bits;
    }
    memcpy(&amax, &max, 4);
    memset(dst, 0, sizeof *dst);
    if (max >= 0x7F800000) dst->d = dst->sum = NAN;
    if (max >= 0x7F800000 || amax < KERN_Q8_TINY) return;

    float inverse = 127 / amax;
    for (int i = 0; i < 32; i++) {
        dst->q[i] = (int8_t)lrintf(x[i] * inverse);
        *(i < 16 ? &lo : &hi) += dst->q[i];
    }
    dst->d = amax / 127;
    dst->sum = dst->d * (float)(lo + hi);
    dst->off = -128 * (lo + hi);
    dst->off_lo = -128 * lo;
}

static void quant_q8(const float *x, int n, struct kern_q8 *dst)
{
    int nb = n / KERN_BLOCK;

    for (int b = 0; b < nb; b++) quant_block(x + KERN_BLOCK * b, &dst[b]);
    if (nb & 1) memset(&dst[nb], 0, sizeof *dst);
}

/* --- rows --- */

static void rms_norm(const float *x, const float *w, int n, float eps, float *out)
{
    float lane[16] = { 0 };

    for (int i = 0; i < n; i++) lane[i & 15] = fmaf(x[i], x[i], lane[i & 15]);
    float s = 1 / sqrtf(kern_tree_sum(lane) / (float)n + eps);
    for (int i = 0; i < n; i++) out[i] = x[i] * s * w[i];
}

static void rope(float *x, const float *cs, int n, bool neox)
{
    for (int i = 0; i < n / 2; i++) {
        float *a = neox ? &x[i] : &x[2 * i], *b = neox ? &x[i + n / 2] : &x[2 * i + 1];
        float  c = cs[2 * i], s = cs[2 * i + 1], a0 = *a;
        *a = fmaf(a0, c, -(*b * s));
        *b = fmaf(a0, s, *b * c);
    }
}

static void swiglu(float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i++) gate[i] = gate[i] / (1 + kern_exp(-gate[i])) * up[i];
}

static void add_to(float *x, const float *y, int n)
{
    for (int i = 0; i < n; i++) x[i] += y[i];
}

/* --- attention --- */

static uint16_t to_half(float f) // NaN stays NaN
{
    const float max = 65504;
    return half_from_f32(f > max ? max : f < -max ? -max : f);
}

/* 32 components to a scale and bytes. */
static uint16_t kv_quant(const float *x, int8_t q[KERN_BLOCK])
{
    float amax = 0;
    bool  bad = false;

    memset(q, 0, KERN_BLOCK);
    for (int i = 0; i < KERN_BLOCK; i++) {
        if (!isfinite(x[i])) bad = true;
        amax = larger(fabsf(x[i]), amax);
    }
    uint16_t half = to_half(bad ? NAN : amax / 127);
    float    d = half_to_f32(half);
    if (!(d > 0)) return half;
    for (int i = 0; i < KERN_BLOCK; i++) {
        float v = x[i] * (1 / d);
        q[i] = (int8_t)lrintf(v > 127 ? 127 : v < -127 ? -127 : v);
    }
    return half;
}

static void kv_put_q8(const float *k, const float *v, int head_dim, unsigned char *kv, int t)
{
    struct kv_q8 *value = (struct kv_q8 *)(kv + kern_kv_keys_bytes(head_dim));
    int8_t q[KERN_BLOCK];

    for (int b = 0; b < head_dim / KERN_BLOCK; b++) {
        struct pack_q8 *p = kern_kv_key_at(kv, head_dim, b, t);
        p->d[b & 1][t % KERN_ROWS] = kv_quant(k + KERN_BLOCK * b, q);
        for (int i = 0; i < KERN_BLOCK; i++) p->q[b & 1][i / 4][t % KERN_ROWS][i % 4] = (uint8_t)(q[i] + 128);
        value[b].d[t] = kv_quant(v + KERN_BLOCK * b, value[b].q[t]);
    }
}

static void kv_put(const float *k, const float *v, int head_dim, enum kern_kv type, void *kv, int t)
{
    if (type == KERN_KV_Q8_0) {
        kv_put_q8(k, v, head_dim, kv, t);
        return;
    }
    bool   f32 = type == KERN_KV_F32;
    int    dim_pad = kern_dim_pad(head_dim);
    size_t v_at = (size_t)KERN_PAGE_TOK * (size_t)head_dim + (size_t)t * (size_t)dim_pad;

    for (int i = 0; i < head_dim; i++) {
        if (f32)
            ((float *)kv)[i * KERN_PAGE_TOK + t] = k[i];
        else
            ((uint16_t *)kv)[i * KERN_PAGE_TOK + t] = to_half(k[i]);
    }
    for (int i = 0; i < dim_pad; i++) {
        float f = i < head_dim ? v[i] : 0;
        if (f32)
            ((float *)kv)[v_at + (size_t)i] = f;
        else
            ((uint16_t *)kv)[v_at + (size_t)i] = to_half(f);
    }
}

static float kv_at(const void *kv, size_t i, bool f32)
{
    return f32 ? ((const float *)kv)[i] : half_to_f32(((const uint16_t *)kv)[i]);
}

/* Products of a query with the keys of a page: p[32]. */
static void scores(const struct kern_attn *a, const unsigned char *kv, const float *q, const struct kern_q8 *q8, float *p)
{
    if (a->type == KERN_KV_Q8_0) {
        const struct kern_mat keys = kern_kv_keys(kv, a->head_dim);
        gemm_q8_0(&keys, 0, KERN_PAGE_TOK / KERN_ROWS, q8, 0, 1, p, 0, false);
        return;
    }
    for (int t = 0; t < KERN_PAGE_TOK; t++) {
        p[t] = 0;
        for (int i = 0; i < a->head_dim; i++)
            p[t] = fmaf(q[i], kv_at(kv, (size_t)(i * KERN_PAGE_TOK + t), a->type == KERN_KV_F32), p[t]);
    }
}

/* o += weight times the value in slot t. */
static void add_value(const struct kern_attn *a, const unsigned char *kv, int t, float weight, float *o)
{
    int    dim = a->head_dim, pad = kern_dim_pad(dim);
    size_t v_at = (size_t)KERN_PAGE_TOK * (size_t)dim;
    const struct kv_q8 *block = (const struct kv_q8 *)(kv + kern_kv_keys_bytes(dim));

    if (a->type == KERN_KV_Q8_0)
        for (int i = 0; i < dim; i++) {
            const struct kv_q8 *b = &block[i / KERN_BLOCK];
            o[i] = fmaf(weight * half_to_f32(b->d[t]), (float)b->q[t][i % KERN_BLOCK], o[i]);
        }
    else
        for (int i = 0; i < pad; i++)
            o[i] = fmaf(weight, kv_at(kv, v_at + (size_t)(t * pad + i), a->type == KERN_KV_F32), o[i]);
}

static void attn_row(const struct kern_attn *a, const float *q, int lo, int hi, const float *sink, float *o,
                     float *out)
{
    int    dim = a->head_dim, pad = kern_dim_pad(dim);
    float  m = -INFINITY, l = 0;
    struct kern_q8 *q8 = (void *)(o + pad);

    if (a->type == KERN_KV_Q8_0) quant_q8(q, dim, q8);

    memset(o, 0, (size_t)pad * sizeof *o);
    for (int pg = lo / KERN_PAGE_TOK; pg <= (hi - 1) / KERN_PAGE_TOK; pg++) {
        const unsigned char *kv = a->kv + (size_t)a->page[pg] * a->page_bytes;
        int   t0 = pg * KERN_PAGE_TOK; // position of slot 0
        float p[KERN_PAGE_TOK], tree[16], top;

        scores(a, kv, q, q8, p);
        for (int t = 0; t < KERN_PAGE_TOK; t++) {
            float s = p[t] * a->scale;
            if (a->softcap > 0) s = kern_softcap(s, a->softcap);
            p[t] = t0 + t >= lo && t0 + t < hi ? s : -INFINITY;
        }
        for (int i = 0; i < 16; i++) tree[i] = larger(p[i], p[i + 16]);
        for (int half = 8; half; half /= 2)
            for (int i = 0; i < half; i++) tree[i] = larger(tree[i], tree[i + half]);
        top = larger(tree[0], m);
        float f = kern_exp(m - top);
        m = top;

        for (int t = 0; t < KERN_PAGE_TOK; t++) p[t] = kern_exp(p[t] - m);
        for (int i = 0; i < 16; i++) tree[i] = p[i] + p[i + 16];
        l = fmaf(l, f, kern_tree_sum(tree));
        for (int i = 0; i < pad; i++) o[i] = o[i] * f;
        for (int t = 0; t < KERN_PAGE_TOK; t++)
            if (t0 + t >= lo && t0 + t < hi) add_value(a, kv, t, p[t], o);
    }
    if (sink) {
        float top = larger(*sink, m), f = kern_exp(m - top);
        l = fmaf(l, f, kern_exp(*sink - top));
        for (int i = 0; i < dim; i++) o[i] = o[i] * f;
    }
    for (int i = 0; i < dim; i++) out[i] = o[i] / l;
}

static void attn(const struct kern_attn *a)
{
    for (int i = 0; i < a->n_q; i++)
        attn_row(a, a->q[i], a->lo[i], a->hi[i], a->sink ? a->sink + i : NULL,
                 a->scratch + kern_attn_floats(i, a->head_dim, a->type), a->out[i]);
}

/* --- ceilings --- */

static uint64_t stream(const void *p, size_t n)
{
    uint64_t sum[8] = { 0 };

    for (size_t i = 0; i < n / 8; i += 8)
        for (size_t j = 0; j < 8; j++) sum[j] ^= ((const uint64_t *)p)[i + j];
    for (int j = 1; j < 8; j++) sum[0] ^= sum[j];
    return sum[0];
}

static uint64_t burn(int rounds, double *ops)
{
    uint32_t s[16];

    for (int j = 0; j < 16; j++) s[j] = (uint32_t)(rounds + j); // zeros would stay zeros, and the loop go
    for (int i = 0; i < rounds; i++)
        for (int j = 0; j < 16; j++) s[j] += (uint32_t)(i & 255) * (s[j] & 127);
    for (int j = 1; j < 16; j++) s[0] ^= s[j];
    *ops = 2.0 * 16 * rounds;
    return s[0];
}

void kern_init_ref(struct kern *k)
{
    *k = (struct kern){
        .name = "ref",
        .gemm = {
            [KERN_F32] = gemm_f32,
            [KERN_F16] = gemm_f16,
            [KERN_BF16] = gemm_bf16,
            [KERN_Q8_0] = gemm_q8_0,
            [KERN_Q4_0] = gemm_q4_0,
            [KERN_Q5_0] = gemm_q5_0,
            [KERN_Q6_K] = gemm_q6_k,
            [KERN_Q4_K] = gemm_q4_k,
            [KERN_MXFP4] = gemm_mxfp4,
        },
        .quant_q8 = quant_q8,
        .rms_norm = rms_norm,
        .rope = rope,
        .swiglu = swiglu,
        .add = add_to,
        .kv_put = kv_put,
        .attn = attn,
        .stream = stream,
        .burn = burn,
    };
    kern_init_act(k);
}
