/* cand.c - load, weigh, select and draw candidates without sorting a vocabulary.
 *
 * Loops over a whole row work in lanes of a fixed number that are added up in a fixed order:
 * compilers make vectors of any width of them, and the result has the same bits with each.
 */
#include "cand_int.h"

#include <assert.h>
#include <string.h>

#include "base/cc.h"
#include "smath_int.h"

enum { LANES = 64 }; // more than compilers unroll, so that they vectorise instead

WIDE_VECTORS float cand_max(const float *v, int n)
{
    float lane[LANES], m = v[0];
    int   i = 0;

    for (int k = 0; k < LANES; k++) lane[k] = m;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] = v[i + k] > lane[k] ? v[i + k] : lane[k];
    for (; i < n; i++) m = v[i] > m ? v[i] : m;
    for (int k = 0; k < LANES; k++) m = lane[k] > m ? lane[k] : m;
    return m;
}

static void load_allowed(struct sample_scratch *c, const float *logits, int n, const uint64_t *allowed)
{
    int m = 0;

    for (int base = 0; base < n; base += 64)
        for (uint64_t bits = allowed[base / 64]; bits; bits &= bits - 1) {
            int i = base + __builtin_ctzll(bits);
            if (i >= n) break;
            if (!(logits[i] > -INFINITY)) continue; // NaN too
            c->id[m]  = i;
            c->x[m++] = cand_clamp(logits[i]);
        }
    c->n     = m;
    c->dense = false;
}

/* Returns how many are impossible; those come out as -LOGIT_MAX. */
WIDE_VECTORS static int load_all(float *restrict x, const float *restrict logits, int n)
{
    int bad = 0;

    for (int i = 0; i < n; i++) {
        float v = logits[i];
        bad += !(v > -INFINITY); // NaN too
        v    = v > -LOGIT_MAX ? v : -LOGIT_MAX;
        x[i] = v < LOGIT_MAX ? v : LOGIT_MAX;
    }
    return bad;
}

bool cand_load(struct sample_scratch *c, const float *logits, int n, const uint64_t *allowed)
{
    assert(n > 0 && n <= c->cap);
    c->weighed = false;
    if (allowed) {
        load_allowed(c, logits, n, allowed);
        return c->n > 0;
    }

    c->n     = n;
    c->dense = true;
    if (load_all(c->x, logits, n) == 0) return true;

    int m = 0;
    for (int i = 0; i < n; i++) {
        c->id[m] = i;
        c->x[m]  = c->x[i];
        m += logits[i] > -INFINITY;
    }
    c->n     = m;
    c->dense = false;
    return m > 0;
}

int cand_find(const struct sample_scratch *c, int32_t tok)
{
    if (c->dense) return tok >= 0 && tok < c->n ? tok : -1;

    int lo = 0, hi = c->n;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (c->id[mid] < tok) lo = mid + 1;
        else hi = mid;
    }
    return lo < c->n && c->id[lo] == tok ? lo : -1;
}

int cand_argmax(const struct sample_scratch *c)
{
    float m = cand_max(c->x, c->n);
    int   i = 0;

    while (i + LANES <= c->n && cand_max(c->x + i, LANES) < m) i += LANES;
    while (c->x[i] != m) i++;
    return i;
}

/* The sum of up to CAND_BLOCK values, in lanes. */
WIDE_VECTORS static double block_sum(const float *v, int n)
{
    float  lane[LANES] = { 0 };
    double sum         = 0;
    int    i           = 0;

    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += v[i + k];
    for (; i < n; i++) sum += (double)v[i];
    for (int k = 0; k < LANES; k++) sum += (double)lane[k];
    return sum;
}

WIDE_VECTORS static void exp_row(float *restrict w, const float *restrict x, int n, float max)
{
    for (int i = 0; i < n; i++) w[i] = smath_expf(x[i] - max);
}

void cand_weigh(struct sample_scratch *c)
{
    if (c->weighed) return;

    float  max   = cand_max(c->x, c->n);
    double total = 0;
    for (int at = 0, b = 0; at < c->n; at += CAND_BLOCK, b++) {
        int n = c->n - at < CAND_BLOCK ? c->n - at : CAND_BLOCK;
        exp_row(c->w + at, c->x + at, n, max);
        total += c->bsum[b] = block_sum(c->w + at, n);
    }
    c->max     = max;
    c->total   = total;
    c->weighed = true;
}

/* -sum p ln p with p = w / total and ln w = x - max:  ln total + sum w (max - x) / total */
double cand_entropy(struct sample_scratch *c)
{
    float  term[CAND_BLOCK];
    double sum = 0;

    cand_weigh(c);
    for (int at = 0; at < c->n; at += CAND_BLOCK) {
        int n = c->n - at < CAND_BLOCK ? c->n - at : CAND_BLOCK;
        for (int i = 0; i < n; i++) term[i] = c->w[at + i] * (c->max - c->x[at + i]);
        sum += block_sum(term, n);
    }
    return smath_log(c->total) + sum / c->total;
}

int cand_draw(struct sample_scratch *c, struct rng *rng)
{
    cand_weigh(c);

    /* First the block, then the token in it. Within a block the sum runs in another order than
     * bsum did, so its end may be missed by a rounding: then it is the last that has weight. */
    double r = rng_f64(rng) * c->total;
    int    b = 0, last_block = (c->n - 1) / CAND_BLOCK;
    while (b < last_block && r >= c->bsum[b]) r -= c->bsum[b++];

    for (;; b--) { // a last block without weight falls back on those before
        int at = b * CAND_BLOCK, end = at + CAND_BLOCK < c->n ? at + CAND_BLOCK : c->n, last = -1;
        double sum = 0;
        for (int i = at; i < end; i++) {
            if (c->w[i] <= 0) continue;
            last = i;
            sum += (double)c->w[i];
            if (sum > r) return i;
        }
        if (last >= 0) return last;
        assert(b > 0);
    }
}

