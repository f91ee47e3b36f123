/* cpu_company_test.c - the same ids alone, beside 31 others, in any pieces, on any number of threads and instruction
 * set, with the prefix cached or not: for each family, and for each tensor type there is.
 *
 * Greedy answers of 32 prompts through the real scheduler. First each prompt alone, plain C, one thread, nothing
 * shared; then all at once, twice, so that the second time their prefixes are known. That a step of all this
 * allocates nothing is counted on the way.
 */
#include "cpu_rig.h"

#include <sys/mman.h>

#include "base/rng.h"
#include "gguf_make.h"
#include "model/model.h"
#include "os/cpu.h"

enum { PROMPTS = 32, ANSWER = 5, PROMPT_MAX = 75 };

static struct prompt {
    int32_t tok[PROMPT_MAX];
    int     n;
} prompt[PROMPTS];

/* Every other prompt begins as one before it does. */
static void make_prompts(int n_vocab)
{
    struct rng r;

    rng_seed(&r, 3);
    for (int i = 0; i < PROMPTS; i++) {
        struct prompt *p = &prompt[i];
        p->n = 1 + (int)rng_below(&r, PROMPT_MAX);
        for (int k = 0; k < PROMPT_MAX; k++)
            p->tok[k] = i % 2 && k < 64 ? prompt[i / 4].tok[k] : (int32_t)rng_below(&r, (uint64_t)n_vocab);
    }
}

static int32_t best_of(const float *row, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (row[i] > row[best]) best = i;
    return best;
}

struct answers {
    int32_t tok[PROMPTS][ANSWER];
    int     n[PROMPTS];
};

/* One step for all; false when nobody runs. */
static bool step(const struct rig *m, struct sched *s, struct answers *got)
{
    struct sched_plan plan;
    struct err e = { 0 };
    sched_seq  seq[PROMPTS];
    int32_t    tok[PROMPTS];
    int        n = 0, row = 0;
    uint64_t   before = mem_count();

    sched_plan(s, &plan);
    if (!plan.batch.n_run) return false;
    assert_ok(engine_cpu.forward(m->en, &plan.batch, &e));
    for (int i = 0; i < plan.batch.n_run; i++) {
        row += plan.batch.run[i].n_logits;
        if (!plan.run[i].sample) continue;
        int id = (int)plan.run[i].id - 1;
        seq[n] = plan.run[i].seq;
        tok[n] = best_of(engine_cpu.logits(m->en, row - 1), m->info.n_vocab);
        got->tok[id][got->n[id]++] = tok[n++];
    }
    sched_done(s, true);
    assert_true(mem_count() == before); // of a prefill step and of a decode step alike
    for (int i = 0; i < n; i++)
        if (sched_token(s, seq[i], tok[i]) == SCHED_FULL) sched_finish(s, seq[i]);
    return true;
}

static void ask(struct sched *s, int i)
{
    struct err e = { 0 };
    struct sched_req req = { .id = (uint64_t)i + 1, .tok = prompt[i].tok, .n_tok = prompt[i].n, .n_max = ANSWER,
                             .n_choice = 1 };
    assert_ok(sched_add(s, &req, &e));
}

static void same(const char *what, const char *level, const struct answers *got, const struct answers *want)
{
    for (int i = 0; i < PROMPTS; i++)
        for (int k = 0; k < ANSWER; k++)
            if (got->n[i] != ANSWER || got->tok[i][k] != want->tok[i][k])
                fail_msg("%s, %s: prompt %d of %d tokens, answer token %d: %d, alone %d", what, level, i, prompt[i].n, k,
                         got->tok[i][k], want->tok[i][k]);
}

