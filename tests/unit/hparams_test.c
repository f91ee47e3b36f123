/* hparams_test.c - hyperparameters that do not agree with each other or the tensors. */
#include "gguf_make.h"

#include "json/json.h"
#include "model/hparams.h"
#include "model/model.h"

static const char *const archs[]  = { "llama", "qwen2",    "qwen3", "gemma3",
                                      "phi3",  "qwen3moe", "gpt2",  NULL };
static const char *const models[] = { "llama", "gpt2", "bert", NULL };

#define VOCAB 6

/* Two layers: width 64, 4 heads of 16 sharing 2 key/value heads, feed-forward 96. Metadata only;
 * the tensors follow in tensors(). `skip` names a key (or what it begins with) to leave out. */
static void keys(struct gm *m, const char *skip)
{
    static const struct {
        const char *key;
        uint32_t    v;
    } ints[] = {
        { "llama.context_length", 128 },
        { "llama.embedding_length", 64 },
        { "llama.block_count", 2 },
        { "llama.feed_forward_length", 96 },
        { "llama.attention.head_count", 4 },
        { "llama.attention.head_count_kv", 2 },
        { "llama.rope.dimension_count", 16 },
        { "tokenizer.ggml.bos_token_id", 1 },
        { "tokenizer.ggml.eos_token_id", 2 },
        { "tokenizer.ggml.padding_token_id", 32000 },
        { "tokenizer.ggml.unknown_token_id", UINT32_MAX },
        { "llama.pooling_type", 3 },
        { "tokenizer.ggml.token_type_count", 2 },
    };
    struct buf *b;

    gm_init(m);
    gm_kv_str(m, "general.architecture", "llama");
    for (size_t i = 0; i < ARRAY_LEN(ints); i++)
        if (!skip || strcmp(ints[i].key, skip) != 0) gm_kv_u32(m, ints[i].key, ints[i].v);
    if (!skip || !strstr(skip, "epsilon"))
        gm_kv_f32(m, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    if (!skip || strcmp(skip, "tokenizer.ggml.model") != 0)
        gm_kv_str(m, "tokenizer.ggml.model", "llama");
    if (!skip || strcmp(skip, "tokenizer.ggml.tokens") != 0) {
        b = gm_kv_arr(m, "tokenizer.ggml.tokens", GGUF_STR, VOCAB);
        for (int i = 0; i < VOCAB; i++) gm_text(b, (const char[]){ (char)('a' + i), 0 });
    }
    if (!skip || strcmp(skip, "tokenizer.ggml.scores") != 0) {
        b = gm_kv_arr(m, "tokenizer.ggml.scores", GGUF_F32, VOCAB);
        for (int i = 0; i < VOCAB; i++) pack_f32(b, (float)-i);
    }
    if (!skip || strcmp(skip, "tokenizer.ggml.token_type") != 0) {
        b = gm_kv_arr(m, "tokenizer.ggml.token_type", GGUF_I32, VOCAB);
        for (int i = 0; i < VOCAB; i++) pack_i32(b, 1);
    }
}

static void layer(struct gm *m, int n, uint64_t ff)
{
    static const struct {
        const char *name;
        uint64_t    d0, d1;
    } rows[] = { { "attn_norm", 64, 1 }, { "attn_q", 64, 64 },      { "attn_k", 64, 32 },
                 { "attn_v", 64, 32 },   { "attn_output", 64, 64 }, { "ffn_norm", 64, 1 },
                 { "ffn_gate", 64, 0 },  { "ffn_up", 64, 0 } };
    char name[40];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", n, rows[i].name);
        gm_tensor(m, name, 0, rows[i].d1 == 1 ? 1 : 2, rows[i].d0, rows[i].d1 ? rows[i].d1 : ff, 1);
    }
    snprintf(name, sizeof name, "blk.%d.ffn_down.weight", n);
    gm_tensor(m, name, 8, 2, ff, 64, 1);
}

