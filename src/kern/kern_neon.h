/* kern_neon.h - vectors of 16 lanes, four registers each, for 64-bit Arm; the kernels are in kern_simd.h.
 *
 * Included by a file per instruction set, which is compiled with its own flags: kern_neon.c (ARMv8.0),
 * kern_dotprod.c (SDOT: FEAT_DotProd) and kern_i8mm.c (USDOT: FEAT_I8MM). They differ in vb_dot only.
 * Source: Arm C Language Extensions, Advanced SIMD intrinsics.
 */
#ifndef CURLEW_KERN_KERN_NEON_H
#define CURLEW_KERN_KERN_NEON_H

#include <arm_neon.h>

#include "kern/kern_int.h"

/* 24 of 32 registers accumulate (f32 and i32), 4 hold weights. */
#define TILE_P 1
#ifdef KERN_SANITIZED
#define TILE_C 2
#else
#define TILE_C 3
#endif

typedef struct { float32x4_t v[4]; } vf;
typedef struct { int32x4_t v[4]; } vi;
typedef struct { uint8x16_t v[4]; } vb;
typedef struct { uint32x4_t v[4]; } vm; // all bits of a lane, or none

#define OP static inline __attribute__((always_inline))
/* The same for each of the four registers i. Not a loop: gcc keeps structs in registers only when it sees
 * constant places from the start. */
#define EACH(...)                      \
    do {                               \
        { enum { i = 0 }; __VA_ARGS__; } \
        { enum { i = 1 }; __VA_ARGS__; } \
        { enum { i = 2 }; __VA_ARGS__; } \
        { enum { i = 3 }; __VA_ARGS__; } \
    } while (0)

/* Lanes 0 .. n - 1. */
OP vm first_n(int n)
{
    const int32x4_t lane = { 0, 1, 2, 3 };
    vm m;
    EACH(m.v[i] = vcltq_s32(lane, vdupq_n_s32(n - 4 * i)));
    return m;
}

#define OP1(name, type, from, call)   \
    OP type name(from x)              \
    {                                 \
        type r;                       \
        EACH(r.v[i] = call(x.v[i]));   \
        return r;                     \
    }
#define OP2(name, type, call)                  \
    OP type name(type x, type y)               \
    {                                          \
        type r;                                \
        EACH(r.v[i] = call(x.v[i], y.v[i]));    \
        return r;                              \
    }

