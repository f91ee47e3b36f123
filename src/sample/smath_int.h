/* smath_int.h - exp and log that are the same to the bit on every machine.
 *
 * libm's differ between C libraries and CPUs in the last place, and one last place can be another
 * token. These use IEEE add, subtract, multiply and divide only, in a written order (the build
 * forbids contraction into FMA), and the float one has no branch, so that compilers vectorise it.
 */
#ifndef CURLEW_SAMPLE_SMATH_INT_H
#define CURLEW_SAMPLE_SMATH_INT_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* e^x for x <= 0, relative error under 2e-7 (checked in sample_test); 0 below -87, where floats
 * lose their normal form. x = n ln 2 + r with |r| <= ln 2 / 2, and e^r by its Taylor polynomial:
 * the first term left out is r^8/8! < 6e-9. */
static inline float smath_expf(float x)
{
    float c = x < -87.0f ? -87.0f : x;
    float t = c * 1.44269504f + 12582912.0f; // 1.5 * 2^23: the sum's low bits are n, rounded
    float n = t - 12582912.0f;
    float r = c - n * 0.693359375f;          // ln 2 in two parts, the first times n is exact
    r += n * 2.12194440e-4f;

    float p = 1.98412698e-4f;
    p = p * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;

    uint32_t pb, tb;
    memcpy(&pb, &p, sizeof pb);
    memcpy(&tb, &t, sizeof tb);
    pb += tb << 23;
    memcpy(&p, &pb, sizeof p);
    return x < -87.0f ? 0.0f : p;
}

/* Natural logarithm of x > 0, finite: frexp, then 2 atanh((m-1)/(m+1)) by its series, which for
 * sqrt(1/2) <= m < sqrt(2) falls under 1e-17 in 12 terms. Exactly 0 for 1. */
static inline double smath_log(double x)
{
    int    k;
    double m = frexp(x, &k);

    if (m < 0.70710678118654752440) {
        m *= 2;
        k--;
    }
    double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
    for (int i = 23; i >= 1; i -= 2) sum = sum * s2 + 1.0 / i;
    return 2 * s * sum + k * 0.69314718055994530942;
}

/* e^x in double, 0 and 1e300 at the far ends. */
static inline double smath_exp(double x)
{
    if (x < -690) return 0;
    if (x > 690) return 1e300;
    double n = floor(x * 1.44269504088896340736 + 0.5);
    double r = (x - n * 0.693145751953125) - n * 1.42860682030941723212e-6;
    double sum = 1;
    for (int i = 15; i >= 1; i--) sum = sum * r / i + 1;
    return ldexp(sum, (int)n);
}

/* x^y for x >= 0. */
static inline double smath_pow(double x, double y)
{
    if (y == 0) return 1;
    return x <= 0 ? 0 : smath_exp(y * smath_log(x));
}

#endif
