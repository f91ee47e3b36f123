/* check_kern.c - every kernel of every instruction set of this machine against the plain C ones.
 *
 *     check_kern [--seed N]      check, and say what was compared
 *     check_kern --bench         gain of each set over plain C, and what it reaches
 *
 * The bound on the difference between two sets is zero: each kernel's f32 operations and their order are part
 * of its definition (kern.h), integers are exact, and fma, add, mul, div and conversions round the same
 * everywhere. So outputs are compared as bits; only NaNs of different payload count as equal.
 *
 * The plain C ones are compared with the same formulas in double precision. Bound: a chain of n fma's (or n
 * additions) in f32 is off by at most n * 2^-24 * (sum of |terms|), to first order, when each rounds by half
 * an ulp of a partial sum; 2^-23 leaves room for the second order. Inputs in 8 bits are given as they are, not
 * as the f32 they came from, so quantisation is no part of the difference. exp's own error, 2^-23 relative plus
 * its rounding of the argument (87 * 2^-24), is added where it occurs.
 *
 * Every buffer ends where a page begins that cannot be touched.
 */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/cc.h"
#include "base/half.h"
#include "base/rng.h"
#include "base/str.h"
#include "kern/kern.h"
#include "os/cpu.h"

static struct rng rng;
static uint64_t   seed = 1;
static uint64_t   n_compared;

#define FAIL(...)                                                     \
    do {                                                              \
        fprintf(stderr, "check_kern (seed %" PRIu64 "): ", seed);     \
        fprintf(stderr, __VA_ARGS__);                                 \
        fputc('\n', stderr);                                          \
        exit(1);                                                      \
    } while (0)

/* --- buffers before a wall --- */

enum { PAGE = 4096 };

static size_t guarded_pages(size_t size)
{
    return (size + PAGE - 1) / PAGE * PAGE;
}

static void *guarded(size_t size)
{
    size_t n = guarded_pages(size);
    char  *p = mmap(NULL, n + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + n, PAGE, PROT_NONE)) FAIL("no memory");
    return p + n - size;
}

static void unguard(void *p, size_t size)
{
    size_t n = guarded_pages(size);
    munmap((char *)p + size - n, n + PAGE);
}

/* --- values --- */

static double uniform(void)
{
    return rng_f64(&rng) * 2 - 1;
}

enum kind { MILD, WILD, SPECIAL };
static const char *const kind_name[] = { "mild", "wild", "special" };

/* MILD: about 1. WILD: any magnitude without overflow of sums. SPECIAL: also zeros, infinities, NaNs. */
static float value(enum kind kind)
{
    static const float special[] = { 0, -0.0f, INFINITY, -INFINITY, NAN, 1e-40f, -1e-45f, 3.4e38f, 65504, 65520 };

    if (kind == SPECIAL && rng_below(&rng, 40) == 0) return special[rng_below(&rng, ARRAY_LEN(special))];
    if (kind == MILD) return (float)uniform();
    return (float)ldexp(uniform(), (int)rng_below(&rng, 61) - 40);
}

static void values(float *p, size_t n, enum kind kind)
{
    for (size_t i = 0; i < n; i++) p[i] = value(kind);
}

/* Rows of a file's format: random bytes with scales that are numbers (or, SPECIAL, anything). */
static size_t file_row_bytes(enum kern_type t, int cols)
{
    static const size_t block[KERN_TYPES] = { 4, 2, 2, 34, 18, 22, 210, 144, 17 };
    return (size_t)(cols / kern_block_cols(t)) * block[t];
}

static uint16_t scale(enum kind kind)
{
    if (kind == SPECIAL && rng_below(&rng, 20) == 0) return (uint16_t)rng_u64(&rng);
    return half_from_f32((float)ldexp(uniform(), kind == MILD ? -6 : (int)rng_below(&rng, 20) - 16));
}

static void file_rows(enum kern_type t, unsigned char *p, size_t row_bytes, int rows, int cols, enum kind kind)
{
    for (size_t i = 0; i < row_bytes * (size_t)rows; i++) p[i] = (unsigned char)rng_u64(&rng);
    size_t n = (size_t)rows * (size_t)cols / (size_t)kern_block_cols(t);
    size_t size = row_bytes * (size_t)rows / n;
    for (size_t i = 0; i < n; i++) {
        unsigned char *b = p + i * size;
        uint16_t       h = scale(kind), h2 = scale(kind);
        float          f = value(kind);
        switch (t) {
        case KERN_F32: memcpy(b, &f, 4); break;
        case KERN_F16:
            h = half_from_f32(f);
            memcpy(b, &h, 2);
            break;
        case KERN_BF16:
            h = bf16_from_f32(f);
            memcpy(b, &h, 2);
            break;
        case KERN_Q8_0:
        case KERN_Q4_0:
        case KERN_Q5_0: memcpy(b, &h, 2); break;
        case KERN_Q6_K: memcpy(b + 208, &h, 2); break;
        case KERN_Q4_K:
            memcpy(b, &h, 2);
            memcpy(b + 2, &h2, 2);
            break;
        case KERN_MXFP4: // any exponent only where anything may be
            if (kind != SPECIAL) b[0] = (unsigned char)(kind == MILD ? 118 + b[0] % 4 : 90 + b[0] % 40);
            break;
        case KERN_TYPES: break;
        }
    }
}

static const char *const type_name[KERN_TYPES] = { "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q5_0", "Q6_K", "Q4_K",
                                                   "MXFP4" };

/* --- comparing --- */