static void company_of(const char *what, int fd, enum engine_kv kv)
{
    static const char *const levels[] = { "ref", "avx2", "avx512" };
    static const int batch[] = { 32, 47, 600 };
    struct engine_conf conf = { .n_thread = 1, .n_ctx = 96, .n_seq = 1, .n_batch = 25, .kv_type = kv };
    struct answers     want = { 0 };
    unsigned           flags;
    struct rig    m = rig_open_fd(fd, "ref", &conf);
    struct sched *s = rig_sched(&m, (struct sched_conf){ .n_seq = 1, .n_batch = 25, .n_prefill = 25 });

    make_prompts(m.info.n_vocab);
    for (int i = 0; i < PROMPTS; i++) {
        ask(s, i);
        while (step(&m, s, &want)) continue;
    }
    sched_free(s);
    rig_close(&m);
    for (size_t l = 0; l < ARRAY_LEN(levels); l++) {
        if (cpu_features(levels[l], &flags, NULL)) continue;
        conf.n_thread = (int)l + 1;
        conf.n_seq = PROMPTS;
        conf.n_batch = batch[l];
        m = rig_open_fd(fd, levels[l], &conf);
        s = rig_sched(&m, (struct sched_conf){ .n_seq = PROMPTS, .n_batch = batch[l], .n_prefill = l ? batch[l] : 5,
                                               .prefix = true });
        for (int round = 0; round < (l ? 2 : 1); round++) { // plain C is slow
            struct answers got = { 0 };
            struct sched_stats st;
            for (int i = 0; i < PROMPTS; i++) ask(s, i);
            while (step(&m, s, &got)) continue;
            same(what, levels[l], &got, &want);
            sched_stats(s, &st);
            assert_true(st.n_tok_cached > 0 && st.n_page_used == 0 && st.n_win_used == 0);
        }
        sched_free(s);
        rig_close(&m);
    }
}

/* --- families --- */

static void families(void **state)
{
    static const char *const names[] = {
        "llama-blocks", "llama-f32", "llama-yarn", "llama-experts", "qwen2-rare", "qwen3-half", "qwen3moe-blocks",
        "gemma2-blocks", "gemma3-f32", "gemma3-window", "phi3-long", "granite-blocks", "smollm3-half", "gpt2-f32",
        "starcoder2-blocks", "gpt-oss-half", "gpt-oss-mxfp4", "qwen3-kvq8", "gemma2-kvq8",
    };
    char rel[64];
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(rel, sizeof rel, "model/%s.gguf", names[i]);
        int fd = open(unit_data(rel), O_RDONLY | O_CLOEXEC);
        company_of(names[i], fd, strstr(names[i], "kvq8") ? ENGINE_KV_Q8_0 : ENGINE_KV_F16);
        close(fd);
    }
}

/* --- tensor types --- */

enum { EMBD = 256, HEAD = 32, HEADS = 1, HEADS_KV = 1, FF = 16, VOCAB = 40 };

/* Random blocks whose values are numbers of a usual size. */
static void fill(struct rng *r, enum tensor_type t, unsigned char *p, size_t n_value)
{
    const struct tensor_type_row *row = tensor_type_row(t);
    float v[256];

    for (size_t at = 0; at < n_value; at += (size_t)row->block_n, p += row->block_bytes)
        for (float top = 0; !(top > 0.002f && top < 1);) {
            for (int i = 0; i < row->block_bytes; i++) p[i] = (unsigned char)rng_u64(r);
            if (t == TENSOR_F32 || t == TENSOR_F64) { // most bits make no usual number
                float f = (float)(rng_f64(r) - 0.5);
                double d = (double)f;
                memcpy(p, t == TENSOR_F32 ? (void *)&f : (void *)&d, (size_t)row->block_bytes);
            }
            assert_true(dequant_row(t, p, v, row->block_n));
            top = 0;
            for (int i = 0; i < row->block_n; i++) {
                if (!(v[i] < 1 && v[i] > -1)) top = 2;
                if (v[i] > top) top = v[i];
                if (-v[i] > top) top = -v[i];
            }
        }
}

