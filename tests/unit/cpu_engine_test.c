/* cpu_engine_test.c - the native engine: recorded answers, the same answer in any company, hostile files. */
#include "unit.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "engines/cpu/engine_cpu.h"
#include "json/json.h"
#include "os/cpu.h"

struct model {
    struct engine     *en;
    struct engine_info info;
    int                fd;
};

static int try_open(struct model *m, const char *path, const char *level, int n_thread, int n_ctx, int n_seq,
                    int n_batch, struct err *e)
{
    struct stat st;

    if (level)
        setenv("CPU", level, 1);
    else
        unsetenv("CPU");
    m->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (m->fd < 0 || fstat(m->fd, &st)) fail_msg("cannot open %s", path);
    const struct engine_file file = { .name = strrchr(path, '/') + 1, .fd = m->fd, .size = (uint64_t)st.st_size };
    const struct engine_conf conf = {
        .file = &file, .n_file = 1, .n_thread = n_thread, .n_ctx = n_ctx, .n_seq = n_seq, .n_batch = n_batch,
        .kv_type = strstr(path, "kvq8") ? ENGINE_KV_Q8_0 : ENGINE_KV_F16,
    };
    m->en = NULL;
    int rc = engine_cpu.open(&conf, &m->en, e);
    if (rc)
        close(m->fd);
    else
        engine_cpu.info(m->en, &m->info);
    return rc;
}

static struct model must_open(const char *path, const char *level, int n_thread, int n_ctx, int n_seq, int n_batch)
{
    struct err   e = { 0 };
    struct model m;

    assert_ok(try_open(&m, path, level, n_thread, n_ctx, n_seq, n_batch, &e));
    return m;
}

static void done(struct model *m)
{
    engine_cpu.close(m->en);
    close(m->fd);
}

/* Run some tokens of one sequence; the last n_logits rows are of them. */
static void run(struct model *m, const int32_t *tok, int n_tok, int pos, const int32_t *page, int n_logits)
{
    struct err e = { 0 };
    /* page also for layers with a window: so many that they need not be let go */
    const struct engine_run   r = { tok, n_tok, pos, page, n_logits, page };
    const struct engine_batch b = { &r, 1 };
    assert_ok(engine_cpu.forward(m->en, &b, &e));
}

static int argmax(const float *v, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (v[i] > v[best]) best = i;
    return best;
}

/* Levels that this machine has. */
static const char *levels[] = { "ref", "avx2", "avx512" };
static bool has_level(const char *level)
{
    unsigned flags;
    return cpu_features(level, &flags, NULL) == 0;
}

static const char *const formats[] = { "f32", "f16", "q8_0", "q4_0" };

static struct json_doc *greedy_doc(void)
{
    struct err e = { 0 };
    size_t     n;
    static char *text; // the document borrows nothing from it, but stay safe
    const char *path = unit_shared("weights/stories260K-greedy.json");

    if (!path) return NULL;
    text = unit_read(path, &n);
    struct json_doc *d;
    assert_ok(json_parse((struct str){ text, n }, NULL, &d, &e));
    free(text);
    return d;
}

static char *stories(char buf[4096], const char *format)
{
    char rel[64];
    snprintf(rel, sizeof rel, "weights/stories260K-%s.gguf", format);
    const char *p = unit_shared(rel);
    if (!p) return NULL;
    return str_copy_z(buf, 4096, str_c(p));
}

static int tokens(const struct json *arr, int32_t *ret, int max)
{
    int n = (int)json_len(arr);
    assert_true(n <= max);
    for (int i = 0; i < n; i++) ret[i] = (int32_t)json_int(json_at(arr, (size_t)i));
    return n;
}

/* The F32 file against llama2.c's own program: all ids, and the eight largest logits of the first 40
 * positions. Both sum f32 products in some order: over 5 layers of sums of 64 to 172 terms the logits
 * (below 32, so half an ulp is 2^-20) may differ by about sqrt(172) * 5 * 2^-20 = 6e-5. */
