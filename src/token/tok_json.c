/* tok_json.c - a vocabulary from Hugging Face's tokenizer.json (and tokenizer_config.json).
 *
 * The file is a pipeline: normalizer, pre_tokenizer, model, post_processor, decoder, each a tagged
 * object or a Sequence of them. A part we do not know is an error that names it: a tokenizer that is
 * nearly right gives a model that is nearly mute. Two simplifications are exact for the files known:
 * the byte alphabet is applied to the vocabulary, not to the text; and added tokens are looked for in
 * the text as it came, `normalized` or not.
 */
#include "base/mem.h"
#include "json/json.h"
#include "token/tok_int.h"

#define LOAD_BYTES_MAX GIB(1)

/* The largest known has 256,000 tokens and 580,604 merges of three values each. */
static const struct json_limits limits = { .depth = 64, .values = 1 << 24, .keys = LIM_VOCAB };

struct load {
    const struct json *root;
    struct arena       arena;
    struct tok_spec    spec;
    struct pre         pre;
    struct norm        norm;
    struct str        *token; // [n]
    int32_t           *type;
    float             *score;
    size_t             n;
    bool               split_words; // WhitespaceSplit before Metaspace
    struct err        *e;
};

static int unknown(struct load *l, const char *part, struct str type)
{
    char q[LIM_QUOTE_BYTES + 8];
    return err_set(l->e, ERR_UNSUPP_MODEL, "tokenizer.json: %s \"%s\" is not supported", part,
                   str_quote(q, LIM_QUOTE_BYTES, type));
}

static int bad(struct load *l, const char *where, const char *what)
{
    return err_set(l->e, ERR_BAD_FILE, "tokenizer.json: %s: %s", where, what);
}

static bool is(const struct json *v, const char *type)
{
    return str_eq(json_str(json_get(v, "type")), str_c(type));
}

static bool absent(const struct json *v)
{
    return json_kind(v) == JSON_T_NULL || (json_kind(v) == JSON_T_STR && !json_str(v).n);
}

/* A boolean member, or what it is when absent. */
static bool flag(const struct json *v, const char *key, bool def)
{
    const struct json *m = json_get(v, key);
    return json_kind(m) == JSON_T_BOOL ? json_bool(m) : def;
}

/* --- vocabulary --- */

static int set_token(struct load *l, const char *where, int64_t id, struct str name, int32_t type)
{
    char q[LIM_QUOTE_BYTES + 8];

    if (id < 0 || (size_t)id >= l->n)
        return err_set(l->e, ERR_BAD_FILE, "tokenizer.json: %s: id %lld of \"%s\" is out of range", where,
                       (long long)id, str_quote(q, LIM_QUOTE_BYTES, name));
    if (l->token[id].n && !str_eq(l->token[id], name))
        return err_set(l->e, ERR_BAD_FILE, "tokenizer.json: %s: id %lld of \"%s\" is taken", where,
                       (long long)id, str_quote(q, LIM_QUOTE_BYTES, name));
    l->token[id] = name;
    l->type[id]  = type;
    return 0;
}

static int64_t max_id(const struct json *vocab, const struct json *added)
{
    int64_t max = (int64_t)(json_kind(vocab) == JSON_T_ARR ? json_len(vocab) : 0) - 1;

    if (json_kind(vocab) == JSON_T_OBJ)
        for (struct json_it it = json_it(vocab); json_next(&it);)
            if (json_int(it.val) > max) max = json_int(it.val);
    for (size_t i = 0; i < json_len(added); i++) {
        int64_t id = json_int(json_get(json_at(added, i), "id"));
        if (id > max) max = id;
    }
    return max;
}

