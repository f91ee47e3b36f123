/* cpu_enc_test.c - encoders of the native engine: recorded states and scores, the same bits in any company,
 * hostile files. */
#include "unit.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "base/rng.h"
#include "engines/cpu/engine_cpu.h"
#include "json/json.h"
#include "os/cpu.h"

static const char *const own[] = { "bert-f32", "bert-rank", "nomic-bert-half", "jina-bert-v2-f32", "jina-bert-v2-rank" };
static const char *const levels[] = { "ref", "avx2", "avx512" };

enum { TEXTS = 4, TOKENS = 64 };

struct text {
    int32_t tok[TOKENS];
    int     n_tok, n_first;
    const struct json *json;
};

struct model {
    struct engine     *en;
    struct engine_info info;
    FILE              *file; // bytes as they were opened
};

static char *own_bytes(const char *name, const char *ext, size_t *n)
{
    char rel[64];

    snprintf(rel, sizeof rel, "model/%s.%s", name, ext);
    char *bytes = unit_read(unit_data(rel), n);
    assert_non_null(bytes);
    return bytes;
}

static int open_bytes(struct model *m, const char *bytes, size_t n, const char *level, int n_thread, int n_batch,
                      struct err *e)
{
    if (level) setenv("CPU", level, 1);
    else unsetenv("CPU");
    m->file = tmpfile();
    assert_true(m->file && pwrite(fileno(m->file), bytes, n, 0) == (ssize_t)n);
    const struct engine_file file = { "own.gguf", fileno(m->file), n };
    const struct engine_conf conf = { .file = &file, .n_file = 1, .n_thread = n_thread, .n_seq = 1, .n_batch = n_batch };
    m->en = NULL;
    int rc = engine_cpu.open(&conf, &m->en, e);
    if (rc) fclose(m->file);
    else engine_cpu.info(m->en, &m->info);
    return rc;
}

static struct model must_open(const char *name, const char *level, int n_thread, int n_batch)
{
    struct err   e = { 0 };
    struct model m;
    size_t       n;
    char        *bytes = own_bytes(name, "gguf", &n);

    assert_ok(open_bytes(&m, bytes, n, level, n_thread, n_batch, &e));
    free(bytes);
    return m;
}

static void done(struct model *m)
{
    engine_cpu.close(m->en);
    fclose(m->file);
}

static bool has_level(const char *level)
{
    unsigned flags;
    return cpu_features(level, &flags, NULL) == 0;
}

static struct json_doc *read_texts(const char *name, struct text text[TEXTS], int *n_text)
{
    struct err e = { 0 };
    struct json_doc *d;
    size_t size;
    char  *json = own_bytes(name, "json", &size);

    assert_ok(json_parse((struct str){ json, size }, NULL, &d, &e));
    free(json);
    const struct json *list = json_get(json_root(d), "texts");
    *n_text = (int)json_len(list);
    assert_true(*n_text > 0 && *n_text <= TEXTS);
    for (int i = 0; i < *n_text; i++) {
        const struct json *t = json_at(list, (size_t)i), *tok = json_get(t, "tokens");
        text[i] = (struct text){ .n_tok = (int)json_len(tok), .n_first = (int)json_int(json_get(t, "n_first")), .json = t };
        assert_true(text[i].n_tok <= TOKENS);
        for (int k = 0; k < text[i].n_tok; k++) text[i].tok[k] = (int32_t)json_int(json_at(tok, (size_t)k));
    }
    return d;
}

static struct engine_run run_of(const struct text *t)
{
    return (struct engine_run){ .tok = t->tok, .n_tok = t->n_tok, .n_logits = t->n_tok, .hidden = true, .n_first = t->n_first };
}

static void forward(struct model *m, const struct engine_run *run, int n)
{
    struct err e = { 0 };
    assert_ok(engine_cpu.forward(m->en, &(struct engine_batch){ run, n }, &e));
}

/* --- what they give --- */

static double compare(const char *what, const struct json *want, const float *got, double bound)
{
    double widest = 0;

    for (size_t i = 0; i < json_len(want); i++) {
        double gap = fabs((double)got[i] - json_num(json_at(want, i)));
        if (!(gap < bound)) fail_msg("%s: value %zu is off by %g", what, i, gap);
        if (gap > widest) widest = gap;
    }
    return widest;
}

/* Against make_encoders.py's double precision. States come out of a norm: they are of size 1; before it lie sums of up
 * to 50 terms whose sizes add up to under 20, off by at most 50 * 2^-24 * 20 = 6e-5 and most likely by a tenth. */
