/* kern_simd.h - the kernels, written once for vectors of 16 lanes.
 *
 * A file per instruction set defines the vectors and their operations, then includes this one, which
 * ends with simd_fill(). What it must define (see kern_avx512.c, where they are one instruction each):
 *
 *   vf, vi, vb          16 f32; 16 i32; 64 bytes, as 16 rows of 4
 *   TILE_P, TILE_C      panels and tokens that a matrix product keeps in registers
 *   vf_*, vi_*, vb_*    operations; each f32 operation rounds once
 *   vb_quad(q)          4 bytes of inputs, in every row
 *   vb_start(off)       where a sum of dots over 8-bit weights starts
 *   vb_dot(s, w, q)     adds the dot products of 4 stored weights (w + 128) and inputs; together with
 *                       vb_start this is exact and free of the 128
 *   vb_dot_low(s, u, q) the same for small unsigned u (below 64): the start is what the caller says
 *   vb_look(i)          KERN_E2M1 at each byte of i
 *
 * Loops over panels and tokens of a tile have constant bounds after inlining and unroll completely, so
 * that arrays of vectors become registers.
 */
#ifndef CURLEW_KERN_KERN_SIMD_H
#define CURLEW_KERN_KERN_SIMD_H

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

/* Memory is asked for before it is needed; without, a product with few tokens loses up to a third. Where one
 * tile has all tokens, each step asks for the same panels AHEAD bytes further on (2 to 8 KiB are alike). Where
 * several tiles pass over the same panels, each brings its share of the next panels to the second-level cache. */
#define AHEAD 4096

struct share {
    const unsigned char *at; // NULL: ask for the same panels further on
    int                  lines; // a step
};

INLINE void ask(struct share *s)
{
    for (int i = 0; i < s->lines; i++, s->at += 64) __builtin_prefetch(s->at, 0, 2);
}

/* --- matrices of floats --- */

INLINE vf weights_at(const enum kern_type type, const unsigned char *panel, size_t col)
{
    if (type == KERN_F32) return vf_load((const float *)panel + col * KERN_ROWS);
    if (type == KERN_F16) return vf_half((const uint16_t *)panel + col * KERN_ROWS);
    return vf_bf16((const uint16_t *)panel + col * KERN_ROWS);
}

INLINE void tile_store(const int np, const int nt, vf acc[TILE_P][TILE_C], float *out, size_t out_stride, bool add)
{
    UNROLL for (int t = 0; t < nt; t++)
        UNROLL for (int p = 0; p < np; p++) {
            float *o = out + (size_t)t * out_stride + (size_t)p * KERN_ROWS;
            vf_store(o, add ? vf_add(vf_load(o), acc[p][t]) : acc[p][t]);
        }
}

INLINE void tile_float(const enum kern_type type, const int np, const int nt, const struct kern_mat *w,
                       const unsigned char *panel, const char *x, size_t x_bytes, float *out, size_t out_stride,
                       bool add, struct share next)
{
    vf acc[TILE_P][TILE_C];

    UNROLL for (int p = 0; p < np; p++)
        UNROLL for (int t = 0; t < nt; t++) acc[p][t] = vf_zero();
    for (int c = 0; c < w->cols; c++) {
        vf v[TILE_P];
        if (next.at)
            ask(&next);
        else
            UNROLL for (int p = 0; p < np; p++)
                __builtin_prefetch(panel + (size_t)p * w->panel_bytes +
                                   (size_t)c * KERN_ROWS * (type == KERN_F32 ? 4 : 2) + AHEAD);
        UNROLL for (int p = 0; p < np; p++)
            v[p] = weights_at(type, panel + (size_t)p * w->panel_bytes, (size_t)c);
        UNROLL for (int t = 0; t < nt; t++) {
            vf in = vf_set1(((const float *)(const void *)(x + (size_t)t * x_bytes))[c]);
            UNROLL for (int p = 0; p < np; p++) acc[p][t] = vf_fma(v[p], in, acc[p][t]);
        }
    }
    tile_store(np, nt, acc, out, out_stride, add);
}

/* --- matrices of 8-bit and narrower blocks --- */

INLINE size_t group_bytes(const enum kern_type type)
{
    return type == KERN_Q8_0   ? sizeof(struct pack_q8)
           : type == KERN_Q4_0 ? sizeof(struct pack_q4)
           : type == KERN_Q5_0 ? sizeof(struct pack_q5)
           : type == KERN_Q6_K ? sizeof(struct pack_q6k)
           : type == KERN_MXFP4 ? sizeof(struct pack_mx4)
                               : sizeof(struct pack_q4k);
}

/* Blocks of 32 columns in a group. */
INLINE int group_blocks(const enum kern_type type)
{
    return type == KERN_Q6_K || type == KERN_Q4_K ? 8 : 2;
}

/* Stored weights of column group g (of 8) of block b of a group: bytes w + 128; for Q4_K bytes u, for MXFP4 twice
 * the values and 12. */
