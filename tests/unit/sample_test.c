/* sample_test.c - every sampler against its definition, the draw against statistics, and the row of
 * logits that a broken model would give. */
#include "unit.h"

#include <math.h>

#include "base/limits.h"
#include "base/rng.h"
#include "json/json.h"
#include "sample/sample.h"
#include "sample/smath_int.h"

enum { MAX_TOK = 4096 };

/* --- helpers --- */

static struct sample_scratch *scratch;

static int setup(void **state)
{
    struct err e;
    (void)state;
    return sample_scratch_new(200000, &scratch, &e);
}

static int teardown(void **state)
{
    (void)state;
    sample_scratch_free(scratch);
    return 0;
}

static struct sampler *make(const struct chat_params *p, int n_vocab, uint64_t seed)
{
    struct sampler_conf conf = { .params = p, .n_vocab = n_vocab, .n_ctx = 1000, .seed = seed };
    struct sampler     *s;
    struct err          e;

    assert_ok(sampler_new(&conf, &s, &e));
    return s;
}

static struct chat_params params(void)
{
    struct chat_params p;
    chat_params_init(&p);
    return p;
}

static int dist(struct sampler *s, const float *logits, struct sample_prob *list)
{
    struct err e;
    int        n;

    assert_ok(sampler_dist(s, scratch, logits, NULL, list, MAX_TOK, &n, &e));
    return n;
}

/* Run a chain once over the logits, without history. */
static int once(const struct chat_params *p, const float *logits, int n, struct sample_prob *list)
{
    struct sampler *s = make(p, n, 1);
    int             m = dist(s, logits, list);
    sampler_free(s);
    return m;
}

static float normal(struct rng *r)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += rng_f64(r);
    return (float)(sum - 6);
}

/* --- a plain second implementation, by sorting, in double --- */

struct ref {
    int    id;
    double x, p;
};

static int ref_order(const void *a, const void *b)
{
    const struct ref *x = a, *y = b;
    if (x->x != y->x) return x->x > y->x ? -1 : 1;
    return x->id - y->id;
}

static int ref_dev(const void *a, const void *b)
{
    const struct ref *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? -1 : 1;
    return x->id - y->id;
}

static int ref_id(const void *a, const void *b)
{
    const struct ref *x = a, *y = b;
    return x->id - y->id;
}

static void ref_softmax(struct ref *r, int n)
{
    double max = r[0].x, sum = 0;
    for (int i = 0; i < n; i++) max = r[i].x > max ? r[i].x : max;
    for (int i = 0; i < n; i++) sum += r[i].p = exp(r[i].x - max);
    for (int i = 0; i < n; i++) r[i].p /= sum;
}

static int ref_top_p(struct ref *r, int n, double p)
{
    double sum = 0;
    int    i   = 0;
    qsort(r, (size_t)n, sizeof *r, ref_order);
    ref_softmax(r, n);
    while (i < n) if ((sum += r[i++].p) >= p) break;
    return i;
}

static int ref_typical(struct ref *r, int n, double p)
{
    static struct ref dev[200000];
    double            h = 0, sum = 0;
    int               i = 0;

    ref_softmax(r, n);
    for (int k = 0; k < n; k++) if (r[k].p > 0) h -= r[k].p * log(r[k].p);
    for (int k = 0; k < n; k++) dev[k] = (struct ref){ r[k].id, r[k].p, fabs(-log(r[k].p) - h) };
    qsort(dev, (size_t)n, sizeof *dev, ref_dev);
    while (i < n) if ((sum += dev[i++].x) >= p) break;
    for (int k = 0; k < i; k++) r[k].id = dev[k].id;
    return i;
}

/* The sampler's survivors are exactly these ids. */
static void same_ids(const char *what, const struct sample_prob *got, int n, struct ref *want, int m)
{
    qsort(want, (size_t)m, sizeof *want, ref_id);
    if (n != m) fail_msg("%s: %d tokens survive, want %d", what, n, m);
    for (int i = 0; i < m; i++)
        if (got[i].tok != want[i].id) fail_msg("%s: token %d, want %d", what, got[i].tok, want[i].id);
}

