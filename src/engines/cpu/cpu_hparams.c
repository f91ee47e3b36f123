/* cpu_hparams.c - which family a file is of, and what the graph needs of its hyperparameters. */
#include "engines/cpu/cpu_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define HEAD_DIM_MAX 1024
#define ARCHS_MAX    64

/* Kinds that have a reader in token/. */
static const char *const tokenizers[] = { "llama", "gpt2", "gemma4", "t5", "bert", NULL };

static int unsupported(const struct engine *en, struct err *e, const char *what)
{
    return err_set(e, ERR_UNSUPP_MODEL, "%s: %s", gguf_name(en->gguf), what);
}

static int read_file(struct engine *en, struct err *e)
{
    const char *names[ARCHS_MAX + 1] = { NULL };
    int rc;

    for (int i = 0; i < cpu_arch_count() && i < ARCHS_MAX; i++) names[i] = cpu_arch_at(i)->name;
    if ((rc = hparams_read(en->gguf, names, &en->arena, &en->file, e))) return rc;
    if ((rc = hparams_check_vocab(en->gguf, &en->file, tokenizers, e))) return rc;
    for (int i = 0; names[i]; i++)
        if (names[i] == en->file.arch) en->arch = cpu_arch_at(i);
    return 0;
}

/* A family's attention is causal, or it is an encoder's; a file may say so, but not otherwise. */
static int check_causal(const struct engine *en, struct err *e)
{
    char key[64];

    snprintf(key, sizeof key, "%s.attention.causal", en->arch->name);
    if (en->arch->traits & FAM_ENCODER)
        return !gguf_has(en->gguf, key) || !en->file.causal
                   ? 0 : unsupported(en, e, "attention.causal is true, and this architecture's attention sees all");
    return en->file.causal ? 0 : unsupported(en, e, "attention.causal is false, and this architecture's attention is causal");
}

/* What hparams.h allows and no family here has. */
static int check_shape(const struct engine *en, struct err *e)
{
    const struct hparams *f = &en->file;
    char text[160];
    int  rc;

    for (int i = 1; i < f->n_layer; i++)
        if (f->layer[i].n_head != f->layer[0].n_head || f->layer[i].n_head_kv != f->layer[0].n_head_kv ||
            f->layer[i].n_ff != f->layer[0].n_ff) {
            snprintf(text, sizeof text, "layer %d has other head counts or another feed_forward_length than layer 0", i);
            return unsupported(en, e, text);
        }
    if ((rc = check_causal(en, e))) return rc;
    if (f->head_dim_v != f->head_dim) {
        snprintf(text, sizeof text, "attention.value_length %d differs from key_length %d", f->head_dim_v, f->head_dim);
        return unsupported(en, e, text);
    }
    if (f->head_dim > HEAD_DIM_MAX) {
        snprintf(text, sizeof text, "heads of %d values, the limit is %d", f->head_dim, HEAD_DIM_MAX);
        return unsupported(en, e, text);
    }
    if (f->norm_rms == !!(en->arch->traits & FAM_LAYER_NORM)) {
        snprintf(text, sizeof text, "key \"%s.attention.layer_norm%s_epsilon\" is missing", en->arch->name,
                 f->norm_rms ? "" : "_rms");
        return err_set(e, ERR_BAD_FILE, "%s: %s", gguf_name(en->gguf), text);
    }
    return 0;
}

/* Converters have written encoders either way. */
static void see_fused(struct engine *en)
{
    const struct tensor *up = gguf_tensor(en->gguf, "blk.0.ffn_up.weight");

    if (gguf_tensor(en->gguf, "blk.0.attn_qkv.weight")) en->traits |= FAM_FUSED_QKV;
    if (!(en->traits & FAM_NO_GATE) && up && up->dim[1] == 2 * (int64_t)en->file.n_ff) en->traits |= FAM_FUSED_GATE;
}

