/* tok_vocab.c - from what a loader found to a vocabulary that can be trusted.
 *
 * The source is hostile: lengths that differ, names twice, merges of tokens that do not exist, ids out
 * of range are errors that name where they stand. Repaired, as real files need it: an empty token
 * becomes "[EMPTY_<id>]", which no text makes; a second merge of the same pair is ignored; a merge
 * whose result is a special token is ignored, so that no text can ever become one.
 */
#include <math.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "token/tok_int.h"
#include "token/tok_trie.h"

#define VOCAB_BYTES_MAX GIB(2) // arena ceiling; the largest known vocabularies take under 64 MiB

void tok_spec_init(struct tok_spec *s)
{
    *s = (struct tok_spec){ .bos = -1, .eos = -1, .eot = -1, .eom = -1, .unk = -1, .cls = -1, .sep = -1 };
    for (size_t i = 0; i < TOK_FIMS; i++) s->fim[i] = -1;
}

uint64_t tok_hash(const char *p, size_t n)
{
    uint64_t h = n * 0x9E3779B97F4A7C15u, v;

    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&v, p, 8);
        h = (h ^ v) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
    }
    v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)(unsigned char)p[i] << (8 * i);
    h = (h ^ v) * 0xD6E8FEB86659FD93u;
    h ^= h >> 32;
    h *= 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static int text_init(struct text_map *m, size_t n, struct arena *a)
{
    uint32_t cap = 16;

    while (cap < n * 2) cap *= 2;
    m->slot = arena_array(a, cap, sizeof *m->slot);
    m->mask = cap - 1;
    return m->slot ? 0 : -ERR_NO_MEMORY;
}

int32_t text_find(const struct text_map *m, const struct str *key, const char *p, size_t n)
{
    uint64_t h   = tok_hash(p, n);
    uint32_t tag = (uint32_t)(h >> 32);

    for (uint32_t i = (uint32_t)h & m->mask;; i = (i + 1) & m->mask) {
        const struct text_slot *s = &m->slot[i];
        if (!s->id1) return -1;
        if (s->tag != tag) continue;
        const struct str *k = &key[s->id1 - 1];
        if (k->n == n && !memcmp(k->p, p, n)) return (int32_t)s->id1 - 1;
    }
}

/* Put key[id]; false when an equal key is there already. */
static bool text_put(struct text_map *m, const struct str *key, int32_t id)
{
    uint64_t h   = tok_hash(key[id].p, key[id].n);
    uint32_t tag = (uint32_t)(h >> 32), i = (uint32_t)h & m->mask;

    for (; m->slot[i].id1; i = (i + 1) & m->mask)
        if (m->slot[i].tag == tag && str_eq(key[m->slot[i].id1 - 1], key[id])) return false;
    m->slot[i] = (struct text_slot){ tag, (uint32_t)id + 1 };
    return true;
}

/* --- the byte alphabet: GPT-2 spells each byte as one printable character --- */

/* Printable Latin-1 stands for itself; the 68 other bytes are U+0100, U+0101, ... in order. */
static bool byte_is_printable(int b)
{
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
}

uint32_t byte_level_char(int byte)
{
    uint32_t n = 0x100;

    if (byte_is_printable(byte)) return (uint32_t)byte;
    for (int b = 0; b < byte; b++) n += !byte_is_printable(b);
    return n;
}

static int char_byte(uint32_t cp)
{
    if (cp < 0x100) return byte_is_printable((int)cp) ? (int)cp : -1;
    if (cp <= 0x120) return (int)(cp - 0x100);
    if (cp <= 0x142) return (int)(cp - 0x121 + 0x7F);
    return cp == 0x143 ? 0xAD : -1;
}

bool byte_level_bytes(struct str name, char *dst, size_t *n)
{
    size_t at = 0, out = 0;

    while (at < name.n) {
        uint32_t cp;
        int      len = utf8_decode(str_from(name, at), &cp);
        int      b   = len > 0 ? char_byte(cp) : -1;
        if (b < 0) return false;
        dst[out++] = (char)b;
        at += (size_t)len;
    }
    *n = out;
    return true;
}