/* Random rows of every size and shape through every truncating sampler and its plain definition. */
static void filters_match_their_definition(void **state)
{
    static float              x[200000];
    static struct ref         ref[200000];
    static struct sample_prob got[200000];
    const int                 sizes[] = { 1, 2, 3, 16, 63, 64, 65, 257, 1000, 5000, 100003 };
    struct rng                r;
    struct err                e;
    (void)state;

    rng_seed(&r, 7);
    for (int round = 0; round < 60; round++)
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
            int   n     = sizes[k];
            float scale = round % 3 == 0 ? 1.0f : round % 3 == 1 ? 3.0f : 0.01f;
            if (n > 5000 && round > 1) continue;
            for (int i = 0; i < n; i++) x[i] = scale * normal(&r);
            if (round % 4 == 3) x[rng_below(&r, (uint64_t)n)] = 40;

            int             m, top_k = 1 + (int)rng_below(&r, (uint64_t)n);
            if (round % 2) top_k = 1 + top_k % 50;
            float           p = (float)(0.02 + 0.97 * rng_f64(&r));
            struct sampler *s;
            char            what[100];
            for (int kind = 0; kind < 5; kind++) {
                struct chat_params par = params();
                for (int i = 0; i < n; i++) ref[i] = (struct ref){ i, (double)x[i], 0 };
                m = 0;
                switch (kind) {
                case 0:
                    par.top_p = p;
                    m         = ref_top_p(ref, n, (double)p);
                    break;
                case 1:
                    par.top_k = top_k;
                    qsort(ref, (size_t)n, sizeof *ref, ref_order);
                    m = top_k < n ? top_k : n;
                    break;
                case 2:
                    par.min_p = p;
                    qsort(ref, (size_t)n, sizeof *ref, ref_order);
                    while (m < n && ref[m].x >= ref[0].x + log((double)p)) m++;
                    break;
                case 3:
                    par.typical_p = p;
                    m             = ref_typical(ref, n, (double)p);
                    break;
                case 4:
                    par.top_k = top_k;
                    par.top_p = p;
                    qsort(ref, (size_t)n, sizeof *ref, ref_order);
                    m = ref_top_p(ref, top_k < n ? top_k : n, (double)p);
                    break;
                }
                snprintf(what, sizeof what, "round %d, %d tokens, sampler %d, p %g, k %d", round, n, kind,
                         (double)p, top_k);
                int left;
                s = make(&par, n, 1);
                assert_ok(sampler_dist(s, scratch, x, NULL, got, 200000, &left, &e));
                sampler_free(s);
                same_ids(what, got, left, ref, m);
            }
        }
}

/* Among equal logits lower ids stay. */
static void ties_go_to_lower_ids(void **state)
{
    float              x[300];
    struct sample_prob got[MAX_TOK];
    struct chat_params p = params();
    (void)state;

    for (int i = 0; i < 300; i++) x[i] = 1;
    p.top_k = 7;
    assert_int_equal(once(&p, x, 300, got), 7);
    for (int i = 0; i < 7; i++) assert_int_equal(got[i].tok, i);
    p       = params();
    p.top_p = 0.1f; // 30 of 300, and 0.1f is a little above a tenth
    assert_int_equal(once(&p, x, 300, got), 31);
    assert_int_equal(got[30].tok, 30);
    x[200]  = 2;
    p       = params();
    p.top_k = 2;
    assert_int_equal(once(&p, x, 300, got), 2);
    assert_int_equal(got[0].tok, 0);
    assert_int_equal(got[1].tok, 200);
    x[10] = -0.0f; // the two zeros are equal
    x[20] = 0.0f;
    x[0]  = -0.0f;
    p.top_k = 299;
    assert_int_equal(once(&p, x, 300, got), 299);
    assert_int_equal(got[10].tok, 10);
    assert_int_equal(got[20].tok, 21); // the last of the three is the one that goes

    p                 = params(); // of equal top choices XTC leaves the last
    p.xtc_probability = 1;
    x[3] = x[5] = x[7] = 9;
    assert_int_equal(once(&p, x, 300, got), 298);
    assert_int_equal(got[3].tok, 4);
    assert_int_equal(got[5].tok, 7);
}

/* --- chains computed by the rules' authors' library: shared/data/samplers, and our own --- */

static float num_at(const struct json *a, size_t i)
{
    return (float)json_num(json_at(a, i));
}

static void push(struct chat_params *p, enum chat_sampler kind)
{
    p->order[p->n_order++] = kind;
}

static void read_link(const struct json *link, struct chat_params *p, struct chat_bias *bias)
{
    struct str         name = json_str(json_get(link, "name"));
    const struct json *a    = json_get(link, "params");

    if (str_eq(name, STR("top_k"))) {
        p->top_k = (int)num_at(a, 0);
        push(p, CHAT_SAMPLER_TOP_K);
    } else if (str_eq(name, STR("top_p"))) {
        p->top_p = num_at(a, 0);
        push(p, CHAT_SAMPLER_TOP_P);
    } else if (str_eq(name, STR("min_p"))) {
        p->min_p = num_at(a, 0);
        push(p, CHAT_SAMPLER_MIN_P);
    } else if (str_eq(name, STR("typical"))) {
        p->typical_p = num_at(a, 0);
        push(p, CHAT_SAMPLER_TYPICAL);
    } else if (str_eq(name, STR("temp")) || str_eq(name, STR("temp_ext"))) {
        p->temperature = num_at(a, 0);
        if (json_len(a) == 3) {
            p->dyn_temp_range    = num_at(a, 1);
            p->dyn_temp_exponent = num_at(a, 2);
        }
        push(p, CHAT_SAMPLER_TEMPERATURE);
    } else if (str_eq(name, STR("top_n_sigma"))) {
        p->top_n_sigma = num_at(a, 0);
        push(p, CHAT_SAMPLER_TOP_N_SIGMA);
    } else if (str_eq(name, STR("penalties"))) {
        p->penalty_last_n    = (int)num_at(a, 0);
        p->repeat_penalty    = num_at(a, 1);
        p->frequency_penalty = num_at(a, 2);
        p->presence_penalty  = num_at(a, 3);
        push(p, CHAT_SAMPLER_PENALTIES);
    } else if (str_eq(name, STR("dry"))) { // multiplier, base, allowed length, last_n
        p->dry_multiplier     = num_at(a, 0);
        p->dry_base           = num_at(a, 1);
        p->dry_allowed_length = (int)num_at(a, 2);
        p->dry_last_n         = (int)num_at(a, 3);
        push(p, CHAT_SAMPLER_DRY);
    } else if (str_eq(name, STR("xtc"))) {
        p->xtc_probability = num_at(a, 0);
        p->xtc_threshold   = num_at(a, 1);
        push(p, CHAT_SAMPLER_XTC);
    } else if (str_eq(name, STR("mirostat"))) { // version, tau
        p->mirostat     = (int)num_at(a, 0);
        p->mirostat_tau = num_at(a, 1);
        push(p, CHAT_SAMPLER_TEMPERATURE);
    } else if (str_eq(name, STR("logit_bias"))) {
        *bias     = (struct chat_bias){ (int32_t)num_at(a, 0), num_at(a, 1) };
        p->bias   = bias;
        p->n_bias = 1;
        if (p->n_order == 0) push(p, CHAT_SAMPLER_TOP_K); // neutral: an order with nothing in it
    } else
        fail_msg("no sampler is called " STR_FMT, STR_ARG(name));
}