static int load_added(struct load *l, const struct json *list)
{
    size_t            n     = json_len(list);
    struct tok_added *added = arena_array(&l->arena, n + 1, sizeof *added);

    if (!added) return err_nomem(l->e, "reading a tokenizer");
    for (size_t i = 0; i < n; i++) {
        const struct json *v = json_at(list, i);
        int64_t            id;
        if (!json_whole(json_get(v, "id"), &id) || !json_str(json_get(v, "content")).n)
            return bad(l, "added_tokens", "an entry without id or content");
        added[i] = (struct tok_added){ .content = json_str(json_get(v, "content")), .id = (int32_t)id,
                                       .special = flag(v, "special", false),
                                       .lstrip = flag(v, "lstrip", false), .rstrip = flag(v, "rstrip", false),
                                       .single_word = flag(v, "single_word", false) };
        int rc = set_token(l, "added_tokens", id, added[i].content,
                           added[i].special ? TOK_T_CONTROL : TOK_T_USER);
        if (rc < 0) return rc;
    }
    l->spec.added   = added;
    l->spec.n_added = n;
    return 0;
}

/* An object of ids by token, or a list of [token, score]. */
static int load_vocab(struct load *l, const struct json *vocab, const struct json *added)
{
    int64_t n  = max_id(vocab, added) + 1;
    int     rc = 0;

    if (n <= 0) return bad(l, "model.vocab", "no token");
    if (n > LIM_VOCAB)
        return err_set(l->e, ERR_BAD_FILE, "tokenizer.json: model.vocab: %lld tokens, the limit is %u",
                       (long long)n, LIM_VOCAB);
    l->n     = (size_t)n;
    l->token = arena_array(&l->arena, l->n, sizeof *l->token);
    l->type  = arena_array(&l->arena, l->n, sizeof *l->type);
    l->score = arena_array(&l->arena, l->n, sizeof *l->score);
    if (!l->token || !l->type || !l->score) return err_nomem(l->e, "reading a tokenizer");
    if (json_kind(vocab) == JSON_T_OBJ) {
        for (struct json_it it = json_it(vocab); !rc && json_next(&it);) {
            if (json_kind(it.val) != JSON_T_INT) return bad(l, "model.vocab", "an id that is no integer");
            rc = set_token(l, "model.vocab", json_int(it.val), it.key, TOK_T_NORMAL);
        }
    } else {
        for (size_t i = 0; !rc && i < json_len(vocab); i++) {
            const struct json *pair = json_at(vocab, i);
            l->score[i]             = (float)json_num(json_at(pair, 1));
            rc = set_token(l, "model.vocab", (int64_t)i, json_str(json_at(pair, 0)), TOK_T_NORMAL);
        }
        l->spec.score   = l->score;
        l->spec.n_score = l->n;
    }
    if (!rc) rc = load_added(l, added);
    l->spec.token   = l->token;
    l->spec.n_token = l->n;
    l->spec.type    = l->type;
    l->spec.n_type  = l->n;
    return rc;
}

/* The id of a token by its name. Few are looked up. */
static int64_t find(const struct load *l, struct str name)
{
    for (size_t i = 0; name.n && i < l->n; i++)
        if (str_eq(l->token[i], name)) return (int64_t)i;
    return -1;
}

static void mark_bytes(struct load *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->type[i] == TOK_T_NORMAL && l->token[i].n == 6 && str_starts(l->token[i], STR("<0x")) &&
            l->token[i].p[5] == '>')
            l->type[i] = TOK_T_BYTE;
}

static int load_merges(struct load *l, const struct json *list)
{
    size_t           n    = json_len(list);
    struct tok_pair *pair = arena_array(&l->arena, n + 1, sizeof *pair);

    if (!pair) return err_nomem(l->e, "reading a tokenizer");
    for (size_t i = 0; i < n; i++) {
        const struct json *v = json_at(list, i);
        if (json_kind(v) == JSON_T_ARR) {
            pair[i] = (struct tok_pair){ json_str(json_at(v, 0)), json_str(json_at(v, 1)) };
        } else {
            struct str s   = json_str(v);
            size_t     cut = s.n ? str_find_byte(str_from(s, 1), ' ') : SIZE_MAX;
            if (cut != SIZE_MAX) pair[i] = (struct tok_pair){ str_sub(s, 0, cut + 1), str_from(s, cut + 2) };
        }
        if (!pair[i].left.n || !pair[i].right.n)
            return err_set(l->e, ERR_BAD_FILE, "tokenizer.json: model.merges[%zu] is no pair", i);
    }
    l->spec.merge   = pair;
    l->spec.n_merge = n;
    return 0;
}

