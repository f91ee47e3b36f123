/* dequant.c - plain numbers and small blocks as f32; the entry for all types.
 *
 * These functions define the formats for the rest of the program. They read bytes one at a time, so
 * any alignment and byte order works. Sources: ggml's block structs; the block formats up to Q8 are
 * described in the GGUF/ggml documentation.
 */
#include <assert.h>
#include <math.h>

#include "base/half.h"
#include "model/dequant_int.h"
#include "model/le_int.h"

static void deq_f32(const unsigned char *p, float *y)
{
    y[0] = le_f32(p);
}

static void deq_f16(const unsigned char *p, float *y)
{
    y[0] = half_to_f32(le16(p));
}

static void deq_bf16(const unsigned char *p, float *y)
{
    y[0] = bf16_to_f32(le16(p));
}

static void deq_f64(const unsigned char *p, float *y)
{
    y[0] = (float)le_f64(p);
}

static void deq_i8(const unsigned char *p, float *y)
{
    y[0] = (int8_t)p[0];
}

static void deq_i16(const unsigned char *p, float *y)
{
    y[0] = (int16_t)le16(p);
}

static void deq_i32(const unsigned char *p, float *y)
{
    y[0] = (float)(int32_t)le32(p);
}

static void deq_i64(const unsigned char *p, float *y)
{
    y[0] = (float)(int64_t)le64(p);
}

/* Nibbles of a 32-element block: byte i holds element i below and element i + 16 above.
 *
 *   Q4_0   d:f16 | 16 x (hi|lo)                y = d * (q - 8)
 *   Q4_1   d:f16 | m:f16 | 16 x (hi|lo)        y = d * q + m
 *   Q5_0   d:f16 | h:u32 | 16 x (hi|lo)        y = d * (q - 16); bit i of h is the fifth of q
 *   Q5_1   d:f16 | m:f16 | h:u32 | 16 x (hi|lo)    y = d * q + m
 *   Q8_0   d:f16 | 32 x i8                     y = d * q
 *   Q8_1   d:f16 | s:f16 | 32 x i8             the same; s = d * sum of q, for dot products
 */
static void deq_q4_0(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p));

    for (int i = 0; i < 16; i++) {
        y[i]      = d * (float)((p[2 + i] & 15) - 8);
        y[i + 16] = d * (float)((p[2 + i] >> 4) - 8);
    }
}

static void deq_q4_1(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p)), m = half_to_f32(le16(p + 2));

    for (int i = 0; i < 16; i++) {
        y[i]      = d * (float)(p[4 + i] & 15) + m;
        y[i + 16] = d * (float)(p[4 + i] >> 4) + m;
    }
}

static void deq_q5_0(const unsigned char *p, float *y)
{
    float    d = half_to_f32(le16(p));
    uint32_t h = le32(p + 2);

    for (int i = 0; i < 16; i++) {
        y[i]      = d * (float)((p[6 + i] & 15) + (int)(h >> i & 1) * 16 - 16);
        y[i + 16] = d * (float)((p[6 + i] >> 4) + (int)(h >> (i + 16) & 1) * 16 - 16);
    }
}

static void deq_q5_1(const unsigned char *p, float *y)
{
    float    d = half_to_f32(le16(p)), m = half_to_f32(le16(p + 2));
    uint32_t h = le32(p + 4);

    for (int i = 0; i < 16; i++) {
        y[i]      = d * (float)((p[8 + i] & 15) + (int)(h >> i & 1) * 16) + m;
        y[i + 16] = d * (float)((p[8 + i] >> 4) + (int)(h >> (i + 16) & 1) * 16) + m;
    }
}

static void deq_q8_0(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p));

    for (int i = 0; i < 32; i++) y[i] = d * (float)(int8_t)p[2 + i];
}

static void deq_q8_1(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p));

    for (int i = 0; i < 32; i++) y[i] = d * (float)(int8_t)p[4 + i];
}

/* E2M1, the 4-bit float of MXFP4 and NVFP4: sign 1, exponent 2, fraction 1 (OCP Microscaling
 * Formats 1.0, sec. 5.3.3). ggml reads minus zero as zero. */
static float e2m1(int code)
{
    static const float value[16] = { 0, 0.5f,  1,  1.5f,  2,  3,  4,  6,
                                     0, -0.5f, -1, -1.5f, -2, -3, -4, -6 };

    return value[code];
}