static void greedy_f32(void **state)
{
    (void)state;
    char path[4096];
    struct json_doc *d = greedy_doc();
    if (!d || !stories(path, "f32")) {
        print_message("skipped: no shared weights\n");
        skip();
    }
    const struct json *rows = json_get(json_root(d), "rows");
    int32_t tok[256], page[16];
    for (int i = 0; i < 16; i++) page[i] = 15 - i;

    for (size_t k = 0; k < ARRAY_LEN(levels); k++) {
        if (!has_level(levels[k])) continue;
        struct model m = must_open(path, levels[k], 2, 512, 1, 64);
        assert_string_equal(m.info.arch, "llama");
        assert_string_equal(m.info.quant, "F32");
        assert_int_equal(m.info.n_vocab, 512);
        for (size_t i = 0; i < json_len(rows); i++) {
            const struct json *row = json_at(rows, i), *top = json_get(row, "logits_top8");
            int n = tokens(json_get(row, "tokens"), tok, 256), n_prompt = (int)json_int(json_get(row, "prompt_tokens"));
            for (int p = 0; p < n - 1; p++) {
                run(&m, &tok[p], 1, p, page, 1);
                const float *logits = engine_cpu.logits(m.en, 0);
                if (p + 1 >= n_prompt && argmax(logits, 512) != tok[p + 1])
                    fail_msg("%s: row %zu, token %d: %d, want %d", levels[k], i, p + 1, argmax(logits, 512),
                             tok[p + 1]);
                const struct json *eight = json_at(top, (size_t)p);
                for (size_t j = 0; j < json_len(eight); j++) {
                    const struct json *pair = json_at(eight, j);
                    double got = (double)logits[json_int(json_at(pair, 0))], want = json_num(json_at(pair, 1));
                    if (!(fabs(got - want) < 6e-5))
                        fail_msg("%s: row %zu, token %d: logit %g, want %g", levels[k], i, p, got, want);
                }
            }
        }
        done(&m);
    }
    json_free(d);
}

/* The other formats along llama.cpp's own greedy answers: its choice is ours, or nearly so. llama.cpp rounds
 * the inputs of F16 matrices to F16 (we do not) and scales of 8-bit inputs to F16, so logits differ: by about
 * 2^-11 of their size (17) for F16; for block types also where a rounding falls on the other side, which
 * moves a weight's share by 1/127 of it. A tenth of the logits' size bounds what that may sum up to; a wrong
 * weight, scale or position shows as several. */
static void other_formats(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double      near;
        int         same_pct; // choices that must be the same
    } rows[] = { { "f16", 0.02, 99 }, { "q8_0", 1.7, 97 }, { "q4_0", 1.7, 97 } };
    struct json_doc *d = greedy_doc();
    char    path[4096], key[64];
    int32_t tok[256], page[16];

    if (!d) {
        print_message("skipped: no shared weights\n");
        skip();
    }
    for (int i = 0; i < 16; i++) page[i] = (i * 7 + 3) % 16;
    const struct json *all = json_get(json_root(d), "rows");
    for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
        struct model m = must_open(stories(path, rows[k].name), NULL, 1, 512, 1, 256);
        int    n_all = 0, n_same = 0;
        double widest = 0;
        snprintf(key, sizeof key, "llama_cpp_%s_tokens", rows[k].name);
        for (size_t i = 0; i < json_len(all); i++) {
            const struct json *row = json_at(all, i);
            int n_prompt = (int)json_int(json_get(row, "prompt_tokens"));
            tokens(json_get(row, "tokens"), tok, 256);
            int n = n_prompt + tokens(json_get(row, key), tok + n_prompt, 256 - n_prompt);
            run(&m, tok, n, 0, page, n);
            for (int p = n_prompt; p < n; p++) {
                const float *logits = engine_cpu.logits(m.en, p - 1);
                int best = argmax(logits, 512);
                n_all++;
                n_same += best == tok[p];
                double gap = (double)logits[best] - (double)logits[tok[p]];
                if (gap > widest) widest = gap;
                if (gap > rows[k].near)
                    fail_msg("%s: row %zu, token %d: %d, by %g before %d", rows[k].name, i, p, best, gap, tok[p]);
            }
        }
        print_message("%s: %d of %d choices are llama.cpp's, the rest within %.3f\n", rows[k].name, n_same, n_all, widest);
        assert_true(n_same * 100 >= n_all * rows[k].same_pct);
        done(&m);
    }
    json_free(d);
}