static int load_bpe(struct load *l, const struct json *m)
{
    struct tok_spec *s = &l->spec;

    if (!absent(json_get(m, "continuing_subword_prefix")))
        return unknown(l, "model.continuing_subword_prefix", json_str(json_get(m, "continuing_subword_prefix")));
    if (!absent(json_get(m, "end_of_word_suffix")))
        return unknown(l, "model.end_of_word_suffix", json_str(json_get(m, "end_of_word_suffix")));
    if (json_num(json_get(m, "dropout")) > 0) return unknown(l, "model.dropout", STR("not zero"));
    s->model         = TOK_BPE;
    s->byte_fallback = flag(m, "byte_fallback", false);
    s->fuse_unk      = flag(m, "fuse_unk", false);
    s->ignore_merges = flag(m, "ignore_merges", false);
    s->unk           = find(l, json_str(json_get(m, "unk_token")));
    if (s->byte_fallback) mark_bytes(l);
    return load_merges(l, json_get(m, "merges"));
}

static int load_wordpiece(struct load *l, const struct json *m)
{
    struct tok_spec *s    = &l->spec;
    int64_t          most = 100;

    (void)json_whole(json_get(m, "max_input_chars_per_word"), &most);
    s->model       = TOK_WPM;
    s->word_max    = most > 0 ? (size_t)most : 100;
    s->word_prefix = json_str(json_get(m, "continuing_subword_prefix"));
    if (!s->word_prefix.n) s->word_prefix = STR("##");
    s->strip_first = true;
    s->unk         = find(l, json_str(json_get(m, "unk_token")));
    return 0;
}

static int load_unigram(struct load *l, const struct json *m)
{
    struct tok_spec *s = &l->spec;

    s->model         = TOK_UGM;
    s->byte_fallback = flag(m, "byte_fallback", false);
    if (s->byte_fallback) mark_bytes(l);
    if (!json_whole(json_get(m, "unk_id"), &s->unk)) s->unk = -1;
    return 0;
}

static int load_model(struct load *l)
{
    const struct json *m    = json_get(l->root, "model");
    struct str         type = json_str(json_get(m, "type"));
    int                rc   = load_vocab(l, json_get(m, "vocab"), json_get(l->root, "added_tokens"));

    if (rc < 0) return rc;
    if (!type.n && json_get(m, "merges")) type = STR("BPE"); // before the types were written
    if (str_eq(type, STR("BPE"))) return load_bpe(l, m);
    if (str_eq(type, STR("WordPiece"))) return load_wordpiece(l, m);
    if (str_eq(type, STR("Unigram"))) return load_unigram(l, m);
    return unknown(l, "model", type);
}

/* --- normalizer --- */

static int add_norm(struct load *l, enum norm_kind kind, int bits)
{
    return norm_add(&l->norm, (struct norm_step){ .kind = kind, .flag = bits }, l->e);
}

static int base64(struct load *l, struct str s, struct str *ret)
{
    char    *p = arena_alloc(&l->arena, s.n + 1);
    size_t   n = 0;
    uint32_t v = 0;
    int      bits = 0;

    if (!p) return err_nomem(l->e, "reading a tokenizer");
    for (size_t i = 0; i < s.n && s.p[i] != '='; i++) {
        char c = s.p[i];
        int  d = c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26
               : c >= '0' && c <= '9' ? c - '0' + 52 : c == '+' ? 62 : c == '/' ? 63 : -1;
        if (d < 0) return bad(l, "normalizer.precompiled_charsmap", "not base64");
        v = (v << 6 | (uint32_t)d) & 0xFFFFFF;
        bits += 6;
        if (bits >= 8) p[n++] = (char)(v >> (bits -= 8));
    }
    *ret = (struct str){ p, n };
    return 0;
}