static void own_states(void **state)
{
    (void)state;
    struct text text[TEXTS];
    char        what[128];
    int         n;

    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        struct json_doc *d = read_texts(own[i], text, &n);
        double widest = 0;
        for (size_t k = 0; k < ARRAY_LEN(levels); k++) {
            if (!has_level(levels[k])) continue;
            struct model m = must_open(own[i], levels[k], 2, 16);
            assert_true(str_starts(str_c(own[i]), str_c(m.info.arch)));
            assert_true(m.info.caps & ENGINE_WHOLE && m.info.n_batch >= 64 && m.info.n_ctx == 64);
            assert_int_equal(!!(m.info.caps & ENGINE_RANK), !!strstr(own[i], "rank"));
            assert_int_equal(m.info.pooling, m.info.caps & ENGINE_RANK ? ENGINE_POOL_FIRST : ENGINE_POOL_MEAN);
            for (int t = 0; t < n; t++) {
                const struct engine_run r = run_of(&text[t]);
                const struct json *want = json_get(text[t].json, "states");
                forward(&m, &r, 1);
                for (int p = 0; p < r.n_tok; p++) {
                    snprintf(what, sizeof what, "%s, %s, text %d, token %d", own[i], levels[k], t, p);
                    assert_int_equal(json_len(json_at(want, (size_t)p)), m.info.n_embd);
                    double gap = compare(what, json_at(want, (size_t)p), engine_cpu.hidden(m.en, p), 1e-4);
                    if (gap > widest) widest = gap;
                }
                if (!(m.info.caps & ENGINE_RANK)) continue;
                double score = json_num(json_get(text[t].json, "score"));
                double gap = fabs((double)engine_cpu.score(m.en, engine_cpu.hidden(m.en, 0)) - score);
                if (!(gap < 4e-4)) fail_msg("%s: score of text %d is off by %g", own[i], t, gap);
            }
            done(&m);
        }
        print_message("%s: within %.2g\n", own[i], widest);
        json_free(d);
    }
}

/* Texts in random order and number, on one and on three threads, give the bits of each text alone in plain C. */
static void in_company(void **state)
{
    (void)state;
    struct text text[TEXTS];
    struct rng  r;
    int         n;

    rng_seed(&r, 5);
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        json_free(read_texts(own[i], text, &n));
        struct model ref = must_open(own[i], "ref", 1, 16);
        size_t       row = (size_t)ref.info.n_embd * sizeof(float);
        float       *want[TEXTS];
        for (int t = 0; t < n; t++) {
            const struct engine_run one = run_of(&text[t]);
            want[t] = malloc(row * (size_t)one.n_tok);
            forward(&ref, &one, 1);
            for (int p = 0; p < one.n_tok; p++)
                memcpy(want[t] + (size_t)p * row / sizeof(float), engine_cpu.hidden(ref.en, p), row);
        }
        done(&ref);
        for (int threads = 1; threads <= 3; threads += 2) {
            struct model m = must_open(own[i], NULL, threads, 2000);
            for (int round = 0; round < 20; round++) {
                struct engine_run run[40];
                int               which[40], n_run = 1 + (int)rng_below(&r, 40), at = 0;
                for (int k = 0; k < n_run; k++) {
                    which[k] = (int)rng_below(&r, (uint32_t)n);
                    run[k]   = run_of(&text[which[k]]);
                }
                forward(&m, run, n_run);
                for (int k = 0; k < n_run; k++)
                    for (int p = 0; p < run[k].n_tok; p++, at++)
                        if (memcmp(engine_cpu.hidden(m.en, at), want[which[k]] + (size_t)p * row / sizeof(float), row))
                            fail_msg("%s, %d threads: text %d of %d, token %d differs", own[i], threads, k, n_run, p);
            }
            done(&m);
        }
        for (int t = 0; t < n; t++) free(want[t]);
    }
}

static void every_allocation_fails(void **state)
{
    (void)state;
    size_t n;

    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        char *bytes = own_bytes(own[i], "gguf", &n);
        for (int k = 1;; k++) {
            struct err   e = { 0 };
            struct model m;
            mem_fail_at((uint64_t)k);
            int rc = open_bytes(&m, bytes, n, NULL, 2, 16, &e);
            mem_fail_at(0);
            if (rc == 0) {
                done(&m);
                assert_true(k > 5);
                break;
            }
            if (rc != -ERR_NO_MEMORY || !e.msg[0]) fail_msg("%s, allocation %d: %d, %s", own[i], k, rc, e.msg);
        }
        free(bytes);
    }
}

static void forward_allocates_nothing(void **state)
{
    (void)state;
    struct text text[TEXTS];
    int         n;

    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        json_free(read_texts(own[i], text, &n));
        struct model     m = must_open(own[i], NULL, 2, 64);
        const struct engine_run r[] = { run_of(&text[1]), run_of(&text[0]) };
        uint64_t before = mem_count();
        forward(&m, r, 2);
        assert_true(mem_count() == before);
        done(&m);
    }
}

