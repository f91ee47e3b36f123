/* half.c - 16-bit floats by integer arithmetic on their bits. */
#include "base/half.h"

#include <string.h>

static uint32_t bits_of(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

/* Drop the lowest n bits (1..31), rounding to nearest, ties to even. The carry may run into the
 * exponent: that is the next larger number, as it should be. */
static uint32_t round_off(uint32_t u, int n)
{
    uint32_t half = 1u << (n - 1), low = u & ((half << 1) - 1), r = u >> n;

    return r + (low > half || (low == half && (r & 1)));
}

float half_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exp = h >> 10 & 31, frac = h & 0x3ff;

    if (exp == 31) return float_of(sign | 0x7f800000 | frac << 13 | (frac ? 0x400000 : 0));
    if (exp) return float_of(sign | (exp + 112) << 23 | frac << 13);
    /* Zero and subnormals: frac units of 2^-24, exact in f32 and so is the product. */
    return float_of(sign | bits_of((float)frac * 0x1p-24f));
}

uint16_t half_from_f32(float f)
{
    uint32_t u = bits_of(f), sign = u >> 16 & 0x8000, abs = u & 0x7fffffff;

    if (abs > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (abs >> 13 & 0x3ff));
    if (abs >= 0x477ff000) return (uint16_t)(sign | 0x7c00); // 65520 and above round to infinity
    if (abs >= 0x38800000)                                   // 2^-14: normal in binary16
        return (uint16_t)(sign | round_off(abs - (112u << 23), 13));
    if (abs <= 0x33000000) return (uint16_t)sign; // 2^-25 ties to even: zero
    uint32_t exp = abs >> 23;                     // 102..112: count units of 2^-24
    return (uint16_t)(sign | round_off((abs & 0x7fffff) | 0x800000, 126 - (int)exp));
}

float bf16_to_f32(uint16_t h)
{
    return float_of((uint32_t)h << 16);
}

uint16_t bf16_from_f32(float f)
{
    uint32_t u = bits_of(f);

    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)round_off(u, 16);
}
