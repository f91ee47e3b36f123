/* cand_int.h - the tokens still in the running, and the ways to cut them down.
 *
 * Candidates lie in parallel arrays in order of id; a cut compacts them and keeps that order, so no
 * step needs more than one sort key and none sorts. While every token is a candidate (`dense`) the
 * id is the index and id[] is not written.
 *
 * Logits are finite, |x| <= LOGIT_MAX, whatever the engine gave and penalties made of it.
 */
#ifndef CURLEW_SAMPLE_CAND_INT_H
#define CURLEW_SAMPLE_CAND_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"

#define LOGIT_MAX 1e30f // far from overflow in every difference and quotient made here
#define TEMP_MIN  1e-6f // below it, a temperature is 0

struct sample_scratch {
    int      cap; // n_vocab
    int32_t *id;  // [cap]
    float   *x;   // [cap] logits
    float   *w;   // [cap] e^(x - max), when weighed
    float   *v;   // [cap] what a cut orders by, when not the logits
    int32_t *idx; // [cap] members of one bucket
    uint16_t *bkt; // [cap] bucket of each
    double  *bsum; // [cap / CAND_BLOCK + 1] sums of w by block
    double  *hist; // [CAND_BUCKETS]

    int    n;
    bool   dense;
    bool   weighed; // w, max, bsum and total belong to the present x
    float  max;
    double total;
};

#define CAND_BLOCK   256
#define CAND_BUCKETS 2048

static inline int32_t cand_id(const struct sample_scratch *c, int i)
{
    return c->dense ? i : c->id[i];
}

static inline float cand_clamp(float x)
{
    if (!(x > -LOGIT_MAX)) return -LOGIT_MAX; // NaN too
    return x > LOGIT_MAX ? LOGIT_MAX : x;
}

/* Start with a row. False when no token is possible. */
bool cand_load(struct sample_scratch *c, const float *logits, int n, const uint64_t *allowed);
/* Where token `tok` is, or -1. */
int  cand_find(const struct sample_scratch *c, int32_t tok);
/* Index of the largest logit, the lowest among equals. */
int  cand_argmax(const struct sample_scratch *c);
/* Weights e^(x - max) and their total, unless they are there. The total is at least 1. */
void cand_weigh(struct sample_scratch *c);
/* Entropy of the softmax in nats. Weighs. */
double cand_entropy(struct sample_scratch *c);
/* Draw an index by weight. Weighs. Uses one random number. */
int  cand_draw(struct sample_scratch *c, struct rng *rng);

/* A place to cut: everything above `at` stays, and of those equal to it the ones up to index
 * `last`. */
struct cand_cut {
    float at;
    int   last;
};
#define CAND_TIES_ALL INT32_MAX

/* The shortest head of v[0..n) in falling order (equal ones by index) whose weights w reach `want`
 * (NULL: 1 each); all with weight when none does. No v is above vmax, some weight is above 0.
 * Radix selection: one pass over all, three over the bucket that holds the border; no worst case
 * beyond that. */
struct cand_cut cand_cut_find(struct sample_scratch *c, const float *v, const float *w, int n,
                              float vmax, double want);
/* Drop what lies below the cut by v[0..n). At least one must stay (asserted). */
void cand_keep(struct sample_scratch *c, const float *v, struct cand_cut cut);
/* How many of v[0..n) are at least `at`. */
int  cand_count(const float *v, int n, float at);

float cand_max(const float *v, int n);

/* The filters; parameters as in chat/params.h, neutral ones do nothing. */
void cand_top_k(struct sample_scratch *c, int k);
void cand_top_p(struct sample_scratch *c, float p);
void cand_min_p(struct sample_scratch *c, float p);
void cand_typical(struct sample_scratch *c, float p);
void cand_top_n_sigma(struct sample_scratch *c, float n);
void cand_xtc(struct sample_scratch *c, float probability, float threshold, struct rng *rng);
void cand_temp(struct sample_scratch *c, float temp);
void cand_dyn_temp(struct sample_scratch *c, float temp, float range, float exponent);
void cand_mirostat1(struct sample_scratch *c, double mu, int n_vocab);
void cand_mirostat2(struct sample_scratch *c, double mu);

#endif