INLINE vb block_bytes(const enum kern_type type, const unsigned char *group, int b, const int g)
{
    if (type == KERN_Q8_0) return vb_load(((const struct pack_q8 *)group)->q[b][g]);
    if (type == KERN_Q4_0) {
        vb v = vb_load(((const struct pack_q4 *)group)->q[b][g / 2]);
        return vb_and(g & 1 ? v : vb_shl(v, 4), 0xF0);
    }
    if (type == KERN_Q5_0) {
        const struct pack_q5 *p = (const struct pack_q5 *)group;
        vb v = vb_load(p->q[b][g / 2]), h = vb_load(p->h[b]);
        return vb_or(vb_and(g & 1 ? vb_shr(v, 1) : vb_shl(v, 3), 0x78), vb_and(vb_shl(h, 7 - g), 0x80));
    }
    if (type == KERN_Q6_K) {
        const struct pack_q6k *p = (const struct pack_q6k *)group;
        vb v = vb_load(p->b[b].q[g / 2]), h = vb_load(p->b[b].h[g / 4]);
        return vb_or(vb_and(g & 1 ? vb_shr(v, 2) : vb_shl(v, 2), 0x3C), vb_and(vb_shl(h, 6 - 2 * (g & 3)), 0xC0));
    }
    if (type == KERN_MXFP4) {
        vb v = vb_load(((const struct pack_mx4 *)group)->q[b][g / 2]);
        return vb_look(vb_and(g & 1 ? vb_shr(v, 4) : v, 0x0F));
    }
    vb v = vb_load(((const struct pack_q4k *)group)->q[b][g / 2]);
    return vb_and(g & 1 ? vb_shr(v, 4) : v, 0x0F);
}

/* The scale of a block's dots; of its part (half), for Q6_K. */
INLINE vf block_scale(const enum kern_type type, const unsigned char *group, int b, const int part)
{
    if (type == KERN_Q8_0) return vf_half(((const struct pack_q8 *)group)->d[b]);
    if (type == KERN_Q4_0) return vf_mul(vf_half(((const struct pack_q4 *)group)->d[b]), vf_set1(1.0f / 16));
    if (type == KERN_Q5_0) return vf_mul(vf_half(((const struct pack_q5 *)group)->d[b]), vf_set1(1.0f / 8));
    if (type == KERN_Q6_K) {
        const struct pack_q6k *p = (const struct pack_q6k *)group;
        return vf_mul(vf_mul(vf_half(p->d), vf_set1(1.0f / 4)), vf_int(vi_s8(p->sc[b][part])));
    }
    if (type == KERN_MXFP4) return vf_bf16(((const struct pack_mx4 *)group)->d[b]);
    const struct pack_q4k *p = (const struct pack_q4k *)group;
    return vf_mul(vf_half(p->d), vf_int(vi_u8(p->sc[b])));
}

INLINE const struct kern_q8 *input(const char *x, size_t x_bytes, const int t, int block)
{
    return (const struct kern_q8 *)(const void *)(x + (size_t)t * x_bytes) + block;
}

/* s[p][t] = exact dots of a part of a block: all of it, or a half for Q6_K. */
INLINE void part_dots(const enum kern_type type, const int np, const int nt, const unsigned char *group,
                      size_t panel_bytes, int b, const int part, const char *x, size_t x_bytes, int block,
                      vi s[TILE_P][TILE_C])
{
    const int  groups = type == KERN_Q6_K ? 4 : 8;
    const bool low = type == KERN_Q4_K || type == KERN_MXFP4; // weights are small and have an offset of their own

    UNROLL for (int t = 0; t < nt; t++) {
        const struct kern_q8 *in = input(x, x_bytes, t, block);
        int32_t off = type != KERN_Q6_K ? in->off : part ? in->off - in->off_lo : in->off_lo;
        int32_t own = type == KERN_MXFP4 ? off / (128 / 4) * (KERN_E2M1_ZERO / 4) : 0; // off: -128 * sum of inputs
        UNROLL for (int p = 0; p < np; p++) s[p][t] = low ? vi_set1(own) : vb_start(off);
    }
    UNROLL for (int g = groups * part; g < groups * (part + 1); g++) {
        vb v[TILE_P];
        UNROLL for (int p = 0; p < np; p++) v[p] = block_bytes(type, group + (size_t)p * panel_bytes, b, g);
        UNROLL for (int t = 0; t < nt; t++) {
            vb q = vb_quad(input(x, x_bytes, t, block)->q + 4 * g);
            UNROLL for (int p = 0; p < np; p++)
                s[p][t] = low ? vb_dot_low(s[p][t], v[p], q) : vb_dot(s[p][t], v[p], q);
        }
    }
}