/* --- building --- */

struct build {
    struct tok            *t;
    const struct tok_spec *spec;
    uint8_t               *type;   // [n] enum tok_type, after repairs
    bool                  *merged; // [n] some merge makes it
    struct err            *e;
};

static const char *quoted(char *dst, struct str s)
{
    return str_quote(dst, LIM_QUOTE_BYTES, s);
}

static int check_arrays(struct build *b)
{
    const struct tok_spec *s = b->spec;

    if (!s->n_token) return err_set(b->e, ERR_BAD_FILE, "%s.tokens: no token", s->where);
    if (s->n_token > LIM_VOCAB)
        return err_set(b->e, ERR_BAD_FILE, "%s.tokens: %zu tokens, the limit is %u", s->where,
                       s->n_token, LIM_VOCAB);
    if (s->score && s->n_score < s->n_token)
        return err_set(b->e, ERR_BAD_FILE, "%s.scores: %zu values for %zu tokens", s->where, s->n_score,
                       s->n_token);
    if (s->type && s->n_type < s->n_token)
        return err_set(b->e, ERR_BAD_FILE, "%s.token_type: %zu values for %zu tokens", s->where,
                       s->n_type, s->n_token);
    for (size_t i = 0; i < s->n_token; i++) {
        if (s->score && !isfinite(s->score[i]))
            return err_set(b->e, ERR_BAD_FILE, "%s.scores[%zu] is not a number", s->where, i);
        if (s->type && (s->type[i] < 0 || s->type[i] >= TOK_TYPES))
            return err_set(b->e, ERR_BAD_FILE, "%s.token_type[%zu] is %d, want 0..%d", s->where, i,
                           (int)s->type[i], TOK_TYPES - 1);
    }
    const struct { const char *key; int64_t id; } ids[] = {
        { "bos_token_id", s->bos }, { "eos_token_id", s->eos }, { "eot_token_id", s->eot },
        { "eom_token_id", s->eom }, { "unknown_token_id", s->unk }, { "cls_token_id", s->cls },
        { "seperator_token_id", s->sep }, { "fim_pre_token_id", s->fim[TOK_FIM_PREFIX] },
        { "fim_suf_token_id", s->fim[TOK_FIM_SUFFIX] }, { "fim_mid_token_id", s->fim[TOK_FIM_MIDDLE] },
        { "fim_rep_token_id", s->fim[TOK_FIM_REPO] }, { "fim_sep_token_id", s->fim[TOK_FIM_FILE] },
    };
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        if (ids[i].id < -1 || ids[i].id >= (int64_t)s->n_token)
            return err_set(b->e, ERR_BAD_FILE, "%s.%s is %lld, there are %zu tokens", s->where,
                           ids[i].key, (long long)ids[i].id, s->n_token);
    return 0;
}

static int add_names(struct build *b)
{
    struct tok *t    = b->t;
    size_t      room = 0, n = b->spec->n_token;
    char        q[LIM_QUOTE_BYTES + 8];

    for (size_t i = 0; i < n; i++) room += b->spec->token[i].n + (b->spec->token[i].n ? 1 : 24);
    char *blob = arena_alloc(&t->arena, room);
    t->name    = arena_array(&t->arena, n, sizeof *t->name);
    t->bits    = arena_zalloc(&t->arena, n);
    b->type    = mem_zalloc(n);
    b->merged  = mem_zalloc(n);
    if (!blob || !t->name || !t->bits || !b->type || !b->merged || text_init(&t->by_name, n, &t->arena) < 0)
        return err_nomem(b->e, "building a vocabulary");
    t->n = (int32_t)n;
    for (size_t i = 0; i < n; i++) {
        struct str s = b->spec->token[i];
        b->type[i]   = b->spec->type ? (uint8_t)b->spec->type[i] : TOK_T_NORMAL;
        if (b->type[i] == TOK_T_UNDEFINED) b->type[i] = TOK_T_NORMAL;
        if (s.n) {
            memcpy(blob, s.p, s.n);
        } else {
            s.n        = (size_t)snprintf(blob, 24, "[EMPTY_%zu]", i);
            b->type[i] = TOK_T_UNUSED;
        }
        blob[s.n]  = 0;
        t->name[i] = (struct str){ blob, s.n };
        blob += s.n + 1;
        if (!text_put(&t->by_name, t->name, (int32_t)i))
            return err_set(b->e, ERR_BAD_FILE, "%s.tokens[%zu]: \"%s\" is token %d already",
                           b->spec->where, i, quoted(q, t->name[i]),
                           (int)text_find(&t->by_name, t->name, t->name[i].p, t->name[i].n));
    }
    return 0;
}