OP vf vf_set1(float x)
{
    vf r;
    EACH(r.v[i] = vdupq_n_f32(x));
    return r;
}
OP vf vf_zero(void) { return vf_set1(0); }
OP vf vf_load(const float *p)
{
    vf r;
    EACH(r.v[i] = vld1q_f32(p + 4 * i));
    return r;
}
OP void vf_store(float *p, vf x) { EACH(vst1q_f32(p + 4 * i, x.v[i])); }
/* There are no masked loads: a row's end goes through memory. */
OP vf vf_load_n(const float *p, int n)
{
    if (n >= 16) return vf_load(p);
    float end[16] = { 0 };
    for (int i = 0; i < n; i++) end[i] = p[i];
    return vf_load(end);
}
OP void vf_store_n(float *p, vf x, int n)
{
    if (n >= 16) {
        vf_store(p, x);
        return;
    }
    float end[16];
    vf_store(end, x);
    for (int i = 0; i < n; i++) p[i] = end[i];
}
OP vf vf_select(vm m, vf yes, vf no)
{
    vf r;
    EACH(r.v[i] = vbslq_f32(m.v[i], yes.v[i], no.v[i]));
    return r;
}
OP2(vf_add, vf, vaddq_f32)
OP2(vf_sub, vf, vsubq_f32)
OP2(vf_mul, vf, vmulq_f32)
OP2(vf_div, vf, vdivq_f32)
OP1(vf_neg, vf, vf, vnegq_f32)
OP1(vf_round, vf, vf, vrndnq_f32)
OP1(vf_int, vf, vi, vcvtq_f32_s32)
OP vf vf_fma(vf a, vf b, vf c)
{
    vf r;
    EACH(r.v[i] = vfmaq_f32(c.v[i], a.v[i], b.v[i]));
    return r;
}
OP vf vf_fms(vf a, vf b, vf c) { return vf_fma(a, b, vf_neg(c)); }
OP vf vf_fnma(vf a, vf b, vf c)
{
    vf r;
    EACH(r.v[i] = vfmsq_f32(c.v[i], a.v[i], b.v[i]));
    return r;
}
/* The machine's own maximum prefers NaNs and +0; the definition is a comparison. */
OP float32x4_t larger(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
OP2(vf_max, vf, larger)
OP vf vf_half(const uint16_t *p)
{
    vf r;
    EACH(r.v[i] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))));
    return r;
}
OP vf vf_bf16(const uint16_t *p)
{
    vf r;
    EACH(r.v[i] = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)));
    return r;
}
OP void vf_put_half(uint16_t *p, vf x) // NaNs pass
{
    const float32x4_t max = vdupq_n_f32(65504);
    EACH(float32x4_t v = vmaxq_f32(vnegq_f32(max), vminq_f32(max, x.v[i]));
         vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(v))));
}
OP float32x4_t pow2(float32x4_t n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23));
}
OP1(vf_pow2, vf, vf, pow2) // 2^n for whole n from -126 to 127
OP vf vf_if_less(vf x, vf y, vf yes, vf no)
{
    vm m;
    EACH(m.v[i] = vcltq_f32(x.v[i], y.v[i]));
    return vf_select(m, yes, no);
}
OP vf vf_if_nan(vf x, vf no)
{
    vm m;
    EACH(m.v[i] = vceqq_f32(x.v[i], x.v[i]));
    return vf_select(m, no, x);
}
OP vf vf_keep(vf x, int lo, int hi, vf other) // lanes lo .. hi - 1 of x
{
    vm from = first_n(lo), to = first_n(hi);
    EACH(to.v[i] = vbicq_u32(to.v[i], from.v[i]));
    return vf_select(to, x, other);
}
OP float vf_sum(vf x)
{
    float32x4_t a = vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3]));
    float32x2_t b = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(b, 0) + vget_lane_f32(b, 1);
}
OP float vf_top(vf x)
{
    float32x4_t a = larger(larger(x.v[0], x.v[2]), larger(x.v[1], x.v[3]));
    a = larger(a, vextq_f32(a, a, 2));
    a = larger(a, vextq_f32(a, a, 1));
    return vgetq_lane_f32(a, 0);
}
OP uint32x4_t abs_bits(float32x4_t x) { return vreinterpretq_u32_f32(vabsq_f32(x)); }
OP uint32_t vf_top_bits(vf x, vf y) // of |x|
{
    uint32x4_t a = vdupq_n_u32(0);
    EACH(a = vmaxq_u32(a, vmaxq_u32(abs_bits(x.v[i]), abs_bits(y.v[i]))));
    return vmaxvq_u32(a);
}
/* n (up to 16) pairs: firsts and seconds. */
OP void vf_load_pairs(const float *p, int n, vf *a, vf *b)
{
    float end[32] = { 0 };
    if (n < 16) {
        for (int i = 0; i < 2 * n; i++) end[i] = p[i];
        p = end;
    }
    EACH(float32x4x2_t v = vld2q_f32(p + 8 * i); a->v[i] = v.val[0]; b->v[i] = v.val[1]);
}
OP void vf_store_pairs(float *p, int n, vf a, vf b)
{
    float end[32], *to = n < 16 ? end : p;
    EACH(vst2q_f32(to + 8 * i, ((float32x4x2_t){ { a.v[i], b.v[i] } })));
    for (int i = 0; n < 16 && i < 2 * n; i++) p[i] = end[i];
}

OP vi vi_set1(int32_t x)
{
    vi r;
    EACH(r.v[i] = vdupq_n_s32(x));
    return r;
}
OP vi vi_zero(void) { return vi_set1(0); }
OP2(vi_add, vi, vaddq_s32)
OP vi vi_s8(const int8_t *p)
{
    int8x16_t v = vld1q_s8(p);
    int16x8_t lo = vmovl_s8(vget_low_s8(v)), hi = vmovl_high_s8(v);
    return (vi){ { vmovl_s16(vget_low_s16(lo)), vmovl_high_s16(lo), vmovl_s16(vget_low_s16(hi)),
                   vmovl_high_s16(hi) } };
}
OP vi vi_u8(const uint8_t *p)
{
    uint8x16_t v = vld1q_u8(p);
    int16x8_t lo = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(v))), hi = vreinterpretq_s16_u16(vmovl_high_u8(v));
    return (vi){ { vmovl_s16(vget_low_s16(lo)), vmovl_high_s16(lo), vmovl_s16(vget_low_s16(hi)),
                   vmovl_high_s16(hi) } };
}
OP int vi_put_s8(int8_t *p, vf x) // rounded to nearest even; their sum
{
    int32x4_t v[4], sum = vdupq_n_s32(0);
    EACH(v[i] = vcvtnq_s32_f32(x.v[i]); sum = vaddq_s32(sum, v[i]));
    int16x8_t lo = vcombine_s16(vmovn_s32(v[0]), vmovn_s32(v[1])), hi = vcombine_s16(vmovn_s32(v[2]), vmovn_s32(v[3]));
    vst1q_s8(p, vcombine_s8(vmovn_s16(lo), vmovn_s16(hi)));
    return vaddvq_s32(sum);
}