INLINE void add_part(const enum kern_type type, const int np, const int nt, const unsigned char *group,
                     size_t panel_bytes, int b, const int part, const char *x, size_t x_bytes, int block,
                     vf acc[TILE_P][TILE_C])
{
    vi s[TILE_P][TILE_C];

    part_dots(type, np, nt, group, panel_bytes, b, part, x, x_bytes, block, s);
    UNROLL for (int p = 0; p < np; p++) {
        vf d = block_scale(type, group + (size_t)p * panel_bytes, b, part);
        UNROLL for (int t = 0; t < nt; t++)
            acc[p][t] = vf_fma(vf_int(s[p][t]), vf_mul(d, vf_set1(input(x, x_bytes, t, block)->d)), acc[p][t]);
    }
}

/* A block's minima, times the sums of inputs, off the results. */
INLINE void take_minima(const int np, const int nt, const unsigned char *group, size_t panel_bytes, int b,
                        const char *x, size_t x_bytes, int block, vf acc[TILE_P][TILE_C])
{
    UNROLL for (int p = 0; p < np; p++) {
        const struct pack_q4k *k = (const struct pack_q4k *)(group + (size_t)p * panel_bytes);
        vf min = vf_mul(vf_half(k->dmin), vf_int(vi_u8(k->mn[b])));
        UNROLL for (int t = 0; t < nt; t++)
            acc[p][t] = vf_fnma(min, vf_set1(input(x, x_bytes, t, block)->sum), acc[p][t]);
    }
}

INLINE void tile_block(const enum kern_type type, const int np, const int nt, const struct kern_mat *w,
                       const unsigned char *panel, const char *x, size_t x_bytes, float *out, size_t out_stride,
                       bool add, struct share next)
{
    const int n = group_blocks(type);
    size_t    panel_bytes = w->panel_bytes;
    vf        acc[TILE_P][TILE_C];

    UNROLL for (int p = 0; p < np; p++)
        UNROLL for (int t = 0; t < nt; t++) acc[p][t] = vf_zero();
    for (int block = 0; block < w->cols / KERN_BLOCK; block++) {
        const unsigned char *group = panel + (size_t)(block / n) * group_bytes(type);
        int b = block % n;

        if (next.at)
            ask(&next);
        else
            UNROLL for (int p = 0; p < np; p++)
                UNROLL for (size_t i = 0; i < group_bytes(type) / (size_t)n; i += 64)
                    __builtin_prefetch(group + (size_t)p * panel_bytes +
                                       (size_t)b * (group_bytes(type) / (size_t)n) + i + AHEAD);
        if (type == KERN_Q4_K) take_minima(np, nt, group, panel_bytes, b, x, x_bytes, block, acc);
        add_part(type, np, nt, group, panel_bytes, b, 0, x, x_bytes, block, acc);
        if (type == KERN_Q6_K) add_part(type, np, nt, group, panel_bytes, b, 1, x, x_bytes, block, acc);
    }
    tile_store(np, nt, acc, out, out_stride, add);
}

/* --- tiles over a matrix --- */

INLINE void tile(const enum kern_type type, const int np, const int nt, const struct kern_mat *w,
                 const unsigned char *panel, const char *x, size_t x_bytes, float *out, size_t out_stride, bool add,
                 struct share next)
{
    if (type == KERN_F32 || type == KERN_F16 || type == KERN_BF16)
        tile_float(type, np, nt, w, panel, x, x_bytes, out, out_stride, add, next);
    else
        tile_block(type, np, nt, w, panel, x, x_bytes, out, out_stride, add, next);
}

/* Tokens of a tile. Unpacking Q6_K takes registers: with 6 they spill (430 Gop/s, with 4 540). */
INLINE int tile_width(const enum kern_type type)
{
    return type == KERN_Q6_K && TILE_C > 4 ? 4 : TILE_C;
}

INLINE void tile_of(const enum kern_type type, const int np, int nt, const struct kern_mat *w,
                    const unsigned char *panel, const char *x, size_t x_bytes, float *out, size_t out_stride,
                    bool add, struct share next)
{
#define TILE(n) \
    case n: \
        if (n <= tile_width(type)) tile(type, np, n <= TILE_C ? n : 1, w, panel, x, x_bytes, out, out_stride, add, next); \
        break
    switch (nt) {
        TILE(1);
        TILE(2);
        TILE(3);
        TILE(4);
        TILE(5);
        TILE(6);
    }
#undef TILE
}

/* Panels in bunches that stay in the cache while all tokens pass by; tokens in tiles of about the same
 * size, so that 8 are 4 and 4 and not 6 and 2. */