static void same_bits(const char *what, const char *set, const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&got[i], &want[i], 4) && !(isnan(got[i]) && isnan(want[i])))
            FAIL("%s, %s: value %zu of %zu is %a, plain C gives %a", what, set, i, n, (double)got[i],
                 (double)want[i]);
    }
    n_compared += n;
}

static void close_to(const char *what, double got, double want, double bound)
{
    if (!(fabs(got - want) <= bound)) FAIL("%s: %.9g, in double precision %.9g, allowed %g", what, got, want, bound);
    n_compared++;
}

/* --- matrices --- */

struct matrix {
    struct kern_mat m;
    unsigned char  *rows; // as in a file
    size_t          row_bytes, bytes;
};

static struct matrix matrix_new(enum kern_type t, int rows, int cols, enum kind kind)
{
    struct matrix x = { .m = { .rows = rows, .cols = cols, .type = t, .panel_bytes = kern_panel_bytes(t, cols) } };

    x.row_bytes = file_row_bytes(t, cols);
    x.rows = guarded(x.row_bytes * (size_t)rows);
    file_rows(t, x.rows, x.row_bytes, rows, cols, kind);
    x.bytes = x.m.panel_bytes * (size_t)kern_panels(rows);
    unsigned char *data = guarded(x.bytes);
    memset(data, 0xA5, x.bytes);
    for (int p = 0; p < kern_panels(rows); p++) {
        int n = rows - p * KERN_ROWS < KERN_ROWS ? rows - p * KERN_ROWS : KERN_ROWS;
        kern_pack(t, cols, x.rows + (size_t)p * KERN_ROWS * x.row_bytes, x.row_bytes, n,
                  data + (size_t)p * x.m.panel_bytes);
    }
    x.m.data = data;
    return x;
}

static void matrix_free(struct matrix *x)
{
    unguard(x->rows, x->row_bytes * (size_t)x->m.rows);
    unguard((void *)x->m.data, x->bytes);
}

struct inputs {
    char  *p; // what gemm wants
    size_t bytes, stride;
    float *first; // token 0 before anything was done to it
};

static struct inputs inputs_new(const struct kern *k, enum kern_type t, int cols, int n_tok, enum kind kind)
{
    struct inputs in = { .stride = kern_is_float(t) ? (size_t)cols * sizeof(float) : kern_q8_bytes(cols) };

    in.bytes = in.stride * (size_t)n_tok;
    in.p = guarded(in.bytes);
    in.first = malloc((size_t)cols * sizeof(float));
    if (!in.first) FAIL("no memory");
    float *row = guarded((size_t)cols * sizeof(float));
    for (int i = 0; i < n_tok; i++) {
        values(row, (size_t)cols, kind);
        if (i == 0) memcpy(in.first, row, (size_t)cols * sizeof(float));
        if (kern_is_float(t))
            memcpy(in.p + (size_t)i * in.stride, row, in.stride);
        else
            k->quant_q8(row, cols, (struct kern_q8 *)(void *)(in.p + (size_t)i * in.stride));
    }
    unguard(row, (size_t)cols * sizeof(float));
    return in;
}

/* A weight by the format's own words: ggml's block layouts, read independently of kern_pack.c. */
static double weight(const struct matrix *x, int r, int c)
{
    enum kern_type t = x->m.type;
    int      bc = kern_block_cols(t), j = c % bc;
    const unsigned char *b = x->rows + (size_t)r * x->row_bytes + file_row_bytes(t, bc) * (size_t)(c / bc);
    uint16_t h, h2;
    uint32_t bits;
    float    f;

    memcpy(&h, b, 2);
    double d = (double)half_to_f32(h);
    switch (t) {
    case KERN_F32: memcpy(&f, b, 4); return (double)f;
    case KERN_F16: return d;
    case KERN_BF16: return (double)bf16_to_f32(h);
    case KERN_Q8_0: return d * (double)(int8_t)b[2 + j];
    case KERN_Q4_0: return d * (double)((j < 16 ? b[2 + j] & 15 : b[2 + j - 16] >> 4) - 8);
    case KERN_Q5_0: {
        memcpy(&bits, b + 2, 4);
        int low = j < 16 ? b[6 + j] & 15 : b[6 + j - 16] >> 4;
        return d * (double)((low | (int)(bits >> j & 1) << 4) - 16);
    }
    case KERN_Q6_K: {
        int half = j / 128, k = j % 128, l = k % 32, quarter = k / 32;
        int low = b[64 * half + (quarter & 1) * 32 + l] >> (quarter >= 2 ? 4 : 0) & 15;
        int high = b[128 + 32 * half + l] >> 2 * quarter & 3;
        memcpy(&h, b + 208, 2);
        return (double)half_to_f32(h) * (double)(int8_t)b[192 + j / 16] * (double)((low | high << 4) - 32);
    }
    case KERN_Q4_K: {
        int s = j / 32, l = j % 32, sc, mn;
        const unsigned char *k = b + 4;
        if (s < 4) {
            sc = k[s] & 63;
            mn = k[s + 4] & 63;
        } else {
            sc = (k[s + 4] & 15) | k[s - 4] >> 6 << 4;
            mn = k[s + 4] >> 4 | k[s] >> 6 << 4;
        }
        int q = b[16 + 32 * (s / 2) + l] >> (s & 1 ? 4 : 0) & 15;
        memcpy(&h2, b + 2, 2);
        return d * (double)sc * (double)q - (double)half_to_f32(h2) * (double)mn;
    }
    case KERN_MXFP4: { // fraction bit f, exponent x: x ? (1 + f / 2) * 2^(x - 1) : f / 2
        int code = b[1 + j % 16] >> (j < 16 ? 0 : 4) & 15, exp = code >> 1 & 3;
        double v = exp ? (2 + (code & 1)) * 0.5 * (1 << (exp - 1)) : 0.5 * (code & 1);
        return ldexp(code & 8 ? -v : v, b[0] - 127);
    }
    case KERN_TYPES: break;
    }
    return NAN;
}