static int add_replace(struct load *l, const struct json *v)
{
    const struct json *pat  = json_get(v, "pattern");
    struct norm_step   step = { .kind = NORM_REPLACE, .a = json_str(json_get(pat, "String")),
                                .b = json_str(json_get(v, "content")) };
    struct str         re = json_str(json_get(pat, "Regex"));
    int                rc;

    if (re.n) {
        step.kind = NORM_REGEX;
        if ((rc = tok_re_new(re, &step.re, l->e)) < 0) return rc;
    } else if (!step.a.n) {
        return bad(l, "normalizer Replace", "no pattern");
    }
    if ((rc = norm_add(&l->norm, step, l->e)) < 0) tok_re_free(step.re);
    return rc;
}

static int add_bert(struct load *l, const struct json *v)
{
    bool lower = flag(v, "lowercase", true);
    int  rc    = 0;

    if (flag(v, "clean_text", true)) rc = add_norm(l, NORM_BERT_CLEAN, 0);
    if (!rc && flag(v, "handle_chinese_chars", true)) rc = add_norm(l, NORM_BERT_CJK, 0);
    if (!rc && flag(v, "strip_accents", lower)) {
        rc = add_norm(l, NORM_NFD, 0);
        if (!rc) rc = add_norm(l, NORM_ACCENTS, 0);
    }
    if (!rc && lower) rc = add_norm(l, NORM_LOWER, 0);
    return rc;
}

static int load_norm(struct load *l, const struct json *v, int depth)
{
    static const struct { const char *type; enum norm_kind kind; int flag; } simple[] = {
        { "NFC", NORM_NFC, 0 },   { "NFD", NORM_NFD, 0 },         { "NFKC", NORM_NFKC, 0 },
        { "NFKD", NORM_NFKD, 0 }, { "Lowercase", NORM_LOWER, 0 }, { "StripAccents", NORM_ACCENTS, 1 },
    };

    if (json_kind(v) == JSON_T_NULL) return 0;
    if (depth > 8) return bad(l, "normalizer", "nested too deeply");
    for (size_t i = 0; i < ARRAY_LEN(simple); i++)
        if (is(v, simple[i].type)) return add_norm(l, simple[i].kind, simple[i].flag);
    if (is(v, "Sequence")) {
        const struct json *list = json_get(v, "normalizers");
        int                rc   = 0;
        for (size_t i = 0; i < json_len(list) && !rc; i++) rc = load_norm(l, json_at(list, i), depth + 1);
        return rc;
    }
    if (is(v, "Replace")) return add_replace(l, v);
    if (is(v, "BertNormalizer")) return add_bert(l, v);
    if (is(v, "Strip"))
        return add_norm(l, NORM_STRIP, (flag(v, "strip_left", true) ? 1 : 0) | (flag(v, "strip_right", true) ? 2 : 0));
    if (is(v, "Prepend"))
        return norm_add(&l->norm, (struct norm_step){ .kind = NORM_PREPEND, .b = json_str(json_get(v, "prepend")) },
                        l->e);
    if (is(v, "Precompiled")) {
        struct str map = json_str(json_get(v, "precompiled_charsmap"));
        if (!map.n) return 0;
        int rc = base64(l, map, &l->spec.charsmap);
        return rc < 0 ? rc : add_norm(l, NORM_CHARSMAP, 0);
    }
    return unknown(l, "normalizer", json_str(json_get(v, "type")));
}

/* --- pre_tokenizer --- */

static int action_of(struct load *l, const struct json *v, enum pre_action *ret)
{
    static const char *const names[] = { [PRE_ISOLATE] = "Isolated", [PRE_REMOVE] = "Removed",
                                         [PRE_CONTIG] = "Contiguous", [PRE_PREVIOUS] = "MergedWithPrevious",
                                         [PRE_NEXT] = "MergedWithNext" };
    struct str s = json_str(json_get(v, "behavior"));

    *ret = PRE_ISOLATE;
    if (!s.n) return 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(s, str_c(names[i]))) {
            *ret = (enum pre_action)i;
            return 0;
        }
    return unknown(l, "pre_tokenizer behavior", s);
}