/* Trained weights of another family against a double-precision pass of numpy's and llama.cpp's choices: ids, and
 * the eight largest logits of the first steps. Two layers of sums of 80 to 320 terms; logits are below 16 and given
 * to six digits, 5e-5 of it: sqrt(320) * 2 * 2^-20 = 3.4e-5 of our own beside that. */
static void gpt2(void **state)
{
    (void)state;
    struct err  e = { 0 };
    char        path[4096];
    size_t      size;
    int32_t     tok[256], page[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    const char *ref = unit_shared("weights/microlm181K-greedy.json");

    if (!ref) {
        print_message("skipped: no shared weights\n");
        skip();
    }
    char *text = unit_read(ref, &size);
    str_copy_z(path, sizeof path, str_c(unit_shared("weights/microlm181K-f32.gguf")));
    struct json_doc *d;
    assert_ok(json_parse((struct str){ text, size }, NULL, &d, &e));
    struct model m = must_open(path, NULL, 2, 0, 1, 64);
    const struct json *rows = json_get(json_root(d), "rows");
    assert_string_equal(m.info.arch, "gpt2");
    assert_true(json_len(rows) >= 5);
    for (size_t i = 0; i < json_len(rows); i++) {
        const struct json *row = json_at(rows, i), *top = json_get(row, "logits_top8");
        int n = tokens(json_get(row, "tokens"), tok, 256), n_prompt = (int)json_int(json_get(row, "prompt_tokens"));
        for (int p = 0; p < n - 1; p++) {
            run(&m, &tok[p], 1, p, page, 1);
            if (p + 1 < n_prompt) continue;
            const float *logits = engine_cpu.logits(m.en, 0);
            assert_int_equal(argmax(logits, m.info.n_vocab), tok[p + 1]);
            const struct json *eight = json_at(top, (size_t)(p + 1 - n_prompt));
            for (size_t j = 0; j < json_len(eight); j++) {
                double got = (double)logits[json_int(json_at(json_at(eight, j), 0))];
                double want = json_num(json_at(json_at(eight, j), 1));
                if (!(fabs(got - want) < 1e-4)) fail_msg("row %zu, token %d: logit %g, want %g", i, p, got, want);
            }
        }
    }
    done(&m);
    json_free(d);
    free(text);
}

/* --- our own small models --- */

static const char *const own[] = {
    "llama-blocks", "llama-f32", "llama-yarn", "llama-experts", "qwen2-rare", "qwen3-half", "qwen3moe-blocks",
    "gemma2-blocks", "gemma3-f32", "gemma3-window", "phi3-long", "phi3-short", "granite-blocks", "smollm3-half", "gpt2-f32",
    "starcoder2-blocks", "gpt-oss-half", "gpt-oss-mxfp4", "qwen3-kvq8", "gemma2-kvq8", // the last two: keys and values in 8 bits
};

static char *own_path(char buf[4096], const char *name, const char *ext)
{
    char rel[64];
    snprintf(rel, sizeof rel, "model/%s.%s", name, ext);
    return str_copy_z(buf, 4096, str_c(unit_data(rel)));
}

/* Against make_models.py's double precision: sums of up to 256 terms, whose sizes add up to under 100, are off
 * by at most 256 * 2^-24 * 100 = 1.5e-3 and most likely by a sixteenth of that (roundings go both ways); a
 * rounding to 8 bits that fell on the other side would move a logit by about 1e-2. */
static void own_logits(void **state)
{
    (void)state;
    char path[4096];

    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        struct err e = { 0 };
        struct json_doc *d;
        int32_t tok[90];
        static const int32_t page[3] = { 2, 0, 1 };
        size_t  size;
        char   *text = unit_read(own_path(path, own[i], "json"), &size);
        assert_non_null(text);
        assert_ok(json_parse((struct str){ text, size }, NULL, &d, &e));
        int    n = tokens(json_get(json_root(d), "tokens"), tok, 90);
        int    n_ctx = (int)json_int(json_get(json_root(d), "n_ctx"));
        double widest = 0;
        for (size_t k = 0; k < ARRAY_LEN(levels); k++) {
            if (!has_level(levels[k])) continue;
            struct model m = must_open(own_path(path, own[i], "gguf"), levels[k], 2, n_ctx, 3, 90);
            assert_int_equal(m.info.n_ctx, n_ctx ? n_ctx : 96);
            assert_true(str_starts(str_c(own[i]), str_c(m.info.arch)));
            assert_string_equal(m.info.kv_type, strstr(own[i], "kvq8") ? "Q8_0" : !strcmp(m.info.quant, "F32") ? "F32" : "F16");
            run(&m, tok, n, 0, page, n);
            for (int p = 0; p < n; p++) {
                const struct json *want = json_at(json_get(json_root(d), "logits"), (size_t)p);
                assert_int_equal(json_len(want), m.info.n_vocab);
                for (int j = 0; j < m.info.n_vocab; j++) {
                    double gap = fabs((double)engine_cpu.logits(m.en, p)[j] - json_num(json_at(want, (size_t)j)));
                    if (!(gap < 1e-4))
                        fail_msg("%s, %s: position %d, logit %d is off by %g", own[i], levels[k], p, j, gap);
                    if (gap > widest) widest = gap;
                }
            }
            done(&m);
        }
        print_message("%s: within %.2g\n", own[i], widest);
        json_free(d);
        free(text);
    }
}

