/* cand_filter.c - the samplers that drop or reshape candidates.
 *
 * Each is the published rule on the distribution that reaches it (the softmax of the candidates
 * still there), computed without a sort. The order in which they run is the caller's.
 */
#include <assert.h>

#include "base/cc.h"
#include "cand_int.h"
#include "smath_int.h"

enum { PEEK = 64 }; // logits summed up by one maximum in cand_top_k

void cand_top_k(struct sample_scratch *c, int k)
{
    if (k <= 0 || k >= c->n) return;

    /* The k-th largest of the maxima of blocks is a floor of the k-th largest of all: k blocks
     * have a member that reaches it. It leaves a handful of a vocabulary to select from. */
    int n_block = c->n / PEEK;
    if (k < n_block / 4) {
        for (int b = 0; b < n_block; b++) c->v[b] = cand_max(c->x + b * PEEK, PEEK);
        struct cand_cut cut = cand_cut_find(c, c->v, NULL, n_block, cand_max(c->v, n_block), k);
        cut.last = CAND_TIES_ALL;
        cand_keep(c, c->x, cut);
    }
    cand_keep(c, c->x, cand_cut_find(c, c->x, NULL, c->n, cand_max(c->x, c->n), k));
}

/* Nucleus: the smallest set of most probable tokens whose probability reaches p; at least one.
 * Holtzman et al., The Curious Case of Neural Text Degeneration, arXiv:1904.09751, sec. 3.1. */
void cand_top_p(struct sample_scratch *c, float p)
{
    if (p >= 1 || c->n <= 1) return;
    cand_weigh(c);

    /* Tokens below a (1-p)/2n-th of the total do not add up to what may be lacking: the nucleus is
     * complete before the first of them. Of a usual row that drops nearly all. */
    double want   = c->total * (double)p;
    double excess = c->total - want;
    float  floor  = (float)(excess / 2 / c->n);
    if (cand_count(c->w, c->n, floor) < c->n / 2) // else it costs more than it saves
        cand_keep(c, c->w, (struct cand_cut){ floor, CAND_TIES_ALL });
    cand_keep(c, c->x, cand_cut_find(c, c->x, c->w, c->n, c->max, want));
}

/* Everything at least p times as probable as the most probable token.
 * Nguyen et al., Min-p Sampling, arXiv:2407.01082. */
void cand_min_p(struct sample_scratch *c, float p)
{
    if (p <= 0 || c->n <= 1) return;
    float max = cand_max(c->x, c->n);
    float at  = p >= 1 ? max : (float)((double)max + smath_log((double)p));
    cand_keep(c, c->x, (struct cand_cut){ at, CAND_TIES_ALL });
}

/* The tokens whose surprise is nearest to the entropy, until their probability reaches p.
 * Meister et al., Locally Typical Sampling, arXiv:2202.00666, sec. 4. */
void cand_typical(struct sample_scratch *c, float p)
{
    if (p >= 1 || c->n <= 1) return;

    double entropy = cand_entropy(c); // surprise of i = max - x[i] + ln total
    float  shift   = (float)(smath_log(c->total) - entropy);
    for (int i = 0; i < c->n; i++) {
        float off = (c->max - c->x[i]) + shift;
        c->v[i]   = off < 0 ? off : -off;
    }
    cand_keep(c, c->v, cand_cut_find(c, c->v, c->w, c->n, cand_max(c->v, c->n), c->total * (double)p));
    c->weighed = false; // the most probable token may be gone
}

/* The sum of (x - mean), or of its square, in lanes of a fixed order. */
static double moment(const float *x, int n, double mean, int power)
{
    enum { LANES = 32 };
    double lane[LANES] = { 0 }, sum = 0;
    int    i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            double d = (double)x[i + k] - mean;
            lane[k] += power == 2 ? d * d : d;
        }
    for (; i < n; i++) {
        double d = (double)x[i] - mean;
        sum += power == 2 ? d * d : d;
    }
    for (int k = 0; k < LANES; k++) sum += lane[k];
    return sum;
}

/* Logits within n standard deviations of the largest.
 * Tang et al., Top-n-sigma: Not All Logits Are You Need, arXiv:2411.07641. */
void cand_top_n_sigma(struct sample_scratch *c, float n)
{
    if (n <= 0 || c->n <= 1) return;

    double mean  = moment(c->x, c->n, 0, 1) / c->n;
    double sigma = sqrt(moment(c->x, c->n, mean, 2) / c->n);

    float max = cand_max(c->x, c->n);
    float at  = (float)((double)max - (double)n * sigma);
    cand_keep(c, c->x, (struct cand_cut){ at < max ? at : max, CAND_TIES_ALL });
}

