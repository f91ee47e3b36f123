/* gguf_make.h - write small GGUF files in memory, for tests; and break them byte by byte.
 *
 *   struct gm m;
 *   gm_init(&m);
 *   gm_kv_str(&m, "general.architecture", "llama");
 *   gm_tensor(&m, "token_embd.weight", 0, 2, 32, 512, 1);   // zeros of type F32
 *   struct str file = gm_finish(&m);                        // m's until gm_release
 */
#ifndef CURLEW_TESTS_GGUF_MAKE_H
#define CURLEW_TESTS_GGUF_MAKE_H

#include "unit.h"

#include "base/pack.h"
#include "model/gguf.h"

struct gm {
    struct buf kv, tensor, file;
    uint64_t   n_kv, n_tensor, at; // at: data laid out so far
    uint32_t   version, align;
};

static inline void gm_init(struct gm *m)
{
    *m = (struct gm){ .version = 3, .align = 32 };
    buf_init(&m->kv, 1 << 24);
    buf_init(&m->tensor, 1 << 24);
    buf_init(&m->file, 1 << 26);
}

static inline void gm_release(struct gm *m)
{
    buf_release(&m->kv);
    buf_release(&m->tensor);
    buf_release(&m->file);
}

static inline void gm_text(struct buf *b, const char *s)
{
    pack_u64(b, strlen(s));
    buf_str(b, str_c(s));
}

static inline struct buf *gm_key(struct gm *m, const char *key, enum gguf_type type)
{
    gm_text(&m->kv, key);
    pack_u32(&m->kv, type);
    m->n_kv++;
    return &m->kv;
}

static inline void gm_kv_u32(struct gm *m, const char *key, uint32_t v)
{
    pack_u32(gm_key(m, key, GGUF_U32), v);
}

static inline void gm_kv_f32(struct gm *m, const char *key, float v)
{
    pack_f32(gm_key(m, key, GGUF_F32), v);
}

static inline void gm_kv_bool(struct gm *m, const char *key, bool v)
{
    pack_u8(gm_key(m, key, GGUF_BOOL), v);
}

static inline void gm_kv_str(struct gm *m, const char *key, const char *v)
{
    gm_text(gm_key(m, key, GGUF_STR), v);
}

/* The head of an array; n elements are to follow in the buffer returned. */
static inline struct buf *gm_kv_arr(struct gm *m, const char *key, enum gguf_type elem, uint64_t n)
{
    struct buf *b = gm_key(m, key, GGUF_ARR);

    pack_u32(b, elem);
    pack_u64(b, n);
    return b;
}

/* A tensor of zeros, of a type by its number, d[0] x d[1] x d[2]. */
static inline void gm_tensor(struct gm *m, const char *name, uint32_t type, uint32_t n_dim,
                             uint64_t d0, uint64_t d1, uint64_t d2)
{
    uint64_t         d[3] = { d0, d1, d2 }, n = 1;
    enum tensor_type t;

    assert_true(tensor_type_by_number(type, &t));
    gm_text(&m->tensor, name);
    pack_u32(&m->tensor, n_dim);
    for (uint32_t i = 0; i < n_dim; i++) {
        pack_u64(&m->tensor, d[i]);
        n *= d[i];
    }
    pack_u32(&m->tensor, type);
    pack_u64(&m->tensor, m->at);
    m->at += n / (uint64_t)tensor_type_row(t)->block_n * (uint64_t)tensor_type_row(t)->block_bytes;
    m->at = (m->at + m->align - 1) / m->align * m->align;
    m->n_tensor++;
}

static inline struct str gm_finish(struct gm *m)
{
    struct buf *f = &m->file;

    buf_clear(f);
    buf_str(f, STR("GGUF"));
    pack_u32(f, m->version);
    pack_u64(f, m->n_tensor);
    pack_u64(f, m->n_kv);
    buf_str(f, buf_text(&m->kv));
    buf_str(f, buf_text(&m->tensor));
    while (f->n % m->align) buf_byte(f, 0);
    for (uint64_t i = 0; i < m->at; i++) buf_byte(f, 0);
    assert_false(m->kv.failed || m->tensor.failed || f->failed);
    return buf_text(f);
}

/* Overwrite `bytes` bytes with v, `rel` bytes after the end of the first place that says `needle`
 * (its own length is at -(strlen + 8); a key's type follows at 0). */
static inline void gm_poke(struct gm *m, const char *needle, int rel, uint64_t v, int bytes)
{
    size_t at = str_find(buf_text(&m->file), str_c(needle));

    assert_true(at != SIZE_MAX);
    at = (size_t)((int64_t)(at + strlen(needle)) + rel);
    for (int i = 0; i < bytes; i++) m->file.p[at + (size_t)i] = (char)(v >> (8 * i));
}

#endif
