/* sample_logprobs.c - log-probabilities of the model itself, and the best few. */
#include <assert.h>

#include "base/cc.h"
#include "base/limits.h"
#include "sample/sample.h"
#include "smath_int.h"

/* As in cand_load: NaN and -inf are impossible, the rest is brought into a range without
 * overflow. */
static const float FAR = 1e30f;

static float usable(float x)
{
    if (!(x > -FAR)) return -FAR;
    return x < FAR ? x : FAR;
}

static float logprob_of(float x, float max, double log_total)
{
    if (!(x > -INFINITY)) return SAMPLE_IMPOSSIBLE;
    double lp = (double)usable(x) - (double)max - log_total;
    return lp > (double)SAMPLE_IMPOSSIBLE ? (float)lp : SAMPLE_IMPOSSIBLE;
}

/* Put token i where it belongs in the list of the best; it is beaten by none of equal logit after
 * it. */
static int insert(const float *logits, struct sample_logprob *top, int n, int n_top, int i)
{
    if (n == n_top) n--;
    int at = n;
    for (; at > 0 && usable(logits[top[at - 1].tok]) < usable(logits[i]); at--) top[at] = top[at - 1];
    top[at].tok = i;
    return n + 1;
}

enum { BLOCK = 256, LANES = 64 };

/* The sum of e^(logit - max), a block at a time in lanes. */
WIDE_VECTORS static double sum_exp(const float *logits, int n, float max)
{
    double total = 0;

    for (int at = 0; at < n; at += BLOCK) {
        float w[BLOCK] = { 0 }, lane[LANES] = { 0 };
        int   len      = at + BLOCK < n ? BLOCK : n - at;
        for (int i = 0; i < len; i++) {
            float x = logits[at + i];
            x       = x > -FAR ? x : -FAR;
            x       = x < FAR ? x : FAR;
            w[i]    = smath_expf(x - max);
        }
        for (int i = 0; i < BLOCK; i += LANES)
            for (int k = 0; k < LANES; k++) lane[k] += w[i + k];
        for (int k = 0; k < LANES; k++) total += (double)lane[k];
    }
    return total;
}

int sample_logprobs(const float *logits, int n, int32_t chosen, struct sample_logprob *ret,
                    struct sample_logprob *top, int n_top)
{
    float max = -FAR;
    int   n_found = 0;

    assert(n > 0 && chosen >= 0 && chosen < n && n_top >= 0 && n_top <= LIM_TOP_LOGPROBS);

    for (int at = 0; at < n; at += BLOCK) { // the max of all, and whoever may be among the best
        int   end = at + BLOCK < n ? at + BLOCK : n, i = at;
        float m[LANES], block_max = -INFINITY;
        for (int k = 0; k < LANES; k++) m[k] = -INFINITY;
        for (; i + LANES <= end; i += LANES)
            for (int k = 0; k < LANES; k++) m[k] = logits[i + k] > m[k] ? logits[i + k] : m[k];
        for (; i < end; i++) block_max = logits[i] > block_max ? logits[i] : block_max;
        for (int k = 0; k < LANES; k++) block_max = m[k] > block_max ? m[k] : block_max;
        max = block_max > max ? block_max : max;

        if (n_top == 0 || !(block_max > -INFINITY)) continue;
        for (i = at; i < end; i++) {
            if (!(logits[i] > -INFINITY)) continue;
            if (n_found == n_top && usable(logits[i]) <= usable(logits[top[n_top - 1].tok])) {
                if (usable(block_max) <= usable(logits[top[n_top - 1].tok])) break;
                continue;
            }
            n_found = insert(logits, top, n_found, n_top, i);
        }
    }

    max = usable(max);
    double total = sum_exp(logits, n, max);
    double log_total = total > 0 ? smath_log(total) : 0;
    *ret = (struct sample_logprob){ chosen, logprob_of(logits[chosen], max, log_total) };
    for (int i = 0; i < n_found; i++) top[i].logprob = logprob_of(logits[top[i].tok], max, log_total);
    return n_found;
}