INLINE void gemm(const enum kern_type type, const struct kern_mat *w, int panel, int n_panel, const void *x,
                 size_t x_bytes, int n_tok, float *out, size_t out_stride, bool add)
{
    int tiles = (n_tok + tile_width(type) - 1) / tile_width(type);
    int steps = kern_is_float(type) ? w->cols : w->cols / KERN_BLOCK; // of a tile
    int lines = tiles < 2 ? 0 : (int)(TILE_P * w->panel_bytes / 64 / (size_t)(steps * tiles)) + 1;

    for (int p = panel; p < panel + n_panel;) {
        const unsigned char *data = w->data + (size_t)p * w->panel_bytes;
        int np = p + TILE_P <= panel + n_panel ? TILE_P : 1;
        for (int i = 0, t = 0; i < tiles; i++) {
            int nt = (n_tok - t) / (tiles - i) + ((n_tok - t) % (tiles - i) != 0);
            const char *in = (const char *)x + (size_t)t * x_bytes;
            float *o = out + (size_t)t * out_stride + (size_t)p * KERN_ROWS;
            struct share next = { .lines = lines };
            if (lines && (i || p > panel)) { // the first panels of a call: nobody brought them
                size_t from = (size_t)i * (size_t)lines * (size_t)steps * 64, size = (size_t)np * w->panel_bytes;
                next.at = data + size + from;
                if (from >= size) next.lines = 0;
            }
            if (np == TILE_P)
                tile_of(type, TILE_P, nt, w, data, in, x_bytes, o, out_stride, add, next);
            else
                tile_of(type, 1, nt, w, data, in, x_bytes, o, out_stride, add, next);
            t += nt;
        }
        p += np;
    }
}

#define GEMM(name, type)                                                                                       \
    static void gemm_##name(const struct kern_mat *w, int panel, int n_panel, const void *x, size_t x_bytes, \
                            int n_tok, float *out, size_t out_stride, bool add)                              \
    {                                                                                                          \
        gemm(type, w, panel, n_panel, x, x_bytes, n_tok, out, out_stride, add);                               \
    }
GEMM(f32, KERN_F32)
GEMM(f16, KERN_F16)
GEMM(bf16, KERN_BF16)
GEMM(q8_0, KERN_Q8_0)
GEMM(q4_0, KERN_Q4_0)
GEMM(q5_0, KERN_Q5_0)
GEMM(q6_k, KERN_Q6_K)
GEMM(q4_k, KERN_Q4_K)
GEMM(mxfp4, KERN_MXFP4)

/* --- exp, rows --- */

INLINE vf simd_exp(vf x)
{
    vf n = vf_round(vf_mul(x, vf_set1(EXP_LOG2E)));
    vf r = vf_fnma(n, vf_set1(EXP_LN2_1), x);
    r = vf_fnma(n, vf_set1(EXP_LN2_2), r);
    vf p = vf_set1(EXP_C7);
    p = vf_fma(p, r, vf_set1(EXP_C6));
    p = vf_fma(p, r, vf_set1(EXP_C5));
    p = vf_fma(p, r, vf_set1(EXP_C4));
    p = vf_fma(p, r, vf_set1(EXP_C3));
    p = vf_fma(p, r, vf_set1(EXP_C2));
    p = vf_fma(p, r, vf_set1(1));
    p = vf_fma(p, r, vf_set1(1));
    p = vf_mul(p, vf_pow2(n));
    p = vf_if_less(x, vf_set1(EXP_LO), vf_zero(), p);
    p = vf_if_less(vf_set1(EXP_HI), x, vf_set1(INFINITY), p);
    return vf_if_nan(x, p);
}

static void rms_norm(const float *x, const float *w, int n, float eps, float *out)
{
    vf  sum = vf_zero();
    int i = 0;

    for (; i + 16 <= n; i += 16) {
        vf v = vf_load(x + i);
        sum = vf_fma(v, v, sum);
    }
    if (i < n) {
        vf v = vf_load_n(x + i, n - i); // lanes without a value add 0 * 0
        sum = vf_fma(v, v, sum);
    }
    vf s = vf_set1(1 / sqrtf(vf_sum(sum) / (float)n + eps));
    for (i = 0; i + 16 <= n; i += 16) vf_store(out + i, vf_mul(vf_mul(vf_load(x + i), s), vf_load(w + i)));
    if (i < n) vf_store_n(out + i, vf_mul(vf_mul(vf_load_n(x + i, n - i), s), vf_load_n(w + i, n - i)), n - i);
}

INLINE vf rope_a(vf a, vf b, vf c, vf s) { return vf_fms(a, c, vf_mul(b, s)); }
INLINE vf rope_b(vf a, vf b, vf c, vf s) { return vf_fma(a, s, vf_mul(b, c)); }

static void rope(float *x, const float *cs, int n, bool neox)
{
    int half = n / 2;

    for (int i = 0; i < half; i += 16) {
        int m = half - i < 16 ? half - i : 16;
        vf  c, s, a, b;
        vf_load_pairs(cs + 2 * i, m, &c, &s);
        if (neox) {
            a = vf_load_n(x + i, m);
            b = vf_load_n(x + half + i, m);
            vf_store_n(x + i, rope_a(a, b, c, s), m);
            vf_store_n(x + half + i, rope_b(a, b, c, s), m);
        } else {
            vf_load_pairs(x + 2 * i, m, &a, &b);
            vf_store_pairs(x + 2 * i, m, rope_a(a, b, c, s), rope_b(a, b, c, s));
        }
    }
}

INLINE vf silu_times(vf g, vf u)
{
    vf e = simd_exp(vf_neg(g));
    return vf_mul(vf_div(g, vf_add(vf_set1(1), e)), u);
}