static const struct scan_range ascii_signs[] = { { '!', '/' }, { ':', '@' }, { '[', '`' }, { '{', '~' } };
static const struct scan_stage any_space = { .kind = SCAN_RUN, .re = "\\s+", .set = UNI_SPACE };
static const struct scan_stage any_punct = { .kind = SCAN_RUN, .re = "[\\p{P}!-/:-@\\[-`{-~]",
                                             .set = UNI_PUNCT, .range = ascii_signs,
                                             .n_range = ARRAY_LEN(ascii_signs), .max = 1 };

static int load_metaspace(struct load *l, const struct json *v)
{
    struct tok_spec *s      = &l->spec;
    struct str       scheme = json_str(json_get(v, "prepend_scheme"));
    struct str       mark   = json_str(json_get(v, "replacement"));

    if (mark.n && !str_eq(mark, STR("\xE2\x96\x81"))) return unknown(l, "Metaspace replacement", mark);
    s->spaces = true;
    if (str_eq(scheme, STR("first"))) s->prefix = SPACE_FIRST;
    else if (str_eq(scheme, STR("never"))) s->prefix = SPACE_NONE;
    else if (scheme.n && !str_eq(scheme, STR("always"))) return unknown(l, "Metaspace prepend_scheme", scheme);
    else s->prefix = scheme.n || flag(v, "add_prefix_space", true) ? SPACE_ALWAYS : SPACE_NONE;
    s->prefix_bare = true;
    s->strip_first = s->prefix != SPACE_NONE;
    if (l->split_words) s->merge_spaces = true; // each word gets its own mark
    if (!flag(v, "split", true)) return 0;
    return pre_add_literal(&l->pre, STR("\xE2\x96\x81"), PRE_NEXT, false, l->e);
}

static int load_split(struct load *l, const struct json *v)
{
    const struct json *pat    = json_get(v, "pattern");
    bool               invert = flag(v, "invert", false);
    enum pre_action    action;
    struct str         re = json_str(json_get(pat, "Regex"));
    int                rc = action_of(l, v, &action);

    if (rc < 0) return rc;
    if (re.n) return pre_add_regex(&l->pre, re, action, invert, l->e);
    return pre_add_literal(&l->pre, json_str(json_get(pat, "String")), action, invert, l->e);
}

static int load_pre(struct load *l, const struct json *v, int depth)
{
    enum pre_action action;
    int             rc = 0;

    if (json_kind(v) == JSON_T_NULL) return 0;
    if (depth > 8) return bad(l, "pre_tokenizer", "nested too deeply");
    if (is(v, "Sequence")) {
        const struct json *list = json_get(v, "pretokenizers");
        for (size_t i = 0; i < json_len(list) && !rc; i++) rc = load_pre(l, json_at(list, i), depth + 1);
        return rc;
    }
    if (is(v, "ByteLevel")) {
        l->spec.byte_level = true;
        if (flag(v, "add_prefix_space", true)) {
            l->spec.prefix      = SPACE_ALWAYS;
            l->spec.prefix_bare = true;
        }
        return flag(v, "use_regex", true) ? pre_add_scan(&l->pre, &pre_gpt2, PRE_ISOLATE, false, l->e) : 0;
    }
    if (is(v, "Split")) return load_split(l, v);
    if (is(v, "Metaspace")) return load_metaspace(l, v);
    if (is(v, "Digits")) {
        struct scan_stage digits = { .kind = SCAN_RUN, .re = "\\p{N}+", .set = UNI_NUM,
                                     .max = flag(v, "individual_digits", false) };
        return pre_add_scan(&l->pre, &digits, PRE_ISOLATE, false, l->e);
    }
    if (is(v, "Punctuation"))
        return (rc = action_of(l, v, &action)) < 0 ? rc : pre_add_scan(&l->pre, &any_punct, action, false, l->e);
    if (is(v, "WhitespaceSplit")) {
        l->split_words = true;
        return pre_add_scan(&l->pre, &any_space, PRE_REMOVE, false, l->e);
    }
    if (is(v, "Whitespace"))
        return pre_add_regex(&l->pre, STR("\\w+|[^\\w\\s]+"), PRE_REMOVE, true, l->e);
    if (is(v, "BertPreTokenizer")) {
        rc = pre_add_scan(&l->pre, &any_space, PRE_REMOVE, false, l->e);
        return rc < 0 ? rc : pre_add_scan(&l->pre, &any_punct, PRE_ISOLATE, false, l->e);
    }
    if (is(v, "CharDelimiterSplit"))
        return pre_add_literal(&l->pre, json_str(json_get(v, "delimiter")), PRE_REMOVE, false, l->e);
    return unknown(l, "pre_tokenizer", json_str(json_get(v, "type")));
}