static void inputs_free(struct inputs *in)
{
    unguard(in->p, in->bytes);
    free(in->first);
}

/* Plain C against double precision, token 0: with the inputs as gemm has them, and with those that were given,
 * where each is off by half a step of its block, amax / 254, and roundings as in quant_q8. */
static void check_meaning(const struct kern *ref, const struct matrix *x, const struct inputs *in, const float *out)
{
    (void)ref;
    for (int r = 0; r < x->m.rows; r++) {
        double sum = 0, size = 0, given = 0, step = 0, amax = 0;
        for (int c = 0; c < x->m.cols; c++) {
            double v;
            if (c % 32 == 0) amax = 0;
            for (int k = c; c % 32 == 0 && k < c + 32 && k < x->m.cols; k++) amax = fmax(amax, fabs((double)in->first[k]));
            if (kern_is_float(x->m.type)) {
                v = (double)((const float *)(const void *)in->p)[c];
            } else {
                const struct kern_q8 *b = (const struct kern_q8 *)(const void *)in->p + c / 32;
                v = (double)b->d * (double)b->q[c % 32];
            }
            double w = weight(x, r, c);
            sum += w * v;
            given += w * (double)in->first[c];
            if (!kern_is_float(x->m.type)) step += fabs(w) * amax / 127 * (0.5 + 127 * 0x1p-22);
            /* Q4_K adds two terms a block, which may cancel: their sizes are both that of its minimum */
            size += fabs(w * v) + (x->m.type == KERN_Q4_K ? 1.0 / 16 * 63 * 2 * fabs(v) : 0);
        }
        close_to(type_name[x->m.type], (double)out[r], sum, x->m.cols * 0x1p-23 * size + 1e-40);
        close_to(type_name[x->m.type], (double)out[r], given, step + x->m.cols * 0x1p-23 * size + 1e-40);
    }
}

static void check_gemm(const struct kern *ref, const struct kern *k, enum kern_type t, int rows, int cols, int n_tok,
                       enum kind kind)
{
    struct matrix x = matrix_new(t, rows, cols, kind);
    struct inputs in = inputs_new(ref, t, cols, n_tok, kind);
    int    panels = kern_panels(rows);
    size_t stride = (size_t)panels * KERN_ROWS, bytes = stride * (size_t)n_tok * sizeof(float);
    float *want = guarded(bytes), *got = guarded(bytes);
    char   what[128];

    snprintf(what, sizeof what, "%s %d x %d, %d tokens, %s", type_name[t], rows, cols, n_tok, kind_name[kind]);
    values(want, stride * (size_t)n_tok, MILD);
    memcpy(got, want, bytes);
    bool add = rng_below(&rng, 2);
    ref->gemm[t](&x.m, 0, panels, in.p, in.stride, n_tok, want, stride, add);
    if (kind == MILD && !add) check_meaning(ref, &x, &in, want);
    /* in pieces of panels and tokens: the bits must not know */
    for (int p = 0; p < panels;) {
        int np = 1 + (int)rng_below(&rng, (uint64_t)(panels - p));
        for (int i = 0; i < n_tok;) {
            int n = 1 + (int)rng_below(&rng, (uint64_t)(n_tok - i));
            k->gemm[t](&x.m, p, np, in.p + (size_t)i * in.stride, in.stride, n, got + (size_t)i * stride, stride, add);
            i += n;
        }
        p += np;
    }
    same_bits(what, k->name, got, want, stride * (size_t)n_tok);
    unguard(want, bytes);
    unguard(got, bytes);
    inputs_free(&in);
    matrix_free(&x);
}

static void check_matrices(const struct kern *ref, const struct kern *k)
{
    for (enum kern_type t = 0; t < KERN_TYPES; t++) {
        int unit = kern_block_cols(t);
        for (int n_tok = 1; n_tok <= 70; n_tok++) // every number of tokens
            check_gemm(ref, k, t, 33, unit == 1 ? 37 : unit == 32 ? 96 : 256, n_tok, MILD);
        for (int cols = 1; cols <= 9; cols++) // every tail
            for (enum kind kind = MILD; kind <= SPECIAL; kind++)
                check_gemm(ref, k, t, 1 + (int)rng_below(&rng, 70), cols * unit, 1 + (int)rng_below(&rng, 14), kind);
    }
}

/* --- rows --- */

/* Plain C activations against double precision. Roundings of z = x * fma(..) and of exp's argument scale with z,
 * which is below 2 here. Of the softcap: cap less something of its size, so the bound is in units of the cap. */