/* A llama of one layer: matrices of EMBD columns in type t, the others in F16. */
static int model_of(enum tensor_type t)
{
    static const struct {
        const char *name;
        int         cols, rows; // rows 0: a norm
        bool        typed;
    } tensors[] = {
        { "token_embd.weight", EMBD, VOCAB, false },      { "output.weight", EMBD, VOCAB, true },
        { "output_norm.weight", EMBD, 0, false },         { "blk.0.attn_norm.weight", EMBD, 0, false },
        { "blk.0.ffn_norm.weight", EMBD, 0, false },      { "blk.0.attn_q.weight", EMBD, HEADS * HEAD, true },
        { "blk.0.attn_k.weight", EMBD, HEADS_KV * HEAD, true }, { "blk.0.attn_v.weight", EMBD, HEADS_KV * HEAD, true },
        { "blk.0.attn_output.weight", HEADS * HEAD, EMBD, false }, { "blk.0.ffn_gate.weight", EMBD, FF, true },
        { "blk.0.ffn_up.weight", EMBD, FF, true },        { "blk.0.ffn_down.weight", FF, EMBD, false },
    };
    struct gm  m;
    struct rng r;
    uint64_t   at[ARRAY_LEN(tensors)];

    rng_seed(&r, (uint64_t)t + 1);
    gm_init(&m);
    gm_kv_str(&m, "general.architecture", "llama");
    gm_kv_u32(&m, "llama.block_count", 1);
    gm_kv_u32(&m, "llama.context_length", 96);
    gm_kv_u32(&m, "llama.embedding_length", EMBD);
    gm_kv_u32(&m, "llama.feed_forward_length", FF);
    gm_kv_u32(&m, "llama.attention.head_count", HEADS);
    gm_kv_u32(&m, "llama.attention.head_count_kv", HEADS_KV);
    gm_kv_u32(&m, "llama.attention.key_length", HEAD);
    gm_kv_u32(&m, "llama.attention.value_length", HEAD);
    gm_kv_u32(&m, "llama.rope.dimension_count", HEAD);
    gm_kv_f32(&m, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gm_kv_str(&m, "tokenizer.ggml.model", "llama");
    struct buf *words = gm_kv_arr(&m, "tokenizer.ggml.tokens", GGUF_STR, VOCAB);
    for (int i = 0; i < VOCAB; i++) {
        char word[16];
        snprintf(word, sizeof word, "w%d", i);
        gm_text(words, word);
    }
    for (size_t i = 0; i < ARRAY_LEN(tensors); i++) {
        enum tensor_type type = !tensors[i].rows ? TENSOR_F32 : tensors[i].typed ? t : TENSOR_F16;
        at[i] = m.at;
        gm_tensor(&m, tensors[i].name, (uint32_t)tensor_type_row(type)->number, tensors[i].rows ? 2 : 1,
                  (uint64_t)tensors[i].cols, (uint64_t)tensors[i].rows + !tensors[i].rows, 1);
    }
    struct str file = gm_finish(&m);
    for (size_t i = 0; i < ARRAY_LEN(tensors); i++) {
        enum tensor_type type = !tensors[i].rows ? TENSOR_F32 : tensors[i].typed ? t : TENSOR_F16;
        fill(&r, type, (unsigned char *)m.file.p + file.n - m.at + at[i],
             (size_t)tensors[i].cols * (size_t)(tensors[i].rows + !tensors[i].rows));
    }
    int fd = memfd_create("model", MFD_CLOEXEC);
    assert_true(fd >= 0 && write(fd, file.p, file.n) == (ssize_t)file.n);
    gm_release(&m);
    return fd;
}

/* Every type that can be read at all; those that cannot are refused at load. */
static void tensor_types(void **state)
{
    int n = 0;
    (void)state;

    for (enum tensor_type t = 0; t < TENSOR_TYPES; t++) {
        unsigned char block[512] = { 0 };
        float v[256];
        const struct tensor_type_row *row = tensor_type_row(t);
        if (!dequant_row(t, block, v, row->block_n) || (row->block_n == 1 && row->name[0] == 'I')) continue;
        int fd = model_of(t);
        company_of(row->name, fd, ENGINE_KV_F16);
        if (t == TENSOR_Q8_0 || t == TENSOR_F16) company_of(row->name, fd, ENGINE_KV_Q8_0);
        close(fd);
        n++;
    }
    print_message("%d tensor types\n", n);
    assert_true(n >= 29);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families),
        cmocka_unit_test(tensor_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
