/* hparams.c - hyperparameters from metadata: tables of keys with ranges, then what must agree. */
#include "model/hparams.h"

#include <stddef.h>
#include <stdio.h>

#include "model/gguf_int.h"
#include "model/hparams_int.h"

#define KEY_BYTES    160
#define FF_MAX       (1 << 24)
#define HEAD_DIM_MAX 4096
#define EXPERTS_MAX  4096

/* One key: "<arch>.<suffix>". */
struct key {
    char s[KEY_BYTES];
};

static struct key key_of(const struct hparams *hp, const char *suffix)
{
    struct key k;

    snprintf(k.s, sizeof k.s, "%.64s.%.80s", hp->arch, suffix);
    return k;
}

/* --- numbers that stand alone --- */

static const struct {
    const char *suffix;
    size_t      offset; // in struct hparams, an int
    int         min, max;
    int         def; // -1: needed
} int_rows[] = {
#define AT(field) offsetof(struct hparams, field)
    { "context_length", AT(n_ctx_train), 1, LIM_CTX, -1 },
    { "embedding_length", AT(n_embd), 1, LIM_EMBD, -1 },
    { "block_count", AT(n_layer), 1, LIM_LAYERS, -1 },
    { "rope.scaling.original_context_length", AT(rope_ctx_orig), 1, LIM_CTX, 0 },
    { "attention.sliding_window", AT(n_swa), 0, LIM_CTX, 0 },
    { "expert_count", AT(n_expert), 0, EXPERTS_MAX, 0 },
    { "expert_used_count", AT(n_expert_used), 0, EXPERTS_MAX, 0 },
    { "expert_shared_count", AT(n_expert_shared), 0, EXPERTS_MAX, 0 },
    { "expert_feed_forward_length", AT(n_ff_expert), 1, FF_MAX, 0 },
    { "expert_shared_feed_forward_length", AT(n_ff_expert_shared), 1, FF_MAX, 0 },
};

/* Below RATIO_MIN nothing sensible is left of a number that divides or scales. */
#define RATIO_MIN 1e-6
#define RATIO_MAX 1e6

static const struct {
    const char *suffix;
    size_t      offset; // in struct hparams, a double
    double      min, max, def;
} f64_rows[] = {
    { "rope.freq_base", AT(rope_base), 1, 1e15, 10000 },
    { "rope.freq_base_swa", AT(rope_base_swa), 1, 1e15, 0 },
    { "rope.scaling.factor", AT(rope_factor), RATIO_MIN, RATIO_MAX, 1 },
    { "rope.scaling.attn_factor", AT(rope_attn_factor), RATIO_MIN, RATIO_MAX, 1 },
    { "attention.scale", AT(attn_scale), 0, RATIO_MAX, 0 },
    { "attn_logit_softcapping", AT(attn_softcap), 0, RATIO_MAX, 0 },
    { "final_logit_softcapping", AT(final_softcap), 0, RATIO_MAX, 0 },
    { "logit_scale", AT(logit_scale), 0, RATIO_MAX, 0 },
    { "embedding_scale", AT(embd_scale), 0, RATIO_MAX, 0 },
    { "residual_scale", AT(residual_scale), 0, RATIO_MAX, 0 },
#undef AT
};

static int read_numbers(const struct gguf *g, struct hparams *hp, struct err *e)
{
    int64_t i64;
    double  f64;
    int     rc;

    for (size_t i = 0; i < ARRAY_LEN(int_rows); i++) {
        const char *suffix = int_rows[i].suffix;
        if (int_rows[i].def < 0)
            rc = gguf_need_int(g, key_of(hp, suffix).s, int_rows[i].min, int_rows[i].max, &i64, e);
        else
            rc = gguf_opt_int(g, key_of(hp, suffix).s, int_rows[i].min, int_rows[i].max,
                              int_rows[i].def, &i64, e);
        if (rc) return rc;
        *(int *)((char *)hp + int_rows[i].offset) = (int)i64;
    }
    for (size_t i = 0; i < ARRAY_LEN(f64_rows); i++) {
        rc = gguf_opt_f64(g, key_of(hp, f64_rows[i].suffix).s, f64_rows[i].min, f64_rows[i].max,
                          f64_rows[i].def, &f64, e);
        if (rc) return rc;
        *(double *)((char *)hp + f64_rows[i].offset) = f64;
    }
    if (hp->rope_base_swa == 0) hp->rope_base_swa = hp->rope_base;
    if (!hp->rope_ctx_orig) hp->rope_ctx_orig = hp->n_ctx_train;
    return 0;
}