static void check_row(const char *file, size_t row, const struct json *v)
{
    static float       x[MAX_TOK];
    struct sample_prob got[MAX_TOK];
    struct chat_params p = params();
    struct chat_bias   bias;
    const struct json *logits = json_get(v, "logits"), *want = json_get(v, "survivors");
    const struct json *chain = json_get(v, "chain"), *history = json_get(v, "history");
    const struct json *breakers = json_get(v, "breakers");
    int32_t            breaker[16];
    struct err         e;
    struct sampler    *s;

    assert_true(json_len(logits) > 0 && json_len(logits) <= MAX_TOK && json_len(breakers) <= 16);
    for (size_t i = 0; i < json_len(logits); i++) x[i] = num_at(logits, i);
    for (size_t i = 0; i < json_len(breakers); i++) breaker[i] = (int32_t)json_int(json_at(breakers, i));
    for (size_t i = 0; i < json_len(chain); i++) read_link(json_at(chain, i), &p, &bias);

    struct sampler_conf conf = { .params = &p, .n_vocab = (int)json_len(logits), .n_ctx = 1000, .seed = 1,
                                 .breaker = breaker, .n_breaker = (int)json_len(breakers) };
    assert_ok(sampler_new(&conf, &s, &e));
    for (size_t i = 0; i < json_len(history); i++) sampler_accept(s, (int32_t)json_int(json_at(history, i)));
    int n = dist(s, x, got);
    sampler_free(s);

    if (n != (int)json_len(want))
        fail_msg("%s row %zu: %d tokens survive, want %zu", file, row, n, json_len(want));
    for (int i = 0; i < n; i++)
        for (int k = 0;; k++) {
            const struct json *one = json_at(want, (size_t)k);
            if (!one) fail_msg("%s row %zu: token %d should not survive", file, row, got[i].tok);
            if (json_int(json_at(one, 0)) != got[i].tok) continue;
            if (fabs(json_num(json_at(one, 1)) - (double)got[i].p) > 1e-4)
                fail_msg("%s row %zu: token %d has %g, want %g", file, row, got[i].tok, (double)got[i].p,
                         json_num(json_at(one, 1)));
            break;
        }
}

static void check_file(const char *path, size_t least)
{
    struct json_doc *d;
    struct err       e;
    size_t           n;
    char            *text = unit_read(path, &n);

    if (!text) fail_msg("cannot read %s", path);
    assert_ok(json_parse((struct str){ text, n }, NULL, &d, &e));
    const struct json *rows = json_get(json_root(d), "rows");
    assert_true(json_len(rows) >= least);
    for (size_t i = 0; i < json_len(rows); i++) check_row(path, i, json_at(rows, i));
    json_free(d);
    free(text);
}

static void chains_of_others(void **state)
{
    const char *path = unit_shared("samplers/samplers.json");
    (void)state;

    if (path) check_file(path, 28);
    else print_message("shared/data/samplers is not here: skipped\n");
}

static void chains_by_hand(void **state)
{
    (void)state;
    check_file(unit_data("sample/chains.json"), 1);
}

/* --- the draw --- */

