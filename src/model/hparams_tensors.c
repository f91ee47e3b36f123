/* hparams_tensors.c - hyperparameters against tensors.
 *
 * One row per usual tensor name with its dimensions in words. A tensor may be absent (its engine
 * will ask for what it needs), but one that is there has these dimensions, or the file does not
 * agree with itself: the metadata was changed, or is that of another model.
 */
#include <inttypes.h>

#include "base/limits.h"
#include "model/gguf_int.h"
#include "model/hparams_int.h"

enum dim {
    NO,
    EMBD,
    VOCAB,
    CTX,
    FF,    // feed-forward width of the layer; unchecked when the file does not say it
    FF_UP, // the same, or twice that where gate and up are one matrix
    FF_EXP,
    FF_SHEXP,
    EXPERT,
    Q,
    K,
    V,   // rows of the projections: heads times width
    QKV, // the three as one matrix
    O,   // what goes into the output projection: query heads times width of a value
    HALF_ROT,
};

struct row {
    const char *name;
    enum dim    dim[3];
};

static const struct row model_rows[] = {
    { "token_embd.weight", { EMBD, VOCAB } },
    { "position_embd.weight", { EMBD, CTX } },
    { "output_norm.weight", { EMBD } },
    { "output_norm.bias", { EMBD } },
    { "output.weight", { EMBD, VOCAB } },
    { "output.bias", { VOCAB } },
    { "rope_freqs.weight", { HALF_ROT } },
    { "rope_factors_long.weight", { HALF_ROT } },
    { "rope_factors_short.weight", { HALF_ROT } },
};

static const struct row layer_rows[] = {
    // blk.N.
    { "attn_norm.weight", { EMBD } },
    { "attn_norm.bias", { EMBD } },
    { "attn_q.weight", { EMBD, Q } },
    { "attn_k.weight", { EMBD, K } },
    { "attn_v.weight", { EMBD, V } },
    { "attn_qkv.weight", { EMBD, QKV } },
    { "attn_q.bias", { Q } },
    { "attn_k.bias", { K } },
    { "attn_v.bias", { V } },
    { "attn_qkv.bias", { QKV } },
    { "attn_output.weight", { O, EMBD } },
    { "attn_output.bias", { EMBD } },
    { "post_attention_norm.weight", { EMBD } },
    { "post_ffw_norm.weight", { EMBD } },
    { "ffn_norm.weight", { EMBD } },
    { "ffn_norm.bias", { EMBD } },
    { "ffn_gate.weight", { EMBD, FF } },
    { "ffn_up.weight", { EMBD, FF_UP } },
    { "ffn_down.weight", { FF, EMBD } },
    { "ffn_gate.bias", { FF } },
    { "ffn_up.bias", { FF_UP } },
    { "ffn_down.bias", { EMBD } },
    { "ffn_gate_inp.weight", { EMBD, EXPERT } },
    { "ffn_gate_exps.weight", { EMBD, FF_EXP, EXPERT } },
    { "ffn_up_exps.weight", { EMBD, FF_EXP, EXPERT } },
    { "ffn_down_exps.weight", { FF_EXP, EMBD, EXPERT } },
    { "ffn_gate_shexp.weight", { EMBD, FF_SHEXP } },
    { "ffn_up_shexp.weight", { EMBD, FF_SHEXP } },
    { "ffn_down_shexp.weight", { FF_SHEXP, EMBD } },
};

