/* tok.c - a text's way through a vocabulary: special tokens, segments, ends; and back to bytes.
 *
 *     text     <|im_start|>user\nHi<|im_end|>          parts between trusted special tokens are segments
 *     segment  user\nHi                                normalised, prefixed, spaces respelt
 *     pieces   user | \n | Hi                          the pre-tokenizer's (tok_pre.c)
 *     ids      872 198 13347                           merged (tok_merge.c), or another model's way
 */
#include "token/tok.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "token/tok_int.h"
#include "token/tok_trie.h"

/* --- lists of ids --- */

void ids_init(struct ids *v, size_t n_max)
{
    *v = (struct ids){ .max = n_max };
}

void ids_release(struct ids *v)
{
    if (!v) return;
    mem_free(v->id);
    *v = (struct ids){ .max = v->max };
}

void ids_put(struct ids *v, int32_t id)
{
    if (v->n == v->cap) {
        if (v->failed) return;
        size_t want = v->n + v->n / 2 + 16; // a list often ends far below its ceiling
        if (want > v->max) want = v->max;
        if (v->n >= v->max || mem_grow(&v->id, &v->cap, want, sizeof *v->id, v->max) < 0) {
            v->failed = true;
            return;
        }
    }
    v->id[v->n++] = id;
}

/* --- accessors --- */

void tok_free(struct tok *t)
{
    if (!t) return;
    pre_release(&t->pre);
    norm_release(&t->norm);
    arena_release(&t->arena);
    mem_free(t);
}

static bool known(const struct tok *t, int32_t id)
{
    return id >= 0 && id < t->n;
}

int tok_n(const struct tok *t)
{
    return t->n;
}

bool tok_is_eog(const struct tok *t, int32_t id)
{
    return known(t, id) && t->bits[id] & TOK_B_EOG;
}

bool tok_is_special(const struct tok *t, int32_t id)
{
    return known(t, id) && t->bits[id] & TOK_B_SPECIAL;
}

int32_t tok_fim(const struct tok *t, enum tok_fim which)
{
    return t->fim[which];
}

int32_t tok_bos(const struct tok *t)
{
    return t->bos;
}

int32_t tok_eos(const struct tok *t)
{
    return t->eos;
}

int32_t tok_find(const struct tok *t, struct str name)
{
    return text_find(&t->by_name, t->name, name.p ? name.p : "", name.n);
}

struct str tok_name(const struct tok *t, int32_t id)
{
    return known(t, id) ? t->name[id] : STR_NULL;
}

bool tok_adds_bos(const struct tok *t)
{
    return t->add_bos;
}

const char *tok_kind(const struct tok *t)
{
    return t->kind;
}

/* --- special tokens in a text --- */

struct range {
    size_t from, to;
};

/* A text and the parts of it where special tokens are recognised, ascending, none adjacent. */
struct source {
    struct str          text;
    const struct range *trust;
    size_t              n_trust;
    size_t              i_trust; // the first that ends behind the place looked at
};

struct found {
    size_t  from, to; // with the white space it swallows
    int32_t id;
};

/* A word character ends at, or begins at, this border. */
static bool word_at(struct str s, size_t at, bool before)
{
    uint32_t cp;

    if (before ? !at : at >= s.n) return false;
    if (before)
        do at--;
        while (at && ((unsigned char)s.p[at] & 0xC0) == 0x80);
    uni_next(s.p, at, s.n, &cp);
    return cp == '_' || uni_class_of(cp) & (UNI_LETTER | UNI_MARK | UNI_NUM);
}

static bool allowed(const struct tok *t, const struct source *s, int32_t id, size_t from, size_t to)
{
    if (t->bits[id] & TOK_B_WORD && (word_at(s->text, from, true) || word_at(s->text, to, false)))
        return false;
    if (!(t->bits[id] & TOK_B_SPECIAL)) return true;
    return s->i_trust < s->n_trust && s->trust[s->i_trust].from <= from && to <= s->trust[s->i_trust].to;
}