/* "<0xC3>": the byte, or -1. */
static int byte_name(struct str s)
{
    int v = 0;

    if (s.n != 6 || memcmp(s.p, "<0x", 3) != 0 || s.p[5] != '>') return -1;
    for (int i = 3; i < 5; i++) {
        char c = s.p[i];
        int  d = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10
               : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

/* Copy s with every U+2581 as a space; at most s.n bytes. */
static size_t unescape_spaces(char *dst, struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n;) {
        if (s.n - i >= 3 && !memcmp(s.p + i, "\xE2\x96\x81", 3)) {
            dst[n++] = ' ';
            i += 3;
        } else {
            dst[n++] = s.p[i++];
        }
    }
    return n;
}

/* RWKV's vocabularies spell bytes as \t \n \r \xHH and \\. */
static size_t unescape_rwkv(char *dst, struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\' && i + 1 < s.n) {
            c = s.p[++i];
            if (c == 'x' && i + 2 < s.n) {
                char six[] = { '<', '0', 'x', s.p[i + 1], s.p[i + 2], '>' };
                int  b     = byte_name((struct str){ six, 6 });
                if (b >= 0) {
                    c = (char)b;
                    i += 2;
                }
            } else {
                c = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
            }
        }
        dst[n++] = c;
    }
    return n;
}

/* The bytes of each token in output, and the ids of bytes. */
static int add_bytes(struct build *b)
{
    struct tok *t    = b->t;
    size_t      room = 0;

    for (int32_t i = 0; i < t->n; i++) room += t->name[i].n;
    char *blob = arena_alloc(&t->arena, room + 1);
    t->bytes   = arena_array(&t->arena, (size_t)t->n, sizeof *t->bytes);
    if (!blob || !t->bytes) return err_nomem(b->e, "building a vocabulary");

    for (int i = 0; i < 256; i++) t->byte_id[i] = -1;
    for (int32_t i = 0; i < t->n; i++) {
        struct str s    = t->name[i];
        bool       text = b->type[i] == TOK_T_NORMAL || b->type[i] == TOK_T_UNUSED;
        size_t     n    = s.n;
        if (b->type[i] == TOK_T_BYTE) {
            int v = byte_name(s);
            if (v < 0) {
                char q[LIM_QUOTE_BYTES + 8];
                return err_set(b->e, ERR_BAD_FILE, "%s.tokens[%d]: \"%s\" is no name of a byte",
                               b->spec->where, (int)i, quoted(q, s));
            }
            blob[0] = (char)v;
            n       = 1;
            t->bits[i] |= TOK_B_BYTE;
            t->byte_id[v] = i;
        } else if (t->model == TOK_RWKV) {
            n = unescape_rwkv(blob, s);
        } else if (text && t->byte_level) {
            if (!byte_level_bytes(s, blob, &n)) memcpy(blob, s.p, n = s.n);
        } else if (text && t->spaces) {
            n = unescape_spaces(blob, s);
        } else {
            memcpy(blob, s.p, s.n);
        }
        t->bytes[i] = (struct str){ blob, n };
        blob += n;
    }
    for (int v = 0; v < 256 && t->byte_level; v++) {
        char one[UTF8_MAX];
        int  len      = utf8_encode(byte_level_char(v), one);
        int32_t id    = text_find(&t->by_name, t->name, one, (size_t)len);
        /* An added token may have the name of a byte (deepseek-llm: those no UTF-8 has). */
        t->byte_id[v] = id >= 0 && b->type[id] == TOK_T_NORMAL ? id : -1;
    }
    return 0;
}