/* --- the same answer in any company --- */

enum { SEQS = 5, LEN = 70, PAGES = 3 };

struct plan_seq {
    int32_t tok[LEN];
    int     at; // tokens run
    int32_t page[PAGES];
};

/* Logits of every position of every sequence, run alone, token by token. */
static float *alone(const char *path, const char *level, const struct plan_seq *s, int n_vocab)
{
    float *all = malloc(sizeof(float) * SEQS * LEN * (size_t)n_vocab);
    struct model m = must_open(path, level, 1, 96, SEQS, 64);

    assert_int_equal(m.info.n_vocab, n_vocab);
    for (int i = 0; i < SEQS; i++)
        for (int p = 0; p < LEN; p++) {
            static const int32_t page[PAGES] = { 1, 0, 2 };
            run(&m, &s[i].tok[p], 1, p, page, 1);
            memcpy(all + (size_t)(i * LEN + p) * (size_t)n_vocab, engine_cpu.logits(m.en, 0),
                   (size_t)n_vocab * sizeof(float));
        }
    done(&m);
    return all;
}

/* The same sequences together, in random pieces, pages and orders; every row wanted now and then. */
static void in_company(struct model *m, struct plan_seq *s, const float *want, struct rng *r)
{
    struct err e = { 0 };
    int n_vocab = m->info.n_vocab, left = SEQS;
    int32_t pages[SEQS * PAGES];

    for (int i = 0; i < SEQS * PAGES; i++) pages[i] = i;
    for (int i = SEQS * PAGES - 1; i > 0; i--) {
        int j = (int)rng_below(r, (uint64_t)i + 1);
        int32_t t = pages[i];
        pages[i] = pages[j];
        pages[j] = t;
    }
    for (int i = 0; i < SEQS; i++) {
        s[i].at = 0;
        memcpy(s[i].page, pages + i * PAGES, sizeof s[i].page);
    }
    while (left) {
        struct engine_run run[SEQS];
        int seq[SEQS], n_run = 0, room = m->info.n_batch;
        int first = (int)rng_below(r, SEQS);
        for (int k = 0; k < SEQS; k++) {
            int i = (first + k) % SEQS, rest = LEN - s[i].at;
            int most = rest < room ? rest : room;
            if (most <= 0 || rng_below(r, 4) == 0) continue;
            int n = rng_below(r, 3) ? 1 + (int)rng_below(r, (uint64_t)most) : 1;
            seq[n_run] = i;
            run[n_run++] = (struct engine_run){ s[i].tok + s[i].at, n, s[i].at, s[i].page,
                                                (int)rng_below(r, (uint64_t)n + 1), s[i].page };
            room -= n;
        }
        if (!n_run) continue;
        const struct engine_batch b = { run, n_run };
        assert_ok(engine_cpu.forward(m->en, &b, &e));
        for (int k = 0, row = 0; k < n_run; k++) {
            for (int j = run[k].n_tok - run[k].n_logits; j < run[k].n_tok; j++, row++) {
                const float *w = want + (size_t)(seq[k] * LEN + run[k].pos + j) * (size_t)n_vocab;
                if (memcmp(engine_cpu.logits(m->en, row), w, (size_t)n_vocab * sizeof(float)))
                    fail_msg("sequence %d, position %d: other bits than alone", seq[k], run[k].pos + j);
            }
            s[seq[k]].at += run[k].n_tok;
            left -= s[seq[k]].at == LEN;
        }
    }
}