/* The number behind a word; `found` is the tensor's own, for where the file leaves a choice. */
static int64_t dim_of(const struct hparams *hp, const struct hparams_layer *l, enum dim d,
                      int64_t found)
{
    int64_t q = (int64_t)l->n_head * hp->head_dim;
    int64_t k = (int64_t)l->n_head_kv * hp->head_dim;
    int64_t v = (int64_t)l->n_head_kv * hp->head_dim_v;

    switch (d) {
    case NO: return 1;
    case EMBD: return hp->n_embd;
    case VOCAB: return hp->n_vocab;
    case CTX: return hp->n_ctx_train;
    case FF: return l->n_ff ? l->n_ff : found;
    case FF_UP: return !l->n_ff || found == 2 * (int64_t)l->n_ff ? found : l->n_ff;
    case FF_EXP: return hp->n_ff_expert ? hp->n_ff_expert : l->n_ff ? l->n_ff : found;
    case FF_SHEXP: return hp->n_ff_expert_shared ? hp->n_ff_expert_shared : found;
    case EXPERT: return hp->n_expert;
    case Q: return q;
    case K: return k;
    case V: return v;
    case QKV: return q + k + v;
    case O: return (int64_t)l->n_head * hp->head_dim_v;
    case HALF_ROT: return hp->n_rot / 2;
    }
    return 1;
}

static int check_row(const struct gguf *g, const struct hparams *hp, const struct hparams_layer *l,
                     const struct row *row, const struct tensor *t, struct err *e)
{
    int64_t              dim[ARRAY_LEN(row->dim)];
    char                 name[LIM_QUOTE_BYTES + 1]; // names are at most 64 bytes
    const struct tensor *same;
    int                  n = 0;

    for (; n < (int)ARRAY_LEN(dim) && row->dim[n] != NO; n++)
        dim[n] = dim_of(hp, l, row->dim[n], t->dim[n]);
    return gguf_need_tensor(g, str_copy_z(name, sizeof name, t->name), dim, n, &same, e);
}

static const struct row *find_row(const struct row *rows, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(name, str_c(rows[i].name))) return &rows[i];
    return NULL;
}

/* Split "blk.N.rest". */
static bool layer_name(struct str name, uint64_t *layer, struct str *rest)
{
    struct str number;

    if (!str_starts(name, STR("blk."))) return false;
    *rest = str_from(name, 4);
    return str_cut(rest, '.', &number) && rest->p && str_to_u64(number, layer);
}

static int check_tensor(const struct gguf *g, const struct hparams *hp, size_t i, bool *seen,
                        struct err *e)
{
    const struct tensor *t = gguf_tensor_at(g, i);
    const struct row    *row;
    uint64_t             layer;
    struct str           rest;
    char                 q[LIM_QUOTE_BYTES];

    if (!layer_name(t->name, &layer, &rest)) {
        row = find_row(model_rows, ARRAY_LEN(model_rows), t->name);
        return row ? check_row(g, hp, &hp->layer[0], row, t, e) : 0;
    }
    if (layer >= (uint64_t)hp->n_layer)
        return gguf_bad(g, e,
                        "tensor \"%s\" at offset %" PRIu64
                        ": the model has %d layers (key \"%s.block_count\")",
                        str_quote(q, sizeof q, t->name), g->tensor_at[i], hp->n_layer, hp->arch);
    seen[layer] = true;
    row         = find_row(layer_rows, ARRAY_LEN(layer_rows), rest);
    return row ? check_row(g, hp, &hp->layer[layer], row, t, e) : 0;
}

int hparams_check_tensors(const struct gguf *g, const struct hparams *hp, struct arena *tmp,
                          struct err *e)
{
    const int64_t        embd[] = { hp->n_embd, hp->n_vocab };
    const struct tensor *t;
    bool                *seen = arena_array(tmp, (size_t)hp->n_layer, sizeof *seen);

    if (!seen) return err_nomem(e, "checking hyperparameters");
    int rc = gguf_need_tensor(g, "token_embd.weight", embd, ARRAY_LEN(embd), &t, e);
    for (size_t i = 0; i < gguf_n_tensor(g) && !rc; i++) rc = check_tensor(g, hp, i, seen, e);
    for (int i = 0; i < hp->n_layer && !rc; i++)
        if (!seen[i])
            rc = gguf_bad(g, e,
                          "no tensor \"blk.%d...\" although there should be %d layers (key "
                          "\"%s.block_count\")",
                          i, hp->n_layer, hp->arch);
    return rc;
}