static void tensors(struct gm *m)
{
    gm_tensor(m, "token_embd.weight", 8, 2, 64, VOCAB, 1);
    gm_tensor(m, "output_norm.weight", 0, 1, 64, 1, 1);
    layer(m, 0, 96);
    layer(m, 1, 96);
}

static int load(struct str file, struct arena *a, struct hparams *hp, struct err *e)
{
    struct gguf *g;

    int rc = gguf_open_mem(file, "m.gguf", &g, e);
    if (rc) return rc;
    rc = hparams_read(g, archs, a, hp, e);
    if (!rc) rc = hparams_check_vocab(g, hp, models, e);
    gguf_close(g);
    return rc;
}

/* Finish and load m, and release it. */
static int load_once(struct gm *m, struct hparams *hp, struct err *e)
{
    struct arena a;

    arena_init(&a, 1 << 20);
    int rc = load(gm_finish(m), &a, hp, e);
    arena_release(&a);
    gm_release(m);
    return rc;
}

static void a_good_one(void **state)
{
    (void)state;
    struct gm      m;
    struct arena   a;
    struct err     e;
    struct hparams hp;

    keys(&m, NULL);
    tensors(&m);
    arena_init(&a, 1 << 20);
    assert_ok(load(gm_finish(&m), &a, &hp, &e));
    assert_string_equal(hp.arch, "llama");
    assert_true(hp.n_vocab == VOCAB && hp.n_ctx_train == 128 && hp.n_embd == 64 && hp.n_layer == 2);
    assert_true(hp.n_head == 4 && hp.n_head_kv == 2 && hp.n_ff == 96 && hp.head_dim == 16 &&
                hp.head_dim_v == 16);
    assert_true(hp.layer[1].n_head == 4 && hp.layer[1].n_head_kv == 2 && hp.layer[1].n_ff == 96 &&
                !hp.layer[1].swa);
    assert_true(hp.n_rot == 16 && hp.rope_base == 10000 && hp.rope_base_swa == 10000);
    assert_true(hp.rope_scaling == ROPE_NONE && hp.rope_factor == 1 && hp.rope_ctx_orig == 128);
    assert_true(hp.norm_rms && hp.norm_eps == (double)1e-5f && hp.tied && hp.causal && !hp.n_swa &&
                !hp.n_expert);

    struct gguf *g;
    char         text[16];
    assert_ok(gguf_open_mem(buf_text(&m.file), "m.gguf", &g, &e));
    assert_string_equal(model_quant_name(g), "F32");
    assert_int_equal(model_n_param(g),
                     64 * VOCAB + 64 + 2 * (2 * 64 + 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96));
    assert_string_equal(model_param_text(model_n_param(g), text, sizeof text), "62K");
    assert_string_equal(model_param_text(596049920, text, sizeof text), "0.6B");
    assert_string_equal(model_param_text(7241732096, text, sizeof text), "7.2B");
    assert_string_equal(model_param_text(134515008, text, sizeof text), "135M");
    assert_string_equal(model_param_text(70553706496, text, sizeof text), "71B");
    assert_string_equal(model_param_text(17, text, sizeof text), "17");
    gguf_close(g);
    arena_release(&a);
    gm_release(&m);
}

