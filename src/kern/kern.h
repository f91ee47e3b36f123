/* kern.h - the math of a forward pass: one table of kernels.
 *
 * *_ref.c fills the table with plain C: that is the definition. A file per instruction set overrides
 * what it does faster, with THE SAME BITS: every kernel says which operations it does on f32 in which
 * order (below "fma" is one rounding), integers are exact in any order, and there is nothing else.
 * So an answer depends neither on the instruction set, nor on how many tokens are in a batch, nor on
 * how rows are shared out among threads.
 *
 * Kernels never allocate, never fail, and may be called from any thread on different outputs.
 *
 * --- matrices ---
 *
 * A weight matrix has `rows` outputs and `cols` inputs. It is repacked once at load into panels of
 * 16 rows, in the order in which a kernel streams through it (drawn in kern_pack.c), so that lane r of
 * a vector is row r and one input value is broadcast to all of them: no horizontal sums, and a sum has
 * one order, that of the columns. Missing rows of the last panel are zeros: outputs have room for them.
 *
 *   F32 F16 BF16   y[r] = fma(w[r][c], x[c], y[r])   for c = 0, 1, ...
 *   block types    the inputs are quantised to 8 bits by blocks of 32 (struct kern_q8) and
 *                  y[r] = fma((float)dot, dw * dx, y[r])   for each block of 32 columns in order, with
 *                  `dot` the exact integer dot product of the block. Q6_K, which has a scale for 16
 *                  columns, does the two halves one after the other; Q4_K subtracts its minimum first:
 *                  y[r] = fma(-m, sum, y[r]). Scales d * sc and minima dmin * mn are exact products. MXFP4:
 *                  values are taken twice, so that they are whole, and dw is half the block's power of two.
 */
#ifndef CURLEW_KERN_KERN_H
#define CURLEW_KERN_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Formats of weights that have kernels; bytes of a row as in a GGUF file. */
enum kern_type {
    KERN_F32,
    KERN_F16,
    KERN_BF16,
    KERN_Q8_0,
    KERN_Q4_0,
    KERN_Q5_0,
    KERN_Q6_K,
    KERN_Q4_K,
    KERN_MXFP4,
    KERN_TYPES
};

#define KERN_LAYOUT   1  // another number when kern_pack gives other bytes: packed weights are kept in files
#define KERN_ROWS     16 // rows of a panel
#define KERN_BLOCK    32 // inputs quantised together
#define KERN_PAGE_TOK 32 // positions of a KV page
#define KERN_ALIGN    64 // of packed matrices and KV pages

/* A packed matrix. */
struct kern_mat {
    const unsigned char *data; // [panels of 16 rows], KERN_ALIGN-aligned
    size_t               panel_bytes;
    int                  rows, cols;
    enum kern_type       type;
};

/* 32 inputs as signed bytes. x[i] is about d * q[i], with d = amax / 127 and q[i] = x[i] * (127 / amax)
 * rounded to nearest even. A block with amax below KERN_Q8_TINY is all zeros; one with an infinity or
 * a NaN has d = NaN, so that the outputs say so. */
struct kern_q8 {
    int8_t  q[32];
    float   d;
    float   sum;    // d * (float)(sum of q)
    int32_t off;    // -128 * (sum of q): weights are stored as w + 128
    int32_t off_lo; // the same of q[0..15]
};
#define KERN_Q8_TINY 1e-30f

/* Bytes of a packed matrix's panel, and their number. cols is a multiple of the type's block. */
size_t kern_panel_bytes(enum kern_type type, int cols);
int    kern_panels(int rows);
/* Columns that must divide `cols`: 1, 32 or 256. */
int    kern_block_cols(enum kern_type type);
/* Pack n rows (1..16; the rest of the panel becomes zeros), row_bytes apart, into one panel. */
void   kern_pack(enum kern_type type, int cols, const void *src, size_t row_bytes, int n, void *panel);