/* --- post_processor and decoder --- */

static int put_end(struct load *l, bool head, int64_t id, struct str name)
{
    struct tok_spec *s   = &l->spec;
    int             *n   = head ? &s->n_head : &s->n_tail;
    int32_t         *ids = head ? s->head : s->tail;

    if (id < 0 || id >= (int64_t)l->n) return unknown(l, "post_processor token", name);
    if (*n == TOK_ENDS) return bad(l, "post_processor", "too many tokens around a text");
    ids[(*n)++] = (int32_t)id;
    return 0;
}

static int load_template(struct load *l, const struct json *v)
{
    const struct json *list = json_get(v, "single"), *specials = json_get(v, "special_tokens");
    bool               head = true;

    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *item = json_at(list, i), *tok = json_get(item, "SpecialToken");
        if (json_get(item, "Sequence")) {
            head = false;
            continue;
        }
        struct str         name = json_str(json_get(tok, "id"));
        const struct json *ids  = json_get(json_get_str(specials, name), "ids");
        if (!json_len(ids)) return unknown(l, "post_processor token", name);
        for (size_t k = 0; k < json_len(ids); k++) {
            int rc = put_end(l, head, json_int(json_at(ids, k)), name);
            if (rc < 0) return rc;
        }
    }
    return 0;
}

static int load_post(struct load *l, const struct json *v, int depth)
{
    int rc = 0;

    if (json_kind(v) == JSON_T_NULL || is(v, "ByteLevel")) return 0;
    if (depth > 8) return bad(l, "post_processor", "nested too deeply");
    if (is(v, "Sequence")) {
        const struct json *list = json_get(v, "processors");
        for (size_t i = 0; i < json_len(list) && !rc; i++) rc = load_post(l, json_at(list, i), depth + 1);
        return rc;
    }
    if (is(v, "TemplateProcessing")) return load_template(l, v);
    if (is(v, "BertProcessing") || is(v, "RobertaProcessing")) {
        const struct json *cls = json_get(v, "cls"), *sep = json_get(v, "sep");
        rc = put_end(l, true, json_int(json_at(cls, 1)), json_str(json_at(cls, 0)));
        return rc < 0 ? rc : put_end(l, false, json_int(json_at(sep, 1)), json_str(json_at(sep, 0)));
    }
    return unknown(l, "post_processor", json_str(json_get(v, "type")));
}

static int load_decoder(struct load *l, const struct json *v, int depth)
{
    struct tok_spec *s  = &l->spec;
    int              rc = 0;

    if (json_kind(v) == JSON_T_NULL || is(v, "ByteFallback") || is(v, "Fuse") || is(v, "WordPiece")) return 0;
    if (depth > 8) return bad(l, "decoder", "nested too deeply");
    if (is(v, "Sequence")) {
        const struct json *list = json_get(v, "decoders");
        for (size_t i = 0; i < json_len(list) && !rc; i++) rc = load_decoder(l, json_at(list, i), depth + 1);
        return rc;
    }
    if (is(v, "ByteLevel")) {
        s->byte_level = true;
        return 0;
    }
    if (is(v, "Metaspace")) {
        s->spaces      = true;
        s->strip_first = !str_eq(json_str(json_get(v, "prepend_scheme")), STR("never")) &&
                         flag(v, "add_prefix_space", true);
        return 0;
    }
    if (is(v, "Replace")) {
        struct str a = json_str(json_get(json_get(v, "pattern"), "String")), b = json_str(json_get(v, "content"));
        if (!str_eq(a, STR("\xE2\x96\x81")) || !str_eq(b, STR(" "))) return unknown(l, "decoder Replace", a);
        s->spaces = true;
        return 0;
    }
    if (is(v, "Strip")) {
        int64_t start = json_int(json_get(v, "start"));
        if (!str_eq(json_str(json_get(v, "content")), STR(" ")) || start > 1 || json_int(json_get(v, "stop")) > 0)
            return unknown(l, "decoder", STR("Strip"));
        s->strip_first = start == 1;
        return 0;
    }
    return unknown(l, "decoder", json_str(json_get(v, "type")));
}

