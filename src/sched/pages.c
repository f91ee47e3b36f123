/* pages.c - the KV pages: free lists, least-recently-used lists, and the trie of known content.
 *
 * Window pages stand behind the others in one array; only the functions of pages.h know their own numbers.
 */
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
    uint64_t serial;     // 0: content not known; of window pages always 0
    int32_t  with;       // the window page known with this page, or the page this window page is known with
    struct pages_link at; // its place in the trie, when known
};

struct list {
    int32_t head, tail; // oldest, newest
    int     n;
};

struct pages {
    int          n_page, n_win, page_tok;
    struct page *page;   // [n_page + n_win]
    int32_t     *tok;    // [n_page][page_tok] what known pages contain
    int32_t     *bucket; // [n_bucket] heads of chains
    uint32_t     n_bucket; // power of two
    uint64_t     key[2]; // of the hash: clients choose tokens
    uint64_t     last_serial;
    struct list  free, cached, win_free, win_cached;
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

int pages_new(int n_page, int n_win, int page_tok, struct pages **ret, struct err *e)
{
    assert(n_page > 0 && n_win >= 0 && page_tok > 0);
    struct pages *p = mem_zalloc(sizeof *p);
    if (!p) return err_nomem(e, "making the page table");

    size_t per_page;
    p->n_page   = n_page;
    p->n_win    = n_win;
    p->page_tok = page_tok;
    p->n_bucket = 16;
    while (p->n_bucket < (uint32_t)n_page) p->n_bucket *= 2;
    p->page   = mem_array((size_t)n_page + (size_t)n_win, sizeof *p->page);
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
    p->free = p->cached = p->win_free = p->win_cached = (struct list){ NONE, NONE, 0 };
    for (int32_t i = 0; i < n_page + n_win; i++) {
        p->page[i].with = NONE;
        list_push(p, i < n_page ? &p->free : &p->win_free, i);
    }
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
    if (pg->with == NONE) return;
    p->page[pg->with].with = NONE;
    if (p->page[pg->with].refs == 0) {
        list_remove(p, &p->win_cached, pg->with);
        list_push(p, &p->win_free, pg->with);
    }
    pg->with = NONE;
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
    *ret = (struct pages_stats){
        p->free.n, p->cached.n, p->n_page - p->free.n - p->cached.n,
        p->win_free.n, p->win_cached.n, p->n_win - p->win_free.n - p->win_cached.n,
    };
}

/* --- window pages --- */

int32_t pages_win_take(struct pages *p)
{
    int32_t i = p->win_free.head;

    if (i != NONE) list_remove(p, &p->win_free, i);
    else if ((i = p->win_cached.head) != NONE) {
        list_remove(p, &p->win_cached, i);
        p->page[p->page[i].with].with = NONE;
        p->page[i].with = NONE;
    } else return NONE;
    p->page[i].refs = 1;
    return i - p->n_page;
}

void pages_win_drop(struct pages *p, int32_t win)
{
    struct page *pg = &p->page[p->n_page + win];

    assert(pg->refs > 0);
    if (--pg->refs == 0) list_push(p, pg->with != NONE ? &p->win_cached : &p->win_free, p->n_page + win);
}

int pages_win_avail(const struct pages *p)
{
    return p->win_free.n + p->win_cached.n;
}

bool pages_win_known(const struct pages *p, int32_t page)
{
    return p->page[page].with != NONE;
}

int32_t pages_win_hold(struct pages *p, int32_t page)
{
    int32_t i = p->page[page].with;

    assert(i != NONE);
    if (p->page[i].refs++ == 0) list_remove(p, &p->win_cached, i);
    return i - p->n_page;
}

int32_t pages_win_publish(struct pages *p, int32_t page, int32_t win)
{
    struct page *pg = &p->page[page];

    assert(pg->refs > 0 && pg->serial && p->page[p->n_page + win].with == NONE);
    if (pg->with != NONE) {
        pages_win_drop(p, win);
        return pages_win_hold(p, page);
    }
    pg->with = p->n_page + win;
    p->page[pg->with].with = page;
    return win;
}

int pages_win_refs(const struct pages *p, int32_t win)
{
    return p->page[p->n_page + win].refs;
}

/* --- check --- */

static bool is_known(const struct pages *p, int32_t i)
{
    return i < p->n_page ? p->page[i].serial != 0 : p->page[i].with != NONE;
}

static bool list_good(const struct pages *p, const struct list *l, bool known)
{
    int32_t prev = NONE, i = l->head;
    int     n    = 0;

    for (; i != NONE; prev = i, i = p->page[i].next, n++) {
        const struct page *pg = &p->page[i];
        if (n >= l->n || pg->prev != prev || pg->refs != 0 || !pg->linked) return false;
        if (is_known(p, i) != known) return false;
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

/* Each window page known with a page is the one that page knows, and nobody holds it without holding the page. */
static bool windows_good(const struct pages *p, const int *refs)
{
    int n_used = 0;

    if (!list_good(p, &p->win_free, false) || !list_good(p, &p->win_cached, true)) return false;
    for (int32_t i = p->n_page; i < p->n_page + p->n_win; i++) {
        const struct page *pg = &p->page[i];
        if (pg->refs != refs[i - p->n_page] || pg->linked != (pg->refs == 0) || pg->serial) return false;
        n_used += pg->refs > 0;
        if (pg->with == NONE) continue;
        if (pg->with >= p->n_page || p->page[pg->with].with != i) return false;
        if (pg->refs > p->page[pg->with].refs) return false;
    }
    for (int32_t i = 0; i < p->n_page; i++) {
        const struct page *pg = &p->page[i];
        if (pg->with != NONE && (!pg->serial || pg->with < p->n_page || p->page[pg->with].with != i)) return false;
    }
    return n_used + p->win_free.n + p->win_cached.n == p->n_win;
}

bool pages_check(const struct pages *p, const int *refs, const int *win_refs)
{
    int n_used = 0, n_known = 0, n_chained = 0;

    if (p->n_win && !windows_good(p, win_refs)) return false;
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