/* --- names --- */

int hparams_need_name(const struct gguf *g, const char *key, const char *what,
                      const char *const *known, const char **ret, struct err *e)
{
    struct str s;
    char       list[256], q[LIM_QUOTE_BYTES];
    size_t     at = 0;

    if (!gguf_str(g, key, &s))
        return gguf_bad_key(g, e, key,
                            gguf_has(g, key) ? "not a string" : "is missing: a string is needed");
    list[0] = 0;
    for (; *known; known++) {
        if (str_eq(s, str_c(*known))) {
            *ret = *known;
            return 0;
        }
        if (at < sizeof list)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", *known);
    }
    gguf_bad_key(g, e, key, "the %s \"%s\" is not known (known: %s)", what,
                 str_quote(q, sizeof q, s), list);
    if (e) e->code = ERR_UNSUPP_MODEL;
    return -ERR_UNSUPP_MODEL;
}

static int read_scaling(const struct gguf *g, struct hparams *hp, struct err *e)
{
    static const char *const names[] = { "none", "linear", "yarn", "longrope", NULL };
    struct key               key     = key_of(hp, "rope.scaling.type");
    const char              *name;

    if (!gguf_has(g, key.s)) {
        /* Older files have a factor alone, and for linear scaling it was called otherwise. */
        int rc = gguf_opt_f64(g, key_of(hp, "rope.scale_linear").s, RATIO_MIN, RATIO_MAX,
                              hp->rope_factor, &hp->rope_factor, e);
        if (rc) return rc;
        hp->rope_scaling = hp->rope_factor == 1 ? ROPE_NONE : ROPE_LINEAR;
        return 0;
    }
    int rc = hparams_need_name(g, key.s, "kind of RoPE scaling", names, &name, e);
    if (rc) return rc;
    for (int i = 0; names[i]; i++)
        if (name == names[i]) hp->rope_scaling = (enum rope_scaling)i;
    return 0;
}

static int read_norm(const struct gguf *g, struct hparams *hp, struct err *e)
{
    struct key rms = key_of(hp, "attention.layer_norm_rms_epsilon");
    struct key ln  = key_of(hp, "attention.layer_norm_epsilon");

    hp->norm_rms = gguf_has(g, rms.s);
    if (!hp->norm_rms && !gguf_has(g, ln.s))
        return gguf_bad_key(g, e, rms.s, "is missing, and so is \"%s\": one is needed", ln.s);
    return gguf_opt_f64(g, hp->norm_rms ? rms.s : ln.s, 0, 1, 0, &hp->norm_eps, e);
}

static int opt_bool(const struct gguf *g, const char *key, bool def, bool *ret, struct err *e)
{
    *ret = def;
    if (!gguf_has(g, key) || gguf_bool(g, key, ret)) return 0;
    return gguf_bad_key(g, e, key, "not a boolean");
}

/* --- numbers of each layer --- */

/* A number for all layers or an array with one for each, into the int at `offset` of each layer.
 * When the key is absent and not needed, layers keep what they have. */
static int read_layers(const struct gguf *g, const struct hparams *hp, const char *suffix, int max,
                       bool needed, size_t offset, struct arena *tmp, struct err *e)
{
    struct key     key = key_of(hp, suffix);
    enum gguf_type type;
    int32_t       *each = NULL;
    int64_t        all  = 0;
    size_t         n;
    int            rc;

    if (!gguf_has(g, key.s) && !needed) return 0;
    if (gguf_arr(g, key.s, &type, &n)) {
        if (n != (size_t)hp->n_layer)
            return gguf_bad_key(g, e, key.s, "an array of %zu numbers for %d layers", n,
                                hp->n_layer);
        rc = gguf_ints(g, key.s, tmp, &each, &n, e);
    } else {
        rc = gguf_need_int(g, key.s, 1, max, &all, e);
    }
    if (rc) return rc;
    for (int i = 0; i < hp->n_layer; i++) {
        if (each && (each[i] < 1 || each[i] > max))
            return gguf_bad_key(g, e, key.s, "value %d of layer %d is not in 1..%d", each[i], i,
                                max);
        *(int *)((char *)&hp->layer[i] + offset) = each ? each[i] : (int)all;
    }
    return 0;
}

