/* tmpl_dict.c - Python's dict: insertion order, any hashable key, 1 == 1.0 == True.
 *
 * Small ones are searched; larger ones get an open-addressing index, keyed with a secret of this
 * rendering so that a client cannot choose keys that collide.
 */
#include <string.h>

#include "chat/tmpl_int.h"

#define SMALL 8 // entries that are searched without an index

struct val tmpl_dict_new(struct run *r, enum val_kind kind)
{
    struct vdict *d = tmpl_alloc(r, 1, sizeof *d);

    return d ? (struct val){ .kind = kind, .u.d = d } : VAL_NONE;
}

/* Equal keys hash alike, whatever their type. False: not hashable. */
static bool hash_key(struct run *r, struct val key, uint64_t *ret)
{
    double  f;
    int64_t i;

    switch (key.kind) {
    case V_STR:
        *ret = map_hash(r->hash_key, key.u.s->text);
        return true;
    case V_BOOL:
    case V_INT:
    case V_FLOAT:
        f = tmpl_as_float(key);
        i = key.kind == V_FLOAT ? (f >= -9e18 && f <= 9e18 ? (int64_t)f : 0) : tmpl_as_int(key);
        *ret = map_hash(r->hash_key, (struct str){ (const char *)&i, sizeof i });
        return true;
    case V_TUPLE:
        *ret = key.u.l->n;
        for (size_t k = 0; k < key.u.l->n; k++) {
            uint64_t one;
            if (key.u.l->v[k].kind ==
                V_TUPLE) { // one level is plenty for a hash; equality sees all
                *ret = *ret * 31 + key.u.l->v[k].u.l->n;
                continue;
            }
            if (!hash_key(r, key.u.l->v[k], &one)) return false;
            *ret = *ret * 1000003 + one;
        }
        return true;
    case V_NONE:
    case V_UNDEF:
        *ret = key.kind;
        return true;
    case V_MISSING: case V_LIST: case V_DICT: case V_VIEW: case V_NS: break;
    case V_RANGE: case V_ITER: case V_LOOP: case V_MACRO: case V_FUNC: case V_METHOD: case V_CYCLER:
    case V_JOINER:
        *ret = key.kind;
        return true;
    }
    return false;
}

bool tmpl_hashable(struct val v)
{
    if (v.kind == V_TUPLE)
        for (size_t i = 0; i < v.u.l->n; i++)
            if (v.u.l->v[i].kind == V_TUPLE ? v.u.l->v[i].u.l->n > 0 : !tmpl_hashable(v.u.l->v[i]))
                return false;
    return v.kind != V_LIST && v.kind != V_DICT && v.kind != V_VIEW && v.kind != V_NS &&
           v.kind != V_MISSING;
}

/* Slot of the index that holds `key` or where it would go. */
static size_t probe(struct run *r, const struct vdict *d, struct val key, uint64_t hash)
{
    size_t at = (size_t)hash & (d->n_index - 1);

    while (d->index[at] && tmpl_step(r, 1) && !tmpl_eq(r, d->e[d->index[at] - 1].key, key))
        at = (at + 1) & (d->n_index - 1);
    return at;
}

static void reindex(struct run *r, struct vdict *d)
{
    size_t n = 32;

    while (n < d->cap * 2) n *= 2;
    d->index   = tmpl_alloc(r, n, sizeof *d->index);
    d->n_index = d->index ? n : 0;
    for (size_t i = 0; i < d->n && !r->failed; i++) {
        uint64_t h = 0;
        hash_key(r, d->e[i].key, &h);
        d->index[probe(r, d, d->e[i].key, h)] = (uint32_t)i + 1;
    }
}

/* The entry of `key`, or NULL. */
static struct entry *find(struct run *r, const struct vdict *d, struct val key)
{
    uint64_t h;

    if (key.kind != V_STR && !hash_key(r, key, &h)) {
        tmpl_fail(r, "unhashable type: '%s'", tmpl_type(key));
        return NULL;
    }
    if (d->n_index) {
        hash_key(r, key, &h);
        size_t at = probe(r, d, key, h);
        return d->index[at] && !r->failed ? &d->e[d->index[at] - 1] : NULL;
    }
    for (size_t i = 0; i < d->n; i++) {
        struct val k = d->e[i].key;
        if (k.kind == V_STR && key.kind == V_STR ? str_eq(k.u.s->text, key.u.s->text)
                                                 : tmpl_eq(r, k, key))
            return &d->e[i];
    }
    return NULL;
}

void tmpl_dict_put(struct run *r, struct val dict, struct val key, struct val v)
{
    struct vdict *d = dict.u.d;

    if (r->failed || !tmpl_step(r, 1)) return;
    struct entry *old = find(r, d, key);
    if (old) old->v = v;
    if (old || r->failed) return;
    if (d->n >= LIM_TMPL_ITEMS) {
        tmpl_fail_code(r, ERR_TOO_LARGE, "dict of more than %d entries", LIM_TMPL_ITEMS);
        return;
    }
    if (d->n == d->cap) {
        size_t        cap  = d->cap ? d->cap * 2 : 4;
        struct entry *more = tmpl_alloc(r, cap, sizeof *more);
        if (!more) return;
        if (d->n) memcpy(more, d->e, d->n * sizeof *more);
        d->e   = more;
        d->cap = cap;
        if (cap > SMALL) reindex(r, d);
        if (r->failed) return;
    }
    if (d->n_index) {
        uint64_t h = 0;
        hash_key(r, key, &h);
        size_t at = probe(r, d, key, h);
        if (r->failed) return;
        d->index[at] = (uint32_t)d->n + 1;
    }
    d->e[d->n++] = (struct entry){ .key = key, .v = v };
}

struct val tmpl_dict_get(struct run *r, struct val dict, struct val key)
{
    const struct entry *e = r->failed ? NULL : find(r, dict.u.d, key);

    return e ? e->v : VAL_MISSING;
}

struct val tmpl_dict_get_c(struct run *r, struct val dict, const char *key)
{
    struct vstr s = { .text = str_c(key), .trust = TRUST_ALL, .n_char = SIZE_MAX };

    return tmpl_dict_get(r, dict, (struct val){ .kind = V_STR, .u.s = &s });
}