static void check_act_meaning(const struct kern *ref, const float *x, const float *y, float *a, int n)
{
    double sum = 0, square = 0;

    memcpy(a, x, (size_t)n * sizeof *a);
    ref->gelu(a, y, n);
    for (int i = 0; i < n; i++) {
        double v = (double)x[i];
        double want = 0.5 * v * (1 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v))) * (double)y[i];
        close_to("gelu", (double)a[i], want, 16 * 0x1p-24 * fabs(want) + 1e-40);
        sum += v;
    }
    for (int i = 0; i < n; i++) a[i] = x[i] * 20;
    ref->swiglu_oai(a, y, n);
    for (int i = 0; i < n; i++) {
        double g = fmin((double)(x[i] * 20), 7), want = g / (1 + exp(-1.702 * g)) * ((double)y[i] + 1);
        close_to("swiglu_oai", (double)a[i], want, (16 + 4 * fabs(g)) * 0x1p-24 * fabs(want) + 1e-40);
    }
    for (int i = 0; i < n; i++) a[i] = x[i] * 100;
    ref->softcap(a, n, 30);
    for (int i = 0; i < n; i++)
        close_to("softcap", (double)a[i], 30 * tanh((double)(x[i] * 100) / 30), 16 * 0x1p-24 * 30);
    for (int i = 0; i < n; i++) square += pow((double)x[i] - sum / n, 2);
    ref->layer_norm(x, y, x, n, 1e-5f, a);
    for (int i = 0; i < n; i++) { // the mean of values of at most 1 is off by 2^-24 a rounding
        double s = 1 / sqrt(square / n + 1e-5), want = ((double)x[i] - sum / n) * s * (double)y[i];
        double off = (n / 16 + 12) * 0x1p-24;
        close_to("layer_norm", (double)a[i], want + (double)x[i], off * (2 * fabs(want) + s * (1 + s) + 1));
    }
    /* A weight is off by what its score is off (|s| < 8 + n / 8 here, three roundings), exp's error, and the same of
     * the sum, which has n / 16 + 4 roundings of its own. */
    double all = 0, slope = 0.125, off = ((8 + n * slope) * 6 + n / 16 + 16) * 0x1p-24;
    int    at = n / 3;
    for (int i = 0; i < n; i++) all += exp((double)x[i] * 8 - slope * abs(i - at));
    memcpy(a, x, (size_t)n * sizeof *a);
    ref->softmax(a, n, 8, (float)slope, at);
    for (int i = 0; i < n; i++)
        close_to("softmax", (double)a[i], exp((double)x[i] * 8 - slope * abs(i - at)) / all,
                 off * exp((double)x[i] * 8 - slope * abs(i - at)) / all + 1e-37);
}

