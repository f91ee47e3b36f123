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

struct pack_mx4 { // MXFP4: 2^(e - 128) * table[u], nibbles as in pack_q4; the scale as bf16, which has its range
    uint8_t  q[2][4][KERN_ROWS][4];
    uint16_t d[2][KERN_ROWS];
};
/* Twice the values of E2M1 (sign 1, exponent 2, fraction 1; OCP Microscaling Formats 1.0, sec. 5.3.3) and 12. */
#define KERN_E2M1_ZERO 12
#define KERN_E2M1      12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0

/* 32 components of the values of a page's positions (KERN_KV_Q8_0). */
struct kv_q8 {
    int8_t   q[KERN_PAGE_TOK][KERN_BLOCK];
    uint16_t d[KERN_PAGE_TOK];
};
/* The keys of such a page as a matrix; its values lie behind. */
static inline struct kern_mat kern_kv_keys(const void *kv, int head_dim)
{
    size_t panel = (size_t)(head_dim / KERN_BLOCK + 1) / 2 * sizeof(struct pack_q8);
    return (struct kern_mat){ .data = kv, .panel_bytes = panel, .rows = KERN_PAGE_TOK, .cols = head_dim,
                              .type = KERN_Q8_0 };
}
static inline size_t kern_kv_keys_bytes(int head_dim)
{
    return KERN_PAGE_TOK / KERN_ROWS * kern_kv_keys(NULL, head_dim).panel_bytes;
}
static inline size_t kern_q8_stride(int cols) // kern_q8_bytes of whole blocks
{
    return (size_t)(cols / KERN_BLOCK + 1) / 2 * 2 * sizeof(struct kern_q8);
}
/* Where a block of a key goes: 4 bytes for each of 8 groups, KERN_ROWS * 4 apart, values + 128. */
static inline struct pack_q8 *kern_kv_key_at(void *kv, int head_dim, int block, int t)
{
    size_t panel = kern_kv_keys(NULL, head_dim).panel_bytes;
    return (struct pack_q8 *)((unsigned char *)kv + (size_t)(t / KERN_ROWS) * panel) + block / 2;
}

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