static void company_of(const char *path)
{
    struct model probe = must_open(path, NULL, 1, 96, 1, 1);
    int n_vocab = probe.info.n_vocab;
    done(&probe);

    struct plan_seq s[SEQS];
    struct rng r;

    rng_seed(&r, 7);
    for (int i = 0; i < SEQS; i++)
        for (int p = 0; p < LEN; p++) s[i].tok[p] = (int32_t)rng_below(&r, (uint64_t)n_vocab);
    float *want = alone(path, "ref", s, n_vocab);
    for (size_t k = 0; k < ARRAY_LEN(levels); k++)
        for (int threads = 1; threads <= 3 && has_level(levels[k]); threads++) {
            /* odd batches too: a forward of more tokens than go through at once is cut inside */
            struct model m = must_open(path, levels[k], threads, 96, SEQS, threads == 2 ? 600 : 37);
            for (int round = 0; round < (k ? 3 : 1); round++) in_company(&m, s, want, &r);
            done(&m);
        }
    free(want);
}

static void company(void **state)
{
    (void)state;
    char path[4096];

    for (size_t i = 0; i < ARRAY_LEN(own); i++) company_of(own_path(path, own[i], "gguf"));
    if (!stories(path, "f32")) print_message("shared weights skipped: they are not there\n");
    for (size_t i = 0; i < ARRAY_LEN(formats) && stories(path, "f32"); i++) company_of(stories(path, formats[i]));
}

/* --- memory --- */

static void no_malloc(void **state)
{
    (void)state;
    char path[4096];

    for (size_t k = 0; k < ARRAY_LEN(own); k++) {
        struct model m = must_open(own_path(path, own[k], "gguf"), NULL, 2, 96, 1, 96);
        static const int32_t page[PAGES] = { 2, 0, 1 };
        int32_t  tok[LEN];
        for (int i = 0; i < LEN; i++) tok[i] = i % m.info.n_vocab;
        uint64_t before = mem_count();
        run(&m, tok, LEN - 1, 0, page, LEN - 1);
        run(&m, tok, 1, LEN - 1, page, 1);
        assert_int_equal(engine_cpu.page_copy(m.en, 1, 2, 5), 0);
        assert_true(mem_count() == before);
        done(&m);
    }
}

static void allocations_fail(const char *model)
{
    char path[4096];
    struct err e;
    struct model m;

    for (int n = 1;; n++) {
        memset(&e, 0, sizeof e);
        own_path(path, model, "gguf");
        mem_fail_at((uint64_t)n);
        int rc = try_open(&m, path, NULL, 2, 96, 1, 16, &e);
        mem_fail_at(0);
        if (rc == 0) {
            done(&m);
            assert_true(n > 5);
            return;
        }
        if (rc != -ERR_NO_MEMORY || !e.msg[0]) fail_msg("%s, allocation %d: %d, %s", model, n, rc, e.msg);
    }
}

static void every_allocation_fails(void **state)
{
    (void)state;
    allocations_fail("qwen2-rare");
    allocations_fail("gpt2-f32");
    allocations_fail("gpt-oss-half");
}

/* A copied page continues as the original does; whoever shared it does not notice. */
static void copied_page_of(const char *model)
{
    char  path[4096];
    float want[2][24];
    int32_t tok[64];
    static const int32_t a[2] = { 0, 1 }, b[2] = { 0, 2 }; // page 0 is shared, 1 is copied to 2
    struct model m = must_open(own_path(path, model, "gguf"), NULL, 1, 64, 2, 64);

    for (int i = 0; i < 64; i++) tok[i] = (i * 7 + 1) % 24;
    run(&m, tok, 45, 0, a, 0);
    run(&m, tok + 45, 5, 45, a, 1);
    memcpy(want[0], engine_cpu.logits(m.en, 0), sizeof want[0]);
    static const int32_t other[3] = { 9, 8, 7 };
    run(&m, tok, 45, 0, a, 0);
    assert_int_equal(engine_cpu.page_copy(m.en, 2, 1, 45 - 32), 0);
    run(&m, other, 3, 45, b, 1);
    memcpy(want[1], engine_cpu.logits(m.en, 0), sizeof want[1]);
    run(&m, tok + 45, 5, 45, a, 1);
    assert_memory_equal(engine_cpu.logits(m.en, 0), want[0], sizeof want[0]);
    assert_memory_not_equal(want[0], want[1], sizeof want[0]);
    done(&m);
}