/* Tokens drawn by a second implementation of generator, seeds and inverse distribution. */
static void draws_by_hand(void **state)
{
    static float     x[MAX_TOK];
    struct json_doc *d;
    struct err       e;
    size_t           n, n_draw = 0;
    char            *text = unit_read(unit_data("sample/draws.json"), &n);
    (void)state;

    assert_non_null(text);
    assert_ok(json_parse((struct str){ text, n }, NULL, &d, &e));
    const struct json *rows = json_get(json_root(d), "rows");
    for (size_t r = 0; r < json_len(rows); r++) {
        const struct json *row = json_at(rows, r), *logits = json_get(row, "logits");
        const struct json *draws = json_get(row, "draws"), *chain = json_get(row, "chain");
        struct chat_params p = params();
        struct chat_bias   bias;
        uint64_t           seed;
        struct sampler    *s;
        assert_true(str_to_u64(json_str(json_get(row, "seed")), &seed));
        for (size_t i = 0; i < json_len(logits); i++) x[i] = num_at(logits, i);
        for (size_t i = 0; i < json_len(chain); i++) read_link(json_at(chain, i), &p, &bias);
        struct sampler_conf conf = { .params = &p, .n_vocab = (int)json_len(logits), .n_ctx = 10, .seed = seed,
                                     .choice = (int)json_int(json_get(row, "choice")) };
        assert_ok(sampler_new(&conf, &s, &e));
        for (size_t i = 0; i < json_len(draws); i++, n_draw++) {
            int32_t tok;
            assert_ok(sampler_sample(s, scratch, x, NULL, &tok, &e));
            sampler_accept(s, tok);
            if (tok != json_int(json_at(draws, i)))
                fail_msg("row %zu draw %zu: token %d, want %d", r, i, (int)tok,
                         (int)json_int(json_at(draws, i)));
        }
        sampler_free(s);
    }
    assert_true(n_draw == 360);
    json_free(d);
    free(text);
}

/* Pearson's statistic of N draws over k tokens has a mean of k - 1 and a variance of at most
 * 2(k-1) + sum(1/p)/N; six standard deviations above the mean a right sampler stays, a wrong one
 * (the test tries some) lies hundreds above. The seed is fixed, so this cannot flicker. */
static double chi2_limit(const double *p, int k, int n)
{
    double var = 2.0 * (k - 1);
    for (int i = 0; i < k; i++) var += 1 / p[i] / n;
    return k - 1 + 6 * sqrt(var);
}

static double chi2(const int *count, const double *p, int k, int n)
{
    double sum = 0;
    for (int i = 0; i < k; i++) sum += (count[i] - n * p[i]) * (count[i] - n * p[i]) / (n * p[i]);
    return sum;
}

static void draw_follows_the_distribution(void **state)
{
    enum { N = 200000, K = 600 }; // K: more than two blocks
    static int         count[K];
    static float       x[K];
    static double      p[K], q[K];
    struct chat_params par = params();
    struct rng         r;
    double             sum = 0;
    struct err         e;
    (void)state;

    rng_seed(&r, 3);
    for (int i = 0; i < K; i++) sum += p[i] = exp((double)(x[i] = 0.7f * normal(&r)));
    for (int i = 0; i < K; i++) p[i] /= sum;
    struct sampler *s = make(&par, K, 99);
    for (int i = 0; i < N; i++) {
        int32_t tok;
        assert_ok(sampler_sample(s, scratch, x, NULL, &tok, &e));
        count[tok]++;
    }
    sampler_free(s);
    double limit = chi2_limit(p, K, N), got = chi2(count, p, K, N);
    if (got > limit) fail_msg("chi-square is %g, the limit is %g", got, limit);
    assert_true(got > 0.5 * (K - 1)); // suspiciously even would be wrong too

    for (int i = 0; i < K; i++) q[i] = p[(i + 1) % K]; // off by one
    assert_true(chi2(count, q, K, N) > 2 * chi2_limit(q, K, N));
    sum = 0;
    for (int i = 0; i < K; i++) sum += q[i] = exp((double)x[i] / 1.1); // another temperature
    for (int i = 0; i < K; i++) q[i] /= sum;
    assert_true(chi2(count, q, K, N) > chi2_limit(q, K, N));
}

static void seeds_and_choices(void **state)
{
    float              x[1000] = { 0 };
    struct chat_params p = params();
    int32_t            tok[4][32];
    struct err         e;
    const struct {
        uint64_t seed;
        int      choice;
    } who[4] = { { 5, 0 }, { 5, 0 }, { 5, 1 }, { 6, 0 } };
    (void)state;

    for (int k = 0; k < 4; k++) {
        struct sampler_conf conf = { .params = &p, .n_vocab = 1000, .n_ctx = 10, .seed = who[k].seed,
                                     .choice = who[k].choice };
        struct sampler     *s;
        assert_ok(sampler_new(&conf, &s, &e));
        for (int i = 0; i < 32; i++) assert_ok(sampler_sample(s, scratch, x, NULL, &tok[k][i], &e));
        sampler_free(s);
    }
    assert_memory_equal(tok[0], tok[1], sizeof tok[0]);
    for (int k = 2; k < 4; k++) { // 32 draws of 1000: chance agreement on 8 is under 1e-16
        int same = 0;
        for (int i = 0; i < 32; i++) same += tok[k][i] == tok[0][i];
        assert_true(same < 8);
    }
}

