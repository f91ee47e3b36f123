/* kern_act_simd.h - kern_act.c in vectors of 16 lanes; a part of kern_simd.h, which includes it. */
#ifndef CURLEW_KERN_KERN_ACT_SIMD_H
#define CURLEW_KERN_KERN_ACT_SIMD_H

INLINE vf softcap_of(vf x, float cap)
{
    vf e = simd_exp(vf_mul(x, vf_set1(2 / cap)));
    return vf_sub(vf_set1(cap), vf_div(vf_set1(2 * cap), vf_add(e, vf_set1(1))));
}

static void softcap(float *x, int n, float cap)
{
    int i = 0;

    for (; i + 16 <= n; i += 16) vf_store(x + i, softcap_of(vf_load(x + i), cap));
    if (i < n) vf_store_n(x + i, softcap_of(vf_load_n(x + i, n - i), cap), n - i);
}

INLINE vf gelu_of(vf x)
{
    vf z = vf_mul(x, vf_fma(vf_mul(x, x), vf_set1(KERN_GELU_3), vf_set1(KERN_GELU_1)));
    return vf_div(x, vf_add(vf_set1(1), simd_exp(vf_neg(z))));
}

static void gelu(float *x, const float *up, int n)
{
    int i = 0;

    for (; i + 16 <= n; i += 16) {
        vf y = gelu_of(vf_load(x + i));
        vf_store(x + i, up ? vf_mul(y, vf_load(up + i)) : y);
    }
    if (i < n) {
        vf y = gelu_of(vf_load_n(x + i, n - i));
        vf_store_n(x + i, up ? vf_mul(y, vf_load_n(up + i, n - i)) : y, n - i);
    }
}

INLINE vf swiglu_oai_of(vf g, vf u)
{
    vf top = vf_set1(7), low = vf_set1(-7);
    g = vf_if_less(top, g, top, g);
    u = vf_if_less(top, u, top, vf_if_less(u, low, low, u));
    vf e = simd_exp(vf_neg(vf_mul(vf_set1(1.702f), g)));
    return vf_mul(vf_div(g, vf_add(vf_set1(1), e)), vf_add(u, vf_set1(1)));
}

static void swiglu_oai(float *gate, const float *up, int n)
{
    int i = 0;

    for (; i + 16 <= n; i += 16) vf_store(gate + i, swiglu_oai_of(vf_load(gate + i), vf_load(up + i)));
    if (i < n) vf_store_n(gate + i, swiglu_oai_of(vf_load_n(gate + i, n - i), vf_load_n(up + i, n - i)), n - i);
}

static void layer_norm(const float *x, const float *w, const float *b, int n, float eps, float *out)
{
    vf  sum = vf_zero(), square = vf_zero();
    int i = 0;

    for (; i + 16 <= n; i += 16) sum = vf_add(sum, vf_load(x + i));
    if (i < n) sum = vf_add(sum, vf_load_n(x + i, n - i));
    vf mean = vf_set1(vf_sum(sum) / (float)n);
    for (i = 0; i + 16 <= n; i += 16) {
        vf d = vf_sub(vf_load(x + i), mean);
        square = vf_fma(d, d, square);
    }
    if (i < n) { // lanes without a value add 0 * 0
        vf d = vf_keep(vf_sub(vf_load_n(x + i, n - i), mean), 0, n - i, vf_zero());
        square = vf_fma(d, d, square);
    }
    vf s = vf_set1(1 / sqrtf(vf_sum(square) / (float)n + eps));
    for (i = 0; i + 16 <= n; i += 16)
        vf_store(out + i, vf_fma(vf_mul(vf_sub(vf_load(x + i), mean), s), vf_load(w + i), vf_load(b + i)));
    if (i < n)
        vf_store_n(out + i, vf_fma(vf_mul(vf_sub(vf_load_n(x + i, n - i), mean), s), vf_load_n(w + i, n - i),
                                   vf_load_n(b + i, n - i)), n - i);
}

/* Scaled scores of 16 positions from i on. */
INLINE vf scores_of(vf x, int i, vf scale, vf slope, vf at)
{
    static const float lane[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    vf d = vf_sub(vf_add(vf_load(lane), vf_set1((float)i)), at);
    return vf_fnma(slope, vf_max(d, vf_neg(d)), vf_mul(x, scale));
}

static void softmax_row(float *x, int n, float scale, float slope, int at)
{
    vf  by = vf_set1(scale), loss = vf_set1(slope), here = vf_set1((float)at);
    vf  top = vf_set1(-INFINITY), sum = vf_zero();
    int i = 0;

    for (; i + 16 <= n; i += 16) {
        vf s = scores_of(vf_load(x + i), i, by, loss, here);
        vf_store(x + i, s);
        top = vf_max(s, top);
    }
    if (i < n) {
        vf s = scores_of(vf_load_n(x + i, n - i), i, by, loss, here);
        vf_store_n(x + i, s, n - i);
        top = vf_max(vf_keep(s, 0, n - i, vf_set1(-INFINITY)), top);
    }
    vf m = vf_set1(vf_top(top));
    for (i = 0; i + 16 <= n; i += 16) {
        vf p = simd_exp(vf_sub(vf_load(x + i), m));
        vf_store(x + i, p);
        sum = vf_add(sum, p);
    }
    if (i < n) {
        vf p = vf_keep(simd_exp(vf_sub(vf_load_n(x + i, n - i), m)), 0, n - i, vf_zero());
        vf_store_n(x + i, p, n - i);
        sum = vf_add(sum, p);
    }
    vf f = vf_set1(1 / vf_sum(sum));
    for (i = 0; i + 16 <= n; i += 16) vf_store(x + i, vf_mul(vf_load(x + i), f));
    if (i < n) vf_store_n(x + i, vf_mul(vf_load_n(x + i, n - i), f), n - i);
}

static void simd_fill_act(struct kern *k)
{
    k->gelu = gelu;
    k->swiglu_oai = swiglu_oai;
    k->softcap = softcap;
    k->layer_norm = layer_norm;
    k->softmax = softmax_row;
}

#endif