/* One number replaced. */
static void bad_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint32_t    v;
        const char *text;
    } rows[] = {
        { "llama.context_length", 0,
          "key \"llama.context_length\" at offset 69: value 0 is not in 1..16777216" },
        { "llama.embedding_length", 0, "value 0 is not in" },
        { "llama.embedding_length", 128, "tensor \"token_embd.weight\" at offset" },
        { "llama.embedding_length", 66, "4 heads do not divide the embedding length 66" },
        { "llama.block_count", 0, "value 0 is not in 1..1024" },
        { "llama.block_count", 3, "no tensor \"blk.2...\" although there should be 3 layers" },
        { "llama.block_count", 1, "tensor \"blk.1.attn_norm.weight\" at offset" },
        { "llama.block_count", 2000000000, "value 2000000000 is not in 1..1024" },
        { "llama.feed_forward_length", 95, "tensor \"blk.0.ffn_gate.weight\" at offset" },
        { "llama.feed_forward_length", 0, "value 0 is not in" },
        { "llama.attention.head_count", UINT32_MAX, "value 4294967295 is not in 1..4096" },
        { "llama.attention.head_count", 5, "5 heads of layer 0 cannot share 2" },
        { "llama.attention.head_count", 64, "a head of 1 elements is odd" },
        { "llama.attention.head_count", 2, "tensor \"blk.0.attn_k.weight\" at offset" },
        { "llama.attention.head_count_kv", 0, "value 0 is not in" },
        { "llama.attention.head_count_kv", 3, "cannot share 3 key/value heads evenly" },
        { "llama.attention.head_count_kv", 4, "is 64 x 32, 64 x 64 is needed" },
        { "llama.rope.dimension_count", 100000, "value 100000 is not in 2..16" },
        { "llama.rope.dimension_count", 15, "value 15 is odd" },
        { "llama.pooling_type", 5, "key \"llama.pooling_type\" at offset" },
        { "llama.pooling_type", UINT32_MAX, "value 4294967295 is not in 0..4" },
        { "tokenizer.ggml.token_type_count", 65, "value 65 is not in 1..64" },
        { "tokenizer.ggml.bos_token_id", VOCAB, "key \"tokenizer.ggml.bos_token_id\" at offset" },
        { "tokenizer.ggml.eos_token_id", 0x7fffffff, "value 2147483647 is not in 0..5" },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct gm      m;
        struct err     e;
        struct hparams hp;
        struct arena   a;
        keys(&m, NULL);
        tensors(&m);
        gm_finish(&m);
        gm_poke(&m, rows[i].key, 4, rows[i].v, 4);
        arena_init(&a, 1 << 20);
        assert_err(load(buf_text(&m.file), &a, &hp, &e), ERR_BAD_FILE, rows[i].text);
        arena_release(&a);
        gm_release(&m);
    }
}

static void missing_keys(void **state)
{
    (void)state;
    static const char *const needed[] = {
        "llama.context_length",
        "llama.embedding_length",
        "llama.block_count",
        "llama.attention.head_count",
        "llama.attention.layer_norm_rms_epsilon",
        "tokenizer.ggml.model",
        "tokenizer.ggml.tokens",
    };
    static const char *const optional[] = {
        "llama.feed_forward_length", "llama.rope.dimension_count",  "tokenizer.ggml.scores",
        "tokenizer.ggml.token_type", "tokenizer.ggml.bos_token_id", "llama.pooling_type",
    };
    struct gm      m;
    struct err     e;
    struct hparams hp;

    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        char text[100];
        keys(&m, needed[i]);
        tensors(&m);
        snprintf(text, sizeof text, "key \"%s\" is missing", needed[i]);
        assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE, text);
    }
    for (size_t i = 0; i < ARRAY_LEN(optional); i++) {
        keys(&m, optional[i]);
        tensors(&m);
        assert_ok(load_once(&m, &hp, &e));
    }
    gm_init(&m);
    assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE, "key \"general.architecture\" is missing");
    keys(&m, NULL);
    assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE,
               "tensor \"token_embd.weight\" is missing: one of 64 x 6");
}