/* --- merges --- */

static int merge_room(struct build *b, size_t n)
{
    struct tok *t   = b->t;
    size_t      cap = 16;

    if (n > LIM_GGUF_ARR)
        return err_set(b->e, ERR_BAD_FILE, "%s.merges: %zu merges, the limit is %u", b->spec->where, n,
                       LIM_GGUF_ARR);
    while (cap < n * 2) cap *= 2;
    t->merge = arena_array(&t->arena, cap, sizeof *t->merge);
    if (!t->merge) return err_nomem(b->e, "building a vocabulary");
    for (size_t i = 0; i < cap; i++) t->merge[i].left = UINT32_MAX;
    t->merge_mask = (uint32_t)cap - 1;
    return 0;
}

static void merge_put(struct tok *t, struct merge_slot m)
{
    uint64_t h = ((uint64_t)m.left << 32 | m.right) * 0x9E3779B97F4A7C15u;
    uint32_t i = (uint32_t)(h >> 32) & t->merge_mask;

    for (; t->merge[i].left != UINT32_MAX; i = (i + 1) & t->merge_mask)
        if (t->merge[i].left == m.left && t->merge[i].right == m.right) return;
    t->merge[i] = m;
}

static int bad_merge(struct build *b, size_t i, struct str what)
{
    char q[LIM_QUOTE_BYTES + 8];
    return err_set(b->e, ERR_BAD_FILE, "%s.merges[%zu]: \"%s\" is no token", b->spec->where, i,
                   quoted(q, what));
}

/* Ids and results of all merges; types are settled after it (see settle_types), specials dropped then. */
static int add_merges(struct build *b)
{
    struct tok *t    = b->t;
    size_t      n    = b->spec->n_merge;
    char       *both = NULL;
    size_t      cap  = 0;
    int         rc   = merge_room(b, n);

    for (size_t i = 0; i < n && !rc; i++) {
        struct str l = b->spec->merge[i].left, r = b->spec->merge[i].right;
        int32_t    left = text_find(&t->by_name, t->name, l.p, l.n);
        int32_t    right = text_find(&t->by_name, t->name, r.p, r.n);
        if (left < 0 || right < 0) {
            rc = bad_merge(b, i, left < 0 ? l : r);
            break;
        }
        if (mem_grow(&both, &cap, l.n + r.n, 1, SIZE_MAX / 2) < 0) {
            rc = err_nomem(b->e, "building a vocabulary");
            break;
        }
        memcpy(both, l.p, l.n);
        memcpy(both + l.n, r.p, r.n);
        int32_t id = text_find(&t->by_name, t->name, both, l.n + r.n);
        if (id < 0) {
            rc = bad_merge(b, i, (struct str){ both, l.n + r.n });
            break;
        }
        b->merged[id] = true;
        merge_put(t, (struct merge_slot){ (uint32_t)left, (uint32_t)right, (uint32_t)i, (uint32_t)id });
    }
    mem_free(both);
    return rc;
}

static void drop_special_merges(struct tok *t)
{
    /* An entry keeps its place, for the probes that pass it, and never matches. */
    for (uint32_t i = 0; t->merge && i <= t->merge_mask; i++) {
        struct merge_slot *m = &t->merge[i];
        if (m->left != UINT32_MAX && t->bits[m->id] & TOK_B_SPECIAL) m->left = m->right = UINT32_MAX - 1;
    }
}

/* Two bytes' merges by table: most look-ups are of such pairs. */
static int add_byte_pairs(struct build *b)
{
    struct tok *t = b->t;

    if (!t->byte_level || t->model != TOK_BPE) return 0;
    t->pair_first = arena_array(&t->arena, 65536, sizeof *t->pair_first);
    if (!t->pair_first) return err_nomem(b->e, "building a vocabulary");
    for (int i = 0; i < 65536; i++) {
        int32_t                  l = t->byte_id[i >> 8], r = t->byte_id[i & 255];
        const struct merge_slot *m = l < 0 || r < 0 ? NULL : merge_find(t, (uint32_t)l, (uint32_t)r);
        t->pair_first[i]           = m ? (uint64_t)m->rank << 32 | m->id : UINT64_MAX;
    }
    return 0;
}