static void greedy_is_the_largest(void **state)
{
    float              x[500];
    struct chat_params p = params();
    struct chat_bias   bias = { 77, 4.0f };
    struct rng         r;
    int32_t            tok;
    struct err         e;
    (void)state;

    rng_seed(&r, 8);
    for (int i = 0; i < 500; i++) x[i] = normal(&r);
    x[300] = x[301] = x[450] = 20;
    p.temperature     = 0;
    p.xtc_probability = 1; // none of these may take the best token away
    p.typical_p       = 0.1f;
    p.min_p           = 1;
    struct sampler *s = make(&p, 500, 1);
    assert_ok(sampler_sample(s, scratch, x, NULL, &tok, &e));
    assert_int_equal(tok, 300);
    sampler_free(s);

    p.bias   = &bias;
    p.n_bias = 1;
    x[77]    = 17;
    s        = make(&p, 500, 1);
    assert_ok(sampler_sample(s, scratch, x, NULL, &tok, &e));
    assert_int_equal(tok, 77);
    sampler_free(s);

    p.n_bias           = 0;
    p.presence_penalty = 1; // the one said before gives way to its equal
    s                  = make(&p, 500, 1);
    sampler_accept(s, 300);
    assert_ok(sampler_sample(s, scratch, x, NULL, &tok, &e));
    assert_int_equal(tok, 301);
    sampler_free(s);

    p.mirostat    = 2;
    s             = make(&p, 500, 1);
    assert_ok(sampler_sample(s, scratch, x, NULL, &tok, &e));
    assert_int_equal(tok, 300);
    sampler_free(s);
}

/* The penalties' window slides: what left it counts no more. */
static void penalties_forget(void **state)
{
    enum { V = 400, WINDOW = 100 };
    static float              x[V];
    static struct sample_prob got[V];
    const int                 windows[] = { 3, WINDOW };
    struct rng                r;
    (void)state;

    rng_seed(&r, 4);
    for (size_t k = 0; k < ARRAY_LEN(windows); k++) {
        int                window = windows[k], last[WINDOW], n = 0;
        struct chat_params p = params();
        p.frequency_penalty  = 1;
        p.penalty_last_n     = window;
        struct sampler *s    = make(&p, V, 1);
        for (int step = 0; step < 1000; step++) {
            int    tok = (int)(rng_below(&r, V) * rng_below(&r, V) / V), count[V] = { 0 };
            double sum = 0;
            sampler_accept(s, tok);
            last[n++ % window] = tok;
            for (int i = 0; i < window && i < n; i++) count[last[i]]++;
            for (int i = 0; i < V; i++) sum += exp(-count[i]);
            assert_int_equal(dist(s, x, got), V);
            for (int i = 0; i < V; i++) assert_true(fabs((double)got[i].p - exp(-count[i]) / sum) < 1e-6);
        }
        sampler_free(s);
    }
}

/* The prompt counts for the repetition penalty and for DRY, not for frequency and presence. The window
 * slides over both; who left it was the prompt's or the answer's, as he was when he came. */
static void prompt_and_answer(void **state)
{
    enum { V = 8, WINDOW = 6 };
    const float        x[V]     = { 2, 2, 2, 2, 2, 2, 2, 2 };
    const int          prompt[] = { 1, 2, 2, 3 }, answer[] = { 3, 4, 4, 1, 1, 5, 5, 5, 5, 5 };
    int                all[ARRAY_LEN(prompt) + ARRAY_LEN(answer)], n = 0;
    struct sample_prob got[V];
    struct chat_params p = params();
    (void)state;

    p.repeat_penalty = 2, p.frequency_penalty = 0.5f, p.presence_penalty = 0.25f, p.penalty_last_n = WINDOW;
    struct sampler *s = make(&p, V, 1);
    for (size_t i = 0; i < ARRAY_LEN(prompt); i++) sampler_prompt(s, all[n++] = prompt[i]);
    for (size_t k = 0; k <= ARRAY_LEN(answer); k++) {
        double want[V], sum = 0;
        for (int t = 0; t < V; t++) {
            int seen = 0, said = 0;
            for (int i = n > WINDOW ? n - WINDOW : 0; i < n; i++) {
                seen += all[i] == t;
                said += all[i] == t && i >= (int)ARRAY_LEN(prompt);
            }
            want[t] = exp((seen ? 1 : 2) - 0.5 * said - (said ? 0.25 : 0));
            sum += want[t];
        }
        assert_int_equal(dist(s, x, got), V);
        for (int t = 0; t < V; t++) assert_true(fabs((double)got[t].p - want[t] / sum) < 1e-6);
        if (k < ARRAY_LEN(answer)) sampler_accept(s, all[n++] = answer[k]);
    }
    sampler_free(s);

    p = params(); // 1 2 3 1 2: DRY expects the 3 and makes it less likely
    p.dry_multiplier = 1;
    s                = make(&p, V, 1);
    for (int i = 0; i < 5; i++) sampler_prompt(s, i % 3 + 1);
    dist(s, x, got);
    assert_true(got[3].p < got[4].p * 0.5f && got[1].p == got[4].p);
    sampler_free(s);
}

