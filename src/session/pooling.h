/* pooling.h - from the hidden states of a text's tokens to the one vector of the text.
 *
 * States come one by one in the order of their tokens, in as many pieces as the text was computed in: sums are
 * made in that order in double precision, so cuts change nothing. One thread.
 * Source: Reimers and Gurevych, Sentence-BERT, arXiv:1908.10084, sec. 3 (mean and cls; last is what decoders use).
 */
#ifndef CURLEW_SESSION_POOLING_H
#define CURLEW_SESSION_POOLING_H

#include "base/err.h"
#include "engine.h"

struct pooling {
    enum engine_pooling kind;
    int                 n_embd;
    int                 n_row; // states that came
    double             *sum;   // [n_embd] owned
};

NODISCARD int pooling_init(struct pooling *p, enum engine_pooling kind, int n_embd, struct err *e);
void          pooling_release(struct pooling *p); // of a zeroed one is fine
void          pooling_clear(struct pooling *p);   // for the next text

void pooling_add(struct pooling *p, const float *state);
/* The vector, ret[n_embd]. At least one state has come. */
void pooling_vector(const struct pooling *p, float *ret);

/* Scale the first n values to length 1; a zero vector stays as it is. False: a value is no finite number. */
bool pooling_normalise(float *v, int n);

#endif