static void unknown_names(void **state)
{
    (void)state;
    struct gm      m;
    struct err     e;
    struct hparams hp;

    gm_init(&m);
    gm_kv_str(&m, "general.architecture", "mamba\n");
    assert_err(load_once(&m, &hp, &e), ERR_UNSUPP_MODEL,
               "m.gguf: key \"general.architecture\" at offset 24: the architecture \"mamba\\n\" "
               "is not known "
               "(known: llama, qwen2, qwen3, gemma3, phi3, qwen3moe, gpt2)");
    gm_init(&m);
    gm_kv_u32(&m, "general.architecture", 1);
    assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE, "not a string");
    keys(&m, "tokenizer.ggml.model");
    tensors(&m);
    gm_kv_str(&m, "tokenizer.ggml.model", "zzzzz");
    assert_err(load_once(&m, &hp, &e), ERR_UNSUPP_MODEL,
               "the tokenizer \"zzzzz\" is not known (known: llama, gpt2, bert)");
    keys(&m, NULL);
    tensors(&m);
    pack_u8(gm_key(&m, "split.count", GGUF_U8), 3);
    assert_err(load_once(&m, &hp, &e), ERR_UNSUPP_MODEL, "this is one of 3 parts of a model");
    keys(&m, NULL);
    tensors(&m);
    gm_kv_str(&m, "llama.rope.scaling.type", "magic");
    assert_err(load_once(&m, &hp, &e), ERR_UNSUPP_MODEL,
               "the kind of RoPE scaling \"magic\" is not known");
}

/* A key added to a good file. */
static struct hparams with_f32(const char *key, float v, const char *text)
{
    struct gm      m;
    struct err     e;
    struct hparams hp = { 0 };

    keys(&m, NULL);
    tensors(&m);
    gm_kv_f32(&m, key, v);
    if (text)
        assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE, text);
    else
        assert_ok(load_once(&m, &hp, &e));
    return hp;
}

static void rope(void **state)
{
    (void)state;
    struct hparams hp;

    assert_true(with_f32("llama.rope.freq_base", 500000, NULL).rope_base == 500000);
    with_f32("llama.rope.freq_base", 0, "value 0 is not in 1..1e+15");
    with_f32("llama.rope.freq_base", __builtin_nanf(""), "is not in 1..1e+15");
    with_f32("llama.rope.freq_base", __builtin_inff(), "value inf is not in");
    with_f32("llama.rope.scaling.factor", 0, "is not in 1e-06..1e+06");
    hp = with_f32("llama.rope.scaling.factor", 4, NULL);
    assert_true(hp.rope_scaling == ROPE_LINEAR && hp.rope_factor == 4);
    hp = with_f32("llama.rope.scale_linear", 2, NULL); // of older files
    assert_true(hp.rope_scaling == ROPE_LINEAR && hp.rope_factor == 2);
    assert_true(with_f32("llama.attn_logit_softcapping", 50, NULL).attn_softcap == 50);
    with_f32("llama.attn_logit_softcapping", -1, "value -1 is not in 0..");

    struct gm  m;
    struct err e;
    keys(&m, NULL);
    tensors(&m);
    gm_kv_str(&m, "llama.rope.scaling.type", "yarn");
    gm_kv_f32(&m, "llama.rope.scaling.factor", 4);
    gm_kv_u32(&m, "llama.rope.scaling.original_context_length", 32);
    gm_tensor(&m, "rope_freqs.weight", 0, 1, 8, 1, 1);
    assert_ok(load_once(&m, &hp, &e));
    assert_true(hp.rope_scaling == ROPE_YARN && hp.rope_factor == 4 && hp.rope_ctx_orig == 32);
    keys(&m, NULL);
    tensors(&m);
    gm_tensor(&m, "rope_freqs.weight", 0, 1, 16, 1, 1);
    assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE, "tensor \"rope_freqs.weight\" at offset");
}