static void check_rows(const struct kern *ref, const struct kern *k, int n, enum kind kind)
{
    size_t bytes = (size_t)n * sizeof(float);
    float *x = guarded(bytes), *y = guarded(bytes), *a = guarded(bytes), *b = guarded(bytes);
    char   what[64];

#define BOTH(label, call_ref, call_k)                                  \
    do {                                                              \
        snprintf(what, sizeof what, label " %d %s", n, kind_name[kind]); \
        memcpy(a, x, bytes);                                          \
        memcpy(b, x, bytes);                                          \
        call_ref;                                                     \
        call_k;                                                       \
        same_bits(what, k->name, b, a, (size_t)n);                    \
    } while (0)

    values(x, (size_t)n, kind);
    values(y, (size_t)n, kind);
    BOTH("rms_norm", ref->rms_norm(x, y, n, 1e-5f, a), k->rms_norm(x, y, n, 1e-5f, b));
    BOTH("rms_norm in place", ref->rms_norm(a, y, n, 1e-6f, a), k->rms_norm(b, y, n, 1e-6f, b));
    BOTH("add", ref->add(a, y, n), k->add(b, y, n));
    BOTH("swiglu", ref->swiglu(a, y, n), k->swiglu(b, y, n));
    BOTH("gelu", ref->gelu(a, NULL, n), k->gelu(b, NULL, n));
    BOTH("geglu", ref->gelu(a, y, n), k->gelu(b, y, n));
    BOTH("swiglu_oai", ref->swiglu_oai(a, y, n), k->swiglu_oai(b, y, n));
    BOTH("softcap", ref->softcap(a, n, 30), k->softcap(b, n, 30));
    BOTH("softmax", ref->softmax(a, n, 0.3f, 0, 0), k->softmax(b, n, 0.3f, 0, 0));
    BOTH("softmax alibi", ref->softmax(a, n, 2, 0.7f, n / 2), k->softmax(b, n, 2, 0.7f, n / 2));
    BOTH("layer_norm", ref->layer_norm(x, y, x, n, 1e-5f, a), k->layer_norm(x, y, x, n, 1e-5f, b));
    BOTH("layer_norm in place", ref->layer_norm(a, y, y, n, 1e-6f, a), k->layer_norm(b, y, y, n, 1e-6f, b));
    if (n % 2 == 0) {
        BOTH("rope", ref->rope(a, y, n, false), k->rope(b, y, n, false));
        BOTH("rope neox", ref->rope(a, y, n, true), k->rope(b, y, n, true));
    }
    if (n % 32 == 0) {
        size_t size = kern_q8_bytes(n);
        struct kern_q8 *p = guarded(size), *q = guarded(size);
        memset(p, 1, size);
        memset(q, 2, size);
        ref->quant_q8(x, n, p);
        k->quant_q8(x, n, q);
        for (int i = 0; i < n / 32; i++) {
            snprintf(what, sizeof what, "quant_q8 %d %s", n, kind_name[kind]);
            same_bits(what, k->name, &q[i].d, &p[i].d, 1);
            same_bits(what, k->name, &q[i].sum, &p[i].sum, 1);
            if (memcmp(q[i].q, p[i].q, 32) || q[i].off != p[i].off || q[i].off_lo != p[i].off_lo)
                FAIL("%s, %s: block %d differs", what, k->name, i);
            for (int j = 0; kind == MILD && j < 32; j++) // half a step, and the roundings of x * (127 / amax)
                close_to(what, (double)p[i].d * (double)p[i].q[j], (double)x[32 * i + j],
                         (double)p[i].d * (0.5 + 127 * 0x1p-22));
        }
        if (n / 32 % 2 && (q[n / 32].d != 0 || q[n / 32].off != 0 || q[n / 32].q[5] != 0)) FAIL("spare block not zero");
        unguard(p, size);
        unguard(q, size);
    }
    /* plain C against double precision */
    if (kind == MILD) {
        double sum = 0;
        for (int i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
        ref->rms_norm(x, y, n, 1e-5f, a);
        memcpy(b, x, bytes);
        ref->swiglu(b, y, n);
        for (int i = 0; i < n; i++) {
            double want = (double)x[i] / sqrt(sum / n + 1e-5) * (double)y[i];
            close_to("rms_norm", (double)a[i], want, (n / 16 + 12) * 0x1p-24 * fabs(want) + 1e-40);
            want = (double)x[i] / (1 + exp(-(double)x[i])) * (double)y[i];
            close_to("swiglu", (double)b[i], want, 8 * 0x1p-24 * fabs(want) + 1e-40);
        }
    }
    if (kind == MILD) check_act_meaning(ref, x, y, a, n);
    unguard(x, bytes);
    unguard(y, bytes);
    unguard(a, bytes);
    unguard(b, bytes);
}

/* exp through swiglu over its whole range: gate / (1 + exp(-gate)), up = 1. */
static void check_exp(const struct kern *ref, const struct kern *k)
{
    enum { N = 4096 };
    static float a[N], b[N], one[N], x[N];

    for (int i = 0; i < N; i++) {
        x[i] = a[i] = b[i] = (float)(i - N / 2) / 16 + (float)uniform() / 8; // -128 .. 128
        one[i] = 1;
    }
    ref->swiglu(a, one, N);
    k->swiglu(b, one, N);
    same_bits("swiglu range", k->name, b, a, N);
    for (int i = 0; i < N; i++) {
        double g = (double)x[i], want = g / (1 + exp(-g));
        if (g >= -88) // EXP_HI: above, exp counts as infinite
            close_to("exp", (double)a[i], want, (8 + fabs(g)) * 0x1p-24 * fabs(want) + 1e-40);
        else if (a[i] != 0)
            FAIL("swiglu(%g) is %g", g, (double)a[i]);
    }
}

/* --- attention --- */

static const char *const kv_name[] = { [KERN_KV_F16] = "F16", [KERN_KV_F32] = "F32", [KERN_KV_Q8_0] = "Q8_0" };

static double half_at(const unsigned char *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return (double)half_to_f32(h);
}

/* Component c of the key or value in slot t of a page, by the words of kern.h and the picture of kern_pack.c. */
static double kv_at(const unsigned char *kv, enum kern_kv type, int dim, int t, int c, bool value)
{
    size_t at = value ? (size_t)(dim * KERN_PAGE_TOK + t * kern_dim_pad(dim) + c) : (size_t)(c * KERN_PAGE_TOK + t);
    float  f;

    if (type == KERN_KV_F16) return half_at(kv + 2 * at);
    if (type == KERN_KV_F32) {
        memcpy(&f, kv + 4 * at, 4);
        return (double)f;
    }
    size_t panel = (size_t)((dim + 63) / 64) * 1088; // of keys: 64 columns are 16 lines and 2 * 16 scales
    if (value) {
        const unsigned char *b = kv + 2 * panel + (size_t)(c / 32) * 1088;
        return half_at(b + 1024 + 2 * t) * (double)(int8_t)b[32 * t + c % 32];
    }
    const unsigned char *b = kv + (size_t)(t / 16) * panel + (size_t)(c / 64) * 1088;
    int line = c % 64 / 4;
    return half_at(b + 1024 + 32 * (c % 64 / 32) + 2 * (t % 16)) * (double)(b[64 * line + 4 * (t % 16) + c % 4] - 128);
}

/* What kv_put kept of a key or value, against the error that kern.h states: half a step of the block's scale (and
 * the roundings of x * (1 / d), below 2^-22 of 127 steps), or a rounding to f16. */
static void check_kept(const unsigned char *kv, enum kern_kv type, int dim, int t, const float *x, bool value)
{
    for (int c = 0; c < dim; c++) {
        double amax = 0, bound = 0, v = (double)x[c];
        for (int i = c / 32 * 32; i < dim && i < c / 32 * 32 + 32; i++) amax = fmax(amax, fabs((double)x[i]));
        if (type == KERN_KV_F16) bound = fmax(fabs(v) * 0x1p-11, 0x1p-25);
        if (type == KERN_KV_Q8_0) bound = amax / 127 * (1 + 0x1p-11) * (0.5 + 127 * 0x1p-22) + 128 * 0x1p-25;
        close_to("a kept value", kv_at(kv, type, dim, t, c, value), v, bound);
    }
}

/* Attention over Q8_0 pages against attention over what was put into them. A score is off by at most
 *   scale * sum(|q| * step of its key's block / 2 + |kept key| * step of the query's block / 2)
 * (a softcap's slope is at most 1); with all scores within `off`, weights change by a factor between exp(-2 off) and
 * exp(2 off), so an output by at most (exp(2 off) - 1) * max |v| and half the largest step of the values. `near` is
 * for f32. */
static void check_kept_attn(const struct kern_attn *a, int i, const float *keys, const float *vals, double near)
{
    int    dim = a->head_dim, lo = a->lo[i], hi = a->hi[i];
    double w[256], off = 0, top = a->sink ? (double)a->sink[i] : -INFINITY, sum = 0, v_max = 0, v_step = 0;

    for (int t = lo; t < hi; t++) {
        double s = 0, wrong = 0;
        for (int b = 0; b < dim; b += 32) {
            double k_max = 0, q_max = 0, q_sum = 0, k_sum = 0, v_top = 0;
            for (int c = b; c < b + 32; c++) {
                double k = (double)keys[t * dim + c], q = (double)a->q[i][c], v = fabs((double)vals[t * dim + c]);
                s += k * q;
                k_max = fmax(k_max, fabs(k));
                q_max = fmax(q_max, fabs(q));
                q_sum += fabs(q);
                k_sum += fabs(k);
                v_top = fmax(v_top, v);
            }
            double k_step = k_max / 127 * (1 + 0x1p-10), q_step = q_max / 127 * (1 + 0x1p-10);
            wrong += q_sum * k_step / 2 + (k_sum + 32 * k_step / 2) * q_step / 2;
            v_step = fmax(v_step, v_top / 127 * (1 + 0x1p-10));
            v_max = fmax(v_max, v_top);
        }
        s *= (double)a->scale;
        if (a->softcap > 0) s = (double)a->softcap * tanh(s / (double)a->softcap);
        w[t] = s;
        top = fmax(top, s);
        off = fmax(off, (double)a->scale * wrong);
    }
    for (int t = lo; t < hi; t++) sum += w[t] = exp(w[t] - top);
    if (a->sink) sum += exp((double)a->sink[i] - top);
    for (int c = 0; c < dim; c++) {
        double o = 0;
        for (int t = lo; t < hi; t++) o += w[t] / sum * (double)vals[t * dim + c];
        close_to("attention over Q8_0 pages", (double)a->out[i][c], o, (exp(2 * off) - 1) * v_max + v_step / 2 + near);
    }
}

static void check_attn(const struct kern *ref, const struct kern *k, int dim, int n_q, int len, enum kern_kv type,
                       enum kind kind)
{
    enum { PAGES = 8 };
    size_t kv_bytes = kern_kv_bytes(dim, type), row = (size_t)dim * sizeof(float);
    size_t scratch_bytes = kern_attn_floats(n_q, dim, type) * sizeof(float);
    unsigned char *kv[2];
    int32_t page[PAGES] = { 5, 0, 7, 2, 1, 6, 3, 4 };
    float  *q = guarded(row * (size_t)n_q), *out[2], *key = guarded(row), *val = guarded(row);
    float  *scratch = guarded(scratch_bytes);
    float  *keys = guarded(row * (size_t)len), *vals = guarded(row * (size_t)len);
    char    what[128];

    snprintf(what, sizeof what, "attention %d heads of %d, %d positions, %s, %s", n_q, dim, len, kv_name[type],
             kind_name[kind]);
    for (int s = 0; s < 2; s++) { // slots nobody wrote hold NaNs
        kv[s] = guarded(kv_bytes * PAGES);
        memset(kv[s], 0xFF, kv_bytes * PAGES);
        out[s] = guarded(row * (size_t)n_q);
    }
    for (int t = 0; t < len; t++) {
        values(key, (size_t)dim, kind);
        values(val, (size_t)dim, kind);
        memcpy(keys + t * dim, key, row);
        memcpy(vals + t * dim, val, row);
        for (int s = 0; s < 2; s++)
            (s ? k : ref)->kv_put(key, val, dim, type, kv[s] + kv_bytes * (size_t)page[t / KERN_PAGE_TOK],
                                  t % KERN_PAGE_TOK);
        const unsigned char *p = kv[0] + kv_bytes * (size_t)page[t / KERN_PAGE_TOK];
        if (kind == MILD) check_kept(p, type, dim, t % KERN_PAGE_TOK, key, false);
        if (kind == MILD) check_kept(p, type, dim, t % KERN_PAGE_TOK, val, true);
    }
    if ((kind != SPECIAL || type == KERN_KV_Q8_0) && memcmp(kv[0], kv[1], kv_bytes * PAGES)) FAIL("%s, %s: kv_put differs", what, k->name);
    values(q, (size_t)n_q * (size_t)dim, kind);
    struct kern_attn a = { .page_bytes = kv_bytes, .page = page, .head_dim = dim, .type = type, .n_q = n_q,
                           .scale = (float)(1 / sqrt(dim)), .scratch = scratch };
    float sink[KERN_ATTN_Q];
    values(sink, KERN_ATTN_Q, kind);
    if (rng_below(&rng, 3) == 0) a.sink = sink;
    if (rng_below(&rng, 3) == 0) a.softcap = 0.5f;
    for (int i = 0; i < n_q; i++) {
        a.q[i] = q + (size_t)i * (size_t)dim;
        a.hi[i] = 1 + (int)rng_below(&rng, (uint64_t)len);
        a.lo[i] = rng_below(&rng, 2) ? 0 : (int)rng_below(&rng, (uint64_t)a.hi[i]);
    }
    for (int s = 0; s < 2; s++) {
        a.kv = kv[s];
        for (int i = 0; i < n_q; i++) a.out[i] = out[s] + (size_t)i * (size_t)dim;
        (s ? k : ref)->attn(&a);
    }
    same_bits(what, k->name, out[1], out[0], (size_t)n_q * (size_t)dim);

    /* each row alone: the same bits */
    for (int i = 0; i < n_q; i++) {
        struct kern_attn one = a;
        one.n_q = 1;
        one.q[0] = a.q[i];
        one.sink = a.sink ? sink + i : NULL;
        one.lo[0] = a.lo[i];
        one.hi[0] = a.hi[i];
        one.out[0] = key;
        k->attn(&one);
        same_bits("attention of one row", k->name, key, out[0] + (size_t)i * (size_t)dim, (size_t)dim);
    }

    /* double precision, with the query as the kernel has it (in 8 bits for Q8_0). Scores of dim fma's are off by dim * 2^-24 * |q||k|, which exp turns into a relative
     * error; sums of len weights and products add len * 2^-23 each. */
    for (int i = 0; kind == MILD && i < n_q; i++) {
        double w[PAGES * KERN_PAGE_TOK], sum = 0, top = a.sink ? (double)sink[i] : -INFINITY;
        struct kern_q8 q8[16];
        if (type == KERN_KV_Q8_0) ref->quant_q8(a.q[i], dim, q8);
        for (int pass = 0; pass < 2; pass++)
            for (int t = a.lo[i]; t < a.hi[i]; t++) {
                const unsigned char *p = kv[0] + kv_bytes * (size_t)page[t / KERN_PAGE_TOK];
                double s = 0;
                for (int c = 0; c < dim; c++)
                    s += (type == KERN_KV_Q8_0 ? (double)q8[c / 32].d * q8[c / 32].q[c % 32] : (double)a.q[i][c]) *
                         kv_at(p, type, dim, t % KERN_PAGE_TOK, c, false);
                s *= (double)a.scale;
                if (a.softcap > 0) s = (double)a.softcap * tanh(s / (double)a.softcap);
                if (pass == 0 && s > top) top = s;
                if (pass == 1) sum += w[t] = exp(s - top);
            }
        if (a.sink) sum += exp((double)sink[i] - top);
        for (int c = 0; c < dim; c++) {
            double o = 0;
            for (int t = a.lo[i]; t < a.hi[i]; t++) {
                const unsigned char *p = kv[0] + kv_bytes * (size_t)page[t / KERN_PAGE_TOK];
                o += w[t] / sum * kv_at(p, type, dim, t % KERN_PAGE_TOK, c, true);
            }
            close_to(what, (double)out[0][i * dim + c], o, (2 * dim + 3 * len + 64) * 0x1p-23);
        }
    }
    for (int i = 0; kind == MILD && type == KERN_KV_Q8_0 && i < n_q; i++) {
        a.out[i] = out[0] + (size_t)i * (size_t)dim;
        check_kept_attn(&a, i, keys, vals, (2 * dim + 3 * len + 64) * 0x1p-23);
    }
    unguard(keys, row * (size_t)len);
    unguard(vals, row * (size_t)len);
    for (int s = 0; s < 2; s++) {
        unguard(kv[s], kv_bytes * PAGES);
        unguard(out[s], row * (size_t)n_q);
    }
    unguard(q, row * (size_t)n_q);
    unguard(key, row);
    unguard(val, row);
    unguard(scratch, scratch_bytes);
}

static void check_all(const struct kern *ref, const struct kern *k)
{
    n_compared = 0;
    check_matrices(ref, k);
    for (int n = 1; n <= 100; n++)
        for (enum kind kind = MILD; kind <= SPECIAL; kind++) check_rows(ref, k, n, kind);
    for (int n = 128; n <= 4096; n += 32 * (1 + (int)rng_below(&rng, 20)))
        for (enum kind kind = MILD; kind <= SPECIAL; kind++) check_rows(ref, k, n, kind);
    check_exp(ref, k);
    static const int dims[] = { 2, 6, 8, 16, 30, 32, 48, 64, 80, 96, 128, 256 };
    for (size_t d = 0; d < ARRAY_LEN(dims); d++)
        for (int round = 0; round < 9; round++)
            if (round % 3 != KERN_KV_Q8_0 || dims[d] % KERN_BLOCK == 0)
                check_attn(ref, k, dims[d], 1 + (int)rng_below(&rng, KERN_ATTN_Q), 1 + (int)rng_below(&rng, 250),
                           (enum kern_kv)(round % 3), (enum kind)(round / 3));
    printf("%-8s %" PRIu64 " values equal plain C bit for bit (seed %" PRIu64 ")\n", k->name, n_compared, seed);
}

/* --- bench --- */

/* Processor time of this thread: the machine may be shared. */
static double cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* Best time of a call, in microseconds. */
#define BEST_OF(us, call)                                                  \
    do {                                                                   \
        double start_ = cpu_us(), end_ = start_;                           \
        us = 1e30;                                                         \
        for (int i_ = 0; i_ < 5 || end_ - start_ < 50000; i_++) {          \
            double a_ = cpu_us();                                          \
            for (int j_ = 0; j_ < reps; j_++) call;                        \
            end_ = cpu_us();                                               \
            if ((end_ - a_) / reps < us) us = (end_ - a_) / reps;          \
        }                                                                  \
    } while (0)

static void bench_gemm(const struct kern *ref, const struct kern *k, enum kern_type t, int rows, int cols, int n_tok)
{
    struct matrix x = matrix_new(t, rows, cols, MILD);
    struct inputs in = inputs_new(ref, t, cols, n_tok, MILD);
    size_t stride = (size_t)kern_panels(rows) * KERN_ROWS, bytes = stride * (size_t)n_tok * sizeof(float);
    float *out = guarded(bytes);
    double slow, us;
    int    reps = 1, some = kern_panels(rows) / 64 + 1; // plain C does a part

    memset(out, 0, bytes);
    BEST_OF(slow, ref->gemm[t](&x.m, 0, some, in.p, in.stride, n_tok < 8 ? n_tok : 8, out, stride, false));
    slow = slow * kern_panels(rows) / some * n_tok / (n_tok < 8 ? n_tok : 8);
    reps = n_tok < 4 ? 20 : 1;
    BEST_OF(us, k->gemm[t](&x.m, 0, kern_panels(rows), in.p, in.stride, n_tok, out, stride, false));
    printf("%-8s %-5s %5d x %5d x %3d  %8.1f Gop/s %6.1f GB/s  %6.0f x plain C\n", k->name, type_name[t], rows, cols,
           n_tok, 2e-3 * rows * cols * n_tok / us, (double)x.bytes / us / 1e3, slow / us);
    unguard(out, bytes);
    inputs_free(&in);
    matrix_free(&x);
}

static void bench_attn(const struct kern *k, int dim, int n_q, int len, enum kern_kv type)
{
    size_t  kv_bytes = kern_kv_bytes(dim, type), scratch_bytes = kern_attn_floats(n_q, dim, type) * sizeof(float);
    int     pages = (len + KERN_PAGE_TOK - 1) / KERN_PAGE_TOK, reps = 4;
    unsigned char *kv = guarded(kv_bytes * (size_t)pages);
    int32_t *page = guarded((size_t)pages * sizeof *page);
    float   *q = guarded((size_t)(n_q * dim) * sizeof(float)), *out = guarded((size_t)(n_q * dim) * sizeof(float));
    float   *scratch = guarded(scratch_bytes);
    struct kern_attn a = { .kv = kv, .page_bytes = kv_bytes, .page = page, .head_dim = dim, .type = type, .n_q = n_q,
                           .scale = 0.1f, .scratch = scratch };
    double  us;

    values(q, (size_t)(n_q * dim), MILD);
    for (int i = 0; i < pages; i++) page[i] = i;
    for (int i = 0; i < n_q; i++) {
        a.q[i] = q + i * dim;
        a.out[i] = out + i * dim;
        a.hi[i] = len;
    }
    BEST_OF(us, k->attn(&a));
    printf("%-8s attention %2d rows of %3d over %5d positions, %-4s  %7.1f us %8.1f Gop/s %6.1f GB/s\n", k->name, n_q,
           dim, len, kv_name[type], us, 4e-3 * dim * n_q * len / us, (double)(kv_bytes * (size_t)pages) / us / 1e3);
    unguard(kv, kv_bytes * (size_t)pages);
    unguard(page, (size_t)pages * sizeof *page);
    unguard(q, (size_t)(n_q * dim) * sizeof(float));
    unguard(out, (size_t)(n_q * dim) * sizeof(float));
    unguard(scratch, scratch_bytes);
}

static void bench_rows(const struct kern *ref, const struct kern *k)
{
    enum { N = 3072 };
    static float  x[N], y[N], cs[N];
    static struct kern_q8 q[N / 32];
    double slow, us;
    int    reps = 10;

#define BENCH_ROW(label, call)                                                                             \
    do {                                                                                                   \
        const struct kern *t_ = ref;                                                                       \
        BEST_OF(slow, call);                                                                               \
        t_ = k;                                                                                            \
        BEST_OF(us, call);                                                                                 \
        printf("%-8s %-10s %d values  %6.2f us  %6.0f x plain C\n", k->name, label, N, us, slow / us); \
    } while (0)
    values(x, N, MILD);
    values(y, N, MILD);
    values(cs, N, MILD);
    reps = 100;
    BENCH_ROW("rms_norm", t_->rms_norm(x, y, N, 1e-5f, x));
    BENCH_ROW("quant_q8", t_->quant_q8(x, N, q));
    BENCH_ROW("swiglu", t_->swiglu(x, y, N));
    values(x, N, MILD);
    BENCH_ROW("rope neox", t_->rope(x, cs, N, true));
    BENCH_ROW("rope", t_->rope(x, cs, N, false));
    BENCH_ROW("add", t_->add(x, y, N));
}

static void bench_all(const struct kern *ref, const struct kern *k)
{
    for (enum kern_type t = 0; t < KERN_TYPES; t++) {
        bench_gemm(ref, k, t, t <= KERN_BF16 ? 16384 : 65536, 1024, 1); // far more than the caches hold
        bench_gemm(ref, k, t, 1024, 1024, 8);
        bench_gemm(ref, k, t, 3072, 1024, 480);
        bench_gemm(ref, k, t, 1024, 3072, 480);
    }
    for (enum kern_kv type = KERN_KV_F16; type <= KERN_KV_Q8_0; type++) {
        bench_attn(k, 128, 2, 2048, type);
        bench_attn(k, 128, 32, 2048, type);
        bench_attn(k, 64, 3, 2048, type);
    }
    bench_rows(ref, k);
}

int main(int argc, char **argv)
{
    struct kern ref, k;
    unsigned    last = 0;
    bool        bench = false;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--bench"))
            bench = true;
        else if (!strcmp(argv[i], "--seed") && i + 1 < argc && str_to_u64(str_c(argv[i + 1]), &seed))
            i++;
        else
            FAIL("usage: check_kern [--seed N] [--bench]");
    }
    rng_seed(&rng, seed);
    kern_init(&ref, 0);
    static const char *const levels[] = { "ref", "avx2", "avx512", "neon", "dotprod", "i8mm" };
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        unsigned flags;
        if (cpu_features(levels[i], &flags, NULL)) {
            printf("%-8s not on this machine\n", levels[i]);
            continue;
        }
        if (i && flags == last) continue;
        last = flags;
        kern_init(&k, flags);
        if (bench && i)
            bench_all(&ref, &k);
        else if (bench)
            continue;
        else
            check_all(&ref, &k);
    }
    return 0;
}