/* --- selection --- */

/* Floats in their order as unsigned integers. Minus zero counts as zero. */
static uint32_t order_key(float f)
{
    uint32_t u;

    f += 0.0f;
    memcpy(&u, &f, sizeof u);
    return u >> 31 ? ~u : u | 0x80000000u;
}

static float order_val(uint32_t key)
{
    uint32_t u = key >> 31 ? key & 0x7fffffffu : ~key;
    float    f;

    memcpy(&f, &u, sizeof f);
    return f;
}

/* 64 buckets for each unit below vmax: with logits, a bucket spans less than 2% of probability. */
WIDE_VECTORS static void buckets_of(uint16_t *restrict bkt, const float *restrict v, int n, float vmax)
{
    const float last = CAND_BUCKETS - 1;

    for (int i = 0; i < n; i++) {
        float d = (vmax - v[i]) * 64.0f;
        bkt[i]  = (uint16_t)(int)(d < last ? d : last);
    }
}

/* Where bucket b's members are, in order; how many. Stretches without one, most of a row, are passed over. */
static int members_of(int32_t *restrict idx, const uint16_t *restrict bkt, int n, int b)
{
    enum { STRETCH = 32 };
    int m = 0;

    for (int from = 0; from < n; from += STRETCH) {
        int end = from + STRETCH < n ? from + STRETCH : n, hit = 0;
        if (end - from == STRETCH) {
            uint16_t any = 0;
            for (int i = 0; i < STRETCH; i++) any |= bkt[from + i] == b ? 0xffff : 0;
            hit = any;
        }
        if (!hit && end - from == STRETCH) continue;
        for (int i = from; i < end; i++) {
            idx[m] = i;
            m += bkt[i] == b;
        }
    }
    return m;
}

/* The first bucket from `first` on by `step` with which *sum reaches `want`, else the last that
 * holds anything; *sum becomes what lies before it. */
static int border(const double *hist, int first, int step, double want, double *sum)
{
    int    found  = first;
    double before = *sum;

    for (int b = first, k = 0; k < CAND_BUCKETS; b += step, k++) {
        if (hist[b] <= 0) continue;
        found  = b;
        before = *sum;
        if (*sum + hist[b] >= want) break;
        *sum += hist[b];
    }
    *sum = before;
    return found;
}

struct cand_cut cand_cut_find(struct sample_scratch *c, const float *v, const float *w, int n,
                              float vmax, double want)
{
    double   *hist = c->hist, sum = 0;
    int32_t  *idx  = c->idx;
    const int size = CAND_BUCKETS * (int)sizeof *hist;

    memset(hist, 0, (size_t)size);
    buckets_of(c->bkt, v, n, vmax);
    const uint16_t *bkt = c->bkt;
    for (int i = 0; i < n; i++) hist[bkt[i]] += w ? (double)w[i] : 1.0;
    int m = members_of(idx, bkt, n, border(hist, 0, 1, want, &sum));

    /* The border bucket by the bits of its floats: 11, 11 and 10, so after the third all are
     * equal. */
    static const int shift[] = { 21, 10, 0 };
    for (int level = 0; level < 3; level++) {
        memset(hist, 0, (size_t)size);
        for (int i = 0; i < m; i++)
            hist[order_key(v[idx[i]]) >> shift[level] & (CAND_BUCKETS - 1)] +=
                w ? (double)w[idx[i]] : 1.0;
        uint32_t top  = (uint32_t)border(hist, CAND_BUCKETS - 1, -1, want, &sum);
        int      kept = 0;
        for (int i = 0; i < m; i++)
            if ((order_key(v[idx[i]]) >> shift[level] & (CAND_BUCKETS - 1)) == top)
                idx[kept++] = idx[i];
        m = kept;
    }

    int k = 0;
    while (sum += w ? (double)w[idx[k]] : 1.0, sum < want && k + 1 < m) k++;
    return (struct cand_cut){ order_val(order_key(v[idx[0]])), idx[k] };
}

WIDE_VECTORS int cand_count(const float *v, int n, float at)
{
    int count = 0;

    for (int i = 0; i < n; i++) count += v[i] >= at;
    return count;
}

/* Move those of [from, to) with v >= at to m and following; returns the new m. Blocks in which
 * none is that large, nearly all of a usual row, are passed over. */
static int compact(struct sample_scratch *c, const float *v, float at, int from, int to, int m)
{
    float   *x = c->x, *w = c->w;
    int32_t *id = c->id;

    for (int end; from < to; from = end) {
        end = from + LANES < to ? from + LANES : to;
        if (cand_max(v + from, end - from) < at) continue;
        for (int i = from; i < end; i++) {
            bool keep = v[i] >= at;
            id[m] = c->dense ? i : id[i];
            x[m]  = x[i];
            w[m]  = w[i];
            m += keep;
        }
    }
    return m;
}

void cand_keep(struct sample_scratch *c, const float *v, struct cand_cut cut)
{
    int n = c->n, ties = cut.last < n - 1 ? cut.last + 1 : n;
    int m = compact(c, v, cut.at, 0, ties, 0);

    m = compact(c, v, nextafterf(cut.at, INFINITY), ties, n, m);
    assert(m > 0);
    if (m == n) return;
    c->n     = m;
    c->dense = false;
    if (!c->weighed) return;

    c->total = 0; // the weights stay what they are; who drops the max weighs again
    for (int at = 0, b = 0; at < m; at += CAND_BLOCK, b++)
        c->total += c->bsum[b] = block_sum(c->w + at, m - at < CAND_BLOCK ? m - at : CAND_BLOCK);
}