/* The longest special token that begins at `at`: its id, or -1. */
static int32_t special_at(const struct tok *t, const struct trie *tr, const struct source *s, size_t at,
                          size_t *to)
{
    int32_t  best = -1;
    uint32_t node = 0;

    for (size_t i = at; i < s->text.n; i++) {
        node = trie_step(tr, node, (unsigned char)s->text.p[i]);
        if (!node) break;
        int32_t id = trie_id(tr, node);
        if (id >= 0 && allowed(t, s, id, at, i + 1)) {
            best = id;
            *to  = i + 1;
        }
    }
    return best;
}

static bool next_special(const struct tok *t, struct source *s, size_t at, struct found *f)
{
    const struct trie *tr    = t->match[s->n_trust > 0];
    size_t             start = at;

    for (; at < s->text.n; at++) {
        if (!trie_step(tr, 0, (unsigned char)s->text.p[at])) continue;
        while (s->i_trust < s->n_trust && s->trust[s->i_trust].to <= at) s->i_trust++;
        f->id = special_at(t, tr, s, at, &f->to);
        if (f->id < 0) continue;
        f->from  = at;
        int  len = 1;
        if (t->bits[f->id] & TOK_B_LSTRIP) {
            while (f->from > start) {
                size_t b = f->from;
                do b--;
                while (b > start && ((unsigned char)s->text.p[b] & 0xC0) == 0x80);
                uint32_t cp;
                uni_next(s->text.p, b, s->text.n, &cp);
                if (!(uni_class_of(cp) & UNI_SPACE)) break;
                f->from = b;
            }
        }
        if (t->bits[f->id] & TOK_B_RSTRIP) {
            for (; f->to < s->text.n; f->to += (size_t)len) {
                uint32_t cp;
                len = uni_next(s->text.p, f->to, s->text.n, &cp);
                if (!(uni_class_of(cp) & UNI_SPACE)) break;
            }
        }
        return true;
    }
    return false;
}

/* --- segments --- */

/* Spell spaces as U+2581, with one in front where the family wants it. */
static int respell(struct enc *c, struct str *s, bool prefix, struct err *e)
{
    const struct tok *t     = c->t;
    const char       *space = t->spaces ? "\xE2\x96\x81" : " ";
    size_t            n     = strlen(space), from = 0;
    struct buf       *b     = &c->space_buf;

    if (!prefix && (!t->spaces || !memchr(s->p, ' ', s->n))) return 0;
    buf_release(b);
    buf_init(b, s->n * 3 + 8);
    if (prefix) buf_put(b, space, n);
    for (size_t i = 0; t->spaces && i < s->n; i++) {
        if (s->p[i] != ' ') continue;
        buf_put(b, s->p + from, i - from);
        buf_put(b, space, n);
        from = i + 1;
    }
    buf_put(b, s->p + from, s->n - from);
    if (b->failed) return err_nomem(e, "tokenising");
    *s = buf_text(b);
    return 0;
}

static bool wants_prefix(const struct tok *t, struct str s, bool first, bool after_special)
{
    if (t->prefix == SPACE_NONE || !s.n) return false;
    if (t->prefix == SPACE_FIRST ? !first : !after_special) return false;
    if (!t->prefix_bare) return true;
    return s.p[0] != ' ' && !str_starts(s, STR("\xE2\x96\x81"));
}

static int encode_model(struct enc *c, const char *shadow, struct err *e)
{
    switch (c->t->model) {
    case TOK_BPE:
        return bpe_encode(c, shadow, e);
    case TOK_SPM:
        return spm_encode(c, e);
    case TOK_WPM:
        return wpm_encode(c, shadow, e);
    case TOK_UGM:
        return ugm_encode(c, shadow, e);
    case TOK_RWKV:
        return rwkv_encode(c, e);
    case TOK_BYTES:
        for (size_t i = 0; i < c->n; i++) ids_put(c->out, c->t->byte_id[(unsigned char)c->text[i]]);
        break;
    }
    return 0;
}

/* The ids of a segment, s not empty. `first`: it begins the text; `after_special`: or follows a
 * special token. */
