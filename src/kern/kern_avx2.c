/* kern_avx2.c - vectors of 16 lanes, two registers each, for AVX2, FMA and F16C; the kernels are in
 * kern_simd.h. */
#include "kern/kern_int.h"

#include <immintrin.h>

/* 8 of 16 registers accumulate. */
#define TILE_P 1
#define TILE_C 2

typedef struct { __m256 a, b; } vf;
typedef struct { __m256i a, b; } vi;
typedef vi vb;

#define OP static inline __attribute__((always_inline))

OP __m256i first_n(int n) // lanes 0 .. n - 1
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}

OP vf   vf_zero(void) { return (vf){ _mm256_setzero_ps(), _mm256_setzero_ps() }; }
OP vf   vf_set1(float x) { return (vf){ _mm256_set1_ps(x), _mm256_set1_ps(x) }; }
OP vf   vf_load(const float *p) { return (vf){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) }; }
OP void vf_store(float *p, vf v)
{
    _mm256_storeu_ps(p, v.a);
    _mm256_storeu_ps(p + 8, v.b);
}
OP vf vf_load_n(const float *p, int n)
{
    return (vf){ _mm256_maskload_ps(p, first_n(n)), _mm256_maskload_ps(p + 8, first_n(n - 8)) };
}
OP void vf_store_n(float *p, vf v, int n)
{
    _mm256_maskstore_ps(p, first_n(n), v.a);
    _mm256_maskstore_ps(p + 8, first_n(n - 8), v.b);
}
#define OP2(name, ins) \
    OP vf name(vf x, vf y) { return (vf){ ins(x.a, y.a), ins(x.b, y.b) }; }
#define OP3(name, ins) \
    OP vf name(vf x, vf y, vf z) { return (vf){ ins(x.a, y.a, z.a), ins(x.b, y.b, z.b) }; }
OP2(vf_add, _mm256_add_ps)
OP2(vf_sub, _mm256_sub_ps)
OP2(vf_mul, _mm256_mul_ps)
OP2(vf_div, _mm256_div_ps)
OP2(vf_max, _mm256_max_ps)
OP3(vf_fma, _mm256_fmadd_ps)
OP3(vf_fms, _mm256_fmsub_ps)
OP3(vf_fnma, _mm256_fnmadd_ps)
OP vf vf_neg(vf x)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (vf){ _mm256_xor_ps(x.a, sign), _mm256_xor_ps(x.b, sign) };
}
OP vf vf_round(vf x)
{
    enum { MODE = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
    return (vf){ _mm256_round_ps(x.a, MODE), _mm256_round_ps(x.b, MODE) };
}
OP vf vf_int(vi x) { return (vf){ _mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b) }; }
OP vf vf_half(const uint16_t *p)
{
    return (vf){ _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8))) };
}
OP __m256 bf16(const uint16_t *p)
{
    __m256i w = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(w, 16));
}
OP vf vf_bf16(const uint16_t *p) { return (vf){ bf16(p), bf16(p + 8) }; }
OP void put_half(uint16_t *p, __m256 v)
{
    __m256 max = _mm256_set1_ps(65504); // NaN passes as the second operand
    v = _mm256_max_ps(_mm256_set1_ps(-65504), _mm256_min_ps(max, v));
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
OP void vf_put_half(uint16_t *p, vf v)
{
    put_half(p, v.a);
    put_half(p + 8, v.b);
}
OP __m256 pow2(__m256 n)
{
    __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(e, 23));
}
OP vf vf_pow2(vf n) { return (vf){ pow2(n.a), pow2(n.b) }; } // 2^n for whole n from -126 to 127
OP vf vf_if_less(vf x, vf y, vf yes, vf no)
{
    return (vf){ _mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
                 _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)) };
}
OP vf vf_if_nan(vf x, vf no)
{
    return (vf){ _mm256_blendv_ps(no.a, x.a, _mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q)),
                 _mm256_blendv_ps(no.b, x.b, _mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q)) };
}
OP __m256 keep(__m256 x, int lo, int hi, __m256 other)
{
    return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(_mm256_andnot_si256(first_n(lo), first_n(hi))));
}
OP vf vf_keep(vf x, int lo, int hi, vf other) // lanes lo .. hi - 1 of x
{
    return (vf){ keep(x.a, lo, hi, other.a), keep(x.b, lo - 8, hi - 8, other.b) };
}
OP float vf_sum(vf v)
{
    __m256 a = _mm256_add_ps(v.a, v.b);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
OP float vf_top(vf v)
{
    __m256 a = _mm256_max_ps(v.a, v.b);
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}
OP __m256i abs_bits(vf v)
{
    __m256i mask = _mm256_set1_epi32(0x7FFFFFFF);
    return _mm256_max_epu32(_mm256_and_si256(_mm256_castps_si256(v.a), mask),
                            _mm256_and_si256(_mm256_castps_si256(v.b), mask));
}
OP uint32_t vf_top_bits(vf x, vf y) // of |x|
{
    __m256i a = _mm256_max_epu32(abs_bits(x), abs_bits(y));
    __m128i b = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_max_epu32(b, _mm_shuffle_epi32(b, _MM_SHUFFLE(1, 0, 3, 2)));
    b = _mm_max_epu32(b, _mm_shuffle_epi32(b, _MM_SHUFFLE(2, 3, 0, 1)));
    return (uint32_t)_mm_cvtsi128_si32(b);
}
/* n (up to 16) pairs: firsts and seconds. */
OP void pairs_apart(vf v, __m256 *a, __m256 *b)
{
    const __m256i order = _mm256_set_epi32(7, 6, 3, 2, 5, 4, 1, 0); // undo the 128-bit halves of shuffle
    __m256 even = _mm256_shuffle_ps(v.a, v.b, _MM_SHUFFLE(2, 0, 2, 0));
    __m256 odd = _mm256_shuffle_ps(v.a, v.b, _MM_SHUFFLE(3, 1, 3, 1));
    *a = _mm256_permutevar8x32_ps(even, order);
    *b = _mm256_permutevar8x32_ps(odd, order);
}
OP vf pairs_together(__m256 a, __m256 b)
{
    __m256 lo = _mm256_unpacklo_ps(a, b), hi = _mm256_unpackhi_ps(a, b);
    return (vf){ _mm256_permute2f128_ps(lo, hi, 0x20), _mm256_permute2f128_ps(lo, hi, 0x31) };
}
OP void vf_load_pairs(const float *p, int n, vf *a, vf *b)
{
    pairs_apart(vf_load_n(p, 2 * n), &a->a, &b->a);
    pairs_apart(vf_load_n(p + 16, 2 * n - 16), &a->b, &b->b);
}
OP void vf_store_pairs(float *p, int n, vf a, vf b)
{
    vf_store_n(p, pairs_together(a.a, b.a), 2 * n);
    vf_store_n(p + 16, pairs_together(a.b, b.b), 2 * n - 16);
}

OP vi vi_zero(void) { return (vi){ _mm256_setzero_si256(), _mm256_setzero_si256() }; }
OP vi vi_set1(int32_t x) { return (vi){ _mm256_set1_epi32(x), _mm256_set1_epi32(x) }; }
OP vi vi_add(vi x, vi y) { return (vi){ _mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b) }; }
OP vi vi_s8(const int8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    return (vi){ _mm256_cvtepi8_epi32(v), _mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)) };
}
OP vi vi_u8(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    return (vi){ _mm256_cvtepu8_epi32(v), _mm256_cvtepu8_epi32(_mm_srli_si128(v, 8)) };
}
OP int vi_put_s8(int8_t *p, vf v) // rounded to nearest even; their sum
{
    __m256i a = _mm256_cvtps_epi32(v.a), b = _mm256_cvtps_epi32(v.b);
    __m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), _MM_SHUFFLE(3, 1, 2, 0));
    _mm_storeu_si128((__m128i *)p, _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
    a = _mm256_add_epi32(a, b);
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(1, 0, 3, 2)));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtsi128_si32(s);
}

