/* count_kern.c - each kernel a few times in a function of its own, for a tool that counts instructions.
 *
 *     count_kern SET      ref, avx2, ...; prints "NAME units" for each
 *
 * count_kern.py runs it under callgrind. The functions are called count_NAME; `units` are what NAME did while in it:
 * multiplications of a weight and an input, or values.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cc.h"
#include "kern/kern.h"
#include "os/cpu.h"

enum { ROWS = 64, COLS = 512, TOKS = 12, N = 2048, DIM = 128, LEN = 256, PAGES = LEN / KERN_PAGE_TOK };

static struct kern k;
static struct kern_mat mat;
static void  *in;
static size_t in_bytes;
static int    n_tok;
static float *out, x[N], y[N];
static struct kern_q8   q8[N / 32];
static struct kern_attn attn;

#define ALONE __attribute__((noinline))

#define COUNT(name, call)         \
    ALONE static void count_##name(void) \
    {                             \
        call;                     \
        __asm__ volatile("");     \
    }

#define GEMM(name, type) \
    COUNT(name, k.gemm[type](&mat, 0, ROWS / KERN_ROWS, in, in_bytes, n_tok, out, ROWS, false))
#define GEMMS(name, type) GEMM(name##_1, type) GEMM(name##_12, type)
GEMMS(f32, KERN_F32)
GEMMS(f16, KERN_F16)
GEMMS(bf16, KERN_BF16)
GEMMS(q8_0, KERN_Q8_0)
GEMMS(q4_0, KERN_Q4_0)
GEMMS(q5_0, KERN_Q5_0)
GEMMS(q6_k, KERN_Q6_K)
GEMMS(q4_k, KERN_Q4_K)
COUNT(quant_q8, k.quant_q8(x, N, q8))
COUNT(rms_norm, k.rms_norm(x, y, N, 1e-5f, x))
COUNT(rope, k.rope(x, y, N, true))
COUNT(swiglu, k.swiglu(x, y, N))
COUNT(add, k.add(x, y, N))
COUNT(attn, k.attn(&attn))

static const struct {
    const char    *name;
    enum kern_type type;
    void (*one)(void);
    void (*twelve)(void);
} gemms[] = {
    { "f32", KERN_F32, count_f32_1, count_f32_12 },     { "f16", KERN_F16, count_f16_1, count_f16_12 },
    { "bf16", KERN_BF16, count_bf16_1, count_bf16_12 }, { "q8_0", KERN_Q8_0, count_q8_0_1, count_q8_0_12 },
    { "q4_0", KERN_Q4_0, count_q4_0_1, count_q4_0_12 }, { "q5_0", KERN_Q5_0, count_q5_0_1, count_q5_0_12 },
    { "q6_k", KERN_Q6_K, count_q6_k_1, count_q6_k_12 }, { "q4_k", KERN_Q4_K, count_q4_k_1, count_q4_k_12 },
};

static const struct {
    const char *name;
    void (*run)(void);
} rows[] = {
    { "quant_q8", count_quant_q8 }, { "rms_norm", count_rms_norm }, { "rope", count_rope },
    { "swiglu", count_swiglu },     { "add", count_add },
};

static void *room(size_t n)
{
    void *p = aligned_alloc(KERN_ALIGN, (n + KERN_ALIGN - 1) / KERN_ALIGN * KERN_ALIGN);

    if (!p) exit(1);
    memset(p, 0, n);
    return p;
}

static void count_gemm(size_t i)
{
    enum kern_type t = gemms[i].type;
    size_t bytes = kern_panel_bytes(t, COLS);

    /* packed weights of zeros: no instruction depends on their values */
    void *data = room(bytes * (ROWS / KERN_ROWS));
    mat = (struct kern_mat){ .data = data, .panel_bytes = bytes, .rows = ROWS, .cols = COLS, .type = t };
    in_bytes = kern_is_float(t) ? COLS * sizeof(float) : kern_q8_bytes(COLS);
    in = room(in_bytes * TOKS);
    out = room(sizeof(float) * ROWS * TOKS);
    n_tok = 1;
    gemms[i].one();
    n_tok = TOKS;
    gemms[i].twelve();
    printf("%s_1 %d\n%s_12 %d\n", gemms[i].name, ROWS * COLS, gemms[i].name, ROWS * COLS * TOKS);
    free(data);
    free(in);
    free(out);
}

static void count_attn_rows(void)
{
    static int32_t page[PAGES];
    size_t bytes = kern_kv_bytes(DIM, false);

    attn = (struct kern_attn){ .kv = room(bytes * PAGES), .page_bytes = bytes, .page = page, .head_dim = DIM, .scale = 1,
                               .n_q = 4, .scratch = room(4 * DIM * sizeof(float)) };
    for (int i = 0; i < PAGES; i++) page[i] = i;
    for (int i = 0; i < attn.n_q; i++) {
        attn.q[i] = x;
        attn.out[i] = room(DIM * sizeof(float));
        attn.hi[i] = LEN;
    }
    count_attn();
    printf("attn %d\n", attn.n_q * DIM * LEN * 2);
}

int main(int argc, char **argv)
{
    unsigned flags;

    if (argc != 2 || cpu_features(argv[1], &flags, NULL)) return 77;
    kern_init(&k, flags);
    for (int i = 0; i < N; i++) {
        x[i] = (float)(i % 31) / 16 - 1;
        y[i] = 0.5f;
    }
    for (size_t i = 0; i < ARRAY_LEN(gemms); i++) count_gemm(i);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        rows[i].run();
        printf("%s %d\n", rows[i].name, N);
    }
    count_attn_rows();
    return 0;
}
