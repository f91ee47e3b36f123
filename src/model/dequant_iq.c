/* dequant_iq.c - i-quants: groups of 4 or 8 elements named by an index into a table of patterns.
 *
 * A pattern (a grid point, iq_grids.c) gives the magnitudes of a group, or for the 1-bit types its
 * signed digits; signs and scales come beside it. Here k = i / 4, g = i / 8, s = i / 32.
 * Source: ggml's block structs (the formats' author: I. Kawrakow).
 */
#include "base/half.h"
#include "model/dequant_int.h"
#include "model/iq_grids_int.h"
#include "model/le_int.h"

/* Element j of a pattern of eight 2-bit, or of four 3-bit, codes. */
static float level8(uint16_t point, int j)
{
    static const float level[4] = { 8, 25, 43, 0 };

    return level[point >> (2 * j) & 3];
}

static float level4_xxs(uint16_t point, int j)
{
    static const float level[8] = { 4, 12, 20, 28, 36, 44, 52, 62 };

    return level[point >> (3 * j) & 7];
}

static float level4_s(uint16_t point, int j)
{
    return (float)(2 * (point >> (3 * j) & 7) + 1);
}

/* Seven bits say eight signs: the eighth makes the number of minus signs even. */
static float sign7(unsigned bits, int j)
{
    unsigned all = (bits & 127) | (unsigned)__builtin_parity(bits & 127) << 7;

    return all >> j & 1 ? -1.0f : 1.0f;
}

static float sign8(unsigned bits, int j)
{
    return bits >> j & 1 ? -1.0f : 1.0f;
}

/*   IQ2_XXS   d:f16 | 8 x { index: 4 x u8 | u32 }     for 32 elements each
 *
 *   u32 = scale:4 | signs:7 x 4                       y = d * (0.5 + scale) / 4 * sign * level
 */
void deq_iq2_xxs(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p));

    for (int i = 0; i < 256; i++) {
        const unsigned char *b    = p + 2 + i / 32 * 8;
        uint32_t             word = le32(b + 4);
        int                  l = i / 8 % 4, j = i % 8;
        float                db = d * (0.5f + (float)(word >> 28)) * 0.25f;
        y[i]                    = db * level8(iq2_xxs_grid[b[l]], j) * sign7(word >> (7 * l), j);
    }
}

/* Scale of sixteen elements in IQ2_XS and IQ2_S: the nibble g / 2 of `scales`. */
static float scale16(float d, const unsigned char *scales, int i)
{
    return d * (0.5f + (float)(scales[i / 32] >> (i / 16 % 2 * 4) & 15)) * 0.25f;
}

/*   IQ2_XS   d:f16 | qs: 32 x u16 | scales:8          qs[g] = signs:7 | index:9 */
void deq_iq2_xs(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p));

    for (int i = 0; i < 256; i++) {
        unsigned q = le16(p + 2 + i / 8 * 2);
        y[i] = scale16(d, p + 66, i) * level8(iq2_xs_grid[q & 511], i % 8) * sign7(q >> 9, i % 8);
    }
}

/*   IQ2_S   d:f16 | index:32 | signs:32 | high:8 | scales:8
 *
 *   Pair g % 4 of high[s] are bits 8 and 9 of index g.
 */
void deq_iq2_s(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p));

    for (int i = 0; i < 256; i++) {
        int      g  = i / 8;
        unsigned at = p[2 + g] | (p[66 + g / 4] >> (g % 4 * 2) & 3u) << 8;
        y[i] = scale16(d, p + 74, i) * level8(iq2_s_grid[at], i % 8) * sign8(p[34 + g], i % 8);
    }
}

/*   IQ3_XXS   d:f16 | index:64 | 8 x u32              u32 = scale:4 | signs:7 x 4
 *
 *   One index for four elements, seven sign bits for eight.
 *                                                     y = d * (0.5 + scale) / 2 * sign * level
 */
void deq_iq3_xxs(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p));

    for (int i = 0; i < 256; i++) {
        uint32_t word = le32(p + 66 + i / 32 * 4);
        float    db   = d * (0.5f + (float)(word >> 28)) * 0.5f;
        y[i]          = db * level4_xxs(iq3_xxs_grid[p[2 + i / 4]], i % 4) *
               sign7(word >> (7 * (i / 8 % 4)), i % 8);
    }
}