/* Version 2 steers: the mean surprise of what it draws comes to tau. With the rule
 * mu' = mu - eta (S - tau), the mean of S over n steps is tau + (mu_0 - mu_n) / (eta n) exactly,
 * and mu is never further than a vocabulary's log2 plus 2 tau away. */
static void mirostat_steers(void **state)
{
    enum { V = 2000, N = 4000 };
    static float  x[V];
    static double lp[V];
    double        sum = 0, mean = 0;
    struct rng    r;
    struct err    e;
    (void)state;

    rng_seed(&r, 5);
    for (int i = 0; i < V; i++) x[i] = -1.1f * logf((float)i + 1) + 0.2f * normal(&r); // Zipf-like
    for (int i = 0; i < V; i++) sum += exp((double)x[i]);
    for (int i = 0; i < V; i++) lp[i] = ((double)x[i] - log(sum)) / log(2);
    for (int version = 1; version <= 2; version++)
        for (int tau = 2; tau <= 4; tau++) {
            struct chat_params p = params();
            p.mirostat           = version;
            p.mirostat_tau       = (float)tau;
            struct sampler *s    = make(&p, V, 11);
            mean                 = 0;
            for (int i = 0; i < N; i++) {
                int32_t tok;
                assert_ok(sampler_sample(s, scratch, x, NULL, &tok, &e));
                sampler_accept(s, tok);
                mean += -lp[tok] / N; // of the whole distribution: at least that of the cut one
            }
            sampler_free(s);
            /* The surprise it steers is taken after the cut; the whole one lies above by what was
             * cut away, log2(1 / mass kept). */
            assert_true(mean > tau - 0.3 && mean < tau + 2.0);
        }
}

/* --- hostile rows --- */

static void broken_logits(void **state)
{
    float              x[300];
    struct chat_params p = params();
    struct sample_prob got[300];
    uint64_t           allowed[5] = { 0 };
    int32_t            tok = -5;
    struct err         e;
    (void)state;

    struct sampler *s = make(&p, 300, 1);
    for (int i = 0; i < 300; i++) x[i] = i % 2 ? NAN : -INFINITY;
    assert_err(sampler_sample(s, scratch, x, NULL, &tok, &e), ERR_INTERNAL, "none of the 300 logits");
    assert_int_equal(tok, -5);
    x[123] = -1e30f; // the only one that can be
    for (int i = 0; i < 10; i++) {
        assert_ok(sampler_sample(s, scratch, x, NULL, &tok, &e));
        assert_int_equal(tok, 123);
    }
    x[124] = INFINITY; // wins over everything finite
    x[125] = -INFINITY;
    assert_ok(sampler_sample(s, scratch, x, NULL, &tok, &e));
    assert_int_equal(tok, 124);

    for (int i = 0; i < 300; i++) x[i] = 0;
    assert_err(sampler_sample(s, scratch, x, allowed, &tok, &e), ERR_INTERNAL, "none of the allowed");
    allowed[4] = ~0ull << 43; // 299, and bits past the vocabulary
    allowed[1] = 1;
    x[299]     = NAN;
    for (int i = 0; i < 10; i++) {
        assert_ok(sampler_sample(s, scratch, x, allowed, &tok, &e));
        assert_int_equal(tok, 64);
    }
    sampler_free(s);

    /* Every sampler over rows of junk: something is chosen, and only what is possible. */
    struct rng r;
    rng_seed(&r, 12);
    const float junk[] = { NAN, INFINITY, -INFINITY, 3.4e38f, -3.4e38f, 1e-45f, 0, -0.0f, 1, 20 };
    for (int round = 0; round < 3000; round++) {
        int n = 1 + (int)rng_below(&r, 299), possible = 0, left;
        for (int i = 0; i < n; i++) {
            x[i] = junk[rng_below(&r, ARRAY_LEN(junk))];
            possible += x[i] > -INFINITY;
        }
        p                   = params();
        p.top_k             = (int)rng_below(&r, 3) * 5;
        p.top_p             = rng_below(&r, 2) ? 1 : (float)rng_f64(&r);
        p.min_p             = rng_below(&r, 2) ? 0 : (float)rng_f64(&r);
        p.typical_p         = rng_below(&r, 2) ? 1 : (float)rng_f64(&r);
        p.top_n_sigma       = rng_below(&r, 2) ? 0 : (float)rng_f64(&r) * 3;
        p.xtc_probability   = (float)rng_below(&r, 2);
        p.temperature       = rng_below(&r, 2) ? 1 : (float)rng_f64(&r) * 1e-5f;
        p.dyn_temp_range    = rng_below(&r, 2) ? 0 : 0.5f;
        p.repeat_penalty    = rng_below(&r, 2) ? 1 : 1e30f;
        p.frequency_penalty = rng_below(&r, 2) ? 0 : -3e38f;
        p.dry_multiplier    = rng_below(&r, 2) ? 0 : 3e38f;
        p.dry_base          = 1e30f;
        p.mirostat          = (int)rng_below(&r, 3);
        p.seed              = 0;
        s                   = make(&p, n, (uint64_t)round);
        for (int i = 0; i < 40; i++) sampler_accept(s, (int32_t)rng_below(&r, (uint64_t)n) % 3 % n);
        if (!possible) {
            assert_int_equal(sampler_sample(s, scratch, x, NULL, &tok, &e), -ERR_INTERNAL);
        } else {
            assert_ok(sampler_sample(s, scratch, x, NULL, &tok, &e));
            assert_true(tok >= 0 && tok < n && x[tok] > -INFINITY);
            assert_ok(sampler_dist(s, scratch, x, NULL, got, 300, &left, &e));
            double sum = 0;
            for (int i = 0; i < left; i++) sum += (double)got[i].p;
            assert_true(fabs(sum - 1) < 1e-5);
        }
        sampler_free(s);
    }
}

