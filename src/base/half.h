/* half.h - 16-bit floats to and from f32, bit for bit the same on every machine.
 *
 *   half   IEEE 754 binary16: sign 1, exponent 5, fraction 10
 *   bf16   the upper half of an f32: sign 1, exponent 8, fraction 7
 *
 * Widening is exact. Narrowing rounds to nearest, ties to even; too large becomes infinity, too
 * small becomes a subnormal or zero. A NaN stays a NaN, made quiet, with the upper bits of its
 * payload: what the conversion instructions of x86 (F16C) and Arm do.
 */
#ifndef CURLEW_BASE_HALF_H
#define CURLEW_BASE_HALF_H

#include <stdint.h>

float    half_to_f32(uint16_t h);
uint16_t half_from_f32(float f);

float    bf16_to_f32(uint16_t h);
uint16_t bf16_from_f32(float f);

#endif