OP vb vb_load(const void *p)
{
    vb r;
    EACH(r.v[i] = vld1q_u8((const uint8_t *)p + 16 * i));
    return r;
}
OP vb vb_and(vb x, int byte)
{
    EACH(x.v[i] = vandq_u8(x.v[i], vdupq_n_u8((uint8_t)byte)));
    return x;
}
OP2(vb_or, vb, vorrq_u8)
OP vb vb_shl(vb x, const int n) // operators of the compiler, which make them shifts by a constant
{
    EACH(x.v[i] = x.v[i] << (uint8_t)n);
    return x;
}
OP vb vb_shr(vb x, const int n)
{
    EACH(x.v[i] = x.v[i] >> (uint8_t)n);
    return x;
}
OP vb vb_look(vb x)
{
    static const uint8_t table[16] = { KERN_E2M1 };
    uint8x16_t           t         = vld1q_u8(table);
    EACH(x.v[i] = vqtbl1q_u8(t, x.v[i]));
    return x;
}
OP vb vb_quad(const int8_t *q)
{
    int32_t v;
    memcpy(&v, q, 4);
    uint8x16_t all = vreinterpretq_u8_s32(vdupq_n_s32(v));
    return (vb){ { all, all, all, all } };
}
#ifdef __ARM_FEATURE_MATMUL_INT8
/* Unsigned weights and signed inputs: the 128 is in the start. */
OP vi vb_start(int32_t off)
{
    vi r;
    EACH(r.v[i] = vdupq_n_s32(off));
    return r;
}
OP vi vb_dot(vi s, vb w, vb q)
{
    EACH(s.v[i] = vusdotq_s32(s.v[i], w.v[i], vreinterpretq_s8_u8(q.v[i])));
    return s;
}
OP vi vb_dot_low(vi s, vb u, vb q) { return vb_dot(s, u, q); }
#else
OP int32x4_t dot(int32x4_t s, int8x16_t w, int8x16_t q)
{
#ifdef __ARM_FEATURE_DOTPROD
    return vdotq_s32(s, w, q);
#else
    /* Two products are at most 2 * 128 * 127 = 32512 and fit 16 bits. */
    int16x8_t pairs = vpaddq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(q)), vmull_high_s8(w, q));
    return vpadalq_s16(s, pairs);
#endif
}
OP vi vb_start(int32_t off)
{
    (void)off; // the dot below takes the 128 off the weights
    return vi_zero();
}
OP vi vb_dot_low(vi s, vb u, vb q)
{
    EACH(s.v[i] = dot(s.v[i], vreinterpretq_s8_u8(u.v[i]), vreinterpretq_s8_u8(q.v[i])));
    return s;
}
OP vi vb_dot(vi s, vb w, vb q)
{
    EACH(w.v[i] = veorq_u8(w.v[i], vdupq_n_u8(0x80)));
    return vb_dot_low(s, w, q);
}
#endif

OP uint64_t vb_word(vb x)
{
    uint8x16_t a = vorrq_u8(vorrq_u8(x.v[0], x.v[1]), vorrq_u8(x.v[2], x.v[3]));
    return vgetq_lane_u64(vreinterpretq_u64_u8(a), 0);
}
OP uint64_t vi_word(vi x)
{
    vb y;
    EACH(y.v[i] = vreinterpretq_u8_s32(x.v[i]));
    return vb_word(y);
}
OP float vf_first(vf x) { return vgetq_lane_f32(x.v[0], 0); }

#include "kern/kern_simd.h"

#endif