/* --- tokenizer_config.json --- */

/* "eos_token": "</s>" or {"content": "</s>", ...} */
static int64_t config_id(const struct load *l, const struct json *conf, const char *key)
{
    const struct json *v = json_get(conf, key);
    return find(l, json_kind(v) == JSON_T_OBJ ? json_str(json_get(v, "content")) : json_str(v));
}

/* Which tokens begin and end a text: what the configuration says, else what the template puts there. */
static void settle_ends(struct load *l, const struct json *conf)
{
    struct tok_spec *s = &l->spec;

    s->bos = config_id(l, conf, "bos_token");
    s->eos = config_id(l, conf, "eos_token");
    s->cls = config_id(l, conf, "cls_token");
    s->sep = config_id(l, conf, "sep_token");
    if (s->bos < 0 && s->n_head) s->bos = s->head[0];
    if (s->eos < 0 && s->n_tail) s->eos = s->tail[s->n_tail - 1];
    /* Files without a template leave it to the configuration. */
    if (!s->n_head && flag(conf, "add_bos_token", false) && s->bos >= 0) s->head[s->n_head++] = (int32_t)s->bos;
    if (!s->n_tail && flag(conf, "add_eos_token", false) && s->eos >= 0) s->tail[s->n_tail++] = (int32_t)s->eos;
}

static int load_all(struct load *l, const struct json *conf)
{
    int rc;

    l->spec.where = "tokenizer.json";
    if ((rc = load_norm(l, json_get(l->root, "normalizer"), 0)) < 0) return rc;
    if ((rc = load_pre(l, json_get(l->root, "pre_tokenizer"), 0)) < 0) return rc;
    if ((rc = load_decoder(l, json_get(l->root, "decoder"), 0)) < 0) return rc;
    if ((rc = load_model(l)) < 0) return rc;
    if ((rc = load_post(l, json_get(l->root, "post_processor"), 0)) < 0) return rc;
    if (l->spec.byte_level && l->spec.model != TOK_BPE)
        return bad(l, "pre_tokenizer ByteLevel", "the model is not BPE");
    l->spec.pre_name = STR("json");
    settle_ends(l, conf);
    return 0;
}

int tok_from_hf(struct str text, struct str config, struct tok **ret, struct err *e)
{
    struct load      l    = { .e = e };
    struct json_doc *doc  = NULL, *conf = NULL;
    int              rc   = json_parse(text, &limits, &doc, e);

    if (rc < 0) {
        e->code = ERR_BAD_FILE;
        return err_wrap(e, "tokenizer.json");
    }
    if (config.n && (rc = json_parse(config, NULL, &conf, e)) < 0) {
        e->code = ERR_BAD_FILE;
        rc      = err_wrap(e, "tokenizer_config.json");
        goto out;
    }
    arena_init(&l.arena, LOAD_BYTES_MAX);
    tok_spec_init(&l.spec);
    l.root = json_root(doc);
    rc     = load_all(&l, conf ? json_root(conf) : NULL);
    if (!rc) rc = tok_build(&l.spec, &l.pre, &l.norm, ret, e);
    pre_release(&l.pre);
    norm_release(&l.norm);
    arena_release(&l.arena);
out:
    json_free(doc);
    json_free(conf);
    return rc;
}

int tok_from_json(struct str text, struct tok **ret, struct err *e)
{
    return tok_from_hf(text, STR_NULL, ret, e);
}
