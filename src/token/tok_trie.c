/* tok_trie.c - nodes in breadth-first order, so that a node's edges are a sorted run of one array. */
#include "token/tok_trie.h"

#include "base/mem.h"

struct trie {
    uint32_t      *edge;  // [n_node + 1] where a node's edges begin; the i-th edge leads to node i + 1
    unsigned char *label; // [n_node - 1]
    int32_t       *id;    // [n_node]
    uint32_t       root[256];
};

static int by_text(const void *a, const void *b)
{
    const struct trie_key *x = a, *y = b;
    int                    c = str_cmp(x->s, y->s);
    return c ? c : x->id < y->id ? -1 : x->id > y->id;
}

/* One more node for each distinct head of a key; an upper bound that is exact. */
static size_t count_nodes(const struct trie_key *key, size_t n)
{
    size_t nodes = 1;

    for (size_t i = 0; i < n; i++) {
        size_t common = 0;
        if (i)
            while (common < key[i].s.n && common < key[i - 1].s.n &&
                   key[i].s.p[common] == key[i - 1].s.p[common])
                common++;
        nodes += key[i].s.n - common;
    }
    return nodes;
}

struct span {
    uint32_t from, to, depth; // keys of one node
};

static void fill(struct trie *t, const struct trie_key *key, struct span *q, size_t n)
{
    uint32_t n_node = 1;

    q[0] = (struct span){ 0, (uint32_t)n, 0 };
    for (uint32_t node = 0; node < n_node; node++) {
        struct span s = q[node];
        t->edge[node] = n_node - 1;
        t->id[node]   = -1;
        uint32_t i    = s.from;
        for (; i < s.to && key[i].s.n == s.depth; i++)
            if (t->id[node] < 0 && s.depth) t->id[node] = key[i].id;
        while (i < s.to) {
            char     c    = key[i].s.p[s.depth];
            uint32_t from = i;
            while (i < s.to && key[i].s.p[s.depth] == c) i++;
            t->label[n_node - 1] = (unsigned char)c;
            if (!node) t->root[(unsigned char)c] = n_node;
            q[n_node++] = (struct span){ from, i, s.depth + 1 };
        }
    }
    t->edge[n_node] = n_node - 1;
}

struct trie *trie_new(struct arena *a, struct trie_key *key, size_t n)
{
    if (n) qsort(key, n, sizeof *key, by_text);
    size_t       nodes = count_nodes(key, n);
    struct trie *t     = arena_zalloc(a, sizeof *t);
    if (!t || nodes > INT32_MAX - 1 || n > INT32_MAX) return NULL;
    t->edge        = arena_array(a, nodes + 1, sizeof *t->edge);
    t->label       = arena_array(a, nodes, 1);
    t->id          = arena_array(a, nodes, sizeof *t->id);
    struct span *q = mem_array(nodes, sizeof *q);
    bool         ok = t->edge && t->label && t->id && q;
    if (ok) fill(t, key, q, n);
    mem_free(q);
    return ok ? t : NULL;
}

uint32_t trie_step(const struct trie *t, uint32_t node, unsigned char c)
{
    if (!node) return t->root[c];
    uint32_t lo = t->edge[node], hi = t->edge[node + 1];
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (t->label[mid] == c) return mid + 1;
        if (t->label[mid] < c) lo = mid + 1;
        else hi = mid;
    }
    return 0;
}

int32_t trie_id(const struct trie *t, uint32_t node)
{
    return t->id[node];
}
