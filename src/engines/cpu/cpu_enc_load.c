/* cpu_enc_load.c - what an encoder's file has beside its layers: kinds of segments, norm of the embeddings, slopes
 * of ALiBi, a ranking head. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "engines/cpu/cpu_int.h"

#define ALIBI_DEFAULT 8.0 // of the paper, and of the models whose files do not say

/* What is not part of a layer. A tensor with another name would be left out: the file is of another model. */
static int check_names(const struct engine *en, struct err *e)
{
    static const char *const names[] = {
        "token_embd.weight", "token_embd_norm.weight", "token_embd_norm.bias", "token_types.weight",
        "position_embd.weight", "cls.weight", "cls.bias", "cls.output.weight", "cls.output.bias",
    };
    char q[LIM_QUOTE_BYTES];

    for (size_t i = 0; i < gguf_n_tensor(en->gguf); i++) {
        struct str name  = gguf_tensor_at(en->gguf, i)->name;
        bool       known = str_starts(name, STR("blk."));
        for (size_t k = 0; k < ARRAY_LEN(names); k++) known = known || str_eq(name, str_c(names[k]));
        if (!known)
            return err_set(e, ERR_UNSUPP_MODEL, "%s: tensor \"%s\" is not one that a %s model has", gguf_name(en->gguf),
                           str_quote(q, sizeof q, name), en->arch->name);
    }
    return 0;
}

/* Vectors of the embedding's width; their number is the tensor's second dimension. */
static int load_types(struct engine *en, struct err *e)
{
    static const char    name[] = "token_types.weight";
    const struct tensor *t      = gguf_tensor(en->gguf, name);
    int                  said   = en->file.n_token_type, n = en->hp.n_embd;

    if (!t) return 0;
    if (t->dim[1] < 1 || t->dim[1] > LIM_TOKEN_TYPES)
        return err_set(e, ERR_BAD_FILE, "%s: tensor \"%s\" has %lld rows, the range is 1..%d", gguf_name(en->gguf), name,
                       (long long)t->dim[1], LIM_TOKEN_TYPES);
    if (said && said != t->dim[1])
        return err_set(e, ERR_BAD_FILE, "%s: tensor \"%s\" has %lld rows, key \"tokenizer.ggml.token_type_count\" says %d",
                       gguf_name(en->gguf), name, (long long)t->dim[1], said);
    en->enc.n_type = (int)t->dim[1];
    return cpu_load_vector(en, name, 0, n, n, t->dim[1], &en->enc.type, e);
}

/* A geometric series over the heads. Where their number is no power of two, the others take the odd places of
 * the series for twice as many (the paper's published code). Source: Press et al., arXiv:2108.12409, sec. 3. */
static int make_slopes(struct engine *en, struct err *e)
{
    char   key[64];
    double most;
    int    n = en->hp.n_head, whole = 1;
    float *slope = arena_array(&en->arena, (size_t)n, sizeof *slope);

    if (!slope) return err_nomem(e, "loading an encoder");
    snprintf(key, sizeof key, "%s.attention.max_alibi_bias", en->arch->name);
    int rc = gguf_opt_f64(en->gguf, key, 0.125, 1024, ALIBI_DEFAULT, &most, e);
    if (rc) return rc;
    while (2 * whole <= n) whole *= 2;
    for (int h = 0; h < n; h++)
        slope[h] = (float)(h < whole ? pow(2, -most * (h + 1) / whole) : pow(2, -most * (2 * (h - whole) + 1) / (2 * whole)));
    en->enc.slope = slope;
    return 0;
}

static int need_one_score(const struct engine *en, const char *name, int64_t rows, struct err *e)
{
    if (rows == 1) return 0;
    return err_set(e, ERR_UNSUPP_MODEL, "%s: tensor \"%s\" gives %lld values: a ranking head gives 1, and heads that "
                   "classify are not supported", gguf_name(en->gguf), name, (long long)rows);
}

static int load_bias(struct engine *en, const char *name, int n, const float **ret, struct err *e)
{
    static const float none[16];

    *ret = none;
    if (n > 1) {
        float *zero = arena_array(&en->arena, (size_t)n, sizeof *zero);
        if (!zero) return err_nomem(e, "loading an encoder");
        *ret = zero;
    }
    return gguf_tensor(en->gguf, name) ? cpu_load_vector(en, name, 0, n, n, 1, ret, e) : 0;
}

/* score = out(tanh(dense(first token))), or one matrix that gives the score at once. */
static int load_head(struct engine *en, struct err *e)
{
    const struct tensor *dense = gguf_tensor(en->gguf, "cls.weight"), *out = gguf_tensor(en->gguf, "cls.output.weight");
    const float         *b;
    int                  n = en->hp.n_embd, rc;

    if (en->file.pooling != POOLING_RANK) return 0;
    if (!dense && !out)
        return err_set(e, ERR_BAD_FILE, "%s: key \"%s.pooling_type\" is %d (rank), and there is no tensor \"cls.weight\" "
                       "and no \"cls.output.weight\"", gguf_name(en->gguf), en->arch->name, POOLING_RANK);
    en->enc.rank = true;
    if (dense && out) {
        if ((rc = cpu_load_vector(en, "cls.weight", 0, n, n, n, &en->enc.dense, e))) return rc;
        if ((rc = load_bias(en, "cls.bias", n, &en->enc.dense_b, e))) return rc;
    }
    const char *last = out ? "cls.output.weight" : "cls.weight";
    if ((rc = need_one_score(en, last, (out ? out : dense)->dim[1], e))) return rc;
    if ((rc = cpu_load_vector(en, last, 0, n, n, 1, &en->enc.out, e))) return rc;
    if ((rc = load_bias(en, out ? "cls.output.bias" : "cls.bias", 1, &b, e))) return rc;
    en->enc.out_b = b[0];
    return 0;
}

int cpu_enc_load(struct engine *en, struct err *e)
{
    int n = en->hp.n_embd, rc;

    if ((rc = check_names(en, e)) || (rc = load_types(en, e))) return rc;
    if ((rc = cpu_load_vector(en, "token_embd_norm.weight", 0, n, n, 1, &en->enc.norm, e))) return rc;
    if ((rc = cpu_load_vector(en, "token_embd_norm.bias", 0, n, n, 1, &en->enc.norm_b, e))) return rc;
    if (en->traits & FAM_ALIBI && (rc = make_slopes(en, e))) return rc;
    return load_head(en, e);
}