/*   IQ3_S   d:f16 | index:64 | high:8 | signs:32 | scales:4
 *
 *   Bit k % 8 of high[s] is bit 8 of index k. Nibble s of scales.
 *                                                     y = d * (1 + 2 * scale) * sign * level
 */
void deq_iq3_s(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p));

    for (int i = 0; i < 256; i++) {
        int      k = i / 4, s = i / 32;
        unsigned at = p[2 + k] | (p[66 + s] >> (k % 8) & 1u) << 8;
        float    db = d * (float)(1 + 2 * (p[106 + s / 2] >> (s % 2 * 4) & 15));
        y[i]        = db * level4_s(iq3_s_grid[at], i % 4) * sign8(p[74 + i / 8], i % 8);
    }
}

/* A digit -1, 0 or 1 of a 1-bit pattern, shifted by an eighth up or down. */
static float shifted(uint16_t point, int j, bool down)
{
    return (float)((point >> (2 * j) & 3) - 1) + (down ? -0.125f : 0.125f);
}

/*   IQ1_S   d:f16 | index:32 | high: 8 x u16
 *
 *   high[s] = down:1 | scale:3 | bits 8 to 10 of the four indices: 3 x 4
 *                                                     y = d * (2 * scale + 1) * (digit +- 1/8)
 */
void deq_iq1_s(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p));

    for (int i = 0; i < 256; i++) {
        int      g    = i / 8;
        unsigned high = le16(p + 34 + i / 32 * 2);
        unsigned at   = p[2 + g] | (high >> (g % 4 * 3) & 7) << 8;
        float    dl   = d * (float)(2 * (high >> 12 & 7) + 1);
        y[i]          = dl * shifted(iq1_s_grid[at], i % 8, high & 0x8000);
    }
}

/*   IQ1_M   index:32 | high:16 | scales: 4 x u16
 *
 *   Nibble g of high = down:1 | bits 8 to 10 of index g: 3.
 *   scales[i / 64] = a nibble of d:4 | four 3-bit scales, one per 16 elements; the four nibbles,
 *   the first lowest, are d as f16.
 */
void deq_iq1_m(const unsigned char *p, float *y)
{
    unsigned d16 = 0;

    for (int n = 0; n < 4; n++) d16 |= (unsigned)le16(p + 48 + 2 * n) >> 12 << (4 * n);
    float d = half_to_f32((uint16_t)d16);
    for (int i = 0; i < 256; i++) {
        int      g     = i / 8;
        unsigned high  = p[32 + g / 2] >> (g % 2 * 4) & 15u;
        unsigned scale = le16(p + 48 + i / 64 * 2) >> (i / 16 % 4 * 3) & 7u;
        float    dl    = d * (float)(2 * scale + 1);
        y[i]           = dl * shifted(iq1_s_grid[p[g] | (high & 7) << 8], i % 8, high & 8);
    }
}

/* The sixteen levels of IQ4_NL and IQ4_XS: denser around zero. */
static float level16(int code)
{
    static const signed char level[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                           1,    13,   25,  38,  53,  69,  89,  113 };
    return (float)level[code];
}

/*   IQ4_NL   d:f16 | 16 x (hi|lo)                     as Q4_0, y = d * level(q) */
void deq_iq4_nl(const unsigned char *p, float *y)
{
    float d = half_to_f32(le16(p));

    for (int i = 0; i < 32; i++) y[i] = d * level16(p[2 + i % 16] >> (i / 16 * 4) & 15);
}

/*   IQ4_XS   d:f16 | high:u16 | low:4 | 8 x 16 x (hi|lo)
 *
 *   6-bit scale s: nibble s of low, pair s of high.    y = d * (scale - 32) * level(q)
 */
void deq_iq4_xs(const unsigned char *p, float *y)
{
    float    d    = half_to_f32(le16(p));
    unsigned high = le16(p + 2);

    for (int i = 0; i < 256; i++) {
        int s     = i / 32;
        int scale = (p[4 + s / 2] >> (s % 2 * 4) & 15) | (int)(high >> (2 * s) & 3) << 4;
        int q     = p[8 + s * 16 + i % 16] >> (i / 16 % 2 * 4) & 15;
        y[i]      = d * (float)(scale - 32) * level16(q);
    }
}