static void swiglu(float *gate, const float *up, int n)
{
    int i = 0;

    for (; i + 16 <= n; i += 16) vf_store(gate + i, silu_times(vf_load(gate + i), vf_load(up + i)));
    if (i < n) vf_store_n(gate + i, silu_times(vf_load_n(gate + i, n - i), vf_load_n(up + i, n - i)), n - i);
}

static void add_to(float *x, const float *y, int n)
{
    int i = 0;

    for (; i + 16 <= n; i += 16) vf_store(x + i, vf_add(vf_load(x + i), vf_load(y + i)));
    if (i < n) vf_store_n(x + i, vf_add(vf_load_n(x + i, n - i), vf_load_n(y + i, n - i)), n - i);
}

static void quant_q8(const float *x, int n, struct kern_q8 *dst)
{
    int nb = n / KERN_BLOCK;

    for (int b = 0; b < nb; b++, x += KERN_BLOCK, dst++) {
        vf       lo = vf_load(x), hi = vf_load(x + 16);
        uint32_t max = vf_top_bits(lo, hi);
        float    amax;
        memcpy(&amax, &max, 4);
        if (max >= 0x7F800000 || amax < KERN_Q8_TINY) {
            memset(dst, 0, sizeof *dst);
            if (max >= 0x7F800000) dst->d = dst->sum = NAN;
            continue;
        }
        vf  inverse = vf_set1(127 / amax);
        int sum_lo = vi_put_s8(dst->q, vf_mul(lo, inverse)), sum_hi = vi_put_s8(dst->q + 16, vf_mul(hi, inverse));
        dst->d = amax / 127;
        dst->sum = dst->d * (float)(sum_lo + sum_hi);
        dst->off = -128 * (sum_lo + sum_hi);
        dst->off_lo = -128 * sum_lo;
    }
    if (nb & 1) memset(dst, 0, sizeof *dst);
}

#include "kern/kern_act_simd.h"

/* --- attention --- */

/* 32 components to a scale and bytes. */
INLINE uint16_t kv_quant(const float *x, int8_t *q)
{
    vf       lo = vf_load(x), hi = vf_load(x + 16), top = vf_set1(127), low = vf_set1(-127);
    uint32_t max = vf_top_bits(lo, hi);
    uint16_t half[16];
    float    amax;

    memcpy(&amax, &max, 4);
    vf_put_half(half, vf_set1(max >= 0x7F800000 ? NAN : amax / 127));
    float d = vf_first(vf_half(half));
    memset(q, 0, KERN_BLOCK);
    if (!(d > 0)) return half[0];
    lo = vf_mul(lo, vf_set1(1 / d));
    hi = vf_mul(hi, vf_set1(1 / d));
    vi_put_s8(q, vf_if_less(top, lo, top, vf_if_less(lo, low, low, lo)));
    vi_put_s8(q + 16, vf_if_less(top, hi, top, vf_if_less(hi, low, low, hi)));
    return half[0];
}

