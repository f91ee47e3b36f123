/* map.c - open addressing with linear probing; deletion shifts back, so there are no tombstones. */
#include "base/map.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

struct map_slot {
    struct str key;
    uint64_t   hash;
    void      *val; // NULL: empty
};

void map_init(struct map *m, size_t n_max)
{
    *m = (struct map){ .max = n_max };
    rng_system(m->key, sizeof m->key);
}

void map_release(struct map *m)
{
    if (!m) return;
    mem_free(m->slot);
    m->slot = NULL;
    m->cap = m->n = 0;
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

uint64_t map_hash(const uint64_t key[2], struct str s)
{
    uint64_t v[4] = { key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                      key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u };
    size_t   at   = 0;
    uint64_t m;

    for (; at + 8 <= s.n; at += 8) {
        memcpy(&m, s.p + at, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    m = (uint64_t)s.n << 56;
    for (int i = 0; at < s.n; at++, i += 8) m |= (uint64_t)(unsigned char)s.p[at] << i;
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The slot of key, or the empty one where it would go. cap > n always. */
static size_t find(const struct map *m, struct str key, uint64_t hash)
{
    size_t i = hash & (m->cap - 1);

    while (m->slot[i].val && !(m->slot[i].hash == hash && str_eq(m->slot[i].key, key)))
        i = (i + 1) & (m->cap - 1);
    return i;
}

static int rehash(struct map *m, size_t cap)
{
    struct map_slot *slot = mem_array(cap, sizeof *slot);
    struct map       old  = *m;

    if (!slot) return -ERR_NO_MEMORY;
    m->slot = slot;
    m->cap  = cap;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slot[i].val) slot[find(m, old.slot[i].key, old.slot[i].hash)] = old.slot[i];
    mem_free(old.slot);
    return 0;
}

int map_put(struct map *m, struct str key, void *val)
{
    uint64_t hash = map_hash(m->key, key);

    if (m->cap) {
        size_t i = find(m, key, hash);
        if (m->slot[i].val) {
            m->slot[i].key = key;
            m->slot[i].val = val;
            return 0;
        }
    }
    if (m->n >= m->max) return -ERR_TOO_LARGE;
    if (m->n + 1 > m->cap - m->cap / 4) {
        int rc = rehash(m, m->cap ? m->cap * 2 : 16);
        if (rc < 0) return rc;
    }
    m->slot[find(m, key, hash)] = (struct map_slot){ key, hash, val };
    m->n++;
    return 0;
}

void *map_get(const struct map *m, struct str key)
{
    return m->cap ? m->slot[find(m, key, map_hash(m->key, key))].val : NULL;
}

void *map_del(struct map *m, struct str key)
{
    if (!m->cap) return NULL;
    size_t mask = m->cap - 1;
    size_t hole = find(m, key, map_hash(m->key, key));
    void  *val  = m->slot[hole].val;

    if (!val) return NULL;
    for (size_t i = (hole + 1) & mask; m->slot[i].val; i = (i + 1) & mask) {
        size_t home = m->slot[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) { // may move back into the hole
            m->slot[hole] = m->slot[i];
            hole          = i;
        }
    }
    m->slot[hole].val = NULL;
    m->n--;
    return val;
}

bool map_next(const struct map *m, size_t *it, struct str *key, void **val)
{
    for (; *it < m->cap; ++*it) {
        if (!m->slot[*it].val) continue;
        *key = m->slot[*it].key;
        *val = m->slot[*it].val;
        ++*it;
        return true;
    }
    return false;
}
