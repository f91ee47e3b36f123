/* kern_act.c - activations, caps and norms that some families of models need, in plain C: their definition. */
#include "kern/kern_int.h"

float kern_softcap(float x, float cap)
{
    return cap - 2 * cap / (kern_exp(x * (2 / cap)) + 1);
}

static void softcap(float *x, int n, float cap)
{
    for (int i = 0; i < n; i++) x[i] = kern_softcap(x[i], cap);
}

static void gelu(float *x, const float *up, int n)
{
    for (int i = 0; i < n; i++) {
        float z = x[i] * fmaf(x[i] * x[i], KERN_GELU_3, KERN_GELU_1);
        float y = x[i] / (1 + kern_exp(-z));
        x[i] = up ? y * up[i] : y;
    }
}

static void swiglu_oai(float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i++) {
        float g = gate[i] > 7 ? 7 : gate[i], u = up[i] > 7 ? 7 : up[i] < -7 ? -7 : up[i];
        gate[i] = g / (1 + kern_exp(-(1.702f * g))) * (u + 1);
    }
}

static void layer_norm(const float *x, const float *w, const float *b, int n, float eps, float *out)
{
    float lane[16] = { 0 }, square[16] = { 0 };

    for (int i = 0; i < n; i++) lane[i & 15] = lane[i & 15] + x[i];
    float mean = kern_tree_sum(lane) / (float)n;
    for (int i = 0; i < n; i++) square[i & 15] = fmaf(x[i] - mean, x[i] - mean, square[i & 15]);
    float s = 1 / sqrtf(kern_tree_sum(square) / (float)n + eps);
    for (int i = 0; i < n; i++) out[i] = fmaf((x[i] - mean) * s, w[i], b[i]);
}

static float larger(float a, float b)
{
    return a > b ? a : b;
}

static void softmax(float *x, int n, float scale, float slope, int at)
{
    float top[16], sum[16] = { 0 };

    for (int i = 0; i < 16; i++) top[i] = -INFINITY;
    for (int i = 0; i < n; i++) {
        x[i] = fmaf(-slope, fabsf((float)i - (float)at), x[i] * scale);
        top[i & 15] = larger(x[i], top[i & 15]);
    }
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++) top[i] = larger(top[i], top[i + half]);
    for (int i = 0; i < n; i++) {
        x[i] = kern_exp(x[i] - top[0]);
        sum[i & 15] = sum[i & 15] + x[i];
    }
    float s = 1 / kern_tree_sum(sum);
    for (int i = 0; i < n; i++) x[i] = x[i] * s;
}

void kern_init_act(struct kern *k)
{
    k->gelu = gelu;
    k->swiglu_oai = swiglu_oai;
    k->softcap = softcap;
    k->layer_norm = layer_norm;
    k->softmax = softmax;
}