static void copied_page(void **state)
{
    (void)state;
    copied_page_of("llama-blocks");
    copied_page_of("qwen3-kvq8");
}

/* Heads of 20 values are no whole blocks: the engine keeps f16 and says so. Where they are, a page takes 34 bytes
 * for 32 values instead of 64. */
static void kv_type(void **state)
{
    (void)state;
    struct err   e = { 0 };
    struct model m;
    char         path[4096];
    struct stat  st;

    for (int q8 = 0; q8 < 2; q8++)
        for (int fits = 0; fits < 2; fits++) {
            own_path(path, fits ? "qwen3-kvq8" : "qwen3-half", "gguf");
            m.fd = open(path, O_RDONLY | O_CLOEXEC);
            assert_true(m.fd >= 0 && fstat(m.fd, &st) == 0);
            const struct engine_file file = { "a.gguf", m.fd, (uint64_t)st.st_size };
            const struct engine_conf conf = { .file = &file, .n_file = 1, .n_thread = 1, .n_ctx = 64, .n_seq = 1,
                                              .n_batch = 8, .kv_type = q8 ? ENGINE_KV_Q8_0 : ENGINE_KV_F16 };
            assert_ok(engine_cpu.open(&conf, &m.en, &e));
            engine_cpu.info(m.en, &m.info);
            assert_string_equal(m.info.kv_type, q8 && fits ? "Q8_0" : "F16");
            if (fits) assert_int_equal(m.info.kv_bytes, 2 * 32 * 2 * (q8 ? 2 * 34 : 64 * 2));
            done(&m);
        }
}

/* --- hostile files --- */

/* Replace a text of a file by one as long, once; opened, it must be refused with this code, naming that. */
static void refused_with(const char *model, const char *old, const char *new, enum err_code code, const char *names)
{
    struct err     e = { 0 };
    struct engine *en;
    char   path[4096];
    size_t n, len = strlen(old);
    char  *bytes = unit_read(own_path(path, model, "gguf"), &n);

    assert_non_null(bytes);
    char *at = memmem(bytes, n, old, len);
    assert_true(at && strlen(new) == len);
    memcpy(at, new, len);
    FILE *f = tmpfile();
    assert_non_null(f);
    int fd = fileno(f);
    assert_true(pwrite(fd, bytes, n, 0) == (ssize_t)n);
    const struct engine_file file = { "patched.gguf", fd, n };
    const struct engine_conf conf = { &file, 1, 1, 0, 1, 4, 0 };
    assert_err(engine_cpu.open(&conf, &en, &e), code, names);
    fclose(f);
    free(bytes);
}

/* A file that does not have what its family has, or has more, is refused by name. */
static void other_families(void **state)
{
    (void)state;
    refused_with("qwen3-half", "qwen3", "qwen9", ERR_UNSUPP_MODEL, "\"qwen9\" is not known (known: llama, qwen2, qwen3, ");
    refused_with("qwen3-half", "attn_q_norm", "attn_q_nork", ERR_UNSUPP_MODEL, "blk.0.attn_q_nork.weight");
    refused_with("llama-yarn", "attn_q.bias", "attn_s.bias", ERR_UNSUPP_MODEL, "blk.0.attn_s.bias");
    refused_with("gpt2-f32", "position_embd.weight", "position_embx.weight", ERR_BAD_FILE, "position_embd.weight");
    refused_with("gpt2-f32", "layer_norm_epsilon", "layer_norm_epsilom", ERR_BAD_FILE, "layer_norm_epsilon");
    refused_with("gpt2-f32", "output_norm.bias", "output_norm.bios", ERR_BAD_FILE, "output_norm.bias");
    refused_with("phi3-long", "rope_factors_long", "rope_factors_lang", ERR_BAD_FILE, "rope_factors_long");
    refused_with("gpt-oss-half", "expert_count", "expert_comnt", ERR_BAD_FILE, "expert");
    refused_with("gpt-oss-half", "llama", "larva", ERR_UNSUPP_MODEL, "tokenizer.ggml.model");
}