static int check_experts(struct engine *en, struct err *e)
{
    const struct hparams *f = &en->file;
    unsigned has = en->arch->traits;

    en->traits = has;
    if (f->n_expert && !(has & (FAM_EXPERTS | FAM_MAY_EXPERTS)))
        return unsupported(en, e, "it has experts (expert_count), and this architecture should have none");
    if (!f->n_expert && (has & FAM_EXPERTS))
        return err_set(e, ERR_BAD_FILE, "%s: key \"%s.expert_count\" is missing or 0", gguf_name(en->gguf),
                       en->arch->name);
    if (f->n_expert_shared) return unsupported(en, e, "it has shared experts (expert_shared_count)");
    if (f->n_expert) en->traits |= FAM_EXPERTS;
    if (has & FAM_ENCODER) see_fused(en);
    return 0;
}

static float attn_scale(const struct engine *en)
{
    const struct hparams *f = &en->file;

    if (f->attn_scale > 0) return (float)f->attn_scale;
    bool narrow = f->n_layer == en->arch->narrow_scale_layers;
    return 1 / sqrtf(narrow ? (float)f->n_embd / (float)f->n_head : (float)f->head_dim);
}

static float or_else(double said, float otherwise)
{
    return said > 0 ? (float)said : otherwise;
}

/* A file that does not say: the last token's for a decoder, which alone has seen the whole text; the mean for an
 * encoder, as most were trained. */
static enum engine_pooling pooling(const struct engine *en)
{
    bool encoder = en->traits & FAM_ENCODER;

    switch (en->file.pooling) {
    case POOLING_NONE: break;
    case POOLING_MEAN: return ENGINE_POOL_MEAN;
    case POOLING_RANK: return encoder ? ENGINE_POOL_FIRST : ENGINE_POOL_LAST;
    case POOLING_CLS: return ENGINE_POOL_FIRST;
    case POOLING_LAST: return ENGINE_POOL_LAST;
    }
    return encoder ? ENGINE_POOL_MEAN : ENGINE_POOL_LAST;
}

static int check_ff(const struct engine *en, struct err *e)
{
    if (en->hp.n_ff) return 0;
    return err_set(e, ERR_BAD_FILE, "%s: key \"%s.%sfeed_forward_length\" is missing", gguf_name(en->gguf),
                   en->arch->name, en->traits & FAM_EXPERTS ? "expert_" : "");
}

int cpu_read_hparams(struct engine *en, struct err *e)
{
    const struct hparams *f = &en->file;
    int rc;

    if ((rc = read_file(en, e))) return rc;
    if ((rc = check_shape(en, e))) return rc;
    if ((rc = check_experts(en, e))) return rc;
    const struct cpu_arch *a = en->arch;
    en->hp = (struct cpu_hparams){
        .n_layer = f->n_layer,
        .n_embd = f->n_embd,
        .n_head = f->n_head,
        .n_head_kv = f->n_head_kv,
        .head_dim = f->head_dim,
        .n_rot = f->n_rot,
        .n_ff = en->traits & FAM_EXPERTS && f->n_ff_expert ? f->n_ff_expert : f->n_ff,
        .n_vocab = f->n_vocab,
        .n_ctx = f->n_ctx_train,
        .q_dim = f->n_head * f->head_dim,
        .kv_dim = f->n_head_kv * f->head_dim,
        .n_expert = f->n_expert,
        .n_expert_used = f->n_expert_used,
        .n_swa = f->n_swa,
        .eps = (float)f->norm_eps,
        .attn_scale = attn_scale(en),
        .attn_softcap = or_else(f->attn_softcap, a->attn_softcap),
        .embd_scale = a->traits & FAM_EMBD_SQRT ? sqrtf((float)f->n_embd) : or_else(f->embd_scale, 1),
        .residual_scale = or_else(f->residual_scale, 1),
        .logit_scale = or_else(f->logit_scale, 1),
        .pooling = pooling(en),
        .final_softcap = or_else(f->final_softcap, a->final_softcap),
    };
    return check_ff(en, e);
}
