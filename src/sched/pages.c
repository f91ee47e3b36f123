/* pages.c - the KV pages: free list, least-recently-used list, and the trie of known content. */
#include "sched/pages.h"

#include <assert.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"

enum { NONE = -1 };

struct page {
    int      refs;
    bool     linked;     // on a list
    int32_t  prev, next; // on the list of the free or of the cached; NONE at its ends
    int32_t  chain;      // next in the same bucket
    uint32_t bucket;     // when known
    uint64_t serial;     // 0: content not known
    struct pages_link at; // its place in the trie, when known
};

struct list {
    int32_t head, tail; // oldest, newest
    int     n;
};

struct pages {
    int          n_page, page_tok;
    struct page *page;   // [n_page]
    int32_t     *tok;    // [n_page][page_tok] what known pages contain
    int32_t     *bucket; // [n_bucket] heads of chains
    uint32_t     n_bucket; // power of two
    uint64_t     key[2]; // of the hash: clients choose tokens
    uint64_t     last_serial;
    struct list  free, cached;
    char        *buf;    // one hash input
};

static int32_t *tok_of(const struct pages *p, int32_t page)
{
    return p->tok + (size_t)page * (size_t)p->page_tok;
}

/* --- lists --- */

static void list_push(struct pages *p, struct list *l, int32_t i)
{
    struct page *pg = &p->page[i];

    pg->prev   = l->tail;
    pg->next   = NONE;
    pg->linked = true;
    if (l->tail != NONE) p->page[l->tail].next = i;
    else l->head = i;
    l->tail = i;
    l->n++;
}

static void list_remove(struct pages *p, struct list *l, int32_t i)
{
    struct page *pg = &p->page[i];

    if (pg->prev != NONE) p->page[pg->prev].next = pg->next;
    else l->head = pg->next;
    if (pg->next != NONE) p->page[pg->next].prev = pg->prev;
    else l->tail = pg->prev;
    pg->linked = false;
    l->n--;
}

/* --- life --- */

int pages_new(int n_page, int page_tok, struct pages **ret, struct err *e)
{
    assert(n_page > 0 && page_tok > 0);
    struct pages *p = mem_zalloc(sizeof *p);
    if (!p) return err_nomem(e, "making the page table");

    size_t per_page;
    p->n_page   = n_page;
    p->page_tok = page_tok;
    p->n_bucket = 16;
    while (p->n_bucket < (uint32_t)n_page) p->n_bucket *= 2;
    p->page   = mem_array((size_t)n_page, sizeof *p->page);
    p->bucket = mem_array(p->n_bucket, sizeof *p->bucket);
    p->buf    = mem_zalloc(16 + sizeof *p->tok * (size_t)page_tok);
    if (!__builtin_mul_overflow((size_t)page_tok, sizeof *p->tok, &per_page))
        p->tok = mem_array((size_t)n_page, per_page);
    if (!p->page || !p->bucket || !p->buf || !p->tok) {
        pages_free(p);
        return err_nomem(e, "making the page table");
    }
    memset(p->bucket, 0xff, p->n_bucket * sizeof *p->bucket);
    rng_system(p->key, sizeof p->key);
    p->free = p->cached = (struct list){ NONE, NONE, 0 };
    for (int32_t i = 0; i < n_page; i++) list_push(p, &p->free, i);
    *ret = p;
    return 0;
}

void pages_free(struct pages *p)
{
    if (!p) return;
    mem_free(p->page);
    mem_free(p->bucket);
    mem_free(p->buf);
    mem_free(p->tok);
    mem_free(p);
}

/* --- the trie --- */

static uint32_t bucket_of(struct pages *p, struct pages_link at, const int32_t *tok)
{
    uint64_t first = at.first;
    size_t   n     = sizeof *tok * (size_t)p->page_tok;

    memcpy(p->buf, &first, 8);
    memcpy(p->buf + 8, &at.up, 8);
    memcpy(p->buf + 16, tok, n);
    return (uint32_t)map_hash(p->key, (struct str){ p->buf, 16 + n }) & (p->n_bucket - 1);
}

static int32_t lookup(const struct pages *p, uint32_t bucket, struct pages_link at, const int32_t *tok)
{
    for (int32_t i = p->bucket[bucket]; i != NONE; i = p->page[i].chain) {
        const struct page *pg = &p->page[i];
        if (pg->at.first == at.first && pg->at.up == at.up &&
            !memcmp(tok_of(p, i), tok, sizeof *tok * (size_t)p->page_tok))
            return i;
    }
    return NONE;
}

