/* dequant_k.c - blocks of 256 elements with quantised scales (k-quants), and ternary blocks.
 *
 * Each function names where element i of the block finds its bits; that is the whole definition. In
 * the pictures, a name is a field with its bytes, g = i / 16 and s = i / 32 are the sub-blocks of
 * 16 and of 32.
 * Source: ggml's block structs (the formats' author: I. Kawrakow; ternary: F. Picard-Compilade).
 */
#include "base/half.h"
#include "model/dequant_int.h"
#include "model/le_int.h"

/* 2-bit numbers in runs of 128 elements over 32 bytes: element i in byte i % 32 of its run. */
static int two_bits(const unsigned char *qs, int i)
{
    return qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}

/*   Q2_K   scales:16 | qs:64 | d:f16 | dmin:f16
 *
 *   scales[g] = min:4 (high) | scale:4            y = d * scale * q - dmin * min
 */
void deq_q2_k(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p + 80)), dmin = half_to_f32(le16(p + 82));

    for (int i = 0; i < 256; i++) {
        unsigned char sc = p[i / 16];
        y[i] = d * (float)(sc & 15) * (float)two_bits(p + 16, i) - dmin * (float)(sc >> 4);
    }
}

/*   Q3_K   high:32 | qs:64 | scales:12 | d:f16
 *
 *   Bit s of high[i % 32] is the third bit of element i.
 *   Sixteen 6-bit scales: four low bits in bytes 0..7 (g below 8 in the low nibbles), two high bits
 *   in bytes 8..11 (byte g % 4, pair g / 4).      y = d * (scale - 32) * (q - 4)
 */
void deq_q3_k(const unsigned char *p, float *y)
{
    const unsigned char *sc = p + 96;
    float                d  = half_to_f32(le16(p + 108));

    for (int i = 0; i < 256; i++) {
        int g     = i / 16;
        int scale = (sc[g % 8] >> (g / 8 * 4) & 15) | (sc[8 + g % 4] >> (g / 4 * 2) & 3) << 4;
        int q     = two_bits(p + 32, i) | (p[i % 32] >> (i / 32) & 1) << 2;
        y[i]      = d * (float)(scale - 32) * (float)(q - 4);
    }
}

/* The 12 bytes of scales in Q4_K and Q5_K: eight 6-bit scales and eight 6-bit mins.
 *
 *   byte      0..3                  4..7                  8..11
 *   bits 0-5  scale 0..3            min 0..3              0-3: scale 4..7, low bits
 *   bits 6-7  scale 4..7, high      min 4..7, high        4-7: min 4..7, low bits
 */
static void scale_min(const unsigned char *sc, int s, int *scale, int *min)
{
    if (s < 4) {
        *scale = sc[s] & 63;
        *min   = sc[s + 4] & 63;
    } else {
        *scale = (sc[s + 4] & 15) | sc[s - 4] >> 6 << 4;
        *min   = sc[s + 4] >> 4 | sc[s] >> 6 << 4;
    }
}

/* 4-bit numbers in runs of 64 elements over 32 bytes, the first 32 in the low nibbles. */
static int four_bits(const unsigned char *qs, int i)
{
    return qs[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
}

/*   Q4_K   d:f16 | dmin:f16 | scales:12 | qs:128      y = d * scale * q - dmin * min */
void deq_q4_k(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p)), dmin = half_to_f32(le16(p + 2));
    int   scale, min;

    for (int i = 0; i < 256; i++) {
        scale_min(p + 4, i / 32, &scale, &min);
        y[i] = d * (float)scale * (float)four_bits(p + 16, i) - dmin * (float)min;
    }
}

/*   Q5_K   d:f16 | dmin:f16 | scales:12 | high:32 | qs:128
 *
 *   Bit s of high[i % 32] is the fifth bit of element i. */
void deq_q5_k(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p)), dmin = half_to_f32(le16(p + 2));
    int   scale, min;

    for (int i = 0; i < 256; i++) {
        int q = four_bits(p + 48, i) | (p[16 + i % 32] >> (i / 32) & 1) << 4;
        scale_min(p + 4, i / 32, &scale, &min);
        y[i] = d * (float)scale * (float)q - dmin * (float)min;
    }
}

/*   Q6_K   low:128 | high:64 | scales: 16 x i8 | d:f16
 *
 *   In each half of 128, quarter k of 32 elements has its low four bits in bytes 32 * (k % 2) and
 *   on, low nibbles for k < 2, and its high two bits in pair k of the half's 32 high bytes.
 *                                                     y = d * scales[g] * (q - 32)
 */
void deq_q6_k(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p + 208));

    for (int i = 0; i < 256; i++) {
        int half = i / 128, k = i / 32 % 4, l = i % 32;
        int low  = p[half * 64 + k % 2 * 32 + l] >> (k / 2 * 4) & 15;
        int high = p[128 + half * 32 + l] >> (k * 2) & 3;
        y[i]     = d * (float)(int8_t)p[192 + i / 16] * (float)((low | high << 4) - 32);
    }
}

/*   Q8_K   d:f32 | qs: 256 x i8 | sums: 16 x i16      y = d * q; the sums serve dot products */
void deq_q8_k(const unsigned char *p, float *y)
{
    float d = le_f32(p);

    for (int i = 0; i < 256; i++) y[i] = d * (float)(int8_t)p[4 + i];
}

/* A byte holds five base-3 digits as the fraction b / 256, the first digit first: multiply by 3^n
 * to bring digit n behind the point (what passes the point falls off), and by 3 to read it. */
static int trit(unsigned char b, int n)
{
    static const unsigned char pow3[] = { 1, 3, 9, 27, 81 };

    return (unsigned char)(b * pow3[n]) * 3 >> 8;
}

/*   TQ1_0   qs:48 | high:4 | d:f16                    y = d * (digit - 1)
 *
 *   elements 0..159: five runs of 32 over qs[0..31], 160..239: five runs of 16 over qs[32..47],
 *   240..255: four runs of 4 over high.
 */
void deq_tq1_0(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p + 52));

    for (int i = 0; i < 256; i++) {
        int k = i < 160 ? i : i < 240 ? i - 160 : i - 240, q;
        if (i < 160)
            q = trit(p[k % 32], k / 32);
        else if (i < 240)
            q = trit(p[32 + k % 16], k / 16);
        else
            q = trit(p[48 + k % 4], k / 4);
        y[i] = (float)(q - 1) * d;
    }
}

/*   TQ2_0   qs:64 | d:f16                             y = d * (q - 1) */
void deq_tq2_0(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p + 64));

    for (int i = 0; i < 256; i++) y[i] = (float)(two_bits(p, i) - 1) * d;
}