static int read_window(const struct gguf *g, struct hparams *hp, struct arena *tmp, struct err *e)
{
    struct key     key = key_of(hp, "attention.sliding_window_pattern");
    enum gguf_type type;
    int32_t       *each;
    int64_t        every;
    size_t         n;

    if (!gguf_arr(g, key.s, &type, &n)) {
        int rc = gguf_opt_int(g, key.s, 0, LIM_LAYERS, 0, &every, e);
        if (rc) return rc;
        hp->swa_pattern = (int)every;
        for (int i = 0; i < hp->n_layer; i++)
            hp->layer[i].swa = hp->n_swa && every && (i + 1) % every != 0;
        return 0;
    }
    if (n != (size_t)hp->n_layer)
        return gguf_bad_key(g, e, key.s, "an array of %zu values for %d layers", n, hp->n_layer);
    int rc = gguf_ints(g, key.s, tmp, &each, &n, e);
    if (rc) return rc;
    for (int i = 0; i < hp->n_layer; i++) hp->layer[i].swa = hp->n_swa && each[i];
    return 0;
}

static int read_heads(const struct gguf *g, struct hparams *hp, struct arena *tmp, struct err *e)
{
    int rc = read_layers(g, hp, "attention.head_count", LIM_HEADS, true,
                         offsetof(struct hparams_layer, n_head), tmp, e);
    if (rc) return rc;
    for (int i = 0; i < hp->n_layer; i++) hp->layer[i].n_head_kv = hp->layer[i].n_head;
    rc = read_layers(g, hp, "attention.head_count_kv", LIM_HEADS, false,
                     offsetof(struct hparams_layer, n_head_kv), tmp, e);
    if (rc) return rc;
    rc = read_layers(g, hp, "feed_forward_length", FF_MAX, false,
                     offsetof(struct hparams_layer, n_ff), tmp, e);
    if (rc) return rc;

    for (int i = 0; i < hp->n_layer; i++) {
        const struct hparams_layer *l = &hp->layer[i];
        if (l->n_head % l->n_head_kv)
            return gguf_bad_key(g, e, key_of(hp, "attention.head_count_kv").s,
                                "%d heads of layer %d cannot share %d key/value heads evenly",
                                l->n_head, i, l->n_head_kv);
        if (l->n_head > hp->n_head) hp->n_head = l->n_head;
        if (l->n_head_kv > hp->n_head_kv) hp->n_head_kv = l->n_head_kv;
        if (l->n_ff > hp->n_ff) hp->n_ff = l->n_ff;
    }
    return 0;
}

/* Width of a head: said, or the embedding shared evenly. */
static int read_head_dim(const struct gguf *g, const struct hparams *hp, const char *suffix,
                         int *ret, struct err *e)
{
    struct key key = key_of(hp, suffix);
    int64_t    dim;

    if (!gguf_has(g, key.s)) {
        if (hp->n_embd % hp->layer[0].n_head)
            return gguf_bad_key(g, e, key_of(hp, "attention.head_count").s,
                                "%d heads do not divide the embedding length %d",
                                hp->layer[0].n_head, hp->n_embd);
        dim = hp->n_embd / hp->layer[0].n_head;
    } else {
        int rc = gguf_need_int(g, key.s, 1, HEAD_DIM_MAX, &dim, e);
        if (rc) return rc;
    }
    if (dim % 2 || dim > HEAD_DIM_MAX)
        return gguf_bad_key(g, e, gguf_has(g, key.s) ? key.s : key_of(hp, "attention.head_count").s,
                            "a head of %d elements is odd or above %d", (int)dim, HEAD_DIM_MAX);
    *ret = (int)dim;
    return 0;
}

