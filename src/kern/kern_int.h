/* kern_int.h - shared inside kern: the packed layouts, constants of exp, the parts of the table. */
#ifndef CURLEW_KERN_KERN_INT_H
#define CURLEW_KERN_KERN_INT_H

#include <math.h>
#include <string.h>

#include "kern/kern.h"

/* Two blocks of 32 columns of a panel at a time, so that all is 64-byte aligned and one stream. In
 * `q`, 64 bytes are 16 rows of 4 neighbouring columns: the shape of a byte dot product instruction.
 * Values are stored as w + 128, unsigned; narrower types expand to the high bits of that byte, and their
 * scale is divided by the power of two. */
struct pack_q8 { // Q8_0: d * (u - 128)
    uint8_t  q[2][8][KERN_ROWS][4];
    uint16_t d[2][KERN_ROWS];
};
struct pack_q4 { // Q4_0: d/16 * (16*u - 128). Low nibbles: columns 8g..8g+3, high: 8g+4..8g+7
    uint8_t  q[2][4][KERN_ROWS][4];
    uint16_t d[2][KERN_ROWS];
};
struct pack_q5 { // Q5_0: d/8 * (8*u - 128). h: bit i of a byte is the fifth bit of column group i
    uint8_t  q[2][4][KERN_ROWS][4];
    uint8_t  h[2][KERN_ROWS][4];
    uint16_t d[2][KERN_ROWS];
};
struct pack_q6k { // Q6_K, 256 columns: d/4 * sc * (4*u - 128), a scale for 16 columns
    struct {
        uint8_t q[4][KERN_ROWS][4]; // low 4 bits as in pack_q4
        uint8_t h[2][KERN_ROWS][4]; // two high bits: of column groups 4i .. 4i+3
    } b[8];
    int8_t   sc[8][2][KERN_ROWS];
    uint16_t d[KERN_ROWS];
    uint16_t pad[KERN_ROWS];
};
struct pack_q4k { // Q4_K, 256 columns: d * sc * u - dmin * mn, a scale and a minimum for 32 columns
    uint8_t  q[8][4][KERN_ROWS][4];
    uint8_t  sc[8][KERN_ROWS];
    uint8_t  mn[8][KERN_ROWS];
    uint16_t d[KERN_ROWS];
    uint16_t dmin[KERN_ROWS];
};

/* exp(x) = 2^n * e^r: n = round(x * log2 e), |r| <= ln 2 / 2, e^r by a polynomial (its error is below
 * 2^-23 relative; coefficients: the Taylor series to r^7). Below EXP_LO the result is 0, above EXP_HI infinity. */
#define EXP_LO    -87.0f
#define EXP_HI    88.0f
#define EXP_LOG2E 1.44269504f
#define EXP_LN2_1 0.693359375f    // exact in few bits: n * it is exact
#define EXP_LN2_2 -2.12194440e-4f // ln 2 - EXP_LN2_1
#define EXP_C2    0.5f
#define EXP_C3    (1.0f / 6)
#define EXP_C4    (1.0f / 24)
#define EXP_C5    (1.0f / 120)
#define EXP_C6    (1.0f / 720)
#define EXP_C7    (1.0f / 5040)

float kern_exp(float x); // the definition; in kern_ref.c
float kern_tree_sum(float v[16]); // lanes 0-7 with 8-15, then 0-3 with 4-7, and so on; v is used up
float kern_softcap(float x, float cap);

void kern_init_ref(struct kern *k);
void kern_init_act(struct kern *k); // the part of it that is in kern_act.c
void kern_init_avx2(struct kern *k);   // where the build has it
void kern_init_avx512(struct kern *k);
void kern_init_neon(struct kern *k);
void kern_init_dotprod(struct kern *k);
void kern_init_i8mm(struct kern *k);

#endif