/* Exclude top choices: with some probability, of the tokens that reach the threshold only the least
 * probable stays. P. E. Weidmann, text-generation-webui pull request 6335 (2024). */
void cand_xtc(struct sample_scratch *c, float probability, float threshold, struct rng *rng)
{
    if (probability <= 0 || threshold > 0.5f) return; // above a half, two cannot reach it
    bool hit = rng_f64(rng) < (double)probability;    // drawn always: the stream stays in step
    if (!hit || c->n <= 1) return;
    cand_weigh(c);

    double at    = c->total * (double)threshold;
    int    n_top = 0, least = -1;
    for (int i = 0; i < c->n; i++) {
        if ((double)c->w[i] < at) continue;
        n_top++;
        if (least < 0 || c->x[i] <= c->x[least]) least = i;
    }
    if (n_top < 2) return;
    for (int i = 0; i < c->n; i++) c->v[i] = (double)c->w[i] < at || i == least ? 1.0f : 0.0f;
    cand_keep(c, c->v, (struct cand_cut){ 1.0f, CAND_TIES_ALL });
    c->weighed = false;
}

static void keep_best(struct sample_scratch *c)
{
    int best = cand_argmax(c);
    cand_keep(c, c->x, (struct cand_cut){ c->x[best], best });
}

WIDE_VECTORS static void divide(float *x, int n, float by)
{
    for (int i = 0; i < n; i++) x[i] /= by;
}

void cand_temp(struct sample_scratch *c, float temp)
{
    if (temp == 1) return;
    if (temp < TEMP_MIN) {
        keep_best(c);
        return;
    }
    divide(c->x, c->n, temp);
    c->weighed = false;
}

/* A temperature between temp - range and temp + range that follows the entropy, as a share of the
 * most that n candidates can have, to the power of the exponent. K. Kalomaze, "Entropy-based
 * dynamic temperature" (2023), as in llama.cpp. */
void cand_dyn_temp(struct sample_scratch *c, float temp, float range, float exponent)
{
    if (range <= 0) {
        cand_temp(c, temp);
        return;
    }
    if (c->n <= 1) return;

    double lo    = temp > range ? (double)(temp - range) : 0;
    double hi    = (double)temp + (double)range;
    double share = cand_entropy(c) / smath_log(c->n);
    cand_temp(c, (float)(lo + (hi - lo) * smath_pow(share, (double)exponent)));
}

/* --- mirostat: Basu et al., arXiv:2007.14966. Surprises are in bits. --- */

enum { ZIPF = 100 }; // tokens from which the Zipf exponent is estimated

static int zipf_logits(struct sample_scratch *c, float top[ZIPF])
{
    struct cand_cut cut = { -LOGIT_MAX, CAND_TIES_ALL };
    int             n   = 0;

    if (c->n > ZIPF) cut = cand_cut_find(c, c->x, NULL, c->n, cand_max(c->x, c->n), ZIPF);
    for (int i = 0; i < c->n; i++) {
        if (c->x[i] < cut.at || (c->x[i] == cut.at && i > cut.last)) continue;
        int at = n++;
        for (; at > 0 && top[at - 1] < c->x[i]; at--) top[at] = top[at - 1];
        top[at] = c->x[i];
    }
    return n;
}

/* Version 1 keeps the k most probable tokens, k from the target mu and the estimated exponent s. */
void cand_mirostat1(struct sample_scratch *c, double mu, int n_vocab)
{
    float  top[ZIPF];
    int    n   = zipf_logits(c, top);
    double num = 0, den = 0;

    for (int i = 0; i + 1 < n; i++) {
        double t = smath_log((i + 2.0) / (i + 1.0));
        num += t * ((double)top[i] - (double)top[i + 1]); // ln(p[i] / p[i+1])
        den += t * t;
    }
    if (n < 2) return;
    double s = num / den, eps = s - 1;
    if (eps == 0) eps = 1e-9; // the formula's limit is finite, its terms are not
    if (s <= 0) return;       // flat: every k is alike
    double k = smath_pow(eps * smath_pow(2, mu) / (1 - smath_pow(n_vocab, -eps)), 1 / s);
    cand_top_k(c, k < 1 ? 1 : k < c->n ? (int)k : c->n);
}

/* Version 2 keeps the tokens whose surprise is at most mu; at least the most probable. */
void cand_mirostat2(struct sample_scratch *c, double mu)
{
    cand_weigh(c);
    double at  = (double)c->max + smath_log(c->total) - mu * 0.69314718055994530942;
    float  cut = (float)at < c->max ? (float)at : c->max;
    cand_keep(c, c->x, (struct cand_cut){ cut, CAND_TIES_ALL });
}