/* --- special tokens --- */

static int32_t by_name(const struct tok *t, const char *z)
{
    return text_find(&t->by_name, t->name, z, strlen(z));
}

static void make_control(struct build *b, int32_t id)
{
    if (b->type[id] != TOK_T_UNKNOWN) b->type[id] = TOK_T_CONTROL;
}

/* Which tokens end an answer: what the file says, and names that do so in every family that has
 * them. A name that merges can make is text (HTML's </s>), whatever it looks like. */
static void find_eog(struct build *b)
{
    static const char *const ends[] = {
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
        "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
        "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
        "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
        "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>",
        "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>",
    };
    struct tok *t = b->t;
    bool        gpt_oss   = by_name(t, "<|return|>") >= 0 && by_name(t, "<|call|>") >= 0;
    bool        solar     = by_name(t, "<|calls|>") >= 0 && by_name(t, "<|flush|>") >= 0;
    bool        gemma4    = by_name(t, "<|tool_response>") >= 0;
    int64_t     by_file[] = { b->spec->eos, b->spec->eot, b->spec->eom };

    for (size_t i = 0; i < ARRAY_LEN(ends) && t->model != TOK_WPM; i++) {
        int32_t id = by_name(t, ends[i]);
        if (id < 0 || b->merged[id] || b->type[id] == TOK_T_BYTE) continue;
        /* <|end|> parts messages there, and </s> is a tag. */
        if ((gpt_oss || solar) && !strcmp(ends[i], "<|end|>")) continue;
        if (gemma4 && !strcmp(ends[i], "</s>")) continue;
        t->bits[id] |= TOK_B_EOG;
        make_control(b, id);
    }
    for (size_t i = 0; i < ARRAY_LEN(by_file); i++)
        if (by_file[i] >= 0) t->bits[by_file[i]] |= TOK_B_EOG;
}

/* By the file's keys, else by the names in Qwen, StarCoder and Granite, DeepSeek, Code Llama, GLM. */
static void find_fim(struct build *b)
{
    static const char *const names[TOK_FIMS][7] = {
        [TOK_FIM_PREFIX] = { "<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>", "<\uFF5Cfim\u2581begin\uFF5C>",
                             "\u2581<PRE>", "<PRE>", "<|code_prefix|>" },
        [TOK_FIM_SUFFIX] = { "<|fim_suffix|>", "<fim_suffix>", "<fim-suffix>", "<\uFF5Cfim\u2581hole\uFF5C>",
                             "\u2581<SUF>", "<SUF>", "<|code_suffix|>" },
        [TOK_FIM_MIDDLE] = { "<|fim_middle|>", "<fim_middle>", "<fim-middle>", "<\uFF5Cfim\u2581end\uFF5C>",
                             "\u2581<MID>", "<MID>", "<|code_middle|>" },
        [TOK_FIM_REPO]   = { "<|repo_name|>", "<|fim_repo|>", "<reponame>", "<fim-repo>", "<REPO>" },
        [TOK_FIM_FILE]   = { "<|file_sep|>", "<filename>", "<file_sep>" },
    };
    struct tok *t = b->t;

    for (size_t i = 0; i < TOK_FIMS; i++) {
        t->fim[i] = (int32_t)b->spec->fim[i];
        for (size_t k = 0; k < ARRAY_LEN(names[i]) && names[i][k] && t->fim[i] < 0; k++) {
            int32_t id = by_name(t, names[i][k]);
            if (id >= 0 && !b->merged[id] && b->type[id] != TOK_T_BYTE) t->fim[i] = id;
        }
    }
}

static bool name_has(struct str s, const char *part)
{
    size_t n = strlen(part);

    for (size_t i = 0; i + n <= s.n; i++)
        if (str_eq_nocase(str_sub(s, i, n), str_c(part))) return true;
    return false;
}