/* Bytes of one token's inputs, as f32 or as struct kern_q8 blocks (an even number). */
bool   kern_is_float(enum kern_type type);
size_t kern_q8_bytes(int cols);

/* --- attention --- */

enum kern_kv { KERN_KV_F16, KERN_KV_F32, KERN_KV_Q8_0 };

/* Keys and values of one page, layer and KV head lie together. F16 and F32:
 *
 *   K [head_dim][32 positions]   transposed: a vector holds one component of 16 positions
 *   V [32 positions][dim_pad]    head_dim rounded up to 16, zeros behind
 *
 * Q8_0, head_dim a multiple of KERN_BLOCK: blocks of 32 components, a scale d in f16 for each. d is amax / 127
 * rounded to f16, q[i] = x[i] * (1 / d) rounded to nearest even, at most 127 either way; a block with an
 * infinity or a NaN has d = NaN. So |x - d * q| <= d / 2 and the roundings of the product, plus what d loses where
 * f16 is subnormal: 127 * 2^-25.
 *
 *   K a packed Q8_0 matrix of 32 rows, which are the positions, and head_dim columns (two panels)
 *   V [head_dim / 32] blocks of { int8 q[32 positions][32], f16 d[32 positions] }
 */
static inline int kern_dim_pad(int head_dim) { return (head_dim + 15) & ~15; }
size_t kern_kv_bytes(int head_dim, enum kern_kv type); // of one page, layer and KV head
size_t kern_attn_floats(int n_q, int head_dim, enum kern_kv type); // of kern_attn.scratch

#define KERN_ATTN_Q 32 // most query rows of one call

/* Attention of some query rows to one KV head. For each row, over the pages from that of `lo` to that
 * of `hi - 1`, in order, with online softmax (Milakov and Gimelshein, arXiv:1805.02867; in tiles: Dao et
 * al., arXiv:2205.14135). A page is one step:
 *
 *   s[t]   = scale * (fma over components, ascending)    of positions lo <= t < hi, else -inf;
 *            softcapped where a cap is given (the formula is at `softcap` below)
 *            (Q8_0: scale * y[t], with y = K times the query quantised as inputs are, see "block types" above)
 *   m'     = max(m, tree_max(s)),  p[t] = exp(s[t] - m'),  f = exp(m - m')
 *   l      = fma(l, f, tree_sum(p)),  o[i] = o[i] * f, then o[i] = fma(p[t], v[t][i], o[i]) for lo <= t < hi
 *            (Q8_0: fma(p[t] * d, q, o[i]))
 *
 * and in the end out[i] = o[i] / l. With a sink, a score that takes its part and gives no value, the end is
 *
 *   m' = max(m, sink), f = exp(m - m'), l = fma(l, f, exp(sink - m')), out[i] = (o[i] * f) / l
 *
 * Page borders are borders of absolute positions, so how the prompt was
 * cut changes nothing. */
struct kern_attn {
    const unsigned char *kv;       // of this layer and KV head in page 0
    size_t               page_bytes; // from a page to the next
    const int32_t       *page;     // the sequence's pages
    int                  head_dim; // even
    enum kern_kv         type;     // of the cache
    float                scale;
    float                softcap;  // 0: none
    const float         *sink;     // [n_q], or NULL
    int                  n_q;      // 1 .. KERN_ATTN_Q
    const float         *q[KERN_ATTN_Q];   // [head_dim] each
    float               *out[KERN_ATTN_Q]; // [head_dim] each
    int                  lo[KERN_ATTN_Q];  // first position seen
    int                  hi[KERN_ATTN_Q];  // one behind the last, > lo
    float               *scratch;  // kern_attn_floats
};

/* --- the table --- */

#define KERN_GELU_1 1.59576912f   // 2 * sqrt(2 / pi)
#define KERN_GELU_3 0.0713548163f // 0.044715 times that

struct kern {
    const char *name; // of the instruction set, as the environment variable CPU has it