/* Our own file with a byte of its head changed: refused, or taken and run; never a crash. */
static void patched_model(const char *model)
{
    static const unsigned char values[] = { 0x00, 0x01, 0x7F, 0xFF };
    char   path[4096];
    size_t n;
    int    taken = 0, refused = 0;
    char  *bytes = unit_read(own_path(path, model, "gguf"), &n);

    assert_non_null(bytes);
    FILE *f = tmpfile();
    assert_non_null(f);
    int fd = fileno(f);
    for (size_t at = 24; at < 2000; at += 1 + at / 600) {
        for (size_t k = 0; k < ARRAY_LEN(values); k++) {
            struct err e = { 0 };
            struct engine *en;
            char old = bytes[at];
            bytes[at] = (char)values[k];
            assert_true(pwrite(fd, bytes, n, 0) == (ssize_t)n);
            bytes[at] = old;
            const struct engine_file file = { "patched.gguf", fd, n };
            const struct engine_conf conf = { &file, 1, 1, 64, 1, 4, 0 };
            if (engine_cpu.open(&conf, &en, &e)) {
                refused++;
                assert_true(e.code && e.msg[0]);
                continue;
            }
            taken++;
            struct engine_info info;
            engine_cpu.info(en, &info);
            static const int32_t page[2] = { 0, 0 }, tok[2] = { 0, 0 };
            const struct engine_run   r = { tok, info.n_ctx < 2 ? 1 : 2, 0, page, 1, page };
            const struct engine_batch b = { &r, 1 };
            assert_ok(engine_cpu.forward(en, &b, &e));
            engine_cpu.close(en);
        }
    }
    print_message("%s: %d refused, %d taken\n", model, refused, taken);
    assert_true(refused > 1000 && taken > 10);
    fclose(f);
    free(bytes);
}

static void patched(void **state)
{
    (void)state;
    patched_model("qwen2-rare");
    patched_model("gpt-oss-half");
    patched_model("phi3-short");
}

static void hostile(void **state)
{
    (void)state;
    struct err e = { 0 };
    size_t n;
    char   path[4096];
    const char *manifest = unit_shared("broken/gguf/manifest.json");

    if (!manifest) {
        print_message("skipped: no shared files\n");
        skip();
    }
    char dir[4096];
    str_copy_z(dir, sizeof dir, str_sub(str_c(manifest), 0, strlen(manifest) - strlen("manifest.json")));
    char *text = unit_read(manifest, &n);
    struct json_doc *d;
    assert_ok(json_parse((struct str){ text, n }, NULL, &d, &e));
    int refused = 0;
    for (size_t i = 0; i < json_len(json_root(d)); i++) {
        const struct json *row = json_at(json_root(d), i);
        struct str file = json_str(json_get(row, "file"));
        struct model m;
        snprintf(path, sizeof path, "%s" STR_FMT, dir, STR_ARG(file));
        memset(&e, 0, sizeof e);
        int rc = try_open(&m, path, NULL, 1, 64, 1, 8, &e);
        if (rc == 0) {
            static const int32_t page[2] = { 0, 1 }, tok[3] = { 0, 1, 2 };
            run(&m, tok, m.info.n_ctx < 3 ? 1 : 3, 0, page, 1);
            done(&m);
        } else {
            refused++;
            assert_true(rc == -(int)e.code && e.msg[0]);
            if (!strstr(e.msg, ".gguf")) fail_msg("\"%s\" does not name the file", e.msg);
        }
        if (rc == 0 && str_starts(json_str(json_get(row, "must")), STR("reject with")))
            fail_msg(STR_FMT " was taken", STR_ARG(file));
    }
    print_message("%zu files, %d refused\n", json_len(json_root(d)), refused);
    assert_true(refused > 40);
    json_free(d);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_f32),
        cmocka_unit_test(other_formats),
        cmocka_unit_test(gpt2),
        cmocka_unit_test(own_logits),
        cmocka_unit_test(company),
        cmocka_unit_test(no_malloc),
        cmocka_unit_test(every_allocation_fails),
        cmocka_unit_test(copied_page),
        cmocka_unit_test(kv_type),
        cmocka_unit_test(other_families),
        cmocka_unit_test(patched),
        cmocka_unit_test(hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