/* --- hostile files --- */

/* A text of a file replaced by one as long, once, or the value behind a key: it must be refused like this. */
static void refused(const char *name, const char *old, const char *new, const void *value, size_t size,
                    enum err_code code, const char *says)
{
    struct err   e = { 0 };
    struct model m;
    size_t       n;
    char        *bytes = own_bytes(name, "gguf", &n), *at = memmem(bytes, n, old, strlen(old));

    assert_non_null(at);
    if (new) memcpy(at, new, strlen(new));
    if (value) memcpy(at + strlen(old) + 4, value, size); // behind its type
    assert_err(open_bytes(&m, bytes, n, NULL, 1, 8, &e), code, says);
    free(bytes);
}

static void hostile(void **state)
{
    (void)state;
    const uint32_t five = 5, zero = 0, seven = 7, huge = 1u << 30, four = 4;
    const uint8_t  yes = 1;

    refused("bert-f32", "bert.pooling_type", NULL, &five, 4, ERR_BAD_FILE, "bert.pooling_type");
    refused("bert-f32", "bert.pooling_type", NULL, &huge, 4, ERR_BAD_FILE, "0..4");
    refused("bert-f32", "bert.pooling_type", NULL, &four, 4, ERR_BAD_FILE, "cls.output.weight");
    refused("bert-f32", "bert.attention.head_count", NULL, &zero, 4, ERR_BAD_FILE, "head_count");
    refused("bert-f32", "bert.attention.head_count", NULL, &seven, 4, ERR_BAD_FILE, "7 heads do not divide");
    refused("bert-f32", "bert.context_length", NULL, &huge, 4, ERR_BAD_FILE, "context_length");
    refused("bert-f32", "bert.context_length", NULL, &seven, 4, ERR_BAD_FILE, "position_embd.weight");
    refused("bert-f32", "bert.embedding_length", NULL, &zero, 4, ERR_BAD_FILE, "embedding_length");
    refused("bert-f32", "bert.feed_forward_length", NULL, &seven, 4, ERR_BAD_FILE, "ffn_");
    refused("bert-f32", "tokenizer.ggml.token_type_count", NULL, &seven, 4, ERR_BAD_FILE, "token_type_count");
    refused("bert-f32", "tokenizer.ggml.token_type_count", NULL, &huge, 4, ERR_BAD_FILE, "token_type_count");
    refused("bert-f32", "attn_output_norm.bias", "attn_output_nork.bias", NULL, 0, ERR_UNSUPP_MODEL, "blk.0.attn_output_nork.bias");
    refused("bert-f32", "token_embd_norm.weight", "token_embd_nork.weight", NULL, 0, ERR_UNSUPP_MODEL, "token_embd_nork.weight");
    refused("bert-f32", "layer_norm_epsilon", "layer_norm_epsilom", NULL, 0, ERR_BAD_FILE, "layer_norm");
    refused("bert-rank", "cls.bias", "clx.bias", NULL, 0, ERR_UNSUPP_MODEL, "clx.bias");
    refused("nomic-bert-half", "nomic-bert.attention.causal", NULL, &yes, 1, ERR_UNSUPP_MODEL, "attention.causal");
}

/* Our own files with a byte of their heads changed: refused, or taken and run; never a crash. */
static void patched(void **state)
{
    (void)state;
    static const unsigned char values[] = { 0x00, 0x01, 0x7F, 0xFF };
    struct text text[TEXTS];
    int         n_text, taken = 0, bad = 0;

    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        size_t n;
        char  *bytes = own_bytes(own[i], "gguf", &n);
        json_free(read_texts(own[i], text, &n_text));
        for (size_t at = 24; at < 6000; at += 1 + at / 200) {
            for (size_t k = 0; k < ARRAY_LEN(values); k++) {
                struct err   e = { 0 };
                struct model m;
                char         old = bytes[at];
                bytes[at] = (char)values[k];
                if (open_bytes(&m, bytes, n, NULL, 1, 4, &e)) {
                    assert_true(e.code && e.msg[0]);
                    bad++;
                } else {
                    const struct engine_run r = run_of(&text[0]);
                    if (m.info.n_ctx >= r.n_tok && m.info.caps & ENGINE_WHOLE && m.info.n_vocab > 50) forward(&m, &r, 1);
                    done(&m);
                    taken++;
                }
                bytes[at] = old;
            }
        }
        free(bytes);
    }
    print_message("%d taken, %d refused\n", taken, bad);
    assert_true(taken > 100 && bad > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_states), cmocka_unit_test(in_company), cmocka_unit_test(hostile), cmocka_unit_test(patched),
        cmocka_unit_test(every_allocation_fails), cmocka_unit_test(forward_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
