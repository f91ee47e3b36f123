/* bench_sample.c - what a token's choice costs: `bench_sample [n_vocab]`, microseconds per call.
 *
 * Two rows: "peaked" looks like a trained model's (a few likely tokens over a wide field), "flat"
 * like random weights, the worst case for every cut.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "sample/sample.h"

enum { ROUNDS = 300, INNER = 1 }; // the best of ROUNDS: the machine may be shared

static float normal(struct rng *r)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += rng_f64(r);
    return (float)(sum - 6);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void bench(const char *name, struct chat_params *p, const float *logits, int n)
{
    static uint64_t         t[ROUNDS];
    struct sample_scratch *sc;
    struct sampler        *s;
    struct sampler_conf    conf = { .params = p, .n_vocab = n, .n_ctx = 4096, .seed = 1 };
    struct err             e;
    int32_t                tok = 0;
    int                    left = 0;

    if (sample_scratch_new(n, &sc, &e) || sampler_new(&conf, &s, &e)) exit(1);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t t0 = clock_mono_us();
        for (int k = 0; k < INNER; k++) {
            if (sampler_sample(s, sc, logits, NULL, &tok, &e)) exit(1);
            sampler_accept(s, tok);
        }
        t[i] = clock_mono_us() - t0;
    }
    if (sampler_dist(s, sc, logits, NULL, NULL, 0, &left, &e)) exit(1);
    qsort(t, ROUNDS, sizeof *t, by_value);
    printf("  %-34s %8.1f us   %d left\n", name, (double)t[0] / INNER, left);
    sampler_free(s);
    sample_scratch_free(sc);
}

static void bench_logprobs(const float *logits, int n)
{
    static uint64_t        t[ROUNDS];
    struct sample_logprob one, top[20];

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t t0 = clock_mono_us();
        for (int k = 0; k < INNER; k++) sample_logprobs(logits, n, 7, &one, top, 20);
        t[i] = clock_mono_us() - t0;
    }
    qsort(t, ROUNDS, sizeof *t, by_value);
    printf("  %-34s %8.1f us\n", "logprobs, 20 alternatives", (double)t[0] / INNER);
}

static void rows(const char *name, const float *x, int n)
{
    struct chat_params p;

    printf("%s, %d tokens\n", name, n);
    chat_params_init(&p);
    bench("temperature 1", &p, x, n);
    p.temperature = 0.8f;
    bench("temperature 0.8", &p, x, n);
    p.top_p = 0.95f;
    bench("top_p 0.95, temperature 0.8", &p, x, n);
    p.top_p = 1;
    p.min_p = 0.05f;
    bench("min_p 0.05, temperature 0.8", &p, x, n);
    p.top_p = 0.95f;
    p.top_k = 40;
    p.presence_penalty = 0.5f;
    bench("top_k 40, top_p, min_p, penalties", &p, x, n);
    chat_params_init(&p);
    p.typical_p = 0.9f;
    bench("typical 0.9", &p, x, n);
    chat_params_init(&p);
    p.top_n_sigma = 1;
    bench("top_n_sigma 1", &p, x, n);
    chat_params_init(&p);
    p.mirostat = 1;
    bench("mirostat 1", &p, x, n);
    p.mirostat = 2;
    bench("mirostat 2", &p, x, n);
    chat_params_init(&p);
    p.temperature = 0;
    bench("greedy", &p, x, n);
    bench_logprobs(x, n);
}

int main(int argc, char **argv)
{
    int        n = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 151936;
    struct rng r;
    float     *x = n > 0 && n <= 1 << 22 ? malloc((size_t)n * sizeof *x) : NULL;

    if (!x) return 1;
    rng_seed(&r, 42);
    for (int i = 0; i < n; i++) x[i] = 2.5f * normal(&r);
    for (int i = 0; i < 50; i++) x[rng_below(&r, (uint64_t)n)] = 22 - (float)i * 0.2f;
    rows("peaked", x, n);
    for (int i = 0; i < n; i++) x[i] = normal(&r);
    rows("flat", x, n);
    free(x);
    return 0;
}