/* A mask is the same as -inf in the logits. */
static void masks_are_minus_infinity(void **state)
{
    enum { V = 1000 };
    static float       x[V], y[V];
    struct sample_prob a[V], b[V];
    uint64_t           allowed[16] = { 0 };
    struct chat_params p = params();
    struct rng         r;
    struct err         e;
    int                na, nb;
    (void)state;

    rng_seed(&r, 6);
    p.top_p             = 0.9f;
    p.frequency_penalty = 0.5f;
    struct sampler *s   = make(&p, V, 1);
    for (int i = 0; i < 50; i++) sampler_accept(s, (int32_t)rng_below(&r, 40));
    for (int i = 0; i < V; i++) {
        x[i] = normal(&r);
        bool on = i % 7 == 0 || i < 30;
        y[i] = on ? x[i] : -INFINITY;
        if (on) allowed[i / 64] |= 1ull << i % 64;
    }
    assert_ok(sampler_dist(s, scratch, x, allowed, a, V, &na, &e));
    assert_ok(sampler_dist(s, scratch, y, NULL, b, V, &nb, &e));
    assert_int_equal(na, nb);
    for (int i = 0; i < na; i++) assert_true(a[i].tok == b[i].tok && memcmp(&a[i].p, &b[i].p, 4) == 0);
    sampler_free(s);
}

/* --- memory and refusals --- */

static struct chat_params everything(void)
{
    struct chat_params p = params();
    p.top_k = 50, p.top_p = 0.9f, p.min_p = 0.01f, p.typical_p = 0.95f, p.top_n_sigma = 3;
    p.xtc_probability = 0.5f, p.temperature = 0.8f, p.dyn_temp_range = 0.2f;
    p.repeat_penalty = 1.1f, p.frequency_penalty = 0.1f, p.presence_penalty = 0.1f, p.penalty_last_n = -1;
    p.dry_multiplier = 0.8f;
    return p;
}

static void no_malloc_per_token(void **state)
{
    static float       x[5000];
    struct chat_params p = everything();
    struct rng         r;
    struct err         e;
    (void)state;

    rng_seed(&r, 9);
    for (int i = 0; i < 5000; i++) x[i] = 2 * normal(&r);
    struct sampler *s      = make(&p, 5000, 1);
    uint64_t        before = mem_count();
    for (int i = 0; i < 3000; i++) { // well past n_ctx: histories slide
        int32_t               tok;
        struct sample_logprob one, top[LIM_TOP_LOGPROBS];
        assert_ok(sampler_sample(s, scratch, x, NULL, &tok, &e));
        sampler_accept(s, tok);
        if (i % 50 == 0) sample_logprobs(x, 5000, tok, &one, top, LIM_TOP_LOGPROBS);
    }
    assert_true(mem_count() == before);
    sampler_free(s);
}

static void every_allocation_fails_once(void **state)
{
    struct chat_params  p = everything();
    const int32_t       breaker[] = { 4, 2 };
    struct sampler_conf conf = { .params = &p, .n_vocab = 100, .n_ctx = 50, .breaker = breaker, .n_breaker = 2 };
    struct err          e;
    int                 failed = 0;
    (void)state;

    for (uint64_t at = 1;; at++) {
        struct sampler *s = NULL;
        mem_fail_at(at);
        int rc = sampler_new(&conf, &s, &e);
        mem_fail_at(0);
        if (rc == 0) {
            sampler_free(s);
            break;
        }
        assert_true(rc == -ERR_NO_MEMORY && s == NULL);
        failed++;
    }
    assert_int_equal(failed, 10); // the sampler, its history, three maps of two lists, DRY's two lists
    for (uint64_t at = 1;; at++) {
        struct sample_scratch *sc = NULL;
        mem_fail_at(at);
        int rc = sample_scratch_new(100, &sc, &e);
        mem_fail_at(0);
        if (rc == 0) {
            sample_scratch_free(sc);
            break;
        }
        assert_true(rc == -ERR_NO_MEMORY && sc == NULL);
    }
    sampler_free(NULL);
    sample_scratch_free(NULL);
}