/* Strip rules that GGUF cannot say; they are attributes of added tokens upstream. */
static void family_strips(struct build *b)
{
    struct tok *t = b->t;

    if (name_has(b->spec->name, "phi-3") || name_has(b->spec->name, "phi3"))
        for (int32_t i = 0; i < t->n; i++)
            if (b->type[i] == TOK_T_CONTROL || b->type[i] == TOK_T_USER || b->type[i] == TOK_T_UNKNOWN)
                if (i != by_name(t, "<s>") && i != by_name(t, "<unk>") && i != by_name(t, "<|endoftext|>"))
                    t->bits[i] |= TOK_B_RSTRIP;
    if (name_has(b->spec->pre_name, "jina-v2-") || name_has(b->spec->name, "modern-bert")) {
        int32_t mask = by_name(t, name_has(b->spec->name, "modern-bert") ? "[MASK]" : "<mask>");
        if (mask >= 0) t->bits[mask] |= TOK_B_LSTRIP;
    }
}

static void settle_types(struct build *b)
{
    struct tok *t = b->t;

    find_eog(b);
    find_fim(b);
    family_strips(b);
    for (int32_t i = 0; i < t->n; i++) {
        switch ((enum tok_type)b->type[i]) {
        case TOK_T_CONTROL: case TOK_T_UNKNOWN:
            t->bits[i] |= TOK_B_SPECIAL | TOK_B_MATCH;
            break;
        case TOK_T_USER:
            t->bits[i] |= TOK_B_MATCH | TOK_B_TEXT;
            break;
        case TOK_T_NORMAL:
            t->bits[i] |= TOK_B_TEXT;
            break;
        case TOK_T_UNUSED: case TOK_T_BYTE: case TOK_T_UNDEFINED: case TOK_TYPES:
            break;
        }
    }
    for (size_t i = 0; i < b->spec->n_added; i++) {
        const struct tok_added *a = &b->spec->added[i];
        t->bits[a->id] |= (uint8_t)((a->lstrip ? TOK_B_LSTRIP : 0) | (a->rstrip ? TOK_B_RSTRIP : 0) |
                                    (a->single_word ? TOK_B_WORD : 0));
    }
}

static int add_matchers(struct build *b)
{
    struct tok      *t = b->t;
    struct trie_key *key;
    size_t           n = 0;

    for (int32_t i = 0; i < t->n; i++) n += !!(t->bits[i] & TOK_B_MATCH);
    key = mem_array(n + 1, sizeof *key);
    if (!key) return err_nomem(b->e, "building a vocabulary");
    for (int all = 0; all < 2; all++) {
        size_t k = 0;
        for (int32_t i = 0; i < t->n; i++)
            if (t->bits[i] & TOK_B_MATCH && (all || !(t->bits[i] & TOK_B_SPECIAL)))
                key[k++] = (struct trie_key){ t->name[i], i };
        t->match[all] = trie_new(&t->arena, key, k);
    }
    mem_free(key);
    return t->match[0] && t->match[1] ? 0 : err_nomem(b->e, "building a vocabulary");
}

/* "hello" and "##ing" as GGUF has them, "\u2581hello" and "ing"; the bytes with a space for the mark. */
static int spell_words(struct build *b)
{
    struct tok *t      = b->t;
    struct str  prefix = b->spec->word_prefix;
    size_t      room   = 0;

    if (!prefix.n) {
        t->spelt = t->name;
        return 0;
    }
    for (int32_t i = 0; i < t->n; i++) room += 2 * t->name[i].n + 4;
    t->spelt   = arena_array(&t->arena, (size_t)t->n, sizeof *t->spelt);
    char *blob = arena_alloc(&t->arena, room);
    if (!t->spelt || !blob) return err_nomem(b->e, "building a vocabulary");
    for (int32_t i = 0; i < t->n; i++) {
        struct str s    = t->name[i];
        bool       cont = str_starts(s, prefix);
        if (!(t->bits[i] & TOK_B_TEXT)) continue;
        if (cont) {
            t->spelt[i] = t->bytes[i] = str_from(s, prefix.n);
            continue;
        }
        memcpy(blob, "\xE2\x96\x81", 3);
        memcpy(blob + 3, s.p, s.n);
        t->spelt[i] = (struct str){ blob, s.n + 3 };
        blob += s.n + 3;
        blob[0] = ' ';
        memcpy(blob + 1, s.p, s.n);
        t->bytes[i] = (struct str){ blob, s.n + 1 };
        blob += s.n + 1;
    }
    return 0;
}

