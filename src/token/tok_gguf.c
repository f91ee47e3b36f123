/* tok_gguf.c - a vocabulary from GGUF's tokenizer.ggml.* keys. */
#include "base/mem.h"
#include "base/utf8.h"
#include "model/gguf.h"
#include "token/tok_int.h"

#define KEY(name) "tokenizer.ggml." name

#define LOAD_BYTES_MAX GIB(1) // slices and numbers of the largest vocabulary; freed after the build

struct load {
    const struct gguf *g;
    struct arena       arena;
    struct tok_spec    spec;
    struct pre         pre;
    struct norm        norm;
    struct err        *e;
};

/* A token's id, or -1 where the key is absent or says "none" as some writers do. */
static int64_t id_of(const struct load *l, const char *key, int64_t def)
{
    int64_t id;

    if (!gguf_int(l->g, key, &id)) return def >= 0 && def < (int64_t)l->spec.n_token ? def : -1;
    return id == UINT32_MAX || id == -1 ? -1 : id < 0 ? INT64_MAX : id;
}

static bool flag_of(const struct load *l, const char *key, bool def)
{
    bool v;
    return gguf_bool(l->g, key, &v) ? v : def;
}

static int load_arrays(struct load *l)
{
    struct tok_spec *s = &l->spec;
    struct str      *token = NULL;
    float           *score = NULL;
    int32_t         *type  = NULL;
    int              rc    = gguf_strs(l->g, KEY("tokens"), &l->arena, &token, &s->n_token, l->e);

    if (rc < 0) return rc;
    s->token = token;
    if (gguf_has(l->g, KEY("scores"))) {
        if ((rc = gguf_floats(l->g, KEY("scores"), &l->arena, &score, &s->n_score, l->e)) < 0) return rc;
        s->score = score;
    }
    if (gguf_has(l->g, KEY("token_type"))) {
        if ((rc = gguf_ints(l->g, KEY("token_type"), &l->arena, &type, &s->n_type, l->e)) < 0) return rc;
        s->type = type;
    }
    return 0;
}

/* "left right": the space that parts them is not the first byte, which may be a space itself. */
static int load_merges(struct load *l)
{
    struct str *text = NULL;
    size_t      n    = 0;
    char        q[LIM_QUOTE_BYTES + 8];
    int         rc = gguf_strs(l->g, KEY("merges"), &l->arena, &text, &n, l->e);

    if (rc < 0) return rc;
    struct tok_pair *pair = arena_array(&l->arena, n, sizeof *pair);
    if (!pair && n) return err_nomem(l->e, "reading merges");
    for (size_t i = 0; i < n; i++) {
        size_t cut = str_find_byte(str_from(text[i], 1), ' ');
        if (cut == SIZE_MAX || cut + 2 >= text[i].n)
            return err_set(l->e, ERR_BAD_FILE, "%s: " KEY("merges") "[%zu]: \"%s\" is no pair",
                           gguf_name(l->g), i, str_quote(q, LIM_QUOTE_BYTES, text[i]));
        pair[i] = (struct tok_pair){ str_sub(text[i], 0, cut + 1), str_from(text[i], cut + 2) };
    }
    l->spec.merge   = pair;
    l->spec.n_merge = n;
    return 0;
}

static int load_bpe(struct load *l)
{
    struct tok_spec      *s = &l->spec;
    const struct pre_row *row = pre_find(s->pre_name);
    char                  q[LIM_QUOTE_BYTES + 8];
    int                   rc;

    if (!row)
        return err_set(l->e, ERR_UNSUPP_MODEL, "%s: " KEY("pre") " is \"%s\", a pre-tokenizer we do not know",
                       gguf_name(l->g), str_quote(q, LIM_QUOTE_BYTES, s->pre_name));
    s->model         = TOK_BPE;
    s->byte_level    = !row->spaces;
    s->spaces        = row->spaces;
    s->byte_fallback = row->spaces;
    s->ignore_merges = row->ignore_merges;
    s->bos           = id_of(l, KEY("bos_token_id"), -1);
    s->eos           = id_of(l, KEY("eos_token_id"), -1);
    s->unk           = id_of(l, KEY("unknown_token_id"), -1);
    /* Files of gemma 4 say false, against the model's own configuration. */
    s->add_bos = str_eq(s->pre_name, STR("gemma4")) || flag_of(l, KEY("add_bos_token"), row->add_bos);
    s->add_eos = flag_of(l, KEY("add_eos_token"), row->add_sep);
    if (flag_of(l, KEY("add_space_prefix"), false)) {
        s->prefix      = SPACE_FIRST;
        s->prefix_bare = true;
    }
    if (row->nfc && (rc = norm_add(&l->norm, (struct norm_step){ .kind = NORM_NFC }, l->e)) < 0) return rc;
    if ((rc = load_merges(l)) < 0) return rc;
    return pre_init(&l->pre, row->stage, row->n_stage, l->e);
}