static void refusals(void **state)
{
    struct chat_params  p = params();
    struct chat_bias    bias[] = { { 5, 1 }, { 100, 1 } };
    struct sampler_conf conf = { .params = &p, .n_vocab = 100, .n_ctx = 50 };
    struct sampler     *s;
    struct err          e;
    (void)state;

    p.bias   = bias;
    p.n_bias = 2;
    assert_err(sampler_new(&conf, &s, &e), ERR_INVALID_VALUE, "token 100 is not in the vocabulary");
    assert_string_equal(e.param, "logit_bias");
    bias[1].tok = -1;
    assert_err(sampler_new(&conf, &s, &e), ERR_INVALID_VALUE, "token -1");
    p.n_bias       = 0;
    conf.n_breaker = LIM_DRY_BREAKERS + 1;
    assert_err(sampler_new(&conf, &s, &e), ERR_TOO_LARGE, "breakers");
}

/* --- logprobs and the functions below --- */

static void logprobs(void **state)
{
    enum { V = 3001 };
    static float          x[V];
    static struct ref     ref[V];
    struct sample_logprob one, top[LIM_TOP_LOGPROBS];
    struct rng            r;
    (void)state;

    rng_seed(&r, 10);
    for (int round = 0; round < 40; round++) {
        int n = round < 10 ? round + 1 : 1 + (int)rng_below(&r, V), n_top = (int)rng_below(&r, 21);
        for (int i = 0; i < n; i++) x[i] = (float)(int)(6 * normal(&r)) / 2; // many ties
        if (round % 3 == 0) x[rng_below(&r, (uint64_t)n)] = NAN;
        if (round % 3 == 1) x[rng_below(&r, (uint64_t)n)] = -INFINITY;

        int    m = 0;
        double sum = 0;
        for (int i = 0; i < n; i++)
            if (x[i] > -INFINITY) ref[m++] = (struct ref){ i, (double)x[i], 0 };
        for (int i = 0; i < m; i++) sum += exp(ref[i].x);
        qsort(ref, (size_t)m, sizeof *ref, ref_order);

        int32_t chosen = (int32_t)rng_below(&r, (uint64_t)n);
        int     got    = sample_logprobs(x, n, chosen, &one, top, n_top);
        assert_int_equal(got, n_top < m ? n_top : m);
        for (int i = 0; i < got; i++) {
            assert_int_equal(top[i].tok, ref[i].id);
            assert_true(fabs((double)top[i].logprob - (ref[i].x - log(sum))) < 1e-5);
        }
        assert_int_equal(one.tok, chosen);
        if (x[chosen] > -INFINITY) {
            assert_true(fabs((double)one.logprob - ((double)x[chosen] - log(sum))) < 1e-5);
        } else assert_true(one.logprob == SAMPLE_IMPOSSIBLE);
    }

    x[0] = NAN;
    x[1] = -INFINITY;
    assert_int_equal(sample_logprobs(x, 2, 1, &one, top, 5), 0);
    assert_true(one.logprob == SAMPLE_IMPOSSIBLE);
    x[0] = INFINITY;
    x[2] = -3e38f;
    assert_int_equal(sample_logprobs(x, 3, 2, &one, top, 5), 2);
    assert_true(one.logprob == SAMPLE_IMPOSSIBLE && top[0].tok == 0 && top[0].logprob == 0);
}

static void exp_and_log(void **state)
{
    (void)state;
    assert_true(smath_expf(0) == 1 && smath_expf(-87.5f) == 0 && smath_expf(-1e38f) == 0);
    assert_true(smath_log(1) == 0 && smath_exp(0) == 1);
    float before = 0;
    for (int i = -87 * 4096; i <= 0; i++) {
        float  x = (float)i / 4096, y = smath_expf(x);
        double want = exp((double)x);
        if (fabs((double)y - want) > 2e-7 * want) fail_msg("exp(%g) is %g, want %g", (double)x, (double)y, want);
        if (y < before) fail_msg("exp falls at %g", (double)x);
        before = y;
    }
    for (double x = 1e-300; x < 1e300; x *= 1.37) {
        assert_true(fabs(smath_log(x) - log(x)) <= 1e-15 * fabs(log(x)) + 1e-16);
        double l = log(x) / 2;
        assert_true(fabs(smath_exp(l) - exp(l)) <= 1e-13 * exp(l));
    }
    assert_true(smath_pow(0, 0) == 1 && smath_pow(0, 2) == 0 && fabs(smath_pow(3, 4) - 81) < 1e-11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_and_log),
        cmocka_unit_test(filters_match_their_definition),
        cmocka_unit_test(ties_go_to_lower_ids),
        cmocka_unit_test(chains_of_others),
        cmocka_unit_test(chains_by_hand),
        cmocka_unit_test(draws_by_hand),
        cmocka_unit_test(draw_follows_the_distribution),
        cmocka_unit_test(seeds_and_choices),
        cmocka_unit_test(greedy_is_the_largest),
        cmocka_unit_test(penalties_forget),
        cmocka_unit_test(prompt_and_answer),
        cmocka_unit_test(mirostat_steers),
        cmocka_unit_test(broken_logits),
        cmocka_unit_test(masks_are_minus_infinity),
        cmocka_unit_test(no_malloc_per_token),
        cmocka_unit_test(every_allocation_fails_once),
        cmocka_unit_test(refusals),
        cmocka_unit_test(logprobs),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
