/* kern_avx512.c - vectors of 16 lanes for AVX-512 F, BW, DQ, VL and VNNI; the kernels are in kern_simd.h. */
#include "kern/kern_int.h"

#include <immintrin.h>

/* 24 accumulators (f32 and i32) leave 8 registers for weights, inputs and scales. Sanitizers make a branch
 * of every load: smaller tiles then, or compiling takes minutes. */
#define TILE_P 2
#ifdef KERN_SANITIZED
#define TILE_C 2
#else
#define TILE_C 6
#endif

typedef __m512  vf;
typedef __m512i vi;
typedef __m512i vb;

#define OP static inline __attribute__((always_inline))

OP __mmask16 first_n(int n) { return n >= 16 ? 0xFFFF : n <= 0 ? 0 : (__mmask16)((1u << n) - 1); }

OP vf   vf_zero(void) { return _mm512_setzero_ps(); }
OP vf   vf_set1(float x) { return _mm512_set1_ps(x); }
OP vf   vf_load(const float *p) { return _mm512_loadu_ps(p); }
OP void vf_store(float *p, vf v) { _mm512_storeu_ps(p, v); }
OP vf   vf_load_n(const float *p, int n) { return _mm512_maskz_loadu_ps(first_n(n), p); }
OP void vf_store_n(float *p, vf v, int n) { _mm512_mask_storeu_ps(p, first_n(n), v); }
OP vf   vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
OP vf   vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
OP vf   vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
OP vf   vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
OP vf   vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
OP vf   vf_fms(vf a, vf b, vf c) { return _mm512_fmsub_ps(a, b, c); }
OP vf   vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
OP vf   vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
OP vf   vf_neg(vf a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
OP vf   vf_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
OP vf   vf_int(vi a) { return _mm512_cvtepi32_ps(a); }
OP vf   vf_half(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
OP vf   vf_bf16(const uint16_t *p)
{
    __m512i w = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
}
OP void vf_put_half(uint16_t *p, vf v)
{
    vf max = vf_set1(65504); // NaN passes as the second operand
    v = _mm512_max_ps(vf_neg(max), _mm512_min_ps(max, v));
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
OP vf vf_pow2(vf n) // 2^n for whole n from -126 to 127
{
    vi e = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(e, 23));
}
OP vf vf_if_less(vf a, vf b, vf yes, vf no)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
OP vf vf_if_nan(vf x, vf no) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), no, x); }
OP vf vf_keep(vf a, int lo, int hi, vf other) // lanes lo .. hi - 1 of a
{
    return _mm512_mask_blend_ps((__mmask16)(first_n(hi) & ~first_n(lo)), other, a);
}
OP __m256 upper(vf v) { return _mm512_extractf32x8_ps(v, 1); }
OP float  vf_sum(vf v)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), upper(v));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
OP float vf_top(vf v)
{
    __m256 a = _mm256_max_ps(_mm512_castps512_ps256(v), upper(v));
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}
OP uint32_t vf_top_bits(vf a, vf b) // of |x|
{
    vi mask = _mm512_set1_epi32(0x7FFFFFFF);
    return _mm512_reduce_max_epu32(_mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(a), mask),
                                                    _mm512_and_si512(_mm512_castps_si512(b), mask)));
}
/* n (up to 16) pairs: firsts and seconds. */
OP void vf_load_pairs(const float *p, int n, vf *a, vf *b)
{
    vf lo = vf_load_n(p, 2 * n), hi = vf_load_n(p + 16, 2 * n - 16);
    const vi even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    *a = _mm512_permutex2var_ps(lo, even, hi);
    *b = _mm512_permutex2var_ps(lo, _mm512_add_epi32(even, _mm512_set1_epi32(1)), hi);
}
OP void vf_store_pairs(float *p, int n, vf a, vf b)
{
    const vi low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    vf_store_n(p, _mm512_permutex2var_ps(a, low, b), 2 * n);
    if (n > 8)
        vf_store_n(p + 16, _mm512_permutex2var_ps(a, _mm512_add_epi32(low, _mm512_set1_epi32(8)), b), 2 * n - 16);
}

OP vi vi_zero(void) { return _mm512_setzero_si512(); }
OP vi vi_set1(int32_t x) { return _mm512_set1_epi32(x); }
OP vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
OP vi vi_s8(const int8_t *p) { return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)); }
OP vi vi_u8(const uint8_t *p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)); }
OP int vi_put_s8(int8_t *p, vf v) // rounded to nearest even; their sum
{
    vi i = _mm512_cvtps_epi32(v);
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(i));
    return _mm512_reduce_add_epi32(i);
}

OP vb vb_load(const void *p) { return _mm512_loadu_si512(p); }
OP vb vb_and(vb a, int byte) { return _mm512_and_si512(a, _mm512_set1_epi8((char)byte)); }
OP vb vb_or(vb a, vb b) { return _mm512_or_si512(a, b); }
OP vb vb_shl(vb a, const int n) { return _mm512_slli_epi16(a, (unsigned)n); } // bits cross bytes: mask after
OP vb vb_shr(vb a, const int n) { return _mm512_srli_epi16(a, (unsigned)n); }
OP vb vb_look(vb i) { return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_setr_epi8(KERN_E2M1)), i); }
OP vb vb_quad(const int8_t *q)
{
    int32_t v;
    memcpy(&v, q, 4);
    return _mm512_set1_epi32(v);
}
OP vi vb_start(int32_t off) { return _mm512_set1_epi32(off); }
OP vi vb_dot(vi s, vb w, vb q) { return _mm512_dpbusd_epi32(s, w, q); }
OP vi vb_dot_low(vi s, vb u, vb q) { return _mm512_dpbusd_epi32(s, u, q); }

OP uint64_t vb_word(vb a) { return (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(a)); }
OP uint64_t vi_word(vi a) { return vb_word(a); }
OP float vf_first(vf v) { return _mm512_cvtss_f32(v); }

#include "kern/kern_simd.h"

void kern_init_avx512(struct kern *k)
{
    simd_fill(k, "avx512");
}