OP vb vb_load(const void *p)
{
    return (vb){ _mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)p + 1) };
}
OP vb vb_and(vb x, int byte)
{
    __m256i m = _mm256_set1_epi8((char)byte);
    return (vb){ _mm256_and_si256(x.a, m), _mm256_and_si256(x.b, m) };
}
OP vb vb_or(vb x, vb y) { return (vb){ _mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b) }; }
OP vb vb_shl(vb x, const int n) { return (vb){ _mm256_slli_epi16(x.a, n), _mm256_slli_epi16(x.b, n) }; }
OP vb vb_shr(vb x, const int n) { return (vb){ _mm256_srli_epi16(x.a, n), _mm256_srli_epi16(x.b, n) }; }
OP vb vb_look(vb i)
{
    __m256i t = _mm256_broadcastsi128_si256(_mm_setr_epi8(KERN_E2M1));
    return (vb){ _mm256_shuffle_epi8(t, i.a), _mm256_shuffle_epi8(t, i.b) };
}
OP vb vb_quad(const int8_t *q)
{
    int32_t v;
    memcpy(&v, q, 4);
    return (vb){ _mm256_set1_epi32(v), _mm256_set1_epi32(v) };
}
OP vi vb_start(int32_t off)
{
    (void)off; // the dot below takes the 128 off the weights
    return vi_zero();
}
/* There is a byte product of unsigned and signed only, in 16 bits that saturate: |w| * (q with w's sign) is at
 * most 2 * 128 * 127 = 32512 for a pair and fits. */
OP __m256i dot(__m256i s, __m256i w, __m256i q)
{
    w = _mm256_xor_si256(w, _mm256_set1_epi8((char)0x80));
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
    return _mm256_add_epi32(s, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
OP __m256i dot_low(__m256i s, __m256i u, __m256i q)
{
    return _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(u, q), _mm256_set1_epi16(1)));
}
OP vi vb_dot(vi s, vb w, vb q) { return (vi){ dot(s.a, w.a, q.a), dot(s.b, w.b, q.b) }; }
OP vi vb_dot_low(vi s, vb u, vb q) { return (vi){ dot_low(s.a, u.a, q.a), dot_low(s.b, u.b, q.b) }; }

OP uint64_t vb_word(vb a) { return (uint64_t)_mm_cvtsi128_si64(_mm256_castsi256_si128(_mm256_or_si256(a.a, a.b))); }
OP uint64_t vi_word(vi a) { return vb_word(a); }
OP float vf_first(vf v) { return _mm256_cvtss_f32(v.a); }

#include "kern/kern_simd.h"

void kern_init_avx2(struct kern *k)
{
    simd_fill(k, "avx2");
}