/*   MXFP4   e:u8 | 16 x (hi|lo)                     nibbles as in Q4_0; y = 2^(e - 127) * e2m1 */
static void deq_mxfp4(const unsigned char *p, float *y)
{
    for (int i = 0; i < 32; i++)
        y[i] = ldexpf(e2m1(p[1 + i % 16] >> (i / 16 * 4) & 15), p[0] - 127);
}

/* UE4M3: a scale without sign, exponent 4, fraction 3. ggml reads 0x7f, not a number, as zero. */
static float ue4m3(unsigned char c)
{
    int exp = c >> 3 & 15, frac = c & 7;

    if (c == 0x7f) return 0;
    return exp ? ldexpf((float)(8 + frac), exp - 10) : ldexpf((float)frac, -9);
}

/*   NVFP4   scales: 4 x ue4m3 | 4 x 8 x (hi|lo)     sixteen elements each, nibbles as in Q4_0 */
static void deq_nvfp4(const unsigned char *p, float *y)
{
    for (int i = 0; i < 64; i++) {
        int s = i / 16, j = i % 16;
        y[i] = ue4m3(p[s]) * e2m1(p[4 + s * 8 + j % 8] >> (j / 8 * 4) & 15);
    }
}

/*   Q1_0   d:f16 | 128 x bit                        y = bit ? d : -d
 *   Q2_0   d:f16 | 64 x 2 bits                      y = d * (q - 1); both lowest bits first */
static void deq_q1_0(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p));

    for (int i = 0; i < 128; i++) y[i] = p[2 + i / 8] >> (i % 8) & 1 ? d : -d;
}

static void deq_q2_0(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p));

    for (int i = 0; i < 64; i++) y[i] = (float)((p[2 + i / 4] >> (i % 4 * 2) & 3) - 1) * d;
}

static const deq_fn deq[TENSOR_TYPES] = {
    [TENSOR_F32] = deq_f32,         [TENSOR_F16] = deq_f16,       [TENSOR_BF16] = deq_bf16,
    [TENSOR_F64] = deq_f64,         [TENSOR_I8] = deq_i8,         [TENSOR_I16] = deq_i16,
    [TENSOR_I32] = deq_i32,         [TENSOR_I64] = deq_i64,       [TENSOR_Q4_0] = deq_q4_0,
    [TENSOR_Q4_1] = deq_q4_1,       [TENSOR_Q5_0] = deq_q5_0,     [TENSOR_Q5_1] = deq_q5_1,
    [TENSOR_Q8_0] = deq_q8_0,       [TENSOR_Q8_1] = deq_q8_1,     [TENSOR_Q2_K] = deq_q2_k,
    [TENSOR_Q3_K] = deq_q3_k,       [TENSOR_Q4_K] = deq_q4_k,     [TENSOR_Q5_K] = deq_q5_k,
    [TENSOR_Q6_K] = deq_q6_k,       [TENSOR_Q8_K] = deq_q8_k,     [TENSOR_TQ1_0] = deq_tq1_0,
    [TENSOR_TQ2_0] = deq_tq2_0,     [TENSOR_IQ1_S] = deq_iq1_s,   [TENSOR_IQ1_M] = deq_iq1_m,
    [TENSOR_IQ2_XXS] = deq_iq2_xxs, [TENSOR_IQ2_XS] = deq_iq2_xs, [TENSOR_IQ2_S] = deq_iq2_s,
    [TENSOR_IQ3_XXS] = deq_iq3_xxs, [TENSOR_IQ3_S] = deq_iq3_s,   [TENSOR_IQ4_NL] = deq_iq4_nl,
    [TENSOR_IQ4_XS] = deq_iq4_xs,   [TENSOR_MXFP4] = deq_mxfp4,   [TENSOR_NVFP4] = deq_nvfp4,
    [TENSOR_Q1_0] = deq_q1_0,       [TENSOR_Q2_0] = deq_q2_0,
};

bool dequant_row(enum tensor_type type, const void *src, float *dst, int64_t n)
{
    if ((unsigned)type >= TENSOR_TYPES || !deq[type]) return false;

    const struct tensor_type_row *row = tensor_type_row(type);
    const unsigned char          *p   = src;
    assert(n % row->block_n == 0);
    for (int64_t i = 0; i < n; i += row->block_n, p += row->block_bytes) deq[type](p, dst + i);
    return true;
}