/* The texts a model makes tokens of, as a table or, where all matches from a place are wanted, as a
 * trie. */
static int add_texts(struct build *b)
{
    struct tok *t = b->t;
    bool        trie = t->model == TOK_UGM || t->model == TOK_RWKV;
    size_t      n = 0;

    t->spelt = t->model == TOK_RWKV || t->byte_level ? t->bytes : t->name;
    if (t->model == TOK_WPM) {
        int rc = spell_words(b);
        if (rc < 0) return rc;
    }
    for (int32_t i = 0; i < t->n; i++) {
        if (!(t->bits[i] & TOK_B_TEXT)) continue;
        n++;
        if (t->spelt[i].n > t->len_max) t->len_max = t->spelt[i].n;
        for (size_t k = 1; t->spaces && k + 3 <= t->spelt[i].n; k++) {
            unsigned char c = (unsigned char)t->spelt[i].p[k - 1];
            if (!memcmp(t->spelt[i].p + k, "\xE2\x96\x81", 3)) t->no_cut[c >> 3] |= (uint8_t)(1 << (c & 7));
        }
    }
    if (trie) {
        struct trie_key *key = mem_array(n + 1, sizeof *key);
        size_t           k   = 0;
        if (!key) return err_nomem(b->e, "building a vocabulary");
        for (int32_t i = 0; i < t->n; i++)
            if (t->bits[i] & TOK_B_TEXT) key[k++] = (struct trie_key){ t->spelt[i], i };
        t->words = trie_new(&t->arena, key, k);
        mem_free(key);
        return t->words ? 0 : err_nomem(b->e, "building a vocabulary");
    }
    if (text_init(&t->by_bytes, n, &t->arena) < 0) return err_nomem(b->e, "building a vocabulary");
    for (int32_t i = 0; i < t->n; i++)
        if (t->bits[i] & TOK_B_TEXT) (void)text_put(&t->by_bytes, t->spelt, i);
    return 0;
}

static int add_scores(struct build *b)
{
    struct tok *t   = b->t;
    double      min = 0;
    bool        any = false;

    if (t->model != TOK_SPM && t->model != TOK_UGM) return 0;
    t->score = arena_array(&t->arena, (size_t)t->n, sizeof *t->score);
    if (!t->score) return err_nomem(b->e, "building a vocabulary");
    for (int32_t i = 0; i < t->n; i++) {
        t->score[i] = b->spec->score ? b->spec->score[i] : 0;
        if (b->type[i] == TOK_T_NORMAL && (!any || t->score[i] < min)) {
            min = t->score[i];
            any = true;
        }
        /* Added by a user: preferred to anything the model was trained with. */
        if (t->model == TOK_UGM && b->type[i] == TOK_T_USER) t->score[i] = 0;
    }
    t->unk_score = min - 10; // sentencepiece's kUnkPenalty
    return 0;
}

