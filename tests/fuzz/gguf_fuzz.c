/* gguf_fuzz.c - any bytes as a model file: open, every value, every tensor, hyperparameters. */
#include "fuzz.h"

#include "base/buf.h"
#include "base/limits.h"
#include "model/hparams.h"
#include "model/model.h"

static void use_keys(const struct gguf *g)
{
    struct arena   a;
    struct buf     text;
    enum gguf_type type;
    size_t         n;

    arena_init(&a, MIB(64));
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        buf_init(&text, KIB(64));
        gguf_kv_text(g, i, &text);
        FUZZ_CHECK(!text.failed && text.n); // short whatever the value
        buf_release(&text);

        const char *key = arena_str(&a, gguf_kv_key(g, i)).p;
        struct str *strs;
        int32_t    *ints;
        float      *floats;
        int64_t     v;
        double      d;
        bool        b;
        struct str  s;
        if (!key) break;
        FUZZ_CHECK(gguf_has(g, key));
        if (gguf_int(g, key, &v)) FUZZ_CHECK(gguf_f64(g, key, &d));
        if (gguf_bool(g, key, &b)) FUZZ_CHECK(b == true || b == false);
        if (gguf_str(g, key, &s) && s.n) FUZZ_CHECK(s.p[0] + s.p[s.n - 1] <= 254);
        if (!gguf_arr(g, key, &type, &n)) continue;
        if (!gguf_ints(g, key, &a, &ints, &n, NULL)) FUZZ_CHECK(type != GGUF_STR);
        if (!gguf_floats(g, key, &a, &floats, &n, NULL)) FUZZ_CHECK(type != GGUF_STR);
        if (gguf_strs(g, key, &a, &strs, &n, NULL)) continue;
        for (size_t k = 0; k < n; k += 1 + n / 50)
            FUZZ_CHECK(str_eq(strs[k], gguf_arr_str(g, key, k)));
    }
    arena_release(&a);
}

static void use_tensors(const struct gguf *g)
{
    static float row[4096];

    for (size_t i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor          *t    = gguf_tensor_at(g, i);
        const struct tensor_type_row *type = tensor_type_row(t->type);
        int64_t n = t->dim[0] < 4096 ? t->dim[0] : 4096 / type->block_n * type->block_n;
        FUZZ_CHECK(t->bytes == tensor_row_bytes(t) * (uint64_t)tensor_rows(t));
        FUZZ_CHECK(t->data[t->bytes - 1] <= 255); // is there to be read
        dequant_row(t->type, t->data, row, n);
    }
}

/* What a file says of itself agrees with itself, once it passed. */
static void use_hparams(const struct gguf *g)
{
    static const char *const archs[]  = { "llama", "gpt2", "bert", "nomic-bert", "jina-bert-v2", "x", NULL };
    static const char *const models[] = { "llama", "gpt2", "bert", NULL };
    struct arena             a;
    struct hparams           hp;
    struct err               e = { 0 };

    arena_init(&a, MIB(1));
    if (hparams_read(g, archs, &a, &hp, &e) == 0) {
        FUZZ_CHECK(hp.n_layer > 0 && hp.n_embd > 0 && hp.n_ctx_train > 0 && hp.head_dim % 2 == 0);
        FUZZ_CHECK(hp.pooling >= POOLING_NONE && hp.pooling <= POOLING_RANK && hp.n_token_type <= LIM_TOKEN_TYPES);
        FUZZ_CHECK(hp.n_rot > 0 && hp.n_rot <= hp.head_dim && hp.rope_base >= 1);
        for (int i = 0; i < hp.n_layer; i++)
            FUZZ_CHECK(hp.layer[i].n_head_kv > 0 &&
                       hp.layer[i].n_head % hp.layer[i].n_head_kv == 0);
        const struct tensor *embd = gguf_tensor(g, "token_embd.weight");
        FUZZ_CHECK(embd->dim[0] == hp.n_embd && embd->dim[1] == hp.n_vocab);
        if (hparams_check_vocab(g, &hp, models, &e)) FUZZ_CHECK(e.code && e.msg[0]);
    } else {
        FUZZ_CHECK(e.code && e.msg[0]);
    }
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf *g = NULL;
    struct err   e = { 0 };

    if (gguf_open_mem((struct str){ (const char *)data, size }, "fuzz.gguf", &g, &e)) {
        FUZZ_CHECK(e.code && e.msg[0] && !g);
        return 0;
    }
    use_keys(g);
    use_tensors(g);
    use_hparams(g);
    FUZZ_CHECK((gguf_n_tensor(g) == 0) == (model_n_param(g) == 0) && model_quant_name(g)[0]);
    gguf_close(g);
    return 0;
}
