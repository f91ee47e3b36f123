/* vocab.c - build the trie of a vocabulary. */
#include "constrain/vocab_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"

struct item {
    struct str s;
    int32_t    id;
};

static int by_bytes(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int                c = str_cmp(x->s, y->s);

    return c ? c : x->id < y->id ? -1 : x->id > y->id;
}

/* How many characters: 1 .. VOCAB_PLAIN if all of s are plain in a JSON string, else 0. */
static int plain_chars(struct str s)
{
    int n = 0;

    for (size_t i = 0; i < s.n; n++) {
        uint32_t cp;
        int      k = utf8_decode(str_from(s, i), &cp);
        if (k <= 0 || cp < 0x20 || cp == '"' || cp == '\\' || n == VOCAB_PLAIN) return 0;
        i += (size_t)k;
    }
    return n;
}

/* items are sorted. */
static int trie_new(struct vocab_trie *t, const struct item *v, size_t n, struct err *e)
{
    size_t cap = 0, n_node = 0;
    struct str last = STR_NULL;

    t->id = mem_array(n ? n : 1, sizeof *t->id);
    if (!t->id) return err_nomem(e, "reading a vocabulary");
    for (size_t i = 0; i < n; i++) { // a node for every byte that the one before does not share
        size_t same = 0;
        while (same < last.n && same < v[i].s.n && last.p[same] == v[i].s.p[same]) same++;
        n_node += v[i].s.n - same;
        last = v[i].s;
    }
    cap     = n_node + 1;
    t->node = mem_array(cap, sizeof *t->node);
    if (!t->node) return err_nomem(e, "reading a vocabulary");
    last = STR_NULL;
    for (size_t i = 0; i < n; i++) {
        size_t same = 0;
        while (same < last.n && same < v[i].s.n && last.p[same] == v[i].s.p[same]) same++;
        for (size_t k = same; k < v[i].s.n; k++)
            t->node[t->n++] = (struct vocab_node){ .first = (uint32_t)i,
                                                   .depth = (uint16_t)k,
                                                   .byte  = (uint8_t)v[i].s.p[k] };
        t->id[i] = v[i].id;
        last     = v[i].s;
    }
    t->node[t->n].first = (uint32_t)n;
    /* A node's tokens come before its children's, so they end where the next node's begin: right as long as
     * a node is made by its first token, which is sorted before longer ones. */
    for (uint32_t i = t->n; i-- > 0;) {
        uint32_t j = i + 1;
        while (j < t->n && t->node[j].depth > t->node[i].depth) j = t->node[j].skip;
        t->node[i].skip = j;
    }
    return 0;
}

static int name_special(struct constrain_vocab *v, const struct tok *t, struct err *e)
{
    size_t all = 0, at = 0;
    int    n   = tok_n(t) < v->n_vocab ? tok_n(t) : v->n_vocab;

    for (int id = 0; id < n; id++)
        if (tok_is_special(t, id)) all += tok_name(t, id).n + 2;
    v->own = mem_alloc(all + 1);
    if (!v->own) return err_nomem(e, "reading a vocabulary");
    for (int id = 0; id < n; id++) {
        struct str name = tok_name(t, id);
        if (!tok_is_special(t, id)) {
            v->bytes[id] = tok_bytes(t, id, false);
            continue;
        }
        v->bytes[id]   = (struct str){ v->own + at, name.n + 2 };
        v->own[at++]   = VOCAB_SPECIAL;
        if (name.n) memcpy(v->own + at, name.p, name.n);
        at += name.n;
        v->own[at++] = VOCAB_SPECIAL;
    }
    return 0;
}

static int fill(struct constrain_vocab *v, const struct tok *t, struct err *e)
{
    struct item *all = mem_array((size_t)v->n_vocab + 1, sizeof *all);
    size_t       n = 0, m = 0;
    int          rc = all ? name_special(v, t, e) : err_nomem(e, "reading a vocabulary");

    for (int id = 0; rc == 0 && id < v->n_vocab; id++) {
        struct str s = v->bytes[id];
        if (id < tok_n(t) && tok_is_eog(t, id)) v->eog[v->n_eog++] = id;
        if (s.n == 0 || s.n > LIM_CONSTRAIN_TOKEN) continue;
        if (s.p[0] != VOCAB_SPECIAL && memchr(s.p, VOCAB_SPECIAL, s.n)) continue;
        if (s.p[0] == VOCAB_SPECIAL && !tok_is_special(t, id)) continue;
        if (id < tok_n(t) && tok_is_eog(t, id) && !tok_is_special(t, id))
            continue; // it ends the answer, whatever it spells
        all[n++] = (struct item){ s, id };
        if (s.n > v->len_max) v->len_max = s.n;
        for (int i = plain_chars(s); i > 0 && i <= VOCAB_PLAIN; i++)
            v->plain[(size_t)i * (size_t)v->n_word + (size_t)id / 64] |= (uint64_t)1 << (id % 64);
    }
    if (rc == 0 && n) qsort(all, n, sizeof *all, by_bytes);
    if (rc == 0) rc = trie_new(&v->all, all, n, e);
    for (size_t i = 0; i < n; i++)
        if (!plain_chars(all[i].s)) all[m++] = all[i];
    if (rc == 0) rc = trie_new(&v->rest, all, m, e);
    mem_free(all);
    return rc;
}

int constrain_vocab_new(const struct tok *t, int n_vocab, struct constrain_vocab **ret, struct err *e)
{
    struct constrain_vocab *v = mem_zalloc(sizeof *v);

    if (!v) return err_nomem(e, "reading a vocabulary");
    v->tok     = t;
    v->n_vocab = n_vocab;
    v->n_word  = (n_vocab + 63) / 64;
    v->plain   = mem_array((size_t)(VOCAB_PLAIN + 1) * (size_t)v->n_word, sizeof *v->plain);
    v->eog     = mem_array((size_t)n_vocab + 1, sizeof *v->eog);
    v->bytes   = mem_array((size_t)n_vocab + 1, sizeof *v->bytes);
    int rc     = v->plain && v->eog && v->bytes ? fill(v, t, e) : err_nomem(e, "reading a vocabulary");
    if (rc < 0) {
        constrain_vocab_free(v);
        return rc;
    }
    *ret = v;
    return 0;
}

void constrain_vocab_free(struct constrain_vocab *v)
{
    if (!v) return;
    mem_free(v->all.node);
    mem_free(v->all.id);
    mem_free(v->rest.node);
    mem_free(v->rest.id);
    mem_free(v->plain);
    mem_free(v->eog);
    mem_free(v->bytes);
    mem_free(v->own);
    mem_free(v);
}