/* Numbers given for each layer. */
static void per_layer(void **state)
{
    (void)state;
    struct gm      m;
    struct err     e;
    struct hparams hp;
    struct arena   a;
    struct buf    *b;

    for (int bad = 0; bad < 3; bad++) {
        keys(&m, "llama.feed_forward_length");
        b = gm_kv_arr(&m, "llama.feed_forward_length", GGUF_I32, bad == 1 ? 3 : 2);
        pack_i32(b, 96);
        pack_i32(b, bad == 2 ? 0 : 32);
        if (bad == 1) pack_i32(b, 1);
        gm_kv_u32(&m, "llama.attention.sliding_window", 64);
        b = gm_kv_arr(&m, "llama.attention.sliding_window_pattern", GGUF_BOOL, 2);
        pack_u8(b, 1);
        pack_u8(b, 0);
        gm_tensor(&m, "token_embd.weight", 8, 2, 64, VOCAB, 1);
        layer(&m, 0, 96);
        layer(&m, 1, 32);
        arena_init(&a, 1 << 20);
        if (bad) {
            assert_err(load(gm_finish(&m), &a, &hp, &e), ERR_BAD_FILE,
                       bad == 1 ? "an array of 3 numbers for 2 layers"
                                : "value 0 of layer 1 is not in 1..");
        } else {
            assert_ok(load(gm_finish(&m), &a, &hp, &e));
            assert_true(hp.n_ff == 96 && hp.layer[0].n_ff == 96 && hp.layer[1].n_ff == 32);
            assert_true(hp.n_swa == 64 && hp.layer[0].swa && !hp.layer[1].swa &&
                        hp.swa_pattern == 0);
        }
        arena_release(&a);
        gm_release(&m);
    }
}

static void experts(void **state)
{
    (void)state;
    struct gm      m;
    struct err     e;
    struct hparams hp;

    for (int bad = 0; bad < 3; bad++) {
        keys(&m, NULL);
        tensors(&m);
        gm_kv_u32(&m, "llama.expert_count", 4);
        gm_kv_u32(&m, "llama.expert_used_count", bad == 1 ? 5 : 2);
        gm_kv_u32(&m, "llama.expert_feed_forward_length", 32);
        gm_tensor(&m, "blk.0.ffn_gate_inp.weight", 0, 2, 64, 4, 1);
        gm_tensor(&m, "blk.0.ffn_up_exps.weight", 0, 3, 64, 32, bad == 2 ? 3 : 4);
        if (!bad)
            assert_ok(load_once(&m, &hp, &e));
        else
            assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE,
                       bad == 1 ? "5 of 4 experts" : "is 64 x 32 x 3, 64 x 32 x 4 is needed");
    }
    assert_true(hp.n_ff == 96);
}

/* Phi-3 has gate and up, and q, k and v, in one matrix each. */
static void fused(void **state)
{
    (void)state;
    struct gm      m;
    struct err     e;
    struct hparams hp;

    for (int bad = 0; bad < 2; bad++) {
        keys(&m, NULL);
        gm_tensor(&m, "token_embd.weight", 8, 2, 64, VOCAB, 1);
        gm_tensor(&m, "output.weight", 8, 2, 64, VOCAB, 1);
        for (int i = 0; i < 2; i++) {
            char name[40];
            snprintf(name, sizeof name, "blk.%d.ffn_up.weight", i);
            gm_tensor(&m, name, 0, 2, 64, bad ? 191 : 192, 1);
            snprintf(name, sizeof name, "blk.%d.attn_qkv.weight", i);
            gm_tensor(&m, name, 0, 2, 64, 128, 1);
        }
        if (!bad) {
            assert_ok(load_once(&m, &hp, &e));
            assert_false(hp.tied);
        } else {
            assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE, "is 64 x 191, 64 x 96 is needed");
        }
    }
}