static void load_spm(struct load *l)
{
    struct tok_spec *s = &l->spec;

    s->model         = TOK_SPM;
    s->spaces        = true;
    s->byte_fallback = true;
    s->fuse_unk      = true;
    s->bos           = id_of(l, KEY("bos_token_id"), 1);
    s->eos           = id_of(l, KEY("eos_token_id"), 2);
    s->unk           = id_of(l, KEY("unknown_token_id"), 0);
    s->add_bos       = flag_of(l, KEY("add_bos_token"), s->bos >= 0);
    s->add_eos       = flag_of(l, KEY("add_eos_token"), false);
    s->prefix        = flag_of(l, KEY("add_space_prefix"), true) ? SPACE_ALWAYS : SPACE_NONE;
    s->strip_first   = s->prefix != SPACE_NONE;
}

static int load_wpm(struct load *l)
{
    static const enum norm_kind clean[] = { NORM_BERT_CLEAN, NORM_BERT_CJK };
    struct tok_spec            *s     = &l->spec;
    bool                        lower = flag_of(l, KEY("normalizer.lowercase"), true);
    bool                        strip = flag_of(l, KEY("normalizer.strip_accents"), lower);
    int                         rc    = 0;

    s->model       = TOK_WPM;
    s->spaces      = true;
    s->cls         = id_of(l, KEY("cls_token_id"), id_of(l, KEY("bos_token_id"), 101));
    s->bos         = s->cls;
    s->sep         = id_of(l, KEY("seperator_token_id"), 102);
    s->eos         = s->sep;
    s->unk         = id_of(l, KEY("unknown_token_id"), 100);
    s->add_bos     = true;
    s->add_sep     = true;
    s->strip_first = true;
    s->word_max    = 100; // max_input_chars_per_word
    for (size_t i = 0; i < ARRAY_LEN(clean) && !rc; i++)
        rc = norm_add(&l->norm, (struct norm_step){ .kind = clean[i] }, l->e);
    if (!rc && strip) rc = norm_add(&l->norm, (struct norm_step){ .kind = NORM_NFD }, l->e);
    if (!rc && strip) rc = norm_add(&l->norm, (struct norm_step){ .kind = NORM_ACCENTS }, l->e);
    if (!rc && lower) rc = norm_add(&l->norm, (struct norm_step){ .kind = NORM_LOWER }, l->e);
    return rc;
}

static int load_ugm(struct load *l)
{
    struct tok_spec *s   = &l->spec;
    int32_t         *map = NULL;
    size_t           n   = 0;
    int              rc;

    s->model        = TOK_UGM;
    s->spaces       = true;
    s->bos          = id_of(l, KEY("bos_token_id"), -1);
    s->eos          = id_of(l, KEY("eos_token_id"), 1);
    s->unk          = id_of(l, KEY("unknown_token_id"), 2);
    s->add_bos      = flag_of(l, KEY("add_bos_token"), false);
    s->add_eos      = flag_of(l, KEY("add_eos_token"), s->eos >= 0);
    s->prefix       = flag_of(l, KEY("add_space_prefix"), true) ? SPACE_ALWAYS : SPACE_NONE;
    s->merge_spaces = flag_of(l, KEY("remove_extra_whitespaces"), false);
    s->strip_first  = s->prefix != SPACE_NONE;
    if (!gguf_has(l->g, KEY("precompiled_charsmap"))) return 0;
    if ((rc = gguf_ints(l->g, KEY("precompiled_charsmap"), &l->arena, &map, &n, l->e)) < 0) return rc;
    char *bytes = arena_alloc(&l->arena, n + 1);
    if (!bytes) return err_nomem(l->e, "reading a charsmap");
    for (size_t i = 0; i < n; i++) bytes[i] = (char)map[i];
    s->charsmap = (struct str){ bytes, n };
    return n ? norm_add(&l->norm, (struct norm_step){ .kind = NORM_CHARSMAP }, l->e) : 0;
}