static void kv_put_q8(const float *k, const float *v, int head_dim, unsigned char *kv, int t)
{
    struct kv_q8 *value = (struct kv_q8 *)(kv + kern_kv_keys_bytes(head_dim));
    int8_t q[KERN_BLOCK];

    for (int b = 0; b < head_dim / KERN_BLOCK; b++) {
        struct pack_q8 *p = kern_kv_key_at(kv, head_dim, b, t);
        p->d[b & 1][t % KERN_ROWS] = kv_quant(k + KERN_BLOCK * b, q);
        for (int g = 0; g < 8; g++) {
            uint32_t four;
            memcpy(&four, q + 4 * g, 4);
            four ^= 0x80808080u;
            memcpy(p->q[b & 1][g][t % KERN_ROWS], &four, 4);
        }
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
    int    pad = kern_dim_pad(head_dim);
    size_t v_at = (size_t)KERN_PAGE_TOK * (size_t)head_dim + (size_t)t * (size_t)pad;

    for (int i = 0; i < pad; i += 16) {
        int n = head_dim - i < 16 ? head_dim - i : 16;
        vf  key = vf_load_n(k + i, n), val = vf_load_n(v + i, n);
        if (f32) {
            for (int j = 0; j < n; j++) ((float *)kv)[(i + j) * KERN_PAGE_TOK + t] = k[i + j];
            vf_store((float *)kv + v_at + (size_t)i, val);
        } else {
            uint16_t half[16];
            vf_put_half(half, key);
            for (int j = 0; j < n; j++) ((uint16_t *)kv)[(i + j) * KERN_PAGE_TOK + t] = half[j];
            vf_put_half((uint16_t *)kv + v_at + (size_t)i, val);
        }
    }
}

INLINE vf kv_load(const void *kv, size_t at, const enum kern_kv type)
{
    return type == KERN_KV_F32 ? vf_load((const float *)kv + at) : vf_half((const uint16_t *)kv + at);
}

/* Query rows of a call that are worked on together, and what they need of one page. */
struct rows {
    const float *q[TILE_C];
    float       *o[TILE_C];
    const char  *q8;       // queries in 8 bits (Q8_0), q8_bytes from one to the next
    size_t       q8_bytes;
    float        p[TILE_C][KERN_PAGE_TOK]; // scores, then weights
    float        m[TILE_C], l[TILE_C], f[TILE_C];
    int          lo[TILE_C], hi[TILE_C];
};

/* r->p = q * K for 32 positions. Meanwhile the next page is asked for (its K and V lie together): pages of a
 * sequence are far apart, which no hardware prefetcher guesses. */
INLINE void scores(struct rows *r, const int n, const void *kv, const unsigned char *next, int dim,
                   const enum kern_kv type)
{
    const size_t step = type == KERN_KV_F32 ? 256 : 128; // bytes of K and V for one component
    vf s[2][TILE_C];

    UNROLL for (int i = 0; i < n; i++) s[0][i] = s[1][i] = vf_zero();
    for (int c = 0; c < dim; c++) {
        UNROLL for (size_t i = 0; i < step; i += 64) __builtin_prefetch(next + step * (size_t)c + i);
        vf k0 = kv_load(kv, (size_t)c * KERN_PAGE_TOK, type), k1 = kv_load(kv, (size_t)c * KERN_PAGE_TOK + 16, type);
        UNROLL for (int i = 0; i < n; i++) {
            vf q = vf_set1(r->q[i][c]);
            s[0][i] = vf_fma(q, k0, s[0][i]);
            s[1][i] = vf_fma(q, k1, s[1][i]);
        }
    }
    UNROLL for (int i = 0; i < n; i++) {
        vf_store(r->p[i], s[0][i]);
        vf_store(r->p[i] + 16, s[1][i]);
    }
}

/* The same of keys in 8 bits: a product with a packed matrix. Only the keys of the next page are asked for. */
INLINE void scores_q8(struct rows *r, const int n, const void *kv, const unsigned char *next, int dim)
{
    const struct kern_mat keys = kern_kv_keys(kv, dim);
    const int lines = (int)(TILE_P * keys.panel_bytes / 64) / (dim / KERN_BLOCK) + 1;

    for (int p = 0; p < KERN_PAGE_TOK / KERN_ROWS; p += TILE_P) {
        size_t at = (size_t)p * keys.panel_bytes;
        tile_block(KERN_Q8_0, TILE_P, n, &keys, keys.data + at, r->q8, r->q8_bytes, r->p[0] + p * KERN_ROWS,
                   KERN_PAGE_TOK, false, (struct share){ next + at, lines });
    }
}

/* Scores to weights, running maximum and sum. Position t0 is slot 0. */
INLINE void softmax(struct rows *r, const int i, int t0, float scale, float cap)
{
    vf a = vf_mul(vf_load(r->p[i]), vf_set1(scale)), b = vf_mul(vf_load(r->p[i] + 16), vf_set1(scale));

    if (cap > 0) {
        a = softcap_of(a, cap);
        b = softcap_of(b, cap);
    }
    if (r->lo[i] > t0 || r->hi[i] < t0 + KERN_PAGE_TOK) {
        vf none = vf_set1(-INFINITY);
        int lo = r->lo[i] - t0, hi = r->hi[i] - t0;
        a = vf_keep(a, lo, hi, none);
        b = vf_keep(b, lo - 16, hi - 16, none);
    }
    float top = vf_top(vf_max(a, b)), m = r->m[i];
    top = top > m ? top : m;
    vf shift = vf_set1(top);
    a = simd_exp(vf_sub(a, shift));
    b = simd_exp(vf_sub(b, shift));
    vf_store(r->p[i], a);
    vf_store(r->p[i] + 16, b);
    vf f = simd_exp(vf_set1(m - top));
    r->f[i] = vf_first(f);
    r->l[i] = vf_first(vf_fma(vf_set1(r->l[i]), f, vf_set1(vf_sum(vf_add(a, b)))));
    r->m[i] = top;
}

/* Rows i0 .. i0 + n - 1: o = o * f, then the weighted values of slots from .. to - 1; np vectors of 16. */
INLINE void values_at(struct rows *r, const int i0, const int n, const int np, const void *v, int pad, int from,
                      int to, int d, const enum kern_kv type)
{
    vf o[2][TILE_C];

    UNROLL for (int p = 0; p < np; p++)
        UNROLL for (int i = 0; i < n; i++)
            o[p][i] = vf_mul(vf_load(r->o[i0 + i] + d + 16 * p), vf_set1(r->f[i0 + i]));
    for (int t = from; t < to; t++) {
        vf val[2];
        UNROLL for (int p = 0; p < np; p++) val[p] = kv_load(v, (size_t)t * (size_t)pad + (size_t)(d + 16 * p), type);
        UNROLL for (int i = 0; i < n; i++) {
            vf w = vf_set1(r->p[i0 + i][t]);
            UNROLL for (int p = 0; p < np; p++) o[p][i] = vf_fma(w, val[p], o[p][i]);
        }
    }
    UNROLL for (int p = 0; p < np; p++)
        UNROLL for (int i = 0; i < n; i++) vf_store(r->o[i0 + i] + d + 16 * p, o[p][i]);
}

INLINE void values(struct rows *r, const int i0, const int n, const void *v, int pad, int from, int to,
                   const enum kern_kv type)
{
    int d = 0;

    for (; d + 32 <= pad; d += 32) values_at(r, i0, n, 2, v, pad, from, to, d, type);
    if (d < pad) values_at(r, i0, n, 1, v, pad, from, to, d, type);
}

/* The same of values in 8 bits, a block of 32 components at a time; those of the next page are asked for. */
INLINE void values_q8(struct rows *r, const int i0, const int n, const struct kv_q8 *v, const struct kv_q8 *next,
                      int dim, int from, int to)
{
    for (int b = 0; b < dim / KERN_BLOCK; b++, v++, next++) {
        float w[TILE_C][KERN_PAGE_TOK]; // weight times scale
        vf    o[2][TILE_C];

        UNROLL for (int i = 0; i < n; i++) {
            float *to_o = r->o[i0 + i] + KERN_BLOCK * b;
            UNROLL for (int h = 0; h < 2; h++) {
                vf_store(w[i] + 16 * h, vf_mul(vf_load(r->p[i0 + i] + 16 * h), vf_half(v->d + 16 * h)));
                o[h][i] = vf_mul(vf_load(to_o + 16 * h), vf_set1(r->f[i0 + i]));
            }
        }
        __builtin_prefetch(next->d, 0, 2);
        for (int t = from; t < to; t++) {
            __builtin_prefetch(next->q[t], 0, 2);
            vf a = vf_int(vi_s8(v->q[t])), c = vf_int(vi_s8(v->q[t] + 16));
            UNROLL for (int i = 0; i < n; i++) {
                vf weight = vf_set1(w[i][t]);
                o[0][i] = vf_fma(weight, a, o[0][i]);
                o[1][i] = vf_fma(weight, c, o[1][i]);
            }
        }
        UNROLL for (int i = 0; i < n; i++)
            UNROLL for (int h = 0; h < 2; h++) vf_store(r->o[i0 + i] + KERN_BLOCK * b + 16 * h, o[h][i]);
    }
}

INLINE void values_of(struct rows *r, const int i0, const int n, const unsigned char *kv, const unsigned char *next,
                      int dim, int from, int to, const enum kern_kv type)
{
    size_t at = type == KERN_KV_Q8_0 ? kern_kv_keys_bytes(dim)
                                     : (size_t)KERN_PAGE_TOK * (size_t)dim * (type == KERN_KV_F32 ? 4 : 2);

    if (type == KERN_KV_Q8_0)
        values_q8(r, i0, n, (const struct kv_q8 *)(kv + at), (const struct kv_q8 *)(next + at), dim, from, to);
    else
        values(r, i0, n, kv + at, kern_dim_pad(dim), from, to, type);
}

INLINE int clamp_slot(int t)
{
    return t < 0 ? 0 : t > KERN_PAGE_TOK ? KERN_PAGE_TOK : t;
}

INLINE void attn_page(struct rows *r, const int n, const unsigned char *kv, const unsigned char *next, int t0,
                      int dim, float scale, float cap, const enum kern_kv type)
{
    bool whole = true;
    bool in[TILE_C];

    if (type == KERN_KV_Q8_0)
        scores_q8(r, n, kv, next, dim);
    else
        scores(r, n, kv, next, dim, type);
    UNROLL for (int i = 0; i < n; i++) {
        in[i] = r->lo[i] < t0 + KERN_PAGE_TOK && r->hi[i] > t0;
        if (in[i]) softmax(r, i, t0, scale, cap);
        if (r->lo[i] > t0 || r->hi[i] < t0 + KERN_PAGE_TOK) whole = false;
    }
    if (whole) {
        values_of(r, 0, n, kv, next, dim, 0, KERN_PAGE_TOK, type);
        return;
    }
    for (int i = 0; i < n; i++) // a slot that a row does not see may hold anything: it is not read for it
        if (in[i]) values_of(r, i, 1, kv, next, dim, clamp_slot(r->lo[i] - t0), clamp_slot(r->hi[i] - t0), type);
}

INLINE void attn_rows(const struct kern_attn *a, int first, const int n, const enum kern_kv type)
{
    int pad = kern_dim_pad(a->head_dim), lo = a->lo[first], hi = a->hi[first];
    struct rows r;
    float *queries = a->scratch + (size_t)a->n_q * (size_t)pad;

    r.q8_bytes = type == KERN_KV_Q8_0 ? kern_q8_stride(a->head_dim) : 0;
    r.q8 = (const char *)queries + (size_t)first * r.q8_bytes;
    for (int i = 0; type == KERN_KV_Q8_0 && i < n; i++)
        quant_q8(a->q[first + i], a->head_dim, (struct kern_q8 *)(void *)(r.q8 + (size_t)i * r.q8_bytes));
    UNROLL for (int i = 0; i < n; i++) {
        r.q[i] = a->q[first + i];
        r.o[i] = a->scratch + (size_t)(first + i) * (size_t)pad;
        r.m[i] = -INFINITY;
        r.l[i] = r.f[i] = 0;
        r.lo[i] = a->lo[first + i];
        r.hi[i] = a->hi[first + i];
        if (r.lo[i] < lo) lo = r.lo[i];
        if (r.hi[i] > hi) hi = r.hi[i];
        memset(r.o[i], 0, (size_t)pad * sizeof(float));
    }
    int last = (hi - 1) / KERN_PAGE_TOK;
    for (int page = lo / KERN_PAGE_TOK; page <= last; page++) {
        const unsigned char *kv = a->kv + (size_t)a->page[page] * a->page_bytes;
        const unsigned char *next = page < last ? a->kv + (size_t)a->page[page + 1] * a->page_bytes : kv;
        attn_page(&r, n, kv, next, page * KERN_PAGE_TOK, a->head_dim, a->scale, a->softcap, type);
    }
    for (int i = 0; i < n; i++) {
        vf  l = vf_set1(r.l[i]);
        int dim = a->head_dim;
        if (a->sink) {
            float sink = a->sink[first + i], top = sink > r.m[i] ? sink : r.m[i];
            vf    f = simd_exp(vf_set1(r.m[i] - top));
            l = vf_fma(l, f, simd_exp(vf_set1(sink - top)));
            for (int d = 0; d < pad; d += 16) vf_store(r.o[i] + d, vf_mul(vf_load(r.o[i] + d), f));
        }
        for (int d = 0; d < dim; d += 16)
            vf_store_n(a->out[first + i] + d, vf_div(vf_load(r.o[i] + d), l), dim - d < 16 ? dim - d : 16);
    }
}

INLINE void attn_type(const struct kern_attn *a, const enum kern_kv type)
{
    int tiles = (a->n_q + TILE_C - 1) / TILE_C;

    for (int k = 0, first = 0; k < tiles; k++) {
        int n = (a->n_q - first) / (tiles - k) + ((a->n_q - first) % (tiles - k) != 0);
#define ROWS(m)                                                          \
    case m:                                                              \
        if (m <= TILE_C) attn_rows(a, first, m <= TILE_C ? m : 1, type); \
        break
        switch (n) {
            ROWS(1);
            ROWS(2);
            ROWS(3);
            ROWS(4);
            ROWS(5);
            ROWS(6);
        }
#undef ROWS
        first += n;
    }
}

static void attn_half(const struct kern_attn *a) { attn_type(a, KERN_KV_F16); }
static void attn_f32(const struct kern_attn *a) { attn_type(a, KERN_KV_F32); }
static void attn_q8(const struct kern_attn *a) { attn_type(a, KERN_KV_Q8_0); }

static void attn(const struct kern_attn *a)
{
    switch (a->type) {
    case KERN_KV_F16: attn_half(a); break;
    case KERN_KV_F32: attn_f32(a); break;
    case KERN_KV_Q8_0: attn_q8(a); break;
    }
}

/* --- ceilings --- */

static uint64_t stream(const void *p, size_t n)
{
    const unsigned char *c = p;
    vb s[8];

    UNROLL for (int i = 0; i < 8; i++) s[i] = vb_load(c);
    for (size_t at = 0; at < n; at += 512) {
        UNROLL for (int i = 0; i < 8; i++) s[i] = vb_or(s[i], vb_load(c + at + 64 * (size_t)i));
    }
    UNROLL for (int i = 1; i < 8; i++) s[0] = vb_or(s[0], s[i]);
    return vb_word(s[0]);
}

static uint64_t burn(int rounds, double *ops)
{
    enum { CHAINS = 12 }; // a dot takes 4 or 5 cycles, two start in each
    static const unsigned char weights[64] = { 1, 2, 3 };
    const int8_t quad[4] = { 1, 2, 3, 4 };
    vi s[CHAINS];

    UNROLL for (int i = 0; i < CHAINS; i++) { // chains that begin alike would be computed once for all
        const int8_t start[4] = { (int8_t)(i + 1), 0, 0, 0 };
        s[i] = vb_dot(vi_zero(), vb_load(weights), vb_quad(start));
    }
    for (int r = 0; r < rounds; r++) {
        __asm__ volatile("" ::: "memory"); // nothing is the same as the last time
        vb w = vb_load(weights), q = vb_quad(quad);
        UNROLL for (int i = 0; i < CHAINS; i++) s[i] = vb_dot(s[i], w, q);
    }
    UNROLL for (int i = 1; i < CHAINS; i++) s[0] = vi_add(s[0], s[i]);
    *ops = 2.0 * 64 * CHAINS * rounds;
    return vi_word(s[0]);
}

static void simd_fill(struct kern *k, const char *name)
{
    *k = (struct kern){
        .name = name,
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
    simd_fill_act(k);
}

#endif