static int encode_segment(struct enc *c, struct str s, bool first, bool after_special, struct err *e)
{
    const struct tok *t  = c->t;
    int               rc = 0;

    if (!norm_is_noop(&t->norm, s)) {
        if ((rc = norm_apply(&t->norm, s, &c->norm_buf, e)) < 0) return rc;
        s = buf_text(&c->norm_buf);
    }
    bool own_spaces = t->model == TOK_WPM || (t->model == TOK_UGM && (t->merge_spaces || !t->pre.n_stage));
    if (!own_spaces && (rc = respell(c, &s, wants_prefix(t, s, first, after_special), e)) < 0) return rc;
    if (!s.n) return 0;
    c->text      = s.p;
    c->n         = s.n;
    char *shadow = NULL;
    if (t->pre.has_re && !utf8_valid(s) && !(shadow = tok_shadow(s.p, s.n))) return err_nomem(e, "tokenising");
    rc = encode_model(c, shadow ? shadow : s.p, e);
    mem_free(shadow);
    return rc;
}

static int encode_source(struct enc *c, struct source *s, unsigned flags, struct err *e)
{
    const struct tok *t     = c->t;
    bool              after = true;
    size_t            at    = 0;
    int               rc    = 0;

    for (int i = 0; flags & TOK_ADD_SPECIAL && i < t->n_head; i++) ids_put(c->out, t->head[i]);
    while (at < s->text.n && !rc) {
        struct found f = { s->text.n, s->text.n, -1 };
        bool         has = next_special(t, s, at, &f);
        if (!has) f.from = f.to = s->text.n;
        if (f.from > at)
            rc = encode_segment(c, str_sub(s->text, at, f.from - at), at == 0, after, e);
        if (!rc && has) ids_put(c->out, f.id);
        after = has;
        at    = f.to;
    }
    for (int i = 0; flags & TOK_ADD_SPECIAL && i < t->n_tail; i++) ids_put(c->out, t->tail[i]);
    return rc;
}

/* Append to ret, or leave it as it was. */
static int encode(const struct tok *t, struct source *s, unsigned flags, struct ids *ret, uint64_t *work,
                  struct err *e)
{
    size_t     before = ret->n;
    struct enc c      = { .t = t, .out = ret, .n_all = s->text.n };

    if (s->text.n > LIM_PROMPT_BYTES)
        return err_set(e, ERR_TOO_LARGE, "text is %zu bytes, the limit is %zu", s->text.n, LIM_PROMPT_BYTES);
    if (ret->failed) return err_nomem(e, "tokenising");
    buf_init(&c.norm_buf, 0);
    buf_init(&c.space_buf, 0);
    int rc = encode_source(&c, s, flags, e);
    if (!rc && ret->failed)
        rc = ret->n >= ret->max
                 ? err_set(e, ERR_TOO_LARGE, "text has more than %zu tokens, the limit here", ret->max)
                 : err_nomem(e, "tokenising");
    if (work) *work = c.work;
    enc_release(&c);
    buf_release(&c.norm_buf);
    buf_release(&c.space_buf);
    if (rc < 0) {
        ret->n      = before;
        ret->failed = false;
    }
    return rc;
}

int tok_encode_counted(const struct tok *t, struct str text, unsigned flags, struct ids *ret,
                       uint64_t *work, struct err *e)
{
    struct range  all = { 0, text.n };
    struct source s   = { .text = text, .trust = &all, .n_trust = !!(flags & TOK_PARSE_SPECIAL) };

    return encode(t, &s, flags, ret, work, e);
}

int tok_encode(const struct tok *t, struct str text, unsigned flags, struct ids *ret, struct err *e)
{
    return tok_encode_counted(t, text, flags, ret, NULL, e);
}

static void put_all(struct ids *ret, const int32_t *id, int n)
{
    for (int i = 0; i < n; i++) ids_put(ret, id[i]);
}

int tok_encode_pair(const struct tok *t, struct str first, struct str second, struct ids *ret, int *n_first,
                    struct err *e)
{
    int32_t end = t->sep >= 0 ? t->sep : t->eos;
    size_t  at  = ret->n;

    put_all(ret, t->head, t->n_head);
    int rc = tok_encode(t, first, 0, ret, e);
    if (rc < 0) return rc;
    if (t->n_tail) put_all(ret, t->tail, t->n_tail);
    else if (end >= 0) ids_put(ret, end);
    *n_first = (int)(ret->n - at);
    if (t->model != TOK_WPM) put_all(ret, t->tail, t->n_tail);
    rc = tok_encode(t, second, 0, ret, e);
    if (rc == 0) put_all(ret, t->tail, t->n_tail);
    return rc == 0 && ret->failed ? err_nomem(e, "tokenising") : rc;
}