static void vocabulary(void **state)
{
    (void)state;
    struct gm      m;
    struct err     e;
    struct hparams hp;
    struct buf    *b;

    keys(&m, "tokenizer.ggml.scores");
    tensors(&m);
    b = gm_kv_arr(&m, "tokenizer.ggml.scores", GGUF_F32, VOCAB - 1);
    for (int i = 0; i < VOCAB - 1; i++) pack_f32(b, 0);
    assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE, "5 elements for 6 tokens");

    keys(&m, "tokenizer.ggml.scores");
    tensors(&m);
    b = gm_kv_arr(&m, "tokenizer.ggml.scores", GGUF_F32, VOCAB);
    for (int i = 0; i < VOCAB; i++) pack_f32(b, i == 4 ? __builtin_nanf("") : 0);
    assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE, "the score of token 4 is not a number");

    keys(&m, "tokenizer.ggml.token_type");
    tensors(&m);
    b = gm_kv_arr(&m, "tokenizer.ggml.token_type", GGUF_I32, VOCAB);
    for (int i = 0; i < VOCAB; i++) pack_i32(b, i == 3 ? 7 : 1);
    assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE, "value 7 of token 3 is not in 0..6");

    keys(&m, "tokenizer.ggml.tokens");
    tensors(&m);
    b = gm_kv_arr(&m, "tokenizer.ggml.tokens", GGUF_STR, VOCAB + 1);
    for (int i = 0; i <= VOCAB; i++) gm_text(b, "x");
    assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE, "is 64 x 6, 64 x 7 is needed");

    keys(&m, "tokenizer.ggml.tokens");
    tensors(&m);
    gm_kv_arr(&m, "tokenizer.ggml.tokens", GGUF_STR, 0);
    assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE, "an array of 0 elements");

    keys(&m, NULL);
    tensors(&m);
    gm_kv_u32(&m, "tokenizer.ggml.add_bos_token", 1);
    assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE,
               "key \"tokenizer.ggml.add_bos_token\" at offset");

    keys(&m, NULL);
    tensors(&m);
    gm_kv_u32(&m, "tokenizer.ggml.merges", 1);
    assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE, "not an array of strings");

    keys(&m, NULL);
    tensors(&m);
    gm_kv_str(&m, "tokenizer.chat_template",
              "{% for i in range(100000000) %}{% for j in range(100000000) %}x"
              "{% endfor %}{% endfor %}");
    assert_ok(load_once(&m, &hp, &e));

    for (int bad = 0; bad < 2; bad++) { // the limit is on text, named templates too
        size_t n    = (1u << 20) + (size_t)bad;
        char  *text = malloc(n + 1);
        memset(text, 'x', n);
        text[n] = 0;
        keys(&m, NULL);
        tensors(&m);
        gm_kv_str(&m, "tokenizer.chat_template.tool_use", text);
        if (!bad)
            assert_ok(load_once(&m, &hp, &e));
        else
            assert_err(load_once(&m, &hp, &e), ERR_BAD_FILE,
                       "a template of 1048577 bytes, the limit is 1048576");
        free(text);
    }
}

static void no_memory(void **state)
{
    (void)state;
    struct gm      m;
    struct arena   a;
    struct err     e;
    struct hparams hp;
    int            rc, n = 0;

    keys(&m, NULL);
    tensors(&m);
    struct str file = gm_finish(&m);
    do {
        arena_init(&a, 1 << 20);
        mem_fail_at((uint64_t)++n);
        rc = load(file, &a, &hp, &e);
        mem_fail_at(0);
        arena_release(&a);
        if (rc) assert_int_equal(rc, -ERR_NO_MEMORY);
    } while (rc);
    assert_true(n > 8);
    gm_release(&m);
}

/* --- the shared collection of broken files --- */

/* What the manifest says of one file. "Reject, or load", "reject or ignore" and the like leave it
 * open. */
static bool must_refuse(struct str rule)
{
    return str_eq(rule, STR("reject with a clean error")) ||
           str_find(rule, STR("(version 1")) != SIZE_MAX ||
           str_find(rule, STR("(0, not a power of two")) != SIZE_MAX;
}