static int add_ends(struct build *b)
{
    const struct tok_spec *s = b->spec;
    struct tok            *t = b->t;

    t->bos = (int32_t)s->bos;
    t->eos = (int32_t)s->eos;
    t->eot = (int32_t)s->eot;
    t->unk = (int32_t)s->unk;
    t->cls = (int32_t)s->cls;
    t->sep = (int32_t)s->sep;
    t->add_bos = s->add_bos;
    t->add_eos = s->add_eos;
    t->add_sep = s->add_sep;
    int32_t head = t->model == TOK_WPM ? t->cls : t->bos;
    if (t->add_bos && head < 0)
        return err_set(b->e, ERR_BAD_FILE, "%s.bos_token_id is missing, and add_bos_token is set", s->where);
    if (t->add_bos) t->head[t->n_head++] = head;
    if (t->add_eos && t->eos < 0)
        return err_set(b->e, ERR_BAD_FILE, "%s.eos_token_id is missing, and add_eos_token is set", s->where);
    if (t->add_eos) t->tail[t->n_tail++] = t->eos;
    if (t->model == TOK_WPM && t->add_sep) {
        if (t->sep < 0)
            return err_set(b->e, ERR_BAD_FILE, "%s.seperator_token_id is missing", s->where);
        t->tail[t->n_tail++] = t->sep;
    }
    for (int i = 0; i < s->n_head && t->n_head < TOK_ENDS; i++) t->head[t->n_head++] = s->head[i];
    for (int i = 0; i < s->n_tail && t->n_tail < TOK_ENDS; i++) t->tail[t->n_tail++] = s->tail[i];
    t->add_bos = t->n_head && t->bos >= 0 && t->head[0] == t->bos;
    return 0;
}

/* The normaliser's texts are the loader's so far. */
static int own_norm(struct build *b, struct norm *norm)
{
    struct arena *a = &b->t->arena;

    for (int i = 0; i < norm->n; i++) {
        struct norm_step *st = &norm->step[i];
        if (st->a.n) st->a = arena_str(a, st->a);
        if (st->b.n) st->b = arena_str(a, st->b);
        if ((st->a.n && !st->a.p) || (st->b.n && !st->b.p)) return err_nomem(b->e, "building a vocabulary");
    }
    if (!b->spec->charsmap.n) return 0;
    struct str map = arena_str(a, b->spec->charsmap);
    return map.p ? norm_charsmap(norm, map, b->e) : err_nomem(b->e, "building a vocabulary");
}

int tok_build(const struct tok_spec *spec, struct pre *pre, struct norm *norm, struct tok **ret,
              struct err *e)
{
    struct tok  *t = mem_zalloc(sizeof *t);
    struct build b = { .t = t, .spec = spec, .e = e };
    int          rc;

    if (!t) return err_nomem(e, "building a vocabulary");
    arena_init(&t->arena, VOCAB_BYTES_MAX);
    t->model         = spec->model;
    t->ignore_merges = spec->ignore_merges;
    t->byte_level    = spec->byte_level;
    t->byte_fallback = spec->byte_fallback;
    t->fuse_unk      = spec->fuse_unk;
    t->spaces        = spec->spaces;
    t->prefix        = spec->prefix;
    t->prefix_bare   = spec->prefix_bare;
    t->strip_first   = spec->strip_first;
    t->merge_spaces  = spec->merge_spaces;
    t->suffix_space  = spec->suffix_space;
    t->word_max      = spec->word_max;

    if ((rc = check_arrays(&b)) < 0 || (rc = add_names(&b)) < 0) goto out;
    if (t->model == TOK_BPE && (rc = add_merges(&b)) < 0) goto out;
    settle_types(&b);
    drop_special_merges(t);
    if ((rc = add_bytes(&b)) < 0 || (rc = add_byte_pairs(&b)) < 0 || (rc = add_scores(&b)) < 0 ||
        (rc = add_matchers(&b)) < 0 || (rc = add_texts(&b)) < 0 || (rc = add_ends(&b)) < 0)
        goto out;

    static const char *const models[] = { [TOK_BPE] = "bpe", [TOK_SPM] = "spm", [TOK_WPM] = "wordpiece",
                                          [TOK_UGM] = "unigram", [TOK_RWKV] = "rwkv",
                                          [TOK_BYTES] = "bytes" };
    snprintf(t->kind, sizeof t->kind, "%s%s" STR_FMT, models[t->model], spec->pre_name.n ? "/" : "",
             STR_ARG(str_sub(spec->pre_name, 0, 40)));
    if ((rc = own_norm(&b, norm)) < 0) goto out;
    t->pre  = *pre;
    t->norm = *norm;
    *pre    = (struct pre){ .n_stage = 0 };
    *norm   = (struct norm){ .n = 0 };
    *ret    = t;
    t       = NULL;
out:
    mem_free(b.type);
    mem_free(b.merged);
    tok_free(t);
    return rc;
}