int tok_encode_pieces(const struct tok *t, const struct tok_piece *piece, size_t n_piece, unsigned flags,
                      struct ids *ret, struct err *e)
{
    size_t total = 0, n = 0;
    int    rc;

    for (size_t i = 0; i < n_piece; i++) {
        if (piece[i].text.n > LIM_PROMPT_BYTES - total)
            return err_set(e, ERR_TOO_LARGE, "text is over %zu bytes, the limit", LIM_PROMPT_BYTES);
        total += piece[i].text.n;
    }
    char         *text  = mem_alloc(total + 1);
    struct range *trust = mem_array(n_piece + 1, sizeof *trust);
    if (!text || !trust) {
        rc = err_nomem(e, "tokenising");
        goto out;
    }
    total = 0;
    for (size_t i = 0; i < n_piece; i++) {
        struct str s = piece[i].text;
        if (s.n) memcpy(text + total, s.p, s.n);
        if (piece[i].trusted && s.n) {
            if (n && trust[n - 1].to == total) trust[n - 1].to += s.n;
            else trust[n++] = (struct range){ total, total + s.n };
        }
        total += s.n;
    }
    struct source s = { .text = { text, total }, .trust = trust, .n_trust = n };
    rc              = encode(t, &s, flags, ret, NULL, e);
out:
    mem_free(text);
    mem_free(trust);
    return rc;
}

/* --- back to bytes --- */

struct str tok_bytes(const struct tok *t, int32_t id, bool special)
{
    if (!known(t, id)) return STR_NULL;
    if (t->bits[id] & TOK_B_SPECIAL && !special) return STR("");
    return t->bytes[id];
}

/* The bytes of the next token of a text: the space that the encoder put before the first is gone. */
static struct str next_bytes(const struct tok *t, int32_t id, bool special, bool *started)
{
    struct str s = tok_bytes(t, id, special);

    if (!s.n) return s;
    if (!*started && t->strip_first && !(t->bits[id] & TOK_B_SPECIAL) && s.p[0] == ' ') s = str_from(s, 1);
    *started = true;
    return s;
}

int tok_decode(const struct tok *t, const int32_t *id, size_t n, bool special, struct buf *ret,
               struct err *e)
{
    bool started = false;

    for (size_t i = 0; i < n; i++) {
        if (!known(t, id[i]))
            return err_set(e, ERR_INVALID_VALUE, "token %d is not in the vocabulary of %d", (int)id[i],
                           (int)t->n);
        buf_str(ret, next_bytes(t, id[i], special, &started));
    }
    return ret->failed ? err_set(e, ERR_TOO_LARGE, "the text of these tokens is too large") : 0;
}

void tok_stream_init(struct tok_stream *s, const struct tok *t, bool special)
{
    *s = (struct tok_stream){ .t = t, .special = special };
}

#define REPLACEMENT STR("\xEF\xBF\xBD")

/* One more byte behind those held, of which there is at least one, or which begins a character. */
static void stream_byte(struct tok_stream *s, char c, struct buf *out)
{
    s->held[s->n_held++] = c;
    while (s->n_held) {
        struct str h = { s->held, (size_t)s->n_held };
        uint32_t   cp;
        if (utf8_tail(h) == h.n) return; // may still become a character
        int len = utf8_decode(h, &cp);
        if (len > 0) buf_put(out, h.p, (size_t)len);
        else buf_str(out, REPLACEMENT);
        int n = len > 0 ? len : -len;
        s->n_held -= n;
        memmove(s->held, s->held + n, (size_t)s->n_held);
    }
}

void tok_stream_put(struct tok_stream *s, int32_t id, struct buf *out)
{
    struct str b = next_bytes(s->t, id, s->special, &s->started);

    while (b.n) {
        if (!s->n_held) {
            size_t n = utf8_check(b);
            buf_put(out, b.p, n);
            b = str_from(b, n);
            if (!b.n) return;
        }
        stream_byte(s, b.p[0], out);
        b = str_from(b, 1);
    }
}

void tok_stream_end(struct tok_stream *s, struct buf *out)
{
    if (s->n_held) buf_str(out, REPLACEMENT);
    s->n_held = 0;
}
