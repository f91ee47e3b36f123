/* hparams_vocab.c - the tokenizer's metadata against the vocabulary's size. */
#include <stdio.h>

#include "base/limits.h"
#include "model/gguf_int.h"
#include "model/hparams.h"
#include "model/hparams_int.h"

#define TOKEN_TYPE_MAX \
    6 // normal, unknown, control, user defined, unused, byte: 1..6; 0 is undefined

/* Not padding_token_id: nothing here pads, and fine-tunes with one past their vocabulary exist. */
static const char *const ids[] = {
    "bos_token_id",     "eos_token_id",       "eot_token_id",     "eom_token_id",
    "unknown_token_id", "cls_token_id",       "mask_token_id",    "fim_pre_token_id",
    "fim_suf_token_id", "fim_mid_token_id",   "fim_pad_token_id", "fim_rep_token_id",
    "fim_sep_token_id", "seperator_token_id", // as the specification spells it
};

static const char *const flags[] = {
    "add_bos_token",
    "add_eos_token",
    "add_sep_token",
    "add_space_prefix",
    "remove_extra_whitespaces",
};

static int check_ids(const struct gguf *g, const struct hparams *hp, struct err *e)
{
    char    key[64];
    int64_t id;

    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        snprintf(key, sizeof key, "tokenizer.ggml.%s", ids[i]);
        if (gguf_int(g, key, &id) && (id == UINT32_MAX || id == -1)) continue;
        int rc = gguf_opt_int(g, key, 0, hp->n_vocab - 1, 0, &id, e);
        if (rc) return rc;
    }
    return 0;
}

static int check_flags(const struct gguf *g, struct err *e)
{
    char key[64];
    bool b;

    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        snprintf(key, sizeof key, "tokenizer.ggml.%s", flags[i]);
        if (gguf_has(g, key) && !gguf_bool(g, key, &b))
            return gguf_bad_key(g, e, key, "not a boolean");
    }
    return 0;
}

static int check_length(const struct gguf *g, const struct hparams *hp, const char *key,
                        struct err *e)
{
    enum gguf_type type;
    size_t         n;

    if (!gguf_has(g, key)) return 0;
    if (!gguf_arr(g, key, &type, &n)) return gguf_bad_key(g, e, key, "not an array");
    if (n == (size_t)hp->n_vocab) return 0;
    return gguf_bad_key(g, e, key, "%zu elements for %d tokens", n, hp->n_vocab);
}

/* Scores are numbers, types are in range; a file may have neither. */
static int check_arrays(const struct gguf *g, const struct hparams *hp, struct err *e)
{
    static const char scores[] = "tokenizer.ggml.scores", types[] = "tokenizer.ggml.token_type";
    struct arena      tmp;
    int32_t          *type;
    float            *score;
    size_t            n;
    int               rc;

    if ((rc = check_length(g, hp, scores, e))) return rc;
    if ((rc = check_length(g, hp, types, e))) return rc;
    arena_init(&tmp, 2 * LIM_VOCAB * sizeof(float) + KIB(1));
    if (gguf_has(g, scores)) rc = gguf_floats(g, scores, &tmp, &score, &n, e);
    for (size_t i = 0; !rc && gguf_has(g, scores) && i < n; i++)
        if (score[i] != score[i])
            rc = gguf_bad_key(g, e, scores, "the score of token %zu is not a number", i);
    if (!rc && gguf_has(g, types)) rc = gguf_ints(g, types, &tmp, &type, &n, e);
    for (size_t i = 0; !rc && gguf_has(g, types) && i < n; i++)
        if (type[i] < 0 || type[i] > TOKEN_TYPE_MAX)
            rc = gguf_bad_key(g, e, types, "value %d of token %zu is not in 0..%d", type[i], i,
                              TOKEN_TYPE_MAX);
    arena_release(&tmp);
    return rc;
}

static int check_merges(const struct gguf *g, struct err *e)
{
    static const char key[] = "tokenizer.ggml.merges";
    enum gguf_type    type;
    size_t            n;

    if (!gguf_has(g, key)) return 0;
    if (gguf_arr(g, key, &type, &n) && type == GGUF_STR) return 0;
    return gguf_bad_key(g, e, key, "not an array of strings");
}

/* "tokenizer.chat_template" and its named kin, "tokenizer.chat_template.tool_use". */
static int check_templates(const struct gguf *g, struct err *e)
{
    struct str main_key = STR("tokenizer.chat_template"), text;
    char       key[LIM_QUOTE_BYTES];

    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        struct str k = gguf_kv_key(g, i);
        if (!str_starts(k, main_key) || (k.n > main_key.n && k.p[main_key.n] != '.')) continue;
        if (k.n >= sizeof key)
            return gguf_bad(g, e, "a template's key of %zu bytes is too long", k.n);
        str_copy_z(key, sizeof key, k);
        if (!gguf_str(g, key, &text)) return gguf_bad_key(g, e, key, "not a string");
        if (text.n > LIM_CHAT_TEMPLATE)
            return gguf_bad_key(g, e, key, "a template of %zu bytes, the limit is %zu", text.n,
                                LIM_CHAT_TEMPLATE);
    }
    return 0;
}

int hparams_check_vocab(const struct gguf *g, const struct hparams *hp, const char *const *models,
                        struct err *e)
{
    const char *model;
    int         rc;

    if ((rc = hparams_need_name(g, "tokenizer.ggml.model", "tokenizer", models, &model, e)))
        return rc;
    if ((rc = check_arrays(g, hp, e))) return rc;
    if ((rc = check_merges(g, e))) return rc;
    if ((rc = check_ids(g, hp, e))) return rc;
    if ((rc = check_flags(g, e))) return rc;
    return check_templates(g, e);
}
