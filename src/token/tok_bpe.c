/* tok_bpe.c - BPE over the pieces of a pre-tokenizer, with a memory of what pieces became.
 *
 * Text repeats itself: most pieces were seen before in the same text. A direct-mapped cache of one
 * call keeps pieces of at most 15 bytes that became at most three ids; a slot is half a cache line,
 * and holds the piece itself, so a hit costs one load, one compare and one copy.
 */
#include "base/mem.h"
#include "token/tok_int.h"

#define CACHE_IDS   3
#define CACHE_BYTES 15
#define CACHE_MAX   16384 // slots: half a MiB, what a core's second-level cache has room for

struct cache_slot {
    uint64_t key[2]; // the bytes, zero padded; the last byte is their number
    int32_t  id[CACHE_IDS];
    uint32_t n; // 0: empty
};

static int cache_init(struct enc *c, size_t n_text)
{
    uint32_t cap = 64;

    if (c->cache) return 0;
    while (cap < CACHE_MAX && cap < n_text / 16) cap *= 2;
    c->cache      = mem_array(cap, sizeof *c->cache);
    c->cache_mask = cap - 1;
    return c->cache ? 0 : -ERR_NO_MEMORY;
}

void enc_release(struct enc *c)
{
    mem_free(c->cache);
    mem_free(c->slot);
    mem_free(c->rank);
    mem_free(c->heap);
}

/* The n <= 15 bytes at `at` as two words. */
static void cache_key(const struct enc *c, size_t at, size_t n, uint64_t key[2])
{
    if (LIKELY(at + 16 <= c->n)) {
        memcpy(key, c->text + at, 16);
        unsigned over = 8 * (16 - (unsigned)n); // bits to clear, 8..128 (little-endian)
        if (over >= 64) {
            key[1] = 0;
            key[0] = over == 128 ? 0 : key[0] << (over - 64) >> (over - 64);
        } else {
            key[1] = key[1] << over >> over;
        }
    } else {
        key[0] = key[1] = 0;
        memcpy(key, c->text + at, n);
    }
    key[1] |= (uint64_t)n << 56;
}

static int whole_or_merged(struct enc *c, size_t at, size_t end, struct err *e)
{
    const struct tok *t = c->t;

    if (t->ignore_merges && end - at <= t->len_max) {
        int32_t id = text_find(&t->by_bytes, t->spelt, c->text + at, end - at);
        if (id >= 0) {
            ids_put(c->out, id);
            return 0;
        }
    }
    return merge_piece(c, at, end, e);
}

static int piece(void *ctx, size_t at, size_t end, struct err *e)
{
    struct enc *c = ctx;
    uint64_t    key[2];

    if (end - at > CACHE_BYTES) return whole_or_merged(c, at, end, e);
    cache_key(c, at, end - at, key);
    uint64_t           h = (key[0] ^ (key[1] * 0x9E3779B97F4A7C15u)) * 0xD6E8FEB86659FD93u;
    struct cache_slot *s = &c->cache[(uint32_t)(h >> 40) & c->cache_mask];
    if (LIKELY(s->key[0] == key[0] && s->key[1] == key[1])) {
        for (uint32_t i = 0; i < s->n; i++) ids_put(c->out, s->id[i]);
        c->unk_open = false;
        return 0;
    }
    size_t before = c->out->n;
    c->unk_seen   = false; // what an unknown becomes depends on the one before it
    int    rc     = whole_or_merged(c, at, end, e);
    size_t n      = c->out->n - before;
    if (!rc && n && n <= CACHE_IDS && !c->unk_seen && !c->out->failed) {
        s->key[0] = key[0];
        s->key[1] = key[1];
        s->n      = (uint32_t)n;
        memcpy(s->id, c->out->id + before, n * sizeof *s->id);
    }
    return rc;
}

int bpe_encode(struct enc *c, const char *shadow, struct err *e)
{
    if (cache_init(c, c->n_all) < 0) return err_nomem(e, "tokenising");
    c->work += c->n;
    return pre_walk(&c->t->pre, shadow, c->n, piece, c, &c->work, e);
}

/* sentencepiece merges over the whole text, but no further than its tokens reach: a border that lies
 * in no token, whatever stands around it, is crossed by no merge, and cuts the text exactly. Those in
 * front of U+2581 are nearly all so (t->no_cut tells which are not); what is between is a word, and words
 * repeat. */
static int cut_at_spaces(struct enc *c, struct err *e)
{
    const struct tok *t    = c->t;
    size_t            from = 0;
    int               rc   = 0;

    if (cache_init(c, c->n_all) < 0) return err_nomem(e, "tokenising");
    for (size_t at = 1; at < c->n && !rc; at++) {
        const char *p = memchr(c->text + at, 0xE2, c->n - at);
        if (!p) break;
        at = (size_t)(p - c->text);
        if (c->n - at < 3 || p[1] != '\x96' || p[2] != '\x81') continue;
        unsigned char before = (unsigned char)p[-1];
        /* A run of U+2581 stays whole: its last byte is one that is never cut behind. */
        if (t->no_cut[before >> 3] >> (before & 7) & 1) continue;
        rc   = piece(c, from, at, e);
        from = at;
    }
    return rc ? rc : piece(c, from, c->n, e);
}

int spm_encode(struct enc *c, struct err *e)
{
    c->unk_open = false;
    return c->n ? cut_at_spaces(c, e) : 0;
}