static int read_rot(const struct gguf *g, struct hparams *hp, struct err *e)
{
    struct key key = key_of(hp, "rope.dimension_count");
    int64_t    n_rot;

    int rc = gguf_opt_int(g, key.s, 2, hp->head_dim, hp->head_dim, &n_rot, e);
    if (rc) return rc;
    if (n_rot % 2)
        return gguf_bad_key(g, e, key.s, "value %d is odd: dimensions rotate in pairs", (int)n_rot);
    hp->n_rot = (int)n_rot;
    return 0;
}

static int read_pooling(const struct gguf *g, struct hparams *hp, struct err *e)
{
    int64_t n;

    int rc = gguf_opt_int(g, key_of(hp, "pooling_type").s, POOLING_NONE, POOLING_RANK, POOLING_NONE, &n, e);
    if (rc) return rc;
    hp->pooling = (enum pooling_type)n;
    rc = gguf_opt_int(g, "tokenizer.ggml.token_type_count", 1, LIM_TOKEN_TYPES, 0, &n, e);
    hp->n_token_type = (int)n;
    return rc;
}

static int check_experts(const struct gguf *g, const struct hparams *hp, struct err *e)
{
    struct key used = key_of(hp, "expert_used_count");

    if (hp->n_expert_used > hp->n_expert || (hp->n_expert && !hp->n_expert_used))
        return gguf_bad_key(g, e, used.s, "%d of %d experts cannot be used", hp->n_expert_used,
                            hp->n_expert);
    return 0;
}

/* A model may be cut into several files, each with a part of the tensors. */
static int check_whole(const struct gguf *g, struct err *e)
{
    int64_t n;

    int rc = gguf_opt_int(g, "split.count", 0, UINT16_MAX, 1, &n, e);
    if (rc || n <= 1) return rc;
    gguf_bad_key(g, e, "split.count",
                 "this is one of %d parts of a model: join them into one file first", (int)n);
    if (e) e->code = ERR_UNSUPP_MODEL;
    return -ERR_UNSUPP_MODEL;
}

static int read_vocab_size(const struct gguf *g, struct hparams *hp, struct err *e)
{
    static const char key[] = "tokenizer.ggml.tokens";
    enum gguf_type    type;
    size_t            n;

    if (!gguf_arr(g, key, &type, &n))
        return gguf_bad_key(g, e, key, "is missing: an array of strings is needed");
    if (type != GGUF_STR || n < 1 || n > LIM_VOCAB)
        return gguf_bad_key(g, e, key, "an array of %zu elements, 1..%u strings are needed", n,
                            LIM_VOCAB);
    hp->n_vocab = (int)n;
    return 0;
}

int hparams_read(const struct gguf *g, const char *const *archs, struct arena *a,
                 struct hparams *ret, struct err *e)
{
    struct hparams hp = { 0 };
    int            rc;

    if ((rc = check_whole(g, e))) return rc;
    if ((rc = hparams_need_name(g, "general.architecture", "architecture", archs, &hp.arch, e)))
        return rc;
    if ((rc = read_numbers(g, &hp, e))) return rc;
    hp.layer = arena_array(a, (size_t)hp.n_layer, sizeof *hp.layer);
    if (!hp.layer) return err_nomem(e, "reading hyperparameters");
    if ((rc = read_heads(g, &hp, a, e))) return rc;
    if ((rc = read_head_dim(g, &hp, "attention.key_length", &hp.head_dim, e))) return rc;
    if ((rc = read_head_dim(g, &hp, "attention.value_length", &hp.head_dim_v, e))) return rc;
    if ((rc = read_rot(g, &hp, e))) return rc;
    if ((rc = read_scaling(g, &hp, e))) return rc;
    if ((rc = read_norm(g, &hp, e))) return rc;
    if ((rc = read_window(g, &hp, a, e))) return rc;
    if ((rc = opt_bool(g, key_of(&hp, "attention.causal").s, true, &hp.causal, e))) return rc;
    if ((rc = read_pooling(g, &hp, e))) return rc;
    if ((rc = check_experts(g, &hp, e))) return rc;
    if ((rc = read_vocab_size(g, &hp, e))) return rc;
    if ((rc = hparams_check_tensors(g, &hp, a, e))) return rc;
    hp.tied = !gguf_tensor(g, "output.weight");
    *ret    = hp;
    return 0;
}