/* Load a file of the collection; what came of it is in *e. */
static int load_shared(struct str name, struct err *e)
{
    struct arena   a;
    struct hparams hp;
    char           rel[300];
    size_t         n = 0;

    snprintf(rel, sizeof rel, "broken/gguf/" STR_FMT, STR_ARG(name));
    char *file = unit_read(unit_shared(rel), &n);
    assert_non_null(file);
    arena_init(&a, 1 << 20);
    e->msg[0] = 0;
    int rc    = load((struct str){ file, n }, &a, &hp, e);
    arena_release(&a);
    free(file);
    assert_true(rc == 0 || e->msg[0]);
    return rc;
}

/* template-endless.gguf "must load", but its data is cut short: the template was put in without
 * laying the data out anew, and the last tensor passes the end by 30 bytes. It is refused like any
 * cut file; that a template's text does not matter here is tested in vocabulary(). */
static void broken_files(void **state)
{
    (void)state;
    const char      *path = unit_shared("broken/gguf/manifest.json");
    struct json_doc *doc;
    struct err       e;
    size_t           n       = 0;
    unsigned         must[2] = { 0 }, may[2] = { 0 }; // [1]: refused

    if (!path) {
        print_message("skipped: no shared material\n");
        skip();
    }
    char *text = unit_read(path, &n);
    assert_ok(json_parse((struct str){ text, n }, &json_limits_default, &doc, &e));
    for (size_t i = 0; i < json_len(json_root(doc)); i++) {
        const struct json *it      = json_at(json_root(doc), i);
        struct str         name    = json_str(json_get(it, "file"));
        bool               must_be = must_refuse(json_str(json_get(it, "must")));
        int                rc      = load_shared(name, &e);
        print_message(STR_FMT ": %s\n", STR_ARG(name), rc ? e.msg : "loads");
        (must_be ? must : may)[rc != 0]++;
    }
    assert_ok(load_shared(STR("good-base.gguf"), &e));
    print_message("to be refused: %u, and %u are; may be either: %u, refused %u\n",
                  must[0] + must[1], must[1], may[0] + may[1], may[1]);
    assert_int_equal(must[0], 0);
    assert_true(must[1] >= 48);
    json_free(doc);
    free(text);
}

static void real_models(void **state)
{
    (void)state;
    static const struct {
        const char *file, *quant;
        int         n_layer, n_vocab;
    } rows[] = {
        { "stories260K-f32.gguf", "F32", 5, 512 },   { "stories260K-f16.gguf", "F16", 5, 512 },
        { "stories260K-q8_0.gguf", "Q8_0", 5, 512 }, { "stories260K-q4_0.gguf", "Q4_0", 5, 512 },
        { "microlm181K-f32.gguf", "F32", 2, 256 },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char           rel[100];
        struct gguf   *g;
        struct arena   a;
        struct err     e;
        struct hparams hp;
        size_t         n = 0;
        snprintf(rel, sizeof rel, "weights/%s", rows[i].file);
        char *file = unit_read(unit_shared(rel), &n);
        if (!file) {
            print_message("skipped: no shared material\n");
            skip();
        }
        arena_init(&a, 1 << 20);
        assert_ok(load((struct str){ file, n }, &a, &hp, &e));
        assert_true(hp.n_layer == rows[i].n_layer && hp.n_vocab == rows[i].n_vocab);
        assert_ok(gguf_open_mem((struct str){ file, n }, "m.gguf", &g, &e));
        assert_string_equal(model_quant_name(g), rows[i].quant);
        gguf_close(g);
        arena_release(&a);
        free(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_one),   cmocka_unit_test(bad_numbers),
        cmocka_unit_test(missing_keys), cmocka_unit_test(unknown_names),
        cmocka_unit_test(rope),         cmocka_unit_test(per_layer),
        cmocka_unit_test(experts),      cmocka_unit_test(fused),
        cmocka_unit_test(vocabulary),   cmocka_unit_test(no_memory),
        cmocka_unit_test(broken_files), cmocka_unit_test(real_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
