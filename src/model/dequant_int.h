/* dequant_int.h - readers of one block each. Private to the room. */
#ifndef CURLEW_MODEL_DEQUANT_INT_H
#define CURLEW_MODEL_DEQUANT_INT_H

#include "model/tensor.h"

/* Read the block at p (block_bytes of the type) into y (block_n floats). */
typedef void (*deq_fn)(const unsigned char *p, float *y);

/* dequant_k.c */
void deq_q2_k(const unsigned char *p, float *y);
void deq_q3_k(const unsigned char *p, float *y);
void deq_q4_k(const unsigned char *p, float *y);
void deq_q5_k(const unsigned char *p, float *y);
void deq_q6_k(const unsigned char *p, float *y);
void deq_q8_k(const unsigned char *p, float *y);
void deq_tq1_0(const unsigned char *p, float *y);
void deq_tq2_0(const unsigned char *p, float *y);

/* dequant_iq.c */
void deq_iq1_s(const unsigned char *p, float *y);
void deq_iq1_m(const unsigned char *p, float *y);
void deq_iq2_xxs(const unsigned char *p, float *y);
void deq_iq2_xs(const unsigned char *p, float *y);
void deq_iq2_s(const unsigned char *p, float *y);
void deq_iq3_xxs(const unsigned char *p, float *y);
void deq_iq3_s(const unsigned char *p, float *y);
void deq_iq4_nl(const unsigned char *p, float *y);
void deq_iq4_xs(const unsigned char *p, float *y);

#endif
