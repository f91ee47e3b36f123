/* tok_make.h - vocabularies made in a test: a GGUF writer, and the byte alphabet. */
#ifndef CURLEW_TESTS_TOK_MAKE_H
#define CURLEW_TESTS_TOK_MAKE_H

#include "base/pack.h"
#include "base/utf8.h"
#include "model/gguf.h"
#include "token/tok.h"
#include "token/tok_int.h"

struct maker {
    struct buf kv; // key-value pairs
    uint64_t   n;
};

static inline void mk_init(struct maker *m)
{
    buf_init(&m->kv, 1 << 26);
    m->n = 0;
}

static inline void mk_text(struct buf *b, struct str s)
{
    pack_u64(b, s.n);
    buf_str(b, s);
}

static inline void mk_key(struct maker *m, const char *key, uint32_t type)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", strchr(key, '.') ? "" : "tokenizer.ggml.", key);
    mk_text(&m->kv, str_c(full));
    pack_u32(&m->kv, type);
    m->n++;
}

static inline void mk_str(struct maker *m, const char *key, const char *val)
{
    mk_key(m, key, GGUF_STR);
    mk_text(&m->kv, str_c(val));
}

static inline void mk_u32(struct maker *m, const char *key, uint32_t v)
{
    mk_key(m, key, GGUF_U32);
    pack_u32(&m->kv, v);
}

static inline void mk_bool(struct maker *m, const char *key, bool v)
{
    mk_key(m, key, GGUF_BOOL);
    pack_u8(&m->kv, v);
}

static inline void mk_strs(struct maker *m, const char *key, const struct str *s, size_t n)
{
    mk_key(m, key, GGUF_ARR);
    pack_u32(&m->kv, GGUF_STR);
    pack_u64(&m->kv, n);
    for (size_t i = 0; i < n; i++) mk_text(&m->kv, s[i]);
}

static inline void mk_f32s(struct maker *m, const char *key, const float *v, size_t n)
{
    mk_key(m, key, GGUF_ARR);
    pack_u32(&m->kv, GGUF_F32);
    pack_u64(&m->kv, n);
    for (size_t i = 0; i < n; i++) pack_f32(&m->kv, v[i]);
}

static inline void mk_i32s(struct maker *m, const char *key, const int32_t *v, size_t n)
{
    mk_key(m, key, GGUF_ARR);
    pack_u32(&m->kv, GGUF_I32);
    pack_u64(&m->kv, n);
    for (size_t i = 0; i < n; i++) pack_i32(&m->kv, v[i]);
}

/* Build and release the maker. */
static inline int mk_tok(struct maker *m, struct tok **ret, struct err *e)
{
    struct buf   file;
    struct gguf *g = NULL;

    buf_init(&file, 1 << 27);
    buf_put(&file, "GGUF", 4);
    pack_u32(&file, 3);
    pack_u64(&file, 0);
    pack_u64(&file, m->n);
    buf_str(&file, buf_text(&m->kv));
    int rc = gguf_open_mem(buf_text(&file), "made.gguf", &g, e);
    if (!rc) rc = tok_from_gguf(g, ret, e);
    gguf_close(g);
    buf_release(&file);
    buf_release(&m->kv);
    return rc;
}

#define MK_TOKENS 4096

/* The tokens of a small vocabulary; texts live in `text`. */
struct mk_list {
    struct str s[MK_TOKENS];
    int32_t    type[MK_TOKENS];
    float      score[MK_TOKENS];
    char       text[MK_TOKENS * 64];
    size_t     n, n_text;
};

static inline size_t mk_add(struct mk_list *l, struct str s, int32_t type, float score)
{
    memcpy(l->text + l->n_text, s.p, s.n);
    l->s[l->n]     = (struct str){ l->text + l->n_text, s.n };
    l->type[l->n]  = type;
    l->score[l->n] = score;
    l->n_text += s.n;
    return l->n++;
}

/* The 256 bytes: by the byte alphabet, or as <0xXX>. */
static inline void mk_bytes(struct mk_list *l, bool alphabet)
{
    for (int b = 0; b < 256; b++) {
        char name[16];
        int  n = alphabet ? utf8_encode(byte_level_char(b), name) : snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        mk_add(l, (struct str){ name, (size_t)n }, alphabet ? TOK_T_NORMAL : TOK_T_BYTE, 0);
    }
}

#endif