    /* out[t][r] (+)= the rows of panels panel .. panel + n_panel - 1 times the inputs of token t.
     *   x        f32 [n_tok] rows or kern_q8 [n_tok] rows, x_bytes apart, as the type wants
     *   out      row 0 of token 0, out_stride floats from a token to the next; whole panels are written
     *   add      the finished sum is added to what is in out, else it is stored */
    void (*gemm[KERN_TYPES])(const struct kern_mat *w, int panel, int n_panel, const void *x,
                             size_t x_bytes, int n_tok, float *out, size_t out_stride, bool add);

    /* n a multiple of 32; dst holds an even number of blocks, the spare one is zeroed. */
    void (*quant_q8)(const float *x, int n, struct kern_q8 *dst);

    /* out[i] = (x[i] * s) * w[i], s = 1 / sqrt(sum / n + eps); the sum of squares runs in 16 lanes
     * (lane j: fma over i = j, j + 16, ...), which are then added as a tree. out may be x. */
    void (*rms_norm)(const float *x, const float *w, int n, float eps, float *out);

    /* Rotate pairs of x in place: cs holds (cos, sin) for each of n / 2 pairs. neox: pairs are
     * (i, i + n/2); else neighbours (2i, 2i + 1).  a' = fma(a, cos, -(b * sin)), b' = fma(a, sin, b * cos) */
    void (*rope)(float *x, const float *cs, int n, bool neox);

    /* gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i] */
    void (*swiglu)(float *gate, const float *up, int n);

    /* x[i] = gelu(x[i]) * up[i] (up may be NULL: times nothing), by tanh (Hendrycks and Gimpel,
     * arXiv:1606.08415), which is x / (1 + exp(-z)) with z = x * fma(x * x, KERN_GELU_3, KERN_GELU_1) */
    void (*gelu)(float *x, const float *up, int n);

    /* SwiGLU of the gpt-oss models: g = min(gate, 7), u = between(-7, up, 7),
     * gate[i] = g / (1 + exp(-(1.702 * g))) * (u + 1) */
    void (*swiglu_oai)(float *gate, const float *up, int n);

    /* x[i] = cap - (2 * cap) / (exp(x[i] * (2 / cap)) + 1), which is cap * tanh(x / cap) */
    void (*softcap)(float *x, int n, float cap);

    /* mean = sum / n, d = x[i] - mean, s = 1 / sqrt(sum of squares of d / n + eps), out[i] = fma(d * s, w[i],
     * b[i]); both sums as in rms_norm (the first without products). out may be x. */
    void (*layer_norm)(const float *x, const float *w, const float *b, int n, float eps, float *out);

    /* Scores to weights, in place: s[i] = fma(-slope, |i - at|, x[i] * scale), m the largest, p[i] = exp(s[i] - m),
     * x[i] = p[i] * (1 / sum of p); maximum and sum in 16 lanes (lane j: i = j, j + 16, ...), then as a tree. slope:
     * what a score loses for each position away from `at` (Press et al., ALiBi, arXiv:2108.12409), or 0. n >= 1. */
    void (*softmax)(float *x, int n, float scale, float slope, int at);

    /* x[i] += y[i] */
    void (*add)(float *x, const float *y, int n);

    /* A key and a value vector into slot t of a page's K and V; f16 values (or scales) beyond its range become
     * its largest, padding is zeroed. */
    void (*kv_put)(const float *k, const float *v, int head_dim, enum kern_kv type, void *kv, int t);

    void (*attn)(const struct kern_attn *a);

    /* What the machine can do, for `curlew bench`: read n bytes (a multiple of 512) as fast as it goes; do
     * `rounds` rounds of byte dot products on registers, *ops of them in all (a multiply and an add are two).
     * The returned value means nothing, but has to be used. */
    uint64_t (*stream)(const void *p, size_t n);
    uint64_t (*burn)(int rounds, double *ops);
};

/* Fill the table for the instruction sets in `flags` (enum cpu_flag of os/cpu.h). */
void kern_init(struct kern *k, unsigned flags);

#endif