static void forget(struct pages *p, int32_t page)
{
    struct page *pg = &p->page[page];
    int32_t     *at = &p->bucket[pg->bucket];

    while (*at != page) at = &p->page[*at].chain;
    *at        = pg->chain;
    pg->serial = 0;
}

static void hold(struct pages *p, int32_t page)
{
    if (p->page[page].refs++ == 0) list_remove(p, &p->cached, page);
}

int32_t pages_find(struct pages *p, struct pages_link at, const int32_t *tok)
{
    int32_t page = lookup(p, bucket_of(p, at, tok), at, tok);

    if (page != NONE) hold(p, page);
    return page;
}

int32_t pages_publish(struct pages *p, int32_t page, struct pages_link at, const int32_t *tok)
{
    struct page *pg = &p->page[page];
    assert(pg->refs == 1 && pg->serial == 0);

    uint32_t bucket = bucket_of(p, at, tok);
    int32_t  known  = lookup(p, bucket, at, tok);
    if (known != NONE) {
        hold(p, known);
        pages_drop(p, page);
        return known;
    }
    memcpy(tok_of(p, page), tok, sizeof *tok * (size_t)p->page_tok);
    pg->at     = at;
    pg->serial = ++p->last_serial;
    pg->bucket = bucket;
    pg->chain  = p->bucket[bucket];
    p->bucket[bucket] = page;
    return page;
}

uint64_t pages_serial(const struct pages *p, int32_t page)
{
    return p->page[page].serial;
}

/* --- taking and dropping --- */

int32_t pages_take(struct pages *p)
{
    int32_t page = p->free.head;

    if (page != NONE) list_remove(p, &p->free, page);
    else if ((page = p->cached.head) != NONE) {
        list_remove(p, &p->cached, page);
        forget(p, page);
    } else return NONE;
    p->page[page].refs = 1;
    return page;
}

void pages_drop(struct pages *p, int32_t page)
{
    struct page *pg = &p->page[page];

    assert(pg->refs > 0);
    if (--pg->refs == 0) list_push(p, pg->serial ? &p->cached : &p->free, page);
}

int pages_avail(const struct pages *p)
{
    return p->free.n + p->cached.n;
}

int pages_refs(const struct pages *p, int32_t page)
{
    return p->page[page].refs;
}

void pages_stats(const struct pages *p, struct pages_stats *ret)
{
    *ret = (struct pages_stats){ p->free.n, p->cached.n, p->n_page - p->free.n - p->cached.n };
}

/* --- check --- */

static bool list_good(const struct pages *p, const struct list *l, bool known)
{
    int32_t prev = NONE, i = l->head;
    int     n    = 0;

    for (; i != NONE; prev = i, i = p->page[i].next, n++) {
        const struct page *pg = &p->page[i];
        if (n >= l->n || pg->prev != prev || pg->refs != 0 || !pg->linked) return false;
        if ((pg->serial != 0) != known) return false;
    }
    return n == l->n && l->tail == prev;
}

/* Some page is known under this serial number. */
static bool has_serial(const struct pages *p, uint64_t serial)
{
    for (int i = 0; i < p->n_page; i++)
        if (p->page[i].serial == serial) return true;
    return false;
}

bool pages_check(const struct pages *p, const int *refs)
{
    int n_used = 0, n_known = 0, n_chained = 0;

    if (!list_good(p, &p->free, false) || !list_good(p, &p->cached, true)) return false;
    for (int i = 0; i < p->n_page; i++) {
        const struct page *pg = &p->page[i];
        if (pg->refs != refs[i] || pg->linked != (pg->refs == 0)) return false;
        n_used += pg->refs > 0;
        if (!pg->serial) continue;
        n_known++;
        if (!pg->at.first && !has_serial(p, pg->at.up)) return false; // an orphan
    }
    for (uint32_t b = 0; b < p->n_bucket; b++)
        for (int32_t i = p->bucket[b]; i != NONE; i = p->page[i].chain)
            if (++n_chained > n_known || !p->page[i].serial || p->page[i].bucket != b) return false;
    return n_chained == n_known && n_used + p->free.n + p->cached.n == p->n_page;
}