/* The keys, and those that older files have. */
static void load_fim(struct load *l)
{
    int64_t *fim = l->spec.fim;

    fim[TOK_FIM_PREFIX] = id_of(l, KEY("fim_pre_token_id"), id_of(l, KEY("prefix_token_id"), -1));
    fim[TOK_FIM_SUFFIX] = id_of(l, KEY("fim_suf_token_id"), id_of(l, KEY("suffix_token_id"), -1));
    fim[TOK_FIM_MIDDLE] = id_of(l, KEY("fim_mid_token_id"), id_of(l, KEY("middle_token_id"), -1));
    fim[TOK_FIM_REPO]   = id_of(l, KEY("fim_rep_token_id"), -1);
    fim[TOK_FIM_FILE]   = id_of(l, KEY("fim_sep_token_id"), -1);
}

static int load_model(struct load *l)
{
    struct tok_spec *s     = &l->spec;
    struct str       model = STR_NULL;
    char             q[LIM_QUOTE_BYTES + 8];

    if (!gguf_str(l->g, KEY("model"), &model))
        return err_set(l->e, ERR_BAD_FILE, "%s: " KEY("model") " is missing", gguf_name(l->g));
    if (!gguf_str(l->g, KEY("pre"), &s->pre_name) || !s->pre_name.n) s->pre_name = STR("default");
    s->eot = id_of(l, KEY("eot_token_id"), -1);
    s->eom = id_of(l, KEY("eom_token_id"), -1);
    load_fim(l);
    if (str_eq(model, STR("gemma4"))) s->pre_name = model;
    if (str_eq(model, STR("gpt2")) || str_eq(model, STR("gemma4"))) return load_bpe(l);
    s->pre_name = STR_NULL;
    if (str_eq(model, STR("bert"))) return load_wpm(l);
    if (str_eq(model, STR("t5"))) return load_ugm(l);
    if (str_eq(model, STR("llama"))) {
        load_spm(l);
        return 0;
    }
    if (str_eq(model, STR("rwkv"))) {
        s->model = TOK_RWKV;
        s->bos   = id_of(l, KEY("bos_token_id"), -1);
        s->eos   = id_of(l, KEY("eos_token_id"), -1);
        s->unk   = id_of(l, KEY("unknown_token_id"), -1);
        return 0;
    }
    return err_set(l->e, ERR_UNSUPP_MODEL, "%s: " KEY("model") " is \"%s\", a tokenizer we do not know",
                   gguf_name(l->g), str_quote(q, LIM_QUOTE_BYTES, model));
}

int tok_from_gguf(const struct gguf *g, struct tok **ret, struct err *e)
{
    struct load l = { .g = g, .e = e };
    int         rc;

    arena_init(&l.arena, LOAD_BYTES_MAX);
    tok_spec_init(&l.spec);
    l.spec.where = "tokenizer.ggml";
    if (!gguf_str(g, "general.name", &l.spec.name)) l.spec.name = STR_NULL;
    if (!gguf_has(g, KEY("tokens")))
        rc = err_set(e, ERR_BAD_FILE, "%s: " KEY("tokens") " is missing", gguf_name(g));
    else
        rc = load_arrays(&l);
    if (!rc) rc = load_model(&l);
    if (!rc && (rc = tok_build(&l.spec, &l.pre, &l.norm, ret, e)) < 0) err_wrap(e, "%s", gguf_name(g));
    pre_release(&l.pre);
    norm_release(&l.norm);
    arena_release(&l.arena);
    return rc;
}

/* The 256 bytes by their names in the byte alphabet, then the end of text. */
int tok_from_bytes(struct tok **ret, struct err *e)
{
    struct tok_spec spec;
    struct pre      pre  = { .n_stage = 0 };
    struct norm     norm = { .n = 0 };
    struct str      token[257];
    char            name[256][UTF8_MAX];
    int32_t         type[257];

    for (int b = 0; b < 256; b++) {
        token[b] = (struct str){ name[b], (size_t)utf8_encode(byte_level_char(b), name[b]) };
        type[b]  = TOK_T_NORMAL;
    }
    token[256] = STR("<|endoftext|>");
    type[256]  = TOK_T_CONTROL;
    tok_spec_init(&spec);
    spec.model      = TOK_BYTES;
    spec.where      = "bytes";
    spec.token      = token;
    spec.n_token    = 257;
    spec.type       = type;
    spec.n_type     = 257;
    spec.byte_level = true;
    spec.eos        = 256;
    return tok_build(&spec, &pre, &norm, ret, e);
}
